"""What a report says, in English, beside the clauses of the summary. console.agreement.dpia.dutch has the same keys."""

from typing import Final

ENGLISH: Final[dict[str, str]] = {
    # The page
    "dpia_title": "Data protection impact assessment: {title}",
    "dpia_made": "Made from the agreement and from how Winnow works. It is a beginning: what is marked “To be "
                 "filled in” people have to write. “The agreement is silent” says what it leaves open. Only the "
                 "agreement is binding.",
    "dpia_open": "To be filled in", "dpia_silent": "The agreement is silent",
    "dpia_count": "Points to be filled in: {count}.", "dpia_contents": "Contents",
    "dpia_described": "Systematic description of the processing", "dpia_law_described": "GDPR article 35(7)(a)",
    "dpia_purposes": "Purposes and legal basis", "dpia_law_purposes": "GDPR articles 5(1)(b), 6, 9 and 35(7)(a)",
    "dpia_roles": "Controllers, processors and others", "dpia_law_roles": "GDPR articles 4, 26 and 28",
    "dpia_flows": "Kinds of data, and where they go", "dpia_law_flows": "GDPR articles 9 and 35(7)(a)",
    "dpia_need": "Necessity and proportionality", "dpia_law_need": "GDPR articles 5(1)(c) and 35(7)(b)",
    "dpia_recipients": "Recipients, and other countries", "dpia_law_recipients": "GDPR articles 13, 14 and 44 to 49",
    "dpia_kept": "How long data are kept, and erasure", "dpia_law_kept": "GDPR articles 5(1)(e) and 17",
    "dpia_rights": "Rights of patients", "dpia_law_rights": "GDPR articles 12 to 22",
    "dpia_risks": "Risks for patients, and measures", "dpia_law_risks": "GDPR articles 32 and 35(7)(c) and (d)",
    "dpia_residual": "What remains, and what Winnow does not catch", "dpia_law_residual": "GDPR article 36",
    "dpia_running": "How it is run", "dpia_law_running": "GDPR article 32",
    "dpia_to_do": "What has still to be filled in", "dpia_law_to_do": "GDPR article 35(2) and (9), article 36",
    # Description
    "dpia_subjects": "Data subjects are the patients whom the data parties have in their records, as far as the "
                     "agreement has them linked.",
    "dpia_context": "Context",
    "dpia_open_context": "Why this is done now, at which scale (how many patients), and what patients may expect.",
    # Purposes
    "dpia_purposes_are": "Purposes", "dpia_basis": "Legal basis", "dpia_no_basis": "No legal basis stands in it.",
    "dpia_open_basis": "The legal basis of each controller (article 6(1)), and for which step: to read its records, "
                       "to share pieces, to receive results.",
    "dpia_open_health": "The exception for data about health (article 9(2)), with the national law it rests on.",
    "dpia_open_number": "The legal basis for using patients' numbers to link, such as a national number (article 87).",
    # Roles
    "dpia_roles_table": "Who is who", "dpia_name": "Who", "dpia_role": "Role in the agreement",
    "dpia_sees": "Gets to see", "dpia_controller": "Controller, joint controller or processor",
    "dpia_no_controllers": "It names parties, nodes, recipients and requesters, not controllers and processors.",
    "dpia_open_contracts": "The arrangement between joint controllers (article 26), and contracts with processors "
                           "(article 28). The agreement is neither.",
    "dpia_open_controller": "Whether {name} is controller, joint controller or processor, and for which step.",
    "dpia_party": "data party", "dpia_party_sees": "Its own records, and how far its own data are.",
    "dpia_node_unnamed": "its organisation is not named yet.",
    "dpia_node_role": "computes with pieces",
    "dpia_node_sees": "Pieces that say nothing alone, and what stands under “What nodes learn”.",
    "dpia_recipient": "recipient", "dpia_told": "It is told of {alerts}: on or off.",
    "dpia_requester": "requester", "dpia_requester_sees": "It asks, and reads answers as {recipient}.",
    # Flows
    "dpia_categories": "Kinds of data", "dpia_form": "In which form data leave a party",
    "dpia_special": "Whether somebody is in care, and what it cost, are data about health (article 9).",
    "dpia_flows_table": "From each party to the nodes",
    "dpia_party_column": "Party",
    "dpia_read": "Reads of its records",
    "dpia_shares": "Shares",
    "dpia_leaves": "{count} numbers of each patient for each {pane}, and a key to link by, in pieces.",
    "dpia_leaves_key": "A key of each patient to link by, in pieces.",
    "dpia_goes_to": "Goes to", "dpia_kinds": "{kinds}",
    "dpia_to_nodes": "Each piece to two of the three nodes, sealed to them.",
    "dpia_numbers_of": "Numbers that {name} shares", "dpia_onward": "What nodes learn, and what goes on from there",
    "dpia_on_chain": "On the chain stand hashes, addresses, dates and counts of runs: nothing about a patient, and "
                     "no hash of a patient's data.",
    # Need
    "dpia_minimised": "Only what is needed",
    "dpia_only_these": "Nothing but these numbers leaves a party, and nothing but the KPIs of the agreement can be "
                       "computed.",
    "dpia_need_table": "What each number is needed for", "dpia_number": "Number", "dpia_needed_for": "Needed for",
    "dpia_for": "{kpis}",
    "dpia_open_unneeded": "No KPI needs “{name}”. Take it out of the agreement, or say why it is shared.",
    "dpia_how_much": "How much is computed", "dpia_precision": "In which detail",
    "dpia_weighed": "Weighed",
    "dpia_open_necessity": "Why the purposes cannot be reached without data of these parties about the same patients.",
    "dpia_open_less": "Which less intrusive ways were considered (fewer parties, a sample, longer windows, "
                      "published figures), and why they do not do.",
    "dpia_open_benefit": "What patients and care gain, set against the risks below.",
    # Recipients
    "dpia_readers": "Who reads", "dpia_asking": "Who may ask for more", "dpia_transfers": "Where it happens",
    "dpia_no_places": "Where nodes, brokers and recipients stand is not known yet.",
    "dpia_open_transfers": "In which countries nodes, brokers, chain and recipients are; outside the EEA, the "
                           "ground for the transfer (articles 44 to 49).",
    "dpia_further": "Passing on", "dpia_no_further": "Whether a recipient may pass figures on, or publish them.",
    "dpia_open_further": "To whom recipients may pass figures on, and under which conditions.",
    # Kept
    "dpia_kept_table": "What is kept where", "dpia_where": "Where", "dpia_what": "What", "dpia_until": "Until when",
    "dpia_deletes": "Who deletes",
    "dpia_party_topics": "Each party's own topics",
    "dpia_events": "Events under pseudonyms, numbers, refused lines (sealed)",
    "dpia_days": "{days} after being written",
    "dpia_years": "{years} years",
    "dpia_broker_deletes": "The broker, by itself",
    "dpia_party_memory": "Each party's worker, and its topics of states",
    "dpia_remembered": "Events, for corrections; the register of pseudonyms, until the topic is deleted",
    "dpia_party_deletes": "The party's worker, by itself", "dpia_inboxes": "Nodes' inboxes",
    "dpia_sealed_pieces": "Pieces, sealed to the node", "dpia_stores": "Nodes' stores",
    "dpia_pieces": "Pieces of every patient's numbers; the linkage; running totals",
    "dpia_no_store_date": "No date stands in it. It holds up to and including {date}.",
    "dpia_open_stores": "By when each node organisation deletes its store, and how it shows that.",
    "dpia_evidence": "Nodes' evidence, and access logs made from it",
    "dpia_what_evidence": "What ran, was refused or cut off, which organisation asked, and to whom it went; nothing "
                          "about a patient",
    "dpia_no_evidence_date": "No date stands in it.",
    "dpia_open_evidence": "How long each node organisation keeps its evidence and logs, and on which grounds.",
    "dpia_node_deletes": "The node organisation, by hand", "dpia_results": "Topics of results",
    "dpia_sealed_results": "Results, sealed to the recipient", "dpia_records": "Topics of runs and requests",
    "dpia_what_records": "What ran, was refused or withheld, and who asked; nothing about a patient",
    "dpia_receipts": "Topics of receipts", "dpia_what_receipts": "Lists of erased rows, signed; no patient is named",
    "dpia_accounts": "Owners' accounts of privacy budgets",
    "dpia_what_accounts": "Which agreement may spend how much on a data set; nothing about a patient",
    "dpia_owner_deletes": "The owner, by hand: what was spent is forgotten with it",
    "dpia_documents": "Recipients' documents and pages", "dpia_figures": "Released figures",
    "dpia_no_document_date": "Nothing stands in it about how long recipients keep figures.",
    "dpia_open_documents": "How long recipients keep figures.", "dpia_recipient_deletes": "The recipient, by hand",
    "dpia_chain": "The chain", "dpia_for_ever": "For ever", "dpia_nobody_deletes": "Nobody can",
    "dpia_embedded": "An embedded broker deletes nothing until it ends: these periods hold on Apache Kafka.",
    "dpia_open_deletion": "How long each party keeps the records that it reads from: the agreement does not touch "
                          "these.",
    "dpia_after": "When it is over",
    # Rights
    "dpia_informed": "Being informed (articles 12 to 14)",
    "dpia_no_information": "Nothing stands in it about what patients are told.",
    "dpia_open_information": "How patients are told, by which party, when, and in which words; or why they need not "
                             "be.",
    "dpia_access": "Access (article 15)",
    "dpia_access_at_party": "No node can tell what is about whom, so it cannot give access. A party can, to its own "
                            "records.",
    "dpia_open_access": "Whom a patient asks, and what is answered.",
    "dpia_objection": "Objection, withdrawal of consent and erasure (articles 7(3), 17 and 21)",
    "dpia_open_objection": "How a patient makes it known, at which party, and how parties tell each other.",
    "dpia_corrected": "Rectification (article 16)",
    "dpia_corrected_at_party": "A correction in a party's records follows this way; a released figure stays.",
    "dpia_automated": "Automated decisions (article 22)",
    "dpia_no_decision": "Nothing that comes out is about one patient, so no decision about a patient can be made by "
                        "it alone.",
    "dpia_open_decision": "Which decisions are made by these figures, and about whom.",
    # Risks
    "dpia_risks_are": "Each risk is set against what is enforced by this agreement, who enforces it, and what remains.",
    "dpia_open_weight": "Likelihood and severity of each risk, before and after the measures.",
    "dpia_open_risks": "Risks of this case that no agreement shows.",
    "dpia_enforced": "Enforced", "dpia_by": "By whom", "dpia_remains": "What remains",
    "dpia_weight": "Likelihood and severity",
    "dpia_risk_inside": "A node organisation, or who breaks into it, reads patients' data",
    "dpia_risk_linking": "Linking tells who is known to which parties",
    "dpia_risk_party": "What lies at a data party leaks",
    "dpia_risk_few": "A figure tells about a few patients",
    "dpia_risk_dominant": "A figure tells about a patient who makes up most of it",
    "dpia_risk_subtracted": "Figures are subtracted, and tell about a few patients",
    "dpia_risk_withheld": "That something is withheld tells something",
    "dpia_risk_recognised": "A reader recognises somebody by what he knows already",
    "dpia_risk_alerts": "An alert tells more than it should",
    "dpia_risk_purpose": "Data or figures are used for something else",
    "dpia_risk_asking": "Somebody asks until the answers tell about a patient",
    "dpia_risk_wrong": "Figures are wrong, and care is decided by them",
    "dpia_risk_groups": "A group of people is treated unfairly because of figures about it",
    "dpia_risk_kept": "Data are kept longer than is needed",
    "dpia_risk_withdrawal": "Who withdraws goes on being counted",
    "dpia_risk_unaware": "Patients do not know, and cannot object",
    "dpia_risk_chain": "The chain shows personal data, or cannot stop what should stop",
    "dpia_sealed": "Pieces are sealed to their node and signed by their party. Nodes talk over TLS 1.3.",
    "dpia_by_split": "The parties, who split; each node gets two of three pieces, and no node the third.",
    "dpia_by_certificates": "Each node, which talks only to certificates and keys of the signed terms.",
    "dpia_open_collusion": "The contract that forbids node organisations to put pieces together, and how "
                           "independent they are.",
    "dpia_same_organisation": "More than one node is run by {names}, who can read all that is shared. The "
                              "protection by splitting does not hold then.",
    "dpia_by_linkage": "The nodes, who shuffle and compare keys under encryption; each adds made-up patients of its "
                       "own.",
    "dpia_pseudonyms": "Where a party reads its files, a patient's number becomes a pseudonym of that party. "
                       "On topics and in logs numbers do not stand in clear.",
    "dpia_by_party": "The party's own worker.",
    "dpia_own_systems": "A party's own systems, topics and keys are as safe as that party makes them.",
    "dpia_open_security": "Security of each organisation's systems and keys (article 32), and who notices a breach "
                          "(33, 34).",
    "dpia_by_shares": "The three nodes, on pieces, before anything opens: disclosure.minimum_cohort = {minimum}, "
                      "and dominance rules if there are any.",
    "dpia_by_nobody": "Nobody: this is not a matter of the agreement.",
    "dpia_dominance_remains": "What several patients together know of themselves is not looked at.",
    "dpia_open_dominance": "Why no such rule is needed.",
    "dpia_lattice": "KPIs that could be subtracted from each other to a few patients cannot stand in one agreement.",
    "dpia_by_lattice": "Each process that reads the terms: it refuses those that break this rule. The nodes, by "
                       "checking every piece of time.",
    "dpia_dummies": "Each node adds {count} made-up patients to every register.",
    "dpia_made_up_for": "What was due and not done in one piece of time can be made up for in the next: of the "
                        "difference of two windows that overlap this is not looked at.",
    "dpia_two_codes": "Two codes for one thing are taken as two things: the difference of their figures is not "
                      "looked at.",
    "dpia_changers": "Patients who change group or arm between windows can be told apart from sums of squares, where "
                     "sums and intervals come out together. No minimum looks at that.",
    "dpia_open_other_agreements": "Other agreements, publications and releases about the same patients.",
    "dpia_by_bits": "The three nodes: one answer for each window and KPI, in a declared order, whatever rule it was.",
    "dpia_by_tail": "The three nodes: they round on pieces, and seal what comes out to its recipient.",
    "dpia_no_noise": "No noise is added to figures of {kpis} (no differential privacy).",
    "dpia_by_alerts": "The three nodes: they compare on pieces, and seal the state to its recipient.",
    "dpia_alert_remains": "On or off tells on which side of the bound a figure lies.",
    "dpia_plans": "Only plans whose hashes stand in the signed terms can run.",
    "dpia_by_gate": "Each node for itself, before, during and after a run (rules agreement-active, terms-agreed, "
                    "within-validity, plan-permitted, window-on-lattice, quota). One that refuses is enough.",
    "dpia_by_contract": "The registry contract on the chain: signatures of all parties, dates, quotas, suspension "
                        "and revocation.",
    "dpia_purpose_remains": "Purposes are words. What a recipient does with a figure no program sees.",
    "dpia_open_use": "The rule or contract that binds recipients to the purposes.",
    "dpia_by_requests": "Each node, by the same rules (requester-known, request-signed, request-fresh, "
                        "kpis-permitted, requester-quota); the contract counts the runs of each requester.",
    "dpia_schedule_remains": "What the schedule tells comes out whoever reads it.",
    "dpia_noticed": "Wrong openings, changed messages, other programs and inputs that two nodes hold differently "
                    "are noticed.",
    "dpia_by_nodes": "Each node, which stops the run.",
    "dpia_not_randomised": "Users of an innovation differ from patients who do not use it yet. A difference is no "
                           "proof of an effect.",
    "dpia_no_fairness": "Who judges what figures mean for groups.",
    "dpia_open_fairness": "How figures by group are read and used, and who looks at unfair effects.",
    "dpia_by_deletion": "Brokers and workers, by themselves; nodes' stores and recipients' documents by hand.",
    "dpia_disks": "Freed blocks of disks are not overwritten: encrypted disks are needed.",
    "dpia_by_erasure": "The party's worker, and the three nodes together, who sign receipts.",
    "dpia_receipt_remains": "A receipt is a node's word: nobody can prove that no copy is left.",
    "dpia_chain_remains": "A computation that was opened before a revocation is out. An endpoint may be late: nodes "
                          "compare what they read, and take no old block.",
    # What remains
    "dpia_assumed": "What is assumed", "dpia_not_caught": "What Winnow does not catch",
    "dpia_left_open": "What this agreement leaves open",
    "dpia_wrong_products": "A node that computes wrong products on purpose: all agree on a wrong number then.",
    "dpia_no_proof": "That a copy of pieces was kept: deletion and erasure cannot be proved.",
    "dpia_open_residual": "Whether what remains is acceptable; if the risk stays high, ask the authority first "
                          "(article 36).",
    # Running
    "dpia_no_configuration": "No configuration was given, so nothing is known here of how it is run.",
    "dpia_open_running": "For each organisation: who runs it, where, with which backups, and who may log in.",
    "dpia_runs_party": "Party {name}", "dpia_runs_node": "Node {number}",
    "dpia_a_node": "node {number}", "dpia_runs_recipient": "Recipient {name}",
    "dpia_runs_requester": "Requester {name}", "dpia_runs_other": "A process",
    "dpia_embedded_broker": "It uses an embedded broker: for one machine, without encryption or log-in, and it "
                            "deletes nothing. Not for real patients.",
    "dpia_kafka": "It uses Kafka over TLS, with a log-in of its own.",
    "dpia_kafka_in_clear": "It uses Kafka without TLS and log-in: whoever is on that network can read what is not "
                           "sealed.",
    "dpia_reads_chain": "It reads chain {chain} at {host}, registry {registry}.",
    "dpia_chain_in_clear": "It reads the chain without encryption: answers can be changed on the way.",
    "dpia_from_folder": "It reads events from files in a folder.",
    "dpia_from_topic": "It reads events from its own topic.",
    "dpia_live": "It stays up and waits for its peers.", "dpia_not_live": "It ends when its peers stay away.",
    "dpia_writes_document": "It writes figures to a document, and shows them on pages of that machine.",
    "dpia_notifies": "It sends messages about alerts to addresses in a file.",
    # To do
    "dpia_decided": "Advice and decision",
    "dpia_open_advice": "Advice of the data protection officer (article 35(2)), and what was done with it.",
    "dpia_open_views": "Views of patients or their representatives (article 35(9)), or why they were not asked.",
    "dpia_open_prior": "Whether the authority has to be asked first (article 36).",
    "dpia_open_review": "When this report is looked at again: at the latest when the agreement changes (article "
                        "35(11)).",
    "dpia_open_signed": "Who decided, when, and with which result.",
}
