"""What anybody could find after a real evaluation: in topics, files, logs, sockets, memory, transcripts, on the chain.

Every check looks at all of the evidence and must find nothing; `test_planted.py` has a violation that each of them finds.
"""

import json
from collections import Counter
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_utils.abi import abi_to_signature
from eth_utils.crypto import keccak

from mpc.workers import FIRST_CHANNEL
from streams.pseudonym import check_value
from streams.rejects import open_rejected
from streams.tags import TAG_BYTES
from tests.support.inspection import chain as on_chain
from tests.support.inspection import keys as key_files
from tests.support.inspection import plaintext, processes, shares
from tests.support.inspection.case import NODES
from tests.support.inspection.evidence import PUBLIC
from tests.support.inspection.watched import folder_of

OTHERS_EVERY = 40
"""Every how many messages everybody's keys are tried, not the nodes' only."""


# What was looked at


def test_the_evidence_is_of_a_whole_evaluation(case):
    topics, draft = case.evidence.topics, case.terms.draft
    assert [name for name, records in topics.items() if not records] == ["requests"]  # nobody asked
    assert all(len(topics[f"{p}.rejected"]) > 10 for p in case.parties)
    blocks = {(b.header["party"], b.header["shard"], b.header["block"]) for b in case.batches}
    assert len(case.batches) == len(blocks) * (1 + draft.panes.count) > 200
    assert {b.header["block"] % 3 for b in case.batches} == {0, 1, 2}
    assert {r.kind for r in case.records} - {"missed"} == {"events", "done", "sealed"}  # on a busy machine windows wait for nodes
    channels = {0, 1, 2, *(FIRST_CHANNEL + shard for shard in range(draft.shards))}
    assert all({m.channel for m in case.evidence.messages[j]} == channels for j in range(3))
    assert set(case.evidence.trails) == set(case.roles)
    assert set(case.evidence.processes) == {*case.roles, "broker", "chain"}
    assert all(case.evidence.statuses[role] for role in case.roles)
    assert len(case.evidence.files) > 700
    assert len(case.identifiers.numbers) > 600
    for role, looked in case.looked_at.items():
        assert looked["bytes"] > 20 << 20, role
        assert looked["terms"] > 0, role


def test_a_rejected_line_is_kept_for_its_party_alone(case, names):
    originals = [
        open_rejected(r.value, X25519PrivateKey.from_private_bytes(case.keys["hospital"]["rejects"]))[1]
        for r in case.evidence.topics["hospital.rejected"]
    ]
    assert any(names[0].encode() in original for original in originals)


# Shares


def test_a_node_opens_its_own_messages_only_and_finds_its_two_components(case):
    nodes = {role: case.keys[role] for role in NODES}
    assert shares.decryption(case.inboxes, nodes) == []
    some = {j: messages[::OTHERS_EVERY] for j, messages in case.inboxes.items()}
    assert shares.decryption(some, case.keys) == []


def test_the_three_components_are_those_of_the_partys_panes(case):
    """So that the checks below look for the right thing."""
    contents = {b.head: b.content().tobytes() for b in case.batches}
    found = 0
    for party in case.parties:
        for record in case.evidence.topics[f"{party}.{case.terms.draft.name}.panes"]:
            if value := record.value[:-TAG_BYTES]:
                length = int.from_bytes(value[:4], "little")
                assert contents[value[4 : 4 + length]] == value[4 + length :]
                found += 1
    assert found == len(contents)


@pytest.mark.parametrize("number", range(3))
def test_no_node_has_anything_of_a_third_component(case, number):
    assert case.lacking[number].findings(case.readable_by(number)) == []


@pytest.mark.parametrize("number", range(3))
def test_the_search_finds_what_a_node_does_have(case, number):
    """Another node lacks what this one holds: its own store is full of findings then."""
    other = case.lacking[(number + 1) % 3]
    mine = case.stored_at(number)
    assert len(mine) == len(case.batches)
    assert len(other.findings(mine)) >= len(case.batches)
    assert other.findings([case.blob(f"opened inbox of node-{number}")])


def test_commitments_cannot_be_checked_without_their_salt(case):
    assert shares.checkable(case.batches) == []


# Plaintext


def test_no_identifier_is_anywhere(case):
    assert case.identifiers.findings(case.blobs) == []


