"""The life of a command of `winnow agreement`: read files, print what was found, say what went wrong."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from console.agreement import difference as differing
from console.agreement import lattice, validation
from console.agreement import summary as summaries
from console.agreement.cohort import read_cohort
from console.agreement.subject import Subject, load_subject
from console.agreement.words import Words
from console.errors import ConsoleError
from console.locale import Lang, spoken
from console.output import standard_output
from console.requested import Output
from evaluation.errors import EXIT_ENDED, EXIT_USAGE, ConfigError
from policy.errors import PolicyError

EXIT_DIFFERENT: Final = 1
"""As of diff(1)."""


def validate(file: Path, lang: Lang | None, *, as_json: bool) -> int:
    """Run `winnow agreement validate`; returns the exit code."""
    verdict, said = validation.judge(file), language(lang)
    _print(_json(validation.as_document(verdict, said)) if as_json else validation.as_text(verdict, str(file), said))
    return EXIT_USAGE if verdict.subject is None else EXIT_ENDED


def summarise(file: Path, lang: Lang | None, *, html: bool, as_json: bool) -> int:
    """Run `winnow agreement summary`; returns the exit code."""
    if html and as_json:
        return _refused(ConsoleError("--html and --json are two forms of one thing. Give one of them."))
    try:
        subject = load_subject(file)
    except (PolicyError, ConfigError) as error:
        return _refused(error)
    spoken_here = language(lang)
    if as_json:
        return _print(_json(summaries.as_document(subject, spoken_here)))
    return _print([(summaries.as_html if html else summaries.as_markdown)(subject, spoken_here).rstrip("\n")])


def compare(old: Path, new: Path, lang: Lang | None, *, as_json: bool) -> int:
    """Run `winnow agreement diff`; returns the exit code."""
    try:
        before, after = load_subject(old), load_subject(new)
    except (PolicyError, ConfigError) as error:
        return _refused(error)
    found = differing.difference(before, after, language(lang))
    lines = _json(differing.as_document(found)) if as_json else differing.as_text(
        found, str(old), str(new), _words(after, lang),
    )
    _print(lines)
    return EXIT_ENDED if found.equal else EXIT_DIFFERENT


def draw(
    file: Path, patients: int, exposed: float, groups: str | None, active: Sequence[str], lang: Lang | None, *,
    as_json: bool,
) -> int:
    """Run `winnow agreement lattice`; returns the exit code."""
    try:
        cohort = read_cohort(patients, exposed, groups, active)
        subject = load_subject(file)
        found = lattice.outlooks(subject, cohort)
    except (PolicyError, ConfigError, ConsoleError) as error:
        return _refused(error)
    if as_json:
        return _print(_json(lattice.as_document(subject, cohort, found)))
    with standard_output():
        lattice.draw(subject, cohort, found, _words(subject, lang), Output())
    return EXIT_ENDED


def language(lang: Lang | None) -> Lang:
    """The language asked for, else that of the terminal."""
    return lang or spoken(os.environ)


def _words(subject: Subject, lang: Lang | None) -> Words:
    return Words(language(lang), subject.draft.panes.unit)


def _json(document: Mapping[str, Any]) -> list[str]:
    return [json.dumps(document, indent=1, ensure_ascii=False)]


def _print(lines: Iterable[str]) -> int:
    with standard_output():
        for line in lines:
            sys.stdout.write(line + "\n")
    return EXIT_ENDED


def _refused(error: Exception) -> int:
    sys.stderr.write(f"winnow: {error}\n")
    return EXIT_USAGE
