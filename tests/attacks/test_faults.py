"""Eight faults of one node of three, over real TLS links on loopback, in each phase that opens something.

Whatever node 2 does, both honest nodes end with an error of a named class within a stated time, and the next attempt, with
a node 2 that does as it should, has the right result.
"""

import asyncio
import contextlib
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpc import transport
from mpc.errors import IntegrityError, PeerLost, PeerTimeout, ProtocolError
from mpc.transport import NodeAddress, NodeLinks
from tests.support import faults
from tests.support.faults import AT_FAULT, MIDDLE, Sabotage, attempt
from tests.support.links import agreed_nodes, made_identities, three_links, until

LONG_SECONDS = 30.0
"""Time-out where a fault is noticed long before it."""
AT_ONCE_SECONDS = 10.0
"""For an attempt that ends by a fault and by no time-out: far more than it takes, and less than the time-out."""
SHORT_SECONDS = 2.0
"""Time-out where nothing else shows the fault."""
SLACK_SECONDS = 5.0
"""Beyond a short time-out, for a slow machine."""


@dataclass(frozen=True)
class Fault:
    """What the honest nodes raise, node 0 and node 1, and what one of them says."""

    name: str
    phase: str
    raised: tuple[tuple[type, ...], tuple[type, ...]]
    says: str
    times_out: bool = False


BOTH_LOST = ((PeerLost,), (PeerLost,))
BOTH_SILENT = ((PeerTimeout, PeerLost), (PeerTimeout, PeerLost))
"""The first to give up tells the other, which may hear of it before its own time-out."""
BOTH_WAITED = ((PeerTimeout,), (PeerTimeout,))
BOTH_NOTICED = ((IntegrityError,), (IntegrityError,))
NODE_1_READ_IT = ((PeerLost,), (ProtocolError,))

IN_PROCESSES = [
    Fault(name, phase, raised, says, times_out)
    for name, raised, says, times_out in (
        ("dies", BOTH_LOST, "the link to node 2 broke", False),
        ("stops", BOTH_SILENT, "no whole message came from node 2", True),
    )
    for phase in ("engine", "tail")
]
ON_LINKS = [
    (Fault(name, phase, raised, says), MIDDLE[phase], act)
    for name, raised, says, act in (
        ("frame truncated", BOTH_LOST, "node 2 broke: closed in the middle of a message", faults.truncated),
        ("frame oversized", NODE_1_READ_IT, "node 2: a frame announces", faults.oversized),
    )
    for phase in ("engine", "tail")
] + [
    (Fault(name, phase, BOTH_NOTICED, says), chosen, faults.one_bit_other)
    for name, phase, says, chosen in (
        ("tampered component, entered", "engine", "of an input that differs|a shuffle was wrong", faults.entered_component),
        ("tampered component, shuffled", "engine", "a shuffle was wrong", faults.shuffled_component),
        ("tampered opening", "engine", "disagree about a component in an opening", faults.engine_opening),
        ("tampered opening", "tail", "shares of a masked value in the tail do not agree", faults.tail_opening),
    )
]
OF_ITS_INPUT = Fault("tampered component, brought along", "tail", BOTH_NOTICED, "component 2 of the tail's input differs")
WHILE_LINKING = [
    Fault(name, "engine", BOTH_WAITED, r"no attempt within .* node 2", times_out=True)
    for name in ("wrong party number", "wrong certificate")
]
"""No attempt begins, so there is no phase to be in; the honest nodes wait for the first."""


def named(value):
    fault = value[0] if isinstance(value, tuple) else value
    return f"{fault.name}, {fault.phase}" if isinstance(fault, Fault) else ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def identities(folder):
    return made_identities(folder)


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch):
    monkeypatch.setattr(transport, "RETRY_SECONDS", (0.02, 0.1))


@pytest.fixture
def nodes(identities):
    return agreed_nodes(identities)


