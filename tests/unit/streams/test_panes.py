"""Events to panes, against plain counting by hand and day by day."""

import math
import random
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.agreement import Draft
from streams.envelope import Claim, ClaimEvent, Enrolment, EnrolmentEvent, Social, SocialEvent
from streams.errors import ConfigurationError
from streams.intervals import merge
from streams.pseudonym import Pseudonyms
from streams.register import Register, register_seed
from tests.support.driven import DrivenPanes
from tests.support.parties import LINK_SECRET, PSEUDONYM_KEY, person
from tests.support.terms import draft_data
from tests.support.watermark import SECONDS_PER_DAY, Watermark

NAMES = Pseudonyms(LINK_SECRET, PSEUDONYM_KEY)
ZONE = ZoneInfo("Europe/Amsterdam")
START = date(2024, 1, 1)
PANES = 12


def at(day, hour=0):
    return datetime.combine(START + timedelta(days=day), time(hour), ZONE)


def base(number, event, occurred, recorded, source):
    return {
        "event_id": NAMES.event_id("t", event), "patient": NAMES.patient(person(number)), "occurred_at": occurred,
        "recorded_at": recorded, "source": source,
    }


def enrol(number, event, programme, start, stop=None, recorded=-10, source="fhir"):
    return EnrolmentEvent(
        **base(number, event, at(start), at(recorded), source),
        payload=Enrolment(programme=programme, stop=None if stop is None else at(stop)),
    )


def claim(number, event, day, cents=100, care="gp", credit=False, recorded=None):
    return ClaimEvent(
        **base(number, event, at(day), at(day if recorded is None else recorded), "claims"),
        payload=Claim(care_type=care, cents=cents, credit=credit),
    )


def state(party, **changes):
    return DrivenPanes(Draft.model_validate(draft_data(**changes)), party)


def sealed_all(panes, source):
    """{column: (panes, slots)} and person → slot, after the end of the source."""
    panes.finish(source)
    content = [panes.seal()[1] for _ in range(PANES - panes.sealed)]
    return np.stack(content, axis=1)


def slot(panes, number):
    return int(panes.register.slot_of[panes.register.person(NAMES.patient(person(number)))])


def test_exposure_splits_at_activation_and_its_pane_is_in_neither_arm():
    panes = state("hospital")
    panes.add(enrol(1, "e1", "ibd-care", -50))
    panes.add(enrol(1, "t1", "ibd-coach", 16))
    panes.add(enrol(2, "e2", "ibd-care", 14, stop=35))
    panes.add(enrol(3, "e3", "ibd-care", -1))
    panes.add(enrol(3, "t3", "ibd-coach", 7, stop=21))
    user, not_yet = sealed_all(panes, "fhir")
    assert user[:, slot(panes, 1)].tolist() == [0] * 3 + [1] * 9
    assert not_yet[:, slot(panes, 1)].tolist() == [1] * 2 + [0] * 10
    assert user[:, slot(panes, 2)].tolist() == [0] * 12
    assert not_yet[:, slot(panes, 2)].tolist() == [0, 0, 1, 1, 1] + [0] * 7
    assert user[:, slot(panes, 3)].tolist() == [0, 1, 1] + [0] * 9
    assert not_yet[:, slot(panes, 3)].tolist() == [1] + [0] * 11


def test_claims_count_and_add_net_of_credits_while_insured():
    panes = state("insurer")
    panes.add(enrol(1, "m1", "insured", -5, stop=10, source="claims"))
    panes.add(enrol(1, "n1", "insured", 10, stop=30, source="claims"))
    panes.add(claim(1, "a", 0, 10_000))
    panes.add(claim(1, "b", 6, 300, care="other"))
    panes.add(claim(1, "c", 6, 300, care="other", credit=True))
    panes.add(claim(1, "d", 7, 9))
    panes.add(claim(1, "e", 60, 9))
    days, any_days, visits, any_visits, high, low, any_cost = sealed_all(panes, "claims")
    mine = slot(panes, 1)
    assert days[:, mine].tolist() == [7, 7, 7, 7, 2] + [0] * 7
    assert any_days[:, mine].tolist() == [1] * 5 + [0] * 7
    assert visits[:, mine].tolist() == [1, 1] + [0] * 10
    assert any_visits[:, mine].tolist() == [1, 1] + [0] * 10
    assert (high * 2**13 + low)[:, mine].tolist() == [10_000, 9] + [0] * 10
    assert low.max() < 2**13
    assert any_cost[:, mine].tolist() == [1, 1] + [0] * 10
    others = np.delete(np.stack([days, visits, high, low]), mine, axis=2)
    assert not others.any()


