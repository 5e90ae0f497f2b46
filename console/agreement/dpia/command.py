"""What `winnow agreement dpia` does: read an agreement and configurations, write the report."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from console.agreement.dpia.blocks import Report
from console.agreement.dpia.deployed import read
from console.agreement.dpia.render import as_document, as_html, as_markdown
from console.agreement.dpia.report import parts
from console.agreement.subject import load_subject
from console.errors import ConsoleError
from console.locale import Lang
from console.output import standard_output
from evaluation.errors import EXIT_ENDED, ConfigError
from policy.errors import PolicyError


def dpia(
    file: Path, configurations: Sequence[Path], out: Path | None, lang: Lang, *, html: bool, as_json: bool,
) -> int:
    """Write the report to `out`, or print it; returns the exit code.

    Raises:
        ConsoleError: a file is no agreement or no configuration of it, or the report cannot be written.
    """
    if html and as_json:
        raise ConsoleError("--html and --json are two forms of one thing. Give one of them.")
    try:
        subject = load_subject(file)
        running = [(path, read(path, subject)) for path in configurations]
    except (PolicyError, ConfigError) as error:
        raise ConsoleError(str(error)) from error
    report = Report(subject, lang)
    found = parts(report, running)
    if as_json:
        text = json.dumps(as_document(report, found), indent=1, ensure_ascii=False) + "\n"
    else:
        text = (as_html if html else as_markdown)(report, found)
    if out is None:
        with standard_output():
            sys.stdout.write(text)
        return EXIT_ENDED
    try:
        with out.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError as error:
        raise ConsoleError(f"{out} is there already; it is left as it is. Give another --out, or remove it.") from error
    except OSError as error:
        raise ConsoleError(f"cannot write {out}: {error.strerror}.") from error
    return EXIT_ENDED
