"""Everything linked anew by three node processes while a party shares nothing: who is waited for, what a killed node does,
what was erased, and that every later cell equals the oracle's.
"""

import json
import tomllib
from pathlib import Path

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from policy.agreement import load_draft
from policy.compilation import load_kpis
from tests.integration.test_erasure import withdraw
from tests.support.command import compare
from tests.support.live import LiveSystem
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0, newcomers=0.5)
PAUSE = "2024-03-11"
"""What the insurer recorded before seals 8 panes, and opens the batch at pane 5, not that at pane 10."""
ERASURE = {"every_panes": 2, "batch_slots": 8, "within_days": 31}
WITHDRAWN = ("2024-01-20", "2024-02-21")
BOUNDARIES = (4, 8)
SECONDS = 240.0
NODES = [f"node-{number}" for number in range(3)]


def agreement(folder, **more):
    """quick.toml with one shard, a batch every five panes, and everything linked anew when there are two segments."""
    data = tomllib.loads((AGREEMENTS / "quick.toml").read_text(encoding="utf-8"))
    for kpi in data["kpis"]:
        (folder / kpi).write_text((AGREEMENTS / kpi).read_text(encoding="utf-8"), encoding="utf-8")
    data["parties"][1]["grace_panes"] = 1
    if "erasure" in more:
        data["parties"][0]["sources"][0]["kinds"].append("withdrawal")
    linkage = {**data["linkage"], "batch_panes": 5, "renew_batches": 1, "dummies": 16}
    more = {"disclosure": {"minimum_cohort": 3}, **more}
    asking = {"requesters": [{"name": "asker", "recipient": "innovation-team", "runs": 1}]}
    path = folder / "agreement.toml"
    path.write_text(tomli_w.dumps({**data, "shards": 1, "linkage": linkage, **asking, **more}), encoding="utf-8")
    return path


class Renewing:
    """The files, what is expected of them, and the processes."""

    def __init__(self, folder, days=(), **more):
        self.parties = generate(folder / "data", shape=SHAPE).parties
        if days:
            withdraw(self.parties["hospital"], days)
        self.path = agreement(folder, **more)
        self.draft, self.expected = load_draft(self.path), expect(self.path, self.parties)
        assert self.draft.batch_edges == (5, 10)
        self.system = LiveSystem(self.draft, load_kpis(self.draft, folder), self.parties, folder / "work", block_seconds=0.25)

    async def begin(self):
        """Have all there that the other parties share, and what the insurer recorded before the pause."""
        self.system.start()
        await self.system.feed(stop=PAUSE)

    async def renewed(self):
        """Until the three nodes have taken the new epoch over, and have nothing of the one before."""
        for node in NODES:
            await self.system.wait_for(node, "renewed", SECONDS)
        for node in NODES:
            state = self.system.root / node / "state"
            await self.system.wait(
                f"{node} to have one linkage", lambda state=state: linkages(state) == ["linkage"], SECONDS,
            )

    async def end(self):
        """The rest comes; returns the document once every cell is compared with the oracle's."""
        await self.system.feed(start=PAUSE)
        await self.system.wait_for("innovation-team", "complete", SECONDS)
        document = json.loads(self.system.work.document("innovation-team").read_text())
        cells, sums = compare(document, self.expected)
        assert (cells > 10, sums) == (True, 4 * cells)
        later = {c.start for c in self.expected.cells if c.released and c.end > self.draft.panes.first_day(8)}
        assert len(later) == 2, "windows after the renewal are released"
        assert document["events"] == self.expected.events
        linked = [(run["batch"], run["epoch"]) for run in document["runs"] if not run["windows"]]
        assert linked[:4] == [(0, 1), (1, 1), (1, 2), (2, 2)]
        return document


def linkages(state):
    return sorted(path.name for path in state.iterdir() if path.name.startswith("linkage"))


def log(system, role, event):
    lines = system.work.log(role).read_text().splitlines()
    return [line for line in map(json.loads, (line for line in lines if line.startswith("{"))) if line.get("event") == event]


@pytest.mark.timeout(900)
async def test_while_a_party_is_awaited_everything_is_linked_anew(tmp_path):
    """Who is awaited stands in each node's log and in `winnow schedule`."""
    renewing = Renewing(tmp_path)
    system, panes = renewing.system, renewing.draft.panes
    async with system:
        await renewing.begin()
        await renewing.renewed()
        for node in NODES:
            await system.wait_for(node, "awaiting", SECONDS)
            what = f"the pane of {panes.first_day(8)} of insurer, shard 0, which can be here since {panes.first_day(10)}"
            assert system.lines(node, "awaiting")[-1]["detail"] == what
            (*_, line) = log(system, node, "windows wait for what parties have not shared")
            assert (line["level"], line["lacking"], line["first_window"]) == ("warning", [what], str(panes.first_day(6)))
        (awaited,) = (await system.schedule("asker"))["awaited"]
        assert awaited == {
            "party": "insurer", "shards": [0], "batch": None, "revision": 0, "nodes": [0, 1, 2],
            "pane": {"start": str(panes.first_day(8)), "end": str(panes.first_day(9))}, "expected": str(panes.first_day(10)),
            "window": {"start": str(panes.first_day(6)), "end": str(panes.first_day(10))},
        }
        await renewing.end()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("settled", [False, True], ids=["linking", "adding panes"])
async def test_a_node_that_is_killed_while_everything_is_linked_anew_goes_on(tmp_path, settled):
    renewing = Renewing(tmp_path)
    system = renewing.system
    ahead = system.root / "node-1" / "state" / "linkage-ahead"
    async with system:
        await renewing.begin()
        await system.wait("node-1 to link anew", lambda: any(
            ahead.exists() if settled else "linked anew" in line["detail"] for line in system.lines("node-1", "link")
        ), SECONDS)
        system.kill("node-1")
        assert ahead.exists() == settled
        system.start("node-1")
        await renewing.renewed()
        await renewing.end()


@pytest.mark.timeout(900)
async def test_who_withdrew_is_erased_before_and_after_everything_is_linked_anew(tmp_path):
    renewing = Renewing(tmp_path, WITHDRAWN, erasure=ERASURE)
    system = renewing.system

    def erased(lists):
        return all((system.lines(node, "receipts") or [{"done": 0}])[-1]["done"] >= lists for node in NODES)

    async with system:
        await renewing.begin()
        await renewing.renewed()
        await system.wait("all to erase the first list", lambda: erased(1), SECONDS)
        assert not erased(2)
        document = await renewing.end()
        await system.wait("all to erase", lambda: erased(len(BOUNDARIES)), SECONDS)
        assert not any(row["state"] == "refused" for row in document["schedule"])
