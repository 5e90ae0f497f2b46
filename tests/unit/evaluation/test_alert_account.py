"""Alerts on their way to a recipient: shares, recombined states, rows of the document."""

import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.account import Account
from evaluation.errors import Tampered
from evaluation.records import Done, Events, Suppressed
from evaluation.results import AlertShares, AlertState, ResultShares, combine_alerts, open_result, seal_result
from mpc.errors import IntegrityError
from tests.support.terms import make_terms

PRIME = 2**256 - 189
NODE, RECIPIENT = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
RULE = {"id": "busy", "kpi": "gp-visit-rate-ratio", "recipient": "watch", "when": "above", "raise_at": "1.2", "clear_at": "1"}


@pytest.fixture
def terms():
    made = make_terms(
        panes={"zone": "UTC", "unit": "week", "start": "2024-01-01", "count": 7},
        recipients=[{"name": "innovation-team", "kpis": ["cost-difference"]}, {"name": "watch", "kpis": []}],
        alerts=[RULE, RULE | {"id": "quiet", "when": "below", "raise_at": "0.5", "clear_at": "0.75"},
                RULE | {"id": "other", "recipient": "innovation-team"}],
    )
    nodes = tuple(n.model_copy(update={"record_key": NODE.public_key().public_bytes_raw().hex()}) for n in made.nodes)
    return made.model_copy(update={"nodes": nodes})


def on_lines(values):
    """Three nodes' residues of values."""
    slopes = [secrets.randbelow(PRIME) for _ in values]
    return [
        tuple(f"{(v + s * (j + 1)) % PRIME:x}" for v, s in zip(values, slopes, strict=True)) for j in range(3)
    ]


def result(terms, states, run="run", recipient="watch"):
    """Three nodes' results; states: alert → {window: 0, 1, other numbers, or None for no data}."""
    made = []
    for alert, by_window in states.items():
        kept = {w: s for w, s in by_window.items() if s is not None}
        made.append([
            AlertShares(alert=alert, windows=tuple(kept), states=residues,
                        no_data=tuple(w for w, s in by_window.items() if s is None))
            for residues in on_lines(list(kept.values()))
        ])
    return [
        ResultShares(agreement=terms.hash, recipient=recipient, node=j, run=run, kpis=(),
                     alerts=tuple(shares[j] for shares in made))
        for j in range(3)
    ]


def done(terms, node, windows, run="run", alerts=("busy", "quiet", "other")):
    hidden = tuple(
        Suppressed(kpi=plan.kpi, window=w, cell=stratum.cell, rule="minimum-cohort", required="at least 3")
        for plan in terms.plans for w in windows for stratum in plan.strata
    )
    return Done(agreement=terms.hash, node=node, run=run, windows=windows, sequence=1, seconds={}, suppressed=hidden,
                alerts=alerts)


def finished(terms, account):
    for party in terms.draft.parties:
        account.add_record(Events(agreement=terms.hash, party=party.name, final=True, read=0, accepted=0, rejected={},
                                  late_pending=0))
    return account


def test_a_recipient_of_alerts_only_gets_their_states_by_window(terms):
    account = finished(terms, Account(terms, "watch"))
    for j in range(3):
        account.add_record(done(terms, j, (2, 3), run="second"))
        account.add_record(done(terms, j, (0, 1), run="first"))
    assert not account.complete
    for shares in result(terms, {"busy": {2: 1, 3: 0}, "quiet": {2: None, 3: None}}, "second"):
        account.add_result(open_result(
            seal_result(shares, RECIPIENT.public_key().public_bytes_raw().hex(), NODE), "watch", RECIPIENT, terms
        ))
    assert [(a.id, a.state, a.changed) for a in account.document().alerts] == [
        ("busy", "raised", True), ("busy", "clear", True), ("quiet", "no-data", False), ("quiet", "no-data", False),
    ]
    assert account.document().status == "running"
    for shares in result(terms, {"busy": {0: 1, 1: None}, "quiet": {0: 0, 1: 1}}, "first"):
        account.add_result(shares)
    document = account.document()
    assert document.status == "released"
    assert document.releases == ()
    assert [(a.id, str(a.window.start), a.state, a.changed) for a in document.alerts] == [
        ("busy", "2024-01-01", "raised", True), ("busy", "2024-01-08", "no-data", False),
        ("busy", "2024-01-15", "raised", False), ("busy", "2024-01-22", "clear", True),
        ("quiet", "2024-01-01", "clear", False), ("quiet", "2024-01-08", "raised", True),
        ("quiet", "2024-01-15", "no-data", False), ("quiet", "2024-01-22", "no-data", False),
    ]
    row = document.alerts[4]
    assert (row.kpi, row.cell, row.when, row.raise_at, row.clear_at) == ("gp-visit-rate-ratio", {}, "below", "0.5", "0.75")


