"""Debit lines that are folded together: the same outcomes and the same sealed content as one by one."""

import random
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from streams import shard as folding
from streams.columns import EventColumns
from streams.envelope import Claim, ClaimEvent, Enrolment, EnrolmentEvent, Heartbeat, encode
from streams.panes import Sealed
from streams.rejects import Reason
from streams.rekey import Rekeyer, beginning
from streams.shard import Refused, Shard
from tests.support.kinds import NAMES, at
from tests.support.parties import person
from tests.support.terms import draft_data

REJECTS = X25519PrivateKey.from_private_bytes(b"R" * 32).public_key()
PEOPLE = 6


def draft():
    data = draft_data()
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


def story(seed, length, *, enrolled):
    """Claims of few people, some too many or too dear, repeated, of nobody known or of no pane; credits, heartbeats."""
    rng, found, day = random.Random(seed), [], -20.0
    if enrolled:
        found += [
            EnrolmentEvent(**base(who, f"m{who}", -30, -20), payload=Enrolment(programme="registered"))
            for who in range(PEOPLE - 1)
        ]
    for number in range(length):
        day = min(83.0, day + rng.choice([0, 0, 0, 0.5, 4]))
        occurred = max(-25.0, day - rng.choice([0, 0, 1, 20]))
        name = f"c{rng.randrange(number + 1) if rng.random() < 0.1 else number}"
        what = {"care_type": rng.choice(["gp", "gp", "other", "medication"]), "cents": rng.choice([0, 100, 150, 900])}
        if rng.random() < 0.05:
            found.append(Heartbeat(source="claims", final=False, until=at(occurred), recorded_at=at(day)))
        credit = rng.random() < 0.04
        found.append(ClaimEvent(
            **base(rng.randrange(PEOPLE), name, occurred, day), payload=Claim(**what, credit=credit),
            corrects=NAMES.event_id("t", f"c{rng.randrange(number + 1)}") if credit else None,
        ))
    return [*found, Heartbeat(source="claims")]


def log_of(agreement, events, cuts):
    rekeyer, header, log, start = Rekeyer(agreement, "insurer", NAMES, REJECTS), beginning(0), [], 0
    records = [SimpleNamespace(partition=0, offset=n, key=None, value=encode(e)) for n, e in enumerate(events)]
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
    return shard, sorted(refused, key=lambda r: int(r[0].rsplit(":")[-1])), seals


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.sets(st.integers(1, 160), max_size=4), st.sampled_from([2, 3, 9]))
def test_together_as_one_by_one(seed, enrolled, cuts, together):
    agreement = draft()
    log = log_of(agreement, story(seed, 150, enrolled=enrolled), cuts)
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


def test_the_stories_touch_every_rule():
    reasons, late = set(), 0
    for seed in range(6):
        agreement = draft()
        shard, refused, _ = folded(agreement, log_of(agreement, story(seed, 150, enrolled=True), ()))
        reasons |= {reason for _, reason, _ in refused}
        late += shard.panes.late_pending
    assert reasons >= {
        Reason.DUPLICATE_ID, Reason.UNKNOWN_PERSON, Reason.TOO_MANY_EVENTS, Reason.AMOUNT_TOO_LARGE,
        Reason.UNKNOWN_REFERENCE,
    }
    assert late > 0


def test_most_lines_are_folded_together(monkeypatch):
    agreement, singles = draft(), []
    enter = folding.Validator._enter_debit
    monkeypatch.setattr(
        folding.Validator, "_enter_debit", lambda self, *line: singles.append(line) or enter(self, *line)
    )
    people = [
        EnrolmentEvent(**base(who, f"m{who}", -30, -20), payload=Enrolment(programme="registered"))
        for who in range(400)
    ]
    claims = [
        ClaimEvent(**base(n % 400, f"c{n}", n / 10, n / 10), payload=Claim(care_type="gp", cents=1)) for n in range(800)
    ]
    _, refused, _ = folded(agreement, log_of(agreement, [*people, *claims, Heartbeat(source="claims")], ()))
    assert not refused
    assert len(singles) <= 12 * folding.TOGETHER
