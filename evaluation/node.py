"""An MPC node's process: `python -m evaluation.node CONFIG.toml`.

It takes share batches from its inbox into its store, links once the registers are complete, and runs the agreement's
windows in order as their panes become complete. Keys, one file each: sealing, records, chain; and the
TLS certificate and key (mpc.identity). It holds two of three components of everything and can open nothing alone.
"""

import asyncio
import hashlib
import hmac
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.agreement import in_words, open_registry, read_facts
from evaluation.compute import Computation
from evaluation.config import NodeSettings, load_settings, load_terms
from evaluation.errors import Refused, Unreachable
from evaluation.keys import read_secret
from evaluation.process import run_process
from evaluation.records import Failed, Record, seal_record
from evaluation.records import Refused as RefusedRecord
from evaluation.run import NodeRun, Outcome, RunRefused
from evaluation.status import StatusLine
from evaluation.wake import Bell
from mpc.errors import PeerLost, PeerTimeout
from mpc.identity import load_identity
from mpc.transport import NodeAddress, NodeLinks
from policy.agreement import Terms
from policy.gate import Refusal, RunRequest, before, during
from policy.plan import Plan
from streams.broker import Broker, Producer, watch
from streams.inbox import Inbox
from streams.store import ShareStore
from streams.topics import RUNS, results

if TYPE_CHECKING:
    from policy.chain.registry import Registry

WAKE_SECONDS = 1.0
MOST_ATTEMPTS = 5
"""Attempts at one run before the node gives up and says so."""
RETRY_SECONDS = 1.0


