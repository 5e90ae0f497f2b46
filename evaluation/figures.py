"""How a party's workers stand: said at a bounded rate, signed, and gathered again for the operator.

The stands of all workers lie on the party's own topic, which others cannot read: their counts may be about one patient.
To everybody a worker says only how many panes of its shards are sealed, which nodes see from the share batches anyhow.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from evaluation.errors import Tampered
from evaluation.records import PanesSealed, seal_record
from policy.agreement import Draft, Terms
from streams import topics
from streams.figures import PartitionStand, PartyFigures, ShardStand, Stand, figures

STAND_SECONDS = 5.0
"""Least time between two stands of a worker."""
SEALED_SECONDS = 60.0
"""Least time between two of a worker's words to everybody, unless it ends."""
MAX_STAND_BYTES = 900_000
"""What a broker takes as one message."""
MAX_WORKERS = 256
"""Workers whose last word is kept; of more the one that spoke longest ago is forgotten."""
AHEAD = timedelta(minutes=5)
"""A worker's clock may be ahead of ours by this much."""
_SIGNATURE_BYTES = 64
_DOMAIN = b"winnow-stand\0"


class Told(BaseModel):
    """A stand as it is signed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    agreement: str
    party: str
    stand: Stand


class Sender(Protocol):
    """What sends records and waits until they are stored: streams.broker.Producer."""

    async def send(self, topic: str, partition: int, records: list[tuple[bytes | None, bytes]]) -> int: ...


class Reporter:
    """Says how one worker stands; a worker makes one and calls `tell` whenever `due` says so."""

    def __init__(
        self, terms: Terms, party: str, worker: str, key: Ed25519PrivateKey, sender: Sender,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of one worker.

        Args:
            terms: of the agreement.
            party: whose worker.
            worker: its name, unlike that of the party's others; kept as long as it lives.
            key: the party's batch key.
            sender: where records go.
            clock: seconds, never falling.
        """
        self._terms, self._party, self._worker, self._key = terms, party, worker, key
        self._sender, self._clock = sender, clock
        self._topic = topics.figures(party, terms.draft.name)
        self._told_at: float | None = None
        self._sealed_at: float | None = None
        self._sealed: dict[int, int] = {}

    @property
    def due(self) -> bool:
        """Whether it is time again: asking a broker for the ends of partitions has a price."""
        return self._told_at is None or self._clock() - self._told_at >= STAND_SECONDS

    async def tell(
        self, partitions: Sequence[PartitionStand], shards: Sequence[ShardStand], *, last: bool = False
    ) -> None:
        """Say how this worker stands, if it is due or the worker ends; else do nothing.

        Args:
            partitions: of the source topic that it reads (streams.figures.partition_stand).
            shards: that it holds (streams.figures.shard_stand).
            last: whether it ends.

        Raises:
            BrokerError: not stored in time.
        """
        if not last and not self.due:
            return
        self._told_at = self._clock()
        stand = Stand(
            worker=self._worker, at=datetime.now(UTC), last=last, partitions=tuple(partitions), shards=tuple(shards)
        )
        message = seal_stand(Told(agreement=self._terms.hash, party=self._party, stand=stand), self._key)
        await self._sender.send(self._topic, 0, [(self._worker.encode(), message)])
        await self._tell_everybody({s.shard: s.sealed for s in shards if s.sealed is not None}, last=last)

    async def _tell_everybody(self, sealed: dict[int, int], *, last: bool) -> None:
        early = self._sealed_at is not None and self._clock() - self._sealed_at < SEALED_SECONDS
        if not sealed or sealed == self._sealed or (early and not last):
            return
        self._sealed, self._sealed_at = sealed, self._clock()
        record = PanesSealed(agreement=self._terms.hash, party=self._party, sealed=sealed)
        await self._sender.send(topics.RUNS, 0, [(self._party.encode(), seal_record(record, self._key))])


def source_partitions(draft: Draft, party: str) -> int:
    """Partitions of a party's source topic."""
    return next(t.partitions for t in topics.all_topics(draft) if t.name == topics.source(party))


class Stands:
    """The last word of every worker of one party."""

    def __init__(self, terms: Terms, party: str) -> None:
        self._terms, self._party = terms, terms.draft.party(party)
        self._last: dict[str, Stand] = {}

    def add(self, message: bytes, now: datetime) -> None:
        """Take a message of the party's topic; older words of a worker change nothing.

        Args:
            message: as it was read.
            now: with a zone. A word from later would stay the last one until then, and never be old.

        Raises:
            Tampered: see open_stand; or it is of a clock that is AHEAD.
        """
        stand = open_stand(message, self._terms, self._party.name)
        if stand.at > now + AHEAD:
            raise Tampered(
                f"a stand of worker {stand.worker} of {stand.at:%Y-%m-%d %H:%M:%S}, which is still to come; it is "
                "ignored. Set that worker's clock, or this one's"
            )
        known = self._last.get(stand.worker)
        if known is not None and known.at > stand.at:
            return
        self._last[stand.worker] = stand
        if len(self._last) > MAX_WORKERS:
            del self._last[min(self._last, key=lambda worker: self._last[worker].at)]

    def figures(self, now: datetime) -> PartyFigures:
        """What follows from them; `now` with a zone."""
        draft = self._terms.draft
        partitions = source_partitions(draft, self._party.name)
        return figures(self._party, draft.panes, partitions, draft.shards, self._last.values(), now)


def seal_stand(told: Told, key: Ed25519PrivateKey) -> bytes:
    """Signature (64 bytes, Ed25519, RFC 8032) followed by the stand as JSON."""
    body = told.model_dump_json().encode()
    return key.sign(_DOMAIN + body) + body


def open_stand(message: bytes, terms: Terms, party: str) -> Stand:
    """Check a stand's form, agreement and signature.

    Raises:
        Tampered: too large, no stand, another agreement's or party's, or a wrong signature.
    """
    if not _SIGNATURE_BYTES < len(message) <= MAX_STAND_BYTES:
        raise Tampered(f"a stand of {len(message)} bytes, expected 65 to {MAX_STAND_BYTES}; it is ignored")
    signature, body = message[:_SIGNATURE_BYTES], message[_SIGNATURE_BYTES:]
    key = next(p.batch_key for p in terms.parties if p.name == party)
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, _DOMAIN + body)
        told = Told.model_validate_json(body)
    except InvalidSignature as error:
        raise Tampered(f"a stand that {party} did not sign; it is ignored") from error
    except ValidationError as error:
        raise Tampered(f"not a stand: {error.errors()[0]['msg']}; it is ignored") from error
    if (told.agreement, told.party) != (terms.hash, party):
        raise Tampered(
            f"a stand of {told.party} under agreement {told.agreement[:16]}, expected {party} under {terms.hash[:16]}; "
            "it is ignored"
        )
    return told.stand
