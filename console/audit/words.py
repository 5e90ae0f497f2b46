"""What an audit says, in both languages."""

from typing import Final

from console.locale import Lang
from policy.kpi import Text

FINDINGS: Final[dict[str, Text]] = {
    "evidence-chain": Text(
        en="an entry was changed, moved, cut out or added: from there on the file proves nothing",
        nl="een aantekening is gewijzigd, verplaatst, weggehaald of toegevoegd: vanaf daar bewijst het bestand niets",
    ),
    "evidence-missing": Text(
        en="an entry that must be there is missing", nl="een aantekening die er moet zijn, ontbreekt",
    ),
    "same-evidence": Text(
        en="the nodes say different things of one run", nl="de knooppunten zeggen over één run verschillende dingen",
    ),
    "entry-terms": Text(
        en="the entry says something that the agreement does not provide for",
        nl="de aantekening zegt iets waarin de afspraak niet voorziet",
    ),
    "entry-permitted": Text(
        en="the run ended, although the entry does not say that every rule permitted it",
        nl="de run is afgerond, hoewel de aantekening niet zegt dat iedere regel hem toestond",
    ),
    "attestation-value": Text(
        en="what was attested is not what the entry says was computed and sealed",
        nl="wat is bevestigd, is niet wat volgens de aantekening is berekend en verzegeld",
    ),
    "authorisation": Text(
        en="the chain has not authorised the run as the entry says",
        nl="de keten heeft de run niet goedgekeurd zoals de aantekening zegt",
    ),
    "attestation": Text(
        en="the node's attestation on the chain is another one, or is not there (yet)",
        nl="de bevestiging van het knooppunt op de keten is een andere, of staat er (nog) niet",
    ),
    "root": Text(
        en="the root over all sealed results is another one, or is not on the chain (yet)",
        nl="de wortel over alle verzegelde uitkomsten is een andere, of staat (nog) niet op de keten",
    ),
    "version": Text(
        en="another version of the agreement was in force", nl="er gold een andere versie van de afspraak",
    ),
    "verdict": Text(
        en="a rule, asked again with what the chain says of that block, gives another verdict",
        nl="een regel geeft, opnieuw gevraagd met wat de keten over dat blok zegt, een ander oordeel",
    ),
    "phase": Text(
        en="a phase was entered when the agreement was not in force",
        nl="een fase begon terwijl de afspraak niet gold",
    ),
    "account": Text(
        en="block, state, version, quota or budget were not what the entry says",
        nl="blok, stand, versie, quota of budget waren niet wat de aantekening zegt",
    ),
}
INTERRUPTIONS: Final[dict[str, Text]] = {
    "CancelledError": Text(
        en="it took too long, or the node was ended", nl="het duurde te lang, of het knooppunt werd beëindigd",
    ),
    "PeerLost": Text(en="another node was lost", nl="een ander knooppunt viel weg"),
    "PeerTimeout": Text(en="another node was silent for too long", nl="een ander knooppunt zweeg te lang"),
    "IntegrityError": Text(en="an integrity check failed", nl="een integriteitscontrole faalde"),
    "ProtocolError": Text(
        en="another node left the protocol", nl="een ander knooppunt hield zich niet aan het protocol",
    ),
    "Dropped": Text(
        en="not all three nodes had kept the outcome", nl="niet alle drie knooppunten hadden de uitkomst bewaard",
    ),
}
"""Kinds of errors that cut runs off; any other is shown by its name."""
TEXTS: Final[dict[str, Text]] = {
    "title": Text(en="Evidence of “{title}”", nl="Bewijs van “{title}”"),
    "agreement": Text(
        en="Terms {terms}, on the chain {id}", nl="Afspraak {terms}, op de keten {id}",
    ),
    "file": Text(
        en="Node {node} ({organisation}): {entries} entries, the last one {head}",
        nl="Knooppunt {node} ({organisation}): {entries} aantekeningen, de laatste {head}",
    ),
    "unfinished": Text(
        en="The last line has no end: the node died while it wrote it, or is writing. It stands for nothing yet.",
        nl="De laatste aantekening heeft geen einde: het knooppunt viel weg tijdens het schrijven, of schrijft "
           "nog. Ze telt nog niet.",
    ),
    "nothing": Text(en="No entry of this run or period.", nl="Geen aantekening over deze run of periode."),
    "run": Text(en="Run {run}", nl="Run {run}"),
    "linked": Text(en="Linkage {run}", nl="Koppeling {run}"),
    "refused": Text(en="Refused: {rule}", nl="Geweigerd: {rule}"),
    "aborted": Text(en="Cut off: {reason}", nl="Afgebroken: {reason}"),
    "answered": Text(
        en="Request {request} answered from what had ended", nl="Verzoek {request} beantwoord uit wat er al was",
    ),
    "asked": Text(en="Asked by", nl="Gevraagd door"),
    "schedule": Text(en="the schedule", nl="het rooster"),
    "request": Text(
        en="{requester}, request {request} ({outcome})", nl="{requester}, verzoek {request} ({outcome})",
    ),
    "asked_run": Text(en="ran", nl="berekend"),
    "asked_joined": Text(en="joined this run", nl="liep mee met deze run"),
    "asked_released": Text(en="released before", nl="eerder vrijgegeven"),
    "windows": Text(en="Windows", nl="Vensters"),
    "all_left": Text(en="all that are left", nl="alle die er nog zijn"),
    "kpis": Text(en="KPIs", nl="KPI’s"),
    "opened": Text(en="Came out", nl="Vrijgegeven"),
    "cells": Text(en="{kpi}: {released} of {all} cells", nl="{kpi}: {released} van {all} cellen"),
    "withheld": Text(en="withheld: {cells} ({rule})", nl="niet vrijgegeven: {cells} ({rule})"),
    "no_cells": Text(en="nothing; patients of the registers were linked", nl="niets; patiënten zijn gekoppeld"),
    "alerts": Text(en="States of alerts", nl="Standen van meldingen"),
    "alert": Text(en="{alert} for {recipient}", nl="{alert} voor {recipient}"),
    "all_patients": Text(en="all patients", nl="alle patiënten"),
    "node": Text(en="Node {node}", nl="Knooppunt {node}"),
    "at": Text(en="at {at} UTC, entry {number}, {hash}", nl="om {at} UTC, aantekening {number}, {hash}"),
    "permitted": Text(
        en="permitted under version {version} at block {block} ({hash})",
        nl="toegestaan volgens versie {version} bij blok {block} ({hash})",
    ),
    "judged": Text(
        en="judged under version {version} at block {block} ({hash})",
        nl="beoordeeld volgens versie {version} bij blok {block} ({hash})",
    ),
    "passes": Text(en="pass: {rules}", nl="akkoord: {rules}"),
    "refuses": Text(
        en="refuses: {rule}, found {found}, required {required}",
        nl="weigert: {rule}, gevonden {found}, vereist {required}",
    ),
    "data_dependent": Text(en="(depends on the data)", nl="(hangt van de gegevens af)"),
    "phases": Text(en="phases at blocks: {phases}", nl="fasen bij blokken: {phases}"),
    "quota": Text(
        en="quota {before} of {most} runs before, {after} after (block {block})",
        nl="quota {before} van {most} runs ervoor, {after} erna (blok {block})",
    ),
    "requester_quota": Text(
        en="of the requester {before} before, {after} after", nl="van de aanvrager {before} ervoor, {after} erna",
    ),
    "budget": Text(
        en="privacy budget {before} of {most} before, {after} after",
        nl="privacybudget {before} van {most} ervoor, {after} erna",
    ),
    "sealed": Text(en="sealed for {recipient}: {hash}", nl="verzegeld voor {recipient}: {hash}"),
    "attested": Text(
        en="attested {value}, root {root}, sequence {sequence}",
        nl="bevestigd {value}, wortel {root}, volgnummer {sequence}",
    ),
    "phase": Text(en="in phase {phase}", nl="in fase {phase}"),
    "may_be_open": Text(
        en="something of it may have been opened before", nl="er kan daarvoor iets van zijn geopend",
    ),
    "not_open": Text(en="nothing of it was opened", nl="er is niets van geopend"),
    "next": Text(en="Next: {step}", nl="Hierna: {step}"),
    "verified": Text(
        en="Verified: {checked}. Nothing differs.", nl="Gecontroleerd: {checked}. Niets wijkt af.",
    ),
    "looked_at": Text(en="Looked at: {checked}.", nl="Bekeken: {checked}."),
    "differs": Text(en="NOT as it must be, {count} in all:", nl="NIET zoals het moet zijn, {count} in totaal:"),
    "files_checked": Text(
        en="the chain of hashes and the signatures of {entries} entries of node {nodes}, and the terms",
        nl="de keten van hashes en de handtekeningen van {entries} aantekeningen van knooppunt {nodes}, en de afspraak",
    ),
    "chain_checked": Text(
        en="{runs} runs on the chain at block {block}", nl="{runs} runs op de keten bij blok {block}",
    ),
    "chain_failed": Text(en="not beside the chain ({reason})", nl="niet naast de keten ({reason})"),
    "forgotten": Text(
        en="Where the endpoint has forgotten a block that the evidence names: give an archive node’s, or --offline.",
        nl="Is het eindpunt een blok vergeten dat het bewijs noemt: neem dat van een archiefknoop, of --offline.",
    ),
    "not_on_chain": Text(en="not beside the chain", nl="niet naast de keten"),
    "finding": Text(en="found {found}; expected {expected}", nl="gevonden {found}; verwacht {expected}"),
}


def say(lang: Lang, key: str, **values: object) -> str:
    """A text with its values."""
    return TEXTS[key].of(lang).format(**values)
