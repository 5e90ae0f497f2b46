"""Noise in what a node computes, three of them together: against numpy, in its distribution, and that it repeats."""

import asyncio
import math
import random
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from evaluation.compute import Computation
from evaluation.noising import Noising
from mpc.tail.decode import decode
from mpc.tail.recombine import recombine_outputs
from policy.agreement import Draft
from policy.compilation import compile_plans
from policy.kpi import load_kpi
from policy.privacy import GROUPS, NODES_PARTS
from tests.support.runs import PANES, PATIENTS, SLOTS, Shares, ThreeNodes, _values, released, run_terms
from tests.support.wires import run_three

KPIS = ("gp-visit-rate-ratio", "cost-difference-winsorised")
SMALLEST_P = 1e-6
"""A right sampler fails one of these tests once in a million; keys and names are fixed."""
AGREEMENTS = 9
"""So many draws that a variance of two thirds or four thirds is told from the right one five deviations away."""


def agreed(name="small", outputs=("sums",), kpis=KPIS, rho="2", windows=None, **changes):
    """Terms whose KPIs have privacy; every series of an agreement of another name has other noise."""
    terms = run_terms(
        name=name, kpis=list(kpis), recipients=[{"name": "innovation-team", "kpis": list(kpis)}],
        privacy=[{"kpi": kpi, "rho": rho, "delta": "0.000001"} for kpi in kpis], quota={"runs": 100, "rho": "10"},
        windows=windows or {"size": 1, "step": 1}, **changes,
    )
    programs = [load_kpi(kpi).model_copy(update={"outputs": outputs}) for kpi in kpis]
    return terms.model_copy(update={"plans": compile_plans(Draft.model_validate(terms.draft.model_dump()), tuple(programs))})


async def computed(terms, store=Shares, keys=(1, 2, 3)):
    """{(KPI, window, stratum): result} of one attempt from the beginning."""
    windows = terms.draft.lattice.scheduled

    async def program(wire):
        computation = Computation(
            terms, terms.plans, store(terms, wire.number), wire.number, bytes([keys[wire.number]]) * 32
        )
        engines = computation.engines(wire)
        await computation.link(engines)
        await computation.extend(engines, windows)
        released = await computation.opened(engines, await computation.judge(engines, terms.plans, windows))
        assert (released.strata == len(terms.plans[0].strata)).all()
        return await computation.estimate(engines, terms.plans, windows, released)

    nodes, found = await run_three(program), {}
    for position, plan in enumerate(terms.plans):
        shares = [node[position] for node in nodes]
        outputs = recombine_outputs([{n: [int(v, 16) for v in vs] for n, vs in s.outputs.items()} for s in shares])
        cells = zip(shares[0].cells, decode(plan, outputs), strict=True)
        found |= {(plan.kpi, cell.window, cell.stratum): result for cell, result in cells}
    return found


def exact(plan, window, stratum):
    """Sums in numpy of what the made-up shares hold."""
    patient = np.arange(PATIENTS)
    inside = np.ones(PATIENTS) if stratum == 0 else _values(f"income_{stratum}", patient)
    panes = window.stop - window.start
    whole = 100 if plan.cap else 2
    found = {}
    for arm, column in (("exposed", "app_user"), ("comparator", "app_not_yet")):
        of = _values(column, patient) * inside
        found[f"{arm}.time"] = int((of * 7 * panes).sum())
        found[f"{arm}.outcome"] = int((of * min(whole * panes, plan.cap or 10**9)).sum())
    return found


def moved(terms, found):
    """{sum: noise of every window and stratum} by KPI."""
    parts = {}
    for plan in terms.plans:
        for window in terms.draft.lattice.scheduled:
            for stratum in range(len(plan.strata)):
                sums = found[plan.kpi, window.index, stratum].sums
                for name, value in exact(plan, window, stratum).items():
                    parts.setdefault((plan.kpi, name.split(".")[1]), []).append(sums[name] - value)
    return parts


