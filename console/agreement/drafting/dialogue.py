"""Questions and answers: from a file or flags, by what is proposed, or in a terminal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rich.console import Console
from rich.prompt import InvalidResponse, PromptBase
from rich.text import Text

from console.agreement.drafting.kinds import BadAnswerError, Value, as_text
from console.agreement.drafting.questions import Question, questions
from console.agreement.drafting.texts import Say
from console.agreement.vocabulary import term_in_words
from console.agreement.words import Words
from console.errors import ConsoleError
from console.locale import Lang
from policy.kpi import catalogue, load_kpi


@dataclass
class Interview:
    """How answers are come by."""

    lang: Lang
    today: date
    given: Mapping[str, str]
    """Question → what was answered before."""
    console: Console | None = None
    """Where is asked; None: nobody is."""
    proposals: bool = False
    """Without a console: whether what is proposed counts as an answer."""
    again: bool = False
    """Whether what was answered before is asked again."""
    answered: Callable[[Mapping[str, str]], None] = lambda _: None
    """Told of all answers so far, as they would be typed, after each one."""
    answers: dict[str, Any] = field(default_factory=dict)
    _theme: str = ""

    @property
    def said(self) -> dict[str, str]:
        """Every answer as it would be typed."""
        return {key: as_text(value) or "" for key, value in self.answers.items()}

    def run(self) -> None:
        """Go through all questions.

        Raises:
            ConsoleError: an answer that was given cannot stand, or one is missing, and nobody can be asked.
            EOFError, KeyboardInterrupt: whoever was asked stopped.
            pydantic.ValidationError: answers do not fit together.
        """
        for question in questions(self.answers, self.today, self.lang):
            self.answers[question.key] = self._answer(question)
            self.answered(self.said)

    def _answer(self, question: Question) -> Value:
        before = self.given.get(question.key)
        proposed = question.proposed if before is None else before
        if self.console is None:
            if before is None and (not self.proposals or question.proposed is None):
                raise ConsoleError(
                    f"found no answer to {question.key!r}, and nobody is asked. Expected --set {question.key}=ANSWER, "
                    "or a line in the file of --answers; --defaults takes what is proposed, where something is "
                    "(docs/agreements.md lists the questions)."
                )
            return self._read(question, proposed or "")
        if before is not None and not self.again:
            try:
                return question.kind.read(before)
            except BadAnswerError as error:
                self._introduce(question)
                self.console.print(*(Text(f"  {line}", style="red") for line in self._say.refusal(error)), sep="\n")
                return self._ask(question, question.proposed)
        self._introduce(question)
        return self._ask(question, proposed)

    @property
    def _say(self) -> Say:
        return Say(self.lang, self.answers)

    def _read(self, question: Question, text: str) -> Value:
        try:
            return question.kind.read(text.strip())
        except BadAnswerError as error:
            raise ConsoleError(f"{question.key}: {'; '.join(self._say.refusal(error))}.") from error

    def _introduce(self, question: Question) -> None:
        assert self.console is not None
        if question.theme != self._theme:
            self._theme = question.theme
            self.console.print(Text(f"\n{self._say(question.theme)}", style="bold"))
        self.console.print(Text(f"\n{self._say(f'why_{question.text}')}", style="dim"))
        for number, option in enumerate(getattr(question.kind, "options", ()), 1):
            self.console.print(Text(f"  {number:>2}  {self._option(option)}"))

    def _option(self, option: str) -> str:
        """A choice in words, where it is the name of something."""
        if option in catalogue():
            return f"{option}: {load_kpi(option).title.of(self.lang)}"
        return term_in_words(option, Words(self.lang, "day")) if ":" in option else option

    def _ask(self, question: Question, proposed: str | None) -> Value:
        prompt = Text(self._say(f"ask_{question.text}", about=question.about))
        if proposed is not None:
            prompt.append(f" ({proposed})", style="prompt.default")
        asked = _Prompt(prompt, console=self.console)
        asked.question, asked.say, asked.proposed = question, self._say, proposed or ""
        return asked().value


@dataclass(frozen=True)
class _Read:
    """An answer that was read: what a prompt returns may be None."""

    value: Value


class _Prompt(PromptBase[_Read]):
    """Asks until the answer can stand; Enter takes what is proposed, which is read like every answer."""

    question: Question
    say: Say
    proposed: str

    def process_response(self, value: str) -> _Read:
        try:
            return _Read(self.question.kind.read(value.strip() or self.proposed))
        except BadAnswerError as error:
            raise InvalidResponse("\n".join(f"  {line}" for line in self.say.refusal(error))) from error

    def on_validate_error(self, value: str, error: InvalidResponse) -> None:  # noqa: ARG002 - rich's signature
        self.console.print(Text(str(error.message), style="red"))
