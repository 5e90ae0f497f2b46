"""Signed records: what is accepted, and every way of being refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.errors import Tampered
from evaluation.records import MAX_RECORD_BYTES, Done, Events, Failed, open_record, seal_record
from tests.support.terms import make_terms

NODE, PARTY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


@pytest.fixture
def terms():
    made = make_terms()
    nodes = tuple(n.model_copy(update={"record_key": NODE.public_key().public_bytes_raw().hex()}) for n in made.nodes)
    parties = tuple(
        p.model_copy(update={"batch_key": PARTY.public_key().public_bytes_raw().hex()}) for p in made.parties
    )
    return made.model_copy(update={"nodes": nodes, "parties": parties})


def done(terms, **changes):
    return Done(**{"agreement": terms.hash, "node": 1, "run": "r", "windows": (0,), "sequence": 1,
                   "seconds": {"link": 0.5}, **changes})


def test_records_of_nodes_and_parties_open(terms):
    events = Events(agreement=terms.hash, party="insurer", final=True, read=3, accepted=2,
                    rejected={"broken-json": 1}, late_pending=0)
    assert open_record(seal_record(done(terms), NODE), terms) == done(terms)
    assert open_record(seal_record(events, PARTY), terms) == events


@pytest.mark.parametrize("flip", [0, 63, 64, -1])
def test_any_changed_byte_is_noticed(terms, flip):
    message = bytearray(seal_record(done(terms), NODE))
    message[flip] ^= 1
    with pytest.raises(Tampered):
        open_record(bytes(message), terms)


def test_a_party_cannot_speak_as_a_node(terms):
    with pytest.raises(Tampered, match="wrong signature"):
        open_record(seal_record(done(terms), PARTY), terms)


@pytest.mark.parametrize(("change", "message"), [
    ({"agreement": "0" * 64}, "of agreement 0000"), ({"node": 7}, "unknown node 7"),
])
def test_other_agreements_and_strangers_are_refused(terms, change, message):
    with pytest.raises(Tampered, match=message):
        open_record(seal_record(done(terms, **change), NODE), terms)


def test_size_is_bounded(terms):
    record = Failed(agreement=terms.hash, node=0, run=None, reason="x" * MAX_RECORD_BYTES)
    with pytest.raises(Tampered, match="expected 65 to"):
        open_record(seal_record(record, NODE), terms)
    with pytest.raises(Tampered, match="expected 65 to"):
        open_record(b"", terms)
