"""The operator's figures: how far a party is, in messages and in event time, and what it waits for.

Workers say how they *stand*; figures follow from that, the agreement and the time of the question: pure functions.
What nobody has said is None ("unknown"), and a sum with an unknown part is unknown: unknown is not 0. These are a
party's own figures, for its own operator: counts may be about one patient.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from policy.agreement import MAX_SHARDS, Party, Source
from policy.window import MAX_PANES, PaneGrid
from streams.columns import ENDED, NEVER, Mark

MAX_PARTITIONS = 1_024
MAX_SOURCES = 255
QUIET = timedelta(days=1)
"""A source may say nothing for its declared bound, and for a day at least, before it is shown as silent."""
STALE = timedelta(seconds=60)
"""A worker that lives says more often than this how it stands."""

Number = Annotated[int, Field(ge=0, lt=2**53)]
Name = Annotated[str, Field(max_length=100)]
Instant = AwareDatetime | None
"""None: unknown."""
SourceState = Literal["heard", "silent", "ended", "unknown"]
DAY = TypeVar("DAY", datetime, date)


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SourceStand(Frozen):
    """One agreed source in one partition of the source topic."""

    source: Name
    watermark: Instant = None
    """Nothing on time comes from before it; None before the source's first word."""
    heard: Instant = None
    """Time of recording of its latest event or heartbeat."""
    ended: bool = False


class PartitionStand(Frozen):
    """What ingest knows of one partition of the source topic."""

    partition: Number
    end: Number | None = None
    """The offset that the next record will get."""
    position: Number | None = None
    """The offset that is read next."""
    rejected: Number | None = None
    """Events refused in this partition."""
    sources: Annotated[tuple[SourceStand, ...], Field(max_length=MAX_SOURCES)] = ()


class ShardStand(Frozen):
    """What the panes stage knows of one shard: a partition of the sharded topic."""

    shard: Annotated[int, Field(ge=0, lt=MAX_SHARDS)]
    end: Number | None = None
    position: Number | None = None
    watermark: Instant = None
    ended: bool = False
    """Whether every source has ended; there is no watermark then."""
    sealed: Annotated[int, Field(ge=0, le=MAX_PANES)] | None = None
    """Panes sealed."""
    late: Number | None = None
    """Events that came for a sealed pane, or about a patient who was known too late; maturities share the former."""
    late_after_maturity: Number | None = None
    """Events that came for a pane whose last maturity had passed: in no result."""
    gone: Number | None = None
    """Batches and erasure lists that a node misses and that have left the party's panes topic."""
    withdrawn_waiting: Number | None = None
    """Patients who withdrew and are on no list of rows to be erased yet."""
    lists_differing: Number | None = None
    """Lists of rows to be erased of which a node says that nodes have different contents."""
    foreign: Number | None = None
    """Records on the shard's own topics that the party did not write."""
    joining: Number | None = Field(default=None, exclude_if=lambda number: number is None)
    """Patients who wait for the register's next batch; None where it has one batch only."""


class Stand(Frozen):
    """What one worker of a party says of what it holds."""

    worker: Name
    at: AwareDatetime
    last: bool = False
    """Whether the worker has ended: it will say no more."""
    partitions: Annotated[tuple[PartitionStand, ...], Field(max_length=MAX_PARTITIONS)] = ()
    shards: Annotated[tuple[ShardStand, ...], Field(max_length=MAX_SHARDS)] = ()


class SourceFigures(Frozen):
    """One agreed source over all partitions."""

    source: str
    state: SourceState
    """silent: all there is was read, and its latest word is older than its bound (quiet_limit); everything still waits
    for it. unknown: something is unread, or nobody says how far reading is.
    """
    watermark: Instant
    """The least of its partitions'."""
    lag_seconds: float | None
    """From the watermark to now; None when unknown or ended."""
    heard: Instant
    silent_since: Instant
    """Its last word; None if it is not silent, or was never heard."""


class PartitionFigures(Frozen):
    """One partition of the source topic."""

    partition: int
    lag_messages: int | None
    watermark: Instant
    lag_seconds: float | None
    ended: bool
    waits_for: str | None
    """A source that was never heard here, else the one with the least watermark: it holds the others back. None if
    nobody speaks of this partition, or all sources have ended.
    """
    rejected: int | None
    sources: tuple[SourceStand, ...]
    worker: str | None
    told: Instant
    stale: bool
    """Whether the worker has said nothing for STALE: the figures are of then."""


class ShardFigures(Frozen):
    """One shard."""

    shard: int
    lag_messages: int | None
    watermark: Instant
    lag_seconds: float | None
    ended: bool
    sealed_until: date | None
    """The first local day that is not sealed; the first day of all while nothing is."""
    late: int | None
    late_after_maturity: int | None
    gone: int | None
    withdrawn_waiting: int | None
    lists_differing: int | None
    foreign: int | None
    joining: int | None = Field(default=None, exclude_if=lambda number: number is None)
    worker: str | None
    told: Instant
    stale: bool


