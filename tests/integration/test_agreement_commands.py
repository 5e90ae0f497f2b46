"""The life of an agreement by `winnow agreement`, on a real chain: as each party's own command line would do it."""

import json

import pytest
import pytest_asyncio
from eth_account import Account

from console.agreement.acting import act
from console.agreement.deploying import deploy_registry
from console.agreement.standing import Asked, check, history, show
from console.errors import ConsoleError
from evaluation.agreement import proposal
from evaluation.config import AgreedSettings, load_settings
from evaluation.errors import EXIT_ENDED, EXIT_REFUSED, ConfigError, Tampered
from evaluation.keys import write_secret
from evaluation.keystore import PASSPHRASE
from evaluation.spending import Spending
from policy.chain.endpoint import Endpoint
from policy.chain.errors import ChainRefusal
from policy.chain.finality import Finality
from policy.chain.signing import address_of, agreement_id
from policy.errors import ChainError
from tests.support.chains import a_world, some_hash
from tests.support.terms import make_terms

pytestmark = pytest.mark.asyncio(loop_scope="module")
PARTIES = ("hospital", "insurer", "statistics")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async for made in a_world(tmp_path_factory.mktemp("chain")):
        yield made


class Desk:
    """A folder with terms, configuration and a key file for everybody."""

    def __init__(self, world, folder, **changes):
        made = make_terms(requesters=[{"name": "analyst", "recipient": "innovation-team", "runs": 5}], **changes)
        self.terms = made.model_copy(update={
            "parties": tuple(
                p.model_copy(update={"address": address_of(key)})
                for p, key in zip(made.parties, world.parties, strict=True)
            ),
            "nodes": tuple(
                n.model_copy(update={"attestor": address_of(key)})
                for n, key in zip(made.nodes, world.nodes, strict=True)
            ),
        })
        self.folder, self.config = folder, folder / "party.toml"
        self.agreement = agreement_id(world.deployment, proposal(self.terms))
        (folder / "terms.json").write_text(self.terms.model_dump_json(), encoding="utf-8")
        self.configure(world, self.agreement)
        for name, key in (*zip(PARTIES, world.parties, strict=True), ("relayer", world.relayer)):
            write_secret(folder / name, key)

    def configure(self, world, agreement):
        there = world.deployment
        self.config.write_text(
            f'party = "hospital"\nterms = "{self.folder / "terms.json"}"\n[chain]\nurl = "{world.chain.url}"\n'
            f'agreement_id = "{agreement}"\n[chain.deployment]\naddress = "{there.address}"\n'
            f'chain_id = {there.chain_id}\ncode_hash = "{there.code_hash}"\n', encoding="utf-8",
        )

    async def act(self, what, who, *, yes=True):
        return await act(self.config, what, self.folder / who, yes=yes, as_json=False)

    async def active(self):
        await self.act("propose", "relayer")
        for party in PARTIES:
            await self.act("sign", party)
        await self.act("activate", "hospital")


@pytest.fixture
def desk(world, tmp_path):
    return Desk(world, tmp_path, name=f"small-{abs(hash(tmp_path)) % 10**8}")


async def seen(desk, capsys, at="latest"):
    capsys.readouterr()
    assert await show(desk.config, at, as_json=True) == EXIT_ENDED
    return json.loads(capsys.readouterr().out)


