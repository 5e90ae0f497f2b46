"""A data party's process: `python -m evaluation.party CONFIG.toml`.

It shares nothing until the agreement is active at a finalised block and the owner's privacy budget for the data set, if
there is one, has room for it (evaluation.dataset). Then it replays its files through its own topics, and tells the
`runs` topic how many events it read, accepted and rejected. Keys, one file each: link, pseudonym, sharing, batch,
rejects.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.agreement import admission
from evaluation.config import PartySettings, load_settings, load_terms
from evaluation.dataset import reserve
from evaluation.figures import Reporter
from evaluation.keys import read_secret
from evaluation.process import run_process
from evaluation.records import Events, seal_record
from evaluation.status import StatusLine
from streams.broker import Producer
from streams.figures import PartitionStand, ShardStand
from streams.pipeline import Counts, PartyConfig, PartyPipeline
from streams.pseudonym import check_value
from streams.topics import RUNS


async def party(settings: PartySettings, status: StatusLine) -> None:
    """Run one party to the end of its files.

    Raises:
        evaluation.errors.Refused: the agreement is not active, or may spend more of the data set than its owner allows.
        streams.errors.StreamsError, policy.errors.ChainError: see there.
    """
    terms = load_terms(settings.terms)
    facts = await admission(settings.chain, terms, status)
    if settings.budget is not None:
        agreement, spent = settings.chain.agreement_id, facts.budget_spent
        await asyncio.to_thread(reserve, settings.budget, terms, agreement, settings.party, spent)
    broker, batch_key = settings.broker, read_secret(settings.keys / "batch")
    link_secret, signing = read_secret(settings.keys / "link"), Ed25519PrivateKey.from_private_bytes(batch_key)
    structlog.get_logger().info(
        "link secret", check=check_value(link_secret, terms.hash),
        todo="compare with the other parties' logs: where it differs nobody is linked (docs/operating.md)",
    )
    async with Producer(broker) as producer:

        async def account(counts: Counts, *, final: bool) -> None:
            record = Events(
                agreement=terms.hash, party=settings.party, final=final, read=counts.read, accepted=counts.accepted,
                rejected=dict(counts.rejected), late_pending=counts.late_pending,
                late_after_maturity=counts.late_after_maturity,
            )
            await producer.send(RUNS, 0, [(settings.party.encode(), seal_record(record, signing))])

        reporter = Reporter(terms, settings.party, settings.party, signing, producer)

        async def tell(partitions: Sequence[PartitionStand], shards: Sequence[ShardStand], last: bool) -> None:
            await reporter.tell(partitions, shards, last=last)

        pipeline = PartyPipeline(PartyConfig(
            broker=broker, terms=terms, party=settings.party, data=settings.data,
            link_secret=link_secret, pseudonym_key=read_secret(settings.keys / "pseudonym"),
            sharing_key=read_secret(settings.keys / "sharing"), batch_key=batch_key,
            rejects_key=read_secret(settings.keys / "rejects"), state=settings.state,
        ), status.say, tell)
        counts = await pipeline.run()
        if terms.draft.erasure is not None:
            status.say("listed", counts.lists, detail="lists of rows to be erased have left")
        await account(counts, final=True)
    rejected = sum(counts.rejected.values())
    status.say("done", counts.read, counts.read, f"{counts.accepted} accepted, {rejected} rejected")


def main(config: Path) -> int:
    """Return the exit code."""
    settings = load_settings(config, PartySettings)
    status = StatusLine(settings.party)
    return run_process(settings.party, party(settings, status), status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
