"""Products of several aligned columns, with what they begin with in common multiplied once. Nothing opens."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from mpc.engine import Engine
from mpc.share import Share

K = TypeVar("K", bound=Hashable)


def beginnings(wanted: Iterable[tuple[K, ...]]) -> list[tuple[K, ...]]:
    """What has to be multiplied for some products: their beginnings of two or more factors, shorter ones first."""
    found = dict.fromkeys(product[:length] for product in wanted for length in range(2, len(product) + 1))
    return sorted(found, key=len)


async def products(
    engine: Engine, values: Mapping[K, Share], wanted: Sequence[tuple[K, ...]],
) -> dict[tuple[K, ...], Share]:
    """Products of values by their names, and those that they begin with.

    As many rounds as the longest product has multiplications; 8 bytes a value, beginning and node.

    Args:
        engine: the ring engine.
        values: name → share; all of one shape.
        wanted: each one name or more.
    """
    found = {product[:1]: values[product[0]] for product in wanted}
    for length in range(2, max(map(len, wanted), default=0) + 1):
        made = [product for product in beginnings(wanted) if len(product) == length]
        result = await engine.multiply(
            Share.stack([found[product[:-1]] for product in made]),
            Share.stack([values[product[-1]] for product in made]),
        )
        found |= {product: result[place] for place, product in enumerate(made)}
    return found
