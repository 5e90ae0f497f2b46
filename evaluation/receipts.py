"""What a party knows of its erasures: which lists left, and from which nodes there is a signed receipt for each.

A list is complete with receipts of all three nodes. A receipt counts if the node signed it for this agreement and party
and it is about the very list that the party says it sent.
"""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, ConfigDict

from evaluation.errors import Tampered
from evaluation.records import Erased, open_record
from policy.agreement import Terms
from policy.identity import NODES
from streams.erasure import MAX_LISTS, SENT_KEY, Sent, open_sent
from streams.errors import BatchError

MOST_CONTENTS = 4
"""Contents of one list for which one node's receipts are kept; an honest node has one."""
MOST_RECEIPTS = 2 * MAX_LISTS
"""Receipts of one node that are kept; honest nodes sign one for each list."""
_Content = tuple[int, int, str]
"""Boundary, rows, digest."""


class ListErased(BaseModel):
    """One list of rows and its receipts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard: int
    number: int
    left: AwareDatetime
    """When the party's broker took its note that the list was sent."""
    before: date
    """Rows are erased in all panes before this local day."""
    rows: int
    erased: dict[int, AwareDatetime]
    """Node → when it began to erase, by its own clock; of nodes with a valid receipt."""

    @property
    def complete(self) -> bool:
        """Whether all three nodes have erased."""
        return len(self.erased) == NODES


class PartyReceipts(BaseModel):
    """All lists of one party, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    party: str
    agreement: str
    lists: tuple[ListErased, ...]


class Receipts:
    """Collects the messages of a party's topic of receipts, in any order; repeats change nothing."""

    def __init__(self, terms: Terms, party: str) -> None:
        self._terms, self._party = terms, party
        key = next(p.batch_key for p in terms.parties if p.name == party)
        self._key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        self._sent: dict[tuple[int, int], tuple[Sent, datetime]] = {}
        self._erased: defaultdict[tuple[int, int, int], dict[_Content, datetime]] = defaultdict(dict)
        """Shard, number, node → content → when."""
        self._kept = Counter[int]()
        """Node → its receipts that are kept."""

    def add(self, key: bytes | None, message: bytes, milliseconds: int) -> None:
        """Take a message; `milliseconds`: when the broker took it, since 1970.

        Raises:
            Tampered: it is neither the party's note of a list nor a node's receipt for this agreement and party.
        """
        if key == SENT_KEY:
            self._note(message, milliseconds)
            return
        record = open_record(message, self._terms)
        if not isinstance(record, Erased) or record.party != self._party:
            raise Tampered(f"a {record.kind} record that is no receipt for {self._party}; it is ignored")
        content = (record.boundary, record.rows, record.digest)
        if content in (held := self._erased.get((record.shard, record.number, record.node), {})):
            return
        if len(held) < MOST_CONTENTS and self._kept[record.node] < MOST_RECEIPTS:
            self._erased[record.shard, record.number, record.node][content] = record.erased_at
            self._kept[record.node] += 1

    @property
    def found(self) -> PartyReceipts:
        """What follows from them."""
        return PartyReceipts(
            party=self._party, agreement=self._terms.hash,
            lists=tuple(self._list(sent, left) for _, (sent, left) in sorted(self._sent.items())),
        )

    def _note(self, message: bytes, milliseconds: int) -> None:
        try:
            sent = open_sent(message, self._key)
            left = datetime.fromtimestamp(milliseconds / 1000, UTC)
        except (BatchError, OverflowError, OSError, ValueError) as error:
            raise Tampered(f"{error}; it is ignored") from error
        if (sent.agreement, sent.party) != (self._terms.hash, self._party):
            raise Tampered(f"a note of {sent.party}'s list under agreement {sent.agreement[:16]}; it is ignored")
        self._sent.setdefault((sent.shard, sent.number), (sent, left))

    def _list(self, sent: Sent, left: datetime) -> ListErased:
        content = (sent.boundary, sent.rows, sent.digest)
        told = {node: self._erased.get((sent.shard, sent.number, node), {}).get(content) for node in range(NODES)}
        return ListErased(
            shard=sent.shard, number=sent.number, left=left,
            before=self._terms.draft.panes.first_day(min(sent.boundary, self._terms.draft.panes.count)),
            rows=sent.rows, erased={node: at for node, at in told.items() if at is not None},
        )
