"""Apache Kafka for real: who is let in, what topics are like, and brokers that die."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from infra.kafka.certificates import make_certificates
from infra.kafka.cluster import KafkaCluster
from infra.local.errors import LocalError
from streams.access import node_user, party_user
from streams.admin import administrator
from streams.broker import Consumer, Producer, create_topics, watch
from streams.errors import BrokerError
from streams.numbering import numbered
from streams.published import published
from streams.topics import Topic, all_topics
from tests.support.brokers import STRANGER, USERS, Served
from tests.support.pipelines import quick_cohort, quick_terms, run_three_parties
from tests.support.sockets import listeners

ROOT = Path(__file__).parents[2]
DRAFT = quick_terms().draft


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A cluster of three brokers; tests leave all of them running."""
    with KafkaCluster(tmp_path_factory.mktemp("three") / "cluster", 3, USERS) as cluster:
        yield cluster


@pytest.fixture
def cluster(three):
    served = Served(three, secured=True)
    yield served
    served.empty()


async def read(broker, topic, wait_seconds=10.0):
    async with Consumer(broker, topic, [0]) as consumer:
        return [record.value for record in await consumer.poll(wait_seconds, 100)]


async def write(broker, topic, value=b"x"):
    async with Producer(broker) as producer:
        return await producer.send(topic, 0, [(b"key", value)])


PARTY, OTHER = party_user("hospital"), party_user("insurer")
DENIED = [
    # Each other's own topics: neither seen, nor written.
    ("read", PARTY, "insurer.source"), ("read", PARTY, "insurer.quick.sharded"), ("read", PARTY, "insurer.quick.panes"),
    ("write", PARTY, "insurer.source"), ("write", OTHER, "hospital.quick.sharded"),
    # Inboxes: who writes one does not read it, and a node reads none but its own.
    ("read", PARTY, "node-0.quick.inbox"), ("read", node_user(0), "node-1.quick.inbox"),
    ("read", node_user(1), "node-0.quick.inbox"), ("write", node_user(0), "node-1.quick.inbox"),
    # Plaintext never reaches nodes, results only their recipient.
    ("read", node_user(0), "hospital.source"), ("read", node_user(0), "results.innovation-team"),
    ("read", PARTY, "results.innovation-team"), ("write", PARTY, "results.innovation-team"),
    ("write", "recipient-innovation-team", "runs"), ("read", "recipient-innovation-team", "hospital.source"),
    ("read", STRANGER, "runs"), ("write", STRANGER, "requests"),
]


@pytest.mark.timeout(240)
async def test_what_the_agreement_does_not_allow_the_cluster_refuses(apache):
    await apache.prepare(DRAFT)
    for topic in all_topics(DRAFT):
        await write(apache.of(), topic.name, b"secret")
    attempts = [(read if doing == "read" else write)(apache.of(user), topic) for doing, user, topic in DENIED]
    for what, outcome in zip(DENIED, await asyncio.gather(*attempts, return_exceptions=True), strict=True):
        assert isinstance(outcome, BrokerError), (what, outcome)
        assert f"does not let us as user {what[1]}" in str(outcome), what
    for topic in all_topics(DRAFT):
        assert await read(apache.of(), topic.name) == [b"secret"], "nothing that was refused was written"


async def test_what_the_agreement_allows_goes_through(apache):
    await apache.prepare(DRAFT)
    for writer, reader, topic in (
        (PARTY, PARTY, "hospital.source"), (PARTY, PARTY, "hospital.quick.panes"), (OTHER, node_user(2), "node-2.quick.inbox"),
        (node_user(0), "recipient-innovation-team", "results.innovation-team"),
        (node_user(1), "recipient-innovation-team", "runs"),
    ):
        assert await write(apache.of(writer), topic, topic.encode()) == 1
        assert await read(apache.of(reader), topic) == [topic.encode()]


