"""Parties' whole pipelines on the real embedded broker: files in, shares at three nodes out, checked against the oracle."""

import asyncio
import hashlib
import hmac
import tomllib
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.cohort import Shape, generate
from infra.local.broker import EmbeddedBroker
from policy.agreement import load_draft
from streams import topics
from streams.broker import Broker, Consumer, create_topics
from streams.envelope import parse
from streams.errors import BrokerError
from streams.inbox import Inbox, Opener
from streams.pipeline import PartyConfig, PartyPipeline
from streams.rejects import open_rejected
from streams.store import ShareStore
from tests.support.oracle import _measures
from tests.support.oracle_files import Reader
from tests.support.parties import (
    BATCH_KEY,
    LINK_SECRET,
    NODE_KEYS,
    PSEUDONYM_KEY,
    REJECTS_KEY,
    SHARING_KEY,
    keyed_terms,
)

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
PARTIES = ("hospital", "insurer", "statistics")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    generate(folder, shape=Shape(patients=300, weeks=12, seed=5, enrolled=0.5, uptake_weeks=2.0), dirt=2)
    return folder


@pytest.fixture
def broker(tmp_path):
    with EmbeddedBroker(tmp_path / "broker") as embedded:
        yield embedded


def quick_terms():
    draft = load_draft(AGREEMENT)
    kpis = ["gp-visit-rate-ratio"]
    return keyed_terms(**draft.model_dump(mode="json", exclude_none=True) | {
        "kpis": kpis, "recipients": [{"name": "innovation-team", "kpis": kpis}],
    })


def config(broker, terms, party, data, **changes):
    return PartyConfig(**{
        "broker": Broker(broker.address), "terms": terms, "party": party, "data": data, "link_secret": LINK_SECRET,
        "pseudonym_key": hashlib.sha256(PSEUDONYM_KEY + party.encode()).digest(), "sharing_key": SHARING_KEY,
        "batch_key": BATCH_KEY, "rejects_key": REJECTS_KEY, "stall_seconds": 20.0, **changes,
    })


async def receive(broker, terms, folder):
    """What three nodes have in store when every party is done."""
    stores = []
    for node, secret in enumerate(NODE_KEYS):
        store = ShareStore(folder / f"node-{node}", terms, node)
        key = X25519PrivateKey.from_private_bytes(secret)
        async with asyncio.timeout(30), Inbox(Broker(broker.address), terms, node, key) as inbox:
            async for batches in inbox:
                store.add(batches)
                if store.received >= store.expected:
                    break
        assert inbox.refused == 0
        stores.append(store)
    return stores


def link_key(person):
    digest = hmac.new(LINK_SECRET, b"winnow-link" + person.encode(), hashlib.sha256).digest()[:16]
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def opened(parts, join):
    """The values of three nodes' (2, …) parts, after checking that both holders have the same."""
    for node in range(3):
        np.testing.assert_array_equal(parts[node][1], parts[(node + 1) % 3][0])
    return join(join(parts[0][0], parts[1][0]), parts[2][0])


