"""Erasing rows in step with the other two nodes, between runs.

At the beginning of every attempt nodes tell each other how many lists they know, how many are due and how many are done
(streams.erased). From that all three take the same decision: who has done less than the others have begun to do, or,
when they are level, less than all could do, erases, and nothing else runs in that attempt. Erasing opens nothing and
sends nothing, so a node that dies over it goes on alone when it starts, and is level in the next attempt.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from evaluation.answering import Outlets
from evaluation.compute import Computation
from evaluation.coordination import Council, Lists, Ready
from evaluation.errors import Apart
from evaluation.records import Closed, Erased, Refused
from evaluation.state import NodeState
from evaluation.status import StatusLine
from mpc.errors import ProtocolError
from policy.agreement import Terms
from policy.gate import windows_left
from policy.window import Window
from streams.erased import Side, Stand
from streams.store import ShareStore
from streams.topics import receipts


@dataclass
class Erasing:
    """One node's, under an agreement with erasure."""

    terms: Terms
    number: int
    store: ShareStore
    computation: Computation
    state: NodeState
    outlets: Outlets
    status: StatusLine
    _told: int = 0
    """Panes before which windows were said to be refused."""

    def __post_init__(self) -> None:
        self._close()

    def stands(self) -> tuple[Stand, ...]:
        """How far this node is, by party and shard."""
        store, now = self.store, datetime.now(UTC)
        return tuple(
            store.erased.stand(side, store.mature_panes, now, store.sealed(side))
            for side in store.erased.sides
        )

    @property
    def waiting(self) -> bool:
        """Whether this node knows of rows that are due to be erased."""
        erased = self.store.erased
        stands = zip(erased.sides, self.stands(), strict=True)
        return any(min(stand.due, erased.differing.get(side, stand.due)) > stand.done for side, stand in stands)

    async def level(self, council: Council, ready: Sequence[Ready], due: int | None) -> bool:
        """Erase what is to be erased now; whether that is all that comes of this attempt.

        Args:
            council: of the attempt.
            ready: what the three nodes told.
            due: the first pane of the earliest window that could run now: it goes first, unless a list has waited for
                as long as is agreed.

        Raises:
            Apart: a node lacks a list that another one has obeyed, or has another one in its place; or one alone says
                that it obeys a list which is not due at the others.
            ProtocolError: a node told of other parties or shards.
        """
        sides = self.store.erased.sides
        if {len(r.lists) for r in ready} != {len(sides)}:
            raise ProtocolError(f"nodes tell of {[len(r.lists) for r in ready]} parties and shards, not {len(sides)}")
        stands = {side: [Stand(*r.lists[place]) for r in ready] for place, side in enumerate(sides)}
        begun = {side: _begun(s) for side, s in stands.items()}
        if any(each.marked > begun[side] for side, s in stands.items() for each in s):
            raise Apart("a node obeys erasure lists alone, and they are not due at the others. Restore its store.")
        behind = _less(begun, stands)
        # Where nodes are level they close the same panes, and so have the same windows due.
        wanted = behind or _less({side: min(each.due for each in s) for side, s in stands.items()}, stands)
        if not wanted:
            return False
        if any(each.known < lists for side, lists in wanted.items() for each in stands[side]):
            raise Apart(
                "a node lacks an erasure list that the others obey. Its party sends it again; else restore its store."
            )
        agreed = await self._alike(council, wanted)
        if behind and agreed != wanted:
            raise Apart("the nodes erased different rows: one has another's store. Restore that folder.")
        targets = agreed if behind else _less(
            {side: self._first(side, lists, stands[side], due) for side, lists in agreed.items()}, stands
        )
        if mine := {side: lists for side, lists in targets.items() if stands[side][self.number].done < lists}:
            await self._erase(mine)
        return bool(targets)

    async def tell(self) -> None:
        """Say of what was erased that it was: to its party; to everybody which panes are closed, and which windows can
        run no more.
        """
        told: dict[Side, int] = {}
        for side, kept, at in list(self.store.erased.untold()):
            await self.outlets.receipt(receipts(side[0], self.terms.draft.name), Erased(
                agreement=self.terms.hash, node=self.number, party=side[0], shard=side[1], number=kept.number,
                boundary=kept.boundary, rows=len(kept.slots), digest=kept.digest, erased_at=at,
            ))
            told[side] = kept.number + 1
        for side, lists in told.items():
            self.store.erased.told(side, lists)
        if told:
            self.status.say("receipts", self.store.erased.receipts, detail="lists of rows are erased")
        closed = self.state.ledger.closed
        if closed <= self._told:
            return
        await self.outlets.say(Closed(agreement=self.terms.hash, node=self.number, panes=closed))
        left = [w for w in self._windows() if w.start < closed]
        refusal = windows_left(self.terms, [w.start for w in left], closed)
        if refusal is not None:
            await self.outlets.say(Refused(
                agreement=self.terms.hash, node=self.number, run=None, windows=tuple(w.index for w in left),
                rule=refusal.rule, found=refusal.found, required=refusal.required, next_step=refusal.next_step,
            ))
        self._told = closed

    def _windows(self) -> list[Window]:
        """Those that have not ended."""
        lattice, pairs = self.terms.draft.lattice, self.state.pairs
        every = (*lattice.scheduled, *lattice.full)
        return [w for w in every if any((plan.hash, w.index) not in pairs for plan in self.terms.plans)]

    async def _alike(self, council: Council, wanted: Mapping[Side, int]) -> dict[Side, int]:
        """Of sides and their first so many lists, how many of these are the same at all three nodes.

        One round, and some more to find the first that differs.
        """
        agreed, most, asked = dict.fromkeys(wanted, 0), dict(wanted), dict(wanted)
        while asked:
            mine = tuple(self.store.erased.digest_of(side, lists) for side, lists in asked.items())
            told = await council.exchange(Lists(digests=mine))
            if {len(t.digests) for t in told} != {len(mine)}:
                raise ProtocolError("nodes compare different erasure lists")
            for place, (side, lists) in enumerate(asked.items()):
                if len({t.digests[place] for t in told}) == 1:
                    agreed[side] = lists
                else:
                    most[side] = lists - 1
            asked = {side: (low + most[side] + 1) // 2 for side, low in agreed.items() if low < most[side]}
        erased = self.store.erased
        for side, lists in agreed.items():
            if lists == wanted[side]:
                erased.differing.pop(side, None)
            elif erased.differing.get(side) != lists:
                erased.differs(side, lists)
                self.status.say("incident", detail=f"nodes have different erasure lists of {side[0]}; none is obeyed")
        return agreed

    def _first(self, side: Side, lists: int, stands: Sequence[Stand], due: int | None) -> int:
        """How many lists are obeyed now: none that would close a window that could run, but for those overdue."""
        least = min(each.overdue for each in stands)
        known = self.store.erased.lists(side)
        while lists > least and due is not None and due < known[lists - 1].boundary:
            lists -= 1
        return lists

    async def _erase(self, targets: Mapping[Side, int]) -> None:
        """Have everything here obey so many lists; if it is cut off, the next attempt or start goes on."""
        store, now = self.store, datetime.now(UTC)
        for side, lists in targets.items():
            store.erased.mark(side, lists, now)
        self._close()
        await asyncio.to_thread(store.rewrite, {side: store.unerased(side) for side in targets})
        for side in targets:
            store.erased.finish(side)
        # They were made of the rows as they were.
        self.computation.forget_totals()
        self.status.say("erased", detail=f"rows of {len(targets)} shards before pane {store.erased.panes}")

    def _close(self) -> None:
        if self.store.erased.panes > self.state.ledger.closed:
            self.state.update(closed=self.store.erased.panes)


def _begun(stands: Sequence[Stand]) -> int:
    """Lists that all must obey, since others have begun to: two nodes, or one of which the other two would let it.

    One that is alone may have been first in an attempt that was cut off. It may also lie, and panes stay closed.
    """
    one, two, _ = sorted((each.marked for each in stands), reverse=True)
    return max(two, min(one, *(each.due for each in stands)))


def _less(lists: Mapping[Side, int], stands: Mapping[Side, Sequence[Stand]]) -> dict[Side, int]:
    """Those of which some node has done less."""
    return {side: most for side, most in lists.items() if any(each.done < most for each in stands[side])}
