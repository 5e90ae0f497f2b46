"""Codes as they were seen in a party's data, and which of them may be shown.

A code list that is wrong is corrected soonest when the codes stand in the message. But a column that was taken for a
code by mistake may hold numbers, names or birth dates of persons. So a code is shown only when it has the form of one
and many different persons have it, of a field that has few codes.
"""

import re
from dataclasses import dataclass, field

MANY_PERSONS = 10
"""A code that fewer have is counted, not shown: it may be about one of them."""
MOST_CODES = 200
"""A column with more different values is no code list; none of them is shown."""
MOST_SHOWN = 12
"""Codes named of one field."""
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}")
_DATE = re.compile(r"\d{1,4}[-.]\d{1,2}[-.]\d{1,4}|(?:18|19|20)\d{6}|\d{4}(?:0[1-9]|1[0-2])\d\d")


def is_code(text: str) -> bool:
    """Whether a text has the form of a code: short, one word, no date and no Dutch citizen's number."""
    return _CODE.fullmatch(text) is not None and _DATE.fullmatch(text) is None and not _is_bsn(text)


def _is_bsn(text: str) -> bool:
    """The test that every burgerservicenummer passes, and one in eleven other numbers."""
    if not (text.isascii() and text.isdecimal() and len(text) in (8, 9)):
        return False
    digits = [int(digit) for digit in text.zfill(9)]
    return (sum(weight * digit for weight, digit in zip(range(9, 1, -1), digits, strict=False)) - digits[8]) % 11 == 0


@dataclass
class _Seen:
    lines: int = 0
    persons: set[str] = field(default_factory=set, repr=False)
    """At most MANY_PERSONS."""


@dataclass
class CodeTally:
    """The codes of one field."""

    lines: int = 0
    _codes: dict[str, _Seen] = field(default_factory=dict, repr=False)
    _too_many: bool = False

    def add(self, code: str, person: str | None) -> None:
        """Count a line; without its person a code cannot be shown."""
        self.lines += 1
        seen = self._codes.get(code)
        if seen is None:
            if len(self._codes) == MOST_CODES:
                self._too_many = True
                return
            seen = self._codes[code] = _Seen()
        seen.lines += 1
        if person is not None and len(seen.persons) < MANY_PERSONS:
            seen.persons.add(person)

    @property
    def shown(self) -> dict[str, int]:
        """Code → lines, the commonest first, of those that may be shown."""
        if self._too_many:
            return {}
        fit = {c: s.lines for c, s in self._codes.items() if len(s.persons) >= MANY_PERSONS and is_code(c)}
        return dict(sorted(fit.items(), key=lambda item: (-item[1], item[0]))[:MOST_SHOWN])

    @property
    def hidden_lines(self) -> int:
        """Lines whose code is not shown."""
        return self.lines - sum(self.shown.values())
