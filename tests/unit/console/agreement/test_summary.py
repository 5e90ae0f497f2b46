"""The summary: everything that an agreement says is in it, in both languages, and nothing of it can do harm."""

import string
from dataclasses import replace

import pytest

from console.agreement.dutch import DUTCH
from console.agreement.english import ENGLISH
from console.agreement.sections import SECTIONS, sections_of
from console.agreement.summary import as_document, as_html, as_markdown
from console.locale import LANGS
from policy.agreement import Draft
from policy.identity import NodeIdentity, PartyIdentity, RecipientIdentity, RequesterIdentity
from policy.plan import Plan
from tests.support.full_agreements import (
    GROWING,
    HOPPING,
    ONE_VALUE,
    WITHOUT,
    changed,
    full_data,
    growing_data,
    leaves,
    subject,
    with_plan,
    with_sums,
)
from tests.support.terms import make_terms

FULL, GROWN = subject(full_data()), subject(growing_data())


def said(one):
    """The summary in both languages, for people."""
    return [as_markdown(one, lang) for lang in LANGS]


def test_every_field_of_a_draft_has_a_change_to_be_followed():
    assert set(leaves(Draft)) - ONE_VALUE == set(HOPPING) | set(GROWING)


@pytest.mark.parametrize("field", HOPPING)
def test_the_summary_follows_every_field(field):
    assert said(subject(changed(full_data(), HOPPING[field]))) != said(FULL)


@pytest.mark.parametrize("field", GROWING)
def test_the_summary_follows_every_field_of_windows_that_grow(field):
    assert said(subject(changed(growing_data(), GROWING[field]))) != said(GROWN)


@pytest.mark.parametrize("field", WITHOUT)
def test_the_summary_says_what_is_not_agreed(field):
    less = subject(changed(full_data(), WITHOUT[field]))
    assert all(here != there for here, there in zip(said(less), said(FULL), strict=True))


def test_where_nobody_may_ask_nothing_is_said_of_what_may_be_asked_for():
    nobody = subject({**full_data(), "requesters": [], "on_demand": None})
    for text, lang in zip(said(nobody), (ENGLISH, DUTCH), strict=True):
        assert lang["nobody_asks"] in text and lang["scheduled_only"] not in text


PLAN = FULL.plans[1]
CHANGED_PLAN = {
    "kpi": "other", "estimator": "rate-ratio", "arms": PLAN.arms[::-1], "time": PLAN.contributors[0],
    "outcome": FULL.plans[0].outcome, "cap": 5, "contributors": PLAN.contributors[:1], "strata": PLAN.strata[:2],
    "outputs": ("value",), "significant_bits": 21, "bases": (7, 5, 7, 5), "unit": "ratio", "scale_numerator": 7, "scale_denominator": 7,
    "privacy": GROWN.plans[0].privacy,
}


def test_every_field_of_a_plan_has_a_change_to_be_followed():
    """But for how tables come out: of all plans as the draft says, and terms are refused else (policy.agreement)."""
    assert set(CHANGED_PLAN) == set(Plan.model_fields) - {"table"}


@pytest.mark.parametrize("field", CHANGED_PLAN)
def test_the_summary_follows_every_field_of_a_plan(field):
    alone = replace(FULL, plans=(PLAN,), draft=FULL.draft.model_copy(update={"alerts": ()}))
    for here, there in zip(said(with_plan(alone, **{field: CHANGED_PLAN[field]})), said(alone), strict=True):
        assert here != there


IDENTITIES = {
    "parties": (PartyIdentity, {"address": "0x" + "77" * 20, "batch_key": "77" * 32}),
    "nodes": (NodeIdentity, {
        "organisation": "other", "endpoint": "127.0.0.1:2", "certificate": "77" * 32, "sealing_key": "77" * 32,
        "record_key": "77" * 32, "attestor": "0x" + "77" * 20,
    }),
    "recipients": (RecipientIdentity, {"sealing_key": "77" * 32}),
    "requesters": (RequesterIdentity, {"address": "0x" + "77" * 20}),
}


@pytest.mark.parametrize(("table", "field"), [(t, f) for t, (_, fields) in IDENTITIES.items() for f in fields])
def test_the_summary_of_terms_follows_every_key(table, field):
    terms = make_terms(requesters=[{"name": "analyst", "recipient": "innovation-team", "runs": 5}])
    model, fields = IDENTITIES[table]
    assert {"name", "number"} & set(model.model_fields)
    assert set(model.model_fields) - {"name", "number"} == set(fields)
    first, *rest = getattr(terms, table)
    other = terms.model_copy(update={table: (first.model_copy(update={field: fields[field]}), *rest)})
    one, two = (replace(FULL, draft=t.draft, plans=t.plans, kpis=(), terms=t) for t in (terms, other))
    for here, there in zip(said(one), said(two), strict=True):
        assert here.split("\n## ", 1)[1] != there.split("\n## ", 1)[1]


def test_rounding_is_told_of_sums_that_come_out_alone():
    data = full_data(alerts=[])
    told, idle = ({c.key: c.text for s in sections_of(one, "en") for c in s.clauses} for one in (with_sums(data), subject(data)))
    assert told["rounded-days"] == "Sums of days come out as the nearest multiple of 7. What lies between is seen by nobody."
    assert told["rounded-hundredths"] == idle["rounded-hundredths"] == (
        "Sums of scores would come out as the nearest multiple of 10 hundredths of a point. No KPI lets out such sums yet."
    )
    assert idle["rounded-days"] == "Sums of days would come out as the nearest multiple of 7. No KPI lets out such sums yet."
    assert idle["rounded-count"].startswith("Sums of numbers (such as visits) would come out as")
    dutch = {c.key: c.text for s in sections_of(subject(data), "nl") for c in s.clauses}
    assert "Nog geen enkele KPI geeft zulke sommen vrij." in dutch["rounded-cents"]