async def verdicts(desk, capsys, asked=None, at="latest"):
    """(exit code, what each rule that refuses found)."""
    capsys.readouterr()
    code = await check(desk.config, asked or Asked(), at, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert len(said["verdicts"]) >= 8
    assert said["passes"] == (code == EXIT_ENDED)
    return code, {v["rule"]: v["found"] for v in said["verdicts"] if not v["passes"]}


async def test_an_agreement_lives_from_proposal_to_revocation(world, desk, capsys):
    assert (await seen(desk, capsys))["state"] == "unknown"
    assert await show(desk.config, "latest", as_json=False) == EXIT_ENDED
    assert "propose it" in capsys.readouterr().out
    for _ in range(2):
        assert await desk.act("propose", "relayer") == EXIT_ENDED
    for count, party in enumerate(PARTIES):
        found = await seen(desk, capsys)
        assert (found["state"], found["not_signed_by"]) == ("proposed", list(PARTIES[count:]))
        code, refusals = await verdicts(desk, capsys)
        assert code == EXIT_REFUSED
        assert ", ".join(PARTIES[count:]) in refusals["agreement-active"]
        await desk.act("sign", party)
        assert f"Signed by {party}." in capsys.readouterr().out
    await desk.act("activate", "insurer")
    assert await verdicts(desk, capsys) == (EXIT_ENDED, {})
    before = await seen(desk, capsys)
    assert (before["state"], before["terms_agreed"], before["version"]) == ("active", True, 1)
    assert before["runs"] == {"used": 0, "quota": 100}
    assert before["requesters"] == {"analyst": {"used": 0, "quota": 5}}
    assert (before["valid_from"], before["valid_before"]) == ("2024-01-01", "2030-01-02")

    await desk.act("suspend", "insurer")
    code, refusals = await verdicts(desk, capsys)
    assert (code, list(refusals)) == (EXIT_REFUSED, ["agreement-active"])
    assert refusals["agreement-active"].startswith("suspended at block")
    assert refusals["agreement-active"].endswith("by insurer")
    assert await verdicts(desk, capsys, at=str(before["block"])) == (EXIT_ENDED, {})
    await desk.act("resume", "hospital")  # what is so already is no error, and ends nobody else's suspension
    assert (await seen(desk, capsys))["suspended_by"] == ["insurer"]
    await desk.act("resume", "insurer")
    assert (await seen(desk, capsys))["state"] == "active"

    await desk.act("revoke", "statistics")
    assert "Revoked by statistics, for good." in capsys.readouterr().out
    assert (await seen(desk, capsys))["state"] == "revoked"
    with pytest.raises(ChainRefusal):
        await desk.act("activate", "hospital")
    assert (await seen(desk, capsys, str(before["block"])))["state"] == "active"
    found = await told(desk, capsys)
    assert [event["event"].removeprefix("Agreement") for event in found] == [
        "Proposed", "Signed", "Signed", "Signed", "Activated", "Suspended", "Resumed", "Revoked",
    ]
    assert [event.get("party") for event in found[1:]] == [*PARTIES, "insurer", "insurer", "insurer", "statistics"]
    assert await history(desk.config, 0, "latest", as_json=False) == EXIT_ENDED
    assert "AgreementRevoked  party statistics" in capsys.readouterr().out
    assert len(await told(desk, capsys, at=str(before["block"]))) == 5
    assert len(await told(desk, capsys, first=before["block"] + 1)) == 3
    assert await told(desk, capsys, first=10**6) == []
    assert await history(desk.config, 10**6, "latest", as_json=False) == EXIT_ENDED
    assert "No event of this agreement from block 1000000 up to latest." in capsys.readouterr().out


async def told(desk, capsys, first=0, at="latest"):
    capsys.readouterr()
    assert await history(desk.config, first, at, as_json=True) == EXIT_ENDED
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("change", "differs"), [
    (lambda logs: logs[:-1], "how it ended"), (lambda logs: logs[:1] + logs[2:], "who signed"),
    (lambda logs: [*logs[:5], *logs[6:]], "runs that count"), (lambda logs: [*logs[:7], *logs[8:]], "who suspends it"),
    (lambda logs: [*logs, logs[-1] | {"address": "0x" + "11" * 20}], "eth_getLogs"),
    (lambda logs: [logs[0] | {"topics": logs[0]["topics"][:2]}, *logs[1:]], "eth_getLogs"),
    (lambda logs: [logs[0] | {"data": "0x"}, *logs[1:]], "eth_getLogs"),
    (lambda logs: [logs[0] | {"blockNumber": "0xffffff"}, *logs[1:]], "eth_getLogs"), (lambda logs: {}, "eth_getLogs"),
])
async def test_an_endpoint_that_leaves_events_out_or_makes_them_up_is_found_out(world, monkeypatch, change, differs):
    agreement = await world.active()
    await world.node[0].authorise(agreement, [some_hash()])
    await world.party[1].suspend(agreement)
    await world.party[1].resume(agreement)
    await world.party[2].revoke(agreement)
    reader = world.relay
    assert len(await reader.events(agreement, at="latest")) == 9
    ask = Endpoint.call

    async def lie(self, method, *parameters):
        answer = await ask(self, method, *parameters)
        return change(answer) if method == "eth_getLogs" else answer

    monkeypatch.setattr(Endpoint, "call", lie)
    with pytest.raises(ChainError, match=differs):
        await reader.events(agreement, at="latest")


