"""Numbers, dates and windows as Dutch and English readers write them."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final, Literal

from evaluation.document import DateWindow
from policy.kpi import ValueUnit

Lang = Literal["en", "nl"]
LANGS: Final[tuple[Lang, ...]] = ("en", "nl")
NAMES: Final[dict[Lang, str]] = {"en": "English", "nl": "Nederlands"}
DECIMALS: Final = 2
MINUS: Final = "−"
_MONTHS: Final[dict[Lang, tuple[str, ...]]] = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "nl": ("jan", "feb", "mrt", "apr", "mei", "jun", "jul", "aug", "sep", "okt", "nov", "dec"),
}


def preferred(query: str | None, header: str) -> Lang:
    """The language asked for in the address, else the first one we know in an Accept-Language header, else English."""
    for wanted in (query or "", *header[:200].split(",")):
        for lang in LANGS:
            if wanted.split(";")[0].strip().lower().split("-")[0] == lang:
                return lang
    return "en"


def spoken(environment: Mapping[str, str]) -> Lang:
    """A terminal's language, by the first of LC_ALL, LC_MESSAGES and LANG that is set; English if we do not know it."""
    said = next((value for key in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(key))), "")
    return preferred(said.replace("_", "-").split(".")[0], "")


def number(value: float, lang: Lang, decimals: int = DECIMALS) -> str:
    """1234.5 → "1,234.50" or "1.234,50"; a real minus sign, and no negative zero."""
    text = f"{abs(value):,.{decimals}f}"
    if lang == "nl":
        text = text.translate(str.maketrans(",.", ".,"))
    return MINUS + text if value < 0 and text.strip("0.,") else text


def figure(value: float, unit: ValueUnit, lang: Lang) -> str:
    """A KPI's value without its unit: what is a share of 1 is written in percent."""
    return number(100 * value, lang, 1) if unit == "share" else number(value, lang)


def quantity(value: float, unit: ValueUnit, lang: Lang) -> str:
    """A KPI's value: a plain number for a ratio or points, euros for a difference of costs, percent for a share."""
    text = figure(value, unit, lang)
    if unit == "share":
        return f"{text}%"
    if unit != "EUR/patient-month":
        return text
    if lang == "nl":
        return f"€ {text}"
    return f"{MINUS}€{text[1:]}" if text.startswith(MINUS) else f"€{text}"


def day(value: date, lang: Lang) -> str:
    """5 Jan 2026."""
    return f"{value.day} {_MONTHS[lang][value.month - 1]} {value.year}"


def period(window: DateWindow, lang: Lang) -> str:
    """The first and the last day of a window: "8 Dec 2025 – 4 Jan 2026"."""
    last = window.end - timedelta(days=1)
    if last == window.start:
        return day(last, lang)
    first = day(window.start, lang)
    if window.start.year == last.year:
        first = first.rsplit(" ", 1)[0]
    return f"{first} – {day(last, lang)}"


def seconds(value: float, lang: Lang) -> str:
    """0.123 → "0.12 s"; from ten seconds on with one decimal."""
    return f"{number(value, lang, 1 if value >= 10 else DECIMALS)} s"
