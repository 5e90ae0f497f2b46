"""What agreements say, in English. console.agreement.dutch has the same keys."""

from typing import Final

ENGLISH: Final[dict[str, str]] = {
    # Time
    "day": "day", "days": "days", "week": "week", "weeks": "weeks", "month": "month", "months": "months",
    "year": "year", "years": "years",
    "the_day": "the day", "the_week": "the week", "the_month": "the month", "the_year": "the year",
    "whole_day": "the whole day", "whole_week": "the whole week", "whole_month": "the whole month",
    "whole_year": "the whole year",
    "of_day": "of the day", "of_week": "of the week", "of_month": "of the month", "of_year": "of the year",
    "open_day": "a day", "open_week": "a week", "open_month": "a month", "open_year": "a year",
    "every_day": "every day", "every_week": "every week", "every_month": "every month", "every_year": "every year",
    "every": "every {panes}", "and": "and",
    # The page
    "state_draft": "This is a draft. Nobody has signed it.",
    "state_terms": "These are the terms that the parties sign. Their hash is {hash}.",
    "made": "This summary is made from the agreement itself. Only the agreement is binding.",
    "who": "Who takes part", "shared": "What each party shares of whom", "why": "What it is for",
    "computed": "What is computed", "periods": "For which periods, and when", "readers": "Who may read what",
    "asking": "Who may ask for more", "never": "What never comes out", "nodes": "What the nodes learn besides",
    "alerts": "Alerts", "late": "What comes late, or is corrected", "patients": "Which patients count",
    "withdrawal": "When a patient withdraws", "ends": "How long it holds, and how it ends",
    "assumed": "What is assumed", "keys": "Whose keys these are",
    # Who
    "name": "The agreement is called “{name}”. Its title: “{title}”.",
    "party": "Data party: {name}. It keeps its own records.",
    "pieces": "What a party shares is split into pieces. One piece alone says nothing.",
    "nodes_draft": "Three nodes compute with the pieces. Three organisations run them: the signed terms name these.",
    "node": "Node {number}, which computes with the pieces: run by {organisation}, at {endpoint}.",
    "recipient": "Recipient of results: {name}.",
    "requester": "Requester, who may ask for more: {name}.",
    # Shared
    "per_pane": "Of every patient a party shares only these numbers, one for each {pane}. Nodes get them in pieces. "
                "Names, numbers of persons and records stay with the party.",
    "link_key": "Each party also shares a key of every patient, in pieces. It is made of the patient's number, and "
                "serves to put together what belongs to one patient.",
    "source": "Source “{name}”: {kinds}.",
    "source_bound": "What comes within {days} after it happened is waited for.",
    "grace": "{name} waits {panes} after the end {of_pane} before it shares it.",
    "no_grace": "{name} shares {open_pane} as soon as it has ended.",
    "kind_enrolment": "enrolments", "kind_encounter": "contacts", "kind_monitoring": "monitoring modules",
    "kind_prom": "questionnaires of patients", "kind_claim": "claims", "kind_social": "social factors",
    "kind_withdrawal": "withdrawals", "kind_heartbeat": "signs of life",
    "m": "“{name}”: {meaning}.",
    "m_exposed": "whether the patient is in “{programme}” for {whole_pane}, yes or no",
    "m_not-yet-exposed": "whether the patient is in “{cohort}” for {whole_pane} and was never in “{programme}” up to "
                         "its end, yes or no",
    "m_days": "on how many days {of_pane} the patient is in “{programme}”",
    "m_count": "how many {events}; what was taken back does not count",
    "m_sum": "the cost of {events}; what was credited is taken off",
    "m_category": "which “{field}” the patient has at the start {of_pane}: yes or no for each of {values}",
    "m_value": "{value} (“{name}”)",
    "m_nonzero": "whether “{of}” is anything but 0, yes or no",
    "m_missed": "how many {events} were due and not done, never below 0",
    "m_follow-ups": "how many answers to questionnaire “{code}” came after the patient's first one",
    "m_change": "how far those later answers to “{code}” lie from the first one, added up, in hundredths of a point",
    "events_claim": "claims", "events_claim_care_type": "claims for care of type “{care_type}”",
    "events_encounter": "contacts", "events_encounter_code": "contacts of type “{code}”",
    "events_monitoring": "monitoring modules", "events_monitoring_code": "monitoring modules that are “{code}”",
    "events_prom": "answers to questionnaires", "events_prom_code": "answers to questionnaire “{code}”",
    "events_module": "{events} (module “{module}”)",
    "m_bound": "At most {bound}.", "m_bound_cents": "At most {bound}, up or down.",
    "m_bound_points": "At most {bound}, up or down.",
    "m_at_risk": "It is 0 where “{at_risk}” is 0.", "m_idle": "Written beside it, without any effect: {fields}.",
    # Why
    "purpose": "Purpose: {term}.", "category": "Kind of data: {term}.", "known_term": "{words} ({code})",
    # Computed
    "kpi": "{title} ({id})",
    "rate-ratio": "“{outcome}” per “{time}” of patients in arm “{exposed}”, divided by that of arm “{comparator}”.",
    "mean-difference": "“{outcome}” per “{time}” of patients in arm “{exposed}”, less that of arm “{comparator}”.",
    "share": "“{time}” of patients in arm “{exposed}”, as a share of that of “{exposed}” and “{comparator}” together.",
    "completion": "“{outcome}” as a share of “{time}”, of patients in arm “{exposed}”.",
    "unit": "The value is {unit}.", "scale": "For that, the recipient takes what the nodes give times {scale}.",
    "unit_ratio": "a ratio", "unit_EUR/patient-month": "in euros per patient-month", "unit_points": "in points",
    "unit_share": "a share, from 0 to 1",
    "cap": "What a patient adds in a window and group counts as 0 below 0, and as {cap} above that.",
    "counted": "Enough patients must have something of each of: {names}.",
    "groups": "For all patients, and by {dimension}: {values}.", "no_groups": "For all patients only, not by group.",
    "group": "{value} (“{measure}”)", "named_group": "{name} ({value}, “{measure}”)",
    "named_dimension": "{name} ({dimension})",
    "outputs": "Of every cell comes out: {outputs}.", "output_value": "the value",
    "output_interval": "a 95% interval", "output_sums": "the exact sums",
    "output_rounded_sums": "the sums as multiples of {bases}",
    "rounding": "Numbers are rounded to about {digits} digits ({bits} binary ones).",
    "sums_and_interval": "The sums together with the interval also give sums of squares. Differences of these may be "
                         "about one patient. No minimum guards that.",
    "makers_words": "The title and these are its makers' words, no part of the agreement: “{description}”",
    "privacy": "Noise is added to every sum before anything is made of it: (ε, δ)-differential privacy of a patient "
               "over all windows together, with ε = {epsilon} for δ = {delta} (ρ = {rho}), in each edition.",
    "privacy_covers": "It covers every value, interval and sum that comes out, and alerts about them, however many "
                      "windows are released.",
    "privacy_not": "It does not cover whether a figure may come out, which follows from exact counts, nor how many "
                   "patients are linked.",
    "privacy_interval": "The interval allows for the noise. It is found from {groups} groups of patients.",
    "privacy_no_interval": "No interval comes out: a figure does not say how much noise is in it.",
    # Periods
    "grid": "Time is cut into {panes}, from {first} up to and including {last}, by the clocks of {zone}.",
    "tumbling": "A window is {size}. One follows the other.",
    "hopping": "A window is {size}. A new one begins {every}.",
    "cumulative": "Windows grow from one start, by {size} at a time.",
    "again": "They begin anew {every}.", "never_again": "They never begin anew.",
    "scheduled": "Windows that are computed by themselves: {count}. The first is {first}, the last {last}.",
    "expected": "The figures of the first window can come from {first} on, those of the last from {last} on.",
    # Readers
    "reads": "{name} reads {kpis}.", "reads_nothing": "{name} reads no figures.",
    "readers_only": "Results are sealed to their recipient. The nodes cannot read them.",
    # Asking
    "asks": "{name} may ask for what {recipient} may read. {recipient} gets the answer.",
    "asks_runs": "New computations for {name}: at most {runs}.",
    "largest": "Windows of up to {panes} may be asked for. They begin and end where windows of the schedule do.",
    "scheduled_only": "Only windows of the schedule may be asked for.",
    "nobody_asks": "Nobody may ask for anything. Only the schedule runs.",
    # Never
    "never_records": "No record, no number of one patient and no count of patients comes out.",
    "minimum": "No figure about fewer than {minimum} patients. In every arm and every group at least so many must "
               "have time in it, and as many something of what is counted.",
    "atoms": "That holds for every piece of time that windows can be subtracted to ({panes} or more): whoever "
             "compares overlapping windows finds no smaller group.",
    "remainder": "It holds for patients in no group, too. If there are a few of them, the groups stay inside.",
    "remainder_in_order": "Where not all groups may come out, as many of the first ones do, in the order in which they "
                          "are listed. Patients in the other groups and in none are then, together, at least "
                          "so many, or nobody.",
    "largest_percent": "No sum of which one patient makes up {percent}% or more.",
    "two_largest_percent": "No sum of which two patients make up {percent}% or more.",
    "p_percent": "No sum from which a patient could work out another's part to within {percent}%.",
    "no_dominance": "There is no rule against one or two patients who make up most of a sum.",
    "rounded": "Sums of {what} come out as the nearest multiple of {base}. What lies between is seen by nobody.",
    "rounds_nothing": "Sums of {what} would come out as the nearest multiple of {base}. No KPI lets out such sums yet.",
    "sums_days": "days", "sums_count": "numbers (such as visits)", "sums_cents": "amounts", "sums_hundredths": "scores",
    "base_hundredths": "{base} hundredths of a point",
    "suppressed": "What does not come out is shown as withheld, and the rule is named. It is not computed again.",
    # Nodes
    "overlap": "How many patients the parties have in common, for every combination of parties.",
    "shards": "The nodes see these numbers for each of {shards} parts of the registers.",
    "one_shard": "The nodes see these numbers for the registers as a whole.",
    "dummies": "These numbers are blurred. Each node adds {dummies} made-up patients to every register, and a secret "
               "number of them are in more than one.",
    "no_dummies": "These numbers are exact: no made-up patients are added.",
    "block_slots": "How large every register is, rounded up to a multiple of {slots} rows.",
    "bits": "Of every window and KPI, whether the figure for all patients may go, and whether the groups may. Whoever "
            "may read the nodes' records sees this too.",
    "bits_in_order": "Of every window and KPI, whether the figure for all patients may go, and how many of the groups. "
                     "Whoever may read the nodes' records sees this too.",
    "bits_full": "Of every full result beside a provisional one, too, whether its figures may go.",
    "requests_seen": "Who asked for which window, and when.",
    "batches_seen": "The numbers of patients in common again at every later entry, and which rows are new where.",
    "erasure_seen": "How many lists of rows to be erased each party sends, and these rows: patients among padding.",
    "not_learnt": "The nodes learn nothing about a patient, no result, and not how an alert stands.",
    # Alerts
    "alert": "“{id}” tells {recipient} about {kpi}, {cell}. It goes on at {raise_at} {when}, and off at {clear_at} "
             "{unless} ({unit}).",
    "above": "or more", "below": "or less", "all_patients": "all patients", "cell": "{dimension} {value}",
    "alert_out": "For every window only this comes out: on or off, or no data. The recipient need not be allowed to "
                 "read the figure.",
    "no_alerts": "There are none.",
    # Late
    "late_is": "What comes after a party has shared {the_pane} is late.",
    "maturities": "What is late is shared {days} days after {the_pane} and the party's wait have ended.",
    "no_maturities": "What is late changes nothing.",
    "release_seal": "Results are made of what was there when {the_pane} was shared first. What is late changes no "
                    "result.",
    "release_maturity": "Results wait {days} longer, and are made of what has come by then.",
    "release_both": "Every result comes twice: a provisional one, and a full one {days} later. The full one stays "
                    "inside if there are a few patients of whom something came late: nobody or at least {minimum}.",
    "revisions": "Computations that make full results: at most {runs}.",
    "horizon": "What is about {open_pane} that ended {panes} ago, or longer, is refused. The party forgets it.",
    "no_horizon": "Nothing is ever too old. A party remembers every event.",
    # Patients
    "linked": "Patients whom a party had in its records before {date} are linked.",
    "join_inner": "Only patients whom every party has count.",
    "batch_panes": "Patients who come later enter {every}.",
    "batches": "Times in all: {count}, first on {first}. They enter only if at least {minimum} wait, and count from "
               "then on.",
    "no_batches": "Who comes later is in no result.",
    "renewed": "When a linkage is made of more entries than {count}, everybody is linked anew, under another key. The "
               "nodes then see the numbers of patients in common once more.",
    # Withdrawal
    "zero": "From then on the patient counts in nothing: in no {pane} that the party has not shared yet.",
    "withdrawals_by": "Withdrawals reach the nodes through {names}.",
    "no_withdrawals": "No source brings withdrawals. Under this agreement nobody can withdraw.",
    "stays": "Released results stay as they are.",
    "no_erasure": "What was shared of earlier {pane}s stays at the nodes.",
    "erasure_every": "Earlier rows are erased at the nodes. A party sends them a list of rows {every}, and at the end.",
    "erasure_slots": "A list always has {slots} rows: those of patients, filled up with rows where nobody is.",
    "erasure_delay": "The nodes erase when {panes} more are complete.",
    "erasure_delay_default": "The nodes erase when the longest windows over that time have run.",
    "erasure_within": "They do so at the latest {days} after they got the list.",
    "erasure_receipt": "Every node signs a receipt. After that nothing new is computed over that time.",
    # Ends
    "valid_from": "It holds from {date}.", "valid_until": "It holds up to and including {date}.",
    "quota": "Computations in all: at most {runs}.",
    "privacy_budget": "Privacy that all versions together may spend: at most ρ = {rho}.",
    "privacy_needed": "What is planned spends up to ρ = {rho} of it. Each KPI is paid for once in each edition, "
                      "whatever the number of windows.",
    "needed": "The schedule needs up to {schedule}. Requests may add up to {requests}.",
    "revoke": "Every party can revoke it at any time, on the chain. After that nothing new comes out, and what is "
              "under way stops.",
    "suspend": "Every party can suspend it, on the chain, and resume it. Meanwhile nothing is computed.",
    "superseded": "Every change makes another version, which all parties must sign. Computations are counted "
                  "over all versions.",
    "supersedes": "It takes the place of the version that the chain knows as {version}.",
    "afterwards": "Released results stay. Once it is over, the nodes' stores must be deleted by who runs them.",
    # Assumed
    "semi_honest": "Nodes follow the protocol. A node that computes wrongly on purpose is not always noticed.",
    "no_collusion": "No two of the three node organisations put their pieces together, in whatever role. Two "
                    "together could read all that was shared.",
    "honest_inputs": "Parties enter what is true.",
    "one_agreement": "Nobody checks this agreement against another one about the same patients.",
    "chance": "Patients may be recognised from what people know otherwise; no rule sees that.",
    # Keys
    "key_address": "{name} signs with chain key {key}.", "key_batches": "{name} signs what it shares with {key}.",
    "key_certificate": "Node {number} is known by certificate {key}.",
    "key_node_sealing": "What is for node {number} is sealed to {key}.",
    "key_records": "Node {number} signs its records with {key}.",
    "key_attestor": "Node {number} attests runs with chain key {key}.",
    "key_sealing": "Results for {name} are sealed to {key}.",
    "key_requests": "{name} signs requests with chain key {key}.",
    # What differs
    "equal": "The two say the same.",
    "differ": "{old} and {new} differ. All parties must sign again.",
    "differ_one": "They differ in 1 point.", "differ_many": "They differ in {count} points.",
    "group_who": "Who", "group_what": "What", "group_when": "When", "group_protected": "How it is protected",
    "group_long": "How long",
    "was": "was: {text}", "is": "is: {text}", "nothing": "(nothing)",
    "weaker": "weaker protection", "stronger": "stronger protection", "neutral": "neutral",
    "weigh": "weigh it yourselves",
    "no_words": "No sentence of the summary differs: an order, or something that has no effect.",
    "unequal_kinds": "One is a draft and the other has the keys; only what both say is compared.",
    # What is wrong, and what is permitted
    "invalid": "{file} cannot be signed as it is.", "valid": "{file} can be signed as it is.",
    "fault_found": "found: {text}", "fault_expected": "expected: {text}", "fault_next": "what to do: {text}",
    "permits": "It permits {kpis}, for {recipients}.",
    "permits_windows": "Windows that are computed by themselves: {count}.",
    "permits_editions": "They come provisionally, and later in full: up to {count} of them.",
    "permits_batches": "Times that later patients enter: {count}.",
    "permits_requests": "More computations that {names} may ask for: up to {count}.",
    "permits_runs": "All that is planned needs up to {needed} computations; {agreed} are agreed.",
    "doubts": "Is this meant so?",
    "doubt_schedule": "Only {agreed} computations are agreed, and the schedule can need {needed}. Agree on more, or "
                      "some windows never run.",
    "doubt_budget": "Only ρ = {agreed} is agreed as privacy budget, and what is planned can spend {needed}. Agree on "
                    "more, or some KPIs never run.",
    "doubt_requests": "{agreed} computations are agreed. Schedule and requests together can need {needed}: requests "
                      "can use up what windows need.",
    "doubt_late": "Windows that can come only after {date}, when the agreement is over: {count}. They never run.",
    "doubt_rounding": "No KPI lets out sums in {units}, so what disclosure.rounding says of these rounds nothing.",
    "doubt_unused": "No KPI needs {names}, yet the parties share them.",
    "doubt_unread": "Nobody may read {names}.",
    # What a schedule can be expected to let out
    "outlook": "For {patients} linked patients, {exposed} of whom use what is evaluated. At least {minimum} are "
               "needed.",
    "expectations": "These are expectations. Who is in which arm and group is chance, so every count may turn out "
                    "smaller.",
    "not_looked_at": "Not looked at: dominance rules, who enters later or withdraws, and full results beside "
                     "provisional ones.",
    "outcome_all": "all comes out: {count}", "outcome_all-unsure": "all is expected, but not sure: {count}",
    "outcome_total": "only all patients together: {count}",
    "outcome_total-unsure": "only all patients together, and not sure: {count}", "outcome_nothing": "nothing: {count}",
    "part_total": "all patients together", "part_table": "the groups", "outside": "in no group",
    "of_arm": "patients of arm “{arm}”",
    "thinnest": "Thinnest for {part}: {who}, with “{counted}”. Expected are {expected} in {atom}; {minimum} are "
                "needed. Probability that there are too few: {risk}.",
    "least_likely": "Least likely window: {window}. Probability that it works out for {part}: at least {chance}.",
    "least_unlikely": "In {window}, and windows like it, some count for {part} will often be too small.",
    "help": "What would help, for {part}: {ways}",
    "help_step": "windows that begin and end every {panes} or more (a step of that, and a size that is a multiple of "
                 "it).",
    "help_no_step": "no longer step within the agreement's time is enough.",
    "help_patients": "{patients} patients would do with these windows.",
    "less_than": "less than {percent}%", "more_than": "more than {percent}%", "percent": "{percent}%",
    "fields": "Fields that differ: {fields}.", "many_fields": "Fields that differ:",
}
