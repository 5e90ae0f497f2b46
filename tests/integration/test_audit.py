"""`winnow audit` of a system that ran: its words, its access log, and everything in a node's evidence that could be a lie.

The system is `winnow evaluate --serve` on a few files of examples/; what is forged is signed with the node's own key.
"""

import csv
import io
import json
import subprocess
import sys
import tomllib
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from console.audit import onchain
from console.audit.checks import check_files
from console.audit.onchain import OnChain
from console.audit.run import Options, _beside_the_chain
from console.audit.sources import read_records
from evaluation.agreement import open_registry
from evaluation.config import AuditedSettings, load_settings, load_terms
from evaluation.evidence import BEGIN, ENTRY, Ended, following, hash_of, line_of, signed
from evaluation.journal import FILE
from evaluation.keys import read_secret
from policy.chain.errors import ChainUnreachable
from policy.chain.registry import Registry
from tests.support.command import LIMIT_SECONDS, winnow
from tests.support.evidence import changed, leaves

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-files"
PARTIES = ("hospital", "insurer", "statistics")


@contextmanager
def system(work):
    """A system that is kept up."""
    command = ["evaluate", EXAMPLE / "agreement.toml", "--work", work, "--serve", "--json"]
    for party in PARTIES:
        command += ["--party", f"{party}={EXAMPLE / party}"]
    with (work.parent / "out").open("w") as out, subprocess.Popen(
        [sys.executable, "-m", "console.cli", *map(str, command)], stdout=out, stderr=subprocess.PIPE, text=True,
    ) as running:
        try:
            for line in running.stderr:
                if "Ctrl-C ends" in line:
                    break
            else:
                raise AssertionError("the system did not come up")
            yield
        finally:
            running.terminate()
            running.communicate(timeout=LIMIT_SECONDS)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Its folder: the schedule has run, and the analyst has asked for two windows, the second of them without an answer."""
    folder = tmp_path_factory.mktemp("audit") / "work"
    with system(folder):
        ask = ("request", "--config", folder / "analyst" / "config.toml", "--kpi", "cost-difference", "--json")
        winnow(*ask, "--window", "2024-04-01/2024-07-01")
        winnow(*ask, "--window", "2024-04-01/2024-07-01")
        yield folder


def config(work, role="node-0"):
    return work / role / "config.toml"


def files(work, *nodes):
    return [part for node in nodes for part in ("--file", work / f"node-{node}" / "state" / FILE)]


def audit(*arguments, expect=0):
    """What `winnow audit` prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "console.cli", "audit", *map(str, arguments)], capture_output=True, text=True,
        timeout=LIMIT_SECONDS, check=False,
    )
    assert ended.returncode == expect, f"exit {ended.returncode}, expected {expect}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}"
    return ended.stdout


def entries(work, node):
    return [ENTRY.validate_json(line) for line in (work / f"node-{node}" / "state" / FILE).read_bytes().splitlines()]


def forged(work, node, found, path):
    """A file in which a node says something else, made to fit and signed with its own key."""
    key = Ed25519PrivateKey.from_private_bytes(read_secret(work / f"node-{node}" / "keys" / "records"))
    previous = same = BEGIN
    lines = []
    for number, entry in enumerate(found):
        fields = {"number": number, "previous": previous}
        if isinstance(entry, Ended):
            same = fields["same"] = following(same, entry.common)
        lines.append(line_of(signed(entry.model_copy(update=fields), key)))
        previous = hash_of(lines[-1])
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


@asynccontextmanager
async def auditing(work):
    """`look(files)`: the rules of what does not hold in files of nodes, beside each other, the terms and the chain.

    `about`: (node, number) of the only entry that is compared with the chain, which takes long.
    """
    settings = load_settings(config(work, "analyst"), AuditedSettings)
    terms = load_terms(settings.terms)
    async with open_registry(settings.chain, terms) as registry:
        events = await registry.events(settings.chain.agreement_id)

        async def look(*paths, about=None):
            records = read_records(settings, terms, paths)
            told = [e for r in records for e in r.entries if about in (None, (e.node, e.number))]
            check = OnChain(registry, settings.chain.agreement_id, terms).check(records, told, events)
            return {finding.rule for finding in [*check_files(records, terms), *[f async for f in check]]}

        yield look


