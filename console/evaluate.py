"""What `winnow evaluate` and `winnow demo` do: check the input, run, print, and turn every end into an exit code."""

import asyncio
import contextlib
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from rich.console import Console

from console.asking import example
from console.drill import Drill
from console.errors import ConsoleError
from console.local import LocalEvaluation
from console.output import standard_output
from console.present import present
from console.progress import Progress
from console.signals import ENDING, end_on_signals
from console.workdir import WorkDir
from evaluation.courier import load_targets
from evaluation.document import Document, exit_code
from evaluation.errors import (
    EXIT_INTERRUPTED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    ConfigError,
    EvaluationError,
    Refused,
)
from evaluation.rows import RowSeal
from infra.local.errors import LocalError
from policy.agreement import Draft, load_draft
from policy.compilation import load_kpis
from policy.errors import ChainError, PolicyError
from policy.kpi import Kpi
from streams.errors import BrokerError, StreamsError
from streams.pipeline import check_party


@dataclass(frozen=True)
class Options:
    """Common to both commands."""

    json: bool = False
    serve: bool = False
    work: Path | None = None
    drill: Drill | None = None
    notify: Path | None = None
    """File of addresses that alerts go to."""
    kafka: int = 0
    """Brokers of Apache Kafka; 0: the embedded one."""


def evaluate_files(agreement: Path, parties: Sequence[str], options: Options) -> int:
    """Run `winnow evaluate`; returns the exit code."""
    try:
        draft = load_draft(agreement)
        kpis = load_kpis(draft, agreement.parent)
        folders = party_folders(draft, parties)
        for party, folder in folders.items():
            check_party(draft, party, folder)
        check_not_over(draft, datetime.now(UTC).date())
        if options.notify is not None:
            check_notify(draft, options.notify)
        if options.work is not None:
            new_folder("--work", options.work)
    except (PolicyError, ConsoleError, StreamsError, ConfigError) as error:
        return _say(error, EXIT_USAGE)
    except Refused as error:
        return _say(error, error.exit_code)
    if options.work is not None:
        return _evaluate(draft, kpis, folders, options.work.resolve(), options)
    with scratch_folder("winnow-") as scratch:
        return _evaluate(draft, kpis, folders, scratch / "work", options)


def evaluate_demo(out: Path | None, patients: int, weeks: int, seed: int, options: Options) -> int:
    """Run `winnow demo`; returns the exit code."""
    if out is not None:
        return _demo(out, patients, weeks, seed, options)
    with scratch_folder("winnow-demo-") as scratch:
        return _demo(scratch, patients, weeks, seed, options)


def _demo(directory: Path, patients: int, weeks: int, seed: int, options: Options) -> int:
    from console.cohort.agreement import demo_agreement
    from console.cohort.generate import generate
    from console.cohort.shape import Shape

    try:
        shape = Shape(patients=patients, weeks=weeks, seed=seed)
        new_folder("--out", directory)
    except (ValueError, ConsoleError) as error:
        return _say(error, EXIT_USAGE)
    sys.stderr.write(f"Making a synthetic cohort of {patients:,} patients over {weeks} weeks in {directory} …\n")
    summary = generate(directory, shape=shape)
    agreement = directory / "agreement.toml"
    agreement.write_text(demo_agreement(shape), encoding="utf-8")
    return evaluate_files(agreement, [f"{name}={folder}" for name, folder in summary.parties.items()], options)


def party_folders(draft: Draft, parties: Sequence[str]) -> dict[str, Path]:
    """NAME=DIR arguments as folders, one for every party of the agreement.

    Raises:
        ConsoleError: not of that form, unknown, missing, repeated, or not a folder.
    """
    names = [p.name for p in draft.parties]
    found: dict[str, Path] = {}
    for argument in parties:
        name, equals, folder = argument.partition("=")
        if not equals or not folder:
            raise ConsoleError(f"--party {argument}: expected NAME=DIR, for example --party {names[0]}=data/{names[0]}")
        if name not in names:
            raise ConsoleError(f"--party {name}: the agreement's parties are {', '.join(names)}.")
        if name in found:
            raise ConsoleError(f"--party {name} is given twice.")
        if not Path(folder).is_dir():
            raise ConsoleError(f"--party {name}: {folder} is not a folder.")
        found[name] = Path(folder)
    missing = [name for name in names if name not in found]
    if missing:
        raise ConsoleError(f"no folder for {', '.join(missing)}. Add --party {missing[0]}=DIR.")
    return found


