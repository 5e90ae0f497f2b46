"""How many windows share a run."""

import pytest

from evaluation import agenda
from tests.support.runs import ThreeNodes, released


async def test_nodes_that_let_other_numbers_of_windows_share_a_run_take_the_least():
    nodes, alike = ThreeNodes(), ThreeNodes(most_windows=2)
    for node, most in zip(nodes.nodes, (26, 2, 3), strict=True):
        node.desk.most_windows = most
    await nodes.work_on()
    await alike.work_on()
    for one, other in zip(nodes.nodes, alike.nodes, strict=True):
        assert [run.windows for run in one.state.ledger.runs] == [run.windows for run in other.state.ledger.runs]
    assert released(nodes) == released(alike)


@pytest.mark.parametrize(("cells", "expected"), [(0.5, 1), (1, 1), (2, 2), (2.9, 2), (100, 5)])
async def test_a_run_has_no_more_windows_than_its_results_have_room(monkeypatch, cells, expected):
    nodes = ThreeNodes()
    desk = nodes.nodes[0].desk
    of_one = sum(len(plan.strata) for plan in desk.plans)
    monkeypatch.setattr(agenda, "MOST_CELLS", int(cells * of_one))
    panes = desk.terms.draft.lattice.scheduled[4].stop
    assert len(desk.agenda.due(panes, 0, 26)) == expected
