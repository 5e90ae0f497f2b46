"""What a process's configuration says of its broker."""

import re
from pathlib import Path

import pytest

from evaluation.config import (
    AgreedSettings,
    AlertsSettings,
    AuditedSettings,
    NodeSettings,
    PartySettings,
    RecipientSettings,
    RequesterSettings,
    load_kpis,
    load_plan,
    load_settings,
    load_terms,
    recipient_identity,
)
from evaluation.errors import Apart, ConfigError
from evaluation.keys import agreed_secret, new_secret, private_folder, sealing_public, signing_public
from evaluation.process import exit_code
from infra.kafka.certificates import make_certificates
from policy.chain.finality import Finality
from streams.cluster import APACHE, APACHE_SINGLE, EMBEDDED, Broker
from tests.support.parties import keyed_terms

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


ADDRESSES = [
    ("127.0.0.1:999999", "127.0.0.1:999999"), ("nonsense", "nonsense"), ("a:1,b", "b"), (":9092", ":9092"), ("a:0", "a:0"),
    ("a:1,", ""), ("a:" + "9" * 50, "a:" + "9" * 50), ("a b:1", "a b:1"), ("", ""), ("http://a:1", "http://a:1"),
]


@pytest.mark.parametrize(("broker", "said"), [
    ('{ profile = "apache" }', "address: Field required"),
    ('{ address = "a:1", pasword = "x" }', "pasword: Extra inputs are not permitted"),
    ('{ address = "a:1", profile = "redis" }', "profile: Input should be 'apache'"),
    ('{ address = "a:1", user = "team" }', "user, password and authority belong together"),
    (LOGIN, "does not hold the certificate"),
    (LOGIN.replace("@password", SECRET), "what `password` says cannot be read (No such file or directory), expected the name of a file"),
    ("7", "should be an instance of Broker"),
    *((f'{{ address = "{address}" }}', f"address: found '{found}', expected host:port with a port from 1 to 65535") for address, found in ADDRESSES),
    *((f'"{address}"', f"address: found '{found}', expected host:port with a port from 1 to 65535") for address, found in ADDRESSES),
])
def test_what_cannot_work_is_named_and_no_secret_is(read, broker, said):
    with pytest.raises(ConfigError, match="broker: ") as error:
        read(broker)
    assert said in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(("load", "content", "said"), [
    (load_terms, '["swordfish"]', "terms .*: Input should be an object"), (load_terms, "{}", "draft: Field required"),
    (load_terms, "swordfish", "Invalid JSON"), (load_kpis, '{"a": "swordfish"}', "KPI programs .*should be a valid array"),
    (load_plan, '["swordfish"]', "plan .*: Input should be an object"),
])
def test_a_file_that_holds_something_else_is_told_in_one_line_and_not_shown(tmp_path, load, content, said):
    path = tmp_path / "file.json"
    with pytest.raises(ConfigError, match="No such file"):
        load(path)
    path.write_text(content)
    with pytest.raises(ConfigError, match=said) as error:
        load(path)
    for word in ("\n", "https://", "swordfish"):
        assert word not in str(error.value)


@pytest.mark.parametrize("content", ["a = ", "a = " + "9" * 5_000, "a = " + "[" * 5_000])
def test_a_configuration_that_is_no_toml_is_named(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"configuration .*config\.toml is not TOML: "):
        load_settings(path, RecipientSettings)


def test_a_mark_that_editors_put_first_says_nothing(tmp_path):
    path, terms = tmp_path / "file", keyed_terms()
    path.write_text(f'\ufeff{REST}broker = "a:1"\n')
    assert load_settings(path, RecipientSettings).recipient == "team"
    path.write_text("\ufeff" + terms.model_dump_json())
    assert load_terms(path) == terms
    path.write_text("\ufeff" + terms.plans[0].model_dump_json())
    assert load_plan(path) == terms.plans[0]
    path.write_text("\ufeff" + "[]")
    assert load_kpis(path) == ()


def test_a_recipient_that_is_not_agreed_is_named(tmp_path):
    with pytest.raises(ConfigError, match="recipient: no 'me' in the agreement, which has "):
        recipient_identity(keyed_terms(), "me")


def test_another_key_than_the_agreement_names_is_not_used(tmp_path):
    path = tmp_path / "keys" / "sealing"
    secret = new_secret(private_folder(path.parent) / path.name)
    assert agreed_secret(path, sealing_public, sealing_public(secret)) == secret
    with pytest.raises(ConfigError, match=r"holds another key than the agreement names: .* Name the folder") as error:
        agreed_secret(path, signing_public, sealing_public(secret))
    assert secret.hex() not in str(error.value)


