"""`winnow agreement draft`: what answers make validates, wrong ones are refused and asked again, and nothing is lost."""

import contextlib
import json
import os
import pty
import re
import select
import string
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.agreement.drafting.command import KEYS, Choices, draft
from console.agreement.drafting.dutch import DUTCH
from console.agreement.drafting.english import ENGLISH
from console.agreement.drafting.kinds import BadAnswerError
from console.agreement.drafting.questions import questions
from console.agreement.drafting.template import WHY
from console.agreement.validation import judge
from console.errors import ConsoleError
from evaluation.errors import EXIT_ENDED, EXIT_INTERRUPTED
from policy.agreement import load_draft
from policy.kpi import catalogue

TODAY = date(2026, 11, 29)
NEEDED = {"name": "small", "innovation": "ibd-coach"}
CAPPED = "cost-difference-winsorised"
UNCAPPED = ", ".join(kpi for kpi in catalogue() if kpi != CAPPED)
FULL = {
    **NEEDED, "kpis": UNCAPPED, "factor": "education", "categories": "low, middle, high", "requesters": "analyst, board",
    "recipients": "innovation-team, insurer-team", "reads.insurer-team": "uptake", "asks_for.board": "insurer-team",
}
DOC = (Path(__file__).parents[4] / "docs" / "agreements.md").read_text(encoding="utf-8")


def write(folder, said=NEEDED, lang="en", **choices):
    """Draft without anybody to ask; the agreement's path."""
    path = folder / "agreement.toml"
    choices = {"defaults": True, "settings": [f"{key}={text}" for key, text in said.items()], **choices}
    assert draft(path, Choices(**choices), lang, TODAY, as_json=False) == EXIT_ENDED
    return path


@pytest.mark.parametrize("lang", ["en", "nl"])
@pytest.mark.parametrize("kpi", [*catalogue(), UNCAPPED])
def test_a_draft_with_any_kpi_of_the_catalogue_validates(tmp_path, kpi, lang):
    path = write(tmp_path, NEEDED | {"kpis": kpi}, lang)
    verdict = judge(path)
    assert not verdict.faults
    assert {plan.kpi for plan in verdict.subject.plans} == set(kpi.split(", "))
    asked = {m.party for m in verdict.subject.draft.measures}
    assert asked == {p.name for p in verdict.subject.draft.parties}


@pytest.mark.parametrize("pane", ["day", "week", "month", "year"])
def test_a_draft_validates_whatever_time_is_cut_into(tmp_path, pane):
    path = write(tmp_path, FULL | {"pane": pane})
    assert load_draft(path).panes.unit == pane


@pytest.mark.parametrize("change", [
    {"withdrawals": "none"}, {"erase_every": "none"}, {"remember": "geen"}, {"new_patients": "none"},
    {"largest_percent": "none", "two_largest_percent": "none", "p_percent": "none"}, {"p_percent": "none"},
    {"minimum_cohort": "3"}, {"minimum_cohort": "601"}, {"tables": "in-order"}, {"step": "3"}, {"panes": "1"},
    {"claims_wait": "0"}, {"categories": "1, 2"}, {"factor": "education"}, {"on_demand": "none", "requesters": "a"},
    {"kpis": CAPPED, "requesters": "analyst"}, {"reads.innovation-team": "none"}, {"valid_until": "2199-12-31"},
    {"first_day": "2190-01-01", "linked_by": "2190-01-01", "valid_from": "2190-01-01"}, {"first_day": "1970-01-01"},
    {"title_en": 'Quotes " and \\ and €', "title_nl": "# geen = commentaar"}, {"zone": "America/New_York"},
    {"purposes": "https://w3id.org/dpv#Marketing, 3"}, {"panes": "600"}, {"linked_by": "2030-01-01"},
])
def test_other_answers_make_agreements_too(tmp_path, change):
    verdict = judge(write(tmp_path, NEEDED | change))
    assert not verdict.faults


