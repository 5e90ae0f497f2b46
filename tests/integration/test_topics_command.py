"""`winnow topics --make` on Apache Kafka: topics as declared, and each user at its own."""

import pytest
import tomli_w

from console.topics import _topics
from infra.kafka.settings import OPERATOR
from policy.agreement import load_draft
from streams.access import node_user, party_user
from streams.admin import administrator
from streams.broker import Producer
from streams.errors import BrokerError
from streams.topics import all_topics
from tests.support.brokers import AGREEMENTS, STRANGER

AGREEMENT = AGREEMENTS / "quick.toml"


@pytest.fixture
def operator(apache, tmp_path):
    """The operator's file."""
    server = apache.server
    path = tmp_path / "operator.toml"
    path.write_text(tomli_w.dumps({"broker": {
        "address": server.address, "profile": "apache-single", "user": OPERATOR,
        "password": str(server.password_file(OPERATOR)), "authority": str(server.authority),
    }}))
    return path


async def wrote(broker, topic):
    try:
        async with Producer(broker) as producer:
            return await producer.send(topic, 0, [(None, b"x")])
    except BrokerError:
        return None


@pytest.mark.timeout(240)
async def test_an_operator_makes_all_that_an_agreement_needs_once(apache, operator, tmp_path, capsys):
    draft = load_draft(AGREEMENT)
    for _ in range(2):  # what is there as declared is no error
        assert await _topics(AGREEMENT, operator, as_json=False) == 0
        assert f"has its {len(all_topics(draft))} topics now" in capsys.readouterr().out
    async with administrator(apache.of(), "looking") as admin:
        found = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics([t.name for t in all_topics(draft)])}
    assert found == {topic.name: topic.partitions for topic in all_topics(draft)}
    assert await wrote(apache.of(party_user("hospital")), "hospital.source") == 1
    assert await wrote(apache.of(party_user("insurer")), "hospital.source") is None
    assert await wrote(apache.of(STRANGER), "hospital.source") is None
    assert await wrote(apache.of(node_user(0)), "runs") == 1

    other = tmp_path / "other.toml"
    other.write_text(AGREEMENT.read_text().replace(f"shards = {draft.shards}", f"shards = {draft.shards + 1}"))
    for program in AGREEMENTS.glob("*sums.toml"):
        (tmp_path / program.name).write_text(program.read_text())
    with pytest.raises(BrokerError, match=f"partitions is {draft.shards}, expected {draft.shards + 1}"):
        await _topics(other, operator, as_json=False)
