"""A shard is a fold over its log: how records came together, that they come again, and a restart change nothing."""

import random
from collections import Counter
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from streams import chest
from streams.columns import EventColumns
from streams.envelope import Heartbeat, encode
from streams.errors import StoreError, StreamsError
from streams.panes import Sealed, ShardPanes
from streams.rejects import Reason
from streams.rekey import Rekeyer, beginning
from streams.shard import Refused, Shard
from streams.validate import Validator
from tests.support.driven import DrivenPanes
from tests.support.kinds import NAMES, at, encounter, enrolled, kinds_data, monitoring, prom, withdrawal

DRAFT = Draft.model_validate(kinds_data())
SECRET = X25519PrivateKey.from_private_bytes(b"R" * 32)
KEY = b"k" * 32
HORIZONS = st.sampled_from([None, 1, 3])


def story(seed, length=60, people=(1, 2, 3)):
    """Values of one source partition: events of all kinds, corrected, cancelled and repeated, and heartbeats; the last
    one of `people` is nowhere enrolled.
    """
    rng, found, day = random.Random(seed), [enrolled(number) for number in people[:-1]], 0.0
    for _ in range(length):
        day = min(83.0, day + rng.random() * 3)
        occurred, number, who = max(0.0, day - rng.choice([0, 1, 9])), f"{rng.randrange(12)}-{people[0]}", rng.choice(people)
        corrects = rng.choice([None, None, f"{rng.randrange(12)}-{people[0]}"])
        more = {"recorded": day, "cancels": rng.random() < 0.2}
        match rng.randrange(6):
            case 0:
                found.append(Heartbeat(source="ehr", final=False, until=at(occurred), recorded_at=at(day)))
            case 1:
                found.append(monitoring(who, f"m{number}", occurred, corrects=None if corrects is None else f"m{corrects}", **more))
            case 2:
                found.append(prom(who, f"p{number}", occurred, corrects=None if corrects is None else f"p{corrects}", **more))
            case 3 if rng.random() < 0.1:
                found.append(withdrawal(who, f"w{number}", occurred, day))
            case _:
                found.append(encounter(who, f"e{number}", occurred, corrects=None if corrects is None else f"e{corrects}", **more))
    return [*found, Heartbeat(source="ehr")]


def log_of(events, cuts, partition=0):
    """Records of the shard's log, the source's records re-keyed in stretches that end at `cuts`."""
    rekeyer = Rekeyer(DRAFT, "hospital", NAMES, SECRET.public_key())
    records = [SimpleNamespace(partition=partition, offset=n, timestamp=0, key=None, value=encode(e)) for n, e in enumerate(events)]
    header, log, start = beginning(partition), [], 0
    for end in [*sorted(cuts), len(records)]:
        if end > start:
            step = rekeyer.step(header, records[start:end])
            header, start = step.header, end
            log += step.sharded[0]
    return log


def agreed(horizon):
    data = kinds_data(corrections=None if horizon is None else {"horizon_panes": horizon})
    for party in data["parties"]:
        party.pop("grace_panes", None)
    return Draft.model_validate(data)


def new(draft=DRAFT):
    return Shard(draft, "hospital", 0, bytes(32), 1)


def folded(shard, log, start=0):
    return [
        (made.pane, made.content.tobytes()) if isinstance(made, Sealed) else made
        for offset, record in enumerate(log[start:], start)
        for made in shard.fold(offset, EventColumns.from_bytes(record))
    ]


def folded_seals(shard, log, start):
    """(pane, revision, content) of what records of the log, from offset `start` on, leave."""
    return [
        (made.pane, made.revision, made.content.tobytes())
        for offset, record in enumerate(log, start) for made in shard.fold(offset, EventColumns.from_bytes(record))
        if isinstance(made, Sealed)
    ]


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sets(st.integers(1, 62)), st.integers(0, 80), HORIZONS)
def test_how_a_log_is_cut_and_where_a_shard_starts_again_change_nothing(seed, cuts, crash, horizon):
    events, draft = story(seed), agreed(horizon)
    whole, parts = new(draft), new(draft)
    log = log_of(events, cuts)
    expected = folded(whole, log_of(events, []))
    crash %= len(log) + 1
    before = folded(parts, log[:crash])
    again = new(draft)
    again.load(KEY, parts.dump(KEY))
    assert again.dump(KEY) == parts.dump(KEY)
    assert before + folded(again, log, crash) == expected
    assert folded(new(draft), log[:crash]) == before
    assert (again.accepted, again.refused, again.refused_of, again.panes.late_pending) == (
        whole.accepted, whole.refused, {0: whole.refused.total()}, whole.panes.late_pending
    )
    assert again.ended
    assert whole.panes.sealed == DRAFT.panes.count
    sent = sum(not isinstance(e, Heartbeat) for e in events)
    judged = whole.seen[0]
    assert whole.accepted + whole.refused.total() + sum(judged.refused.values()) == sent
    assert whole.accepted + whole.refused.total() == judged.accepted


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sets(st.integers(1, 62)), st.sets(st.integers(1, 62)))
def test_what_is_sent_twice_in_other_stretches_is_dropped(seed, cuts, others):
    events = story(seed)
    once, twice = new(), new()
    expected = folded(once, log_of(events, cuts))
    assert folded(twice, log_of(events, cuts) + log_of(events, others)) == expected
    assert twice.accepted == once.accepted


