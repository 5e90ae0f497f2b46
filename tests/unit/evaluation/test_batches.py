"""Registers that grow, at three nodes: batches linked in runs of their own, and windows that count who is linked."""


import numpy as np
import pytest

from evaluation import totals
from evaluation.errors import ConfigError
from evaluation.growing import Link, batches_before, panes_of, stretches
from evaluation.outcome import RunRefused
from evaluation.records import Done
from evaluation.state import NodeState
from mpc.errors import LinkageError, PeerLost
from policy.disclosure import Dominance
from policy.errors import PlanError
from policy.plan import Plan
from tests.attacks.test_resume import until_idle
from tests.attacks.test_runs import rewrite
from tests.support.asking import Asking
from tests.support.batched import LINKAGE, PEOPLE, arrived, by_hand, growing, growing_terms, is_right, linked
from tests.support.runs import PANES, Killed, ThreeNodes, portions_counted, released


def done(nodes, number=0):
    """What a node said was done, in order: windows, or the batch of a linkage."""
    said = [r for r in nodes.nodes[number].records if isinstance(r, Done)]
    return [r.windows or r.batch for r in sorted({r.sequence: r for r in said}.values(), key=lambda r: r.sequence)]


def three():
    """Nodes of which nothing ran yet; everything is here."""
    return growing(ThreeNodes(growing_terms()))


@pytest.fixture
def added(monkeypatch):
    """Of each portion, how often it counted, over all nodes; a portion is a pane."""
    monkeypatch.setattr(totals, "VALUES_AT_ONCE", 1)
    return portions_counted(monkeypatch)


def test_which_panes_have_which_batches():
    assert [batches_before((2, 4), stop) for stop in range(7)] == [1, 1, 1, 2, 2, 3, 3]
    assert [panes_of((2, 4), batches, 6) for batches in range(5)] == [0, 2, 4, 6, 6]
    assert panes_of((), 1, 6) == 6
    assert stretches((2, 4), range(1, 6)) == [range(1, 2), range(2, 4), range(4, 6)]
    assert stretches((2, 4), range(2, 4)) == [range(2, 4)]
    assert stretches((), range(6)) == [range(6)]


async def test_batches_and_windows_take_turns_in_the_order_of_panes(added):
    """A window that ends at an edge needs no batch that opens there; no pane is added twice for a batch."""
    nodes = three()
    await nodes.work_on()
    assert done(nodes) == [0, (0,), 1, (1, 2), 2, (3, 4)]
    is_right(nodes, done(nodes))
    assert added == {(0, pane): 3 for pane in range(PANES)}


async def test_windows_wait_for_the_batch_that_they_need():
    nodes = three()
    arrived(nodes, 1, PANES)
    await nodes.work_on()
    assert done(nodes) == [0, (0,)]
    arrived(nodes, 2, PANES)
    await nodes.work_on()
    assert done(nodes) == [0, (0,), 1, (1, 2)]
    arrived(nodes, 3, PANES)
    await nodes.work_on()
    is_right(nodes, done(nodes))


@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("restarted", [False, True])
async def test_what_comes_out_does_not_depend_on_when_a_batch_is_linked(first, restarted):
    """Batches may be linked before the panes around their edges are there, and totals begin anew with all of them."""
    nodes = three()
    arrived(nodes, first, 1)
    await nodes.work_on()
    assert done(nodes) == [*range(first)]
    arrived(nodes, 3, 3)
    await nodes.work_on()
    if restarted:
        for node in nodes.nodes:
            node.restart()
    arrived(nodes, 3, PANES)
    await nodes.work_on()
    is_right(nodes, done(nodes))


async def test_a_batch_that_one_node_has_not_waits_for_it():
    nodes = three()
    nodes.nodes[1].shares.batches_complete = 2
    await nodes.work_on()
    assert linked(nodes) == [2] * 3
    assert done(nodes)[-1] == (1, 2)


