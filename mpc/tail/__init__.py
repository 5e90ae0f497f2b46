"""The MPyC tail: ratios, differences, variances, alerts and regressions on shares; the only user of MPyC.

The recipient needs `mpc.tail.recombine` and `mpc.tail.decode` only; importing them loads no MPyC.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpc.tail.alerts import AlertBatch, alert_states
    from mpc.tail.estimators import CellBatch, estimate
    from mpc.tail.regression import Equations, solve

__all__ = ["AlertBatch", "CellBatch", "Equations", "alert_states", "estimate", "solve"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from mpc.tail import alerts, estimators, regression
    return next(getattr(module, name) for module in (alerts, estimators, regression) if name in vars(module))
