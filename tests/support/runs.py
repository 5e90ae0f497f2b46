"""Three nodes' runs in one process: real computation, coordination and results; a made-up chain and share store."""

import asyncio
import shutil
import tempfile
import weakref
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.compute import Computation
from evaluation.config import ChainSettings
from evaluation.coordination import Council
from evaluation.desk import Desk, Extras
from evaluation.erasing import Erasing
from evaluation.expected import Expected
from evaluation.intake import Intake
from evaluation.results import combine, open_result
from evaluation.run import NodeRun
from evaluation.state import NodeState
from evaluation.status import StatusLine
from evaluation.totals import PaneTotals
from mpc.errors import MpcError
from policy.chain.errors import ChainRefusal
from policy.chain.model import AgreementView, Block, Deployment, Requester, RunView
from policy.privacy import units
from streams.store import ShareStore
from tests.support.dealing import deal, deal_bits
from tests.support.terms import make_terms
from tests.support.wires import three_wires

# Fixed, since noise follows from the agreement's hash: a test of its distribution finds the same in every run.
RECORD_KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)]
RECIPIENT_KEY = X25519PrivateKey.from_private_bytes(bytes([4]) * 32)
READER = "innovation-team"
PATIENTS, SLOTS, PANES = 40, 64, 6
CHAIN = ChainSettings(
    url="http://127.0.0.1:1", deployment=Deployment(address="0x" + "1" * 40, chain_id=1, code_hash="2" * 64), agreement_id="a" * 64
)


def run_terms(**changes):
    """An agreement over PANES panes whose results are exact sums; nodes and recipient have the keys above."""
    made = make_terms(**{
        "panes": {"zone": "UTC", "unit": "week", "start": "2024-01-01", "count": PANES},
        "windows": {"size": 2, "step": 1},
        "linkage": {"date": "2024-01-08", "block_slots": SLOTS, "dummies": 16}, **changes,
    })
    return made.model_copy(update={
        "plans": tuple(p.model_copy(update={"outputs": ("sums",)}) for p in made.plans),
        "nodes": tuple(
            n.model_copy(update={"record_key": k.public_key().public_bytes_raw().hex()})
            for n, k in zip(made.nodes, RECORD_KEYS, strict=True)
        ),
        "recipients": tuple(
            r.model_copy(update={"sealing_key": RECIPIENT_KEY.public_key().public_bytes_raw().hex()})
            for r in made.recipients
        ),
    })


class Shares:
    """One node's store: PATIENTS linked patients, half of them in each arm, five income groups.

    `late`: column → what the full edition adds, (PANES, patients 0, 1, 2 …).
    """

    def __init__(self, terms, number, seed=5, late=()):
        late = dict(late)
        rng = np.random.default_rng(seed)
        links = np.arange(SLOTS, dtype=np.uint64)
        self._number = number
        self._registers, self._panes, self._late = {}, {}, {}
        for place, party in enumerate(terms.draft.parties, 1):
            order = rng.permutation(SLOTS)
            mine = np.where(links < PATIENTS, links, links + np.uint64(10_000 * place))[order]
            self._registers[party.name] = deal_bits(mine, rng)[number].parts
            for measure in terms.draft.party_measures(party.name):
                for column in measure.columns:
                    values = np.broadcast_to(_values(column, order), (PANES, SLOTS))
                    self._panes[column] = deal(np.where(order < PATIENTS, values, 0), rng)[number].parts
                    if column in late:
                        more = np.zeros((PANES, SLOTS), np.int64)
                        more[:, order < PATIENTS] = late[column][:, order[order < PATIENTS]]
                        self._late[column] = self._panes[column] + deal(more, rng)[number].parts

    erased_digest = ""
    batches_complete = 1
    complete_panes = mature_panes = PANES

    def register(self, party, shard, batch=0):
        return self._registers[party]

    def register_slots(self, party, shard, batches):
        return batches * SLOTS

    def panes(self, party, shard, panes, columns, edition=0, batches=1):
        held = {**self._panes, **self._late} if edition else self._panes
        return np.stack([held[c][:, panes.start : panes.stop] for c in columns], axis=2)

    def commitments(self, panes, edition=0, batches=1):
        name = "register" if panes is None else f"panes {panes} {edition}"
        return {name: {c: name.encode() + bytes([c]) for c in (self._number, (self._number + 1) % 3)}}


