"""A node lost files of its store, and its inbox has nothing of them any more: its parties send them again."""

import shutil
from contextlib import AsyncExitStack

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.cohort.generate import generate
from streams import resend, topics
from streams.access import node_user
from streams.broker import Consumer, Producer
from streams.erasure import is_list
from streams.holding import MOST_ASKED, Holding, seal_holding
from streams.inbox import Opener
from streams.pipeline import PartyPipeline
from streams.store import ShareStore
from streams.word import PartyWord
from tests.integration.test_erasure import ERASURE, SHAPE, withdraw
from tests.support.parties import NODE_KEYS
from tests.support.pipelines import PARTIES, config, quick_cohort, quick_terms, receive

RECORD_KEY = Ed25519PrivateKey.generate()
NODE = 1


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return quick_cohort(tmp_path_factory.mktemp("cohort"))


def terms(**changes):
    made, key = quick_terms(**changes), RECORD_KEY.public_key().public_bytes_raw().hex()
    return made.model_copy(update={"nodes": tuple(
        n.model_copy(update={"record_key": key}) if j == NODE else n for j, n in enumerate(made.nodes)
    )})


async def again(broker, agreed, party, cohort):
    """A worker that finds everything done; whether it sent anything again."""
    said = set()
    await PartyPipeline(config(broker, agreed, party, cohort / party), lambda phase, *_: said.add(phase)).run()
    return "resent" in said


@pytest.mark.timeout(300)
async def test_lost_files_of_a_store_come_again(broker, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(resend, "SETTLE_SECONDS", 0.0)
    agreed, draft = terms(), terms().draft
    await broker.prepare(draft)
    for party in PARTIES:
        await PartyPipeline(config(broker, agreed, party, cohort / party), lambda *_: None).run()
    stores = await receive(broker, agreed, tmp_path)
    whole, files = stores[NODE].received, sorted((tmp_path / f"node-{NODE}").rglob("*.arrow"))
    lost = {path: path.read_bytes() for path in [*files[::7], *(f for f in files if f.name == "register.arrow")]}
    for path in lost:
        path.unlink()
    store = ShareStore(tmp_path / f"node-{NODE}", agreed, NODE)
    assert store.received == whole - len(lost)
    user = broker.of(node_user(NODE))
    key = X25519PrivateKey.from_private_bytes(NODE_KEYS[NODE])
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(user))
        inbox = Consumer(user, topics.inbox(NODE, draft.name), range(draft.shards))
        await stack.enter_async_context(inbox)
        for shard in range(draft.shards):
            await inbox.seek(shard, await inbox.end(shard))
        opener = Opener(agreed, NODE, key)
        for _ in range(3):  # a register tells how many blocks there are to miss
            for party in PARTIES:
                missing = tuple(store.missing(party, MOST_ASKED))
                if not missing:
                    continue
                word = Holding(
                    agreement=agreed.hash, party=party, node=NODE, held=store.held(party), missing=missing
                )
                await producer.send(topics.holdings(party, draft.name), 0, [(b"node-1", seal_holding(word, RECORD_KEY))])
                assert await again(broker, agreed, party, cohort), party
            while records := await inbox.poll(1.0, 100):
                store.add([opener.open(record.value, record.partition) for record in records])
    assert store.received == whole
    assert store.incidents == []
    assert {path: path.read_bytes() for path in lost} == lost


@pytest.mark.timeout(300)
async def test_a_lost_list_of_rows_to_be_erased_comes_again(broker, tmp_path, monkeypatch):
    """From a worker that finds everything done, to a node whose inbox has nothing of it any more."""
    parties = quick_terms().draft.model_dump(mode="json", exclude_none=True)["parties"]
    parties[0]["sources"][0]["kinds"].append("withdrawal")
    agreed = terms(parties=parties, shards=1, erasure=ERASURE)
    draft, party = agreed.draft, parties[0]["name"]
    monkeypatch.setattr(resend, "PATIENCE_SECONDS", 0.0)
    withdraw(generate(tmp_path, shape=SHAPE).parties[party])
    await broker.prepare(draft)
    await PartyPipeline(config(broker, agreed, party, tmp_path / party), lambda *_: None).run()
    user = broker.of(node_user(NODE))
    opener = Opener(agreed, NODE, X25519PrivateKey.from_private_bytes(NODE_KEYS[NODE]))
    store = ShareStore(tmp_path / "store", agreed, NODE)
    async with Producer(user) as producer, Consumer(user, topics.inbox(NODE, draft.name), [0]) as inbox:

        async def read():
            while records := await inbox.poll(1.0, 100):
                store.add([
                    (opener.open_list if is_list(record.value) else opener.open)(record.value, 0) for record in records
                ])

        await read()
        assert store.erased.known(party) == (2,)
        kept = [each.digest for each in store.erased.lists((party, 0))]
        shutil.rmtree(tmp_path / "store" / party / "shard-00" / "erasure")
        store = ShareStore(tmp_path / "store", agreed, NODE)
        assert store.erased.known(party) == (0,)
        word = PartyWord(agreed, NODE, party, store).due()
        await producer.send(topics.holdings(party, draft.name), 0, [(b"node-1", seal_holding(word, RECORD_KEY))])
        assert await again(broker, agreed, party, tmp_path)
        await read()
    assert [each.digest for each in store.erased.lists((party, 0))] == kept
    assert store.erased.incidents == []
