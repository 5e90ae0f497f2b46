"""What the chain counts against a requester, what the nodes count, and what they do when the two differ."""

import pytest

from evaluation.records import Done, Refused
from mpc.engine import Engine
from tests.support.asking import Asking
from tests.support.runs import PANES, Killed

ANN, BOB = "analyst-0", "analyst-1"


async def linked(**options):
    asking = Asking(requesters=2, most_windows=1, **options)
    for node in asking.nodes.nodes:
        node.shares.complete_panes = 4
    await asking.nodes.work_on()
    return asking


async def counted(asking):
    """Requester → runs on the chain; all nodes must count as many."""
    view = await asking.nodes.chain.view("", "latest")
    found = {r.name: runs for r, runs in zip(asking.terms.requesters, view.requester_runs, strict=True) if runs}
    for node in asking.nodes.nodes:
        assert node.state.ledger.used == found
    return found


async def test_a_run_on_demand_is_its_requesters_on_the_chain_and_others_are_nobodys():
    asking = await linked()
    chain = asking.nodes.chain
    assert set(chain.askers.values()) == {None}
    assert await counted(asking) == {}
    before = set(chain.runs)
    asking.ask(asking.demand(0, 4, requester=ANN))
    asking.ask(asking.demand(0, 4, requester=BOB))  # joins
    asking.ask(asking.demand(0, 3, requester=BOB))
    await asking.all_hear()
    await asking.nodes.work_on()
    assert sorted(chain.askers[run] for run in set(chain.runs) - before) == sorted(r.address for r in asking.terms.requesters)
    assert await counted(asking) == {ANN: 1, BOB: 1}


async def test_a_request_leaves_the_place_that_was_reserved_to_the_schedule():
    asking = await linked(ahead=True)
    nodes, (mine,) = asking.nodes, [node for node in asking.nodes.nodes if node.desk.place is not None]
    place = mine.desk.place
    await mine.desk.advance.reserve()
    asking.ask(asking.demand(0, 4, requester=ANN))
    await asking.all_hear()
    await nodes.work_on()
    assert await counted(asking) == {ANN: 1}
    assert [node.state.ledger.places for node in nodes.nodes] == [mine.state.ledger.places] * 3
    assert place not in {r.run for r in nodes.nodes[0].records if isinstance(r, Done)}
    assert nodes.chain.askers[place] is None
    for node in nodes.nodes:
        node.shares.complete_panes = 5
    await nodes.work_on()
    assert place in {r.run for r in nodes.nodes[0].records if isinstance(r, Done)}


async def test_a_place_that_requests_left_nothing_for_is_given_back():
    asking = await linked(ahead=True)
    nodes = asking.nodes
    for node in nodes.nodes:
        node.shares.complete_panes = PANES - 1
    await nodes.work_on()
    (mine,) = [node for node in nodes.nodes if node.desk.place is not None]
    place = mine.desk.place
    await mine.desk.advance.reserve()
    for node in nodes.nodes:
        node.shares.complete_panes = PANES
    asking.ask(asking.demand(PANES - 2, PANES, requester=ANN))
    await asking.all_hear()
    await nodes.work_on()
    assert all(node.desk.over for node in nodes.nodes)
    assert await counted(asking) == {ANN: 1}
    assert place in nodes.chain.askers
    assert set(nodes.chain.runs) == {run for _, run, _ in nodes.chain.attested}


async def test_runs_under_versions_before_count():
    asking = await linked(runs=2)
    nodes = asking.nodes
    nodes.chain.earlier[ANN] = 2
    runs = dict(nodes.chain.runs)
    refused, admitted = (asking.ask(asking.demand(0, 4, requester=name)) for name in (ANN, BOB))
    await asking.all_hear()
    await nodes.work_on()
    for number in range(3):
        (record,) = asking.answers(number)[refused]
        assert isinstance(record, Refused)
        assert (record.rule, record.found) == ("requester-quota-left", "2 runs used in all versions")
        assert asking.answers(number)[admitted][0].outcome == "run"
    assert [nodes.chain.askers[run] for run in nodes.chain.runs.keys() - runs.keys()] == [asking.terms.requesters[1].address]


@pytest.mark.parametrize("last", ["quota", "requester"])
async def test_the_last_run_of_a_quota_survives_an_attempt_that_failed(monkeypatch, last):
    """It was authorised, and is counted; the request is not refused because of its own run."""
    asking = await linked(runs=1)
    nodes = asking.nodes
    if last == "quota":
        nodes.chain.quota = len(nodes.chain.runs) + 1
    digest = asking.ask(asking.demand(0, 4, requester=ANN))
    await asking.all_hear()

    async def killed(self, x):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "open", killed)
        await nodes.work(stall_seconds=1.0)
    for node in nodes.nodes:
        node.restart()
    asking.heard = [0, 0, 0]
    await asking.all_hear()
    for _ in range(10):
        if await nodes.work() == [True] * 3:
            break
    assert [asking.answers(number)[digest][0].outcome for number in range(3)] == ["run"] * 3
    assert await counted(asking) == {ANN: 1}
