"""A recipient's account: results and records of a small agreement, in any order."""

import itertools
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.account import Account
from evaluation.errors import Tampered
from evaluation.records import Done, Events, Refused, Suppressed
from evaluation.results import KpiShares, Released, ReleasedCell, ResultShares, open_result, seal_result
from mpc.errors import IntegrityError
from mpc.tail.decode import CellResult, output_names
from policy.window import OnDemand
from tests.support.terms import make_terms

PRIME = 2**256 - 189
NODE, RECIPIENT = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()


@pytest.fixture
def terms():
    made = make_terms(panes={"zone": "UTC", "unit": "week", "start": "2024-01-01", "count": 5})
    plans = tuple(p.model_copy(update={"outputs": ("sums",)}) for p in made.plans)
    nodes = tuple(n.model_copy(update={"record_key": NODE.public_key().public_bytes_raw().hex()}) for n in made.nodes)
    return made.model_copy(update={"plans": plans, "nodes": nodes})


def shares(terms, run, windows, plan=0):
    """Three nodes' shares, on a random line, of sums that equal 1000·window + position of the output."""
    plan = terms.plans[plan]
    cells = tuple(ReleasedCell(window=w, stratum=0) for w in windows)
    outputs = [{}, {}, {}]
    for position, name in enumerate(output_names(plan)):
        rows = [[], [], []]
        for w in windows:
            slope = secrets.randbelow(PRIME)
            for j in range(3):
                rows[j].append(f"{(1000 * w + position + slope * (j + 1)) % PRIME:x}")
        for j in range(3):
            outputs[j][name] = tuple(rows[j])
    return [
        ResultShares(agreement=terms.hash, recipient="innovation-team", node=j, run=run,
                     kpis=(KpiShares(plan=plan.hash, cells=cells, outputs=outputs[j]),))
        for j in range(3)
    ]


def suppressed(terms, windows, keep=()):
    return tuple(
        Suppressed(kpi=plan.kpi, window=w, cell=stratum.cell, rule="minimum-cohort", required="at least 3")
        for plan in terms.plans for w in windows for stratum in plan.strata
        if (plan.kpi, w, tuple(stratum.cell.items())) not in keep
    )


def done(terms, node, run, windows, hidden=(), released=0):
    return Done(agreement=terms.hash, node=node, run=run, windows=windows, sequence=1,
                seconds={"estimate": 0.5 + node}, suppressed=hidden, released=released)


def events(terms, party):
    return Events(agreement=terms.hash, party=party, final=True, read=3, accepted=2, rejected={"broken-json": 1},
                  late_pending=1)


def everything(terms):
    kpi = terms.plans[0].kpi
    hidden = suppressed(terms, (0, 1), {(kpi, 0, ()), (kpi, 1, ())})
    records = [done(terms, j, "run", (0, 1), hidden, 2) for j in range(3)]
    return [*records, *(events(terms, p.name) for p in terms.draft.parties), *shares(terms, "run", (0, 1))]


def feed(account, items):
    for item in items:
        account.add_result(item) if isinstance(item, ResultShares) else account.add_record(item)


def test_the_order_of_arrival_changes_nothing(terms):
    items, found = everything(terms), set()
    for order in itertools.islice(itertools.permutations(items), 0, None, 40_321):
        account = Account(terms, "innovation-team")
        for count, item in enumerate(order):
            assert not account.complete, count
            feed(account, [item])
        assert account.complete
        found.add(account.document().model_dump_json())
    assert len(found) == 1


def test_releases_refusals_and_runs_read_as_they_should(terms):
    account = Account(terms, "innovation-team")
    feed(account, everything(terms))
    document = account.document()
    assert document.status == "released"
    first = [r for r in document.releases if r.window.start.isoformat() == "2024-01-08"]
    assert {r.output: r.value for r in first} == {
        "sums.exposed.time": 1000, "sums.exposed.outcome": 1001,
        "sums.comparator.time": 1002, "sums.comparator.outcome": 1003,
        "value": pytest.approx((1001 / 1000) / (1003 / 1002), rel=1e-15),
    }
    assert {r.unit for r in first} == {"days", "count", "ratio"}
    assert len(document.refusals) == 2 * 2 * 6 - 2
    assert all(r.nodes == (0, 1, 2) and r.found is None for r in document.refusals)
    assert document.runs[0].seconds == {"estimate": 2.5}
    assert document.events["insurer"].late_pending == 1


