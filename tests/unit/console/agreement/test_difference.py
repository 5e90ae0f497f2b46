"""The comparison: every change is told, in words and by its field, with what it does to patients' protection."""

import json
from dataclasses import replace

import pytest
import tomli_w

from console.agreement.difference import GROUPS, as_document, as_text, difference
from console.agreement.run import compare
from console.agreement.sections import SECTIONS, sections_of
from console.agreement.words import Words
from console.locale import LANGS
from tests.support.full_agreements import (
    GROWING,
    HOPPING,
    WITHOUT,
    changed,
    full_data,
    growing_data,
    measure,
    put,
    subject,
    with_sums,
)
from tests.support.terms import draft_data, make_terms

FULL, GROWN = subject(full_data()), subject(growing_data())
SAY = Words("en", "week")
OTHER_WORDS = {"title", "strata"}
"""Fields of which one language may say the same."""


def between(old, new, lang="en"):
    return difference(old, new, lang)


def effects(found):
    """Key → what its change does."""
    return {change.key: change.effect for change in found.changes}


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("field", HOPPING)
def test_every_field_is_told(field, lang):
    found = between(FULL, subject(changed(full_data(), HOPPING[field])), lang)
    assert not found.equal
    first = field.split(".")[0]
    assert any(path.startswith(first) for path in found.fields), found.fields
    assert found.changes or first in OTHER_WORDS
    assert all(change.was != change.now for change in found.changes)


@pytest.mark.parametrize("field", GROWING)
def test_every_field_of_windows_that_grow_is_told(field):
    assert between(GROWN, subject(changed(growing_data(), GROWING[field]))).changes


@pytest.mark.parametrize("field", WITHOUT)
def test_there_and_back_do_the_opposite(field):
    other = subject(changed(full_data(), WITHOUT[field]))
    there, back = effects(between(FULL, other)), effects(between(other, FULL))
    opposite = {"weaker": "stronger", "stronger": "weaker", "neutral": "neutral", None: None}
    assert back == {key: opposite[value] for key, value in there.items()}


@pytest.mark.parametrize(("change", "key", "expected"), [
    (put(["disclosure", "minimum_cohort"], 9), "minimum", "weaker"),
    (put(["disclosure", "minimum_cohort"], 12), "minimum", "stronger"),
    (put(["disclosure", "dominance", "largest_percent"], 60), "largest-percent", "weaker"),
    (put(["disclosure", "dominance", "p_percent"], 20), "p-percent", "stronger"),
    (put(["disclosure", "dominance"], {"p_percent": 10}), "largest-percent", "weaker"),
    (put(["quota", "runs"], 200), "quota", "weaker"), (put(["quota", "runs"], 60), "quota", "stronger"),
    (put(["valid_until"], "2031-01-01"), "valid-until", "weaker"),
    (put(["valid_from"], "2024-02-01"), "valid-from", "stronger"),
    (put(["recipients", 1, "kpis"], ["cost-difference"]), "reads:insurer-alerts", "weaker"),
    (lambda d: d["recipients"].append({"name": "press", "kpis": []}), "recipient:press", "weaker"),
    (put(["requesters", 0, "runs"], 50), "asks:analyst:runs", "weaker"),
    (put(["on_demand", "largest"], 12), "on-demand", "weaker"),
    (put(["linkage", "dummies"], 64), "dummies", "stronger"), (put(["shards"], 1), "shards", "stronger"),
    (put(["erasure", "within_days"], 14), "erasure-within", "stronger"),
    (put(["erasure"], None), "erasure", "weaker"),
    (put(["corrections", "horizon_panes"], 100), "horizon", "weaker"),
    (put(["corrections"], None), "horizon", "weaker"),
    (put(["purposes"], ["dpv:ServiceOptimisation", "dpv:Marketing"]), "purpose:dpv:Marketing", "weaker"),
    (put(["measures", 0, "programme"], "ibd-coach"), None, None),
    (put(["panes", "zone"], "UTC"), "grid", None),
    (put(["parties", 1, "grace_panes"], 4), "grace:insurer", "neutral"),
    (lambda d: d["parties"][0]["sources"][0]["kinds"].remove("withdrawal"), "withdrawals-by", "weaker"),
    (measure("visits", bound=40), "measure:hospital:visits", None),
])
def test_what_a_change_does_to_protection(change, key, expected):
    found = between(FULL, subject(changed(full_data(), change)))
    if key is None:
        assert found.equal
    else:
        assert effects(found)[key] == expected


@pytest.mark.parametrize(("made", "bases", "expected"), [
    (with_sums, {"days": 14}, "stronger"), (with_sums, {"days": 5}, "weaker"), (with_sums, {"days": 1}, "weaker"),
    (subject, {"days": 14}, "neutral"), (subject, {"days": None}, "neutral"),
])
def test_rounding_protects_where_sums_come_out(made, bases, expected):
    old, new = (made(full_data(alerts=[], disclosure={
        "minimum_cohort": 10, "rounding": {"days": 7, "count": 5, "cents": 100} | other,
    })) for other in ({}, bases))
    assert effects(between(old, new))["rounded-days"] == expected


def test_readers_of_other_kpis_have_to_be_weighed():
    old, new = (subject(full_data(recipients=[{"name": "team", "kpis": [kpi]}, *others])) for kpi, others in (
        ("cost-difference", full_data()["recipients"]), ("gp-visit-rate-ratio", full_data()["recipients"]),
    ))
    assert effects(between(old, new))["reads:team"] is None


