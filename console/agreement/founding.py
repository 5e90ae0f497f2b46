"""From a draft to what is signed: each organisation draws its own keys, and all put the same terms together."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from console.assembly import load_identity, put_together, write_terms
from console.errors import ConsoleError
from console.keyring import LINK, Given, Identity, draw
from console.output import standard_output
from evaluation.config import load_terms
from evaluation.errors import EXIT_ENDED, EXIT_USAGE, ConfigError
from evaluation.keys import private_folder, read_secret
from policy.agreement import load_draft
from policy.compilation import load_kpis
from policy.errors import PolicyError

IDENTITY = "identity.json"


def keys(
    file: Path, role: str, out: Path, *, link: Path | None, address: str | None, organisation: str | None,
    endpoint: str | None, as_json: bool,
) -> int:
    """Run `winnow agreement keys`; returns the exit code."""
    try:
        draft = load_draft(file)
        secret = None if link is None else read_secret(link)
        given = Given(link=secret, address=address, organisation=organisation, endpoint=endpoint)
        with _NewFolder(out) as folder:
            identity = draw(folder, draft, role, given)
            (folder / IDENTITY).write_text(identity.model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
    except (PolicyError, ConfigError, ConsoleError) as error:
        return _refused(error)
    except OSError as error:
        return _refused(ConsoleError(f"keys in {out}: {error.strerror}. Name a new folder that can be made."))
    files = sorted(path.name for path in out.iterdir() if path.name != IDENTITY)
    with standard_output():
        if as_json:
            said = json.dumps({
                "role": role, "keys": str(out), "files": files, "identity": str(out / IDENTITY),
                "new_link": identity.party is not None and secret is None,
            }, indent=1)
            sys.stdout.write(said + "\n")
        else:
            sys.stdout.writelines(f"{line}\n" for line in _words(identity, out, files, new_link=secret is None))
    return EXIT_ENDED


def terms(file: Path, identities: tuple[Path, ...], out: Path, *, as_json: bool) -> int:
    """Run `winnow agreement terms`; returns the exit code."""
    try:
        draft = load_draft(file)
        programs = load_kpis(draft, file.parent)
        made = put_together(draft, programs, [load_identity(path) for path in identities])
        there = out / "terms.json"
        if there.exists() and load_terms(there).hash != made.hash:
            raise ConsoleError(f"{there} holds other terms. Name another folder, or move these away.")
        out.mkdir(parents=True, exist_ok=True)
        terms_file, kpi_file = write_terms(out, made, programs)
    except (PolicyError, ConfigError, ConsoleError) as error:
        return _refused(error)
    except OSError as error:
        return _refused(ConsoleError(f"terms in {out}: {error.strerror}. Name a folder that can be written to."))
    with standard_output():
        if as_json:
            document = {"terms": str(terms_file), "kpis": str(kpi_file), "terms_hash": made.hash}
            sys.stdout.write(json.dumps(document, indent=1) + "\n")
        else:
            sys.stdout.write(
                f"Terms of {draft.name}: {terms_file}, and the texts of its KPIs: {kpi_file}.\n"
                f"Their hash is {made.hash}.\n"
                "Whoever puts the same draft and identities together finds the same hash: compare it with the others "
                f"before you sign, and read winnow agreement summary {terms_file}.\n"
            )
    return EXIT_ENDED


class _NewFolder:
    """A folder of mode 0700 that is there with all it should hold, or not at all; use as `with`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        """Raises: ConsoleError when something is there already: keys are never replaced."""
        if self._path.is_dir() and not any(self._path.iterdir()):
            self._path.rmdir()
        if self._path.exists() or self._path.is_symlink():
            raise ConsoleError(f"{self._path} is there already, expected a new folder. Name another one.")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._made = private_folder(Path(tempfile.mkdtemp(prefix=".keys-", dir=self._path.parent)))
        return self._made

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._made.rename(self._path)
        else:
            shutil.rmtree(self._made)


def _words(identity: Identity, out: Path, files: list[str], *, new_link: bool) -> list[str]:
    lines = [f"Keys of {identity.role}: {out} ({', '.join(files)}). Keep them, and a copy in a safe place."]
    if identity.party is not None and new_link:
        lines.append(
            "The link secret is new. One party draws it; the others take it over with --link, from a copy of "
            f"{out / LINK} that comes to them in a way that no node can read."
        )
    lines.append(f"For the others: {out / IDENTITY}, which holds public halves only.")
    return lines


def _refused(error: Exception) -> int:
    sys.stderr.write(f"winnow: {error}\n")
    return EXIT_USAGE
