"""Requesters on disk: a key and a configuration of their own, and nobody else's key."""

import pytest

from console.request import Asked, request
from console.schedule import schedule
from console.workdir import prepare
from evaluation.config import RequesterSettings, load_settings, load_terms
from evaluation.keys import read_secret, sealing_public
from policy.agreement import Draft
from policy.chain.signing import address_of
from policy.compilation import load_kpis
from tests.support.terms import draft_data

CHAIN = {
    "url": "http://127.0.0.1:1", "agreement_id": "ab" * 32,
    "deployment": {"address": "0x" + "11" * 20, "chain_id": 1, "code_hash": "22" * 32},
}


@pytest.fixture
def work(tmp_path):
    draft = Draft.model_validate(draft_data(requesters=[
        {"name": name, "recipient": "innovation-team", "runs": 2} for name in ("ann", "bob")
    ]))
    made = prepare(tmp_path / "work", draft, load_kpis(draft, tmp_path), (1, 2, 3))
    made.configure_requesters(lambda _: "127.0.0.1:9", CHAIN)
    return made


def test_a_requesters_key_is_its_own_and_the_terms_name_it(work):
    secrets = {name: read_secret(work.keys(name) / "chain") for name in ("ann", "bob")}
    assert {r.name: r.address for r in work.terms.requesters} == {n: address_of(k) for n, k in secrets.items()}
    assert len(set(secrets.values())) == 2
    assert [p.name for p in work.keys("ann").iterdir()] == ["chain"]
    assert work.keys("ann").stat().st_mode & 0o777 == (work.root / "ann").stat().st_mode & 0o777 == 0o700


def test_a_requesters_configuration_leads_to_its_key_and_to_its_recipients(work):
    settings = load_settings(work.root / "bob" / "config.toml", RequesterSettings)
    terms = load_terms(settings.terms)
    assert terms.hash == work.terms.hash
    assert (settings.requester, settings.broker.address, settings.chain.agreement_id) == ("bob", "127.0.0.1:9", "ab" * 32)
    assert address_of(read_secret(settings.keys / "chain")) == terms.requesters[1].address
    assert sealing_public(read_secret(settings.recipient_keys / "sealing")) == terms.recipients[0].sealing_key


def test_a_broker_that_is_gone_or_a_wrong_file_ends_the_commands_in_words(work, tmp_path, capsys):
    config = work.configuration("ann")
    asked = Asked(("cost-difference",), "2024-01-01/2024-01-29")
    assert request(config, asked) == 5
    assert "broker 127.0.0.1:9" in capsys.readouterr().err
    assert schedule(config, as_json=True) == 5
    assert capsys.readouterr().out == ""
    assert request(tmp_path / "none.toml", asked) == 2
    other = config.with_name("other.toml")
    other.write_text(config.read_text().replace('requester = "ann"', 'requester = "eve"'))
    assert request(other, asked) == 2
    assert "eve may not ask; the agreement names ann, bob" in capsys.readouterr().err
    (work.keys("ann") / "chain").chmod(0o644)
    assert schedule(config, as_json=False) == 2
    assert "chmod 600" in capsys.readouterr().err
