"""Nodes erase in step, between runs, after the windows over earlier panes; nothing is made of these panes any more."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from console.request import _known
from evaluation.account import Account
from evaluation.agreement import read_facts
from evaluation.errors import Apart
from evaluation.outcome import RunRefused
from evaluation.records import Closed, Erased, Refused, open_record, seal_record
from evaluation.results import combine_alerts
from evaluation.schedule import timetable
from mpc.errors import PeerLost
from policy.gate import Refusal, verdicts
from streams.erased import Stand
from streams.store import ShareStore
from tests.support import runs
from tests.support.asking import Asking
from tests.support.erasing import AGREED, PARTY, SIDE, ErasingNodes
from tests.support.runs import CHAIN, PANES, RECORD_KEYS, Killed, ThreeNodes, released, run_terms
from tests.unit.evaluation import test_alert_runs as alert_runs

ROWS = (1, 5, 30, 63)


def windows_run(three):
    return [w for run in three[0].state.ledger.runs for w in run.windows]


def refusals(three, number=0):
    return [r for r in three[number].records if isinstance(r, Refused)]


async def test_windows_over_earlier_panes_run_first_and_every_result_is_what_it_was(tmp_path):
    three, plain = ErasingNodes(tmp_path, panes=3), ThreeNodes(run_terms())
    before = three.rows(range(PANES - 3), ROWS)
    await three.nodes.work_on()
    three.ask()
    await three.nodes.work_on()
    assert three.done() == [0, 0, 0], "the windows that begin before pane 2 have not all run"
    assert windows_run(three) == [0, 1]
    three.deliver(range(3, PANES))
    await three.nodes.work_on()
    await plain.work_on()
    assert three.done() == [1, 1, 1]
    assert released(three.nodes) == released(plain)
    assert windows_run(three) == list(range(PANES - 1))
    assert before.any()
    assert not three.rows(range(2), ROWS).any()
    assert three.rows(range(2, PANES), ROWS).any()
    assert all(node.state.ledger.closed == 2 for node in three.nodes.nodes)
    assert all(refusals(three, number) == [] for number in range(3)), "nothing was left to be refused"
    assert all(node.desk.over and not node.desk.has_work for node in three.nodes.nodes)


async def test_rows_are_erased_before_a_window_that_begins_later_runs(tmp_path):
    three = ErasingNodes(tmp_path, most_windows=1)
    three.ask()
    seen = []
    for _ in range(12):
        ended = await three.nodes.work()
        seen.append((windows_run(three), three.done()))
        if ended == [False] * 3:
            break
    assert ([0, 1], [0, 0, 0]) in seen
    assert ([0, 1], [1, 1, 1]) in seen
    assert all(done == [1, 1, 1] for runs, done in seen if len(runs) > 2)


async def test_a_list_that_one_node_lacks_waits_for_it(tmp_path):
    three = ErasingNodes(tmp_path)
    three.ask(at=(0, 2))
    await three.nodes.work_on()
    assert three.done() == [0, 0, 0]
    assert windows_run(three) == list(range(PANES - 1)), "runs go on meanwhile"
    three.ask(at=(1,))
    await three.nodes.work_on()
    assert three.done() == [1, 1, 1]


async def test_lists_that_differ_are_obeyed_by_nobody_and_stop_nothing(tmp_path):
    three = ErasingNodes(tmp_path)
    three.ask(at=(0, 1))
    three.ask(at=(2,), slots=(1, 5, 30, 62))
    await three.nodes.work_on()
    assert three.done() == [0, 0, 0]
    assert windows_run(three) == list(range(PANES - 1))
    assert not any(node.desk.has_work for node in three.nodes.nodes)
    assert three.rows(range(2), ROWS).any()
    for node in three.nodes.nodes:
        assert node.shares.erased.incidents == [(*SIDE, 0)]
        assert node.shares.erased.differing == {SIDE: 0}
    three.restart(0)
    await three.nodes.work_on()
    assert three.stores[0].erased.incidents == [(*SIDE, 0)], "also after a restart"


async def test_a_list_that_differs_does_not_hold_up_those_before_it(tmp_path):
    """Both are due at once, as of one boundary."""
    three = ErasingNodes(tmp_path)
    three.ask()
    three.ask(number=1, slots=(2, 6, 31, 61), at=(0, 1))
    three.ask(number=1, slots=(2, 6, 31, 62), at=(2,))
    three.ask(number=2, slots=(3, 7, 32, 60))
    await three.nodes.work_on()
    assert three.done() == [1, 1, 1]
    assert not three.rows(range(2), ROWS).any()
    assert three.rows(range(2), (3, 7, 32, 60)).any()
    assert not any(node.desk.has_work for node in three.nodes.nodes)
    assert windows_run(three) == list(range(PANES - 1))


async def test_one_node_that_says_it_has_begun_makes_nobody_erase_before_it_is_due(tmp_path, monkeypatch):
    """Panes that are closed stay closed: one liar must not close them while windows over them could still run."""
    three = ErasingNodes(tmp_path, panes=2)
    three.ask(boundary=4)
    monkeypatch.setattr(three[1].desk.erasing, "stands", lambda: tuple(
        Stand(1, 1, 1, 1, 1) if side == SIDE else Stand(0, 0, 0, 0, 0) for side in three.stores[1].erased.sides
    ))
    ended = await three.nodes.work()
    assert all(isinstance(e, Apart) for e in ended)
    assert three.done() == [0, 0, 0]
    assert [node.state.ledger.closed for node in three.nodes.nodes] == [0, 0, 0]
    monkeypatch.undo()
    three.deliver(range(2, PANES))
    await three.nodes.work_on()
    assert windows_run(three) == list(range(PANES - 1)), "nothing was lost"


async def test_a_node_follows_two_that_have_begun_also_if_it_lost_panes_meanwhile(tmp_path):
    three = ErasingNodes(tmp_path)
    three.ask()
    await three.nodes.work_on()
    folder = tmp_path / "node-2" / PARTY / "shard-00"
    (folder / "erasure" / "marks.json").unlink()
    (folder / "block-0000" / "pane-00001-00.arrow").unlink()
    three.restart(2)
    assert three.done() == [1, 1, 0]
    await three.nodes.work()
    assert three.done() == [1, 1, 1]


async def test_a_node_that_was_killed_between_its_note_and_its_files_is_level_in_the_next_attempt(tmp_path, monkeypatch):
    three = ErasingNodes(tmp_path)
    three.ask()
    rewrite, others = ShareStore.rewrite, threading.Barrier(3)

    def killed(store, wanted):
        if store is three.stores[1]:
            rewrite(store, {side: keys[:1] for side, keys in wanted.items()})
            if three.done() == [0, 0, 0]:
                others.wait(10)
            raise Killed
        rewrite(store, wanted)
        others.wait(10)

    monkeypatch.setattr(ShareStore, "rewrite", killed)
    for _ in range(5):
        ended = await three.nodes.work()
        if isinstance(ended[1], Killed):
            break
    assert three.done() == [1, 0, 1]
    before = windows_run(three)
    ended = await three.nodes.work()
    assert isinstance(ended[1], Killed), "nothing runs before all three are level"
    assert windows_run(three) == before
    monkeypatch.undo()
    three.restart(1)
    assert three.done() == [1, 1, 1]
    await three.nodes.work_on()
    assert windows_run(three) == list(range(PANES - 1))
    assert not three.rows(range(2), ROWS).any()
    assert released(three.nodes)


async def test_a_node_that_forgot_a_list_which_others_obeyed_is_not_worked_with(tmp_path):
    three = ErasingNodes(tmp_path)
    three.ask()
    await three.nodes.work_on()
    for file in (tmp_path / "node-1" / PARTY / "shard-00" / "erasure").iterdir():
        file.unlink()
    three.restart(1)
    ended = await three.nodes.work()
    assert all(isinstance(e, Apart) for e in ended)
    three.ask(at=(1,))
    await three.nodes.work_on()
    assert three.done() == [1, 1, 1], "it came with its inbox again"


async def test_after_the_agreed_days_nothing_is_waited_for_and_what_did_not_run_is_said_to_be_refused(tmp_path):
    three = ErasingNodes(tmp_path, panes=2)
    three.ask(days_ago=11)
    await three.nodes.work_on()
    assert three.done() == [1, 1, 1], "window 0 was due, and did not go first"
    three.deliver(range(2, PANES))
    await three.nodes.work_on()
    assert windows_run(three) == [2, 3, 4]
    for number in range(3):
        (said,) = refusals(three, number)
        assert (said.rule, said.windows, said.request) == ("erased-panes", (0, 1), None)
        assert (said.found, said.required) == ("a window from 2024-01-01", "windows from 2024-01-15 on")
    records = [r for node in three.nodes.nodes for r in node.records]
    rows = timetable(three.terms, records)
    assert [(row.state, row.rule) for row in rows] == [("refused", "erased-panes")] * 2 + [("ran", None)] * 3
    assert all(node.desk.over for node in three.nodes.nodes)
    assert three[0].expected.missed() == []


async def test_rows_are_erased_also_when_the_schedule_was_stopped(tmp_path):
    """As by a revocation: windows that could run never will, and hold up nothing."""
    three = ErasingNodes(tmp_path)
    await three.nodes.work()
    three.ask()
    for node in three.nodes.nodes:
        node.desk.stopped = RunRefused(Refusal("agreement-active", "revoked", "active", "agree anew"), None)
    await three.nodes.work_on()
    assert (three.done(), windows_run(three)) == ([1, 1, 1], [])
    assert [len(node.receipts) for node in three.nodes.nodes] == [1, 1, 1]


async def test_one_node_whose_clock_is_ahead_moves_nobody(tmp_path):
    three = ErasingNodes(tmp_path, panes=2)
    three.ask(at=(0,), days_ago=11)
    three.ask(at=(1, 2), days_ago=9)
    await three.nodes.work_on()
    assert three.done() == [0, 0, 0]
    assert windows_run(three) == [0]


@pytest.mark.parametrize("shared", [(), (3,), (2,)])
async def test_a_boundary_whose_panes_a_party_did_not_share_closes_nothing(tmp_path, shared):
    """All of them: the last one before it could be sent ahead of time."""
    three = ErasingNodes(tmp_path, panes=2)
    three.deliver(shared)
    three.ask(boundary=4, days_ago=40)
    await three.nodes.work_on()
    assert three.done() == [0, 0, 0]
    assert three[0].state.ledger.closed == 0


async def test_full_editions_run_before_their_panes_close(tmp_path):
    late = {"days": [7], "release": "both", "revisions": 10}
    three = ErasingNodes(tmp_path, maturities=late)
    three.ask()
    await three.nodes.work_on()
    assert three.done() == [0, 0, 0], "the last maturity is not here"
    three.deliver(range(PANES), revision=1)
    await three.nodes.work_on()
    assert three.done() == [1, 1, 1]
    full = [w.index for w in three.terms.draft.lattice.full]
    assert windows_run(three) == [*range(PANES - 1), *full]


async def test_full_editions_that_are_left_are_refused_once_their_panes_are_closed(tmp_path):
    late = {"days": [7], "release": "both", "revisions": 10}
    three = ErasingNodes(tmp_path, maturities=late)
    three.ask(days_ago=11)
    await three.nodes.work_on()
    three.deliver(range(PANES), revision=1)
    await three.nodes.work_on()
    lattice = three.terms.draft.lattice
    assert windows_run(three) == [2, 3, 4, *(w.index for w in lattice.full if w.start >= 2)]
    (said,) = refusals(three)
    assert said.windows == (0, 1, *(w.index for w in lattice.full if w.start < 2))


async def test_a_run_over_closed_panes_is_refused_by_every_node_also_if_it_was_authorised_before(tmp_path):
    three = ErasingNodes(tmp_path)
    await three.nodes.work()
    manifest = await three.nodes.attempt(0)
    assert manifest[0].done.windows == (0,)
    for node in three.nodes.nodes:
        node.state.update(closed=2, runs=())
        node.state._index()
    ended = await three.nodes.attempt(0)
    assert all(isinstance(e, RunRefused) and e.refusal.rule == "erased-panes" for e in ended)
    assert [o.done.windows for o in await three.nodes.attempt(2)] == [(2,)] * 3


async def test_requests_over_closed_panes_are_refused_and_what_was_released_is_answered(tmp_path):
    asking = Asking(erasure=AGREED, windows={"size": 2, "step": 1})
    three = ErasingNodes(tmp_path, terms=asking.terms)
    asking.nodes = three.nodes
    three.ask()
    await three.nodes.work_on()
    assert three.done() == [1, 1, 1]
    asked = {name: asking.ask(asking.demand(*panes)) for name, panes in {"new": (0, 3), "repeat": (0, 2), "later": (2, 5)}.items()}
    await asking.all_hear()
    await three.nodes.work_on()
    for number in range(3):
        answers = asking.answers(number)
        (refused,) = answers[asked["new"]]
        assert (refused.kind, refused.rule, refused.run) == ("refused", "erased-panes", None), "before a run is thought of"
        assert answers[asked["repeat"]][0].outcome == "released"
        assert answers[asked["later"]][0].outcome == "run"


async def test_a_dry_run_says_of_erased_panes_what_the_nodes_say(tmp_path):
    """From the nodes' records, as the command reads them."""
    asking = Asking(erasure=AGREED, windows={"size": 2, "step": 1})
    three = ErasingNodes(tmp_path, terms=asking.terms)
    asking.nodes = three.nodes
    account, settings = Account(asking.terms, "innovation-team"), SimpleNamespace(chain=CHAIN)
    requester = SimpleNamespace(terms=asking.terms, settings=settings, key=asking.keys["analyst-0"])
    facts = await read_facts(three.nodes.chain, CHAIN, asking.terms, "finalized")

    def dry(*panes):
        demand = asking.demand(*panes, requester="analyst-0")
        known = _known(requester, demand, account)
        return demand, dict(verdicts(asking.terms, facts, demand, known))["erased-panes"]

    def hear(*nodes):
        for number in nodes:
            for record in three[number].records:
                account.add_record(open_record(seal_record(record, RECORD_KEYS[number]), asking.terms))

    three.ask()
    await three.nodes.work_on()
    assert (three.done(), dry(0, 3)[1]) == ([1, 1, 1], None), "nobody has said anything"
    hear(0)
    assert (account.erased_panes, dry(0, 3)[1]) == (0, None), "one node alone is not believed"
    hear(1, 2)
    assert account.erased_panes == 2
    demand, refusal = dry(0, 3)
    asking.ask(demand)
    await asking.all_hear()
    await three.nodes.work_on()
    ((said,),) = asking.answers(0).values()
    assert (refusal.rule, refusal.found, refusal.required) == (said.rule, said.found, said.required)
    assert dry(0, 2)[1] is None, "what was released is answered"
    assert dry(2, 5)[1] is None
    three.restart(0)
    await three.nodes.work_on()
    assert Closed(agreement=asking.terms.hash, node=0, panes=2) in three[0].records


