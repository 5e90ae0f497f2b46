"""Nobody learns from an erasure who withdrew: not by subtracting results, nor by sizes, nor by lists of their own making."""

from collections import Counter

import numpy as np
import pytest

from evaluation.outcome import RunRefused
from evaluation.records import Refused
from policy.erasure import Erasure
from streams.erasure import ErasureList
from streams.errors import BatchError
from streams.inbox import Opener
from streams.register import Register
from streams.share import Sharer
from streams.store import ShareStore
from streams.withdrawn import Withdrawals
from tests.support.asking import Asking
from tests.support.erasing import AGREED, SIDE, ErasingNodes
from tests.support.kinds import NAMES
from tests.support.parties import SHARING_KEY, keyed_terms, person
from tests.support.runs import PANES, released
from tests.unit.streams.test_shares import KEYS, SIGNING

ERASED = 4


async def erased(folder):
    """Three nodes that have released all windows, and then erased rows before pane ERASED."""
    asking = Asking(erasure=AGREED, windows={"size": 2, "step": 1})
    three = ErasingNodes(folder, terms=asking.terms)
    asking.nodes = three.nodes
    await three.nodes.work_on()
    three.ask(boundary=ERASED)
    await three.nodes.work_on()
    assert three.done() == [1, 1, 1]
    return asking, three


async def test_no_request_gives_a_second_result_over_erased_panes(tmp_path):
    """Every window that may be asked for: what is new begins later, and what is old is what it was."""
    asking, three = await erased(tmp_path)
    before, ran = released(three.nodes), len(three[0].state.ledger.runs)
    wanted = [(a, b) for a in range(PANES) for b in range(a + 1, min(a + 4, PANES) + 1)]
    digests = {}
    for number, panes in enumerate(wanted):
        digests[panes] = asking.ask(asking.demand(*panes, requester=f"analyst-{number % 8}"))
    await asking.all_hear()
    await three.nodes.work_on(most=60)
    known = {(w.start, w.stop) for w in three.terms.draft.lattice.scheduled}
    for node in range(3):
        answers = asking.answers(node)
        for (start, stop), digest in digests.items():
            (answer, *_) = answers[digest]
            if (start, stop) in known:
                assert answer.outcome == "released"
            elif start < ERASED:
                assert isinstance(answer, Refused)
                assert answer.rule == "erased-panes"
                assert answer.found is not None, "it does not depend on the data"
    after = released(three.nodes)
    assert {key: after[key] for key in before} == before
    again = [three.terms.draft.lattice.window(w) for run in three[0].state.ledger.runs[ran:] for w in run.windows]
    assert again
    assert all(window.start >= ERASED for window in again)


@pytest.mark.parametrize("knows", range(3))
async def test_one_node_that_erased_is_enough_to_refuse_a_run(tmp_path, knows):
    """Also if its peers were to forget: each decides by itself."""
    _, three = await erased(tmp_path)
    for node in three.nodes.nodes:
        node.state.update(runs=(), closed=ERASED if node.number == knows else 0)
        node.state._index()
    ended = await three.nodes.attempt(1)
    assert all(isinstance(e, RunRefused) for e in ended)
    assert ended[knows].refusal.rule == "erased-panes"


async def test_nodes_that_erased_different_rows_compute_nothing_together(tmp_path):
    """What is erased is part of what they compare before a run."""
    three = ErasingNodes(tmp_path)
    three.ask(at=(0, 1))
    three.ask(at=(2,), slots=(2, 6, 31, 62))
    await three.nodes.work()
    for store in three.stores:
        store.erased.mark(SIDE, 1, store.erased.lists(SIDE)[0].received_at)
        store.rewrite({SIDE: store.unerased(SIDE)})
        store.erased.finish(SIDE)
    ended = await three.nodes.attempt(ERASED)
    assert [e.refusal.rule for e in ended] == ["same-batches"] * 3


def listed(people, leave, seed, size):
    """The lists of a register of 64 slots, and whose slots they name of those who leave."""
    register, withdrawals = Register(64, seed), Withdrawals(Erasure(**{**AGREED, "batch_slots": size}), PANES)
    for who in range(people):
        register.person(NAMES.patient(person(who)))
    register.close()
    for who in range(leave):
        withdrawals.add(who, 0)
    made, gone = withdrawals.list_before(2, register)
    return made, [int(register.slot_of[who]) for who in gone]


def test_a_batch_says_nothing_of_how_many_withdrew():
    """One or nine of twelve, in batches of ten: one list of as many rows, and any row as likely."""
    for leave in (1, 9):
        rows = Counter()
        for seed in range(300):
            (made,), gone = listed(12, leave, seed.to_bytes(32, "big"), 10)
            assert (len(made.slots), made.number, made.boundary, len(gone)) == (10, 0, 2, leave)
            rows.update(made.slots)
        assert set(rows) == set(range(64))
        assert max(rows.values()) < 3 * min(rows.values())


def test_rows_of_patients_do_not_stand_out_among_padding():
    """Over many keys a patient's place in the list is any place."""
    places = Counter()
    for seed in range(400):
        (made,), (mine,) = listed(12, 1, seed.to_bytes(32, "big"), 8)
        places[made.slots.index(mine)] += 1
    assert set(places) == set(range(8))
    assert max(places.values()) < 2.5 * min(places.values())


def test_a_party_cannot_make_a_node_keep_more_than_its_register_has_rows(tmp_path):
    three = ErasingNodes(tmp_path)
    for number in range(40):
        slots = tuple(range(4 * number, 4 * number + 4))
        three.ask(number=number, slots=slots)
    for store in three.stores:
        assert len(store.erased.lists(SIDE)) == 16
        assert len(list((tmp_path / "node-0" / SIDE[0] / "shard-00" / "erasure").iterdir())) == 16
        assert store.erased.incidents


def test_a_party_cannot_send_lists_in_anothers_name(tmp_path):
    terms = keyed_terms(erasure=AGREED)
    sharer, opener = Sharer(terms, SHARING_KEY, SIGNING), Opener(terms, 0, KEYS[0])
    made = ErasureList(agreement=terms.hash, party="insurer", shard=0, number=0, boundary=2, slots=(1, 2, 3, 4))
    message = sharer.lists(made)[0]
    opener.open_list(message, 0)
    head = message[64:].find(b'"insurer"') + 64
    forged = message[:head] + b'"hospital"' + message[head + 9 :]
    with pytest.raises(BatchError):
        opener.open_list(forged, 0)
    strange = made.model_copy(update={"party": "stranger"})
    with pytest.raises(BatchError, match="no party of this agreement"):
        opener.open_list(sharer.lists(strange)[0], 0)


def test_a_node_alone_holds_nothing_of_an_erased_row(tmp_path):
    """Neither component that it has tells of what was there: both are 0, in every file."""
    three = ErasingNodes(tmp_path)
    asked = three.ask()
    for store in three.stores:
        store.erased.mark(SIDE, 1, store.erased.lists(SIDE)[0].received_at)
        store.rewrite({SIDE: store.unerased(SIDE)})
    for number in range(3):
        store = ShareStore(tmp_path / f"node-{number}", three.terms, number)
        for pane in range(2):
            assert not store._load((*SIDE, 0, pane, 0))[1][:, :, list(asked.slots)].any()
        words = store.register(*SIDE)[:, list(asked.slots)]
        held = [number, (number + 1) % 3]
        assert [bool(row.any()) for row in words] == [component == 0 for component in held]
        assert len(np.unique(words[held.index(0)])) == 4 if 0 in held else not words.any()
