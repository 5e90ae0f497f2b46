"""Three nodes in one process whose parties' registers grow: made-up shares in batches, and what they add up to."""

import numpy as np

from tests.support import runs
from tests.support.dealing import deal, deal_bits
from tests.support.runs import PANES, released, run_terms

BATCH_SLOTS = 80
EDGES = (2, 4)
"""Where batches 1 and 2 open, with a batch every two panes."""
NEVER = -1
ENTERS = np.repeat([
    # Batch at the hospital, the insurer and the statistics office: who, how many.
    [0, 0, 0],           # known to all from the beginning: 40
    [1, 1, 1],           # new at all: 20
    [0, 0, 1],           # known at two, new at the third: 20
    [1, 0, 2],           # complete with the second batch: 10
    [2, 2, 2],           # 10
    [0, 1, NEVER],       # never linked: 10
], [40, 20, 20, 10, 10, 10], axis=0)
PEOPLE = len(ENTERS)
LINKED_FROM = np.where((ENTERS == NEVER).any(axis=1), PANES, np.array([0, *EDGES])[ENTERS.max(axis=1)])
"""Person → the first pane of which the person counts."""


LINKAGE = {"date": "2024-01-08", "block_slots": BATCH_SLOTS, "dummies": 16, "batch_panes": 2}


def growing_terms(**changes):
    """As run_terms, with a batch at the panes EDGES."""
    terms = run_terms(linkage=LINKAGE, **changes)
    assert terms.draft.batch_edges == EDGES
    return terms


class GrowingShares:
    """One node's store of one shard; who has no row in a party's batches so far has no value there.

    `late`: column → what the full edition adds, (PANES, people). `twice`: (party, batch) whose register repeats a key.
    """

    erased_digest = ""

    def __init__(self, terms, number, late=(), twice=None, seed=7):
        self.batches_complete = 1 + len(EDGES)
        self.complete_panes = self.mature_panes = PANES
        self._number, rng, late = number, np.random.default_rng(seed), dict(late)
        self._registers, self._panes, self._late = {}, {}, {}
        for place, party in enumerate(terms.draft.parties):
            slots = [self._batch(rng, ENTERS[:, place] == batch) for batch in range(1 + len(EDGES))]
            for batch, people in enumerate(slots):
                keys = np.where(people < 0, people + (place + 1 << 40), people).astype(np.uint64)
                if twice == (party.name, batch):
                    keys[people < 0] = keys[np.flatnonzero(people >= 0)[0]]
                self._registers[party.name, batch] = deal_bits(keys, rng)[number].parts
            people = np.concatenate(slots)
            opens = np.repeat([0, *EDGES], BATCH_SLOTS)
            here = (people >= 0) & (np.arange(PANES)[:, None] >= opens)
            for measure in terms.draft.party_measures(party.name):
                for column in measure.columns:
                    values = np.broadcast_to(runs._values(column, people), here.shape)
                    self._panes[column] = deal(np.where(here, values, 0), rng)[number].parts
                    if column in late:
                        more = deal(np.where(here, late[column][:, np.maximum(people, 0)], 0), rng)[number].parts
                        self._late[column] = self._panes[column] + more

    def _batch(self, rng, chosen):
        """(BATCH_SLOTS,) people in some order, −1, −2, … for nobody."""
        slots = -1 - rng.permutation(1 << 20)[:BATCH_SLOTS]
        people = np.flatnonzero(chosen)
        slots[rng.permutation(BATCH_SLOTS)[: len(people)]] = people
        return slots

    def register(self, party, shard, batch=0):
        assert batch < self.batches_complete
        return self._registers[party, batch]

    def register_slots(self, party, shard, batches):
        return batches * BATCH_SLOTS

    def panes(self, party, shard, panes, columns, edition=0, batches=1):
        held = {**self._panes, **self._late} if edition else self._panes
        return np.stack([held[c][:, panes.start : panes.stop, : batches * BATCH_SLOTS] for c in columns], axis=2)

    def commitments(self, panes, edition=0, batches=1):
        names = [f"register {b}" for b in range(batches)] if panes is None else [f"panes {panes} {edition}"]
        return {
            name: {c: name.encode() + bytes([c]) for c in (self._number, (self._number + 1) % 3)} for name in names
        }


def growing(nodes, late=(), twice=None):
    """Give three nodes shares of registers that grow."""
    for node in nodes.nodes:
        node.shares = GrowingShares(nodes.terms, node.number, late, twice)
        node.restart()
    return nodes


def arrived(nodes, batches, panes):
    """So many batches of the registers and leading panes are complete at all nodes."""
    for node in nodes.nodes:
        node.shares.batches_complete = batches
        node.shares.complete_panes = node.shares.mature_panes = panes


def linked(nodes):
    """Batches that each node has linked and settled."""
    return [node.computation.batches if node.state.ledger.linkage else 0 for node in nodes.nodes]


def by_hand(terms, late=(), windows=None):
    """(KPI, window, cell) → sums, by whom the parties have in common in each pane; of all scheduled windows if not told."""
    people, late = np.arange(PEOPLE), dict(late)
    cells = {(): np.ones(PEOPLE, bool)} | {(("income", str(q)),): people // 2 % 5 + 1 == q for q in range(1, 6)}
    arms = {"exposed": people % 2 == 1, "comparator": people % 2 == 0}
    outcomes = {"gp-visit-rate-ratio": ("gp_visits", 2), "cost-difference": ("cost", 100)}
    found = {}
    lattice = terms.draft.lattice
    for window in windows or (*lattice.scheduled, *lattice.full):
        panes = np.arange(window.start, window.stop)
        counts = panes[:, None] >= LINKED_FROM
        for kpi, (column, each) in outcomes.items():
            amount = np.full((len(panes), PEOPLE), each)
            if lattice.edition(window.index) and column in late:
                amount = amount + late[column][panes]
            for cell, inside in cells.items():
                found[kpi, window.index, cell] = {
                    f"{arm}.{part}": int((value * (counts & inside & mask)).sum())
                    for arm, mask in arms.items() for part, value in (("time", 7), ("outcome", amount))
                }
    return found


def is_right(nodes, done, late=()):
    """Every window once and right, one authorisation for every run, the same at all nodes; `done`: what node 0 said."""
    assert released(nodes) == by_hand(nodes.terms, late)
    assert len({node.state.digest for node in nodes.nodes}) == 1
    assert linked(nodes) == [3] * 3
    assert len(nodes.chain.runs) == len(done) == len(set(map(str, done)))
