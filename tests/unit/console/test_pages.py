"""The pages without a browser: what they say, and to whom they answer."""

import csv
import hashlib
import html
import io
import json
import re
import string
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest

import console.pages
from console.errors import PortTakenError
from console.locale import number, period, preferred, quantity
from console.pages import MemoryStore, create_app, serve
from console.pages.security import is_loopback
from console.pages.view import chart, rows, spark
from console.series import Series, expected_windows, series
from console.telling import reading, unit_name
from console.texts import TEXTS
from evaluation.document import DateWindow, Document, Refusal, Release, Run, ScheduleRow
from policy.kpi import load_kpi
from tests.support.documents import agreement, made_up

DRAFT, KPIS = agreement()
RATIO, COST = KPIS
WINDOWS = expected_windows(DRAFT)
HERE = Path(console.pages.__file__).parent
LOOPBACK = "http://127.0.0.1:8080"


def client(document=None, base=LOOPBACK, kpis=KPIS):
    reader = DRAFT.recipients[0].model_copy(update={"kpis": tuple(kpi.id for kpi in kpis)})
    draft = DRAFT.model_copy(update={"recipients": (reader, *DRAFT.recipients[1:])})
    app = create_app(MemoryStore(document or made_up()), kpis, draft)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base)


def release(window, value=0.9, **changes):
    fields = {"kpi": RATIO.id, "window": window, "output": "value", "value": value, "low": value - 0.1,
              "high": value + 0.1, "unit": "ratio", **changes}
    return Release(**fields)


def states(document, kpi=RATIO, cell=None):
    return [p.state for p in series(document, kpi, cell or {}, WINDOWS[:3]).points]


# --- history ---------------------------------------------------------------------------------------------------


def test_expected_windows_are_those_of_the_agreement():
    assert len(WINDOWS) == 75
    assert WINDOWS[0] == DateWindow(start=date(2024, 1, 1), end=date(2024, 1, 29))
    assert WINDOWS[-1].end == date(2025, 6, 30)


def test_every_window_is_released_suppressed_refused_or_not_there_yet():
    document = Document(
        releases=(release(WINDOWS[0]), release(WINDOWS[0], 5, output="sums.exposed.time", low=None, high=None)),
        refusals=(Refusal(kpi=RATIO.id, window=WINDOWS[1], cell={}, rule="minimum-cohort"),),
    )
    assert states(document) == ["released", "suppressed", "pending"]
    assert states(document, COST) == ["pending"] * 3
    assert states(document, cell={"income": "1"}) == ["pending", "suppressed", "pending"]


def test_a_refusal_without_kpi_window_or_cell_holds_for_all_of_them():
    document = Document(releases=(release(WINDOWS[0]),), refusals=(Refusal(rule="quota"),))
    assert states(document) == ["released", "refused", "refused"]
    assert states(document, COST, {"income": "5"}) == ["refused"] * 3


def test_the_refusal_nearest_to_the_cell_is_shown():
    cell = {"income": "2"}
    document = Document(refusals=(
        Refusal(window=WINDOWS[0], rule="quota"),
        Refusal(kpi=RATIO.id, window=WINDOWS[0], cell=cell, rule="minimum-cohort"),
    ))
    assert states(document, cell=cell)[0] == "suppressed"
    assert states(document)[0] == "refused"


def test_the_full_edition_is_shown_once_it_is_there():
    first = release(WINDOWS[0], 0.9, edition="provisional")
    full = release(WINDOWS[0], 0.7, revision=1, edition="full")
    for found, value, en, nl in (
        ((first,), 0.9, "Released, provisional", "Vrijgegeven, voorlopig"),
        ((full, first), 0.7, "Released, full", "Vrijgegeven, volledig"),
    ):
        shown = series(Document(releases=found), RATIO, {}, WINDOWS[:1])
        assert shown.latest.value == value
        assert (rows(shown, "en")[0].note, rows(shown, "nl")[0].note) == (en, nl)


def test_a_full_edition_that_is_withheld_is_said_to_be_so():
    withheld = Refusal(kpi=RATIO.id, window=WINDOWS[0], revision=1, cell={}, rule="minimum-cohort")
    first = release(WINDOWS[0], 0.9, edition="provisional")
    shown = series(Document(releases=(first,), refusals=(withheld,)), RATIO, {}, WINDOWS[:2])
    assert [p.state for p in shown.points] == ["released", "pending"]
    assert rows(shown, "en")[1].note == "Released, provisional; the full edition is withheld"
    neither = Refusal(kpi=RATIO.id, window=WINDOWS[0], cell={}, rule="minimum-cohort")
    shown = series(Document(refusals=(neither, withheld)), RATIO, {}, WINDOWS[:1])
    assert [p.state for p in shown.points] == ["suppressed"]


