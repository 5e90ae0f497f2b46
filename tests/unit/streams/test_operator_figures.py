"""The operator's figures against states made by hand: unknown is not 0, nobody silent is skipped."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.agreement import Party
from policy.window import PaneGrid
from streams.columns import ENDED, NEVER, Mark
from streams.figures import (
    PartitionStand,
    ShardStand,
    SourceStand,
    Stand,
    figures,
    instant,
    partition_stand,
    quiet_limit,
    shard_stand,
)

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
GRID = PaneGrid(zone="Europe/Amsterdam", unit="week", start=date(2024, 1, 1), count=12)
PARTY = Party.model_validate({"name": "insurer", "sources": [
    {"name": "claims", "kinds": ["claim"], "bound_days": 3}, {"name": "members", "kinds": ["enrolment"]},
]})


def ago(**past):
    return NOW - timedelta(**past)


def micros(at):
    return round(at.timestamp() * 1e6)


def source(name, behind_hours=1.0, heard_hours=0.5, **more):
    return SourceStand(source=name, watermark=ago(hours=behind_hours), heard=ago(hours=heard_hours), **more)


def partition(number, *sources, end=10, position=10, rejected=0):
    return PartitionStand(
        partition=number, end=end, position=position, rejected=rejected,
        sources=sources or (source("claims"), source("members")),
    )


def shard(number, behind_hours=1.0, **more):
    return ShardStand(**{"shard": number, "end": 5, "position": 5, "watermark": ago(hours=behind_hours), "sealed": 8, "late": 0, "late_after_maturity": 0, "gone": 0, **more})


def told(partitions=(), shards=(), at=NOW, worker="a", last=False):
    return Stand(worker=worker, at=at, last=last, partitions=tuple(partitions), shards=tuple(shards))


def of(*stands, partitions=2, shards=2, now=NOW):
    return figures(PARTY, GRID, partitions, shards, stands, now)


def test_a_party_that_is_up_to_date():
    found = of(told([partition(0), partition(1, rejected=2)], [shard(0, late=1), shard(1, behind_hours=3.0, sealed=7, late_after_maturity=3, gone=6)]))
    assert (found.source_lag_messages, found.shard_lag_messages, found.lag_seconds) == (0, 0, 3 * 3600)
    assert (found.late, found.late_after_maturity, found.gone, found.rejected) == (1, 3, 6, 2)
    assert found.sealed_until == date(2024, 2, 19)
    assert [s.sealed_until for s in found.shards] == [date(2024, 2, 26), date(2024, 2, 19)]
    assert (found.partition_skew_seconds, found.shard_skew_seconds) == (0, 2 * 3600)
    assert found.load_ratio == 1
    assert [(s.source, s.state, s.lag_seconds, s.silent_since) for s in found.sources] == [
        ("claims", "heard", 3600, None), ("members", "heard", 3600, None)]
    assert not any(part.stale for part in (*found.partitions, *found.shards))


def test_before_anybody_speaks_all_is_unknown_and_nothing_is_0():
    found = of()
    assert len(found.partitions) == len(found.shards) == 2
    for part in (found, *found.partitions, *found.shards, *found.sources):
        empty = {name: value for name, value in part if name not in {
            "party", "at", "partition", "shard", "source", "sources", "partitions", "shards", "stale", "ended"}}
        assert {name: v for name, v in empty.items() if v is not None} == ({"state": "unknown"} if "state" in empty else {})
    assert all(part.stale and not part.ended for part in (*found.partitions, *found.shards))


@pytest.mark.parametrize(("partitions", "shards", "unknown"), [
    ([partition(0), partition(1, end=None)], [shard(0), shard(1)], {"source_lag_messages"}),
    ([partition(0), partition(1, rejected=None)], [shard(0), shard(1)], {"rejected"}),
    ([partition(0)], [shard(0), shard(1)],
     {"source_lag_messages", "rejected", "lag_seconds", "partition_skew_seconds"}),
    ([partition(0), partition(1)], [shard(0), shard(1, late=None)], {"late"}),
    ([partition(0), partition(1)], [shard(0), shard(1, late_after_maturity=None)], {"late_after_maturity"}),
    ([partition(0), partition(1)], [shard(0), shard(1, gone=None)], {"gone"}),
    ([partition(0), partition(1)], [shard(0), shard(1, sealed=None)], {"sealed_until"}),
    ([partition(0), partition(1)], [shard(0), shard(1, watermark=None)], {"lag_seconds", "shard_skew_seconds"}),
    ([partition(0), partition(1)], [shard(0), shard(1, position=None)], {"shard_lag_messages"}),
    ([partition(0), partition(1)], [shard(0), shard(1, end=None)], {"shard_lag_messages", "load_ratio"}),
])
def test_one_unknown_part_makes_a_total_unknown(partitions, shards, unknown):
    found = of(told(partitions, shards))
    totals = {"source_lag_messages", "shard_lag_messages", "lag_seconds", "sealed_until", "late", "late_after_maturity", "gone", "rejected", "partition_skew_seconds",
              "shard_skew_seconds", "load_ratio"}
    assert {name for name in totals if getattr(found, name) is None} == unknown


def test_lag_in_messages_and_load():
    found = of(told([partition(0, end=100, position=40), partition(1, end=10, position=12)],
                    [shard(0, end=90, position=80), shard(1, end=10)]))
    assert [p.lag_messages for p in found.partitions] == [60, 0]
    assert (found.source_lag_messages, found.shard_lag_messages) == (60, 15)
    assert found.load_ratio == 1.8
    assert of(told(shards=[shard(0, end=0, position=0), shard(1, end=0, position=0)])).load_ratio is None


def test_a_partition_waits_for_its_slowest_source_and_first_of_all_for_one_never_heard():
    never = SourceStand(source="members")
    found = of(told([
        partition(0, source("claims", 50), source("members", 2)), partition(1, source("claims", 1), never),
        partition(2, source("claims", 9), SourceStand(source="members", ended=True)),
        partition(3, *(SourceStand(source=name, ended=True) for name in ("claims", "members"))),
    ]), partitions=5)
    assert [p.waits_for for p in found.partitions] == ["claims", "members", "claims", None, None]
    assert [p.lag_seconds for p in found.partitions] == [50 * 3600, None, 9 * 3600, None, None]
    assert [p.ended for p in found.partitions] == [False, False, False, True, False]
    assert found.partition_skew_seconds is None


def test_a_silent_source_is_shown_with_since_when_and_still_holds_everything_back():
    old = source("claims", behind_hours=24 * 9, heard_hours=24 * 5)
    found = of(told([partition(0, old, source("members")), partition(1, old, source("members"))], [shard(0), shard(1)]))
    claims, members = found.sources
    assert (claims.state, claims.silent_since, claims.heard) == ("silent", ago(days=5), ago(days=5))
    assert (members.state, members.silent_since) == ("heard", None)
    assert [p.waits_for for p in found.partitions] == ["claims", "claims"]
    assert [p.watermark for p in found.partitions] == [ago(days=9)] * 2
    assert claims.lag_seconds == 9 * 86_400


@pytest.mark.parametrize(("heard_days", "state"), [(2.9, "heard"), (3.1, "silent")])
def test_silence_begins_after_the_declared_bound(heard_days, state):
    late = source("claims", heard_hours=24 * heard_days)
    found = of(told([partition(0, late, source("members"))]), partitions=1)
    assert found.sources[0].state == state
    assert [quiet_limit(s) for s in PARTY.sources] == [timedelta(days=3), timedelta(days=1)]


@pytest.mark.parametrize(("changes", "state"), [
    ({}, "silent"), ({"position": 9}, "unknown"), ({"end": None}, "unknown"), ({"position": None}, "unknown"),
])
def test_whether_a_source_is_silent_is_unknown_while_something_is_unread(changes, state):
    old = source("claims", heard_hours=24 * 30)
    found = of(told([partition(0, old, source("members")), partition(1, old, source("members"), **changes)]))
    assert found.sources[0].state == state
    assert found.sources[0].silent_since == (ago(days=30) if state == "silent" else None)


def test_a_source_that_was_never_heard_and_one_that_one_partition_heard():
    never, other = SourceStand(source="claims"), SourceStand(source="members")
    found = of(told([partition(0, never, source("members")), partition(1, never, other)]))
    claims, members = found.sources
    assert (claims.state, claims.heard, claims.silent_since, claims.watermark) == ("silent", None, None, None)
    assert (members.state, members.watermark) == ("heard", None)


def test_a_worker_that_says_nothing_any_more_is_stale_and_nobody_is_called_silent_for_it():
    old = source("claims", heard_hours=24 * 30)
    parts = [partition(0, old, source("members")), partition(1, old, source("members"))]
    assert not of(told(parts, at=ago(seconds=59))).partitions[0].stale
    found = of(told(parts, [shard(0)], at=ago(seconds=61)))
    assert (found.partitions[0].stale, found.shards[0].stale, found.shards[1].stale) == (True, True, True)
    assert found.sources[0].state == "unknown"
    assert found.partitions[0].told == ago(seconds=61)
    ended = of(told(parts, at=ago(days=1), last=True))
    assert not ended.partitions[0].stale
    assert ended.sources[0].state == "silent"


def test_of_a_part_that_moved_the_latest_word_counts():
    first = told([partition(0)], [shard(0, sealed=3), shard(1, sealed=3)], at=ago(seconds=40), worker="a")
    second = told([partition(1)], [shard(1, sealed=5)], at=ago(seconds=20), worker="b")
    for stands in ((first, second), (second, first)):
        found = of(*stands)
        assert [(s.worker, s.sealed_until) for s in found.shards] == [("a", date(2024, 1, 22)), ("b", date(2024, 2, 5))]
        assert [p.worker for p in found.partitions] == ["a", "b"]


def test_ended_shards_do_not_count_as_behind():
    found = of(told([partition(0), partition(1)], [shard(0), shard(1, watermark=None, ended=True, sealed=12)]))
    assert (found.lag_seconds, found.shard_skew_seconds, found.shards[1].lag_seconds) == (3600, 0, None)
    over = [shard(i, watermark=None, ended=True, sealed=12) for i in range(2)]
    gone = [partition(i, *(SourceStand(source=n, ended=True) for n in ("claims", "members"))) for i in range(2)]
    found = of(told(gone, over))
    assert (found.lag_seconds, found.shard_skew_seconds, found.partition_skew_seconds) == (None, 0, 0)
    assert found.sealed_until == date(2024, 3, 25)
    assert [s.state for s in found.sources] == ["ended", "ended"]


def test_marks_of_ingest_become_a_stand():
    marks = {
        "claims": Mark(told=NEVER, occurred=micros(ago(days=1)), recorded=micros(ago(hours=2)), seen=micros(ago(hours=2))),
        "members": Mark(final=True, recorded=micros(ago(hours=1))),
    }
    found = partition_stand(4, 20, 18, marks, PARTY.sources, 3)
    assert (found.partition, found.end, found.position, found.rejected) == (4, 20, 18, 3)
    claims, members = found.sources
    assert (claims.watermark, claims.heard, claims.ended) == (ago(days=4), ago(hours=2), False)
    assert (members.watermark, members.heard, members.ended) == (None, ago(hours=1), True)
    nothing = partition_stand(0, None, None, {}, PARTY.sources, None)
    assert all((s.watermark, s.heard, s.ended) == (None, None, False) for s in nothing.sources)
    assert [s.source for s in nothing.sources] == ["claims", "members"]


def test_a_shards_watermark_becomes_a_stand():
    assert shard_stand(1, 5, 5, micros(NOW), 3, 2, 1, 4) == ShardStand(
        shard=1, end=5, position=5, watermark=NOW, sealed=3, late=2, late_after_maturity=1, gone=4,
    )
    never, ended = shard_stand(1, 5, 5, NEVER, 0, 0, 0, 0), shard_stand(1, 5, 5, ENDED, 12, 0, 0, 0)
    assert (never.watermark, never.ended) == (None, False)
    assert (ended.watermark, ended.ended) == (None, True)


@given(st.integers(NEVER, ENDED))
def test_every_instant_is_a_time_or_unknown(microseconds):
    found = instant(microseconds)
    assert found is None or (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == microseconds


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 99), st.none() | st.integers(0, 99), st.integers(0, 50)), max_size=12))
def test_totals_are_sums_of_the_latest_words_or_unknown(words):
    stands, latest = [], {}
    for number, end, position, seconds in words:
        at = ago(seconds=seconds + len(stands) / 1000)
        stands.append(told(shards=[shard(number, end=end, position=position)], at=at))
        if number not in latest or at >= latest[number][0]:
            latest[number] = (at, end, position)
    lags = [None if end is None or position is None else max(end - position, 0) for _, end, position in latest.values()]
    expected = sum(lags) if len(latest) == 4 and None not in lags else None
    assert of(*stands, shards=4).shard_lag_messages == expected


def test_how_many_wait_to_join_is_told_where_registers_grow_and_nowhere_else():
    growing = [Stand(worker="w", at=NOW, shards=tuple(
        shard_stand(n, 5, 5, micros(NOW), 3, 2, 1, 4, joining=n + 2) for n in range(2)
    ))]
    found = figures(PARTY, GRID, 1, 2, growing, NOW)
    assert ([shard.joining for shard in found.shards], found.joining) == ([2, 3], 5)
    assert figures(PARTY, GRID, 1, 3, growing, NOW).joining is None
    once = [Stand(worker="w", at=NOW, shards=(shard_stand(0, 5, 5, micros(NOW), 3, 2, 1, 4),))]
    assert "joining" not in once[0].model_dump_json()
    assert "joining" not in figures(PARTY, GRID, 1, 1, once, NOW).model_dump_json()
    assert '"joining":5' in found.model_dump_json()
