"""A KPI's plan that nobody signed: at all nodes, as an operator of all three would; and at one of them."""

import pytest
import pytest_asyncio

from evaluation.outcome import Outcome
from tests.support.agreed import AgreedNodes, current_terms
from tests.support.chains import a_world

pytestmark = pytest.mark.asyncio(loop_scope="module")
TERMS = current_terms()
AGREED = TERMS.plans
ALTERED = tuple(plan.model_copy(update={"outputs": (*plan.outputs, "estimate")}) for plan in AGREED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory):
    async for world in a_world(tmp_path_factory.mktemp("chain")):
        agreement = await world.active(terms_hash=TERMS.hash)
        await world.relay.wait_state(agreement, "active", timeout_seconds=15)
        made = AgreedNodes(world, agreement, TERMS)
        assert all(isinstance(ended, Outcome) for ended in await made.link())
        yield made


async def test_all_three_are_given_another_plan(nodes):
    ended = await nodes.window((0, 2), plans=(ALTERED,) * 3)
    for refusal in await nodes.refused(ended, "plan-permitted", runs=1):
        assert refusal.found == f"plan {min(p.hash for p in ALTERED)[:16]}"
        assert all(plan.hash[:16] in refusal.required for plan in AGREED)


@pytest.mark.parametrize("cheat", range(3))
async def test_one_of_them_is(nodes, cheat):
    plans = tuple(ALTERED if number == cheat else AGREED for number in range(3))
    await nodes.refused(await nodes.window((0, 2), plans=plans), "same-plans", runs=1)


async def test_a_part_of_what_was_signed_is_permitted(nodes):
    """It is the plan that is refused, not that something else runs than before."""
    ended = await nodes.window((0, 2), plans=(AGREED[:1],) * 3)
    assert all(isinstance(each, Outcome) for each in ended)
    assert {kpi for each in ended for kpi in each.done.kpis} == {AGREED[0].kpi}
