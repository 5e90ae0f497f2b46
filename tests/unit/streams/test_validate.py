"""What may enter, over what entered before."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from policy.agreement import Draft
from streams.envelope import Claim, ClaimEvent, Enrolment, EnrolmentEvent, Social, SocialEvent
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from tests.support.checking import Checker
from tests.support.parties import LINK_SECRET, PSEUDONYM_KEY, person
from tests.support.terms import draft_data

NAMES = Pseudonyms(LINK_SECRET, PSEUDONYM_KEY)
ZONE = ZoneInfo("Europe/Amsterdam")
START = datetime(2024, 1, 1, tzinfo=ZONE)


def at(days):
    return START + timedelta(days=days)


def common(number, event, occurred, recorded, source):
    return {
        "event_id": NAMES.event_id("test", event), "patient": NAMES.patient(person(number)), "occurred_at": at(occurred),
        "recorded_at": at(occurred + 1 if recorded is None else recorded), "source": source,
    }


def member(number=1, event="m1", start=-100, stop=None, recorded=None, programme="insured", source="claims"):
    return EnrolmentEvent(
        **common(number, event, start, recorded, source),
        payload=Enrolment(programme=programme, stop=None if stop is None else at(stop)),
    )


def claim(event="c1", number=1, day=3, cents=4500, corrects=None, recorded=None, care="gp", source="claims"):
    return ClaimEvent(
        **common(number, event, day, recorded, source), corrects=NAMES.event_id("test", corrects) if corrects else None,
        payload=Claim(care_type=care, cents=cents, credit=corrects is not None),
    )


def validator(party="insurer", **changes):
    return Checker(Draft.model_validate(draft_data(**changes)), party, NAMES)


@pytest.fixture
def insurer():
    made = validator()
    assert made.check(member()) == member()
    return made


def test_claims_enter_once(insurer):
    assert insurer.check(claim()) == claim()
    assert insurer.check(claim()) is Reason.DUPLICATE_ID


@pytest.mark.parametrize(("event", "reason"), [
    (claim(number=2), Reason.UNKNOWN_PERSON),
    (claim(day=-1), Reason.OUTSIDE_AGREEMENT),
    (claim(day=84), Reason.OUTSIDE_AGREEMENT),
    (claim(day=83), None),
    (claim(day=10, recorded=8.9), Reason.IN_THE_FUTURE),
    (claim(day=10, recorded=9), None),
    (claim(care="astrology"), Reason.UNKNOWN_CODE),
    (claim(source="persons"), Reason.UNKNOWN_CODE),
    (claim(cents=2**26), Reason.AMOUNT_TOO_LARGE),
    (claim(cents=2**26 - 1), None),
    (claim(corrects="c0"), Reason.UNKNOWN_REFERENCE),
    (member(event="m2", programme="ibd-care"), Reason.UNKNOWN_CODE),
    (member(event="m2", start=5, stop=4), Reason.STOP_BEFORE_START),
    (member(event="m2", start=5, stop=5), None),
    (member(event="m2", start=5, stop=90, recorded=10), Reason.IN_THE_FUTURE),
    (member(recorded=-99), Reason.DUPLICATE_ID),
    (member(number=2, recorded=50), Reason.DUPLICATE_ID),
    (member(stop=9, recorded=10), None),
])
def test_one_fault_one_reason(insurer, event, reason):
    outcome = insurer.check(event)
    assert outcome == (event if reason is None else reason)


def test_a_credit_line_takes_back_its_line_once(insurer):
    insurer.check(claim(day=3))
    credit = claim("c2", day=50, corrects="c1", care="other")
    entered = insurer.check(credit)
    assert entered.occurred_at == at(3)
    assert entered.payload == Claim(care_type="gp", cents=4500, credit=True)
    assert entered.recorded_at == credit.recorded_at
    assert insurer.check(credit) is Reason.DUPLICATE_ID
    assert insurer.check(claim("c3", corrects="c1")) is Reason.ALREADY_CANCELLED
    assert insurer.check(claim("c4", corrects="c2")) is Reason.UNKNOWN_REFERENCE


def test_a_credit_line_fits_its_line(insurer):
    insurer.check(member(2, "m2"))
    insurer.check(claim())
    assert insurer.check(claim("c2", corrects="c1", cents=4501)) is Reason.CREDIT_MISMATCH
    assert insurer.check(claim("c3", corrects="c1", number=2)) is Reason.CREDIT_MISMATCH
    nothing = claim("c4").model_copy(update={"payload": Claim(care_type="gp", cents=1, credit=True)})
    assert insurer.check(nothing) is Reason.MISSING_FIELD


def test_a_panes_bounds_hold_over_all_its_claims_net_of_credits(insurer):
    most = 2**26 - 1
    assert insurer.check(claim("a", day=0, cents=most - 10)) == claim("a", day=0, cents=most - 10)
    assert insurer.check(claim("b", day=6, cents=11, care="other")) is Reason.AMOUNT_TOO_LARGE
    assert isinstance(insurer.check(claim("c", day=7, cents=11)), ClaimEvent)
    assert isinstance(insurer.check(claim("d", day=40, cents=most - 10, corrects="a")), ClaimEvent)
    assert isinstance(insurer.check(claim("e", day=6, cents=most, care="other")), ClaimEvent)


def test_more_events_than_a_count_can_hold(insurer):
    outcomes = [insurer.check(claim(f"v{i}", cents=1)) for i in range(65)]
    assert outcomes[62:] == [claim("v62", cents=1), Reason.TOO_MANY_EVENTS, Reason.TOO_MANY_EVENTS]
    assert isinstance(insurer.check(claim("other", cents=1, care="other")), ClaimEvent)


def test_foreign_pseudonyms():
    two = validator(shards=2)
    other = Pseudonyms(LINK_SECRET, b"x" * 32).patient(person(1))
    assert two.check(member().model_copy(update={"patient": other})) is Reason.WRONG_TYPE


def test_incomes_are_new_or_duplicates():
    made = validator("statistics")
    event = SocialEvent(**common(1, "s1", -400, None, "persons"), payload=Social(field="income_quintile", value="3"))
    assert made.check(event) == event
    assert made.check(event) is Reason.DUPLICATE_ID