def test_a_changed_share_is_noticed_and_nothing_is_released(terms):
    account = Account(terms, "innovation-team")
    parts = shares(terms, "run", (0,))
    name = output_names(terms.plans[0])[0]
    kpi = parts[1].kpis[0]
    forged = kpi.model_copy(update={"outputs": {**kpi.outputs, name: ("1",)}})
    with pytest.raises(IntegrityError):
        feed(account, [parts[0], parts[1].model_copy(update={"kpis": (forged,)}), parts[2]])
    assert account.document().releases == ()


def test_nodes_that_disagree_about_what_came_out_release_nothing(terms):
    account = Account(terms, "innovation-team")
    one, two = shares(terms, "run", (0,)), shares(terms, "run", (1,))
    with pytest.raises(Tampered, match="disagree"):
        feed(account, [one[0], one[1], two[2]])


def test_a_refusal_by_all_three_ends_everything(terms):
    account = Account(terms, "innovation-team")
    for node in range(3):
        assert not account.complete
        account.add_record(Refused(
            agreement=terms.hash, node=node, run=None, windows=(), rule="agreement-active",
            found=f"proposed at block {node}", required="active", next_step="sign",
        ))
    assert account.complete
    document = account.document()
    assert document.status == "refused"
    assert [(r.rule, r.nodes) for r in document.refusals] == [("agreement-active", (0, 1, 2))]


def test_only_its_recipient_opens_a_result_and_only_unchanged(terms):
    share = shares(terms, "run", (0,))[1]
    message = seal_result(share, RECIPIENT.public_key().public_bytes_raw().hex(), NODE)
    assert open_result(message, "innovation-team", RECIPIENT, terms) == share
    with pytest.raises(Tampered, match="cannot be opened"):
        open_result(message, "innovation-team", X25519PrivateKey.generate(), terms)
    with pytest.raises(Tampered, match="meant for someone else"):
        open_result(message, "other", RECIPIENT, terms)
    for place in (0, 1, 70, -1):
        changed = bytearray(message)
        changed[place] ^= 1
        with pytest.raises(Tampered):
            open_result(bytes(changed), "innovation-team", RECIPIENT, terms)


def test_releases_of_windows_asked_for_are_marked(terms):
    asked = terms.draft.model_copy(update={"on_demand": OnDemand(largest=5)})
    terms = terms.model_copy(update={"draft": asked})
    account = Account(terms, "innovation-team")
    feed(account, shares(terms, "run", (1, asked.lattice.at(0, 5).index)))
    found = {(r.window.start.isoformat(), r.window.end.isoformat()): r.on_demand for r in account.document().releases}
    assert found == {("2024-01-08", "2024-02-05"): False, ("2024-01-01", "2024-02-05"): True}


def in_two_editions(terms):
    maturities = {"days": [7], "release": "both", "revisions": 5}
    return terms.model_copy(update={"draft": make_terms(
        panes={"zone": "UTC", "unit": "week", "start": "2024-01-01", "count": 5}, maturities=maturities,
    ).draft})


def test_a_full_edition_stands_beside_the_provisional_one(terms):
    terms = in_two_editions(terms)
    account, kpi = Account(terms, "innovation-team"), terms.plans[0].kpi
    feed(account, everything(terms))
    assert not account.complete
    full = [w.index for w in terms.draft.lattice.full]
    hidden = suppressed(terms, full, {(kpi, full[0], ())})
    feed(account, [done(terms, j, "later", tuple(full), hidden, 1) for j in range(3)])
    assert not account.complete
    feed(account, shares(terms, "later", full[:1]))
    assert account.complete
    document = account.document()
    assert document.status == "released"
    found = {(r.window.start.isoformat(), r.revision, r.edition, r.on_demand) for r in document.releases}
    assert found == {
        ("2024-01-01", 0, "provisional", False), ("2024-01-08", 0, "provisional", False),
        ("2024-01-01", 1, "full", False),
    }
    kept = {(r.window.start.isoformat(), r.revision) for r in document.refusals if r.kpi == kpi and r.cell == {}}
    assert kept == {("2024-01-08", 1)}
    assert [r.revision for r in document.runs] == [0, 1]


