"""Requesters who ask for what they expect to be refused, to learn from the refusals how many there are in a small cell.

They work together, choose each window by the answers before, and note everything that anybody may see. In one week of the
cohort only a few of the app's users visited the doctor: how few, they want to know.
"""

import numpy as np
import pytest

from evaluation.records import Done, Refused
from mpc.engine import Engine
from tests.support import runs
from tests.support.asking import READER, Asking
from tests.support.runs import PANES, released

MINIMUM = 3
THIN = 3
"""The pane of which they want to know."""
KPI, OTHER = "gp-visit-rate-ratio", "cost-difference"
EACH = 4
"""New runs of each requester."""
VALUES = runs._values


def world(few, monkeypatch, requesters=3):
    """Three nodes; in the pane THIN `few` of the app's users visited the doctor, in the others all of them."""
    def values(column, patient):
        if column not in ("gp_visits", "gp_any"):
            return VALUES(column, patient)
        visits = np.full((PANES, len(patient)), 2)
        visits[THIN, (patient % 2 == 1) & (patient >= 2 * few)] = 0
        return visits if column == "gp_visits" else (visits != 0).astype(np.int64)

    monkeypatch.setattr(runs, "_values", values)
    return Asking(
        requesters=requesters, runs=EACH, on_demand={"largest": 4}, windows={"size": 1, "step": 1},
        disclosure={"minimum_cohort": MINIMUM},
    )


@pytest.fixture
def opened(monkeypatch):
    """How often nodes opened anything."""
    found, said = [], Engine._opened

    def watched(self, words):
        found.append(words.size)
        return said(self, words)

    monkeypatch.setattr(Engine, "_opened", watched)
    return found