class PartyFigures(Frozen):
    """All of a party; totals are unknown as long as a part of them is."""

    party: str
    at: AwareDatetime
    sources: tuple[SourceFigures, ...]
    partitions: tuple[PartitionFigures, ...]
    shards: tuple[ShardFigures, ...]
    source_lag_messages: int | None
    """Records of the source topic that are not read yet: an event each."""
    shard_lag_messages: int | None
    """Records of the sharded topic that are not read yet: a batch of events each."""
    lag_seconds: float | None
    """Of the partition or shard that is furthest behind; None when unknown, or when all have ended."""
    sealed_until: date | None
    """Of the shard that is furthest behind."""
    late: int | None
    late_after_maturity: int | None
    gone: int | None
    """Batches and erasure lists that nodes miss and that no worker can send: a node waits for them."""
    withdrawn_waiting: int | None
    """Patients who withdrew and whose rows the nodes were not asked to erase yet, in all shards."""
    lists_differing: int | None
    """Lists of rows to be erased that no node obeys, since nodes have different contents of them."""
    foreign: int | None
    """Records that somebody else put on the party's own topics: passed over."""
    joining: int | None = Field(default=None, exclude_if=lambda number: number is None)
    """Patients who wait for the next batch of the party's registers; None where these have one batch only."""
    rejected: int | None
    partition_skew_seconds: float | None
    """Event time between the first and the last partition that has not ended."""
    shard_skew_seconds: float | None
    load_ratio: float | None
    """Messages of the fullest shard, divided by their mean; None when unknown or without messages."""


def partition_stand(
    partition: int, end: int | None, position: int | None, marks: Mapping[str, Mark], sources: Sequence[Source],
    rejected: int | None,
) -> PartitionStand:
    """How one partition of the source topic stands, from what ingest keeps of it.

    Args:
        partition: of the source topic.
        end: the offset that the next record will get; None while nobody knows, as when the broker is away.
        position: the offset that is read next.
        marks: agreed source → how far it is there (streams.columns.Header.marks).
        sources: all that are agreed; one without a mark has not been heard.
        rejected: events refused in this partition.
    """
    found = []
    for source in sources:
        mark = marks.get(source.name, Mark())
        bound = round(timedelta(days=source.bound_days) / timedelta(microseconds=1))
        found.append(SourceStand(
            source=source.name, watermark=None if mark.final else instant(mark.watermark(bound)),
            heard=instant(mark.recorded), ended=mark.final,
        ))
    return PartitionStand(partition=partition, end=end, position=position, rejected=rejected, sources=tuple(found))


def shard_stand(
    shard: int, end: int | None, position: int | None, watermark: int, sealed: int | None, late: int | None,
    late_after_maturity: int | None, gone: int | None, withdrawn_waiting: int | None = None,
    lists_differing: int | None = None, foreign: int | None = None, joining: int | None = None,
) -> ShardStand:
    """How one shard stands; `watermark` as the panes stage has it: µs since 1970, NEVER or ENDED."""
    return ShardStand(
        shard=shard, end=end, position=position, watermark=instant(watermark), ended=watermark >= ENDED,
        sealed=sealed, late=late, late_after_maturity=late_after_maturity, gone=gone,
        withdrawn_waiting=withdrawn_waiting, lists_differing=lists_differing, foreign=foreign,
        joining=joining,
    )


def instant(microseconds: int) -> datetime | None:
    """µs since 1970 as an instant; None for NEVER, ENDED and what no calendar has."""
    if microseconds in (NEVER, ENDED):
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def figures(
    party: Party, grid: PaneGrid, partitions: int, shards: int, stands: Iterable[Stand], now: datetime,
) -> PartyFigures:
    """The figures of one party.

    Args:
        party: as agreed.
        grid: the agreement's panes.
        partitions: of the source topic; what no worker speaks of is unknown.
        shards: of the agreement.
        stands: of all workers, in any order: of each part the latest word counts.
        now: time of the question.
    """
    ordered = sorted(stands, key=lambda stand: stand.at)
    by_partition = {p.partition: (stand, p) for stand in ordered for p in stand.partitions}
    by_shard = {s.shard: (stand, s) for stand in ordered for s in stand.shards}
    read = [_partition(by_partition.get(i), i, party.sources, now) for i in range(partitions)]
    kept = [_shard(by_shard.get(i), i, grid, now) for i in range(shards)]
    parts: list[PartitionFigures | ShardFigures] = [*read, *kept]
    known = not any(part.lag_seconds is None and not part.ended for part in parts)
    return PartyFigures(
        party=party.name, at=now, sources=tuple(_source(s, read, now) for s in party.sources),
        partitions=tuple(read), shards=tuple(kept), source_lag_messages=_sum(part.lag_messages for part in read),
        shard_lag_messages=_sum(shard.lag_messages for shard in kept),
        lag_seconds=max((p.lag_seconds for p in parts if p.lag_seconds is not None), default=None) if known else None,
        sealed_until=_least([shard.sealed_until for shard in kept]),
        late=_sum(shard.late for shard in kept),
        late_after_maturity=_sum(shard.late_after_maturity for shard in kept),
        gone=_sum(shard.gone for shard in kept),
        withdrawn_waiting=_sum(shard.withdrawn_waiting for shard in kept),
        lists_differing=_sum(shard.lists_differing for shard in kept),
        foreign=_sum(shard.foreign for shard in kept), joining=_sum(shard.joining for shard in kept),
        rejected=_sum(part.rejected for part in read),
        partition_skew_seconds=_skew(read), shard_skew_seconds=_skew(kept),
        load_ratio=_load([None if i not in by_shard else by_shard[i][1].end for i in range(shards)]),
    )


