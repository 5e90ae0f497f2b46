"""Tags on a party's own records: what others plant on its topics is told from what its workers wrote (ADR 23).

A tag is an HMAC under a key that only the party can derive, over where the record stands and all that it says. So no
record of another shard, topic or agreement counts either. One tag a Kafka message, however many events are in it.
"""

import hmac
import struct

import structlog

from streams.broker import Record
from streams.sparing import Sparing

TAG_BYTES = 32
_LABEL = b"winnow record v1"
_NO_KEY = 2**32 - 1
_PLACE = struct.Struct("<II")
"""Partition, and length of the record's key."""


class Tags:
    """Those of one party under one agreement.

    Args:
        sharing_key: 32 bytes, the party's own.
        agreement: its hash, hexadecimal.
    """

    def __init__(self, sharing_key: bytes, agreement: str) -> None:
        self._key = hmac.digest(sharing_key, _LABEL + bytes.fromhex(agreement), "sha256")
        self._sparing = Sparing()

    def put(self, topic: str, partition: int, key: bytes | None, value: bytes) -> bytes:
        """A record's value, followed by its tag (TAG_BYTES)."""
        return value + self._tag(topic, partition, key, value)

    def take(self, topic: str, record: Record) -> bytes | None:
        """The value of a record that was tagged for this place; None of any other one. For any thread."""
        value, tag = record.value[:-TAG_BYTES], record.value[-TAG_BYTES:]
        ours = self._tag(topic, record.partition, record.key, value)
        return value if hmac.compare_digest(tag, ours) else None

    def report(self, topic: str, record: Record) -> None:
        """Log that a record has no true tag: see streams.sparing."""
        if count := self._sparing.due(topic):
            structlog.get_logger().error(
                "records passed over that this party did not write", topic=topic, partition=record.partition,
                offset=record.offset, records=count,
                todo="see who may write there (docs/kafka.md), and change the passwords of those who should not",
            )

    def _tag(self, topic: str, partition: int, key: bytes | None, value: bytes) -> bytes:
        length = _NO_KEY if key is None else len(key)
        mac = hmac.new(self._key, topic.encode() + b"\0" + _PLACE.pack(partition, length), "sha256")
        mac.update(key or b"")
        mac.update(value)
        return mac.digest()