async def test_without_the_right_password_or_authority_there_is_nothing(apache, tmp_path, caplog):
    await create_topics(apache.of(), [Topic("hospital.source", 1, 1)])
    await write(apache.of(), "hospital.source")
    right = apache.of()
    make_certificates(tmp_path, 1)
    for broker in (
        replace(right, login=replace(right.login, password="wrong-" + "x" * 20)),
        replace(right, login=replace(right.login, user="nobody")),
        replace(right, login=replace(right.login, authority=tmp_path / "ca.pem")),
        replace(right, login=None),
    ):
        for work in (read(broker, "hospital.source"), write(broker, "hospital.source"), create_topics(broker, [])):
            with pytest.raises(BrokerError, match="Check that it runs"):
                await work
    assert right.login.password not in caplog.text
    assert "wrong-" not in caplog.text


async def test_topics_of_three_brokers_are_as_declared(cluster):
    declared = all_topics(DRAFT)
    await cluster.prepare(DRAFT)
    async with administrator(cluster.of(), "looking") as admin:
        found = {t["topic"]: t["partitions"] for t in await admin.describe_topics([t.name for t in declared])}
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, t.name) for t in declared])
    configs = {r[3]: {e[0]: e[1] for e in r[4]} for answer in answers for r in answer.resources}
    for topic in declared:
        assert len(found[topic.name]) == topic.partitions
        assert all(sorted(p["replicas"]) == [1, 2, 3] for p in found[topic.name])
        has = configs[topic.name]
        assert has["min.insync.replicas"] == "2"
        assert has["message.timestamp.type"] == "LogAppendTime"
        if topic.compacted:
            assert has["cleanup.policy"] == "compact"
        else:
            assert (has["cleanup.policy"], has["retention.ms"]) == ("delete", str(topic.retention_days * 86_400_000))


async def test_a_topic_that_exists_must_be_as_declared(apache):
    await create_topics(apache.of(), [Topic("again", 2, 7)])
    await create_topics(apache.of(), [Topic("again", 2, 7)])
    for other, said in (
        (Topic("again", 3, 7), "partitions is 2, expected 3"),
        (Topic("again", 2, 8), "retention.ms is 604800000, expected 691200000"),
        (Topic("again", 2, 7, compacted=True), "cleanup.policy is delete, expected compact"),
    ):
        with pytest.raises(BrokerError, match=said):
            await create_topics(apache.of(), [other])


async def test_records_say_when_the_broker_got_them(apache):
    await create_topics(apache.of(), [Topic("hospital.source", 1, 1)])
    before = time.time() * 1000
    await write(apache.of(), "hospital.source")
    async with Consumer(apache.of(), "hospital.source", [0]) as consumer:
        (record,) = await consumer.poll(10, 10)
    assert before - 5 <= record.timestamp <= time.time() * 1000 + 5


async def test_what_retention_deleted_is_not_passed_over_in_silence(apache):
    """A party goes on from its state after a long outage: the records between are gone, and it says so."""
    await create_topics(apache.of(), [Topic("hospital.source", 1, 1)])
    async with Producer(apache.of()) as producer:
        await producer.send("hospital.source", 0, [
            (numbered(n, b"mark", b"f:1:1:1"), b"%d" % n) for n in range(1, 11)
        ])
    async with administrator(apache.of(), "looking") as admin:
        await admin.delete_records({TopicPartition("hospital.source", 0): RecordsToDelete(before_offset=6)})
    async with Consumer(apache.of(), "hospital.source", [0]) as consumer:
        assert await consumer.begins([0]) == {0: 6}
        with pytest.raises(BrokerError, match=r"offset 5 of hospital.source/0 lies outside 6\.\.10: .* lost records"):
            await consumer.seek(0, 5)
        await consumer.seek(0, 6)
        await consumer.seek(0, 0)
        assert [record.value for record in await consumer.poll(10, 10)] == [b"7", b"8", b"9", b"10"]
        assert (await published(consumer, [0]))[0].line == 10


