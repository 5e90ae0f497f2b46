"""Finds many secrets in many bytes: at every byte offset, and also in hexadecimal and in base64."""

import base64
import re

import numpy as np

HEX = re.compile(rb"[0-9a-fA-F]{16,}")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
STANDARD = bytes.maketrans(b"-_", b"+/")
CHUNK = 1 << 17
"""Words looked at together."""


class Words:
    """A set of 8-byte words, found at any byte offset."""

    def __init__(self, words):
        """`words`: uint64. A word below 2^32, or as close to 2^64, is left out: such numbers are everywhere."""
        words = np.unique(np.asarray(words, np.uint64))
        self.words = words[(words >= 2**32) & (words < 2**64 - 2**32)]
        self._mask = np.uint64((1 << 24) - 1 if len(self.words) > 2_000 else (1 << 16) - 1)
        self._table = np.zeros(int(self._mask) + 1, bool)
        self._table[(self.words & self._mask).astype(np.intp)] = True

    def find(self, data, step=1):
        """[(offset, word)] in order of the words' alignment; `step` 8 looks at aligned words only."""
        found = []
        for shift in range(0, 8, step):
            words = np.frombuffer(data, "<u8", max(0, len(data) - shift) // 8, shift if len(data) >= shift + 8 else 0)
            for start in range(0, len(words), CHUNK):
                part = words[start : start + CHUNK]
                places = np.flatnonzero(self._table[(part & self._mask).astype(np.intp)])
                near = np.minimum(np.searchsorted(self.words, part[places]), max(0, len(self.words) - 1))
                places = places[self.words[near] == part[places]] if len(self.words) else places[:0]
                found += [(shift + 8 * (start + int(p)), int(part[p])) for p in places]
        return found


class Needles:
    """Secrets of at least 8 bytes with a name each."""

    def __init__(self, named):
        """`named`: secret → what to call it in a finding."""
        self._by_word = {}
        for secret, name in named.items():
            self._by_word.setdefault(int.from_bytes(secret[:8], "little"), []).append((secret, name))
        self._words = Words(np.array(list(self._by_word), np.uint64))

    def find(self, data, step=1):
        """Names of what stands in `data` itself, in order."""
        return sorted({
            name for offset, word in self._words.find(data, step) for secret, name in self._by_word[word]
            if data[offset : offset + len(secret)] == secret
        })

    def find_in(self, forms):
        """Names of what stands in any of some forms of the same data; see `decoded`."""
        return sorted({name for form in forms for name in self.find(form)})


def text_of(data):
    """The printable runs of at least 6 bytes, a line each: what is left of binary data for patterns of text."""
    raw = np.frombuffer(data, np.uint8)
    printable = np.concatenate(([False], (raw >= 32) & (raw < 127), [False]))
    edges = np.flatnonzero(printable[1:] != printable[:-1]).reshape(-1, 2)
    return b"\n".join(data[start:stop] for start, stop in edges[edges[:, 1] - edges[:, 0] >= 6].tolist())


def decoded(text):
    """What the runs of hexadecimal and of base64 (either alphabet, at any alignment) in a text stand for."""
    runs = HEX.findall(text)
    yield b"\0".join(bytes.fromhex(r[s : s + (len(r) - s) // 2 * 2].decode()) for r in runs for s in (0, 1))
    runs = BASE64.findall(text)
    yield b"\0".join(_base64(r[s:]) for r in runs for s in range(4))


def _base64(run):
    run = run[: len(run) - (len(run) % 4 == 1)]
    return base64.b64decode(run.translate(STANDARD) + b"=" * (-len(run) % 4))


def stands_in(row, data, step=1):
    """Whether small numbers stand in a row somewhere. (`bytes.find` is far too slow among so many zeros.)

    Args:
        row: (n,) uint64, little endian in `data`.
        data: bytes.
        step: 8 looks at aligned places only.
    """
    order = np.argsort(row == 0, kind="stable")
    for shift in range(0, 8, step):
        words = np.frombuffer(data, "<u8", max(0, len(data) - shift) // 8, shift if len(data) >= shift + 8 else 0)
        places = np.arange(0)
        if len(words) >= len(row):
            places = np.flatnonzero(words[order[0] : len(words) - len(row) + 1 + order[0]] == row[order[0]])
        for at in order[1:]:
            places = places[words[places + at] == row[at]]
        if len(places):
            return True
    return False