def test_what_ran_is_told_in_words_and_holds(work):
    said = audit("--config", config(work), *files(work, 1, 2), "--verify", "--lang", "en")
    for words in (
        "Evidence of “My own files”", "Node 1 (insurer): 4 entries", "Asked by: the schedule", "Asked by: analyst",
        "cost-difference: 6 of 6 cells", "withheld: income:1", "(minimum-cohort)", "gp-advantage-gone for insurer-alerts",
        "pass: requester-known, request-agreement", "of the requester 0 before, 1 after", "answered from what had ended",
        "quota 1 of 200 runs before, 2 after", "sealed for innovation-team: ", "Nothing differs.",
        "12 entries of node 0, 1, 2",
    ):
        assert words in said, words
    dutch = audit("--config", config(work), "--verify", "--offline", "--lang", "nl")
    for words in ("Bewijs van", "Gevraagd door: het rooster", "niet vrijgegeven: alle patiënten", "Niets wijkt af"):
        assert words in dutch, words


def test_one_run_and_a_period_can_be_picked(work):
    run = entries(work, 0)[1].common.run
    document = json.loads(audit("--config", config(work), "--run", run[:8], "--json", "--verify"))
    assert [entry["common"]["run"] for entry in document["entries"]] == [run]
    assert document["verification"]["holds"] is True
    assert document["entries"][0]["periods"][0] == {"start": "2024-01-01", "end": "2024-02-01"}
    cells = document["entries"][0]["cells"]
    assert len(cells) == 72
    assert {cell["rule"] for cell in cells} == {None, "minimum-cohort"}
    assert "No entry" in audit("--config", config(work), "--until", "2024-01-01", "--lang", "en")
    day = entries(work, 0)[0].at.date().isoformat()
    assert len(json.loads(audit("--config", config(work), "--from", day, "--json"))["entries"]) == 4


def test_the_access_log_has_a_row_for_each_run_and_delivery(work):
    rows = [json.loads(line) for line in audit("--config", config(work), "--access-log", "json").splitlines()]
    assert [(r["event"], r["action"], r["user"]) for r in rows] == [
        ("linkage", "execute", "schedule"), ("run", "execute", "schedule"),
        ("delivery", "transfer", "innovation-team"), ("delivery", "transfer", "insurer-alerts"),
        ("run", "execute", "analyst"), ("delivery", "transfer", "innovation-team"), ("answer", "execute", "analyst"),
    ]
    assert rows[3]["alerts"] == ["gp-advantage-gone"]
    assert rows[4]["periods"] == ["2024-04-01/2024-07-01"]
    assert rows[4]["request"] == entries(work, 0)[2].requests[0].request
    assert {r["outcome"] for r in rows} == {"success"}
    assert all(r["version"] == 1 and r["purposes"] and not r["emergency"] for r in rows[:6])
    table = list(csv.DictReader(io.StringIO(audit("--config", config(work), "--access-log", "csv"))))
    assert [r["entry"] for r in table] == [r["entry"] for r in rows]
    assert table[1]["kpis"] == "gp-visit-rate-ratio; cost-difference"


def test_ways_to_ask_wrongly(work, tmp_path):
    for words in (
        ("--config", config(work, "analyst")), ("--config", config(work), "--run", "12"),
        ("--config", config(work), "--run", "0" * 64), ("--config", config(work), "--file", tmp_path / "none"),
        ("--config", config(work), *files(work, 0)), ("--config", config(work), "--offline"),
        ("--config", config(work), "--json", "--access-log", "csv"),
        ("--config", config(work), "--from", "2026-02-01", "--until", "2026-01-01"),
    ):
        audit(*words, expect=2)


def test_a_chain_that_does_not_answer_verifies_nothing(work, tmp_path):
    url = tomllib.loads(config(work).read_text())["chain"]["url"]
    (tmp_path / "config.toml").write_text(config(work).read_text().replace(url, "http://127.0.0.1:9"))
    assert audit("--config", tmp_path / "config.toml", "--verify", expect=5) == ""
    assert "Nothing differs" in audit("--config", tmp_path / "config.toml", "--verify", "--offline", "--lang", "en")


