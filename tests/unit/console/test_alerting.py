"""Alerts as people see them: how each stands, in the terminal and on the pages."""

import io

import httpx
import pytest
from rich.console import Console

from console.alerting import bounds, standings
from console.pages import MemoryStore, create_app
from console.present import present
from console.series import expected_windows
from evaluation.document import AlertRow
from policy.kpi import load_kpi
from tests.support.documents import agreement, made_up

DRAFT, KPIS = agreement()
RATIO, COST = KPIS
WINDOWS = expected_windows(DRAFT)
RULES = {
    "gp-advantage-gone": (RATIO, {}, "above", "0.93", "0.84"),
    "costly-lowest": (COST, {"income": "1"}, "above", "125.50", "-10"),
    "too-good": (RATIO, {"income": "5"}, "below", "0.5", "0.6"),
}


def rows(alert, states):
    """Rows of one alert: r(aised), c(lear) or – (no data), a window each."""
    kpi, cell, when, raise_at, clear_at = RULES[alert]
    before, found = "c", []
    for window, state in zip(WINDOWS, states, strict=False):
        after = before if state == "–" else state
        found.append(AlertRow(
            id=alert, kpi=kpi.id, cell=cell, window=window, when=when, raise_at=raise_at, clear_at=clear_at,
            state={"r": "raised", "c": "clear", "–": "no-data"}[state], changed=after != before,
        ))
        before = after
    return found


def document():
    alerts = (*rows("gp-advantage-gone", "–rrrccrr"), *rows("costly-lowest", "–––"), *rows("too-good", "–cc–rc––"))
    return made_up().model_copy(update={"alerts": alerts})


async def page(lang="en", reader=None, path="/"):
    app = create_app(MemoryStore(document()), KPIS, DRAFT, reader)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8080") as http:
        return await http.get(f"{path}?lang={lang}")


def test_an_alert_stands_as_its_latest_window_with_data_left_it():
    assert [(s.row.id, s.state, s.since, s.changes) for s in standings(document().alerts)] == [
        ("gp-advantage-gone", "raised", WINDOWS[6], 3), ("costly-lowest", "no-data", None, 0),
        ("too-good", "clear", WINDOWS[5], 2),
    ]
    assert standings(()) == []


@pytest.mark.parametrize(("alert", "lang", "said"), [
    ("gp-advantage-gone", "en", "on at 0.93 or more, off at 0.84 or less (ratio)"),
    ("gp-advantage-gone", "nl", "aan bij 0,93 of meer, uit bij 0,84 of minder (verhouding)"),
    ("costly-lowest", "en", "on at 125.50 or more, off at −10 or less (euro per patient-month)"),
    ("too-good", "nl", "aan bij 0,5 of minder, uit bij 0,6 of meer (verhouding)"),
])
def test_bounds_are_told_as_agreed(alert, lang, said):
    assert bounds(rows(alert, "c")[0], RULES[alert][0], lang) == said


def test_bounds_of_a_share_are_told_in_percent_as_its_values_are():
    row = rows("too-good", "c")[0].model_copy(update={"raise_at": "0.655", "clear_at": "1"})
    assert bounds(row, load_kpi("monitoring-adherence"), "nl").endswith("aan bij 65,5 of minder, uit bij 100 of meer (procent)")
    assert bounds(row.model_copy(update={"raise_at": "0"}), load_kpi("uptake"), "en").startswith("on at 0 or less")


def test_the_terminal_lists_every_alert_once():
    out = io.StringIO()
    present(document(), KPIS, Console(file=out, width=200, no_color=True))
    section = out.getvalue().split("Alerts\n")[1].split("\n\n")[0]
    assert [line.strip() for line in section.splitlines()] == [
        "gp-advantage-gone: Raised since window 12 Feb – 10 Mar 2024",
        "GP visits, users against not-yet-users, All patients: on at 0.93 or more, off at 0.84 or less (ratio); 3 changes",
        "costly-lowest: No data yet from the start",
        ("Cost per patient-month, users minus not-yet-users, Income quintile 1 (lowest): on at 125.50 or more, "
        "off at −10 or less (euro per patient-month); 0 changes"),
        "too-good: Clear since window 5 Feb – 3 Mar 2024",
        ("GP visits, users against not-yet-users, Income quintile 5 (highest): on at 0.5 or less, off at 0.6 or more "
        "(ratio); 2 changes"),
    ]


async def test_a_document_without_alerts_has_no_word_about_them():
    out = io.StringIO()
    present(made_up().model_copy(update={"alerts": ()}), KPIS, Console(file=out, width=200, no_color=True))
    assert "Alerts" not in out.getvalue()


@pytest.mark.parametrize(("lang", "said"), [
    ("en", ("Alerts", "Raised", "Clear", "No data yet", "from the start", "Since window", "no value")),
    ("nl", ("Meldingen", "Aan", "Uit", "Nog geen gegevens", "vanaf het begin", "Sinds venster", "geen waarde")),
])
async def test_the_overview_lists_alerts_in_both_languages(lang, said):
    text = (await page(lang)).text
    section = text.split('<section id="alerts"')[1].split("</section>")[0]
    for words in said:
        assert words in section
    assert section.count("<tr>") == 4
    assert section.count("pill-alert-raised") == 1


async def test_a_reader_of_alerts_only_is_offered_no_figures():
    answer = await page(reader="insurer-alerts")
    assert 'id="alerts"' in answer.text
    assert "gp-advantage-gone" in answer.text
    assert 'class="card"' not in answer.text
    assert (await page(reader="insurer-alerts", path=f"/kpi/{RATIO.id}")).status_code == 404
    assert (await page(reader="innovation-team", path=f"/kpi/{RATIO.id}")).status_code == 200
