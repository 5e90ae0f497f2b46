"""Alerts on shares against a plain state machine over fractions."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from mpc.errors import IntegrityError
from mpc.tail import alerts as tail_alerts
from mpc.tail.alerts import AlertBatch, alert_states
from mpc.tail.recombine import recombine
from mpc.tail.vectors import Vectors
from policy.alert import Alert
from policy.errors import PlanError
from policy.plan import MASK_BITS
from tests.support.dealing import deal
from tests.support.wires import run_three
from tests.unit.mpc.tail.helpers import AMOUNT, PANES, PATIENTS, make_plan, quantities

RATIO, DIFFERENCE = make_plan("rate-ratio"), make_plan("mean-difference", limbs=True, scale=(487, 1600))
COSTS = make_plan("rate-ratio", limbs=True)
NET = make_plan("rate-ratio", signed=True)
SHARE, DONE, CHANGE = make_plan("share"), make_plan("completion"), make_plan("mean-difference", signed=True, scale=(1, 100))


def rule(when="above", raise_at="1.2", clear_at="1", name="a"):
    return Alert(id=name, kpi="k", recipient="r", when=when, raise_at=raise_at, clear_at=clear_at)


def value_of(plan, cell):
    """In the plan's unit; None where there is none."""
    tu, yu, tc, yc = (Fraction(int(x)) for x in cell)
    if plan.estimator == "share":
        return tu / (tu + tc) if tu + tc else None
    if plan.estimator == "completion":
        return yu / tu if tu else None
    if 0 in (tu, tc) or (plan.estimator == "rate-ratio" and yc == 0):
        return None
    value = (yu / tu) / (yc / tc) if plan.estimator == "rate-ratio" else yu / tu - yc / tc
    return value * plan.scale_numerator / plan.scale_denominator


def machine(alert, plan, cells):
    """The state after each window."""
    raised, found = False, []
    for cell in cells:
        value = value_of(plan, cell)
        if value is not None:
            top, bottom = Fraction(alert.raise_at), Fraction(alert.clear_at)
            if value >= top if alert.when == "above" else value <= top:
                raised = True
            elif value <= bottom if alert.when == "above" else value >= bottom:
                raised = False
        found.append(int(raised))
    return found


async def compute(work, seed=0, patients=PATIENTS, panes=PANES, **options):
    """Recombined states of [(alert, plan, cells, shown)]; cells (windows, 4): Tu, Yu, Tc, Yc."""
    rng = np.random.default_rng(seed)
    held = [[], [], []]
    for alert, plan, cells, shown in work:
        rows = np.array(cells, dtype=object).reshape(-1, 4)
        sums = quantities(plan, rows).astype(np.int64).reshape(-1, len(plan.quantities))
        for mine, share in zip(held, deal(sums, rng), strict=True):
            mine.append(AlertBatch(alert, plan, share.parts, shown))
    shares = await run_three(lambda wire: alert_states(wire, held[wire.number], patients, panes, 60), **options)
    return [recombine(each) for each in zip(*shares, strict=True)]


def around(rng, plan, alert, n):
    """Windows with values near the bounds, at them, far away, and with zeros."""
    cells = []
    for _ in range(n):
        tu, tc = (int(t) for t in rng.integers(1, 20_000, 2))
        aim = Fraction(str(rng.choice([alert.raise_at, alert.clear_at, "0.9", "1.1", "1.3", "-4"])))
        if plan.as_odds:
            aim = abs(aim) / 5
            tc, yu, yc = int(tu * (1 - aim) / aim), int(aim * tu) + int(rng.integers(-1, 2)), 0
        elif plan.estimator == "rate-ratio":
            yc = int(rng.integers(-2 if plan.outcome[0].signed else 0, 9_000))
            yu = int(aim * yc * tu / tc) + int(rng.integers(-1, 2))
            yu = yu if plan.outcome[0].signed else max(yu, 0)
        else:
            yc = int(rng.integers(-(10**6), 10**6))
            yu = int(tu * (aim * plan.scale_denominator / plan.scale_numerator + Fraction(yc, tc))) + int(rng.integers(-1, 2))
        cells.append((tu, yu, tc, yc) if rng.random() < 0.9 else rng.choice([(0, 0, tc, yc), (tu, yu, tc, 0), (0, 0, 0, 0)]))
    return cells


