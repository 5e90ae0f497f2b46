"""From a draft to what is signed: each organisation draws its own keys, and all put the same terms together."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from console.assembly import KPI_TEXTS, TERMS, load_identity, put_together, write_terms
from console.errors import ConsoleError
from console.keyring import GO_ON, LINK, Given, check_given, draw
from console.locale import Lang
from console.output import standard_output
from evaluation.config import load_terms
from evaluation.errors import EXIT_ENDED, EXIT_USAGE, ConfigError
from evaluation.keys import read_secret
from policy.agreement import Terms, load_draft
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
    file: Path, role: str, out: Path, *, link: Path | None, earlier: Path | None, address: str | None,
    organisation: str | None, endpoint: str | None, lang: Lang, as_json: bool,
) -> int:
    """Run `winnow agreement keys`; returns the exit code."""
    try:
        draft = load_draft(file)
        secret = None if link is None else read_secret(link)
        given = Given(secret, _earlier(earlier), address, organisation, endpoint)
        check_given(draft, role, given)
        with _new_folder(out, 0o700) as folder:
            identity = draw(folder, draft, role, given)
            (folder / IDENTITY).write_text(identity.model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
    except (PolicyError, ConfigError, ConsoleError) as error:
        return _refused(error)
    except OSError as error:
        return _refused(ConsoleError(f"keys in {out}: {error.strerror}. Name a new folder that can be made."))
    files = sorted(path.name for path in out.iterdir() if path.name != IDENTITY)
    new_link = identity.party is not None and given.link is None and LINK not in (given.earlier or {})
    with standard_output():
        if as_json:
            said = json.dumps({
                "role": role, "keys": str(out), "files": files, "identity": str(out / IDENTITY),
                "new_link": new_link,
            }, indent=1)
            sys.stdout.write(said + "\n")
        else:
            _say(lang, "keys", role=identity.role, out=str(out), files=", ".join(files))
            if new_link:
                _say(lang, "link", link=str(out / LINK))
            _say(lang, "identity", identity=str(out / IDENTITY))
    return EXIT_ENDED


def terms(file: Path, identities: tuple[Path, ...], out: Path, *, lang: Lang, as_json: bool) -> int:
    """Run `winnow agreement terms`; returns the exit code."""
    try:
        draft = load_draft(file)
        programs = load_kpis(draft, file.parent)
        made = put_together(draft, programs, [load_identity(path) for path in identities])
        if not _there(out, made):
            with _new_folder(out, 0o755) as folder:
                write_terms(folder, made, programs)
    except (PolicyError, ConfigError, ConsoleError) as error:
        return _refused(error)
    except OSError as error:
        return _refused(ConsoleError(f"terms in {out}: {error.strerror}. Name a folder that can be written to."))
    terms_file, kpi_file = out / TERMS, out / KPI_TEXTS
    with standard_output():
        if as_json:
            document = {"terms": str(terms_file), "kpis": str(kpi_file), "terms_hash": made.hash}
            sys.stdout.write(json.dumps(document, indent=1) + "\n")
        else:
            _say(lang, "terms", name=draft.name, terms=str(terms_file), kpis=str(kpi_file))
            _say(lang, "hash", hash=made.hash)
            _say(lang, "compare", terms=str(terms_file))
    return EXIT_ENDED


def _earlier(folder: Path | None) -> dict[str, bytes] | None:
    """The keys of an earlier version that go on, as far as they are there.

    Raises:
        ConfigError: one of them cannot be read.
        ConsoleError: none is there.
    """
    if folder is None:
        return None
    found = {name: read_secret(folder / name) for name in GO_ON if (folder / name).exists()}
    if not found:
        raise ConsoleError(f"--earlier {folder}: none of {', '.join(GO_ON)} is there. Name the folder of earlier keys.")
    return found


def _there(folder: Path, made: Terms) -> bool:
    """Whether these terms are there already: the same command, once more.

    Raises:
        ConfigError: no terms.
        ConsoleError: other ones.
    """
    if not (folder / TERMS).exists():
        return False
    if load_terms(folder / TERMS).hash != made.hash:
        raise ConsoleError(f"{folder / TERMS} holds other terms. Name another folder, or move these away.")
    return True


@contextmanager
def _new_folder(path: Path, mode: int) -> Iterator[Path]:
    """A folder that is there with all that it should hold, or not at all; `path` may be an empty one.

    Raises:
        ConsoleError: something is there already.
    """
    path = path.resolve()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConsoleError(f"{path} is there already, expected a new or empty folder. Name another one.")
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
    try:
        yield made
        made.chmod(mode)
        made.rename(path)
    except BaseException:
        shutil.rmtree(made)
        raise


def _say(lang: Lang, key: str, **values: str) -> None:
    sys.stdout.write(WORDS[key].of(lang).format(**values) + "\n")


def _refused(error: Exception) -> int:
    sys.stderr.write(f"winnow: {error}\n")
    return EXIT_USAGE
