"""A cheating node or party against a recipient: everything it signs is signed well."""

import pytest

from evaluation.account import MAX_PENDING, Account
from evaluation.errors import Tampered
from evaluation.records import Done, Events, Refused, Suppressed, open_record, seal_record
from evaluation.results import KpiShares, ReleasedCell, ResultShares, open_result, seal_result
from mpc.errors import IntegrityError, MpcError
from tests.support.runs import RECIPIENT_KEY, RECORD_KEYS, ThreeNodes

ME = "innovation-team"
CHEAT = 2


@pytest.fixture(scope="module")
def run():
    """Two honest runs, the linkage included: (terms, records, results by node)."""
    import asyncio

    async def work():
        nodes = ThreeNodes()
        outcomes = [*await nodes.attempt(), *await nodes.attempt(0, due=5)]
        return nodes.terms, [o.done for o in outcomes], [o.sealed[ME] for o in outcomes if o.sealed]

    return asyncio.run(work())


def opened(terms, sealed):
    return [open_result(m, ME, RECIPIENT_KEY, terms) for m in sealed]


def events(terms):
    return [
        Events(agreement=terms.hash, party=p.name, final=True, read=1, accepted=1, rejected={}, late_pending=0)
        for p in terms.draft.parties
    ]


def ended(terms, records, results, lies=()):
    """The account after the cheat's lies, then all that is true."""
    account = Account(terms, ME)
    for lie in lies:
        account.add_record(open_record(seal_record(lie, RECORD_KEYS[CHEAT]), terms))
    for item in [*records, *events(terms)]:
        account.add_record(item)
    for item in opened(terms, results):
        account.add_result(item)
    return account


def test_the_honest_run_ends(run):
    account = ended(*run)
    assert account.complete
    assert account.document().status == "released"


@pytest.mark.parametrize("lie", ["other-windows", "made-up-run", "made-up-release", "refusal", "everything"])
def test_one_node_cannot_hold_up_or_change_the_account_of_the_others(run, lie):
    """It knows the run's id before the others publish, so it speaks first, and of windows or runs that are not."""
    terms, records, results = run
    true = next(r for r in records if r.node == CHEAT and r.windows)
    lies = {
        "other-windows": [true.model_copy(update={"windows": (0,)})],
        "made-up-run": [true.model_copy(update={"run": "f" * 64})],
        "made-up-release": [true.model_copy(update={"suppressed": ()})],
        "refusal": [
            Refused(agreement=terms.hash, node=CHEAT, run=None, windows=windows, rule="agreement-active", found=None,
                    required="active", next_step="") for windows in ((), (0, 1), true.windows)
        ],
    }
    lies["everything"] = [x for each in lies.values() for x in each]
    honest, lied_to = ended(*run), ended(terms, records, results, lies[lie])
    assert lied_to.complete
    assert lied_to.document() == honest.document()
    assert len(lied_to.document().runs) == 2


def test_a_million_made_up_runs_and_results_are_not_remembered(run):
    terms, records, results = run
    account = Account(terms, ME)
    for number in range(500):
        done = Done(agreement=terms.hash, node=CHEAT, run=f"{number:064x}", windows=(0,), sequence=1, seconds={})
        account.add_record(done)
        account.add_result(ResultShares(agreement=terms.hash, recipient=ME, node=CHEAT, run=done.run, kpis=()))
    assert len(account._shares) <= MAX_PENDING
    assert len(account._runs) <= 2 * len(terms.draft.lattice.scheduled) + 1
    for item in opened(terms, [m for m in results if m[0] != CHEAT]):
        account.add_result(item)
    assert {*account._shares} >= {records[-1].run}


