"""What `winnow evaluate` prints for people."""

import io

from rich.console import Console

from console.present import present
from evaluation.document import Document, Events, Refusal
from tests.support.documents import agreement, made_up

_, KPIS = agreement()


def printed(document, width=120, **options):
    out = io.StringIO()
    present(document, KPIS, Console(file=out, width=width, no_color=True), **options)
    return out.getvalue()


def latest_value(document, kpi, cell):
    found = [r for r in document.releases if r.kpi == kpi and r.cell == cell and r.output == "value"]
    return max(found, key=lambda r: r.window.end)


def test_every_window_is_printed_with_its_interval_and_the_latest_with_their_categories():
    document = made_up()
    text = printed(document)
    lines = text.splitlines()
    release = latest_value(document, "gp-visit-rate-ratio", {"income": "1"})
    line = next(line for line in lines if "Income quintile 1 (lowest)" in line)
    assert f"{release.value:.2f}" not in line  # the one before the last comes first
    assert any(f"{release.low:.2f} to {release.high:.2f}" in line and f"{release.value:.2f}" in line for line in lines)
    totals = [line for line in lines if "All patients " in line]
    windows = {r.window for r in document.releases} | {r.window for r in document.refusals}
    assert len(totals) == len(KPIS) * len(windows) == 150
    suppressed = sum("Suppressed" in line for line in totals)
    values = [r for r in document.releases if r.output == "value" and not r.cell]
    assert len(values) + suppressed == len(totals)
    assert text.count("Categories of the other 73 windows") == len(KPIS)


def test_the_categories_of_more_windows_are_printed_when_asked_for():
    lines = [len([x for x in printed(made_up(), latest=n).splitlines() if "Income quintile" in x]) for n in (2, 3)]
    assert lines == [2 * 2 * 5, 2 * 3 * 5]


def test_a_suppressed_category_of_a_printed_window_says_so():
    document = made_up(until=40)  # the last three windows are suppressed for categories, not for the total
    lines = printed(document).splitlines()
    suppressed = [line for line in lines if "Income quintile" in line and "Suppressed: too few patients" in line]
    assert len(suppressed) == 2 * 2 * 5  # KPIs × windows × categories


def test_refusals_are_grouped_by_rule_in_plain_words():
    text = " ".join(printed(made_up(revoked_from=60)).split())
    assert text.count("agreement-active:") == 1
    assert "the agreement is not in force" in text
    assert "15 windows; found revoked at block 912; required active, signed by every party" in text
    assert "said by nodes 0, 1, 2" in text
    assert "minimum-cohort: too few patients" in text
    assert "Refused: a rule of the agreement was not met." in text


def test_rejected_events_are_counted_by_reason():
    text = printed(made_up())
    assert "18 duplicate-id: the same id was read before" in text
    assert "214,508" in text
    assert "312" in text


def test_a_refusal_of_everything_prints_no_kpi():
    document = Document(
        status="refused",
        refusals=(Refusal(rule="agreement-active", found="proposed; not signed by insurer", required="active", nodes=(0, 1, 2)),),
        events={"hospital": Events(read=1, accepted=0, rejected={"some-new-reason": 1})},
    )
    text = printed(document)
    assert "everything; found proposed; not signed by insurer" in text
    assert "GP visits" not in text
    assert "1 some-new-reason" in text
    assert "0 values released." in text


def test_markup_in_a_document_is_printed_as_it_is():
    document = Document(
        status="refused", refusals=(Refusal(rule="quota", found="[bold red]x[/]", required="[link=http://x]y"),)
    )
    text = printed(document)
    assert "[bold red]x[/]" in text
    assert "[link=http://x]y" in text
