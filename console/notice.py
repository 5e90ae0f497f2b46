"""What an alert's message says, in English and Dutch; pure functions.

It names the KPI, its cell, the window, the bounds and the state, and the value with its interval if its recipient may
read them. Names come from the agreement: they are put on one line, so that none of them can be more than a name.
"""

from collections.abc import Mapping
from typing import Final

from console.alerting import bounds
from console.locale import LANGS, Lang, period, quantity
from console.telling import cell_name, title
from evaluation.document import AlertRow, DateWindow
from evaluation.outbox import Figure, Message
from policy.agreement import Draft
from policy.alert import Alert
from policy.kpi import Kpi, Text

MAX_NAME_CHARACTERS = 160
_TEXTS: Final[Mapping[str, Text]] = {
    "raised": Text(en="Alert raised", nl="Melding aan"),
    "clear": Text(en="Alert cleared", nl="Melding uit"),
    "about_raised": Text(
        en="{kpi} ({cell}) reached its bound in the window {window}.",
        nl="{kpi} ({cell}) bereikte de grens in het venster {window}.",
    ),
    "about_clear": Text(
        en="{kpi} ({cell}) is back on the other side of its bound since the window {window}.",
        nl="{kpi} ({cell}) ligt sinds het venster {window} weer aan de andere kant van de grens.",
    ),
    "bounds": Text(en="Alert “{alert}”: {bounds}.", nl="Melding “{alert}”: {bounds}."),
    "value": Text(en="Value: {value}.", nl="Waarde: {value}."),
    "interval": Text(
        en="Value: {value}; 95% interval {low} to {high}.", nl="Waarde: {value}; 95%-interval {low} tot {high}.",
    ),
    "hidden": Text(
        en="The value is not for you to see: the agreement lets you have this state only.",
        nl="De waarde is niet voor u bestemd: volgens de afspraak krijgt u alleen deze stand.",
    ),
    "withheld": Text(en="The agreement releases no value here.", nl="De afspraak geeft hier geen waarde vrij."),
    "agreement": Text(en="Agreement: {title}.", nl="Afspraak: {title}."),
    "page": Text(en="Page: {url}", nl="Pagina: {url}"),
    "reference": Text(
        en="Reference {id}. If this message comes twice, it has the same reference.",
        nl="Kenmerk {id}. Komt dit bericht twee keer, dan is het kenmerk hetzelfde.",
    ),
    "test_title": Text(en="Winnow: test message", nl="Winnow: proefbericht"),
    "test": Text(
        en="This is a test of Winnow’s alerts. Nothing happened.",
        nl="Dit is een proef van de meldingen van Winnow. Er is niets gebeurd.",
    ),
}


def notice(
    alert: Alert, message: Message, kpi: Kpi, draft: Draft, window: DateWindow, *, reads: bool, page: str | None,
) -> tuple[str, str]:
    """Title and text of a message.

    Args:
        alert: the rule.
        message: the change.
        kpi: its program, for texts.
        draft: the agreement, for its title.
        window: the dates of the message's window.
        reads: whether the recipient may read the KPI.
        page: address of the recipient's page.
    """
    row = AlertRow(id=alert.id, kpi=alert.kpi, cell=alert.cell, window=window, when=alert.when,
                   raise_at=alert.raise_at, clear_at=alert.clear_at, state=message.state, changed=True)
    parts = (
        "\n".join((
            _say(lang, f"about_{message.state}", kpi=one_line(title(kpi, lang)),
                 cell=one_line(cell_name(kpi, alert.cell, lang)), window=period(window, lang)),
            _say(lang, "bounds", alert=alert.id, bounds=one_line(bounds(row, kpi, lang))),
            _figure(message.figure, kpi, lang, reads=reads),
            _say(lang, "agreement", title=one_line(draft.title.of(lang))),
            *(() if page is None else (_say(lang, "page", url=page),)),
            _say(lang, "reference", id=message.id),
        ))
        for lang in LANGS
    )
    heads = (f"{_say(lang, message.state)}: {one_line(title(kpi, lang))}" for lang in LANGS)
    return " / ".join(heads), "\n\n".join(parts)


def trial_notice() -> tuple[str, str]:
    """Title and text of a test; it says nothing about any data."""
    return _both("test_title", " / "), _both("test", "\n\n")


def one_line(name: str) -> str:
    """A name on one line, of a bounded length, without anything that is not a letter, a sign or a space."""
    said = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return said if len(said) <= MAX_NAME_CHARACTERS else said[: MAX_NAME_CHARACTERS - 1] + "…"


def _figure(figure: Figure | None, kpi: Kpi, lang: Lang, *, reads: bool) -> str:
    if figure is None or not reads:
        return _say(lang, "withheld" if reads else "hidden")
    value = quantity(figure.value, kpi.value_unit, lang)
    if figure.low is None or figure.high is None:
        return _say(lang, "value", value=value)
    return _say(lang, "interval", value=value, low=quantity(figure.low, kpi.value_unit, lang),
                high=quantity(figure.high, kpi.value_unit, lang))


def _say(lang: Lang, key: str, **names: str) -> str:
    return _TEXTS[key].of(lang).format(**names)


def _both(key: str, between: str) -> str:
    return between.join(_say(lang, key) for lang in LANGS)
