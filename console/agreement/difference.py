"""What `winnow agreement diff` says: clauses that differ, by what they mean, and what that does to protection."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from console.agreement.clause import Clause, Effect, SectionId, effect
from console.agreement.sections import sections_of
from console.agreement.subject import Subject
from console.agreement.words import Words, plain
from console.locale import Lang

Group = Literal["who", "what", "when", "protected", "long"]
GROUPS: Final[dict[Group, tuple[SectionId, ...]]] = {
    "who": ("who", "readers", "asking", "keys"), "what": ("why", "shared", "computed", "alerts"),
    "when": ("periods", "late", "patients"), "protected": ("never", "nodes", "withdrawal", "assumed"),
    "long": ("ends",),
}
"""What the sections of a summary are about."""
GROUP_OF: Final[dict[SectionId, Group]] = {section: group for group, sections in GROUPS.items() for section in sections}
MOST_ON_A_LINE: Final = 6
"""Fields that are named on one line; more of them have a line each."""


@dataclass(frozen=True)
class Change:
    """A clause that was, or is, or was another one."""

    group: Group
    key: str
    was: str | None
    now: str | None
    effect: Effect | None
    """None: to be weighed by people."""
    section: SectionId
    """Of the summary."""
    about: str = ""
    """Heading within the section."""

    def heading(self, say: Words) -> str:
        """Without which a sentence may not say what it is about."""
        return ": ".join(part for part in (say(self.section), self.about) if part)


@dataclass(frozen=True)
class Difference:
    """How two versions differ."""

    changes: tuple[Change, ...]
    fields: tuple[str, ...]
    """Paths in the files of all that differs, with or without words for it."""
    kinds_differ: bool
    """One is a draft, the other has keys: these are left aside."""

    @property
    def equal(self) -> bool:
        """Whether the two say the same, to the letter."""
        return not self.fields


def difference(old: Subject, new: Subject, lang: Lang) -> Difference:
    """Compare two versions, in the words of one language."""
    kinds_differ = (old.terms is None) != (new.terms is None)
    fields = tuple(_fields(_plain(old, keys=not kinds_differ), _plain(new, keys=not kinds_differ)))
    if not fields:
        return Difference((), (), kinds_differ)
    before, after = _clauses(old, lang), _clauses(new, lang)
    changes = []
    for section, key in dict.fromkeys([*before, *after]):
        group = GROUP_OF[section]
        if kinds_differ and (group, key.split(":")[0]) in {("who", "key"), ("who", "node"), ("who", "nodes")}:
            continue
        was, now = before.get((section, key)), after.get((section, key))
        said, says = None if was is None else was.text, None if now is None else now.text
        if said != says:
            about = next(clause.about for clause in (now, was) if clause is not None)
            changes.append(Change(group, key, said, says, effect(was, now), section, about))
    order = list(GROUPS)
    return Difference(tuple(sorted(changes, key=lambda c: order.index(c.group))), fields, kinds_differ)


def as_text(found: Difference, old: str, new: str, say: Words) -> Iterator[str]:
    """The comparison as lines; `old` and `new` are what the versions are called."""
    if found.kinds_differ:
        yield say("unequal_kinds")
    if found.equal:
        yield say("equal")
        return
    yield say("differ", old=plain(old), new=plain(new))
    count = len(found.changes)
    yield say("no_words") if not count else say("differ_one") if count == 1 else say(
        "differ_many", count=say.number(count),
    )
    for group in GROUPS:
        inside = [c for c in found.changes if c.group == group]
        if inside:
            yield from ("", say(f"group_{group}"))
        for change in inside:
            yield f"- {change.heading(say)}: {say(change.effect or 'weigh')}"
            yield f"  {say('was', text=change.was or say('nothing'))}"
            yield f"  {say('is', text=change.now or say('nothing'))}"
    if len(found.fields) <= MOST_ON_A_LINE:
        yield from ("", say("fields", fields=", ".join(found.fields)))
    else:
        yield from ("", say("many_fields"), *(f"- {field}" for field in found.fields))


def as_document(found: Difference) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "equal": found.equal, "must_sign_again": not found.equal, "keys_compared": not found.kinds_differ,
        "changes": [
            {"group": c.group, "key": c.key, "about": c.about or None, "was": c.was, "is": c.now,
             "protection": c.effect or "weigh"}
            for c in found.changes
        ],
        "fields": list(found.fields),
    }


def _clauses(subject: Subject, lang: Lang) -> dict[tuple[SectionId, str], Clause]:
    return {
        (section.id, clause.key): clause
        for section in sections_of(subject, lang) for clause in section.clauses if clause.binding
    }


def _plain(subject: Subject, *, keys: bool) -> dict[str, Any]:
    """What is signed, as plain data."""
    data: dict[str, Any] = subject.draft.model_dump(mode="json")
    data["plans"] = [plan.model_dump(mode="json") for plan in subject.plans]
    if keys and subject.terms is not None:
        data["keys"] = subject.terms.model_dump(mode="json", include={"parties", "nodes", "recipients", "requesters"})
    return data


def _fields(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Paths of all leaves that differ; rows that have a name are found by it."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _fields(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        return
    before, after = _rows(old), _rows(new)
    if before is None or after is None:
        yield path
        return
    for name in dict.fromkeys([*before, *after]):
        yield from _fields(before.get(name), after.get(name), f"{path}[{name}]")
    if list(before) != list(after) and set(before) == set(after):
        yield f"{path} (order)"


def _rows(value: Any) -> dict[str, Any] | None:
    """Rows by what they are called, or None if they have no names of their own."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        return None
    names = [str(next((row[k] for k in ("name", "id", "kpi", "number", "value") if k in row), "")) for row in value]
    return dict(zip(names, value, strict=True)) if len(set(names)) == len(names) else None
