"""`winnow agreement id`: what configurations say of terms on a registry that is there."""

import json
import tomllib

import pytest
import tomli_w

from console.commands import app
from evaluation.agreement import proposal
from policy.chain.model import Deployment
from policy.chain.signing import agreement_id
from tests.support.terms import make_terms

DEPLOYMENT = {"address": "0x" + "11" * 20, "chain_id": 7, "code_hash": "22" * 32}
CHAIN = {"url": "http://127.0.0.1:8545", "deployment": DEPLOYMENT, "finality": {"tag": False, "confirmations": 3}}


@pytest.fixture
def told(tmp_path, capsys):
    """Exit code, output and errors of `winnow agreement id` on these tables."""
    (tmp_path / "terms.json").write_text(make_terms().model_dump_json())

    def run(tables, *words, terms="terms.json"):
        file = tmp_path / "chain.toml"
        file.write_text(tables if isinstance(tables, str) else tomli_w.dumps(tables))
        with pytest.raises(SystemExit) as ended:
            app(["agreement", "id", str(tmp_path / terms), str(file), *words])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err
    return run


def test_what_deploy_printed_gets_the_id_of_these_terms(told):
    expected = agreement_id(Deployment(**DEPLOYMENT), proposal(make_terms()))
    for chain in (CHAIN, {"deployment": DEPLOYMENT}, CHAIN | {"agreement_id": "of others"}):
        code, out, err = told({"chain": chain})
        assert (code, err) == (0, "")
        assert tomllib.loads(out) == {"chain": chain | {"agreement_id": expected}}
        assert json.loads(told({"chain": chain}, "--json")[1]) == tomllib.loads(out)


@pytest.mark.parametrize(("tables", "said"), [
    ({}, "chain: Field required"), ({"chain": 1}, "chain: "), ({"chain": {}}, "chain.deployment: Field required"),
    ({"chain": CHAIN | {"when": 1}}, "chain.when: Extra inputs"), ({"chain": CHAIN, "party": "x"}, "party: Extra inputs"),
    ({"chain": CHAIN | {"url": "nonsense"}}, "chain.url"), ("[chain", "is not TOML"),
    ({"chain": CHAIN | {"deployment": DEPLOYMENT | {"chain_id": "x"}}}, "chain.deployment.chain_id"),
])
def test_what_is_no_registry_is_refused(told, tables, said):
    for words in ((), ("--json",)):
        code, out, err = told(tables, *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert said in err


def test_missing_terms_are_named(told):
    code, _, err = told({"chain": CHAIN}, terms="none.json")
    assert (code, "none.json" in err) == (2, True)
