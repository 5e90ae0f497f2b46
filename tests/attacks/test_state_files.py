"""Somebody changes what a node keeps on disk: no window comes out twice, and peers do not believe what cannot be."""

import json
from random import Random

import pytest

from evaluation.desk import Apart
from evaluation.errors import ConfigError
from evaluation.ledger import Prepared
from evaluation.records import Answered, Done
from evaluation.state import NodeState
from streams.store import ShareStore
from tests.attacks.test_resume import is_right, until_idle
from tests.support.asking import Asking
from tests.support.runs import ThreeNodes, run_terms
from tests.unit.mpc.test_linked import made


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


def kept(folder, name):
    """A node's linkage of two shards, in force, prepared, or of the epoch to come; and how it is read."""
    attempt, state = "ab" * 32, NodeState(folder, "cd" * 32)
    state.keep_linkage(attempt, {0: made(), 3: made("left", segments=3)})
    if name == "linkage-next":
        said = Done(agreement="cd" * 32, node=1, run="", windows=(), sequence=1, seconds={})
        state.prepare(Prepared(
            attempt=attempt, run="", plans=(), windows=(), done=said, block="", attestation="", hashes=(), sealed={},
        ))
    else:
        state.update(**{"renewal" if name == "linkage-ahead" else "linkage": attempt})
    read = NodeState.renewal if name == "linkage-ahead" else NodeState.linkage
    assert set(read(NodeState(folder, "cd" * 32))[1]) == {0, 3}
    return folder / name, lambda: read(NodeState(folder, "cd" * 32))


@pytest.mark.parametrize("name", ["linkage", "linkage-next", "linkage-ahead"])
def test_no_bit_of_a_linkage_flips_unnoticed_and_the_right_file_is_named(tmp_path, name):
    path, read = kept(tmp_path / "state", name)
    stored, rng = path.read_bytes(), Random(3)
    every = range(8 * len(stored))
    for bit in {*every[: 8 * 200], *rng.sample(every, 300), *every[-8:]}:
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=f"state/{name} cannot be read: "):
            read()
    for damaged in (stored[:-1], stored + b"\0", b"", stored[:30]):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=f"state/{name} cannot be read: "):
            read()
    path.unlink()
    with pytest.raises(ConfigError, match=f"state/{name} is gone"):
        read()
    path.write_bytes(stored)
    assert set(read()[1]) == {0, 3}


def test_a_linkage_of_another_attempt_is_no_linkage_and_what_could_have_been_it_is_named(tmp_path):
    path, read = kept(tmp_path / "state", "linkage")
    NodeState(path.parent, "cd" * 32).update(linkage="ef" * 32)
    (path.parent / "linkage-next").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"state/linkage is of attempt abab.*, expected efef.*, and .*linkage-next cannot be read"):
        read()
