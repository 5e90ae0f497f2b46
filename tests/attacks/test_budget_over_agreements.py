"""The privacy budget of a data set: agreement after agreement over the same patients, which no chain adds up."""

import asyncio
import fcntl
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from evaluation import dataset
from evaluation.config import Budget, ChainSettings, PartySettings
from evaluation.dataset import Account, reserve
from evaluation.errors import ConfigError, Refused
from evaluation.party import party
from policy.chain.model import Deployment
from policy.privacy import units
from streams.cluster import PROFILES, Broker
from tests.support.runs import Silent
from tests.support.terms import make_terms

KPIS = ("gp-visit-rate-ratio", "cost-difference")
OWNER = "insurer"


def agreed(name, rho="1", private=KPIS, **changes):
    terms = make_terms(
        name=name, privacy=[{"kpi": kpi, "rho": "0.25", "delta": "0.000001"} for kpi in private],
        quota={"runs": 100, "rho": rho} if private else {"runs": 100}, **changes,
    )
    return terms, terms.hash  # an id on the chain is a hash, too


@pytest.fixture
def budget(tmp_path):
    return Budget(account=tmp_path / "claims.json", rho="2.5")


def held(budget):
    return Account.model_validate_json(budget.account.read_bytes()).units


def test_agreements_together_stay_within_what_the_owner_allows(budget):
    for name in ("first", "second"):
        reserve(budget, *agreed(name), OWNER)
    with pytest.raises(Refused) as refused:
        reserve(budget, *agreed("third"), OWNER)
    assert str(refused.value) == (
        "data-set-budget: found ρ = 0.5 left of 2.5; 2 agreements have 2, required 1 more for this one. Next: agree on a lower "
        "quota.rho, or allow more in this party's configuration."
    )
    assert held(budget) == units("2")
    reserve(budget, *agreed("smaller", rho="0.5"), OWNER)
    assert held(budget) == units("2.5")


def test_starting_again_reserves_nothing_more_and_is_never_refused(budget):
    """Also when the owner allows less from now on: what an agreement has it keeps."""
    for _ in range(3):
        reserve(budget, *agreed("first"), OWNER)
    reserve(budget.model_copy(update={"rho": "0.5"}), *agreed("first"), OWNER)
    assert held(budget) == units("1")


def test_the_same_agreement_under_another_name_is_another_one(budget):
    """Its noise is other noise: the average of both tells more."""
    reserve(budget, *agreed("first", rho="2"), OWNER)
    with pytest.raises(Refused, match="0.5 left"):
        reserve(budget, *agreed("renamed", rho="2"), OWNER)


def test_versions_of_an_agreement_have_one_account_as_on_the_chain(budget):
    terms, first = agreed("first", rho="1")
    reserve(budget, terms, first, OWNER)
    terms, second = agreed("first", rho="1.5", supersedes=first)
    reserve(budget, terms, second, OWNER)
    assert held(budget) == units("1.5")
    terms, third = agreed("first", rho="0.75", supersedes=second)
    reserve(budget, terms, third, OWNER)
    assert held(budget) == units("1.5")  # what may have been spent stays
    with pytest.raises(Refused):
        reserve(budget, *agreed("first", rho="2.6", supersedes=third), OWNER)


def test_what_was_spent_before_the_account_was_kept_counts(budget):
    """A new version with a small quota does not hide what the ones before it spent."""
    reserve(budget, *agreed("later", rho="0.5", supersedes="ab" * 32), OWNER, units("2"))
    assert held(budget) == units("2")
    with pytest.raises(Refused, match="0.5 left"):
        reserve(budget, *agreed("other", rho="1"), OWNER)


def test_figures_without_noise_are_no_use_of_a_data_set_with_a_budget(budget):
    for private in ((), KPIS[:1]):
        with pytest.raises(Refused, match="found no privacy of .*cost-difference, required privacy of every KPI"):
            reserve(budget, *agreed("exact", private=private), OWNER)
    assert not budget.account.exists()


