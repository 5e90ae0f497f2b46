"""A node's evidence: what it says of runs, that nothing in it can be changed unnoticed, and a writer that died."""

import asyncio
import errno
import json
import os
import resource

import pytest

from evaluation import noting
from evaluation.errors import Apart, Tampered
from evaluation.evidence import (
    MAX_WORDS,
    Aborted,
    Answered,
    Ended,
    Refused,
    Verdict,
    attested,
    following,
    line_of,
    signed,
)
from evaluation.journal import FILE, EntryReader, Journal
from evaluation.merkle import merkle_root
from evaluation.noting import UNSIGNED
from evaluation.records import Done
from policy.gate import BEFORE, Refusal
from tests.support.asking import KPIS, Asking
from tests.support.evidence import changed, entries_of, leaves, rewrite, runs_of, set_head, some_of_each
from tests.support.runs import CHAIN, RECORD_KEYS, Killed, ThreeNodes


def no_room(descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def asking():
    return asyncio.run(some_of_each())


@pytest.fixture
def file(asking, tmp_path):
    """A copy of a node's folder with its file, as the journal reads it."""
    (tmp_path / FILE).write_bytes((asking.nodes.nodes[1].folder / FILE).read_bytes())
    return tmp_path


def test_every_run_stands_in_it_as_it_was(asking):
    terms = asking.terms
    found = [runs_of(node.folder, terms, node.number) for node in asking.nodes.nodes]
    assert [e.common for e in found[0]] == [e.common for e in found[1]] == [e.common for e in found[2]]
    attests = {(node, run): value for node, run, value in asking.nodes.chain.attested}
    same = "00" * 32
    for number, runs in enumerate(found):
        done = {r.run: r for r in asking.nodes.nodes[number].records if isinstance(r, Done)}
        assert {e.common.run for e in runs} == set(done) == set(asking.nodes.chain.runs)
        for entry in runs:
            said = done[entry.common.run]
            assert entry.common.windows == said.windows
            bits = "".join(b for kpi in entry.common.outcome for b in kpi)
            assert (bits.count("1"), bits.count("0")) == (said.released if said.windows else 0, len(said.suppressed))
            assert entry.sequence == said.sequence
            assert entry.attestation == attests[number, entry.common.run] == attested(
                entry.common.run, entry.manifest, terms.hash, bytes.fromhex(entry.transcript),
                [entry.sealed[name] for name in sorted(entry.sealed)],
            )
    for trio in zip(*found, strict=True):
        same = following(same, trio[0].common)
        assert {e.same for e in trio} == {same}
        hashes = [bytes.fromhex(h) for e in trio for _, h in sorted(e.sealed.items())]
        assert trio[0].common.root == (merkle_root(hashes).hex() if hashes else None)
    assert dict(asking.nodes.chain.roots) == {e.common.run: e.common.root for e in found[0] if e.common.root}


def test_it_says_who_asked_and_what_every_rule_said(asking):
    entries = entries_of(asking.nodes.nodes[2].folder, asking.terms, 2)
    linked, *runs = [e for e in entries if isinstance(e, Ended)]
    assert linked.common.windows == linked.common.outcome == ()
    asked = [e for e in runs if e.common.requester]
    assert [(e.common.requester, e.requests[0].outcome) for e in asked] == [("analyst-0", "run")] * 2
    for entry in runs:
        rules = [v.rule for v in entry.permitted.verdicts]
        assert all(v.passes for v in entry.permitted.verdicts)
        assert len(rules) == len(BEFORE) + 7 * bool(entry.requests)
        before, after = entry.permitted.before, entry.permitted.after
        assert (before.version, before.state, before.run_quota) == (1, "active", 100)
        assert before.runs_used <= after.runs_used <= before.runs_used + 1
        assert [p.phase for p in entry.permitted.phases] == ["agree", "aggregate", "disclosure", "estimate", "release"]
    assert asked[0].permitted.before.requester_runs == 0
    assert asked[0].permitted.after.requester_runs == 1
    (refused,) = [e for e in entries if isinstance(e, Refused)]
    assert (refused.rule, refused.phase, refused.requester) == ("window-sealed", "request", "analyst-0")
    assert not refused.opened
    (answered,) = [e for e in entries if isinstance(e, Answered)]
    assert (answered.requester, answered.kpis, answered.run) == ("analyst-1", KPIS, asked[0].common.run)
    (aborted,) = [e for e in entries if isinstance(e, Aborted)]
    assert (aborted.phase, aborted.run, aborted.opened) == ("aggregate", asked[1].common.run, False)


def test_no_value_of_any_entry_can_be_changed(asking, file):
    """Neither alone, nor with all that follows made to fit, by somebody without the node's key."""
    lines = (file / FILE).read_bytes().splitlines()
    tried, kinds = set(), set()
    for place, line in enumerate(lines):
        document = json.loads(line)
        for path in leaves(document):
            shape = (document["kind"], *(p for p in path if isinstance(p, str)))
            if shape in tried:
                continue
            tried.add(shape)
            kinds.add(document["kind"])
            reader = EntryReader(asking.terms, CHAIN.agreement_id, "file", 1)
            for before in lines[:place]:
                reader.read(before)
            with pytest.raises(Tampered, match=f"line {place + 1}"):
                reader.read(json.dumps(changed(document, path)).encode())
    assert kinds == {"run", "refused", "answered", "aborted"}
    assert len(tried) > 100


@pytest.mark.parametrize(("change", "line"), [
    (lambda lines: [*lines[:1], lines[2], lines[1], *lines[3:]], 2), (lambda lines: [*lines[:2], *lines[3:]], 3),
    (lambda lines: lines[1:], 1), (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
    (lambda lines: [*lines, lines[-1]], None), (lambda lines: [*lines, b"{}"], None), (lambda lines: [*lines, b""], None),
    (lambda lines: [b" " + lines[0], *lines[1:]], 1),
], ids=["swapped", "cut out", "without the first", "twice", "appended", "no entry", "an empty line", "a space"])
def test_no_entry_can_be_moved_cut_out_or_added(asking, file, change, line):
    rewrite(file, change)
    found = line or len((file / FILE).read_bytes().splitlines())
    with pytest.raises(Tampered, match=rf"evidence-chain: .*line {found}: found .*, expected .*restore"):
        Journal(file / FILE, EntryReader(asking.terms, CHAIN.agreement_id, "file", 1))


def test_a_number_that_json_does_not_have_is_no_entry(asking, file):
    rewrite(file, lambda lines: [lines[0].replace(b'"sequence":1', b'"sequence":%d' % 2**60), *lines[1:]])
    with pytest.raises(Tampered, match="line 1: found what is no entry"):
        Journal(file / FILE, EntryReader(asking.terms, CHAIN.agreement_id, "file", 1))


def test_an_entry_of_another_node_cannot_be_added(asking, file):
    journal = Journal(file / FILE, EntryReader(asking.terms, CHAIN.agreement_id, "file", 1))
    last = journal.head.last
    forged = last.model_copy(update={
        "number": journal.head.entries, "previous": journal.head.hash, "signature": UNSIGNED,
    })
    rewrite(file, lambda lines: [*lines, line_of(signed(forged, RECORD_KEYS[0]))])
    with pytest.raises(Tampered, match="changed"):
        Journal(file / FILE, EntryReader(asking.terms, CHAIN.agreement_id, "file", 1))


@pytest.mark.parametrize("left", [1, 100, -1])
def test_a_last_line_without_an_end_is_taken_away(asking, file, left):
    whole = (file / FILE).read_bytes()
    last = whole.splitlines()[-1]
    (file / FILE).write_bytes(whole + last[:left])
    journal = Journal(file / FILE, EntryReader(asking.terms, CHAIN.agreement_id, "file", 1))
    assert (file / FILE).read_bytes() == whole
    assert journal.head.entries == len(whole.splitlines())


@pytest.mark.parametrize("full", ["within the entry", "after it"])
def test_a_full_disk_leaves_no_line_that_the_next_entry_would_follow_on(asking, file, monkeypatch, full):
    whole = (file / FILE).read_bytes()
    journal = Journal(file / FILE, EntryReader(asking.terms, CHAIN.agreement_id, "file", 1))
    cut_off = next(e for e in entries_of(file, asking.terms, 1) if isinstance(e, Aborted))
    entry = signed(cut_off.model_copy(update={
        "number": journal.head.entries, "previous": journal.head.hash, "signature": UNSIGNED,
    }), RECORD_KEYS[1])
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        if full == "within the entry":
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 100, limit[1]))
        else:
            patch.setattr(os, "fsync", no_room)
        try:
            with pytest.raises(OSError):
                journal.append(entry)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (file / FILE).read_bytes() == whole
    journal.append(entry)
    again = Journal(file / FILE, EntryReader(asking.terms, CHAIN.agreement_id, "file", 1))
    assert again.head == journal.head


