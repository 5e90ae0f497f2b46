"""KPI programs in TOML: those that come with Winnow, and anybody's own."""

from importlib import resources
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from policy.errors import NotToml, PlanError
from policy.faults import one_line
from policy.toml import toml_of

M = TypeVar("M", bound=BaseModel)


def load(model: type[M], folder: str, source: str | Path) -> M:
    """Read a program from a file, or by its name from a folder of this package.

    Raises:
        PlanError: not found, not TOML, or of another form than `model`.
    """
    if isinstance(source, Path) or source.endswith(".toml"):
        path = Path(source)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PlanError(f"KPI program {path}: {error}. Expected a readable TOML file.") from error
    else:
        entry = resources.files("policy") / folder / f"{source}.toml"
        if not entry.is_file():
            raise PlanError(f"KPI {source!r} is not in the {folder}; known: {', '.join(names(folder))}.")
        content = entry.read_bytes()
    try:
        return model.model_validate(toml_of(content))
    except NotToml as error:
        raise PlanError(f"KPI program {source} is not TOML: {error}.") from error
    except ValidationError as error:
        raise PlanError(f"KPI program {source}: {one_line(error)}.") from error


def names(folder: str) -> tuple[str, ...]:
    """Names of the programs in a folder of this package, sorted."""
    entries = (resources.files("policy") / folder).iterdir()
    return tuple(sorted(e.name.removesuffix(".toml") for e in entries if e.name.endswith(".toml")))
