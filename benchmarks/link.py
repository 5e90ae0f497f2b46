"""Linkage: three registers of so many rows each, half of which any two have in common.

- `cold`: from shared keys to the linked order: shuffle, AES under a shared key, opening of tags, match, and one column
  of each register brought into that order.
- `later-window`: another column of each register, by the stored permutations.
- `batch-1024`: 1,024 new rows in each register, matched with all that is linked: shuffle, AES, opening, match. The key
  is expanded already, as it serves all shards.

Contenders: `winnow` over its TLS links, with dummies; `prototype` (shared/prototypes, when it lies beside this folder);
`tno`, `cold` of 100 rows, TNO's secure inner join with its helper, in an environment of its own (benchmarks.tno_nodes).
"""

from collections.abc import Mapping
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks import engine
from benchmarks.foreign import TNO, interpreter
from benchmarks.rows import Registers
from benchmarks.trio import Case, Contender, Timing, measure
from mpc.aes import draw_key, expand_key
from mpc.linkage import Columns, LinkedShard, align, extend, link, repeatable
from mpc.share import Share

SIZES = (100_000, 1_000_000)
SECONDS = 1800.0
PARTIES = 3
MOST_OF_TNO = 100
DUMMIES = 6
BATCH = 1024
BATCH_DUMMIES = 16


class WinnowNode(engine.WinnowNode):
    """The product's linkage."""

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        node, data = self.engine, Registers.of(rows)
        mine, total = node.number == 0, data.total()
        registers = [await node.input_bits(0, keys if mine else None, (rows,)) for keys in data.keys]
        columns = [await node.input(0, values[None] if mine else None, (1, rows)) for values in data.values]

        async def aligned(linked: LinkedShard) -> list[Share]:
            return await align(node, [Columns(linked, party, each) for party, each in enumerate(columns)])

        async def cold() -> list[Share]:
            expanded = await expand_key(node, draw_key(node))
            return await aligned(await link(node, expanded, registers, DUMMIES))

        async def sums_to(found: list[Share], expected: int) -> bool:
            product = await node.multiply(await node.multiply(found[0], found[1]), found[2])
            return int((await node.open(product.sum()))[0]) == expected

        async def correct(found: list[Share]) -> bool:
            return await sums_to(found, total)

        expanded, noise = await expand_key(node, draw_key(node)), bytes([node.number]) * 32
        linked = await link(node, expanded, registers, DUMMIES, repeatable(noise, b"first"))
        new = data.batch(BATCH)
        blocks = [await node.input_bits(0, keys if mine else None, (BATCH,)) for keys in new.keys]
        later = [await node.input(0, values[None] if mine else None, (1, BATCH)) for values in new.values]
        with_new = data.and_then(new).total()

        async def batch() -> LinkedShard:
            return await extend(node, expanded, linked, blocks, BATCH_DUMMIES, repeatable(noise, b"batch"))

        async def batch_correct(grown: LinkedShard) -> bool:
            both = [Share.concat(parts, axis=1) for parts in zip(columns, later, strict=True)]
            return await sums_to(await align(node, [Columns(grown, p, each) for p, each in enumerate(both)]), with_new)

        return {
            "cold": Case(rows, cold, correct), "later-window": Case(rows, partial(aligned, linked), correct),
            "batch-1024": Case(BATCH, batch, batch_correct),
        }


class PrototypeNode(engine.PrototypeNode):
    """As join_aes.py does it: an outer join, whose rows without a partner are zeros."""

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        import join_aes  # type: ignore[import-not-found]  # only where the prototypes are

        rss, data = self.rss, Registers.of(rows)
        total = data.total()
        registers = [await rss.input(0, keys.astype(np.uint64), (rows,), xor=True) for keys in data.keys]
        columns = [await rss.input(0, values.astype(np.uint64), (rows,)) for values in data.values]
        bits = np.where(np.arange(128) % 3 == 0, np.uint64(0), ~np.uint64(0))
        key = await rss.input(0, bits, (128,), xor=True)

        async def matched() -> tuple[list[Any], list[Any], int]:
            expanded, tags, pieces = await join_aes.keysched(rss, key), [], []
            for register in registers:
                keep: dict[int, Any] = {}
                shuffled = await rss.shuffle(register[:, None, :], xor=True, keep=keep)
                pieces.append([keep.get(piece) for piece in range(3)])
                tags.append(await join_aes.prf_tags(rss, expanded, np.ascontiguousarray(shuffled[:, 0])))
            found, places = np.unique(np.concatenate(tags), return_inverse=True)
            return pieces, np.split(places, 3), len(found)

        async def aligned(pieces: list[Any], places: list[Any], size: int) -> list[Any]:
            found = []
            for column, piece, place in zip(columns, pieces, places, strict=True):
                moved = await rss.shuffle(column[:, None, :], perms=piece)
                spread = np.zeros((2, size), np.uint64)
                spread[:, place] = moved[:, 0]
                found.append(spread)
            return found

        async def cold() -> list[Any]:
            return await aligned(*await matched())

        async def correct(found: list[Any]) -> bool:
            product = await rss.mul(await rss.mul(found[0], found[1]), found[2])
            return int((await rss.reveal(product)).sum(dtype=np.uint64)) == total

        linked = await matched()
        expanded = await join_aes.keysched(rss, key)
        known = [np.sort(await join_aes.prf_tags(rss, expanded, register)) for register in registers]
        new = data.batch(BATCH)
        blocks = [await rss.input(0, keys.astype(np.uint64), (BATCH,), xor=True) for keys in new.keys]

        async def batch() -> list[Any]:
            places = []
            for block, tags in zip(blocks, known, strict=True):
                shuffled = await rss.shuffle(block[:, None, :], xor=True)
                found = await join_aes.prf_tags(rss, expanded, np.ascontiguousarray(shuffled[:, 0]))
                places.append(tags[np.minimum(np.searchsorted(tags, found), len(tags) - 1)] == found)
            return places

        async def batch_correct(places: list[Any]) -> bool:
            return not np.any(places)  # nobody has a row in a register twice

        return {
            "cold": Case(rows, cold, correct), "later-window": Case(rows, partial(aligned, *linked), correct),
            "batch-1024": Case(BATCH, batch, batch_correct),
        }


def contenders(_: int) -> Mapping[str, Contender]:
    """All that run as three processes."""
    return {
        "winnow": partial(engine.winnow, node=WinnowNode), "prototype": partial(engine.prototype, node=PrototypeNode),
    }


def measure_link(rows: int | None, runs: int) -> list[dict[str, Any]]:
    """All contenders that are here, over the sizes, or `rows` alone."""
    sizes = SIZES if rows is None else (rows,)
    found = []
    for contender in engine.present():
        timings = measure("benchmarks.link", contender, sizes, runs, SECONDS, 0)
        found += [each.row(each.case, contender) for each in timings]
    if python := interpreter(TNO):
        few = min(*sizes, MOST_OF_TNO)
        timings = measure("benchmarks.tno_nodes", "tno", [few], runs, SECONDS, 0, python, PARTIES + 1)
        found += [each.row(each.case, "tno") | scaled(each, max(sizes)) for each in timings]
    return found


def scaled(timing: Timing, rows: int) -> dict[str, str]:
    """What a contender of few rows would take for all, if its time grows with them."""
    seconds = median(timing.seconds) * rows / timing.rows
    return {"note": f"measured with {timing.rows:,} rows; {rows:,} would take {seconds:,.0f} s if scaled linearly"}