# --- numbers, dates and words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "en", "nl"),
    [(1234.5, "1,234.50", "1.234,50"), (-0.004, "0.00", "0,00"), (-12.3, "−12.30", "−12,30"), (1e6, "1,000,000.00", "1.000.000,00")],
)
def test_numbers_are_written_as_readers_write_them(value, en, nl):
    assert (number(value, "en"), number(value, "nl")) == (en, nl)


def test_euros_and_periods_in_both_languages():
    assert quantity(-12.3, "EUR/patient-month", "en") == "−€12.30"
    assert quantity(-12.3, "EUR/patient-month", "nl") == "€ −12,30"
    crossing = DateWindow(start=date(2024, 12, 9), end=date(2025, 1, 6))
    assert period(crossing, "en") == "9 Dec 2024 – 5 Jan 2025"
    assert period(WINDOWS[10], "nl") == "11 mrt – 7 apr 2024"
    assert period(DateWindow(start=date(2024, 5, 1), end=date(2024, 5, 2)), "nl") == "1 mei 2024"


@pytest.mark.parametrize(
    ("query", "header", "lang"),
    [(None, "", "en"), ("nl", "en", "nl"), (None, "fr,nl-NL;q=0.8,en;q=0.5", "nl"), ("xx", "de", "en"), ("xx", "nl", "nl")],
)
def test_the_language_is_the_one_asked_for_or_preferred(query, header, lang):
    assert preferred(query, header) == lang


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.84, 0.71, 0.97, "16% lower. The interval lies wholly on one side of 1"),
        (1.2, 0.9, 1.6, "20% higher. The interval includes 1"),
        (1.2, 1.1, 1.6, "20% higher. The interval lies wholly"),
    ],
)
def test_a_ratio_is_read_out_with_its_uncertainty(value, low, high, said):
    found = release(WINDOWS[0], value, low=low, high=high)
    assert said in reading(found, Series(RATIO, {}, ()), "en")


@pytest.mark.parametrize(("noise", "en", "nl"), [
    ("in-interval", "the interval allows for it.", "het interval houdt daar rekening mee."),
    ("unsaid", "the figure does not say how much.", "het cijfer zegt niet hoeveel."),
])
def test_noise_is_told(noise, en, nl):
    shown, found = Series(RATIO, {}, ()), release(WINDOWS[0], noise=noise)
    assert reading(found, shown, "en").endswith(en) and reading(found, shown, "nl").endswith(nl)
    assert "oise was" not in reading(release(WINDOWS[0]), shown, "en")


def test_a_difference_is_read_out_in_euros():
    found = release(WINDOWS[0], -45.5, low=-120, high=29, unit="EUR/patient-month", kpi=COST.id)
    said = reading(found, Series(COST, {}, ()), "nl")
    assert "€ 45,50 per patiëntmaand lager" in said
    assert "bevat 0" in said


UPTAKE, ADHERENCE, PROM = (load_kpi(name) for name in ("uptake", "monitoring-adherence", "prom-change"))


@pytest.mark.parametrize(
    ("kpi", "value", "en", "nl"),
    [
        (UPTAKE, 0.4567, "Users had 45.7% of the time", "Gebruikers hadden 45,7% van de tijd"),
        (ADHERENCE, 0.8, "Users did 80.0% of what was due.", "Gebruikers deden 80,0% van wat gepland was."),
        (PROM, -0.25, "Users changed by 0.25 points less per answer. The interval includes 0",
         "Gebruikers veranderden per antwoord 0,25 punten minder. Het interval bevat 0"),
    ],
)
def test_shares_and_points_are_read_out(kpi, value, en, nl):
    found = release(WINDOWS[0], value, low=value - 0.3, high=value + 0.3, unit=kpi.value_unit, kpi=kpi.id)
    shown = Series(kpi, {}, ())
    assert (reading(found, shown, "en").startswith(en), reading(found, shown, "nl").startswith(nl)) == (True, True)