async def test_each_node_signs_a_receipt_for_the_party_once(tmp_path):
    three = ErasingNodes(tmp_path)
    asked = three.ask()
    await three.nodes.work_on()
    three.restart(2)
    await three.nodes.work_on()
    for number in range(3):
        ((topic, receipt),) = three[number].receipts
        assert topic == f"{PARTY}.{three.terms.draft.name}.receipts"
        assert (receipt.node, receipt.party, receipt.shard, receipt.number, receipt.boundary) == (number, PARTY, 0, 0, 2)
        assert (receipt.rows, receipt.digest) == (4, asked.digest)
        assert datetime.now(UTC) - receipt.erased_at < timedelta(minutes=5)
        assert open_record(seal_record(receipt, RECORD_KEYS[number]), three.terms) == receipt
        assert isinstance(receipt, Erased)


async def test_totals_are_made_anew_and_what_is_erased_is_part_of_what_a_run_is(tmp_path):
    three = ErasingNodes(tmp_path, panes=4)
    await three.nodes.work_on()
    lattice = three.terms.draft.lattice
    was = three[0].computation.manifest(lattice.scheduled[2:3])
    assert three[0].computation.totals
    three.ask()
    await three.nodes.work_on()
    assert [c.totals for c in three.nodes.computations] == [()] * 3
    assert three[0].computation.manifest(lattice.scheduled[2:3])[0] != was[0]
    assert three.stores[0].erased.digest == three.stores[1].erased.digest


