"""A party's pipeline: replay if there are files, re-keying, panes and share, side by side, over its own topics."""

import asyncio
import hmac
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policy.agreement import Draft, Terms
from streams import topics
from streams.batch import check_size
from streams.bounds import check_bounds
from streams.broker import Broker, Consumer, Producer, watch
from streams.checkpoint import Checkpoints, restore
from streams.columns import Header
from streams.errors import ConfigurationError, StreamsError
from streams.figures import PartitionStand, ShardStand
from streams.flow import Counts, Progress, Pulse
from streams.owner import Owner
from streams.pseudonym import Pseudonyms
from streams.published import Published, published
from streams.register import EPOCH, register_seed
from streams.rekey import Rekeyer, rekey
from streams.replay import replay, span_of
from streams.resend import Resender
from streams.shard import Shard
from streams.share import Sharer, share
from streams.snapshots import PaneStage, is_of
from streams.sources.agreed import check_sources, open_sources
from streams.sources.lines import IndexedFile
from streams.standing import standing
from streams.states import StateFolder
from streams.tags import Tags

__all__ = ["Counts", "PartyConfig", "PartyPipeline", "check_party"]

STALL_SECONDS = 120.0
"""When no stage does anything for this long the pipeline gives up: in a replay there is always more, or an end."""
TELL_SECONDS = 5.0
CHECKPOINT_SECONDS = 30.0
"""A worker that died folds at most about this much again."""
KEY_BYTES = 32
STATE_LABEL = b"winnow state v1"
Tell = Callable[[Sequence[PartitionStand], Sequence[ShardStand], bool], Awaitable[None]]
"""Partitions, shards, and whether this is the last word."""


@dataclass(frozen=True)
class PartyConfig:
    """What one party's pipeline needs. Every key has 32 bytes."""

    broker: Broker
    terms: Terms
    party: str
    data: Path | None
    """Folder of the party's files; None: nothing is replayed, others write to the source topic."""
    link_secret: bytes = field(repr=False)
    """Shared by the data parties: what makes patients and shards equal at all of them."""
    pseudonym_key: bytes = field(repr=False)
    """The party's own: pseudonyms and event ids."""
    sharing_key: bytes = field(repr=False)
    """The party's own: masks, and the order of slots."""
    batch_key: bytes = field(repr=False)
    """Ed25519 private key that signs share batches."""
    rejects_key: bytes = field(repr=False)
    """X25519 private key: refused lines are sealed to its public key."""
    stall_seconds: float = STALL_SECONDS
    state: Path | None = None
    """Folder for local copies of shards' states; without one a start reads them from the state topic."""
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        """Check what would otherwise fail late.

        Raises:
            ConfigurationError: names the setting.
            policy.errors.AgreementError: the agreement has no such party.
        """
        for name in ("link_secret", "pseudonym_key", "sharing_key", "batch_key", "rejects_key"):
            length = len(getattr(self, name))
            if length != KEY_BYTES:
                raise ConfigurationError(f"{name} has {length} bytes, expected {KEY_BYTES}")
        draft = self.terms.draft
        draft.party(self.party)
        public = Ed25519PrivateKey.from_private_bytes(self.batch_key).public_key().public_bytes_raw().hex()
        agreed = next(p.batch_key for p in self.terms.parties if p.name == self.party)
        if public != agreed:
            raise ConfigurationError(
                f"batch_key is not {self.party}'s: the agreement has public key {agreed[:16]}…, this one has "
                f"{public[:16]}…"
            )
        check_size(draft, self.party)
        check_bounds(draft, self.party)


def check_party(draft: Draft, party: str, folder: Path) -> None:
    """Find what would stop a party, before anything starts.

    Raises:
        SourceError: a file is missing, unreadable, or has another header.
        ConfigurationError: the agreement asks for what a party cannot serve.
    """
    check_size(draft, party)
    check_bounds(draft, party)
    check_sources(draft, party, folder)