def test_the_value_at_a_panes_start_counts():
    measures = [m | {"field": "income_quintile"} if m["aggregation"] == "category" else m for m in draft_data()["measures"]]
    panes = state("statistics", measures=measures)

    def income(event, day, value):
        return SocialEvent(
            **base(1, event, at(day), at(-1), "persons"), payload=Social(field="income_quintile", value=value)
        )

    for event in (income("b", 14, "5"), income("a", -300, "2"), income("c", 29, None), income("d", 29, "1")):
        panes.add(event)
    table = sealed_all(panes, "persons")[:, :, slot(panes, 1)]
    assert (np.arange(1, 6) @ table).tolist() == [2, 2, 5, 5, 5] + [1] * 7


def test_a_version_replaces_its_interval():
    panes = state("hospital")
    panes.add(enrol(1, "e1", "ibd-care", -50))
    panes.add(enrol(1, "e1", "ibd-care", -50, stop=14))
    _, not_yet = sealed_all(panes, "fhir")
    assert not_yet[:, slot(panes, 1)].tolist() == [1, 1] + [0] * 10


def test_panes_are_sealed_by_the_watermark_after_the_grace_and_late_events_change_nothing():
    panes = state("insurer")
    panes.add(enrol(1, "m1", "insured", -5, source="claims"))
    panes.add(claim(1, "a", 20))
    assert (panes.register.closed, panes.sealable) == (True, 0)
    panes.add(claim(1, "b", 21))
    assert panes.sealable == 1
    panes.add(claim(1, "c", 41))
    assert panes.sealable == 3
    panes.seal()
    panes.add(claim(1, "late", 6))
    panes.add(enrol(1, "m1", "insured", -5, stop=6, recorded=42, source="claims"))
    assert panes.late_pending == 2
    panes.add(claim(1, "in time", 7))
    assert panes.late_pending == 2
    days, _, visits, *_ = sealed_all(panes, "claims")
    assert visits[:, slot(panes, 1)].tolist() == [1, 1, 1, 0, 1] + [0] * 6
    assert days[:, slot(panes, 1)].tolist() == [7] * 11


def test_who_is_recorded_after_the_linkage_date_waits_for_another_epoch():
    panes = state("insurer")
    panes.add(enrol(1, "m1", "insured", -5, recorded=6, source="claims"))
    panes.add(enrol(2, "m2", "insured", -5, recorded=7, source="claims"))
    panes.add(claim(2, "a", 8))
    assert panes.late_pending == 2
    assert panes.register.blocks == 1
    days = sealed_all(panes, "claims")[0]
    assert days.sum() == 7 * PANES


def test_an_empty_shard_looks_like_a_small_one():
    panes = state("hospital")
    content = sealed_all(panes, "fhir")
    assert content.shape == (2, PANES, 64)
    assert not content.any()
    assert len(set(panes.register.link_column(NAMES.link_key)[0].tolist())) == 64


def test_nothing_is_sealed_before_its_time():
    panes = state("hospital")
    with pytest.raises(ValueError, match="pane 0 may not be sealed yet"):
        panes.seal()


def test_registers_give_slots_at_random_and_link_keys_in_place():
    firsts = set()
    for shard in range(5):
        register = Register(64, register_seed(b"key" * 11, "ab" * 32, "hospital", shard, 0))
        people = [NAMES.patient(person(n)) for n in range(100)]
        assert [register.person(x) for x in people] == list(range(100))
        register.close()
        assert (register.blocks, register.slots) == (2, 128)
        assert len(set(register.slot_of.tolist())) == 100
        column = register.link_column(NAMES.link_key)[0]
        assert [int(column[register.slot_of[i]]) for i in range(100)] == [NAMES.link_key(x) for x in people]
        assert register.person(NAMES.patient("somebody new")) is None
        firsts.add(int(register.slot_of[0]))
    assert len(firsts) > 1


def made_register(key=b"k" * 32, agreement="ab" * 32, party="hospital", shard=0, epoch=0, people=40):
    register = Register(64, register_seed(key, agreement, party, shard, epoch))
    for n in range(people):
        register.person(NAMES.patient(person(n)))
    register.close()
    return register


