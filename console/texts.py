"""Every text of the pages and of printed results, in both languages; `Text` does not exist without one of them."""

from collections.abc import Callable
from typing import Final

from console.locale import Lang
from policy.kpi import Text

TEXTS: Final[dict[str, Text]] = {
    "skip": Text(en="Skip to content", nl="Naar de inhoud"),
    "nav": Text(en="Main menu", nl="Hoofdmenu"),
    "language": Text(en="Language", nl="Taal"),
    "overview": Text(en="Overview", nl="Overzicht"),
    "runs": Text(en="Runs", nl="Runs"),
    "events": Text(en="Events", nl="Gebeurtenissen"),
    "updated": Text(en="Last updated {time}", nl="Laatst bijgewerkt {time}"),
    "lost": Text(
        en="No connection with Winnow; the figures may be out of date.",
        nl="Geen verbinding met Winnow; de cijfers kunnen verouderd zijn.",
    ),
    "footer": Text(
        en="Every figure was computed on secret shares and released under the agreement “{title}”.",
        nl="Ieder cijfer is op geheime delen berekend en vrijgegeven volgens de afspraak “{title}”.",
    ),
    # How the evaluation stands
    "status_running": Text(en="Running: figures appear as they are released", nl="Bezig: cijfers volgen vanzelf"),
    "status_released": Text(en="Ended", nl="Afgerond"),
    "status_suppressed": Text(
        en="Ended: nothing reached the minimum", nl="Afgerond: niets haalde het minimum",
    ),
    "status_refused": Text(en="Refused by the agreement", nl="Geweigerd volgens de afspraak"),
    "status_failed": Text(en="Stopped by an error", nl="Gestopt door een fout"),
    "status_unreachable": Text(
        en="Stopped: a node, the broker or the chain was lost",
        nl="Gestopt: een knooppunt, de broker of de keten viel weg",
    ),
    "status_integrity": Text(
        en="Stopped: an integrity check failed", nl="Gestopt: een integriteitscontrole faalde",
    ),
    "status_interrupted": Text(en="Interrupted", nl="Onderbroken"),
    # Overview
    "overview_lead": Text(
        en="The latest released window of each KPI, for all patients.",
        nl="Het laatste vrijgegeven venster van iedere KPI, voor alle patiënten.",
    ),
    "open_kpi": Text(en="Chart and table", nl="Grafiek en tabel"),
    "nothing_released": Text(en="Nothing released", nl="Niets vrijgegeven"),
    "window_of": Text(en="Window {period}", nl="Venster {period}"),
    "interval": Text(en="95% interval", nl="95%-interval"),
    "interval_from_to": Text(en="{low} to {high}", nl="{low} tot {high}"),
    "counts": Text(
        en="{released} of {all} windows released, {suppressed} suppressed",
        nl="{released} van {all} vensters vrijgegeven, {suppressed} onderdrukt",
    ),
    "refusals": Text(en="Refused", nl="Geweigerd"),
    "refusals_lead": Text(
        en="Rules of the agreement that stopped something, and the nodes that said so.",
        nl="Regels van de afspraak die iets tegenhielden, en de knooppunten die dat zeiden.",
    ),
    "rule": Text(en="Rule", nl="Regel"),
    "found": Text(en="Found", nl="Gevonden"),
    "required": Text(en="Required", nl="Vereist"),
    "nodes": Text(en="Nodes", nl="Knooppunten"),
    "times": Text(en="Times", nl="Keer"),
    "alerts": Text(en="Alerts", nl="Meldingen"),
    "alerts_lead": Text(
        en="Bounds that the nodes watch. They computed each state on secret shares and let out only that, no value.",
        nl="Grenzen die de knooppunten bewaken. Zij berekenden iedere stand op geheime delen en gaven alleen die vrij, "
           "geen waarde.",
    ),
    "alert": Text(en="Alert", nl="Melding"),
    "alert_about": Text(en="About", nl="Over"),
    "alert_bounds": Text(en="Bounds", nl="Grenzen"),
    "alert_above": Text(en="on at {raise_at} or more, off at {clear_at} or less ({unit})",
                        nl="aan bij {raise_at} of meer, uit bij {clear_at} of minder ({unit})"),
    "alert_below": Text(en="on at {raise_at} or less, off at {clear_at} or more ({unit})",
                        nl="aan bij {raise_at} of minder, uit bij {clear_at} of meer ({unit})"),
    "alert_raised": Text(en="Raised", nl="Aan"),
    "alert_clear": Text(en="Clear", nl="Uit"),
    "alert_no-data": Text(en="No data yet", nl="Nog geen gegevens"),
    "alert_since": Text(en="Since window", nl="Sinds venster"),
    "alert_always": Text(en="from the start", nl="vanaf het begin"),
    "alert_changes": Text(en="Changes", nl="Wisselingen"),
    # A reading of the latest value
    "ratio_lower": Text(en="Users’ rate was {size}% lower.", nl="Het tempo van gebruikers lag {size}% lager."),
    "ratio_higher": Text(en="Users’ rate was {size}% higher.", nl="Het tempo van gebruikers lag {size}% hoger."),
    "mean_lower": Text(
        en="Users’ mean was {size} per patient-month lower.",
        nl="Het gemiddelde van gebruikers lag {size} per patiëntmaand lager.",
    ),
    "mean_higher": Text(
        en="Users’ mean was {size} per patient-month higher.",
        nl="Het gemiddelde van gebruikers lag {size} per patiëntmaand hoger.",
    ),
    "points_lower": Text(
        en="Users changed by {size} points less per answer.",
        nl="Gebruikers veranderden per antwoord {size} punten minder.",
    ),
    "points_higher": Text(
        en="Users changed by {size} points more per answer.",
        nl="Gebruikers veranderden per antwoord {size} punten meer.",
    ),
    "share_reading": Text(
        en="Users had {value} of the time that users and not-yet-users had together.",
        nl="Gebruikers hadden {value} van de tijd die gebruikers en nog-niet-gebruikers samen hadden.",
    ),
    "completion_reading": Text(
        en="Users did {value} of what was due.", nl="Gebruikers deden {value} van wat gepland was.",
    ),
    "same": Text(en="Users and not-yet-users were equal.", nl="Gebruikers en nog-niet-gebruikers waren gelijk."),
    "excludes": Text(
        en="The interval lies wholly on one side of {reference}: a difference that chance alone hardly explains.",
        nl="Het interval ligt geheel aan één kant van {reference}: een verschil dat toeval alleen moeilijk verklaart.",
    ),
    "includes": Text(
        en="The interval includes {reference}: this window alone shows no clear difference.",
        nl="Het interval bevat {reference}: dit venster toont op zichzelf geen duidelijk verschil.",
    ),
    "noise_in-interval": Text(
        en="Noise was added for privacy; the interval allows for it.",
        nl="Er is ruis toegevoegd voor de privacy; het interval houdt daar rekening mee.",
    ),
    "noise_unsaid": Text(
        en="Noise was added for privacy; the figure does not say how much.",
        nl="Er is ruis toegevoegd voor de privacy; het cijfer zegt niet hoeveel.",
    ),
    "better_lower": Text(en="Lower is better", nl="Lager is beter"),
    "better_higher": Text(en="Higher is better", nl="Hoger is beter"),
    # KPI page
    "cell": Text(en="Patients", nl="Patiënten"),
    "all_patients": Text(en="All patients", nl="Alle patiënten"),
    "income": Text(en="Income quintile {category}", nl="Inkomenskwintiel {category}"),
    "income_lowest": Text(en="Income quintile {category} (lowest)", nl="Inkomenskwintiel {category} (laagste)"),
    "income_highest": Text(en="Income quintile {category} (highest)", nl="Inkomenskwintiel {category} (hoogste)"),
    "unit_ratio": Text(en="ratio", nl="verhouding"),
    "unit_points": Text(en="points per answer", nl="punten per antwoord"),
    "unit_percent": Text(en="percent", nl="procent"),
    "unit_euro": Text(en="euro per patient-month", nl="euro per patiëntmaand"),
    "chart": Text(en="Every window", nl="Alle vensters"),
    "chart_note": Text(
        en="Each point covers one window and stands at the window’s last day.",
        nl="Ieder punt beschrijft één venster en staat bij de laatste dag ervan.",
    ),
    "chart_aria": Text(
        en="Line chart of {title}, {cell}, {count} windows from {first} to {last}. {released} released, "
           "{suppressed} suppressed, {refused} refused, {pending} not there yet. Latest: {latest}. "
           "The table below holds every value.",
        nl="Lijngrafiek van {title}, {cell}, {count} vensters van {first} tot {last}. {released} vrijgegeven, "
           "{suppressed} onderdrukt, {refused} geweigerd, {pending} nog niet beschikbaar. Laatste: {latest}. "
           "De tabel hieronder bevat alle waarden.",
    ),
    "chart_failed": Text(
        en="The chart needs JavaScript; the table below holds every value.",
        nl="De grafiek heeft JavaScript nodig; de tabel hieronder bevat alle waarden.",
    ),
    "value": Text(en="Value", nl="Waarde"),
    "no_difference": Text(en="No difference ({reference})", nl="Geen verschil ({reference})"),
    "table": Text(en="The figures behind the chart", nl="De cijfers achter de grafiek"),
    "table_caption": Text(en="{title}: {cell}, {unit}, newest window first",
                          nl="{title}: {cell}, {unit}, nieuwste venster eerst"),
    "window": Text(en="Window", nl="Venster"),
    "low": Text(en="Low", nl="Onder"),
    "high": Text(en="High", nl="Boven"),
    "state": Text(en="Status", nl="Status"),
    "provisional": Text(en="provisional", nl="voorlopig"),
    "full": Text(en="full", nl="volledig"),
    "edition_withheld": Text(en="the full edition is withheld", nl="de volledige uitgave wordt niet vrijgegeven"),
    "released": Text(en="Released", nl="Vrijgegeven"),
    "suppressed": Text(en="Suppressed", nl="Onderdrukt"),
    "refused": Text(en="Refused", nl="Geweigerd"),
    "pending": Text(en="Not yet", nl="Nog niet"),
    "gap_suppressed": Text(en="Suppressed: too few patients", nl="Onderdrukt: te weinig patiënten"),
    "gap_refused": Text(en="Refused: {rule}", nl="Geweigerd: {rule}"),
    "gap_pending": Text(en="Not released yet", nl="Nog niet vrijgegeven"),
    "download": Text(en="Download all cells", nl="Alle cellen downloaden"),
    "about": Text(en="About this figure", nl="Over dit cijfer"),
    "about_released": Text(en="What “released” means", nl="Wat “vrijgegeven” betekent"),
    "about_released_text": Text(
        en="Three nodes computed the figure together on secret shares of the records; no single node saw a record or "
           "the result. Each checked the agreement before, during and after the computation. Only then did their "
           "shares of the result go to the recipient, where they were put together. This protects as long as the "
           "nodes follow the protocol, no two of them work together, and each is run by another organisation; in a "
           "demonstration one machine runs all three.",
        nl="Drie knooppunten berekenden het cijfer samen op geheime delen van de gegevens; geen enkel knooppunt zag "
           "een gegeven of de uitkomst. Ieder toetste de afspraak vóór, tijdens en na de berekening. Pas daarna gingen "
           "hun delen van de uitkomst naar de ontvanger, waar ze zijn samengevoegd. Dit beschermt zolang de "
           "knooppunten het protocol volgen, geen twee ervan samenspannen en ieder bij een andere organisatie "
           "draait; in een demonstratie draaien ze alle drie op één machine.",
    ),
    "about_gaps": Text(en="What a gap means", nl="Wat een gat betekent"),
    "about_gaps_text": Text(
        en="Suppressed: somewhere in the window fewer than {minimum} patients would stand behind the figure, or "
           "behind its difference from another release. Refused: a rule of the agreement forbade the run. Not yet: "
           "the window is not released so far. A gap is never filled in by estimation, and is not a zero.",
        nl="Onderdrukt: ergens in het venster zouden minder dan {minimum} patiënten achter het cijfer staan, of achter "
           "het verschil met een andere vrijgave. Geweigerd: een regel van de afspraak verbood de run. Nog niet: "
           "het venster is tot nu toe niet vrijgegeven. Een gat wordt nooit geschat en is geen nul.",
    ),
    "about_interval": Text(en="How to read the interval", nl="Hoe u het interval leest"),
    "about_interval_text": Text(
        en="The band is an ordinary 95% interval for each window on its own. Neighbouring windows share patients and "
           "days. Who keeps looking at many windows will sooner or later see a difference by chance alone.",
        nl="De band is een gewoon 95%-interval voor ieder venster afzonderlijk. Vensters naast elkaar delen patiënten "
           "en dagen. Wie naar veel vensters blijft kijken, ziet vroeg of laat een verschil dat louter toeval is.",
    ),
    "about_access": Text(en="Who may see it", nl="Wie het mag zien"),
    "about_access_text": Text(
        en="Under the agreement, only: {recipients}.", nl="Volgens de afspraak alleen: {recipients}.",
    ),
    "nobody": Text(en="nobody", nl="niemand"),
    # Runs
    "runs_lead": Text(
        en="Each run was authorised on the chain before it started.",
        nl="Iedere run is vooraf op de keten goedgekeurd.",
    ),
    "run": Text(en="Run", nl="Run"),
    "schedule": Text(en="Schedule", nl="Rooster"),
    "schedule_lead": Text(
        en="Every window that the agreement provides for. A status is shown when two of the three nodes say so.",
        nl="Ieder venster van de afspraak. Een status staat er zodra twee van de drie knooppunten die melden.",
    ),
    "schedule_ran": Text(en="Ran", nl="Gedraaid"),
    "schedule_ran_late": Text(en="Ran late", nl="Laat gedraaid"),
    "schedule_due": Text(en="Due", nl="Aan de beurt"),
    "schedule_waiting": Text(en="Waits for its data", nl="Wacht op zijn gegevens"),
    "schedule_missed": Text(en="Missed so far", nl="Tot nu toe gemist"),
    "schedule_skipped": Text(en="Skipped", nl="Overgeslagen"),
    "schedule_refused": Text(en="Refused", nl="Geweigerd"),
    "expected": Text(en="Expected from", nl="Verwacht vanaf"),
    "ended": Text(en="Ended", nl="Afgerond"),
    "why": Text(en="Why", nl="Waarom"),
    "node_says": Text(en="node {node}:", nl="knooppunt {node}:"),
    "asked": Text(en="Asked for", nl="Op verzoek"),
    "asked_lead": Text(
        en="Windows that are not scheduled, computed because somebody who may ask did.",
        nl="Vensters buiten het rooster, berekend omdat iemand die dat mag erom vroeg.",
    ),
    "windows": Text(en="Windows", nl="Vensters"),
    "outcome": Text(en="Outcome", nl="Uitkomst"),
    "total": Text(en="Total", nl="Totaal"),
    "linkage": Text(en="linkage, no window", nl="koppeling, geen venster"),
    "linkage_batch": Text(
        en="linkage, new patients of batch {batch}, no window",
        nl="koppeling, nieuwe patiënten van aanvulling {batch}, geen venster",
    ),
    "linkage_anew": Text(
        en="linkage, {batches} batches linked anew, no window",
        nl="koppeling, {batches} aanvullingen opnieuw gekoppeld, geen venster",
    ),
    "window_count": Text(en="{first} – {last} ({count})", nl="{first} – {last} ({count})"),
    "no_runs": Text(en="No run yet.", nl="Nog geen run."),
    # Events
    "events_lead": Text(
        en="What each party read from its own files. Accepted and rejected together are everything that was read.",
        nl="Wat iedere partij uit haar eigen bestanden las. Aanvaard en afgewezen zijn samen alles wat is gelezen.",
    ),
    "party": Text(en="Party", nl="Partij"),
    "read": Text(en="Read", nl="Gelezen"),
    "accepted": Text(en="Accepted", nl="Aanvaard"),
    "rejected": Text(en="Rejected", nl="Afgewezen"),
    "late": Text(en="Of which late", nl="Waarvan te laat"),
    "late_after_maturity": Text(en="Of which after the last maturity", nl="Waarvan na de laatste rijping"),
    "late_note": Text(
        en="Late events are stored and counted, but came after their period was sealed. Where the agreement has "
           "maturities they are shared later; what comes after the last of them is in no result.",
        nl="Late gebeurtenissen zijn bewaard en geteld, maar kwamen nadat hun periode was afgesloten. Waar de afspraak "
           "rijpingen heeft, worden ze later gedeeld; wat na de laatste daarvan komt, staat in geen resultaat.",
    ),
    "rejections": Text(en="Rejected, by reason", nl="Afgewezen, naar reden"),
    "reason": Text(en="Reason", nl="Reden"),
    "number": Text(en="Events", nl="Gebeurtenissen"),
    "no_events": Text(en="No party has reported yet.", nl="Nog geen partij heeft iets gemeld."),
    "no_rejections": Text(en="Nothing was rejected.", nl="Niets is afgewezen."),
    # Errors
    "error_404": Text(en="This page does not exist", nl="Deze pagina bestaat niet"),
    "error_other": Text(en="This did not work", nl="Dit lukte niet"),
    "error_lead": Text(en="Go back to the overview to see what there is.", nl="In het overzicht staat wat er wel is."),
}


def translator(lang: Lang) -> Callable[..., str]:
    """A function from a key (and the values for its braces) to the text."""

    def translate(key: str, **values: object) -> str:
        return TEXTS[key].of(lang).format(**values)

    return translate
