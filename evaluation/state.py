"""What a node keeps on disk to go on after it was killed at any moment.

A run ends in two phases. Its outcome (sealed results, record, attestation) is first *prepared*: durable here, known to
nobody. Only when all three nodes have prepared it is it *settled*, and what it covers is in the ledger for good. Nodes
that were lost in between compare what they have (evaluation.desk): a run that all three prepared is settled
without computing again, any other is dropped. What is settled is sent and attested again after a restart, until
that is known to be done: readers take the first of each.

Files, each replaced at once, mode 0600: `ledger.json`, `prepared.json`, `linkage`, `linkage-next`, `linkage-ahead`,
`alive`. None holds an identifier. A linkage lies under `linkage-next` until it is settled, so that a batch that is
dropped leaves the linkage before in force. That of an epoch to come then lies under `linkage-ahead` until it is taken
over.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from evaluation.errors import ConfigError
from evaluation.keys import private_folder
from evaluation.records import Answered, Done
from mpc.linkage import LinkageError, LinkedShard
from policy.canonical import canonical_bytes
from policy.request import Pair
from policy.window import Lattice

MAX_NONCES = 4_096
"""Requests remembered, so that a copy is ignored; forgotten ones would be answered from the ledger, at no cost."""
_LINKAGE = b"winnow node linkage 1\n"
_HEAD = struct.Struct("<I")
_IN_FORCE, _NEXT, _AHEAD = "linkage", "linkage-next", "linkage-ahead"
MODEL = TypeVar("MODEL", bound=BaseModel)


class Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attestation(Stored):
    """What this node puts on the chain for a run."""

    value: str
    root: str | None = None
    """Root over all sealed results, which one node commits."""


class Prepared(Stored):
    """How one attempt at a run ended at this node."""

    attempt: str
    """Hexadecimal; "" is none."""
    run: str
    plans: tuple[str, ...]
    windows: tuple[int, ...]
    """Empty for linkage."""
    ahead: bool = False
    """Whether that is of the epoch to come."""
    done: Done
    attestation: str
    hashes: tuple[str, ...]
    """Of the sealed results, in the recipients' alphabetical order."""
    sealed: dict[str, str]
    """Recipient → sealed result, hexadecimal."""
    spent: bool = False
    """Whether the place that was reserved for the next run is spent (evaluation.advance)."""
    requester: str | None = None
    """Who pays for the run."""
    answers: tuple[Answered, ...] = ()
    """Requests that the run answers."""
    handled: int = 0
    """Requests of lower offsets are answered once the run is settled."""
    nonces: dict[str, str] = {}
    """Of these requests; see Ledger."""


class Ended(Stored):
    """One settled run."""

    run: str
    plans: tuple[str, ...]
    windows: tuple[int, ...]


class Ledger(Stored):
    """Everything that a node must not forget, and that grows slowly."""

    agreement: str
    runs: tuple[Ended, ...] = ()
    """Settled runs over windows, in order."""
    attempt: str = ""
    """The attempt that was settled last, linkage included."""
    linkage: str = ""
    """The attempt that linked, the last batch if there were several."""
    renewal: str = ""
    """The attempt that linked the epoch to come, or its last batch; empty if there is none."""
    sent: bool = True
    """Whether what it left was sent."""
    attestations: dict[str, Attestation] = {}
    """By run: not yet known to be on the chain."""
    places: int = 0
    """Places that were reserved for runs in advance and are spent (evaluation.advance)."""
    bound: str = ""
    """Manifest to which the next one is bound, empty while it is not."""
    handled: int = 0
    """Requests of lower offsets were answered or refused."""
    nonces: dict[str, str] = {}
    """Requester and nonce → digest, of the latest requests."""
    used: dict[str, int] = {}
    """Requester → new runs."""
    asked_last: bool = False
    """Whether the latest run was made for a request: the schedule comes next."""
    closed: int = 0
    """Leading panes in which rows are erased: no window that begins there runs any more."""
    due: dict[int, AwareDatetime] = {}
    """Scheduled window → when its inputs were complete here; until it has ended."""


