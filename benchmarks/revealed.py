"""Outputs of the tail that all nodes tell each other, as they never would, so that a benchmark can check them."""

from collections.abc import Mapping, Sequence

import numpy as np

from mpc.engine import Engine
from mpc.tail.recombine import recombine_outputs

LIMB_BITS, LIMBS = 32, 8


async def revealed(engine: Engine, outputs: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Signed integers by name, at all nodes, from this node's shares; names and lengths are equal at all nodes."""
    names = sorted(outputs)
    mine = np.array([
        [value >> LIMB_BITS * place & (2**LIMB_BITS - 1) for place in range(LIMBS)]
        for name in names for value in outputs[name]
    ], np.int64)
    shares = []
    for owner in range(3):
        told = await engine.input(owner, mine if owner == engine.number else None, mine.shape)
        limbs = (await engine.open(told)).tolist()
        joined = iter([sum(limb << LIMB_BITS * place for place, limb in enumerate(row)) for row in limbs])
        shares.append({name: [next(joined) for _ in outputs[name]] for name in names})
    return recombine_outputs(shares)
