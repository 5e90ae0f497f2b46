"""Eight requesters who all want the last runs of an agreement at once, through three nodes, on a real chain."""

import asyncio

import pytest
import pytest_asyncio

from policy.chain.errors import ChainRefusal
from policy.chain.model import Requester
from policy.chain.signing import address_of, new_key
from tests.support.chains import a_world, some_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")
RACERS, ROUNDS = 8, 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async for made in a_world(tmp_path_factory.mktemp("chain")):
        yield made


def racers(quota):
    accounts = sorted((address_of(new_key()) for _ in range(RACERS)), key=lambda account: int(account, 16))
    return tuple(Requester(account, quota) for account in accounts)


async def race(world, agreement, asking, budget=0):
    """Everybody at once, and whoever lost once more; (runs, rules by which the others were refused)."""
    runs = [some_hash() for _ in asking]
    found = []
    for _ in range(ROUNDS):
        found = await asyncio.gather(*(
            world.node[place % 3].authorise(agreement, [run], account, budget)
            for place, (run, account) in enumerate(zip(runs, asking, strict=True))
        ), return_exceptions=True)
    lost = [error for error in found if error is not None]
    assert all(isinstance(error, ChainRefusal) for error in lost), lost
    won = [run for run, error in zip(runs, found, strict=True) if error is None]
    assert await world.relay.wait_authorised(agreement, won) == await world.relay.authorisations(agreement, runs)
    return won, {error.rule for error in lost}


@pytest.mark.parametrize("left", [1, 3])
async def test_no_more_than_the_agreements_runs_are_authorised(world, left):
    asking = racers(quota=5)
    agreement = await world.active(run_quota=left, requesters=asking)
    won, rules = await race(world, agreement, [asker.account for asker in asking])
    assert (len(won), rules) == (left, {"QuotaExhausted"})
    assert (await world.relay.view(agreement, "latest")).runs_used == left


async def test_no_more_than_a_requesters_runs_are_counted_for_it(world):
    asking = racers(quota=2)
    agreement = await world.active(requesters=asking)
    won, rules = await race(world, agreement, [asking[3].account] * RACERS)
    assert (len(won), rules) == (2, {"RequesterQuotaExhausted"})
    view = await world.relay.view(agreement, "latest")
    assert view.requester_runs == (0, 0, 0, 2, 0, 0, 0, 0)


async def test_no_more_than_the_privacy_budget_is_spent(world):
    asking = racers(quota=5)
    agreement = await world.active(requesters=asking, privacy_budget=10)
    won, rules = await race(world, agreement, [asker.account for asker in asking], budget=3)
    assert (len(won), rules) == (3, {"BudgetExhausted"})
    view = await world.relay.view(agreement, "latest")
    assert (view.runs_used, view.budget_spent) == (3, 9)


async def test_who_is_not_named_races_for_nothing(world):
    agreement = await world.active(requesters=racers(quota=5))
    won, rules = await race(world, agreement, [address_of(world.outsider)] * RACERS)
    assert (won, rules) == ([], {"NotARequester"})
