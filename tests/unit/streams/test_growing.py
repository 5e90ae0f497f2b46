"""Shards whose registers grow: patients enter at agreed panes, whatever way their events come together."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from streams import chest
from streams import shard as folding
from streams.columns import EventColumns
from streams.envelope import Enrolment, EnrolmentEvent, Heartbeat, Social, SocialEvent
from streams.panes import Sealed
from streams.shard import Refused, Shard
from streams.withdrawn import Listed
from tests.support.driven import DrivenPanes
from tests.support.kinds import (
    COLUMNS,
    NAMES,
    at,
    common,
    encounter,
    enrolled,
    kinds_data,
    monitoring,
    person,
    prom,
    withdrawal,
)
from tests.unit.streams import test_together
from tests.unit.streams.test_shard import KEY, log_of

PANES, SLOTS, EDGES = 12, 16, (0, 3, 6, 9)
DAYS = 7
ERASURE = {"every_panes": 2, "batch_slots": 6, "within_days": 31}


def agreed(grace=0, minimum=3, every=3, **changes):
    linkage = {"date": "2024-01-08", "block_slots": SLOTS, "dummies": 0}
    data = kinds_data(**{
        "linkage": linkage | ({} if every is None else {"batch_panes": every}),
        "disclosure": {"minimum_cohort": minimum}, **changes,
    })
    for party in data["parties"]:
        party["grace_panes"] = grace
    return Draft.model_validate(data)


def new(draft, partitions=1):
    return Shard(draft, "hospital", 0, bytes(32), partitions)


def coach(who, name, start, stop, recorded):
    return EnrolmentEvent(
        **common(who, name, start, recorded), payload=Enrolment(programme="ibd-coach", stop=None if stop is None else at(stop)),
    )


def story(seed, people, length=90):
    """Values of one source partition: patients are enrolled on any day, have events of all kinds, some late, some
    corrected, and withdraw.
    """
    rng, found, day, known = random.Random(seed), [], -20.0, []
    strangers = list(people)
    for _ in range(length):
        day = min(83.0, day + rng.random() * 2.4)
        if strangers and (not known or rng.random() < 0.3):
            known.append(strangers.pop())
            found.append(enrolled(known[-1], day))
        who, back = rng.choice(known), rng.choice([0, 0, 1, 9, 25])
        name, occurred = f"{rng.randrange(3)}-{who}", min(83.0, max(0.0, day - back))
        recorded = max(day, occurred)
        corrects = rng.choice([None, None, f"{rng.randrange(3)}-{who}"])
        more = {"recorded": recorded, "cancels": rng.random() < 0.1}
        match rng.randrange(8):
            case 0:
                found.append(Heartbeat(source="ehr", final=False, until=at(occurred), recorded_at=at(recorded)))
            case 1:
                found.append(monitoring(who, f"m{name}", occurred, corrects=None if corrects is None else f"m{corrects}", **more))
            case 2 | 3:
                found.append(prom(who, f"p{name}", occurred - 8, score=rng.randrange(50) * 10, **more))
            case 4:
                start = day - rng.choice([0, 4, 30])
                found.append(coach(who, f"c{name}", start, rng.choice([None, min(day, start + 9)]), day))
            case 5 if rng.random() < 0.3:
                found.append(withdrawal(who, f"w{name}", occurred, recorded))
            case _:
                found.append(encounter(who, f"e{name}", occurred, corrects=None if corrects is None else f"e{corrects}", **more))
    return [*found, Heartbeat(source="ehr")]


def shared(shard, log, start=0):
    """What a shard's log leaves to be shared: (batch of the register) or (pane, revision) → bytes; and lists."""
    found, batch = {}, shard.panes.register.opened

    def note(name, value):
        assert name not in found
        found[name] = value

    for offset, record in enumerate(log[start:], start):
        for made in [*shard.fold(offset, EventColumns.from_bytes(record)), None]:
            while batch < shard.panes.register.opened:
                note((batch,), shard.panes.register.link_column(NAMES.link_key, batch).tobytes())
                batch += 1
            if isinstance(made, Sealed):
                assert made.content.shape[1] == shard.panes.register.slots_of(sum(edge <= made.pane for edge in EDGES[:batch]))
                note((made.pane, made.revision), made.content.tobytes())
            elif isinstance(made, Listed):
                note(("list", made.number), made)
    return found


