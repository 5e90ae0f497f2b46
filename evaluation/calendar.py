"""On which local days of an agreement's zone something can be there at the earliest."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from evaluation.records import Lacking
from policy.agreement import Draft
from policy.window import Window


def local_today(draft: Draft, now: datetime) -> date:
    """The date of `now` (with a zone) in the agreement's zone."""
    return now.astimezone(ZoneInfo(draft.panes.zone)).date()


def expected_on(draft: Draft, window: Window) -> date:
    """The first local day on which all inputs of a window's first edition can be complete: its end, grace and bound of
    the slowest, and the days until panes are mature, where results wait for that.
    """
    grace = max(p.grace_panes for p in draft.parties)
    return _after(draft, window.stop + grace, _bound(draft) + _days(draft, draft.maturities.editions[0]))


def shared_on(draft: Draft, lacking: Lacking) -> date:
    """The first local day on which a party can have shared a batch of its register, or a pane: the batch's opening, or
    the pane's end and the party's grace, and the bound of the slowest source.
    """
    if lacking.pane is not None:
        grace = draft.party(lacking.party).grace_panes
        return _after(draft, lacking.pane + 1 + grace, _bound(draft) + _days(draft, lacking.revision))
    if lacking.batch:
        return _after(draft, draft.batch_edges[lacking.batch - 1], _bound(draft))
    return _later(draft.linkage.date, _bound(draft))


def _bound(draft: Draft) -> int:
    return max(s.bound_days for p in draft.parties for s in p.sources)


def _days(draft: Draft, revision: int) -> int:
    return (0, *draft.maturities.days)[revision]


def _after(draft: Draft, pane: int, days: int) -> date:
    """So many days after the first one of a pane, which may lie beyond the agreement's."""
    try:
        return _later(draft.panes.model_copy(update={"count": pane}).first_day(pane), days)
    except (ValueError, OverflowError):
        return date.max


def _later(day: date, days: int) -> date:
    try:
        return date.fromordinal(day.toordinal() + days)
    except (ValueError, OverflowError):
        return date.max