class PartyPipeline:
    """One party from files to shares; use `run` once."""

    def __init__(self, config: PartyConfig, progress: Progress, tell: Tell | None = None) -> None:
        """Of one party.

        Args:
            config: what it needs.
            progress: told of every phase.
            tell: told every TELL_SECONDS how the pipeline stands, and once more at its end.
        """
        self._config, self._progress, self._tell = config, progress, tell
        self.counts = Counts()
        self._headers: dict[int, Header] = {}
        self._shards: list[Shard] = []
        self._reject_key = X25519PrivateKey.from_private_bytes(config.rejects_key).public_key()
        self._tags = Tags(config.sharing_key, config.terms.hash)

    async def run(self) -> Counts:
        """Replay, validate, seal and share everything, from where an earlier worker stopped; all topics must exist.

        Raises:
            ConfigurationError: the state folder cannot be made.
            SourceError: a file is missing, unreadable or of another form; nothing was sent then.
            SupersededError: another worker took over.
            BrokerError: the broker is gone, does not answer, or lost what a state goes on from.
            StalledError: no stage did anything for `stall_seconds`.
        """
        config, counts = self._config, self.counts
        draft, party = config.terms.draft, config.party
        # Whoever follows others waits for them, however long.
        shards, pulse = range(draft.shards), Pulse(config.stall_seconds if config.data is not None else math.inf)
        pseudonyms = Pseudonyms(config.link_secret, config.pseudonym_key)
        files = (
            [] if config.data is None
            else await asyncio.to_thread(open_sources, draft, party, config.data, pseudonyms)
        )
        folder = None if config.state is None else await asyncio.to_thread(StateFolder, config.state)
        # Whatever may be wrong with us is found before we take over from another worker.
        async with (
            Producer(config.broker) as producer,
            Consumer(config.broker, topics.owner(party, draft.name), [0]) as claims,
            Consumer(config.broker, topics.holdings(party, draft.name), [0]) as words,
            Consumer(config.broker, topics.source(party), shards) as incoming,
            Consumer(config.broker, topics.sharded(party, draft.name), shards) as accepted,
            Consumer(config.broker, topics.panes(party, draft.name), shards) as sealed,
        ):
            owner = Owner(claims, party, self._tags)
            sharer = Sharer(
                config.terms, config.sharing_key, Ed25519PrivateKey.from_private_bytes(config.batch_key)
            )
            try:
                async with asyncio.TaskGroup() as group:
                    watchers = [group.create_task(watch(config.broker))]
                    checkpoints = await self._restore(await owner.claim(producer), folder, producer)
                    watchers.append(group.create_task(owner.watch()))
                    panes = PaneStage(
                        draft, config.terms.hash, party, self._tags, self._shards, pseudonyms.link_key,
                        self._reject_key, checkpoints,
                    )
                    await panes.catch_up(accepted, producer, counts, pulse)
                    self._go_on()
                    async with Consumer(config.broker, topics.source(party), shards) as tail:
                        there = await published(tail, shards)
                    resender = Resender(
                        config.broker, config.terms, party, self._shards, sharer, self._tags, words, producer,
                        lambda sent: self._progress("resent", sent, sent),
                    )
                    watchers.append(group.create_task(resender.run()))
                    watchers.append(group.create_task(self._tell_often(incoming, accepted, resender)))
                    stages = self._stages(
                        files, there, pseudonyms, panes, sharer, incoming, accepted, sealed, producer, pulse
                    )
                    work = [group.create_task(stage) for stage in stages]
                    await asyncio.wait(work, return_when=asyncio.FIRST_EXCEPTION)
                    for watcher in watchers:
                        watcher.cancel()
                await resender.settle()
                await self._tell_stand(incoming, accepted, resender, last=True)
            except BaseExceptionGroup as errors:
                raise _plainest(errors) from errors
            for number, shard in enumerate(self._shards):
                await checkpoints.keep(number, shard)
        counts.lists = sum(shard.panes.withdrawn.made for shard in self._shards)
        if config.data is None:
            counts.read = counts.accepted + counts.rejected.total()
        if counts.accepted + counts.rejected.total() != counts.read:
            raise StreamsError(
                f"{counts.read} lines were read, {counts.accepted} accepted and {counts.rejected.total()} rejected: "
                "somebody else writes to the source topic"
            )
        return counts

    async def _restore(self, epoch: int, folder: StateFolder | None, producer: Producer) -> Checkpoints:
        config = self._config
        draft, party, topic = config.terms.draft, config.party, topics.state(config.party, config.terms.draft.name)

        def new(number: int) -> Shard:
            seed = register_seed(config.sharing_key, config.terms.hash, party, number, EPOCH)
            return Shard(draft, party, number, seed, draft.shards)

        key = hmac.digest(config.sharing_key, STATE_LABEL, "sha256")
        async def fits(number: int, state: Shard) -> bool:
            async with Consumer(config.broker, topics.sharded(party, draft.name), [number]) as log:
                return await is_of(log, number, state)

        async with Consumer(config.broker, topic, range(draft.shards)) as consumer:
            self._shards, held = await restore(new, draft.shards, key, folder, consumer, fits)
        return Checkpoints(topic, key, epoch, config.checkpoint_seconds, folder, held, producer)

    def _go_on(self) -> None:
        """Re-keying goes on from what every shard has of a source partition."""
        self._headers = {
            partition: min((shard.seen[partition] for shard in self._shards), key=lambda header: header.next)
            for partition in range(self._config.terms.draft.shards)
        }
        self.counts.rejected = Counter()
        for header in self._headers.values():
            self.counts.rejected.update(header.refused)
        for shard in self._shards:
            self.counts.rejected.update(shard.refused)

    def _stages(
        self, files: Sequence[IndexedFile], there: Mapping[int, Published], pseudonyms: Pseudonyms, panes: PaneStage,
        sharer: Sharer, incoming: Consumer, accepted: Consumer, sealed: Consumer, producer: Producer, pulse: Pulse,
    ) -> tuple[Coroutine[Any, Any, None], ...]:
        config, counts, progress = self._config, self.counts, self._progress
        terms, draft, party = config.terms, config.terms.draft, config.party
        sources = [s.name for s in draft.party(party).sources]
        replaying = () if config.data is None else (replay(
            files, party, span_of(files), sources, there, pseudonyms, producer, self._reject_key, counts, progress,
            pulse,
        ),)
        return (
            *replaying,
            rekey(
                Rekeyer(draft, party, pseudonyms, self._reject_key), self._tags, party, draft.name, self._headers,
                incoming, producer, counts, progress, pulse,
            ),
            panes.run(accepted, producer, counts, progress, pulse),
            share(terms, sharer, self._tags, self._shards, sealed, producer, progress, pulse),
        )

    async def _tell_often(self, source: Consumer, log: Consumer, resender: Resender) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            await self._tell_stand(source, log, resender, last=False)

    async def _tell_stand(self, source: Consumer, log: Consumer, resender: Resender, *, last: bool) -> None:
        party = self._config.terms.draft.party(self._config.party)
        if self._tell is not None:
            found = await standing(
                party, self._headers, self._shards, source, log, resender.gone, resender.differing
            )
            await self._tell(*found, last)


def _plainest(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that says most: the broker's end before what followed from it."""
    ordered = sorted(errors.exceptions, key=lambda e: not isinstance(e, StreamsError))
    first = ordered[0]
    return _plainest(first) if isinstance(first, BaseExceptionGroup) else first
