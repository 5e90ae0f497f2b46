"""Faust on both brokers: a table that survives `kill -9`, nothing taken over, nothing left behind."""

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from streams.access import Operation, Resource, Rule
from streams.admin import grant
from streams.broker import Consumer, Producer, create_topics
from streams.tables import SESSION_SECONDS
from streams.topics import Topic, changelog
from tests.support.brokers import TALLY
from tests.support.sockets import listeners
from tests.support.tallying import NAME, TOPIC

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60


class Process:
    """The tally process and its lines."""

    def __init__(self, broker, folder, cwd):
        self._stderr = folder.parent / f"stderr-{time.monotonic_ns()}"
        with self._stderr.open("w") as stderr:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.support.tallying", str(folder), *broker.words(TALLY)], cwd=cwd,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "FAUST_WEB_ENABLED": "1", "WEB_PORT": "6066",
                     "FAUST_DATADIR": str(cwd / "wrong")},
                stdout=subprocess.PIPE, stderr=stderr, text=True,
            )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self._lines.put(line.strip())

    def line(self):
        try:
            return self._lines.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise AssertionError(f"no line within {WAIT_SECONDS} s: {self.stderr()}") from None

    def idle(self):
        """Whether it runs and has said nothing."""
        return self.child.poll() is None and self._lines.empty()

    def stderr(self):
        return self._stderr.read_text()

    def end(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.child.stdout.close()


@pytest.fixture
def start(broker, tmp_path):
    started = []
    cwd = tmp_path / "cwd"
    cwd.mkdir()

    def begin():
        started.append(Process(broker, tmp_path / "data", cwd))
        return started[-1]

    yield begin
    for process in started:
        process.end()
    assert not list(cwd.iterdir()), "nothing may be written to the current folder"


async def prepared(broker, *words):
    await create_topics(broker.of(), [Topic(TOPIC, 1, 1), Topic(changelog(NAME), 1, 1, compacted=True)])
    if broker.secured:
        await grant(broker.of(), [
            Rule(TALLY, Resource.TOPIC, TOPIC, Operation.READ), Rule(TALLY, Resource.GROUP, NAME, Operation.READ),
            Rule(TALLY, Resource.TOPIC, changelog(NAME), Operation.READ),
            Rule(TALLY, Resource.TOPIC, changelog(NAME), Operation.WRITE),
        ])
    await send(broker, *words)


async def send(broker, *words):
    async with Producer(broker.of()) as producer:
        await producer.send(TOPIC, 0, [(None, word) for word in words])


async def test_the_table_survives_kill_9(broker, start):
    await prepared(broker, b"a", b"b", b"a")
    first = start()
    assert [first.line() for _ in range(4)] == ["restored []", "counted a 1", "counted b 1", "counted a 2"]
    assert listeners(first.child.pid) == set()
    first.child.kill()
    first.child.wait()
    await send(broker, b"b")
    began = time.monotonic()
    second = start()
    assert second.line() == "restored [('', '3'), ('a', '2'), ('b', '1')]"
    assert second.line() == "counted b 2", "what was counted before the kill is not counted again"
    assert time.monotonic() - began < SESSION_SECONDS + 20
    second.child.terminate()  # no handler of Faust's stands in the way
    assert second.child.wait(5) == -15


async def test_records_that_come_while_it_starts_are_not_lost(broker, start):
    """Faust dropped what came at the end of a recovery, in one start of five beside a sender."""
    await prepared(broker, *[b"word-%d" % n for n in range(60)])
    first = start()
    lines = [first.line() for _ in range(61)]
    assert lines[-1] == "counted word-59 1"
    first.child.terminate()
    first.child.wait()
    second, sent = start(), 0
    while second.idle():
        await send(broker, b"late-%d" % sent)
        sent += 1
        await asyncio.sleep(0.05)
    assert second.line().startswith("restored [('', '60')")
    assert [second.line() for _ in range(sent)] == [f"counted late-{n} 1" for n in range(sent)]


async def test_every_change_is_on_the_changelog_when_put_returns(broker, start):
    await prepared(broker, b"a")
    process = start()
    assert [process.line(), process.line()] == ["restored []", "counted a 1"]
    process.child.kill()
    async with Consumer(broker.of(), changelog(NAME), [0]) as consumer:
        found = await consumer.poll(WAIT_SECONDS, 10)
    assert [(r.key, r.value) for r in found] == [(b"a", b"1"), (b"", b"1")]


async def test_an_error_of_the_handler_ends_the_stream(broker, start):
    await prepared(broker, b"boom", b"a")
    process = start()
    assert [process.line(), process.line()] == ["restored []", "counted boom 1"]
    assert process.child.wait(WAIT_SECONDS) == 1
    assert "ValueError: boom" in process.stderr()


async def test_a_second_process_takes_over_and_the_first_reads_the_table_again(broker, start):
    await prepared(broker, b"a")
    first = start()
    assert [first.line(), first.line()] == ["restored []", "counted a 1"]
    first.child.send_signal(signal.SIGSTOP)
    second = start()
    assert second.line() == "restored [('', '1'), ('a', '1')]"
    await send(broker, b"b")
    assert second.line() == "counted b 1"
    second.child.kill()
    second.child.wait()
    first.child.send_signal(signal.SIGCONT)
    lines = [first.line()]
    while not lines[-1].startswith("restored"):
        lines.append(first.line())
    # Apache Kafka still serves a fetch of a member that the group has given up, so it may count b too, to the same end.
    assert "suspended" in lines
    assert set(lines[:-1]) <= {"suspended", "counted b 1"}
    assert lines[-1] == "restored [('', '2'), ('a', '1'), ('b', '1')]"
    await send(broker, b"b")
    assert first.line() == "counted b 2"


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
async def test_without_a_broker_it_says_so(tmp_path, start, broker):
    await prepared(broker, b"a")
    broker.server.stop()
    process = start()
    assert process.child.wait(WAIT_SECONDS) == 1
    assert "BrokerError" in process.stderr()
