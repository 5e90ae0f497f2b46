"""Encounters, monitoring, PROM answers, withdrawals and heartbeats: what may enter, and what panes hold of it."""

import numpy as np
import pytest
from pydantic import ValidationError

from policy.agreement import Draft
from policy.measure import Measure
from streams.envelope import Heartbeat, encode, parse
from streams.rejects import Reason
from tests.support.checking import Checker
from tests.support.driven import DrivenPanes
from tests.support.kinds import (
    COLUMNS,
    NAMES,
    at,
    encounter,
    enrolled,
    kinds_data,
    monitoring,
    prom,
    withdrawal,
)
from tests.support.parties import person

DRAFT = Draft.model_validate(kinds_data())


@pytest.fixture
def validator():
    made = Checker(DRAFT, "hospital", NAMES)
    for number in (1, 2):
        made.check(enrolled(number))
    return made


class Hospital:
    """Events go in as accepted; columns come out, of one patient."""

    def __init__(self, grace=0):
        data = kinds_data()
        data["parties"][0]["grace_panes"] = grace
        self.validator = Checker(Draft.model_validate(data), "hospital", NAMES)
        self.panes = DrivenPanes(Draft.model_validate(data), "hospital")
        self.content = []
        self.add(enrolled(1), enrolled(2))

    def add(self, *events):
        for event in events:
            accepted = self.validator.check(event)
            assert not isinstance(accepted, Reason), accepted
            self.panes.add(accepted)

    def hear(self, until, recorded):
        self.panes.hear(Heartbeat(source="ehr", final=False, until=at(until), recorded_at=at(recorded)))

    def seal(self):
        while self.panes.sealed < self.panes.sealable:
            self.content.append(self.panes.seal()[1])

    def end(self, number=1):
        self.panes.hear(Heartbeat(source="ehr"))
        self.seal()
        slot = int(self.panes.register.slot_of[self.panes.register.person(NAMES.patient(person(number)))])
        table = np.stack(self.content)[:, 2:, slot]
        return {name: table[:, column].tolist() for column, name in enumerate(COLUMNS)}


def padded(*values):
    return [*values, *[0] * (12 - len(values))]


@pytest.mark.parametrize(("event", "reason"), [
    (encounter(3, "e", 2), Reason.UNKNOWN_PERSON),
    (encounter(1, "e", -1), Reason.OUTSIDE_AGREEMENT),
    (encounter(1, "e", 84), Reason.OUTSIDE_AGREEMENT),
    (encounter(1, "e", 3, recorded=1.9), Reason.IN_THE_FUTURE),
    (encounter(1, "e", 3, corrects="nothing"), Reason.UNKNOWN_REFERENCE),
    (encounter(1, "e", 3, cancels=True), Reason.UNKNOWN_REFERENCE),
    (encounter(1, "e", 3).model_copy(update={"source": "claims"}), Reason.UNKNOWN_CODE),
    (monitoring(1, "m", 83.9, module="walk"), None),
    (monitoring(1, "m", -0.1), Reason.OUTSIDE_AGREEMENT),
    (prom(1, "p", -400), None),
    (prom(1, "p", 84), Reason.OUTSIDE_AGREEMENT),
    (prom(1, "p", 3, instrument="eq-5d"), Reason.UNKNOWN_CODE),
    (prom(3, "p", 3), Reason.UNKNOWN_PERSON),
    (withdrawal(3, "w", 3), Reason.UNKNOWN_PERSON),
    (withdrawal(1, "w", -400), None),
])
def test_one_fault_one_reason(validator, event, reason):
    assert validator.check(event) == (event if reason is None else reason)


def test_ids_come_again_only_later_and_of_the_same_patient_and_kind(validator):
    assert validator.check(encounter(1, "e", 3)) == encounter(1, "e", 3)
    for again in (
        encounter(1, "e", 3), encounter(2, "e", 3, recorded=9), monitoring(1, "e", 3, recorded=9), prom(1, "e", 3, recorded=9),
    ):
        assert validator.check(again) is Reason.DUPLICATE_ID
    later = encounter(1, "e", 5, recorded=9, code="ed")
    assert validator.check(later) == later
    assert validator.check(withdrawal(1, "w", 5)) == withdrawal(1, "w", 5)
    assert validator.check(withdrawal(1, "w", 5, recorded=6)) is Reason.DUPLICATE_ID


