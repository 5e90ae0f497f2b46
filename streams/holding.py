"""What a node has of a party's batches and erasure lists, and what it misses: its word to the party, signed.

A word replaces the one before, so words may be lost or come twice. It names batches, which the party knows, and says
nothing of their content. A node asks for what it misses only when something of the same pane or of a later one is
here from that party, and only after a while: what is under way is not missed. Which lists there are it cannot know, so
it says how many it has, again and again: what was said long after a list left tells whether it came.
"""

import heapq
import time
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy.agreement import MAX_SHARDS, Terms
from policy.canonical import canonical_bytes
from policy.identity import NODES
from policy.window import MAX_PANES
from streams.batch import MAX_BLOCKS, MAX_REVISION, Hash
from streams.erasure import MAX_LISTS
from streams.errors import BatchError

MOST_ASKED = 256
"""Batches that one word asks for; the rest is asked for when these have come, or were asked for IN_VAIN."""
MOST_MISSED = 1 << 16
"""Missed batches that a node looks at to choose from."""
IN_VAIN = 24
"""Words that ask for a batch before others go first: two minutes, in which its party could have sent it twice."""
PATIENCE_SECONDS = 30.0
"""So long a batch is awaited before it is asked for; a party shares a pane's blocks within seconds of each other."""
MAX_WORD_BYTES = 64 << 10
_SIGNATURE_BYTES = 64
_LABEL = b"winnow-holding\0"

Name = tuple[
    Annotated[int, Field(ge=0, lt=MAX_SHARDS)], Annotated[int, Field(ge=0, lt=MAX_BLOCKS)],
    Annotated[int, Field(ge=-1, lt=MAX_PANES)], Annotated[int, Field(ge=0, le=MAX_REVISION)],
]
"""(shard, block, pane, revision) of one of the party's share batches; pane −1: the register, with its own batch."""

Number = Annotated[int, Field(ge=0, le=MAX_LISTS)]
ListName = tuple[Annotated[int, Field(ge=0, lt=MAX_SHARDS)], Annotated[int, Field(ge=0, lt=MAX_LISTS)]]
"""(shard, number) of one of the party's erasure lists."""


class Holding(BaseModel):
    """One node's word to one party."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement: Hash
    party: str = Field(max_length=40)
    node: int = Field(ge=0, lt=NODES)
    held: Annotated[int, Field(ge=0, lt=2**53)]
    """Batches of the party that are in the node's store."""
    missing: tuple[Name, ...] = Field(default=(), max_length=MOST_ASKED)
    """Asked for: to be sent again."""
    lists: tuple[Number, ...] = Field(default=(), max_length=MAX_SHARDS)
    """By shard, leading erasure lists that are in the node's store; empty where no erasure is agreed."""
    differing: tuple[ListName, ...] = Field(default=(), max_length=MAX_SHARDS)
    """First erasure lists of shards that nodes have with different contents."""


def seal_holding(word: Holding, key: Ed25519PrivateKey) -> bytes:
    """Signature (64 bytes, Ed25519, RFC 8032) followed by the word as canonical JSON."""
    body = canonical_bytes(word)
    return key.sign(_LABEL + body) + body


def open_holding(message: bytes, terms: Terms, party: str) -> Holding:
    """Check a word's form, and that one of the agreement's nodes said it to this party.

    Raises:
        BatchError: it is not to be used, and why.
    """
    if not _SIGNATURE_BYTES < len(message) <= MAX_WORD_BYTES:
        raise BatchError(f"a node's word of {len(message)} bytes; expected at most {MAX_WORD_BYTES}")
    signature, body = message[:_SIGNATURE_BYTES], message[_SIGNATURE_BYTES:]
    try:
        word = Holding.model_validate_json(body)
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(terms.nodes[word.node].record_key)).verify(
            signature, _LABEL + body
        )
    except (ValidationError, InvalidSignature) as error:
        raise BatchError(f"a node's word that is none or not signed by it ({type(error).__name__})") from error
    if (word.agreement, word.party) != (terms.hash, party):
        raise BatchError(f"node {word.node}'s word to {word.party} under {word.agreement[:16]}; expected to {party}")
    return word


class Patience:
    """Since when each batch of one party is missed at a node, and how often it was asked for."""

    def __init__(self) -> None:
        self._since: dict[Name, float] = {}
        self._asked: Counter[Name] = Counter()

    def overdue(self, missing: Iterable[Name]) -> tuple[Name, ...]:
        """Of what is missed now, what has been for PATIENCE_SECONDS; at most MOST_ASKED, in order.

        First those that `missing` has first, but for what was asked for in vain: a party may not have that any more.
        """
        now = time.monotonic()
        self._since = {name: self._since.get(name, now) for name in missing}
        self._asked = Counter({name: times for name, times in self._asked.items() if name in self._since})
        waiting = (name for name, since in self._since.items() if now - since >= PATIENCE_SECONDS)
        chosen = heapq.nsmallest(MOST_ASKED, waiting, key=lambda name: self._asked[name] // IN_VAIN)
        self._asked.update(chosen)
        return tuple(sorted(chosen))