@pytest.mark.parametrize("change", [lambda lines: lines[:-1], lambda lines: lines[:-3], lambda lines: []])
async def test_entries_that_are_missing_at_the_end_keep_a_node_from_starting(change):
    nodes = ThreeNodes(most_windows=2)
    await nodes.work_on()
    rewrite(nodes.nodes[0].folder, change)
    with pytest.raises(Tampered, match="evidence-chain: .* ends with entry .* expected .* restore the folder"):
        nodes.nodes[0].restart()


async def test_a_folder_without_evidence_of_its_runs_does_not_start():
    nodes = ThreeNodes(most_windows=2)
    await nodes.work_on()
    (nodes.nodes[0].folder / FILE).unlink()
    with pytest.raises(Tampered, match="0 in all"):
        nodes.nodes[0].restart()


@pytest.mark.parametrize("when", ["before", "torn", "after", "noted"])
@pytest.mark.parametrize("at", [1, 2])
async def test_a_run_stands_in_it_once_whenever_the_node_dies(when, at, monkeypatch):
    """Before its entry is written, while, before the ledger knows of it, and before the run counts."""
    nodes = ThreeNodes(most_windows=2)
    victim, append, calls = nodes.nodes[1], Journal.append, []

    def dying(self, entry):
        if self is not victim.desk.evidence._journal or len(calls) >= at:
            return append(self, entry)
        calls.append(entry)
        if len(calls) < at:
            return append(self, entry)
        if when == "torn":
            with (victim.folder / FILE).open("ab") as file:
                file.write(line_of(entry)[:77])
        elif when != "before":
            append(self, entry)
        if when == "noted":
            monkeypatch.setattr(victim.state, "settle", dies)
            return None
        raise Killed

    def dies(root):
        raise Killed

    monkeypatch.setattr(Journal, "append", dying)
    for _ in range(at + 1):
        if any(isinstance(e, Killed) for e in await nodes.work(stall_seconds=1.0)):
            break
    assert len(calls) == at
    victim.restart()
    for _ in range(9):
        await nodes.work(stall_seconds=1.0)
    found = [runs_of(node.folder, nodes.terms, node.number) for node in nodes.nodes]
    assert [[e.common.windows for e in runs] for runs in found] == [[(), (0, 1), (2, 3), (4,)]] * 3
    assert len({tuple(e.same for e in runs) for runs in found}) == 1


