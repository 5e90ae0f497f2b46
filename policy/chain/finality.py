"""Which block is final enough to permit something by. What forbids is read at the newest block, whatever is said here.

Each organisation says it for its own processes, since it depends on the endpoint. Another one's carelessness weakens
nobody: every node reads with its own, and a run begins and opens only what all three permit (ADR 33).
"""

import time
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policy.chain.errors import ChainTimeout
from policy.chain.model import Block, check_fresh

if TYPE_CHECKING:
    from policy.chain.endpoint import Endpoint

MAX_HEAD_AGE_SECONDS = 120.0
"""Blocks come every second or few; a proof-of-authority chain may miss some, and clocks differ."""
MAX_CONFIRMATIONS = 100
"""Clients keep the states of the last 128 blocks or more, and nodes read at the block that is final at all three."""


class Finality(BaseModel):
    """The block that is called finalized: the client's own, one of some depth, or the older of both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: bool = True
    """Whether the endpoint knows the tag `finalized`; then no newer block counts, however deep it lies."""
    confirmations: int = Field(default=0, ge=0, le=MAX_CONFIRMATIONS)
    """Blocks that must stand on top of one."""
    seconds: float = Field(default=60, gt=0, le=3600)
    """What is sent is final within so long, else the chain is refused; a final block is at most twice as old, or two
    minutes."""

    @model_validator(mode="after")
    def _deep_enough(self) -> Self:
        if not self.tag and self.confirmations == 0:
            raise ValueError(
                "with tag = false only confirmations tell what is final, and there are none: a permission would be "
                "read at the newest block. Set confirmations to 1 or more"
            )
        return self


CLIENTS_OWN = Finality()
"""What the endpoint's client itself calls final."""


async def final_block(
    endpoint: "Endpoint", finality: Finality, max_head_age_seconds: float = MAX_HEAD_AGE_SECONDS
) -> Block:
    """The newest block that counts as final.

    Raises:
        ChainTimeout: the chain is not long enough yet.
        ChainStale, ChainUnreachable: see check_fresh and Endpoint.
    """
    depth = finality.confirmations
    if depth == 0:
        found = await endpoint.block("finalized")
    else:
        head = await endpoint.block("latest")
        check_fresh(head, time.time(), max_head_age_seconds)
        if head.number < depth:
            raise ChainTimeout(
                f"no block is final yet: the newest is {head.number}, and {depth} must stand on top of one; wait until "
                "the chain has made them, or lower finality.confirmations."
            )
        found = await endpoint.block("finalized") if finality.tag else head
        if found.number > head.number - depth:
            found = await endpoint.block(head.number - depth)
    oldest = max(max_head_age_seconds, 2 * finality.seconds)
    check_fresh(found, time.time(), oldest, "; if blocks take longer to be final, raise finality.seconds")
    return found
