"""What a process's configuration says of its broker."""

import pytest

from evaluation.config import RecipientSettings, load_settings, load_terms
from evaluation.errors import ConfigError
from infra.kafka.certificates import make_certificates
from streams.cluster import APACHE, APACHE_SINGLE, EMBEDDED, Broker

REST = 'recipient = "team"\nterms = "t"\nkpis = "k"\nkeys = "keys"\ndocument = "d"\n'
SECRET = "swordfish-in-a-file"


@pytest.fixture
def read(tmp_path):
    (tmp_path / "password").write_text(SECRET + "\n")
    (tmp_path / "password").chmod(0o600)

    def read(broker):
        path = tmp_path / "config.toml"
        path.write_text(f"{REST}broker = {broker}\n".replace("@", f"{tmp_path}/"))
        return load_settings(path, RecipientSettings).broker

    return read


def test_an_address_alone_is_the_embedded_broker(read):
    assert read('"127.0.0.1:9092"') == Broker("127.0.0.1:9092", EMBEDDED)


def test_a_table_is_a_kafka_cluster(read):
    assert read('{ address = "a:1,b:2" }') == Broker("a:1,b:2", APACHE)
    assert read('{ address = "a:1", profile = "apache-single" }') == Broker("a:1", APACHE_SINGLE)


LOGIN = '{ address = "a:1", user = "team", password = "@password", authority = "@ca.pem" }'


def test_a_login_is_read_from_its_files(read, tmp_path):
    make_certificates(tmp_path, 1)
    broker = read(LOGIN)
    assert (broker.login.user, broker.login.password) == ("team", SECRET)
    assert SECRET not in repr(broker)


@pytest.mark.parametrize(("broker", "said"), [
    ('{ profile = "apache" }', "address: Field required"),
    ('{ address = "a:1", pasword = "x" }', "pasword: Extra inputs are not permitted"),
    ('{ address = "a:1", profile = "redis" }', "profile: Input should be 'apache'"),
    ('{ address = "a:1", user = "team" }', "user, password and authority belong together"),
    (LOGIN, "does not hold the certificate"),
    (LOGIN.replace("@password", "@none"), "none cannot be read"),
    ("7", "should be an instance of Broker"),
])
def test_what_cannot_work_is_named_and_no_secret_is(read, broker, said):
    with pytest.raises(ConfigError, match="broker: ") as error:
        read(broker)
    assert said in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(("content", "said"), [
    ("[]", "Input should be an object"), ("{}", "draft: Field required"), ("no JSON", "Invalid JSON"),
])
def test_a_file_that_holds_no_terms_is_told_in_one_line(tmp_path, content, said):
    (tmp_path / "terms.json").write_text(content)
    with pytest.raises(ConfigError, match=said) as error:
        load_terms(tmp_path / "terms.json")
    assert "\n" not in str(error.value)
    assert "https://" not in str(error.value)