def test_full_editions_beyond_their_quota_end_the_account_without_refusing_the_rest(terms):
    terms = in_two_editions(terms)
    account = Account(terms, "innovation-team")
    feed(account, everything(terms))
    left = tuple(w.index for w in terms.draft.lattice.full)
    for node in range(3):
        assert not account.complete
        feed(account, [Refused(agreement=terms.hash, node=node, run=None, windows=left, rule="revision-quota",
                               found="5", required="fewer than 5", next_step="agree on more")])
    assert account.complete
    refused = [r for r in account.document().refusals if r.rule == "revision-quota"]
    assert [(r.window.start.isoformat(), r.revision, r.nodes) for r in refused] == [
        ("2024-01-01", 1, (0, 1, 2)), ("2024-01-08", 1, (0, 1, 2)),
    ]


def test_a_run_that_linked_is_told_with_its_batch_as_two_nodes_have_it(terms):
    account = Account(terms, "innovation-team")
    first = [done(terms, j, "first", ()) for j in range(3)]
    later = [done(terms, j, "later", ()).model_copy(update={"batch": 2, "sequence": 2}) for j in range(2)]
    feed(account, [done(terms, 2, "later", ()).model_copy(update={"batch": 1, "sequence": 2}), *later, *first])
    assert [(r.id, r.outcome, r.batch) for r in account.document().runs] == [("first", "linked", 0), ("later", "linked", 2)]
    feed(account, [
        done(terms, j, "anew", ()).model_copy(update={"batch": 2, "epoch": 3 - j // 2, "sequence": 3}) for j in range(3)
    ])
    assert [(r.id, r.batch, r.epoch) for r in account.document().runs][2:] == [("anew", 2, 3)]


def test_all_linkages_of_registers_that_grow_are_believed_of_a_node(terms):
    """One for every batch, and one that links it for an epoch to come, beside a run of every KPI for every window; only more would be a flood."""
    linkage = terms.draft.linkage.model_copy(update={"batch_panes": 1, "renew_batches": 1})
    terms = terms.model_copy(update={"draft": terms.draft.model_copy(update={"linkage": linkage})})
    batches, windows = 1 + len(terms.draft.batch_edges), len(terms.draft.lattice.scheduled)
    account, runs = Account(terms, "innovation-team"), []
    runs += [{"run": f"linked {batch}", "windows": (), "batch": batch} for batch in range(batches)]
    runs += [
        {"run": f"linked anew {batch}", "windows": (), "batch": batch, "epoch": min(batch + 1, 3)} for batch in range(1, batches)
    ]
    runs += [{"run": f"{plan.kpi} {w}", "windows": (w,), "kpis": (plan.kpi,)} for plan in terms.plans for w in range(windows)]
    for place, run in enumerate(runs):
        feed(account, [done(terms, j, "", ()).model_copy(update={**run, "sequence": place}) for j in range(3)])
    assert [run.id for run in account.document().runs] == [run["run"] for run in runs]
    assert (batches, windows) == (4, 2)


@pytest.mark.parametrize(("outputs", "said"), [
    (("sums",), {"value": "unsaid", "sums.exposed.time": "unsaid"}), (("value",), {"value": "unsaid"}),
])
def test_figures_with_noise_say_that_they_have_some(terms, outputs, said):
    private = make_terms(
        privacy=[{"kpi": terms.plans[0].kpi, "rho": "1", "delta": "0.000001"}], quota={"runs": 100, "rho": "1"},
        panes={"zone": "UTC", "unit": "week", "start": "2024-01-01", "count": 5},
    )
    plans = tuple(p.model_copy(update={"outputs": outputs}) for p in private.plans)
    private = private.model_copy(update={"plans": plans, "nodes": terms.nodes})
    for made, expected in ((private, said), (private.model_copy(update={"plans": terms.plans}), dict.fromkeys(said))):
        account = Account(made, "innovation-team")
        feed(account, shares(made, "run", (1,)))
        found = {r.output: r for r in account.releases()}
        assert {name: found[name].noise for name in expected if name in found} == {
            name: noise for name, noise in expected.items() if name in found
        }
        assert all(("noise" in r.model_dump()) == (r.noise is not None) for r in found.values())
        assert "value" in found


def test_an_interval_that_is_there_says_that_it_allows_for_noise():
    cell = {"kpi": "k", "window": 0, "cell": {}, "unit": "ratio"}
    made = [
        Released(**cell, result=CellResult(1.0, low, high), private=private)
        for low, high in ((0.5, 2.0), (None, None)) for private in (True, False)
    ]
    assert [each.noise(interval=True) for each in made] == ["in-interval", None, "unsaid", None]
    assert [each.noise() for each in made] == ["unsaid", None, "unsaid", None]
