"""The report as Markdown, as one page that prints, and for programs."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from console.agreement.dpia.blocks import Block, Cell, Line, Part, Report, Risk, Table
from console.agreement.summary import HERE, SHEETS, STATIC, escaped, state

ROWS: Final = ("enforced", "by", "remains")
"""What is said of a risk; a row for people's judgement follows."""


def as_markdown(report: Report, parts: Sequence[Part]) -> str:
    """The report as Markdown."""
    say = report.say
    lines = [
        f"# {escaped(title(report))}", "", f"{state(report.subject, say)} {say('dpia_made')}", "", count(report, parts),
    ]
    for number, part in enumerate(parts, 1):
        lines += ["", f"## {number}. {say(f'dpia_{part.id}')}", "", f"*{say(f'dpia_law_{part.id}')}*"]
        for block in part.blocks:
            match block:
                case Block():
                    lines += ["", *([f"### {escaped(block.about)}", ""] if block.about else [])]
                    lines += [f"- {_marked(line, report)}" for line in block.lines]
                case Table():
                    lines += ["", f"### {escaped(block.about)}", "", *_table(block, report)]
                case Risk():
                    lines += ["", f"### {escaped(block.title)}", "", *_risk(block, report)]
    return "\n".join(lines) + "\n"


def as_html(report: Report, parts: Sequence[Part]) -> str:
    """The report as one page that needs nothing from anywhere, and prints."""
    say = report.say
    environment = Environment(
        loader=FileSystemLoader(HERE / "dpia"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "\n".join((STATIC / sheet).read_text(encoding="utf-8") for sheet in SHEETS)
    style += (HERE / "dpia" / "dpia.css").read_text(encoding="utf-8")
    return environment.get_template("dpia.html").render(
        lang=say.lang, title=title(report), state=state(report.subject, say), made=say("dpia_made"),
        count=count(report, parts), parts=parts, say=say, rows=ROWS,
        kind=lambda block: type(block).__name__.lower(),
        style=Markup(style),  # noqa: S704 - our own style sheets
    )


def as_document(report: Report, parts: Sequence[Part]) -> dict[str, Any]:
    """The report as plain data."""
    say, terms = report.say, report.subject.terms
    return {
        "agreement": report.draft.name, "title": title(report), "language": say.lang,
        "terms_hash": None if terms is None else terms.hash,
        "parts": [
            {"id": part.id, "heading": say(f"dpia_{part.id}"), "law": say(f"dpia_law_{part.id}"),
             "blocks": [_block(block) for block in part.blocks]} for part in parts
        ],
    }


def title(report: Report) -> str:
    """What the report is called."""
    return report.say("dpia_title", title=report.say.of(report.draft.title))


def count(report: Report, parts: Sequence[Part]) -> str:
    """How much people have still to fill in."""
    *_, last = parts
    return report.say("dpia_count", count=report.say.number(len(list(last.lines))))


def _marked(line: Line, report: Report) -> str:
    text = escaped(line.text)
    return text if line.mark == "said" else f"**{report.say(f'dpia_{line.mark}')}:** {text}"


def _cell(cell: Cell, report: Report) -> str:
    return " ".join(_marked(line, report) for line in cell)


def _table(table: Table, report: Report) -> Iterator[str]:
    yield f"| {' | '.join(escaped(name) for name in table.head)} |"
    yield f"|{'---|' * len(table.head)}"
    for row in table.rows:
        yield f"| {' | '.join(_cell(cell, report) for cell in row)} |"


def _risk(risk: Risk, report: Report) -> Iterator[str]:
    for row in ROWS:
        yield f"- **{report.say(f'dpia_{row}')}.**"
        yield from (f"  - {_marked(line, report)}" for line in getattr(risk, row))
    yield f"- **{report.say('dpia_weight')}.** **{report.say('dpia_open')}:** …"


def _block(block: Block | Table | Risk) -> dict[str, Any]:
    match block:
        case Block():
            return {"kind": "lines", "about": block.about or None, "lines": _lines(block.lines)}
        case Table():
            return {
                "kind": "table", "about": block.about, "head": list(block.head),
                "rows": [[_lines(cell) for cell in row] for row in block.rows],
            }
        case _:
            return {
                "kind": "risk", "about": block.title, "key": block.key,
                **{row: _lines(getattr(block, row)) for row in ROWS},
            }


def _lines(cell: Cell) -> list[dict[str, str]]:
    return [{"text": line.text, "mark": line.mark} for line in cell]