def counts(shard):
    panes = shard.panes
    return shard.accepted, dict(shard.refused), panes.late_pending, panes.late_after_maturity, panes.withdrawn.waiting


MATURITIES, ERASURES = st.sampled_from([(), (3, 20)]), st.sampled_from([None, ERASURE])


@settings(max_examples=30)
@given(
    st.integers(0, 2**32), st.sets(st.integers(1, 99)), st.sets(st.integers(1, 99)), st.lists(st.booleans(), max_size=130),
    st.integers(0, 200), MATURITIES, ERASURES, st.sampled_from([0, 2]),
)
def test_how_partitions_come_together_and_where_a_shard_starts_again_change_no_block(
    seed, cuts, others, turns, crash, maturities, erasure, grace
):
    draft = agreed(grace, maturities={"days": list(maturities)}, erasure=erasure)
    first, second = (
        log_of(story(seed + p, range(100 * p, 100 * p + 20)), c, p) for p, c in enumerate((cuts, others))
    )
    mixed, place = [], [0, 0]
    for turn in turns:
        mixed += (first, second)[turn][place[turn] : place[turn] + 1]
        place[turn] += 1
    found, ends = [], []
    for log in (first + second, second + first, mixed + first[place[0] :] + second[place[1] :]):
        stop = crash % (len(log) + 1)
        shard = new(draft, 2)
        before = shared(shard, log[:stop])
        again = new(draft, 2)
        again.load(KEY, shard.dump(KEY))
        assert again.dump(KEY) == shard.dump(KEY)
        after = shared(again, log, stop)
        assert not before.keys() & after.keys()
        found.append(before | after)
        ends.append(counts(again))
        assert again.ended
    assert found[0] == found[1] == found[2]
    assert ends[0] == ends[1] == ends[2]
    assert sum(len(name) == 1 for name in found[0]) == len(EDGES)
    assert sum(isinstance(name[0], int) and len(name) == 2 for name in found[0]) == PANES * (1 + len(maturities))


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 5]))
def test_from_its_first_pane_on_a_row_is_as_if_the_patient_had_always_been_in_the_register(seed, minimum):
    """Nothing is late here: panes are sealed when the sources end."""
    events = story(seed, range(25))
    shard = new(draft := agreed(PANES, max(3, minimum)))
    found = shared(shard, log_of(events, []))
    always = new(agreed(PANES, every=None, linkage={"date": "2024-06-01", "block_slots": SLOTS, "dummies": 0}))
    reference = shared(always, log_of(events, []))
    names, entered = [m.name for m in draft.party_measures("hospital")], Counter()
    assert names[-len(COLUMNS) :] == list(COLUMNS)
    used: dict[int, set[int]] = {pane: set() for pane in range(PANES)}
    for who in range(25):
        number = shard.panes.register.known(NAMES.patient(person(who)))
        slot = -1 if number is None else int(shard.panes.register.slot_of[number])
        if slot < 0:
            continue
        batch = next(g for g in range(4) if slot < shard.panes.register.slots_of(g + 1))
        entered[batch] += 1
        there = int(always.panes.register.slot_of[always.panes.register.known(NAMES.patient(person(who)))])
        for pane in range(EDGES[batch], PANES):
            rows = [np.frombuffer(of[pane, 0], np.int64).reshape(len(names), -1) for of in (found, reference)]
            assert rows[0][:, slot].tolist() == rows[1][:, there].tolist(), (who, pane)
            used[pane].add(slot)
    for pane in range(PANES):
        content = np.frombuffer(found[pane, 0], np.int64).reshape(len(names), -1)
        assert not np.delete(content, sorted(used[pane]), axis=1).any()
    assert all(entered[batch] >= draft.disclosure.minimum_cohort or not entered[batch] for batch in (1, 2, 3))


def test_the_stories_fill_later_batches():
    entered, left = Counter(), 0
    for seed in range(10):
        shard = new(agreed())
        shared(shard, log_of(story(seed, range(25)), []))
        slots = shard.panes.register.slot_of
        for batch in range(4):
            low, high = shard.panes.register.slots_of(batch), shard.panes.register.slots_of(batch + 1)
            entered[batch] += int(((slots >= low) & (slots < high)).sum())
        left += int((slots < 0).sum())
    assert all(entered[batch] > 15 for batch in range(4))
    assert left > 2