def test_what_is_cancelled_is_cancelled_once(validator):
    validator.check(encounter(1, "a", 3))
    assert validator.check(encounter(2, "b", 3, recorded=4, corrects="a")) is Reason.UNKNOWN_REFERENCE
    assert validator.check(monitoring(1, "b", 3, recorded=4, corrects="a")) is Reason.UNKNOWN_REFERENCE
    cancelling = encounter(1, "b", 4, corrects="a", cancels=True)
    assert validator.check(cancelling) == cancelling.model_copy(update={"occurred_at": at(3)})
    for late, reason in (
        (encounter(1, "c", 5, corrects="a"), Reason.ALREADY_CANCELLED),
        (encounter(1, "c", 5, corrects="b"), Reason.UNKNOWN_REFERENCE),
        (encounter(1, "a", 5), Reason.ALREADY_CANCELLED),
    ):
        assert validator.check(late) is reason
    validator.check(encounter(1, "d", 3))
    assert validator.check(encounter(1, "d", 4, cancels=True)).occurred_at == at(3)
    assert validator.check(encounter(1, "d", 5, cancels=True)) is Reason.ALREADY_CANCELLED
    assert validator.check(encounter(1, "d", 6)) == encounter(1, "d", 6)


def test_counts_stay_within_their_bounds(validator):
    outcomes = [validator.check(encounter(1, f"e{i}", 1 + i / 10)) for i in range(9)]
    assert [isinstance(o, Reason) for o in outcomes] == [False] * 7 + [True] * 2
    assert outcomes[7] is Reason.TOO_MANY_EVENTS
    assert not isinstance(validator.check(encounter(1, "other", 2, code="ed")), Reason)
    assert validator.check(encounter(1, "other2", 2, code="ed")) is Reason.TOO_MANY_EVENTS
    # One that is replaced in its pane keeps its place, one that is cancelled frees it.
    assert not isinstance(validator.check(encounter(1, "e0", 2, recorded=3)), Reason)
    assert not isinstance(validator.check(encounter(1, "e1", 3, cancels=True)), Reason)
    assert not isinstance(validator.check(encounter(1, "e7", 2)), Reason)
    assert validator.check(encounter(1, "e8", 2)) is Reason.TOO_MANY_EVENTS
    # Due ones bound what may be missed.
    done = [validator.check(monitoring(1, f"c{i}", 1, status="completed", module="walk")) for i in range(20)]
    assert not any(isinstance(o, Reason) for o in done)
    due = [validator.check(monitoring(1, f"d{i}", 1, module="walk")) for i in range(6)]
    assert [o is Reason.TOO_MANY_EVENTS for o in due] == [False] * 5 + [True]


def test_changes_stay_within_their_bound_whichever_answer_is_first(validator):
    def accepted(*args, **more):
        return not isinstance(validator.check(prom(1, *args, **more)), Reason)

    assert accepted("a", 30, score=500)
    assert accepted("b", 31, score=3_700)
    # Two in a pane may add up to twice 3,200; a third, or a score further off, to more.
    assert validator.check(prom(1, "c", 32, score=600)) is Reason.AMOUNT_TOO_LARGE
    assert validator.check(prom(1, "c", 2, score=3_701)) is Reason.AMOUNT_TOO_LARGE
    assert accepted("c", 2, score=3_700)
    assert accepted("b", 31, recorded=40, score=3_600)
    assert validator.check(prom(1, "old", -90, score=-9_000)) is Reason.AMOUNT_TOO_LARGE


def test_a_correction_that_comes_too_late_frees_no_place_for_others():
    hospital = Hospital()
    hospital.add(*(encounter(1, f"e{i}", 36) for i in range(7)))
    hospital.hear(21, 37)
    hospital.seal()
    hospital.add(encounter(1, "e0", 15, recorded=38))
    assert hospital.panes.late_pending == 1
    assert hospital.validator.check(encounter(1, "e7", 36, recorded=38)) is Reason.TOO_MANY_EVENTS
    assert hospital.end()["outpatient"] == padded(0, 0, 0, 0, 0, 7)


def test_a_second_correction_frees_no_place_either():
    hospital = Hospital()
    hospital.hear(14, 14)
    hospital.seal()
    hospital.add(
        *(monitoring(1, f"m{i}", 36, status="completed") for i in range(5)),
        monitoring(1, "m5", 36, status="completed", due=15),
    )
    hospital.add(monitoring(1, "m5", 36, recorded=37, status="completed", due=8))
    hospital.hear(21, 38)
    hospital.seal()
    # The panes stage still has m5 as it was first said: due in what is now a sealed pane.
    hospital.add(monitoring(1, "m5", 8, recorded=39))
    assert hospital.panes.late_pending == 2
    assert hospital.validator.check(monitoring(1, "m6", 36, 39, status="completed")) is Reason.TOO_MANY_EVENTS
    found = hospital.end()
    assert (found["due"], found["done"]) == (padded(0, 0, 1), padded(0, 0, 0, 0, 0, 6))


