"""Everything of a local Kafka cluster that needs no broker."""

import stat
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from infra.kafka import jars
from infra.kafka.certificates import make_certificates
from infra.kafka.cluster import KafkaCluster
from infra.kafka.settings import Ports, server_properties
from infra.local.errors import LocalError
from infra.local.prerequisites import missing_packages

POM = Path(jars.__file__).parent / "pom.xml"


def program(folder, name, said="", code=0):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {code}\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH with nothing on it but what a test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_every_jar_is_pinned_and_the_pom_names_no_address():
    space = "{http://maven.apache.org/POM/4.0.0}"
    pom = ET.parse(POM).getroot()
    versions = [found.text for found in pom.iter(f"{space}version")]
    assert len(versions) == 4
    assert all(version.replace(".", "").isdigit() for version in versions)
    assert {"repositories", "pluginRepositories", "distributionManagement"}.isdisjoint(
        child.tag.removeprefix(space) for child in pom
    )
    assert POM.read_text().count("://") == 1, "the name of the format only"


def test_without_java_or_maven_the_packages_are_named(path):
    assert {"maven", "default-jre-headless"} <= set(missing_packages(for_tests=True))
    assert {"maven", "default-jre-headless"}.isdisjoint(missing_packages(for_tests=False))
    with pytest.raises(LocalError, match=r"no `java`.*sudo apt-get install -y default-jre-headless"):
        jars.java()


def test_an_old_java_is_not_enough(path):
    program(path, "java", 'openjdk version "11.0.20" 2023-07-18')
    assert "openjdk-17-jre-headless" in missing_packages(for_tests=True)
    with pytest.raises(LocalError, match=r"17 or newer, and .*java is older.*openjdk-17-jre-headless"):
        jars.java()
    program(path, "java", 'openjdk version "17.0.1" 2021-10-19')
    assert jars.java() == str(path / "java")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Jars are fetched into a folder of the test's own."""
    folder = tmp_path / "kafka"
    folder.mkdir()
    (folder / "pom.xml").write_text("<project/>")
    for name, value in (("_HERE", folder), ("_POM", folder / "pom.xml"), ("_FOLDER", folder / "lib"),
                        ("_STAMP", folder / "lib" / ".pom-sha256")):
        monkeypatch.setattr(jars, name, value)
    return folder


def test_jars_without_maven_say_what_to_install(path, elsewhere):
    with pytest.raises(LocalError, match=r"no `mvn`.*sudo apt-get install -y maven"):
        jars.jars()


def test_a_fetch_that_fails_leaves_nothing_that_looks_fetched(path, elsewhere):
    program(path, "mvn", "cannot resolve host", 1)
    for _ in range(2):
        with pytest.raises(LocalError, match=r"(?s)exit 1.*make kafka.*cannot resolve host"):
            jars.jars()


def test_jars_are_fetched_once_and_again_when_the_pom_changes(path, elsewhere):
    path.mkdir()
    maven = path / "mvn"
    maven.write_text(f"#!/bin/sh\necho run >> {elsewhere}/runs\n: > {elsewhere}/lib/kafka_2.13-4.jar\n")
    maven.chmod(0o700)
    assert jars.jars() == jars.jars() == elsewhere / "lib"
    assert (elsewhere / "runs").read_text() == "run\n"
    (elsewhere / "pom.xml").write_text("<project><version/></project>")
    jars.jars()
    assert (elsewhere / "runs").read_text() == "run\nrun\n"


def test_certificates_of_brokers_hold_for_loopback_and_their_authority_signs_no_more(tmp_path):
    make_certificates(tmp_path, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broker-1.pem", "broker-2.pem", "broker-3.pem", "ca.pem"]
    root = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()
    keys = set()
    for number in (1, 2, 3):
        path = tmp_path / f"broker-{number}.pem"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        certificate.verify_directly_issued_by(root)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
        assert certificate.subject.rfc4514_string() == f"CN=broker-{number}"
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert key.public_key() == certificate.public_key()
        keys.add(key.private_numbers().private_value)
    assert len(keys) == 3


@pytest.mark.parametrize(("brokers", "copies", "in_sync"), [(1, 1, 1), (3, 3, 2)])
def test_settings_deny_by_default_and_stay_on_loopback(brokers, copies, in_sync):
    ports = [Ports(n, n + 10, n + 20) for n in range(1, brokers + 1)]
    text = server_properties(brokers, ports, Path("/c"), Path("/d"))
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert settings["allow.everyone.if.no.acl.found"] == "false"
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["super.users"].split(";") == [*(f"User:CN=broker-{n}" for n in range(1, brokers + 1)), "User:operator"]
    for listener in settings["listeners"].split(","):
        assert listener.split("://")[1].startswith("127.0.0.1:")
    assert {word.split(":")[1] for word in settings["listener.security.protocol.map"].split(",")} == {"SASL_SSL", "SSL"}
    assert settings["listener.name.internal.ssl.client.auth"] == "required"
    assert settings["listener.name.controller.ssl.client.auth"] == "required"
    assert (int(settings["default.replication.factor"]), int(settings["min.insync.replicas"])) == (copies, in_sync)
    assert len(settings["controller.quorum.voters"].split(",")) == brokers


def test_a_cluster_of_two_could_not_lose_one(tmp_path):
    with pytest.raises(LocalError, match="2 brokers was asked for; it has 1 or 3"):
        KafkaCluster(tmp_path, 2)


@pytest.mark.parametrize("user", ["", "A", "a]b", "a,password=x", "1a"])
def test_names_that_could_say_more_than_a_name_are_refused(tmp_path, user):
    with pytest.raises(LocalError, match="cannot be a user"):
        KafkaCluster(tmp_path, 1, [user])
