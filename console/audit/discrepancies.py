"""What was found and what was expected where evidence does not hold, in both languages.

Digits, names and codes that stand in evidence are the same in both: a string stands for them.
"""

from typing import Final

from console.locale import Lang
from evaluation.journal import FAULTS, Broken
from policy.kpi import Text

Said = str | Text
SAID: Final[dict[str, Text]] = {
    "no_entry": Text(en="no entry {hash}", nl="geen aantekening {hash}"),
    "last_entry": Text(
        en="the entry that {ledger} names as the last one", nl="de aantekening die volgens {ledger} de laatste is",
    ),
    "line": Text(en="in {file}, line {line}: {found}", nl="in {file}, op regel {line}: {found}"),
    "plan": Text(en="plan {hash}", nl="berekening {hash}"),
    "plans": Text(en="plans of agreement {hash}", nl="berekeningen van afspraak {hash}"),
    "kpis": Text(en="KPIs {kpis}", nl="KPI’s {kpis}"),
    "windows": Text(en="windows {windows}", nl="vensters {windows}"),
    "windows_agreed": Text(en="windows of the agreement", nl="vensters van de afspraak"),
    "other_cells": Text(en="outcomes of other cells", nl="uitkomsten van andere cellen"),
    "each_cell": Text(en="one for each cell of the agreement", nl="één voor iedere cel van de afspraak"),
    "sealed_for": Text(en="sealed for {names}", nl="verzegeld voor {names}"),
    "recipients": Text(en="recipients: {names}", nl="ontvangers: {names}"),
    "requester": Text(en="requester {name}", nl="aanvrager {name}"),
    "one_of": Text(en="one of {names}", nl="één van {names}"),
    "agreement": Text(en="agreement {hash}", nl="afspraak {hash}"),
    "refused_by": Text(en="refused by {rules}", nl="geweigerd door {rules}"),
    "not_permitted": Text(en="a run that nobody permitted", nl="een run die niemand toestond"),
    "all_permit": Text(en="a run that every rule permitted", nl="een run die iedere regel toestond"),
    "not_asked": Text(
        en="rules for requests that were not asked", nl="regels voor verzoeken waar niet naar is gevraagd",
    ),
    "as_sealed": Text(
        en="{value}, over what the entry says was sealed", nl="{value}, over wat volgens de aantekening is verzegeld",
    ),
    "as_run": Text(en="as run {place}: {found}", nl="als run {place}: {found}"),
    "node_says": Text(en="node {node} {said}", nl="knooppunt {node} {said}"),
    "no_such_run": Text(en="has no such run", nl="heeft zo’n run niet"),
    "has_run": Text(en="has a run", nl="heeft een run"),
    "same": Text(en="the same at all nodes", nl="hetzelfde bij alle knooppunten"),
    "root_of_all": Text(
        en="{root}, over the results that the three nodes sealed",
        nl="{root}, over de uitkomsten die de drie knooppunten hebben verzegeld",
    ),
    "block": Text(en="block {block}", nl="blok {block}"),
    "newest": Text(en="at most {block}, the newest one", nl="hoogstens {block}, het nieuwste"),
    "stage": Text(en="a run that is {stage} on the chain", nl="een run die op de keten de stand {stage} heeft"),
    "stage_needed": Text(en="one that was authorised, attested", nl="een die is goedgekeurd en bevestigd"),
    "sequence": Text(en="sequence {sequence}", nl="volgnummer {sequence}"),
    "asked_by": Text(en="asked by {name}", nl="gevraagd door {name}"),
    "asked_by_nobody": Text(en="asked by nobody", nl="door niemand gevraagd"),
    "none": Text(en="none", nl="geen"),
    "on_chain": Text(en="{root}, on the chain", nl="{root}, op de keten"),
    "event_says": Text(
        en="{version}, as the attestation's event says", nl="{version}, zoals bij de bevestiging op de keten staat",
    ),
    "no_reservation": Text(
        en="no reservation of privacy for KPI {kpi}", nl="geen gereserveerde privacy voor KPI {kpi}",
    ),
    "reservation": Text(en="one of {price} millionths of ρ", nl="{price} miljoensten van ρ"),
    "phase_entered": Text(
        en="phase {phase} entered at block {block}", nl="fase {phase}, begonnen bij blok {block}",
    ),
    "active": Text(
        en="an agreement that was active there; it was {state}",
        nl="een afspraak die daar gold (active); de stand was {state}",
    ),
    "before": Text(en="before: {fields}", nl="ervoor: {fields}"),
    "after": Text(en="after: {fields}", nl="erna: {fields}"),
    "at_block": Text(en="{fields} at block {block}", nl="{fields} bij blok {block}"),
    "no_run": Text(en="no entry of this run", nl="geen aantekening over deze run"),
    "attested_run": Text(
        en="one, since node {node} attested it at block {block}",
        nl="één, want knooppunt {node} heeft hem bij blok {block} bevestigd",
    ),
    "no_verdict": Text(en="no verdict of {rule}", nl="geen oordeel van {rule}"),
    "passes": Text(en="{rule} passes", nl="{rule} is akkoord"),
    "refuses": Text(
        en="{rule} refuses: found {found}, required {required}",
        nl="{rule} weigert: gevonden {found}, vereist {required}",
    ),
}
BROKEN: Final[dict[str, tuple[str, str]]] = {
    "no-entry": ("iets dat geen aantekening is ({reason})", "een aantekening van het bewijs van een knooppunt"),
    "agreement": ("een aantekening over afspraak {found}, op de keten {found_id}", "{expected} en {expected_id}"),
    "node": ("knooppunt {found}", "{expected}"), "number": ("nummer {found}", "{expected}"),
    "previous": ("hash van de vorige aantekening {found}", "{expected}"),
    "changed": (
        "een aantekening die is gewijzigd", "een die knooppunt {node} heeft ondertekend, in canonieke JSON",
    ),
    "same": ("kop {found} van wat de knooppunten gemeen hebben", "{expected}"),
    "too-long": ("meer dan {most} bytes", "een aantekening"),
}
"""Kind of fault of evaluation.journal → what was found and expected, in Dutch."""


def said(key: str, **values: object) -> Text:
    """A text of `SAID` with its values, which are the same in both languages or texts themselves."""
    return Text(**{lang: getattr(SAID[key], lang).format(**_in(lang, values)) for lang in ("en", "nl")})


def digits(found: str | None) -> Said:
    """The first ones of a hash, as many as tell it from others; or that there is none."""
    return said("none") if found is None else found[:16]


def joined(parts: list[Text]) -> Text:
    """Several texts, with "; " between."""
    return Text(en="; ".join(part.en for part in parts), nl="; ".join(part.nl for part in parts))


def of_broken(error: Broken) -> tuple[Text, Text]:
    """What a file's reader found and expected, without the place."""
    found, expected = (
        Text(en=en.format(**error.values), nl=nl.format(**error.values))
        for en, nl in zip(FAULTS[error.kind], BROKEN[error.kind], strict=True)
    )
    return found, expected


def _in(lang: Lang, values: dict[str, object]) -> dict[str, object]:
    return {name: value.of(lang) if isinstance(value, Text) else value for name, value in values.items()}
