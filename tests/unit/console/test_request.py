"""How a request ends, from what the nodes said and what came out of it; and how that is told."""

import io
import json
from datetime import UTC, datetime

import pytest
from rich.console import Console

from console.asking import example
from console.evaluate import how_to_ask
from console.request import outcome_of
from console.requested import Outcome, Verdict, present_outcome, present_verdicts
from console.schedule import present_awaited, present_schedule
from console.workdir import WorkDir
from evaluation.account import Account
from evaluation.awaited import waits
from evaluation.records import Answered, Awaiting, Done, Lacking, Missed, Refused, Skipped, Suppressed
from evaluation.schedule import timetable
from policy.kpi import load_kpi
from policy.request import new_demand
from tests.support.terms import make_terms

REQUEST, RUN = "ab" * 32, "cd" * 32
KPI = "cost-difference"
NOON = datetime(2024, 6, 3, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def terms():
    return make_terms(on_demand={"largest": 8}, requesters=[{"name": "ann", "recipient": "innovation-team", "runs": 3}])


class Asking:
    """A request for panes 1 to 7, and an account to fill."""

    def __init__(self, terms, kpis=(KPI,)):
        self.terms, self.account = terms, Account(terms, "innovation-team")
        self.demand = new_demand(terms, "ann", kpis, 1, 7)
        self.window = terms.draft.lattice.at(1, 7).index

    def answered(self, *nodes, outcome="run"):
        for node in nodes:
            self.account.add_record(Answered(
                agreement=self.terms.hash, node=node, request=REQUEST, requester="ann", outcome=outcome, run=RUN,
                window=self.window, kpis=self.demand.kpis,
            ))

    def refused(self, *nodes, request=REQUEST, rule="requester-quota"):
        for node in nodes:
            self.account.add_record(Refused(
                agreement=self.terms.hash, node=node, run=None, windows=(), rule=rule, found="3 new runs used",
                required="fewer than 3", next_step="wait", request=request,
            ))

    def done(self, *nodes, kpi=KPI, released=()):
        plan = next(p for p in self.terms.plans if p.kpi == kpi)
        hidden = tuple(
            Suppressed(kpi=kpi, window=self.window, cell=s.cell, rule="minimum-cohort", required="at least 3")
            for s in plan.strata if s.cell not in released
        )
        for node in nodes:
            self.account.add_record(Done(
                agreement=self.terms.hash, node=node, run=RUN, windows=(self.window,), sequence=2, seconds={},
                kpis=(kpi,), suppressed=hidden, released=len(released),
            ))

    def end(self):
        return outcome_of(self.account, self.terms, self.demand, REQUEST, self.account.answer(REQUEST))


def test_it_ends_when_two_nodes_answered_and_ended_everything_asked_for(terms):
    asking = Asking(terms, [p.kpi for p in terms.plans])
    assert asking.end() is None
    asking.answered(0, 1)
    assert asking.end() is None
    asking.done(0, 1, 2)
    assert asking.end() is None
    asking.done(0, kpi="gp-visit-rate-ratio")
    assert asking.end() is None
    asking.done(2, kpi="gp-visit-rate-ratio")
    found = asking.end()
    assert (found.status, found.outcome, found.run) == ("suppressed", "run", RUN)
    assert (found.window.start.isoformat(), found.window.end.isoformat()) == ("2024-01-08", "2024-02-19")
    assert len(found.refusals) == 12
    assert {r.rule for r in found.refusals} == {"minimum-cohort"}
    assert all(r.found is None for r in found.refusals)


def test_it_does_not_end_before_the_results_are_here(terms):
    asking = Asking(terms)
    asking.answered(0, 1, 2)
    asking.done(0, 1, 2, released=({},))
    assert asking.end() is None


def test_what_one_node_says_is_no_end(terms):
    asking = Asking(terms)
    asking.refused(1)
    asking.answered(0)
    asking.done(0)
    assert asking.end() is None


def test_two_refusals_are_an_end_that_names_rule_and_next_step(terms):
    asking = Asking(terms)
    asking.refused(0, 2)
    found = asking.end()
    assert found.status == "refused"
    assert found.verdicts == (Verdict(
        rule="requester-quota", passes=False, found="3 new runs used", required="fewer than 3", next_step="wait",
        nodes=(0, 2),
    ),)


def test_an_agreement_that_ended_ends_a_request_too(terms):
    asking = Asking(terms)
    asking.refused(0, request=None, rule="agreement-active")
    assert asking.end() is None
    asking.refused(1, request=None, rule="agreement-active")
    assert [(v.rule, v.nodes) for v in asking.end().verdicts] == [("agreement-active", (0, 1))]


RELEASED = Outcome.model_validate({
    "status": "released", "requester": "ann", "kpis": [KPI], "request": REQUEST, "outcome": "released", "run": RUN,
    "window": {"start": "2024-01-08", "end": "2024-02-19"},
    "releases": [
        {"kpi": KPI, "window": {"start": "2024-01-08", "end": "2024-02-19"}, "cell": {}, "output": "value",
         "value": -44.5, "low": -90.25, "high": 1.25, "unit": "EUR/patient-month", "on_demand": True},
        {"kpi": KPI, "window": {"start": "2024-01-08", "end": "2024-02-19"}, "cell": {}, "output": "sums.exposed.time",
         "value": 12345, "unit": "days", "on_demand": True},
    ],
    "refusals": [{"kpi": KPI, "window": {"start": "2024-01-08", "end": "2024-02-19"}, "cell": {"income": "1"},
                  "rule": "minimum-cohort", "required": "at least 3", "nodes": [0, 1, 2]}],
})


def printed(show, *arguments):
    out = io.StringIO()
    show(*arguments, Console(file=out, width=140))
    return out.getvalue()


def test_a_released_value_is_printed_with_interval_sums_gaps_and_quota():
    text = printed(present_outcome, RELEASED, [load_kpi(KPI)])
    assert "8 Jan – 18 Feb 2024" in text
    assert "−€44.50" in text
    assert "−€90.25 to €1.25" in text
    assert "12,345 days" in text
    assert "too few patients" in text
    assert "no quota was used" in text


def test_only_the_cells_asked_for_are_printed_and_decide_the_status():
    assert RELEASED.only(({},)).status == "released"
    assert RELEASED.only(({},)).refusals == ()
    hidden = RELEASED.only(({"income": "1"},))
    assert (hidden.status, hidden.releases, len(hidden.refusals)) == ("suppressed", (), 1)
    assert RELEASED.only(()) == RELEASED


def test_verdicts_of_every_rule_are_printed():
    verdicts = (
        Verdict(rule="requester-known", passes=True),
        Verdict(rule="quota", passes=False, found="9 runs used", required="fewer than 9", next_step="agree on more"),
    )
    text = printed(present_verdicts, verdicts)
    assert "yes requester-known" in text
    assert "no  quota: the agreed number of runs is used up" in text
    assert "found 9 runs used; required fewer than 9; next: agree on more" in text
    assert "Nothing was sent. 1 rule refuses" in text
    assert "No rule refuses" in printed(present_verdicts, verdicts[:1])


def test_the_outcome_is_one_json_document():
    assert Outcome.model_validate(json.loads(RELEASED.model_dump_json())) == RELEASED


def test_the_table_says_what_ran_late_and_what_did_not_run_and_why(terms):
    says = {"agreement": terms.hash}
    records = [
        *(Done(**says, node=j, run=RUN, windows=(0,), sequence=1, seconds={}, late="node 1 was away" if j != 1 else None)
          for j in range(3)),
        *(Missed(**says, node=j, windows=(1,), reason="node 2 is away", since=None) for j in (0, 1)),
        *(Skipped(**says, node=j, windows=(2,), reason="a request released it") for j in (0, 1)),
        *(Refused(**says, node=j, run=None, windows=(3,), rule="quota", found=None, required="x", next_step="y") for j in (0, 1)),
    ]
    text = printed(present_schedule, timetable(terms, records, None))
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "ran late" in lines["1 Jan – 28 Jan 2024"]
    assert "nodes 0, 2: node 1 was away" in lines["1 Jan – 28 Jan 2024"]
    assert "missed so far" in lines["8 Jan – 4 Feb 2024"]
    assert "skipped" in lines["15 Jan – 11 Feb 2024"]
    assert "quota" in lines["22 Jan – 18 Feb 2024"]
    assert "9 windows: 1 ran, 5 waits for its panes, 1 missed so far, 1 skipped, 1 refused." in text


def test_the_command_that_serving_proposes_is_one_that_the_agreement_admits(terms, tmp_path):
    kpi, window = example(terms, terms.draft.requesters[0])
    # Twelve weeks from 1 January end on 25 March; eight weeks before that is 29 January.
    assert (kpi, window) == ("gp-visit-rate-ratio", "2024-01-29/2024-03-25")
    said = how_to_ask(WorkDir(tmp_path / "a folder", terms))
    assert f"--config '{tmp_path}/a folder/ann/config.toml' --kpi {kpi} --window {window}\n" in said
    assert how_to_ask(WorkDir(tmp_path, make_terms())) == ""
    plain = make_terms(requesters=[{"name": "ann", "recipient": "innovation-team", "runs": 3}])
    assert example(plain, plain.draft.requesters[0])[1] == "2024-02-26/2024-03-25"




def test_the_schedule_says_which_batch_of_whom_nodes_wait_for_and_what_to_do(terms):
    pane = {"party": "insurer", "pane": 1, "revision": 0, "window": 0}
    words = [
        Awaiting(agreement=terms.hash, node=node, said_at=NOON, lacking=(
            Lacking(party="hospital", shard=0, batch=0, window=1), *([Lacking(shard=0, **pane)] if node else []),
        )) for node in range(2)
    ]
    text = " ".join(printed(present_awaited, waits(terms.draft, words)).split())
    assert "Nodes 0, 1 wait for batch 0 of the register of hospital, shard 0: expected 8 Jan 2024" in text
    assert "Node 1 waits for the pane of 2024-01-08 of insurer, shard 0: expected 29 Jan 2024, needed for 1 Jan – 28 Jan 2024." in text
    assert text.endswith("Ask these parties whether their workers run and what they wait for: winnow figures.")
    assert printed(present_awaited, ()).strip() == ""
