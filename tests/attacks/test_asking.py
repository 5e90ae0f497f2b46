"""A node that lies about what it holds, and what else may be on the topic on which nodes ask: the party's work stays
bounded, and whoever tells the truth is served.
"""

import asyncio
from random import Random

import pytest
import structlog

from streams import holding, resend
from streams.errors import BatchError
from streams.holding import MOST_ASKED, Patience, open_holding, seal_holding
from streams.resend import MOST_TIMES
from streams.store import ShareStore
from tests.unit.streams.test_resend import (
    BATCHES,
    NAMES,
    OPENERS,
    PANES_TOPIC,
    RECORD_KEYS,
    TERMS,
    Place,
    word,
)

HOLDINGS = "insurer.small.holdings"


def say(place, node, *names, key=None):
    place.put(HOLDINGS, 0, seal_holding(word(node, missing=names), RECORD_KEYS[node] if key is None else key))


async def test_a_name_that_stands_in_a_word_often_is_sent_once(monkeypatch):
    place, name = Place(monkeypatch), (0, 0, 0, 0)
    for _ in range(2 * MOST_TIMES):
        await place.ask(1, *[name] * MOST_ASKED)
        place.now[0] += 31
    assert place.sent(1)[0] == [name] * MOST_TIMES


async def test_who_asks_for_everything_for_ever_gets_it_so_often_at_most(monkeypatch):
    place = Place(monkeypatch)
    beyond = [(0, 4_095, 4_999, 12), (2**6 - 1, 0, 0, 0), (1, 1, 5, 0), (0, 3, -1, 0)]
    for _ in range(2 * MOST_TIMES):
        await place.ask(2, *NAMES, *beyond)
        place.now[0] += 31
    assert sorted(place.sent(2)[0]) == sorted(NAMES * MOST_TIMES)
    assert place.resender.gone == {}
    await place.ask(0, *NAMES)
    assert sorted(place.sent(0)[0]) == sorted(NAMES), "the others are served"


async def test_words_that_are_none_do_not_fill_the_log_nor_hide_true_ones(monkeypatch):
    place, name = Place(monkeypatch), (0, 0, 0, 0)
    say(place, 1, name)
    for number in range(300):
        place.put(HOLDINGS, 0, bytes([number % 256]) * (1 + 300 * number), b"node-1")
        say(place, 1, key=RECORD_KEYS[2])
    with structlog.testing.capture_logs() as said:
        await place.resender.settle()
    assert place.sent(1)[0] == [name]
    ignored = [line for line in said if line["event"] == "nodes' words ignored"]
    assert [line["words"] for line in ignored] == [1]


async def test_hearing_takes_a_part_of_the_time_only(monkeypatch):
    place, rests = Place(monkeypatch), []
    for _ in range(5 * resend.POLL_WORDS):
        say(place, 1, key=RECORD_KEYS[2])
    honest = resend.open_holding

    def slow(*what):
        place.now[0] += 0.01
        return honest(*what)

    async def rest(seconds):
        rests.append(seconds)
        if len(rests) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(resend, "open_holding", slow)
    monkeypatch.setattr(resend.asyncio, "sleep", rest)
    with pytest.raises(asyncio.CancelledError):
        await place.resender._listen(place.world.log(HOLDINGS, 0)[:100])
        await place.resender._listen(place.world.log(HOLDINGS, 0)[:1])
        await place.resender._listen([])
        await place.resender._listen([])
    assert rests[:2] == [pytest.approx(resend.REST * 1.0), pytest.approx(resend.REST * 0.01)]


async def test_a_start_does_not_answer_what_was_said_before_the_last_word(monkeypatch):
    place = Place(monkeypatch)
    for _ in range(3 * resend.POLL_WORDS):
        say(place, 1, *NAMES)
    say(place, 1)
    task = asyncio.create_task(place.resender.run())
    for _ in range(100):
        await asyncio.sleep(0)
        place.now[0] += 31
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert place.sent(1)[0] == []


