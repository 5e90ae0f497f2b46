"""Judgements without history: columns at once as the validator does event by event."""

import itertools
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from streams.columns import ENDED, EventColumns
from streams.envelope import Claim, ClaimEvent, Enrolment, EnrolmentEvent, Social, SocialEvent
from streams.judge import FOREIGN, Judge
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from tests.support.checking import Checker
from tests.support.kinds import NAMES, at, common, encounter, kinds_data, monitoring, prom, withdrawal
from tests.support.parties import LINK_SECRET, person

HISTORY = {
    Reason.DUPLICATE_ID, Reason.UNKNOWN_PERSON, Reason.UNKNOWN_REFERENCE, Reason.ALREADY_CANCELLED, Reason.CREDIT_MISMATCH,
    Reason.AMOUNT_TOO_LARGE, Reason.TOO_MANY_EVENTS,
}
FOREIGNER = Pseudonyms(LINK_SECRET, b"x" * 32)


def draft(shards=1):
    data = kinds_data(shards=shards)
    data["parties"][0]["sources"].append({"name": "claims", "kinds": ["claim", "social"]})
    data["measures"].append({"name": "scans", "party": "hospital", "aggregation": "count", "kind": "claim", "care_type": "scan"})
    return Draft.model_validate(data)


DRAFT = draft()
SOURCES = ("ehr", "claims")
days = st.sampled_from([-400, -1, -1 / 86400, 0, 3, 83.99, 84, 90])
lags = st.sampled_from([0, 1, -1, -1 - 1 / 86400, -2, -30, 5])
numbers = itertools.count()


@st.composite
def events(draw):
    day, lag, source = draw(days), draw(lags), draw(st.sampled_from(["ehr", "claims", "nobody"]))
    number, name, corrects = draw(st.integers(1, 5)), f"n{next(numbers)}", draw(st.sampled_from([None, "old"]))
    flag, recorded = draw(st.booleans()), day + lag
    match draw(st.integers(0, 6)):
        case 0:
            care = draw(st.sampled_from(["gp", "scan", "astrology"]))
            made = ClaimEvent(**common(number, name, day, recorded, corrects), payload=Claim(care_type=care, cents=5, credit=flag))
        case 1:
            stop = draw(st.sampled_from([None, day - 1, day, recorded + 2, recorded + 2 + 1 / 86400, recorded + 3]))
            programme = draw(st.sampled_from(["ibd-care", "registered", "insured"]))
            payload = Enrolment(programme=programme, stop=None if stop is None else at(stop))
            made = EnrolmentEvent(**common(number, name, day, recorded), payload=payload)
        case 2:
            made = SocialEvent(**common(number, name, day, recorded), payload=Social(field="income", value="9"))
        case 3:
            made = encounter(number, name, day, recorded, corrects=corrects, cancels=flag)
        case 4:
            module = draw(st.sampled_from(["diary", "else"]))
            made = monitoring(number, name, day, recorded, module=module, corrects=corrects, cancels=flag)
        case 5:
            instrument = draw(st.sampled_from(["control-8", "else"]))
            made = prom(number, name, day, recorded, instrument=instrument, corrects=corrects, cancels=flag)
        case _:
            made = withdrawal(number, name, day, recorded)
    patient = FOREIGNER.patient(person(number)) if draw(st.integers(0, 9)) == 0 else made.patient
    return made.model_copy(update={"source": source, "patient": patient})


@settings(max_examples=150)
@given(st.lists(events(), max_size=40))
def test_the_same_reasons_as_one_by_one(found):
    judged = Judge(DRAFT, "hospital", NAMES).judge(EventColumns.from_events(found, range(len(found)), SOURCES), ENDED)
    refused = dict(judged.refused)
    assert judged.accepted.tolist() == [i not in refused for i in range(len(found))]
    for i, event in enumerate(found):
        # Nobody is known and nothing was said before, so what needs history is refused for that, or let through.
        outcome = Checker(DRAFT, "hospital", NAMES).check(event)
        if outcome is Reason.UNKNOWN_REFERENCE and isinstance(event, ClaimEvent) and event.corrects is None:
            outcome = Reason.MISSING_FIELD
        expected = outcome if isinstance(outcome, Reason) and outcome not in HISTORY else None
        assert refused.get(i) is expected, event


def test_shards_are_those_of_the_pseudonyms():
    two = draft(2)
    found = [encounter(n, f"s{n}", 3) for n in range(1, 60)]
    found[7] = found[7].model_copy(update={"patient": FOREIGNER.patient(person(8))})
    columns = EventColumns.from_events(found, range(len(found)), SOURCES)
    judge = Judge(two, "hospital", NAMES)
    expected = [FOREIGN if i == 7 else NAMES.shard(e.patient, 2) for i, e in enumerate(found)]
    assert set(expected) == {0, 1, FOREIGN}
    for _ in range(2):
        judged = judge.judge(columns, ENDED)
        assert judged.shard.tolist() == expected
        assert judged.refused == [(7, Reason.WRONG_TYPE)]


@pytest.mark.parametrize("year", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_times_at_the_ends_of_the_calendar_are_refused(year):
    moment = datetime.fromisoformat(year)
    found = [
        encounter(1, "a", 3).model_copy(update={"recorded_at": moment}), encounter(1, "b", 3).model_copy(update={"occurred_at": moment}),
        EnrolmentEvent(**common(1, "c", 3, 4), payload=Enrolment(programme="ibd-care", stop=moment)), encounter(1, "d", 3),
    ]
    judged = Judge(DRAFT, "hospital", NAMES).judge(EventColumns.from_events(found, range(4), SOURCES), ENDED)
    assert judged.refused == [(i, Reason.WRONG_TYPE) for i in range(3)]


def test_known_patients_are_few_at_a_time(monkeypatch):
    monkeypatch.setattr("streams.judge.CACHED", 3)
    judge, found = Judge(draft(2), "hospital", NAMES), [encounter(n, f"s{n}", 3) for n in range(1, 30)]
    columns = EventColumns.from_events(found, range(len(found)), SOURCES)
    assert judge.judge(columns, ENDED).shard.tolist() == [NAMES.shard(e.patient, 2) for e in found]
    assert len(judge._known) <= 3
