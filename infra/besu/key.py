"""A validator's own key: `python -m infra.besu.key FILE`, where the validator will run.

FILE is made, for its owner alone, unless it is there; what is printed is the public half, for the enode address.
"""

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from eth_keys.datatypes import PrivateKey
from eth_utils.exceptions import ValidationError

from infra.local.errors import LocalError

KEY_BYTES = 32


def public_key(path: Path) -> str:
    """The public half of the key in a file, 128 hexadecimal digits; the key is made if there is no such file.

    Raises:
        LocalError: it cannot be made or read, others can read it, or it holds no key.
    """
    try:
        if not path.exists():
            _make(path)
        mode, written = path.stat().st_mode, path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise LocalError(f"key file {path}: {getattr(error, 'strerror', None) or 'no text'}") from None
    if mode & 0o077:
        raise LocalError(
            f"key file {path} has mode {mode & 0o777:o}, expected 600; others may have read it: make another."
        )
    try:
        return PrivateKey(bytes.fromhex(written.removeprefix("0x"))).public_key.to_bytes().hex()
    except (ValueError, ValidationError):
        raise LocalError(f"key file {path} holds no key of the curve; expected 64 hexadecimal digits.") from None


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Nearly every number of 32 bytes is a key; the one that is not is found out when it is read.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_bytes(KEY_BYTES).hex())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the public half; exit codes: 0 printed, 2 there is no such key."""
    parser = argparse.ArgumentParser(prog="python -m infra.besu.key", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("file", type=Path)
    try:
        sys.stdout.write(public_key(parser.parse_args(arguments).file) + "\n")
    except LocalError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
