"""What `winnow source check` does: say in words what would be read, what refused, and where."""

import json
import sys
from pathlib import Path
from typing import Any

from console.errors import ConsoleError
from console.output import standard_output
from evaluation.config import load_terms
from evaluation.errors import EXIT_USAGE, EvaluationError
from policy.agreement import Draft, load_draft
from policy.errors import PolicyError
from streams.errors import StreamsError
from streams.rejects import Reason
from streams.sources.agreed import source_faults
from streams.survey import FileSurvey, Survey, survey
from streams.tally import MANY_PERSONS, CodeTally

MOST_UNREAD = 10
"""Files that are named although nothing is read from them."""
REASONS = {
    Reason.TOO_LARGE: "longer than 1 MiB",
    Reason.NOT_TEXT: "not UTF-8 text",
    Reason.BROKEN_JSON: "not JSON",
    Reason.BROKEN_CSV: "another number of fields than the header, or a broken quotation",
    Reason.MISSING_FIELD: "a field is empty",
    Reason.WRONG_TYPE: "a field has another form than expected: a date, an amount, an identifier",
    Reason.UNKNOWN_CODE: "a code that neither the code lists nor the agreement know",
    Reason.NOT_MAPPED: "source.toml has no entry about it, or one of kind none",
    Reason.NEGATIVE_AMOUNT: "a negative amount",
    Reason.AMOUNT_TOO_LARGE: "an amount, or a patient's sum in a pane, above its bound",
    Reason.TOO_MANY_EVENTS: "more events of a patient in a pane than the agreed bound",
    Reason.OUTSIDE_AGREEMENT: "before or after the agreement's panes",
    Reason.IN_THE_FUTURE: "it happened after it was recorded, or was recorded later than now",
    Reason.STOP_BEFORE_START: "it ends before it starts",
    Reason.DUPLICATE_ID: "a record id that was there before",
    Reason.UNKNOWN_REFERENCE: "it refers to a record that was not there before it, or its person is in no crosswalk",
    Reason.ALREADY_CANCELLED: "it cancels a line that was cancelled before",
    Reason.CREDIT_MISMATCH: "it cancels a line of another person or amount",
    Reason.UNKNOWN_PERSON: "a claim of somebody without an enrolment recorded before it",
    Reason.TOO_OLD: "it is about something that lies further back than the agreed horizon of corrections",
}


def check_source(folder: Path, agreement: Path, party: str, *, as_json: bool) -> int:
    """Run `winnow source check`; returns the exit code."""
    try:
        draft = agreed_draft(agreement)
        if not folder.is_dir():
            raise ConsoleError(f"{folder} is not a folder.")
        draft.party(party)
        faults = [str(fault) for fault in source_faults(draft, party, folder)]
        found = Survey() if faults else survey(draft, party, folder)
    except (PolicyError, ConsoleError, EvaluationError, StreamsError) as error:
        faults, found = [str(error)], Survey()
    with standard_output():
        if as_json:
            sys.stdout.write(json.dumps(_document(party, found, faults), indent=1) + "\n")
        else:
            for line in _words(found):
                sys.stdout.write(line + "\n")
    for fault in faults:
        sys.stderr.write(f"winnow: {fault}\n")
    accepted = any(f.accepted for f in found.files)
    if not faults and not accepted:
        sys.stderr.write("winnow: no line would be accepted. The reasons above say what to correct.\n")
    return 0 if accepted else EXIT_USAGE


def agreed_draft(agreement: Path) -> Draft:
    """What a draft (TOML) or signed terms (a file that ends in .json) say.

    Raises:
        policy.errors.AgreementError: not a draft.
        evaluation.errors.ConfigError: not terms.
    """
    return load_terms(agreement).draft if agreement.suffix.lower() == ".json" else load_draft(agreement)


def _words(found: Survey) -> list[str]:
    lines = [line for file in found.files for line in _file_words(file)]
    for name, tally in found.unused.items():
        lines.append(
            f"Accepted, but counted by no measure of the agreement: {tally.lines:,} × {name}{_codes_told(tally)}"
        )
    if found.idle:
        lines.append(f"No accepted line counts for {', '.join(found.idle)}: 0 for everyone.")
    if found.unread:
        more = f" and {len(found.unread) - MOST_UNREAD:,} more" if len(found.unread) > MOST_UNREAD else ""
        lines.append(f"Nothing is read from {', '.join(found.unread[:MOST_UNREAD])}{more}.")
    return lines


def _file_words(file: FileSurvey) -> list[str]:
    lines = [f"{file.file}: {file.read:,} lines, {file.accepted:,} accepted, {file.rejected.total():,} rejected"]
    if file.accepted:
        kinds = ", ".join(f"{count:,} × {kind}" for kind, count in file.events.items())
        lines.append(f"  {kinds}; {len(file.patients):,} persons, from {file.first} to {file.last}")
    for reason, count in file.rejected.most_common():
        examples = file.examples[reason]
        places = ", ".join(examples) + (" …" if count > len(examples) else "")
        lines.append(f"  {count:,} × {reason}: {REASONS[reason]} ({places})")
        if reason is Reason.UNKNOWN_CODE:
            lines += [f"    {tally.lines:,} of {name}{_codes_told(tally)}" for name, tally in file.unknown.items()]
    return lines


def _codes_told(tally: CodeTally) -> str:
    """The codes that may be shown, and how many lines have others."""
    told = [f"{code} ({lines:,})" for code, lines in tally.shown.items()]
    if tally.hidden_lines:
        told.append(
            f"{tally.hidden_lines:,} not shown (codes of fewer than {MANY_PERSONS} persons, or of no code's form)"
        )
    return f": {', '.join(told)}" if told else ""


def _document(party: str, found: Survey, faults: list[str]) -> dict[str, Any]:
    return {
        "party": party,
        "faults": faults,
        "files": [
            {
                "file": f.file, "source": f.source, "read": f.read, "accepted": f.accepted, "events": dict(f.events),
                "rejected": {
                    str(reason): {"lines": count, "examples": f.examples[reason]}
                    for reason, count in sorted(f.rejected.items())
                },
                "unknown_codes": _tallies(f.unknown),
                "persons": len(f.patients),
                "first": f.first.isoformat() if f.first else None,
                "last": f.last.isoformat() if f.last else None,
            }
            for f in found.files
        ],
        "unused_codes": _tallies(found.unused),
        "idle_measures": found.idle,
        "unread_files": found.unread[:MOST_UNREAD],
    }


def _tallies(tallies: dict[str, CodeTally]) -> dict[str, Any]:
    return {
        name: {"lines": tally.lines, "codes": tally.shown, "not_shown": tally.hidden_lines}
        for name, tally in tallies.items()
    }
