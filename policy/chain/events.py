"""What the registry says that happened to an agreement, and whether that leads to how the agreement stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from policy.chain.errors import ChainMismatch
from policy.chain.model import AgreementView


@dataclass(frozen=True)
class Event:
    """One event of the registry (contracts/src/interfaces/IAgreementRegistry.sol)."""

    place: tuple[int, int]
    """Block number, and place among all logs of that block."""
    name: str
    block_hash: str
    transaction: str
    values: dict[str, Any]
    """By name, as declared; hashes as 64 hexadecimal digits."""

    @property
    def block_number(self) -> int:
        """Of the block that it is in."""
        return self.place[0]


def check_events(events: Sequence[Event], view: AgreementView, *, whole: bool) -> None:
    """Compare events with how the agreement stands after the last of them.

    Args:
        events: in order, up to the block of `view`.
        view: of the agreement.
        whole: whether they begin before the agreement was proposed.

    Raises:
        ChainMismatch: names what is missing or too much.
    """
    said = [(event.name, event.values) for event in events]
    signed = {values["party"].lower() for name, values in said if name == "AgreementSigned"}
    missing = {party.lower() for party in view.missing}
    everyone = {party.lower() for party in view.parties}
    if signed & missing or (whole and signed != everyone - missing):
        raise _differs("who signed", sorted(signed), sorted(everyone - missing))
    suspended: set[str] = set()
    for name, values in said:
        if name == "AgreementSuspended":
            suspended.add(values["party"].lower())
        elif name == "AgreementResumed":
            suspended.discard(values["party"].lower())
    still = {party.lower() for party in view.suspended_by}
    if suspended - still or (whole and view.version == 1 and suspended != still):
        raise _differs("who suspends it", sorted(suspended), sorted(still))
    ended = {"AgreementRevoked": "revoked", "AgreementSuperseded": "superseded"}
    ends = [ended[name] for name, _ in said if name in ended]
    stands = [view.state] if view.state in ended.values() else []
    if ends[-1:] != stands if whole else ends and ends[-1:] != stands:
        raise _differs("how it ended", ends, stands)
    if whole and view.version == 1 and view.state != "superseded":
        # Each authorisation is counted until it is released.
        runs = sum((name == "RunAuthorised") - (name == "RunReleased") for name, _ in said)
        if runs != view.runs_used:
            raise _differs("runs that count", runs, view.runs_used)


def _differs(what: str, told: object, stands: object) -> ChainMismatch:
    return ChainMismatch(
        f"the endpoint's events and the contract differ in {what}: found {told}, the contract says {stands}. The "
        "endpoint leaves events out, or makes them up, or has not kept them; do not use it as evidence."
    )
