"""FHIR R4 readers: what each resource becomes, which versions replace and take back, and what is refused."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from streams.envelope import EncounterEvent, EnrolmentEvent, MonitoringEvent, PromEvent, WithdrawalEvent
from streams.errors import ConfigurationError, SourceError
from streams.moment import start_reader, stop_reader
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from streams.sources.agreed import check_sources, open_sources
from streams.sources.fhir import FhirRules
from streams.sources.fhir_files import FORMS, fhir_context
from streams.sources.lines import FieldReader, SourceFile, placed, read_events
from streams.survey import survey
from tests.support import parties as p
from tests.support.checking import Checker
from tests.support.kinds import kinds_data
from tests.support.terms import draft_data

NAMES = Pseudonyms(p.LINK_SECRET, p.PSEUDONYM_KEY)
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
MODULE_MEASURE = {"name": "diaries", "party": "hospital", "aggregation": "count", "kind": "monitoring", "module": "diary",
                  "bound": 9}


def draft(**changes):
    """The hospital of kinds_data, whose monitoring measures all name the module diary."""
    data = kinds_data()
    data["measures"] = [
        m | {"module": "diary"} if m["name"] in ("due", "missed") else m for m in data["measures"]
    ] + [MODULE_MEASURE, {
        "name": "device_user", "party": "hospital", "aggregation": "exposed", "programme": "glucose-meter",
    }, {"name": "procedures", "party": "hospital", "aggregation": "count", "kind": "encounter", "code": "procedure"}]
    return Draft.model_validate(data | changes)


def resource(kind, key, recorded="2024-03-01", **elements):
    meta = {"lastUpdated": recorded} if recorded else {"profile": []}
    return {"resourceType": kind, "id": key, "meta": meta} | elements


def encounter(key="e", of="a", code="AMB", status="finished", start="2024-02-01T10:00:00+01:00", system=ACT, **more):
    return resource(
        "Encounter", key, status=status, subject={"reference": f"Patient/{of}"}, period={"start": start},
        **{"class": {"system": system, "code": code}}, **more,
    )


def procedure(key="q", of="a", status="completed", **more):
    return resource("Procedure", key, status=status, subject={"reference": f"Patient/{of}"}, **(more or {
        "performedPeriod": {"start": "2024-02-02T10:00:00+01:00", "end": "2024-02-02T11:00:00+01:00"},
    }))


def observation(key="o", of="a", code="control-8", status="final", value=12.5, recorded="2024-03-01", **more):
    return resource(
        "Observation", key, recorded, status=status, code={"coding": [{"system": "http://loinc.org", "code": "x"}, {"code": code}]},
        subject={"reference": f"Patient/{of}"}, **({"valueQuantity": {"value": value}} if value is not None else {}),
        **({"effectiveDateTime": "2024-02-03"} | more),
    )


def response(key="r", of="a", name="control-8", status="completed", total=14, recorded="2024-03-01", **more):
    items = [{"linkId": "1", "answer": [{"valueInteger": 2}]}]
    if total is not None:
        items.append({"linkId": "group", "item": [{"linkId": "total", "answer": [{"valueDecimal": total}]}]})
    return resource(
        "QuestionnaireResponse", key, recorded, status=status, questionnaire=f"https://example.org/Questionnaire/{name}|2.1",
        subject={"reference": f"https://ehr.example.org/fhir/Patient/{of}"},
        **({"item": items, "authored": "2024-02-04T09:00:00+01:00"} | more),
    )


def module(key="t", of="a", status="requested", code="diary", recorded="2024-03-01", **more):
    return resource(
        "Task", key, recorded, status=status, code={"coding": [{"code": code}]}, **{"for": {"reference": f"Patient/{of}"}},
        **({"executionPeriod": {"start": "2024-02-05"}} | more),
    )


def device(key="d", of="a", status="active", recorded="2024-02-06T10:00:00+01:00", **more):
    return resource(
        "Device", key, recorded, status=status, patient={"reference": f"Patient/{of}"},
        **({"type": {"coding": [{"system": "http://snomed.info/sct", "code": "glucose-meter"}]}} | more),
    )


FILES = ("EpisodeOfCare", "Task", "Device", "Encounter", "Procedure", "QuestionnaireResponse", "Observation")


def write(folder, *resources, files=FILES):
    for name in files:
        (folder / f"{name}.ndjson").touch()
    p.write_lines(folder / "withdrawals.csv", "record_id,person,withdrawn_on,recorded_at")
    p.write_lines(folder / "Patient.ndjson", p.patient("a", p.person(1), "2023-01-01"))
    for line in resources:
        with (folder / f"{line['resourceType']}.ndjson").open("a") as file:
            file.write(json.dumps(line) + "\n")


def read(folder, *resources, of=None):
    """Events or reasons of the resources, without the patient."""
    write(folder, *resources)
    events = [event for _, _, event, _ in read_events(open_sources(of or draft(), "hospital", folder, NAMES))]
    return [e for e in events if isinstance(e, Reason) or getattr(e.payload, "programme", "") != "registered"]


def days(*moments):
    return [moment.isoformat()[:10] for moment in moments]


@pytest.mark.parametrize(("code", "of"), [
    ("AMB", "outpatient"), ("HH", "outpatient"), ("PRENC", "outpatient"), ("OBSENC", "outpatient"), ("IMP", "admission"),
    ("ACUTE", "admission"), ("NONAC", "admission"), ("SS", "admission"), ("EMER", "ed"), ("VR", "tele"),
])
def test_classes_of_encounters(tmp_path, code, of):
    (event,) = read(tmp_path, encounter(code=code))
    assert isinstance(event, EncounterEvent)
    assert (event.payload.type, event.source) == (of, "ehr")
    assert event.occurred_at.isoformat() == "2024-02-01T10:00:00+01:00"
    assert event.patient == NAMES.patient(p.person(1))


@pytest.mark.parametrize(("line", "reason"), [
    (encounter(code="FLD"), Reason.UNKNOWN_CODE),
    (encounter(code="amb"), Reason.UNKNOWN_CODE),
    (encounter(system="http://snomed.info/sct"), Reason.UNKNOWN_CODE),
    (encounter(system=None), Reason.MISSING_FIELD),
    (encounter(status="done"), Reason.UNKNOWN_CODE),
    (encounter(status="unknown"), Reason.UNKNOWN_CODE),
    (encounter(status="planned"), Reason.NOT_MAPPED),
    (encounter(status="cancelled"), Reason.NOT_MAPPED),
    (encounter(status=["finished"]), Reason.UNKNOWN_CODE),
    (encounter(of="b"), Reason.UNKNOWN_REFERENCE),
    (encounter() | {"subject": {"reference": "Group/a"}}, Reason.WRONG_TYPE),
    (encounter() | {"subject": {}}, Reason.MISSING_FIELD),
    (encounter() | {"class": {}}, Reason.MISSING_FIELD),
    (encounter() | {"class": [{"system": ACT, "code": "AMB"}]}, Reason.WRONG_TYPE),
    (encounter() | {"period": {}}, Reason.MISSING_FIELD),
    (encounter() | {"meta": {}}, Reason.MISSING_FIELD),
    (encounter(start="2024"), Reason.WRONG_TYPE),
    (procedure(status="preparation"), Reason.NOT_MAPPED),
    (procedure(status="not-done"), Reason.NOT_MAPPED),
    (procedure(status="unknown"), Reason.UNKNOWN_CODE),
    (procedure(performedString="last year"), Reason.MISSING_FIELD),
    (observation(status="preliminary"), Reason.NOT_MAPPED),
    (observation(status="unknown"), Reason.UNKNOWN_CODE),
    (observation(code="body-weight"), Reason.UNKNOWN_CODE),
    (observation(value=None), Reason.MISSING_FIELD),
    (observation(value="12"), Reason.WRONG_TYPE),
    (observation(value=True), Reason.WRONG_TYPE),
    (observation(value=12.345), Reason.WRONG_TYPE),
    (observation(value=10_001), Reason.AMOUNT_TOO_LARGE),
    (observation(value=-1e300), Reason.AMOUNT_TOO_LARGE),
    (observation(value=float("nan")), Reason.WRONG_TYPE),
    (observation(value=float("inf")), Reason.WRONG_TYPE),
    (observation(value=None, valueInteger=10**40), Reason.AMOUNT_TOO_LARGE),
    (observation(value=None, valueString="high"), Reason.MISSING_FIELD),
    (observation(effectiveDateTime=None), Reason.MISSING_FIELD),
    (response(name="phq-9"), Reason.UNKNOWN_CODE),
    (response(status="in-progress"), Reason.NOT_MAPPED),
    (response(status="stopped"), Reason.NOT_MAPPED),
    (response(status="final"), Reason.UNKNOWN_CODE),
    (response(total=None), Reason.MISSING_FIELD),
    (response(authored=None), Reason.MISSING_FIELD),
    (response(item=[{"linkId": "total", "answer": [{"valueInteger": 1}, {"valueInteger": 2}]}]), Reason.WRONG_TYPE),
    (response(item=[{"linkId": "total", "answer": [{"valueInteger": 1}] * 65}]), Reason.WRONG_TYPE),
    (module(code="walk"), Reason.UNKNOWN_CODE),
    (module(status="draft"), Reason.NOT_MAPPED),
    (module(status="entered-in-error"), Reason.NOT_MAPPED),
    (module(executionPeriod={}), Reason.MISSING_FIELD),
    (module(code="ibd-coach", status="requested"), Reason.NOT_MAPPED),
    (device(status="inactive"), Reason.MISSING_FIELD),
    (device(status="unknown"), Reason.UNKNOWN_CODE),
    (device(status="entered-in-error"), Reason.NOT_MAPPED),
    (device(type={"coding": [{"code": "pacemaker"}]}), Reason.UNKNOWN_CODE),
    (device(recorded=None), Reason.MISSING_FIELD),
])
def test_one_fault_one_reason(tmp_path, line, reason):
    assert read(tmp_path, line) == [reason]


def test_a_deep_questionnaire_stops_nothing(tmp_path):
    item = {"linkId": "total", "answer": [{"valueInteger": 9}]}
    for _ in range(40):
        item = {"linkId": "g", "item": [item]}
    shallow = response("r1") | {"item": [item]}
    write(tmp_path, shallow)
    deep = json.dumps(response("r2") | {"item": "DEEP"}).replace(
        '"DEEP"', '[{"linkId":"g","item":' * 40_000 + "[]" + "}]" * 40_000
    )
    with (tmp_path / "QuestionnaireResponse.ndjson").open("a") as file:
        file.write(deep + "\n")
    _, answer, refused = [e for _, _, e, _ in read_events(open_sources(draft(), "hospital", tmp_path, NAMES))]
    assert (answer.payload.score, refused) == (900, Reason.BROKEN_JSON)


def test_procedures(tmp_path):
    timed, spanned = read(tmp_path, procedure("p1", performedDateTime="2024-02-03"), procedure("p2"))
    assert {timed.payload.type, spanned.payload.type} == {"procedure"}
    assert days(timed.occurred_at, spanned.occurred_at) == ["2024-02-03", "2024-02-02"]


def test_answers_and_completed_modules(tmp_path):
    by_form, form_module, by_observation, measured = read(
        tmp_path, observation(), observation("m", code="diary", value=None, effectiveDateTime=None, effectivePeriod={"start": "2024-02-09"}),
        response(), response("s", name="diary", total=None),
    )
    assert isinstance(by_form, PromEvent)
    assert isinstance(by_observation, PromEvent)
    assert isinstance(measured, MonitoringEvent)
    assert (by_form.payload.instrument, by_form.payload.score) == ("control-8", 1_400)
    assert (by_observation.payload.instrument, by_observation.payload.score) == ("control-8", 1_250)
    assert days(by_form.occurred_at, by_observation.occurred_at, measured.occurred_at) == [
        "2024-02-04", "2024-02-03", "2024-02-09",
    ]
    for event in (form_module, measured):
        assert (event.payload.module, event.payload.status, event.payload.due) == ("diary", "completed", None)


def test_scores_are_whole_hundredths(tmp_path):
    events = read(tmp_path, *(observation(f"o{i}", value=v) for i, v in enumerate((0, -0.45, 0.29, 1e-2, 16, 9_999.99))))
    assert [e.payload.score for e in events] == [0, -45, 29, 1, 1_600, 999_999]


def test_tasks_are_modules_due_and_then_completed(tmp_path):
    first, later, only = read(
        tmp_path, module(), module(status="completed", recorded="2024-03-05", executionPeriod={
            "start": "2024-02-05", "end": "2024-03-04",
        }),
        module("u", status="completed", recorded="2024-03-06", executionPeriod=None, authoredOn="2024-02-07", lastModified="2024-03-02"),
    )
    assert first.event_id == later.event_id
    assert (first.payload.status, later.payload.status) == ("due", "completed")
    assert days(first.occurred_at, later.payload.due, later.occurred_at) == ["2024-02-05", "2024-02-05", "2024-03-04"]
    assert days(only.payload.due, only.occurred_at) == ["2024-02-07", "2024-03-02"]


def test_later_versions_replace_and_errors_take_back(tmp_path):
    events = read(
        tmp_path, encounter(), encounter(code="VR") | {"meta": {"lastUpdated": "2024-03-02"}},
        encounter(status="entered-in-error") | {"meta": {"lastUpdated": "2024-03-03"}, "period": None},
        observation(), observation(status="amended", value=11, recorded="2024-03-02"),
        observation(status="entered-in-error", value=None, recorded="2024-03-03", effectiveDateTime=None),
        module(), module(status="cancelled", recorded="2024-03-03"),
        response(), response(status="entered-in-error", recorded="2024-03-03", item=[], authored=None),
        procedure(), procedure(status="entered-in-error") | {"meta": {"lastUpdated": "2024-03-03"}},
    )
    assert len(events) == 12
    assert all(not isinstance(e, Reason) for e in events)
    validator = Checker(draft(), "hospital", NAMES)
    write(tmp_path)
    validator.check(next(e for _, _, e, _ in read_events(open_sources(draft(), "hospital", tmp_path, NAMES))))
    judged = [validator.check(e) for e in events]
    assert not any(isinstance(e, Reason) for e in judged)
    taken_back = [e for e in judged if e.payload.cancels]
    assert days(*(e.occurred_at for e in taken_back)) == [
        "2024-02-05", "2024-02-01", "2024-02-02", "2024-02-04", "2024-02-03",
    ]


def test_devices_are_programmes_while_they_are_active(tmp_path):
    on, still, off, again = read(
        tmp_path, device(), device(recorded="2024-02-07"), device(status="inactive", recorded="2024-02-20"),
        device(recorded="2024-03-01"),
    )
    assert {e.payload.programme for e in (on, still, off, again)} == {"glucose-meter"}
    assert on.event_id == still.event_id == off.event_id != again.event_id
    assert days(on.occurred_at, off.occurred_at, off.payload.stop, again.occurred_at) == [
        "2024-02-06", "2024-02-06", "2024-02-20", "2024-03-01",
    ]
    assert (on.payload.stop, again.payload.stop) == (None, None)


def test_enrolments_entered_in_error_have_no_length(tmp_path):
    good = json.loads(p.task("x", "a", "2024-01-10", "2024-02-01"))
    wrong = good | {"status": "entered-in-error", "meta": {"lastUpdated": "2024-02-02"}, "executionPeriod": None}
    started, nothing = read(tmp_path, good, wrong)
    assert isinstance(nothing, EnrolmentEvent)
    assert started.event_id == nothing.event_id
    assert nothing.payload.stop == nothing.occurred_at


def test_a_survey_names_codes_that_many_patients_have(tmp_path):
    write(tmp_path)
    with (tmp_path / "Patient.ndjson").open("a") as file:
        file.writelines(p.patient(f"b{n}", p.person(10 + n), "2023-01-01") + "\n" for n in range(10))
    with (tmp_path / "Observation.ndjson").open("a") as file:
        file.writelines(json.dumps(observation(f"o{n}", f"b{n}", code="pain")) + "\n" for n in range(10))
        file.write(json.dumps(observation("o", code="rare") | {"code": {"coding": [{"code": "rare"}]}}) + "\n")
    with (tmp_path / "Encounter.ndjson").open("a") as file:
        file.writelines(json.dumps(encounter(f"e{n}", f"b{n}", code="FLD")) + "\n" for n in range(10))
    files = {f.file: f for f in survey(draft(), "hospital", tmp_path).files}
    assert files["Observation.ndjson"].unknown["code"].shown == {"x": 10}
    assert files["Observation.ndjson"].unknown["code"].hidden_lines == 1
    assert files["Encounter.ndjson"].unknown["class"].shown == {"FLD": 10}


def test_withdrawals(tmp_path):
    write(tmp_path)
    with (tmp_path / "withdrawals.csv").open("a") as file:
        file.write("w1,P00000001,2024-02-01,2024-02-02\nw2,,2024-02-01,2024-02-02\nw3,P00000001,2024-02-01\n")
    events = {
        position.line: e for file, position, e, _ in read_events(open_sources(draft(), "hospital", tmp_path, NAMES))
        if file.form.file == "withdrawals.csv"
    }
    assert isinstance(events[2], WithdrawalEvent)
    assert (events[2].patient, days(events[2].occurred_at)) == (NAMES.patient(p.person(1)), ["2024-02-01"])
    assert (events[3], events[4]) == (Reason.MISSING_FIELD, Reason.BROKEN_CSV)


def test_which_files_must_be_there(tmp_path):
    write(tmp_path, files=("EpisodeOfCare", "Task", "Encounter", "Procedure", "Observation"))
    check_sources(draft(), "hospital", tmp_path)
    (tmp_path / "Observation.ndjson").unlink()
    with pytest.raises(SourceError, match=r"cannot read .*QuestionnaireResponse\.ndjson"):
        check_sources(draft(), "hospital", tmp_path)
    (tmp_path / "QuestionnaireResponse.ndjson").touch()
    (tmp_path / "Encounter.ndjson").rename(tmp_path / "Other.ndjson")
    with pytest.raises(SourceError, match=r"Encounter\.ndjson"):
        check_sources(draft(), "hospital", tmp_path)
    procedures = [
        m | {"code": "procedure"} if m.get("kind") == "encounter" else m for m in draft().model_dump()["measures"]
    ]
    check_sources(draft(measures=procedures), "hospital", tmp_path)
    (tmp_path / "Procedure.ndjson").unlink()
    with pytest.raises(SourceError, match=r"Procedure\.ndjson"):
        check_sources(draft(measures=procedures), "hospital", tmp_path)


def test_agreements_that_resources_cannot_serve(tmp_path):
    data = draft_data()
    data["parties"][2]["sources"][0]["kinds"].append("encounter")
    with pytest.raises(ConfigurationError, match="Add it to the kinds of one of its sources"):
        open_sources(Draft.model_validate(data), "statistics", tmp_path, NAMES)
    answers = {"name": "any_answer", "party": "hospital", "aggregation": "count", "kind": "prom"}
    with pytest.raises(ConfigurationError, match="measure any_answer counts answers to any instrument.*Give it a code"):
        check_sources(draft(measures=[*draft().model_dump()["measures"], answers]), "hospital", tmp_path)


def real(folder, rules, *resources):
    """Events of resources as a server of another make writes them."""
    write(folder, *resources)
    reader = FieldReader(NAMES, start_reader("Europe/Amsterdam"), stop_reader("Europe/Amsterdam"))
    context = fhir_context(draft(), "hospital", reader, {"ibd-coach", "ibd-care", "glucose-meter"}, rules)
    forms = [form(context) for form in FORMS.values()]
    files = [SourceFile(folder, form, placed(form, start_reader("Europe/Amsterdam"))) for form in forms]
    return [event for _, _, event, _ in read_events(files)]


def test_own_times_stand_in_for_the_time_of_recording(tmp_path):
    key = "8e1a0a7c-e308-444b-075a-3c2b1f60f881"
    patient = resource("Patient", key, None, identifier=[
        {"system": "https://github.com/synthetichealth/synthea", "value": key},
        {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-94-5397"},
    ])
    lines = [
        encounter(of=key, start="2024-02-01T10:00:00-05:00") | {"meta": {"profile": ["x"]}},
        procedure(of=key) | {"meta": {}},
        observation(of=key, recorded=None, issued="2024-02-03T16:00:00-05:00"), observation("p", of=key, recorded=None),
        response(of=key, recorded=None), module(of=key, recorded=None, status="completed", executionPeriod={
            "start": "2024-01-05", "end": "2024-01-07",
        }),
        device(of=key, recorded=None),
    ]
    rules = FhirRules(
        person_system="http://hl7.org/fhir/sid/us-ssn", crosswalk={"999-94-5397": "P00000077"}, own_times=True
    )
    tool, known, stranger, done, seen, performed, *answers = real(tmp_path, rules, patient, *lines)
    first, second, answer = answers
    assert (stranger, tool) == (Reason.MISSING_FIELD, Reason.MISSING_FIELD)
    assert (known.patient, known.payload.programme) == (NAMES.patient("P00000077"), "registered")
    assert days(known.recorded_at, done.recorded_at, seen.recorded_at, performed.recorded_at, first.recorded_at) == [
        "1900-01-01", "2024-01-07", "2024-02-01", "2024-02-02", "2024-02-03",
    ]
    assert days(second.recorded_at, answer.recorded_at) == ["2024-02-03", "2024-02-04"]
    assert second.recorded_at.isoformat() == "2024-02-03T16:00:00-05:00"
    nobody = real(tmp_path, FhirRules(person_system="http://hl7.org/fhir/sid/us-ssn", crosswalk={}, own_times=True), patient)
    assert len(nobody) == 9
    assert set(nobody) == {Reason.UNKNOWN_REFERENCE, Reason.MISSING_FIELD}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), line=st.sampled_from([encounter(), procedure(), observation(), response(), module(), device()]))
def test_resources_with_random_elements_never_stop_the_stream(tmp_path, data, line):
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(line)), JSON, min_size=1, max_size=3))
    form = opened(tmp_path, line["resourceType"])
    path = tmp_path / f"{line['resourceType']}.ndjson"
    path.write_text(json.dumps(line | changes) + "\n")
    outcome = [e for _, _, e, _ in read_events(
        [SourceFile(tmp_path, form, placed(form, start_reader("Europe/Amsterdam")))]
    )]
    assert len(outcome) == 1
    kinds = Reason | EnrolmentEvent | EncounterEvent | PromEvent | MonitoringEvent
    assert isinstance(outcome[0], kinds)


def opened(folder, kind):
    """The reader of one kind of resource, after it has learned of the patient."""
    write(folder)
    files = open_sources(draft(), "hospital", folder, NAMES)
    assert len(list(read_events(files[:1]))) == 1
    return next(f.form for f in files if getattr(f.form, "resource", None) == kind)