def test_a_register_that_is_made_again_is_the_same_one():
    first, again = made_register(), made_register()
    assert first.slot_of.tolist() == again.slot_of.tolist()
    assert first.link_column(NAMES.link_key).tobytes() == again.link_column(NAMES.link_key).tobytes()
    restored = Register(64, register_seed(b"k" * 32, "ab" * 32, "hospital", 0, 0))
    restored.restore(first.people, closed=True)
    assert restored.link_column(NAMES.link_key).tobytes() == first.link_column(NAMES.link_key).tobytes()


@pytest.mark.parametrize("other", [
    {"key": b"K" * 32}, {"agreement": "ac" * 32}, {"party": "insurer"}, {"shard": 1}, {"epoch": 1},
])
def test_registers_of_other_keys_agreements_shards_and_epochs_have_nothing_in_common(other):
    columns = [set(r.link_column(lambda _: 0)[0].tolist()) - {0} for r in (made_register(), made_register(**other))]
    assert len(columns[0]) == len(columns[1]) == 24
    assert not columns[0] & columns[1]
    assert made_register().slot_of.tolist() != made_register(**other).slot_of.tolist()


def test_watermarks_wait_for_every_source():
    mark = Watermark({"a": 0, "b": 2})
    mark.observe("a", 10.0 * SECONDS_PER_DAY, 12.0 * SECONDS_PER_DAY)
    assert mark.value == -math.inf
    mark.observe("b", 9.0 * SECONDS_PER_DAY, 9.5 * SECONDS_PER_DAY)
    assert mark.value == 7.0 * SECONDS_PER_DAY
    mark.finish("b")
    assert mark.value == 10.0 * SECONDS_PER_DAY
    mark.observe("a", 10.9 * SECONDS_PER_DAY, 10.0 * SECONDS_PER_DAY)
    mark.observe("a", 1.0, 2.0)
    assert mark.value == 10.9 * SECONDS_PER_DAY
    mark.finish("a")
    assert mark.value == math.inf


def test_a_watermark_never_passes_the_time_of_recording():
    mark = Watermark({"a": 0})
    mark.observe("a", 20.0, 5.0)
    assert mark.value == 5.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-30, 30), st.integers(0, 9)), max_size=30))
def test_merged_intervals_cover_the_same_days(spans):
    person_, start = (np.array([s[i] for s in spans], dtype=np.int64) for i in (0, 1))
    stop = start + np.array([s[2] for s in spans], dtype=np.int64)
    merged = merge(person_, start, stop)
    covered = {(p, d) for p, a, length in spans for d in range(a, a + length)}
    again = [(int(p), d) for p, a, b in zip(*merged, strict=True) for d in range(a, b)]
    assert len(again) == len(set(again))
    assert set(again) == covered
    ordered = sorted(zip(*(x.tolist() for x in merged), strict=True))
    assert all(p != q or b < c for (p, _, b), (q, c, _) in pairwise(ordered))


def test_random_enrolments_against_days_counted_one_by_one():
    rng = random.Random(4)
    panes, truth = state("insurer"), {}
    for number in range(40):
        for part in range(rng.randrange(1, 4)):
            start = rng.randrange(-20, 90)
            stop = None if rng.random() < 0.3 else start + rng.randrange(0, 40)
            panes.add(enrol(number, f"m{number}.{part}", "insured", start, stop, source="claims"))
            truth.setdefault(number, set()).update(range(start, 84 if stop is None else stop))
    days = sealed_all(panes, "claims")[0]
    for number, covered in truth.items():
        assert days[:, slot(panes, number)].tolist() == [
            len(covered & set(range(7 * k, 7 * k + 7))) for k in range(PANES)
        ]


@pytest.mark.parametrize(("measure", "message"), [
    ({"name": "x", "party": "insurer", "aggregation": "days", "programme": "insured", "bound": 6}, "may reach 7 days"),
    ({"name": "x", "party": "insurer", "aggregation": "count", "kind": "enrolment"}, "expected claim or encounter or .* events. Change its kind"),
    ({"name": "x", "party": "insurer", "aggregation": "nonzero", "of": "x"}, "depends on itself: x → x"),
])
def test_agreements_that_cannot_be_served(measure, message):
    data = draft_data()
    data["parties"][1]["sources"][0]["kinds"].append("prom")
    with pytest.raises(ConfigurationError, match=message):
        state("insurer", parties=data["parties"], measures=[*data["measures"], measure])
