"""The passphrase of whoever gives a command."""

import getpass
import os
import sys

from console.errors import ConsoleError
from evaluation.keystore import PASSPHRASE


def passphrase() -> str:
    """Of a keystore: from the environment, or from whoever sits there.

    Raises:
        ConsoleError: neither.
    """
    found = os.environ.get(PASSPHRASE)
    if found is not None:
        return found
    if not sys.stdin.isatty():
        raise ConsoleError(f"the key is in a keystore: set {PASSPHRASE}, or run this in a terminal.")
    return getpass.getpass("Passphrase of the keystore: ")