def test_without_anybody_new_there_is_an_empty_block_a_batch():
    shard = new(agreed())
    found = shared(shard, log_of([enrolled(1), Heartbeat(source="ehr")], []))
    assert [len(found[batch,]) for batch in range(4)] == [8 * SLOTS] * 4
    assert [len(found[pane, 0]) for pane in (2, 3, 8, 9)] == [8 * 12 * SLOTS * n for n in (1, 2, 3, 4)]
    assert len({word for batch in range(4) for word in np.frombuffer(found[batch,], np.uint64).tolist()}) == 4 * SLOTS


def batches_of(panes, people):
    """Person → batch."""
    found = {}
    for who in people:
        number = panes.register.known(NAMES.patient(person(who)))
        slot = -1 if number is None or number >= len(panes.register.slot_of) else int(panes.register.slot_of[number])
        found[who] = next((g for g in range(panes.register.opened) if 0 <= slot < panes.register.slots_of(g + 1)), None)
    return found


def test_the_moment_of_recording_decides_on_the_batch():
    panes = DrivenPanes(agreed(minimum=3), "hospital")
    days = {1: 6.9, 2: 7, 3: 20.9, 4: 20.9, 5: 21, 6: 62.9, 7: 62.9, 8: 63}
    for who, day in days.items():
        panes.add(enrolled(who, day))
    panes.finish("ehr")
    # Two wait for pane 6 and three for pane 9; who is recorded when that begins is in no batch.
    assert batches_of(panes, days) == {1: 0, 2: 1, 3: 1, 4: 1, 5: 3, 6: 3, 7: 3, 8: None}
    assert panes.late_pending == 1


def seals(panes):
    found = {}
    while panes.ripe:
        pane, content, revision = panes.seal()
        found[pane, revision] = content
    return found


def value(panes, found, who, pane, column):
    row = ["app_user", "app_not_yet", *COLUMNS].index(column)
    return int(found[pane, 0][row, panes.register.slot_of[panes.register.known(NAMES.patient(person(who)))]])


def waiting(*days):
    """Patients 1, 2 … each first recorded on a day."""
    panes = DrivenPanes(agreed(grace=1), "hospital")
    for who, day in enumerate(days, 1):
        panes.add(enrolled(who, day))
    return panes


def test_what_is_known_from_before_holds_and_what_happened_before_does_not_count():
    panes = waiting(8, 8, 8)
    for event in (
        coach(1, "c", 9, None, 9), coach(2, "over", 9, 12, 12), prom(1, "first", 13, score=100), encounter(1, "old", 13),
        encounter(1, "new", 21, recorded=20.5), prom(1, "later", 25, score=700), encounter(2, "older", 14, recorded=29),
    ):
        panes.add(event)
    assert panes.late_pending == 3, "an answer and two encounters of before pane 3"
    panes.finish("ehr")
    found = seals(panes)
    assert batches_of(panes, (1, 2, 3)) == {1: 1, 2: 1, 3: 1}
    assert [value(panes, found, 1, 3, name) for name in ("app_user", "contacts", "later", "change")] == [1, 1, 1, 600]
    assert [value(panes, found, 2, pane, "app_user") for pane in (3, 11)] == [0, 0]
    assert [value(panes, found, 3, pane, "app_not_yet") for pane in (3, 11)] == [1, 1]
    assert panes.late_pending == 3


def test_events_of_who_waits_longer_are_late_when_that_is_known():
    panes = waiting(8, 8)
    panes.add(encounter(1, "a", 22))
    panes.add(coach(1, "c", 23, None, 23))
    assert (panes.register.opened, panes.late_pending) == (2, 1), "two are too few: pane 3 is not theirs"
    assert panes.joining == 2
    panes.add(encounter(1, "b", 24))
    panes.add(encounter(2, "c", 43, recorded=42.5))
    assert panes.late_pending == 2 + 1, "neither is pane 6"
    panes.add(enrolled(3, 44))
    panes.add(encounter(1, "d", 64))
    assert (panes.register.opened, panes.late_pending, panes.joining) == (4, 3, 0)
    panes.finish("ehr")
    found = seals(panes)
    assert batches_of(panes, (1, 2, 3)) == {1: 3, 2: 3, 3: 3}
    assert [value(panes, found, 1, pane, "contacts") for pane in (9, 10)] == [1, 0]
    assert value(panes, found, 1, 10, "app_user") == 1


