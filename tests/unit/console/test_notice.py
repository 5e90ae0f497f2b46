"""What messages of alerts say, in both languages, and what they cannot be made to say."""

from datetime import date

import pytest

from console.notice import MAX_NAME_CHARACTERS, notice, one_line, trial_notice
from evaluation.document import DateWindow
from evaluation.outbox import Figure, Message
from policy.alert import Alert
from policy.kpi import Text, load_kpi
from tests.support.terms import make_terms

DRAFT = make_terms().draft
WINDOW = DateWindow(start=date(2025, 12, 8), end=date(2026, 1, 5))
RATE, COST = load_kpi("gp-visit-rate-ratio"), load_kpi("cost-difference")
FIGURE = Figure(value=0.951, low=0.9, high=1.0049)
ID = "0123456789" * 4


def said(kpi=RATE, state="raised", figure=FIGURE, *, reads=True, page=None, draft=DRAFT, **changes):
    alert = Alert.model_validate({
        "id": "advantage-gone", "kpi": kpi.id, "recipient": "team", "when": "above", "raise_at": "0.93",
        "clear_at": "-1.5", **changes,
    })
    message = Message(id=ID, window=3, state=state, figure=figure, decided_at=0.0, waiting=("x",))
    return notice(alert, message, kpi, draft, WINDOW, reads=reads, page=page)


def test_a_message_in_full():
    title, body = said(page="https://winnow.example.org/")
    assert title == f"Alert raised: {RATE.title.en} / Melding aan: {RATE.title.nl}"
    assert body == "\n".join((
        f"{RATE.title.en} (All patients) reached its bound in the window 8 Dec 2025 – 4 Jan 2026.",
        "Alert “advantage-gone”: on at 0.93 or more, off at −1.5 or less (ratio).",
        "Value: 0.95; 95% interval 0.90 to 1.00.", "Agreement: Small.", "Page: https://winnow.example.org/",
        f"Reference {ID}. If this message comes twice, it has the same reference.", "",
        f"{RATE.title.nl} (Alle patiënten) bereikte de grens in het venster 8 dec 2025 – 4 jan 2026.",
        "Melding “advantage-gone”: aan bij 0,93 of meer, uit bij −1,5 of minder (verhouding).",
        "Waarde: 0,95; 95%-interval 0,90 tot 1,00.", "Afspraak: Klein.", "Pagina: https://winnow.example.org/",
        f"Kenmerk {ID}. Komt dit bericht twee keer, dan is het kenmerk hetzelfde.",
    ))


def test_a_cell_below_its_bound_in_euros_that_is_clear_again():
    title, body = said(COST, "clear", Figure(value=-12.5), cell={"income": "1"}, when="below", raise_at="-20", clear_at="3")
    assert title.startswith("Alert cleared: ")
    assert "Melding uit: " in title
    assert "(Income quintile 1 (lowest)) is back on the other side of its bound" in body
    assert "on at −20 or less, off at 3 or more (euro per patient-month)" in body
    assert "Value: −€12.50.\n" in body
    assert "Waarde: € −12,50.\n" in body


@pytest.mark.parametrize("figure", [FIGURE, None])
def test_no_value_for_who_may_not_read_it(figure):
    _, body = said(figure=figure, reads=False)
    assert "The value is not for you to see" in body
    assert "De waarde is niet voor u bestemd" in body
    assert "0.95" not in body
    assert "0,95" not in body


def test_no_value_where_the_agreement_releases_none():
    assert "The agreement releases no value here." in said(figure=None)[1]


def test_names_of_the_agreement_stay_names():
    """Whoever writes a KPI's title cannot write headers, lines or pages with it."""
    nasty = "Visits\r\nBcc: all@example.org\n\nValue: 9\x00\x1b[31m\u2028\u202eX" + "y" * 5_000
    kpi = RATE.model_copy(update={"title": Text(en=nasty, nl=nasty)})
    draft = DRAFT.model_copy(update={"title": Text(en=nasty, nl=nasty)})
    title, body = said(kpi, draft=draft)
    assert title.isprintable()
    assert len(title) < 2 * MAX_NAME_CHARACTERS + 60
    plain = said()[1]
    assert len(body.splitlines()) == len(plain.splitlines())
    assert not [line for line in body.splitlines() if line.startswith(("Bcc", "Value: 9")) or not line.isprintable()]


def test_one_line():
    assert one_line("  a\tb\n\nc  ") == "a b c"
    assert one_line("x" * MAX_NAME_CHARACTERS) == "x" * MAX_NAME_CHARACTERS
    assert len(one_line("x" * 10_000)) == MAX_NAME_CHARACTERS
    assert one_line("") == ""


def test_braces_in_names_are_just_braces():
    kpi = RATE.model_copy(update={"title": Text(en="{id} {0}", nl="{window}")})
    assert "{id} {0} (All patients)" in said(kpi)[1]


def test_a_test_message_says_nothing_about_data():
    title, body = trial_notice()
    assert (title, body.splitlines()[0]) == (
        "Winnow: test message / Winnow: proefbericht", "This is a test of Winnow’s alerts. Nothing happened."
    )