def weights(variance, times):
    """Of the sum of so many discrete Gaussians: its support and probabilities, by convolution."""
    reach = math.ceil(12 * math.sqrt(variance))
    one = np.exp(-np.arange(-reach, reach + 1.0) ** 2 / (2 * variance))
    one /= one.sum()
    whole = one
    for _ in range(times - 1):
        whole = np.convolve(whole, one)
    return np.arange(len(whole)) - len(whole) // 2, whole


def fit(drawn, variance, times):
    """Pearson's chi-square in ten classes of about equal probability."""
    values, probability = weights(variance, times)
    cuts = np.searchsorted(np.cumsum(probability), np.linspace(0.1, 0.9, 9))
    expected = np.add.reduceat(probability, [0, *(cuts + 1)])
    counted = Counter(np.searchsorted(values[cuts], drawn).tolist())
    return stats.chisquare([counted[k] for k in range(10)], expected * len(drawn)).pvalue


@pytest.mark.parametrize("outputs", [("sums",), ("sums", "value", "interval")])
async def test_sums_come_out_with_noise_of_the_declared_distribution(outputs):
    """Windows of one pane, so that every sum has draws of its own: parts of three nodes, in every group."""
    drawn, plans = {}, ()
    for number in range(AGREEMENTS):
        terms = agreed(f"agreement-{number}", outputs)
        plans = terms.plans
        for key, values in moved(terms, await computed(terms)).items():
            drawn.setdefault(key, []).extend(values)
    squares, number = 0.0, 0
    for plan in plans:
        groups = GROUPS if "interval" in outputs else 1
        assert plan.groups == groups
        for family, part in enumerate(("time", "outcome")):
            variance, values = float(plan.noise[family].variance / 2), drawn[plan.kpi, part]
            assert len(values) == AGREEMENTS * PANES * 6 * 2
            squares += sum(value**2 for value in values) / (3 * groups * variance)
            number += len(values)
            if variance < 10**6:
                assert fit(values, variance, 3 * groups) > SMALLEST_P
                assert fit(values, 4 * variance, 3 * groups) < SMALLEST_P
            else:  # a cap in cents: too wide to convolve, and as good as normal
                scaled = np.array(values, float) / math.sqrt(3 * groups * variance)
                assert stats.kstest(scaled, "norm").pvalue > SMALLEST_P
                assert stats.kstest(scaled / 3, "norm").pvalue < SMALLEST_P
    # All together: the noise of two nodes alone, or of a group less, would be noticed.
    assert min(stats.chi2.cdf(squares, number), stats.chi2.sf(squares, number)) > SMALLEST_P
    for wrong in (2 / 3, 4 / 3):
        assert min(stats.chi2.cdf(squares * wrong, number), stats.chi2.sf(squares * wrong, number)) < SMALLEST_P


async def test_windows_that_overlap_have_the_noise_of_what_they_share():
    """Of windows of two weeks: the draws of their blocks, in every attempt and whatever else is computed."""
    terms = agreed(windows={"size": 2, "step": 1}, kpis=KPIS[:1], rho="0.5")
    found = await computed(terms)
    assert found == await computed(terms)
    assert found != await computed(terms, keys=(1, 2, 4))
    (plan,), windows = terms.plans, terms.draft.lattice.scheduled
    wanted = [(window, 0) for window in (windows[4], windows[1])]

    async def program(wire):
        computation = Computation(terms, terms.plans, Shares(terms, wire.number), wire.number, bytes(32))
        noising = Noising(terms, bytes([wire.number + 1]) * 32)
        engine = computation.engines(wire).main
        return await engine.open((await noising.of(engine, plan, 0, wanted)).sum(axis=1))

    opened, *_ = await run_three(program)
    for row, (window, stratum) in zip(opened.view(np.int64), wanted, strict=True):
        sums = found[plan.kpi, window.index, stratum].sums
        assert [sums[n] - exact(plan, window, stratum)[n] for n in plan.sums] == row.tolist()


class Chance(Shares):
    """Patients who differ: visits by chance, so that there is something to be unsure of."""

    def __init__(self, terms, number, seed=5):
        super().__init__(terms, number, seed)
        rng = np.random.default_rng(seed + 1)
        self._panes["gp_visits"] = self._panes["gp_visits"] * rng.integers(0, 4, SLOTS).astype(np.uint64)