@pytest.mark.parametrize(("error", "code"), [
    (OSError(28, "No space left on device"), 2), (OSError(27, "File too large"), 2), (PermissionError(13, "Permission denied", "/store"), 2),
    (ConnectionResetError(104, "Connection reset"), 1), (TimeoutError(), 1), (KeyError("x"), 1),
    (ExceptionGroup("", [OSError(30, "Read-only file system")]), 2), (Apart("another ledger"), 6),
])
def test_a_full_or_closed_disk_and_nodes_that_are_apart_are_no_defects(error, code):
    assert exit_code(error) == code


CHAIN = """terms = "t"
[chain]
url = "http://127.0.0.1:1"
agreement_id = "a"
deployment = { address = "0x1111111111111111111111111111111111111111", chain_id = 1, code_hash = "HASH" }
""".replace("HASH", "2" * 64)


@pytest.mark.parametrize(("lines", "finality"), [
    ("", Finality(tag=True, confirmations=0, seconds=60)),
    ("finality = { confirmations = 12, seconds = 300 }", Finality(confirmations=12, seconds=300)),
    ("finality = { tag = false, confirmations = 1 }", Finality(tag=False, confirmations=1)),
])
def test_a_process_says_which_block_is_final_for_it(tmp_path, lines, finality):
    path = tmp_path / "config.toml"
    path.write_text(CHAIN + lines)
    assert load_settings(path, AgreedSettings).chain.finality == finality


def test_a_process_that_would_permit_at_the_newest_block_does_not_start(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CHAIN + "finality = { tag = false }")
    with pytest.raises(ConfigError, match=r"chain\.finality: .*read at the newest block. Set confirmations to 1 or more"):
        load_settings(path, AgreedSettings)


@pytest.mark.parametrize(("url", "shown"), [
    ("http://127.0.0.1:999999", "http://127.0.0.1:999999"), ("http://[::1", "http://[::1"), ("nonsense", "nonsense"), ("", ""),
    ("127.0.0.1:8545", "127.0.0.1:8545"), ("http://", "http://"), ("http://:8545", "http://:8545"), ("ws://a:1", "ws://a:1"),
    ("http://a:0", "http://a:0"), ("http://a b", "http://a b"), ("http://user:swordfish@a:x/swordfish?k=swordfish", "http://a:x"),
])
def test_an_address_of_a_chain_that_cannot_be_one_is_named_without_its_access_key(tmp_path, url, shown):
    path = tmp_path / "config.toml"
    path.write_text(CHAIN.replace("http://127.0.0.1:1", url))
    with pytest.raises(ConfigError, match=r"chain\.url: found .* expected the http or https URL") as error:
        load_settings(path, AgreedSettings)
    assert f"found {shown!r}, expected" in str(error.value)
    assert "swordfish" not in str(error.value)


ROLES = {
    PartySettings: ("party", "a party"), NodeSettings: ("number", "a node"), RecipientSettings: ("document", "a recipient's console"),
    RequesterSettings: ("requester", "a requester"), AlertsSettings: ("notify", "a recipient's alerts"),
}


@pytest.mark.parametrize("given", ROLES)
@pytest.mark.parametrize("wanted", ROLES)
def test_the_configuration_of_another_kind_of_process_is_told_as_that(tmp_path, given, wanted):
    path = tmp_path / "config.toml"
    path.write_text("".join(f"{key} = 1\n" for key in given.model_fields))
    with pytest.raises(ConfigError) as error:
        load_settings(path, wanted)
    whose = f"{path} is the configuration of {ROLES[given][1]}, expected that of {ROLES[wanted][1]}. Name that one"
    assert (str(error.value) == whose) == (given is not wanted)


@pytest.mark.parametrize(("given", "has"), [
    (PartySettings, True), (NodeSettings, True), (RequesterSettings, True), (RecipientSettings, False), (AlertsSettings, False),
])
@pytest.mark.parametrize("wanted", [AgreedSettings, AuditedSettings])
def test_what_is_about_the_chain_takes_a_configuration_that_has_it(tmp_path, given, has, wanted):
    assert has == ("chain" in given.model_fields)
    path = tmp_path / "config.toml"
    path.write_text(f'{ROLES[given][0]} = 1\nterms = "t"\n')
    said = "chain: Field required" if has else "which has no .chain.; expected that of a party, a node or a requester"
    with pytest.raises(ConfigError, match=said):
        load_settings(path, wanted)


def test_every_key_is_in_the_docs():
    docs = Path(__file__).parents[3] / "docs"
    named = re.findall(r"`([a-z_]+)`", (docs / "operating.md").read_text(encoding="utf-8"))
    assert {key for settings in ROLES for key in settings.model_fields} <= {*named}