def test_one_record_of_a_module_counts_as_due_and_as_completed():
    hospital = Hospital()
    hospital.add(
        monitoring(1, "a", 2), monitoring(1, "b", 3), monitoring(1, "c", 15, status="completed", due=-3),
        monitoring(2, "d", 16, status="completed", due=4), monitoring(1, "e", 9, recorded=16, status="completed", due=84),
    )
    hospital.hear(7, 17)
    hospital.seal()
    # That it was completed changes no sealed pane, nor does another day of the same pane on which it was due.
    hospital.add(monitoring(1, "a", 17, status="completed", due=2), monitoring(1, "b", 18, status="completed", due=4))
    hospital.add(monitoring(1, "b", 18, recorded=19, status="completed", due=7))
    assert hospital.panes.late_pending == 1
    found = hospital.end()
    assert (found["due"], found["done"], found["missed"]) == (padded(2), padded(0, 1, 3), padded(2))
    other = hospital.end(2)
    assert (other["due"], other["done"]) == (padded(1), padded(0, 0, 1))


def test_panes_count_what_happened_in_them():
    hospital = Hospital()
    hospital.add(
        encounter(1, "a", 0), encounter(1, "b", 6.99), encounter(1, "c", 7, code="ed"),
        monitoring(1, "d", 7.5), monitoring(1, "e", 8, module="walk"), monitoring(1, "f", 9, status="completed"),
        monitoring(1, "g", 13.9, status="completed"), monitoring(1, "h", 14),
        prom(1, "i", 13.95, score=900), encounter(2, "j", 15),
        prom(1, "k", 21, score=1_200), prom(1, "l", 27, score=400),
    )
    found = hospital.end()
    assert found["outpatient"] == padded(2)
    assert found["contacts"] == padded(2, 1)
    assert found["due"] == padded(0, 2, 1)
    assert found["done"] == padded(0, 2)
    assert found["missed"] == padded(0, 0, 1)
    assert found["diary_missed"] == padded(0, 0, 1)
    assert found["answers"] == padded(0, 1, 0, 2)
    assert found["later"] == padded(0, 0, 0, 2)
    assert found["change"] == padded(0, 0, 0, 300 - 500)
    assert found["any_later"] == padded(0, 0, 0, 1)


def test_an_answer_from_before_the_first_pane_may_be_the_first():
    hospital = Hospital()
    hospital.add(prom(1, "a", -100, recorded=-2, score=1_600), prom(1, "b", 0, score=0), prom(1, "c", 1, score=1_500))
    found = hospital.end()
    assert (found["answers"], found["later"], found["change"]) == (padded(2), padded(2), padded(-1_700))


def test_of_answers_at_one_instant_the_lowest_is_first():
    hospital = Hospital()
    hospital.add(prom(1, "a", 3, score=1_600), prom(1, "b", 3, score=700), prom(1, "c", 10, score=800))
    assert hospital.end()["change"] == padded(900, 100)


def test_corrections_within_the_grace_replace_what_was_said():
    hospital = Hospital(grace=12)
    hospital.add(
        encounter(1, "a", 1), encounter(1, "b", 1), encounter(1, "c", 1, code="tele"),
        encounter(1, "a", 8, recorded=20), encounter(1, "b2", 9, recorded=21, code="ed", corrects="b"),
        encounter(1, "c", 22, cancels=True),
        prom(1, "p", 2, score=1_000), prom(1, "q", 10, score=1_100), prom(1, "p", 10, recorded=23, cancels=True),
        prom(1, "r", 20, score=1_400),
    )
    found = hospital.end()
    assert (found["outpatient"], found["contacts"]) == (padded(0, 1), padded(0, 2))
    assert (found["answers"], found["change"]) == (padded(0, 1, 1), padded(0, 0, 300))


