"""Privacy budget on the chain: paid for once a series, reserved before anything is opened, and refused when it is used up."""

from types import SimpleNamespace

import pytest

from console.audit.onchain import OnChain
from evaluation.agreement import in_words, proposal
from evaluation.spending import Spending, series_id
from mpc.engine import Engine
from policy.errors import ChainError
from policy.privacy import units
from tests.support.asking import Asking
from tests.support.runs import PANES, Killed, ThreeNodes, released, run_terms

RATE, COST = "gp-visit-rate-ratio", "cost-difference"


def terms(rho="1", budget="2", kpis=(RATE,), **changes):
    """An agreement over windows of two weeks whose KPIs have privacy."""
    return run_terms(
        privacy=[{"kpi": kpi, "rho": rho, "delta": "0.000001"} for kpi in kpis], quota={"runs": 100, "rho": budget}, **changes,
    )


def rules(nodes):
    return [node.desk.stopped and node.desk.stopped.refusal for node in nodes.nodes]


async def test_a_series_is_paid_for_once_however_many_windows_come_out():
    nodes = ThreeNodes(terms(), most_windows=1)
    await nodes.work_on()
    series = series_id(nodes.terms, nodes.terms.plans[0], 0)
    assert nodes.chain.budgets[series] == units("1") == nodes.chain.spent
    assert nodes.chain.askers[series] is None
    assert {window for _, window, _ in released(nodes)} == set(range(PANES - 1))
    assert proposal(nodes.terms).privacy_budget == units("2")


async def test_a_run_over_the_budget_is_refused_before_anything_is_opened(monkeypatch):
    """Another version has spent most of it; nothing is authorised, nothing is compared, and what is left is said."""
    nodes = ThreeNodes(terms())
    nodes.chain.spent_earlier = units("1.25")
    assert await nodes.work() == [True] * 3  # linkage costs nothing
    monkeypatch.setattr(Engine, "open", None)
    runs = dict(nodes.chain.runs)
    assert await nodes.work() == [True] * 3
    for refusal in rules(nodes):
        assert in_words(refusal) == (
            f"privacy-budget-left: found ρ = 0.75 left of 2, required 1 for {RATE}. Next: agree on a higher quota.rho, or "
            "on fewer KPIs, in a new version; what was released stays."
        )
    assert nodes.chain.runs == runs and released(nodes) == {}


async def test_two_kpis_do_not_share_what_is_enough_for_one():
    nodes = ThreeNodes(terms(budget="1.999999", kpis=(RATE, COST)))
    await nodes.work_on()
    assert {refusal.rule for refusal in rules(nodes)} == {"privacy-budget-left"}
    assert nodes.chain.spent == 0 and released(nodes) == {}


async def test_a_full_edition_is_charged_anew():
    agreed = terms(maturities={"days": [14], "release": "both", "revisions": 3})
    nodes = ThreeNodes(agreed)
    await nodes.work_on()
    assert nodes.chain.spent == units("2")
    assert {series_id(agreed, agreed.plans[0], edition) for edition in (0, 1)} <= set(nodes.chain.runs)
    short = ThreeNodes(terms(budget="1.5", maturities={"days": [14], "release": "both", "revisions": 3}))
    await short.work_on()
    assert {refusal.rule for refusal in rules(short)} == {"privacy-budget-left"}
    lattice = short.terms.draft.lattice
    assert {lattice.edition(window) for _, window, _ in released(short)} == {0}
    assert short.chain.spent == units("1")


async def test_a_repeat_after_a_failed_attempt_pays_nothing_and_has_the_same_noise(monkeypatch):
    """Else whoever can break attempts off would average the noise away, or use the budget up."""
    one, two = ThreeNodes(terms()), ThreeNodes(terms())
    for nodes in (one, two):
        assert await nodes.work() == [True] * 3

    def broken(*_):
        raise ConnectionError("gone")

    with monkeypatch.context() as patched:
        patched.setattr("evaluation.run.seal_result", broken)
        assert all(isinstance(each, ConnectionError) for each in await two.work())
    assert two.chain.spent == units("1")
    for node in two.nodes:
        node.restart()
    for nodes in (one, two):
        await nodes.work_on()
        assert nodes.chain.spent == units("1")
    assert released(one) == released(two)


