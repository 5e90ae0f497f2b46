"""What agreements say, in Dutch: short sentences, in the words of the pages. console.agreement.english has the keys."""

from typing import Final

DUTCH: Final[dict[str, str]] = {
    # Time
    "day": "dag", "days": "dagen", "week": "week", "weeks": "weken", "month": "maand", "months": "maanden",
    "year": "jaar", "years": "jaar",
    "the_day": "de dag", "the_week": "de week", "the_month": "de maand", "the_year": "het jaar",
    "whole_day": "de hele dag", "whole_week": "de hele week", "whole_month": "de hele maand",
    "whole_year": "het hele jaar",
    "of_day": "van de dag", "of_week": "van de week", "of_month": "van de maand", "of_year": "van het jaar",
    "open_day": "een dag", "open_week": "een week", "open_month": "een maand", "open_year": "een jaar",
    "every_day": "elke dag", "every_week": "elke week", "every_month": "elke maand", "every_year": "elk jaar",
    "every": "elke {panes}", "and": "en",
    # The page
    "state_draft": "Dit is een concept. Niemand heeft het ondertekend.",
    "state_terms": "Dit is de afspraak die de partijen ondertekenen. De hash ervan is {hash}.",
    "made": "Deze samenvatting is gemaakt uit de afspraak zelf. Alleen de afspraak is bindend.",
    "who": "Wie meedoet", "shared": "Wat iedere partij deelt, en over wie", "why": "Waar het voor is",
    "computed": "Wat er wordt berekend", "periods": "Over welke periodes, en wanneer", "readers": "Wie wat mag lezen",
    "asking": "Wie om meer mag vragen", "never": "Wat er nooit uitkomt",
    "nodes": "Wat de knooppunten verder te weten komen",
    "alerts": "Meldingen", "late": "Wat te laat komt of wordt verbeterd", "patients": "Welke patiënten meetellen",
    "withdrawal": "Als een patiënt zich terugtrekt", "ends": "Hoe lang het geldt, en hoe het eindigt",
    "assumed": "Waar we van uitgaan", "keys": "Van wie de sleutels zijn",
    # Who
    "name": "De afspraak heet “{name}”. De titel is: “{title}”.",
    "party": "Gegevenspartij: {name}. Deze partij houdt haar eigen gegevens.",
    "pieces": "Wat een partij deelt, wordt in stukken gesplitst. Eén stuk alleen zegt niets.",
    "nodes_draft": "Drie knooppunten rekenen met de stukken. Drie organisaties beheren die: zij staan in de afspraak "
                   "die wordt ondertekend.",
    "node": "Knooppunt {number}, dat met de stukken rekent: van {organisation}, op {endpoint}.",
    "recipient": "Ontvanger van uitkomsten: {name}.",
    "requester": "Aanvrager, die om meer mag vragen: {name}.",
    # Shared
    "per_pane": "Over iedere patiënt deelt een partij alleen deze getallen, één per {pane}. De knooppunten krijgen ze "
                "in stukken. Namen, persoonsnummers en dossiers blijven bij de partij.",
    "link_key": "Iedere partij deelt ook een sleutel van iedere patiënt, in stukken. De sleutel is gemaakt van het "
                "nummer van de patiënt. Hij dient om bij elkaar te zoeken wat bij één patiënt hoort.",
    "source": "Bron “{name}”: {kinds}.",
    "source_bound": "Er wordt gewacht op wat binnen {days} nadat het gebeurde binnenkomt.",
    "grace": "{name} wacht na het einde {of_pane} nog {panes} met delen.",
    "no_grace": "{name} deelt {open_pane} meteen na afloop.",
    "kind_enrolment": "inschrijvingen", "kind_encounter": "contacten", "kind_monitoring": "meetmodules",
    "kind_prom": "vragenlijsten van patiënten", "kind_claim": "declaraties", "kind_social": "sociale kenmerken",
    "kind_withdrawal": "terugtrekkingen", "kind_heartbeat": "levenstekens",
    "m": "“{name}”: {meaning}.",
    "m_exposed": "of de patiënt {whole_pane} in “{programme}” zit, ja of nee",
    "m_not-yet-exposed": "of de patiënt {whole_pane} in “{cohort}” zit en tot het einde daarvan nooit in “{programme}” "
                         "zat, ja of nee",
    "m_days": "op hoeveel dagen {of_pane} de patiënt in “{programme}” zit",
    "m_count": "hoeveel {events}; wat is teruggenomen telt niet",
    "m_sum": "de kosten van {events}; wat is gecrediteerd gaat eraf",
    "m_category": "welke “{field}” de patiënt aan het begin {of_pane} heeft: ja of nee voor elk van {values}",
    "m_value": "{value} (“{name}”)",
    "m_nonzero": "of “{of}” iets anders is dan 0, ja of nee",
    "m_missed": "hoeveel {events} gepland en niet gedaan zijn, nooit minder dan 0",
    "m_follow-ups": "hoeveel antwoorden op vragenlijst “{code}” na het eerste van de patiënt kwamen",
    "m_change": "hoeveel die latere antwoorden op “{code}” van het eerste verschillen, opgeteld, in honderdsten van "
                "een punt",
    "events_claim": "declaraties", "events_claim_care_type": "declaraties voor zorg van soort “{care_type}”",
    "events_encounter": "contacten", "events_encounter_code": "contacten van soort “{code}”",
    "events_monitoring": "meetmodules", "events_monitoring_code": "meetmodules met stand “{code}”",
    "events_prom": "antwoorden op vragenlijsten", "events_prom_code": "antwoorden op vragenlijst “{code}”",
    "events_module": "{events} (module “{module}”)",
    "m_bound": "Hoogstens {bound}.", "m_bound_cents": "Hoogstens {bound}, omhoog of omlaag.",
    "m_bound_points": "Hoogstens {bound}, omhoog of omlaag.",
    "m_at_risk": "Het is 0 waar “{at_risk}” 0 is.", "m_idle": "Er staat ook bij, zonder gevolg: {fields}.",
    # Why
    "purpose": "Doel: {term}.", "category": "Soort gegevens: {term}.", "known_term": "{words} ({code})",
    # Computed
    "kpi": "{title} ({id})",
    "rate-ratio": "“{outcome}” per “{time}” van patiënten in groep “{exposed}”, gedeeld door dat van “{comparator}”.",
    "mean-difference": "“{outcome}” per “{time}” van patiënten in groep “{exposed}”, min dat van “{comparator}”.",
    "share": "“{time}” van patiënten in groep “{exposed}”, als deel van dat van “{exposed}” en “{comparator}” samen.",
    "completion": "“{outcome}” als deel van “{time}”, van patiënten in groep “{exposed}”.",
    "unit": "De waarde is {unit}.", "scale": "Daarvoor neemt de ontvanger wat de knooppunten geven maal {scale}.",
    "unit_ratio": "een verhouding", "unit_EUR/patient-month": "in euro per patiëntmaand", "unit_points": "in punten",
    "unit_share": "een deel, van 0 tot 1",
    "cap": "Wat een patiënt in een venster en categorie toevoegt, telt onder 0 als 0 en boven {cap} als {cap}.",
    "counted": "Genoeg patiënten moeten iets hebben van elk van: {names}.",
    "groups": "Voor alle patiënten, en naar {dimension}: {values}.",
    "no_groups": "Alleen voor alle patiënten samen, niet per categorie.",
    "group": "{value} (“{measure}”)", "named_group": "{name} ({value}, “{measure}”)",
    "named_dimension": "{name} ({dimension})",
    "outputs": "Er komt uit: {outputs}.", "output_value": "de waarde",
    "output_interval": "een 95%-interval", "output_sums": "de precieze sommen",
    "output_rounded_sums": "de sommen als veelvouden van {bases}",
    "rounding": "Getallen worden afgerond op ongeveer {digits} cijfers ({bits} binaire).",
    "sums_and_interval": "De sommen en het interval samen geven ook sommen van kwadraten. Verschillen daarvan kunnen "
                         "over één patiënt gaan. Geen minimum beschermt daartegen.",
    "makers_words": "De titel en dit zijn woorden van de makers, die niet bij de afspraak horen: “{description}”",
    "privacy": "Aan iedere som wordt ruis toegevoegd voordat er iets van wordt gemaakt: (ε, δ)-differentiële privacy "
               "van een patiënt over alle vensters samen, met ε = {epsilon} voor δ = {delta} (ρ = {rho}), in iedere "
               "editie.",
    "privacy_covers": "Dat geldt voor iedere waarde, ieder interval en iedere som die eruit komt, en voor meldingen "
                      "daarover, hoeveel vensters er ook vrijkomen.",
    "privacy_not": "Het geldt niet voor de vraag of een cijfer eruit mag, want die hangt af van precieze aantallen, "
                   "en niet voor hoeveel patiënten er worden gekoppeld.",
    "privacy_interval": "Het interval houdt rekening met de ruis. Het volgt uit {groups} groepen patiënten.",
    "privacy_no_interval": "Er komt geen interval uit: een cijfer zegt niet hoeveel ruis erin zit.",
    # Periods
    "grid": "De tijd is verdeeld in {panes}, van {first} tot en met {last}, volgens de klok van {zone}.",
    "tumbling": "Een venster duurt {size}. Het ene volgt op het andere.",
    "hopping": "Een venster duurt {size}. Er begint {every} een nieuw.",
    "cumulative": "Vensters groeien vanaf één begin, steeds met {size}.",
    "again": "Ze beginnen {every} opnieuw.", "never_again": "Ze beginnen nooit opnieuw.",
    "scheduled": "Vensters die vanzelf worden berekend: {count}. Het eerste is {first}, het laatste {last}.",
    "expected": "De cijfers van het eerste venster kunnen er vanaf {first} zijn, die van het laatste vanaf {last}.",
    # Readers
    "reads": "{name} leest {kpis}.", "reads_nothing": "{name} leest geen cijfers.",
    "readers_only": "Uitkomsten zijn versleuteld voor hun ontvanger. De knooppunten kunnen ze niet lezen.",
    # Asking
    "asks": "{name} mag vragen om wat {recipient} mag lezen. {recipient} krijgt het antwoord.",
    "asks_runs": "Nieuwe berekeningen voor {name}: hoogstens {runs}.",
    "largest": "Er mag om vensters tot {panes} worden gevraagd. Ze beginnen en eindigen waar vensters van het rooster "
               "dat doen.",
    "scheduled_only": "Er mag alleen om vensters van het rooster worden gevraagd.",
    "nobody_asks": "Niemand mag ergens om vragen. Alleen het rooster wordt berekend.",
    # Never
    "never_records": "Er komt geen dossier uit, geen getal van één patiënt, en geen aantal patiënten.",
    "minimum": "Geen cijfer over minder dan {minimum} patiënten. In elke groep en elke categorie moeten minstens "
               "zoveel patiënten tijd hebben. En minstens zoveel moeten iets hebben van wat er wordt geteld.",
    "atoms": "Dat geldt voor elk stuk tijd dat overblijft als vensters van elkaar worden afgetrokken ({panes} of "
             "meer). Wie vensters vergelijkt die elkaar overlappen, vindt dus geen kleinere groep.",
    "remainder": "Het geldt ook voor patiënten in geen enkele categorie. Zijn dat er een paar, dan blijven de "
                 "categorieën binnen.",
    "remainder_in_order": "Als niet alle categorieën eruit mogen, komen de eerste eruit, zoveel als mag, in de "
                          "volgorde waarin ze staan. De patiënten in de andere categorieën en in geen enkele "
                          "zijn dan samen minstens met zoveel, of het is er geen.",
    "largest_percent": "Geen som waarvan één patiënt {percent}% of meer uitmaakt.",
    "two_largest_percent": "Geen som waarvan twee patiënten samen {percent}% of meer uitmaken.",
    "p_percent": "Geen som waaruit een patiënt het deel van een ander tot op {percent}% kan afleiden.",
    "no_dominance": "Er is geen regel tegen één of twee patiënten die het grootste deel van een som uitmaken.",
    "rounded": "Sommen van {what} komen eruit als het dichtstbijzijnde veelvoud van {base}. Wat ertussen ligt, ziet "
               "niemand.",
    "rounds_nothing": "Sommen van {what} zouden eruit komen als het dichtstbijzijnde veelvoud van {base}. Nog geen "
                      "enkele KPI geeft zulke sommen vrij.",
    "sums_days": "dagen", "sums_count": "aantallen (zoals bezoeken)", "sums_cents": "bedragen",
    "sums_hundredths": "scores", "base_hundredths": "{base} honderdste punt",
    "suppressed": "Wat niet vrijkomt, staat er als onderdrukt, met de regel. Het wordt niet opnieuw berekend.",
    # Nodes
    "overlap": "Hoeveel patiënten de partijen gemeen hebben, voor iedere combinatie van partijen.",
    "shards": "De knooppunten zien deze aantallen voor elk van {shards} delen van de registers.",
    "one_shard": "De knooppunten zien deze aantallen voor de registers als geheel.",
    "dummies": "Deze aantallen zijn vervaagd. Ieder knooppunt voegt aan elk register {dummies} verzonnen patiënten "
               "toe. Een geheim aantal daarvan staat in meer dan één register.",
    "no_dummies": "Deze aantallen zijn precies: er komen geen verzonnen patiënten bij.",
    "block_slots": "Hoe groot ieder register is, naar boven afgerond op een veelvoud van {slots} rijen.",
    "bits": "Van ieder venster en iedere KPI: of het cijfer voor alle patiënten eruit mag, en of de categorieën eruit "
            "mogen. Wie de verslagen van de knooppunten mag lezen, ziet dat ook.",
    "bits_in_order": "Van ieder venster en iedere KPI: of het cijfer voor alle patiënten eruit mag, en hoeveel van de "
                     "categorieën. Wie de verslagen van de knooppunten mag lezen, ziet dat ook.",
    "bits_full": "Ook van iedere volledige uitkomst naast een voorlopige: of de cijfers eruit mogen.",
    "requests_seen": "Wie om welk venster vroeg, en wanneer.",
    "batches_seen": "De aantallen gemeenschappelijke patiënten opnieuw bij iedere latere toetreding, en welke rijen "
                    "waar nieuw zijn.",
    "erasure_seen": "Hoeveel lijsten van te wissen rijen iedere partij stuurt, en welke rijen: patiënten tussen "
                    "opvulling.",
    "not_learnt": "De knooppunten komen niets over een patiënt te weten, geen uitkomst, en niet hoe een melding staat.",
    # Alerts
    "alert": "“{id}” meldt {recipient} iets over {kpi}, {cell}. De melding gaat aan bij {raise_at} {when}, en uit bij "
             "{clear_at} {unless} ({unit}).",
    "above": "of meer", "below": "of minder", "all_patients": "alle patiënten", "cell": "{dimension} {value}",
    "alert_out": "Voor ieder venster komt alleen dit eruit: aan of uit, of geen gegevens. De ontvanger hoeft het "
                 "cijfer zelf niet te mogen lezen.",
    "no_alerts": "Er zijn er geen.",
    # Late
    "late_is": "Wat komt nadat een partij {the_pane} heeft gedeeld, is te laat.",
    "maturities": "Wat te laat is, wordt gedeeld als {the_pane} en de wachttijd van de partij {days} dagen voorbij "
                  "zijn.",
    "no_maturities": "Wat te laat is, verandert niets.",
    "release_seal": "Uitkomsten zijn gemaakt van wat er was toen {the_pane} voor het eerst werd gedeeld. Wat te laat "
                    "is, verandert geen uitkomst.",
    "release_maturity": "Uitkomsten wachten {days} langer, en zijn gemaakt van wat er dan is.",
    "release_both": "Iedere uitkomst komt twee keer: een voorlopige, en {days} later een volledige. De volledige "
                    "blijft binnen als er over een paar patiënten iets te laat kwam: over niemand mag, of over "
                    "minstens {minimum}.",
    "revisions": "Berekeningen die volledige uitkomsten maken: hoogstens {runs}.",
    "horizon": "Gaat iets over {open_pane} van {panes} of langer geleden, dan wordt het geweigerd. De partij vergeet "
               "die tijd.",
    "no_horizon": "Niets is ooit te oud. Een partij onthoudt alles wat er gebeurde.",
    # Patients
    "linked": "Patiënten die een partij vóór {date} kende, worden gekoppeld.",
    "join_inner": "Alleen patiënten die alle partijen hebben, tellen mee.",
    "batch_panes": "Patiënten die later komen, treden {every} toe.",
    "batches": "Dat is {count} keer, voor het eerst op {first}. Ze treden alleen toe als er minstens {minimum} "
               "wachten. Vanaf dan tellen ze mee.",
    "no_batches": "Wie later komt, telt in geen enkele uitkomst mee.",
    "renewed": "Bestaat een koppeling uit meer toetredingen dan {count}, dan wordt iedereen opnieuw gekoppeld, met een "
               "andere sleutel. De knooppunten zien dan de aantallen gemeenschappelijke patiënten nog een keer.",
    # Withdrawal
    "zero": "De patiënt telt vanaf dan nergens meer in mee: in niets van de tijd die de partij nog moet delen.",
    "withdrawals_by": "Wie zich terugtrekt, wordt gemeld door {names}.",
    "no_withdrawals": "Geen bron meldt dat iemand zich terugtrekt. Onder deze afspraak kan dat dus niet.",
    "stays": "Vrijgegeven uitkomsten blijven zoals ze zijn.",
    "no_erasure": "Wat over eerdere tijd is gedeeld, blijft bij de knooppunten.",
    "erasure_every": "Eerdere rijen worden bij de knooppunten gewist. Een partij stuurt hun daarvoor {every} een "
                     "lijst, en aan het eind.",
    "erasure_slots": "Een lijst heeft altijd {slots} rijen: die van patiënten, aangevuld met rijen waar niemand staat.",
    "erasure_delay": "De knooppunten wissen als daarna nog {panes} compleet zijn.",
    "erasure_delay_default": "De knooppunten wissen als de langste vensters over die tijd berekend zijn.",
    "erasure_within": "Ze doen dat uiterlijk {days} nadat ze de lijst kregen.",
    "erasure_receipt": "Ieder knooppunt tekent een bewijs. Daarna wordt over die tijd niets nieuws meer berekend.",
    # Ends
    "valid_from": "De afspraak geldt vanaf {date}.", "valid_until": "De afspraak geldt tot en met {date}.",
    "quota": "Berekeningen in totaal: hoogstens {runs}.",
    "privacy_budget": "Privacy die alle versies samen mogen verbruiken: hoogstens ρ = {rho}.",
    "privacy_needed": "Wat gepland is, verbruikt daarvan hoogstens ρ = {rho}. Voor ieder cijfer wordt per editie één "
                      "keer betaald, hoeveel vensters er ook zijn.",
    "needed": "Wat gepland is, heeft er hoogstens {schedule} nodig. Aanvragen kunnen er hoogstens {requests} bij doen.",
    "revoke": "Iedere partij kan de afspraak op elk moment intrekken, op de keten. Daarna komt er niets nieuws meer "
              "uit, en wat bezig is stopt.",
    "suspend": "Iedere partij kan de afspraak opschorten, op de keten, en weer laten ingaan. Intussen wordt niets "
               "berekend.",
    "superseded": "Iedere wijziging maakt een nieuwe versie, die alle partijen moeten ondertekenen. Berekeningen "
                  "tellen over alle versies samen.",
    "supersedes": "Ze komt in de plaats van de versie die op de keten {version} heet.",
    "afterwards": "Vrijgegeven uitkomsten blijven. Als de afspraak voorbij is, moeten de beheerders van de knooppunten "
                  "de opslag wissen.",
    # Assumed
    "semi_honest": "Knooppunten volgen het protocol. Een knooppunt dat met opzet verkeerd rekent, valt niet altijd op.",
    "no_collusion": "Geen twee van de drie organisaties achter de knooppunten leggen hun stukken bij elkaar, in welke "
                    "rol ook. Twee samen zouden alles kunnen lezen wat gedeeld is.",
    "honest_inputs": "Partijen voeren in wat klopt.",
    "one_agreement": "Niemand vergelijkt deze afspraak met een andere over dezelfde patiënten.",
    "chance": "Iemand kan patiënten herkennen aan wat hij al weet. Geen regel ziet dat.",
    # Keys
    "key_address": "{name} ondertekent met ketensleutel {key}.",
    "key_batches": "{name} ondertekent wat ze deelt met {key}.",
    "key_certificate": "Knooppunt {number} is te herkennen aan certificaat {key}.",
    "key_node_sealing": "Wat voor knooppunt {number} is, wordt versleuteld voor {key}.",
    "key_records": "Knooppunt {number} ondertekent zijn verslagen met {key}.",
    "key_attestor": "Knooppunt {number} bevestigt berekeningen met ketensleutel {key}.",
    "key_sealing": "Uitkomsten voor {name} worden versleuteld voor {key}.",
    "key_requests": "{name} ondertekent aanvragen met ketensleutel {key}.",
    # What differs
    "equal": "De twee zeggen hetzelfde.",
    "differ": "{old} en {new} verschillen. Alle partijen moeten opnieuw ondertekenen.",
    "differ_one": "Ze verschillen op 1 punt.", "differ_many": "Ze verschillen op {count} punten.",
    "group_who": "Wie", "group_what": "Wat", "group_when": "Wanneer", "group_protected": "Hoe het beschermd is",
    "group_long": "Hoe lang",
    "was": "was: {text}", "is": "is: {text}", "nothing": "(niets)",
    "weaker": "zwakkere bescherming", "stronger": "sterkere bescherming", "neutral": "neutraal",
    "weigh": "weeg dit zelf af",
    "no_words": "Geen zin van de samenvatting verschilt: het gaat om een volgorde, of iets zonder gevolg.",
    "unequal_kinds": "De ene is een concept en de andere heeft de sleutels. Alleen wat beide zeggen is vergeleken.",
    # What is wrong, and what is permitted
    "invalid": "{file} kan zo niet worden ondertekend.", "valid": "{file} kan zo worden ondertekend.",
    "fault_found": "gevonden: {text}", "fault_expected": "verwacht: {text}", "fault_next": "wat te doen: {text}",
    "permits": "De afspraak staat {kpis} toe, voor {recipients}.",
    "permits_windows": "Vensters die vanzelf worden berekend: {count}.",
    "permits_editions": "Ze komen eerst voorlopig, en later volledig: hoogstens {count} daarvan.",
    "permits_batches": "Zo vaak treden later nog patiënten toe: {count} keer.",
    "permits_requests": "Extra berekeningen waar {names} om mag vragen: hoogstens {count}.",
    "permits_runs": "Wat gepland is, heeft hoogstens {needed} berekeningen nodig. Er zijn er {agreed} afgesproken.",
    "doubts": "Is dit zo bedoeld?",
    "doubt_schedule": "Er zijn maar {agreed} berekeningen afgesproken, en wat gepland is kan er {needed} nodig hebben. "
                      "Spreek er meer af. Anders worden sommige vensters nooit berekend.",
    "doubt_budget": "Er is maar ρ = {agreed} aan privacybudget afgesproken, en wat gepland is kan {needed} "
                    "verbruiken. Spreek meer af, anders worden sommige cijfers nooit berekend.",
    "doubt_requests": "Er zijn {agreed} berekeningen afgesproken. Wat gepland is en aanvragen samen kunnen er {needed} "
                      "nodig hebben. Aanvragen kunnen dus opmaken wat vensters nodig hebben.",
    "doubt_late": "Vensters die pas na {date} kunnen komen, als de afspraak voorbij is: {count}. Ze worden nooit "
                  "berekend.",
    "doubt_rounding": "Geen enkele KPI geeft sommen in {units} vrij. Wat disclosure.rounding daarover zegt, rondt dus "
                      "niets af.",
    "doubt_unused": "Geen enkele KPI heeft {names} nodig, en toch worden ze gedeeld.",
    "doubt_unread": "Niemand mag {names} lezen.",
    # What a schedule can be expected to let out
    "outlook": "Voor {patients} gekoppelde patiënten, van wie {exposed} gebruikt wat wordt onderzocht. Er zijn er "
               "minstens {minimum} nodig.",
    "expectations": "Dit zijn verwachtingen. Wie in welke groep en categorie zit is toeval. Elk aantal kan dus kleiner "
                    "uitvallen.",
    "not_looked_at": "Hier is niet naar gekeken: regels tegen overwicht, wie later komt of zich terugtrekt, en "
                     "volledige uitkomsten naast voorlopige.",
    "outcome_all": "alles komt eruit: {count}", "outcome_all-unsure": "alles wordt verwacht, maar is niet zeker: "
                   "{count}",
    "outcome_total": "alleen alle patiënten samen: {count}",
    "outcome_total-unsure": "alleen alle patiënten samen, en niet zeker: {count}", "outcome_nothing": "niets: {count}",
    "part_total": "alle patiënten samen", "part_table": "de categorieën", "outside": "in geen categorie",
    "of_arm": "patiënten van groep “{arm}”",
    "thinnest": "Het dunst voor {part}: {who}, met “{counted}”. Verwacht: {expected} in {atom}. Nodig: {minimum}. Kans "
                "dat het er te weinig zijn: {risk}.",
    "least_likely": "Minst waarschijnlijke venster: {window}. Kans dat het lukt voor {part}: minstens {chance}.",
    "least_unlikely": "In {window}, en zulke vensters, is een aantal voor {part} vaak te klein.",
    "help": "Wat zou helpen, voor {part}: {ways}",
    "help_step": "vensters die om de {panes} of meer beginnen en eindigen (een stap van die lengte, en een duur die "
                 "daar een veelvoud van is).",
    "help_no_step": "geen langere stap binnen de tijd van de afspraak is genoeg.",
    "help_patients": "{patients} patiënten zouden met deze vensters genoeg zijn.",
    "less_than": "minder dan {percent}%", "more_than": "meer dan {percent}%", "percent": "{percent}%",
    "fields": "Velden die verschillen: {fields}.", "many_fields": "Velden die verschillen:",
}