def test_both_languages_have_the_same_texts_with_the_same_gaps():
    assert list(ENGLISH) == list(DUTCH)
    panes = {f"{case}pane" for case in ("", "the_", "whole_", "of_", "open_")}
    for key in ENGLISH:
        gaps = [{name for _, name, _, _ in string.Formatter().parse(t[key]) if name} - panes for t in (ENGLISH, DUTCH)]
        assert gaps[0] == gaps[1], key


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("one", [FULL, GROWN, subject(changed(full_data(), WITHOUT["erasure"]))])
def test_every_clause_is_a_whole_sentence_with_a_key_of_its_own(one, lang):
    sections = sections_of(one, lang)
    assert len(sections) == len(SECTIONS) - 1  # a draft has no keys
    keys = [(section.id, clause.key) for section in sections for clause in section.clauses]
    assert len(set(keys)) == len(keys)
    for section in sections:
        for clause in section.clauses:
            assert clause.text[-1] in ".”", clause
            assert not set("{}") & set(clause.text), clause
            assert "None" not in clause.text


def test_what_a_lawyer_would_look_for_is_there():
    text = as_markdown(FULL, "en")
    for sentence in (
        "# Small", "This is a draft. Nobody has signed it.", "- Data party: hospital. It keeps its own records.",
        "- Purpose: improving services (dpv:ServiceOptimisation).",
        ("- “cost”: the cost of claims; what was credited is taken off. At most €671,088.63, up or down. It is 0 where "
        "“insured_days” is 0."),
        ("Which “education” the patient has at the start of the week: yes or no for each of low (“education_low”), "
        "middle (“education_middle”) and high (“education_high”)."),
        "- Time is cut into 12 weeks, from 1 Jan 2024 up to and including 24 Mar 2024, by the clocks of Europe/Amsterdam.",
        "- A window is 4 weeks. A new one begins every week.", "- innovation-team reads “gp-visit-rate-ratio” and",
        "- insurer-alerts reads no figures.", "- No figure about fewer than 10 patients.",
        "- No sum of which one patient makes up 50% or more.", "- Withdrawals reach the nodes through hospital.",
        "- They do so at the latest 31 days after they got the list.", "- It holds up to and including 1 Jan 2030.",
        "- Every party can revoke it at any time", "- No two of the three node organisations put their pieces together",
        "It goes on at 1.10 or more, and off at 0.90 or less (a ratio).",
    ):
        assert sentence in text, sentence
    dutch = as_markdown(FULL, "nl")
    for sentence in (
        "- Geen cijfer over minder dan 10 patiënten.", "Hoogstens € 671.088,63, omhoog of omlaag.",
        "De melding gaat aan bij 1,10 of meer, en uit bij 0,90 of minder (een verhouding).",
        "- Een venster duurt 4 weken. Er begint elke week een nieuw.", "- De afspraak geldt tot en met 1 jan 2030.",
    ):
        assert sentence in dutch, sentence


def test_who_cannot_withdraw_is_told_so():
    assert "Under this agreement nobody can withdraw." in as_markdown(subject(full_data(parties=[
        {"name": "hospital", "sources": [{"name": "fhir", "kinds": ["enrolment", "encounter", "monitoring", "prom"]}]},
        *full_data()["parties"][1:],
    ])), "en")


def test_a_year_is_neuter_in_dutch():
    data = full_data(panes={"zone": "UTC", "unit": "year", "start": "2024-01-01", "count": 9}, erasure=None)
    text = as_markdown(subject(changed(data, lambda d: d["linkage"].update(date="2024-02-01"))), "nl")
    assert "het hele jaar" in text
    assert "elk jaar" in text
    for wrong in ("de jaar", "jaar die", "jaren", "elke jaar", "hele jaar die"):
        assert wrong not in text, wrong


def test_unknown_terms_are_shown_by_their_address():
    odd = subject(full_data(purposes=["dpv:Nonsense", "https://example.org/p#X", "https://w3id.org/dpv#PublicBenefit"]))
    text = as_markdown(odd, "en")
    assert "- Purpose: https://w3id.org/dpv#Nonsense." in text
    assert "- Purpose: https://example.org/p#X." in text
    assert "- Purpose: public benefit (https://w3id.org/dpv#PublicBenefit)." in text


def test_nobodys_text_commands_a_terminal_a_reader_or_a_browser():
    evil = "a\x1b[2J\n# Signed\n<script>alert(1)</script> *b* " + "x" * 5000
    one = subject(full_data(title={"en": evil, "nl": evil}, purposes=[evil]))
    text = as_markdown(one, "en")
    assert "\x1b" not in text
    assert "\n# Signed" not in text
    assert "<script" not in text.replace("\\<", "")
    assert r"\*b\*" in text
    assert max(map(len, text.splitlines())) < 1500
    page = as_html(one, "en")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("lang", LANGS)
def test_the_page_needs_nothing_from_anywhere(lang):
    page = as_html(FULL, lang)
    head, body = page.split("</style>")
    assert f'<html lang="{lang}">' in head
    assert "default-src 'none'" in head
    for reference in ("<link", "<script", "src=", "url(http", "@import"):
        assert reference not in page
    assert 'href="http' not in body
    for section in sections_of(FULL, lang):
        assert f'id="{section.id}"' in body
        assert f'href="#{section.id}"' in body


def test_programs_get_the_same_sentences():
    document = as_document(FULL, "en")
    assert document["agreement"] == "small"
    assert document["terms_hash"] is None
    texts = [clause["text"] for section in document["sections"] for clause in section["clauses"]]
    assert texts == [clause.text for section in sections_of(FULL, "en") for clause in section.clauses]
