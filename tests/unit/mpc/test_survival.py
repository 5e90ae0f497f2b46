"""First events on shares: named cases, and random ones against patients taken one by one."""

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from mpc.engine import Engine
from mpc.survival import FirstEventCounts
from policy.sums import FirstEvents
from tests.support.dealing import deal, reveal
from tests.support.wires import run_three

FIRST = FirstEvents(name="f", present="present", event="event", arms=("u", "c"))


async def counts(columns, pieces=None, cells=((),), tap=None):
    """(panes, 2, cells, arms) of columns (panes, rows), opened."""
    panes, rows = columns["present"].shape
    dealt = {name: deal(values, np.random.default_rng(3)) for name, values in columns.items()}

    async def program(wire):
        engine, found = Engine(wire), FirstEventCounts(FIRST, cells, panes, rows)
        for start, stop in pieces or [(0, panes)]:
            for part in (slice(0, rows // 2), slice(rows // 2, rows)):
                mine = {n: shares[wire.number][start:stop, part] for n, shares in dealt.items()}
                await found.add(engine, start, part, mine)
        return found.counts(panes)

    return reveal(await run_three(program, tap=tap))


def of_one(present, event, user=None):
    """n and d by pane of one patient, in the arms of users and comparators."""
    panes = len(present)
    user = np.array(user or [1] * panes)
    columns = {"present": np.array(present), "event": np.array(event), "u": user, "c": 1 - user}
    return {name: values.reshape(panes, 1) for name, values in columns.items()}


@pytest.mark.parametrize(("present", "event", "at_risk", "events"), [
    ([1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]),
    ([1, 1, 1, 1], [0, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 0]),
    ([1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]),
    # Left truncation: at risk from entry on, and what happened before does not count.
    ([0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]),
    ([0, 0, 1, 1], [1, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]),
    # Censoring: who leaves is at risk until then, and again when back without an event that was seen.
    ([1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]),
    ([1, 0, 1, 1], [0, 1, 0, 1], [1, 0, 1, 1], [0, 0, 0, 1]),
    ([1, 1, 0, 1], [0, 1, 0, 1], [1, 1, 0, 0], [0, 1, 0, 0]),
])
async def test_who_is_at_risk_and_who_has_the_first_event(present, event, at_risk, events):
    found = await counts(of_one(present, event))
    assert found[:, 0, 0, 0].tolist() == at_risk
    assert found[:, 1, 0, 0].tolist() == events
    assert not found[..., 1].any()


async def test_person_time_is_split_where_somebody_changes_arm():
    found = await counts(of_one([1, 1, 1, 1], [0, 0, 1, 1], user=[0, 0, 1, 1]))
    assert found[:, 0, 0].tolist() == [[0, 1], [0, 1], [1, 0], [0, 0]]
    assert found[:, 1, 0].tolist() == [[0, 0], [0, 0], [1, 0], [0, 0]]


async def test_an_event_in_neither_arm_is_the_first_all_the_same():
    """In the pane of starting, say: then nobody's time in an arm may be without the risk of that event."""
    columns = of_one([1, 1, 1], [0, 1, 0], user=[0, 0, 1])
    columns["c"][1] = 0
    found = await counts(columns)
    assert found[:, 0, 0].tolist() == [[0, 1], [0, 0], [0, 0]]
    assert not found[:, 1].any()


@pytest.mark.parametrize("pieces", [None, [(0, 1), (1, 4), (4, 12)]])
async def test_many_patients_in_pieces_and_cells(pieces):
    rng = np.random.default_rng(8)
    columns = {name: (rng.random((12, 90)) < part).astype(int) for name, part in (("present", 0.8), ("event", 0.1), ("low", 0.4))}
    arm = rng.integers(0, 3, (12, 90))
    columns |= {"u": (arm == 1).astype(int), "c": (arm == 2).astype(int)}
    expected = np.zeros((12, 2, 2, 2), int)
    for row in range(90):
        for pane in range(12):
            if columns["present"][pane, row]:
                for cell, inside in enumerate((1, columns["low"][pane, row])):
                    for place, name in enumerate("uc"):
                        expected[pane, 0, cell, place] += inside * columns[name][pane, row]
                        expected[pane, 1, cell, place] += inside * columns[name][pane, row] * columns["event"][pane, row]
                if columns["event"][pane, row]:
                    break
    np.testing.assert_array_equal(await counts(columns, pieces, cells=((), ("low",))), expected)


async def test_kaplan_meier_and_log_rank_follow_from_the_numbers():
    """As statsmodels has them of patients who enter late, leave early and stay in their arm."""
    rng = np.random.default_rng(21)
    rows, panes = 150, 20
    entry = rng.integers(0, 8, rows)
    leave = np.minimum(entry + rng.integers(1, 16, rows), panes)
    user = rng.integers(0, 2, rows)
    pane = np.arange(panes)[:, None]
    present = ((entry <= pane) & (pane < leave)).astype(int)
    event = (rng.random((panes, rows)) < np.where(user, 0.06, 0.12)).astype(int)
    found = await counts({"present": present, "event": event, "u": np.tile(user, (panes, 1)), "c": np.tile(1 - user, (panes, 1))})
    n, d = found[:, 0, 0], found[:, 1, 0]

    happened = (present * event).any(axis=0)
    time = np.where(happened, (present * event).argmax(axis=0) + 1, leave)
    for arm, who in enumerate((user == 1, user == 0)):
        curve = SurvfuncRight(time[who], happened[who], entry=entry[who])
        with_events = d[:, arm] > 0
        np.testing.assert_allclose(np.cumprod(1 - d[:, arm] / np.maximum(n[:, arm], 1))[with_events], curve.surv_prob, rtol=1e-12)
        np.testing.assert_array_equal(n[with_events, arm], curve.n_risk)

    total, events = n.sum(axis=1), d.sum(axis=1)
    share = n[:, 0] / np.maximum(total, 1)
    variance = (events * share * (1 - share) * (total - events) / np.maximum(total - 1, 1)).sum()
    chi_square = (d[:, 0] - events * share).sum() ** 2 / variance
    np.testing.assert_allclose(chi_square, survdiff(time, happened, user, entry=entry)[0], rtol=1e-12)


async def test_bytes_are_as_documented_and_do_not_depend_on_what_happens():
    """For the state, the events seen and two arms eight bytes a row and pane; eight for each number."""
    for event in (0, 1):
        ones = np.ones((5, 40), int)
        sent = [0, 0, 0]

        def tap(sender, _receiver, _channel, _label, payload, sent=sent):
            sent[sender] += len(payload)
            return payload

        await counts({"present": ones, "event": ones * event, "u": ones, "c": ones}, tap=tap)
        # Two steps of rows, each with its own sums.
        assert sent == [8 * 4 * 5 * 40 + 2 * 8 * 5 * 2 * 2] * 3
