"""Who is in one shard's register, and which of what comes of them still changes panes.

What is late follows from how far the event's own source partition was, never from how far others happened to be read.
So does the first batch of the register that a patient may enter, and with it the first pane that may be theirs. Whether
that batch has enough people is known only when it opens; what then belongs to panes before theirs is counted.
"""

from collections import Counter

import numpy as np

from policy.agreement import Draft
from streams.awaited import Awaited
from streams.columns import NEVER
from streams.fixed import Int64s
from streams.horizon import Horizon
from streams.passing import Passing
from streams.register import WAITS, Opened, Register


class Admission:
    """Of one shard; `seed`: of its register (streams.register)."""

    def __init__(self, draft: Draft, party: str, seed: bytes) -> None:
        self.passing, self.horizon = Passing(draft, party), Horizon(draft)
        self.growth = self.passing.growth
        self.register = Register(
            draft.linkage.block_slots, seed, self.growth.batches, draft.disclosure.minimum_cohort
        )
        self._awaited, self._overdue = Awaited(), Awaited()
        """Of who waits for a batch: events that are not late, and those that came after the last maturity."""
        self._cuts = self._told = 0
        """Cuts taken; and those that had passed for what comes now."""
        self._since, self._batch = NEVER, 0
        """What is too old for what comes now; and the first batch that who is heard of now may enter."""
        self.late_pending = 0
        """Events that came after a pane they change was sealed, or about who was known too late for it: what they
        change is shared later, where it can be.
        """
        self.late_after_maturity = 0
        """Those that came after the last one."""

    @property
    def joining(self) -> int | None:
        """People who wait for the register's next batch; None if it has one batch only."""
        return None if self.growth.batches == 1 else self.register.waiting

    def _turn(self, watermark: int, clock: int) -> None:
        """Take over how far the source partition of what comes is."""
        self._batch = max(self.register.opened, self.passing.batch(watermark, clock))
        self._told = max(self._cuts, self.passing.passed(watermark) if self._batch else 0)
        self._since = self.horizon.at(watermark)

    def _open(self) -> Opened:
        """Open the register's next batch: of some who wait it is decided now whether they were known too late."""
        entered, out = opened = self.register.open()
        self._awaited.entered(entered)
        self._too_late(self._overdue.gone(entered))
        if self.register.opened < self.growth.batches:
            self.late_pending += self._awaited.passed(self.growth.edge(self.register.opened))
        self.late_pending += self._awaited.gone(out) + self._overdue.gone(out)
        return opened

    def _edge(self, person: int) -> int:
        """The first pane that may be a person's, as far as their own source partition tells."""
        return self.growth.edge(self.register.first(person))

    def _edges(self, person: Int64s) -> Int64s:
        """(n,) the same of n people; 0 for nobody."""
        found = np.zeros(len(person), dtype=np.int64)
        if self.growth.batches > 1:
            some = np.flatnonzero(person >= 0)
            found[some] = self.growth.edges[self.register.firsts_of(person[some])]
        return found

    def _admits(self, person: int, first: int, last: int) -> bool:
        """Whether what changes panes of a person's from `first` to `last` still does; counted if it is late."""
        if first < self.passing.over(self._told):
            self._is_over(person)
            return False
        if first < self.passing.sealed(self._told):
            self.late_pending += 1
        else:
            self._await(person, last)
        return True

    def _is_over(self, person: int, events: int = 1) -> None:
        """Count events of a person that came after the last maturity; of who waits, once it is known whether they enter
        a batch. If not, it is one more event about somebody who was known too late, whenever that is known.
        """
        if self.register.first(person) > 0 and self.register.batch(person) == WAITS:
            self._overdue.add(person, self.growth.edge(self.growth.batches - 1), events)
        else:
            self._too_late(events)

    def _too_late(self, events: int) -> None:
        if self.passing.last:
            self.late_after_maturity += events
        else:
            self.late_pending += events

    def _await(self, person: int, last: int) -> None:
        """Note an event that is not late, unless its person's batch opens after the last pane that it changes."""
        if self.register.first(person) == 0:
            return
        batch = self.register.batch(person)
        if last < self.growth.edge(self.register.opened if batch == WAITS else batch):
            self.late_pending += 1
        elif batch == WAITS:
            self._awaited.add(person, last)

    def _await_all(self, person: Int64s, last: Int64s) -> None:
        """The same of n events that are not late."""
        mine = self.register.firsts_of(person) > 0
        person, last = person[mine], last[mine]
        batch = self.register.batches_of(person)
        opens = np.where(batch == WAITS, self.register.opened, batch)
        passed = last < self.growth.edges[opens]
        self.late_pending += int(passed.sum())
        waits = (batch == WAITS) & ~passed
        for (who, pane), events in Counter(zip(person[waits].tolist(), last[waits].tolist(), strict=True)).items():
            self._awaited.add(who, pane, events)
