"""Who works for a party under an agreement: whoever claimed it last.

A claim is a record on the party's owner topic, tagged (streams.tags); its offset is the *owner epoch*. The log's order
decides between workers that claim at the same time, and every worker sees a later claim within moments and stops.
Claims are numbered, each higher than what stands before it, as milliseconds since 1970 are: a copy of an old one counts
for nothing.
What a worker that was superseded writes until then harms nothing: equal logs leave equal states and seal equal content
(ADR 14), what is re-keyed twice is dropped by its offset, and masks are bound to content.
"""

import asyncio
import secrets
import time

from pydantic import BaseModel, ConfigDict, Field

from streams.broker import Consumer, Producer, Record
from streams.errors import BrokerError, SupersededError
from streams.flow import to_the_end
from streams.tags import Tags

CLAIM_KEY = b"owner"
CLAIM_SECONDS = 30.0
"""A claim that was stored can be read within this time, or the broker is not well."""
POLL_SECONDS = 1.0
POLL_RECORDS = 100
TOKEN_BYTES = 16


class _Claim(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    token: str = Field(pattern=r"^[0-9a-f]{32}$")
    number: int = Field(ge=1, lt=2**53)


class Owner:
    """Ours, from our claim until somebody else's; nothing is given back.

    Args:
        consumer: of the party's owner topic, from its beginning.
        party: for messages.
        tags: of the party.
    """

    def __init__(self, consumer: Consumer, party: str, tags: Tags) -> None:
        self._consumer, self._party, self._tags = consumer, party, tags
        self._token, self._number = "", 0
        self._highest = 0
        """Number of the claims before ours."""
        self._earlier: set[str] = set()
        """Tokens of the claims before ours."""
        self.epoch = -1
        """Offset of our claim; higher than every owner's before us."""

    async def claim(self, producer: Producer) -> int:
        """Become the owner; returns the epoch.

        Raises:
            SupersededError: somebody else claimed right after us.
            BrokerError: no answer, or the claim cannot be read.
        """
        async for records in to_the_end(self._consumer, [0], POLL_RECORDS):
            self._take(records)
        limit = time.monotonic() + CLAIM_SECONDS
        # Others may have claimed between our look and our claim: then it is not the highest, and we claim once more.
        while self._number <= self._highest:
            await self._claim(producer, limit)
        return self.epoch

    async def watch(self) -> None:
        """Wait until somebody else claims, then raise.

        Raises:
            SupersededError: always, in the end.
            BrokerError: see Consumer.poll.
        """
        while True:
            self._take(await self._consumer.poll(POLL_SECONDS, POLL_RECORDS))
            await asyncio.sleep(0)

    async def _claim(self, producer: Producer, limit: float) -> None:
        topic = self._consumer.topic
        # By the clock too: earlier claims may have been compacted away.
        self._number = max(self._highest + 1, time.time_ns() // 10**6)
        self._token, self.epoch = secrets.token_hex(TOKEN_BYTES), -1
        claim = _Claim(token=self._token, number=self._number).model_dump_json().encode()
        await producer.send(topic, 0, [(CLAIM_KEY, self._tags.put(topic, 0, CLAIM_KEY, claim))])
        while self.epoch < 0:
            if time.monotonic() > limit:
                raise BrokerError(f"our claim on {topic} was stored but cannot be read for {CLAIM_SECONDS:g} s")
            self._take(await self._consumer.poll(POLL_SECONDS, POLL_RECORDS))

    def _take(self, records: list[Record]) -> None:
        for record in records:
            claim = self._read(record)
            if claim is None:
                continue
            if claim.token == self._token:
                # Stored twice by a client that tries again, it is still one claim.
                self.epoch = record.offset if self.epoch < 0 else self.epoch
            elif self.epoch < 0 or self._number <= self._highest:
                self._highest = max(self._highest, claim.number)
                self._earlier.add(claim.token)
            elif claim.number >= self._number and claim.token not in self._earlier:
                raise SupersededError(
                    f"another worker works for {self._party} since claim {record.offset} on {self._consumer.topic}; "
                    f"ours was {self.epoch}. This one stops. Run one worker: two take over from each other"
                )

    def _read(self, record: Record) -> _Claim | None:
        """A claim of one of the party's workers."""
        value = self._tags.take(self._consumer.topic, record)
        if value is None:
            self._tags.report(self._consumer.topic, record)
            return None
        return _Claim.model_validate_json(value)
