"""Receipts: three valid ones make a list complete; forged ones, others' and repeats change nothing."""

import asyncio
import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console

from console.receipts import as_document, present_receipts, receipts
from console.workdir import WorkDir
from evaluation.errors import Tampered
from evaluation.receipts import MOST_CONTENTS, Receipts
from evaluation.records import Erased, Failed, seal_record
from infra.local.broker import EmbeddedBroker
from streams import topics
from streams.broker import Broker, Producer, create_topics
from streams.erasure import SENT_KEY, ErasureList, seal_sent
from tests.support.parties import BATCH_KEY, keyed_terms
from tests.support.runs import RECORD_KEYS

ERASURE = {"every_panes": 2, "batch_slots": 4, "within_days": 31}
AT = datetime(2024, 3, 1, 12, tzinfo=UTC)
LEFT = round((AT - timedelta(hours=1)).timestamp() * 1000)
KEY = Ed25519PrivateKey.from_private_bytes(BATCH_KEY)


def agreed(**changes):
    terms = keyed_terms(erasure=ERASURE, **changes)
    return terms.model_copy(update={"nodes": tuple(
        n.model_copy(update={"record_key": k.public_key().public_bytes_raw().hex()})
        for n, k in zip(terms.nodes, RECORD_KEYS, strict=True)
    )})


TERMS = agreed()


def listed(number=0, **changes):
    return ErasureList(**{
        "agreement": TERMS.hash, "party": "insurer", "shard": 0, "number": number, "boundary": 4, "slots": (1, 2, 3, 9), **changes,
    })


def receipt(node, made=None, key=None, **changes):
    made = made or listed()
    return seal_record(Erased(**{
        "agreement": TERMS.hash, "node": node, "party": "insurer", "shard": 0, "number": made.number, "boundary": made.boundary,
        "rows": len(made.slots), "digest": made.digest, "erased_at": AT, **changes,
    }), key or RECORD_KEYS[node])


def collected(*messages, sent=()):
    found = Receipts(TERMS, "insurer")
    for each in sent or (listed(),):
        found.add(SENT_KEY, seal_sent(each, KEY), LEFT)
    for message in messages:
        found.add(None, message, LEFT)
    return found


def nodes(found):
    return [sorted(each.erased) for each in found.found.lists]


def test_a_list_is_complete_with_three():
    messages = [receipt(node) for node in range(3)]
    assert nodes(collected()) == [[]]
    assert nodes(collected(*messages[:2])) == [[0, 1]]
    found = collected(*messages[::-1], *messages)
    (each,) = found.found.lists
    assert each.complete
    assert each.erased == dict.fromkeys(range(3), AT)
    assert (each.left, each.before.isoformat(), each.rows) == (AT - timedelta(hours=1), "2024-01-29", 4)


def test_receipts_may_come_before_the_partys_own_note():
    found = Receipts(TERMS, "insurer")
    for node in range(3):
        found.add(None, receipt(node), LEFT)
    assert found.found.lists == ()
    found.add(SENT_KEY, seal_sent(listed(), KEY), LEFT)
    assert found.found.lists[0].complete


@pytest.mark.parametrize("forged", [
    lambda: receipt(1, key=RECORD_KEYS[0]), lambda: receipt(1, key=Ed25519PrivateKey.generate()), lambda: receipt(1)[:-1],
    lambda: receipt(1, agreement="0" * 64), lambda: receipt(1, party="hospital"), lambda: receipt(3, key=RECORD_KEYS[1]), lambda: b"x" * 100,
    lambda: seal_record(Failed(agreement=TERMS.hash, node=1, run=None, reason="?"), RECORD_KEYS[1]),
])
def test_forged_receipts_and_those_of_others_are_refused(forged):
    found = collected(receipt(0))
    with pytest.raises(Tampered):
        found.add(None, forged(), LEFT)
    assert nodes(found) == [[0]]


@pytest.mark.parametrize("other", [
    {"digest": "ab" * 32}, {"rows": 5}, {"boundary": 6}, {"number": 1}, {"shard": 1},
])
def test_a_receipt_for_another_list_does_not_count(other):
    found = collected(receipt(0), receipt(1, **other))
    assert nodes(found) == [[0]]
    found.add(None, receipt(1), LEFT)
    assert nodes(found) == [[0, 1]]


def test_a_node_cannot_fill_the_memory_of_a_party():
    found = collected(*(receipt(1, digest=f"{n:064x}") for n in range(50)))
    assert len(found._erased[0, 0, 1]) == MOST_CONTENTS


