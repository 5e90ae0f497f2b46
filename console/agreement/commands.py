"""The commands of `winnow agreement` that read and write files alone; console.agreement.on_chain adds the others."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from console.options import Whole

agreement = App(
    name="agreement",
    help="Write, read, check and compare agreements before anybody signs; sign, suspend and end them on the chain.",
)


@agreement.command
def draft(
    file: Path,
    /,
    *,
    answers: Path | None = None,
    set: Annotated[list[str] | None, Parameter(negative=())] = None,  # noqa: A002 - the option's name
    defaults: Annotated[bool, Parameter(negative=())] = False,
    edit: Annotated[bool, Parameter(negative=())] = False,
    force: Annotated[bool, Parameter(negative=())] = False,
    lang: Literal["en", "nl"] | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Write an agreement by answering questions, each with what it protects; say what others have still to give.

    Answers are kept beside the agreement after each one: the same command goes on with them.

    Exit codes: 0 written, 2 an answer is missing or wrong, or the file is there already; 130 stopped.

    Args:
        file: the agreement to write, a TOML file.
        answers: a file of answers (TOML), in place of those kept beside the agreement.
        set: KEY=ANSWER, an answer by its key; several times for more.
        defaults: ask nothing: take what is proposed where there is no answer.
        edit: ask again what was answered before, with that as proposal.
        force: overwrite the file if it is there.
        lang: en or nl; by default that of the terminal (LANG), else en.
        json: print one JSON document.
    """
    from datetime import UTC, datetime

    from console.agreement.drafting.command import Choices
    from console.agreement.drafting.command import draft as write
    from console.agreement.run import language

    choices = Choices(answers, tuple(set or ()), defaults, edit, force)
    return write(file, choices, language(lang), datetime.now(UTC).date(), as_json=json)


