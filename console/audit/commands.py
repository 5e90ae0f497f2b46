"""The command `winnow audit`."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def audit(
    *,
    config: Path,
    file: Annotated[list[Path] | None, Parameter(negative=())] = None,
    run: str | None = None,
    start: Annotated[date | None, Parameter(name="--from")] = None,
    until: date | None = None,
    verify: Annotated[bool, Parameter(negative=())] = False,
    offline: Annotated[bool, Parameter(negative=())] = False,
    access_log: Literal["json", "csv"] | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    lang: Literal["en", "nl"] | None = None,
) -> int:
    """Show what nodes noted of their runs: who asked, under which agreement and block, what every rule said, what came
    out and went to whom, quota and budget; and check that it holds.

    Exit codes: 0 shown, and nothing differs; 2 usage, no such file or run; 5 the chain does not answer, wrongly, or has
    forgotten a block; 6 something differs.

    Args:
        config: a node's configuration (TOML), or that of your party or requester: it has terms and chain.
        file: another node's evidence.jsonl; may be given several times.
        run: of this run alone: the first 8 digits of its id, or more.
        start: from this day on (UTC), by the nodes' clocks.
        until: before this day.
        verify: compare files, terms and chain with each other.
        offline: verify without the chain.
        access_log: print an access log after NEN 7513 instead, as lines of JSON or as CSV.
        json: print one JSON document.
        lang: en or nl; by default that of the terminal (LANG), else en.
    """
    from console.agreement.run import language
    from console.audit.run import Options
    from console.audit.run import audit as look
    from console.audit.selection import Selection

    return look(config, Options(
        tuple(file or ()), Selection(run, start, until), verify=verify, offline=offline, access_log=access_log,
        json=json, lang=language(lang),
    ))
