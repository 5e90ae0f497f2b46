"""Products of additively shared values (Araki et al., CCS 2016; sums of products before resharing as in
ABY3, Mohassel and Rindal, CCS 2018).

Of the nine terms x_a·y_b of a product, node i computes x_i·y_i + x_i·y_{i+1} + x_{i+1}·y_i by itself, adds a
share of a fresh zero, and gives the result to its previous node. Sums over the nine terms are as local as the
terms, so an inner product costs one word, whatever its length. Nothing leaks: every message is masked.
"""

import math

import numpy as np

from mpc.operation import Operation
from mpc.prg import WORDS_IN_CACHE, Difference
from mpc.share import Words

SUMMED_AT_ONCE = 1 << 16
"""Words of vectors whose products are summed while they are near the processor."""
LEAST_AT_ONCE = 1 << 13
"""Of a vector; shorter pieces cost more than they save."""


async def multiply(op: Operation, x: Words, y: Words) -> Words:
    """(2, …) × (2, …), broadcast → (2, …). One round, 8 bytes a value."""
    if x.shape == y.shape:
        parts, step = np.empty(x.shape, np.uint64), op.step()
        _products(x.reshape(2, -1), y.reshape(2, -1), op.zero_sum(step), parts[0, ...].reshape(-1, copy=False))
        await op.reshare(step, parts)
        return parts
    parts = np.empty((2, *np.broadcast_shapes(x.shape[1:], y.shape[1:])), np.uint64)
    np.multiply(x[0], y[0] + y[1], out=parts[0, ...])
    parts[0] += x[1] * y[0]
    return await _reshare(op, parts)


def _products(x: Words, y: Words, mask: Difference, out: Words) -> None:
    """The local terms of (2, n) × (2, n) under a mask, a piece in the processor's cache at a time."""
    room = np.empty(min(out.size, WORDS_IN_CACHE), np.uint64)
    for start in range(0, out.size, WORDS_IN_CACHE):
        piece = slice(start, start + WORDS_IN_CACHE)
        product, other = out[piece], room[: out.size - start]
        np.add(y[0, piece], y[1, piece], out=other)
        np.multiply(x[0, piece], other, out=product)
        np.multiply(x[1, piece], y[0, piece], out=other)
        product += other
        mask.add_to(product)


async def inner(op: Operation, x: Words, y: Words) -> Words:
    """(2, …, n) · (2, …, n) → (2, …), with axes between the first and the last. One round, 8 bytes a result."""
    vectors = max(math.prod(y.shape[1:-1]), 1)
    size = max(SUMMED_AT_ONCE // vectors, LEAST_AT_ONCE)
    total = _inner_terms(x[..., :size], y[..., :size])
    for start in range(size, x.shape[-1], size):
        piece = slice(start, start + size)
        total += _inner_terms(x[..., piece], y[..., piece])
    parts = np.empty((2, *total.shape), np.uint64)
    parts[0] = total
    return await _reshare(op, parts)


def _inner_terms(x: Words, y: Words) -> Words:
    """What this node adds to the inner products, before a mask.

    To add the components of a factor spares a product, but costs as much as one unless that factor is repeated.
    """
    if x.shape == y.shape:
        return _sums(x[0], y[0]) + _sums(x[0], y[1]) + _sums(x[1], y[0])
    more, fewer = (x, y) if x.size > y.size else (y, x)
    return _sums(more[0], fewer[0] + fewer[1]) + _sums(more[1], fewer[0])


def _sums(x: Words, y: Words) -> Words:
    """Σ x·y over the last axis, broadcast. For integers `einsum` is faster than `vecdot`."""
    return np.einsum("...n,...n->...", x, y)  # type: ignore[no-any-return]


async def matmul(op: Operation, x: Words, y: Words) -> Words:
    """(2, …, a, n) × (2, …, n, b) → (2, …, a, b). One round, 8 bytes an entry."""
    columns = np.ascontiguousarray(np.swapaxes(y, -1, -2))
    return await inner(op, x[..., :, np.newaxis, :], columns[..., np.newaxis, :, :])


async def gram(op: Operation, x: Words) -> Words:
    """(2, …, q, n) → (2, …, q, q), symmetric. One round, 8 bytes per entry of the upper triangle.

    The local terms of x·xᵀ are those of w·wᵀ − x₁·x₁ᵀ with w = x₀ + x₁: symmetric, so half suffices.
    """
    q = x.shape[-2]
    rows, columns = np.triu_indices(q)
    whole, second = x[0] + x[1], x[1]
    parts = np.empty((2, *x.shape[1:-2], rows.size), np.uint64)
    start = 0
    for row in range(q):
        stop = start + q - row
        np.subtract(
            np.einsum("...n,...jn->...j", whole[..., row, :], whole[..., row:, :]),
            np.einsum("...n,...jn->...j", second[..., row, :], second[..., row:, :]),
            out=parts[0, ..., start:stop],
        )
        start = stop
    parts = await _reshare(op, parts)
    full = np.empty((2, *x.shape[1:-2], q, q), np.uint64)
    full[..., rows, columns] = parts
    full[..., columns, rows] = parts
    return full


async def _reshare(op: Operation, parts: Words) -> Words:
    step = op.step()
    op.mask_sum(step, parts[0, ...])
    await op.reshare(step, parts)
    return parts
