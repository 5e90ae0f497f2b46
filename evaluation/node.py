"""An MPC node's process: `python -m evaluation.node CONFIG.toml`.

It takes share batches from its inbox into its store and requests from their topic into its queue, and works with its
peers through whatever that makes possible (evaluation.desk). It may be ended at any moment and goes on from its
folders. Keys, one file each: sealing, records, chain; and the TLS certificate and key (mpc.identity). It holds two
of three components of everything and can open nothing alone.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.agreement import in_words, open_registry, read_facts
from evaluation.compute import Computation
from evaluation.config import NodeSettings, load_plan, load_settings, load_terms
from evaluation.desk import Desk, Inputs
from evaluation.erasing import Erasing
from evaluation.errors import Apart, Refused, Unreachable
from evaluation.expected import Expected
from evaluation.intake import Intake
from evaluation.keys import agreed_secret, noise_key, sealing_public, signing_public
from evaluation.keystore import chain_key_of_a_process
from evaluation.outcome import RunRefused
from evaluation.outlets import NodeOutlets
from evaluation.process import run_process
from evaluation.records import Failed
from evaluation.state import NodeState
from evaluation.status import StatusLine
from evaluation.waits import Waits
from evaluation.wake import Bell
from mpc.allocation import keep_freed_memory
from mpc.errors import PeerLost, PeerTimeout
from mpc.identity import load_identity
from mpc.transport import NodeAddress, NodeLinks
from mpc.workers import Workers
from policy.agreement import Terms
from policy.chain.errors import ChainRefusal, ChainTimeout
from policy.gate import RunRequest, before
from policy.identity import NODES
from streams.broker import Consumer, Producer, watch
from streams.holding import seal_holding
from streams.inbox import Inbox
from streams.store import ShareStore
from streams.topics import REQUESTS, holdings
from streams.word import PartyWord

if TYPE_CHECKING:
    from policy.chain.registry import Registry

WAKE_SECONDS = 1.0
LABEL = b"winnow work"
"""Of every attempt, whatever the agreement: nodes that work under different ones tell each other so."""
MOST_ATTEMPTS = 5
"""Attempts that fail one after another before a node that waits for nobody gives up and says so."""
RETRY_SECONDS = 1.0
STANDSTILL = timedelta(seconds=5)
"""A beat that comes so late says that the machine or the process stood still."""
POLL_SECONDS = 0.5
POLL_REQUESTS = 64
REQUEST_WAIT_MS = 40
"""A request may lie this long on the embedded broker."""
FULL_SECONDS = 0.05
HOLDING_SECONDS = 5.0
"""Between two looks at what is here of parties' batches, and two words to a party about it."""