def test_nothing_but_missing_data_is_suppressed(terms):
    account = finished(terms, Account(terms, "watch"))
    for j in range(3):
        account.add_record(done(terms, j, (0, 1, 2, 3)))
    for shares in result(terms, {"busy": dict.fromkeys(range(4))}):
        account.add_result(shares)
    assert account.document().status == "suppressed"


def test_a_run_without_alerts_is_not_waited_for(terms):
    account = finished(terms, Account(terms, "watch"))
    for j in range(3):
        account.add_record(done(terms, j, (0, 1, 2, 3), alerts=()))
    assert account.complete


@pytest.mark.parametrize("states", [{"other": {0: 1}}, {"busy": {4: 1}}, {"busy": {4: None}}, {"unheard": {}}])
def test_alerts_of_others_or_of_no_window_are_refused(terms, states):
    with pytest.raises(Tampered, match="not this recipient's, or of no window"):
        Account(terms, "watch").add_result(result(terms, states)[0])


def test_shares_that_do_not_fit_change_nothing(terms):
    account = Account(terms, "watch")
    one, two, three = result(terms, {"busy": {0: 1}})
    (alert,) = three.alerts
    forged = alert.model_copy(update={"states": ("5",)})
    account.add_result(one)
    account.add_result(two)
    with pytest.raises(IntegrityError, match="alert busy"):
        account.add_result(three.model_copy(update={"alerts": (forged,)}))
    assert account.document().alerts == ()


@pytest.mark.parametrize("change", [
    {"alerts": ()},
    {"alerts": (AlertShares(alert="busy", windows=(1,), states=("1",)),)},
    {"alerts": (AlertShares(alert="busy", windows=(), states=(), no_data=(0,)),)},
    {"alerts": (AlertShares(alert="quiet", windows=(0,), states=("1",)),)},
    {"run": "another"},
])
def test_nodes_that_disagree_are_refused(terms, change):
    one, two, three = result(terms, {"busy": {0: 1}})
    with pytest.raises(Tampered):
        combine_alerts([one, two, three.model_copy(update=change)])


def test_an_alert_twice_in_one_result_is_refused(terms):
    twice = [s.model_copy(update={"alerts": s.alerts * 2}) for s in result(terms, {"busy": {0: 1}})]
    with pytest.raises(Tampered, match="disagree about the alerts"):
        combine_alerts(twice)


@pytest.mark.parametrize("state", [2, -1, PRIME // 2])
def test_a_state_is_a_bit(terms, state):
    with pytest.raises(Tampered, match="neither 0 nor 1"):
        combine_alerts(result(terms, {"busy": {0: state}}))


def test_recombined_states_are_in_order(terms):
    assert combine_alerts(result(terms, {"busy": {1: 0, 3: 1, 2: None}})) == [
        AlertState(alert="busy", window=w, raised=raised) for w, raised in ((1, False), (2, None), (3, True))
    ]


@pytest.mark.parametrize("fields", [
    {"windows": (0, 1), "states": ("1",)}, {"windows": (1, 0), "states": ("1", "0")},
    {"windows": (1, 1), "states": ("1", "0")}, {"windows": (1,), "states": ("1",), "no_data": (1,)},
    {"windows": (-1,), "states": ("1",)}, {"windows": tuple(range(5001)), "states": ("1",) * 5001},
    {"windows": (0,), "states": ("1" * 65,)},
])
def test_states_and_windows_belong_together(fields):
    with pytest.raises(ValueError):
        AlertShares(alert="busy", **fields)
