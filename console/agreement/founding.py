"""From a draft to what is signed: each organisation draws its own keys, and all put the same terms together."""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from console.assembly import load_identity, put_together, write_terms
from console.errors import ConsoleError
from console.keyring import LINK, Given, draw
from console.locale import Lang
from console.output import standard_output
from evaluation.config import load_terms
from evaluation.errors import EXIT_ENDED, EXIT_USAGE, ConfigError
from evaluation.keys import private_folder, read_secret
from policy.agreement import load_draft
from policy.compilation import load_kpis
from policy.errors import PolicyError
from policy.kpi import Text

IDENTITY = "identity.json"
WORDS: Final[dict[str, Text]] = {
    "keys": Text(
        en="Keys of {role}: {out} ({files}). Keep them, and a copy in a safe place.",
        nl="Sleutels van {role}: {out} ({files}). Bewaar ze, en een kopie op een veilige plaats.",
    ),
    "link": Text(
        en="The link secret is new. One party draws it; the others take it over with --link, from a copy of {link} "
           "that comes to them in a way that no node can read.",
        nl="Het koppelgeheim is nieuw. Eén partij maakt het; de andere nemen het over met --link, van een kopie van "
           "{link} die hen bereikt zonder dat een knooppunt haar kan lezen.",
    ),
    "identity": Text(
        en="For the others: {identity}, which holds public halves only.",
        nl="Voor de anderen: {identity}, met alleen de openbare helften.",
    ),
    "terms": Text(
        en="Terms of {name}: {terms}, and the texts of its KPIs: {kpis}.",
        nl="Voorwaarden van {name}: {terms}, en de teksten van de KPI's: {kpis}.",
    ),
    "hash": Text(en="Their hash is {hash}.", nl="Hun hash is {hash}."),
    "compare": Text(
        en="Whoever puts the same draft and identities together finds the same hash: compare it with the others before "
           "you sign, and read winnow agreement summary {terms}.",
        nl="Wie hetzelfde ontwerp en dezelfde identiteiten samenvoegt, vindt dezelfde hash: vergelijk hem met de "
           "anderen voordat u tekent, en lees winnow agreement summary {terms}.",
    ),
}


def keys(
    file: Path, role: str, out: Path, *, link: Path | None, address: str | None, organisation: str | None,
    endpoint: str | None, lang: Lang, as_json: bool,
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
            _say(lang, "keys", role=identity.role, out=str(out), files=", ".join(files))
            if identity.party is not None and secret is None:
                _say(lang, "link", link=str(out / LINK))
            _say(lang, "identity", identity=str(out / IDENTITY))
    return EXIT_ENDED


def terms(file: Path, identities: tuple[Path, ...], out: Path, *, lang: Lang, as_json: bool) -> int:
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
            _say(lang, "terms", name=draft.name, terms=str(terms_file), kpis=str(kpi_file))
            _say(lang, "hash", hash=made.hash)
            _say(lang, "compare", terms=str(terms_file))
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


def _say(lang: Lang, key: str, **values: str) -> None:
    sys.stdout.write(WORDS[key].of(lang).format(**values) + "\n")


def _refused(error: Exception) -> int:
    sys.stderr.write(f"winnow: {error}\n")
    return EXIT_USAGE
