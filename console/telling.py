"""A KPI, its cells and its numbers in words; pure functions of values and a language."""

from typing import Final

from console.locale import Lang, number, period, quantity
from console.series import Cell, Point, Series, cells
from console.texts import translator
from console.words import RULES, plain
from evaluation.document import Release
from policy.kpi import Kpi, ValueUnit

UNIT_NAMES: Final[dict[ValueUnit, str]] = {
    "ratio": "unit_ratio", "EUR/patient-month": "unit_euro", "points": "unit_points", "share": "unit_percent",
}
COMPARED: Final[dict[ValueUnit, str]] = {"ratio": "ratio", "EUR/patient-month": "mean", "points": "points"}
"""Which sentence says that users had more or less."""


def title(kpi: Kpi, lang: Lang) -> str:
    """The KPI's title."""
    return kpi.title.of(lang)


def cell_key(cell: Cell) -> str:
    """How a cell is written in an address: "" for all patients, else "income:1"."""
    return ",".join(f"{name}:{category}" for name, category in cell.items())


def cell_of(kpi: Kpi, key: str) -> Cell | None:
    """The KPI's cell of that key, or None."""
    return next((cell for cell in cells(kpi) if cell_key(cell) == key), None)


def cell_name(kpi: Kpi, cell: Cell, lang: Lang) -> str:
    """A cell in words, as the agreement names it; the ends of an income scale say which end they are."""
    t = translator(lang)
    if not cell:
        return t("all_patients")
    ((dimension, category),) = cell.items()
    if dimension != "income" or kpi.names:
        named = [kpi.names.get(key) for key in (dimension, f"{dimension}:{category}")]
        first, second = (
            said if text is None else text.of(lang)
            for said, text in zip((dimension, category), named, strict=True)
        )
        return f"{first}: {second}"
    categories = tuple(kpi.strata.get(dimension, {}))
    suffix = "_lowest" if category == categories[0] else "_highest" if category == categories[-1] else ""
    return t(f"income{suffix}", category=category)


def unit_name(kpi: Kpi, lang: Lang) -> str:
    """The unit of the KPI's value, in words."""
    return translator(lang)(UNIT_NAMES[kpi.value_unit])


def interval(release: Release, kpi: Kpi, lang: Lang) -> str:
    """"0.75 to 0.94", or "" where the release has no interval."""
    if release.low is None or release.high is None:
        return ""
    return translator(lang)(
        "interval_from_to",
        low=quantity(release.low, kpi.value_unit, lang), high=quantity(release.high, kpi.value_unit, lang),
    )


def reading(release: Release, shown: Series, lang: Lang) -> str:
    """What the value and its interval say, in a sentence or two, and whether noise was added."""
    said, t = _compared(release, shown, lang), translator(lang)
    return said if release.noise is None else f"{said} " + t(f"noise_{release.noise}")


def _compared(release: Release, shown: Series, lang: Lang) -> str:
    t, reference, unit = translator(lang), shown.reference, shown.kpi.value_unit
    if reference is None:
        return t(f"{shown.kpi.estimator}_reading", value=quantity(release.value, unit, lang))
    distance = release.value - reference
    size = number(abs(distance) * 100, lang, 0) if unit == "ratio" else quantity(abs(distance), unit, lang)
    direction = "lower" if distance < 0 else "higher"
    said = t("same") if distance == 0 else t(f"{COMPARED[unit]}_{direction}", size=size)
    if release.low is None or release.high is None:
        return said
    beyond = release.low > reference or release.high < reference
    return f"{said} {t('excludes' if beyond else 'includes', reference=reference)}"


def gap(point: Point, lang: Lang) -> str:
    """Why a window has no number."""
    t = translator(lang)
    if point.state == "refused" and point.refusal is not None:
        return t("gap_refused", rule=plain(RULES, point.refusal.rule, lang))
    return t(f"gap_{point.state}")


def describe(shown: Series, lang: Lang) -> str:
    """The chart in words, for who cannot see it."""
    t, latest = translator(lang), shown.latest
    said = t("nothing_released")
    if latest is not None:
        said = f"{quantity(latest.value, shown.kpi.value_unit, lang)} ({interval(latest, shown.kpi, lang)}), "
        said += period(latest.window, lang)
    first, last = (shown.points[0], shown.points[-1]) if shown.points else (None, None)
    return t(
        "chart_aria", title=title(shown.kpi, lang), cell=cell_name(shown.kpi, shown.cell, lang),
        count=len(shown.points), latest=said,
        first=period(first.window, lang) if first else "–", last=period(last.window, lang) if last else "–",
        released=shown.count("released"), suppressed=shown.count("suppressed"),
        refused=shown.count("refused"), pending=shown.count("pending"),
    )
