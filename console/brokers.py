"""The brokers of a system on one machine: the embedded one, or Apache Kafka with a user for everyone."""

from pathlib import Path
from typing import Any

from infra.kafka.cluster import KafkaCluster
from infra.kafka.settings import OPERATOR
from infra.local.broker import EmbeddedBroker
from policy.agreement import Draft
from streams.access import rules, users
from streams.admin import create_topics, grant
from streams.cluster import APACHE, APACHE_SINGLE, Broker
from streams.security import read_login
from streams.topics import all_topics


class LocalBrokers:
    """Start, use, stop; main thread only.

    Args:
        folder: their own, made when missing.
        draft: whose users and topics they get.
        kafka: brokers of Apache Kafka, 1 or 3; 0: the embedded broker.
    """

    def __init__(self, folder: Path, draft: Draft, kafka: int = 0) -> None:
        self._draft = draft
        self.service = KafkaCluster(folder, kafka, users(draft)) if kafka else EmbeddedBroker(folder)

    def start(self) -> None:
        """Start all and wait until they serve.

        Raises:
            LocalError: one does not start; names the log.
        """
        self.service.start()

    def stop(self) -> None:
        """End all; safe to call twice."""
        self.service.stop()

    async def prepare(self) -> None:
        """Make the agreement's topics, and let everyone at theirs.

        Raises:
            BrokerError: see streams.admin.
        """
        await create_topics(self.of(OPERATOR), all_topics(self._draft))
        if isinstance(self.service, KafkaCluster):
            await grant(self.of(OPERATOR), rules(self._draft))

    def of(self, user: str) -> Broker:
        """The brokers as a user meets them; the embedded one knows no users."""
        met = self.service
        if isinstance(met, EmbeddedBroker):
            return Broker(met.address)
        login = read_login(user, met.password_file(user), met.authority)
        return Broker(met.address, APACHE if met.brokers > 1 else APACHE_SINGLE, login)

    def settings(self, user: str) -> str | dict[str, Any]:
        """The same, as `broker` in a configuration (evaluation.config)."""
        met = self.of(user)
        if isinstance(self.service, EmbeddedBroker):
            return met.address
        return {
            "address": met.address, "profile": met.profile.name, "user": user,
            "password": self.service.password_file(user), "authority": self.service.authority,
        }
