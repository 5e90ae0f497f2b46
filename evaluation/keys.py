"""Key files: one secret a file, 32 bytes as hexadecimal, mode 0600 in folders of mode 0700."""

import hmac
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.errors import ConfigError

KEY_BYTES = 32


def private_folder(path: Path) -> Path:
    """Create a folder that only its owner can enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_secret(path: Path, secret: bytes) -> None:
    """Write a secret that only its owner can read; never over an existing one."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secret.hex())


def read_secret(path: Path) -> bytes:
    """Read a 32-byte secret.

    Raises:
        ConfigError: missing, readable by others, or not 64 hexadecimal digits.
    """
    try:
        check_mode(path)
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "no text"
        raise ConfigError(f"key file {path}: {found}. Expected 64 hexadecimal digits.") from error
    return secret_of(text, f"key file {path}")


def check_mode(path: Path) -> None:
    """Refuse a file of secrets that others than its owner can read.

    Raises:
        ConfigError: they can.
        OSError: there is none.
    """
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigError(f"key file {path} has mode {mode:o}, expected 600. Run chmod 600 on it.")


def secret_of(text: str, name: str) -> bytes:
    """A 32-byte secret from its 64 hexadecimal digits; `name`: of what they are from, for the message.

    Raises:
        ConfigError: something else.
    """
    text = text.strip()
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ConfigError(f"{name} holds {len(text)} characters, expected 64 hexadecimal digits.")
    return bytes.fromhex(text)


def agreed_secret(path: Path, public: Callable[[bytes], str], agreed: str) -> bytes:
    """A secret whose public key stands in the agreement; with another one, nothing that others seal can be opened.

    Args:
        path: its file.
        public: secret → public key.
        agreed: 64 hexadecimal digits.

    Raises:
        ConfigError: see read_secret; or it is another key.
    """
    secret = read_secret(path)
    if public(secret) != agreed:
        raise ConfigError(
            f"key file {path} holds another key than the agreement names: its public key is {public(secret)[:16]}…, "
            f"expected {agreed[:16]}…. Name the folder with this process's own keys."
        )
    return secret


def new_secret(path: Path) -> bytes:
    """Draw a fresh 32-byte secret and write it."""
    secret = secrets.token_bytes(KEY_BYTES)
    write_secret(path, secret)
    return secret


def sealing_public(secret: bytes) -> str:
    """The X25519 public key of a secret, 64 hexadecimal digits."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()


def signing_public(secret: bytes) -> str:
    """The Ed25519 public key of a secret, 64 hexadecimal digits."""
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()


def noise_key(secret: bytes, agreement: str) -> bytes:
    """32 bytes from which a node's dummy patients and noise follow.

    Args:
        secret: of this node alone.
        agreement: its id on the chain, in which contract and chain are. Where the same terms are tried out on another
            chain, with made-up data say, whoever knows these data learns the noise; it is not that of this chain.
    """
    return hmac.digest(secret, b"winnow noise " + agreement.encode(), "sha256")
