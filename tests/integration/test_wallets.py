"""Signatures made elsewhere, and parties that are contracts (ERC-1271), on a real chain."""

import json

import pytest
import pytest_asyncio
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.constants import SECPK1_N

from console.agreement.elsewhere import Made, bring_in, show_call, show_typed_data
from console.agreement.standing import show
from console.errors import ConsoleError
from evaluation.agreement import proposal
from evaluation.errors import EXIT_ENDED, Tampered
from policy.chain.endpoint import Endpoint
from policy.chain.errors import ChainRefusal
from policy.chain.sender import Sender
from policy.chain.signing import address_of, agreement_id, sign_agreement
from tests.integration.test_agreement_commands import Desk, seen
from tests.support.chains import a_world
from tests.support.wallets import Wallet

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async for made in a_world(tmp_path_factory.mktemp("chain")):
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wallet(world):
    return await Wallet.create(world, (world.nodes[0], world.nodes[1]))


@pytest.fixture
def desk(world, wallet, tmp_path):
    """The insurer's address is that of the wallet."""
    made = Desk(world, tmp_path, name=f"small-{abs(hash(tmp_path)) % 10**8}")
    hospital, insurer, statistics = made.terms.parties
    made.terms = made.terms.model_copy(update={
        "parties": (hospital, insurer.model_copy(update={"address": wallet.address}), statistics),
    })
    made.agreement = agreement_id(world.deployment, proposal(made.terms))
    (tmp_path / "terms.json").write_text(made.terms.model_dump_json(), encoding="utf-8")
    made.configure(world, made.agreement)
    return made


async def bring(desk, party, signature, *, yes=True):
    made = Made(party, signature if isinstance(signature, str) else signature.hex())
    return await bring_in(desk.config, made, desk.folder / "relayer", yes=yes, as_json=False)


async def test_a_contract_and_a_device_sign_and_the_contract_suspends(world, wallet, desk, capsys):
    await desk.act("propose", "relayer")
    agreed = proposal(desk.terms)
    capsys.readouterr()
    assert await show_typed_data(desk.config) == EXIT_ENDED
    typed = json.loads(capsys.readouterr().out)
    message = encode_typed_data(full_message=typed)
    by_device = Account.sign_message(message, world.parties[0]).signature
    assert await bring(desk, "hospital", f"0x{bytes(by_device).hex()}\n") == EXIT_ENDED
    assert "Signed by hospital. At the newest block it is proposed." in capsys.readouterr().out
    for _ in range(2):  # what is so already is no error
        assert await bring(desk, "insurer", wallet.signature(agreed)) == EXIT_ENDED
        assert "Signed by insurer." in capsys.readouterr().out
    await desk.act("sign", "statistics")
    assert (await seen(desk, capsys))["state"] == "signed"
    for what, state in (("activate", "active"), ("suspend", "suspended"), ("resume", "active"), ("revoke", "revoked")):
        capsys.readouterr()
        assert await show_call(desk.config, what) == EXIT_ENDED
        await wallet.send(json.loads(capsys.readouterr().out))
        found = await seen(desk, capsys)
        assert found["state"] == state
        assert found["suspended_by"] == (["insurer"] if what == "suspend" else [])


@pytest.mark.parametrize(("party", "spoil", "said"), [
    ("hospital", lambda one: one[:-1], "it has 64 bytes, expected 65"),
    ("hospital", lambda one: one[:-1] + bytes([one[-1] - 27]), "expected 1b or 1c; where a wallet gave 00 or 01, add 1b"),
    ("hospital", lambda one: one[:32] + (SECPK1_N - int.from_bytes(one[32:64])).to_bytes(32) + bytes([55 - one[-1]]),
     "has the higher s of two"),
    ("hospital", lambda one: bytes(64) + b"\x1b", "no point of the curve"),
    ("statistics", lambda one: one, "expected that of 0x"), ("insurer", lambda one: one, "reverts, expected 0x1626ba7e"),
    ("insurer", lambda one: one + one, "answers 0xffffffff, expected 0x1626ba7e"),
    ("insurer", lambda one: b"\x00", "reverts"),
])
async def test_a_signature_that_would_be_refused_is_not_sent(world, desk, capsys, party, spoil, said):
    """Each is what the contract refuses too: nothing is refused that it would take."""
    await desk.act("propose", "relayer")
    signature = spoil(sign_agreement(world.deployment, proposal(desk.terms), world.parties[0]))
    with pytest.raises(ConsoleError, match=rf"^--signature: .*{said}.* Nothing was sent\.$"):
        await bring(desk, party, signature)
    assert (await seen(desk, capsys))["not_signed_by"] == ["hospital", "insurer", "statistics"]
    address = next(p.address for p in desk.terms.parties if p.name == party)
    with pytest.raises(ChainRefusal):
        await world.relay.relay(desk.agreement, address, signature)


