"""Who works for a party under an agreement: whoever claimed it last.

A claim is a record on the party's owner topic; its offset is the *owner epoch*. The log's order decides between workers
that claim at the same time, and every worker sees a later claim within moments and stops. What a worker that was
superseded writes until then harms nothing: equal logs leave equal states and seal equal content (ADR 14), what is
re-keyed twice is dropped by its offset, and masks are bound to content.
"""

import asyncio
import secrets
import time

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.broker import Consumer, Producer, Record
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
    """Ours, from our claim until somebody else's; nothing is given back.

    Args:
        consumer: of the party's owner topic, from its beginning.
        party: for messages.
    """

    def __init__(self, consumer: Consumer, party: str) -> None:
        self._consumer, self._party = consumer, party
        self._token = ""
        self.epoch = -1
        """Offset of our claim; higher than every owner's before us."""

    async def claim(self, producer: Producer) -> int:
        """Become the owner; returns the epoch.

        Raises:
            SupersededError: somebody else claimed right after us.
            BrokerError: no answer, or the claim cannot be read.
        """
        self._token = secrets.token_hex(TOKEN_BYTES)
        topic = self._consumer.topic
        await producer.send(topic, 0, [(CLAIM_KEY, _Claim(token=self._token).model_dump_json().encode())])
        limit = time.monotonic() + CLAIM_SECONDS
        while self.epoch < 0:
            if time.monotonic() > limit:
                raise BrokerError(f"our claim on {topic} was stored but cannot be read for {CLAIM_SECONDS:g} s")
            records = await self._consumer.poll(POLL_SECONDS, POLL_RECORDS)
            # Stored twice by a client that tries again, it is still one claim: the last of its records counts.
            mine = [record.offset for record in records if _token(record) == self._token]
            if mine:
                self.epoch = mine[-1]
                self._check(records)
        return self.epoch

    async def watch(self) -> None:
        """Wait until somebody else claims, then raise.

        Raises:
            SupersededError: always, in the end.
            BrokerError: see Consumer.poll.
        """
        while True:
            self._check(await self._consumer.poll(POLL_SECONDS, POLL_RECORDS))
            await asyncio.sleep(0)

    def _check(self, records: list[Record]) -> None:
        for record in records:
            if record.offset > self.epoch and _token(record) != self._token:
                raise SupersededError(
                    f"another worker works for {self._party} since claim {record.offset} on {self._consumer.topic}; "
                    f"ours was {self.epoch}. This one stops. Run one worker: two take over from each other"
                )


def _token(record: Record) -> str | None:
    try:
        return _Claim.model_validate_json(record.value).token
    except ValidationError:
        return None
