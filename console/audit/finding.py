"""One thing that does not hold."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """What was found, and what it should be; `rule` has words in console.audit.words."""

    rule: str
    node: int | None
    """Whose evidence it is about; None: of more than one."""
    run: str | None
    found: str
    expected: str

    def as_document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "rule": self.rule, "node": self.node, "run": self.run, "found": self.found, "expected": self.expected,
        }