class Attackers:
    """What they ask for, and all that they see of it."""

    def __init__(self, asking):
        self.asking, self.seen, self.asked = asking, [], 0

    async def begin(self):
        await self.asking.nodes.work_on()
        return self

    async def ask(self, span, kpis=(KPI,), requester=0, stop_at=None):
        """Ask, wait, and note what nodes say; whether something of it was withheld, None if nothing was computed."""
        self.asked += 1
        demand = self.asking.demand(*span, kpis=kpis, requester=f"analyst-{requester}", nonce=f"{self.asked:064x}")
        digest = self.asking.ask(demand)
        await self.asking.all_hear()
        await self.asking.nodes.work_on()
        said = [self.asking.answers(number)[digest] for number in range(3)]
        (answer,) = said[0]
        assert all(len(each) == 1 for each in said)
        assert {type(each[0]) for each in said} == {type(answer)}
        window = self.asking.terms.draft.lattice.at(*span)
        if isinstance(answer, Refused):
            self.seen.append((span, kpis, requester, answer.rule, answer.found, answer.required, answer.next_step))
            return None
        withheld = self.withheld(window.index)
        self.seen.append((span, kpis, requester, answer.outcome, *withheld, *self.figures(window.index)))
        return any(kpi in kpis for kpi, *_ in withheld)

    def withheld(self, window):
        """Which cells of a window are said to be suppressed, by what."""
        return sorted({
            (s.kpi, str(s.cell), s.rule, s.required)
            for record in self.asking.nodes.nodes[0].records if isinstance(record, Done)
            for s in record.suppressed if s.window == window
        })

    def figures(self, window):
        return sorted(
            (kpi, str(cell), str(sums)) for (kpi, at, cell), sums in released(self.asking.nodes).items() if at == window
        )

    async def narrow(self):
        """Ask for long windows; where something is withheld ask for the parts, where not slide on. Until nothing is new."""
        todo = [(start, start + 4) for start in range(PANES - 3)]
        done, requester = set(), 0
        while todo:
            span = todo.pop(0)
            if span in done or self.asking.terms.draft.lattice.at(*span) is None:
                continue
            done.add(span)
            withheld = await self.ask(span, requester=requester)
            if withheld is None and requester < 2:
                requester += 1  # this one's quota is spent: the next one goes on where it stopped
                withheld = await self.ask(span, requester=requester)
            start, stop = span
            if withheld:
                todo[:0] = [(start, start + (stop - start) // 2), (start + (stop - start) // 2, stop), (start + 1, stop)]
            else:
                todo.append((start + 1, stop))
        return self


def charged(asking):
    """Runs that the chain counted for each requester, and those that nodes did."""
    addresses = {identity.address: identity.name for identity in asking.terms.requesters}
    counted = {}
    for run, asker in asking.nodes.chain.askers.items():
        if asker is not None and run in asking.nodes.chain.runs:
            counted[addresses[asker]] = counted.get(addresses[asker], 0) + 1
    return counted, dict(asking.nodes.nodes[0].state.ledger.used)


async def test_who_chooses_by_refusals_sees_the_same_whatever_the_small_number_is(monkeypatch):
    """One patient or two: everything that adaptive requesters ever see is equal to the letter."""
    seen = []
    for few in (1, 2):
        attackers = await (await Attackers(world(few, monkeypatch)).begin()).narrow()
        seen.append(attackers.seen)
        rules = {step[3] for step in attackers.seen}
        assert {"run", "requester-quota"} <= rules, rules  # they did come to both
        over = [step for step in attackers.seen if step[3] == "run" and step[0][0] <= THIN < step[0][1]]
        assert len(over) >= 3
        for step in over:
            assert (KPI, "{}", "minimum-cohort") in [part[:3] for part in step[4:]]
            assert not any(part[0] == KPI for part in step[4:] if len(part) == 3), "nothing of it came out"
    assert seen[0] == seen[1]


async def test_enough_patients_change_what_comes_out_and_no_refusal_by_a_rule(monkeypatch):
    """What depends on data is the release bit of a run that was charged; a rule's refusal is the same in every world."""
    spans = [(0, 4), (2, 4), (3, 4), (0, 5), (0, 2), (2, 6), (1, 5), (3, 5), (4, 6), (0, 4)]
    by_rule, by_run = [], []
    for few in (MINIMUM - 1, MINIMUM):
        attackers = await Attackers(world(few, monkeypatch, requesters=1)).begin()
        for span in spans:
            await attackers.ask(span)
        await attackers.ask((0, 2), kpis=("no-such-kpi",))
        by_rule.append([step for step in attackers.seen if step[3] not in ("run", "released")])
        by_run.append([step for step in attackers.seen if step[3] in ("run", "released")])
        assert charged(attackers.asking) == ({"analyst-0": EACH}, {"analyst-0": EACH})
    assert by_rule[0] == by_rule[1]
    assert {step[3] for step in by_rule[0]} >= {"requester-quota", "window-on-lattice", "kpis-permitted"}
    few, enough = by_run
    assert few != enough
    assert all((one == other) == (not one[0][0] <= THIN < one[0][1]) for one, other in zip(few, enough, strict=True))


async def test_asking_again_gives_the_recorded_answer_opens_nothing_and_costs_nothing(monkeypatch, opened):
    attackers = await Attackers(world(2, monkeypatch)).begin()
    for span in ((2, 4), (0, 2)):
        await attackers.ask(span)
    first = [step[4:] for step in attackers.seen]
    spent, before, sent = charged(attackers.asking), len(opened), len(attackers.asking.nodes.nodes[0].sent)
    for requester in (0, 1, 2, 0, 1, 2):
        for place, span in enumerate(((2, 4), (0, 2))):
            await attackers.ask(span, requester=requester)
            assert attackers.seen[-1][3] == "released"
            assert attackers.seen[-1][4:] == first[place]
    assert charged(attackers.asking) == spent == ({"analyst-0": 2}, {"analyst-0": 2})
    assert len(opened) == before
    assert len(attackers.asking.nodes.nodes[0].sent) == sent


async def test_what_a_rule_refuses_was_never_looked_at(monkeypatch, opened):
    """No share is opened, and no run authorised, for a request that a rule refuses: so no refusal can depend on data."""
    attackers = await Attackers(world(2, monkeypatch, requesters=1)).begin()
    for span in ((0, 4), (1, 4), (2, 4), (2, 5)):
        await attackers.ask(span)
    assert [step[3] for step in attackers.seen] == ["run"] * EACH
    before, runs_before = len(opened), dict(attackers.asking.nodes.chain.runs)
    for span in ((3, 5), (1, 5), (3, 6), (0, 5), (0, 6)):
        assert await attackers.ask(span) is None
        assert attackers.seen[-1][3] in {"requester-quota", "window-on-lattice"}
    assert len(opened) == before
    assert attackers.asking.nodes.chain.runs == runs_before


async def test_a_second_kpi_of_the_same_window_tells_no_more_of_the_first(monkeypatch):
    """Costs of the thin week come out, as they have contributors; visits stay in, whichever KPI is asked for first."""
    seen = []
    for few in (1, 2):
        for kpis in (((OTHER,), (KPI,), (KPI, OTHER)), ((KPI,), (OTHER,), (KPI, OTHER))):
            attackers = await Attackers(world(few, monkeypatch)).begin()
            for each in kpis:
                await attackers.ask((2, 4), kpis=tuple(sorted(each)))
            window = attackers.asking.terms.draft.lattice.at(2, 4).index
            seen.append((attackers.withheld(window), attackers.figures(window)))
            assert {kpi for kpi, *_ in attackers.figures(window)} == {OTHER}
            assert attackers.seen[-1][3] == "released"
    assert all(each == seen[0] for each in seen)
    assert READER in {name for name, _ in attackers.asking.nodes.nodes[0].sent}
