"""What an operator does to a cluster: makes topics as declared, and grants access."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import CreateAclsRequest

from streams.access import Operation, Resource, Rule
from streams.cluster import SEND_SECONDS, Broker, BrokerProfile, lost
from streams.connections import Connections
from streams.errors import BrokerError
from streams.topics import Topic

TOPIC_EXISTS = 36
MILLISECONDS_PER_DAY = 86_400_000

_RESOURCES = {Resource.TOPIC: 2, Resource.GROUP: 3}
_OPERATIONS = {Operation.READ: 3, Operation.WRITE: 4}
_LITERAL, _ALLOW = 3, 3
"""Numbers of the Kafka protocol (KIP-140, KIP-290)."""


async def create_topics(broker: Broker, topics: Sequence[Topic]) -> None:
    """Create all topics in one request, before any client starts: metadata requests create missing ones wrongly.

    Raises:
        BrokerError: unreachable, or a topic was refused, or one that exists is not as declared; names it.
    """
    profile = broker.profile
    wanted = [NewTopic(t.name, t.partitions, profile.replication, topic_configs=settings(t, profile)) for t in topics]
    async with administrator(broker, "creating topics") as admin:
        answer = await admin.create_topics(wanted)
        # aiokafka does not raise for a topic's error code.
        allowed = {0} if profile.fresh else {0, TOPIC_EXISTS}
        bad = [f"{e[0]} (code {e[1]})" for e in answer.topic_errors if e[1] not in allowed]
        if bad:
            raise BrokerError(f"broker {broker.address} refused topics: {', '.join(bad)}")
        there = {e[0] for e in answer.topic_errors if e[1] == TOPIC_EXISTS}
        await _check_existing(broker, admin, [t for t in topics if t.name in there])


@contextlib.asynccontextmanager
async def administrator(broker: Broker, doing: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected administrative client for one task of at most SEND_SECONDS.

    Raises:
        BrokerError: unreachable, refused, or not done in time.
    """
    connections = Connections()
    admin = AIOKafkaAdminClient(**broker.settings() | {"client_id": connections.client_id})
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await admin.start()
            yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise lost(broker, doing, error) from error
    finally:
        await connections.close(admin.close)


def settings(topic: Topic, profile: BrokerProfile) -> dict[str, str]:
    """A topic's settings. Retention counts from when the broker got a record, whatever its sender says.

    Only closed segments are deleted or compacted, so a segment lasts a day at most. Brokers unpack what comes
    compressed, and measure it then: no record grows at whoever reads it, or comes in a form that it cannot read.
    """
    if not profile.retention:
        return {}
    day = str(MILLISECONDS_PER_DAY)
    kept = (
        {"cleanup.policy": "compact", "max.compaction.lag.ms": day}
        if topic.compacted
        else {"cleanup.policy": "delete", "retention.ms": str(topic.retention_days * MILLISECONDS_PER_DAY)}
    )
    return kept | {
        "compression.type": "uncompressed", "segment.ms": day, "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(profile.in_sync),
    }


async def _check_existing(broker: Broker, admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    """Another number of partitions would send patients to other shards; another retention is not what was agreed."""
    if not topics:
        return
    found = {t["topic"]: t for t in await admin.describe_topics([t.name for t in topics])}
    asked = [ConfigResource(ConfigResourceType.TOPIC, t.name) for t in topics]
    answers = await admin.describe_configs(asked)
    configs = {r[3]: {entry[0]: entry[1] for entry in r[4]} for answer in answers for r in answer.resources}
    for topic in topics:
        partitions = found[topic.name]["partitions"]
        copies = min((len(p["replicas"]) for p in partitions), default=0)
        differ = {
            name: (configs.get(topic.name, {}).get(name), value)
            for name, value in settings(topic, broker.profile).items()
            if configs.get(topic.name, {}).get(name) != value
        }
        if len(partitions) != topic.partitions:
            differ["partitions"] = (str(len(partitions)), str(topic.partitions))
        if copies < broker.profile.replication:
            differ["copies"] = (str(copies), str(broker.profile.replication))
        if differ:
            said = ", ".join(f"{name} is {was}, expected {value}" for name, (was, value) in sorted(differ.items()))
            raise BrokerError(f"topic {topic.name} exists and is not as declared: {said}. Change or delete it")


async def grant(broker: Broker, rules: Iterable[Rule]) -> None:
    """Let users do what the rules say; what they may do already stays. Needs the operator's login.

    Raises:
        BrokerError: unreachable, or a rule was refused; names it.
    """
    async with administrator(broker, "granting access") as admin:
        for rule in rules:
            request = CreateAclsRequest(
                _RESOURCES[rule.resource], rule.name, _LITERAL, f"User:{rule.user}", "*",
                _OPERATIONS[rule.operation], _ALLOW,
            )
            client = admin._client  # noqa: SLF001 - aiokafka knows the request but has no method for it
            answer = await client.send(client.get_random_node(), request)
            code, message = answer.creation_responses[0][:2]
            if code:
                raise BrokerError(
                    f"broker {broker.address} refused to let {rule.user} {rule.operation} {rule.resource} {rule.name}: "
                    f"{message} (code {code})"
                )
