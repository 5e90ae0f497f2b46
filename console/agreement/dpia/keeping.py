"""Who gets results, how long everything is kept, and what patients can ask: recipients, retention and rights."""

from collections.abc import Iterator

from console.agreement.dpia.blocks import Block, Cell, Line, Part, Report, Table, lines_of
from console.agreement.words import plain
from streams.topics import PLAINTEXT_DAYS, RECEIPT_DAYS, RESULT_DAYS, SHARE_DAYS

DAYS_PER_YEAR = 366


def recipients(report: Report) -> Part:
    """Who reads what, and where that is."""
    say, terms = report.say, report.subject.terms
    places: Cell = report.silent("dpia_no_places")
    if terms is not None:
        places = tuple(
            Line(say("node", number=str(n.number), organisation=plain(n.organisation), endpoint=plain(n.endpoint)))
            for n in terms.nodes
        )
    return Part("recipients", (
        Block(say("dpia_readers"), lines_of(report.clauses("readers"))),
        Block(say("dpia_asking"), lines_of(report.clauses("asking"))),
        Block(say("dpia_transfers"), (*places, *report.open("dpia_open_transfers"))),
        Block(say("dpia_further"), (*report.silent("dpia_no_further"), *report.open("dpia_open_further"))),
    ))


def kept(report: Report) -> Part:
    """What is kept where and until when; erasure of who withdraws."""
    head = tuple(report.say(f"dpia_{column}") for column in ("where", "what", "until", "deletes"))
    return Part("kept", (
        Table(report.say("dpia_kept_table"), head, tuple(_kept(report))),
        Block("", (*report.said("dpia_embedded"), *report.open("dpia_open_deletion"))),
        Block(report.say("withdrawal"), lines_of(report.clauses("withdrawal"))),
        Block(report.say("dpia_after"), report.quote("ends", "afterwards")),
    ))


def _kept(report: Report) -> Iterator[tuple[Cell, Cell, Cell, Cell]]:
    draft, said, days = report.draft, report.said, report.say.days
    broker = said("dpia_broker_deletes")
    yield (said("dpia_party_topics"), said("dpia_events"), said("dpia_days", days=days(PLAINTEXT_DAYS)), broker)
    horizon = report.quote("late", "horizon")
    yield said("dpia_party_memory"), said("dpia_remembered"), horizon, said("dpia_party_deletes")
    yield said("dpia_inboxes"), said("dpia_sealed_pieces"), said("dpia_days", days=days(SHARE_DAYS)), broker
    stores = (
        *report.silent("dpia_no_store_date", date=report.say.day(draft.valid_until)),
        *report.open("dpia_open_stores"),
    )
    yield said("dpia_stores"), said("dpia_pieces"), stores, said("dpia_node_deletes")
    evidence = (*report.silent("dpia_no_evidence_date"), *report.open("dpia_open_evidence"))
    yield said("dpia_evidence"), said("dpia_what_evidence"), evidence, said("dpia_node_deletes")
    yield said("dpia_results"), said("dpia_sealed_results"), said("dpia_days", days=days(RESULT_DAYS)), broker
    yield said("dpia_records"), said("dpia_what_records"), said("dpia_days", days=days(RESULT_DAYS)), broker
    if draft.erasure is not None:
        years = report.say.number(RECEIPT_DAYS // DAYS_PER_YEAR)
        yield said("dpia_receipts"), said("dpia_what_receipts"), said("dpia_years", years=years), broker
    if draft.privacy:
        yield said("dpia_accounts"), said("dpia_what_accounts"), said("dpia_for_ever"), said("dpia_owner_deletes")
    documents = (*report.silent("dpia_no_document_date"), *report.open("dpia_open_documents"))
    yield said("dpia_documents"), said("dpia_figures"), documents, said("dpia_recipient_deletes")
    yield said("dpia_chain"), said("dpia_on_chain"), said("dpia_for_ever"), said("dpia_nobody_deletes")


def rights(report: Report) -> Part:
    """What patients can ask of whom (GDPR articles 12 to 22)."""
    say, withdraw = report.say, report.quote("withdrawal", "withdrawals-by", "zero")
    return Part("rights", (
        Block(say("dpia_informed"), (*report.silent("dpia_no_information"), *report.open("dpia_open_information"))),
        Block(say("dpia_access"), (*report.said("dpia_access_at_party"), *report.open("dpia_open_access"))),
        Block(say("dpia_objection"), (*withdraw, *report.quote("withdrawal", "erasure", "no-erasure", "stays"),
                                      *report.open("dpia_open_objection"))),
        Block(say("dpia_corrected"), (*lines_of(report.clauses("late")), *report.said("dpia_corrected_at_party"))),
        Block(say("dpia_automated"), (*report.said("dpia_no_decision"), *report.open("dpia_open_decision"))),
    ))