def test_what_would_change_a_sealed_pane_is_late_and_changes_nothing():
    hospital = Hospital()
    hospital.add(encounter(1, "a", 3), prom(1, "p", 3, score=1_000), encounter(1, "b", 9))
    hospital.hear(14, 14)
    hospital.seal()
    assert hospital.panes.sealed == 2
    hospital.add(
        encounter(1, "x", 13, recorded=15),  # in a sealed pane
        encounter(1, "a", 15, recorded=15),  # leaves a sealed pane
        encounter(1, "b", 15, cancels=True),  # leaves a sealed pane
        prom(1, "q", -3, recorded=15, score=0),  # makes the answer in the sealed pane a follow-up
        encounter(1, "x", 15.2, cancels=True),  # takes back what was late
    )
    assert hospital.panes.late_pending == 5
    hospital.add(encounter(1, "x", 16), prom(1, "r", 16, score=1_100), prom(2, "s", -3, recorded=16, score=400))
    hospital.add(prom(2, "t", 16, score=500))
    assert hospital.panes.late_pending == 5
    found = hospital.end()
    assert found["outpatient"] == padded(1, 1, 1)
    assert (found["answers"], found["change"]) == (padded(1, 0, 1), padded(0, 0, 100))
    assert hospital.end(2)["change"] == padded(0, 0, 100)


def test_who_withdraws_counts_nothing_in_any_pane_that_is_not_sealed():
    hospital = Hospital(grace=1)
    hospital.add(encounter(1, "a", 3), encounter(1, "b", 9), monitoring(1, "c", 9), encounter(2, "d", 9))
    hospital.hear(14, 15)
    hospital.seal()
    hospital.add(withdrawal(1, "w", 20), encounter(1, "e", 21), prom(1, "p", 1, recorded=21), prom(1, "q", 30))
    # The answer of day 1 lies in the sealed pane.
    assert hospital.panes.late_pending == 1
    found = hospital.end()
    assert found["outpatient"] == padded(1)
    assert not any(any(found[name]) for name in COLUMNS if name not in ("outpatient", "contacts"))
    assert hospital.end(2)["outpatient"] == padded(0, 1)
    slot = int(hospital.panes.register.slot_of[hospital.panes.register.person(NAMES.patient(person(1)))])
    # Exposure is the hospital's measure too.
    assert np.stack(hospital.content)[:, 1, slot].tolist() == padded(1)


def test_heartbeats_move_the_watermark_no_further_than_their_recording():
    hospital = Hospital()
    hospital.hear(30, 6)
    assert hospital.panes.sealable == 0
    hospital.hear(30, 20.5)
    # The register closed, since the linkage date lies before day 20.
    assert hospital.panes.sealable == 2
    hospital.hear(7, 40)
    assert hospital.panes.sealable == 2
    hospital.panes.hear(Heartbeat(source="nobody", final=False, until=at(80), recorded_at=at(80)))
    assert hospital.panes.sealable == 2
    assert hospital.end()["contacts"] == padded()


def test_heartbeats_are_final_or_say_how_far():
    beat = Heartbeat(source="ehr", final=False, until=at(3), recorded_at=at(4))
    assert parse(encode(beat)) == beat
    for fields in ({"final": False}, {"until": at(3), "recorded_at": at(3)}, {"final": False, "until": at(3)}):
        with pytest.raises(ValidationError, match="final, or says until"):
            Heartbeat(source="ehr", **fields)


@pytest.mark.parametrize("event", [
    encounter(1, "e", 2, code="tele"), monitoring(1, "e", 2, corrects="d"), prom(1, "e", 2, score=-45, cancels=True),
    withdrawal(1, "e", 2),
])
def test_events_travel_as_json(event):
    assert parse(encode(event)) == event


@pytest.mark.parametrize(("measure", "message"), [
    ({"aggregation": "count", "kind": "encounter", "code": "surgery"}, "unknown for encounter events; expected one of"),
    ({"aggregation": "count", "kind": "monitoring", "code": "open"}, "expected one of due, completed"),
    ({"aggregation": "count", "kind": "claim", "code": "gp"}, "code says nothing about a count of claim events"),
    ({"aggregation": "count", "kind": "prom", "module": "diary"}, "module says nothing"),
    ({"aggregation": "missed", "kind": "prom"}, "missed is of monitoring events; leave kind out"),
    ({"aggregation": "missed", "code": "due"}, "code says nothing about a missed"),
    ({"aggregation": "follow-ups"}, "follow-ups needs code"),
    ({"aggregation": "change"}, "change needs code"),
])
def test_measures_that_would_match_nothing_are_refused(measure, message):
    with pytest.raises(ValidationError, match=message):
        Measure(name="x", party="hospital", **measure)


def test_measures_of_kinds_that_no_source_brings_say_what_to_change():
    data = kinds_data()
    data["parties"][0]["sources"][0]["kinds"].remove("prom")
    with pytest.raises(ValidationError, match=r"needs events of kind 'prom'.*Add the kind to one of them"):
        Draft.model_validate(data)
