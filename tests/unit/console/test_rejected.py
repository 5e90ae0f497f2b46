"""`winnow rejected`: what was refused is counted, told where it stands, and opened for its party alone."""

import asyncio
import json

import pytest
import tomli_w
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.commands import app
from evaluation.keys import private_folder, write_secret
from infra.local.broker import EmbeddedBroker
from streams import topics
from streams.broker import Broker, Producer, create_topics
from streams.rejects import MAX_KEPT_BYTES, Reason, seal_rejected
from tests.support.terms import make_terms

KEY = bytes(range(1, 33))
PUBLIC = X25519PrivateKey.from_private_bytes(KEY).public_key()
PERSON = b"900412345"


def refused(reason, place, original=b"line", source="claims", key=PUBLIC):
    return seal_rejected(reason, source, place, original, key)


REFUSED = [
    *(refused(Reason.UNKNOWN_CODE, f"claims.csv:{n}:0:9", PERSON + b",x%d" % n) for n in range(2, 7)),
    refused(Reason.NOT_TEXT, "claims.csv:9:0:9", b"\xff\xfe" + b"z" * 2 * MAX_KEPT_BYTES),
    refused(Reason.UNKNOWN_CODE, "insurer.source:0:17", source="portal"),
]
SEALED_OTHERWISE = [
    refused(Reason.DUPLICATE_ID, "a:1:0:1", key=X25519PrivateKey.generate().public_key()),
    refused(Reason.DUPLICATE_ID, "a:2:0:1").replace(b'"sealed":"', b'"sealed":"AAAA'),
]
JUNK = [b"junk", b"{}"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    draft = make_terms().draft
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as served:
        async def fill():
            await create_topics(Broker(served.address), topics.all_topics(draft))
            async with Producer(Broker(served.address)) as producer:
                await producer.send(topics.rejected("insurer"), 0, [(None, r) for r in (*REFUSED[:3], *JUNK, *SEALED_OTHERWISE, *REFUSED[3:])])
        asyncio.run(fill())
        yield served.address


@pytest.fixture
def winnow(broker, tmp_path, capsys):
    """Exit code, output and errors of `winnow rejected` of a party."""
    def run(*words, party="insurer", address=broker):
        keys, config = private_folder(tmp_path / "keys"), tmp_path / "config.toml"
        if not (keys / "rejects").exists():
            write_secret(keys / "rejects", KEY)
        config.write_text(tomli_w.dumps({
            "party": party, "terms": "terms.json", "broker": address, "keys": str(keys),
            "chain": {"url": "http://127.0.0.1:1", "agreement_id": "ab" * 32,
                      "deployment": {"address": "0x" + "11" * 20, "chain_id": 1, "code_hash": "22" * 32}},
        }))
        with pytest.raises(SystemExit) as ended:
            app(["rejected", "--config", str(config), *map(str, words)])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err
    return run


def test_refusals_are_counted_by_source_and_reason_with_their_first_places(winnow):
    code, out, err = winnow("--json")
    assert code == 0
    assert json.loads(out) == {"party": "insurer", "out": None, "unopened": 2, "rejected": [
        {"source": "claims", "reason": "unknown-code", "events": 5,
         "places": [f"claims.csv:{n}:0:9" for n in (2, 3, 4)]},
        {"source": "claims", "reason": "duplicate-id", "events": 2, "places": ["a:1:0:1", "a:2:0:1"]},
        {"source": "claims", "reason": "not-text", "events": 1, "places": ["claims.csv:9:0:9"]},
        {"source": "portal", "reason": "unknown-code", "events": 1, "places": ["insurer.source:0:17"]},
    ]}
    assert err.count("winnow: insurer.rejected: a record that ") == len(JUNK)
    assert PERSON.decode() not in out + err


def test_people_read_a_table_in_their_language(winnow):
    _, out, _ = winnow()
    assert "Refused events of insurer" in out
    assert "unknown-code" in out
    assert PERSON.decode() not in out
    assert "2 of them are sealed to another key" in " ".join(out.split())
    assert "Afgewezen gebeurtenissen van insurer" in winnow("--lang", "nl")[1]
    assert "None in the last 35 days." in winnow(party="hospital")[1]


def test_what_was_refused_is_opened_into_a_new_file_of_its_owner(winnow, tmp_path):
    file = tmp_path / "refused.ndjson"
    code, out, _ = winnow("--out", file)
    assert (code, str(file) in out.replace("\n", "")) == (0, True)
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["position"], line["text"], line["truncated"]) for line in lines[:5]] == [
        (f"claims.csv:{n}:0:9", f"{PERSON.decode()},x{n}", False) for n in range(2, 7)
    ]
    assert lines[5]["text"].startswith("\\xff\\xfezzz")
    assert lines[5]["truncated"] is True
    assert len(lines) == len(REFUSED)
    before = file.read_text()
    code, out, err = winnow("--out", file)
    assert (code, out, err) == (2, "", f"winnow: {file}: File exists. Name a new file that can be written.\n")
    assert file.read_text() == before


def test_a_broker_that_is_gone_is_named_and_leaves_no_file(winnow, tmp_path):
    code, out, err = winnow("--out", tmp_path / "refused.ndjson", address="127.0.0.1:1")
    assert (code, out) == (5, "")
    assert "broker 127.0.0.1:1" in err
    assert not (tmp_path / "refused.ndjson").exists()


def test_a_key_that_is_none_is_named(winnow, tmp_path):
    private_folder(tmp_path / "keys")
    write_secret(tmp_path / "keys" / "rejects", b"short")
    code, _, err = winnow()
    assert (code, "expected 64 hexadecimal digits" in err) == (2, True)
