"""What a node that times its gate counts: what is under way at once once, and nothing of what others do meanwhile."""

import asyncio
import subprocess
import sys

import pytest

from benchmarks import gate_node
from benchmarks.gate_node import _CLOCKS, Clock, timed
from policy.chain.reader import RegistryReader
from policy.chain.registry import Registry


class Chain:
    """Each call takes as long as its future."""

    async def read(self, until):
        return await until

    async def tell(self, until):
        return await until


@pytest.fixture
def chain(monkeypatch):
    watched = type("Watched", (Chain,), {})
    timed(watched, "read")
    timed(watched, "tell", reads=False)
    watched.now = 0.0
    monkeypatch.setattr(gate_node.time, "perf_counter", lambda: watched.now)
    return watched


def futures(count):
    return [asyncio.get_running_loop().create_future() for _ in range(count)]


async def later(chain, seconds, *ends):
    """The time is `seconds`, and these futures have ended."""
    chain.now = seconds
    for end in ends:
        end.set_result(seconds)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_under_way_at_once_counts_once(chain):
    gate, verdicts = clocks = Clock(), Clock()
    _CLOCKS.set(clocks)
    one, two, three = futures(3)
    reads = asyncio.gather(chain().read(one), chain().read(two))
    await later(chain, 0)
    await later(chain, 2, one)
    await later(chain, 5, two)
    assert await reads == [2, 5]
    await later(chain, 7)
    telling = asyncio.create_task(chain().tell(three))
    await later(chain, 7)
    await later(chain, 10, three)
    await telling
    assert (gate.seconds, verdicts.seconds) == (5, 8)


async def test_what_an_attempt_leaves_running_counts_for_no_other_one(chain):
    first, second = (Clock(), Clock()), (Clock(), Clock())
    one, two, three = futures(3)
    token = _CLOCKS.set(first)
    left = asyncio.create_task(chain().read(one))
    _CLOCKS.reset(token)
    nobodys = asyncio.create_task(chain().read(three))
    _CLOCKS.set(second)
    mine = asyncio.create_task(chain().read(two))
    await later(chain, 0)
    await later(chain, 1, two)
    await later(chain, 4, one, three)
    await asyncio.gather(left, mine, nobodys)
    assert (first[0].seconds, second[0].seconds) == (4, 1)


async def test_a_read_that_fails_counts_until_then(chain):
    clocks = Clock(), Clock()
    _CLOCKS.set(clocks)
    (one,) = futures(1)
    failing = asyncio.create_task(chain().read(one))
    await later(chain, 0)
    chain.now = 3
    one.set_exception(TimeoutError)
    with pytest.raises(TimeoutError):
        await failing
    assert clocks[0].seconds == 3


def test_all_that_a_gate_asks_is_watched():
    """What the attempt of a node calls of the chain goes through these, or through what they call."""
    for name in gate_node.READS:
        assert asyncio.iscoroutinefunction(getattr(RegistryReader, name))
    assert asyncio.iscoroutinefunction(Registry.authorise)


def test_all_that_is_watched_is_there():
    """In a process of its own, since the product's functions are replaced in it."""
    ended = subprocess.run(
        [sys.executable, "-c", "from benchmarks.gate_node import watch; watch()"], capture_output=True, text=True, timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