def test_what_was_answered_stands_in_the_agreement(tmp_path):
    made = load_draft(write(tmp_path, FULL | {
        "care": "ibd-care", "module": "check-in", "points": "20", "answers": "3", "insurer": "zorg-west", "window": "6",
        "minimum_cohort": "12", "largest_percent": "40", "withdrawals": "hospital", "erase_within": "20",
        "asks_runs.analyst": "9", "on_demand": "12", "valid_until": "2031-01-01", "runs": "500",
        "purposes": "dpv:PublicBenefit",
    }))
    by_name = {m.name: m for m in made.measures}
    assert (by_name["app_not_yet"].cohort, by_name["app_not_yet"].programme) == ("ibd-care", "ibd-coach")
    assert by_name["modules_due"].module == by_name["modules_missed"].module == "check-in"
    assert by_name["prom_change"].bound == 20 * 3 * 100
    assert by_name["cost"].party == "zorg-west"
    assert (made.windows.size, made.windows.step, made.on_demand.largest) == (6, 1, 12)
    assert (made.disclosure.minimum_cohort, made.disclosure.dominance.largest_percent) == (12, 40)
    assert [p.name for p in made.parties if "withdrawal" in p.sources[0].kinds] == ["hospital"]
    assert made.erasure.within_days == 20
    assert made.strata.dimension == "education"
    assert [(r.name, r.recipient, r.runs) for r in made.requesters] == [
        ("analyst", "innovation-team", 9), ("board", "insurer-team", 50),
    ]
    assert made.reads["insurer-team"] == ("uptake",)
    assert (made.valid_from, made.valid_until) == (date(2026, 12, 1), date(2031, 1, 1))
    assert (made.quota.runs, made.purposes) == (500, ("dpv:PublicBenefit",))


def test_the_answers_beside_a_draft_make_the_same_one_again(tmp_path):
    first = write(tmp_path, FULL)
    text, kept = first.read_text(encoding="utf-8"), tmp_path / "agreement.answers.toml"
    assert draft(first, Choices(force=True), "en", TODAY, as_json=False) == EXIT_ENDED
    assert first.read_text(encoding="utf-8") == text
    (tmp_path / "other").mkdir()
    again = tmp_path / "other" / "agreement.toml"
    assert draft(again, Choices(answers=kept), "en", date(2031, 5, 5), as_json=False) == EXIT_ENDED
    assert again.read_text(encoding="utf-8") == text
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name not in (first.name, kept.name)]


def test_answers_may_be_typed_as_toml_has_them(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'name = "small"\ninnovation = "ibd-coach"\nkpis = ["uptake"]\nminimum_cohort = 15\nfirst_day = 2027-01-01\n'
        "requesters = []\n[reads]\ninnovation-team = ['uptake']\n", encoding="utf-8",
    )
    made = load_draft(write(tmp_path, {}, answers=mine))
    assert (made.disclosure.minimum_cohort, made.panes.start, made.kpis) == (15, date(2027, 1, 1), ("uptake",))


def test_an_agreement_says_what_each_choice_protects(tmp_path):
    text = write(tmp_path, FULL).read_text(encoding="utf-8")
    for keys in WHY.values():
        for key in keys:
            assert f"# {ENGLISH[key].format(panes='months')}\n" in text, key
    dutch = write(tmp_path, {}, "nl", force=True).read_text(encoding="utf-8")
    assert "# Met minder blijft een cijfer binnen." in dutch
    assert ENGLISH["why_minimum_cohort"] not in dutch


def test_what_others_have_to_give_is_listed(tmp_path, capsys):
    path = tmp_path / "agreement.toml"
    choices = Choices(defaults=True, settings=[f"{k}={v}" for k, v in FULL.items()])
    assert draft(path, choices, "en", TODAY, as_json=True) == EXIT_ENDED
    said = json.loads(capsys.readouterr().out)
    assert said["agreement"] == str(path)
    listed = "\n".join(said["remains"])
    for who in ("hospital:", "insurer:", "statistics:", "node 0", "node 2", "innovation-team:", "insurer-team:",
                "analyst:", "link secret", "legal basis"):
        assert who in listed, who


