"""What drafting says in one language."""

from typing import Any, Final

from console.agreement.drafting.dutch import DUTCH
from console.agreement.drafting.english import ENGLISH
from console.agreement.drafting.kinds import BadAnswerError
from console.locale import Lang

TEXTS: Final[dict[Lang, dict[str, str]]] = {"en": ENGLISH, "nl": DUTCH}


class Say:
    """Texts in a language; those that name the pieces of time do so once it is known which they are."""

    def __init__(self, lang: Lang, answers: dict[str, Any]) -> None:
        self.lang, self._answers = lang, answers

    def __call__(self, key: str, /, **values: str) -> str:
        """The text of `key`."""
        texts = TEXTS[self.lang]
        return texts[key].format(panes=texts[self._answers.get("pane", "month")], **values)

    def refusal(self, error: BadAnswerError) -> tuple[str, str, str]:
        """Found, expected, and what to do."""
        return (
            self("found", found=error.found or self("empty")),
            self("expected", expected=self(error.expected, **error.values)),
            self("next", next=self(error.next_step, **error.values)),
        )
