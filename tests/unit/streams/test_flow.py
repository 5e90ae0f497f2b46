"""Waiting with a limit, and ends of streams."""

import asyncio

import pytest

from streams.errors import StalledError
from streams.flow import Counts, Ends, Pulse, polls


class Quiet:
    """A consumer that never gets anything."""

    topic = "insurer.small.panes"

    async def poll(self, _wait, _most):
        await asyncio.sleep(0.01)
        return []


async def first(pulse):
    return await anext(polls(Quiet(), pulse))


async def test_a_stage_gives_up_when_nobody_does_anything():
    async with asyncio.timeout(5):
        with pytest.raises(StalledError, match=r"0.1 s while waiting for insurer.small.panes"):
            await first(Pulse(0.1))


async def test_a_stage_waits_for_one_that_works():
    pulse = Pulse(0.1)
    waiting = asyncio.ensure_future(first(pulse))
    for _ in range(30):
        await asyncio.sleep(0.02)
        pulse.beat()
    assert not waiting.done()
    with pytest.raises(StalledError):
        await waiting


def test_all_sources_end_in_all_partitions():
    ends = Ends(range(2), ("a", "b"))
    for partition, source in ((0, "a"), (1, "a"), (0, "b"), (0, "b"), (1, "stranger")):
        ends.end(partition, source)
    assert not ends.all
    ends.end(1, "b")
    assert ends.all


def test_counts_as_plain_data():
    counts = Counts(read=3, accepted=2)
    counts.rejected["b"] += 1
    assert counts.summary() == {"read": 3, "accepted": 2, "rejected": {"b": 1}, "late_pending": 0}
