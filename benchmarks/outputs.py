"""What comes out of the tail, put together: in benchmarks all nodes tell all their shares, as they never would."""

from collections.abc import Mapping, Sequence

import numpy as np

from mpc.engine import Engine
from mpc.tail.field import PRIME
from mpc.tail.recombine import recombine_outputs

_LIMB = 32


async def joined(engine: Engine, outputs: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Output's name → its values, of which this node has the shares in `outputs`."""
    names = sorted(outputs)
    flat = [value for name in names for value in outputs[name]]
    mine = np.array([[value >> at & (2**_LIMB - 1) for at in range(0, PRIME.bit_length(), _LIMB)] for value in flat])
    shares = []
    for owner in range(3):
        told = await engine.input(owner, mine if owner == engine.number else None, mine.shape)
        limbs = (await engine.open(told)).tolist()
        values = iter([sum(limb << _LIMB * place for place, limb in enumerate(row)) for row in limbs])
        shares.append({name: [next(values) for _ in outputs[name]] for name in names})
    return recombine_outputs(shares)
