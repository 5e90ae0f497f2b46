"""Programs of sums in the clear: made-up columns, and what plain Python and numpy say of them."""

import numpy as np

from mpc.engine import Engine
from mpc.share import Share
from mpc.sums import ShardSums
from policy.measure import Measure
from tests.support.dealing import deal, reveal
from tests.support.wires import run_three

MEASURES = {
    name: Measure(name=name, **fields) for name, fields in {
        "app_user": {"party": "hospital", "aggregation": "exposed", "programme": "app"},
        "app_not_yet": {"party": "hospital", "aggregation": "not-yet-exposed", "programme": "app", "cohort": "care"},
        "in_care": {"party": "hospital", "aggregation": "exposed", "programme": "care"},
        "insured_days": {"party": "insurer", "aggregation": "days", "programme": "insured", "bound": 31},
        "insured_any": {"party": "insurer", "aggregation": "nonzero", "of": "insured_days"},
        **{name: {"party": "insurer", "aggregation": "count", "kind": "claim", "care_type": care, "bound": 63}
           for name, care in (("gp_visits", "gp"), ("outpatient_visits", "outpatient"), ("admissions", "admission"))},
        "admissions_any": {"party": "insurer", "aggregation": "nonzero", "of": "admissions"},
        "ed_visits": {"party": "hospital", "aggregation": "count", "kind": "encounter", "code": "ed", "bound": 15},
        "cost": {"party": "insurer", "aggregation": "sum", "kind": "claim", "bound": 2**26 - 1},
        "modules_due": {"party": "hospital", "aggregation": "count", "kind": "monitoring", "code": "due", "bound": 31},
        "modules_completed": {"party": "hospital", "aggregation": "count", "kind": "monitoring", "code": "completed",
                              "bound": 31},
        "prom_follow_ups": {"party": "hospital", "aggregation": "follow-ups", "code": "control-8", "bound": 7},
        "prom_change": {"party": "hospital", "aggregation": "change", "code": "control-8", "bound": 12_000},
        "eq5d_follow_ups": {"party": "hospital", "aggregation": "follow-ups", "code": "eq5d", "bound": 7},
        "eq5d_change": {"party": "hospital", "aggregation": "change", "code": "eq5d", "bound": 1_500},
        **{f"income_{q}": {"party": "statistics", "aggregation": "category", "field": "income", "value": str(q)}
           for q in range(1, 6)},
        **{f"education_{level}": {"party": "statistics", "aggregation": "category", "field": "education", "value": level}
           for level in ("low", "high")},
    }.items()
}


def columns_for(plan, panes, rows, seed):
    """Columns (panes, rows) within their bounds.

    Row 0 has every column at its bound throughout, row 1 at the other end, row 2 has nothing; the others are often 0. Of
    strata and arms, rows from 3 on are in one or in none, and change.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for column in plan.columns:
        values = rng.integers(-column.bound if column.signed else 0, column.bound, (panes, rows), endpoint=True)
        values[rng.random((panes, rows)) < (0.4 if column.bound > 1 else 0)] = 0
        found[column.name] = values
    for names in (("app_user", "app_not_yet"), [s.column.name for s in plan.strata if s.column is not None]):
        chosen = rng.integers(0, len(names) + 1, (panes, rows))
        found |= {name: (chosen == place).astype(np.int64) for place, name in enumerate(names) if name in found}
    for column in plan.columns:
        for row, value in enumerate((column.bound, -column.bound if column.signed else 0, 0)[:rows]):
            found[column.name][:, row] = value
    return found


class Plain:
    """A program over columns (panes, rows), by loops and numpy on whole numbers of any size."""

    def __init__(self, program, plan, columns):
        self.program = program
        self.columns = {name: values.astype(object) for name, values in columns.items()}
        for name in [name for name in self.columns if name.endswith(".high")]:
            amount = name.removesuffix(".high")
            self.columns[amount] = self.columns[name] * 8192 + self.columns[f"{amount}.low"]
        everybody = np.ones_like(next(iter(self.columns.values())))
        self.masks = [everybody if s.column is None else self.columns[s.column.name] for s in plan.strata]

    def term(self, name):
        """(panes, rows), of all patients."""
        arm, _, rest = name.rpartition(".")
        values = self.columns[self.program.arms[arm]] if arm else 1
        for column in self.program.terms[rest].columns:
            values = values * self.columns[column]
        return values

    def factor(self, written, mask, start, stop):
        """(rows,): a patient's total of a term, or a state."""
        if written in self.program.states:
            values = mask[stop - 1]
            for column in self.program.states[written]:
                name, _, before = column.partition("@")
                values = values * self.columns[name][(start if before else stop) - 1]
            return values
        name, _, before = written.partition("@")
        window = slice(2 * start - stop, start) if before else slice(start, stop)
        return (self.term(name) * mask)[window].sum(axis=0)

    def sum(self, name, cell, start, stop):
        made = 1
        for factor in name.split(" * "):
            made = made * self.factor(factor, self.masks[cell], start, stop)
        return made.sum()

    def matrix(self, name, cell):
        (written,) = (m for m in self.program.matrices if m.name == name)
        rows, outcome = self.columns[written.rows] * self.masks[cell], self.term(written.outcome)
        return np.array([[(cohort * seen).sum() for seen in outcome] for cohort in rows])

    def first_events(self, name, cell):
        """(panes, 2, arms), patient by patient."""
        (first,) = (f for f in self.program.first_events if f.name == name)
        present, event = self.columns[first.present], self.columns[first.event]
        panes, rows = present.shape
        found = np.zeros((panes, 2, len(first.arms)), int)
        for row in range(rows):
            for pane in range(panes):
                if not present[pane, row]:
                    continue
                for place, arm in enumerate(first.arms):
                    if self.columns[self.program.arms[arm]][pane, row] and self.masks[cell][pane, row]:
                        found[pane, 0, place] += 1
                        found[pane, 1, place] += event[pane, row]
                if event[pane, row]:
                    break
        return found


async def evaluate(plan, columns, atoms, pieces, windows, *, tap=None):
    """Three nodes: window → (cells, parts), and by name every matrix and all first events, opened."""
    rng = np.random.default_rng(5)
    dealt = {name: deal(values, rng) for name, values in columns.items()}
    rows = next(iter(columns.values())).shape[1]

    async def program(wire):
        engine = Engine(wire)
        shard = ShardSums(plan, atoms, rows)
        found = {}
        for start, stop in pieces:
            await shard.add_panes(engine, start, {n: shares[wire.number][start:stop] for n, shares in dealt.items()})
            for window in windows:
                if window[1] == stop:
                    found[window] = await shard.window(engine, *window)
        for window in windows:
            if window not in found:
                found[window] = await shard.window(engine, *window)
        found |= {matrix.name: shard.matrix(matrix.name) for matrix in plan.matrices}
        return found | {first.name: shard.first_events(first.name) for first in plan.first_events}

    nodes = await run_three(program, tap=tap)
    bounds = {key: share.bound for key, share in nodes[0].items()}
    found = {key: reveal([Share(node[key].parts) for node in nodes]) for key in nodes[0]}
    for key, values in found.items():
        assert np.abs(values).max(initial=0) <= bounds[key], key
    return found


def joined(plan, parts):
    """Sums by name from opened parts (parts,)."""
    values = iter(int(value) for value in parts)
    return {each.name: sum(part.weight * next(values) for part in each.parts) for each in plan.sums}