@pytest.mark.parametrize("change", [
    {"seconds": {"link": -1.0}}, {"sequence": -1}, {"released": -1},
    {"suppressed": ({"kpi": "k", "window": 0, "cell": {}, "rule": "<script>", "required": ""},)},
])
def test_a_node_cannot_end_a_recipient_with_a_record_that_no_document_can_hold(run, change):
    terms, records, _ = run
    body = {**records[-1].model_dump(), "node": CHEAT, **change}
    lie = Done.model_construct(**{**body, "suppressed": tuple(
        Suppressed.model_construct(**s) for s in body["suppressed"]
    )})
    with pytest.raises(Tampered, match="not a record"):
        open_record(seal_record(lie, RECORD_KEYS[CHEAT]), terms)


def test_events_that_do_not_add_up_and_odd_rules_are_no_records(run):
    terms, _, _ = run
    lost = Events.model_construct(
        kind="events", agreement=terms.hash, party="insurer", final=True, read=9, accepted=1, rejected={}, late_pending=0
    )
    odd = Refused.model_construct(
        kind="refused", agreement=terms.hash, node=CHEAT, run=None, windows=(), rule="No!", found=None, required="",
        next_step="",
    )
    for lie in (lost, odd):
        with pytest.raises(Tampered, match="not a record"):
            open_record(seal_record(lie, RECORD_KEYS[CHEAT]), terms)


def test_results_moved_to_other_windows_cells_or_runs_are_never_shown(run):
    """The same numbers under another name: one node's relabelling never fits the other two's."""
    terms, _, results = run
    shares = opened(terms, results)
    mine = shares[CHEAT]
    kpi = next(k for k in mine.kpis if k.cells)
    moved = tuple(ReleasedCell(window=(c.window + 1) % 5, stratum=c.stratum) for c in kpi.cells)

    def claims(**changes):
        lie = kpi.model_copy(update=changes)
        return mine.model_copy(update={"kpis": tuple(lie if k is kpi else k for k in mine.kpis)})

    other = next(p.hash for p in terms.plans if p.hash != kpi.plan)
    zero = {name: tuple("0" for _ in values) for name, values in kpi.outputs.items()}
    for lie in (claims(cells=moved), claims(plan=other), claims(cells=kpi.cells[:-1]), claims(outputs=zero),
                claims(outputs=dict(reversed(kpi.outputs.items())))):
        account = Account(terms, ME)
        with pytest.raises((Tampered, MpcError)):
            for item in (shares[0], lie, shares[1]):
                account.add_result(item)
        assert account.document().releases == ()
    replayed = mine.model_copy(update={"run": "e" * 64})
    account = Account(terms, ME)
    for item in (shares[0], replayed, shares[1]):
        account.add_result(item)
    assert account.document() == Account(terms, ME).document()


@pytest.mark.parametrize("residue", ["", "zz", "-1", "0x1", "1" * 65, "\u0661"])
def test_a_residue_that_is_no_residue_is_not_a_result(run, residue):
    terms, _, results = run
    mine = opened(terms, results)[CHEAT]
    kpi = next(k for k in mine.kpis if k.cells)
    forged = KpiShares.model_construct(
        plan=kpi.plan, cells=kpi.cells, outputs={n: (residue, *v[1:]) for n, v in kpi.outputs.items()}
    )
    lie = ResultShares.model_construct(**{**dict(mine), "kpis": (forged,)})
    with pytest.raises(Tampered, match="cannot be opened"):
        open_result(seal_result(lie, terms.recipients[0].sealing_key, RECORD_KEYS[CHEAT]), ME, RECIPIENT_KEY, terms)


def test_a_node_cannot_pass_on_anothers_shares_as_its_own(run):
    terms, _, results = run
    theirs = opened(terms, results)[0]
    with pytest.raises(Tampered, match="meant for someone else"):
        stolen = seal_result(theirs, terms.recipients[0].sealing_key, RECORD_KEYS[CHEAT])
        open_result(bytes([CHEAT]) + stolen[1:], ME, RECIPIENT_KEY, terms)
    copied = theirs.model_copy(update={"node": CHEAT})
    account = Account(terms, ME)
    with pytest.raises(IntegrityError):
        for item in (theirs, opened(terms, results)[1], copied):
            account.add_result(item)
