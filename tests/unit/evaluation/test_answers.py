"""What two of three nodes say about a request, and what an account makes of it."""

import pytest

from evaluation.account import Account
from evaluation.answers import MAX_REQUESTS, Answers
from evaluation.records import Answered, Done, Refused, Suppressed
from tests.support.terms import make_terms

REQUEST, RUN = "ab" * 32, "cd" * 32


@pytest.fixture(scope="module")
def terms():
    return make_terms(on_demand={"largest": 8}, requesters=[{"name": "ann", "recipient": "innovation-team", "runs": 3}])


def answered(terms, node, outcome="run", request=REQUEST, run=RUN, window=3, kpis=("cost-difference",)):
    return Answered(agreement=terms.hash, node=node, request=request, requester="ann", outcome=outcome, run=run,
                    window=window, kpis=kpis)


def refused(terms, node, rule="requester-quota", request=REQUEST):
    return Refused(agreement=terms.hash, node=node, run=None, windows=(), rule=rule, found="3", required="2",
                   next_step="wait", request=request)


def told(*records):
    answers = Answers()
    for record in records:
        answers.add(record)
    return answers


def test_two_nodes_are_believed(terms):
    assert told(answered(terms, 0)).about(REQUEST).outcome is None
    found = told(answered(terms, 0), answered(terms, 2), answered(terms, 1, "joined", run="ef" * 32)).about(REQUEST)
    assert (found.outcome, found.run, found.admitted, found.refused) == ("run", RUN, (0, 1, 2), ())
    assert told().about(REQUEST).admitted == ()


def test_the_latest_word_of_a_node_counts(terms):
    found = told(answered(terms, 0), answered(terms, 1), refused(terms, 1), refused(terms, 0)).about(REQUEST)
    assert (found.outcome, [r.node for r in found.refused]) == (None, [0, 1])


def test_a_node_cannot_fill_the_memory(terms):
    answers = told(*(answered(terms, 0, request=f"{i:064x}") for i in range(MAX_REQUESTS + 5)))
    assert answers.about(f"{MAX_REQUESTS - 1:064x}").admitted == (0,)
    assert answers.about(f"{MAX_REQUESTS:064x}").admitted == ()


def test_an_account_counts_new_runs_and_what_they_cover(terms):
    account = Account(terms, "innovation-team")
    for j in range(2):
        account.add_record(answered(terms, j))
        account.add_record(answered(terms, j, "released", request="11" * 32, window=4))
        account.add_record(refused(terms, j, request="22" * 32))
    account.add_record(answered(terms, 0, request="33" * 32, window=5))
    assert account.runs_used("ann") == 1
    assert account.runs_used("bob") == 0
    assert account.covered() == {("cost-difference", 3), ("cost-difference", 4)}
    assert account.answer("22" * 32).refused[0].rule == "requester-quota"
    assert account.document().refusals == ()
    assert account.document().status == "running"


def hidden(terms, window, kpi):
    plan = next(p for p in terms.plans if p.kpi == kpi)
    return tuple(Suppressed(kpi=kpi, window=window, cell=s.cell, rule="minimum-cohort", required="3") for s in plan.strata)


def test_a_window_asked_for_is_settled_when_what_came_out_of_it_is_here(terms):
    account = Account(terms, "innovation-team")
    index = terms.draft.lattice.at(0, 8).index
    assert not account.settled("cost-difference", index)
    for node in (0, 1):
        assert not account.settled("cost-difference", index)
        account.add_record(Done(agreement=terms.hash, node=node, run=RUN, windows=(index,), sequence=2, seconds={},
                                kpis=("cost-difference",), suppressed=hidden(terms, index, "cost-difference")))
    assert account.settled("cost-difference", index)
    assert not account.settled("gp-visit-rate-ratio", index)
    assert account.complete_panes == 8
    assert account.progress == (0, 9)
    document = account.document()
    assert {r.window.end.isoformat() for r in document.refusals} == {"2024-02-26"}
    assert not account.complete


def test_what_a_run_released_is_waited_for(terms):
    account = Account(terms, "innovation-team")
    index = terms.draft.lattice.at(0, 8).index
    for node in (0, 1, 2):
        account.add_record(Done(agreement=terms.hash, node=node, run=RUN, windows=(index,), sequence=2, seconds={},
                                kpis=("cost-difference",), released=6))
    assert not account.settled("cost-difference", index)


def test_kpis_or_windows_that_the_agreement_lacks_are_left(terms):
    account = Account(terms, "innovation-team")
    for change in ({"kpis": ("made-up",)}, {"windows": (10**6,)}):
        for node in range(3):
            account.add_record(Done(**{"agreement": terms.hash, "node": node, "run": RUN, "windows": (0,), "sequence": 2,
                                       "seconds": {}, **change}))
    assert account.document().runs == ()


def test_a_request_for_one_kpi_does_not_end_a_scheduled_window(terms):
    account = Account(terms, "innovation-team")
    for node in range(3):
        account.add_record(Done(agreement=terms.hash, node=node, run=RUN, windows=(0,), sequence=2, seconds={},
                                kpis=("cost-difference",), suppressed=hidden(terms, 0, "cost-difference")))
    assert account.progress == (0, 9)
    for node in range(3):
        account.add_record(Done(agreement=terms.hash, node=node, run="ee" * 32, windows=(0,), sequence=3, seconds={},
                                kpis=("gp-visit-rate-ratio",), suppressed=hidden(terms, 0, "gp-visit-rate-ratio")))
    assert account.progress == (1, 9)
    assert account.document().schedule[0].state == "ran"


def test_suppressed_windows_with_one_start_are_told_apart(terms):
    """A window asked for may begin where a scheduled one does."""
    account = Account(terms, "innovation-team")
    index = terms.draft.lattice.at(0, 8).index
    for run, window in (("aa" * 32, 0), ("bb" * 32, index)):
        for node in range(3):
            account.add_record(Done(agreement=terms.hash, node=node, run=run, windows=(window,), sequence=2, seconds={},
                                    suppressed=hidden(terms, window, "cost-difference")))
    ends = [r.window.end.isoformat() for r in account.document().refusals]
    assert sorted(ends) == ["2024-01-29"] * 6 + ["2024-02-26"] * 6
