"""Agreements: canonical hash, and messages for what is wrong."""

import hashlib
import json

import pytest
import tomli_w

from policy.agreement import Draft, Terms, load_draft
from policy.errors import AgreementError
from policy.window import OnDemand
from tests.support.terms import draft_data, make_terms


def with_kinds(*kinds):
    """The parties, the insurer's source with these kinds of events."""
    parties = draft_data()["parties"]
    parties[1]["sources"][0]["kinds"] = list(kinds)
    return parties


def test_the_hash_is_that_of_canonical_json():
    terms = make_terms()
    # Sorted keys and no white space are RFC 8785 for data without floats and with ASCII keys.
    plain = json.dumps(terms.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert terms.hash == hashlib.sha256(plain.encode()).hexdigest()


def test_every_change_changes_the_hash():
    assert len({make_terms().hash, make_terms(shards=2).hash,
                make_terms(disclosure={"minimum_cohort": 4}).hash}) == 3


def test_a_written_agreement_reads_back(tmp_path):
    path = tmp_path / "agreement.toml"
    path.write_text(tomli_w.dumps(draft_data()), encoding="utf-8")
    assert load_draft(path) == Draft.model_validate(draft_data())


@pytest.mark.parametrize(("change", "message"), [
    ({"disclosure": {"minimum_cohort": 1}}, "disclosure.minimum_cohort"),
    ({"surprise": 1}, "surprise"),
    ({"measures": [{"name": "x", "party": "nobody", "aggregation": "nonzero", "of": "x"}]}, "party 'nobody'"),
    ({"measures": [{"name": "x", "party": "hospital", "aggregation": "days"}]}, "days needs programme"),
    ({"windows": {"size": 13, "step": 1}}, "12 panes hold none of the agreed windows of 13 panes every 1"),
    ({"valid_until": "2023-01-01"}, "valid_until must be after"),
    ({"panes": {"zone": "Europe/Atlantis", "unit": "week", "start": "2024-01-01", "count": 12}}, "not a time zone"),
    ({"linkage": {"date": "2024-01-08", "dummies": 5}}, "do not hide the 3 overlaps"),
    ({"panes": {"zone": "UTC", "unit": "month", "start": "2024-01-02", "count": 12}}, "first of a month"),
    ({"measures": [{"name": "x", "party": "insurer", "aggregation": "count", "kind": "claim", "care_type": "GP!"}]},
     "measures.0.care_type: String should match"),
    ({"disclosure": {"minimum_cohort": 10**23}}, "disclosure.minimum_cohort"),
    ({"valid_until": "9999-12-31"}, "valid_until: Input should be less than or equal to 2199-12-31"),
    ({"valid_from": "0001-01-01"}, "valid_from: Input should be greater"),
    ({"linkage": {"date": "9999-12-31"}}, "linkage.date"),
    ({"recipients": [{"name": f"team-{n}", "kpis": []} for n in range(65)]}, "at most 64 items"),
    ({"kpis": [f"kpi-{n}" for n in range(65)]}, "at most 64 items"),
    ({"recipients": [{"name": "hospital", "kpis": []}]}, "hospital is a party and a recipient.*hospital-team"),
    ({"recipients": [{"name": "node-0", "kpis": []}]}, "'node-0' is taken"),
    ({"recipients": [{"name": "team", "kpis": []}] * 2}, "recipient names repeat"),
    ({"requesters": [{"name": "ann", "recipient": "nobody", "runs": 1}]}, "requester ann: 'nobody' is not a recipient"),
    ({"requesters": [{"name": "ann", "recipient": "innovation-team", "runs": 1}] * 2}, "requester names repeat"),
    ({"requesters": [{"name": "insurer", "recipient": "innovation-team", "runs": 1}]}, "insurer-analyst"),
    ({"requesters": [{"name": "alerts-team", "recipient": "innovation-team", "runs": 1}]}, "'alerts-team' is taken"),
    ({"requesters": [{"name": "ann", "recipient": "innovation-team", "runs": 0}]}, "requesters.0.runs"),
    ({"on_demand": {"largest": 0}}, "on_demand.largest"),
    ({"parties": with_kinds("enrolment")}, "measure gp_visits needs events of kind 'claim'.*insurer have enrolment"),
    ({"parties": with_kinds("claim")}, "measure insured_days needs events of kind 'enrolment'"),
    ({"parties": with_kinds("claims")}, "parties.1.sources.0.kinds.0"),
    ({"parties": with_kinds()}, "parties.1.sources.0.kinds"),
])
def test_what_is_wrong_is_named(tmp_path, change, message):
    path = tmp_path / "agreement.toml"
    path.write_text(tomli_w.dumps(draft_data(**change)), encoding="utf-8")
    with pytest.raises(AgreementError, match=message):
        load_draft(path)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(AgreementError, match="cannot read agreement"):
        load_draft(tmp_path / "none.toml")
    for content in ("= 1", f"a = {'9' * 5_000}"):
        (tmp_path / "bad.toml").write_text(content, encoding="utf-8")
        with pytest.raises(AgreementError, match="is not TOML"):
            load_draft(tmp_path / "bad.toml")


def test_a_recipient_can_only_be_promised_what_is_computed():
    recipients = [{"name": "innovation-team", "kpis": ["gp-visit-rate-ratio", "unheard-of"]}]
    with pytest.raises(ValueError, match="may read unheard-of, which the agreement does not compute"):
        make_terms(recipients=recipients)


def test_two_requesters_with_one_key_are_refused():
    asking = [{"name": name, "recipient": "innovation-team", "runs": 1} for name in ("ann", "bob")]
    terms = make_terms(requesters=asking)
    one_key = [{"name": name, "address": address} for name, address in (("ann", "0x" + "ab" * 20), ("bob", "0x" + "AB" * 20))]
    with pytest.raises(ValueError, match="requesters' addresses repeat"):
        Terms.model_validate({**terms.model_dump(), "requesters": one_key})
    with pytest.raises(ValueError, match="requester identities"):
        Terms.model_validate({**terms.model_dump(), "requesters": one_key[:1]})


def test_a_changed_copy_of_a_draft_has_its_own_lattice():
    draft = Draft.model_validate(draft_data())
    assert draft.lattice.largest == 4
    changed = draft.model_copy(update={"on_demand": OnDemand(largest=9)})
    assert (changed.lattice.largest, draft.lattice.largest) == (9, 4)