def test_a_share_is_written_in_percent_and_has_no_line_of_no_difference():
    found = release(WINDOWS[0], 0.4567, low=0.4, high=0.5, unit="share", kpi=UPTAKE.id)
    shown = series(Document(releases=(found,)), UPTAKE, {}, WINDOWS[:2])
    assert (rows(shown, "nl")[1].value, rows(shown, "en")[1].low) == ("45,7", "40.0")
    drawn = chart(shown, "en")
    assert (drawn["reference"], drawn["unit"], drawn["points"][0]["text"]) == (None, "share", "45.7% (40.0% to 50.0%)")
    assert spark(shown).reference is None
    assert unit_name(UPTAKE, "nl") == "procent"


async def test_pages_of_shares_and_points_are_there_in_both_languages():
    released = tuple(
        release(window, 0.4, low=0.3, high=0.5, unit=kpi.value_unit, kpi=kpi.id)
        for kpi in (UPTAKE, ADHERENCE, PROM) for window in WINDOWS[:3]
    )
    async with client(Document(releases=released), kpis=(UPTAKE, ADHERENCE, PROM)) as http:
        for lang, said in (("en", "No difference"), ("nl", "Geen verschil")):
            overview = (await http.get(f"/?lang={lang}")).text
            assert overview.count('class="reference"') == 1
            for kpi, compared in ((UPTAKE, False), (ADHERENCE, False), (PROM, True)):
                page = await http.get(f"/kpi/{kpi.id}?lang={lang}")
                assert page.status_code == 200
                assert (said in page.text) == compared
                assert (kpi.title.nl if lang == "nl" else kpi.title.en) in html.unescape(page.text)


