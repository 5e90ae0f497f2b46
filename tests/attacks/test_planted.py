"""A planted violation for every check of `test_inspection.py`, mostly in a copy of the real evidence: each must be found."""

import base64
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_utils.abi import abi_to_signature
from eth_utils.crypto import keccak

from policy.chain.codec import encode_call
from streams.batch import BatchHeader
from streams.parcel import Piece, seal
from tests.support.inspection import chain as on_chain
from tests.support.inspection import keys as key_files
from tests.support.inspection import plaintext, processes, shares
from tests.support.inspection.case import NODES, Searcher
from tests.support.inspection.evidence import (
    Blob,
    Log,
    Transaction,
    memory,
    read_files,
    read_trail,
)
from tests.support.inspection.watched import folder_of
from tests.support.sockets import Listener, listeners

# Shares


@pytest.mark.parametrize("number", range(3))
def test_planted_third_components_are_found(case, number):
    lacking = case.lacking[number]
    data, (seed, expanded) = case.lacked_by(number, travels=True)[1], case.lacked_by(number, travels=False)
    log = f"file node-{number}/log.jsonl"
    store = case.stored_at(number)[0].place
    for blob, what in (
        (case.plant(store, data.tobytes()), "words of a third component"),
        (case.plant(store, expanded.tobytes()[8:16]), "1 words of a third component"),
        (case.plant(f"messages to node-{number}", b"\1" * 5 + data.tobytes()[:80]), "words of a third component"),
        (case.plant(log, seed["body"].hex().encode()), "seed of component"),
        (case.plant(log, base64.b64encode(b"x" + seed["salt"])), "salt of component"),
        (case.plant(store, seed["body"]), "seed of component"),
        (case.plant("topic runs", hashlib.sha256(data.tobytes()).hexdigest().encode()), "sha256 without salt"),
        (case.plant(f"opened inbox of node-{number}", seed["salt"]), "salt of component"),
    ):
        findings = lacking.findings([blob])
        assert findings
        assert all(text.startswith(blob.place) for text in findings)
        assert any(what in text for text in findings), findings


def planted_message(case, target, pieces, sealed_for):
    """A message of a party for node `target`, with the given components, sealed to the key of another node."""
    batch = next(b for b in case.batches if b.header["kind"] == "pane")
    header = BatchHeader.model_validate_json(batch.head)
    key = X25519PrivateKey.from_private_bytes(case.keys[f"node-{sealed_for}"]["sealing"]).public_key()
    signing = Ed25519PrivateKey.from_private_bytes(case.keys[batch.header["party"]]["batch"])
    return seal(header, [Piece(**batch.rows[c]) for c in pieces], target, key, signing)


def test_planted_messages_are_found(case):
    nodes = {role: case.keys[role] for role in NODES}
    good = planted_message(case, 1, (1, 2), 1)
    assert shares.decryption({1: [good]}, case.keys) == []
    generous = shares.decryption({0: [planted_message(case, 0, (0, 1, 2), 0)]}, nodes)
    assert generous == ["message 0 of inbox 0 holds components [0, 1, 2]"]
    wrong = shares.decryption({0: [planted_message(case, 0, (1, 2), 0)]}, nodes)
    assert wrong == ["message 0 of inbox 0 holds components [1, 2]"]
    astray = shares.decryption({1: [planted_message(case, 1, (1, 2), 0)]}, nodes)
    assert astray == ["message 0 of inbox 1 opens with [('node-0', 'sealing')]"]
    borrowed = {**nodes, "node-2": {**nodes["node-2"], "old": nodes["node-1"]["sealing"]}}
    assert shares.decryption({1: [good]}, borrowed) == [
        "message 0 of inbox 1 opens with [('node-1', 'sealing'), ('node-2', 'old')]"
    ]


def test_planted_commitments_are_found(case):
    batch = next(b for b in case.batches if b.header["kind"] == "pane")
    number = next(c for c in range(3) if not batch.rows[c]["travels"])
    content = batch.component(number).tobytes()

    def changed(**row):
        return replace(batch, rows={**batch.rows, number: batch.rows[number] | row})

    assert shares.checkable([batch]) == []
    unsalted = shares.checkable([changed(commitment=hashlib.sha256(content).digest())])
    assert any("needs no salt" in text for text in unsalted)
    zero = changed(salt=bytes(32), commitment=hashlib.sha256(bytes(32) + content).digest())
    assert any("not random" in text for text in shares.checkable([zero]))
    repeated = replace(batch, head=batch.head.replace(b'"pane":0', b'"pane":1'))
    assert any("mask is used twice" in text for text in shares.checkable([batch, repeated]))


