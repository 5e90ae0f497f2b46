"""Identifiers nowhere at all, and a party's events nowhere but with itself."""

import base64
import hashlib
import hmac
import json
import re
import zlib

import numpy as np

from tests.support.inspection.search import Needles, Words, stands_in

NUMBER = re.compile(rb"P\d{8}")
TOKEN = re.compile(rb"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{6,40}(?![A-Za-z0-9_-])")
FHIR_ID = re.compile(rb'"(?:id|value)": ?"([^"]+)"|"reference": ?"(?:Patient/)?([^"]+)"')
PSEUDONYM = re.compile(rb"v1:[A-Za-z0-9_-]{43}")
EVENT_ID = re.compile(rb'"event_id":"([A-Za-z0-9_-]{22})"')
PAYLOAD = re.compile(rb'"payload":\{[^{}]+\}')
RECORDED = re.compile(rb'"recorded_at":"([^"]+)"')
INSTANT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
CENTS = re.compile(rb'"cents":(\d{6,})')
AMOUNT = re.compile(rb"(?<![A-Za-z0-9.])\d{6,}(?![A-Za-z0-9.])")
RESULT = re.compile(rb"(?<![A-Za-z0-9.])(\d+(?:\.\d*[1-9])?(?:e[+-]?\d+)?)(?:\.0*|0*)(?![A-Za-z0-9])")
"""A number that stands by itself. Somewhere in the sealed results of three nodes, 37,000 hexadecimal digits each, stands
one of forty numbers of seven digits in every sixtieth evaluation.
"""
NUMBERED = re.compile(rb"#\d{1,15}:[0-9a-f]{8} ")
"""What a line's key begins with on a source topic (streams.numbering): its mark is drawn anew in each evaluation."""
PRINTABLE = re.compile(rb"[\x20-\x7e]{32,}")
SHOWN = 3
AMID_TEXT = 16
"""Characters in a row that random bytes rarely have: by 2^-14 less often than six."""
TELLING_BITS = 64
"""Entropy of a piece of a pane that is looked for, by how often each value stands in it: 2^-64 a place looked at."""


class Identifiers:
    """What the parties' files call people and records.

    Args:
        files: the contents of all source files.
        names: of people, as they stand in them.
    """

    def __init__(self, files, names):
        self.numbers, self._tokens, self._names = set(), set(), [name.encode() for name in names]
        for data in files:
            self.numbers |= set(NUMBER.findall(data))
            for line in data.splitlines():
                if line.startswith(b"{"):
                    self._tokens |= {x for pair in FHIR_ID.findall(line) for x in pair if TOKEN.fullmatch(x)}
                elif len(line) < 1000 and TOKEN.fullmatch(first := line.split(b",")[0]) and first != b"record_id":
                    self._tokens.add(first)
        self._hashes = Needles({
            hashed(number).digest(): f"{hashed().name} of an identifier"
            for number in self.numbers for hashed in (hashlib.sha256, hashlib.sha1, hashlib.md5)
        })

    def link_values(self, link_secret):
        """The 16-byte link value of every person."""
        return [hmac.digest(link_secret, b"winnow-link" + n, "sha256")[:16] for n in sorted(self.numbers)]

    def findings(self, blobs):
        """Identifiers, in clear, encoded or hashed without a key; record ids and names."""
        found = []
        for blob in blobs:
            for form in blob.forms:
                seen = set(NUMBER.findall(form)) & self.numbers
                seen |= {name for name in self._names if name in form}
                found += [f"{blob.place}: identifier {x.decode()}" for x in sorted(seen)[:SHOWN]]
            ids = set(TOKEN.findall(blob.text)) & self._tokens
            found += [f"{blob.place}: record id {x.decode()}" for x in sorted(ids)[:SHOWN]]
            found += [f"{blob.place}: {name}" for name in self._hashes.find_in(blob.forms)]
        return found

    def findings_in_memory(self, piece):
        seen = set(NUMBER.findall(piece)) & self.numbers | {name for name in self._names if name in piece}
        return [f"memory: identifier {x.decode()}" for x in sorted(seen)[:SHOWN]]