def test_an_account_that_depends_on_where_a_process_starts_is_refused():
    """Else each agreement, in a folder of its own, would have an account of its own."""
    with pytest.raises(ValidationError, match="'claims.json' depends on the folder.*expected a path from the root"):
        Budget(account="claims.json", rho="2.5")


def test_who_starts_many_agreements_at_once_gets_no_more(budget, tmp_path):
    """Processes that race for the file: as many get in as there is room for."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom evaluation.config import Budget\n"
        "from evaluation.dataset import reserve\n"
        "from evaluation.errors import Refused\nfrom tests.attacks.test_budget_over_agreements import OWNER, agreed\n"
        "terms, agreement = agreed(sys.argv[2])\nsys.stdin.readline()\n"
        "try:\n    reserve(Budget(account=Path(sys.argv[1]), rho='2.5'), terms, agreement, OWNER)\n"
        "except Refused:\n    sys.exit(3)\n"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", program, budget.account, f"racer-{i}"], stdin=subprocess.PIPE)
        for i in range(4)
    ]
    for racer in racers:
        racer.stdin.write(b"go\n")
        racer.stdin.close()
    assert sorted(racer.wait(timeout=60) for racer in racers) == [0, 0, 3, 3]
    assert held(budget) == units("2")


@pytest.mark.parametrize("content", [b"", b"{", b'{"agreements": 3}', b'{"agreements": [{"units": -5, "versions": []}]}'])
def test_a_damaged_account_lets_nobody_in(budget, content):
    budget.account.write_bytes(content)
    with pytest.raises(ConfigError, match=r"account.* is no privacy account, or damaged\. Restore it") as error:
        reserve(budget, *agreed("first"), OWNER)
    assert error.value.__cause__ is None  # a log would show what is in the file
    assert budget.account.read_bytes() == content


def test_a_process_killed_while_it_writes_leaves_the_account_as_it_was(budget, monkeypatch):
    reserve(budget, *agreed("first"), OWNER)
    before = budget.account.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("streams.durable.os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reserve(budget, *agreed("second"), OWNER)
    assert budget.account.read_bytes() == before
    reserve(budget, *agreed("second"), OWNER)
    assert held(budget) == units("2")


def test_an_account_that_is_in_use_all_the_time_is_not_waited_for_for_ever(budget, monkeypatch):
    monkeypatch.setattr(dataset, "LOCK_SECONDS", 0.1)
    with budget.account.with_name("claims.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another process held"):
            reserve(budget, *agreed("first"), OWNER)


def test_a_party_shares_nothing_under_an_agreement_that_is_refused(budget, tmp_path, monkeypatch):
    """The process itself: it opens no broker, reads no key and no file."""
    async def admitted(*_):
        return SimpleNamespace(budget_spent=0)

    def never(*_, **__):
        raise AssertionError("the party went on")

    monkeypatch.setattr("evaluation.party.admission", admitted)
    monkeypatch.setattr("evaluation.party.Producer", never)
    monkeypatch.setattr("evaluation.party.read_secret", never)
    terms, agreement = agreed("first", rho="3")
    (tmp_path / "terms.json").write_text(terms.model_dump_json(), encoding="utf-8")
    settings = PartySettings(
        party=OWNER, terms=tmp_path / "terms.json", broker=Broker("127.0.0.1:1", PROFILES["embedded"]), keys=tmp_path,
        chain=ChainSettings(
            url="http://127.0.0.1:1", deployment=Deployment(address="0x" + "1" * 40, chain_id=1, code_hash="2" * 64), agreement_id=agreement
        ), budget=budget,
    )
    with pytest.raises(Refused, match="data-set-budget"):
        asyncio.run(party(settings, Silent("test")))
    with pytest.raises(AssertionError, match="went on"):
        asyncio.run(party(settings.model_copy(update={"budget": Budget(account=budget.account, rho="3")}), Silent("test")))
    assert json.loads(budget.account.read_bytes())["agreements"] == [{"units": 3_000_000, "versions": [agreement]}]