# Plaintext


def test_planted_identifiers_are_found(case, names):
    number = min(case.identifiers.numbers)
    for place, data, what in (
        ("file node-1/log.jsonl", b'{"event": "read ' + number + b'"}', "identifier P"),
        ("topic hospital.quick.sharded", number, "identifier P"),
        ("file insurer/config.toml", number, "identifier P"),
        ("environment of hospital", b"LAST=" + number, "identifier P"),
        ("topic runs", names[0].encode(), f"identifier {names[0]}"),
        ("topic hospital.source", b'"Patient/h000001"', "record id h000001"),
        ("topic insurer.source", b",c00000001,", "record id c00000001"),
        ("status lines of insurer", b" x-wrong-type-0 ", "record id x-wrong-type-0"),
        ("chain", base64.b64encode(b"about " + number + b" and so on"), "identifier P"),
        ("chain", b"\0" + number.hex().encode() + number.hex().encode() + b"\0", "identifier P"),
        ("file node-0/log.jsonl", hashlib.sha256(number).hexdigest().encode(), "sha256 of an identifier"),
        ("messages to node-2", hashlib.md5(number).digest(), "md5 of an identifier"),
    ):
        blob = case.plant(place, data)
        findings = case.identifiers.findings([blob])
        assert any(text.startswith(f"{place}: {what}") for text in findings), (place, findings)


def test_planted_events_are_found(case):
    insurer = next(e for e in case.events if e.party == "insurer")
    line = next(
        r.value for r in case.evidence.topics["insurer.source"] if b'"cents":' in r.value and len(
            str(json.loads(r.value)["payload"].get("cents", 0))) >= 6
    )
    event = json.loads(line)
    amounts = tuple(map(int, sorted(insurer._amounts)[:2]))
    for place, data, what in (
        ("topic results.innovation-team", line, "a payload"),
        ("topic results.innovation-team", b'{"cents": %d}' % event["payload"]["cents"], "an amount"),
        ("topic results.innovation-team", b" %d \0 %d " % amounts, "an amount"),
        ("status lines of node-0", b"%d" % amounts[0], "an amount"),
        ("topic node-0.quick.inbox", event["patient"].encode(), "a pseudonym"),
        ("topic hospital.source", event["patient"].encode(), "a pseudonym"),
        ("file node-2/log.jsonl", event["event_id"].encode().join([b'"', b'"']), "an event id"),
        ("topic results.innovation-team", base64.urlsafe_b64decode(event["patient"][3:] + "="), "a pseudonym, as in"),
        ("messages to node-1", base64.urlsafe_b64decode(event["event_id"] + "=="), "an event id, as in event columns"),
        ("status lines of innovation-team", event["recorded_at"].encode(), "a moment of recording"),
        ("messages to node-1", insurer.rows[0].tobytes(), "part of a pane"),
    ):
        assert insurer.findings([case.blob(place)], case.parties) == []
        findings = insurer.findings([case.plant(place, data)], case.parties)
        assert any(f"{place}: {what}" in text for text in findings), (place, findings)
    store = case.stored_at(0)[0].place
    for place, data in ((store, case.link_values[7][:8]), ("file node-0/log.jsonl", case.link_values[3].hex().encode())):
        assert plaintext.link_values(case.link_values, [case.plant(place, data)]) == [f"{place}: a person's link key"]


def test_planted_openness_is_found():
    random = np.random.default_rng(1).bytes
    assert plaintext.unsealed("inbox", [random(4096), random(100)]) == []
    amounts = np.random.default_rng(2).integers(0, 10_000, 512).astype("<u8").tobytes()
    assert "can be compressed" in plaintext.unsealed("inbox", [random(4096), amounts])[0]
    text = random(200) + b'{"value": 1.07, "low": 0.99, "high": 1.16}' + random(200)
    assert "text" in plaintext.unsealed("results", [text])[0]


# Keys


