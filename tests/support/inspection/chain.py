"""Every value on the chain is one that we can explain: a hash, an address, a signature, a date or the quota.

Of an agreement without requesters and without a privacy budget, which supersedes none.
"""

import hashlib
import json
from dataclasses import dataclass

from eth_abi.abi import decode, encode
from eth_account import Account
from eth_utils.abi import abi_to_signature, get_abi_input_types
from eth_utils.crypto import keccak

DISTINCT_BYTES = 20
"""32 random bytes have about 30 different ones; fewer than 20 once in 10^11."""


@dataclass(frozen=True)
class Expected:
    """What may stand on the chain; addresses in lower case."""

    abi: list
    bytecode: bytes
    registry: str
    agreement: bytes
    terms_hash: bytes
    parties: tuple[str, ...]
    attestors: tuple[str, ...]
    others: frozenset[str]
    """Accounts that pay: the embedded chain's, and whoever proposes."""
    valid_from: int
    valid_until: int
    quota: int
    blocks: frozenset[bytes]
    """Hashes of all blocks."""
    roots: dict[bytes, bytes | None]
    """Run id → root of its sealed results; None for a run without results."""

    @property
    def accounts(self):
        return {*self.parties, *self.attestors, *self.others}


def findings(chain, expected):
    """What cannot be explained."""
    found = []
    for number, sent in enumerate(chain.transactions):
        found += [f"transaction {number}: {text}" for text in _transaction(sent, expected)]
    for number, log in enumerate(chain.logs):
        found += [f"log {number}: {text}" for text in _log(log, expected)]
    return found


def run_id(terms_hash, plans, windows, batches):
    """H(agreement, plans, windows, manifest), from the batches that the run must have read.

    Args:
        terms_hash, plans: hexadecimal; plans sorted.
        windows: their indices.
        batches: of `inspection.shares`.
    """
    manifest, components = hashlib.sha256(), [hashlib.sha256() for _ in range(3)]
    for name, batch in sorted((hashlib.sha256(b.head).hexdigest(), b) for b in batches):
        manifest.update(name.encode())
        for number, digest in enumerate(components):
            digest.update(batch.rows[number]["commitment"])
    text = json.dumps({
        "agreement": terms_hash, "plans": plans, "windows": windows, "batches": manifest.hexdigest(),
        "components": [c.hexdigest() for c in components],
    }, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def _transaction(sent, expected):
    if sent.extra:
        yield f"carries {sent.extra}"
    if sent.sender not in expected.accounts:
        yield f"is from {sent.sender}, whom nobody knows"
    if sent.to is None:
        if sent.data != expected.bytecode:
            yield f"creates something else than the registry ({len(sent.data)} bytes)"
    elif sent.to != expected.registry:
        if sent.data or sent.to not in expected.accounts:
            yield f"goes to {sent.to} with {len(sent.data)} bytes"
    else:
        if sent.value:
            yield f"pays {sent.value} to the registry"
        yield from _call(sent.data, expected)


def _call(data, expected):
    functions = {keccak(text=abi_to_signature(e))[:4]: e for e in expected.abi if e["type"] == "function"}
    entry = functions.get(data[:4])
    if entry is None:
        yield f"calls {data[:4].hex()}, which the registry does not have, with {len(data) - 4} bytes"
        return
    values = _exactly(get_abi_input_types(entry), data[4:])
    if values is None:
        yield f"{entry['name']}: its arguments are not encoded as they must be"
        return
    members = [m for place, value in zip(entry["inputs"], values, strict=True) for m in _members(place, value)]
    arguments = dict(members)
    if entry["name"] == "sign" and not _signed_by(expected.agreement, arguments["signature"], arguments["party"]):
        yield "sign: the signature is not the party's"
    for name, value in members:
        if name != "signature" and not _explained(name, value, arguments, expected):
            yield f"{entry['name']}: {name} is {_shown(value)}, which nothing explains"


def _members(place, value):
    """(name, value) of everything in an argument that is no struct; lists of structs one after another."""
    if "components" not in place:
        yield place["name"], value
    elif place["type"].endswith("[]"):
        for member in value:
            yield from _members({**place, "type": place["type"].removesuffix("[]")}, member)
    else:
        for component, member in zip(place["components"], value, strict=True):
            yield from _members(component, member)


def _log(log, expected):
    if log.address != expected.registry:
        yield f"is of {log.address}"
        return
    events = {keccak(text=abi_to_signature(e)): e for e in expected.abi if e["type"] == "event"}
    entry = events.get(log.topics[0])
    if entry is None:
        yield "is of an event that the registry does not have"
        return
    indexed = [i for i in entry["inputs"] if i["indexed"]]
    plain = [i for i in entry["inputs"] if not i["indexed"]]
    values = [_exactly([i["type"]], topic) for i, topic in zip(indexed, log.topics[1:], strict=True)]
    rest = _exactly([i["type"] for i in plain], log.data)
    if rest is None or None in values:
        yield f"{entry['name']}: not encoded as it must be"
        return
    arguments = {i["name"]: v[0] for i, v in zip(indexed, values, strict=True)}
    arguments |= {i["name"]: v for i, v in zip(plain, rest, strict=True)}
    for name, value in arguments.items():
        if not _explained(name, value, arguments, expected):
            yield f"{entry['name']}: {name} is {_shown(value)}, which nothing explains"


def _explained(name, value, arguments, expected):
    match name:
        case "id":
            return value == expected.agreement
        case "termsHash":
            return value == expected.terms_hash
        case "parties" | "attestors":
            return value == getattr(expected, name)
        case "party":
            return value in expected.parties
        case "attestor":
            return value in expected.attestors
        case "proposer":
            return value in expected.others
        case "validFrom":
            return value == expected.valid_from
        case "validUntil":
            return value == expected.valid_until
        case "runQuota":
            return value == expected.quota
        case "supersedes":
            return value == bytes(32)
        case "requester":
            return value == "0x" + "00" * 20
        case "budget" | "privacyBudget":
            return value == 0
        case "version":
            return value == 1
        case "blockHash":
            return value in expected.blocks
        case "runId":
            return value in expected.roots
        case "sequence":
            return 1 <= value <= len(expected.roots)
        case "root":
            return value == expected.roots.get(arguments["runId"])
        case "transcript":
            # It covers transcripts that only nodes know, so all that can be said is that it hides what it covers.
            return len(set(value)) >= DISTINCT_BYTES
        case _:
            return False


def _exactly(types, data):
    """Decoded values; None unless encoding them again gives the same bytes: nothing hides in padding."""
    try:
        values = decode(types, data)
    except Exception:
        return None
    return values if encode(types, values) == data else None


def _signed_by(agreement, signature, party):
    try:
        return len(signature) == 65 and Account._recover_hash(agreement, signature=signature).lower() == party
    except Exception:
        return False


def _shown(value):
    return value.hex() if isinstance(value, bytes) else repr(value)