def quiet_limit(source: Source) -> timedelta:
    """How long a source may say nothing before it is shown as silent."""
    return max(timedelta(days=source.bound_days), QUIET)


def _partition(
    said: tuple[Stand, PartitionStand] | None, number: int, agreed: Sequence[Source], now: datetime,
) -> PartitionFigures:
    stand, part = said if said is not None else (None, PartitionStand(partition=number))
    by_name = {source.source: source for source in part.sources}
    sources = tuple(by_name.get(source.name, SourceStand(source=source.name)) for source in agreed)
    going = [source for source in sources if not source.ended]
    watermark = _least([source.watermark for source in going])
    unheard = [source.source for source in going if source.watermark is None]
    slowest = [source.source for source in going if source.watermark == watermark]
    return PartitionFigures(
        partition=number, lag_messages=_behind(part.end, part.position), watermark=watermark,
        lag_seconds=_age(watermark, now), ended=not going, rejected=part.rejected, sources=sources,
        waits_for=next(iter((*unheard, *slowest)), None) if stand is not None else None,
        worker=stand.worker if stand else None, told=stand.at if stand else None, stale=_stale(stand, now),
    )


def _shard(said: tuple[Stand, ShardStand] | None, number: int, grid: PaneGrid, now: datetime) -> ShardFigures:
    stand, part = said if said is not None else (None, ShardStand(shard=number))
    return ShardFigures(
        shard=number, lag_messages=_behind(part.end, part.position), watermark=part.watermark,
        lag_seconds=_age(part.watermark, now), ended=part.ended,
        sealed_until=None if part.sealed is None else grid.first_day(min(part.sealed, grid.count)), late=part.late,
        late_after_maturity=part.late_after_maturity, gone=part.gone, withdrawn_waiting=part.withdrawn_waiting,
        lists_differing=part.lists_differing,
        foreign=part.foreign, joining=part.joining,
        worker=stand.worker if stand else None, told=stand.at if stand else None, stale=_stale(stand, now),
    )


def _source(source: Source, partitions: Sequence[PartitionFigures], now: datetime) -> SourceFigures:
    found = [s for part in partitions for s in part.sources if s.source == source.name]
    going = [s for s in found if not s.ended]
    watermark = _least([s.watermark for s in going])
    heard = max((s.heard for s in found if s.heard is not None), default=None)
    quiet = heard is None or now - heard > quiet_limit(source)
    read = all(part.lag_messages == 0 and not part.stale for part in partitions)
    state: SourceState = "ended" if not going else "heard" if not quiet else "silent" if read else "unknown"
    return SourceFigures(
        source=source.name, state=state, watermark=watermark, lag_seconds=_age(watermark, now), heard=heard,
        silent_since=heard if state == "silent" else None,
    )


def _stale(stand: Stand | None, now: datetime) -> bool:
    return stand is None or (not stand.last and now - stand.at > STALE)


def _behind(end: int | None, position: int | None) -> int | None:
    return None if end is None or position is None else max(end - position, 0)


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else (now - at).total_seconds()


def _sum(values: Iterable[int | None]) -> int | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def _least(values: Sequence[DAY | None]) -> DAY | None:
    known = [value for value in values if value is not None]
    return min(known, default=None) if len(known) == len(values) else None


def _skew(parts: Sequence[PartitionFigures | ShardFigures]) -> float | None:
    known = [part.watermark for part in parts if part.watermark is not None]
    if len(known) < sum(not part.ended for part in parts):
        return None
    return (max(known) - min(known)).total_seconds() if known else 0.0


def _load(ends: Sequence[int | None]) -> float | None:
    total = _sum(ends)
    return None if not total else max(end for end in ends if end is not None) * len(ends) / total
