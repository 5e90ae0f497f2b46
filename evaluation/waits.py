"""Whom a node waits for: when the next window lacks what a party could have shared by now, it says which party, shard,
and batch of the register or pane that is.

To its operator in its log and status lines, to everybody in a signed record. Said once for every change, of what has
been lacking for a while: what is under way is not waited for.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import structlog

from evaluation.awaited import waits
from evaluation.calendar import local_today, shared_on
from evaluation.records import Awaiting, Lacking
from evaluation.status import StatusLine
from policy.agreement import Terms
from policy.window import Window
from streams.erased import Side
from streams.sharefile import REGISTER

PATIENCE_SECONDS = 60.0
"""So long something is awaited before it is told, and from one word to the next."""
MOST_NAMED = 20
"""Rows that a line of the log names."""


class Held(Protocol):
    """What has arrived at a node: streams.store.ShareStore."""

    @property
    def complete_panes(self) -> int: ...
    @property
    def mature_panes(self) -> int: ...
    def first_missed(self, side: Side, stop: int, edition: int = 0) -> tuple[int, int] | None: ...


class Waits:
    """One node's."""

    def __init__(
        self, terms: Terms, number: int, held: Held, status: StatusLine, *, resumed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is known yet.

        Args:
            terms: of the agreement.
            number: of the node.
            held: its store.
            status: its status lines.
            resumed: whether an earlier process of this node may have said that it waits.
            clock: seconds, never falling.
        """
        self._terms, self._number, self._held, self._status, self._clock = terms, number, held, status, clock
        self._sides = [(p.name, shard) for p in terms.draft.parties for shard in range(terms.draft.shards)]
        self._since: dict[Lacking, float] = {}
        self._said: tuple[Lacking, ...] | None = None if resumed else ()
        self._said_at = clock()
        self._log = structlog.get_logger()

    def due(self, left: Sequence[Window], now: datetime) -> Awaiting | None:
        """The node's word to everybody, if something changed and it is time; its operator is told then, too.

        Args:
            left: windows that run by themselves and have not ended, in order.
            now: with a zone.
        """
        at = self._clock()
        self._since = {each: self._since.get(each, at) for each in self._lacking(left, now)}
        found = tuple(each for each, since in self._since.items() if at - since >= PATIENCE_SECONDS)
        if found == self._said or at - self._said_at < PATIENCE_SECONDS:
            return None
        before, self._said, self._said_at = self._said, found, at
        word = Awaiting(agreement=self._terms.hash, node=self._number, said_at=now.astimezone(UTC), lacking=found)
        if found or before:
            self._tell(word)
        return word

    def _lacking(self, left: Sequence[Window], now: datetime) -> list[Lacking]:
        """Of each party and shard the first that the next window lacks, and could have since yesterday."""
        draft, held = self._terms.draft, self._held
        today, found = local_today(draft, now), dict[Side, Lacking]()
        for edition, complete in enumerate((held.complete_panes, held.mature_panes)[: draft.lattice.editions]):
            window = next((w for w in left if draft.lattice.edition(w.index) == edition and w.stop > complete), None)
            if window is None:
                continue
            for side in self._sides:
                missed = None if side in found else held.first_missed(side, window.stop, edition)
                if missed is not None and shared_on(draft, each := _named(side, missed, window)) < today:
                    found[side] = each
        return list(found.values())

    def _tell(self, word: Awaiting) -> None:
        rows = waits(self._terms.draft, [word])
        named = [f"{row.what}, which can be here since {row.expected}" for row in rows]
        if not rows:
            self._log.info("no window waits for a party any more")
            self._status.say("awaiting", detail="nothing any more")
            return
        self._log.warning(
            "windows wait for what parties have not shared", lacking=named[:MOST_NAMED],
            more=len(named[MOST_NAMED:]), first_window=str(min(row.window.start for row in rows)),
            todo="ask these parties whether their workers run and what they wait for (winnow figures); nothing has to "
                 "be done here",
        )
        self._status.say("awaiting", len(rows), detail="; ".join(named))


def _named(side: Side, missed: tuple[int, int], window: Window) -> Lacking:
    (party, shard), (place, revision) = side, missed
    if place == REGISTER:
        return Lacking(party=party, shard=shard, batch=revision, window=window.index)
    return Lacking(party=party, shard=shard, pane=place, revision=revision, window=window.index)
