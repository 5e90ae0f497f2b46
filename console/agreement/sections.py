"""The sections of a summary, in the order in which they are read."""

from collections.abc import Callable
from typing import Final

from console.agreement.clause import Section
from console.agreement.content import alerts, asking, computed, readers, why
from console.agreement.parties import keys, shared, who
from console.agreement.protection import assumed, never, nodes, withdrawal
from console.agreement.subject import Subject
from console.agreement.timing import ends, late, patients, periods
from console.agreement.words import Words
from console.locale import Lang

SECTIONS: Final[tuple[Callable[[Subject, Words], Section], ...]] = (
    who, shared, why, computed, periods, readers, asking, never, nodes, alerts, late, patients, withdrawal, ends,
    assumed, keys,
)


def sections_of(subject: Subject, lang: Lang) -> tuple[Section, ...]:
    """All that the agreement says; sections with nothing in them are left out."""
    say = Words(lang, subject.draft.panes.unit)
    return tuple(found for section in SECTIONS if (found := section(subject, say)).clauses)
