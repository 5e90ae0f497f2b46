"""A window beside the agreed ones, which could cut an atom: at all nodes, as an operator of all three would; and at one."""

import pytest
import pytest_asyncio

from evaluation.outcome import Outcome
from tests.support.agreed import AgreedNodes, current_terms
from tests.support.chains import a_world

pytestmark = pytest.mark.asyncio(loop_scope="module")
TERMS = current_terms(windows={"size": 2, "step": 2})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory):
    async for world in a_world(tmp_path_factory.mktemp("chain")):
        agreement = await world.active(terms_hash=TERMS.hash)
        await world.relay.wait_state(agreement, "active", timeout_seconds=15)
        made = AgreedNodes(world, agreement, TERMS)
        assert all(isinstance(ended, Outcome) for ended in await made.link())
        yield made


@pytest.mark.parametrize("window", [(1, 3), (0, 1), (0, 3), (0, 6)], ids=["slid", "shorter", "longer", "everything"])
async def test_all_three_are_given_another_window(nodes, window):
    for refusal in await nodes.refused(await nodes.window(window), "window-on-lattice", runs=1):
        assert refusal.found == f"panes {window[0]} to {window[1]}"
        assert refusal.required == TERMS.draft.lattice.spec.words()


async def test_one_of_them_has_another_of_the_agreed_ones(nodes):
    ended = await nodes.window((0, 2), (0, 2), (2, 4))
    await nodes.refused(ended, "same-windows", runs=1)


async def test_one_of_them_has_a_longer_one_under_the_same_number(nodes):
    """What it would read is compared as well."""
    await nodes.refused(await nodes.window((0, 2), (0, 3), (0, 2)), "same-batches", runs=1)


async def test_an_agreed_one_runs(nodes):
    assert all(isinstance(each, Outcome) for each in await nodes.window((0, 2)))