async def test_a_refusal_that_repeats_is_noted_once_and_others_each():
    nodes = ThreeNodes()
    nodes.chain.state = "suspended"
    for _ in range(4):
        await nodes.work()
        nodes.nodes[0].desk.stopped = None
    refused = entries_of(nodes.nodes[0].folder, nodes.terms)
    assert [(e.kind, e.rule, e.phase) for e in refused] == [
        ("refused", "agreement-active", "agree"), ("refused", "agreement-active", "schedule"),
    ]
    assert [v.rule for v in refused[0].permitted.verdicts if not v.passes] == ["agreement-active"]


async def test_who_asks_without_end_does_not_fill_the_disk(monkeypatch):
    monkeypatch.setattr(noting, "MOST_A_DAY", 2)
    asking = Asking(requesters=2)
    await asking.nodes.work_on()
    for requester in ("analyst-0", "analyst-0", "analyst-0", "analyst-1"):
        asking.ask(asking.demand(5, 9, requester=requester))
    await asking.all_hear()
    await asking.nodes.work_on()
    noted = [e for e in entries_of(asking.nodes.nodes[0].folder, asking.terms) if isinstance(e, Refused)]
    assert [e.requester for e in noted] == ["analyst-0", "analyst-0", "analyst-1"]
    assert len(asking.answers()) == 4


async def test_a_peer_that_lies_anew_every_time_keeps_no_other_refusal_out(monkeypatch):
    """And does not fill the disk."""
    monkeypatch.setattr(noting, "MOST_A_DAY", 2)
    nodes = ThreeNodes()
    await nodes.work()
    node, before = nodes.nodes[0], len(entries_of(nodes.nodes[0].folder, nodes.terms))
    honest = node.desk._ready(1)
    for lie in range(5):
        with pytest.raises(Apart, match="same-evidence"):
            node.desk.evidence.compare([honest, honest, honest.model_copy(update={"evidence": f"{lie}" * 64})])
    nodes.chain.state = "suspended"
    await nodes.work()
    noted = entries_of(node.folder, nodes.terms)[before:]
    assert [e.rule for e in noted] == ["same-evidence", "same-evidence", "agreement-active"]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_that_other_time_zones_do_not_have_is_no_entry(asking, file, at):
    """Also where the node signs it: nobody who reads the file should fail at it."""
    first = json.loads((file / FILE).read_bytes().splitlines()[0])
    rewrite(file, lambda _: [json.dumps({**first, "at": at}).encode()])
    with pytest.raises(Tampered, match="line 1: found what is no entry"):
        Journal(file / FILE, EntryReader(asking.terms, CHAIN.agreement_id, "file", 1))


def test_words_without_end_are_cut():
    refusal = Refusal("plan-permitted", "x" * 9_999, "y" * 9_999, "z")
    assert len(Verdict.of("plan-permitted", refusal).required) == MAX_WORDS


async def test_only_its_owner_can_read_it():
    nodes = ThreeNodes()
    await nodes.work()
    path = nodes.nodes[0].folder / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    set_head(path.parent, None)  # one entry may be ahead of the ledger
    nodes.nodes[0].restart()
