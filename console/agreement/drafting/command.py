"""What `winnow agreement draft` does: ask, write the agreement that the answers make, say what remains to be given."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from rich.console import Console

from console.agreement.drafting.content import parties
from console.agreement.drafting.dialogue import Interview
from console.agreement.drafting.english import ENGLISH
from console.agreement.drafting.kinds import as_text
from console.agreement.drafting.roles import Needs
from console.agreement.drafting.template import answers_text, render
from console.agreement.drafting.texts import Say
from console.agreement.validation import judge
from console.errors import ConsoleError
from console.locale import Lang
from console.output import standard_output
from evaluation.errors import EXIT_ENDED, EXIT_INTERRUPTED
from policy.errors import NotToml
from policy.identity import NODES
from policy.toml import toml_of
from streams.durable import replace_file

KEYS: Final = tuple(key.removeprefix("ask_") for key in ENGLISH if key.startswith("ask_"))
"""What is asked; of those that are about somebody a dot and a name follow."""
NAME: Final = r"[a-z][a-z0-9-]{0,39}"
"""Of whom a question is about."""
MOST_BYTES: Final = 1_000_000
"""Of a file of answers: a larger one is something else."""


@dataclass(frozen=True)
class Choices:
    """How the command was given."""

    answers: Path | None = None
    settings: Sequence[str] = ()
    defaults: bool = False
    edit: bool = False
    force: bool = False


def draft(file: Path, choices: Choices, lang: Lang, today: date, *, as_json: bool) -> int:
    """Write an agreement to `file`, and the answers beside it; returns the exit code.

    Raises:
        ConsoleError: something is in the way, or an answer is missing or wrong.
    """
    if file.suffix != ".toml":
        raise ConsoleError(f"{file}: expected a name that ends in .toml, such as agreement.toml.")
    kept = file.with_name(f"{file.stem}.answers.toml")
    _check_free(file, force=choices.force)
    given = _given(choices, kept)
    asking = sys.stdin.isatty() and not choices.defaults
    console = Console(stderr=True, highlight=False)

    def keep(said: Mapping[str, str]) -> None:
        if asking:
            _write(kept, answers_text({**given, **said}, Say(lang, {})))

    interview = Interview(
        lang, today, given, console if asking else None, proposals=choices.defaults, again=choices.edit, answered=keep,
    )
    if asking:
        key = "goes_on" if given else "welcome"
        console.print(Say(lang, {})(key, file=str(file), answers=str(kept)), markup=False)
    try:
        interview.run()
    except (EOFError, KeyboardInterrupt):
        key = "stopped" if kept.exists() else "stopped_at_once"
        said = Say(lang, {})(key, count=str(len(interview.answers)), answers=str(kept))
        sys.stderr.write(f"\nwinnow: {said}\n")
        return EXIT_INTERRUPTED
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConsoleError(f"the answers do not fit together: {reason}. Change them with --edit, or --set.") from error
    say = Say(lang, interview.answers)
    _write(kept, answers_text(interview.said, say))
    _settle(file, render(interview.answers, say), force=choices.force)
    left = [key for key in given if key not in interview.answers]
    if left:
        sys.stderr.write(f"winnow: {say('leftover', keys=', '.join(left))}\n")
    _tell(file, kept, interview, say, as_json=as_json)
    return EXIT_ENDED


def remains(answers: Mapping[str, Any], say: Say) -> list[str]:
    """What others have to give before the agreement can be signed."""
    names = parties(dict(answers), Needs(answers["kpis"])).values()
    return [
        *(say("needs_party", name=name) for name in names), say("needs_link"),
        *(say("needs_node", number=str(number)) for number in range(NODES)),
        *(say("needs_recipient", name=name) for name in answers["recipients"]),
        *(say("needs_requester", name=name) for name in answers["requesters"]), say("needs_lawyer"),
    ]


def _tell(file: Path, kept: Path, interview: Interview, say: Say, *, as_json: bool) -> None:
    open_points = remains(interview.answers, say)
    with standard_output():
        if as_json:
            document = {"agreement": str(file), "answers": str(kept), "remains": open_points}
            sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
            return
        written = say("written", file=str(file), answers=str(kept))
        sys.stdout.write("\n".join([written, "", say("remains"), *(f"- {point}" for point in open_points)]) + "\n")


def _given(choices: Choices, kept: Path) -> dict[str, str]:
    """Answers of earlier, of a file and of flags; later ones count."""
    source = choices.answers or (kept if kept.exists() else None)
    if choices.answers is not None and kept.exists() and not choices.force and not _same(choices.answers, kept):
        raise ConsoleError(
            f"{kept} holds answers of an earlier time. Leave --answers out to go on with these, or add --force to "
            "overwrite them."
        )
    found = {} if source is None else _read(source)
    for setting in choices.settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConsoleError(f"--set {setting}: expected KEY=ANSWER, such as --set minimum_cohort=10.")
        found[key] = text
    for key, text in found.items():
        name, _, about = key.partition(".")
        if not text.isprintable():
            raise ConsoleError(f"answers: {key!r}: found what cannot be seen, expected text on one line. Type it anew.")
        if name not in KEYS or not re.fullmatch(NAME if "{about}" in ENGLISH[f"ask_{name}"] else "", about):
            near = get_close_matches(name, KEYS, n=1)
            raise ConsoleError(
                f"answers: found {key!r}, which is no question. Expected one of those in docs/agreements.md"
                f"{f'; perhaps {near[0]}' if near and near[0] != name else ''}. Take it out, or correct it."
            )
    return found


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            found = file.read(MOST_BYTES + 1)
        if len(found) > MOST_BYTES:
            raise ConsoleError(f"answers {path}: found more than {MOST_BYTES:,} bytes. Name a file of answers.")
        tables = toml_of(found)
    except OSError as error:
        raise ConsoleError(f"cannot read answers {path}: {error.strerror}.") from error
    except NotToml as error:
        raise ConsoleError(f"answers {path} are not TOML: {error}.") from error
    flat: dict[str, object] = {}
    for key, value in tables.items():
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    texts = {key: as_text(value) for key, value in flat.items()}
    for key, text in texts.items():
        if text is None:
            raise ConsoleError(f"answers {path}: {key}: expected a text, a whole number, a date or a list of texts.")
    return {key: text for key, text in texts.items() if text is not None}


def _settle(file: Path, text: str, *, force: bool) -> None:
    """Put the agreement in its place once it validates.

    Raises:
        ConsoleError: it does not, something came in the way meanwhile, or it cannot be written.
    """
    beside = file.with_name(f".{file.stem}.draft.toml")
    try:
        _write(beside, text)
        faults = judge(beside).faults
        if faults:
            raise ConsoleError(
                f"the answers make no agreement that can be signed: {faults[0].where}: {faults[0].expected}. Change "
                "them with --edit, or --set."
            )
        _check_free(file, force=force)
        beside.replace(file)
    except OSError as error:
        raise ConsoleError(f"cannot write {file}: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            beside.unlink()


def _check_free(file: Path, *, force: bool) -> None:
    if file.exists() and not force:
        raise ConsoleError(f"{file} is there already; it is left as it is. Name another file, or add --force.")


def _write(path: Path, text: str) -> None:
    """Write a file whole, or leave it as it was.

    Raises:
        ConsoleError: it cannot be written.
    """
    try:
        replace_file(path, text.encode(), mode=0o666)
    except OSError as error:
        raise ConsoleError(f"cannot write {path}: {error.strerror}.") from error


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
