"""A key for the chain, from a file of 64 hexadecimal digits or an encrypted keystore (policy.chain.keystore).

A keystore may be made and kept where Winnow is not. A process may also have its key in its environment.
"""

import os
from collections.abc import Callable
from pathlib import Path

from evaluation.errors import ConfigError
from evaluation.keys import check_mode, read_secret, secret_of

CHAIN_KEY = "WINNOW_CHAIN_KEY"
"""The environment variable that holds a process's key, instead of a file: 64 hexadecimal digits."""
PASSPHRASE = "WINNOW_PASSPHRASE"  # noqa: S105 - a name
"""The environment variable from which processes take the passphrase of their keystore."""
MOST_BYTES = 1 << 16


def read_chain_key(path: Path, passphrase: Callable[[], str]) -> bytes:
    """Read a private key; `passphrase` is asked for a keystore's alone.

    Raises:
        ConfigError: missing, readable by others, neither form, or another passphrase.
    """
    if not _is_keystore(path):
        return read_secret(path)
    check_mode(path)
    from policy.chain.keystore import KeystoreError, open_keystore  # a start waits for what it brings along

    with path.open("rb") as file:
        content = file.read(MOST_BYTES)
    try:
        return open_keystore(content, passphrase())
    except KeystoreError as error:
        raise ConfigError(f"keystore {path}: {error}. See docs/agreements.md.") from None


def chain_key_of_a_process(path: Path, agreed: str) -> bytes:
    """Its private key: from the environment, or from a file whose passphrase is there if it is a keystore.

    Args:
        path: the file.
        agreed: the key's address, which stands in the agreement: with another key the contract refuses all that is
            sent.

    Raises:
        ConfigError: both are there, or it is no key, or that of another address; else see read_chain_key.
    """
    from policy.chain.signing import address_of  # a start waits for what it brings along

    given = os.environ.get(CHAIN_KEY)
    if given is None:
        key, place = read_chain_key(path, _passphrase_of_a_process), f"key file {path}"
    elif path.exists():
        raise ConfigError(f"found a key in {path} and one in {CHAIN_KEY}, expected one of them. Remove the other.")
    else:
        key, place = secret_of(given, CHAIN_KEY), CHAIN_KEY
    try:
        found = address_of(key)
    except ValueError as error:
        raise ConfigError(f"{place} holds 32 bytes that are no private key. Give this process its own key.") from error
    if found.lower() != agreed.lower():
        raise ConfigError(
            f"{place} holds the key of {found}, expected that of {agreed}, which the agreement names. Give "
            "this process its own key."
        )
    return key


def _passphrase_of_a_process() -> str:
    """From the environment: nobody is asked.

    Raises:
        ConfigError: it is not set.
    """
    found = os.environ.get(PASSPHRASE)
    if found is None:
        raise ConfigError(f"the key for the chain is in a keystore. Set {PASSPHRASE} in the process's environment.")
    return found


def _is_keystore(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"{")
    except OSError as error:
        raise ConfigError(f"key file {path}: {error.strerror}. Expected 64 digits, or a keystore.") from error