async def test_what_binds_is_asked_for_once_more(desk, capsys, monkeypatch):
    await desk.act("propose", "relayer")
    with pytest.raises(ConsoleError, match=f"agrees to the terms with hash {desk.terms.hash}.*Add --yes"):
        await desk.act("sign", "hospital", yes=False)
    for typed, signed in (("no\n", False), ("yes\n", True)):
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        if signed:
            await desk.act("sign", "hospital", yes=False)
        else:
            with pytest.raises(ConsoleError, match="nothing was sent"):
                await desk.act("sign", "hospital", yes=False)
        assert ("hospital" not in (await seen(desk, capsys))["not_signed_by"]) is signed


class Terminal:
    def __init__(self, typed):
        self.typed = typed

    def isatty(self):
        return True

    def readline(self):
        return self.typed


async def test_a_key_may_lie_in_an_encrypted_keystore(world, desk, capsys, monkeypatch):
    await desk.act("propose", "relayer")
    store = desk.folder / "keystore.json"
    store.write_text(json.dumps(Account.encrypt(world.parties[0], "correct horse", iterations=2)), encoding="utf-8")
    with pytest.raises(ConfigError, match="has mode 6.4, expected 600"):
        await desk.act("sign", "keystore.json")
    store.chmod(0o600)
    with pytest.raises(ConsoleError, match=f"set {PASSPHRASE}"):
        await desk.act("sign", "keystore.json")
    monkeypatch.setenv(PASSPHRASE, "wrong horse")
    with pytest.raises(ConfigError, match="the passphrase does not open it"):
        await desk.act("sign", "keystore.json")
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    await desk.act("sign", "keystore.json")
    assert (await seen(desk, capsys))["not_signed_by"] == ["insurer", "statistics"]
    for content in ("{}", "{", '{"version": 1}', '{"version": 3, "crypto": 1}'):
        store.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match="expected a keystore of version 3"):
            await desk.act("sign", "keystore.json")


async def test_who_is_no_party_and_what_is_not_agreed_is_said(world, desk, capsys):
    await desk.active()
    write_secret(desk.folder / "stranger", world.outsider)
    for what in ("sign", "activate", "suspend", "resume", "revoke"):
        with pytest.raises(ConsoleError, match=f"{address_of(world.outsider)}, which is no party. The agreement has"):
            await desk.act(what, "stranger")
    with pytest.raises(ConfigError, match="key file"):
        await desk.act("suspend", "nowhere")
    for asked, message in (
        (Asked(kpis=("strange",)), "it computes gp-visit-rate-ratio, cost-difference"),
        (Asked(requester="strange"), "the agreement names analyst"),
    ):
        with pytest.raises(ConsoleError, match=message):
            await check(desk.config, asked, "latest", as_json=True)
    with pytest.raises(ConsoleError, match="expected latest, finalized or the number"):
        await show(desk.config, "yesterday", as_json=True)
    asked = Asked(("cost-difference",), "2024-01-01/2024-01-29", "analyst")
    assert await verdicts(desk, capsys, asked) == (EXIT_ENDED, {})
    assert await check(desk.config, asked, "latest", as_json=False) == EXIT_ENDED
    assert "no rule refuses such a run." in capsys.readouterr().out


