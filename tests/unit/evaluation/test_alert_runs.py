"""Alerts through three nodes' runs: states, retries, suppressed windows, who gets what."""

import time
from fractions import Fraction

import numpy as np
import pytest

from evaluation.coordination import Council
from evaluation.desk import Extras
from evaluation.outcome import Outcome
from evaluation.results import combine, combine_alerts, open_result
from evaluation.run import NodeRun
from mpc.noise import part
from tests.support import runs
from tests.support.runs import PANES, PATIENTS, READER, RECIPIENT_KEY, ThreeNodes, released, run_terms

VISITS = np.array([[2, 2], [5, 2], [2, 2], [1, 2], [9, 2], [1, 2]])
"""Visits per patient by pane: users, not-yet users."""
EMPTY_PANE = 3
RULE = {"kpi": "gp-visit-rate-ratio", "recipient": "watch", "when": "above", "raise_at": "1.75", "clear_at": "0.75"}
ALERTS = [
    RULE | {"id": "busy"}, RULE | {"id": "group", "cell": {"income": "2"}, "recipient": "innovation-team"},
    RULE | {"id": "cheap", "kpi": "cost-difference", "when": "below", "raise_at": "0", "clear_at": "0.01"},
]


def values(visits):
    def of(column, patient):
        user = (patient % 2 == 1).astype(np.int64)
        by_pane = np.where(user == 1, visits[:, :1], visits[:, 1:])
        if column == "gp_visits":
            return by_pane
        return (by_pane > 0).astype(np.int64) if column == "gp_any" else PLAIN(column, patient)
    return of


PLAIN = runs._values


def expected(visits, raise_at=Fraction("1.75"), clear_at=Fraction("0.75")):
    """States by window, from the table of visits: arms are equally large, so days cancel out."""
    raised, found = False, []
    for window in range(PANES - 1):
        users, others = visits[window:window + 2].sum(axis=0)
        if (visits[window:window + 2] == 0).any():
            found.append(None)
            continue
        ratio = Fraction(int(users), int(others))
        raised = ratio >= raise_at or (raised and ratio > clear_at)
        found.append(raised)
    return found


def nodes_with(monkeypatch, visits, **changes):
    monkeypatch.setattr(runs, "_values", values(visits))
    return ThreeNodes(run_terms(
        alerts=ALERTS, recipients=[{"name": "innovation-team", "kpis": ["cost-difference"]}, {"name": "watch", "kpis": []}],
        **changes,
    ))


def opened(nodes, outcomes, recipient):
    assert all(isinstance(o, Outcome) for o in outcomes), outcomes
    return [open_result(o.sealed[recipient], recipient, RECIPIENT_KEY, nodes.terms) for o in outcomes]


async def states(nodes, splits, recipient="watch"):
    """alert → window → state, over runs of these sizes."""
    found, following = {}, 0
    for due in splits:
        outcomes = await nodes.attempt(following, due)
        for state in combine_alerts(opened(nodes, outcomes, recipient)):
            assert found.setdefault(state.alert, {}).setdefault(state.window, state.raised) == state.raised
        following += due
    return {alert: [by_window[w] for w in range(following)] for alert, by_window in found.items()}


@pytest.mark.parametrize("splits", [[5], [1, 1, 1, 1, 1], [2, 3], [4, 1]])
async def test_states_do_not_depend_on_how_windows_come_in_runs(monkeypatch, splits):
    nodes = nodes_with(monkeypatch, VISITS)
    assert all(isinstance(o, Outcome) for o in await nodes.attempt())
    wanted = expected(VISITS)
    assert wanted == [True, True, False, True, True]
    assert await states(nodes, splits) == {"busy": wanted, "cheap": [True] * 5}


async def test_a_suppressed_window_leaves_the_state_and_shows_none(monkeypatch):
    visits = VISITS.copy()
    visits[EMPTY_PANE] = 0
    nodes = nodes_with(monkeypatch, visits)
    await nodes.attempt()
    wanted = expected(visits)
    assert wanted == [True, True, None, None, True]
    assert (await states(nodes, [3, 2]))["busy"] == wanted


