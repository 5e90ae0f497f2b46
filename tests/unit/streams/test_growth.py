"""Batches of registers: when they open, who is in them, and what headers may say of their blocks."""

import random
from datetime import date
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from policy.growth import spare_links
from streams.growth import Ends, Growth
from streams.people import NOBODY
from streams.pseudonym import Pseudonyms, encrypted
from streams.register import OUT, Register, register_seed
from tests.support.parties import LINK_SECRET, PSEUDONYM_KEY, person
from tests.support.terms import draft_data

NAMES = Pseudonyms(LINK_SECRET, PSEUDONYM_KEY)
SEED = register_seed(b"k" * 32, "ab" * 32, "hospital", 0, 0)


def growing(every=4, **changes):
    linkage = {"date": "2024-01-08", "block_slots": 64, "dummies": 0, "batch_panes": every}
    return Draft.model_validate(draft_data(linkage=linkage, **changes))


def patient(number):
    return NAMES.patient(person(number))


@pytest.mark.parametrize(("every", "linkage", "edges"), [
    (4, date(2024, 1, 8), (4, 8)), (1, date(2024, 3, 3), (9, 10, 11)), (1, date(2024, 3, 4), (10, 11)),
    (11, date(2024, 1, 8), (11,)),
])
def test_batches_open_at_multiples_after_the_linkage_date(every, linkage, edges):
    agreed = {"date": linkage, "block_slots": 64, "dummies": 0, "batch_panes": every}
    draft = Draft.model_validate(draft_data(linkage=agreed))
    assert draft.batch_edges == edges
    growth = Growth(draft)
    assert growth.batches == 1 + len(edges)
    assert [growth.edge(batch) for batch in range(growth.batches)] == [0, *edges]
    assert [growth.until(pane) for pane in range(-1, 12)] == [
        1 + sum(edge <= pane for edge in edges) for pane in range(-1, 12)
    ]


def test_without_the_field_there_is_one_batch_and_the_hash_is_as_before():
    draft = Draft.model_validate(draft_data())
    assert draft.batch_edges == ()
    assert Growth(draft).batches == 1
    assert "batch_panes" not in draft.model_dump(mode="json")["linkage"]
    dumped = growing().model_dump(mode="json")["linkage"]
    assert dumped["batch_panes"] == 4
    assert "renew_batches" not in dumped
    assert [spare_links(renew, 3) for renew in (None, 1, 2, 3, 4, 9)] == [0, 3, 2, 1, 0, 0]


@pytest.mark.parametrize(("linkage", "changes", "message"), [
    ({"batch_panes": 12}, {}, "no batch opens in the agreement's 12 panes after 2024-01-08"),
    ({"batch_panes": 0}, {}, "greater than or equal to 1"),
    ({"batch_panes": 1}, {"panes": {"zone": "UTC", "unit": "day", "start": "2024-01-01", "count": 126}},
     "makes 126 batches with the first; at most 120 are linked. Agree on at least 2 panes"),
    ({"batch_panes": 4}, {"quota": {"runs": 2}}, "quota.runs 2 has no room to link 3 batches"),
    ({"renew_batches": 2}, {}, "renew_batches 2 without linkage.batch_panes"),
    ({"batch_panes": 4, "renew_batches": 3}, {}, "of 3 batches nothing would be linked anew"),
    ({"batch_panes": 4, "renew_batches": 0}, {}, "greater than or equal to 1"),
    ({"batch_panes": 4, "renew_batches": 1}, {"quota": {"runs": 4}}, "no room to link 3 batches and up to 2 of them anew"),
    ({"batch_panes": 4, "dummies": 15}, {}, "do not hide the 8 overlaps of 3 parties.*at least 16"),
])
def test_growth_that_makes_no_sense_is_refused(linkage, changes, message):
    agreed = {"date": "2024-01-01" if "panes" in changes else "2024-01-08", "block_slots": 64, "dummies": 0, **linkage}
    with pytest.raises(ValueError, match=message):
        Draft.model_validate(draft_data(linkage=agreed, **changes))


# What headers say.


def test_blocks_of_several_batches_are_told_in_any_order():
    ends = Ends()
    told = [(2, 5, 7), (0, 0, 3), (2, 6, 7), (1, 4, 5), (1, 3, 5), (0, 2, 3)]
    for batch, block, blocks in told:
        assert ends.fits(batch, block, blocks)
        ends.note(batch, block, blocks)
        assert ends.fits(batch, block, blocks)
    assert [ends.end(n) for n in range(5)] == [0, 3, 5, 7, None]
    assert [ends.span(n) for n in range(4)] == [range(3), range(3, 5), range(5, 7), None]
    assert ends.leading == 3


@pytest.mark.parametrize("said", [
    (0, 0, 4), (0, 3, 3), (0, 2, 2), (2, 4, 6), (2, 3, 4), (3, 5, 6), (1, 2, 5), (1, 3, 6), (4, 6, 8), (5, 4, 9),
])
def test_a_header_that_contradicts_another_does_not_fit(said):
    ends = Ends()
    ends.note(0, 1, 3)
    ends.note(3, 6, 8)
    ends.note(1, 3, 5)
    assert not ends.fits(*said)


