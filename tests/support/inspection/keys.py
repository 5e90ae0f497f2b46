"""Keys: each stays in its role's folder, which nobody else can enter."""

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.inspection.search import Needles

LINK = "link"
KEYS = "keys"


def private_keys(files):
    """Role → name → 32 bytes, of every key file; a TLS key by its Ed25519 seed."""
    found = {}
    for path, file in files.items():
        role, *rest = path.split("/")
        if len(rest) != 2 or rest[0] != KEYS or file.data is None or rest[1].endswith(".certificate.pem"):
            continue
        if rest[1].endswith(".key.pem"):
            secret = load_pem_private_key(file.data, None).private_bytes_raw()
        else:
            secret = bytes.fromhex(file.data.decode())
        found.setdefault(role, {})[rest[1]] = secret
    return found


class Escaped:
    """Finds a role's keys outside its keys folder. The link secret may lie in every data party's."""

    def __init__(self, keys, parties):
        self._keys, self._parties = keys, parties
        self._needles = Needles({s: f"{n} of {r}" for r, names in keys.items() for n, s in names.items() if n != LINK})
        self._link = Needles({names[LINK]: "link secret" for names in keys.values() if LINK in names})

    def findings(self, blobs):
        found = []
        for blob in blobs:
            own = f"file {blob.owner}/{KEYS}/"
            found += [
                f"{blob.place}: key {name}" for name in self._needles.find_in(blob.forms)
                if not (blob.place.startswith(own) and name.endswith(f" of {blob.owner}"))
            ]
            if not (blob.place.startswith(own) and blob.owner in self._parties):
                found += [f"{blob.place}: {name}" for name in self._link.find_in(blob.forms)]
        return found

    def findings_in_memory(self, role, piece):
        names = self._needles.find(piece, 8) + self._link.find(piece, 8)
        return [f"memory: key {name}" for name in names if not name.endswith(f" of {role}")]


def reused(keys):
    """Keys that two files hold, the link secret apart: a role has its own, and one for each purpose."""
    seen, findings = {}, []
    for role, names in keys.items():
        for name, secret in names.items():
            if name != LINK and secret in seen:
                findings.append(f"{role}/{name} is the same as {seen[secret]}")
            seen.setdefault(secret, f"{role}/{name}")
    return findings


def permissions(files):
    """Folders that others may enter and key files that others may read.

    The evaluation's folder, each role's and what is directly in it: deeper ones cannot be reached then.
    """
    findings = []
    for path, file in files.items():
        if file.data is None and path.count("/") <= 1 and file.mode != 0o700:
            findings.append(f"folder {path} has mode {file.mode:o}, expected 700")
        if f"/{KEYS}/" in path and file.mode != 0o600:
            findings.append(f"key file {path} has mode {file.mode:o}, expected 600")
    return findings