@pytest.mark.parametrize("people", [0, PEOPLE])
async def test_full_editions_count_the_same_people(people, added):
    late = {"gp_visits": np.where(np.arange(PEOPLE) < people, 3, 0) * np.ones((PANES, 1), np.int64)}
    terms = growing_terms(maturities={"days": [7], "release": "both", "revisions": 10})
    nodes = growing(ThreeNodes(terms), late)
    await nodes.work_on(most=40)
    is_right(nodes, done(nodes), late)
    assert added == {(edition, pane): 3 for edition in (0, 1) for pane in range(PANES)}


async def test_several_shards_and_portions_over_several_attempts(added):
    nodes = growing(ThreeNodes(growing_terms(shards=2)))
    nodes.nodes[2].desk.adding_seconds = 0
    await nodes.work_on(most=40)
    assert released(nodes) == {
        key: {name: 2 * value for name, value in sums.items()} for key, sums in by_hand(nodes.terms).items()
    }


STEPS = [(name, before) for name in ("keep_linkage", "prepare", "settle", "_put_linkage") for before in (True, False)]


@pytest.mark.parametrize(("victim", "others"), [(0, False), (1, True)])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{'before' if step[1] else 'after'}-{step[0]}")
async def test_killed_at_any_step_of_the_end_of_a_batch(monkeypatch, victim, step, others):
    """The linkage before is in force, or the batch is settled; the others go on or are restarted, too."""
    nodes, (name, before) = three(), step
    arrived(nodes, 1, 2)
    await nodes.work_on()
    arrived(nodes, 3, PANES)
    honest, killed = getattr(NodeState, name), []

    def dies(self, *arguments):
        due = self is nodes.nodes[victim].state and not killed
        if not (due and before):
            honest(self, *arguments)
        if due:
            killed.append(self)
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(NodeState, name, dies)
        ended = await nodes.work(stall_seconds=0.5)
    assert any(isinstance(e, Killed) for e in ended)
    for number, node in enumerate(nodes.nodes):
        if number == victim or others:
            node.restart()
    await until_idle(nodes)
    is_right(nodes, done(nodes))


