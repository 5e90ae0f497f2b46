"""Which keys each role of an agreement has, how they are drawn, and their public halves, which others get.

A role is a party, a recipient or a requester by its name, or `node-<j>`.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import ValidationError, model_validator

from console.errors import ConsoleError
from evaluation.keys import KEY_BYTES, new_secret, sealing_public, signing_public, write_secret
from mpc.identity import create_identity
from policy.agreement import Draft, Frozen
from policy.faults import one_line
from policy.identity import NODES, Name, NodeIdentity, PartyIdentity, RecipientIdentity, RequesterIdentity

LINK, PSEUDONYM, SHARING, BATCH, REJECTS = "link", "pseudonym", "sharing", "batch", "rejects"
"""Keys of parties."""
SEALING, RECORDS = "sealing", "records"
"""Of nodes; recipients have `sealing`, too."""
CHAIN = "chain"
"""Of parties, nodes and requesters: for the chain alone."""
GO_ON = (LINK, PSEUDONYM, REJECTS, CHAIN)
"""Keys that a version may have from the one before: its parties sign and withdraw with the same address, and a party
opens what was refused. All others are bound to one agreement, and cost nothing to draw anew."""

Kind = Literal["party", "node", "recipient", "requester"]

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class Identity(Frozen):
    """The public halves of one role's keys, as its organisation gives them to the others: one of the four is there."""

    agreement: Name
    party: PartyIdentity | None = None
    node: NodeIdentity | None = None
    recipient: RecipientIdentity | None = None
    requester: RequesterIdentity | None = None

    @model_validator(mode="after")
    def _of_one(self) -> Self:
        found = [kind for kind in get_args(Kind) if getattr(self, kind) is not None]
        if len(found) != 1:
            raise ValueError(
                f"found {', '.join(found) or 'none of them'}, expected one of party, node, recipient and requester"
            )
        return self

    @property
    def kind(self) -> Kind:
        """Which of the four."""
        found: Kind = next(kind for kind in get_args(Kind) if getattr(self, kind) is not None)
        return found

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
    earlier: Mapping[str, bytes] | None = None
    """Keys of the same role that go on, by name: see GO_ON."""
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


def kind_of(draft: Draft, role: str) -> Kind:
    """What a role is.

    Raises:
        ConsoleError: the agreement has no such role.
    """
    found: Kind | None = None
    if role in {p.name for p in draft.parties}:
        found = "party"
    elif role in {node_role(j) for j in range(NODES)}:
        found = "node"
    elif role in {r.name for r in draft.recipients}:
        found = "recipient"
    elif role in {r.name for r in draft.requesters}:
        found = "requester"
    if found is None:
        raise ConsoleError(f"no role {role!r} in agreement {draft.name}. Expected one of {', '.join(roles(draft))}.")
    return found


def draw(folder: Path, draft: Draft, role: str, given: Given) -> Identity:
    """Draw a role's keys into an empty folder, one file a key.

    Args:
        folder: mode 0700, its owner's alone.
        draft: in which the role is.
        role: whose keys.
        given: what is not drawn, after `check_given`. Without `link` a party draws a new one.

    Raises:
        ConsoleError: no such role, or its identity cannot be.
        FileExistsError: the folder holds such a key.
    """
    kind = kind_of(draft, role)
    try:
        match kind:
            case "party":
                return Identity(agreement=draft.name, party=_party(folder, role, given))
            case "node":
                return Identity(agreement=draft.name, node=_node(folder, draft, role, given))
            case "recipient":
                sealing = sealing_public(new_secret(folder / SEALING))
                return Identity(agreement=draft.name, recipient=RecipientIdentity(name=role, sealing_key=sealing))
            case "requester":
                address = _account(folder, given)
                return Identity(agreement=draft.name, requester=RequesterIdentity(name=role, address=address))
    except ValidationError as error:
        raise ConsoleError(f"{role}: {one_line(error)}.") from error


def check_given(draft: Draft, role: str, given: Given) -> None:
    """Refuse what a role cannot be given, or lacks, before anything is drawn.

    Raises:
        ConsoleError: no such role, or one of these.
    """
    kind = kind_of(draft, role)
    may = {"party": {"link", "earlier", "address"}, "node": {"earlier", "address", "organisation", "endpoint"},
           "recipient": set(), "requester": {"earlier", "address"}}[kind]
    must = {"organisation", "endpoint"} if kind == "node" else set()
    found = {field.name for field in fields(Given) if getattr(given, field.name) is not None}
    if strange := sorted(found - may):
        raise ConsoleError(f"{role} is a {kind}, which has no {strange[0]}. Leave --{strange[0]} out.")
    if missing := sorted(must - found):
        raise ConsoleError(f"{role} is a {kind}: its {missing[0]} is part of the agreement. Give --{missing[0]}.")
    if given.address is not None and not _ADDRESS.fullmatch(given.address):
        raise ConsoleError(f"address {given.address!r}: expected 0x and 40 hexadecimal digits.")


def _account(folder: Path, given: Given) -> str:
    """The address of a key for the chain, which is drawn unless its address is given."""
    from policy.chain.signing import address_of  # a start waits for what it brings along

    return given.address or address_of(_drawn(folder, CHAIN, given))


def _drawn(folder: Path, name: str, given: Given) -> bytes:
    """A key that goes on, or a new one; written down."""
    secret = (given.earlier or {}).get(name) or secrets.token_bytes(KEY_BYTES)
    write_secret(folder / name, secret)
    return secret


def _party(folder: Path, name: str, given: Given) -> PartyIdentity:
    if given.link is not None:
        write_secret(folder / LINK, given.link)
    else:
        _drawn(folder, LINK, given)
    for key in (PSEUDONYM, REJECTS):
        _drawn(folder, key, given)
    new_secret(folder / SHARING)
    batch = signing_public(new_secret(folder / BATCH))
    return PartyIdentity(name=name, address=_account(folder, given), batch_key=batch)


def _node(folder: Path, draft: Draft, role: str, given: Given) -> NodeIdentity:
    assert given.organisation is not None
    assert given.endpoint is not None
    return NodeIdentity(
        number=int(role.removeprefix("node-")), organisation=given.organisation, endpoint=given.endpoint,
        certificate=create_identity(folder, role, until=draft.valid_until).fingerprint,
        sealing_key=sealing_public(new_secret(folder / SEALING)),
        record_key=signing_public(new_secret(folder / RECORDS)), attestor=_account(folder, given),
    )
