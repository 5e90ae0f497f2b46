"""What drafting asks and writes, in Dutch. console.agreement.drafting.english has the keys."""

from typing import Final

DUTCH: Final[dict[str, str]] = {
    # Time
    "day": "dagen", "week": "weken", "month": "maanden", "year": "jaar",
    # Around the questions
    "welcome": "Een afspraak om te schrijven: {file}. Enter neemt het antwoord tussen haakjes. Ctrl-C stopt; wat u tot "
               "dan toe antwoordde staat in {answers}, en dezelfde opdracht gaat daarmee verder.",
    "goes_on": "Gaat verder met de antwoorden in {answers}.",
    "about": "Waar het over gaat", "who": "Wie meedoet", "when": "Wanneer",
    "protected": "Hoe patiënten worden beschermd", "readers": "Wie leest en wie vraagt", "purpose": "Waar het voor is",
    "kept": "Hoe lang gegevens worden bewaard", "long": "Hoe lang het geldt",
    "found": "Gevonden: {found}", "expected": "Verwacht: {expected}", "next": "Wat te doen: {next}", "empty": "niets",
    # Refusals
    "line_expected": "woorden op één regel, hoogstens {most} tekens", "line_next": "typ een regel tekst",
    "name_expected": "kleine letters, cijfers en streepjes, hoogstens 40, met een letter voorop als het een naam is",
    "name_next": "typ het zo, bijvoorbeeld {example}",
    "taken_expected": "een andere naam dan {taken}", "taken_next": "kies een andere naam",
    "reserved_expected": "een naam die geen onderdeel van het systeem heeft",
    "long_expected": "een naam die samen met die van het kenmerk hoogstens 40 tekens heeft",
    "whole_expected": "een geheel getal van {low} tot en met {high}",
    "whole_or_none": "een geheel getal van {low} tot en met {high}, of geen", "whole_next": "typ zo'n getal in cijfers",
    "day_expected": "een datum van {low} tot en met {high}, het jaar eerst", "day_next": "typ het zoals 2026-09-01",
    "first_expected": "de eerste dag van een maand, want de tijd is verdeeld in maanden of jaren",
    "first_next": "neem {first}",
    "zone_expected": "een tijdzone van de IANA-database", "zone_next": "typ er een, zoals Europe/Amsterdam",
    "choice_expected": "een van {options}", "choice_next": "typ de naam, of het nummer in de lijst",
    "names_expected": "een of meer namen, hoogstens {most}, elk één keer", "names_next": "typ ze met komma's ertussen",
    "term_expected": "een term van de Data Privacy Vocabulary, of het nummer in de lijst",
    "terms_expected": "een of meer termen, elk één keer", "term_next": "typ een term met voorvoegsel, zoals {example}",
    "capped_expected": "niet zowel {one} als {other}: het verschil zou alleen gaan over wie boven het maximum zit",
    "capped_next": "laat er een weg, of maak twee afspraken",
    "panes_expected": "een tijd die op de kalender staat: {reason}", "panes_next": "neem er minder",
    "entry_expected": "een aantal waarmee minstens één keer en minder dan {most} keer iemand toetreedt; of geen",
    "entry_next": "neem een kleiner getal, een groter getal, of geen",
    # Questions, each with what it means or protects
    "ask_name": "Een korte naam voor de afspraak",
    "why_name": "Mappen, onderwerpen en logboeken heten ernaar. De naam zegt niets over een patiënt.",
    "ask_title_en": "De titel, in het Engels", "why_title_en": "Voor wie in het Engels leest en tekent.",
    "ask_title_nl": "De titel, in het Nederlands", "why_title_nl": "Voor wie leest en tekent.",
    "ask_kpis": "Welke KPI's worden berekend? Namen of nummers",
    "why_kpis": "Iets anders kan niet worden berekend. Voor minder KPI's zijn minder getallen van een patiënt nodig.",
    "ask_innovation": "Wat wordt vergeleken: de code van de innovatie in inschrijvingen",
    "why_innovation": "Gebruikers van de innovatie tegenover patiënten die haar nog niet gebruiken. De zorgaanbieder "
                      "weet wie.",
    "ask_care": "De code van de zorg waar al deze patiënten in zitten",
    "why_care": "Alleen patiënten in dezelfde zorg worden vergeleken; gegevens van anderen zijn niet nodig.",
    "ask_module": "Welke monitoringmodule telt? De code, of any voor alle",
    "why_module": "Aantallen van andere modules blijven dan bij de zorgaanbieder.",
    "ask_questionnaire": "Welke vragenlijst wordt vergeleken? De code",
    "why_questionnaire": "Scores van andere vragenlijsten blijven bij de zorgaanbieder.",
    "ask_points": "Hoeveel punten kan een score daarvan hoogstens verschillen?",
    "why_points": "Een grens: wat erboven komt weigert de partij, zodat niemand opvalt door een extreme waarde.",
    "ask_answers": "Hoe vaak kan een patiënt haar hoogstens invullen, in één stuk tijd?",
    "why_answers": "Ook een grens.",
    "ask_hospital": "Welke partij geeft de zorg, en weet wie de innovatie gebruikt? Haar naam",
    "why_hospital": "Zij deelt, in stukken, wie de innovatie wanneer gebruikt. Dossiers blijven bij haar.",
    "ask_insurer": "Welke partij betaalt de declaraties? Haar naam",
    "why_insurer": "Zij deelt, in stukken, verzekerde dagen en getallen uit declaraties. Declaraties blijven bij haar.",
    "ask_statistics": "Welke partij kent sociale kenmerken, zoals inkomen? Haar naam",
    "why_statistics": "Zij deelt, in stukken, in welke groep een patiënt zit. Registers blijven bij haar.",
    "ask_factor": "Naar welk sociaal kenmerk worden uitkomsten gesplitst?",
    "why_factor": "Eén kenmerk voor alle KPI's: van verschillende splitsingen kan men soms een paar patiënten "
                  "overhouden.",
    "ask_categories": "De categorieën ervan, zoals in de gegevens van de partij",
    "why_categories": "Minder en grotere groepen halen het minimum eerder. Kleine worden achtergehouden.",
    "ask_zone": "De tijdzone", "why_zone": "Bepaalt wanneer een dag begint. Voor alle partijen dezelfde.",
    "ask_pane": "In welke stukken wordt de tijd verdeeld?",
    "why_pane": "Een partij deelt per stuk één getal van een patiënt. Korte stukken zeggen meer over wanneer iets "
                "gebeurde.",
    "ask_first_day": "De eerste dag", "why_first_day": "Over wat daarvoor gebeurde wordt niets gedeeld.",
    "ask_panes": "Hoeveel {panes} in totaal?", "why_panes": "Over wat daarna gebeurt wordt niets gedeeld.",
    "ask_window": "Hoeveel {panes} vormen een venster, waarover een KPI wordt berekend?",
    "why_window": "Elk cijfer gaat over een heel venster. In langere vensters staan meer patiënten achter elk cijfer.",
    "ask_step": "Hoeveel {panes} later begint het volgende venster?",
    "why_step": "Vensters die overlappen kan men aftrekken. Het minimum geldt per stap; een korte houdt meer achter.",
    "ask_claims_wait": "Hoeveel {panes} wacht de verzekeraar op declaraties die later komen?",
    "why_claims_wait": "Declaraties die na deze wachttijd komen staan in geen uitkomst. Die van een ziekenhuis "
                       "kunnen 150 dagen duren.",
    "ask_linked_by": "Vóór welke dag moet een partij een patiënt kennen voor de eerste koppeling?",
    "why_linked_by": "Patiënten worden één keer gekoppeld, met geheime sleutels. Wie niet bij alle partijen bekend is "
                     "telt niet mee.",
    "ask_new_patients": "Om de hoeveel {panes} treden patiënten toe die later kwamen? Of geen",
    "why_new_patients": "Er treden er minstens zoveel toe als het minimum, zodat niemand opvalt. Elke keer leren "
                        "knooppunten iets meer.",
    "ask_minimum_cohort": "Hoeveel patiënten moeten er minstens achter elk cijfer staan?",
    "why_minimum_cohort": "Met minder blijft een cijfer binnen. Dat geldt in elke groep, categorie en stap.",
    "ask_largest_percent": "Vanaf hoeveel procent van een som mag geen enkele patiënt uitmaken? Of geen",
    "why_largest_percent": "Beschermt een patiënt wiens kosten of bezoeken het grootste deel van een som zijn.",
    "ask_two_largest_percent": "Vanaf hoeveel procent mogen geen twee patiënten samen uitmaken? Of geen",
    "why_two_largest_percent": "Beschermt de een van twee tegen de ander, die het eigen deel kent.",
    "ask_p_percent": "Tot op hoeveel procent mag niemand andermans deel kunnen schatten? 5, 10, 20, 25, 50 of geen",
    "why_p_percent": "Beschermt de grootste patiënt van een som tegen de op een na grootste.",
    "ask_tables": "Als een categorie te klein is: alle achterhouden (whole), of de eerste tonen (in-order)?",
    "why_tables": "Whole zegt het minst. In-order toont meer, en zegt hoeveel categorieën getoond konden worden.",
    "ask_withdrawals": "Welke partijen geven door dat een patiënt zich terugtrekt? Namen, alle of geen",
    "why_withdrawals": "Wie zich terugtrekt telt vanaf dan nergens in mee. Met geen kan niemand zich terugtrekken.",
    "ask_erase_every": "Om de hoeveel {panes} worden eerdere rijen gewist van wie zich terugtrok? Of geen",
    "why_erase_every": "Zonder dit blijft wat vóór een terugtrekking is gedeeld bij de knooppunten. Wissen sluit "
                       "vensters die eerder beginnen en nog niet zijn berekend.",
    "ask_erase_within": "Binnen hoeveel dagen nadat zij het horen moeten knooppunten hebben gewist?",
    "why_erase_within": "Hoogstens 31. Ieder knooppunt tekent een bewijs.",
    "ask_remember": "Hoeveel {panes} onthoudt een partij gebeurtenissen voor correcties? Of geen, voor altijd",
    "why_remember": "Na zo lang vergeet een partij gebeurtenissen, en weigert zij correcties. Haar eigen dossiers "
                    "blijven zoals ze zijn.",
    "ask_recipients": "Wie leest uitkomsten? Een of meer namen",
    "why_recipients": "Uitkomsten zijn alleen voor hen te openen; knooppunten kunnen ze niet lezen. Minder lezers, "
                      "minder risico.",
    "ask_reads": "Welke KPI's mag {about} lezen? Namen, alle of geen",
    "why_reads": "Andere uitkomsten kan een ontvanger niet openen.",
    "ask_requesters": "Wie mag om vensters buiten het rooster vragen? Namen of geen",
    "why_requesters": "Iedere aanvraag is ondertekend, en wordt door alle knooppunten getoetst en geteld.",
    "ask_asks_for": "Voor welke ontvanger vraagt {about}?",
    "why_asks_for": "Alleen wat de ontvanger van de aanvrager mag lezen kan worden gevraagd.",
    "ask_asks_runs": "Om hoeveel nieuwe berekeningen mag {about} in totaal vragen?",
    "why_asks_runs": "Veel vragen zeggen meer dan weinig.",
    "ask_on_demand": "Hoeveel {panes} mag een gevraagd venster hoogstens hebben? Of geen: alleen vensters van het "
                     "rooster",
    "why_on_demand": "Ze beginnen en eindigen waar vensters van het rooster dat doen, dus tonen geen kleinere stukken "
                     "tijd.",
    "ask_purposes": "Waar is het voor? Nummers, of termen van de Data Privacy Vocabulary",
    "why_purposes": "Alleen deze doelen zijn afgesproken (AVG artikel 5, lid 1, onder b).",
    "ask_data_categories": "Welke soorten gegevens worden gebruikt? Nummers, of termen",
    "why_data_categories": "Voor wie beoordeelt of het mag. De grondslag moeten zij zelf noemen.",
    "ask_valid_from": "Vanaf welke dag geldt de afspraak?", "why_valid_from": "Daarvoor wordt niets berekend.",
    "ask_valid_until": "Tot en met welke dag geldt zij?",
    "why_valid_until": "Daarna wordt niets berekend. Wat knooppunten hebben moet dan worden verwijderd.",
    "ask_runs": "Hoeveel berekeningen mogen er in totaal zijn?",
    "why_runs": "Meer kunnen er niet zijn, wie er ook vraagt. Voorgesteld is wat rooster en aanvragen nodig kunnen "
                "hebben.",
    # The file
    "made": "Een afspraak, geschreven door winnow agreement draft. Lees haar: er staat wat er over patiënten wordt "
            "berekend.",
    "made_next": "Daarna: winnow agreement validate FILE; winnow agreement summary FILE; winnow agreement dpia FILE.",
    "made_more": "Wat er verder in mag staan: docs/windows.md, docs/disclosure.md, docs/alerts.md, docs/registers.md.",
    "on_shards": "Delen van de registers. Aan grote registers wordt naast elkaar gewerkt.",
    "on_slots": "Rijen worden in blokken gedeeld, zodat alleen een afgeronde grootte te zien is.",
    "on_dummies": "Verzonnen patiënten, die vervagen hoeveel patiënten de partijen gemeen hebben.",
    "on_batch_slots": "Rijen in een lijst van te wissen rijen: patiënten tussen opvulling.",
    "on_measures": "Wat partijen van iedere patiënt delen, in stukken: één getal per stuk tijd, binnen deze grenzen.",
    "on_codes": "Codes en grenzen moeten passen bij de gegevens: winnow source check zegt of dat zo is.",
    "answers": "Antwoorden voor winnow agreement draft, om mee verder te gaan of te wijzigen.",
    # What remains
    "written": "Geschreven: {file}. Het klopt volgens validate. Uw antwoorden staan in {answers}: geef om ze te "
               "wijzigen dezelfde opdracht met --edit --force.",
    "remains": "Wat anderen nog moeten geven voordat er kan worden ondertekend; winnow agreement keys maakt de "
               "sleutels:",
    "needs_party": "{name}: het adres van de sleutel waarmee zij tekent, en de sleutel waarmee zij tekent wat zij "
                   "deelt",
    "needs_link": "de partijen samen: één koppelgeheim, dat geen knooppunt mag kennen",
    "needs_node": "knooppunt {number}: zijn organisatie, adres en certificaat, en zijn sleutels voor stukken, "
                  "verslagen en de keten",
    "needs_recipient": "{name}: de sleutel waarmee uitkomsten voor deze ontvanger worden verzegeld",
    "needs_requester": "{name}: het adres van de sleutel waarmee aanvragen worden ondertekend",
    "needs_lawyer": "de verwerkingsverantwoordelijken: de grondslag, en wat winnow agreement dpia verder aanwijst om "
                    "in te vullen",
    # How it ends
    "stopped_at_once": "Gestopt voor het eerste antwoord. Er is niets geschreven.",
    "stopped": "Gestopt na {count} antwoorden. Ze staan in {answers}: dezelfde opdracht gaat ermee verder.",
    "leftover": "Bij deze antwoorden niet gevraagd, dus weggelaten: {keys}.",
}