@settings(max_examples=40)
@given(
    st.integers(0, 2**32), st.sets(st.integers(1, 62)), st.sets(st.integers(1, 62)), st.lists(st.booleans(), max_size=130),
    HORIZONS,
)
def test_how_source_partitions_come_together_changes_no_content(seed, cuts, others, turns, horizon):
    """Late is what came after its own partition had passed, however far the other one was read."""
    first, second = (log_of(story(seed + p, people=(1 + 9 * p, 2 + 9 * p, 3 + 9 * p)), c, p) for p, c in enumerate((cuts, others)))
    mixed, at = [], [0, 0]
    for turn in turns:
        mixed += (first, second)[turn][at[turn] : at[turn] + 1]
        at[turn] += 1
    seals, shards, draft = [], [], agreed(horizon)
    for log in (first + second, second + first, mixed + first[at[0] :] + second[at[1] :]):
        shards.append(Shard(draft, "hospital", 0, bytes(32), 2))
        found = folded(shards[-1], log)
        assert shards[-1].ended
        seals.append([made for made in found if not isinstance(made, Refused)])
    assert seals[0] == seals[1] == seals[2]
    assert len(seals[0]) == DRAFT.panes.count
    assert len({(s.accepted, s.panes.late_pending, tuple(sorted(s.refused.items()))) for s in shards}) == 1


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sets(st.integers(1, 120)), st.sampled_from([1, 2, 3]))
def test_forgetting_is_never_seen(seed, cuts, horizon):
    """What is beyond the horizon is refused whether it is still remembered or not."""
    log, draft = log_of(story(seed, length=120), cuts), agreed(horizon)
    forgets, remembers = new(draft), new(draft)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validator, "forget", lambda *_: None)
        patch.setattr(ShardPanes, "forget", lambda *_: None)
        expected = folded(remembers, log)
    assert folded(forgets, log) == expected
    assert (forgets.accepted, forgets.refused, forgets.panes.late_pending) == (
        remembers.accepted, remembers.refused, remembers.panes.late_pending
    )
    remembered, kept = (dict(chest.unlock(KEY, s.purpose, s.dump(KEY))[1]._found) for s in (remembers, forgets))
    assert all(len(remembered[name]) > 0 == len(kept[name]) for name in ("said", "uses"))
    assert len(kept["standing"]) == 0


def test_the_stories_go_beyond_the_horizon():
    old = Counter()
    for seed in range(10):
        shard = new(agreed(1))
        folded(shard, log_of(story(seed, length=120), []))
        old += shard.refused
    assert old[Reason.TOO_OLD] > 20


def test_what_is_beyond_the_horizon_is_too_old():
    day = 40
    events = [
        enrolled(1), encounter(1, "old", 3), encounter(1, "fresh", 22), encounter(1, "moves", 21), encounter(1, "now", day),
        # The watermark is at day 40: of its pane, 5, the horizon of 2 reaches back to pane 3, which begins on day 21.
        encounter(1, "late", 20, recorded=day), encounter(1, "in time", 21, recorded=day),
        encounter(1, "old", 3, recorded=day), encounter(1, "old", 3, recorded=day, cancels=True),
        encounter(1, "mends", day, corrects="old"), encounter(1, "strange", day, corrects="nothing"),
        encounter(1, "fresh", 23, recorded=day), encounter(1, "moves", 20, recorded=day),
        encounter(1, "moves", 21, recorded=day, cancels=True),
        monitoring(1, "task", day, status="completed", due=19),
        monitoring(1, "due", day, status="completed", due=22), prom(1, "first", -3, recorded=day),
    ]
    found = folded(shard := new(agreed(2)), log_of(events, []))
    refused = {int(made.position.rsplit(":")[-1]): made.reason for made in found if isinstance(made, Refused)}
    old = {5, 7, 8, 9, 10, 12, 14, 16}
    assert refused == dict.fromkeys(old, Reason.TOO_OLD)
    assert shard.accepted == len(events) - len(old)


def test_panes_equal_those_of_events_one_by_one():
    events = [enrolled(1), enrolled(2), encounter(1, "a", 3), prom(1, "b", 4), encounter(2, "c", 9), withdrawal(2, "w", 30)]
    driven, shard = DrivenPanes(DRAFT, "hospital"), new()
    expected = []
    for event in [*events, Heartbeat(source="ehr")]:
        if isinstance(event, Heartbeat):
            driven.hear(event)
        else:
            driven.add(event)
        while driven.ripe:
            pane, content, _ = driven.seal()
            expected.append((pane, content.tobytes()))
    assert folded(shard, log_of([*events, Heartbeat(source="ehr")], [])) == expected


def test_a_refusal_names_its_place_and_a_gap_in_the_log_ends_the_fold():
    events = [enrolled(1), encounter(1, "a", 3), encounter(1, "a", 3), Heartbeat(source="ehr")]
    found = [made for made in folded(new(), log_of(events, [])) if isinstance(made, Refused)]
    assert [(made.reason, made.position) for made in found] == [(Reason.DUPLICATE_ID, "source:0:2")]
    shard = new()
    with pytest.raises(StreamsError, match="the log lost records"):
        list(shard.fold(0, EventColumns.from_bytes(log_of(events, [2])[1])))


@pytest.mark.parametrize("change", [
    lambda s: s[:-1], lambda s: s[:40] + bytes([s[40] ^ 1]) + s[41:], lambda s: b"", lambda s: s + b"x",
])
def test_a_damaged_state_is_refused(change):
    state = new().dump(KEY)
    with pytest.raises(StoreError):
        new().load(KEY, change(state))
    with pytest.raises(StoreError, match="damaged, or not of shard 0"):
        new().load(b"K" * 32, state)
    with pytest.raises(StoreError, match="not of shard 1"):
        Shard(DRAFT, "hospital", 1, bytes(32), 1).load(KEY, state)