def placeholders(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


def test_every_text_of_the_catalogue_is_complete_and_used():
    sources = "".join(p.read_text(encoding="utf-8") for p in [*HERE.glob("*.py"), *HERE.parent.glob("*.py"), *HERE.glob("templates/*.html")] if p.name != "texts.py")
    built = {"status_", "gap_", "better_", "ratio_", "mean_", "points_", "share_", "completion_", "income", "alert_", "schedule_", "noise_"}
    words = {"released", "suppressed", "refused", "pending"}
    for key, text in TEXTS.items():
        assert text.en.strip(), key
        assert text.nl.strip(), key
        assert placeholders(text.en) == placeholders(text.nl), key
        assert f'"{key}"' in sources or f"'{key}'" in sources or key in words or any(key.startswith(b) for b in built), f"{key} is unused"


def test_the_small_chart_breaks_its_line_at_gaps():
    document = Document(releases=tuple(release(w) for w in (*WINDOWS[:3], *WINDOWS[5:8], WINDOWS[9])))
    small = spark(series(document, RATIO, {}, WINDOWS))
    assert len(small.lines) == 3
    assert len(small.bands) == 2
    assert spark(series(Document(), RATIO, {}, WINDOWS)) is None


# --- pages ------------------------------------------------------------------------------------------------------


async def test_the_overview_shows_the_latest_value_of_every_kpi():
    document = made_up()
    async with client(document) as http:
        page = (await http.get("/?lang=en")).text
    for kpi in KPIS:
        last = max((r for r in document.releases if r.kpi == kpi.id and not r.cell and r.output == "value"), key=lambda r: r.window.end)
        assert kpi.title.en in page
        assert quantity(last.value, kpi.value_unit, "en") in page
    assert "Last updated" in page


async def test_the_table_behind_the_chart_has_every_window():
    async with client() as http:
        page = (await http.get(f"/kpi/{RATIO.id}?cell=income:1&lang=en")).text
    table = page[page.index('<table id="values"'):page.index("</table>")]
    assert table.count('<th scope="row">') == len(WINDOWS)
    assert table.count("Suppressed: too few patients") == 18
    assert "Income quintile 1 (lowest)" in table


async def test_the_charts_data_hold_null_where_there_is_a_gap():
    document = made_up(until=40, revoked_from=30)
    async with client(document) as http:
        page = (await http.get(f"/kpi/{RATIO.id}?lang=nl")).text
    data = json.loads(re.search(r'id="chart-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    assert len(data["points"]) == len(WINDOWS)
    for point in data["points"]:
        assert (point["value"] is None) == (point["state"] != "released")
    assert [p["state"] for p in data["points"]].count("refused") == 10
    assert [p["state"] for p in data["points"]].count("pending") == 35
    assert "35 nog niet beschikbaar" in html.unescape(page)
    assert data["points"][0]["at"] == 1_706_400_000_000  # 28 January 2024


async def test_windows_asked_for_are_listed_apart_and_not_drawn():
    quarter = DateWindow(start=WINDOWS[0].start, end=WINDOWS[9].end)
    asked = release(quarter, value=0.8125, on_demand=True)
    document = Document(releases=(release(WINDOWS[0]), asked))
    async with client(document) as http:
        page = (await http.get(f"/kpi/{RATIO.id}?lang=nl")).text
        other = (await http.get(f"/kpi/{RATIO.id}?lang=en&cell=income:1")).text
    table = page[page.index('id="asked"'):]
    assert "Op verzoek" in table
    assert period(quarter, "nl") in table
    assert "0,81" in table
    assert period(quarter, "nl") not in page[:page.index('id="asked"')]
    assert period(quarter, "en") in other[other.index('id="asked"'):]
    async with client(Document(releases=(release(WINDOWS[0]),))) as http:
        assert "Asked for" not in (await http.get(f"/kpi/{RATIO.id}?lang=en")).text


async def test_the_schedule_says_what_ran_late_and_why():
    rows = (
        ScheduleRow(window=WINDOWS[0], expected=WINDOWS[5].end, state="ran", nodes=(0, 1),
                    ended_at=datetime(2024, 7, 1, 10, tzinfo=UTC), said={"1": "this node was down for an hour"}),
        ScheduleRow(window=WINDOWS[1], expected=WINDOWS[6].end, state="refused", nodes=(0, 1), rule="quota"),
        ScheduleRow(window=WINDOWS[2], expected=WINDOWS[7].end, state="waiting"),
    )
    async with client(Document(schedule=rows)) as http:
        page = (await http.get("/runs?lang=nl")).text
    table = page[page.index('id="schedule"'):]
    assert table.count('<th scope="row">') == 3
    for said in ("Laat gedraaid", "knooppunt 1:", "this node was down for an hour", "1 jul 2024, 12:00:00", "quota",
                 "Wacht op zijn gegevens", "Geweigerd"):
        assert said in table


async def test_who_may_see_it_and_the_minimum_are_said():
    async with client() as http:
        page = (await http.get(f"/kpi/{RATIO.id}?lang=en")).text
    assert "only: innovation-team" in page
    assert "fewer than 10" in page


@pytest.mark.parametrize(("lang", "said"), [
    ("nl", "koppeling, nieuwe patiënten van aanvulling 3, geen venster"), ("en", "linkage, new patients of batch 3, no window"),
])
async def test_a_linkage_of_new_patients_says_which_batch(lang, said):
    async with client(Document(runs=(Run(id="ab" * 32, outcome="linked", batch=3),))) as http:
        assert said in (await http.get(f"/runs?lang={lang}")).text


@pytest.mark.parametrize(("lang", "said"), [
    ("nl", "koppeling, 4 aanvullingen opnieuw gekoppeld, geen venster"), ("en", "linkage, 4 batches linked anew, no window"),
])
async def test_what_was_linked_anew_says_so(lang, said):
    async with client(Document(runs=(Run(id="ab" * 32, outcome="linked", batch=3, epoch=4),))) as http:
        assert said in (await http.get(f"/runs?lang={lang}")).text


async def test_runs_and_events():
    async with client() as http:
        runs, events = (await http.get("/runs?lang=nl")).text, (await http.get("/events?lang=nl")).text
    assert runs.count("<tr>") == 1 + 4
    assert "koppeling, geen venster" in runs
    assert ">tail</th>" in runs
    assert "214.508" in events
    assert "duplicate-id" in events
    assert "hetzelfde id is al gelezen" in events


@pytest.mark.parametrize("path", ["/", "/runs", "/events", f"/kpi/{RATIO.id}"])
async def test_pages_work_before_anything_happened(path):
    async with client(Document()) as http:
        answer = await http.get(path)
    assert answer.status_code == 200


async def test_what_a_document_says_is_escaped():
    refusal = Refusal(rule="quota", found="<script>alert(1)</script>", required="fewer")
    async with client(Document(status="refused", refusals=(refusal,))) as http:
        page = (await http.get("/")).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize("path", ["/kpi/none", f"/kpi/{RATIO.id}?cell=income:9", f"/kpi/{RATIO.id}?cell=<b>", "/nothing", "/docs", "/openapi.json", "/static/../app.py"])
async def test_unknown_addresses_are_pages_too(path):
    async with client() as http:
        answer = await http.get(path, params=None)
    assert answer.status_code == 404
    assert "This page does not exist" in answer.text
    assert "<b>" not in answer.text


async def test_downloads_hold_every_cell_and_every_gap():
    document = made_up()
    async with client(document) as http:
        table, plain = await http.get(f"/kpi/{RATIO.id}/data.csv"), await http.get(f"/kpi/{RATIO.id}/data.json")
    assert "attachment" in table.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(table.text)))
    values = [line for line in lines if line["output"] == "value"]
    assert len(values) == 6 * len(WINDOWS)
    assert sum(line["state"] == "suppressed" for line in values) == 6 + 5 * 18
    assert {line["rule"] for line in values if line["state"] == "suppressed"} == {"minimum-cohort"}
    first = next(r for r in document.releases if r.kpi == RATIO.id)
    written = next(line for line in lines if line["state"] == "released")
    assert float(written["value"]) == first.value
    held = plain.json()
    assert len(held["releases"]) == sum(r.kpi == RATIO.id for r in document.releases)
    assert {r["kpi"] for r in held["refusals"]} == {RATIO.id}


async def test_an_open_page_learns_of_changes():
    store = MemoryStore()
    app = create_app(store, KPIS, DRAFT)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=LOOPBACK) as http:
        assert (await http.get("/state.json")).json() == {"version": 0, "running": True}
        store.publish(made_up())
        store.publish(made_up())  # the same again is no change
        assert (await http.get("/state.json")).json() == {"version": 1, "running": False}


