"""An independent oracle: what an evaluation must release, from the plaintext files and the agreement's TOML.

Shares no code with Winnow. Definitions:
- linked: in every party's register: known before the linkage date (local midnight), or in a later batch of it
  (oracle_batches); from the pane on at which the latest of these batches opens. In earlier panes a person has 0;
- a measure is one integer per person and pane (policy/measure.py says what each aggregation means);
- a window's cell has, per arm, the sums of time and outcome over its people and panes;
- rate ratio: (Yu/Tu)/(Yc/Tc), var(log) = Σ(yu/Yu − tu/Tu − yc/Yc + tc/Tc)² over people, interval on the log scale;
- mean difference: Yu/Tu − Yc/Tc, var = Σ((yu − (Yu/Tu)tu)/Tu − (yc − (Yc/Tc)tc)/Tc)², in euros per 30.4375 days, or
  in points (of a change, whose T counts the answers);
- share: s = Tu/(Tu + Tc); completion: s = Yu/Tu of the exposed; var(logit) = Σ(a/A − b/B)² over people, of the parts
  A and B = T − A that make the whole, interval on the logit scale;
- a capped outcome: in each category (and outside them all) a person's total over the window, at least 0 and at most
  the cap; for all patients the sum of those;
- intervals are 95 % (the 0.975 quantile of the normal distribution);
- of two editions the full one is made of all that came before the last maturity; it may be released if moreover, in
  every atom of the window, those for whom an arm's time or outcome is another sum than in the provisional edition are
  none or `minimum_cohort`; the strata if that holds of each of them too, and of the people outside all strata;
- the total may be released if in every atom of the window each arm has `minimum_cohort` people with time, as many with
  outcome (not asked of a change), as many who missed something (of a completion, and over the whole window as many
  for whom due and completed differ); the strata if moreover each of them has, and the people outside all strata are
  none or as many;
- dominance rules, if agreed, of the outcome unless it is a change: in every atom of the window (with a cap: over the
  window), in each arm, of people's amounts by size x₁ ≥ x₂ ≥ …: x₁ < largest_percent of their sum, x₁ + x₂ <
  two_largest_percent of it, (1 + p)·x₁ + x₂ ≤ it, or all are 0; of the total for the total, of all strata and of the people outside
  them for the strata. Of a full edition also of what it says more than the provisional one;
- of tables "in-order" as many of the first strata come out as obey all this together with those outside of them.
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd

from tests.support.oracle_files import FOREVER, Books, Reader
from tests.support.oracle_kinds import is_of_a_kind, measured

Z = NormalDist().inv_cdf(0.975)
DAYS_PER_MONTH = 30.4375
CATALOGUE = Path(__file__).parents[2] / "policy" / "catalogue"


@dataclass(frozen=True)
class Cell:
    """What is expected of one KPI, window and cell."""

    kpi: str
    window: int
    start: date
    end: date
    """First day after the window."""
    cell: dict[str, str]
    released: bool
    sums: dict[str, int]
    """exposed.time, exposed.outcome, comparator.time, comparator.outcome as far as there are: days, visits, cents …"""
    value: float | None
    """None where a denominator is 0."""
    low: float | None
    high: float | None
    contributors: tuple[tuple[int, ...], ...]
    """Per atom: people with exposed time, exposed outcome (and exposed missed), comparator time, comparator outcome."""
    revision: int = 0
    """1: the full edition."""


@dataclass(frozen=True)
class Expected:
    """Everything that an evaluation must end with."""

    linked: int
    rule: str
    """What a cell that is not released is said to be suppressed by."""
    cells: tuple[Cell, ...]
    events: dict[str, dict]
    """Party → read, accepted, rejected (reason → number), late_pending, late_after_maturity."""

    def find(self, kpi: str, window: int, **cell: str) -> Cell:
        return next(c for c in self.cells if (c.kpi, c.window, c.cell) == (kpi, window, cell))

    def released(self, kpi: str) -> tuple[list[int], list[int]]:
        """Windows whose total, and whose table by strata, must be released."""
        of = [c for c in self.cells if c.kpi == kpi and c.released]
        return sorted({c.window for c in of if not c.cell}), sorted({c.window for c in of if c.cell})


def expect(
    agreement: Path, folders: Mapping[str, Path], shard_of: Callable[[str], int] | None = None
) -> Expected:
    """Work out what the evaluation of `agreement` on the parties' `folders` must give.

    `shard_of`: the shard of a person, asked for where registers grow in more than one shard.
    """
    draft = tomllib.loads(agreement.read_text(encoding="utf-8"))
    books, linked, table, edges = _read(draft, folders, shard_of)
    provisional = None
    if draft.get("maturities", {}).get("release") == "both":
        _, same, provisional, _ = _read({**draft, "maturities": {}}, folders, shard_of)
        assert same == linked
    cells: list[Cell] = []
    for name in draft["kpis"]:
        path = agreement.parent / name if name.endswith(".toml") else CATALOGUE / f"{name}.toml"
        kpi = tomllib.loads(path.read_text(encoding="utf-8"))
        if provisional is not None:
            cells += _cells(kpi, draft, provisional, edges)
        cells += _cells(kpi, draft, table, edges, provisional)
    events = {
        name: {"read": b.read, "accepted": b.accepted, "rejected": dict(b.rejected), "late_pending": b.late,
               "late_after_maturity": b.too_late}
        for name, b in books.items()
    }
    rule = "disclosure" if "dominance" in draft["disclosure"] else "minimum-cohort"
    return Expected(len(linked), rule, tuple(cells), events)


def _read(draft: dict, folders: Mapping[str, Path], shard_of: Callable[[str], int] | None):
    """Books by party, the linked people, their measures, the panes' edges."""
    readers = {p["name"]: Reader(draft, p["name"], folders[p["name"]], shard_of) for p in draft["parties"]}
    books = {name: reader.read() for name, reader in readers.items()}
    edges = next(iter(readers.values())).grid.edges
    linked = sorted(set.intersection(*(set(b.entered) for b in books.values())))
    table = _measures(draft["measures"], books, linked, edges)
    for row, person in enumerate(linked):
        for values in table.values():
            values[row, : max(b.entered[person] for b in books.values())] = 0
    return books, linked, table, edges