def test_everything_about_who_enters_no_batch_is_late():
    panes = waiting(8, 8)
    for event in (encounter(1, "a", 22), coach(1, "c", 23, None, 23), withdrawal(2, "w", 30), encounter(2, "b", 44)):
        panes.add(event)
    panes.finish("ehr")
    assert batches_of(panes, (1, 2)) == {1: None, 2: None}
    assert panes.late_pending == 6
    assert not any(content.any() for content in seals(panes).values())
    tables = panes.dump()[1]
    assert all(tables[name].num_rows == 0 for name in ("programmes", "events", "standing", "awaited", "withdrawn"))


@pytest.mark.parametrize("others", [(), (2, 3)])
def test_what_comes_after_the_last_maturity_counts_alike_before_and_after_the_batch_opens(others):
    """Of who waits it is known only then whether they enter; how far another partition was read must not show."""
    mine = [enrolled(1, 8), *(enrolled(who, 9) for who in others), encounter(1, "new", 70), encounter(1, "old", 22, recorded=75)]
    logs = log_of([*mine, Heartbeat(source="ehr")], []), log_of([Heartbeat(source="ehr")], [], 1)
    found = []
    for log in (logs[0] + logs[1], logs[1] + logs[0]):
        shard = new(agreed(maturities={"days": [3, 20]}), 2)
        for stop in range(len(log)):
            shared(shard, log[: stop + 1], stop)
            again = new(agreed(maturities={"days": [3, 20]}), 2)
            again.load(KEY, shard.dump(KEY))
            shard = again
        found.append(counts(shard))
    assert found[0] == found[1]
    assert found[0][2:4] == ((0, 1) if others else (3, 0))


def test_who_withdraws_before_the_batch_opens_is_not_in_it():
    panes = waiting(8, 8, 8, 8)
    panes.add(withdrawal(4, "w", 12))
    panes.add(withdrawal(3, "x", 21))
    panes.finish("ehr")
    found = seals(panes)
    assert batches_of(panes, (1, 2, 3, 4)) == {1: 1, 2: 1, 3: 1, 4: None}
    assert [value(panes, found, 3, pane, "app_not_yet") for pane in (3, 11)] == [0, 0]


def test_a_fact_of_before_holds_from_the_first_pane_on():
    draft = agreed()
    panes = DrivenPanes(draft, "statistics")
    for who in (1, 2, 3):
        event = SocialEvent(
            **{**common(who, f"s{who}", -300, 8), "source": "persons"}, payload=Social(field="income", value="2")
        )
        panes.add(event)
    panes.finish("persons")
    found = seals(panes)
    assert panes.late_pending == 0
    assert [int(found[pane, 0].sum()) for pane in (2, 3, 11)] == [0, 3, 3]


def test_a_worker_that_stops_between_two_batches_goes_on():
    events = story(3, range(25))
    log = log_of(events, range(1, len(events), 2))
    whole = shared(new(agreed()), log)
    shard, found, opened = new(agreed()), {}, set()
    for offset in range(len(log)):
        found |= shared(shard, log[: offset + 1], offset)
        again = new(agreed())
        again.load(KEY, shard.dump(KEY))
        opened.add(again.panes.register.opened)
        shard = again
    assert found == whole
    assert opened == {0, 1, 2, 3, 4}


# Lists of rows to be erased.


def rows_of(shard, people):
    register = shard.panes.register
    return {who: int(register.slot_of[register.known(NAMES.patient(person(who)))]) for who in people}


def lists_of(shard, events):
    return [made for name, made in shared(shard, log_of(events, [])).items() if name[0] == "list"]