class Node:
    """One node's work from admission to its end; use `run` once."""

    def __init__(self, settings: NodeSettings, terms: Terms, status: StatusLine) -> None:
        self._settings, self._terms, self._status = settings, terms, status
        self._number = settings.number
        self._plans = (*terms.plans, *map(load_plan, settings.extra_plans))
        mine = terms.nodes[settings.number]
        records = agreed_secret(settings.keys / "records", signing_public, mine.record_key)
        self._signing = Ed25519PrivateKey.from_private_bytes(records)
        self._sealing = X25519PrivateKey.from_private_bytes(
            agreed_secret(settings.keys / "sealing", sealing_public, mine.sealing_key)
        )
        self._store = ShareStore(settings.store, terms, settings.number)
        self._inputs: Inputs = self._store
        self._workers = Workers(settings.workers)
        self._computation = Computation(
            terms, self._plans, self._store, settings.number, noise_key(records, settings.chain.agreement_id),
            settings.state, self._workers,
        )
        self._broker = settings.broker
        self._state = NodeState(settings.state, terms.hash)
        self._expected = Expected(terms, self._state, settings.number)
        self._intake = Intake(terms, settings.chain, self._state)
        self._bell = Bell(WAKE_SECONDS)
        self._failures = 0
        self._said = ""
        self._over = False
        self._waiting_since: float | None = None
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Work until ended from outside.

        Raises:
            Refused: the gate does not admit this node's plans under the agreement.
            Unreachable: a peer is away, and this node waits for nobody.
            BrokerError, ChainError, MpcError: see there.
        """
        with self._workers:
            await self._run()

    async def _run(self) -> None:
        chain_key = chain_key_of_a_process(
            self._settings.keys / "chain", self._terms.nodes[self._number].attestor,
        )
        async with (
            open_registry(self._settings.chain, self._terms, chain_key) as registry,
            Producer(self._broker) as producer,
        ):
            self._outlets = NodeOutlets(
                producer, registry, self._settings.chain.agreement_id, self._signing, self._state, self._number,
            )
            erasing = None if self._terms.draft.erasure is None else Erasing(
                self._terms, self._number, self._store, self._computation, self._state, self._outlets, self._status,
            )
            self._desk = Desk(
                self._terms, self._plans, self._number, self._settings.chain, registry, self._computation,
                self._inputs, self._signing, self._status, self._state, self._intake, self._expected, self._outlets,
                self._settings.batch_windows, self._settings.live, erasing,
                adding_seconds=self._settings.attempt_seconds / 2,
            )
            await self._admission(registry)
            async with (
                self._links() as links,
                self._bell,
                asyncio.TaskGroup() as group,
            ):
                self._resume(group)
                for task in (
                    watch(self._broker), self._receive(), self._tell_parties(producer), self._take_requests(),
                    self._beat(links), self._tell_waits(),
                    self._work(links, group),
                ):
                    group.create_task(task)

    def _links(self) -> NodeLinks:
        """Links to both peers, not begun yet."""
        addresses = [NodeAddress(n.endpoint, n.certificate) for n in self._terms.nodes]
        identity = load_identity(self._settings.keys, f"node-{self._number}")
        return NodeLinks(self._number, addresses, identity, str(self._settings.bind), on_news=self._bell.ring)

    async def _admission(self, registry: "Registry") -> None:
        """Ask the gate about everything this node is configured to run, before anything is received."""
        self._status.say("agreement")
        facts = await read_facts(registry, self._settings.chain, self._terms, "finalized")
        request = RunRequest(plan_hashes=tuple(p.hash for p in self._plans), windows=(), already_authorised=True)
        refusals = before(self._terms, facts, request)
        for refusal in refusals:
            await self._outlets.say(self._desk.answering.refused(RunRefused(refusal, None, "start"), ()))
        if refusals:
            raise Refused(in_words(refusals[0]))

    def _resume(self, group: asyncio.TaskGroup) -> None:
        """Take up what an earlier process of this node left."""
        self._desk.resume()
        last, now = self._state.last_alive(), datetime.now(UTC)
        self._expected.was("this node was down" if last else "this node had not started", last, now)
        self._expected.note(self._inputs.complete_panes, {})
        self._waits = Waits(self._terms, self._number, self._store, self._status, resumed=last is not None)
        if last is not None:
            ledger = self._state.ledger
            self._status.say(
                "resumed", self._expected.following(), len(self._terms.draft.lattice.scheduled),
                runs=len(ledger.runs), linked=self._computation.batches, settled=self._state.settled,
            )
        self._outlets.resume(group)

    async def _receive(self) -> None:
        """Take share batches into the store."""
        async with Inbox(self._broker, self._terms, self._number, self._sealing) as inbox:
            async for batches in inbox:
                self._store.add(batches)
                self._expected.note(self._store.complete_panes, inbox.newest)
                self._status.say("shares", self._store.received, self._store.expected)
                self._bell.ring()

    async def _tell_parties(self, producer: Producer) -> None:
        """Tell each party what is here of its batches, whenever that changed, and ask for what is missed."""
        words = {p.name: PartyWord(self._terms, self._number, p.name, self._store) for p in self._terms.draft.parties}
        while True:
            await asyncio.sleep(HOLDING_SECONDS)
            for party, due in words.items():
                if (word := due.due()) is not None:
                    topic, key = holdings(party, self._terms.draft.name), f"node-{self._number}".encode()
                    await producer.send(topic, 0, [(key, seal_holding(word, self._signing))])

    async def _take_requests(self) -> None:
        """Take requests into the queue, as far as it has room."""
        async with Consumer(self._broker, REQUESTS, [0], REQUEST_WAIT_MS) as consumer:
            # Requests that left the topic unread are nobody's any more.
            await consumer.seek(0, max(self._intake.read, (await consumer.begins([0]))[0]))
            while True:
                for record in await consumer.poll(POLL_SECONDS, POLL_REQUESTS):
                    while self._intake.full:
                        self._intake.waiting(self._intake.read)
                        await asyncio.sleep(FULL_SECONDS)
                    if await self._desk.answering.hear(record.offset, record.value):
                        self._bell.ring()
                    await asyncio.sleep(0)

    async def _beat(self, links: NodeLinks) -> None:
        """Note that this node runs, who is away, and what is missed meanwhile."""
        last = datetime.now(UTC)
        while True:
            now = datetime.now(UTC)
            if now - last > STANDSTILL:
                self._expected.was("this node stood still", last, now)
            last = now
            self._state.alive()
            for peer in set(range(NODES)) - {self._number}:
                if peer in links.linked:
                    self._expected.ends(f"node-{peer}")
                else:
                    self._expected.begins(f"node-{peer}", f"node {peer} was away")
            self._expected.save()
            for missed in self._expected.missed():
                await self._outlets.say(missed)
                self._status.say("missed", windows=list(missed.windows), reason=missed.reason)
            await asyncio.sleep(WAKE_SECONDS)

    async def _tell_waits(self) -> None:
        """Tell whom windows wait for, whenever that changed."""
        while True:
            await asyncio.sleep(HOLDING_SECONDS)
            left = () if self._desk.stopped is not None else self._desk.agenda.left()
            if (word := self._waits.due(left, datetime.now(UTC))) is not None:
                await self._outlets.say(word)

    async def _work(self, links: NodeLinks, group: asyncio.TaskGroup) -> None:
        """Send what is left to send, do what can be done, wait for news."""
        reserved: str | None = None
        while True:
            if self._desk.suspended:
                await self._desk.look()
            await self._desk.publish()
            if (place := self._desk.place) not in {None, reserved} and self._desk.advance is not None:
                reserved = place
                group.create_task(self._desk.advance.reserve())
            if self._desk.has_work or links.invited(LABEL):
                if await self._attempt(links):
                    continue
            else:
                self._waiting_since = None
            self._say_if_over()
            await self._bell.wait()

    async def _attempt(self, links: NodeLinks) -> bool:
        """One attempt with both peers; whether anything came of it.

        Raises:
            Unreachable: see `run`.
            MpcError: a failed integrity check or a breach of the protocol.
        """
        away = sorted(set(range(NODES)) - {self._number} - links.linked)
        if away:
            self._wait_for(away)
            return False
        self._waiting_since = None
        try:
            async with (
                asyncio.timeout(self._settings.attempt_seconds),
                links.attempt(LABEL, self._settings.stall_seconds) as wire,
            ):
                worked = await self._desk.attempt(wire)
        except (PeerLost, PeerTimeout, TimeoutError, ChainRefusal, ChainTimeout, Apart) as error:
            await self._failed(error)
            return True
        self._failures, self._said = 0, ""
        self._expected.ends("attempts")
        return worked

    def _wait_for(self, away: list[int]) -> None:
        names = ", ".join(f"node {peer}" for peer in away)
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
            self._status.say("waiting", detail=f"for {names}", away=away)
        if not self._live and now - self._waiting_since > self._settings.stall_seconds:
            raise Unreachable(f"{names} not reachable for {self._settings.stall_seconds:g} s. Check that it runs.")

    async def _failed(self, error: Exception) -> None:
        reason = str(error) or f"an attempt took more than {self._settings.attempt_seconds:g} s"
        self._failures += 1
        self._log.warning("attempt failed", attempt=self._failures, reason=reason)
        self._expected.begins("attempts", f"attempts failed: {reason}")
        if reason != self._said:  # what is tried again every second is on record once
            self._said = reason
            await self._outlets.say(Failed(agreement=self._terms.hash, node=self._number, run=None, reason=reason))
        self._status.say("retry", self._failures, detail=reason)
        if not self._live and self._failures >= MOST_ATTEMPTS:
            raise Unreachable(f"{MOST_ATTEMPTS} attempts failed, the last one: {reason}") from error
        await asyncio.sleep(RETRY_SECONDS)
        await self._desk.look()

    @property
    def _live(self) -> bool:
        """Whether it waits for its peers however long: always once the schedule is over."""
        return self._settings.live or self._over

    def _say_if_over(self) -> None:
        passing = self._settings.live and self._desk.suspended  # then it goes on
        over = self._desk.over and not passing and self._outlets.idle and self._state.ledger.sent
        if over and not self._over:
            windows = len(self._terms.draft.lattice.scheduled)
            self._status.say("over", self._expected.following(), windows, "no scheduled window is left")
        self._over = over or self._over


async def node(settings: NodeSettings, status: StatusLine) -> None:
    """Run one node; see `Node.run`."""
    await Node(settings, load_terms(settings.terms), status).run()


def main(config: Path) -> int:
    """Return the exit code."""
    keep_freed_memory()
    settings = load_settings(config, NodeSettings)
    status = StatusLine(f"node-{settings.number}")
    return run_process(status.process, node(settings, status), status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
