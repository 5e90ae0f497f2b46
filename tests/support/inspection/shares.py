"""Which components a node can get at, by its keys or by looking: it must be two of three, of everything.

Opens messages by itself (RFC 9180 and Arrow), and expands seeds by itself: nothing here is the product's code.
"""

import hashlib
import json
import struct
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.support.inspection.evidence import Blob
from tests.support.inspection.search import Needles, Words

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
SIGNATURE_BYTES = 64
SHOWN = 3
"""Findings of a kind that are told; one is enough."""


def head_of(message):
    """The header's bytes and the sealed rest."""
    (length,) = struct.unpack_from("<I", message, SIGNATURE_BYTES)
    start = SIGNATURE_BYTES + 4
    return message[start : start + length], message[start + length :]


def try_key(message, node, secret):
    """The plaintext of a message of node's inbox under a key, or None."""
    head, sealed = head_of(message)
    try:
        return SUITE.decrypt(
            sealed, X25519PrivateKey.from_private_bytes(secret), b"winnow-batch/1\0" + bytes([node]) + head
        )
    except InvalidTag:
        return None


def rows_of(plain):
    with pa.ipc.open_stream(plain) as reader:
        return reader.read_all().to_pylist()


def decryption(inboxes, keys):
    """Whoever opens a message that is not his, or finds another component in it than his two.

    Args:
        inboxes: node → messages.
        keys: role → name → 32 bytes.
    """
    findings = []
    for node, messages in inboxes.items():
        for number, message in enumerate(messages):
            place = f"message {number} of inbox {node}"
            opened = {
                (role, name): plain for role, names in keys.items() for name, secret in names.items()
                if (plain := try_key(message, node, secret)) is not None
            }
            if set(opened) != {(f"node-{node}", "sealing")}:
                findings.append(f"{place} opens with {sorted(opened)}")
            for plain in opened.values():
                components = [row["component"] for row in rows_of(plain)]
                if components != [node, (node + 1) % 3]:
                    findings.append(f"{place} holds components {components}")
    return findings


@dataclass(frozen=True)
class Batch:
    """One dealt batch: everything about all three components, which only a party and this test know together."""

    head: bytes
    rows: dict[int, dict]
    """Component → its row, equal at both holders."""

    @property
    def header(self):
        return json.loads(self.head)

    def component(self, number):
        """(columns · slots,) uint64."""
        row, header = self.rows[number], self.header
        count = len(header["columns"]) * header["slots"]
        if row["travels"]:
            return np.frombuffer(row["body"], "<u8")
        stream = Cipher(algorithms.AES(row["body"]), modes.CTR(bytes(16))).encryptor()
        return np.frombuffer(stream.update(bytes(8 * count)), "<u8")

    def content(self):
        """What was shared, as unsigned words."""
        a, b, c = map(self.component, range(3))
        return a ^ b ^ c if self.header["kind"] == "register" else a + b + c


def dealt(inboxes, keys):
    """All batches, from what the three nodes together can open; fails unless both holders have the same."""
    rows = {}
    for node, messages in inboxes.items():
        for message in messages:
            plain = try_key(message, node, keys[f"node-{node}"]["sealing"])
            for row in rows_of(plain):
                known = rows.setdefault(head_of(message)[0], {}).setdefault(row["component"], row)
                assert known == row, "the two holders of a component got different ones"
    assert all(set(found) == {0, 1, 2} for found in rows.values())
    return [Batch(head, found) for head, found in rows.items()]


def opened_inboxes(inboxes, keys):
    """What each node has in memory when it has opened its inbox."""
    return [
        Blob(f"opened inbox of node-{node}", f"node-{node}", b"".join(
            try_key(m, node, keys[f"node-{node}"]["sealing"]) for m in messages
        ))
        for node, messages in inboxes.items()
    ]


class Lacking:
    """What node `number` must never have: the third component of every batch, its seed, its salt, and any digest
    of it that could be checked without a salt.
    """

    def __init__(self, batches, number):
        lacked = (number + 2) % 3
        arrays = [batch.component(lacked) for batch in batches]
        self._words = Words(np.concatenate(arrays))
        secrets = {}
        for batch, array in zip(batches, arrays, strict=True):
            row, name = batch.rows[lacked], f"component {lacked} of {batch.header['party']}"
            content = array.tobytes()
            secrets[row["salt"]] = f"salt of {name}"
            secrets[content[:32]] = name
            for hashed in (hashlib.sha256, hashlib.sha512, hashlib.blake2b, hashlib.sha3_256, hashlib.md5):
                secrets[hashed(content).digest()] = f"{hashed().name} without salt of {name}"
            if not row["travels"]:
                secrets[row["body"]] = f"seed of {name}"
        self._needles = Needles(secrets)

    def findings(self, blobs):
        """What stands in these blobs."""
        found = []
        for blob in blobs:
            words = self._words.find(blob.data)
            if words:
                found.append(f"{blob.place}: {len(words)} words of a third component, from byte {words[0][0]}")
            found += [f"{blob.place}: {name}" for name in self._needles.find_in(blob.forms)]
        return found

    def findings_in_memory(self, piece):
        """What stands in a piece of memory, at aligned places."""
        found = [f"memory: a word of a third component {w:016x}" for _, w in self._words.find(piece, 8)[:SHOWN]]
        return found + [f"memory: {name}" for name in self._needles.find(piece, 8)]


def checkable(batches):
    """Commitments that can be checked without their salt, salts that serve twice, masks that serve twice."""
    findings, salts, seeds = [], set(), set()
    for batch in batches:
        for number, row in batch.rows.items():
            name, content = f"component {number} of {batch.header}", batch.component(number).tobytes()
            if row["commitment"] != hashlib.sha256(row["salt"] + content).digest():
                findings.append(f"{name}: the commitment is not H(salt ‖ component)")
            if row["commitment"] == hashlib.sha256(content).digest():
                findings.append(f"{name}: the commitment needs no salt")
            if row["salt"] in salts or len(set(row["salt"])) < 16:
                findings.append(f"{name}: its salt is used twice or is not random")
            salts.add(row["salt"])
            if not row["travels"]:
                if row["body"] in seeds:
                    findings.append(f"{name}: its mask is used twice")
                seeds.add(row["body"])
    return findings