def test_order_and_what_has_no_effect_are_told_by_their_fields():
    data = changed(full_data(), lambda d: d["parties"][1]["sources"][0]["kinds"].reverse())
    assert between(FULL, subject(data)).fields == ("parties[insurer].sources[claims].kinds",)
    turned = between(FULL, subject(changed(full_data(), lambda d: d["recipients"].reverse())))
    assert (turned.changes, turned.fields) == ((), ("recipients (order)",))
    assert SAY("no_words") in "\n".join(as_text(turned, "a", "b", SAY))


def test_the_words_of_makers_are_no_difference():
    other = replace(FULL, kpis=tuple(k.model_copy(update={"description": k.title}) for k in FULL.kpis))
    found = between(FULL, other)
    assert found.equal
    assert list(as_text(found, "a", "b", SAY)) == ["The two say the same."]


def test_every_section_has_its_group():
    placed = [section for sections in GROUPS.values() for section in sections]
    assert sorted(placed) == sorted({*(s.id for s in sections_of(FULL, "en")), "keys"})
    assert len(placed) == len(SECTIONS)


def signed(terms):
    return replace(FULL, draft=terms.draft, plans=terms.plans, kpis=(), terms=terms)


def test_keys_are_compared_where_both_have_them():
    terms = make_terms()
    node = terms.nodes[0].model_copy(update={"certificate": "77" * 32})
    found = between(signed(terms), signed(terms.model_copy(update={"nodes": (node, *terms.nodes[1:])})))
    assert [(c.group, c.key) for c in found.changes] == [("who", "key:node-0:certificate")]
    assert found.fields == ("keys.nodes[0].certificate",)


def test_a_draft_and_its_terms_say_the_same():
    found = between(subject(draft_data()), signed(make_terms()))
    assert found.equal
    assert next(iter(as_text(found, "a", "b", SAY))) == SAY("unequal_kinds")
    other = between(subject(draft_data(shards=2)), signed(make_terms()))
    assert effects(other) == {"shards": "stronger"}


def test_the_text_names_groups_in_order_and_both_versions():
    other = changed(full_data(), put(["disclosure", "minimum_cohort"], 9))
    text = "\n".join(as_text(between(FULL, subject(other)), "old.toml", "new.toml", SAY))
    assert text.startswith("old.toml and new.toml differ. All parties must sign again.\n")
    assert "How it is protected\n- What never comes out: weaker protection\n  was: No figure about fewer than 10 patients." in text
    assert text.endswith("Fields that differ: disclosure.minimum_cohort.")
    dutch = "\n".join(as_text(between(FULL, subject(other), "nl"), "a", "b", Words("nl", "week")))
    assert "Hoe het beschermd is\n- Wat er nooit uitkomt: zwakkere bescherming\n  was: Geen cijfer over minder dan 10 patiënten." in dutch


def test_a_sentence_stands_under_its_heading():
    without = subject(full_data(alerts=[]))
    said = list(as_text(between(without, FULL, "nl"), "a", "b", Words("nl", "week")))
    assert said[said.index("  was: Er zijn er geen.") - 1] == "- Meldingen: neutraal"
    (cap,) = [c for c in between(FULL, with_sums(full_data())).changes if c.key == "kpi:cost-difference:outputs"]
    assert cap.heading(SAY).startswith("What is computed: ")
    assert "cost-difference" in cap.heading(SAY)


def test_all_fields_that_differ_are_named():
    found = between(FULL, subject(draft_data()))
    *_, said = "\n".join(as_text(found, "a", "b", SAY)).partition("\nFields that differ:\n")
    assert said.splitlines() == [f"- {field}" for field in found.fields]
    assert len(found.fields) > 20


def test_programs_get_every_change():
    found = between(FULL, subject(changed(full_data(), put(["quota", "runs"], 101))))
    document = as_document(found)
    assert (document["equal"], document["must_sign_again"]) == (False, True)
    assert document["changes"] == [{
        "group": "long", "key": "quota", "about": None, "was": "Computations in all: at most 100.",
        "is": "Computations in all: at most 101.", "protection": "weaker",
    }]
    assert document["fields"] == ["quota.runs"]


@pytest.fixture
def files(tmp_path):
    """Paths of two versions and of the terms of the first."""
    terms = make_terms()
    old, new, json_file = tmp_path / "old.toml", tmp_path / "new.toml", tmp_path / "terms.json"
    old.write_text(tomli_w.dumps(draft_data()), encoding="utf-8")
    new.write_text(tomli_w.dumps(draft_data(disclosure={"minimum_cohort": 4})), encoding="utf-8")
    json_file.write_text(terms.model_dump_json(), encoding="utf-8")
    return old, new, json_file


def test_exit_codes_are_those_of_diff(files, capsys):
    old, new, terms = files
    assert compare(old, old, "en", as_json=False) == 0
    assert capsys.readouterr().out == "The two say the same.\n"
    assert compare(old, new, "en", as_json=False) == 1
    assert "stronger protection" in capsys.readouterr().out
    assert compare(old, terms, "en", as_json=False) == 0
    assert compare(old, new, "en", as_json=True) == 1
    capsys.readouterr()
    assert compare(old, old.with_name("none.toml"), "en", as_json=False) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "cannot read agreement" in err


def test_the_language_is_the_terminals(files, capsys, monkeypatch):
    old, *_ = files
    for settings, expected in (
        ({"LANG": "nl_NL.UTF-8"}, "De twee zeggen hetzelfde."), ({"LANG": "C"}, "The two say the same."),
        ({"LC_ALL": "nl", "LANG": "en_GB"}, "De twee zeggen hetzelfde."), ({}, "The two say the same."),
        ({"LC_ALL": "", "LANG": "nl"}, "De twee zeggen hetzelfde."),
    ):
        for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
            monkeypatch.delenv(name, raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        assert compare(old, old, None, as_json=False) == 0
        assert capsys.readouterr().out.strip() == expected
    assert compare(old, old, "nl", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True
