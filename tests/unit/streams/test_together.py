"""Debit lines and enrolments that are folded together: the same outcomes, content and state as one by one."""

import json
import random
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from streams import chest
from streams import shard as folding
from streams.columns import EventColumns
from streams.envelope import Claim, ClaimEvent, Enrolment, EnrolmentEvent, Heartbeat, encode
from streams.panes import Sealed
from streams.pseudonym import written
from streams.rejects import Reason
from streams.rekey import Rekeyer, beginning
from streams.rowwise import micros
from streams.shard import Refused, Shard
from tests.support.kinds import NAMES, at
from tests.support.parties import person
from tests.support.terms import draft_data

REJECTS = X25519PrivateKey.from_private_bytes(b"R" * 32).public_key()
KEY = b"k" * 32
PEOPLE = 6


def draft(horizon=None):
    data = draft_data(corrections=None if horizon is None else {"horizon_panes": horizon})
    insurer = next(p for p in data["parties"] if p["name"] == "insurer")
    insurer["sources"] = [{"name": "claims", "kinds": ["claim", "enrolment"]}]
    for measure in data["measures"]:
        if measure["party"] == "insurer" and measure["aggregation"] in ("count", "sum"):
            measure["bound"] = {"count": 4, "sum": 1_000}[measure["aggregation"]]
    return Draft.model_validate(data)


def base(who, name, occurred, recorded):
    return {
        "event_id": NAMES.event_id("t", name), "patient": NAMES.patient(person(who)), "occurred_at": at(occurred),
        "recorded_at": at(recorded), "source": "claims",
    }


def membership(rng, number, day):
    """An enrolment: new, said again or about another, of somebody new or known, ended well, too early or in the future."""
    start = day - rng.choice([0, 0.3, 40, 90])
    stop = rng.choice([None, None, start - 1, start + 3, day + 1, day + 9])
    programme = rng.choice(["insured", "insured", "registered", "yoga"])
    return EnrolmentEvent(
        **base(rng.randrange(PEOPLE), f"m{rng.randrange(number + PEOPLE) if rng.random() < 0.3 else number + PEOPLE}", start, day),
        payload=Enrolment(programme=programme, stop=None if stop is None else at(stop)),
    )


def story(seed, length, *, enrolled, memberships=0.1):
    """Claims of few people, some too many or too dear, repeated, of nobody known or of no pane; enrolments among them,
    also of people who claimed before; credits, heartbeats.
    """
    rng, found, day = random.Random(seed), [], -20.0
    if enrolled:
        found += [
            EnrolmentEvent(**base(who, f"m{who}", -30, -20), payload=Enrolment(programme="registered"))
            for who in range(rng.randrange(PEOPLE))
        ]
    for number in range(length):
        day = min(83.0, day + rng.choice([0, 0, 0, 0.5, 4]))
        occurred = max(-25.0, day - rng.choice([0, 0, 1, 20]))
        name = f"c{rng.randrange(number + 1) if rng.random() < 0.1 else number}"
        what = {"care_type": rng.choice(["gp", "gp", "other", "medication"]), "cents": rng.choice([0, 100, 150, 900])}
        if rng.random() < 0.05:
            found.append(Heartbeat(source="claims", final=False, until=at(occurred), recorded_at=at(day)))
        if rng.random() < memberships:
            found.append(membership(rng, number, day))
        credit = rng.random() < 0.04
        found.append(ClaimEvent(
            **base(rng.randrange(PEOPLE), name, occurred, day), payload=Claim(**what, credit=credit),
            corrects=NAMES.event_id("t", f"c{rng.randrange(number + 1)}") if credit else None,
        ))
    return [*found, Heartbeat(source="claims")]


def log_of(agreement, events, cuts):
    rekeyer, header, log, start = Rekeyer(agreement, "insurer", NAMES, REJECTS), beginning(0), [], 0
    records = [SimpleNamespace(partition=0, offset=n, timestamp=0, key=None, value=encode(e)) for n, e in enumerate(events)]
    for end in [*sorted(cuts), len(records)]:
        if start < end <= len(records):
            step = rekeyer.step(header, records[start:end])
            header, start = step.header, end
            log += step.sharded[0]
    return log


def folded(agreement, log, *, enrolled=True):
    shard = Shard(agreement, "insurer", 0, bytes(32), 1)
    # Of a party that enrols nobody everybody is known from the first claim on.
    shard._history._needs_enrolment = enrolled
    made = [m for offset, record in enumerate(log) for m in shard.fold(offset, EventColumns.from_bytes(record))]
    refused = [(m.position, m.reason, m.event) for m in made if isinstance(m, Refused)]
    seals = [(m.pane, m.content.tobytes()) for m in made if isinstance(m, Sealed)]
    return shard, refused, seals


def state(shard):
    """All that a shard's dump holds, people by name, in an order that does not depend on that of events."""
    facts, tables = chest.unlock(KEY, shard.purpose, shard.dump(KEY))
    found = {name: batch.to_pylist() for name, batch in tables._found.items()}
    names = {
        "history": [written(row["patient"]) for row in found.pop("people")],
        "register": [row["patient"] for row in found.pop("register")],
    }
    for name, rows in found.items():
        of = names["history" if name in ("claims", "enrolments", "totals", "uses", "spreads") else "register"]
        for row in rows:
            if "person" in row:
                row["person"] = of[row["person"]]
        rows.sort(key=repr)
    return json.loads(facts), found, {of: sorted(people) for of, people in names.items()}