async def test_a_signature_of_other_terms_is_that_of_nobody(world, wallet, desk, capsys):
    await desk.act("propose", "relayer")
    other = proposal(desk.terms.model_copy(update={"draft": desk.terms.draft.model_copy(update={"name": "other"})}))
    with pytest.raises(ConsoleError, match="it is that of 0x.* if it is of these terms"):
        await bring(desk, "hospital", sign_agreement(world.deployment, other, world.parties[0]))
    with pytest.raises(ConsoleError, match="let its owners sign or approve these terms"):
        await bring(desk, "insurer", wallet.signature(other))
    assert len((await seen(desk, capsys))["not_signed_by"]) == 3


@pytest.mark.parametrize("which", ["registry", "silent"])
async def test_a_contract_that_is_no_wallet_is_said(world, desk, tmp_path, which):
    address, said = world.deployment.address, "reverts"
    if which == "silent":  # code that stops at once
        async with Endpoint(world.chain.url, 10) as endpoint:
            sender = Sender(endpoint, world.outsider, world.deployment.chain_id)
            address, said = await sender.send("stop", None, bytes.fromhex("60016000f3"), 100_000), "answers nothing, as one"
    first, insurer, last = desk.terms.parties
    desk.terms = desk.terms.model_copy(update={
        "parties": (first, insurer.model_copy(update={"address": address}), last)})
    desk.agreement = agreement_id(world.deployment, proposal(desk.terms))
    (tmp_path / "terms.json").write_text(desk.terms.model_dump_json(), encoding="utf-8")
    desk.configure(world, desk.agreement)
    with pytest.raises(ConsoleError, match=f"the contract at {address} {said}"):
        await bring(desk, "insurer", b"\x01" * 65)


@pytest.mark.parametrize("text", ["", "0x", "zz", "0x1", "12 34", "é" * 4, "00" * 16_385])
async def test_what_is_no_hexadecimal_is_said(desk, text):
    with pytest.raises(ConsoleError, match="expected hexadecimal digits, two for each"):
        await bring(desk, "hospital", text)


async def test_who_is_no_party_and_what_nobody_confirmed_is_said(world, desk, capsys):
    await desk.act("propose", "relayer")
    signature = sign_agreement(world.deployment, proposal(desk.terms), world.parties[0])
    with pytest.raises(ConsoleError, match="no such party; the agreement has hospital, insurer, statistics"):
        await bring(desk, "stranger", signature)
    with pytest.raises(ConsoleError, match="hospital agrees to the terms with hash .* Add --yes"):
        await bring(desk, "hospital", signature, yes=False)
    assert await show(desk.config, "latest", as_json=False) == EXIT_ENDED
    assert "hospital" in (await seen(desk, capsys))["not_signed_by"]


async def test_an_unproposed_agreement_and_one_of_other_terms_are_said(world, desk):
    signature = sign_agreement(world.deployment, proposal(desk.terms), world.parties[0])
    with pytest.raises(ChainRefusal, match="AgreementUnknown"):
        await bring(desk, "hospital", signature)
    desk.configure(world, "ab" * 32)
    for doing in (bring(desk, "hospital", signature), show_typed_data(desk.config), show_call(desk.config, "revoke")):
        with pytest.raises(Tampered):
            await doing
    assert address_of(world.parties[0]) == desk.terms.parties[0].address
