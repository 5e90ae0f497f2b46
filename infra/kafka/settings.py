"""A broker's server.properties: KRaft, deny by default. Pure text.

Three listeners a broker, all on loopback and all TLS 1.3. Clients prove who they are with SCRAM-SHA-512 on one; brokers
and controllers use certificates on the other two, since SCRAM's passwords live in the metadata that they first have to
agree on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.kafka.certificates import HOST, broker_name

OPERATOR = "operator"
"""The user who makes topics and access rules; may do everything."""


@dataclass(frozen=True)
class Ports:
    """One broker's loopback ports."""

    client: int
    internal: int
    controller: int


def server_properties(number: int, ports: Sequence[Ports], certificates: Path, data: Path) -> str:
    """Settings of broker `number` (1-based) of a cluster with these ports.

    Args:
        number: which broker.
        ports: of all brokers, in order.
        certificates: folder of ca.pem and broker-<n>.pem.
        data: the broker's log folder.
    """
    own, brokers = ports[number - 1], range(1, len(ports) + 1)
    copies = min(3, len(ports))
    supers = [*(f"User:CN={broker_name(n)}" for n in brokers), f"User:{OPERATOR}"]
    lines = {
        "process.roles": "broker,controller",
        "node.id": number,
        "controller.quorum.voters": ",".join(f"{n}@{HOST}:{ports[n - 1].controller}" for n in brokers),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "INTERNAL",
        "listeners": f"CLIENT://{HOST}:{own.client},INTERNAL://{HOST}:{own.internal},CONTROLLER://{HOST}:{own.controller}",
        "advertised.listeners": f"CLIENT://{HOST}:{own.client},INTERNAL://{HOST}:{own.internal}",
        "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL",
        "log.dirs": data,
        # Who may do what.
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config":
            "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "listener.name.internal.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
        "ssl.enabled.protocols": "TLSv1.3",
        "ssl.protocol": "TLSv1.3",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": certificates / f"{broker_name(number)}.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": certificates / "ca.pem",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": ";".join(supers),
        "auto.create.topics.enable": "false",
        # Copies, and how soon a broker that is gone is replaced.
        "default.replication.factor": copies,
        "min.insync.replicas": 2 if copies == 3 else 1,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "unclean.leader.election.enable": "false",
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
        "controller.quorum.election.timeout.ms": 500,
        "controller.quorum.fetch.timeout.ms": 1_000,
        # Small: one machine, a few clients.
        "offsets.topic.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 1,
        "log.cleaner.dedupe.buffer.size": 16 << 20,
        "log.retention.check.interval.ms": 60_000,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())