async def fails(fault, honest):
    """Both honest nodes' attempts, while node 2 is at fault: the errors are the stated ones, and come in time."""
    seconds = SHORT_SECONDS if fault.times_out else LONG_SECONDS
    bound = SHORT_SECONDS + SLACK_SECONDS if fault.times_out else AT_ONCE_SECONDS
    start = time.monotonic()
    found = await asyncio.gather(*(attempt(links, fault.phase, seconds) for links in honest), return_exceptions=True)
    took = time.monotonic() - start
    for error, classes in zip(found, fault.raised, strict=True):
        assert type(error) in classes, found
    if fault.times_out:
        assert PeerTimeout in map(type, found)
    assert any(re.search(fault.says, str(error)) for error in found), found
    assert took < bound


async def works(fault, honest, nodes, identities):
    """The next attempt, with a node 2 that does as it should."""
    async with NodeLinks(AT_FAULT, nodes, identities[AT_FAULT]) as third:
        results = await asyncio.gather(*(attempt(links, fault.phase, LONG_SECONDS) for links in (*honest, third)))
    assert faults.right(fault.phase, results)


async def linked(*links):
    await until(lambda: all(len(each.linked) == 2 for each in links), LONG_SECONDS)


@contextlib.asynccontextmanager
async def meanwhile(coroutine):
    """What node 2 does while the honest nodes fail; how it ends is its own affair."""
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("fault", IN_PROCESSES, ids=named)
async def test_a_node_that_is_gone_or_stands_still(fault, folder, nodes, identities):
    async with three_links(nodes, identities, who=(0, 1)) as honest:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.faults", folder, fault.phase, fault.name, *(node.endpoint for node in nodes),
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        try:
            await until(lambda: all(links.invited(faults.RUN) for links in honest), LONG_SECONDS)
            await linked(*honest)
            await fails(fault, honest)
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        await works(fault, honest, nodes, identities)


@pytest.mark.parametrize("case", ON_LINKS, ids=named)
async def test_a_node_that_sends_something_else(case, nodes, identities):
    fault, chosen, act = case
    async with three_links(nodes, identities, who=(0, 1)) as honest:
        async with NodeLinks(AT_FAULT, nodes, identities[AT_FAULT]) as third:
            await linked(*honest, third)
            sabotage = Sabotage(chosen, act)
            sabotage.install(third)
            async with meanwhile(attempt(third, fault.phase, LONG_SECONDS)):
                await fails(fault, honest)
            assert sabotage.done
        await works(fault, honest, nodes, identities)


async def test_a_node_that_brings_another_component_to_the_tail(nodes, identities):
    fault = OF_ITS_INPUT
    async with three_links(nodes, identities, who=(0, 1)) as honest:
        async with NodeLinks(AT_FAULT, nodes, identities[AT_FAULT]) as third:
            await linked(*honest, third)
            Sabotage(lambda _: False, None).install(third)
            async with meanwhile(attempt(third, fault.phase, LONG_SECONDS, change=faults.changed_component)):
                await fails(fault, honest)
        await works(fault, honest, nodes, identities)


@pytest.mark.parametrize("fault", WHILE_LINKING, ids=named)
async def test_a_node_that_is_not_who_it_should_be(fault, nodes, identities):
    """With node 2's certificate it takes itself for node 1; or it is in node 2's place with another certificate."""
    if fault.name == "wrong party number":
        itself = NodeLinks(1, [nodes[0], nodes[2], nodes[1]], identities[2])
    else:
        place = NodeAddress(nodes[2].endpoint, identities[3].fingerprint)
        itself = NodeLinks(2, [*nodes[:2], place], identities[3])
    async with three_links(nodes, identities, who=(0, 1)) as honest:
        async with itself:
            await until(lambda: 1 in honest[0].linked and 0 in honest[1].linked)
            async with meanwhile(attempt(itself, fault.phase, LONG_SECONDS)):
                await fails(fault, honest)
        await works(fault, honest, nodes, identities)
