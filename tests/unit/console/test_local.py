"""An evaluation ends when what was asked to be erased is, and says so if it is not in time."""

import asyncio

import pytest

from console import local
from console.local import LocalEvaluation


def line(phase, done=0):
    return {"phase": phase, "done": done}


class Told(LocalEvaluation):
    """Its processes say what a test says; none runs."""

    def __init__(self, lists, over=(0, 1, 2)):
        super().__init__(None, (), dict.fromkeys(lists), None)
        for party, number in lists.items():
            self.said[party] = [line("listed", number)]
        self.said.update({f"node-{node}": [line("over")] if node in over else [] for node in range(3)})

    def runs(self, role):
        return True

    def erased(self, node, lists):
        self.said[f"node-{node}"].append(line("receipts", lists))

    def _check_children(self, consequence=""):
        """None died."""


@pytest.fixture
def patience(monkeypatch):
    monkeypatch.setattr(local, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(local, "ERASING_SECONDS", 0.2)


async def test_an_evaluation_waits_for_the_erasures_of_all_lists_at_all_nodes(patience, monkeypatch):
    monkeypatch.setattr(local, "ERASING_SECONDS", 60)
    told = Told({"hospital": 2, "insurer": 1})
    told._complete.set()
    for node in range(3):
        told.erased(node, 1)
    task = asyncio.create_task(told._follow())
    for node in range(3):
        await asyncio.sleep(0.05)
        assert not task.done()
        assert told.unerased.count("has erased 1 of") + told.unerased.count("has erased 1,") == 3 - node
        told.erased(node, 3)
    await asyncio.wait_for(task, 5)
    assert told.unerased == ""


async def test_where_nobody_withdrew_nothing_is_waited_for(patience):
    told = Told({"hospital": 0, "insurer": 0})
    told._complete.set()
    await asyncio.wait_for(told._follow(), 5)
    assert told.unerased == ""


async def test_what_is_not_erased_in_time_is_said_and_ends_an_evaluation_in_order(patience):
    """Also if nodes that wait for a third one's list are never over."""
    told = Told({"hospital": 2}, over=())
    told._complete.set()
    told.erased(0, 2)
    told.erased(2, 1)
    await asyncio.wait_for(told._follow(), 5)
    assert told.unerased == "node 1 has erased 0, node 2 has erased 1 of 2 lists of rows of patients who withdrew"