@agreement.command
def validate(
    file: Path,
    /,
    *,
    lang: Literal["en", "nl"] | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Say all that is wrong with an agreement, or else what it would permit, and what may have been overlooked.

    What is wrong is said in English, whatever the language.

    Exit codes: 0 it can be signed, 2 it cannot.

    Args:
        file: the draft, a TOML file, or terms, a file that ends in .json.
        lang: en or nl; by default that of the terminal (LANG), else en.
        json: print one JSON document.
    """
    from console.agreement.run import validate as look

    return look(file, lang, as_json=json)


@agreement.command
def summary(
    file: Path,
    /,
    *,
    lang: Literal["en", "nl"] | None = None,
    html: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Say in words what an agreement says: who takes part, what is shared, computed and read, and what stays inside.

    Everything is made from the agreement itself, for the people who have to sign it. Markdown by default.

    Exit codes: 0 printed, 2 the file is no agreement.

    Args:
        file: the draft, a TOML file, or the terms that are signed, a file that ends in .json.
        lang: en or nl; by default that of the terminal (LANG), else en.
        html: print one page for a browser, which needs nothing from anywhere.
        json: print one JSON document.
    """
    from console.agreement.run import summarise

    return summarise(file, lang, html=html, as_json=json)


@agreement.command
def dpia(
    file: Path,
    /,
    *,
    config: Annotated[list[Path] | None, Parameter(negative=())] = None,
    html: Annotated[bool, Parameter(negative=())] = False,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    lang: Literal["en", "nl"] | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Write the report of a data protection impact assessment (GDPR article 35), as far as an agreement tells.

    What the agreement is silent about is said so, and what people have to fill in is marked. Markdown by default.

    Exit codes: 0 written, 2 a file is no agreement or no configuration of it, or the report cannot be written.

    Args:
        file: the draft, a TOML file, or the terms that are signed, a file that ends in .json.
        config: the configuration (TOML) of a process under this agreement; several times for more.
        html: one page for a browser and for paper, which needs nothing from anywhere.
        out: write to this file, which must not be there; by default to standard output.
        lang: en or nl; by default that of the terminal (LANG), else en.
        json: one JSON document.
    """
    from console.agreement.dpia.command import dpia as write
    from console.agreement.run import language

    return write(file, config or [], out, language(lang), html=html, as_json=json)


@agreement.command
def lattice(
    file: Path,
    /,
    *,
    patients: Whole,
    exposed: float = 0.5,
    groups: str | None = None,
    active: Annotated[list[str] | None, Parameter(negative=())] = None,
    lang: Literal["en", "nl"] | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Draw what the schedule of an agreement can be expected to let out of a cohort, and where it is thin.

    For every window and KPI: the expected number of patients in its thinnest piece of time, arm and group, against the
    minimum, and the probability that it falls below. These are expectations, not promises.

    Exit codes: 0 drawn, 2 usage, or the file is no agreement.

    Args:
        file: the draft, a TOML file, or terms, a file that ends in .json.
        patients: how many will be linked.
        exposed: share of them in the exposed arm, such as 0.3; the others are in the comparator.
        groups: share of every category, as in low=0.2,middle=0.5,high=0.3; who is left is in none. By default even.
        active: share of patients with some of what is counted in a pane, 1 by default; or KPI=SHARE, several times.
        lang: en or nl; by default that of the terminal (LANG), else en.
        json: print one JSON document.
    """
    from console.agreement.run import draw

    return draw(file, patients, exposed, groups, active or [], lang, as_json=json)


@agreement.command
def diff(
    old: Path,
    new: Path,
    /,
    *,
    lang: Literal["en", "nl"] | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Say in words how two versions of an agreement differ, and whether a change weakens the protection of patients.

    Exit codes, as of diff: 0 they say the same, 1 they differ, 2 trouble.

    Args:
        old: the version before: a draft (TOML), or terms (.json).
        new: the version after.
        lang: en or nl; by default that of the terminal (LANG), else en.
        json: print one JSON document.
    """
    from console.agreement.run import compare

    return compare(old, new, lang, as_json=json)


@agreement.command
def keys(
    file: Path,
    role: str,
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    link: Path | None = None,
    earlier: Path | None = None,
    address: str | None = None,
    organisation: str | None = None,
    endpoint: str | None = None,
    lang: Literal["en", "nl"] | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Draw the keys of one role of an agreement, and write down their public halves for the others.

    Each organisation does this itself, where the keys will be used. Keys that are there are never replaced.

    Exit codes: 0 drawn, 2 usage, or the folder is there already and not empty.

    Args:
        file: the draft, a TOML file.
        role: a party, recipient or requester by its name, or node-0, node-1 or node-2.
        out: a new folder for the keys, and identity.json with their public halves.
        link: of a party: the file of the link secret that another party drew; by default a new one is drawn.
        earlier: the folder of this role's keys under an earlier version, of which link, pseudonym, rejects and chain
            go on; all others are drawn anew.
        address: on the chain, 0x…: of a party, node or requester whose key for the chain is elsewhere.
        organisation: who runs the node.
        endpoint: host:port on which its peers reach the node.
        lang: en or nl; by default that of the terminal (LANG), else en.
        json: print one JSON document.
    """
    from console.agreement.founding import keys as draw_keys
    from console.agreement.run import language

    return draw_keys(
        file, role, out, link=link, earlier=earlier, address=address, organisation=organisation,
        endpoint=endpoint, lang=language(lang), as_json=json,
    )


@agreement.command
def terms(
    file: Path,
    /,
    *identity: Path,
    out: Annotated[Path, Parameter(alias="-o")],
    lang: Literal["en", "nl"] | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Put the terms together, which everybody signs: the draft, everyone's public halves, and the permitted plans.

    Every organisation can do it by itself, and finds the same hash.

    Exit codes: 0 written, 2 an identity is missing or of somebody else, or the agreement cannot be signed.

    Args:
        file: the draft, a TOML file.
        identity: the identity.json of every role.
        out: folder for terms.json, which is signed, and kpis.json, the texts of its KPIs.
        lang: en or nl; by default that of the terminal (LANG), else en.
        json: print one JSON document.
    """
    from console.agreement.founding import terms as put
    from console.agreement.run import language

    return put(file, identity, out, lang=language(lang), as_json=json)
