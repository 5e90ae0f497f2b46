"""What a node keeps on disk to go on after it was killed at any moment.

A run ends in two phases. Its outcome (sealed results, record, attestation) is first *prepared*: durable here, known to
nobody. Only when all three nodes have prepared it is it *settled*, and what it covers is in the ledger for good. Nodes
that were lost in between compare what they have (evaluation.desk): a run that all three prepared is settled
without computing again, any other is dropped. What is settled is sent and attested again after a restart, until
that is known to be done: readers take the first of each.

Files, each replaced at once, mode 0600: `ledger.json`, `prepared.json`, `linkage`, `linkage-next`, `linkage-ahead`,
`alive`; and beside them the evidence (evaluation.journal). None holds an identifier. A linkage lies under
`linkage-next` until it is settled, so that a batch that is dropped leaves the linkage before in force. That of an epoch
to come then lies under `linkage-ahead` until it is taken over.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from evaluation.errors import ConfigError
from evaluation.keys import private_folder
from evaluation.ledger import MAX_NONCES, MAX_RUNS_KEPT, Attestation, Ended, Ledger, Prepared
from mpc.linkage import LinkageError, LinkedShard
from mpc.linked import CHECKSUM_BYTES, checksum
from policy.canonical import canonical_bytes
from policy.request import Pair
from policy.window import Lattice
from streams.durable import force_folder, replace_file

_LINKAGE = b"winnow node linkage 2\n"
_HEAD = struct.Struct(f"<{CHECKSUM_BYTES}sI")
"""Checksum, bytes of what it is of."""
_MAX_HEAD_BYTES = 1 << 14
"""An attempt, and the length of every shard's linkage, which has a checksum of its own (mpc.linked)."""
_IN_FORCE, _NEXT, _AHEAD = "linkage", "linkage-next", "linkage-ahead"
_RESTORE = "This node's runs stand on it: restore the folder of this node."
_AGAIN = "Start this node again: the next epoch is linked anew then."
MODEL = TypeVar("MODEL", bound=BaseModel)


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
    def folder(self) -> Path:
        """This node's."""
        return self._folder

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
        force_folder(self._folder)
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
            attestations={
                **ledger.attestations, mine.run: Attestation(block=mine.block, value=mine.attestation, root=root),
            },
            opened=tuple(run for run in ledger.opened if run != mine.run),
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

    def opens(self, run: str, bound: str) -> None:
        """Note, durably, that something of a run may be opened from now on; `bound`: the manifest of its place."""
        ledger = self.ledger
        if run not in ledger.opened or bound != ledger.bound:
            self.update(opened=_with(ledger.opened, run), bound=bound)

    def gives_up(self, run: str) -> bool:
        """Note, durably, that nothing of a run will be opened here any more; False if something may have been."""
        ledger = self.ledger
        if run in ledger.opened or run in ledger.attestations or any(run == ended.run for ended in ledger.runs):
            return False
        if run not in ledger.given_up:
            self.update(given_up=_with(ledger.given_up, run), releases=_with(ledger.releases, run))
        return True

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
        self._write(_NEXT, b"".join((_LINKAGE, _HEAD.pack(checksum(head), len(head)), head, *stored.values())))

    def linkage(self) -> tuple[str, dict[int, LinkedShard]]:
        """The linkage to go on with: the attempt that made it, and every shard's; ("", {}) if there is none.

        That is the prepared one, which may still be dropped, else the one that is settled.

        Raises:
            ConfigError: the file is damaged or gone.
        """
        mine = self._linking
        if mine is None or mine.ahead:
            return self._found(self.ledger.linkage, _IN_FORCE, _RESTORE)
        return self._found(mine.attempt, _NEXT, _RESTORE)

    def renewal(self) -> tuple[str, dict[int, LinkedShard]]:
        """The same, of the epoch to come.

        Raises:
            ConfigError: as `linkage`; it can be made again.
        """
        mine = self._linking
        if mine is None or not mine.ahead:
            return self._found(self.ledger.renewal, _AHEAD, _AGAIN)
        return self._found(mine.attempt, _NEXT, _AGAIN)

    @property
    def _linking(self) -> Prepared | None:
        """A linkage that is prepared and may still be dropped."""
        return None if self.settled or self.prepared is None or self.prepared.windows else self.prepared

    def _found(self, wanted: str, usual: str, todo: str) -> tuple[str, dict[int, LinkedShard]]:
        """The linkage made in an attempt, under whatever name it lies; `usual`: where it is expected."""
        if not wanted:
            return "", {}
        reasons = {usual: "is gone"}
        for name in (_NEXT, _AHEAD, _IN_FORCE):
            try:
                with (self._folder / name).open("rb") as file:
                    attempt, lengths = _linkage_head(file)
                    if attempt == wanted:
                        return attempt, _linkages(file, lengths)
                if name == usual:
                    reasons[name] = f"is of attempt {attempt[:16]}, expected {wanted[:16]}"
            except FileNotFoundError:
                continue
            except (OSError, ValueError, LinkageError) as error:
                reasons[name] = f"cannot be read: {error}"
        told = ", and ".join(f"{self._folder / name} {reason}" for name, reason in reasons.items())
        raise ConfigError(f"{told}. {todo}")

    def _put_linkage(self) -> None:
        """Have linkages that were settled in the place of those before, and nothing of an epoch that does not come."""
        for name in (_AHEAD, _NEXT):
            path = self._folder / name
            try:
                with path.open("rb") as file:
                    attempt, _ = _linkage_head(file)
            except (OSError, ValueError):
                continue  # none, or one that `linkage` tells of if it is needed
            if attempt == self.ledger.linkage:
                path.replace(self._folder / _IN_FORCE)
                force_folder(self._folder)
            elif attempt == self.ledger.renewal and name == _NEXT:
                path.replace(self._folder / _AHEAD)
                force_folder(self._folder)
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
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}. Restore the folder of this node.") from error
        except ValidationError:
            raise ConfigError(
                f"{path} cannot be read: it is damaged. Restore the folder of this node."
            ) from None  # its text holds what is in the file

    def _write(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Replace a file at once, and by default have it on disk before anything follows from it."""
        replace_file(self._folder / name, content, durable=durable)


def _linkage_head(file: BinaryIO) -> tuple[str, dict[int, int]]:
    """Of a file of linkages: the attempt, and how many bytes each shard has, which follow.

    Raises:
        ValueError: it is none, or damaged.
    """
    if (found := file.read(len(_LINKAGE))) != _LINKAGE:
        raise ValueError(f"it starts with {found!r}, expected {_LINKAGE!r}")
    try:
        expected, size = _HEAD.unpack(file.read(_HEAD.size))
    except struct.error as error:
        raise ValueError("it ends within its head") from error
    head = file.read(min(size, _MAX_HEAD_BYTES))
    if checksum(head) != expected:
        raise ValueError(f"the checksum of its head is {checksum(head).hex()[:16]}, expected {expected.hex()[:16]}")
    fields = json.loads(head)
    return str(fields["attempt"]), {int(shard): int(length) for shard, length in fields["bytes"].items()}


def _linkages(file: BinaryIO, lengths: Mapping[int, int]) -> dict[int, LinkedShard]:
    """What follows the head, by shard.

    Raises:
        LinkageError: of one shard at least it cannot be read.
        ValueError: more follows.
    """
    found = {shard: LinkedShard.from_bytes(file.read(length)) for shard, length in lengths.items()}
    if file.read(1):
        raise ValueError("more follows its last shard")
    return found


def _with(runs: tuple[str, ...], run: str) -> tuple[str, ...]:
    return (*(known for known in runs if known != run), run)[-MAX_RUNS_KEPT:]


def _latest(nonces: dict[str, str]) -> dict[str, str]:
    return dict(list(nonces.items())[-MAX_NONCES:])
