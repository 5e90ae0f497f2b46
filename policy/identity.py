"""Who takes part, by public keys and addresses: the identities in an agreement's terms, and what must set them apart.

Secret halves lie where they are used. What stands here was given by its organisation, and may be anything: keys that
anybody can sign or open under, and text that a terminal would obey, are refused.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from policy.names import NAME, checked_endpoint

NODES = 3
MOST_TEXT = 80

_SIGN_BIT = 1 << 255
_ED25519 = 2**255 - 19
_SMALL_MONTGOMERY = frozenset({
    0, 1, 0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F, _ED25519 - 1, _ED25519, _ED25519 + 1,
})
"""X25519 keys with which every secret is the same: RFC 7748, section 6.1; D. J. Bernstein, Curve25519, PKC 2006."""
_SMALL_EDWARDS = frozenset({
    0, 1, 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7, _ED25519 - 1, _ED25519, _ED25519 + 1,
})
"""Ed25519 keys under which signatures can be made without a secret: Chalkias, Garillot, Nikolaenko, SSR 2020."""


def _number(key: str) -> int:
    return int.from_bytes(bytes.fromhex(key), "little") % _SIGN_BIT


def _sealing(key: str) -> str:
    if _number(key) in _SMALL_MONTGOMERY:
        raise ValueError("found a key of small order, whose secrets anybody knows; draw another one")
    return key


def _signing(key: str) -> str:
    if _number(key) in _SMALL_EDWARDS:
        raise ValueError("found a key of small order, under which anybody can sign; draw another one")
    return key


def _account(address: str) -> str:
    if int(address, 16) == 0:
        raise ValueError("found the zero address, which nobody holds; give that of a key or contract")
    return address


def _plain(text: str) -> str:
    if not text.isprintable() or text.strip() != text:
        raise ValueError("expected text that can be printed, without spaces around it")
    return text


Hex32 = Field(pattern=r"^[0-9a-f]{64}$")
SealingKey = Annotated[str, Hex32, AfterValidator(_sealing)]
SigningKey = Annotated[str, Hex32, AfterValidator(_signing)]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(_account)]
Name = Annotated[str, Field(pattern=NAME)]


class _Frozen(BaseModel):
    """Immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PartyIdentity(_Frozen):
    """Keys of a data party."""

    name: Name
    address: Address
    """Signs the agreement (EIP-712)."""
    batch_key: SigningKey
    """Ed25519: signs share batches."""


class NodeIdentity(_Frozen):
    """Keys and address of an MPC node."""

    number: int = Field(ge=0, lt=NODES)
    organisation: Annotated[str, Field(min_length=1, max_length=MOST_TEXT), AfterValidator(_plain)]
    endpoint: Annotated[str, AfterValidator(checked_endpoint)]
    """host:port of its node-to-node listener."""
    certificate: Annotated[str, Hex32]
    """SHA-256 of its TLS certificate (DER)."""
    sealing_key: SealingKey
    """X25519: share batches for this node are sealed to it (RFC 9180)."""
    record_key: SigningKey
    """Ed25519: signs the node's run records and results."""
    attestor: Address
    """Sends authorisations and attestations."""


class RecipientIdentity(_Frozen):
    """Key of a recipient."""

    name: Name
    sealing_key: SealingKey


class RequesterIdentity(_Frozen):
    """Key of a requester."""

    name: Name
    address: Address
    """Signs requests (EIP-712)."""


def check_apart(
    parties: Sequence[PartyIdentity], nodes: Sequence[NodeIdentity], recipients: Sequence[RecipientIdentity],
    requesters: Sequence[RequesterIdentity],
) -> None:
    """Nobody has another's key. Recipients may share one: an organisation may be several of them.

    Raises:
        ValueError: somebody has; says which kind of key, and what that would mean.
    """
    sealing = [*(n.sealing_key for n in nodes), *{r.sealing_key for r in recipients}]
    of_nodes = (
        "nodes with one key between them hold all three components, and a node with a recipient's key reads results"
    )
    for label, keys, why in (
        ("sealing keys", sealing, of_nodes),
        ("certificates", [n.certificate for n in nodes], of_nodes),
        ("record keys", [n.record_key for n in nodes], of_nodes),
        ("attestors' addresses", [n.attestor for n in nodes], "one of them would attest for two nodes"),
        ("parties' addresses", [p.address for p in parties], "one of them would sign for two parties"),
        ("requesters' addresses", [r.address for r in requesters], "their quotas would be one person's"),
    ):
        if len({key.lower() for key in keys}) != len(keys):
            raise ValueError(f"{label} repeat: {why}. Give each its own")