@settings(max_examples=100)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_what_one_register_says_always_fits(sizes, rng):
    stops = np.cumsum(sizes).tolist()
    told = [(g, b, stop) for g, stop in enumerate(stops) for b in range(stop - sizes[g], stop)]
    rng.shuffle(told)
    ends = Ends()
    for batch, block, blocks in told:
        assert ends.fits(batch, block, blocks)
        ends.note(batch, block, blocks)
        for batches, stop in enumerate(stops, 1):
            assert ends.may_have(batches, stop - 1)
    assert [ends.end(n + 1) for n in range(len(sizes))] == stops
    assert not any(ends.may_have(batches, stop) for batches, stop in enumerate(stops, 1))


# Registers.


def of(register, number):
    known = register.known(patient(number))
    slots = register.slot_of
    return NOBODY if known is None or known >= len(slots) else int(slots[known])


def test_later_batches_have_blocks_of_their_own_and_leave_earlier_slots_as_they_are():
    register = Register(64, SEED, 3, 3)
    alone = Register(64, SEED)
    for number in range(70):
        register.person(patient(number), 0)
        alone.person(patient(number))
    register.open()
    alone.close()
    first = [of(register, number) for number in range(70)]
    assert first == alone.slot_of.tolist()
    assert register.link_column(NAMES.link_key).tobytes() == alone.link_column(NAMES.link_key).tobytes()
    for number in range(70, 75):
        register.person(patient(number), 1)
    assert register.person(patient(99), 3) is None, "after the last batch's edge"
    opened = register.open()
    assert (len(opened.entered), opened.out) == (5, [])
    register.open()
    assert [register.blocks_of(batch) for batch in range(3)] == [range(2), range(2, 3), range(3, 4)]
    assert [of(register, number) for number in range(70)] == first
    assert all(128 <= of(register, number) < 192 for number in range(70, 75))
    column = register.link_column(NAMES.link_key, 1)[0]
    assert column.shape == (64,)
    assert [int(column[of(register, n) - 128]) for n in range(70, 75)] == [NAMES.link_key(patient(n)) for n in range(70, 75)]
    words = np.concatenate([register.link_column(NAMES.link_key, batch)[0] for batch in range(3)])
    assert len(set(words.tolist())) == 256
    vacant = [register.vacant(batch).tolist() for batch in range(3)]
    assert sorted([*first, *(of(register, n) for n in range(70, 75)), *chain(*vacant)]) == list(range(256))
    assert vacant[0] == alone.vacant().tolist()
    assert [min(slots) // 64 for slots in vacant[1:]] == [max(slots) // 64 for slots in vacant[1:]] == [2, 3]


def test_fewer_than_the_minimum_wait_for_the_next_batch_and_an_empty_one_looks_like_a_small_one():
    register = Register(64, SEED, 4, 3)
    register.open()
    for number in range(2):
        register.person(patient(number), 1)
    assert register.open().entered == []
    assert register.blocks == 2
    register.person(patient(2), 2)
    assert register.open().entered == [0, 1, 2]
    register.person(patient(3), 3)
    opened = register.open()
    assert (opened.entered, opened.out) == ([], [3])
    assert register.person(patient(3), 4) is None
    assert register.find_all([encrypted(patient(number)) for number in (0, 3, 8)]).tolist() == [0, OUT, NOBODY]


def test_who_withdraws_before_a_batch_opens_is_not_in_it_and_does_not_count():
    register = Register(64, SEED, 4, 3)
    register.person(patient(0), 0)
    register.leave(0, 0)
    register.open()
    assert of(register, 0) >= 0, "as ever, the first batch takes in everybody"
    for number in range(1, 5):
        register.person(patient(number), 1)
    register.leave(1, 1)
    register.leave(2, 2)
    opened = register.open()
    assert (opened.entered, opened.out) == ([2, 3, 4], [1])
    assert register.person(patient(1), 2) is None
    assert register.person(patient(2), 2) == 2


def test_of_who_comes_in_two_partitions_the_earliest_word_counts():
    register = Register(64, SEED, 3, 1)
    register.open()
    assert register.person(patient(0), 2) == 0
    assert register.numbers(1)([encrypted(patient(0)), encrypted(patient(1))]).tolist() == [0, 1]
    assert register.open().entered == [0, 1]


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 60))
def test_the_order_of_arrival_and_a_restart_change_no_register(seed, stop):
    rng = random.Random(seed)
    told = [(number, rng.randrange(4)) for number in range(40)] + [(number, None) for number in range(40) if rng.random() < 0.2]
    columns = []
    for turn in range(2):
        register, done = Register(8, SEED, 4, 3), 0
        for batch in range(5):
            mine = [(n, at) for n, at in told if (at if at is not None else 1 + n % 3) == batch]
            first = [who for who in mine if who[1] is not None]
            rng.shuffle(first)
            for number, at in [*first, *(who for who in mine if who[1] is None)]:
                if at is None:
                    known = register.known(patient(number))
                    if known is not None:
                        register.leave(known, batch)
                else:
                    register.person(patient(number), at)
                done += 1
                if turn and done == stop:
                    again = Register(8, SEED, 4, 3)
                    again.load(_Tables(register.dump()), "register", register.opened)
                    assert again.dump().equals(register.dump())
                    register = again
            if batch < 4:
                register.open()
        columns.append(b"".join(register.link_column(NAMES.link_key, batch).tobytes() for batch in range(4)))
    assert columns[0] == columns[1]


class _Tables:
    def __init__(self, batch):
        self._batch = batch

    def rows(self, _name, schema):
        assert self._batch.schema.equals(schema)
        return zip(*(column.to_pylist() for column in self._batch.columns), strict=True)