def test_a_file_that_was_changed_ends_with_6_and_says_where(work, tmp_path):
    lines = (work / "node-1" / "state" / FILE).read_text().splitlines()
    for name, content, words in (
        ("edited", [lines[0], lines[1].replace('"sequence":2', '"sequence":3'), *lines[2:]], "line 2: an entry that was changed"),
        ("cut", [*lines[:1], *lines[2:]], "line 2: number 2"), ("swapped", [lines[1], lines[0]], "line 1: number 1"),
    ):
        (tmp_path / name).write_text("".join(line + "\n" for line in content))
        said = audit("--config", config(work, "analyst"), "--file", tmp_path / name, "--lang", "en", expect=6)
        assert "NOT as it must be" in said
        assert words in said, said
    (tmp_path / "short").write_text("".join(line + "\n" for line in lines[:-2]))
    said = audit("--config", config(work), "--file", tmp_path / "short", "--verify", "--lang", "en", expect=6)
    assert "node 1 has no such run" in said
    assert "one, since node 1 attested it" in said
    torn = tmp_path / "torn"
    torn.write_text("".join(line + "\n" for line in lines) + lines[0][:50])
    assert "has no end" in audit("--config", config(work), "--file", torn, "--verify", "--lang", "en")


def test_an_older_file_beside_its_ledger(work, tmp_path):
    """The ledger names an entry that is not there any more."""
    settings = tomllib.loads(config(work).read_text())
    state = tmp_path / "state"
    state.mkdir()
    (state / "ledger.json").write_bytes((work / "node-0" / "state" / "ledger.json").read_bytes())
    (state / FILE).write_bytes(b"".join((work / "node-0" / "state" / FILE).read_bytes().splitlines(keepends=True)[:-1]))
    (tmp_path / "config.toml").write_text(config(work).read_text().replace(settings["state"], str(state)))
    assert "the entry that" in audit("--config", tmp_path / "config.toml", "--lang", "en", expect=6)
    (state / FILE).unlink()
    checked = ("--config", tmp_path / "config.toml", *files(work, 1), "--verify", "--offline")
    assert "evidence-missing: Node 0" in audit(*checked, "--lang", "en", expect=6)


REMADE = {"number", "previous", "signature", "kind", "same"}
"""Of an entry: what is made to fit when it is forged."""
OWN_WORD = {
    ("at",), ("attempt",), ("requests", "request"), ("requests", "outcome"), ("requests", "requester"),
    ("requests", "kpis"), ("permitted", "phases", "phase"), ("permitted", "phases", "block"),
}
"""What nobody else can know: docs/audit.md names it."""


async def test_no_lie_of_a_node_about_a_run_holds_beside_the_chain(work, tmp_path):
    """A node changes each value of two runs and signs that: others' files, the terms or the chain tell, but for its own word."""
    found = entries(work, 1)
    others = [work / f"node-{node}" / "state" / FILE for node in (0, 2)]
    unnoticed, tried = set(), set()
    async with auditing(work) as look:
        assert await look(work / "node-1" / "state" / FILE, *others) == set()
        for place in (1, 2):
            document = found[place].model_dump(mode="json")
            for path in leaves(document):
                shape = tuple(p for p in path if isinstance(p, str))
                if shape[0] in REMADE or shape in tried:
                    continue
                tried.add(shape)
                lie = changed(document, path)
                if shape[0] == "common":
                    lie["same"] = BEGIN
                try:
                    told = ENTRY.validate_python(lie)
                except ValidationError:
                    continue  # of another form: no line of a file at all
                lying = forged(work, 1, [*found[:place], told, *found[place + 1:]], tmp_path / "lie")
                rules = await look(lying, *others, about=(1, place))
                if not rules:
                    unnoticed.add(shape)
    assert unnoticed <= OWN_WORD, unnoticed
    assert len(tried) > 45


async def test_a_run_that_never_was_does_not_hold(work, tmp_path):
    """All three nodes together make up a run: the chain has not authorised it."""
    made_up = []
    for node in range(3):
        found = entries(work, node)
        common = found[1].common.model_copy(update={"run": "ab" * 32})
        made_up.append(forged(work, node, [*found, found[1].model_copy(update={"common": common})], tmp_path / f"{node}"))
    async with auditing(work) as look:
        assert await look(*made_up) == {"attestation-value", "authorisation"}