def test_planted_keys_are_found(case):
    keys = case.keys
    for blob, what in (
        (case.plant("file node-0/log.jsonl", keys["node-0"]["sealing"].hex().encode()), "key sealing of node-0"),
        (case.plant("file insurer/config.toml", keys["insurer"]["sharing"].hex().upper().encode()), "key sharing of ins"),
        (case.plant("environment of node-1", b"K=" + base64.b64encode(keys["node-1"]["chain"])), "key chain of node-1"),
        (case.plant("chain", keys["hospital"]["pseudonym"]), "key pseudonym of hospital"),
        (case.plant("messages to node-2", keys["node-1"]["node-1.key.pem"]), "key node-1.key.pem of node-1"),
        (Blob("file node-1/keys/borrowed", "node-1", keys["node-2"]["sealing"].hex().encode()), "key sealing of node-2"),
        (Blob("file node-1/keys/link", "node-1", keys["hospital"]["link"].hex().encode()), "link secret"),
        (case.plant("file hospital/config.toml", keys["hospital"]["link"].hex().encode()), "link secret"),
        (case.plant("topic runs", keys["hospital"]["link"]), "link secret"),
    ):
        findings = case.escaped.findings([blob])
        assert len(findings) == 1, (blob.place, what, findings)
        assert findings[0].startswith(f"{blob.place}: {what}")
    same = {**keys, "node-0": {**keys["node-0"], "records": keys["node-0"]["sealing"]}}
    assert len(key_files.reused(same)) == 1


def test_planted_permissions_are_found(tmp_path):
    keys = tmp_path / "node-0" / "keys"
    keys.mkdir(parents=True)
    for folder in (tmp_path, keys.parent, keys):
        folder.chmod(0o700)
    (keys / "sealing").write_text("00" * 32)
    (keys / "sealing").chmod(0o600)
    assert key_files.permissions(read_files(tmp_path)) == []
    (keys / "sealing").chmod(0o644)
    assert key_files.permissions(read_files(tmp_path)) == ["key file node-0/keys/sealing has mode 644, expected 600"]
    (keys / "sealing").chmod(0o600)
    keys.chmod(0o755)
    assert key_files.permissions(read_files(tmp_path)) == ["folder node-0/keys has mode 755, expected 700"]


# Memory


HOLDER = """
import sys
kept = [bytes.fromhex(part) for part in sys.stdin.read().split()]
print("ready", flush=True)
sys.stdin.close()
import time
time.sleep(60)
"""


def test_planted_memory_is_found(case):
    _, component = case.lacked_by(0, travels=False)
    salt = case.lacked_by(0, travels=False)[0]["salt"]
    statistics = next(e for e in case.events if e.party == "statistics")
    held = {
        "a word of a third component": component.tobytes()[:16], "salt of component": salt,
        "identifier P": min(case.identifiers.numbers) + b" and more", "a person's link key": case.link_values[0],
        "a pseudonym of statistics": min(statistics.pseudonyms), "part of a pane of statistics": statistics.rows[0].tobytes(),
        "key sealing of node-1": case.keys["node-1"]["sealing"], "link secret": case.keys["hospital"]["link"],
    }
    searcher = Searcher(
        "node-0", case.lacking[0], case.identifiers, case.events, plaintext.link_words(case.link_values), case.escaped
    )
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            child.stdin.write(b" ".join(part.hex().encode() for part in held.values()))
            child.stdin.close()
            assert child.stdout.readline() == b"ready\n"
            found = [text for piece in memory(child.pid) for text in searcher.findings(piece)]
        finally:
            child.kill()
    for what in held:
        assert any(what in text for text in found), (what, found)


# Chain


