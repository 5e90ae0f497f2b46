"""What the codes of rules, rejections and outcomes mean, in plain words of both languages.

A code that is not listed is shown as it is: a page must not fail on a word that a later node says.
"""

from collections.abc import Mapping
from typing import Final

from policy.kpi import Text

RULES: Final[dict[str, Text]] = {
    "minimum-cohort": Text(
        en="too few patients: some period that this window consists of, alone or with an earlier release, "
           "would describe fewer patients than agreed",
        nl="te weinig patiënten: een periode waaruit dit venster bestaat zou, alleen of met een eerdere "
           "vrijgave, minder patiënten beschrijven dan is afgesproken",
    ),
    "disclosure": Text(
        en="too few patients, or one or two of them make up too much: some period that this window consists of, alone "
           "or with an earlier release, would tell more about them than agreed",
        nl="te weinig patiënten, of één of twee van hen maken er te veel van uit: een periode waaruit dit venster "
           "bestaat zou, alleen of met een eerdere vrijgave, meer over hen zeggen dan is afgesproken",
    ),
    "agreement-active": Text(
        en="the agreement is not in force: not signed by every party, suspended, or ended",
        nl="de afspraak geldt niet: niet door iedere partij ondertekend, opgeschort, of beëindigd",
    ),
    "terms-agreed": Text(
        en="a node's copy of the agreement is not the one that was signed",
        nl="de afspraak zoals een knooppunt die heeft is niet de ondertekende",
    ),
    "within-validity": Text(
        en="today lies outside the agreement's period of validity",
        nl="vandaag valt buiten de geldigheid van de afspraak",
    ),
    "plan-permitted": Text(
        en="the agreement does not permit this computation", nl="de afspraak staat deze berekening niet toe",
    ),
    "window-on-lattice": Text(
        en="this window is not one that the agreement provides for", nl="dit venster komt in de afspraak niet voor",
    ),
    "requester-known": Text(
        en="the agreement does not name this requester", nl="de afspraak noemt deze aanvrager niet",
    ),
    "request-agreement": Text(
        en="the request was made under another agreement", nl="het verzoek hoort bij een andere afspraak",
    ),
    "request-signed": Text(
        en="the requester's own key did not sign the request",
        nl="het verzoek is niet met de eigen sleutel van de aanvrager ondertekend",
    ),
    "request-fresh": Text(
        en="the request is a copy of an earlier one", nl="het verzoek is een kopie van een eerder verzoek",
    ),
    "kpis-permitted": Text(
        en="the requester's recipient may not read this KPI",
        nl="de ontvanger van de aanvrager mag deze KPI niet lezen",
    ),
    "window-sealed": Text(
        en="the data of this window are not complete yet", nl="de gegevens van dit venster zijn nog niet compleet",
    ),
    "requester-quota": Text(
        en="the requester's agreed number of new runs is used up",
        nl="het afgesproken aantal nieuwe berekeningen van de aanvrager is op",
    ),
    "revision-quota": Text(
        en="the agreed number of runs that make full editions is used up; provisional ones stay",
        nl="het afgesproken aantal runs voor volledige uitgaven is op; de voorlopige blijven",
    ),
    "erased-panes": Text(
        en="rows of patients who withdrew were erased in the window's period, so nothing new is made of it",
        nl="in de periode van dit venster zijn rijen gewist van patiënten die zich terugtrokken; er wordt niets nieuws "
           "van gemaakt",
    ),
    "same-evidence": Text(
        en="the nodes noted different runs: one node's evidence was changed",
        nl="de knooppunten noteerden verschillende runs: het bewijs van één ervan is gewijzigd",
    ),
    "quota": Text(en="the agreed number of runs is used up", nl="het afgesproken aantal runs is op"),
}

REASONS: Final[dict[str, Text]] = {
    "broken-json": Text(en="not readable as JSON", nl="niet leesbaar als JSON"),
    "not-text": Text(en="not readable as text (UTF-8)", nl="niet leesbaar als tekst (UTF-8)"),
    "wrong-type": Text(en="a field holds the wrong kind of value", nl="een veld bevat het verkeerde soort waarde"),
    "missing-field": Text(en="a required field is missing", nl="een verplicht veld ontbreekt"),
    "unknown-code": Text(en="a code that the agreement does not know", nl="een code die de afspraak niet kent"),
    "negative-amount": Text(en="a negative amount", nl="een negatief bedrag"),
    "amount-too-large": Text(en="an amount above the agreed bound", nl="een bedrag boven de afgesproken grens"),
    "outside-agreement": Text(
        en="a date outside the agreement's period", nl="een datum buiten de periode van de afspraak",
    ),
    "in-the-future": Text(
        en="happened more than a day after it was recorded", nl="gebeurde meer dan een dag na de vastlegging",
    ),
    "duplicate-id": Text(en="the same id was read before", nl="hetzelfde id is al gelezen"),
    "too-large": Text(en="a line larger than 1 MiB", nl="een regel groter dan 1 MiB"),
    "unknown-reference": Text(
        en="refers to a record that was never read", nl="verwijst naar een regel die nooit is gelezen",
    ),
    "already-cancelled": Text(
        en="cancels a record that is cancelled already", nl="annuleert een regel die al is geannuleerd",
    ),
    "credit-mismatch": Text(
        en="a credit line that differs from what it cancels", nl="een creditregel die afwijkt van wat ze annuleert",
    ),
    "unknown-person": Text(
        en="about a person outside the register", nl="over een persoon buiten het register",
    ),
    "too-old": Text(
        en="about something older than the agreed horizon", nl="over iets van voor de afgesproken terugkijkperiode",
    ),
}

OUTCOMES: Final[dict[str, Text]] = {
    "linked": Text(en="linked", nl="gekoppeld"),
    "released": Text(en="released", nl="vrijgegeven"),
    "suppressed": Text(en="suppressed", nl="onderdrukt"),
    "refused": Text(en="refused", nl="geweigerd"),
    "failed": Text(en="failed", nl="mislukt"),
    "running": Text(en="running", nl="bezig"),
}


def plain(table: Mapping[str, Text], code: str, lang: str = "en") -> str:
    """The words for `code`, or the code itself."""
    text = table.get(code)
    if text is None:
        return code
    return text.of(lang)


def described(table: Mapping[str, Text], code: str, lang: str = "en") -> str:
    """The code with its words behind it, for those who search by code."""
    words = plain(table, code, lang)
    return code if words == code else f"{code}: {words}"
