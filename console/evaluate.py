"""What `winnow evaluate` and `winnow demo` do: check the input, run, print, and turn every end into an exit code."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.drill import Drill
from console.errors import ConsoleError
from console.local import LocalEvaluation
from console.present import print_document
from console.progress import Progress
from evaluation.document import Document, exit_code
from evaluation.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    EvaluationError,
)
from infra.local.errors import LocalError
from policy.agreement import Draft, load_draft, load_kpis
from policy.errors import ChainError, PolicyError
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
        return _evaluate(LocalEvaluation(draft, kpis, folders, options.work, Progress(), options.drill), options)
    with tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
        return _evaluate(
            LocalEvaluation(draft, kpis, folders, Path(scratch) / "work", Progress(), options.drill), options
        )


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


def _evaluate(evaluation: LocalEvaluation, options: Options) -> int:
    try:
        return asyncio.run(_run(evaluation, options))
    except EvaluationError as error:
        return _say(error, error.exit_code)
    except PolicyError as error:
        return _say(error, EXIT_UNREACHABLE if isinstance(error, ChainError) else EXIT_USAGE)
    except (LocalError, BrokerError) as error:
        return _say(error, EXIT_UNREACHABLE)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _say("Interrupted; everything was stopped.", EXIT_INTERRUPTED)
    except Exception as error:
        _say(f"a defect of Winnow: {type(error).__name__}: {error}. Please report it.", EXIT_BUG)
        raise


async def _run(evaluation: LocalEvaluation, options: Options) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    progress = evaluation.progress
    async with evaluation.run() as document:
        if isinstance(progress, Progress):
            progress.close()
        _print(document, evaluation.draft, options)
        if options.serve:
            sys.stderr.write(f"The pages are at {evaluation.page} — Ctrl-C ends.\n")
            await evaluation.stay()
    return exit_code(document.status)


def _print(document: Document, draft: Draft, options: Options) -> None:
    if options.json:
        sys.stdout.write(document.model_dump_json(indent=1) + "\n")
        sys.stdout.flush()
    else:
        print_document(document)


def _say(error: Exception | str, code: int) -> int:
    sys.stderr.write(f"winnow: {error}\n")
    return code
