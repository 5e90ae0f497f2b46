"""One way to meet a broker in a test, whichever it is: embedded, Apache Kafka, or a cluster of three."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.kafka.settings import OPERATOR
from policy.agreement import load_draft
from streams.access import rules, users
from streams.admin import administrator, grant
from streams.broker import APACHE, APACHE_SINGLE, Broker, create_topics
from streams.security import read_login
from streams.topics import all_topics

AGREEMENTS = Path(__file__).parent / "agreements"
STRANGER = "stranger"
"""Has a password, and no access to anything."""
TALLY = "tally"
"""Whose access a test grants."""
USERS = (*users(load_draft(AGREEMENTS / "quick.toml")), STRANGER, TALLY)


class Served:
    """A running broker, as its clients see it."""

    def __init__(self, server, secured):
        self.server, self.secured = server, secured

    @property
    def address(self):
        return self.server.address

    def of(self, user=OPERATOR):
        """The broker as a user meets it; the embedded one knows no users."""
        if not self.secured:
            return Broker(self.address)
        login = read_login(user, self.server.password_file(user), self.server.authority)
        return Broker(self.address, APACHE if self.server.brokers == 3 else APACHE_SINGLE, login)

    def words(self, user=OPERATOR):
        """The same as arguments of a process."""
        return [self.address, *([user, str(self.server.password_file(user)), str(self.server.authority)]
                                if self.secured else [])]

    async def prepare(self, draft):
        """Topics of an agreement, and access to them."""
        await create_topics(self.of(), all_topics(draft))
        if self.secured:
            await grant(self.of(), rules(draft))

    def empty(self):
        """Delete all topics, for the next test."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self._empty()).result(60)

    async def _empty(self):
        # aiokafka's own client, closed over TLS, leaves a connection that is open still when the loop ends.
        async with administrator(self.of(), "deleting topics") as admin:
            names = [name for name in await admin.list_topics() if not name.startswith("__")]
            if names:
                answer = await admin.delete_topics(names)
                assert all(code == 0 for _, code in answer.topic_error_codes)


def broker_from(address, user=None, password=None, authority=None):
    """The broker that `Served.words` describe."""
    if user is None:
        return Broker(address)
    return Broker(address, APACHE_SINGLE, read_login(user, Path(password), Path(authority)))
