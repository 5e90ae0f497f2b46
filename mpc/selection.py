"""Choosing between two vectors by secret bits, and what follows: smaller and larger of two."""

from mpc.engine import Engine
from mpc.share import Share


async def select(engine: Engine, chosen: Share, x: Share, y: Share) -> Share:
    """What is x where `chosen` is 1 and y where it is 0, broadcast as in numpy. One round, 8 bytes a value and node."""
    bound = max(x.bound, y.bound)
    return (y + await engine.multiply(chosen, x - y)).bounded(bound)


async def minimum(engine: Engine, x: Share, y: Share) -> Share:
    """The smaller of each pair, read with signs; |x|, |y| < 2^62. A `less` and a product."""
    return await select(engine, await engine.less(x, y), x, y)


async def maximum(engine: Engine, x: Share, y: Share) -> Share:
    """The larger of each pair, as `minimum`."""
    return await select(engine, await engine.less(x, y), y, x)
