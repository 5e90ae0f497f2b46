"""When a node's word to one party is due, and what it says (streams.holding)."""

import time

import structlog

from policy.agreement import Terms
from streams.holding import MOST_MISSED, Holding, Patience
from streams.sparing import Sparing
from streams.store import ShareStore

REPEAT_SECONDS = 60.0
"""Between two equal words, where rows are erased: by a word from long after a list a party tells whether it came."""


class PartyWord:
    """Of one node, about its store, to one party."""

    def __init__(self, terms: Terms, node: int, party: str, store: ShareStore) -> None:
        self._terms, self._node, self._party, self._store = terms, node, party, store
        self._patience = Patience()
        self._said: Holding | None = None
        self._at = 0.0
        self._sparing, self._log = Sparing(), structlog.get_logger()

    def due(self) -> Holding | None:
        """The word, if it is new, asks for something, or was said long ago; None: nothing is to be said."""
        now, erased, party = time.monotonic(), self._store.erased, self._party
        missed = self._store.missing(party, MOST_MISSED)
        word = Holding(
            agreement=self._terms.hash, party=party, node=self._node, held=self._store.held(party),
            missing=self._patience.overdue(missed),
            lists=() if self._terms.draft.erasure is None else erased.known(party),
            differing=tuple((shard, number) for (name, shard), number in erased.differing.items() if name == party),
        )
        if word.missing and self._sparing.due(party):
            self._log.warning(
                "batches are missed and asked for", party=party, batches=len(missed), first=word.missing[0],
                todo="the party sends them again while it runs, or when it is started again",
            )
        repeated = bool(word.lists) and now - self._at >= REPEAT_SECONDS
        if word == self._said and not word.missing and not repeated:
            return None
        self._said, self._at = word, now
        return word