async def test_after_totals_are_lost_the_states_are_the_same(monkeypatch):
    nodes = nodes_with(monkeypatch, VISITS)
    await nodes.attempt()
    first = await nodes.attempt(0, 4)
    for lost in nodes.computations:
        lost.forget_totals()
    again = await nodes.attempt(4, 1)
    assert [s.raised for s in combine_alerts(opened(nodes, again, "watch")) if s.alert == "busy"] == expected(VISITS)[4:]
    repeat = await nodes.attempt(0, 4)
    assert combine_alerts(opened(nodes, repeat, "watch")) == combine_alerts(opened(nodes, first, "watch"))


async def test_each_recipient_gets_its_own_alerts_and_kpis(monkeypatch):
    nodes = nodes_with(monkeypatch, VISITS)
    await nodes.attempt()
    outcomes = await nodes.attempt(0, 2)
    watch, team = (opened(nodes, outcomes, name) for name in ("watch", "innovation-team"))
    assert combine(watch, nodes.terms.plans) == []
    assert {s.alert for s in combine_alerts(watch)} == {"busy", "cheap"}
    assert {c.kpi for c in combine(team, nodes.terms.plans)} == {"cost-difference"}
    assert {s.alert for s in combine_alerts(team)} == {"group"}
    assert all(o.done.alerts == ("busy", "group", "cheap") for o in outcomes)
    assert all(o.done.seconds["alerts"] > 0 for o in outcomes)
    assert len({s.alerts for s in watch}) == 3


async def perform(nodes, plans, windows):
    """Each node's outcome of a run of these plans and windows."""
    async def run(node, wire):
        made = NodeRun(
            nodes.terms, runs.CHAIN, nodes.chain, node.computation, runs.RECORD_KEYS[node.number], runs.Silent("test"), wire,
            Council(wire), 9, node.state,
        )
        return await node.desk.perform(made, plans, windows, Extras())

    return await nodes._at_each(run, None, 5.0)


async def test_a_request_that_runs_ahead_of_the_schedule_forks_no_state(monkeypatch):
    nodes = nodes_with(monkeypatch, VISITS)
    await nodes.attempt()
    every = nodes.terms.draft.lattice.scheduled
    visits, cost = (next(p for p in nodes.terms.plans if p.kpi == kpi) for kpi in (RULE["kpi"], "cost-difference"))
    found = {"busy": {}, "cheap": {}}
    for plans, windows in (
        ([visits], every[2:3]), ([visits, cost], every[:2]), ([cost], every[2:3]), ([visits, cost], every[3:]),
    ):
        outcomes = await perform(nodes, plans, windows)
        states = combine_alerts(opened(nodes, outcomes, "watch"))
        assert {s.alert for s in states} == {a for a, plan in (("busy", visits), ("cheap", cost)) if plan in plans}
        assert {s.window for s in states} == {w.index for w in windows}
        for state in states:
            assert state.window not in found[state.alert]
            found[state.alert][state.window] = state.raised
    assert [found["busy"][w] for w in range(5)] == expected(VISITS)
    assert [found["cheap"][w] for w in range(5)] == [True] * 5


async def test_a_request_that_runs_ahead_is_about_all_panes_that_its_states_are_made_of(monkeypatch):
    """Nodes that hold another content of an earlier pane find out before, not by a state that is nobody's."""
    nodes = nodes_with(monkeypatch, VISITS)
    await nodes.attempt()

    def other(panes, edition, honest=nodes.nodes[1].shares.commitments):
        found = honest(panes, edition)
        return {name: dict.fromkeys(held, b"other") for name, held in found.items()} if 0 in panes else found

    monkeypatch.setattr(nodes.nodes[1].shares, "commitments", other)
    lattice = nodes.terms.draft.lattice
    ended = await perform(nodes, nodes.terms.plans, lattice.scheduled[3:4])
    assert [e.refusal.rule for e in ended] == ["commitments-equal"] * 3
    without = ThreeNodes(run_terms())
    await without.attempt()
    monkeypatch.setattr(without.nodes[1].shares, "commitments", other)
    assert all(isinstance(o, Outcome) for o in await perform(without, without.terms.plans, lattice.scheduled[3:4]))


