"""One thing that does not hold."""

from dataclasses import dataclass
from typing import Any

from console.audit.discrepancies import Said
from console.locale import Lang


@dataclass(frozen=True)
class Finding:
    """What was found, and what it should be; `rule` has words in console.audit.words."""

    rule: str
    node: int | None
    """Whose evidence it is about; None: of more than one."""
    run: str | None
    found: Said
    expected: Said

    def in_words(self, lang: Lang) -> tuple[str, str]:
        """What was found and what was expected."""
        found, expected = (said if isinstance(said, str) else said.of(lang) for said in (self.found, self.expected))
        return found, expected

    def as_document(self) -> dict[str, Any]:
        """For programs."""
        found, expected = self.in_words("en")
        return {"rule": self.rule, "node": self.node, "run": self.run, "found": found, "expected": expected}
