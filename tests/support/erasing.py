"""Three nodes over real stores, whose parties may have rows erased (tests.support.runs has the rest)."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np

from streams.batch import BatchHeader, party_columns
from streams.erasure import ErasureList
from streams.sharefile import ShareBatch
from streams.store import ShareStore
from tests.support.dealing import reveal
from tests.support.runs import PANES, SLOTS, Shares, ThreeNodes, run_terms

AGREED = {"every_panes": 2, "batch_slots": 4, "within_days": 10}
PARTY = "insurer"
SIDE = (PARTY, 0)


class Parts:
    def __init__(self, parts):
        self.parts = parts


class ErasingNodes:
    """Three nodes; `deliver` gives them panes, `ask` lists of rows to be erased."""

    def __init__(self, folder, terms=None, most_windows=26, panes=PANES, **changes):
        self.terms = terms or run_terms(**{"erasure": AGREED, **changes})
        self.folder = folder
        self.nodes = ThreeNodes(self.terms, most_windows)
        self._made_up = [Shares(self.terms, number) for number in range(3)]
        for number, node in enumerate(self.nodes.nodes):
            node.shares = self.open(number)
        self.register()
        self.deliver(range(panes))
        for node in self.nodes.nodes:
            node.restart()

    def __getitem__(self, number):
        return self.nodes.nodes[number]

    def open(self, number):
        return ShareStore(self.folder / f"node-{number}", self.terms, number)

    @property
    def stores(self):
        return [node.shares for node in self.nodes.nodes]

    def register(self):
        for number, (store, made) in enumerate(zip(self.stores, self._made_up, strict=True)):
            for party in self.terms.draft.parties:
                head = self._header(party.name, -1, ("link",), kind="register", blocks=1)
                store.add([_batch(head, made._registers[party.name][:, None], number)])

    def deliver(self, panes, revision=0):
        for number, (store, made) in enumerate(zip(self.stores, self._made_up, strict=True)):
            for party in self.terms.draft.parties:
                columns = party_columns(self.terms.draft, party.name)
                for pane in panes:
                    head = self._header(party.name, pane, columns, revision=revision)
                    parts = np.stack([made._panes[column][:, pane] for column in columns], axis=1)
                    store.add([_batch(head, parts * (revision == 0), number)])

    def _header(self, party, pane, columns, kind="pane", revision=0, blocks=None):
        return BatchHeader(
            agreement=self.terms.hash, epoch=0, party=party, shard=0, block=0, kind=kind, pane=pane, revision=revision,
            columns=columns, slots=SLOTS, blocks=blocks,
        )

    def ask(self, number=0, boundary=2, slots=(1, 5, 30, 63), at=(0, 1, 2), days_ago=0):
        """A list, at some of the nodes."""
        made = ErasureList(
            agreement=self.terms.hash, party=PARTY, shard=0, number=number, boundary=boundary, slots=slots,
        )
        for node in at:
            self.stores[node].erased.take(made, SLOTS, datetime.now(UTC) - timedelta(days=days_ago))
        return made

    def restart(self, number):
        """Another process over the same folders."""
        self[number].shares = self.open(number)
        self[number].restart()

    def done(self):
        """Lists that each node has obeyed."""
        return [s.erased.stand(SIDE, 0, datetime.now(UTC), PANES).done for s in self.stores]

    def rows(self, panes, slots):
        """What the three nodes' parts make of some rows: (panes, columns, rows)."""
        columns = party_columns(self.terms.draft, PARTY)
        return reveal([Parts(s.panes(*SIDE, panes, columns)) for s in self.stores])[:, :, list(slots)]


def _batch(head, parts, number):
    held = (number, (number + 1) % 3)
    salted = {c: hashlib.sha256(head.canonical + bytes([c])).digest() for c in held}
    return ShareBatch(head, dict(zip(held, parts, strict=True)), salted)