def _values(column, patient):
    """What a column holds for patients 0, 1, 2 …"""
    if column.startswith("app_"):
        return (patient % 2 == (column == "app_user")).astype(np.int64)
    if column.startswith("income_"):
        return (patient // 2 % 5 + 1 == int(column[-1])).astype(np.int64)
    return np.full(patient.shape, {"insured_days": 7, "gp_visits": 2, "cost.low": 100, "cost.high": 0}.get(column, 1))


@dataclass
class MadeUpChain:
    """An honest chain with nothing behind it; `state` may be changed at any time."""

    terms: object
    state: str = "active"
    runs: dict = field(default_factory=dict)
    attested: list = field(default_factory=list)
    budgets: dict = field(default_factory=dict)
    """Run → privacy budget that it reserved."""
    spent_earlier: int = 0
    """Privacy, under versions before."""
    askers: dict = field(default_factory=dict)
    """Run → address on whose demand, of runs that ever were authorised."""
    given_up: dict = field(default_factory=dict)
    """(run, sequence) → nodes."""
    sequence: int = 0
    earlier: dict = field(default_factory=dict)
    """Requester → runs under versions before."""
    roots: list = field(default_factory=list)
    quota: int = 100
    terms_hash: str | None = None
    time: datetime = datetime(2025, 1, 1, tzinfo=UTC)

    async def view(self, agreement, at):
        return AgreementView(
            block_number=9, block_hash="h", block_time=int(self.time.timestamp()),
            state=self.state, terms_hash=self.terms_hash or self.terms.hash, parties=(), attestors=(), missing=(), valid_from=0,
            valid_until=2**40, run_quota=self.quota, runs_used=len(self.runs),
            requesters=tuple(Requester(r.address, q.runs) for r, q in zip(self.terms.requesters, self.terms.draft.requesters, strict=True)),
            requester_runs=tuple(
                self.earlier.get(r.name, 0)
                + sum(asker == r.address for run, asker in self.askers.items() if run in self.runs)
                for r in self.terms.requesters
            ),
            privacy_budget=self.privacy_budget, budget_spent=self.spent,
        )

    async def block(self, at):
        return Block(number=9, hash="h", time=0)

    async def authorisation(self, agreement, run, at="finalized"):
        return self.runs.get(run)

    async def authorise(self, agreement, runs, requester=None, budget=0, sent=lambda: None):
        for run in runs:
            if run not in self.runs:
                if self.spent + budget > self.privacy_budget:
                    raise ChainRefusal("BudgetExhausted", {"left": self.privacy_budget - self.spent}, "authorise")
                self.sequence += 1
                self.runs[run], self.askers[run], self.budgets[run] = self.sequence, requester, budget
            if (self.askers[run], self.budgets.get(run, 0)) != (requester, budget):
                raise ChainRefusal("RunDiffers", {"runId": run}, "authorise")
        sent()

    @property
    def privacy_budget(self):
        rho = self.terms.draft.quota.rho
        return 0 if rho is None else units(rho)

    @property
    def spent(self):
        return self.spent_earlier + sum(self.budgets.get(run, 0) for run in self.runs)

    async def run(self, agreement, run, at="finalized"):
        stage = "authorised" if run in self.runs else "released" if run in self.askers else "unknown"
        if any(run == attested for _, attested, _ in self.attested):
            stage = "attested"
        return RunView(stage, self.runs.get(run, 0), self.askers.get(run), self.budgets.get(run, 0), (), (), None)

    def release(self, node, run):
        """A run is free again when all three nodes have given it up, and nobody attested."""
        if run in self.runs and not any(run == attested for _, attested, _ in self.attested):
            self.given_up.setdefault((run, self.runs[run]), set()).add(node)
            if len(self.given_up[run, self.runs[run]]) == 3:
                del self.runs[run]

    async def wait_authorised(self, agreement, runs):
        for _ in range(100):
            await asyncio.sleep(0)
        return {run: self.runs[run] for run in runs}

    async def attest(self, node, run, attestation):
        assert node not in self.given_up.get((run, self.runs[run]), ()), "attested a run that it gave up"
        self.attested.append((node, run, attestation))

    async def commit(self, node, run, root):
        self.roots.append((run, root))


class Silent(StatusLine):
    def say(self, phase, done=0, total=None, detail="", **facts):
        """Nobody listens."""


class Killed(BaseException):
    """The process is gone: nothing that would catch an error runs on."""


class Collected:
    """What one node sends, in order; an attestation counts as made at once."""

    def __init__(self, chain, state, number):
        self.chain, self.state, self.number = chain, state, number
        self.sent, self.records, self.receipts = [], [], []

    async def attest(self, run):
        attestation = self.state.ledger.attestations.get(run)
        if attestation is not None:
            await self.chain.attest(self.number, run, attestation.value)
            if attestation.root is not None:
                await self.chain.commit(self.number, run, attestation.root)
            self.state.update(attestations={})

    def give_up(self, run):
        if self.state.gives_up(run):
            self.chain.release(self.number, run)
            self.state.update(releases=())

    async def send(self, recipient, sealed):
        self.sent.append((recipient, sealed))

    async def say(self, record):
        self.records.append(record)

    async def receipt(self, topic, record):
        self.receipts.append((topic, record))


class OneNode:
    """What one node keeps; `restart` is another process over the same folder."""

    def __init__(self, terms, chain, number, folder, most_windows, ahead=False, late=()):
        self.terms, self.chain, self.number, self.folder = terms, chain, number, folder
        self.most_windows, self.ahead = most_windows, ahead
        self.shares = Shares(terms, number, late=late)
        self.sent, self.records, self.receipts = [], [], []
        self.restart()

    def restart(self):
        """A new process: nothing in memory is left."""
        self.state = NodeState(self.folder, self.terms.hash)
        self.computation = Computation(
            self.terms, self.terms.plans, self.shares, self.number, bytes([self.number]) * 32
        )
        outlets = Collected(self.chain, self.state, self.number)
        outlets.sent, outlets.records, outlets.receipts = self.sent, self.records, self.receipts
        self.expected = Expected(self.terms, self.state, self.number)
        self.intake = Intake(self.terms, CHAIN, self.state)
        self.desk = Desk(
            self.terms, self.terms.plans, self.number, CHAIN, self.chain, self.computation, self.shares,
            RECORD_KEYS[self.number], Silent("test"), self.state, self.intake, self.expected, outlets,
            self.most_windows, self.ahead, self.erasing(outlets),
        )
        self.desk.resume()

    def erasing(self, outlets):
        """Made-up shares hold no rows that could be erased (tests.support.erasing)."""
        if self.terms.draft.erasure is None or not isinstance(self.shares, ShareStore):
            return None
        return Erasing(
            self.terms, self.number, self.shares, self.computation, self.state, outlets, Silent("test")
        )


class ThreeNodes:
    """What the three nodes keep between attempts."""

    def __init__(self, terms=None, most_windows=26, ahead=False, late=()):
        self.terms = terms or run_terms()
        self.chain = MadeUpChain(self.terms)
        folder = Path(tempfile.mkdtemp(prefix="winnow-nodes-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.nodes = [OneNode(self.terms, self.chain, j, folder / f"node-{j}", most_windows, ahead, late) for j in range(3)]

    @property
    def computations(self):
        return [node.computation for node in self.nodes]

    async def attempt(self, following=None, due=1, tap=None, stall_seconds=5.0):
        """Each node's outcome of one run, or what ended it; `following` None links."""
        windows = () if following is None else self.terms.draft.lattice.scheduled[following : following + due]

        async def run(node, wire):
            run = NodeRun(
                self.terms, CHAIN, node.chain, node.computation, RECORD_KEYS[node.number], Silent("test"), wire,
                Council(wire), 9, node.state, advance=node.desk.advance, closed=node.state.ledger.closed,
            )
            outcome = await node.desk.perform(run, self.terms.plans, windows, Extras())
            await node.desk.publish()
            return outcome

        return await self._at_each(run, tap, stall_seconds)

    async def work(self, tap=None, stall_seconds=5.0):
        """One attempt at whatever comes next; whether it got anything done at each node, or what ended it."""

        async def attempt(node, wire):
            return await node.desk.attempt(wire)

        for node in self.nodes:
            await node.desk.publish()
        ended = await self._at_each(attempt, tap, stall_seconds)
        for node in self.nodes:
            await node.desk.publish()
        return ended

    async def work_on(self, most=20):
        """Attempts until none gets anything done; they must all succeed."""
        for _ in range(most):
            ended = await self.work()
            if ended == [False] * 3:
                return
            assert ended == [True] * 3, ended
        raise AssertionError(f"still at work after {most} attempts")

    async def _at_each(self, work, tap, stall_seconds):
        async with three_wires(tap=tap, stall_seconds=stall_seconds) as wires:
            async def at(wire):
                try:
                    return await work(self.nodes[wire.number], wire)
                except MpcError as error:
                    wire.fail(error)
                    return error
                except (Exception, Killed) as error:
                    wire.fail(MpcError("ended"))
                    return error

            return await asyncio.gather(*(at(wire) for wire in wires))


def released(nodes):
    """What the recipient recombines from every message, the first of each node and run: (KPI, window, cell) → sums."""
    first = {}
    for node in nodes.nodes:
        for recipient, sealed in node.sent:
            assert recipient == READER
            shares = open_result(sealed, READER, RECIPIENT_KEY, nodes.terms)
            first.setdefault(shares.run, {}).setdefault(shares.node, shares)
    found = {}
    for run in first.values():
        for cell in combine(list(run.values()), nodes.terms.plans):
            key = (cell.kpi, cell.window, tuple(cell.cell.items()))
            assert key not in found, f"{key} was released twice"
            found[key] = cell.result.sums
    return found


def portions_counted(monkeypatch):
    """Of each portion of panes, (edition, first pane), how often it counted from now on, over all nodes."""
    found, count = Counter(), PaneTotals._count

    def counting(self, attempt, portion):
        count(self, attempt, portion)
        found[portion.edition, portion.first] += 1

    monkeypatch.setattr(PaneTotals, "_count", counting)
    return found
