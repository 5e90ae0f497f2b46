"""One node works under another version of the agreement, by mistake or because its operator would like that one more."""

import pytest

from evaluation.errors import Apart
from tests.support.runs import ThreeNodes, run_terms


@pytest.mark.parametrize("strange", range(3))
async def test_nobody_goes_on_and_everybody_says_why(strange):
    agreed, other = run_terms(), run_terms(disclosure={"minimum_cohort": 4})
    nodes = ThreeNodes(agreed)
    nodes.nodes[strange] = ThreeNodes(other).nodes[strange]
    for ended in await nodes.work():
        assert isinstance(ended, Apart)
        assert str(ended).startswith("same-agreement: found ")
        for number in range(3):
            assert f"{(other if number == strange else agreed).hash[:16]} at node {number}" in str(ended)
    assert not any(node.sent for node in nodes.nodes)
    assert nodes.chain.runs == {}


async def test_under_one_version_they_go_on():
    assert await ThreeNodes(run_terms()).work() == [True] * 3