async def test_an_attempt_that_is_cut_off_while_files_are_written_is_taken_up_again(tmp_path, monkeypatch):
    three = ErasingNodes(tmp_path)
    three.ask()
    to_thread = asyncio.to_thread

    async def cut_off(work, *arguments):
        await to_thread(work, *arguments)
        raise PeerLost(0, "cut off")

    monkeypatch.setattr("evaluation.erasing.asyncio.to_thread", cut_off)
    for _ in range(5):
        ended = await three.nodes.work()
        if any(isinstance(e, PeerLost) for e in ended):
            break
    assert three.done() == [0, 0, 0]
    monkeypatch.undo()
    await three.nodes.work_on()
    assert three.done() == [1, 1, 1]
    assert three[0].shares.erased.lists(SIDE)


@pytest.mark.parametrize(("erased", "state"), [(False, True), (True, False)])
async def test_states_of_alerts_begin_anew_after_an_erasure(tmp_path, monkeypatch, erased, state):
    """Windows 2 to 4 lie between the bounds: raised if windows 0 and 1 count, which were above."""
    visits = np.array([[5, 2], [5, 2], [2, 2], [3, 2], [2, 2], [3, 2]])
    monkeypatch.setattr(runs, "_values", alert_runs.values(visits))
    recipients = [{"name": "innovation-team", "kpis": ["cost-difference"]}, {"name": "watch", "kpis": []}]
    three = ErasingNodes(tmp_path, most_windows=2, alerts=alert_runs.ALERTS, recipients=recipients)
    if erased:
        three.ask()
    while len(windows_run(three)) < 2 or three.done() != [erased] * 3:
        assert await three.nodes.work() == [True] * 3
    outcomes = await three.nodes.attempt(2, 3)
    states = combine_alerts(alert_runs.opened(three.nodes, outcomes, "watch"))
    assert {(s.window, s.raised) for s in states if s.alert == "busy"} == {(w, state) for w in (2, 3, 4)}