async def test_a_block_that_nobody_has_is_a_lie_and_no_fault_of_the_chain(work, tmp_path):
    found = entries(work, 1)
    document = found[1].model_dump(mode="json")
    others = [work / f"node-{node}" / "state" / FILE for node in (0, 2)]
    async with auditing(work) as look:
        for path in (("before", "block"), ("after", "block"), ("phases", 0, "block")):
            lie = json.loads(json.dumps(document))
            held = lie["permitted"]
            for step in path[:-1]:
                held = held[step]
            held[path[-1]] = 2**53 - 1
            told = ENTRY.validate_python(lie)
            assert await look(forged(work, 1, [*found[:1], told, *found[2:]], tmp_path / "lie"), *others) == {"account"}


def test_what_is_wrong_with_a_file_is_told_when_the_chain_does_not_answer(work, tmp_path):
    """And where nothing is: that it does not, and what to do."""
    gone = tmp_path / "config.toml"
    text = config(work).read_text()
    gone.write_text(text.replace(tomllib.loads(text)["chain"]["url"], "http://127.0.0.1:9"))
    audit("--config", gone, "--verify", expect=5)
    (tmp_path / "edited").write_text((work / "node-1" / "state" / FILE).read_text().replace('"sequence":2', '"sequence":3'))
    said = audit("--config", gone, "--file", tmp_path / "edited", "--verify", "--lang", "en", expect=6)
    assert "line 2: an entry that was changed" in said
    assert "not beside the chain (" in said


async def test_what_the_chain_told_is_kept_when_it_fails_afterwards(work, tmp_path, monkeypatch):
    """An entry that names the wrong sequence number, beside a chain that answers of runs up to it only."""
    found, asked = entries(work, 1), Registry.run
    lying = forged(work, 1, [*found[:1], found[1].model_copy(update={"sequence": 9}), *found[2:]], tmp_path / "lie")
    linkage, first = (entry.common.run for entry in found[:2])

    async def run(self, agreement, name):
        if name not in {linkage, first}:
            raise ChainUnreachable("no answer.")
        return await asked(self, agreement, name)

    monkeypatch.setattr(Registry, "run", run)
    settings = load_settings(config(work, "analyst"), AuditedSettings)
    options = Options(files=(lying,), verify=True)
    kept = await _beside_the_chain(settings, load_terms(settings.terms), options)
    assert ("authorisation", first, "sequence 9") in {(f.rule, f.run, f.in_words("en")[0]) for f in kept.findings}
    assert any("not beside the chain (no answer.)" in text for text in kept.checked)


@pytest.mark.parametrize("missing", ["authorised", "attested"])
async def test_what_follows_a_run_is_waited_for(work, monkeypatch, missing):
    """A run that ended a moment ago: its attestation, or the root of its outputs, is final from the second question on."""
    last = entries(work, 1)[-2].common.run
    run, attestation, asked = Registry.run, Registry.attestation, Counter()

    async def earlier(self, agreement, name):
        found = await run(self, agreement, name)
        asked[name] += 1
        if name != last or asked[name] > 1:
            return found
        return replace(found, stage=missing, commitment=None)

    async def attested(self, agreement, name, attestor):
        found = await attestation(self, agreement, name, attestor)
        return None if (name, asked[name], missing) == (last, 1, "authorised") else found

    monkeypatch.setattr(Registry, "run", earlier)
    monkeypatch.setattr(Registry, "attestation", attested)
    async with auditing(work) as look:
        assert await look(work / "node-1" / "state" / FILE) == set()
    assert asked[last] == 2
    assert set(asked.values()) == {1, 2}


async def test_a_root_that_never_comes_is_named(work, monkeypatch):
    run = Registry.run

    async def never(self, agreement, name):
        return replace(await run(self, agreement, name), stage="attested", commitment=None)

    monkeypatch.setattr(Registry, "run", never)
    monkeypatch.setattr(onchain, "PATIENCE_SECONDS", 2.0)
    begun = monotonic()
    async with auditing(work) as look:
        assert await look(work / "node-1" / "state" / FILE) == {"root"}
    assert 2.0 <= monotonic() - begun < 20
