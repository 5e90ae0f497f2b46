"""Lists of rows to be erased follow from the log alone, are of one size, and leave nothing of whom they name."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from streams import chest
from streams.columns import EventColumns
from streams.envelope import Heartbeat
from streams.panes import Sealed, ShardPanes
from streams.rejects import Reason
from streams.shard import Refused, Shard
from streams.validate import Validator
from streams.withdrawn import Listed
from tests.support.kinds import NAMES, at, encounter, enrolled, kinds_data, monitoring, person, prom, withdrawal
from tests.unit.streams.test_shard import KEY, log_of

AGREED = {"every_panes": 2, "batch_slots": 4, "within_days": 31}
TABLES = ("claims", "totals", "said", "uses", "spreads", "enrolments", "programmes", "facts", "events", "standing", "places")


def agreed(block_slots=16, **changes):
    return Draft.model_validate(kinds_data(**{
        "erasure": AGREED, "linkage": {"date": "2024-01-08", "block_slots": block_slots, "dummies": 6}, **changes,
    }))


def new(draft, partitions=1):
    return Shard(draft, "hospital", 0, bytes(32), partitions)


def folded(shard, log, start=0):
    """Everything that comes out, in order."""
    return [
        (made.pane, made.revision, made.content.tobytes()) if isinstance(made, Sealed) else made
        for offset, record in enumerate(log[start:], start)
        for made in shard.fold(offset, EventColumns.from_bytes(record))
    ]


def lists(found):
    return [made for made in found if isinstance(made, Listed)]


def leaving(*days, people=8):
    """Everybody is enrolled and has something of every kind twice a week, and something late; of the first ones each
    withdraws on a day.
    """
    found = [enrolled(number) for number in range(people)]
    dated = [
        (day + who / 100, make(who, f"{kind}-{who}-{day}", day))
        for day in range(0, 84, 4) for who in range(people)
        for kind, make in (("e", encounter), ("m", monitoring), ("p", prom))
    ]
    dated += [
        (day + who / 100, encounter(who, f"l-{who}-{day}", day - 9, day)) for day in range(10, 84, 4) for who in range(people)
    ]
    dated += [(day + 0.5, withdrawal(who, f"w-{who}", day + 0.5)) for who, day in enumerate(days)]
    return [*found, *(event for _, event in sorted(dated, key=lambda each: each[0])), Heartbeat(source="ehr")]


def slot_of(shard, who):
    return int(shard.panes.register.slot_of[shard.panes.register.known(NAMES.patient(person(who)))])


def test_who_withdrew_before_a_boundary_is_listed_there_and_a_list_says_nothing_else():
    shard = new(agreed())
    found = lists(folded(shard, log_of(leaving(10, 12, 40), [])))
    assert [(made.number, made.boundary) for made in found] == [(0, 2), (1, 6)]
    vacant = set(range(16)) - {slot_of(shard, who) for who in range(8)}
    for made, who in zip(found, ((0, 1), (2,)), strict=True):
        assert len(made.slots) == 4
        assert list(made.slots) == sorted(set(made.slots))
        assert set(made.slots) - vacant == {slot_of(shard, each) for each in who}
    assert not set(found[0].slots) & set(found[1].slots), "padding is used once"
    assert shard.panes.withdrawn.waiting == 0


def test_the_end_of_the_grid_is_a_boundary_too():
    """Whatever the cycle: who withdraws after the last multiple of it is erased as well."""
    shard = new(agreed(erasure={**AGREED, "every_panes": 9}))
    found = lists(folded(shard, log_of(leaving(10, 70), [])))
    assert [(made.number, made.boundary) for made in found] == [(0, 9), (1, 12)]
    assert slot_of(shard, 1) in found[1].slots


def test_nobody_is_listed_where_nobody_withdrew_and_none_where_nothing_is_agreed():
    assert lists(folded(new(agreed()), log_of(leaving(), []))) == []
    without = new(agreed(erasure=None))
    assert lists(folded(without, log_of(leaving(10), []))) == []
    assert without.panes.withdrawn.waiting == 0
    assert "listed" not in chest.unlock(KEY, without.purpose, without.dump(KEY))[1]._found


@pytest.mark.parametrize("count", [1, 4, 5, 8])
def test_a_batch_has_one_size_however_many_withdraw(count):
    found = lists(folded(new(agreed()), log_of(leaving(*[8] * count), [])))
    assert [len(made.slots) for made in found] == [4] * -(-count // 4)
    assert {made.boundary for made in found} == {2}


def test_who_cannot_be_hidden_waits_until_a_batch_can_be_filled():
    shard = new(agreed(block_slots=8))
    found = lists(folded(shard, log_of(leaving(10, 24, 38, people=8), [])))
    assert found == [], "every slot has somebody"
    assert shard.panes.withdrawn.waiting == 3
    shard = new(agreed(block_slots=8))
    found = lists(folded(shard, log_of(leaving(10, 24, 38, 52, people=8), [])))
    assert [made.boundary for made in found] == [8]
    assert found[0].slots == tuple(sorted(slot_of(shard, who) for who in range(4)))
    assert shard.panes.withdrawn.waiting == 0


@settings(max_examples=12)
@given(
    st.lists(st.integers(1, 80), max_size=8), st.sets(st.integers(1, 500)), st.integers(0, 600), st.integers(0, 2**32),
    st.sampled_from([(), (3, 20)]),
)
def test_how_a_log_is_cut_repeated_and_taken_up_again_changes_no_list(days, cuts, crash, seed, maturities):
    draft = agreed(maturities={"days": list(maturities)})
    events = leaving(*days)
    whole = new(draft)
    expected = folded(whole, log_of(events, []))
    log = log_of(events, cuts)
    crash %= len(log) + 1
    first = new(draft)
    before = folded(first, log[:crash])
    again = new(draft)
    again.load(KEY, first.dump(KEY))
    assert again.dump(KEY) == first.dump(KEY)
    assert before + folded(again, log, crash) == expected
    zombie = new(draft)
    rng = random.Random(seed)
    assert folded(zombie, log + log_of(events, {rng.randrange(1, 500)})) == expected
    assert again.panes.withdrawn.waiting == whole.panes.withdrawn.waiting
    slots = Counter(slot for made in lists(expected) for slot in made.slots)
    assert all(times == 1 for times in slots.values())


@settings(max_examples=8)
@given(st.lists(st.integers(1, 80), max_size=5), st.lists(st.integers(1, 80), max_size=3), st.lists(st.booleans(), max_size=99))
def test_how_source_partitions_come_together_changes_no_list(days, others, turns):
    draft, second = agreed(maturities={"days": [3, 20]}), []
    for event in leaving(*others):
        if not isinstance(event, Heartbeat):
            number = next(n for n in range(8) if NAMES.patient(person(n)) == event.patient)
            names = {"event_id": NAMES.event_id("u", event.event_id), "patient": NAMES.patient(person(100 + number))}
            second.append(event.model_copy(update=names))
    logs = log_of(leaving(*days), range(1, 400, 7)), log_of([*second, Heartbeat(source="ehr")], range(1, 400, 9), 1)
    mixed, place = [], [0, 0]
    for turn in turns:
        mixed += logs[turn][place[turn] : place[turn] + 1]
        place[turn] += 1
    found = [
        [made for made in folded(new(draft, 2), log) if not isinstance(made, Refused)]
        for log in (logs[0] + logs[1], logs[1] + logs[0], mixed + logs[0][place[0] :] + logs[1][place[1] :])
    ]
    assert found[0] == found[1] == found[2]


def test_nothing_is_left_of_whom_a_list_names():
    shard = new(agreed(maturities={"days": [20]}))
    folded(shard, log_of(leaving(10, 12, people=3)[:-1], []))
    assert shard.panes.withdrawn.waiting == 0
    state = chest.unlock(KEY, shard.purpose, shard.dump(KEY))[1]._found
    left = NAMES.patient(person(0)), NAMES.patient(person(1))
    register = state["register"].column("patient").to_pylist()
    assert set(left) <= set(register), "a slot is never filled again"
    gone = {register.index(patient) for patient in left}
    for name in TABLES:
        rows = state[name].to_pylist()
        assert not [row for row in rows if row.get("patient") in left or row.get("person") in gone], name
    answers = state["answers"].to_pylist()
    assert all((row["at"], row["score"]) == (0, 0) for row in answers if row["person"] in gone)
    assert any(row["score"] for row in answers)


def test_what_comes_after_a_withdrawal_counts_as_accepted_and_changes_nothing():
    events, draft = leaving(10), agreed(maturities={"days": [20]})
    late = [encounter(0, "late", 5, 20), encounter(0, "late", 5, 20), monitoring(0, "gone", 30, corrects="never-there")]
    plain, more = new(draft), new(draft)
    expected = folded(plain, log_of(events, []))
    place = next(i for i, e in enumerate(events) if e.recorded_at > at(30))
    found = folded(more, log_of([*events[:place], *late, *events[place:]], []))
    assert found == expected
    assert more.accepted == plain.accepted + len(late)
    assert not more.refused


def test_a_later_revision_is_0_where_a_row_was_listed():
    draft = agreed(maturities={"days": [30]})
    shard = new(draft)
    events = leaving(15, 40)
    # Something late for everybody, recorded before anyone withdraws: it would come with the next maturity.
    late = [encounter(who, f"late-{who}", 1, 14.5) for who in range(8)]
    place = next(i for i, e in enumerate(events) if getattr(e, "recorded_at", at(0)) > at(14.4))
    found = folded(shard, log_of([*events[:place], *late, *events[place:]], []))
    slots, seen, erased = shard.panes.register.slots, 0, set()
    for made in found:
        if isinstance(made, Listed):
            erased |= {(slot, made.boundary) for slot in made.slots}
        elif not isinstance(made, Refused) and made[1]:
            content = np.frombuffer(made[2], dtype=np.int64).reshape(-1, slots)
            rows = [slot for slot, boundary in erased if made[0] < boundary]
            assert not content[:, rows].any()
            seen += bool(content.any()) and bool(rows)
    assert seen, "a revision after a list changes others"


@settings(max_examples=8)
@given(st.lists(st.integers(1, 80), min_size=1, max_size=8), st.sampled_from([(), (3, 20)]))
def test_forgetting_people_is_never_seen(days, maturities):
    draft, log = agreed(maturities={"days": list(maturities)}), log_of(leaving(*days), [])
    forgets, remembers = new(draft), new(draft)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validator, "forget_withdrawn", lambda *_: None)
        patch.setattr(ShardPanes, "list_before", lambda panes, boundary: panes.withdrawn.list_before(boundary, panes.register)[0])
        expected = folded(remembers, log)
    assert folded(forgets, log) == expected
    assert forgets.accepted == remembers.accepted
    assert Reason.DUPLICATE_ID not in forgets.refused


def test_padding_depends_on_the_partys_key():
    draft, log = agreed(block_slots=64), log_of(leaving(10), [])
    shards = [Shard(draft, "hospital", 0, bytes([n]) * 32, 1) for n in range(2)]
    first, second = (set(lists(folded(shard, log))[0].slots) - {slot_of(shard, 0)} for shard in shards)
    assert len(first) == len(second) == 3
    assert first != second