@pytest.mark.timeout(120)
async def test_clients_go_on_when_a_single_broker_is_killed_and_comes_back(apache, apache_cluster):
    """One producer, one consumer, one watch; and a watch of somebody who does not wait."""
    await create_topics(apache.of(), [Topic("hospital.source", 1, 1)])
    broker = apache.of()
    hasty = replace(broker, profile=replace(broker.profile, outage_seconds=1.0))
    async with Producer(broker) as producer, Consumer(broker, "hospital.source", [0]) as consumer:
        watchers = [asyncio.create_task(watch(each)) for each in (broker, hasty)]
        await producer.send("hospital.source", 0, [(None, b"%d" % n) for n in range(10)])
        got = await consumer.poll(10, 100)
        apache_cluster.kill(1)
        assert not apache_cluster.alive(1)
        with pytest.raises(BrokerError, match="is gone"):
            await asyncio.wait_for(watchers[1], 10)
        apache_cluster.begin(1)
        sending = asyncio.create_task(producer.send("hospital.source", 0, [(None, b"%d" % n) for n in range(10, 20)]))
        await asyncio.to_thread(apache_cluster.wait, 1)
        assert await sending == 10
        limit = time.monotonic() + 30
        while len(got) < 20 and time.monotonic() < limit:
            got += await consumer.poll(1, 100)
        assert [r.value for r in got] == [b"%d" % n for n in range(20)]
        assert [r.offset for r in got] == list(range(20))
        assert not watchers[0].done()
        watchers[0].cancel()


@pytest.mark.timeout(240)
async def test_one_of_three_brokers_is_killed_in_mid_pipeline_and_nothing_is_lost(cluster, three, tmp_path):
    """The broker that leads a shard's topic dies by SIGKILL while panes are sealed; shares equal the oracle's panes."""
    killed, leaders = [], {}

    def kill(phase, done, total):
        if phase == "panes" and not killed:
            killed.append(leaders["insurer.quick.sharded"])
            three.kill(killed[0])

    await cluster.prepare(DRAFT)
    async with administrator(cluster.of(), "looking") as admin:
        for topic in await admin.describe_topics([t.name for t in all_topics(DRAFT)]):
            leaders[topic["topic"]] = topic["partitions"][0]["leader"]
    try:
        await run_three_parties(cluster, quick_cohort(tmp_path / "cohort"), tmp_path, kill, prepared=True)
        assert killed
        assert not three.alive(killed[0])
    finally:
        if killed:
            three.begin(killed[0])
            await asyncio.to_thread(three.wait, killed[0])


def process_state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def test_brokers_listen_on_loopback_only_and_show_no_password(three):
    for number in (1, 2, 3):
        pid = three.pid(number)
        assert {(found.kind, found.address) for found in listeners(pid)} == {("tcp", "127.0.0.1")}
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        said = (three.folder / f"broker-{number}.log").read_text()
        for user in USERS:
            password = three.password_file(user).read_text()
            assert password not in command
            assert password not in said
    assert not list(three.folder.glob("format[.-]*")), "what the storage tool was told and said is gone"


def test_brokers_end_with_whoever_started_them(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from infra.kafka.cluster import KafkaCluster\n"
        "cluster = KafkaCluster(Path(sys.argv[1])).start(); print(cluster.pid(1), flush=True); time.sleep(100)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "kafka")], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )
    try:
        pid = int(starter.stdout.readline())
        assert process_state(pid) in "SR"
        starter.send_signal(signal.SIGKILL)
        starter.wait(10)
        limit = time.monotonic() + 10
        while process_state(pid) not in {"gone", "Z", "X"} and time.monotonic() < limit:
            time.sleep(0.05)
        assert process_state(pid) in {"gone", "Z", "X"}
    finally:
        starter.kill()
        starter.wait()
        starter.stdout.close()


def test_a_folder_keeps_its_cluster(three):
    with pytest.raises(LocalError, match="holds a cluster of 3 brokers"):
        KafkaCluster(three.folder, 1).start()
    with pytest.raises(LocalError, match="runs already"):
        three.begin(1)