def test_planted_transactions_are_found(case):
    chain, expected = case.evidence.chain, case.expected
    run = next(run for run, root in expected.roots.items() if root)
    attestor, agreement = expected.attestors[0], expected.agreement

    def call(function, *arguments, **changes):
        sent = Transaction(attestor, expected.registry, 0, encode_call(function, *arguments), ())
        return replace(sent, **changes)

    value = b"rate ratio 0.87 [0.80, 0.95]"
    block, digest = next(iter(expected.blocks)), hashlib.sha256(value).digest()
    attested = agreement, run, block, digest
    content = (
        expected.terms_hash, bytes(32), expected.parties, expected.attestors, [], expected.valid_from, expected.valid_until,
        expected.quota, 0,
    )

    def proposal(place, changed):
        return call("propose", (*content[:place], changed, *content[place + 1 :]))

    def authorise(*runs):
        return call("authorise", agreement, runs)

    nobody, somebody = "0x" + "00" * 20, "0x" + value[:20].hex()
    good = (call("attest", *attested), call("propose", content), authorise((run, nobody, 0), (run, nobody, 0)))
    assert on_chain.findings(replace(chain, transactions=good), expected) == []
    for sent, what in (
        (call("attest", agreement, run, block, (612).to_bytes(32)), "transcript is"),
        (call("attest", agreement, run, block, value.ljust(32, b"\0")), "transcript is"),
        (call("attest", agreement, run, digest, digest), "blockHash is"),
        (call("attest", agreement, (3).to_bytes(32), block, digest), "runId is"),
        (call("attest", digest, run, block, digest), "id is"),
        (call("commit", agreement, run, digest), "root is"),
        (authorise((run, nobody, 0), (digest, nobody, 0)), "runId is"),
        (authorise((run, somebody, 0)), "requester is"),
        (authorise((run, nobody, 612)), "budget is 612"),
        (call("release", agreement, run, 612), "sequence is 612"),
        (call("attest", *attested, data=encode_call("attest", *attested) + b"\0" * 31 + b"\7"),
         "not encoded as they must be"),
        (proposal(0, digest), "termsHash is"),
        (proposal(1, digest), "supersedes is"),
        (proposal(3, (somebody,)), "attestors is"),
        (proposal(7, 612), "runQuota is 612"),
        (proposal(8, 612), "privacyBudget is 612"),
        (call("sign", agreement, expected.parties[0], value.ljust(65, b"\0")), "signature is not the party's"),
        (call("attest", *attested, data=b"\1\2\3\4" + value), "which the registry does not have"),
        (call("attest", *attested, value=612), "pays 612"),
        (call("attest", *attested, extra=('["0x01"]',)), "carries"),
        (call("attest", *attested, sender="0x" + "11" * 20), "whom nobody knows"),
        (Transaction(attestor, "0x" + value[:20].hex(), 1, b"", ()), "goes to"),
        (Transaction(attestor, attestor, 0, value, ()), "goes to"),
        (Transaction(attestor, None, 0, expected.bytecode + value, ()), "creates something else"),
    ):
        findings = on_chain.findings(replace(chain, transactions=(*chain.transactions, sent)), expected)
        assert len(findings) == 1, findings
        assert what in findings[0]


def test_planted_logs_are_found(case):
    chain, expected = case.evidence.chain, case.expected
    event = {e["name"]: keccak(text=abi_to_signature(e)) for e in expected.abi if e["type"] == "event"}
    run = next(iter(expected.roots))
    attestor = bytes(12) + bytes.fromhex(expected.attestors[0][2:])
    block = next(iter(expected.blocks))
    good = Log(
        expected.registry, (event["RunAttested"], expected.agreement, run, attestor), (1).to_bytes(32) + block + keccak(b"x")
    )
    assert on_chain.findings(replace(chain, logs=(good,)), expected) == []
    for log, what in (
        (replace(good, data=good.data[:64] + (612).to_bytes(32)), "transcript is"),
        (replace(good, data=good.data[:32] + keccak(b"y") + good.data[64:]), "blockHash is"),
        (replace(good, data=(612).to_bytes(32) + good.data[32:]), "version is 612"),
        (replace(good, data=good.data + b"\7"), "not encoded as it must be"),
        (replace(good, topics=(event["RunAttested"], expected.agreement, (612).to_bytes(32), attestor)), "runId is"),
        (replace(good, topics=(keccak(b"Kpi(uint256)"),)), "an event that the registry does not have"),
        (replace(good, address="0x" + "22" * 20), "is of 0x22"),
        (Log(
            expected.registry, (event["RunAuthorised"], expected.agreement, run, bytes(32)),
            (612).to_bytes(32) + bytes(32) + attestor,
        ), "sequence is 612"),
    ):
        findings = on_chain.findings(replace(chain, logs=(*chain.logs, log)), expected)
        assert len(findings) == 1, findings
        assert what in findings[0]


# Processes


def test_planted_results_are_found(case):
    whole, broken = (next(n for n in sorted(case.released_numbers) if (b"." in n) is dotted) for dotted in (False, True))
    for number, written in (
        (whole, b'{"value":%b}' % whole), (whole, b'"%b"' % whole), (whole, b"value=-%b," % whole),
        (whole, b"%b.0" % whole), (whole, b"%b." % whole), (broken, b"[%b]" % broken), (broken, b"%b00" % broken),
        (whole, (b'{"value":%b}' % whole).hex().encode()), (broken, base64.b64encode(b"value %b " % broken)),
    ):
        finding = f"topic runs: result {number.decode()}"
        assert plaintext.results(case.released_numbers, [case.plant("topic runs", written)]) == [finding], written


