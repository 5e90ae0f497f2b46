"""How a run ends at a node: by a rule, or with what it leaves behind."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluation.errors import EvaluationError
from evaluation.evidence import Permitted
from evaluation.records import Done
from policy.gate import AGREEMENT_ACTIVE, Refusal

NOTHING = Permitted()
PASSING = {"heads-agree", "same-batches"}
"""Rules by which nodes differ for a while: a chain is reorganised, or one has not got yet what the others have."""
AGAIN_SECONDS = 300.0
"""Live nodes try again after so long."""


class RunRefused(EvaluationError):
    """A rule stopped the run, in a phase; nothing more was opened."""

    def __init__(
        self, refusal: Refusal, run: str | None, phase: str = "schedule", permitted: Permitted = NOTHING,
        peers_rule: str | None = None,
    ) -> None:
        """`peers_rule`: by which a peer refused first, if one did."""
        super().__init__(f"{refusal.rule}: {refusal.required}")
        self.refusal, self.run, self.phase, self.permitted = refusal, run, phase, permitted
        self.peers_rule = peers_rule

    def again(self, *, live: bool) -> float | None:
        """After how many seconds to look whether the reason is over; None: it stays."""
        rules = {self.refusal.rule, self.peers_rule}
        if AGREEMENT_ACTIVE in rules:
            return 0.0
        return AGAIN_SECONDS if live and not PASSING.isdisjoint(rules) else None


@dataclass
class Outcome:
    """What a run leaves behind at this node."""

    done: Done
    block: str
    """Hash of the final block at which this node found it permitted."""
    transcript: str
    """Of the messages of the computation, hexadecimal."""
    attestation: str
    """What this node puts on the chain beside it: its transcript and its sealed results, hashed."""
    permitted: Permitted
    sealed: dict[str, bytes] = field(default_factory=dict)
    """Recipient → sealed result of this node."""
    spent: bool = False
    """Whether the place that was reserved for the next run is spent."""

    @property
    def hashes(self) -> tuple[str, ...]:
        """Of the sealed results, in the recipients' alphabetical order."""
        return hashes_of(self.sealed)


def hashes_of(sealed: Mapping[str, bytes]) -> tuple[str, ...]:
    """Of sealed results, in the recipients' alphabetical order."""
    return tuple(hashlib.sha256(sealed[name]).hexdigest() for name in sorted(sealed))