async def cut_batch(nodes, monkeypatch, name):
    """The attempt at batch 1 fails at one node, instead of a step of its state."""
    honest = getattr(NodeState, name)

    def lost(self, *arguments):
        if self is nodes.nodes[1].state:
            raise PeerLost("cut")
        honest(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(NodeState, name, lost)
        return await nodes.work(stall_seconds=1.0)


@pytest.mark.parametrize("name", ["keep_linkage", "prepare"])
async def test_a_batch_that_is_dropped_leaves_the_linkage_before_in_force_and_the_totals_with_it(monkeypatch, name, added):
    """Nodes that went on without a restart, then find that the batch is not there any more."""
    nodes = three()
    arrived(nodes, 1, 2)
    await nodes.work_on()
    before = [node.computation.linkage for node in nodes.nodes]
    arrived(nodes, 2, 2)
    assert all(isinstance(e, Exception) for e in await cut_batch(nodes, monkeypatch, name))
    assert [node.desk.has_work for node in nodes.nodes] == [True] * 3
    arrived(nodes, 1, 2)
    nodes.nodes[0].restart()
    ended = await nodes.work()
    assert not any(isinstance(e, Exception) for e in ended)
    assert [node.computation.linkage for node in nodes.nodes] == before
    assert linked(nodes) == [1] * 3
    arrived(nodes, 3, PANES)
    await until_idle(nodes)
    is_right(nodes, done(nodes))
    # The node that was restarted has no totals, so all three begin again, once.
    assert added == {(0, pane): 6 if pane < 2 else 3 for pane in range(PANES)}


async def test_a_batch_is_counted_once_however_often_it_is_attempted(monkeypatch):
    nodes = three()
    arrived(nodes, 1, 2)
    await nodes.work_on()
    arrived(nodes, 3, PANES)
    for _ in range(3):
        await cut_batch(nodes, monkeypatch, "keep_linkage")
    assert len(nodes.chain.runs) == 3
    await until_idle(nodes)
    is_right(nodes, done(nodes))


@pytest.mark.parametrize("batch", [0, 1, 2])
async def test_a_register_that_repeats_a_link_key_ends_its_batch_as_it_ends_the_first_linkage(batch):
    """With an error at all nodes that names the party; what needs no more batches has come out before."""
    nodes = growing(ThreeNodes(growing_terms()), twice=("insurer", batch))
    for _ in range(10):
        ended = await nodes.work(stall_seconds=2.0)
        if ended != [True] * 3:
            break
    assert [(type(e), e.party) for e in ended] == [(LinkageError, 1)] * 3
    came = {(kpi, window) for kpi, window, _ in released(nodes)}
    assert {window for _, window in came} == set([[], [0], [0, 1, 2]][batch])
    for node in nodes.nodes:
        node.restart()
    assert linked(nodes) == [batch] * 3
    # Nothing comes of another attempt.
    assert [type(e) for e in await nodes.work(stall_seconds=2.0)] == [LinkageError] * 3
    assert {(kpi, window) for kpi, window, _ in released(nodes)} == came


async def test_a_batch_with_which_a_plan_leaves_its_bounds_is_not_settled(monkeypatch):
    nodes, check = three(), Plan.check_bounds
    arrived(nodes, 1, 2)
    await nodes.work_on()
    most = nodes.computations[0].patients

    def few(self, patients, panes):
        if patients > most:
            raise PlanError("too many patients")
        check(self, patients, panes)

    monkeypatch.setattr(Plan, "check_bounds", few)
    arrived(nodes, 3, PANES)
    before = [node.state.ledger.model_copy(update={"evidence": ""}) for node in nodes.nodes]
    assert [type(e) for e in await nodes.work(stall_seconds=2.0)] == [PlanError] * 3
    assert [node.state.ledger.model_copy(update={"opened": (), "evidence": ""}) for node in nodes.nodes] == before
    assert linked(nodes) == [1] * 3


async def test_a_batch_with_which_dominance_leaves_its_bounds_is_not_settled(monkeypatch):
    asked = []

    def never(self, kpi, bound, patients):
        asked.append((kpi, bound))
        raise PlanError("too many patients")

    disclosure = {"minimum_cohort": 3, "dominance": {"largest_percent": 50}}
    nodes = growing(ThreeNodes(growing_terms(disclosure=disclosure)))
    arrived(nodes, 1, 2)
    await nodes.work_on()
    monkeypatch.setattr(Dominance, "check", never)
    arrived(nodes, 3, PANES)
    assert [type(e) for e in await nodes.work(stall_seconds=2.0)] == [PlanError] * 3
    assert linked(nodes) == [1] * 3
    assert asked == [("gp-visit-rate-ratio", 63)] * 3


async def test_each_batch_is_a_run_over_all_registers_up_to_it():
    nodes = three()
    computation = nodes.computations[1]
    digests = [computation.manifest((), what) for what in (Link(), Link(1), Link(2), Link(1, 2), Link(2, 2), Link(2, 3))]
    assert len({batches for batches, _ in digests}) == 6
    await nodes.work_on()
    linkages = {r.batch: r.run for r in nodes.nodes[0].records if isinstance(r, Done) and not r.windows}
    assert sorted(linkages) == [0, 1, 2]
    assert len(set(linkages.values())) == 3


@pytest.mark.parametrize(("field", "other"), [("batch", 2), ("batch", 0), ("epoch", 2), ("linkage", "f" * 64)])
async def test_nodes_that_would_link_something_else_refuse(monkeypatch, field, other):
    monkeypatch.setattr("evaluation.run.SAME_BLOCK_SECONDS", 0.05)
    nodes = three()
    arrived(nodes, 1, 2)
    await nodes.work_on()
    arrived(nodes, 2, PANES)
    runs = dict(nodes.chain.runs)

    def change(message, receiver):
        return {**message, field: other} if "components" in message else None

    await nodes.work(tap=rewrite(change), stall_seconds=2.0)
    for node in nodes.nodes[:2]:
        assert isinstance(node.desk.stopped, RunRefused)
        assert node.desk.stopped.refusal.rule == "same-linkage"
    assert nodes.chain.runs == runs


async def test_a_linkage_in_force_that_is_gone_is_told_at_the_start(monkeypatch):
    """Also where that of a batch lies beside it."""
    nodes = three()
    arrived(nodes, 1, 2)
    await nodes.work_on()
    arrived(nodes, 2, 2)
    await cut_batch(nodes, monkeypatch, "prepare")
    folder = nodes.nodes[1].folder
    assert (folder / "linkage-next").exists()
    (folder / "linkage").unlink()
    with pytest.raises(ConfigError, match="linkage is gone"):
        nodes.nodes[1].restart()


async def test_a_batch_beside_the_linkage_that_cannot_be_read_is_no_hindrance(monkeypatch):
    nodes = three()
    arrived(nodes, 1, 2)
    await nodes.work_on()
    (nodes.nodes[1].folder / "linkage-next").write_bytes(b"nothing")
    nodes.nodes[1].restart()
    arrived(nodes, 3, PANES)
    await until_idle(nodes)
    is_right(nodes, done(nodes))


async def test_nodes_whose_schedule_needs_no_further_batch_link_none():
    """As when the windows end before the panes do."""
    terms = growing_terms(windows={"size": 4, "step": 4})
    nodes = growing(ThreeNodes(terms))
    await nodes.work_on()
    assert done(nodes) == [0, 1, (0,)]
    assert not any(node.desk.has_work for node in nodes.nodes)


def test_the_made_up_people_come_in_every_batch():
    first, last = (by_hand(growing_terms())["gp-visit-rate-ratio", window, ()] for window in (0, 4))
    assert first["exposed.time"] == 20 * 7 * 2
    assert last["exposed.time"] == 50 * 7 * 2


async def test_a_request_for_a_window_links_the_batches_that_it_needs_first():
    asking = Asking(requesters=1, linkage=LINKAGE, windows={"size": 4, "step": 1})
    nodes = growing(asking.nodes)
    arrived(nodes, 3, 5)
    digest, window = asking.ask(asking.demand(2, 5)), asking.terms.draft.lattice.at(2, 5)
    await asking.all_hear()
    await nodes.work_on()
    assert [r.outcome for r in asking.answers()[digest]] == ["run"]
    assert done(nodes) == [0, 1, (0,), 2, (window.index,), (1,)]
    assert released(nodes) == by_hand(asking.terms, windows=[*asking.terms.draft.lattice.scheduled[:2], window])


async def test_a_batch_that_cannot_be_linked_for_a_request_keeps_no_window_that_can_do_without_it():
    """Nodes end whenever they come to that batch; what is due is not behind it, also after every restart."""
    asking = Asking(requesters=1, linkage=LINKAGE)
    nodes = growing(asking.nodes, twice=("insurer", 1))
    asking.ask(asking.demand(2, 4))
    await asking.all_hear()
    for _ in range(4):
        ended = await nodes.work(stall_seconds=2.0)
        for node in nodes.nodes:
            node.restart()
        asking.heard = [0, 0, 0]
        await asking.all_hear()
    assert [type(e) for e in ended] == [LinkageError] * 3
    assert {window for _, window, _ in released(nodes)} == {0}


async def test_a_request_for_a_window_whose_batch_is_not_here_is_refused_as_not_sealed():
    asking = Asking(requesters=1, linkage=LINKAGE)
    nodes = growing(asking.nodes)
    arrived(nodes, 2, PANES)
    digest = asking.ask(asking.demand(2, 5))
    await asking.all_hear()
    await nodes.work_on()
    assert [r.rule for r in asking.answers()[digest]] == ["window-sealed"]


async def test_a_settled_batch_takes_its_place_before_the_next_one_is_kept(monkeypatch):
    """Killed right after it was settled; the next batch is then kept, but never settled."""
    nodes = three()
    arrived(nodes, 1, 2)
    await nodes.work_on()
    arrived(nodes, 2, 2)
    with monkeypatch.context() as patch:
        patch.setattr(NodeState, "_put_linkage", lambda _: None)
        await nodes.work()
    nodes.nodes[1].restart()
    assert nodes.nodes[1].state.linkage()[0] == nodes.nodes[1].state.ledger.linkage
    nodes.nodes[1].state.keep_linkage("f" * 64, {})
    nodes.nodes[1].restart()
    assert linked(nodes) == [2] * 3
    arrived(nodes, 3, PANES)
    await until_idle(nodes)
    is_right(nodes, done(nodes))
