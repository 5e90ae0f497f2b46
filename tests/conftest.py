"""Shared by all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

from infra.kafka.cluster import KafkaCluster
from infra.local.broker import EmbeddedBroker
from tests.support import open_transports
from tests.support.brokers import USERS, Served

settings.register_profile("winnow", deadline=None)  # side by side with others an example may take long now and then
settings.load_profile("winnow")
open_transports.watch()
LONG = ("simulation", "integration", "browser")
"""Folders whose tests begin first, so that side by side no worker is left with a long one in the end."""


def pytest_collection_modifyitems(items):
    def place(item):
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=place)


@pytest.fixture(scope="session")
def apache_cluster(tmp_path_factory):
    """One broker of Apache Kafka for all tests, which take turns: it needs seconds to start."""
    with KafkaCluster(tmp_path_factory.mktemp("kafka") / "cluster", 1, USERS) as cluster:
        yield cluster


@pytest.fixture
def apache(apache_cluster):
    """Apache Kafka without topics."""
    served = Served(apache_cluster, secured=True)
    yield served
    served.empty()


@pytest.fixture
def embedded_broker(tmp_path):
    """The embedded broker, of this test alone."""
    with EmbeddedBroker(tmp_path / "broker") as embedded:
        yield Served(embedded, secured=False)


@pytest.fixture(params=["embedded", "apache"])
def broker(request):
    """Both brokers, one after the other."""
    return request.getfixturevalue("apache" if request.param == "apache" else "embedded_broker")