class Node:
    """One node's work from admission to the last window; use `run` once."""

    def __init__(self, settings: NodeSettings, terms: Terms, status: StatusLine) -> None:
        self._settings, self._terms, self._status = settings, terms, status
        self._number = settings.number
        extra = [Plan.model_validate_json(path.read_bytes()) for path in settings.extra_plans]
        self._plans = (*terms.plans, *extra)
        self._signing = Ed25519PrivateKey.from_private_bytes(read_secret(settings.keys / "records"))
        self._store = ShareStore(settings.store, terms, settings.number)
        noise_key = hmac.digest(read_secret(settings.keys / "records"), b"winnow noise", "sha256")
        self._computation = Computation(terms, self._plans, self._store, settings.number, noise_key)
        self._broker = Broker(settings.broker)
        self._bell = Bell(WAKE_SECONDS)
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Work until every window has ended, then stay until ended from outside.

        Raises:
            Refused: the gate does not admit this node's plans under the agreement.
            BrokerError, ChainError, MpcError: see there.
        """
        chain_key = read_secret(self._settings.keys / "chain")
        async with (
            open_registry(self._settings.chain, self._terms, chain_key) as registry,
            Producer(self._broker) as producer,
        ):
            await self._admission(registry, producer)
            addresses = [NodeAddress(n.endpoint, n.certificate) for n in self._terms.nodes]
            identity = load_identity(self._settings.keys, f"node-{self._number}")
            async with (
                NodeLinks(self._number, addresses, identity) as links,
                self._bell,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(watch(self._broker))
                group.create_task(self._receive())
                group.create_task(self._work(registry, producer, links))

    async def _admission(self, registry: "Registry", producer: Producer) -> None:
        """Ask the gate about everything this node is configured to run, before anything is received."""
        self._status.say("agreement")
        facts = await read_facts(registry, self._settings.chain, self._terms, "finalized")
        refusals = before(
            self._terms, facts, RunRequest(plan_hashes=tuple(p.hash for p in self._plans), windows=())
        )
        for refusal in refusals:
            await self._say(producer, self._refused(refusal, (), None))
        if refusals:
            raise Refused(in_words(refusals[0]))

    async def _receive(self) -> None:
        """Take share batches into the store."""
        sealing = X25519PrivateKey.from_private_bytes(read_secret(self._settings.keys / "sealing"))
        async with Inbox(self._broker, self._terms, self._number, sealing) as inbox:
            async for batches in inbox:
                self._store.add(batches)
                self._status.say("shares", self._store.received, self._store.expected)
                self._bell.ring()

    async def _work(self, registry: "Registry", producer: Producer, links: NodeLinks) -> None:
        """Link, then run the windows in order."""
        windows = self._terms.draft.lattice.scheduled
        following = 0
        try:
            while not self._store.registers_complete:
                await self._bell.wait()
            await self._insist("link", registry, producer, links, None)
            while following < len(windows):
                complete = self._store.complete_panes
                due = sum(1 for w in windows[following:] if w.stop <= complete)
                if due:
                    outcome = await self._insist(f"windows-{following}", registry, producer, links, (following, due))
                    following += len(outcome.done.windows)
                    self._status.say("windows", following, len(windows))
                else:
                    await self._bell.wait()
        except RunRefused as error:
            left = tuple(w.index for w in windows[following:])
            await self._say(producer, self._refused(error.refusal, left, error.run))
            self._status.say("stopped", following, len(windows), error.refusal.rule)

    async def _insist(
        self, name: str, registry: "Registry", producer: Producer, links: NodeLinks, due: tuple[int, int] | None
    ) -> Outcome:
        """Run, and try again when a peer was lost before anything was opened.

        Raises:
            Unreachable: after MOST_ATTEMPTS.
            MpcError: at once for a failed integrity check or a breach of the protocol.
            RunRefused: by a rule.
        """
        label = hashlib.sha256(f"winnow {self._terms.hash} {name}".encode()).digest()
        outcome: Outcome | RunRefused
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                async with (
                    asyncio.timeout(self._settings.attempt_seconds),
                    links.attempt(label, self._settings.stall_seconds) as wire,
                ):
                    run = NodeRun(
                        self._terms, self._plans, self._settings.chain, registry, self._computation, self._signing,
                        self._status, wire,
                    )
                    try:
                        outcome = await (
                            run.link() if due is None else run.windows(*due, self._settings.batch_windows)
                        )
                    except RunRefused as refused:
                        # The attempt ends in order, so that the peers still hear this node's verdict.
                        outcome = refused
                break
            except (PeerLost, PeerTimeout, TimeoutError) as error:
                reason = str(error) or f"an attempt took more than {self._settings.attempt_seconds:g} s"
                self._log.warning("attempt failed", run=name, attempt=attempt, reason=reason)
                await self._say(producer, Failed(
                    agreement=self._terms.hash, node=self._number, run=None, reason=reason
                ))
                if attempt == MOST_ATTEMPTS:
                    raise Unreachable(f"{name}: {MOST_ATTEMPTS} attempts failed, the last one: {reason}") from error
                await asyncio.sleep(RETRY_SECONDS)
                facts = await read_facts(registry, self._settings.chain, self._terms, "latest")
                refusals = during(self._terms, facts, RunRequest(plan_hashes=(), windows=()))
                if refusals:
                    raise RunRefused(refusals[0], None) from error
        if isinstance(outcome, RunRefused):
            raise outcome
        for recipient, sealed in outcome.sealed.items():
            await producer.send(results(recipient), 0, [(None, sealed)])
        await self._say(producer, outcome.done)
        return outcome

    async def _say(self, producer: Producer, record: Record) -> None:
        await producer.send(RUNS, 0, [(None, seal_record(record, self._signing))])

    def _refused(self, refusal: Refusal, windows: tuple[int, ...], run: str | None) -> RefusedRecord:
        return RefusedRecord(
            agreement=self._terms.hash, node=self._number, run=run, windows=windows, rule=refusal.rule,
            found=refusal.found, required=refusal.required, next_step=refusal.next_step,
        )


async def node(settings: NodeSettings, status: StatusLine) -> None:
    """Run one node; see `Node.run`."""
    await Node(settings, load_terms(settings.terms), status).run()


def main(config: Path) -> int:
    """Return the exit code."""
    settings = load_settings(config, NodeSettings)
    status = StatusLine(f"node-{settings.number}")
    return run_process(status.process, node(settings, status), status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
