"""The recipient's side: three output shares become numbers, or an error. Loads no MPyC."""

from collections.abc import Mapping, Sequence

import numpy as np

from mpc.errors import IntegrityError
from mpc.tail.field import PRIME, Residues, at_zero, on_a_line


def recombine(shares: Sequence[Sequence[int]], name: str = "output") -> list[int]:
    """Signed integers from the shares of nodes 0, 1, 2, in that order.

    Two shares determine a value; the third must lie on the same line, so a change by one node is noticed.

    Raises:
        IntegrityError: not three equal lists of residues, or the three do not agree; names the output.
    """
    if len(shares) != 3 or len({len(share) for share in shares}) != 1:
        found = [len(share) for share in shares]
        raise IntegrityError(f"{name}: found shares of lengths {found}, expected three equal ones. "
                             "Ask the nodes for this result again.")
    first, second, third = (_checked(share, name) for share in shares)
    agreed = on_a_line(first, second, third)
    if not agreed.all():
        at = int(np.argmin(agreed))
        raise IntegrityError(f"{name}[{at}]: the three nodes' shares do not agree; at least one was changed. "
                             "Do not use this result; compare the nodes' attestations.")
    return [value - PRIME if value > PRIME // 2 else value for value in at_zero(first, second).tolist()]


def recombine_outputs(shares: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, list[int]]:
    """All outputs of a batch from the three nodes' dictionaries.

    Raises:
        IntegrityError: the nodes name different outputs, or an output fails `recombine`.
    """
    if len(shares) != 3 or any(set(share) != set(shares[0]) for share in shares):
        raise IntegrityError(f"found outputs {[sorted(share) for share in shares]}, expected the same of three nodes.")
    return {name: recombine([share[name] for share in shares], name) for name in shares[0]}


def _checked(share: Sequence[int], name: str) -> Residues:
    if not all(type(value) is int and 0 <= value < PRIME for value in share):
        raise IntegrityError(f"{name}: a share is not an integer below the tail's prime.")
    found = np.empty(len(share), dtype=object)
    found[:] = list(share)
    return found
