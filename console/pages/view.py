"""What the pages say about a KPI's history; pure functions of the series and a language."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from console.locale import Lang, figure, period, quantity
from console.series import Series, cells, series
from console.telling import cell_key, describe, gap, interval
from console.texts import translator
from evaluation.document import DateWindow, Document, Release
from policy.kpi import Kpi

SPARK_WIDTH, SPARK_HEIGHT = 320, 72
"""Units of the overview's small chart; it scales with its card."""


@dataclass(frozen=True)
class Row:
    """A line of the table, written out in the unit of its caption; value, low and high are "" for a gap."""

    window: str
    state: str
    value: str
    low: str
    high: str
    note: str


def rows(shown: Series, lang: Lang) -> list[Row]:
    """Every window, newest first."""
    t = translator(lang)
    found = []
    for point in reversed(shown.points):
        label = period(point.window, lang)
        if point.release is None:
            found.append(Row(label, point.state, "", "", "", gap(point, lang)))
            continue
        release = point.release
        value, low, high = (
            "" if n is None else figure(n, shown.kpi.value_unit, lang)
            for n in (release.value, release.low, release.high)
        )
        note = t("released")
        if release.edition is not None:
            note += f", {t('full') if release.edition == 'full' else t('provisional')}"
        if point.refusal is not None:
            note += f"; {t('edition_withheld')}"
        found.append(Row(label, "released", value, low, high, note))
    return found


def _instant(window: DateWindow) -> int:
    """The window's last day as milliseconds since 1970 at midnight UTC: a calendar day, wherever the reader is."""
    return int(datetime.combine(window.end - timedelta(days=1), time(), UTC).timestamp()) * 1000


def chart(shown: Series, lang: Lang) -> dict[str, Any]:
    """What the browser draws: points in time order, with the texts of their tooltips."""
    t = translator(lang)
    points = []
    for point in shown.points:
        release = point.release
        if release is None:
            text = gap(point, lang)
        else:
            text = quantity(release.value, shown.kpi.value_unit, lang)
            if bounds := interval(release, shown.kpi, lang):
                text += f" ({bounds})"
        points.append({
            "at": _instant(point.window), "state": point.state, "label": period(point.window, lang), "text": text,
            "value": release and release.value, "low": release and release.low, "high": release and release.high,
        })
    return {
        "lang": lang, "reference": shown.reference, "points": points,
        "unit": shown.kpi.value_unit,
        "states": {state: t(state) for state in ("suppressed", "refused", "pending")},
        "aria": describe(shown, lang),
    }


@dataclass(frozen=True)
class Spark:
    """A small chart as SVG: one line and band per unbroken stretch, and the height of "no difference"."""

    lines: tuple[str, ...]
    bands: tuple[str, ...]
    reference: float | None
    last: tuple[float, float]


def spark(shown: Series) -> Spark | None:
    """The overview's small chart of a series; None before anything is released."""
    positions = [(i, p.release) for i, p in enumerate(shown.points) if p.release is not None]
    if not positions:
        return None
    bounds = [
        bound for _, r in positions
        for bound in (r.value, r.low if r.low is not None else r.value, r.high if r.high is not None else r.value)
    ]
    bounds += [] if shown.reference is None else [shown.reference]
    bottom, top = min(bounds), max(bounds)
    margin = 4
    across = (SPARK_WIDTH - 2 * margin) / max(len(shown.points) - 1, 1)
    up = (SPARK_HEIGHT - 2 * margin) / ((top - bottom) or 1)

    def at(index: int, value: float) -> tuple[float, float]:
        return round(margin + index * across, 1), round(margin + (top - value) * up, 1)

    stretches: list[list[tuple[int, Release]]] = []
    for index, release in positions:
        if stretches and stretches[-1][-1][0] == index - 1:
            stretches[-1].append((index, release))
        else:
            stretches.append([(index, release)])

    def path(corners: list[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{x} {y}" for x, y in corners)

    return Spark(
        lines=tuple(path([at(i, r.value) for i, r in s]) for s in stretches),
        bands=tuple(
            path(
                [at(i, r.value if r.high is None else r.high) for i, r in s]
                + [at(i, r.value if r.low is None else r.low) for i, r in reversed(s)]
            ) + "Z"
            for s in stretches if len(s) > 1
        ),
        reference=None if shown.reference is None else at(0, shown.reference)[1],
        last=at(positions[-1][0], positions[-1][1].value),
    )


@dataclass(frozen=True)
class RefusedRule:
    """How often a rule of the agreement stopped something."""

    rule: str
    found: str
    required: str
    nodes: str
    times: int


def refused_rules(document: Document) -> list[RefusedRule]:
    """Refusals by policy, grouped; suppression is shown where it happened."""
    groups = Counter(
        (r.rule, "" if r.found is None else str(r.found), "" if r.required is None else str(r.required),
         ", ".join(map(str, r.nodes)))
        for r in document.refusals if not r.suppression
    )
    return [RefusedRule(*group, times) for group, times in groups.items()]


CSV_COLUMNS: Final = (
    "kpi", "window_start", "window_end", "cell", "state", "revision", "output", "value", "low", "high", "unit", "rule",
)


def _csv_rows(document: Document, kpi: Kpi, expected: Sequence[DateWindow]) -> Iterator[tuple[object, ...]]:
    for release in document.releases:
        if release.kpi == kpi.id:
            yield (
                kpi.id, release.window.start, release.window.end, cell_key(release.cell), "released",
                release.revision, release.output, release.value, release.low, release.high, release.unit, "",
            )
    for cell in cells(kpi):
        for point in series(document, kpi, cell, expected).points:
            if point.release is None:
                rule = point.refusal.rule if point.refusal is not None else ""
                yield (
                    kpi.id, point.window.start, point.window.end, cell_key(cell), point.state,
                    "", "value", "", "", "", "", rule,
                )


def as_csv(document: Document, kpi: Kpi, expected: Sequence[DateWindow]) -> str:
    """All releases of a KPI, and a line for every gap; end dates are exclusive, as in the document."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_csv_rows(document, kpi, expected))
    return out.getvalue()


def as_json(document: Document, kpi: Kpi) -> str:
    """The part of the result document that is about one KPI."""
    plain_document = document.model_dump(mode="json")
    return json.dumps({
        "kpi": kpi.id,
        "releases": [r for r in plain_document["releases"] if r["kpi"] == kpi.id],
        "refusals": [r for r in plain_document["refusals"] if r["kpi"] in {None, kpi.id}],
    }, indent=1)