async def test_an_id_of_other_terms_is_refused_before_anything_is_signed(world, desk, tmp_path_factory):
    other = Desk(world, tmp_path_factory.mktemp("other"), name="other")
    await desk.act("propose", "relayer")
    desk.configure(world, other.agreement)
    for doing in (desk.act("sign", "hospital"), show(desk.config, "latest", as_json=True)):
        with pytest.raises(Tampered):
            await doing


async def test_the_registry_is_deployed_and_said_as_configurations_have_it(world, desk, capsys):
    where = (world.chain.url, desk.folder / "relayer", desk.folder / "terms.json", 2)
    capsys.readouterr()
    assert await deploy_registry(*where, as_json=False) == EXIT_ENDED
    said = capsys.readouterr().out
    desk.config.write_text(f'party = "hospital"\nterms = "{desk.folder / "terms.json"}"\n{said}', encoding="utf-8")
    settings = load_settings(desk.config, AgreedSettings)
    assert settings.chain.finality == Finality(tag=False, confirmations=2)
    await desk.active()
    assert (await seen(desk, capsys))["state"] == "active"
    assert (await seen(desk, capsys, "finalized"))["block"] <= (await seen(desk, capsys))["block"] - 2

    assert await deploy_registry(world.chain.url, desk.folder / "relayer", None, 0, as_json=True) == EXIT_ENDED
    chain = json.loads(capsys.readouterr().out)["chain"]
    assert set(chain) == {"url", "deployment"}
    assert chain["deployment"]["address"] != settings.chain.deployment.address


async def test_a_privacy_budget_is_shown_and_asked_about_as_it_is_spent(world, tmp_path, capsys):
    """Two KPIs, of which the budget pays for one; by the nodes' own way of paying, on a real chain."""
    kpis = ("gp-visit-rate-ratio", "cost-difference")
    desk = Desk(
        world, tmp_path, name=f"private-{abs(hash(tmp_path)) % 10**8}", quota={"runs": 100, "rho": "0.75"},
        privacy=[{"kpi": kpi, "rho": "0.5", "delta": "0.000001"} for kpi in kpis],
    )
    await desk.active()
    plans, window = desk.terms.plans, desk.terms.draft.lattice.scheduled[0]
    asked = [Asked(kpis=(kpi,), window="2024-01-01/2024-01-29") for kpi in kpis]
    for one in asked:
        assert await verdicts(desk, capsys, one) == (EXIT_ENDED, {})
    both = Asked(window="2024-01-01/2024-01-29")
    assert await verdicts(desk, capsys, both) == (EXIT_REFUSED, {"privacy-budget-left": "ρ = 0.75 left of 0.75"})
    node = world.node[0]
    for _ in range(2):  # paid for once
        spending = Spending.of(node, desk.agreement, desk.terms, plans[:1], [window])
        await spending.owed((await node.block("finalized")).number)
        await spending.settle(pays=True)
    assert (await seen(desk, capsys))["privacy_budget"] == {"spent": 500_000, "most": 750_000}
    assert await show(desk.config, "latest", as_json=False) == EXIT_ENDED
    assert "ρ = 0.5 of 0.75 spent" in capsys.readouterr().out
    assert await verdicts(desk, capsys, asked[0]) == (EXIT_ENDED, {})
    assert await verdicts(desk, capsys, asked[1]) == (EXIT_REFUSED, {"privacy-budget-left": "ρ = 0.25 left of 0.75"})
    other = Spending.of(node, desk.agreement, desk.terms, plans[1:], [window])
    await other.owed((await node.block("finalized")).number)
    with pytest.raises(ChainRefusal, match="BudgetExhausted|budget"):
        await other.settle(pays=True)
