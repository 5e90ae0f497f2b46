"""What `winnow agreement summary` prints: the whole agreement as Markdown, as one page, or for programs."""

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from console.agreement.clause import Clause, Section
from console.agreement.sections import sections_of
from console.agreement.subject import Subject
from console.agreement.words import Words
from console.locale import Lang

HERE: Final = Path(__file__).parent
STATIC: Final = HERE.parent / "pages" / "static"
SHEETS: Final = ("vendor/pico-2.1.1.min.css", "winnow.css")
_MARKS: Final = re.compile(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w)|^\W*[#+-](?=\s))")
"""What Markdown would read as a mark; an underscore within a word it does not."""


def as_markdown(subject: Subject, lang: Lang) -> str:
    """The summary as Markdown, which reads well as it is."""
    say = Words(lang, subject.draft.panes.unit)
    lines = [f"# {escaped(say.of(subject.draft.title))}", "", f"{state(subject, say)} {say('made')}"]
    for section in sections_of(subject, lang):
        lines += ["", f"## {say(section.id)}"]
        for about, clauses in grouped(section):
            lines += ["", *([f"### {escaped(about)}", ""] if about else [])]
            lines += [f"- {escaped(clause.text)}" for clause in clauses]
    return "\n".join(lines) + "\n"


def as_html(subject: Subject, lang: Lang) -> str:
    """The summary as one page that needs nothing from anywhere."""
    say = Words(lang, subject.draft.panes.unit)
    sections = sections_of(subject, lang)
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )
    style = "\n".join((STATIC / sheet).read_text(encoding="utf-8") for sheet in SHEETS)
    return environment.get_template("summary.html").render(
        lang=lang, title=say.of(subject.draft.title), state=state(subject, say), made=say("made"), sections=sections,
        headings={section.id: say(section.id) for section in sections}, grouped=grouped,
        style=Markup(style),  # noqa: S704 - our own style sheets
    )


def as_document(subject: Subject, lang: Lang) -> dict[str, Any]:
    """The summary as plain data."""
    say = Words(lang, subject.draft.panes.unit)
    return {
        "agreement": subject.draft.name, "title": say.of(subject.draft.title), "language": lang,
        "terms_hash": None if subject.terms is None else subject.terms.hash,
        "sections": [
            {
                "id": section.id, "heading": say(section.id),
                "clauses": [{"key": c.key, "about": c.about or None, "text": c.text} for c in section.clauses],
            } for section in sections_of(subject, lang)
        ],
    }


def state(subject: Subject, say: Words) -> str:
    """Whether it is a draft, or which terms it is."""
    return say("state_draft") if subject.terms is None else say("state_terms", hash=subject.terms.hash)


def grouped(section: Section) -> Iterator[tuple[str, list[Clause]]]:
    """The section's clauses under their headings."""
    for about, clauses in groupby(section.clauses, lambda clause: clause.about):
        yield about, list(clauses)


def escaped(text: str) -> str:
    """The text, of which Markdown reads nothing as a mark."""
    return _MARKS.sub(r"\\\1", text)
