"""Parties whose key is in another device, or who are contracts: what they sign and send, and bringing signatures in."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.agreement.acting import Act, confirm, tell
from console.errors import ConsoleError
from console.output import standard_output
from console.passphrase import passphrase
from evaluation.agreement import check_id, open_registry, proposal
from evaluation.config import AgreedSettings, load_settings, load_terms
from evaluation.errors import EXIT_ENDED
from evaluation.keystore import read_chain_key
from policy.agreement import Terms


@dataclass(frozen=True)
class Made:
    """A signature that was made elsewhere."""

    party: str
    signature: str
    """Hexadecimal."""


async def show_typed_data(config: Path) -> int:
    """Print what a party signs, for a wallet (EIP-712); the endpoint is not asked.

    Raises:
        ConfigError, Tampered: see console.agreement.acting.act.
    """
    from policy.chain.signing import agreement_id, agreement_typed_data

    settings, terms = _agreed(config)
    deployment, proposed = settings.chain.deployment, proposal(terms)
    check_id(settings.chain, agreement_id(deployment, proposed))
    return _print(agreement_typed_data(deployment, proposed))


async def show_call(config: Path, what: Act) -> int:
    """Print the transaction with which a party that is a contract does an act: it has to send it itself.

    Raises:
        ConfigError, Tampered: see console.agreement.acting.act.
    """
    from policy.chain.codec import encode_call
    from policy.chain.model import to_bytes32
    from policy.chain.signing import agreement_id

    settings, terms = _agreed(config)
    chain = settings.chain
    check_id(chain, agreement_id(chain.deployment, proposal(terms)))
    data = encode_call(what, to_bytes32(chain.agreement_id))
    return _print({
        "chainId": chain.deployment.chain_id, "to": chain.deployment.address, "value": "0x0", "data": f"0x{data.hex()}",
    })


async def bring_in(config: Path, made: Made, key_file: Path, *, yes: bool, as_json: bool) -> int:
    """Check a signature that was made elsewhere, and bring it in; the key pays, whosever it is.

    Raises:
        ConsoleError: no such party, no signature of it, or nobody confirmed.
        ConfigError: the configuration, the terms or the key file.
        policy.errors.ChainError: the endpoint or the registry refuses.
    """
    settings, terms = _agreed(config)
    address = _address(terms, made.party)
    signature = _bytes(made.signature)
    key = read_chain_key(key_file, passphrase)
    agreement = settings.chain.agreement_id
    async with open_registry(settings.chain, terms, key) as registry:
        reason = await registry.unfit(proposal(terms), address, signature)
        if reason is not None:
            raise ConsoleError(f"--signature: {reason}. Nothing was sent.")
        if not yes:
            confirm("sign", made.party, terms)
        await registry.relay(agreement, address, signature)
        state = (await registry.view(agreement, "latest")).state
    tell("sign", made.party, terms, agreement, state, as_json=as_json)
    return EXIT_ENDED


def _address(terms: Terms, party: str) -> str:
    addresses = {identity.name: identity.address for identity in terms.parties}
    if party not in addresses:
        raise ConsoleError(f"--party {party}: no such party; the agreement has {', '.join(addresses)}.")
    return addresses[party]


def _bytes(text: str) -> bytes:
    from policy.chain.wallet import MOST_SIGNATURE_BYTES

    digits = text.strip().removeprefix("0x")
    try:
        found = bytes.fromhex(digits) if digits and not any(c.isspace() for c in digits) else None
    except ValueError:
        found = None
    if found is None or len(found) > MOST_SIGNATURE_BYTES:
        raise ConsoleError(
            f"--signature: found {len(digits)} characters, expected hexadecimal digits, two for each of at most "
            f"{MOST_SIGNATURE_BYTES} bytes. Give it as the wallet gave it."
        )
    return found


def _agreed(config: Path) -> tuple[AgreedSettings, Terms]:
    settings = load_settings(config, AgreedSettings)
    return settings, load_terms(settings.terms)


def _print(document: dict[str, Any]) -> int:
    with standard_output():
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return EXIT_ENDED