@pytest.mark.parametrize(("key", "text", "said"), [
    ("name", "Small", "small letters"), ("name", "winnow", None), ("title_en", "", "found: nothing"),
    ("title_en", "x" * 201, "at most 200"), ("kpis", "strange", "one of adm"),
    ("kpis", f"cost-difference, {CAPPED}", "beyond the cap"), ("kpis", "0", "one of"), ("kpis", ",", "one of"),
    ("innovation", "IBD", "ibd-coach"), ("care", "ibd-coach", "is not one of geen, ibd-coach, none"), ("hospital", "node-1", "no part"),
    ("insurer", "hospital", "is not one of hospital"), ("factor", "-", "education"), ("factor", "x" * 31, "letters"),
    ("categories", "1, 1", "each once"), ("categories", "x" * 39, "at most 40"), ("categories", "none", "one name or more"), ("factor", "none", "is not one of geen, none"),
    ("innovation", "geen", "is not one of geen, none"), ("zone", "Mars/Base", "Europe/Amsterdam"),
    ("pane", "century", "day, week, month, year"), ("first_day", "2026-12-15", "take 2026-12-01"),
    ("first_day", "1-12-2026", "2026-09-01"), ("first_day", "2026-02-30", "a date"), ("first_day", "1969-12-01", "1970"),
    ("panes", "0", "from 1 to 5000"), ("panes", "١٢", "from 1"), ("window", "25", "from 1 to 24"), ("step", "4", "to 3"),
    ("claims_wait", "-1", "from 0"), ("new_patients", "24", "at least once"), ("minimum_cohort", "2", "from 3"),
    ("minimum_cohort", "9" * 5000, "…"), ("largest_percent", "33", "or none"), ("p_percent", "15", "5, 10, 20, 25, 50"),
    ("tables", "half", "whole, in-order"), ("withdrawals", "node", "hospital"), ("erase_every", "99", "or none"),
    ("erase_within", "32", "to 31"), ("remember", "3", "from 5"), ("recipients", "hospital", "is not one of hospital"),
    ("recipients", "none,", "no part of the system"), ("reads.innovation-team", "uptake", "one of cost-difference"),
    ("requesters", "innovation-team", "is not one of"), ("purposes", "fun", "Data Privacy Vocabulary"),
    ("purposes", 'dpv:"x', "Data Privacy"), ("data_categories", "", "found: nothing"), ("valid_until", "2026-12-01", "2026-12-02"),
    ("runs", "1", "from 8"),
])
def test_a_wrong_answer_is_refused_with_what_was_expected(tmp_path, key, text, said):
    answers = NEEDED | {key: text}
    if said is None:  # only people's and processes' names are reserved
        write(tmp_path, answers)
        return
    with pytest.raises(ConsoleError) as refused:
        write(tmp_path, answers)
    message = str(refused.value).lower()
    assert message.startswith(f"{key}: found: ")
    assert "; expected: " in message
    assert "; what to do: " in message
    assert said.lower() in message
    assert "\x1b" not in message
    assert len(message) < 700
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("choices", "said"), [
    ({"settings": ["minimum=10"]}, (
        "found 'minimum', which is no question. Expected one of those in docs/agreements.md; perhaps minimum_cohort")),
    ({"settings": ["minimum_cohort"]}, "expected KEY=ANSWER"), ({"settings": ["reads=all"]}, "found 'reads'"),
    ({"settings": ["name.x=all"]}, "found 'name.x'"), ({"settings": ["name=\udc80"]}, "expected text on one line"), ({"settings": ["title_en=a\x1b[2J"]}, "on one line"),
    ({"answers": Path("/nowhere")}, "cannot read answers /nowhere"),
    ({"answers": Path(__file__)}, "are not TOML"), ({"defaults": False}, "found no answer to 'name', and nobody is asked"),
    ({"settings": []}, "Expected --set name=ANSWER"),
])
def test_what_cannot_be_gone_on_with_is_said(tmp_path, choices, said):
    given_ = {"settings": [f"{k}={v}" for k, v in NEEDED.items()], "defaults": True, **choices}
    if choices == {"defaults": False}:
        given_["settings"] = []
    with pytest.raises(ConsoleError, match=re.escape(said)):
        draft(tmp_path / "agreement.toml", Choices(**given_), "en", TODAY, as_json=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("content", "said"), [
    ("name = 1.5\n", "name: expected a text"), ("name = true\n", "name: expected a text"), ("[name]\na = 1\n", "name.a"),
    ("kpis = [1]\n", "kpis: expected a text"), ("[reads.x]\na = 1\n", "reads.x: expected a text"),
    ('[reads]\n"a b" = "all"\n', "found 'reads.a b'"), ('name = "a\\u007f"\n', "'name': found what cannot be seen"),
    ("# " + "x" * 1_000_001, "more than 1,000,000 bytes"), ("a = " + "[" * 100_000, "are not TOML"),
    ("a = " + "9" * 5_000, "are not TOML"),
])
def test_a_file_of_answers_that_is_none_is_said(tmp_path, content, said):
    mine = tmp_path / "mine.toml"
    mine.write_text(content, encoding="utf-8")
    with pytest.raises(ConsoleError, match=re.escape(said)):
        write(tmp_path, {}, answers=mine)


