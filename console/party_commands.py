"""The commands of `winnow` with which a party looks after its own data."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

source = App(name="source", help="Look at a party's data files.")


def figures(
    *, config: Path, json: Annotated[bool, Parameter(negative=())] = False, lang: Literal["en", "nl"] = "en"
) -> int:
    """Show a party's operator how far its workers are: unread, watermarks, sealed-until, late, rejected, who is silent.

    Reads what the party's workers say on its own topic. What nobody said is unknown, which is not 0.

    Exit codes: 0 shown, 2 configuration, 5 the broker is gone.

    Args:
        config: the party's configuration, a TOML file; see docs/figures.md.
        json: print one JSON document on standard output.
        lang: of the tables: en or nl.
    """
    from console.figures import figures as show

    return show(config, as_json=json, lang=lang)


def receipts(
    *, config: Path, json: Annotated[bool, Parameter(negative=())] = False, lang: Literal["en", "nl"] = "en"
) -> int:
    """Show a party which rows of patients who withdrew the nodes have erased, by their signed receipts.

    For every list of rows: when it left, before which day rows are erased, how many rows it names (patients among
    padding), and from which nodes there is a valid receipt. A list is complete with three.

    Exit codes: 0 shown, 2 configuration, or an agreement without erasure, 5 the broker is gone.

    Args:
        config: the party's configuration, a TOML file; see docs/erasure.md.
        json: print one JSON document on standard output.
        lang: of the table: en or nl.
    """
    from console.receipts import receipts as show

    return show(config, as_json=json, lang=lang)


def rejected(
    *, config: Path, out: Path | None = None, json: Annotated[bool, Parameter(negative=())] = False,
    lang: Literal["en", "nl"] = "en",
) -> int:
    """Show a party which lines and events were refused in the last 35 days, where they stand, and why.

    What was refused lies sealed on the party's topic. With --out it is opened into a file, as it was.

    Exit codes: 0 shown, 2 configuration, or the file is there already, 5 the broker is gone.

    Args:
        config: the party's configuration, a TOML file; its `rejects` key opens.
        out: a new file, mode 600, for what was refused: a JSON object a line. It may hold identifiers.
        json: print one JSON document.
        lang: of the table: en or nl.
    """
    from console.rejected import rejected as show

    return show(config, out, as_json=json, lang=lang)


def replay(
    *,
    config: Path,
    start: Annotated[date | None, Parameter(name="--from")] = None,
    stop: Annotated[date | None, Parameter(name="--to")] = None,
    send: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    lang: Literal["en", "nl"] = "en",
) -> int:
    """Put a party's files, or what was recorded in a period, on its source topic, for `winnow party` to take up.

    By default it only looks: how many lines, of what kind, what would be refused and why, and what is there already.
    With --send it sends, in the order of recording. What is there is never sent again: a replay that was interrupted is
    run again with the same words, and the next period goes on after the one before.

    Exit codes: 0 done, 2 configuration, or the files are not those of what is there, 5 the broker is gone.

    Args:
        config: the party's configuration, a TOML file; its `data` names the folder.
        start: the first day, of recording; by default from the beginning.
        stop: the day after the last one; by default to the end.
        send: send, instead of looking only.
        json: print one JSON document on standard output.
        lang: en or nl.
    """
    from console.replay import replay_files

    return replay_files(config, start, stop, lang, send=send, as_json=json)


def init_source(
    *file: Path,
    kind: str | None = None,
    agreement: Path | None = None,
    party: str | None = None,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Look at data files and propose a source.toml for them.

    Reads the beginning of each file: CSV, NDJSON or Parquet. Shows names of columns and common codes, never an
    identifier or what a line says. What is not clear is marked "?", and refused by `winnow source check` until it is
    filled in.

    Exit codes: 0 proposed, 2 a file cannot be read or holds no table.

    Args:
        file: data files of one party.
        kind: what the lines are: enrolment, encounter, monitoring, prom, claim, social or withdrawal.
        agreement: the agreement, a draft (TOML) or signed terms (JSON): its codes are proposed then.
        party: the party's name in the agreement.
        out: write to this file, which must not be there yet, instead of standard output.
        json: print one JSON document on standard output.
    """
    from console.init_source import init_source as look

    return look(file, kind, agreement, party, out, as_json=json)


@source.command
def check(
    folder: Path,
    *,
    agreement: Path,
    party: str,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Read a party's files and say what would be accepted and rejected, and why, without starting anything.

    Names files and lines, never an identifier or what a line says.

    Exit codes: 0 at least one line would be accepted, 2 a file is missing or of another form, or no line would be.

    Args:
        folder: the party's folder: its data files and, when they are not of the built-in forms, a source.toml.
        agreement: the agreement, a draft (TOML) or signed terms (JSON).
        party: the party's name in the agreement.
        json: print one JSON document on standard output instead of sentences.
    """
    from console.source import check_source

    return check_source(folder, agreement, party, as_json=json)
