"""Two patients withdraw, in different months: from files to receipts, through real processes."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from console.system import LocalSystem
from evaluation.keys import read_secret
from policy.agreement import load_draft
from policy.compilation import load_kpis
from streams.batch import party_columns
from streams.pseudonym import Pseudonyms
from streams.store import ShareStore
from tests.support.command import LIMIT_SECONDS, compare
from tests.support.oracle import expect
from tests.support.pipelines import opened

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
ERASURE = {"every_panes": 2, "batch_slots": 8, "within_days": 31}
SIDE = ("hospital", 0)
BOUNDARIES = [4, 10]
WITHDRAWN = ("2024-01-24", "2024-03-06")
SECONDS = 240.0


def agreement(folder):
    """quick.toml with one shard, withdrawals at the hospital, erasure, and somebody who may ask for other windows."""
    data = tomllib.loads((AGREEMENTS / "quick.toml").read_text(encoding="utf-8"))
    for kpi in data["kpis"]:
        (folder / kpi).write_text((AGREEMENTS / kpi).read_text(encoding="utf-8"), encoding="utf-8")
    data["parties"][0]["sources"][0]["kinds"].append("withdrawal")
    asking = {"on_demand": {"largest": 6}, "requesters": [{"name": "asker", "recipient": "innovation-team", "runs": 5}]}
    path = folder / "agreement.toml"
    path.write_text(tomli_w.dumps({**data, "shards": 1, "erasure": ERASURE, **asking}), encoding="utf-8")
    return path


def withdraw(hospital, days=WITHDRAWN):
    """Users of the app withdraw, one on each day; returns who they are."""
    lines = [json.loads(line) for line in (hospital / "Task.ndjson").read_text().splitlines()]
    early = [line["for"]["reference"] for line in lines if line["executionPeriod"]["start"] < "2024-01-15"]
    patients = {}
    for line in (hospital / "Patient.ndjson").read_text().splitlines():
        patient = json.loads(line)
        patients[f"Patient/{patient['id']}"] = patient["identifier"][0]["value"]
    who = [patients[reference] for reference in early[: len(days)]]
    rows = [f"w{n},{person},{day},{day}T10:00:00+01:00" for n, (person, day) in enumerate(zip(who, days, strict=True))]
    (hospital / "withdrawals.csv").write_text("\n".join(["record_id,person,withdrawn_on,recorded_at", *rows, ""]))
    return who


def winnow(*arguments):
    """`winnow …`: exit code, output, errors."""
    ended = subprocess.run(
        [sys.executable, "-m", "console.cli", *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT_SECONDS,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize("brokers", [0, 1], ids=["embedded", "apache"])
async def test_from_a_withdrawal_to_three_receipts(tmp_path, brokers):
    parties = generate(tmp_path / "data", shape=SHAPE).parties
    who = withdraw(parties["hospital"])
    path = agreement(tmp_path)
    draft, expected = load_draft(path), expect(path, parties)
    system = LocalSystem(draft, load_kpis(draft, tmp_path), parties, tmp_path / "work", block_seconds=0.25, kafka=brokers)
    config = system.root / "hospital" / "config.toml"
    async with system:
        system.start()
        if brokers:
            await kill_on_the_way(system)
        await system.wait_for("innovation-team", "complete", SECONDS)
        for node in range(3):
            await system.wait(f"node {node} to erase", lambda node=node: lists(system, node) == BOUNDARIES, SECONDS)
            await system.wait_for(f"node-{node}", "over", SECONDS)
            assert system.lines(f"node-{node}", "receipts")[-1]["done"] == len(BOUNDARIES)
        assert (await system.wait_for("hospital", "listed", SECONDS))["done"] == len(BOUNDARIES)
        document = json.loads(system.work.document("innovation-team").read_text())
        cells, sums = compare(document, expected)
        assert (cells > 10, sums) == (True, 4 * cells)
        assert document["events"] == expected.events

        # A node that starts again has not forgotten.
        begun = len(system.lines("node-1", "resumed"))
        system.kill("node-1")
        system.start("node-1")
        await system.wait_for("node-1", "resumed", SECONDS, begun + 1)
        code, out, err = winnow("receipts", "--config", config, "--json")
        assert code == 0, err
        told = json.loads(out)["lists"]
        assert [(each["before"], each["rows"], sorted(each["erased"]), each["complete"]) for each in told] == [
            (draft.panes.first_day(boundary).isoformat(), 8, ["0", "1", "2"], True) for boundary in BOUNDARIES
        ]
        code, out, err = winnow("receipts", "--config", config)
        assert (code, out.count("0, 1, 2: complete")) == (0, 2), err

        asker = system.work.configuration("asker")
        ask = ("request", "--config", asker, "--kpi", "cost-sums", "--window")
        for dry in (["--dry-run"], []):
            code, out, err = winnow(*ask, "2024-01-01/2024-02-12", *dry)
            assert code == 3, err
            assert "erased-panes" in out
        assert "2024-03-11" in out
        for node in range(3):
            said = await system.wait_for(f"node-{node}", "request", SECONDS)
            assert (said["facts"]["outcome"], said["facts"]["rule"]) == ("refused", "erased-panes")
        code, out, err = winnow(*ask, "2024-01-01/2024-01-29")
        assert code == 0, err
        assert "no quota was used" in out
        assert not any("refused" in line for line in document["schedule"])
    check_stores(system, who)


async def kill_on_the_way(system):
    """The worker whose patients withdraw dies while it folds and shares, and once loses its local state; two nodes die while
    they erase.
    """
    for phase in ("panes", "share", "share"):
        said = len(system.lines("hospital", phase))
        await system.wait_for("hospital", phase, SECONDS, said + 1)
        system.kill("hospital")
        if phase == "panes":
            shutil.rmtree(system.root / "hospital" / "state")
        system.start("hospital")
    for node in (1, 2):
        marks = system.root / f"node-{node}" / "store" / "hospital" / "shard-00" / "erasure" / "marks.json"
        await system.wait(f"node {node} to begin to erase", marks.exists, SECONDS)
        system.kill(f"node-{node}")
        system.start(f"node-{node}")


def lists(system, node):
    """Boundaries of the lists of which a node says that it obeys them."""
    file = system.root / f"node-{node}" / "store" / "hospital" / "shard-00" / "erasure" / "marks.json"
    if not file.exists() or len(json.loads(file.read_text())["at"]) < len(BOUNDARIES):
        return []
    return [json.loads(json.loads(path.read_text())["list"])["boundary"] for path in sorted(file.parent.glob("list-*.json"))]


def check_stores(system, who):
    """The three nodes together have 0 in the rows of those who withdrew, and no key that could be linked again."""
    terms = system.work.terms
    stores = [ShareStore(system.root / f"node-{node}" / "store", terms, node) for node in range(3)]
    assert not any(store.incidents or store.erased.incidents for store in stores)
    keys = system.work.keys("hospital")
    pseudonyms = Pseudonyms(read_secret(keys / "link"), read_secret(keys / "pseudonym"))
    register = opened([store.register(*SIDE) for store in stores], np.bitwise_xor)
    gone = [pseudonyms.link_key(pseudonyms.patient(person)) for person in who]
    assert not set(gone) & set(register.tolist())
    assert len(set(register.tolist())) == len(register)
    values = opened([store.panes(*SIDE, range(12), party_columns(terms.draft, "hospital")) for store in stores], np.add)
    slots = [list(kept.slots) for kept in stores[0].erased.lists(SIDE)]
    assert [len(rows) for rows in slots] == [8, 8]
    assert len(set(slots[0] + slots[1])) == 16
    for rows, boundary in zip(slots, BOUNDARIES, strict=True):
        assert not values[:boundary][:, :, rows].any()
    others = np.delete(values, slots[0] + slots[1], axis=2)
    assert others[: BOUNDARIES[0]].any(axis=(0, 1)).sum() > 100
    link_keys = {
        pseudonyms.link_key(pseudonyms.patient(person)) for person in known(system.parties["hospital"]) if person not in who
    }
    assert len(link_keys & set(register.tolist())) > 100


def known(hospital):
    patients = [json.loads(line) for line in (hospital / "Patient.ndjson").read_text().splitlines()]
    return [patient["identifier"][0]["value"] for patient in patients]