def test_a_node_cannot_fill_the_memory_of_a_party_with_lists_that_are_none_either(monkeypatch):
    monkeypatch.setattr("evaluation.receipts.MOST_RECEIPTS", 5)
    found = collected(*(receipt(1, number=number) for number in range(2**40, 2**40 + 50)), receipt(0), receipt(2))
    assert len(found._erased) == 5 + 2
    assert nodes(found) == [[0, 2]], "others' receipts count"


def test_a_note_that_the_party_did_not_sign_is_refused():
    found = collected(receipt(0))
    for wrong in (
        seal_sent(listed(1), Ed25519PrivateKey.generate()), seal_sent(listed(1), KEY)[:-1],
        seal_sent(listed(1, agreement="0" * 64), KEY), seal_sent(listed(1, party="hospital"), KEY),
    ):
        with pytest.raises(Tampered):
            found.add(SENT_KEY, wrong, LEFT)
    with pytest.raises(Tampered):
        found.add(SENT_KEY, seal_sent(listed(1), KEY), 2**70)
    assert len(found.found.lists) == 1


def printed(lang, found):
    out = io.StringIO()
    present_receipts(found.found, lang, Console(file=out, width=200))
    return [re.sub(r"\s{2,}", " | ", line.strip()) for line in out.getvalue().splitlines() if line.strip() and "─" not in line]


def test_tables_of_both_languages():
    more = listed(1, boundary=6, slots=(4, 5, 6, 7))
    found = collected(*(receipt(node) for node in range(3)), receipt(2, more), sent=(more, listed()))
    assert printed("en", found) == [
        "Rows that insurer had erased", "Shard | List | Left (UTC) | Panes before | Rows | Receipts of nodes",
        "0 | 0 | 1 Mar 2024 11:00 | 29 Jan 2024 | 4 | 0, 1, 2: complete",
        "0 | 1 | 1 Mar 2024 11:00 | 12 Feb 2024 | 4 | 2; 2 missing",
    ]
    assert printed("nl", found)[-2:] == [
        "0 | 0 | 1 mrt 2024 11:00 | 29 jan 2024 | 4 | 0, 1, 2: volledig",
        "0 | 1 | 1 mrt 2024 11:00 | 12 feb 2024 | 4 | 2; 2 ontbreekt",
    ]
    assert printed("en", collected())[-1] == "0 | 0 | 1 Mar 2024 11:00 | 29 Jan 2024 | 4 | none yet"
    assert printed("en", Receipts(TERMS, "insurer"))[-1] == "Nothing has left yet."
    assert [each["complete"] for each in as_document(found.found)["lists"]] == [True, False]


def configure(folder, terms, broker):
    work = WorkDir(folder, terms)
    work.terms_file.write_text(terms.model_dump_json())
    (folder / "insurer").mkdir()
    chain = {"url": "http://127.0.0.1:9", "agreement_id": "ab" * 32, "deployment": {
        "address": "0x" + "11" * 20, "chain_id": 31337, "code_hash": "33" * 32}}
    return work.configure("insurer", {"party": "insurer", "terms": work.terms_file, "broker": broker, "keys": folder, "chain": chain})


def test_the_command_reads_the_partys_topic_and_says_what_it_ignores(tmp_path, capsys):
    async def say(address):
        await create_topics(Broker(address), topics.all_topics(TERMS.draft))
        async with Producer(Broker(address)) as producer:
            await producer.send(topics.receipts("insurer", "small"), 0, [
                (SENT_KEY, seal_sent(listed(), KEY)), (None, receipt(0)), (None, b"x" * 100), (None, receipt(2)),
            ])

    with EmbeddedBroker(tmp_path / "broker") as broker:
        config = configure(tmp_path, TERMS, broker.address)
        asyncio.run(say(broker.address))
        assert receipts(config, as_json=True, lang="en") == 0
    out, err = capsys.readouterr()
    (each,) = json.loads(out)["lists"]
    assert (sorted(each["erased"]), each["complete"], each["before"]) == (["0", "2"], False, "2024-01-29")
    assert err.count("it is ignored") == 1


def test_an_agreement_without_erasure_has_no_receipts(tmp_path, capsys):
    assert receipts(configure(tmp_path, keyed_terms(), "127.0.0.1:9"), as_json=False, lang="en") == 2
    assert "has no table [erasure]" in capsys.readouterr().err