class NodeState:
    """One node's folder.

    Raises:
        ConfigError: it holds what this version or agreement cannot go on with.
    """

    def __init__(self, folder: Path, agreement: str) -> None:
        self._folder = private_folder(folder)
        self.ledger = self._load("ledger.json", Ledger) or Ledger(agreement=agreement)
        self.prepared = self._load("prepared.json", Prepared)
        if self.ledger.agreement != agreement:
            raise ConfigError(
                f"{folder} belongs to agreement {self.ledger.agreement[:16]}, expected {agreement[:16]}. Give every "
                "agreement a folder of its own."
            )
        self._pairs: dict[Pair, str] = {}
        self._index()
        self._put_linkage()

    @property
    def pairs(self) -> Mapping[Pair, str]:
        """(plan hash, window) → the run in which it ended, released or suppressed."""
        return self._pairs

    @property
    def digest(self) -> str:
        """Of the settled runs: equal at nodes that can go on together."""
        return hashlib.sha256(canonical_bytes([r.model_dump(mode="json") for r in self.ledger.runs])).hexdigest()

    def revisions(self, lattice: Lattice) -> int:
        """Settled runs that made full editions."""
        return sum(lattice.edition(run.windows[0]) for run in self.ledger.runs)

    @property
    def settled(self) -> bool:
        """Whether nothing is prepared that may still be dropped."""
        return self.prepared is None or self.prepared.attempt == self.ledger.attempt

    def update(self, **changes: object) -> None:
        """Change the ledger, durably."""
        ledger = self.ledger.model_copy(update=changes)
        self._write("ledger.json", ledger.model_dump_json().encode())
        self.ledger = ledger

    def prepare(self, prepared: Prepared) -> None:
        """Keep an outcome that no peer knows of yet."""
        self._write("prepared.json", prepared.model_dump_json().encode())
        self.prepared = prepared

    def drop(self) -> None:
        """Forget what was prepared: not all three nodes have it, so none has said anything of it."""
        (self._folder / "prepared.json").unlink(missing_ok=True)
        self._sync()
        self.prepared = None

    def settle(self, root: str | None) -> None:
        """Count the prepared outcome for good; `root` if this node commits it. Nothing if that is done."""
        mine = self.prepared
        if mine is None or self.settled:
            return
        ledger = self.ledger
        ended = (Ended(run=mine.run, plans=mine.plans, windows=mine.windows),) if mine.windows else ()
        used = dict(ledger.used)
        if mine.requester is not None:
            used[mine.requester] = used.get(mine.requester, 0) + 1
        self.update(
            runs=(*ledger.runs, *ended), attempt=mine.attempt, sent=False,
            attestations={**ledger.attestations, mine.run: Attestation(value=mine.attestation, root=root)},
            linkage=ledger.linkage if mine.windows or mine.ahead else mine.attempt,
            renewal=self._renewal_after(mine), used=used,
            places=ledger.places + mine.spent, bound="" if mine.spent else ledger.bound,
            handled=max(ledger.handled, mine.handled), nonces=_latest({**ledger.nonces, **mine.nonces}),
            asked_last=mine.requester is not None if mine.windows else ledger.asked_last,
            due={w: at for w, at in ledger.due.items() if w not in mine.windows},
        )
        self._put_linkage()
        self._index()

    def _renewal_after(self, mine: Prepared) -> str:
        """What is linked from the first batch on leaves nothing to come."""
        if mine.windows:
            return self.ledger.renewal
        return mine.attempt if mine.ahead else self.ledger.renewal if mine.done.batch else ""

    def take_over(self) -> None:
        """Have the linkage of the epoch to come in force; the one before is given up."""
        self.update(linkage=self.ledger.renewal, renewal="")
        self._put_linkage()

    def drop_renewal(self) -> None:
        """Give up the epoch to come: the other nodes do not have it."""
        self.update(renewal="")
        self._put_linkage()

    def answered(self, through: int, nonces: Mapping[str, str]) -> None:
        """Requests of offsets below `through` need no run; `nonces` as in Ledger."""
        self.update(handled=through, nonces=_latest({**self.ledger.nonces, **nonces}))

    def alive(self) -> None:
        """Note that this node runs now."""
        self._write("alive", datetime.now(UTC).isoformat().encode(), durable=False)

    def last_alive(self) -> datetime | None:
        """When it last did."""
        try:
            return datetime.fromisoformat((self._folder / "alive").read_text("ascii"))
        except (OSError, ValueError):
            return None

    def keep_linkage(self, attempt: str, linked: Mapping[int, LinkedShard]) -> None:
        """Keep the linkage made in an attempt that is not settled yet, beside the one in force."""
        stored = {shard: found.to_bytes() for shard, found in sorted(linked.items())}
        head = json.dumps({"attempt": attempt, "bytes": {s: len(b) for s, b in stored.items()}}).encode()
        self._write(_NEXT, b"".join((_LINKAGE, _HEAD.pack(len(head)), head, *stored.values())))

    def linkage(self) -> tuple[str, dict[int, LinkedShard]]:
        """The linkage to go on with: the attempt that made it, and every shard's; ("", {}) if there is none.

        That is the prepared one, which may still be dropped, else the one that is settled.

        Raises:
            ConfigError: the file is damaged or gone.
        """
        mine = self._linking
        return self._found(self.ledger.linkage if mine is None or mine.ahead else mine.attempt)

    def renewal(self) -> tuple[str, dict[int, LinkedShard]]:
        """The same, of the epoch to come.

        Raises:
            ConfigError: as `linkage`; it can be made again.
        """
        mine = self._linking
        return self._found(mine.attempt if mine is not None and mine.ahead else self.ledger.renewal)

    @property
    def _linking(self) -> Prepared | None:
        """A linkage that is prepared and may still be dropped."""
        return None if self.settled or self.prepared is None or self.prepared.windows else self.prepared

    def _found(self, wanted: str) -> tuple[str, dict[int, LinkedShard]]:
        if not wanted:
            return "", {}
        reason = "is gone"
        for name in (_NEXT, _AHEAD, _IN_FORCE):
            path = self._folder / name
            try:
                with path.open("rb") as file:
                    attempt, lengths = _linkage_head(file)
                    if attempt == wanted:
                        return attempt, {
                            int(shard): LinkedShard.from_bytes(file.read(length)) for shard, length in lengths.items()
                        }
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, LinkageError) as error:
                reason = f"cannot be read: {error}"
        path = self._folder / _IN_FORCE
        raise ConfigError(f"{path} {reason}, and this node's runs stand on it. Restore the folder of this node.")

    def _put_linkage(self) -> None:
        """Have linkages that were settled in the place of those before, and nothing of an epoch that does not come."""
        for name in (_AHEAD, _NEXT):
            path = self._folder / name
            try:
                with path.open("rb") as file:
                    attempt, _ = _linkage_head(file)
            except (OSError, ValueError, KeyError, TypeError, struct.error):
                continue  # none, or one that `linkage` tells of if it is needed
            if attempt == self.ledger.linkage:
                path.replace(self._folder / _IN_FORCE)
                self._sync()
            elif attempt == self.ledger.renewal and name == _NEXT:
                path.replace(self._folder / _AHEAD)
                self._sync()
        if not self.ledger.renewal:
            (self._folder / _AHEAD).unlink(missing_ok=True)

    def _index(self) -> None:
        self._pairs = {
            (plan, window): ended.run for ended in self.ledger.runs for window in ended.windows for plan in ended.plans
        }

    def _load(self, name: str, model: type[MODEL]) -> MODEL | None:
        path = self._folder / name
        try:
            return model.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise ConfigError(f"{path} cannot be read: {error}. Restore the folder of this node.") from error

    def _write(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Replace a file at once, and by default have it on disk before anything follows from it."""
        path, draft = self._folder / name, self._folder / f"{name}.new"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
        if durable:
            self._sync()

    def _sync(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _linkage_head(file: BinaryIO) -> tuple[str, dict[str, int]]:
    """Of a file of linkages: the attempt, and how many bytes each shard has, which follow.

    Raises:
        ValueError, KeyError, TypeError, struct.error: it is none.
    """
    if file.read(len(_LINKAGE)) != _LINKAGE:
        raise ValueError("another format")
    (size,) = _HEAD.unpack(file.read(_HEAD.size))
    head = json.loads(file.read(size))
    return str(head["attempt"]), dict(head["bytes"])


def _latest(nonces: dict[str, str]) -> dict[str, str]:
    return dict(list(nonces.items())[-MAX_NONCES:])
