"""What `winnow source check` does: say in words what would be read, what refused, and where."""

import json
import sys
from pathlib import Path
from typing import Any

from console.errors import ConsoleError
from console.output import standard_output
from evaluation.errors import EXIT_USAGE
from policy.agreement import load_draft
from policy.errors import PolicyError
from streams.errors import StreamsError
from streams.rejects import Reason
from streams.sources.agreed import source_faults
from streams.survey import FileSurvey, survey

REASONS = {
    Reason.TOO_LARGE: "longer than 1 MiB",
    Reason.NOT_TEXT: "not UTF-8 text",
    Reason.BROKEN_JSON: "not JSON",
    Reason.BROKEN_CSV: "another number of fields than the header, or a broken quotation",
    Reason.MISSING_FIELD: "a field is empty",
    Reason.WRONG_TYPE: "a field has another form than expected: a date, an amount, an identifier",
    Reason.UNKNOWN_CODE: "a code that neither the code lists nor the agreement know",
    Reason.NOT_MAPPED: "no entry of source.toml is about it: none of their `where` fits",
    Reason.NEGATIVE_AMOUNT: "a negative amount",
    Reason.AMOUNT_TOO_LARGE: "an amount, or a patient's sum in a pane, above its bound",
    Reason.TOO_MANY_EVENTS: "more events of a patient in a pane than the agreed bound",
    Reason.OUTSIDE_AGREEMENT: "before or after the agreement's panes",
    Reason.IN_THE_FUTURE: "it happened after it was recorded",
    Reason.STOP_BEFORE_START: "it ends before it starts",
    Reason.DUPLICATE_ID: "a record id that was there before",
    Reason.UNKNOWN_REFERENCE: "it refers to a record that was not there before it, or its person is in no crosswalk",
    Reason.ALREADY_CANCELLED: "it cancels a line that was cancelled before",
    Reason.CREDIT_MISMATCH: "it cancels a line of another person or amount",
    Reason.UNKNOWN_PERSON: "a claim of somebody without an enrolment recorded before it",
    Reason.WRONG_PARTITION: "it came in another partition than its patient's",
}


def check_source(folder: Path, agreement: Path, party: str, *, as_json: bool) -> int:
    """Run `winnow source check`; returns the exit code."""
    try:
        draft = load_draft(agreement)
        if not folder.is_dir():
            raise ConsoleError(f"{folder} is not a folder.")
        draft.party(party)
        faults = [str(fault) for fault in source_faults(draft, party, folder)]
        files = [] if faults else survey(draft, party, folder)
    except (PolicyError, ConsoleError, StreamsError) as error:
        faults, files = [str(error)], []
    with standard_output():
        if as_json:
            sys.stdout.write(json.dumps(_document(party, files, faults), indent=1) + "\n")
        else:
            for line in _words(files):
                sys.stdout.write(line + "\n")
    for fault in faults:
        sys.stderr.write(f"winnow: {fault}\n")
    if not faults and not any(f.accepted for f in files):
        sys.stderr.write("winnow: no line would be accepted. The reasons above say what to correct.\n")
    return 0 if any(f.accepted for f in files) else EXIT_USAGE


def _words(files: list[FileSurvey]) -> list[str]:
    lines: list[str] = []
    for file in files:
        lines.append(
            f"{file.file}: {file.read:,} lines, {file.accepted:,} accepted, {file.rejected.total():,} rejected"
        )
        if file.accepted:
            lines.append(f"  {len(file.patients):,} persons, from {file.first} to {file.last}")
        for reason, count in file.rejected.most_common():
            examples = file.examples[reason]
            places = ", ".join(examples) + (" …" if count > len(examples) else "")
            lines.append(f"  {count:,} × {reason}: {REASONS[reason]} ({places})")
    return lines


def _document(party: str, files: list[FileSurvey], faults: list[str]) -> dict[str, Any]:
    return {
        "party": party,
        "faults": faults,
        "files": [
            {
                "file": f.file, "source": f.source, "read": f.read, "accepted": f.accepted,
                "rejected": {
                    str(reason): {"lines": count, "examples": f.examples[reason]}
                    for reason, count in sorted(f.rejected.items())
                },
                "persons": len(f.patients),
                "first": f.first.isoformat() if f.first else None,
                "last": f.last.isoformat() if f.last else None,
            }
            for f in files
        ],
    }
