"""What a requester writes on the command line, as windows and cells of the agreement. Pure functions."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import date

from console.errors import ConsoleError
from evaluation.errors import Refused
from policy.agreement import Draft, Requester, Terms
from policy.plan import Plan
from policy.window import Lattice, counted

Panes = tuple[int, int]
"""start ≤ pane < stop"""


def window_dates(text: str) -> tuple[date, date]:
    """START/END as dates; END is the first day after the window.

    Raises:
        ConsoleError: not of that form.
    """
    first, slash, last = text.partition("/")
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        start = end = date.min
    if not slash or end <= start:
        raise ConsoleError(
            f"--window {text}: expected START/END, the first day and the first day after it, such as "
            "2024-01-01/2024-04-01."
        )
    return start, end


def panes_between(draft: Draft, start: date, end: date) -> Panes:
    """The panes of an agreed window from `start` up to, not including, `end`.

    Raises:
        Refused: the agreement has no such window; names the nearest one.
    """
    first = [draft.panes.first_day(pane) for pane in range(draft.panes.count + 1)]
    found = tuple(bisect_left(first, day) for day in (start, end))
    if all(place < len(first) and first[place] == day for place, day in zip(found, (start, end), strict=True)):
        panes = found[0], found[1]
        if draft.lattice.at(*panes) is not None:
            return panes
    raise _off_lattice(draft, first, start, end)


def nearest(lattice: Lattice, first: Sequence[date], start: date, end: date) -> Panes:
    """The window whose two ends lie the fewest days from the dates, the earlier one of two that are equal.

    Args:
        lattice: of the agreement.
        first: the first day of every pane, and the day after the last one.
        start: first day.
        end: first day after.
    """
    found: set[Panes] = {(w.start, w.stop) for w in lattice.scheduled}
    edges, days = lattice.edges, [first[edge] for edge in lattice.edges]
    wanted = bisect_left(days, end)
    for a, edge in enumerate(edges):
        # Besides the edges around the wanted end, only the furthest and the closest that are allowed can be best.
        furthest = bisect_left(edges, edge + (lattice.on_demand.largest if lattice.on_demand else 0) + 1) - 1
        ends = {min(max(b, a + 1), furthest) for b in (wanted - 1, wanted)}
        found |= {(edge, edges[b]) for b in ends if b > a and lattice.at(edge, edges[b]) is not None}
    return min(found, key=lambda w: (abs((first[w[0]] - start).days) + abs((first[w[1]] - end).days), w))


def cells_asked(plans: Sequence[Plan], texts: Sequence[str]) -> tuple[dict[str, str], ...]:
    """`income:1` as cells of the KPIs asked for; "all" is all patients.

    Raises:
        ConsoleError: a KPI has no such cell; names those that it has.
    """
    found = []
    for text in texts:
        dimension, _, category = text.partition(":")
        cell = {} if text == "all" else {dimension: category}
        for plan in plans:
            known = [stratum.cell for stratum in plan.strata]
            if cell not in known:
                raise ConsoleError(
                    f"--cell {text}: KPI {plan.kpi} has {', '.join(cell_text(c) for c in known)}."
                )
        found.append(cell)
    return tuple(found)


def cell_text(cell: dict[str, str]) -> str:
    """A cell as it is written on the command line."""
    return ",".join(f"{name}:{category}" for name, category in cell.items()) or "all"


def plans_asked(terms: Terms, recipient: str, kpis: Sequence[str]) -> tuple[Plan, ...]:
    """The plans of the KPIs asked for.

    Raises:
        ConsoleError: the agreement computes no such KPI; names those that the recipient may read.
    """
    known = {p.kpi: p for p in terms.plans}
    strange = [kpi for kpi in kpis if kpi not in known]
    if strange:
        mine = next(r.kpis for r in terms.draft.recipients if r.name == recipient)
        raise ConsoleError(
            f"--kpi {strange[0]}: the agreement does not compute it. {recipient} may read {', '.join(mine)}."
        )
    return tuple(known[kpi] for kpi in dict.fromkeys(kpis))


def example(terms: Terms, requester: Requester) -> tuple[str, str]:
    """A KPI and a window that the requester may ask for: the longest window at the end of the agreement's panes."""
    draft = terms.draft
    kpi = next(r.kpis for r in draft.recipients if r.name == requester.recipient)[0]
    last = draft.lattice.edges[-1]
    starts = [edge for edge in draft.lattice.edges if draft.lattice.at(edge, last) is not None]
    return kpi, f"{draft.panes.first_day(starts[0])}/{draft.panes.first_day(last)}"


def _off_lattice(draft: Draft, first: Sequence[date], start: date, end: date) -> Refused:
    a, b = nearest(draft.lattice, first, start, end)
    spec, on_demand, unit = draft.windows, draft.on_demand, draft.panes.unit
    longest = f", and on demand up to {counted(on_demand.largest, unit)} from edge to edge" if on_demand else ""
    return Refused(
        f"window-on-lattice: found {start}/{end}, required {spec.words(unit)} from {draft.panes.start} on{longest}. "
        f"Next: the nearest one is --window {first[a]}/{first[b]}."
    )
