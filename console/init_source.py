"""What `winnow init-source` does: look at data files, and write a source.toml to start from."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from console.errors import ConsoleError
from console.output import standard_output
from console.source import agreed_draft
from evaluation.errors import EXIT_USAGE, EvaluationError
from policy.agreement import Draft
from policy.errors import PolicyError
from streams.errors import StreamsError
from streams.sources.agreed import programmes
from streams.sources.mapping import FIELDS, NO_EVENT, OPEN
from streams.sources.propose import Choice, Proposal, propose
from streams.sources.sample import read_sample
from streams.validate import CARE_TYPES

MOST_NAMED = 30
"""Columns named that nothing is read from."""


def init_source(
    files: Sequence[Path], kind: str | None, agreement: Path | None, party: str | None, out: Path | None, *,
    as_json: bool,
) -> int:
    """Run `winnow init-source`; returns the exit code."""
    try:
        if kind is not None and kind not in FIELDS:
            raise ConsoleError(f"--kind {kind}: found no such kind; expected one of {', '.join(FIELDS)}.")
        if (agreement is None) != (party is None):
            raise ConsoleError("--agreement and --party belong together: give both, or neither.")
        if not files:
            raise ConsoleError("name at least one data file.")
        draft = agreed_draft(agreement) if agreement is not None else None
        ours = _ours(draft, party) if draft is not None and party is not None else {}
        found = [propose(read_sample(path), kind, ours) for path in files]
        text = _toml(found, draft, party)
        if out is not None:
            _write(out, text)
    except (PolicyError, ConsoleError, EvaluationError, StreamsError) as error:
        sys.stderr.write(f"winnow: {error}\n")
        return EXIT_USAGE
    with standard_output():
        if as_json:
            sys.stdout.write(json.dumps({"files": [_document(p) for p in found], "toml": text}, indent=1) + "\n")
        elif out is None:
            sys.stdout.write(text)
    waiting = sum(len(proposal.open) for proposal in found) + any(proposal.resource for proposal in found)
    if waiting:
        sys.stderr.write(f"winnow: to fill in, marked {OPEN}: {waiting}; then `winnow source check`.\n")
    return 0


def _ours(draft: Draft, party: str) -> dict[str, tuple[str, ...]]:
    """Field → the codes that the agreement knows for it."""
    draft.party(party)
    measures = draft.party_measures(party)

    def named(*keys: str) -> tuple[str, ...]:
        return tuple(sorted({value for m in measures for key in keys if (value := getattr(m, key)) is not None}))

    found = {
        "programme": tuple(sorted(programmes(draft, party))),
        "care_type": tuple(sorted({*named("care_type"), *CARE_TYPES})),
        "field": named("field"), "value": named("value"), "module": named("module"),
        "instrument": tuple(sorted({m.code for m in measures if m.needs == "prom" and m.code is not None})),
    }
    return {name: codes for name, codes in found.items() if codes}


def _write(out: Path, text: str) -> None:
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConsoleError(f"{out} is there already; it is left as it is. Give another --out, or remove it.") from error
    except OSError as error:
        raise ConsoleError(f"cannot write {out}: {error.strerror}.") from error


def _toml(found: Sequence[Proposal], draft: Draft | None, party: str | None) -> str:
    lines = [
        "# A proposal, from the names and forms of columns. Read it: it may be wrong. docs/sources.md has the keys.",
        f'# Fill in every "{OPEN}". Then: winnow source check DIR --agreement FILE --party NAME',
    ]
    lines += _server([proposal for proposal in found if proposal.resource])
    for proposal in found:
        lines += ["", *_entry(proposal)]
    if draft is not None and party is not None:
        asked = {kind for source in draft.party(party).sources for kind in source.kinds} & FIELDS.keys()
        for kind in sorted(asked - {kind for proposal in found for kind in proposal.kind.split(", ")}):
            lines += ["", f"# The agreement asks {party} for {kind} too: none of these files seems to hold it."]
    return "\n".join(lines) + "\n"


def _server(resources: Sequence[Proposal]) -> list[str]:
    """What all files of resources share."""
    if not resources:
        return []
    system = next((made.system for made in resources if made.system), "")
    lines = ["", "[fhir]", _line("identifier_system", Choice(OPEN, "of the identifier that is the person's number" + (
        f"; the first identifier has {system}" if system else ""
    )))]
    if any(made.own_times for made in resources):
        lines.append("own_times = true  # meta.lastUpdated is missing: when it ended or was issued counts as recorded")
    if not any(made.resource == "Patient" for made in resources):
        lines.append("# A file of Patient is needed too: it says whom the others are about.")
    return lines


def _entry(made: Proposal) -> list[str]:
    sample = made.sample
    if made.resource:
        return [
            f"# {sample.path}: FHIR R4, read as {made.kind}", "[[file]]", f"path = {_text(sample.path)}",
            'format = "fhir"', f"resource = {_text(made.resource)}",
        ]
    looked = "all" if sample.whole else "the first"
    lines = [f"# {sample.path}: {looked} {sample.rows:,} rows looked at, {len(sample.columns):,} columns"]
    if sample.broken:
        lines.append(f"# {sample.broken:,} lines have another number of fields, or are no rows; they will be rejected.")
    if sample.twice:
        lines.append(f"# Columns that stand there twice and cannot be read: {_some(sample.twice)}")
    lines += ["[[file]]", f"path = {_text(sample.path)}", f"format = {_text(sample.format)}"]
    if sample.delimiter not in (None, ","):
        lines.append(f"delimiter = {_text(sample.delimiter or ',')}")
    lines.append(_line("kind", Choice(made.kind, made.why_kind)))
    if made.kind == NO_EVENT:
        return [*lines, *_unused(made)]
    if made.kind == OPEN:
        return [*lines, f"# one of {', '.join(FIELDS)}; or say it: winnow init-source FILE --kind KIND", *_unused(made)]
    told = next((n.removeprefix("date_format: ") for n in made.notes if n.startswith("date_format: ")), "")
    if made.date_format != "YYYY-MM-DD":
        lines.append(_line("date_format", Choice(made.date_format, told)))
    lines.append('# zone = "Europe/Amsterdam"  # of dates and of times without offset; without it, the agreement\'s')
    if made.person_prefix:
        lines.append(_line("person_prefix", Choice(made.person_prefix, "stands before every person")))
    if made.decimal_comma:
        lines.append("decimal_comma = true")
    if "end" in made.fields:
        lines += ["# An end is the last day (true), or the first day after (false)."]
        lines.append(
            f"# end_inclusive = {OPEN}" if made.end_inclusive is None else
            f"end_inclusive = {str(made.end_inclusive).lower()}  # as periods of one person follow each other"
        )
    lines += [f"# {note}" for note in made.notes if not note.startswith("date_format: ")]
    lines += _tables(made)
    return [*lines, *_unused(made)]


def _tables(made: Proposal) -> list[str]:
    lines = ["", "[file.fields]", *(_line(name, choice) for name, choice in made.fields.items())]
    left = [n for n in FIELDS[made.kind].optional if n not in made.fields and n not in ("cents", "amount")]
    if left:
        lines.append(f"# may be added: {', '.join(left)}")
    if made.constants:
        lines += ["", "[file.constants]", *(_line(name, choice) for name, choice in made.constants.items())]
    for name, codes in made.codes.items():
        lines += ["", f"# The source's code = ours{_expected(made, name)}", f"[file.codes.{name}]"]
        lines += [f"{_text(code)} = {_text(our)}" for code, our in codes.items()] or [f'"{OPEN}" = "{OPEN}"']
        if name in made.hidden:
            lines.append(f"# {made.hidden[name]:,} rows have codes that are not shown: too rare, or like a person's")
    return lines


def _expected(made: Proposal, name: str) -> str:
    ours = made.ours.get(name, ())
    return f": {_some(ours)}" if ours else ""


def _unused(made: Proposal) -> list[str]:
    used = {choice.column for choice in made.fields.values()}
    left = [column for column in made.sample.columns if column not in used]
    return ["", f"# Nothing is read from: {_some(left)}"] if left else []


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _line(key: str, choice: Choice) -> str:
    return f"{key} = {_text(choice.column)}" + (f"  # {choice.why}" if choice.why else "")


def _text(value: str) -> str:
    """A TOML string."""
    return json.dumps(value, ensure_ascii=False)


def _document(made: Proposal) -> dict[str, Any]:
    return {
        "path": made.sample.path, "format": "fhir" if made.resource else made.sample.format, "kind": made.kind,
        "rows": made.sample.rows,
        "fields": {name: choice.column for name, choice in made.fields.items()},
        "codes": made.codes, "open": made.open,
    }