def _measures(measures: list[dict], books: Mapping[str, Books], linked: list[str], edges: list[date]):
    """Measure → int64 array (people, panes)."""
    index = {person: row for row, person in enumerate(linked)}
    first, last = edges[0].toordinal(), edges[-1].toordinal()
    starts = np.array([e.toordinal() - first for e in edges[:-1]])
    length = np.diff([e.toordinal() for e in edges])
    ends = starts + length
    shape = (len(linked), len(starts))

    def enrolled(party: str, programme: str) -> np.ndarray:
        """Bool (people, days of the grid)."""
        days = np.zeros((len(linked), last - first), dtype=bool)
        for kind, person, start, end in books[party].enrolments.values():
            if kind == programme and person in index:
                stop = last if end == FOREVER else end.toordinal()
                days[index[person], max(start.toordinal() - first, 0) : max(stop - first, 0)] = True
        return days

    def whole(party: str, programme: str) -> np.ndarray:
        return np.add.reduceat(enrolled(party, programme), starts, axis=1, dtype=np.int64) == length

    table: dict[str, np.ndarray] = {}
    for m in measures:
        party, how = m["party"], m["aggregation"]
        if how == "exposed":
            made = whole(party, m["programme"])
        elif how == "not-yet-exposed":
            begun = np.full(len(linked), np.iinfo(np.int64).max)
            for kind, person, start, _ in books[party].enrolments.values():
                if kind == m["programme"] and person in index:
                    begun[index[person]] = min(begun[index[person]], start.toordinal() - first)
            made = whole(party, m["cohort"]) & (begun[:, None] >= ends)
        elif how == "days":
            made = np.add.reduceat(enrolled(party, m["programme"]), starts, axis=1, dtype=np.int64)
        elif is_of_a_kind(m):
            made = measured(m, books[party].said, index, edges)
        elif how in ("count", "sum"):
            claims = pd.DataFrame(books[party].claims, columns=["person", "care", "day", "sign", "cents"])
            claims["row"] = claims["person"].map(index)
            claims = claims.dropna(subset="row")
            if m.get("care_type"):
                claims = claims[claims["care"] == m["care_type"]]
            day = claims["day"].map(date.toordinal).to_numpy(dtype=np.int64) - first
            amount = claims["sign"] if how == "count" else claims["sign"] * claims["cents"]
            keys = [claims["row"].astype(np.int64).to_numpy(), np.searchsorted(starts, day, side="right") - 1]
            made = np.zeros(shape, dtype=np.int64)
            for (row, pane), total in amount.groupby(keys).sum().items():
                made[row, pane] = total
        elif how == "category":
            made = np.zeros(shape, dtype=np.int64)
            known = sorted((at, seen, index[p], v) for p, at, seen, v in books[party].incomes if p in index)
            for valid, _, row, value in known:
                made[row, starts >= valid.toordinal() - first] = value == m["value"]
        else:
            made = table[m["of"]] != 0
        made = made.astype(np.int64)
        if m.get("at_risk"):
            made[table[m["at_risk"]] == 0] = 0
        for person in books[party].withdrawn.keys() & index.keys():
            made[index[person], books[party].withdrawn[person] :] = 0
        table[m["name"]] = made
    return table