def test_a_partys_events_stay_with_it(case):
    for events in case.events:
        assert events.pseudonyms
        assert len(events.rows) == 3
        assert events.findings(case.blobs, case.parties) == []


def test_the_search_finds_a_partys_events_with_itself(case):
    for events in case.events:
        others = replace(case.blob(f"topic {events.party}.source"), owner=PUBLIC)
        found = " ".join(events.findings([others], case.parties))
        assert all(what in found for what in ("a pseudonym", "an event id", "a payload", "a moment"))
        assert events.findings([replace(case.blob(f"topic {events.party}.quick.panes"), owner=PUBLIC)], case.parties)


def test_link_keys_are_in_registers_alone(case):
    panes = {f"topic {party}.{case.terms.draft.name}.panes" for party in case.parties}
    blobs = [b for b in case.blobs if b.place not in panes]
    assert plaintext.link_values(case.link_values, blobs) == []
    for place in panes:
        assert plaintext.link_values(case.link_values, [case.blob(place)])


def test_what_is_sealed_looks_random(case):
    for place, parts in case.sealed_parts.items():
        assert parts
        assert plaintext.unsealed(place, parts) == []


def test_only_the_recipient_reads_results(case):
    assert len(case.released_numbers) > 10
    assert all(plaintext.RESULT.fullmatch(number)[1] == number for number in case.released_numbers)
    mine = [b for b in case.blobs if b.owner == "innovation-team"]
    assert plaintext.results(case.released_numbers, [b for b in case.blobs if b not in mine]) == []
    assert plaintext.results(case.released_numbers, mine)


# Keys


def test_keys_stay_in_their_folders(case):
    counts = {role: len(names) for role, names in case.keys.items()}
    assert counts == {**dict.fromkeys(case.parties, 6), **dict.fromkeys(NODES, 4), "innovation-team": 1}
    assert case.escaped.findings(case.blobs) == []
    assert key_files.reused(case.keys) == []


def test_nobody_else_can_enter(case):
    assert key_files.permissions(case.evidence.files) == []


# Memory


def test_no_node_and_no_recipient_has_it_in_memory(case):
    assert case.found_in_memory == {role: [] for role in (*NODES, "innovation-team")}


# Chain


def test_everything_on_the_chain_is_explained(case):
    chain, expected = case.evidence.chain, case.expected
    assert on_chain.findings(chain, expected) == []
    names = {keccak(text=abi_to_signature(e))[:4]: e["name"] for e in expected.abi if e["type"] == "function"}
    called = Counter(names.get(t.data[:4]) for t in chain.transactions if t.to == expected.registry)
    runs = len(expected.roots)
    assert called == {"propose": 1, "sign": 3, "activate": 1, "authorise": runs, "attest": 3 * runs, "commit": runs - 1}
    assert len(chain.logs) == 5 + 4 * runs + (runs - 1)
    assert set(expected.roots) == {bytes.fromhex(r.run) for r in case.records if r.kind == "done"}


# Processes


def test_nodes_listen_on_their_endpoint_alone_and_parties_on_nothing(case):
    """So no port of MPyC's either."""
    assert processes.sockets(case.evidence.sockets, case.allowed) == []
    assert processes.binds(case.evidence.trails, case.allowed) == []


def test_processes_call_whom_they_must_and_start_none(case):
    assert processes.connections(case.evidence.trails, case.callable_ports) == []
    assert processes.children(case.evidence.trails) == []


def test_processes_write_in_their_folders_alone(case):
    work = case.evidence.work
    assert processes.writes(case.evidence.trails, work, folder_of(work)) == []
    assert any(event == "open" for event, _ in case.evidence.trails["innovation-team"])


def test_no_process_unpickled_anything(case):
    assert processes.unpickled(case.evidence.trails) == []


def test_parties_logs_have_one_check_value_of_the_link_secret_and_not_the_secret(case):
    logs = [case.evidence.files[f"{party}/log.jsonl"].data for party in case.parties]
    said = [json.loads(line) for log in logs for line in log.splitlines() if b'"link secret"' in line]
    assert len(said) == len(case.parties)
    assert {line["check"] for line in said} == {check_value(case.keys["hospital"]["link"], case.terms.hash)}
