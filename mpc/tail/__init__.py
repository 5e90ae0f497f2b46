"""The MPyC tail: ratios, differences and variances on shares; the only user of MPyC.

The recipient needs `mpc.tail.recombine` and `mpc.tail.decode` only; importing them loads no MPyC.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpc.tail.estimators import CellBatch, estimate

__all__ = ["CellBatch", "estimate"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from mpc.tail import estimators
    return getattr(estimators, name)