def _windows(spec: dict, panes: int) -> list[tuple[int, int]]:
    if spec.get("kind") == "cumulative":
        every = spec.get("every", panes)
        ends = [(pane // every * every, pane + 1) for pane in range(panes)]
        return [(start, stop) for start, stop in ends if (stop - start) % spec["step"] == 0]
    found, start = [], 0
    while start + spec["size"] <= panes:
        found.append((start, start + spec["size"]))
        start += spec.get("step", spec["size"])
    return found


def _cells(
    kpi: dict, draft: dict, table: Mapping[str, np.ndarray], edges: list[date],
    provisional: Mapping[str, np.ndarray] | None = None,
) -> list[Cell]:
    """Of the full edition if there was a provisional one."""
    windows = _windows(draft["windows"], len(edges) - 1)
    minimum, rules = draft["disclosure"]["minimum_cohort"], draft["disclosure"].get("dominance")
    arms = {"exposed": table[kpi["exposed"]]}
    if "comparator" in kpi:
        arms["comparator"] = table[kpi["comparator"]]
    columns = {"time": table[kpi["time"]]}
    if "outcome" in kpi:
        columns["outcome"] = table[kpi["outcome"]]
    points = kpi.get("unit") == "points"
    counted = [columns["time"]] if points else list(columns.values())
    if "missed" in kpi:
        counted.append(table[kpi["missed"]])
    everybody = np.ones_like(columns["time"])
    masks: list[tuple[dict[str, str], np.ndarray]] = [({}, everybody)]
    masks += [({dimension: value}, table[name]) for dimension, value, name in _strata(kpi, draft)]
    outside = everybody - sum((mask for _, mask in masks[1:]), np.zeros_like(everybody))
    whole = draft["disclosure"].get("tables", "whole") == "whole"
    numbers = [len(masks) - 1] if whole else range(1, len(masks))
    cuts = sorted({edge for window in windows for edge in window})

    def people(mask: np.ndarray) -> dict[int, tuple[int, ...]]:
        """Atom's first pane → numbers of contributors."""
        counts = {}
        for a, b in pairwise(cuts):
            part = slice(a, b)
            counts[a] = tuple(
                int((arm * mask * (column != 0))[:, part].any(axis=1).sum())
                for arm in arms.values() for column in counted
            )
        return counts

    def vector(arm: str, column: str, mask: np.ndarray, a: int, b: int) -> np.ndarray:
        """Per person over the window."""
        def total(of: np.ndarray) -> np.ndarray:
            return (arms[arm] * of * columns[column])[:, a:b].sum(axis=1)

        if column == "time" or "cap" not in kpi:
            return total(mask)
        parts = [part for part in (outside, *(m for _, m in masks[1:])) if (part <= mask).all()]
        return sum(np.clip(total(of), 0, kpi["cap"]) for of in parts)

    def uneven(mask: np.ndarray, a: int, b: int) -> int:
        """Of a completion, people whose due and completed differ over the window."""
        return int((vector("exposed", "time", mask, a, b) != vector("exposed", "outcome", mask, a, b)).sum())

    def changed(stratum: np.ndarray, before: np.ndarray) -> dict[int, list[int]]:
        """Atom's first pane → numbers of people of whom an arm's time or outcome changed."""
        counts: dict[int, list[int]] = {}
        for a, b in pairwise(cuts):
            counts[a] = [
                int(((table[arm] * stratum * table[column])[:, a:b].sum(axis=1)
                     != (provisional[arm] * before * provisional[column])[:, a:b].sum(axis=1)).sum())
                for arm in (kpi[k] for k in ("exposed", "comparator") if k in kpi)
                for column in (kpi[k] for k in ("time", "outcome") if k in kpi)
            ]
        return counts

    def telling(news: dict[int, list[int]], atoms: list[int]) -> bool:
        return any(0 < n < minimum for atom in atoms for n in news[atom])

    def few_have_most(mask: np.ndarray, atoms: list[int], a: int, b: int) -> bool:
        """Whether somebody's outcome dominates, by the agreed rules."""
        if rules is None or points or "outcome" not in kpi:
            return False
        spans = [(a, b)] if "cap" in kpi else [(x, y) for x, y in pairwise(cuts) if x in atoms]
        return any(dominates(vector(arm, "outcome", mask, *span), rules) for arm in arms for span in spans)

    def few_changed_most(stratum: np.ndarray, before: np.ndarray, atoms: list[int]) -> bool:
        if rules is None or points or "outcome" not in kpi:
            return False
        return any(
            dominates((table[arm] * stratum * table[kpi["outcome"]]
                       - provisional[arm] * before * provisional[kpi["outcome"]])[:, a:b].sum(axis=1), rules)
            for arm in (kpi[k] for k in ("exposed", "comparator") if k in kpi)
            for a, b in pairwise(cuts) if a in atoms
        )

    counts = [people(mask) for _, mask in masks]
    earlier = [everybody, *(provisional[name] for _, _, name in _strata(kpi, draft))] if provisional is not None else []

    def but(of: list[np.ndarray], number: int) -> np.ndarray:
        """Who is in none of the first strata."""
        return everybody - sum(of[1 : 1 + number], np.zeros_like(everybody))

    rests = {number: but([mask for _, mask in masks], number) for number in numbers}
    rest_counts = {number: people(rest) for number, rest in rests.items()}
    news = [changed(mask, was) for (_, mask), was in zip(masks, earlier, strict=False)]
    rest_news = {number: changed(rest, but(earlier, number)) for number, rest in rests.items()} if earlier else {}

    def obeys(place: int, atoms: list[int], a: int, b: int) -> bool:
        """Whether a cell may be told of."""
        mask = masks[place][1]
        few = [n for atom in atoms for n in counts[place][atom]]
        if kpi["estimator"] == "completion":
            few.append(uneven(mask, a, b))
        changes_obey = not earlier or not (
            telling(news[place], atoms) or few_changed_most(mask, earlier[place], atoms)
        )
        return all(n >= minimum for n in few) and not few_have_most(mask, atoms, a, b) and changes_obey

    def hides(number: int, atoms: list[int], a: int, b: int) -> bool:
        """Whether those outside of the first strata may be told of, or are nobody."""
        rest, few = rests[number], [n for atom in atoms for n in rest_counts[number][atom]]
        if kpi["estimator"] == "completion":
            few.append(uneven(rest, a, b))
        changes_obey = not earlier or not (
            telling(rest_news[number], atoms) or few_changed_most(rest, but(earlier, number), atoms)
        )
        return all(n == 0 or n >= minimum for n in few) and not few_have_most(rest, atoms, a, b) and changes_obey

    cells = []
    for number, (a, b) in enumerate(windows):
        atoms = [cut for cut in cuts if a <= cut < b]
        said = [obeys(place, atoms, a, b) for place in range(len(masks))]
        shown = max((1 + n for n in numbers if n and all(said[: 1 + n]) and hides(n, atoms, a, b)), default=int(said[0]))
        for place, ((cell, mask), of) in enumerate(zip(masks, counts, strict=True)):
            vectors = {f"{arm}.{column}": vector(arm, column, mask, a, b) for arm in arms for column in columns}
            cells.append(Cell(
                kpi["id"], number, edges[a], edges[b], cell, place < shown,
                {name: int(v.sum()) for name, v in vectors.items()},
                *_estimate(kpi["estimator"], list(vectors.values()), 1 / 100 if points else DAYS_PER_MONTH / 100),
                tuple(of[atom] for atom in atoms), int(provisional is not None),
            ))
    return cells


def dominates(amounts: np.ndarray, rules: Mapping[str, int]) -> bool:
    """Whether one or two of these break a rule; in whole numbers."""
    first, second = (int(v) for v in np.sort(np.abs(np.concatenate([amounts, [0, 0]])))[:-3:-1])
    whole = int(np.abs(amounts).sum())
    return whole > 0 and (
        100 * first >= rules.get("largest_percent", 101) * whole
        or 100 * (first + second) >= rules.get("two_largest_percent", 101) * whole
        or ("p_percent" in rules and (100 + rules["p_percent"]) * first + 100 * second > 100 * whole)
    )


def _strata(kpi: dict, draft: dict) -> list[tuple[str, str, str]]:
    """(dimension, category, measure); the agreement's own come before the program's."""
    if "strata" in draft:
        dimension = draft["strata"]["dimension"]
        return [(dimension, c["value"], c["measure"]) for c in draft["strata"]["categories"]]
    return [(d, value, name) for d, categories in kpi.get("strata", {}).items() for value, name in categories.items()]


def _estimate(
    estimator: str, vectors: list[np.ndarray], scale: float,
) -> tuple[float | None, float | None, float | None]:
    if estimator in ("share", "completion"):
        first, second = (v.astype(np.float64) for v in vectors)
        parts = (first, second) if estimator == "share" else (second, first - second)
        return _share(*parts)
    tu, yu, tc, yc = (v.astype(np.float64) for v in vectors)
    Tu, Yu, Tc, Yc = (float(v.sum()) for v in (tu, yu, tc, yc))
    if Tu == 0 or Tc == 0:
        return None, None, None
    if estimator == "rate-ratio":
        if Yu == 0 or Yc == 0:
            return None, None, None
        value = (Yu / Tu) / (Yc / Tc)
        spread = Z * math.sqrt(float(((yu / Yu - tu / Tu - yc / Yc + tc / Tc) ** 2).sum()))
        return value, value * math.exp(-spread), value * math.exp(spread)
    value = (Yu / Tu - Yc / Tc) * scale
    terms = (yu - Yu / Tu * tu) / Tu - (yc - Yc / Tc * tc) / Tc
    spread = Z * math.sqrt(float((terms**2).sum())) * scale
    return value, value - spread, value + spread


def _share(a: np.ndarray, b: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """The first part of both, by the definition of p = A/(A + B): var(p) = Σ(a − p(a + b))²/(A + B)²."""
    A, B = float(a.sum()), float(b.sum())
    if A <= 0 or B <= 0:
        return None, None, None
    whole = A + B
    share = A / whole
    error = math.sqrt(float(((a - share * (a + b)) ** 2).sum())) / whole
    logit, spread = math.log(share / (1 - share)), Z * error / (share * (1 - share))
    low, high = (1 / (1 + math.exp(-(logit + side * spread))) for side in (-1, 1))
    return share, low, high