def test_an_agreement_needs_a_name():
    with pytest.raises(ConsoleError, match=r"expected a name that ends in \.toml"):
        draft(Path(), Choices(settings=["name=q", "innovation=x"], defaults=True), "en", TODAY, as_json=False)


def test_answers_without_an_end_are_not_read_for_ever(tmp_path):
    with pytest.raises(ConsoleError, match="more than 1,000,000 bytes"):
        write(tmp_path, {}, answers=Path("/dev/zero"))


def test_nothing_is_overwritten_unless_asked_for(tmp_path):
    path = write(tmp_path)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(ConsoleError, match="is there already; it is left as it is"):
        write(tmp_path)
    assert path.read_text(encoding="utf-8") == "mine"
    write(tmp_path, force=True)
    assert load_draft(path).name == "small"
    path.unlink()
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "other"\ninnovation = "x"\n', encoding="utf-8")
    with pytest.raises(ConsoleError, match="holds answers of an earlier time"):
        write(tmp_path, {}, answers=mine)
    assert load_draft(write(tmp_path, {}, answers=mine, force=True)).name == "other"
    with pytest.raises(ConsoleError, match=r"ends in \.toml"):
        draft(tmp_path / "agreement.json", Choices(defaults=True), "en", TODAY, as_json=False)
    with pytest.raises(ConsoleError, match="cannot write"):
        write(tmp_path / "nowhere")


def test_answers_that_no_question_follows_are_told(tmp_path, capsys):
    write(tmp_path, NEEDED | {"kpis": "monitoring-adherence", "insurer": "zorg-west", "reads.nobody": "all"})
    assert "left aside: insurer, reads.nobody." in capsys.readouterr().err


class Typist:
    """Somebody at a terminal, who types what they are told to; then the end of input, or Ctrl-C."""

    def __init__(self, monkeypatch, *typed, ending=EOFError):
        self.typed, self.ending = list(typed), ending
        monkeypatch.setattr("builtins.input", self.type)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    def type(self, *_):
        if not self.typed:
            raise self.ending
        return self.typed.pop(0)