@pytest.mark.parametrize("planted", [0, units("0.5")])
async def test_a_reservation_of_less_is_noticed(planted):
    """Whoever attests may reserve under any id; nodes do not take a smaller budget for the one that is agreed."""
    nodes = ThreeNodes(terms())
    assert await nodes.work() == [True] * 3
    await nodes.chain.authorise("", [series_id(nodes.terms, nodes.terms.plans[0], 0)], None, planted)
    ended = await nodes.work()
    assert any(isinstance(each, ChainError) for each in ended) and True not in ended
    assert released(nodes) == {}


async def test_a_node_that_says_it_gave_the_budget_up_is_not_followed():
    """Else one node could have it free again after figures came out, for another version to spend a second time."""
    nodes = ThreeNodes(terms(), most_windows=2)
    for _ in range(2):
        assert await nodes.work() == [True] * 3
    assert released(nodes)
    series = series_id(nodes.terms, nodes.terms.plans[0], 0)
    nodes.nodes[2].state.update(given_up=(series,))
    nodes.chain.release(2, series)
    await nodes.work_on()
    assert nodes.chain.given_up == {(series, nodes.chain.runs[series]): {2}}
    assert nodes.chain.spent == units("1")
    assert {window for _, window, _ in released(nodes)} == set(range(PANES - 1))


async def test_an_audit_finds_figures_whose_privacy_nobody_paid_for():
    nodes = ThreeNodes(terms())
    await nodes.work_on()
    (plan, *_), series = nodes.terms.plans, series_id(nodes.terms, nodes.terms.plans[0], 0)
    entry = SimpleNamespace(node=1, common=SimpleNamespace(run="r", plans=(plan.hash,), windows=(0, 1)))
    chain, final = OnChain(nodes.chain, "", nodes.terms), (await nodes.chain.block("finalized")).number
    assert [finding async for finding in chain._unpaid(entry, final)] == []
    del nodes.chain.runs[series]  # given back
    (finding,) = [finding async for finding in chain._unpaid(entry, final)]
    assert (finding.rule, finding.node) == ("authorisation", 1)
    assert finding.in_words("en") == (f"no reservation of privacy for KPI {RATE}", "one of 1000000 millionths of ρ")


async def test_nodes_that_all_lost_their_folders_release_nothing_under_the_same_noise():
    """Of data that were corrected since, the difference to what came out before would have no noise at all."""
    before = ThreeNodes(terms(), most_windows=1)
    for _ in range(2):
        assert await before.work() == [True] * 3
    assert released(before)
    again = ThreeNodes(before.terms, most_windows=1)
    again.chain = before.chain
    for node in again.nodes:
        node.chain = before.chain
        node.restart()
    await again.work_on()
    for refusal in rules(again):
        assert (refusal.rule, RATE in refusal.found) == ("series-noted", True)
    assert released(again) == {}
    assert before.chain.spent == units("1")


@pytest.mark.parametrize("dies", range(3))
async def test_a_node_that_dies_before_anybody_paid_goes_on(monkeypatch, dies):
    """Whether it had noted the series or not, nobody pays before all three have."""
    nodes = ThreeNodes(terms())
    assert await nodes.work() == [True] * 3
    noted = Spending.noted

    def killed(self, state):
        if state is nodes.nodes[dies].state:
            raise Killed
        return noted(self, state)

    with monkeypatch.context() as patched:
        patched.setattr(Spending, "noted", killed)
        assert True not in await nodes.work(stall_seconds=1.0)
    assert nodes.chain.spent == 0
    for node in nodes.nodes:
        node.restart()
    await nodes.work_on()
    assert {window for _, window, _ in released(nodes)} == set(range(PANES - 1))
    assert nodes.chain.spent == units("1")


async def test_windows_on_demand_are_paid_for_with_the_first_one():
    """They are sums of the same blocks."""
    asking = Asking(most_windows=1, privacy=[{"kpi": RATE, "rho": "1", "delta": "0.000001"}], quota={"runs": 100, "rho": "1"})
    nodes = asking.nodes
    for node in nodes.nodes:
        node.shares.complete_panes = 4
    await nodes.work_on()
    assert nodes.chain.spent == units("1")
    asking.ask(asking.demand(0, 4))
    await asking.all_hear()
    await nodes.work_on()
    assert nodes.chain.spent == units("1")
    assert any(window >= len(nodes.terms.draft.lattice.scheduled) for _, window, _ in released(nodes))


async def test_agreements_without_privacy_ask_the_chain_nothing_more(monkeypatch):
    nodes = ThreeNodes()
    monkeypatch.setattr(type(nodes.chain), "run", None)
    await nodes.work_on()
    assert nodes.chain.spent == 0 and proposal(nodes.terms).privacy_budget == 0
    assert len(released(nodes)) == 2 * 6 * (PANES - 1)
