"""A node's TLS identity: a self-signed certificate whose SHA-256 stands in the agreement.

There is no certificate authority: a certificate counts because its digest is the agreed one, and it says which
node its owner is. Names in it are for people.
"""

import datetime as dt
import hashlib
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 10 * 365
"""The agreement's validity ends a certificate's use; its own end only must not come first."""
CLOCK_SKEW_DAYS = 1


@dataclass(frozen=True)
class Identity:
    """Where a node's certificate and key lie (PEM), and the certificate's SHA-256 (DER, lower-case hex)."""

    certificate_file: Path
    key_file: Path
    fingerprint: str


def fingerprint_of(der: bytes) -> str:
    """SHA-256 of a certificate in DER, 64 lower-case hex digits: the pin in the agreement."""
    return hashlib.sha256(der).hexdigest()


def create_identity(folder: Path, name: str, until: dt.date | None = None) -> Identity:
    """Makes an Ed25519 key and a certificate, `<name>.key.pem` and `<name>.certificate.pem`, mode 0600.

    The certificate is valid for VALID_DAYS, and longer if `until` is later than that.

    Raises: FileExistsError when either exists: a key is never replaced silently.
    """
    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    end = now + dt.timedelta(days=VALID_DAYS)
    if until is not None:
        # Validity is of whole days, and of one more for clocks that differ.
        end = max(end, dt.datetime.combine(until, dt.time(), dt.UTC) + dt.timedelta(days=1 + CLOCK_SKEW_DAYS))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=CLOCK_SKEW_DAYS))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, None)
    )
    _write(folder / f"{name}.key.pem", key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption(),
    ))
    _write(folder / f"{name}.certificate.pem", certificate.public_bytes(serialization.Encoding.PEM))
    return load_identity(folder, name)


def load_identity(folder: Path, name: str) -> Identity:
    """Raises: OSError, ValueError when the certificate cannot be read."""
    certificate_file = folder / f"{name}.certificate.pem"
    der = ssl.PEM_cert_to_DER_cert(certificate_file.read_text("ascii"))
    return Identity(certificate_file, folder / f"{name}.key.pem", fingerprint_of(der))


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