async def test_what_a_node_has_from_elsewhere_is_not_gone_any_more(monkeypatch):
    place = Place(monkeypatch)
    place.world.log(PANES_TOPIC, 1)[:] = []
    asked = [name for name in NAMES if name[0] == 1]
    await place.ask(0, *asked)
    await place.ask(2, asked[0])
    assert place.resender.gone == {1: len(asked)}
    await place.ask(0)
    assert place.resender.gone == {1: 1}, "node 2 still misses it"
    await place.ask(2)
    assert place.resender.gone == {}


@pytest.mark.parametrize("most", [1, 7])
async def test_a_party_that_is_done_answers_until_nodes_have_all(monkeypatch, tmp_path, most):
    """A node asks for some at a time: whoever starts the party again does so once."""
    place = Place(monkeypatch)
    monkeypatch.setattr(resend, "SETTLE_SECONDS", 0.2)
    store, read = ShareStore(tmp_path / "store", TERMS, 1), [0, 0]
    store.add([BATCHES[0, 0, 2, 0], BATCHES[0, 0, 2, 1]])

    def consume():
        for shard in range(2):
            log = place.world.log("node-1.small.inbox", shard)
            store.add([OPENERS[1].open(r.value, shard) for r in log[read[shard]:]])
            read[shard] = len(log)
        return store.missing("insurer", most)

    honest = place.resender._words.poll

    async def poll(seconds, count):
        place.now[0] += 0.05
        missing = consume()
        if missing:
            say(place, 1, *missing)
        return await honest(seconds, count)

    say(place, 1, *store.missing("insurer", most))
    monkeypatch.setattr(place.resender._words, "poll", poll)
    await place.resender.settle()
    consume()
    assert store.received == len(NAMES)


async def test_a_liar_keeps_a_party_that_is_done_for_so_long_only(monkeypatch):
    place = Place(monkeypatch)
    honest = place.resender._words.poll
    monkeypatch.setattr(resend, "SETTLE_SECONDS", 45.0)

    async def poll(seconds, count):
        place.now[0] += 1.0
        say(place, 1, *NAMES, (0, 9, 9, 9))
        return await honest(seconds, count)

    monkeypatch.setattr(place.resender._words, "poll", poll)
    say(place, 1, *NAMES)
    await place.resender.settle()
    assert len(place.sent(1)[0]) <= len(NAMES) * MOST_TIMES
    assert place.now[0] - 1000 <= resend.AGAIN_SECONDS * MOST_TIMES + resend.SETTLE_SECONDS


def test_what_cannot_be_had_does_not_keep_a_node_from_asking_for_the_rest(monkeypatch):
    """All of the first shard has left the party's topic: more than one word can ask for."""
    now = [100.0]
    monkeypatch.setattr(holding.time, "monotonic", lambda: now[0])
    waits = Patience()
    lost = [(0, block, pane, 0) for pane in range(50, 0, -1) for block in range(20)]
    there, asked = {(1, block, 3, 0) for block in range(20)}, set()
    for _ in range(300):
        word = waits.overdue([*lost, *sorted(there - asked)])
        assert len(word) <= MOST_ASKED
        asked |= set(word)
        now[0] += 5
    assert there <= asked
    assert set(lost) <= asked


def test_words_of_any_bytes_are_refused_by_one_error():
    rng = Random(5)
    good = seal_holding(word(missing=((0, 1, -1, 0),)), RECORD_KEYS[0])
    body = good[64:]
    made = [
        b'{"node":' + b"9" * 5_000 + b"}", b"[" * 30_000, b'{"a":' * 10_000, b'{"node":1e999}', b'{"party":"\\ud800"}', b"\xff\xfe",
        body.replace(b'"held":3', b'"held":9223372036854775808'), body.replace(b"-1", b"-9223372036854775809"),
        body.replace(b'"held":3', b'"held":1e400'), b"null", b"", body.replace(b'"node":0', b'"node":-1'),
    ]
    for text in made:
        with pytest.raises(BatchError):
            open_holding(RECORD_KEYS[0].sign(b"winnow-holding\0" + text) + text, TERMS, "insurer")
    for _ in range(500):
        changed = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        if bytes(changed) != good:
            with pytest.raises(BatchError):
                open_holding(bytes(changed), TERMS, "insurer")