@settings(max_examples=60)
@given(
    st.integers(0, 2**32), st.booleans(), st.sets(st.integers(1, 160), max_size=4), st.sampled_from([2, 3, 9]),
    st.sampled_from([0, 0.1, 0.5, 1]), st.sampled_from([None, 2, 4]),
)
def test_together_as_one_by_one(seed, enrolled, cuts, together, memberships, horizon):
    agreement = draft(horizon)
    log = log_of(agreement, story(seed, 150, enrolled=enrolled, memberships=memberships), cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "TOGETHER", 1 << 30)
        single, refused, seals = folded(agreement, log, enrolled=enrolled)
        patch.setattr(folding, "TOGETHER", together)
        bulk, *found = folded(agreement, log, enrolled=enrolled)
    assert found == [refused, seals]
    assert len(seals) == agreement.panes.count
    assert (bulk.accepted, bulk.refused, bulk.panes.late_pending) == (
        single.accepted, single.refused, single.panes.late_pending
    )
    assert state(bulk) == state(single)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 170), st.sampled_from([None, 2]))
def test_a_state_half_way_is_the_same(seed, end, horizon):
    agreement = draft(horizon)
    log = log_of(agreement, story(seed, 150, enrolled=True, memberships=0.3)[:end], ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "TOGETHER", 2)
        bulk, *_ = folded(agreement, log)
        patch.setattr(folding, "TOGETHER", 1 << 30)
        single, *_ = folded(agreement, log)
    assert state(bulk) == state(single)
    again = Shard(agreement, "insurer", 0, bytes(32), 1)
    again.load(KEY, bulk.dump(KEY))
    assert state(again) == state(bulk)
    assert again.dump(KEY) == bulk.dump(KEY)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sets(st.integers(1, 160), max_size=4), st.sampled_from([2, 1 << 30]))
def test_forgetting_claims_is_never_seen(seed, cuts, together):
    agreement = draft(2)
    log = log_of(agreement, story(seed, 150, enrolled=True), cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "TOGETHER", together)
        forgets, *found = folded(agreement, log)
        patch.setattr(folding.Validator, "forget", lambda *_: None)
        remembers, *expected = folded(agreement, log)
    assert found == expected
    kept, remembered = state(forgets)[1], state(remembers)[1]
    assert [kept["claims"], kept["totals"]] == [[], []] != [remembered["claims"], remembered["totals"]]


def test_a_claim_and_its_credit_line_beyond_the_horizon():
    agreement = draft(2)

    def line(name, occurred, **more):
        corrects = more.pop("corrects", None)
        return ClaimEvent(
            **base(0, name, occurred, 40), payload=Claim(**{"care_type": "gp", "cents": 5, **more}),
            corrects=NAMES.event_id("t", corrects) if corrects else None,
        )

    events = [
        EnrolmentEvent(**base(0, "m", -30, -20), payload=Enrolment(programme="registered")),
        ClaimEvent(**base(0, "old", 2, 3), payload=Claim(care_type="gp", cents=5)),
        line("now", 40), line("old", 2), line("c1", 40, credit=True, corrects="old"), line("late", 20),
        line("in time", 21), line("c2", 40, credit=True, corrects="in time"), line("in time", 21),
    ]
    shard, refused, _ = folded(agreement, log_of(agreement, events, ()))
    assert [(int(position.rsplit(":")[-1]), reason) for position, reason, _ in refused] == [
        (3, Reason.TOO_OLD), (4, Reason.TOO_OLD), (5, Reason.TOO_OLD), (8, Reason.DUPLICATE_ID),
    ]
    assert len(state(shard)[1]["claims"]) == 3


def test_the_stories_touch_every_rule():
    reasons, late = set(), 0
    for seed in range(20):
        agreement = draft(2 if seed % 2 else None)
        shard, refused, _ = folded(agreement, log_of(agreement, story(seed, 150, enrolled=True), ()))
        reasons |= {reason for _, reason, _ in refused}
        late += shard.panes.late_pending
    assert reasons >= {
        Reason.DUPLICATE_ID, Reason.UNKNOWN_PERSON, Reason.TOO_MANY_EVENTS, Reason.AMOUNT_TOO_LARGE,
        Reason.UNKNOWN_REFERENCE, Reason.TOO_OLD,
    }
    assert late > 0


def test_most_events_are_folded_together(monkeypatch):
    agreement, singles = draft(), []
    enter, single = folding.Validator._enter_debit, Shard._event
    monkeypatch.setattr(
        folding.Validator, "_enter_debit",
        lambda self, *line, **more: singles.append(line) or enter(self, *line, **more),
    )
    monkeypatch.setattr(Shard, "_event", lambda self, *row: singles.append(row) or single(self, *row))
    events = []
    for n in range(1200):
        if n % 3 == 0:
            events.append(EnrolmentEvent(**base(n, f"m{n}", n / 15, n / 15), payload=Enrolment(programme="insured")))
        else:
            whose = 3 * random.Random(n).randrange(n // 3 + 1)
            events.append(ClaimEvent(**base(whose, f"c{n}", n / 15, n / 15), payload=Claim(care_type="other", cents=1)))
    _, refused, _ = folded(agreement, log_of(agreement, [*events, Heartbeat(source="claims")], ()))
    assert not refused
    # Those recorded after the linkage date are in no pane of this epoch, and go one by one.
    assert len([s for s in singles if isinstance(s[0], bytes)]) <= 12 * folding.TOGETHER
    alone = [columns.recorded[row] for columns, row in (s for s in singles if not isinstance(s[0], bytes))]
    assert len([recorded for recorded in alone if recorded < micros(at(7))]) <= 2 * folding.TOGETHER