async def test_states_match_a_plain_machine_over_random_windows():
    rng = np.random.default_rng(1)
    alerts = [
        (rule(), RATIO), (rule("below", "0.8", "1.05"), RATIO), (rule("above", "25.50", "-3.2"), DIFFERENCE),
        (rule("below", "-100.01", "-99.99"), DIFFERENCE), (rule("above", "1.000001", "0.999999"), COSTS),
        (rule("above", "1.1", "-1"), NET), (rule("above", "0.24", "0.2"), SHARE), (rule("below", "0.18", "0.22"), DONE),
        (rule("below", "-4", "1.1"), CHANGE),
    ]
    work = []
    for alert, plan in alerts:
        cells = around(rng, plan, alert, int(rng.integers(20, 50)))
        work.append((alert, plan, cells, len(cells)))
    wanted = [machine(alert, plan, cells) for alert, plan, cells, _ in work]
    assert await compute(work) == wanted
    assert all({0, 1} == set(states) for states in wanted)
    assert all(any(value_of(plan, cell) is None for cell in cells) for _, plan, cells, _ in work)


async def test_however_the_windows_are_split_into_runs_the_states_are_the_same():
    rng = np.random.default_rng(2)
    cells = around(rng, RATIO, rule(), 23)
    every = machine(rule(), RATIO, cells)
    assert sum(a != b for a, b in pairwise(every)) > 2
    for cuts in ([23], [1] * 23, [15, 8], [8, 15], [1, 21, 1], [2, 3, 4, 4, 10], [7, 0, 16]):
        found, stop = [], 0
        for size in cuts:
            stop += size
            found += (await compute([(rule(), RATIO, cells[:stop], size)], seed=stop))[0]
        assert found == every


async def test_alerts_of_different_lengths_go_together():
    rng = np.random.default_rng(3)
    work = [
        (rule(), RATIO, around(rng, RATIO, rule(), n), shown)
        for n, shown in ((9, 2), (0, 0), (3, 3), (1, 1), (6, 0), (17, 5), (16, 1))
    ]
    wanted = [machine(alert, plan, cells)[len(cells) - shown:] for alert, plan, cells, shown in work]
    assert await compute(work) == wanted


@pytest.mark.parametrize(("when", "raise_at", "clear_at"), [("above", "1.25", "0.75"), ("below", "0.75", "1.25")])
async def test_a_value_at_a_bound_reaches_it_and_the_next_fraction_does_not(when, raise_at, clear_at):
    alert = rule(when, raise_at, clear_at)
    upper, lower = (1000, 5000, 1000, 4000), (1000, 3000, 1000, 4000)
    if when == "below":
        upper, lower = lower, upper
    inwards = -1 if when == "above" else 1
    not_quite_up = (1000, upper[1] + inwards, 1000, 4000)
    not_quite_down = (1000, lower[1] - inwards, 1000, 4000)
    cells = [not_quite_up, upper, not_quite_down, lower, not_quite_up, upper, not_quite_down, not_quite_up]
    assert await compute([(alert, RATIO, cells, 8)]) == [[0, 1, 1, 0, 0, 1, 1, 1]]


async def test_a_window_without_a_value_leaves_the_state():
    none = [(0, 0, 0, 0), (5, 5, 5, 0), (0, 0, 5, 5), (5, 0, 0, 0)]
    high, low = (10, 20, 10, 10), (10, 5, 10, 10)
    cells = [*none, high, *none, low, *none]
    assert await compute([(rule(), RATIO, cells, 14)]) == [[0] * 4 + [1] * 5 + [0] * 5]
    netted_out = [(7, 9, 7, 9), (7, 9, 14, 0), (7, 9, 7, -9), (7, 9, 14, 0), (7, -20, 7, -9)]
    assert await compute([(rule("above", "1", "-1"), NET, netted_out, 5)]) == [[1, 1, 0, 0, 1]]


