"""What `winnow evaluate` and `winnow demo` do: check the input, run, print, and turn every end into an exit code."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from console.drill import Drill
from console.errors import ConsoleError
from console.local import LocalEvaluation
from console.present import present
from console.progress import Progress
from evaluation.document import Document, exit_code
from evaluation.errors import (
    EXIT_INTERRUPTED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    EvaluationError,
)
from infra.local.errors import LocalError
from policy.agreement import Draft, load_draft, load_kpis
from policy.errors import ChainError, PolicyError
from policy.kpi import Kpi
from streams.errors import BrokerError


@dataclass(frozen=True)
class Options:
    """Common to both commands."""

    json: bool = False
    serve: bool = False
    work: Path | None = None
    drill: Drill | None = None


def evaluate_files(agreement: Path, parties: Sequence[str], options: Options) -> int:
    """Run `winnow evaluate`; returns the exit code."""
    try:
        draft = load_draft(agreement)
        kpis = load_kpis(draft, agreement.parent)
        folders = party_folders(draft, parties)
        if options.work is not None and options.work.exists() and any(options.work.iterdir()):
            raise ConsoleError(f"--work {options.work} is not empty. Name a new folder, or empty this one.")
    except (PolicyError, ConsoleError) as error:
        return _say(error, EXIT_USAGE)
    if options.work is not None:
        return _evaluate(draft, kpis, folders, options.work, options)
    with tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
        return _evaluate(draft, kpis, folders, Path(scratch) / "work", options)


def evaluate_demo(directory: Path, patients: int, weeks: int, seed: int, options: Options) -> int:
    """Run `winnow demo`; returns the exit code."""
    from console.cohort.agreement import demo_agreement
    from console.cohort.generate import generate
    from console.cohort.shape import Shape

    try:
        shape = Shape(patients=patients, weeks=weeks, seed=seed)
    except ValueError as error:
        return _say(error, EXIT_USAGE)
    sys.stderr.write(f"Making a synthetic cohort of {patients} patients over {weeks} weeks in {directory} …\n")
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
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _say("Interrupted; everything was stopped.", EXIT_INTERRUPTED)


async def _run(
    draft: Draft, kpis: tuple[Kpi, ...], folders: dict[str, Path], work: Path, options: Options
) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.ExitStack() as shown:
        progress = shown.enter_context(Progress())
        evaluation = LocalEvaluation(draft, kpis, folders, work, progress.update, options.drill)
        async with evaluation.run() as document:
            shown.close()
            _print(document, kpis, options)
            if options.serve:
                sys.stderr.write(f"The pages are at {evaluation.page} — Ctrl-C ends.\n")
                await evaluation.stay()
    return exit_code(document.status)


def _print(document: Document, kpis: tuple[Kpi, ...], options: Options) -> None:
    if options.json:
        sys.stdout.write(document.model_dump_json(indent=1) + "\n")
    else:
        present(document, kpis, Console())
    sys.stdout.flush()


def _say(error: Exception | str, code: int) -> int:
    sys.stderr.write(f"winnow: {error}\n")
    return code
