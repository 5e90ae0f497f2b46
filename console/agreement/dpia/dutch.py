"""What a report says, in Dutch, beside the clauses of the summary. console.agreement.dpia.english has the keys."""

from typing import Final

DUTCH: Final[dict[str, str]] = {
    # The page
    "dpia_title": "Gegevensbeschermingseffectbeoordeling: {title}",
    "dpia_made": "Gemaakt uit de afspraak en uit hoe Winnow werkt. Het is een begin: wat met “In te vullen” is "
                 "gemerkt moeten mensen schrijven. “De afspraak zwijgt” zegt wat zij open laat. Alleen de afspraak "
                 "is bindend.",
    "dpia_open": "In te vullen", "dpia_silent": "De afspraak zwijgt",
    "dpia_count": "Punten om in te vullen: {count}.", "dpia_contents": "Inhoud",
    "dpia_described": "Systematische beschrijving van de verwerking",
    "dpia_law_described": "AVG artikel 35, lid 7, onder a",
    "dpia_purposes": "Doelen en grondslag",
    "dpia_law_purposes": "AVG artikelen 5, lid 1, onder b, 6, 9 en 35, lid 7, onder a",
    "dpia_roles": "Verwerkingsverantwoordelijken, verwerkers en anderen", "dpia_law_roles": "AVG artikelen 4, 26 en 28",
    "dpia_flows": "Soorten gegevens, en waar ze heen gaan", "dpia_law_flows": "AVG artikelen 9 en 35, lid 7, onder a",
    "dpia_need": "Noodzaak en evenredigheid", "dpia_law_need": "AVG artikelen 5, lid 1, onder c, en 35, lid 7, onder b",
    "dpia_recipients": "Ontvangers, en andere landen",
    "dpia_law_recipients": "AVG artikelen 13, 14 en 44 tot en met 49",
    "dpia_kept": "Hoe lang gegevens worden bewaard, en wissen",
    "dpia_law_kept": "AVG artikelen 5, lid 1, onder e, en 17",
    "dpia_rights": "Rechten van patiënten", "dpia_law_rights": "AVG artikelen 12 tot en met 22",
    "dpia_risks": "Risico's voor patiënten, en maatregelen",
    "dpia_law_risks": "AVG artikelen 32 en 35, lid 7, onder c en d",
    "dpia_residual": "Wat overblijft, en wat Winnow niet tegenhoudt", "dpia_law_residual": "AVG artikel 36",
    "dpia_running": "Hoe het draait", "dpia_law_running": "AVG artikel 32",
    "dpia_to_do": "Wat nog moet worden ingevuld", "dpia_law_to_do": "AVG artikel 35, lid 2 en 9, artikel 36",
    # Description
    "dpia_subjects": "Betrokkenen zijn de patiënten die de gegevenspartijen in hun administratie hebben, voor zover "
                     "de afspraak hen laat koppelen.",
    "dpia_context": "Context",
    "dpia_open_context": "Waarom dit nu gebeurt, op welke schaal (hoeveel patiënten), en wat patiënten mogen "
                         "verwachten.",
    # Purposes
    "dpia_purposes_are": "Doelen", "dpia_basis": "Grondslag", "dpia_no_basis": "Er staat geen grondslag in.",
    "dpia_open_basis": "De grondslag van iedere verwerkingsverantwoordelijke (artikel 6, lid 1), en voor welke "
                       "stap: dossiers lezen, stukken delen, uitkomsten ontvangen.",
    "dpia_open_health": "De uitzondering voor gegevens over gezondheid (artikel 9, lid 2), met de nationale wet "
                        "waarop die rust.",
    "dpia_open_number": "De grondslag om met nummers van patiënten te koppelen, zoals een nationaal nummer (artikel "
                        "87).",
    # Roles
    "dpia_roles_table": "Wie wie is", "dpia_name": "Wie", "dpia_role": "Rol in de afspraak",
    "dpia_sees": "Krijgt te zien", "dpia_controller": "Verantwoordelijke, gezamenlijk verantwoordelijke of verwerker",
    "dpia_no_controllers": "Zij noemt partijen, knooppunten, ontvangers en aanvragers, geen "
                           "verwerkingsverantwoordelijken en verwerkers.",
    "dpia_open_contracts": "De regeling tussen gezamenlijke verwerkingsverantwoordelijken (artikel 26), en "
                           "overeenkomsten met verwerkers (artikel 28). De afspraak is geen van beide.",
    "dpia_open_controller": "Of {name} verantwoordelijke, gezamenlijk verantwoordelijke of verwerker is, en voor welke "
                            "stap.",
    "dpia_party": "gegevenspartij", "dpia_party_sees": "Haar eigen dossiers, en hoe ver haar eigen gegevens zijn.",
    "dpia_node_unnamed": "de organisatie is nog niet genoemd.",
    "dpia_node_role": "rekent met stukken",
    "dpia_node_sees": "Stukken die alleen niets zeggen, en wat onder “Wat knooppunten te weten komen” staat.",
    "dpia_recipient": "ontvanger", "dpia_told": "Hoort van {alerts}: aan of uit.",
    "dpia_requester": "aanvrager", "dpia_requester_sees": "Vraagt, en leest antwoorden als {recipient}.",
    # Flows
    "dpia_categories": "Soorten gegevens", "dpia_form": "In welke vorm gegevens een partij verlaten",
    "dpia_special": "Of iemand in zorg is, en wat die kostte, zijn gegevens over gezondheid (artikel 9).",
    "dpia_flows_table": "Van iedere partij naar de knooppunten",
    "dpia_party_column": "Partij",
    "dpia_read": "Leest uit haar dossiers",
    "dpia_shares": "Deelt",
    "dpia_leaves": "{count} getallen van iedere patiënt per {pane}, en een sleutel om te koppelen, in stukken.",
    "dpia_leaves_key": "Een sleutel van iedere patiënt om te koppelen, in stukken.",
    "dpia_goes_to": "Gaat naar", "dpia_kinds": "{kinds}",
    "dpia_to_nodes": "Ieder stuk naar twee van de drie knooppunten, verzegeld voor hen.",
    "dpia_numbers_of": "Getallen die {name} deelt",
    "dpia_onward": "Wat knooppunten te weten komen, en wat vandaar verder gaat",
    "dpia_on_chain": "Op de keten staan hashes, adressen, datums en aantallen berekeningen: niets over een patiënt, "
                     "en geen hash van gegevens van een patiënt.",
    # Need
    "dpia_minimised": "Alleen wat nodig is",
    "dpia_only_these": "Alleen deze getallen verlaten een partij, en alleen de KPI's van de afspraak kunnen worden "
                       "berekend.",
    "dpia_need_table": "Waar elk getal voor nodig is", "dpia_number": "Getal", "dpia_needed_for": "Nodig voor",
    "dpia_for": "{kpis}",
    "dpia_open_unneeded": "Geen KPI heeft “{name}” nodig. Haal dit uit de afspraak, of schrijf waarom het "
                          "wordt gedeeld.",
    "dpia_how_much": "Hoeveel er wordt berekend", "dpia_precision": "Hoe precies",
    "dpia_weighed": "Afgewogen",
    "dpia_open_necessity": "Waarom de doelen niet bereikt worden zonder gegevens van deze partijen over dezelfde "
                           "patiënten.",
    "dpia_open_less": "Welke minder ingrijpende wegen zijn overwogen (minder partijen, een steekproef, langere "
                      "vensters, gepubliceerde cijfers), en waarom die niet volstaan.",
    "dpia_open_benefit": "Wat patiënten en de zorg erbij winnen, afgezet tegen de risico's hieronder.",
    # Recipients
    "dpia_readers": "Wie leest", "dpia_asking": "Wie om meer mag vragen", "dpia_transfers": "Waar het gebeurt",
    "dpia_no_places": "Waar knooppunten, brokers en ontvangers staan is nog niet bekend.",
    "dpia_open_transfers": "In welke landen knooppunten, brokers, keten en ontvangers zijn; buiten de EER de grond "
                           "voor de doorgifte (artikelen 44 tot en met 49).",
    "dpia_further": "Doorgeven", "dpia_no_further": "Of een ontvanger cijfers mag doorgeven of publiceren.",
    "dpia_open_further": "Aan wie ontvangers cijfers mogen doorgeven, en onder welke voorwaarden.",
    # Kept
    "dpia_kept_table": "Wat waar wordt bewaard", "dpia_where": "Waar", "dpia_what": "Wat", "dpia_until": "Tot wanneer",
    "dpia_deletes": "Wie verwijdert",
    "dpia_party_topics": "De eigen topics van iedere partij",
    "dpia_events": "Gebeurtenissen onder pseudoniemen, getallen, geweigerde regels (verzegeld)",
    "dpia_days": "{days} nadat het is geschreven",
    "dpia_years": "{years} jaar",
    "dpia_broker_deletes": "De broker, vanzelf",
    "dpia_party_memory": "Het programma van iedere partij, en zijn topics met standen",
    "dpia_remembered": "Gebeurtenissen, voor correcties; het register van pseudoniemen, totdat het topic wordt "
                       "verwijderd",
    "dpia_party_deletes": "Het programma van de partij, vanzelf", "dpia_inboxes": "De postbussen van knooppunten",
    "dpia_sealed_pieces": "Stukken, verzegeld voor het knooppunt", "dpia_stores": "De opslag van knooppunten",
    "dpia_pieces": "Stukken van de getallen van iedere patiënt; de koppeling; lopende totalen",
    "dpia_no_store_date": "Er staat geen datum in. Zij geldt tot en met {date}.",
    "dpia_open_stores": "Wanneer iedere organisatie haar opslag verwijdert, en hoe zij dat laat zien.",
    "dpia_evidence": "Het bewijs van knooppunten, en toegangslogboeken die daaruit zijn gemaakt",
    "dpia_what_evidence": "Wat is berekend, geweigerd of afgebroken, welke organisatie vroeg, en naar wie het ging; "
                          "niets over een patiënt",
    "dpia_no_evidence_date": "Er staat geen datum in.",
    "dpia_open_evidence": "Hoe lang iedere organisatie haar bewijs en logboeken bewaart, en op welke grond.",
    "dpia_node_deletes": "De organisatie van het knooppunt, met de hand", "dpia_results": "Topics met uitkomsten",
    "dpia_sealed_results": "Uitkomsten, verzegeld voor de ontvanger",
    "dpia_records": "Topics van berekeningen en aanvragen",
    "dpia_what_records": "Wat is berekend, geweigerd of achtergehouden, en wie vroeg; niets over een patiënt",
    "dpia_receipts": "Topics met bewijzen",
    "dpia_what_receipts": "Lijsten van gewiste rijen, ondertekend; er staat geen patiënt in",
    "dpia_accounts": "Rekeningen van privacybudgetten bij eigenaren",
    "dpia_what_accounts": "Welke overeenkomst hoeveel mag uitgeven aan een dataset; niets over een patiënt",
    "dpia_owner_deletes": "De eigenaar, met de hand: wat is uitgegeven wordt daarmee vergeten",
    "dpia_documents": "Documenten en pagina's van ontvangers", "dpia_figures": "Vrijgegeven cijfers",
    "dpia_no_document_date": "Er staat niets in over hoe lang ontvangers cijfers bewaren.",
    "dpia_open_documents": "Hoe lang ontvangers cijfers bewaren.",
    "dpia_recipient_deletes": "De ontvanger, met de hand",
    "dpia_chain": "De keten", "dpia_for_ever": "Voor altijd", "dpia_nobody_deletes": "Niemand kan dat",
    "dpia_embedded": "Een ingebouwde broker verwijdert niets totdat hij eindigt: deze termijnen gelden op Apache "
                     "Kafka.",
    "dpia_open_deletion": "Hoe lang iedere partij de dossiers bewaart waaruit zij leest: de afspraak raakt die niet.",
    "dpia_after": "Als zij voorbij is",
    # Rights
    "dpia_informed": "Geïnformeerd worden (artikelen 12 tot en met 14)",
    "dpia_no_information": "Er staat niets in over wat patiënten te horen krijgen.",
    "dpia_open_information": "Hoe patiënten het horen, van welke partij, wanneer en in welke woorden; of waarom dat "
                             "niet hoeft.",
    "dpia_access": "Inzage (artikel 15)",
    "dpia_access_at_party": "Een knooppunt weet niet wat over wie gaat, en kan dus geen inzage geven. Een partij "
                            "kan dat wel, in haar eigen dossiers.",
    "dpia_open_access": "Aan wie een patiënt het vraagt, en wat het antwoord is.",
    "dpia_objection": "Bezwaar, toestemming intrekken en wissen (artikelen 7, lid 3, 17 en 21)",
    "dpia_open_objection": "Hoe een patiënt het laat weten, bij welke partij, en hoe partijen het elkaar vertellen.",
    "dpia_corrected": "Rectificatie (artikel 16)",
    "dpia_corrected_at_party": "Een verbetering in de dossiers van een partij gaat deze weg; een vrijgegeven cijfer "
                               "blijft.",
    "dpia_automated": "Geautomatiseerde besluiten (artikel 22)",
    "dpia_no_decision": "Niets dat eruit komt gaat over één patiënt. Een besluit over een patiënt kan er dus niet "
                        "alleen op rusten.",
    "dpia_open_decision": "Welke besluiten op deze cijfers rusten, en over wie.",
    # Risks
    "dpia_risks_are": "Bij elk risico staat wat deze afspraak afdwingt, wie dat afdwingt, en wat overblijft.",
    "dpia_open_weight": "Waarschijnlijkheid en ernst van elk risico, voor en na de maatregelen.",
    "dpia_open_risks": "Risico's van dit geval die geen afspraak laat zien.",
    "dpia_enforced": "Afgedwongen", "dpia_by": "Door wie", "dpia_remains": "Wat overblijft",
    "dpia_weight": "Waarschijnlijkheid en ernst",
    "dpia_risk_inside": "Een organisatie met een knooppunt, of wie daar inbreekt, leest gegevens van patiënten",
    "dpia_risk_linking": "Koppelen verraadt wie bij welke partijen bekend is",
    "dpia_risk_party": "Wat bij een gegevenspartij ligt lekt uit",
    "dpia_risk_few": "Een cijfer zegt iets over een paar patiënten",
    "dpia_risk_dominant": "Een cijfer zegt iets over een patiënt die het grootste deel ervan is",
    "dpia_risk_subtracted": "Cijfers worden afgetrokken, en zeggen iets over een paar patiënten",
    "dpia_risk_withheld": "Dat iets wordt achtergehouden zegt iets",
    "dpia_risk_recognised": "Een lezer herkent iemand door wat hij al weet",
    "dpia_risk_alerts": "Een melding zegt meer dan de bedoeling is",
    "dpia_risk_purpose": "Gegevens of cijfers worden voor iets anders gebruikt",
    "dpia_risk_asking": "Iemand vraagt door totdat de antwoorden iets over een patiënt zeggen",
    "dpia_risk_wrong": "Cijfers kloppen niet, en er wordt over zorg mee beslist",
    "dpia_risk_groups": "Een groep mensen wordt oneerlijk behandeld door cijfers over die groep",
    "dpia_risk_kept": "Gegevens worden langer bewaard dan nodig is",
    "dpia_risk_withdrawal": "Wie zich terugtrekt blijft meetellen",
    "dpia_risk_unaware": "Patiënten weten het niet, en kunnen geen bezwaar maken",
    "dpia_risk_chain": "De keten toont persoonsgegevens, of kan niet stoppen wat moet stoppen",
    "dpia_sealed": "Stukken zijn verzegeld voor hun knooppunt en ondertekend door hun partij. Knooppunten praten "
                   "over TLS 1.3.",
    "dpia_by_split": "De partijen, die splitsen; ieder knooppunt krijgt twee van de drie stukken, en geen enkel het "
                     "derde.",
    "dpia_by_certificates": "Ieder knooppunt, dat alleen praat met certificaten en sleutels uit de ondertekende "
                            "afspraak.",
    "dpia_open_collusion": "De overeenkomst die organisaties met knooppunten verbiedt stukken samen te leggen, en "
                           "hoe onafhankelijk zij zijn.",
    "dpia_same_organisation": "Meer dan één knooppunt is van {names}, die alles kan lezen wat wordt gedeeld. De "
                              "bescherming door splitsen geldt dan niet.",
    "dpia_by_linkage": "De knooppunten, die sleutels schudden en versleuteld vergelijken; ieder voegt eigen "
                       "verzonnen patiënten toe.",
    "dpia_pseudonyms": "Waar een partij haar bestanden leest, wordt het nummer van een patiënt een pseudoniem van "
                       "die partij. Op topics en in logboeken staan nummers niet leesbaar.",
    "dpia_by_party": "Het eigen programma van de partij.",
    "dpia_own_systems": "De eigen systemen, topics en sleutels van een partij zijn zo veilig als die partij ze maakt.",
    "dpia_open_security": "Beveiliging van systemen en sleutels van iedere organisatie (artikel 32), en wie een "
                          "datalek opmerkt (33, 34).",
    "dpia_by_shares": "De drie knooppunten, op stukken, voordat er iets opengaat: disclosure.minimum_cohort = "
                      "{minimum}, en regels tegen overwicht als die er zijn.",
    "dpia_by_nobody": "Niemand: dit is geen zaak van de afspraak.",
    "dpia_dominance_remains": "Wat meer patiënten samen van zichzelf weten wordt niet bekeken.",
    "dpia_open_dominance": "Waarom zo'n regel niet nodig is.",
    "dpia_lattice": "KPI's die men van elkaar kan aftrekken tot er een paar patiënten overblijven, kunnen niet in "
                    "één afspraak staan.",
    "dpia_by_lattice": "Ieder programma dat de afspraak leest: het weigert er een die deze regel breekt. De "
                       "knooppunten, die elk stuk tijd toetsen.",
    "dpia_dummies": "Ieder knooppunt voegt aan elk register {count} verzonnen patiënten toe.",
    "dpia_made_up_for": "Wat in het ene stuk tijd niet is gedaan kan in het volgende zijn ingehaald: bij het verschil "
                        "van twee vensters die overlappen wordt daar niet naar gekeken.",
    "dpia_two_codes": "Twee codes voor één ding gelden als twee dingen: naar het verschil wordt niet gekeken.",
    "dpia_changers": "Patiënten die tussen vensters van categorie of groep veranderen, zijn te onderscheiden uit "
                     "sommen van kwadraten, waar sommen en intervallen samen naar buiten komen. Geen minimum kijkt "
                     "daarnaar.",
    "dpia_open_other_agreements": "Andere afspraken, publicaties en uitkomsten over dezelfde patiënten.",
    "dpia_by_bits": "De drie knooppunten: één antwoord per venster en KPI, in een afgesproken volgorde, welke regel "
                    "het ook was.",
    "dpia_by_tail": "De drie knooppunten: zij ronden af op stukken, en verzegelen wat eruit komt voor de ontvanger.",
    "dpia_no_noise": "Aan cijfers van {kpis} wordt geen ruis toegevoegd (geen differential privacy).",
    "dpia_by_alerts": "De drie knooppunten: zij vergelijken op stukken, en verzegelen de stand voor de ontvanger.",
    "dpia_alert_remains": "Aan of uit zegt aan welke kant van de grens een cijfer ligt.",
    "dpia_plans": "Alleen plannen waarvan de hash in de ondertekende afspraak staat kunnen draaien.",
    "dpia_by_gate": "Ieder knooppunt zelf, voor, tijdens en na een berekening (regels agreement-active, "
                    "terms-agreed, within-validity, plan-permitted, window-on-lattice, quota). Eén dat weigert is "
                    "genoeg.",
    "dpia_by_contract": "Het registercontract op de keten: handtekeningen van alle partijen, datums, quota, "
                        "opschorten en herroepen.",
    "dpia_purpose_remains": "Doelen zijn woorden. Wat een ontvanger met een cijfer doet ziet geen programma.",
    "dpia_open_use": "De regel of overeenkomst die ontvangers aan de doelen bindt.",
    "dpia_by_requests": "Ieder knooppunt, met dezelfde regels (requester-known, request-signed, request-fresh, "
                        "kpis-permitted, requester-quota); het contract telt de berekeningen van iedere aanvrager.",
    "dpia_schedule_remains": "Wat het rooster oplevert komt eruit, wie het ook leest.",
    "dpia_noticed": "Verkeerde openingen, veranderde berichten, andere programma's en gegevens die twee knooppunten "
                    "verschillend hebben worden opgemerkt.",
    "dpia_by_nodes": "Ieder knooppunt, dat de berekening stopt.",
    "dpia_not_randomised": "Gebruikers van een innovatie verschillen van patiënten die haar nog niet gebruiken. Een "
                           "verschil is geen bewijs van een effect.",
    "dpia_no_fairness": "Wie beoordeelt wat cijfers voor groepen betekenen.",
    "dpia_open_fairness": "Hoe cijfers per groep worden gelezen en gebruikt, en wie op oneerlijke gevolgen let.",
    "dpia_by_deletion": "Brokers en programma's vanzelf; opslag van knooppunten en documenten van ontvangers met de "
                        "hand.",
    "dpia_disks": "Vrijgekomen blokken van schijven worden niet overschreven: versleutelde schijven zijn nodig.",
    "dpia_by_erasure": "Het programma van de partij, en de drie knooppunten samen, die bewijzen tekenen.",
    "dpia_receipt_remains": "Een bewijs is het woord van een knooppunt: niemand kan bewijzen dat er geen kopie is.",
    "dpia_chain_remains": "Wat vóór een herroeping openging is eruit. Een eindpunt kan achterlopen: knooppunten "
                          "vergelijken wat zij lezen, en nemen geen oud blok.",
    # What remains
    "dpia_assumed": "Waar we van uitgaan", "dpia_not_caught": "Wat Winnow niet tegenhoudt",
    "dpia_left_open": "Wat deze afspraak open laat",
    "dpia_wrong_products": "Een knooppunt dat met opzet verkeerde producten berekent: alle zijn het dan eens over "
                           "een verkeerd getal.",
    "dpia_no_proof": "Dat een kopie van stukken is bewaard: verwijderen en wissen zijn niet te bewijzen.",
    "dpia_open_residual": "Of wat overblijft aanvaardbaar is; blijft het risico hoog, vraag dan eerst de "
                          "toezichthouder (artikel 36).",
    # Running
    "dpia_no_configuration": "Er is geen configuratie gegeven, dus hier is niet bekend hoe het draait.",
    "dpia_open_running": "Voor iedere organisatie: wie het beheert, waar, met welke reservekopieën, en wie er mag "
                         "inloggen.",
    "dpia_runs_party": "Partij {name}",
    "dpia_runs_node": "Knooppunt {number}", "dpia_a_node": "knooppunt {number}",
    "dpia_runs_recipient": "Ontvanger {name}",
    "dpia_runs_requester": "Aanvrager {name}", "dpia_runs_other": "Een programma",
    "dpia_embedded_broker": "Het gebruikt een ingebouwde broker: voor één machine, zonder versleuteling of "
                            "aanmelden, en die verwijdert niets. Niet voor echte patiënten.",
    "dpia_kafka": "Het gebruikt Kafka over TLS, met een eigen aanmelding.",
    "dpia_kafka_in_clear": "Het gebruikt Kafka zonder TLS en aanmelden: wie op dat netwerk zit kan lezen wat niet "
                           "is verzegeld.",
    "dpia_reads_chain": "Het leest keten {chain} bij {host}, register {registry}.",
    "dpia_chain_in_clear": "Het leest de keten zonder versleuteling: antwoorden kunnen onderweg worden veranderd.",
    "dpia_from_folder": "Het leest gebeurtenissen uit bestanden in een map.",
    "dpia_from_topic": "Het leest gebeurtenissen van zijn eigen topic.",
    "dpia_live": "Het blijft draaien en wacht op de andere.", "dpia_not_live": "Het eindigt als de andere wegblijven.",
    "dpia_writes_document": "Het schrijft cijfers in een document, en toont ze op pagina's van die machine.",
    "dpia_notifies": "Het stuurt berichten over meldingen naar adressen in een bestand.",
    # To do
    "dpia_decided": "Advies en besluit",
    "dpia_open_advice": "Advies van de functionaris gegevensbescherming (artikel 35, lid 2), en wat daarmee is gedaan.",
    "dpia_open_views": "De mening van patiënten of hun vertegenwoordigers (artikel 35, lid 9), of waarom die niet "
                       "is gevraagd.",
    "dpia_open_prior": "Of eerst de toezichthouder moet worden geraadpleegd (artikel 36).",
    "dpia_open_review": "Wanneer dit verslag opnieuw wordt bekeken: uiterlijk als de afspraak verandert (artikel "
                        "35, lid 11).",
    "dpia_open_signed": "Wie besliste, wanneer, en met welke uitkomst.",
}