async def test_the_extremes_of_declared_numbers_are_exact():
    days, most = 7 * PANES * PATIENTS, AMOUNT * PANES * PATIENTS
    highest, lowest = (1, most, days, -most), (days, -most, 1, most)
    top = Fraction(most) + Fraction(most, days)
    limit = str(int(top * 487 / 1600))
    assert len(limit) == 12
    alerts = [rule("above", limit, "-" + limit), rule("below", "-" + limit, limit)]
    one_more = [rule("above", str(int(limit) + 1), "0"), rule("below", f"-{int(limit) + 1}", "0")]
    cells = [lowest, highest, lowest, highest, (days, 0, days, 0)]
    assert await compute([(a, DIFFERENCE, cells, 5) for a in (*alerts, *one_more)]) == [
        [0, 1, 0, 1, 1], [1, 0, 1, 0, 0], [0] * 5, [0] * 5,
    ]
    visits = 40 * PANES * PATIENTS
    busy = [(1, visits, days, 1), (days, 1, 1, visits)] * 2
    ratio = f"{visits * days}"
    assert await compute([
        (rule("above", ratio, "0.000001"), RATIO, busy, 4), (rule("above", str(int(ratio) + 1), "0.000001"), RATIO, busy, 4),
    ]) == [[1, 0, 1, 0], [0] * 4]


async def test_long_histories_go_in_slices(monkeypatch):
    monkeypatch.setattr(tail_alerts, "CELLS_AT_ONCE", 4)
    rng = np.random.default_rng(4)
    work = [(rule(), RATIO, cells := around(rng, RATIO, rule(), 11), len(cells)) for _ in range(2)]
    assert await compute(work) == [machine(alert, plan, cells) for alert, plan, cells, _ in work]


async def test_nothing_to_show_needs_no_message():
    def lost(*_):
        raise AssertionError

    assert await compute([(rule(), RATIO, [(1, 1, 1, 1)], 0)], tap=lost) == [[]]
    assert await compute([], tap=lost) == []


async def test_states_leave_as_fresh_shares_that_fit_on_a_line_only_together():
    sums = np.array([[10, 20, 10, 10], [10, 5, 10, 10]], dtype=np.int64)
    held = deal(sums, np.random.default_rng(5))
    runs = [
        await run_three(lambda wire: alert_states(
            wire, [AlertBatch(rule(), RATIO, held[wire.number].parts, 2)], PATIENTS, PANES, 30))
        for _ in range(2)
    ]
    for node in range(3):
        assert not set(runs[0][node][0]) & (set(runs[1][node][0]) | {0, 1})
    forged = [runs[0][0][0], runs[0][1][0], [runs[0][2][0][0] ^ 1, runs[0][2][0][1]]]
    with pytest.raises(IntegrityError):
        recombine(forged)


async def test_nodes_open_masked_numbers_only_and_send_the_same_bytes_whatever_the_data(monkeypatch):
    opened, sent = [], []
    real = Vectors.open

    async def open_and_note(self, x):
        found = await real(self, x)
        opened.extend(found.tolist())
        return found

    monkeypatch.setattr(Vectors, "open", open_and_note)
    quiet, busy = [(10, 1, 10, 10)] * 6, [(9, 20, 10, 10), (0, 0, 0, 0), (10, 1, 10, 10)] * 2
    for cells in (quiet, busy):
        sizes = []

        def note(sender, receiver, channel, label, payload, sizes=sizes):
            sizes.append((sender, receiver, channel, label, len(payload)))
            return payload

        await compute([(rule(), RATIO, cells, 3), (rule("below", "0.5", "0.9"), COSTS, cells, 2)], tap=note)
        sent.append(sorted(sizes))
    assert sent[0] == sent[1]
    assert len(opened) > 3 * 2 * 6 * 3
    assert min(opened) > 2 ** (MASK_BITS + 20)
    assert len(set(opened)) == len(opened) // 3


async def test_a_comparison_that_leaves_the_field_is_refused_before_any_message():
    plan = make_plan("mean-difference", limbs=True, scale=(1, 10**60))
    with pytest.raises(PlanError, match="alert a: .* room for 212"):
        await compute([(rule("above", "1", "0"), plan, [(1, 1, 1, 1)], 1)], tap=lambda *_: None)


@pytest.mark.parametrize(("sums", "shown"), [
    (np.zeros((2, 3, 6), np.uint64), 1), (np.zeros((2, 3, 4), np.int64), 1), (np.zeros((2, 3, 4), np.uint64), 4),
    (np.zeros((2, 3, 4), np.uint64), -1), (np.zeros((3, 4), np.uint64), 1),
])
def test_a_batch_of_another_form_is_refused(sums, shown):
    with pytest.raises(ValueError, match=r"expected uint64 \(2, n, 4\)"):
        AlertBatch(rule(), RATIO, sums, shown)
