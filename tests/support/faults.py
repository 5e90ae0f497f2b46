"""Two phases of a run over real links, and what a node at fault does instead of sending one of its messages.

`python -m tests.support.faults FOLDER PHASE FAULT ENDPOINT ENDPOINT ENDPOINT` is node 2 as a process that dies or stops.
"""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpc import frames
from mpc.engine import Engine
from mpc.identity import load_identity
from mpc.operation import MAX_PIECES, MAX_STEPS
from mpc.share import Share
from mpc.tail.estimators import CellBatch, estimate
from mpc.tail.recombine import recombine_outputs
from mpc.tail.session import DIGEST_BYTES, TAIL_CHANNEL
from mpc.transport import NodeAddress, NodeLinks
from tests.unit.mpc.tail.helpers import PANES, PATIENTS, answer, batches, make_plan, number, patients

RUN = b"run"
AT_FAULT = 2
ENTERED, MOVED, COMPARED, OPENED = 0, 2, 3, 5
"""Numbers of the ring engine's operations in `engine_phase`: an opening is preceded by a comparison of transcripts."""
MIDDLE_OF_TAIL = 30
"""Messages that node 2 has sent to node 1 by then; the whole tail takes some 70."""


async def engine_phase(wire):
    """Node 2 enters numbers, which are shuffled and counted: what is opened.

    As in a run, nodes hear of each other before they use it: who has opened what is right may be alone with it.
    """
    engine = Engine(wire)
    x = await engine.input(AT_FAULT, np.arange(1000) if wire.number == AT_FAULT else None, (1000,))
    moved = await engine.shuffle(x, await engine.random_permutation(1000))
    opened = await engine.open((await engine.less(moved, 500)).sum())
    await engine.verify()
    return int(opened)


def cells():
    """(plan, patients by cell, the three nodes' batches), the same in every process."""
    rng, plan = np.random.default_rng(7), make_plan()
    people = [patients(rng, plan, 30) for _ in range(4)]
    return plan, people, batches(rng, plan, people)


async def tail_phase(wire, change=lambda batch: batch):
    """This node's output shares of four cells; `change` is applied to the ring shares that it brings."""
    batch = cells()[2][wire.number]
    return (await estimate(wire, [change(batch)], PATIENTS, PANES, 60))[0]


def changed_component(batch):
    """One word of the component that this node holds first is another than at its other holder."""
    sums = Share(batch.sums.copy())
    sums.parts[0, 0, 0] += np.uint64(1)
    return CellBatch(batch.plan, sums.parts, batch.gram)


PHASES = {"engine": engine_phase, "tail": tail_phase}


def right(phase, results):
    """Whether three nodes that did as they should have what is right."""
    if phase == "engine":
        return list(results) == [500] * 3
    plan, people, _ = cells()
    outputs = recombine_outputs(results)
    return all(
        abs(number(outputs, "value", at) / answer(plan, rows)[0] - 1) < 1e-7 for at, rows in enumerate(people)
    )


async def attempt(links, phase, seconds, **options):
    """One attempt at a phase; `seconds` as `NodeLinks.attempt` has it."""
    async with links.attempt(RUN, seconds) as wire:
        return await PHASES[phase](wire, **options)


@dataclass
class Message:
    """One that node 2 is about to send, and what it sent before to the same node."""

    to: int
    channel: int
    label: int
    payload: bytes
    before: list["Message"] = field(repr=False)

    @property
    def operation(self):
        """Of the ring engine."""
        return self.label // (MAX_STEPS * MAX_PIECES)


def entered_component(message):
    return message.channel == 0 and message.operation == ENTERED and message.to == 0


def shuffled_component(message):
    return message.channel == 0 and message.operation == MOVED and message.to == 1


def engine_opening(message):
    return message.channel == 0 and message.operation == OPENED and message.to == 0


def middle_of_engine(message):
    return message.channel == 0 and message.operation == COMPARED and message.to == 1


def middle_of_tail(message):
    return message.channel == TAIL_CHANNEL and message.to == 1 and len(message.before) == MIDDLE_OF_TAIL


def tail_opening(message):
    """Masked shares: the circuits' first message after a digest of the transcript."""
    own = [m for m in message.before if m.label % 2 == 0]
    return (
        message.channel == TAIL_CHANNEL and message.to == 0 and message.label % 2 == 0 and own
        and len(own[-1].payload) == DIGEST_BYTES and len(message.payload) > DIGEST_BYTES
    )


MIDDLE = {"engine": middle_of_engine, "tail": middle_of_tail}


def one_bit_other(link, tag, message):
    changed = bytes([message.payload[0] ^ 1]) + message.payload[1:]
    type(link).write_data(link, tag, message.channel, message.label, changed)


def truncated(link, tag, message):
    """Half a frame, then the end of the link."""
    header = frames.data_header(tag, message.channel, message.label, len(message.payload))
    type(link).write(link, (header + message.payload)[: (len(header) + len(message.payload)) // 2])
    link._transport.close()


def oversized(link, _tag, _message):
    type(link).write(link, (frames.MAX_FRAME_BYTES + 1).to_bytes(4, "big") + b"\x04")


def dies(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def stops(*_):
    os.kill(os.getpid(), signal.SIGSTOP)


@dataclass
class Sabotage:
    """Node 2's links, on which `act` takes the place of the first message that `chosen` is true of.

    Node 2 does not warn its peers of what it finds itself: they have to notice.
    """

    chosen: object
    act: object
    done: bool = False

    def install(self, links):
        sent = {peer: [] for peer in links.linked}
        for peer, link in links._links.items():
            def write_data(tag, channel, label, payload, *, link=link, peer=peer):
                message = Message(peer, channel, label, bytes(payload), list(sent[peer]))
                sent[peer].append(message)
                if not self.done and self.chosen(message):
                    self.done = True
                    self.act(link, tag, message)
                else:
                    type(link).write_data(link, tag, channel, label, payload)

            def write(*parts, link=link):
                if len(parts) > 1 or parts[0][4] != frames._ABORT:
                    type(link).write(link, *parts)

            link.write_data, link.write = write_data, write


async def main(folder, phase, fault, *endpoints):
    identities = [load_identity(Path(folder), f"node-{n}") for n in range(3)]
    nodes = [NodeAddress(e, i.fingerprint) for e, i in zip(endpoints, identities, strict=True)]
    async with NodeLinks(AT_FAULT, nodes, identities[AT_FAULT]) as links:
        while len(links.linked) < 2:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
        Sabotage(MIDDLE[phase], {"dies": dies, "stops": stops}[fault]).install(links)
        await attempt(links, phase, 60)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