async def test_windows_on_demand_have_no_alerts(monkeypatch):
    nodes = nodes_with(monkeypatch, VISITS, on_demand={"largest": 4})
    await nodes.attempt()
    await nodes.attempt(0, 2)
    outcomes = await perform(nodes, nodes.terms.plans, [nodes.terms.draft.lattice.at(0, 4)])
    assert all(o.done.alerts == () for o in outcomes)
    assert all(set(o.sealed) == {"innovation-team"} for o in outcomes)
    assert combine_alerts(opened(nodes, outcomes, "innovation-team")) == []
    assert combine(opened(nodes, outcomes, "innovation-team"), nodes.terms.plans)


async def test_a_bound_that_leaves_the_field_with_these_patients_ends_the_linkage(monkeypatch):
    monkeypatch.setattr("policy.alert.FIELD_BITS", 60)
    nodes = nodes_with(monkeypatch, VISITS)
    outcomes = await nodes.attempt()
    assert any("alert busy: comparing KPI" in str(o) for o in outcomes)
    assert not any(isinstance(o, Outcome) for o in outcomes)


@pytest.mark.parametrize("slow", range(3))
async def test_alerts_compare_the_figures_that_come_out_noise_included(monkeypatch, slow):
    """Whichever node draws longest, and in every run: noise is entered in one order, and is that of the figures."""
    def drawn(key, *draw):
        if key == bytes([slow]) * 32:
            time.sleep(0.001)
        return part(key, *draw)

    monkeypatch.setattr("mpc.noise.part", drawn)
    rules = [
        RULE | {"id": "more", "recipient": READER, "raise_at": "1", "clear_at": "0.95"},
        RULE | {"id": "less", "recipient": READER, "when": "below", "raise_at": "1", "clear_at": "1.05"},
    ]
    nodes = ThreeNodes(run_terms(
        alerts=rules, privacy=[{"kpi": RULE["kpi"], "rho": "900", "delta": "0.000001"}], quota={"runs": 100, "rho": "900"},
    ), most_windows=2)
    await nodes.work_on()
    shares = [open_result(sealed, READER, RECIPIENT_KEY, nodes.terms) for node in nodes.nodes for _, sealed in node.sent]
    found = {}
    for run in {each.run for each in shares}:
        found |= {(s.alert, s.window): s.raised for s in combine_alerts([each for each in shares if each.run == run])}
    states, more, less = {}, False, False
    for (kpi, window, cell), sums in sorted(released(nodes).items()):
        if (kpi, cell) == (RULE["kpi"], ()):
            users, others = (Fraction(sums[f"{arm}.outcome"], sums[f"{arm}.time"]) for arm in ("exposed", "comparator"))
            more = users / others >= 1 or (more and users / others > Fraction("0.95"))
            less = users / others <= 1 or (less and users / others < Fraction("1.05"))
            states |= {("more", window): more, ("less", window): less}
    assert found == states
    assert set(found.values()) == {True, False}  # without noise both arms are alike, which raises both


async def test_an_alert_about_figures_with_noise_has_no_data_where_none_came_out():
    nodes = ThreeNodes(run_terms(
        alerts=[RULE | {"id": "quiet", "recipient": READER}], disclosure={"minimum_cohort": PATIENTS},
        privacy=[{"kpi": RULE["kpi"], "rho": "1", "delta": "0.000001"}], quota={"runs": 100, "rho": "1"},
    ))
    await nodes.work_on()
    opened_ = [open_result(sealed, READER, RECIPIENT_KEY, nodes.terms) for node in nodes.nodes for _, sealed in node.sent]
    assert {(s.window, s.raised) for s in combine_alerts(opened_)} == {(window, None) for window in range(PANES - 1)}