class Events:
    """What tells a party's events: pseudonyms, event ids, payloads, moments, amounts, and rows of its panes.

    Args:
        party: whose they are.
        records: values of its source topic.
        snapshots: values of its panes topic.
    """

    def __init__(self, party, records, snapshots):
        self.party = party
        text = b"\n".join(records)
        self.pseudonyms = set(PSEUDONYM.findall(text))
        self._event_ids = set(EVENT_ID.findall(text))
        self._payloads, self._moments = set(PAYLOAD.findall(text)), set(RECORDED.findall(text))
        self._columns = Needles({
            base64.urlsafe_b64decode(name.removeprefix(b"v1:") + b"=="): f"{what}, as in event columns,"
            for what, names in (("a pseudonym", self.pseudonyms), ("an event id", self._event_ids)) for name in names
        })
        self._amounts = set(CENTS.findall(text))
        self.rows = telling_rows(snapshots)

    def findings(self, blobs, parties):
        """What of it stands in blobs of others. Another party has events of its own: a moment or an amount may be
        equal there by chance.
        """
        found = []
        telling = [
            ("a pseudonym", PSEUDONYM, self.pseudonyms), ("an event id", TOKEN, self._event_ids),
            ("a payload", PAYLOAD, self._payloads),
        ]
        for blob in blobs:
            if blob.owner == self.party:
                continue
            seen = [(what, set(pattern.findall(blob.text)) & mine) for what, pattern, mine in telling]
            if blob.owner not in parties:
                seen.append(("a moment of recording", set(INSTANT.findall(blob.text)) & self._moments))
                seen.append(("an amount", self._amounts_in(blob)))
            for what, these in seen:
                found += [f"{blob.place}: {what} of {self.party}, {x.decode()}" for x in sorted(these)[:SHOWN]]
            found += [f"{blob.place}: {what} of {self.party}" for what in self._columns.find_in(blob.forms)]
            if any(stands_in(row, blob.data) for row in self.rows):
                found.append(f"{blob.place}: part of a pane of {self.party}")
        return found

    def _amounts_in(self, blob):
        """One alone counts in text, also amid ciphertext; in 40 MB of that, its digits stand once in 26,000 evaluations."""
        seen = set(AMOUNT.findall(blob.text)) & self._amounts
        if len(seen) > 1 or 2 * len(blob.text) > len(blob.data):
            return seen
        return set(AMOUNT.findall(b"\n".join(x for x in blob.text.split(b"\n") if len(x) >= AMID_TEXT))) & seen

    def findings_in_memory(self, piece):
        found = [f"memory: a pseudonym of {self.party}"] if set(PSEUDONYM.findall(piece)) & self.pseudonyms else []
        return found + ([f"memory: part of a pane of {self.party}"] if stands_in(self.rows[0], piece, 8) else [])


def telling_rows(snapshots, slots=96, most=3):
    """Pieces of sealed panes (96 slots of one column) that stand nowhere by chance: those of the most entropy.

    Many columns have zeros and ones only, and a node's memory holds hundreds of thousands of random bits in words of
    their own: 24 of them agree with a given piece every few runs.
    """
    candidates = []
    for record in snapshots:
        if not record:
            continue
        length = int.from_bytes(record[:4], "little")
        header = json.loads(record[4 : 4 + length])
        if header["kind"] != "pane":
            continue
        table = np.frombuffer(record[4 + length :], "<u8").reshape(len(header["columns"]), -1)
        for piece in table[:, : table.shape[1] // slots * slots].reshape(-1, slots):
            _, counts = np.unique(piece, return_counts=True)
            candidates.append((float(counts @ np.log2(slots / counts)), piece))
    candidates.sort(key=lambda c: c[0], reverse=True)
    assert candidates[most - 1][0] > TELLING_BITS, "no column of this party tells anything"
    return [piece for _, piece in candidates[:most]]


def link_values(values, blobs):
    """Link values (their first half is what is linked on) where only blobs stand that may not have them."""
    needles = Needles({value[:8]: "a person's link key" for value in values})
    return [f"{blob.place}: {name}" for blob in blobs for name in needles.find_in(blob.forms)]


def results(numbers, blobs):
    """Numbers that only a recipient should read.

    Args:
        numbers: in digits, without a sign.
        blobs: also looked at is what stands in them in hexadecimal or base64.
    """
    found = []
    for blob in blobs:
        forms = [NUMBERED.sub(b"# ", f) for f in blob.forms] if blob.place.endswith(".source") else blob.forms
        seen = {number for form in forms for number in RESULT.findall(form)} & numbers
        found += [f"{blob.place}: result {x.decode()}" for x in sorted(seen)[:SHOWN]]
    return found


def link_words(values):
    """Link keys as words, for searching memory."""
    return Words(np.array([int.from_bytes(v[:8], "little") for v in values], np.uint64))


def unsealed(place, sealed):
    """Parts that should be ciphertext and do not look so: they can be compressed, or hold text."""
    findings = []
    for number, part in enumerate(sealed):
        if len(part) >= 512 and len(zlib.compress(part)) < len(part):
            findings.append(f"{place}, record {number}: can be compressed, so it is not ciphertext")
        if found := PRINTABLE.search(part):
            findings.append(f"{place}, record {number}: text {found[0][:40].decode()!r}")
    return findings
