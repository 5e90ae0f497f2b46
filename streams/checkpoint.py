"""Checkpoints: a shard's state, stored now and then, so that a new owner goes on from there (ADR 16).

On the compacted state topic a checkpoint is a run of pieces and, last, a manifest; partition = shard. Keys are never
used twice, so no checkpoint is ever half another one's; those that nobody needs any more are taken away by tombstones.
A checkpoint without its manifest, or with a piece missing, is as if it were not there: the one before still is.
Manifests are sealed as states are: whoever else writes to the topic can take checkpoints away, and cannot add any.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Self

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.broker import MAX_MESSAGE_BYTES, Consumer, Producer, Record
from streams.errors import StoreError
from streams.flow import to_the_end
from streams.shard import Shard
from streams.states import StateFolder

PIECE_BYTES = MAX_MESSAGE_BYTES - 1024
MAX_PIECES = 4_096
SENT_TOGETHER = 16
"""Pieces that have to be stored within one send's limit of time: 14 MB."""
KEPT = 2
"""Checkpoints of a shard that stay: the latest, and the one before it."""
SHARE_OF_TIME = 0.05
"""At most this part of a worker's time goes into checkpoints, however large states become."""
POLL_RECORDS = 64
MAX_UNFINISHED = 4
"""Checkpoints without a manifest whose pieces are in memory while a topic is read: an owner leaves one at most."""
MAX_TAKEN_AWAY = 16_384
"""Keys that one checkpoint takes away at most; what is left waits for the next."""
_LABEL = b"winnow checkpoint v2\0"


class _Name(NamedTuple):
    """Of a checkpoint: the owner's epoch, and its how-many-th of a shard."""

    epoch: int
    number: int

    def key(self, part: str) -> bytes:
        return f"{self.epoch}/{self.number}/{part}".encode()