async def test_an_interval_is_that_of_groups_and_holds_the_noise():
    """Without noise to speak of, the delta method over random groups in numpy; with much, it covers what is true."""
    terms = agreed("wide", ("sums", "value", "interval"), KPIS[:1], rho="900")
    found = await computed(terms, Chance)
    result = found[KPIS[0], 0, 0]
    assert result.low < result.value < result.high
    narrow = math.log(result.high / result.low)
    sums = result.sums
    ratio = sums["exposed.outcome"] * sums["comparator.time"] / (sums["comparator.outcome"] * sums["exposed.time"])
    assert math.isclose(result.value, ratio, rel_tol=1e-5)
    noisy = await computed(agreed("wide", ("sums", "value", "interval"), KPIS[:1], rho="90"), Chance)
    wide = [
        math.log(each.high / each.low) for (_, _, stratum), each in noisy.items() if stratum == 0 and each.low is not None
    ]
    assert np.median(wide) > narrow


@pytest.mark.parametrize("estimator", ["rate-ratio", "mean-difference"])
def test_intervals_cover_as_often_as_they_say(estimator):
    """Simulated in numpy with the formulas of the tail and `decode`: patients by chance, noise in every group."""
    rng = np.random.default_rng(8)
    plan = agreed("cover", ("value", "interval"), KPIS[:1] if estimator == "rate-ratio" else KPIS[1:]).plans[0]
    covered, rounds, patients, sigma = 0, 2_000, 4_000, 60.0
    for _ in range(rounds):
        arm, visits = rng.integers(0, 2, patients), rng.negative_binomial(1, 0.3, patients)
        sums = np.zeros((plan.groups, 4))
        group = rng.permutation(patients) % plan.groups
        for column, part in enumerate((7 * (arm == 0), visits * (arm == 0), 7 * (arm == 1), visits * (arm == 1))):
            sums[:, column] = np.bincount(group, part, plan.groups)
        sums += rng.normal(0, sigma, sums.shape) * math.sqrt(NODES_PARTS)
        (tu, yu, tc, yc), (a, b, c, d) = sums.sum(axis=0), sums.T
        if estimator == "rate-ratio":
            value, truth = yu * tc / (yc * tu), 1.0
            variance = ((b / yu - a / tu - d / yc + c / tc) ** 2).sum()
        else:
            value, truth = yu / tu - yc / tc, 0.0
            variance = ((b / tu - yu * a / tu**2 - d / tc + yc * c / tc**2) ** 2).sum()
        outputs = {n: [1] for n in ("value.mantissa", "variance.mantissa")} | {
            n: [0] for n in ("value.exponent", "variance.exponent")
        }
        for name, number in (("value", value), ("variance", variance)):
            mantissa, exponent = math.frexp(number)
            outputs[f"{name}.mantissa"], outputs[f"{name}.exponent"] = [round(mantissa * 2**40)], [exponent - 40]
        (result,) = decode(plan.model_copy(update={"scale_numerator": 1, "scale_denominator": 1}), outputs)
        covered += result.low <= truth <= result.high
    assert 0.935 < covered / rounds < 0.965


async def test_alerts_beside_estimates_have_noise_whoever_is_faster(monkeypatch):
    """Nodes draw at a pace of their own; what one computes first another computes last."""
    source, waited = random.Random(4), asyncio.to_thread

    async def paced(work):
        await asyncio.sleep(source.random() / 5)
        found = await waited(work)
        await asyncio.sleep(source.random() / 5)
        return found

    monkeypatch.setattr("mpc.noise.asyncio.to_thread", paced)
    alerts = [
        {"id": f"alert-{bound}", "kpi": KPIS[0], "cell": {}, "recipient": "innovation-team", "when": "above",
         "raise_at": f"{bound + 1}.0", "clear_at": f"{bound}.0"}
        for bound in (1, 3)
    ]
    nodes = ThreeNodes(agreed("watched", kpis=KPIS[:1], alerts=alerts), most_windows=2)
    await nodes.work_on()
    assert all(node.desk.over for node in nodes.nodes)
    assert len(released(nodes)) == PANES * 6