# --- security ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:8080", "LOCALHOST", "[::1]", "[::1]:9"])
def test_loopback_names(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost:x", "::1", "127.0.0.1:80:80", "localhost."])
def test_other_names(host):
    assert not is_loopback(host)


async def test_a_request_under_another_name_gets_nothing():
    async with client(base="http://rebound.example:8080") as http:
        for path in ("/", f"/kpi/{RATIO.id}/data.json", "/state.json", "/static/winnow.css"):
            answer = await http.get(path)
            assert answer.status_code == 421
            assert "Content-Security-Policy" in answer.headers
            assert "GP visits" not in answer.text


@pytest.mark.parametrize("path", ["/", "/nothing", "/static/chart.js", f"/kpi/{RATIO.id}/data.json"])
async def test_every_answer_carries_the_protective_headers(path):
    async with client() as http:
        answer = await http.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in answer.headers


async def test_nothing_can_be_changed_over_http():
    async with client() as http:
        for path in ("/", f"/kpi/{RATIO.id}", "/state.json"):
            assert (await http.post(path)).status_code == 405


def test_templates_hold_no_inline_style_script_or_foreign_address():
    for template in HERE.glob("templates/*.html"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|https?://", text), template.name
        for script in re.findall(r"<script[^>]*>", text):
            assert 'src="/static/' in script or "application/json" in script


def test_vendored_files_are_the_listed_ones():
    folder = HERE / "static" / "vendor"
    listed = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    assert set(listed) == {p.name for p in folder.iterdir()} - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def luminance(colour):
    channels = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_lines_and_texts_contrast_with_the_page_in_both_themes(theme):
    css = (HERE / "static" / "winnow.css").read_text(encoding="utf-8")
    blocks = re.findall(r"\{\s*(--w-page[^}]*)\}", css)
    colours = dict(re.findall(r"--w-([a-z-]+): (#[0-9a-f]{6})", blocks[theme]))
    for name in ("line", "band-edge", "reference", "suppressed", "refused", "pending"):
        assert contrast(colours[name], colours["page"]) >= 3, name  # WCAG 2.2, 1.4.11
    assert contrast(colours["line"], colours["band"]) >= 3
    assert contrast(colours["reference"], colours["band"]) >= 3
    for name in ("text", "muted"):
        for background in ("page", "gap"):
            assert contrast(colours[name], colours[background]) >= 4.5, (name, background)  # WCAG 2.2, 1.4.3
    for text, background in (("good", "good-fill"), ("refused", "bad-fill"), ("line", "busy-fill"), ("page", "line")):
        assert contrast(colours[text], colours[background]) >= 4.5, (text, background)


# --- serving ----------------------------------------------------------------------------------------------------


async def test_serving_answers_on_loopback_and_stops():
    app = create_app(MemoryStore(made_up()), KPIS, DRAFT)
    async with serve(app, 0) as url:
        assert url.startswith("http://127.0.0.1:")
        async with httpx.AsyncClient(base_url=url) as http:
            answer = await http.get("/")
            assert answer.status_code == 200
            assert "server" not in answer.headers
        with pytest.raises(PortTakenError, match="Choose another port"):
            async with serve(app, int(url.rstrip("/").rsplit(":", 1)[1])):
                pass
    async with httpx.AsyncClient(base_url=url) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/")
