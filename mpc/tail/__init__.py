"""The MPyC tail: ratios, differences, variances and alerts on shares; the only user of MPyC.

The recipient needs `mpc.tail.recombine` and `mpc.tail.decode` only; importing them loads no MPyC.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpc.tail.alerts import AlertBatch, alert_states
    from mpc.tail.estimators import CellBatch, estimate

__all__ = ["AlertBatch", "CellBatch", "alert_states", "estimate"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from mpc.tail import alerts, estimators
    return getattr(alerts if name.lower().startswith("alert") else estimators, name)