def test_a_result_is_no_digits_amid_others(case):
    number = next(n for n in sorted(case.released_numbers) if b"." not in n)
    for written in (b"5f%bc0" % number, b"7%b" % number, b"%b1" % number, b"0.%b" % number, b"x%b" % number):
        assert plaintext.results(case.released_numbers, [case.plant("topic runs", written)]) == [], written


def test_planted_behaviour_is_found(case):
    ports, work = case.ports, case.evidence.work
    called = {
        "node-0": [("socket.connect", ["192.0.2.7", 443])], "hospital": [("socket.connect", ["127.0.0.1", 1])],
        "insurer": [("socket.connect", ["127.0.0.1", ports["node-2"]])],
        "node-1": [("socket.connect", ["127.0.0.1", ports["node-2"]])],
    }
    assert processes.connections(called, case.callable_ports) == [
        "node-0 connected to ['192.0.2.7', 443]", "hospital connected to ['127.0.0.1', 1]",
        f"insurer connected to ['127.0.0.1', {ports['node-2']}]",
    ]
    started = {"node-0": [("subprocess.Popen", ["curl", "['curl', 'http://192.0.2.7']", "None", "None"])]}
    assert len(processes.children(started)) == 1
    wrote = {
        "node-0": [("open", ["/tmp/dump.bin"])], "node-1": [("open", ["../node-2/store/x"])],
        "node-2": [("open", ["store/x"])],
    }
    assert len(processes.writes(wrote, work, folder_of(work))) == 2
    looked_up = {"node-2": [("pickle.find_class", ["posix", "mkdir"])]}
    assert processes.unpickled(looked_up) == ["node-2 unpickled posix.mkdir"]


OPENER = """
import socket, sys, time
kind, address = sys.argv[1:]
if kind == "unix":
    s = socket.socket(socket.AF_UNIX)
    s.bind(address)
else:
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                      socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    s.bind((address, 0))
if kind != "udp":
    s.listen()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("kind", "address"), [
    ("tcp", "0.0.0.0"), ("tcp", "127.0.0.1"), ("tcp", "::"), ("udp", "0.0.0.0"), ("unix", "\0winnow-test"),
])
def test_planted_listeners_are_found(case, kind, address):
    shown = f"@{address[1:]}" if kind == "unix" else address
    program = OPENER.replace("sys.argv[1:]", repr([kind, address]))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"ready\n"
            found = listeners(child.pid)
        finally:
            child.kill()
    assert len(found) == 1
    (listener,) = found
    assert (listener.kind, listener.address) == (kind, shown if address != "::" else ":".join(["0000"] * 8))
    for role in ("node-1", "hospital", "innovation-team"):
        planted = {**case.evidence.sockets, role: case.evidence.sockets[role] | found}
        assert any(text.startswith(f"{role} listens on") for text in processes.sockets(planted, case.allowed))


def test_missing_looks_and_moved_listeners_are_found(case):
    seen = dict(case.evidence.sockets)
    del seen["hospital"]
    assert processes.sockets(seen, case.allowed) == ["hospital was never looked at"]
    moved = {**case.evidence.sockets, "node-0": {Listener("tcp", "127.0.0.1", 11365)}}
    assert len(processes.sockets(moved, case.allowed)) == 1
    outward = {"node-0": [("socket.bind", ["0.0.0.0", case.ports["node-0"]])]}
    assert processes.binds(outward, case.allowed) == [f"node-0 bound ['0.0.0.0', {case.ports['node-0']}]"]
    twice = {"node-0": [("socket.bind", ["127.0.0.1", case.ports["node-0"]]), ("socket.bind", ["127.0.0.1", 0])]}
    assert len(processes.binds(twice, case.allowed)) == 2


UNPICKLER = """
import sys
from pathlib import Path
from tests.support.inspection.watched import watch
watch(Path(sys.argv[1]))
import pickle, socket
pickle.loads(pickle.dumps(Path("x")))
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
open(sys.argv[1] + ".written", "w").close()
"""


def test_the_witness_sees_what_it_must(tmp_path):
    trail = tmp_path / "node-0.jsonl"
    subprocess.run([sys.executable, "-c", UNPICKLER, str(trail)], check=True, timeout=30, cwd=Path(__file__).parents[2])
    trails = {"node-0": read_trail(trail)}
    assert any(text.startswith("node-0 unpickled pathlib.") for text in processes.unpickled(trails))
    assert len(processes.binds(trails, {})) == 2
    assert len(processes.writes(trails, tmp_path / "work", tmp_path / "witness")) == 1
