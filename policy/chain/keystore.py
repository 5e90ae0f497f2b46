"""Encrypted keystores of Ethereum's tools: Web3 Secret Storage, version 3 (geth, Besu, foundry and clef make them).

https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage
"""

import json

from eth_account import Account


class KeystoreError(Exception):
    """Why a keystore gives no key; neither its content nor the passphrase is in the text."""


def open_keystore(content: bytes, passphrase: str) -> bytes:
    """The private key in a keystore.

    Raises:
        KeystoreError: no keystore of version 3, or another passphrase.
    """
    try:
        return bytes(Account.decrypt(json.loads(content), passphrase))
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        # eth-keyfile has no error of its own for a wrong passphrase.
        wrong = "MAC mismatch" in str(error)
        raise KeystoreError(
            "the passphrase does not open it" if wrong else "expected a keystore of version 3"
        ) from None