def new_folder(option: str, folder: Path) -> None:
    """Make a folder, or take an empty one: what stands there is never mixed with ours or overwritten.

    Raises:
        ConsoleError: it holds something, or nothing can be written there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConsoleError(f"{option} {folder} is not empty. Name a new folder, or empty this one.")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConsoleError(f"{option} {folder}: cannot write there ({error.strerror}). Name another folder.") from error


def check_not_over(draft: Draft, today: date) -> None:
    """A chain takes no agreement that is over; one that has still to begin is the nodes' to refuse.

    Raises:
        Refused: its last day lies before `today`.
    """
    if draft.valid_until < today:
        raise Refused(
            f"within-validity: the agreement ended on {draft.valid_until}, today is {today}. Next: agree on new dates."
        )


def check_notify(draft: Draft, path: Path) -> None:
    """Look at the addresses before anything starts.

    Raises:
        ConsoleError: the agreement has no alerts.
        ConfigError: the file; see evaluation.courier.
    """
    if not draft.alerts:
        raise ConsoleError("--notify: the agreement has no alerts. Leave it out, or agree on [[alerts]].")
    load_targets(path, RowSeal(b"", ""))


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder that is gone afterwards, even when something still writes to it."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _evaluate(
    draft: Draft, kpis: tuple[Kpi, ...], folders: dict[str, Path], work: Path, options: Options
) -> int:
    try:
        return asyncio.run(_run(draft, kpis, folders, work, options))
    except EvaluationError as error:
        return _say(error, error.exit_code)
    except PolicyError as error:
        return _say(error, EXIT_UNREACHABLE if isinstance(error, ChainError) else EXIT_USAGE)
    except (LocalError, BrokerError) as error:
        return _say(error, EXIT_UNREACHABLE)
    except ConsoleError as error:
        return _say(error, EXIT_USAGE)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _say("interrupted; everything was stopped.", EXIT_INTERRUPTED)
    finally:
        end_on_signals()  # an event loop that closes puts the defaults back


async def _run(
    draft: Draft, kpis: tuple[Kpi, ...], folders: dict[str, Path], work: Path, options: Options
) -> int:
    task = asyncio.current_task()
    assert task is not None
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.ExitStack() as shown:
        progress = shown.enter_context(Progress())
        evaluation = LocalEvaluation(
            draft, kpis, folders, work, progress.update, options.drill, keeps_logs=options.work is not None,
            notify=options.notify, kafka=options.kafka,
        )
        async with evaluation.run() as document:
            shown.close()
            _print(document, kpis, options)
            if evaluation.unerased:
                sys.stderr.write(
                    f'winnow: not all rows are erased: {evaluation.unerased}. See docs/erasure.md, "When rows are not '
                    'erased".\n'
                )
            for failure in evaluation.undelivered():
                sys.stderr.write(f"winnow: an alert was not delivered: {failure}\n")
            if options.serve:
                for recipient in draft.recipients[1:]:
                    (line, *_) = evaluation.lines(recipient.name, "page")
                    sys.stderr.write(f"The pages of {recipient.name} are at {line['facts']['url']}\n")
                sys.stderr.write(f"The pages are at {evaluation.page} — Ctrl-C ends.\n")
                sys.stderr.write(how_to_ask(evaluation.work))
            if options.serve or options.work is not None:
                sys.stderr.write(how_to_audit(evaluation.work, served=options.serve))
            if options.serve:
                await evaluation.stay()
    return exit_code(document.status)


def how_to_audit(work: WorkDir, *, served: bool) -> str:
    """The command that verifies what a node noted; the chain is there as long as the system is."""
    config = shlex.quote(str(work.configuration("node-0")))
    return (
        "To see what the nodes noted of it, and whether that holds:\n"
        f"    winnow audit --config {config} --verify{'' if served else ' --offline'}\n"
    )


def how_to_ask(work: WorkDir) -> str:
    """The commands by which the first requester asks the running system; empty if nobody may."""
    requester = next(iter(work.terms.draft.requesters), None)
    if requester is None:
        return ""
    config = shlex.quote(str(work.configuration(requester.name)))
    kpi, window = example(work.terms, requester)
    return (
        f"To ask for more, in another terminal:\n    winnow request --config {config} --kpi {kpi} --window {window}\n"
        f"To see what ran when:\n    winnow schedule --config {config}\n"
    )


def _print(document: Document, kpis: tuple[Kpi, ...], options: Options) -> None:
    with standard_output():
        if options.json:
            sys.stdout.write(document.model_dump_json(indent=1) + "\n")
        else:
            present(document, kpis, _Output())


class _Output(Console):
    """Leaves it to the caller what a closed pipe means; rich would exit with code 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _say(error: Exception | str, code: int) -> int:
    sys.stderr.write(f"winnow: {error}\n")
    return code
