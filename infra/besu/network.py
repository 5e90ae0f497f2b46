"""What the validators of a QBFT chain must have alike: genesis, peers, permissions. From public keys alone.

Each organisation makes its validator's key where it will run and tells the others its enode address. From all of these
everyone makes the same files by itself, and compares the digest that is printed:

    python -m infra.besu.network --chain-id N --out FOLDER ENODE ENODE ENODE ENODE
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from infra.local.errors import LocalError

FEWEST, MOST = 3, 16
"""Validators. With three none may be dishonest."""
MAX_CHAIN_ID = 2**53 - 1
"""What every client of JSON reads exactly."""
TAKEN = {1: "Ethereum's", 1337: "that of many test chains", 31337: "that of many test chains"}
VANITY_BYTES = 32
"""In front of the validators; free to use, and zero here."""

_ENODE = re.compile(r"enode://([0-9a-f]{128})@(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})")
_BASE = Path(__file__).with_name("genesis.json")


@dataclass(frozen=True)
class Validator:
    """A validator as others reach it."""

    public_key: bytes
    """64 bytes."""
    enode: str

    @property
    def address(self) -> bytes:
        """20 bytes: the end of the key's hash."""
        return keccak(self.public_key)[-20:]


def validator(enode: str) -> Validator:
    """A validator from its enode address.

    Raises:
        LocalError: it is none, or names its host by something else than an IPv4 address.
    """
    found = _ENODE.fullmatch(enode)
    if found is None or int(found[3]) > 65535 or any(int(part) > 255 for part in found[2].split(".")):
        raise LocalError(
            f"{len(enode)} characters are no enode address: expected enode://, 128 lower-case hexadecimal digits, @, "
            "an IPv4 address, a colon and a port (Besu takes no names unless it is told to)."
        )
    return Validator(bytes.fromhex(found[1]), enode)


def genesis(chain_id: int, validators: Sequence[Validator]) -> dict[str, Any]:
    """The genesis of a chain with these validators; their order does not matter.

    Raises:
        LocalError: a chain id that others have, too few or too many validators, or one twice.
    """
    if chain_id in TAKEN or not 1 < chain_id <= MAX_CHAIN_ID:
        whose = TAKEN.get(chain_id, f"not between 2 and {MAX_CHAIN_ID}")
        raise LocalError(
            f"chain id {chain_id} is {whose}; draw a number of your own, so that no signature fits another chain."
        )
    addresses = sorted({v.address for v in validators})
    if len(addresses) != len(validators):
        raise LocalError(
            f"{len(validators)} enode addresses have {len(addresses)} different keys; every validator needs its own."
        )
    if not FEWEST <= len(addresses) <= MOST:
        raise LocalError(
            f"found {len(addresses)} validators, expected {FEWEST} to {MOST}; with four or more one may be "
            "dishonest."
        )
    made: dict[str, Any] = json.loads(_BASE.read_text(encoding="utf-8"))
    made["config"]["chainId"] = chain_id
    made["extraData"] = "0x" + extra_data(addresses).hex()
    return made


def extra_data(addresses: Sequence[bytes]) -> bytes:
    """QBFT's extra data of a first block: RLP of [vanity, validators, no vote, round 0, no seals]."""
    return _rlp([bytes(VANITY_BYTES), list(addresses), [], b"", []])


def files(chain_id: int, validators: Sequence[Validator]) -> dict[str, str]:
    """Name → content of what every validator has alike.

    Raises:
        LocalError: see genesis.
    """
    enodes = sorted(v.enode for v in validators)
    return {
        "genesis.json": json.dumps(genesis(chain_id, validators), indent=2) + "\n",
        "static-nodes.json": json.dumps(enodes, indent=2) + "\n",
        "permissions_config.toml": f"nodes-allowlist={json.dumps(enodes)}\n",
    }


def _rlp(item: bytes | list[Any]) -> bytes:
    """Recursive length prefix (Ethereum yellow paper, appendix B)."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _length(len(item), 0x80) + item
    body = b"".join(map(_rlp, item))
    return _length(len(body), 0xC0) + body


def _length(size: int, offset: int) -> bytes:
    if size <= 55:
        return bytes([offset + size])
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([offset + 55 + len(digits)]) + digits


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; exit codes: 0 written, 2 what was given makes no chain."""
    parser = argparse.ArgumentParser(prog="python -m infra.besu.network", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("enodes", nargs="+", metavar="ENODE")
    parser.add_argument("--chain-id", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    try:
        made = files(asked.chain_id, [validator(enode) for enode in asked.enodes])
        asked.out.mkdir(parents=True, exist_ok=True)
        for name, content in made.items():
            (asked.out / name).write_text(content, encoding="utf-8")
    except (LocalError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    digest = hashlib.sha256("".join(made.values()).encode()).hexdigest()
    sys.stdout.write(f"{', '.join(made)} in {asked.out}; all organisations must find the same digest: {digest[:16]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
