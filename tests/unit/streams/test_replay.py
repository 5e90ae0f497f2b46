"""A replay goes on where an earlier one stopped, at whatever record that was; and refuses other files."""

from collections import Counter
from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policy.agreement import Draft
from streams import replay as replays
from streams.envelope import Heartbeat, encode, parse
from streams.errors import BrokerError, SourceError
from streams.flow import Counts, Pulse
from streams.numbering import mark_of, number_of, numbered, position_of
from streams.pseudonym import Pseudonyms
from streams.published import Published, published
from streams.rejects import open_rejected
from streams.replay import outlook, replay, span_of
from streams.sources.agreed import open_sources
from tests.support import parties as p
from tests.support.terms import draft_data
from tests.support.world import SimulatedProcess, World

KEY = X25519PrivateKey.from_private_bytes(b"R" * 32)
DRAFT = Draft.model_validate(draft_data(shards=2))
NAMES = Pseudonyms(p.LINK_SECRET, p.PSEUDONYM_KEY)
BATCH, LINES, M = 8, 60, b"mark"
SOURCE, REJECTED = "insurer.source", "insurer.rejected"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(replays, "POLL_RECORDS", BATCH)


@pytest.fixture
def folder(tmp_path):
    members = [f"m{i},P{i:04d},2024-01-{1 + i % 28:02d},,2024-02-{1 + i % 28:02d}" for i in range(LINES)]
    members[7] = members[23] = members[24] = "bad"
    p.write_lines(tmp_path / "members.csv", p.MEMBERS, *members)
    p.write_lines(tmp_path / "claims.csv", p.CLAIMS)
    return tmp_path


def process():
    return SimulatedProcess("insurer", World(rng=Random(3), incidents=[], hides=0.2, repeats=0.0))


def day(number):
    """A day of recording: the first lines are of February 1."""
    return datetime(2024, 2, number, tzinfo=ZoneInfo("Europe/Amsterdam"))


async def run(process, folder, start=None, stop=None):
    """The counts of one life."""
    there, files = await published(process.consumer(None, SOURCE, [0, 1]), [0, 1]), sources(folder)
    counts = Counts()
    await replay(
        files, "insurer", span_of(files, start, stop), ["claims"], there, NAMES, process.producer(None),
        KEY.public_key(), counts, lambda *_: None, Pulse(60),
    )
    return counts


def sources(folder):
    return open_sources(DRAFT, "insurer", folder, NAMES)


def content(process, topic, partitions):
    return [[(r.key, r.value) for r in process.world.log(topic, n)] for n in range(partitions)]


async def test_a_replay_that_stopped_anywhere_is_completed(folder):
    whole = process()
    counts = await run(whole, folder)
    wanted, refused = content(whole, SOURCE, 2), len(whole.world.log(REJECTED, 0))
    lines = [[number_of(key) for key, _ in records] for records in wanted]
    assert all(numbers == [*sorted(numbers[:-1]), 0] for numbers in lines)
    assert max(n for numbers in lines for n in numbers) <= LINES
    assert (counts.read, refused) == (LINES, counts.rejected.total())
    assert refused == 3
    for stop in range(0, LINES + 2, 3):
        # Both partitions have what was stored of the batches before, and any part of the last one.
        batch = min(stop, LINES) // BATCH * BATCH
        for parts in ((0.0, 1.0), (1.0, 0.4), (0.5, 0.5)):
            broken = process()
            for number in range(2):
                records = [r for r in wanted[number] if 0 < number_of(r[0]) <= batch]
                open_batch = [r for r in wanted[number] if batch < number_of(r[0]) <= batch + BATCH]
                records += open_batch[: round(parts[number] * len(open_batch))]
                await broken.producer(None).send(SOURCE, number, records)
            again = await run(broken, folder)
            assert content(broken, SOURCE, 2) == wanted, (stop, parts)
            assert (again.read, again.rejected) == (counts.read, counts.rejected)
            assert len(broken.world.log(REJECTED, 0)) <= refused
    assert (await run(whole, folder)).rejected == counts.rejected
    assert content(whole, SOURCE, 2) == wanted
    positions = {open_rejected(r.value, KEY)[0].position for r in whole.world.log(REJECTED, 0)}
    assert len(positions) == refused


