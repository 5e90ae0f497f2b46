"""Dominance on shares: whether one or two contributors make up too much of a sum (policy.disclosure).

No sorting and no maximum: a rule can only be broken if a contributor passes a third of the sum, and at most two can.
They are found by one comparison of every contribution with a part of the sum. What the rules then say is
- of one of them: about it, and about the largest of the others, against a bound that follows from the first;
- of two: about their own sum, and about each of them, against a bound that follows from that sum.
So a second comparison of every contribution decides, whatever there is; nothing opens. All numbers are whole, so that
"at least" is "more than one less".
"""

from mpc.engine import Engine
from mpc.errors import ProtocolError
from mpc.selection import minimum
from mpc.share import Share, public
from policy.disclosure import PER_CENT, Dominance
from policy.plan import RING_BITS


async def dominated(engine: Engine, values: Share, rules: Dominance, *, signed: bool = True) -> Share:
    """How often the rules are broken, by sum.

    About 60 rounds; two or three comparisons and as many products of a contribution: see `Engine.less` for bytes.

    Args:
        engine: the ring engine.
        values: (sums, contributors), their bound declared.
        rules: the agreed ones.
        signed: whether a value may be negative; then one more comparison of each finds its size.

    Returns:
        (sums,) numbers, 0 where no rule is broken. Other numbers tell about the contributors: do not open them.

    Raises:
        ProtocolError: sums of such bounds, times what the rules compare them with, may leave the ring.
    """
    sums, people = values.shape
    largest = rules.largest_compared(values.bound, people)
    if largest.bit_length() > RING_BITS:
        raise ProtocolError(
            f"{people} contributions of up to {values.bound} may lead to numbers of {largest.bit_length()} bits, the "
            f"ring has {RING_BITS}; agree on a lower bound of the measure"
        )
    sizes = values
    if signed:
        negative = await engine.less(values, 0)
        sizes = (values - await engine.multiply(negative, values) * 2).bounded(values.bound)
    total = sizes.sum()
    large_times, total_times = rules.candidates
    something = 1 - await engine.equal_zero(total)
    large = await engine.less((total * total_times - something).reshape(sums, 1), sizes * large_times)
    together = await engine.inner(large, sizes)
    one_or_two = (await engine.low_bits(large.sum(), 2)).bounded(1)
    # With one large contributor the others are compared, with two each of these; else nobody passes `nowhere`.
    nowhere = values.bound * PER_CENT
    others, each = _limits_of_others(total, together, rules), _limits_of_each(total, together, rules)
    nobody = public(nowhere).broadcast_to(sums)
    limits = [[*found, nobody, nobody][:2] for found in (others, each)]
    least = await minimum(engine, *(Share.stack([found[place] for found in limits]) for place in (0, 1)))
    below = await engine.multiply(one_or_two, least - nowhere)
    chosen = await engine.multiply(large, (below[1] - below[0]).reshape(sums, 1))
    limit = (chosen + below[0].reshape(sums, 1) + nowhere).bounded(largest)
    passed = await engine.less(limit, sizes * PER_CENT)
    return passed.sum() + await _broken_together(engine, total, together, one_or_two, rules)


def _limits_of_others(total: Share, first: Share, rules: Dominance) -> list[Share]:
    """What 100 times the second largest may be, given the largest."""
    found = []
    if rules.two_largest_percent is not None:
        found.append(total * rules.two_largest_percent - first * PER_CENT - 1)
    if rules.p_percent is not None:
        found.append(total * PER_CENT - first * (PER_CENT + rules.p_percent))
    return found


def _limits_of_each(total: Share, both: Share, rules: Dominance) -> list[Share]:
    """What 100 times the larger of two may be, given their sum."""
    found = []
    if rules.largest_percent is not None:
        found.append(total * rules.largest_percent - 1)
    if rules.p_percent is not None:
        found.append((total - both) * (PER_CENT * (PER_CENT // rules.p_percent)))
    return found


async def _broken_together(
    engine: Engine, total: Share, together: Share, one_or_two: Share, rules: Dominance
) -> Share:
    """How often what the large contributors have together breaks a rule; some rules only say so of one of them."""
    alone, always = [], []
    if rules.largest_percent is not None:
        alone.append((total * rules.largest_percent - 1, together * PER_CENT))
    if rules.p_percent is not None:
        alone.append((total * PER_CENT, together * (PER_CENT + rules.p_percent)))
    if rules.two_largest_percent is not None:
        always.append((total * rules.two_largest_percent - one_or_two.sum(axis=0), together * PER_CENT))
    most, found = (Share.stack(side) for side in zip(*alone, *always, strict=True))
    broken = await engine.less(most, found)
    if alone:
        single = await engine.multiply(broken[: len(alone)], one_or_two[:1])
        broken = Share.concat([single, broken[len(alone) :]])
    return broken.sum(axis=0)
