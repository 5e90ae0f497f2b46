"""Who works for a party under an agreement: whoever claimed it last.

A claim is a record on the party's owner topic; its offset is the *owner epoch*. The log's order decides between workers
that claim at the same time, and every worker sees a later claim within moments and stops. What a worker that was
superseded writes until then harms nothing: equal logs leave equal states and seal equal content (ADR 14), what is
re-keyed twice is dropped by its offset, and masks are bound to content.
"""

import asyncio
import secrets
import time
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams import topics
from streams.broker import Broker, Consumer, Producer, Record
from streams.errors import BrokerError, SupersededError

CLAIM_KEY = b"owner"
CLAIM_SECONDS = 30.0
"""A claim that was stored can be read within this time, or the broker is not well."""
POLL_SECONDS = 1.0
POLL_RECORDS = 100
TOKEN_BYTES = 16


class _Claim(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    token: str = Field(pattern=r"^[0-9a-f]{32}$")


class Owner:
    """Ours, from entering the context until somebody else claims; leaving it gives nothing back."""

    def __init__(self, broker: Broker, party: str, agreement: str) -> None:
        topic = topics.owner(party, agreement)
        self._consumer, self._topic, self._party = Consumer(broker, topic, [0]), topic, party
        self.epoch = -1
        """Offset of our claim; higher than every owner's before us."""

    async def __aenter__(self) -> Self:
        await self._consumer.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self._consumer.__aexit__(kind, error, trace)

    async def claim(self, producer: Producer) -> int:
        """Become the owner; returns the epoch.

        Raises:
            SupersededError: somebody else claimed right after us.
            BrokerError: no answer, or the claim cannot be read.
        """
        token = secrets.token_hex(TOKEN_BYTES)
        await producer.send(self._topic, 0, [(CLAIM_KEY, _Claim(token=token).model_dump_json().encode())])
        limit = time.monotonic() + CLAIM_SECONDS
        while self.epoch < 0:
            if time.monotonic() > limit:
                raise BrokerError(f"our claim on {self._topic} was stored but cannot be read for {CLAIM_SECONDS:g} s")
            records = await self._consumer.poll(POLL_SECONDS, POLL_RECORDS)
            # Stored twice by a client that tries again, it is still one claim: the last of its records counts.
            mine = [record.offset for record in records if _token(record) == token]
            if mine:
                self.epoch = mine[-1]
                self._check(records, token)
        self._token = token
        return self.epoch

    async def watch(self) -> None:
        """Wait until somebody else claims, then raise.

        Raises:
            SupersededError: always, in the end.
            BrokerError: see Consumer.poll.
        """
        while True:
            self._check(await self._consumer.poll(POLL_SECONDS, POLL_RECORDS), self._token)
            await asyncio.sleep(0)

    def _check(self, records: list[Record], token: str) -> None:
        for record in records:
            if record.offset > self.epoch and _token(record) != token:
                raise SupersededError(
                    f"another worker works for {self._party} since claim {record.offset} on {self._topic}; ours was "
                    f"{self.epoch}. This one stops. If both were meant to run, run one: two take over from each other"
                )


def _token(record: Record) -> str | None:
    try:
        return _Claim.model_validate_json(record.value).token
    except ValidationError:
        return None
