"""Who we are to a Kafka cluster: TLS with the cluster's own authority, and SCRAM.

SCRAM rather than PLAIN: the cluster keeps no password that it could lose, and none crosses the wire even inside TLS.
"""

import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path

from streams.errors import ConfigurationError

MECHANISM = "SCRAM-SHA-512"
MAX_PASSWORD_BYTES = 1024


@dataclass(frozen=True)
class Login:
    """A user of a cluster, and whom we trust to be the cluster. The password is in no log and no `repr`."""

    user: str
    password: str = field(repr=False)
    authority: Path
    """PEM file with the certificate that the brokers' certificates are signed with."""

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 to brokers whose names the authority signed.

        Raises:
            ConfigurationError: the authority's file cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=str(self.authority))
        except OSError as error:
            raise ConfigurationError(
                f"{self.authority} does not hold the certificate of the Kafka cluster's authority as PEM ({error})"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


def read_login(user: str, password: Path, authority: Path) -> Login:
    """A login whose password stands alone in a file that only its owner can read.

    Raises:
        ConfigurationError: the file is missing, empty, too long, or others can read it; never says what is in it, nor
            how one that is not there is called: that may be the password itself.
    """
    try:
        with password.open("rb") as file:
            others = stat.S_IMODE(password.stat().st_mode) & 0o077
            secret = file.read(MAX_PASSWORD_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the Kafka password of {user}: what `password` says cannot be read ({error.strerror}), expected the name "
            "of a file that only you can read, with the password alone. Name that file"
        ) from None  # its text holds the name
    if others:
        raise ConfigurationError(f"others can read {password}, the Kafka password of {user}; run: chmod 600 {password}")
    try:
        text = secret.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(secret) > MAX_PASSWORD_BYTES:
        raise ConfigurationError(
            f"{password} does not hold the Kafka password of {user}: expected 1 to {MAX_PASSWORD_BYTES} bytes of UTF-8"
        )
    return Login(user, text, authority)
