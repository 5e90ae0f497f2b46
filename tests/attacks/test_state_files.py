"""Somebody changes what a node keeps on disk: no window comes out twice, and peers do not believe what cannot be."""

import json

import pytest

from evaluation.desk import Apart
from evaluation.errors import ConfigError
from evaluation.records import Answered
from streams.store import ShareStore
from tests.attacks.test_resume import is_right, until_idle
from tests.support.asking import Asking
from tests.support.runs import ThreeNodes, run_terms


def rewrite(node, name, change):
    """Change a file of a node's folder as JSON, and start the node again."""
    path = node.folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    node.restart()


@pytest.mark.parametrize("change", [
    lambda runs: runs[:-1], lambda runs: [], lambda runs: [*runs[:-1], {**runs[-1], "windows": [0]}],
    lambda runs: [*runs[:-1], {**runs[-1], "plans": runs[-1]["plans"][:1]}],
])
async def test_a_ledger_that_forgot_what_was_released(change):
    """Windows would be due again, at this node alone: its peers do nothing with it."""
    nodes = ThreeNodes(most_windows=2)
    await nodes.work_on()
    sent = [list(node.sent) for node in nodes.nodes]
    rewrite(nodes.nodes[1], "ledger.json", lambda ledger: {**ledger, "runs": change(ledger["runs"])})
    assert all(isinstance(e, Apart) for e in await nodes.work(stall_seconds=1.0))
    assert [node.sent for node in nodes.nodes] == sent


async def test_a_prepared_run_with_other_windows(monkeypatch):
    """All three prepared the first windows; one of them then says on disk that they were the last ones."""
    nodes = ThreeNodes(most_windows=2)
    await nodes.work()
    with monkeypatch.context() as patch:
        for node in nodes.nodes:
            patch.setattr(node.state, "settle", lambda root: None)
        await nodes.work()
    assert [node.state.settled for node in nodes.nodes] == [False] * 3
    rewrite(nodes.nodes[2], "prepared.json", lambda prepared: {**prepared, "windows": [3, 4]})
    for node in nodes.nodes[:2]:
        node.restart()
    await nodes.work()
    sent = [list(node.sent) for node in nodes.nodes]
    assert [len(each) for each in sent] == [1, 1, 1]
    assert all(isinstance(e, Apart) for e in await nodes.work(stall_seconds=1.0))
    assert [node.sent for node in nodes.nodes] == sent


async def test_everything_a_node_may_forget_is_forgotten():
    """Due times, nonces, when it was alive, what was sent: what came out stays right, and each window once."""
    nodes = ThreeNodes(most_windows=2)
    await nodes.work()
    await nodes.work()
    rewrite(nodes.nodes[0], "ledger.json", lambda ledger: {**ledger, "due": {}, "nonces": {}, "sent": False})
    await until_idle(nodes)
    is_right(nodes)


async def test_one_node_says_that_requests_were_answered_which_nobody_has_seen():
    """Its peers would take that for their own place and never answer a request again, even after it is repaired."""
    asking = Asking(requesters=1)
    await asking.nodes.work_on()
    honest = asking.nodes.nodes[1].state.ledger.handled
    rewrite(asking.nodes.nodes[1], "ledger.json", lambda ledger: {**ledger, "handled": 10**9})
    await asking.nodes.work()
    rewrite(asking.nodes.nodes[1], "ledger.json", lambda ledger: {**ledger, "handled": honest})
    digest = asking.ask(asking.demand(1, 5))
    await asking.all_hear()
    await asking.nodes.work_on()
    for number in range(3):
        assert [type(r) for r in asking.answers(number)[digest]] == [Answered]


async def test_a_linkage_that_is_gone_is_told_at_the_start():
    """Else the node would meet its peers without one, and their schedule would end by a rule."""
    nodes = ThreeNodes(most_windows=2)
    await nodes.work()
    await nodes.work()
    (nodes.nodes[1].folder / "linkage").unlink()
    with pytest.raises(ConfigError, match="linkage"):
        nodes.nodes[1].restart()


def test_a_store_in_a_folder_that_was_open_is_closed(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir(mode=0o755)
    ShareStore(folder, run_terms(), 0)
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("left", [
    {"complete_panes": 1, "mature_panes": 1}, {"complete_panes": 0, "mature_panes": 0, "batches_complete": 0},
], ids=["a pane", "a register"])
async def test_a_node_that_misses_what_it_had_computes_nothing_until_it_has_it_again(left):
    """Not even windows that need only panes that are here: its totals begin with what is lost."""
    nodes = ThreeNodes(most_windows=2)
    await nodes.work()
    await nodes.work()
    sent, store = [list(node.sent) for node in nodes.nodes], nodes.nodes[1].shares
    vars(store).update(left)
    nodes.nodes[1].restart()
    assert await nodes.work() == [False] * 3
    assert [node.sent for node in nodes.nodes] == sent
    for name in left:
        delattr(store, name)
    await until_idle(nodes)
    is_right(nodes)