@pytest.mark.parametrize("ending", [EOFError, KeyboardInterrupt])
def test_who_stops_at_once_is_told_of_no_file(tmp_path, monkeypatch, capsys, ending):
    Typist(monkeypatch, ending=ending)
    assert draft(tmp_path / "agreement.toml", Choices(), "en", TODAY, as_json=False) == EXIT_INTERRUPTED
    assert capsys.readouterr().err.endswith("winnow: Stopped before the first answer. Nothing was written.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [EOFError, KeyboardInterrupt])
def test_who_stops_in_the_middle_goes_on_where_they_were(tmp_path, monkeypatch, capsys, ending):
    path = tmp_path / "agreement.toml"
    Typist(monkeypatch, "Bad Name", "small", "My title", "", "uptake", ending=ending)
    assert draft(path, Choices(), "en", TODAY, as_json=False) == EXIT_INTERRUPTED
    said = capsys.readouterr().err
    assert "Found: Bad Name" in said
    assert "ibd-coach-2026" in said
    assert "Stopped after 4 answers" in said
    assert not path.exists()
    kept = tomllib.loads((tmp_path / "agreement.answers.toml").read_text(encoding="utf-8"))
    assert kept == {"name": "small", "title_en": "My title", "title_nl": "My title", "kpis": "uptake"}
    Typist(monkeypatch, "ibd-coach", *[""] * 60)
    assert draft(path, Choices(), "en", TODAY, as_json=False) == EXIT_ENDED
    made = load_draft(path)
    assert (made.title.nl, made.kpis) == ("My title", ("uptake",))


def test_answers_can_be_gone_through_again(tmp_path, monkeypatch):
    path = write(tmp_path, FULL)
    typist = Typist(monkeypatch, "", "Another title", *[""] * 80)
    assert draft(path, Choices(edit=True, force=True), "en", TODAY, as_json=False) == EXIT_ENDED
    assert len(typist.typed) > 10
    made = load_draft(path)
    assert made.title.en == "Another title"
    assert [r.name for r in made.requesters] == ["analyst", "board"]
    Typist(monkeypatch, "", "", "", "")  # ends while all else is still to be asked: nothing of it is lost
    assert draft(path, Choices(edit=True, force=True), "en", TODAY, as_json=False) == EXIT_INTERRUPTED
    kept = tomllib.loads((tmp_path / "agreement.answers.toml").read_text(encoding="utf-8"))
    assert kept["requesters"] == "analyst, board"


def test_an_earlier_answer_that_cannot_stand_any_more_is_asked_again(tmp_path, monkeypatch, capsys):
    path = write(tmp_path, NEEDED | {"window": "6", "step": "6"})
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    Typist(monkeypatch, "2")
    choices = Choices(settings=["window=4"], force=True)
    assert draft(path, choices, "en", TODAY, as_json=False) == EXIT_ENDED
    assert "Expected: a whole number from 1 to 4" in capsys.readouterr().err
    assert load_draft(path).windows.step == 2


def test_at_a_real_terminal(tmp_path):
    """With a terminal of its own: what is typed is read, Ctrl-D stops, and the answers are there."""
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - the other process
        os.chdir(tmp_path)
        environment = {**os.environ, "LC_ALL": "nl_NL.UTF-8", "PYTHONPATH": str(Path(__file__).parents[4])}
        os.execve(sys.executable, [sys.executable, "-m", "console.cli", "agreement", "draft", "a.toml"], environment)
    seen = ""

    def until(words):
        nonlocal seen
        while words not in seen:
            ready, _, _ = select.select([terminal], [], [], 60)
            assert ready, seen
            with contextlib.suppress(OSError):
                seen += os.read(terminal, 65_536).decode()

    until("Een korte naam voor de afspraak")
    os.write(terminal, b"mijn\n")
    until("De titel, in het Nederlands")
    os.write(terminal, b"\x04")
    until("Gestopt na 1 antwoorden")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == EXIT_INTERRUPTED
    assert tomllib.loads((tmp_path / "a.answers.toml").read_text(encoding="utf-8")) == {"name": "mijn"}


def everything_asked():
    """Every question with FULL's answers, else what is proposed."""
    answers, found = {}, []
    for question in questions(answers, TODAY, "en"):
        answers[question.key] = question.kind.read(FULL.get(question.key, question.proposed))
        found.append(question)
    return found


def test_every_question_has_its_texts_and_stands_in_the_docs():
    asked = {question.text for question in everything_asked()}
    assert asked == set(KEYS)
    table = DOC.split("| key | answer | proposed |\n")[1].split("\n\n")[0]
    named = [key for row in table.splitlines() for key in re.findall(r"`([a-z_]+)(?:\.NAME)?`", row.split("|")[1])]
    assert set(named) == asked
    for key in KEYS:
        assert ENGLISH[f"ask_{key}"]
        assert ENGLISH[f"why_{key}"]


def test_both_languages_have_the_same_texts_with_the_same_gaps():
    assert list(ENGLISH) == list(DUTCH)
    for key, text in ENGLISH.items():
        gaps = [{name for _, name, _, _ in string.Formatter().parse(t) if name} for t in (text, DUTCH[key])]
        assert gaps[0] == gaps[1], key


@settings(max_examples=60)
@given(st.text(max_size=60), st.sampled_from([q.key for q in everything_asked()]))
def test_no_answer_is_more_than_refused(text, key):
    question = next(q for q in everything_asked() if q.key == key)
    with contextlib.suppress(BadAnswerError):
        question.kind.read(text)