async def test_other_files_are_refused(folder):
    stopped = process()
    await run(stopped, folder)
    for number in range(2):
        log = stopped.world.log(SOURCE, number)
        del log[len(log) // 2 :]
    lines = (folder / "members.csv").read_text().splitlines()
    other = lines[5].replace("P0004", "P0999")
    for changed in ([lines[0], "x" * 5, *lines[1:]], lines[:4], [*lines[:5], other, *lines[6:]]):
        p.write_lines(folder / "members.csv", *changed)
        with pytest.raises(SourceError, match=r"insurer\.source holds line \d+ of a replay, .* put them back"):
            await run(stopped, folder)
    p.write_lines(folder / "members.csv", *lines)
    await run(stopped, folder)


async def test_periods_one_after_another_are_one_replay(folder):
    whole, parts = process(), process()
    counts = await run(whole, folder)
    read, refused = 0, Counter()
    for start, stop in ((None, day(5)), (day(5), day(9)), (day(9), day(9)), (day(9), day(17)), (day(17), None)):
        for _ in range(2):
            found = await run(parts, folder, start, stop)
        read, refused = read + found.read, refused + found.rejected
    assert (read, refused) == (counts.read, counts.rejected)
    assert content(parts, SOURCE, 2) == content(whole, SOURCE, 2)
    told = {open_rejected(r.value, KEY)[0].position for r in parts.world.log(REJECTED, 0)}
    assert told == {open_rejected(r.value, KEY)[0].position for r in whole.world.log(REJECTED, 0)}


async def test_a_period_may_be_the_first_of_all_but_leaves_no_gap(folder):
    late = process()
    await run(late, folder, day(9), day(12))
    assert late.world.log(SOURCE, 0)
    with pytest.raises(SourceError, match=r"holds lines up to number \d+, .* \d+ events between them .* Begin earlier"):
        await run(late, folder, day(15), None)
    await run(late, folder, day(12), None)


async def test_a_period_before_the_first_one_is_refused(folder):
    """Its events would be dropped, or come after later ones; and an outlook would say that they are there."""
    late = process()
    await run(late, folder, day(9), day(20))
    files = sources(folder)
    there = await published(late.consumer(None, SOURCE, [0, 1]), [0, 1])
    for start, stop in ((None, day(9)), (None, None), (day(5), day(12))):
        with pytest.raises(SourceError, match=r"insurer\.source begins with later lines .*: \d+ of its events .* Begin later"):
            await run(late, folder, start, stop)
        with pytest.raises(SourceError, match="begins with later lines"):
            outlook(files, "insurer", span_of(files, start, stop), there, NAMES)
    await run(late, folder, day(9), None)


async def test_what_would_come_after_an_end_is_refused(folder):
    """Files grew after a replay that ended their sources: nobody would read the new lines, and they would count as sent."""
    ended = process()
    await run(ended, folder)
    with (folder / "members.csv").open("a") as file:
        file.write("m99,P0099,2024-02-28,,2024-03-05\nm98,P0001,2024-02-28,,2024-03-06\n")
    for start in (None, day(9)):
        with pytest.raises(SourceError, match=r"sources have ended on insurer\.source, and 2 events .* where nobody reads"):
            await run(ended, folder, start)
    assert not any(b"2024-03-05" in r.value for n in range(2) for r in ended.world.log(SOURCE, n))
    counts = await run(ended, folder, None, day(29))
    assert counts.read == LINES


async def test_an_outlook_counts_and_sends_nothing(folder):
    looked = process()
    files, nothing = sources(folder), {0: Published(), 1: Published()}
    found = outlook(files, "insurer", span_of(files), nothing, NAMES)
    assert looked.world.logs == {}
    assert (found.lines, found.refused.total(), found.there) == (LINES, 3, 0)
    assert found.events == {("claims", "enrolment"): LINES - 3}
    assert (found.first, found.to_send) == (day(1), LINES - 3)
    await run(looked, folder, None, day(9))
    there = await published(looked.consumer(None, SOURCE, [0, 1]), [0, 1])
    part = outlook(files, "insurer", span_of(files, None, day(9)), there, NAMES)
    assert part.to_send == 0 < part.there
    again = outlook(files, "insurer", span_of(files), there, NAMES)
    assert again.there == part.there == again.events.total() - again.to_send
    none = outlook(files, "insurer", span_of(files, day(9), day(9)), there, NAMES)
    assert (none.lines, none.first) == (0, None)


async def test_a_tail_tells_the_last_line_and_the_sources_that_ended(monkeypatch):
    source = process()
    send = source.producer(None).send
    final, alive = encode(Heartbeat(source="claims")), encode(
        Heartbeat(source="claims", final=False, until="2024-01-01T00:00:00Z", recorded_at="2024-01-01T00:00:00Z")
    )
    await send(SOURCE, 0, [(numbered(4, M, b"a"), b"{}"), (numbered(9, M, b"b c"), b"{}"), (numbered(4, M, b"a"), b"{}"),
                           (None, alive), (b"own key", final), (None, b"not json")])
    consumer = source.consumer(None, SOURCE, [0, 1])
    assert await published(consumer, [0, 1]) == {0: Published(9, M, b"b c", 4), 1: Published()}
    await send(SOURCE, 0, [(None, final)])
    assert (await published(consumer, [0]))[0] == Published(9, M, b"b c", 4, frozenset({"claims"}))
    assert not parse(alive).final
    monkeypatch.setattr("streams.flow.END_SECONDS", 0.05)

    async def far(partitions):
        return dict.fromkeys(partitions, 9)

    async def anywhere(*_):
        return None

    async def at(_partition):
        return 5

    consumer.position = at
    consumer.ends = far
    consumer.seek = anywhere
    monkeypatch.setattr("streams.published.END_SECONDS", 0.05)
    with pytest.raises(BrokerError, match=r"insurer\.source did not give its first records for 0\.05 s"):
        await published(consumer, [0])
    source.world.expired[SOURCE, 0] = 1
    with pytest.raises(BrokerError, match=r"insurer\.source gave nothing for 0\.05 s before its end"):
        await published(consumer, [0])


@pytest.mark.parametrize("key", [None, b"", b"#", b"#0 x", b"#12", b"#12 x", b"#12:0123456g x", b"#x y", b"12 x", b"#" + b"9" * 16 + b" x"])
def test_a_key_without_a_number(key):
    assert number_of(key) == 0
    assert position_of(key or b"") == (key or b"")


def test_a_key_with_a_number():
    key = numbered(12, M, b"members.csv:3:10:20\n ")
    assert (number_of(key), mark_of(key), position_of(key)) == (12, M, b"members.csv:3:10:20\n ")
