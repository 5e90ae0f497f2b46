"""Pseudonyms, rejects, topics and configuration."""

import base64
import hashlib
import hmac

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from streams import topics
from streams.broker import Broker
from streams.envelope import Heartbeat, encode, parse
from streams.errors import ConfigurationError
from streams.pipeline import PartyConfig
from streams.pseudonym import Pseudonyms, check_value
from streams.rejects import MAX_KEPT_BYTES, Reason, open_rejected, reason_of, seal_rejected
from tests.support.parties import BATCH_KEY, LINK_SECRET, PSEUDONYM_KEY, REJECTS_KEY, SHARING_KEY, keyed_terms

NAMES = Pseudonyms(LINK_SECRET, PSEUDONYM_KEY)


def test_a_link_value_is_equal_at_every_party_and_a_pseudonym_is_not():
    other = Pseudonyms(LINK_SECRET, b"another party's key, 32 bytes ok")
    mine, theirs = NAMES.patient("P00000042"), other.patient("P00000042")
    assert mine != theirs
    assert mine.startswith("v1:")
    assert NAMES.link_value(mine) == other.link_value(theirs)
    plain = hmac.new(LINK_SECRET, b"winnow-linkP00000042", hashlib.sha256).digest()[:16]
    assert NAMES.link_value(mine) == plain
    assert NAMES.link_key(mine) == int.from_bytes(plain[:8], "little")
    assert [NAMES.shard(mine, n) for n in (1, 2, 7)] == [int.from_bytes(plain[8:], "little") % n for n in (1, 2, 7)]


def test_a_check_value_is_equal_where_the_link_secret_is_and_is_no_link_value():
    found = check_value(LINK_SECRET, "ab" * 32)
    assert found == hmac.new(LINK_SECRET, b"winnow-check\0" + b"ab" * 32, hashlib.sha256).hexdigest()[:16]
    others = {check_value(LINK_SECRET[:-1] + b"M", "ab" * 32), check_value(LINK_SECRET, "ac" * 32)}
    assert found not in others
    assert len(others) == 2


@pytest.mark.parametrize("made", ["", "v1:", "v2:" + "A" * 43, "v1:" + "A" * 43, "v1:" + "é" * 43, "P00000042"])
def test_what_is_not_a_pseudonym_of_this_party(made):
    with pytest.raises(ValueError, match="not a pseudonym"):
        NAMES.shard(made, 2)


def test_shards_are_even():
    counts = [0] * 4
    for number in range(4_000):
        counts[NAMES.shard(NAMES.patient(f"P{number:08d}"), 4)] += 1
    assert min(counts) > 880
    assert max(counts) < 1120


def test_event_ids_differ_by_file_and_party():
    ids = {NAMES.event_id("a", "1"), NAMES.event_id("b", "1"), NAMES.event_id("a", "2"),
           Pseudonyms(LINK_SECRET, b"x" * 32).event_id("a", "1")}
    assert len(ids) == 4
    assert {len(i) for i in ids} == {22}


def test_rejects_open_for_the_party_only():
    key = X25519PrivateKey.from_private_bytes(REJECTS_KEY)
    line = b"P00000042,secret," + b"x" * 10_000
    record = seal_rejected(Reason.BROKEN_CSV, "claims", "claims.csv:2:10:99", line, key.public_key())
    assert b"P00000042" not in record
    assert base64.b64encode(b"P00000042")[:-4] not in record
    what, original = open_rejected(record, key)
    assert (what.reason, what.truncated, original) == (Reason.BROKEN_CSV, True, line[:MAX_KEPT_BYTES])
    with pytest.raises(InvalidTag):
        open_rejected(record, X25519PrivateKey.generate())


@pytest.mark.parametrize(("value", "reason"), [
    (b"{", Reason.BROKEN_JSON), (b"{}", Reason.MISSING_FIELD), (b'{"kind": "other"}', Reason.UNKNOWN_CODE),
    (b'{"kind": "heartbeat", "source": "x", "final": false}', Reason.WRONG_TYPE),
    (b'{"kind": "heartbeat", "source": "x", "until": "2024-01-01T00:00:00Z"}', Reason.WRONG_TYPE),
    (b'{"kind": "heartbeat", "source": "x", "more": 1}', Reason.WRONG_TYPE), (b"\xff", Reason.BROKEN_JSON),
])
def test_foreign_records_on_a_source_topic_have_a_reason(value, reason):
    with pytest.raises(ValidationError) as caught:
        parse(value)
    assert reason_of(caught.value) is reason


def test_heartbeats_travel():
    assert parse(encode(Heartbeat(source="claims"))) == Heartbeat(source="claims")


def test_every_topic_once():
    found = topics.all_topics(keyed_terms(shards=4).draft)
    names = {t.name: t.partitions for t in found}
    assert len(names) == len(found) == 3 * 8 + 3 + 1 + 2
    assert names["node-2.small.inbox"] == names["hospital.source"] == names["insurer.small.panes"] == 4
    assert names["insurer.rejected"] == names["results.innovation-team"] == names["runs"] == 1
    assert all(t.retention_days > 0 for t in found)


def config(**changes):
    return PartyConfig(**{
        "broker": Broker("127.0.0.1:1"), "terms": keyed_terms(), "party": "insurer", "data": None,
        "link_secret": LINK_SECRET, "pseudonym_key": PSEUDONYM_KEY, "sharing_key": SHARING_KEY, "batch_key": BATCH_KEY,
        "rejects_key": REJECTS_KEY, **changes,
    })


def test_a_configuration_is_checked_before_it_is_used_and_shows_no_key():
    assert not any(k.decode() in repr(config()) for k in (LINK_SECRET, PSEUDONYM_KEY, SHARING_KEY, BATCH_KEY))
    with pytest.raises(ConfigurationError, match="sharing_key has 5 bytes"):
        config(sharing_key=b"short")
    with pytest.raises(ConfigurationError, match="batch_key is not insurer's"):
        config(batch_key=b"x" * 32)
