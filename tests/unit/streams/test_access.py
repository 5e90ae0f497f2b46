"""Who may do what, and who we say we are."""

import ssl

import pytest

from infra.kafka.certificates import make_certificates
from policy.agreement import Requester
from streams.access import Operation, Resource, rules, users
from streams.admin import MILLISECONDS_PER_DAY, settings
from streams.broker import APACHE, APACHE_SINGLE, EMBEDDED, Broker
from streams.errors import ConfigurationError
from streams.security import Login, read_login
from streams.topics import Topic, all_topics
from tests.support.parties import keyed_terms

DRAFT = keyed_terms().draft
RULES = rules(DRAFT)


def who(name, operation):
    return {r.user for r in RULES if r.resource is Resource.TOPIC and r.name == name and r.operation is operation}


def readers(name):
    return who(name, Operation.READ)


def writers(name):
    return who(name, Operation.WRITE)


def test_what_is_a_partys_own_is_nobody_elses():
    for party in DRAFT.parties:
        own = [t.name for t in all_topics(DRAFT) if t.name.split(".")[0] == party.name]
        assert len(own) >= 4
        for name in own:
            assert readers(name) == {f"party-{party.name}"}
            words = {"node-0", "node-1", "node-2"} if name.endswith(".holdings") else set()
            assert writers(name) == {f"party-{party.name}"} | words


def test_an_inbox_has_one_reader_and_the_parties_write_it():
    for node in range(3):
        name = f"node-{node}.{DRAFT.name}.inbox"
        assert readers(name) == {f"node-{node}"}
        assert writers(name) == {f"party-{party.name}" for party in DRAFT.parties}


def test_results_go_from_nodes_to_their_recipient():
    nodes = {"node-0", "node-1", "node-2"}
    for recipient in DRAFT.recipients:
        assert readers(f"results.{recipient.name}") == {f"recipient-{recipient.name}"}
        assert writers(f"results.{recipient.name}") == nodes
    assert readers("runs") == {f"recipient-{recipient.name}" for recipient in DRAFT.recipients}
    assert writers("runs") == nodes | {f"party-{party.name}" for party in DRAFT.parties}


def test_requests_are_written_by_requesters_and_read_by_nodes():
    recipient = DRAFT.recipients[0].name
    asking = DRAFT.model_copy(update={"requesters": (Requester(name="analyst", recipient=recipient, runs=1),)})
    found = {(r.user, r.operation) for r in rules(asking) if r.name == "requests"}
    assert found == {("requester-analyst", Operation.WRITE), *((f"node-{n}", Operation.READ) for n in range(3))}
    # `winnow request` and `winnow schedule` read what nodes say, and the answer.
    reads = {r.name for r in rules(asking) if r.user == "requester-analyst" and r.operation is Operation.READ}
    assert reads == {"runs", f"results.{recipient}"}


def test_every_rule_is_about_a_topic_of_the_agreement_or_its_own_group():
    names = {topic.name for topic in all_topics(DRAFT)}
    for rule in RULES:
        assert rule.name in names or (rule.resource is Resource.GROUP and rule.user == f"recipient-{rule.name[7:]}")
    assert list(users(DRAFT)) == sorted({rule.user for rule in RULES})
    assert "operator" not in users(DRAFT)


def test_topics_are_made_with_what_was_declared():
    days = settings(Topic("a", 1, 7), APACHE)
    assert days["retention.ms"] == str(7 * 24 * 3600 * 1000)
    assert (days["cleanup.policy"], days["min.insync.replicas"]) == ("delete", "2")
    assert days["message.timestamp.type"] == "LogAppendTime", "a sender's clock does not decide how long a record lasts"
    assert int(days["segment.ms"]) <= MILLISECONDS_PER_DAY
    kept = settings(Topic("a", 1, 7, compacted=True), APACHE_SINGLE)
    assert (kept["cleanup.policy"], kept["min.insync.replicas"]) == ("compact", "1")
    assert "retention.ms" not in kept
    assert settings(Topic("a", 1, 7), EMBEDDED) == {}
    assert days["compression.type"] == kept["compression.type"] == "uncompressed"


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return path


def test_a_password_is_read_and_never_shown(password, tmp_path):
    login = read_login("party-a", password, tmp_path / "ca.pem")
    assert (login.user, login.password) == ("party-a", "correct horse")
    for shown in (repr(login), str(Broker("h:1", APACHE, login))):
        assert "correct horse" not in shown


@pytest.mark.parametrize(("change", "said"), [
    (lambda p: p.unlink(), "cannot be read"),
    (lambda p: p.chmod(0o640), "chmod 600"),
    (lambda p: p.write_bytes(b"\n"), "does not hold"),
    (lambda p: p.write_bytes(b"\xff\xfe"), "does not hold"),
    (lambda p: p.write_bytes(b"x" * 1025), "does not hold"),
])
def test_a_password_file_that_will_not_do_says_why(password, tmp_path, change, said):
    change(password)
    with pytest.raises(ConfigurationError, match=said) as refused:
        read_login("party-a", password, tmp_path / "ca.pem")
    assert "horse" not in str(refused.value)


def test_clients_ask_for_tls_and_a_checked_name(tmp_path):
    make_certificates(tmp_path, 1)
    broker = Broker("a:1, b:2", APACHE, Login("u", "p", tmp_path / "ca.pem"))
    found = broker.settings()
    assert found["bootstrap_servers"] == ["a:1", "b:2"]
    assert (found["security_protocol"], found["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    context = found["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert "security_protocol" not in Broker("a:1").settings()


def test_an_authority_that_is_not_there_says_so(tmp_path):
    with pytest.raises(ConfigurationError, match=r"ca\.pem does not hold"):
        Login("u", "p", tmp_path / "ca.pem").context()
