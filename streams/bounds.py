"""Whether an agreement's measures stay within their bounds as this package serves them."""

from policy.agreement import Draft
from policy.measure import Measure
from streams.errors import ConfigurationError

COUNTED_KINDS = ("claim", "encounter", "monitoring", "prom")


def check_bounds(draft: Draft, party: str) -> None:
    """Refuse an agreement that this package cannot serve within a measure's bound.

    Raises:
        ConfigurationError: names the measure, and what to change.
    """
    measures = {m.name: m for m in draft.party_measures(party)}
    longest = max(draft.panes.days(pane) for pane in range(draft.panes.count))
    for measure in measures.values():
        if measure.aggregation == "days" and measure.bound < longest:
            raise ConfigurationError(
                f"measure {measure.name} may reach {longest} days a pane, its bound is {measure.bound}. Raise it."
            )
        kinds = {"count": COUNTED_KINDS, "sum": ("claim",)}.get(measure.aggregation)
        if kinds is not None and measure.kind not in kinds:
            raise ConfigurationError(
                f"measure {measure.name} is a {measure.aggregation} of {measure.kind} events, expected "
                f"{' or '.join(kinds)} events. Change its kind"
            )
        _check_acyclic(measure, measures, ())


def _check_acyclic(measure: Measure, measures: dict[str, Measure], path: tuple[str, ...]) -> None:
    if measure.name in path:
        raise ConfigurationError(f"measure {measure.name} depends on itself: {' → '.join((*path, measure.name))}")
    for name in (measure.of, measure.at_risk):
        if name is not None:
            _check_acyclic(measures[name], measures, (*path, measure.name))
