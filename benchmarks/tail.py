"""The tail: what is left to do once a run has its sums.

- `10 cells`, `200 cells` (or as many as --rows says): the comparison of every cell's contributors with the minimum, the
  opening of the bits, then of every cell the ratio of rates, rounded, with its clustered variance.
- `sqrt 200`: roots of 62-bit integers, rounded.
- `solve 20`: a regression with 20 covariates of 1,000 patients.

Each starts from ring shares, in an attempt of its own, and ends with each node's shares of the outputs for the
recipient. Before it is timed the result is compared with numpy. Bytes of `solve 20` are those of all of it.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks import engine
from benchmarks.history import PLAN
from benchmarks.revealed import revealed
from benchmarks.rows import held
from benchmarks.trio import Case, Contender, measure
from mpc.disclosure import Findings, judge, opened
from mpc.engine import Engine
from mpc.share import Share
from mpc.tail import CellBatch, Equations, estimate, solve
from mpc.tail.decode import Z_95, coefficients, decode
from mpc.tail.field import PRIME
from mpc.tail.roots import square_root
from mpc.tail.session import Session
from mpc.tail.vectors import FRACTION_BITS, Vectors
from mpc.transport import NodeLinks
from mpc.wire import Wire

FEW, CELLS, COVARIATES = 10, 200, 20
PATIENTS, PANES = 100, 4
DESIGN_ROWS = 1_000
MINIMUM = 10
SIGNIFICANT_BITS = 26
ROOT_BITS = 62
SECONDS, TAIL_SECONDS = 600.0, 60.0
TOLERANCE = 1e-5
Ints = NDArray[np.int64]
Outputs = dict[str, list[int]]


def cells(count: int) -> tuple[Ints, Ints]:
    """(count, 4) sums and (count, 4, 4) second moments of made-up patients: days and visits, of users and of others."""
    rng = np.random.default_rng(count)
    rows = rng.integers(1, 7 * PANES, (count, PATIENTS, 4))
    rows[:, :, 1::2] = rng.poisson(2.0, (count, PATIENTS, 2))
    rows[:, ::2, :2] = rows[:, 1::2, 2:] = 0
    return rows.sum(axis=1), rows.transpose(0, 2, 1) @ rows


def numbers(count: int) -> Ints:
    """Of every size below 2^ROOT_BITS, and 0."""
    rng = np.random.default_rng(count)
    found: Ints = rng.integers(0, 1 << ROOT_BITS, count) >> rng.integers(0, ROOT_BITS, count)
    found[0] = 0
    return found


def regression() -> tuple[Ints, Ints]:
    """(k, k) and (k,): an intercept, counts, and an outcome that depends on them."""
    rng = np.random.default_rng(COVARIATES)
    design = np.concatenate(
        (np.ones((DESIGN_ROWS, 1), np.int64), rng.poisson(range(1, COVARIATES), (DESIGN_ROWS, COVARIATES - 1))), axis=1,
    )
    outcome = design @ rng.integers(-9, 10, COVARIATES) + rng.integers(-50, 51, DESIGN_ROWS)
    return design.T @ design, design.T @ outcome


class TailNode:
    """The product's gate and tail."""

    def __init__(self, links: NodeLinks, wire: Wire) -> None:
        self._links, self._engine, self._number = links, Engine(wire), wire.number
        self._attempts = self._sent = 0

    async def barrier(self) -> None:
        """See benchmarks.trio.Node."""
        await self._engine.verify()

    def sent(self) -> int:
        """See benchmarks.trio.Node."""
        return self._sent

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        found = {f"{count} cells": self._cells(count) for count in (FEW, rows)}
        return {**found, f"sqrt {rows}": self._roots(rows), f"solve {COVARIATES}": self._regression()}

    def _cells(self, count: int) -> Case:
        sums, gram = cells(count)
        batch = CellBatch(PLAN, held(sums, self._number, "sums"), held(gram, self._number, "gram"))
        contributors = Share(held(np.full((count, 1, 2, 2), PATIENTS // 2), self._number, "contributors"))
        windows = [(cell, cell + 1) for cell in range(count)]

        async def work(wire: Wire) -> Outputs:
            node = Engine(wire)
            findings = [Findings(PLAN, contributors)]
            if not (await opened(node, await judge(node, findings, windows, MINIMUM))).all():
                raise RuntimeError("a cell was not released")
            (outputs,) = await estimate(wire, [batch], PATIENTS, PANES, TAIL_SECONDS)
            return outputs

        def right(outputs: Outputs) -> bool:
            times, visits = sums[:, ::2], sums[:, 1::2]
            rates = visits / times
            parts = np.stack((-1 / times[:, 0], 1 / visits[:, 0], 1 / times[:, 1], -1 / visits[:, 1]), axis=1)
            half = Z_95 * np.sqrt(np.einsum("ni,nij,nj->n", parts, gram, parts))
            wanted = rates[:, 0] / rates[:, 1]
            results = [(each.value, each.low, each.high) for each in decode(PLAN, outputs)]
            expected = np.stack((wanted, wanted * np.exp(-half), wanted * np.exp(half)), axis=1)
            return np.allclose(np.array(results, float), expected, TOLERANCE, 0)

        return self._case(count, work, right)

    def _roots(self, count: int) -> Case:
        values = numbers(count)
        shares, significant = held(values, self._number, "squares"), np.full(count, SIGNIFICANT_BITS, dtype=object)

        async def program(session: Session) -> Outputs:
            vectors = Vectors(session)
            mantissa, exponent, present = await square_root(vectors, await vectors.from_ring(shares), ROOT_BITS)
            mantissa, shift = await vectors.rounded(mantissa, significant)
            mantissa = await vectors.multiply(mantissa, present)
            fresh = await vectors.private(np.concatenate((mantissa, (exponent + shift) % PRIME)))
            return dict(zip(("mantissa", "exponent"), (part.tolist() for part in np.split(fresh, 2)), strict=True))

        async def work(wire: Wire) -> Outputs:
            return await Session(wire).run(program, TAIL_SECONDS)

        def right(outputs: Outputs) -> bool:
            exponents = np.array(outputs["exponent"], float) + 1 - FRACTION_BITS
            found = np.array(outputs["mantissa"], float) * 2.0**exponents
            return np.allclose(found, np.sqrt(values), TOLERANCE, 0)

        return self._case(count, work, right)

    def _regression(self) -> Case:
        gram, moments = regression()
        equations = Equations(
            held(gram[None], self._number, "gram"), held(moments[None], self._number, "moments"), SIGNIFICANT_BITS
        )

        async def work(wire: Wire) -> Outputs:
            return await solve(wire, equations, TAIL_SECONDS)

        def right(outputs: Outputs) -> bool:
            (found,) = coefficients(outputs, COVARIATES)
            wanted = np.linalg.solve(gram, moments)
            return found is not None and np.allclose(np.array(found, float), wanted, TOLERANCE, 0)

        return self._case(1, work, right)

    def _case(
        self, rows: int, work: Callable[[Wire], Awaitable[Outputs]], right: Callable[[Outputs], bool],
    ) -> Case:
        async def correct(outputs: Outputs) -> bool:
            return right(await revealed(self._engine, outputs))

        return Case(rows, partial(self._run, work), correct)

    async def _run(self, work: Callable[[Wire], Awaitable[Outputs]]) -> Outputs:
        self._attempts += 1
        async with self._links.attempt(b"tail %d" % self._attempts, engine.STALL_SECONDS) as wire:
            counted = engine.Counted(wire)
            outputs = await work(cast("Wire", counted))
        self._sent += counted.sent_bytes
        return outputs


def contenders(_: int) -> Mapping[str, Contender]:
    """Only ours."""
    return {"winnow": partial(engine.attempted, TailNode)}


def measure_tail(rows: int, runs: int) -> list[dict[str, Any]]:
    """All cases, `rows` of cells and roots."""
    return [each.row(each.case, "winnow") for each in measure("benchmarks.tail", "winnow", [rows], runs, SECONDS, 0)]
