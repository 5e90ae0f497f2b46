"""Sentences of agreements in one language: texts, numbers, dates and stretches of time."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from console import locale
from console.agreement.dutch import DUTCH
from console.agreement.english import ENGLISH
from console.locale import Lang
from policy.kpi import Text
from policy.window import PaneUnit

TEXTS: Final[dict[Lang, dict[str, str]]] = {"en": ENGLISH, "nl": DUTCH}
MOST_OF_A_TEXT: Final = 600
"""Characters of a title or name that are shown: who wrote it could bury everything else under it."""


class Words:
    """What is said in one language about an agreement whose panes are of one unit; `more`: texts beside these."""

    def __init__(self, lang: Lang, unit: PaneUnit, more: Mapping[str, str] | None = None) -> None:
        self.lang = lang
        self._unit = unit
        self._texts = {**TEXTS[lang], **(more or {})}
        self._pane = {f"{case}pane": self._texts[f"{case}{unit}"] for case in ("", "the_", "whole_", "of_", "open_")}

    def __call__(self, key: str, /, **values: str) -> str:
        """The text of `key`. Every text may name the pane: {pane}, {the_pane}, {whole_pane}, {of_pane}, {open_pane}."""
        return self._texts[key].format(**self._pane, **values)

    def panes(self, count: int) -> str:
        """As in: 1 week, 4 weeks."""
        return f"{self.number(count)} {self._texts[self._unit if count == 1 else f'{self._unit}s']}"

    def every(self, count: int) -> str:
        """As in: every week, every 4 weeks."""
        if count == 1:
            return self._texts[f"every_{self._unit}"]
        return self("every", panes=self.panes(count))

    def days(self, count: int) -> str:
        """As in: 1 day, 31 days."""
        return f"{self.number(count)} {self._texts['day' if count == 1 else 'days']}"

    def number(self, value: int) -> str:
        """A whole number."""
        return locale.number(value, self.lang, 0)

    def decimal(self, written: str) -> str:
        """A number as it was written, with the language's decimal sign."""
        return (written.replace(".", ",") if self.lang == "nl" else written).replace("-", locale.MINUS)

    def euros(self, cents: int) -> str:
        """Cents as an amount."""
        return locale.quantity(cents / 100, "EUR/patient-month", self.lang)

    def day(self, value: date) -> str:
        """As in: 5 Jan 2026."""
        return locale.day(value, self.lang)

    def several(self, items: Sequence[str]) -> str:
        """As in: a, b and c."""
        if len(items) < 2:
            return "".join(items)
        return f"{', '.join(items[:-1])} {self._texts['and']} {items[-1]}"

    def quoted(self, items: Sequence[str]) -> str:
        """Names in quotation marks, as in: “a”, “b” and “c”."""
        return self.several([f"“{item}”" for item in items])

    def of(self, text: Text) -> str:
        """What somebody wrote, on one line and no longer than it may be."""
        return plain(text.of(self.lang))


def plain(text: str) -> str:
    """Somebody's text on one line, without what would command a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MOST_OF_A_TEXT else f"{line[:MOST_OF_A_TEXT]}…"