def test_a_list_names_rows_of_one_batch_that_was_open_by_then():
    events = [enrolled(who, 3) for who in range(8)] + [enrolled(who, 8 + who / 10) for who in range(8, 16)]
    events += [
        encounter(1, "a", 21.5), withdrawal(0, "w0", 22), withdrawal(8, "w8", 23), encounter(1, "b", 49),
        withdrawal(9, "w9", 50), Heartbeat(source="ehr"),
    ]
    shard = new(agreed(erasure=ERASURE | {"batch_slots": 4}))
    found = lists_of(shard, events)
    assert [(made.number, made.boundary) for made in found] == [(0, 4), (1, 4), (2, 8)]
    slots = rows_of(shard, range(16))
    nobody = set(range(shard.panes.register.slots)) - set(slots.values())
    for made, who, batch in zip(found, (0, 8, 9), (0, 1, 1), strict=True):
        of = range(SLOTS * batch, SLOTS * (batch + 1))
        assert set(made.slots) - {slots[who]} <= nobody & set(of)
        assert slots[who] in made.slots
    assert len({slot for made in found for slot in made.slots}) == 12, "padding is used once"
    assert shard.panes.withdrawn.waiting == 0


@pytest.mark.parametrize("gone", [0, SLOTS])
def test_among_padding_of_another_batch_nobody_is_hidden(gone):
    """How full a batch is can be guessed: a row of a full one is a patient's if padding is of an empty one."""
    people = range(SLOTS + 3)
    events = [enrolled(who, 3 if who < SLOTS else 8) for who in people]
    events += [encounter(1, "a", 21.5), withdrawal(gone, "w", 22), Heartbeat(source="ehr")]
    shard = new(agreed(erasure=ERASURE))
    found = lists_of(shard, events)
    assert batches_of(shard.panes, people) == {who: int(who >= SLOTS) for who in people}
    if gone < SLOTS:
        assert found == [], "every slot of the first batch has somebody"
        assert shard.panes.withdrawn.waiting == 1
    else:
        assert [{slot // SLOTS for slot in made.slots} for made in found] == [{1}]


def test_a_state_says_nothing_of_batches_where_there_is_one():
    shard = new(agreed(every=None, erasure=ERASURE))
    assert shard.panes.joining is None
    shared(shard, log_of(story(1, range(9)), []))
    text, tables = chest.unlock(KEY, shard.purpose, shard.dump(KEY))
    assert "later" not in text
    assert not {"awaited", "padding"} & tables._found.keys()
    assert tables._found["register"].schema.names == ["patient"]


# Debit lines and enrolments together.


def insurers(minimum, every):
    data = test_together.draft().model_dump(mode="json", exclude_none=True)
    data["linkage"] |= {"dummies": 0, "batch_panes": every}
    data["disclosure"]["minimum_cohort"] = minimum
    return Draft.model_validate(data)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32), st.sets(st.integers(1, 160), max_size=4), st.sampled_from([2, 3, 9]),
    st.sampled_from([0.1, 0.5, 1]), st.sampled_from([3, 4]), st.sampled_from([1, 2, 5]),
)
def test_together_as_one_by_one_while_the_register_grows(seed, cuts, together, memberships, minimum, every):
    agreement = insurers(minimum, every)
    events = test_together.story(seed, 150, enrolled=False, memberships=memberships)
    log = test_together.log_of(agreement, events, cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "TOGETHER", 1 << 30)
        single, *expected = test_together.folded(agreement, log)
        patch.setattr(folding, "TOGETHER", together)
        bulk, *found = test_together.folded(agreement, log)
    assert found == expected
    assert len(found[1]) == agreement.panes.count
    assert counts(bulk) == counts(single)
    assert test_together.state(bulk) == test_together.state(single)
    registers = [
        [shard.panes.register.link_column(NAMES.link_key, batch).tobytes() for batch in range(shard.panes.growth.batches)]
        for shard in (bulk, single)
    ]
    assert registers[0] == registers[1]


def test_refusals_are_told_as_ever():
    shard = new(agreed())
    log = log_of([enrolled(1), encounter(1, "a", 3), encounter(1, "a", 3), Heartbeat(source="ehr")], [])
    refused = [made for offset, r in enumerate(log) for made in shard.fold(offset, EventColumns.from_bytes(r)) if isinstance(made, Refused)]
    assert len(refused) == 1