async def test_three_parties_shares_equal_the_oracles_panes(broker, cohort, tmp_path):
    terms, heard = quick_terms(), []
    await create_topics(Broker(broker.address), topics.all_topics(terms.draft))
    agreement = tomllib.loads(AGREEMENT.read_text())
    books = {p: Reader(agreement, p, cohort / p).read() for p in PARTIES}
    for party in PARTIES:
        pipeline = PartyPipeline(config(broker, terms, party, cohort / party), lambda *said: heard.append(said))
        counts = await pipeline.run()
        assert counts.summary() == {
            "read": books[party].read, "accepted": books[party].accepted,
            "rejected": dict(sorted(books[party].rejected.items())), "late_pending": counts.late_pending,
        }
        assert counts.accepted + counts.rejected.total() == counts.read
    stores = await receive(broker, terms, tmp_path)

    assert all(s.registers_complete and s.complete_panes == 12 and not s.incidents for s in stores)
    edges = Reader(agreement, "hospital", cohort / "hospital").grid.edges
    closing = Reader(agreement, "hospital", cohort / "hospital").grid.midnight(terms.draft.linkage.date)
    for party in PARTIES:
        people = sorted(p for p, at in books[party].known.items() if at.timestamp() < closing)
        measures = [m for m in agreement["measures"] if m["party"] == party]
        expected = _measures(measures, books, people, edges)
        rows = {link_key(p)[0]: (i, link_key(p)[1] % terms.draft.shards) for i, p in enumerate(people)}
        found = 0
        for shard in range(terms.draft.shards):
            slots = opened([s.register(party, shard) for s in stores], np.bitwise_xor).tolist()
            used = {slot: rows[key][0] for slot, key in enumerate(slots) if key in rows}
            assert len(set(slots)) == len(slots) and len(slots) % 128 == 0
            assert all(rows[slots[slot]][1] == shard for slot in used)
            found += len(used)
            for measure in measures:
                name = measure["name"]
                columns = [f"{name}.high", f"{name}.low"] if measure["aggregation"] == "sum" else [name]
                parts = [s.panes(party, shard, range(12), columns) for s in stores]
                limbs = opened(parts, np.add).view(np.int64)
                values = limbs[:, 0] * 2**13 + limbs[:, 1] if len(columns) == 2 else limbs[:, 0]
                want = np.zeros_like(values)
                for slot, person in used.items():
                    want[:, slot] = expected[name][person]
                np.testing.assert_array_equal(values, want, err_msg=name)
        assert found == len(people)
    assert {phase for phase, _, _ in heard} == {"replay", "ingest", "panes", "share"}
    assert all(0 <= done <= total or phase == "ingest" for phase, done, total in heard)


async def records(broker, topic, partitions):
    async with Consumer(Broker(broker.address), topic, range(partitions)) as consumer:
        found, empty = [], 0
        while empty < 3:
            polled = await consumer.poll(0.2, 5000)
            found += polled
            empty = 0 if polled else empty + 1
        return found


async def test_no_topic_holds_an_identifier_and_rejects_open_for_their_party(broker, cohort):
    terms = quick_terms()
    await create_topics(Broker(broker.address), topics.all_topics(terms.draft))
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
    await create_topics(Broker(broker.address), topics.all_topics(terms.draft))
    await PartyPipeline(config(broker, terms, "statistics", cohort / "statistics"), lambda *_: None).run()
    sent = await records(broker, topics.inbox(1, "quick"), 2)
    opener = Opener(terms, 1, X25519PrivateKey.from_private_bytes(NODE_KEYS[1]))
    store = ShareStore(tmp_path / "node", terms, 1)
    store.add(opener.open(r.value, r.partition) for r in sent)
    before = store.register("statistics", 0)
    for key, incidents in ((SHARING_KEY, False), (b"T" * 32, True)):
        with EmbeddedBroker(tmp_path / key.hex()[:8]) as second:
            await create_topics(Broker(second.address), topics.all_topics(terms.draft))
            again = config(second, terms, "statistics", cohort / "statistics", sharing_key=key)
            await PartyPipeline(again, lambda *_: None).run()
            repeated = await records(second, topics.inbox(1, "quick"), 2)
        assert len(repeated) == len(sent) == store.received
        store.add(opener.open(r.value, r.partition) for r in repeated)
        assert (("statistics", 0, 0, -1) in store.incidents) == incidents
        assert bool(store.incidents) == incidents
    np.testing.assert_array_equal(store.register("statistics", 0), before)


async def test_a_lost_broker_ends_the_pipeline_at_once(broker, cohort):
    terms = quick_terms()
    await create_topics(Broker(broker.address), topics.all_topics(terms.draft))

    def kill(phase, done, total):
        broker.process.kill()

    async with asyncio.timeout(10):
        with pytest.raises(BrokerError, match=broker.address):
            await PartyPipeline(config(broker, terms, "insurer", cohort / "insurer"), kill).run()


async def test_topics_exist_already(broker):
    topic = topics.Topic("again", 1, 1)
    await create_topics(Broker(broker.address), [topic])
    with pytest.raises(BrokerError, match=r"again \(code 36\)"):
        await create_topics(Broker(broker.address), [topic])
