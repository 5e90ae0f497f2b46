"""Which keys each role of an agreement has, how they are drawn, and their public halves, which others get.

A role is a party, a recipient or a requester by its name, or `node-<j>`.
"""

import re
import secrets
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from pydantic import ValidationError, model_validator

from console.errors import ConsoleError
from evaluation.keys import KEY_BYTES, new_secret, sealing_public, signing_public, write_secret
from mpc.identity import create_identity
from policy.agreement import (
    NODES,
    Draft,
    Frozen,
    NodeIdentity,
    PartyIdentity,
    RecipientIdentity,
    RequesterIdentity,
)
from policy.faults import one_line

LINK, PSEUDONYM, SHARING, BATCH, REJECTS = "link", "pseudonym", "sharing", "batch", "rejects"
"""Keys of parties."""
SEALING, RECORDS = "sealing", "records"
"""Of nodes; recipients have `sealing`, too."""
CHAIN = "chain"
"""Of parties, nodes and requesters: for the chain alone."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class Identity(Frozen):
    """The public halves of one role's keys, as its organisation gives them to the others: one of the four is there."""

    agreement: str
    """Its name."""
    party: PartyIdentity | None = None
    node: NodeIdentity | None = None
    recipient: RecipientIdentity | None = None
    requester: RequesterIdentity | None = None

    @model_validator(mode="after")
    def _of_one(self) -> Self:
        found = [kind for kind in ("party", "node", "recipient", "requester") if getattr(self, kind) is not None]
        if len(found) != 1:
            raise ValueError(
                f"found {', '.join(found) or 'none of them'}, expected one of party, node, recipient and requester"
            )
        return self

    @property
    def role(self) -> str:
        """Whose it is."""
        if self.node is not None:
            return node_role(self.node.number)
        named = self.party or self.recipient or self.requester
        assert named is not None
        return named.name


@dataclass(frozen=True)
class Given:
    """What an organisation says, where it is not drawn."""

    link: bytes | None = None
    """A party's link secret, which another party drew."""
    address: str | None = None
    """On the chain, of a key that lies elsewhere, or of a contract: of a party, node or requester."""
    organisation: str | None = None
    """Who runs the node."""
    endpoint: str | None = None
    """host:port on which its peers reach the node."""


def node_role(number: int) -> str:
    """The role of a node."""
    return f"node-{number}"


def roles(draft: Draft) -> tuple[str, ...]:
    """Every role that has keys, in the agreement's order."""
    return (
        *(p.name for p in draft.parties), *(node_role(j) for j in range(NODES)),
        *(r.name for r in draft.recipients), *(r.name for r in draft.requesters),
    )


def draw(folder: Path, draft: Draft, role: str, given: Given) -> Identity:
    """Draw a role's keys into an empty folder, one file a key.

    Args:
        folder: mode 0700, its owner's alone.
        draft: in which the role is.
        role: whose keys.
        given: what is not drawn. Without `link` a party draws a new one.

    Raises:
        ConsoleError: no such role, or something is given that this role does not have, or lacks what it must have.
        FileExistsError: the folder holds such a key.
    """
    if role in {p.name for p in draft.parties}:
        _check(role, "a party", given, may={"link", "address"})
        return Identity(agreement=draft.name, party=_party(folder, role, given))
    if role in {r.name for r in draft.recipients}:
        _check(role, "a recipient", given, may=set())
        sealing = sealing_public(new_secret(folder / SEALING))
        return Identity(agreement=draft.name, recipient=RecipientIdentity(name=role, sealing_key=sealing))
    if role in {r.name for r in draft.requesters}:
        _check(role, "a requester", given, may={"address"})
        return Identity(agreement=draft.name, requester=RequesterIdentity(name=role, address=_account(folder, given)))
    number = next((j for j in range(NODES) if node_role(j) == role), None)
    if number is None:
        raise ConsoleError(f"no role {role!r} in agreement {draft.name}. Expected one of {', '.join(roles(draft))}.")
    _check(role, "a node", given, may={"address", "organisation", "endpoint"}, must={"organisation", "endpoint"})
    try:
        return Identity(agreement=draft.name, node=_node(folder, number, given))
    except ValidationError as error:
        raise ConsoleError(f"{role}: {one_line(error)}.") from error


def _check(role: str, kind: str, given: Given, may: AbstractSet[str], must: AbstractSet[str] = frozenset()) -> None:
    """Refuse what `role` cannot be given, or lacks, before anything is drawn."""
    found = {field.name for field in fields(Given) if getattr(given, field.name) is not None}
    if strange := sorted(found - may):
        raise ConsoleError(f"{role} is {kind}, which has no {strange[0]}. Leave --{strange[0]} out.")
    if missing := sorted(must - found):
        raise ConsoleError(f"{role} is {kind}: its {missing[0]} is part of the agreement. Give --{missing[0]}.")
    if given.link is not None and len(given.link) != KEY_BYTES:
        raise ConsoleError(f"the link secret has {len(given.link)} bytes, expected {KEY_BYTES}.")
    if given.address is not None and not _ADDRESS.fullmatch(given.address):
        raise ConsoleError(f"address {given.address!r}: expected 0x and 40 hexadecimal digits.")


def _account(folder: Path, given: Given) -> str:
    """The address of a key for the chain, which is drawn unless its address is given."""
    from policy.chain.signing import address_of  # a start waits for what it brings along

    return given.address or address_of(new_secret(folder / CHAIN))


def _party(folder: Path, name: str, given: Given) -> PartyIdentity:
    write_secret(folder / LINK, given.link or secrets.token_bytes(KEY_BYTES))
    for key in (PSEUDONYM, SHARING, REJECTS):
        new_secret(folder / key)
    batch = signing_public(new_secret(folder / BATCH))
    return PartyIdentity(name=name, address=_account(folder, given), batch_key=batch)


def _node(folder: Path, number: int, given: Given) -> NodeIdentity:
    assert given.organisation is not None
    assert given.endpoint is not None
    return NodeIdentity(
        number=number, organisation=given.organisation, endpoint=given.endpoint,
        certificate=create_identity(folder, node_role(number)).fingerprint,
        sealing_key=sealing_public(new_secret(folder / SEALING)),
        record_key=signing_public(new_secret(folder / RECORDS)), attestor=_account(folder, given),
    )
