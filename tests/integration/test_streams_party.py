"""Parties' whole pipelines on both brokers: files in, shares at three nodes out, checked against the oracle."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from infra.local.broker import EmbeddedBroker
from streams import pipeline, topics
from streams.broker import create_topics
from streams.envelope import parse
from streams.errors import BrokerError, ConfigurationError
from streams.inbox import Opener
from streams.pipeline import PartyPipeline
from streams.rejects import open_rejected
from streams.store import ShareStore
from tests.support.brokers import Served
from tests.support.parties import (
    NODE_KEYS,
    REJECTS_KEY,
    SHARING_KEY,
)
from tests.support.pipelines import config, quick_cohort, quick_terms, records, run_three_parties


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return quick_cohort(tmp_path_factory.mktemp("cohort"))


async def test_three_parties_shares_equal_the_oracles_panes(broker, cohort, tmp_path):
    heard = []
    await run_three_parties(broker, cohort, tmp_path, lambda *said: heard.append(said))
    assert {phase for phase, _, _ in heard} == {"replay", "ingest", "panes", "share"}
    assert all(0 <= done <= total or phase == "ingest" for phase, done, total in heard)


async def test_a_party_says_how_it_stands_while_it_works_and_in_the_end(broker, cohort, monkeypatch):
    monkeypatch.setattr(pipeline, "TELL_SECONDS", 0.01)
    terms, told = quick_terms(), []
    await broker.prepare(terms.draft)

    async def tell(*stand):
        told.append(stand)

    counts = await PartyPipeline(config(broker, terms, "insurer", cohort / "insurer"), lambda *_: None, tell).run()
    assert [last for *_, last in told[-2:]] == [False, True]
    for before, after in pairwise(told):
        for kind in (0, 1):
            assert all(b.position <= a.position <= a.end for b, a in zip(before[kind], after[kind], strict=True))
        assert all(b.sealed <= a.sealed for b, a in zip(before[1], after[1], strict=True))
    partitions, shards, _ = told[-1]
    kept = [len(await records(broker, name, 2)) for name in (topics.source("insurer"), topics.sharded("insurer", "quick"))]
    assert [sum(stand.end for stand in stands) for stands in (partitions, shards)] == kept
    assert all(stand.position == stand.end > 0 for stand in (*partitions, *shards))
    assert all(source.ended for stand in partitions for source in stand.sources)
    assert [(stand.sealed, stand.ended) for stand in shards] == [(terms.draft.panes.count, True)] * 2
    assert sum(stand.late for stand in shards) == counts.late_pending
    # Every record of the source topic is an event, accepted or refused, or a source's last word.
    rejected, words = sum(stand.rejected for stand in partitions), sum(len(stand.sources) for stand in partitions)
    assert counts.accepted + rejected + words == kept[0]
    assert rejected > 5


async def test_a_worker_that_cannot_work_does_not_take_over_from_one_that_can(broker, cohort, tmp_path):
    terms = quick_terms()
    await broker.prepare(terms.draft)
    (tmp_path / "state").write_text("")
    wrong = config(broker, terms, "insurer", cohort / "insurer", state=tmp_path / "state")
    with pytest.raises(ConfigurationError, match="cannot make the state folder"):
        await PartyPipeline(wrong, lambda *_: None).run()
    assert await records(broker, topics.owner("insurer", "quick"), 1) == []


async def test_no_topic_holds_an_identifier_and_rejects_open_for_their_party(broker, cohort):
    terms = quick_terms()
    await broker.prepare(terms.draft)
    counts = await PartyPipeline(config(broker, terms, "insurer", cohort / "insurer"), lambda *_: None).run()
    persons = {line.split(b",")[1] for line in (cohort / "insurer" / "members.csv").read_bytes().split(b"\n")[1:-1]}
    claims = (cohort / "insurer" / "claims.csv").read_bytes()
    assert len(persons) > 200
    for topic in topics.all_topics(terms.draft):
        text = b"\n".join((r.key or b"") + b" " + r.value for r in await records(broker, topic.name, topic.partitions))
        assert not [p for p in persons if p in text], topic.name
    rejected = await records(broker, topics.rejected("insurer"), 1)
    assert len(rejected) == counts.rejected.total() > 20
    key, kept = X25519PrivateKey.from_private_bytes(REJECTS_KEY), 0
    for record in rejected:
        what, original = open_rejected(record.value, key)
        name, _, offset, length = what.position.split(":")
        assert what.source == "claims"
        if original.startswith(b'{"event_id"'):
            assert parse(original).source == "claims"
        elif name == "claims.csv":
            kept += 1
            assert claims[int(offset) : int(offset) + min(int(length), 4096)] == original
            assert what.truncated == (int(length) > 4096)
    assert kept > 5


async def test_a_party_that_lost_its_state_shares_the_same_again_and_with_another_key_is_in_conflict(
    broker, cohort, tmp_path
):
    """Nodes keep what came first: under another sharing key slots, and so registers and panes, are other contents."""
    terms = quick_terms()
    await broker.prepare(terms.draft)
    await PartyPipeline(config(broker, terms, "statistics", cohort / "statistics"), lambda *_: None).run()
    sent = await records(broker, topics.inbox(1, "quick"), 2)
    opener = Opener(terms, 1, X25519PrivateKey.from_private_bytes(NODE_KEYS[1]))
    store = ShareStore(tmp_path / "node", terms, 1)
    store.add(opener.open(r.value, r.partition) for r in sent)
    before = store.register("statistics", 0)
    for key, incidents in ((SHARING_KEY, False), (b"T" * 32, True)):
        with EmbeddedBroker(tmp_path / key.hex()[:8]) as embedded:
            second = Served(embedded, secured=False)
            await second.prepare(terms.draft)
            again = config(second, terms, "statistics", cohort / "statistics", sharing_key=key)
            await PartyPipeline(again, lambda *_: None).run()
            repeated = await records(second, topics.inbox(1, "quick"), 2)
        assert len(repeated) == len(sent) == store.received
        store.add(opener.open(r.value, r.partition) for r in repeated)
        assert (("statistics", 0, 0, -1, 0) in store.incidents) == incidents
        assert bool(store.incidents) == incidents
    np.testing.assert_array_equal(store.register("statistics", 0), before)


async def test_a_state_folder_that_outlived_its_topics_is_passed_over(cohort, tmp_path):
    terms, found = quick_terms(), []
    for number in range(2):
        with EmbeddedBroker(tmp_path / f"broker-{number}") as embedded:
            served = Served(embedded, secured=False)
            await served.prepare(terms.draft)
            settings = config(served, terms, "statistics", cohort / "statistics", state=tmp_path / "state")
            counts = await PartyPipeline(settings, lambda *_: None).run()
            found.append((counts.summary(), len(await records(served, topics.inbox(1, "quick"), 2))))
    assert found[0] == found[1]
    assert found[0][1] > 10


async def test_a_lost_broker_ends_the_pipeline_at_once(embedded_broker, cohort):
    broker = embedded_broker
    terms = quick_terms()
    await broker.prepare(terms.draft)

    def kill(phase, done, total):
        broker.server.process.kill()

    async with asyncio.timeout(10):
        with pytest.raises(BrokerError, match=broker.address):
            await PartyPipeline(config(broker, terms, "insurer", cohort / "insurer"), kill).run()


async def test_a_topic_of_an_embedded_broker_must_be_new(embedded_broker):
    topic = topics.Topic("again", 1, 1)
    await create_topics(embedded_broker.of(), [topic])
    with pytest.raises(BrokerError, match=r"again \(code 36\)"):
        await create_topics(embedded_broker.of(), [topic])
