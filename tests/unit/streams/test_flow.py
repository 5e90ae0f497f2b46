"""Waiting with a limit, and ends of streams."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policy.agreement import Draft
from streams import flow
from streams.errors import StalledError
from streams.flow import TURN_RECORDS, Counts, Pulse, polls
from streams.pseudonym import Pseudonyms
from streams.published import Published
from streams.replay import replay, span_of
from streams.sources.agreed import open_sources
from tests.support import parties as p
from tests.support.terms import draft_data


class Quiet:
    """A consumer that never gets anything."""

    topic = "insurer.small.panes"
    asked = 0

    async def poll(self, _wait, _most):
        self.asked += 1
        await asyncio.sleep(0)
        return []


async def first(pulse):
    return await anext(polls(Quiet(), pulse))


async def test_a_stage_gives_up_when_nobody_does_anything():
    async with asyncio.timeout(5):
        with pytest.raises(StalledError, match=r"0.1 s while waiting for insurer.small.panes"):
            await first(Pulse(0.1))


async def test_a_stage_waits_for_one_that_works(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(flow.time, "monotonic", lambda: now[0])
    pulse, quiet = Pulse(0.1), Quiet()
    waiting = asyncio.ensure_future(anext(polls(quiet, pulse)))
    for _ in range(30):
        asked = quiet.asked
        for _ in range(5):
            await asyncio.sleep(0)
        assert quiet.asked > asked
        assert not waiting.done()
        now[0] += 0.09
        pulse.beat()
    now[0] += 0.11
    with pytest.raises(StalledError):
        await waiting


class Silent:
    """A producer that stores nothing."""

    async def send(self, _topic, _partition, _records):
        pass


async def test_connections_get_a_turn_while_thousands_of_lines_are_refused(tmp_path):
    lines = 3_000
    p.write_lines(tmp_path / "members.csv", p.MEMBERS, *("x" for _ in range(lines)))
    p.write_lines(tmp_path / "claims.csv", p.CLAIMS)
    pseudonyms, counts, turns = Pseudonyms(p.LINK_SECRET, p.PSEUDONYM_KEY), Counts(), 0
    files = open_sources(Draft.model_validate(draft_data()), "insurer", tmp_path, pseudonyms)
    work = asyncio.ensure_future(replay(
        files, "insurer", span_of(files), ["claims"], {0: Published()}, pseudonyms, Silent(), X25519PrivateKey.generate().public_key(), counts,
        lambda *_: None, Pulse(60),
    ))
    while not work.done():
        turns += 1
        await asyncio.sleep(0)
    await work
    assert counts.rejected.total() == lines
    assert turns >= lines / TURN_RECORDS


def test_counts_as_plain_data():
    counts = Counts(read=3, accepted=2)
    counts.rejected["b"] += 1
    assert counts.summary() == {
        "read": 3, "accepted": 2, "rejected": {"b": 1}, "late_pending": 0, "late_after_maturity": 0,
    }


async def test_reading_to_the_end_ends_also_when_others_write_as_fast_as_it_reads(monkeypatch):
    now, read = [0.0], 0
    monkeypatch.setattr(flow.time, "monotonic", lambda: now[0])

    class Flooded:
        topic = "insurer.small.holdings"

        async def ends(self, partitions):
            return dict.fromkeys(partitions, 3)

        async def position(self, _partition):
            return read

        async def poll(self, _seconds, _most):
            nonlocal read
            read, now[0] = read + 1, now[0] + 1.0
            return [read]

    found = [record async for records in flow.to_the_end(Flooded(), [0], 1) for record in records]
    assert len(found) == 3 + flow.PAST_END_SECONDS + 1