class _Manifest(BaseModel):
    """The last record of a checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int = Field(ge=2, le=2)
    position: int = Field(ge=0)
    """In the log: the greatest is the newest."""
    pieces: int = Field(ge=1, le=MAX_PIECES)
    seal: str = Field(pattern=r"^[0-9a-f]{64}$")
    """HMAC-SHA256 over the state's purpose, the checkpoint's name, and the numbers above."""

    @classmethod
    def of(cls, key: bytes, purpose: str, name: _Name, position: int, pieces: int) -> Self:
        """Of a checkpoint; equal for equal ones."""
        said = f"{purpose}\0{name.epoch}/{name.number}/{position}/{pieces}".encode()
        return cls(version=2, position=position, pieces=pieces, seal=hmac.digest(key, _LABEL + said, "sha256").hex())


class Held:
    """What a partition of the state topic holds, as it is read; at most KEPT checkpoints, and MAX_UNFINISHED without a
    manifest, are in memory.

    Args:
        key: under which states are sealed.
        purpose: of the shard's states.
    """

    def __init__(self, key: bytes, purpose: str) -> None:
        self._key, self._purpose = key, purpose
        self.keys: dict[_Name, set[str]] = {}
        """Every checkpoint of which something was seen → its parts."""
        self._pieces: dict[_Name, dict[int, bytes]] = {}
        self._whole: dict[_Name, int] = {}
        """Complete checkpoints → position."""

    def take(self, record: Record) -> None:
        parsed = _parsed(record.key)
        if parsed is None:
            return
        name, part = parsed
        self.keys.setdefault(name, set()).add(part)
        if name in self._whole:
            return
        if part != "manifest":
            unfinished = [o for o in self._pieces if o != name and o not in self._whole]
            left = [o for o in unfinished if o.epoch == name.epoch]
            for other in left or unfinished[: max(0, len(unfinished) - MAX_UNFINISHED + 1)]:
                del self._pieces[other]
            self._pieces.setdefault(name, {})[int(part)] = record.value
            return
        try:
            manifest = _Manifest.model_validate_json(record.value)
        except ValidationError:
            return
        ours = _Manifest.of(self._key, self._purpose, name, manifest.position, manifest.pieces)
        if not hmac.compare_digest(manifest.seal, ours.seal):
            return
        found = self._pieces.get(name, {})
        if found.keys() == set(range(manifest.pieces)):
            self._whole[name] = manifest.position
            for old in sorted(self._whole, key=lambda n: self._whole[n])[:-KEPT]:
                del self._whole[old], self._pieces[old]

    def states(self) -> list[bytes]:
        """Whole ones, the newest first."""
        ordered = sorted(self._whole, key=lambda n: (self._whole[n], n), reverse=True)
        return [b"".join(self._pieces[name][i] for i in range(len(self._pieces[name]))) for name in ordered]


def _parsed(key: bytes | None) -> tuple[_Name, str] | None:
    """Of which checkpoint a record is, and which part; None of what no checkpoint has."""
    parts = (key or b"").decode("ascii", "replace").split("/")
    if len(parts) != 3 or not all(p.isdecimal() and len(p) <= 18 for p in parts[:2]):
        return None
    if parts[2] != "manifest" and not (parts[2].isdecimal() and len(parts[2]) <= 6 and int(parts[2]) < MAX_PIECES):
        return None
    return _Name(int(parts[0]), int(parts[1])), parts[2]


async def read_states(consumer: Consumer, key: bytes, purposes: Sequence[str]) -> list[Held]:
    """What the state topic holds of every shard; `purposes`: of their states, in order (Shard.purpose).

    Raises:
        BrokerError: it cannot be read to its end.
    """
    found = [Held(key, purpose) for purpose in purposes]
    async for records in to_the_end(consumer, range(len(found)), POLL_RECORDS):
        for record in records:
            found[record.partition].take(record)
    return found


async def restore(
    make: Callable[[int], Shard], shards: int, key: bytes, folder: StateFolder | None, consumer: Consumer,
    fits: Callable[[int, Shard], Awaitable[bool]],
) -> tuple[list[Shard], list[Held]]:
    """Every shard where it was: from the newest state that can be read, or new.

    Args:
        make: shard number → a new one.
        shards: how many.
        key: under which states are sealed.
        folder: local copies.
        consumer: of the state topic, all partitions, from the beginning.
        fits: whether a shard's state is of this log. A folder may outlive topics, the state topic does not.

    Raises:
        BrokerError: see read_states.
    """
    read = await read_states(consumer, key, [make(number).purpose for number in range(shards)])
    found = []
    for number in range(shards):
        best = await asyncio.to_thread(_newest, make, number, key, read[number].states())
        copy = None if folder is None else await asyncio.to_thread(folder.read, number)
        if copy is not None:
            local = await asyncio.to_thread(_newest, make, number, key, [copy])
            if local.position > best.position:
                if await fits(number, local):
                    best = local
                else:
                    structlog.get_logger().warning(
                        "a local copy of a state is not used", shard=number, reason="it is of another log"
                    )
        found.append(best)
    return found, read


def _newest(make: Callable[[int], Shard], number: int, key: bytes, states: Sequence[bytes]) -> Shard:
    best = make(number)
    for state in states:
        shard = make(number)
        try:
            shard.load(key, state)
        except StoreError as error:
            structlog.get_logger().warning("a state is not used", shard=number, reason=str(error))
            continue
        if shard.position > best.position:
            best = shard
    return best


class Checkpoints:
    """What one owner stores.

    Args:
        topic: the state topic.
        key: 32 bytes, the party's own: states are sealed under it.
        epoch: the owner's.
        seconds: between two checkpoints of a shard, at least.
        folder: for local copies.
        read: what the topic held at the start; taken away once this owner has checkpoints of its own.
        producer: for the state topic.
    """

    def __init__(
        self, topic: str, key: bytes, epoch: int, seconds: float, folder: StateFolder | None, read: Sequence[Held],
        producer: Producer,
    ) -> None:
        self._topic, self._key, self._epoch, self._seconds = topic, key, epoch, seconds
        self._folder, self._producer = folder, producer
        self._numbers: dict[int, int] = {}
        self._kept: dict[int, list[tuple[_Name, set[str]]]] = {
            shard: list(of.keys.items()) for shard, of in enumerate(read)
        }
        """Shard → checkpoints on the topic, oldest first, and the parts of each."""
        now = time.monotonic()
        self._due: dict[int, float] = dict.fromkeys(range(len(read)), now + seconds)

    async def keep_if_due(self, shard: int, state: Shard) -> None:
        """Store a shard's state if its time has come; everything it has sealed must be stored already.

        Without a local copy, as when the disk is full, a start takes longer; that is told, and work goes on.

        Raises:
            BrokerError: see Producer.send.
        """
        if time.monotonic() >= self._due[shard]:
            await self.keep(shard, state)

    async def keep(self, shard: int, state: Shard) -> None:
        """Store a shard's state now. See keep_if_due."""
        begun = time.monotonic()
        position, dump = state.position, await asyncio.to_thread(state.dump, self._key)
        if self._folder is not None:
            try:
                await asyncio.to_thread(self._folder.write, shard, dump)
            except StoreError as error:
                structlog.get_logger().warning("no local copy of a state", shard=shard, reason=str(error))
        name = _Name(self._epoch, self._numbers.get(shard, 0))
        self._numbers[shard] = name.number + 1
        pieces = [dump[i : i + PIECE_BYTES] for i in range(0, len(dump), PIECE_BYTES)]
        records = [(name.key(str(number)), piece) for number, piece in enumerate(pieces)]
        for part in range(0, len(records), SENT_TOGETHER):
            await self._producer.send(self._topic, shard, records[part : part + SENT_TOGETHER])
        manifest = _Manifest.of(self._key, state.purpose, name, position, len(pieces)).model_dump_json().encode()
        await self._producer.send(self._topic, shard, [(name.key("manifest"), manifest)])
        self._kept[shard].append((name, {"manifest", *map(str, range(len(pieces)))}))
        await self._take_away(shard)
        now = time.monotonic()
        self._due[shard] = now + max(self._seconds, (now - begun) / SHARE_OF_TIME)

    async def _take_away(self, shard: int) -> None:
        """Leave the latest of this owner's, once there are KEPT."""
        kept = self._kept[shard]
        mine = [name for name, _ in kept if name.epoch == self._epoch]
        if len(mine) < KEPT:
            return
        left: list[tuple[_Name, set[str]]] = []
        gone: list[tuple[bytes, None]] = []
        for name, parts in kept:
            if name in mine[-KEPT:] or len(gone) >= MAX_TAKEN_AWAY:
                left.append((name, parts))
            else:
                # The manifest first: what is left without it does not count.
                gone += [(name.key(part), None) for part in sorted(parts, key=lambda part: part != "manifest")]
        await self._producer.send(self._topic, shard, gone)
        self._kept[shard] = left


