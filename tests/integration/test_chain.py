"""The registry on a real chain (anvil), through the client that nodes and parties use."""

import asyncio
import gzip
import json
import time

import pytest
import pytest_asyncio

from policy.chain.endpoint import Endpoint
from policy.chain.errors import ChainMismatch, ChainRefusal, ChainTimeout
from policy.chain.model import Requester, RunView
from policy.chain.signing import address_of, agreement_id, new_key, sign_agreement
from policy.errors import ChainError
from tests.support.chains import BLOCK_SECONDS, a_world, make_world, some_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async for made in a_world(tmp_path_factory.mktemp("chain")):
        yield made


async def refused(rule, waiting):
    with pytest.raises(ChainRefusal) as caught:
        await waiting
    assert caught.value.rule == rule, caught.value
    return caught.value


async def test_an_agreement_lives_from_proposal_to_revocation(world):
    proposal = world.proposal(run_quota=7, privacy_budget=5, requesters=(Requester(address_of(world.outsider), 2),))
    agreement = await world.relay.propose(proposal)
    assert agreement == agreement_id(world.deployment, proposal)
    for count, party in enumerate(world.parties):
        view = await world.relay.view(agreement, "latest")
        assert view.state == "proposed"
        assert view.missing == proposal.parties[count:]
        await world.relay.sign(agreement, party)
    assert (await world.relay.view(agreement, "latest")).state == "signed"
    await refused("NotAParty", world.relay.activate(agreement))
    for _ in range(2):
        await world.party[2].activate(agreement)
    view = await world.node[0].wait_state(agreement, "active", timeout_seconds=5)
    assert (view.missing, view.runs_used, view.run_quota) == ((), 0, 7)
    assert view.proposal == proposal
    assert (view.version, view.latest, view.suspended_by) == (1, agreement, ())

    run = some_hash()
    await world.node[1].authorise(agreement, [run], address_of(world.outsider), 3)
    assert await world.node[2].wait_authorised(agreement, [run], timeout_seconds=5) == {run: 1}
    view = await world.relay.view(agreement, "latest")
    assert (view.runs_used, view.budget_spent, view.requester_runs) == (1, 3, (1,))
    block = view.block_hash
    transcripts = [some_hash() for _ in world.node]
    await asyncio.gather(*(n.attest(agreement, run, block, t) for n, t in zip(world.node, transcripts, strict=True)))
    for key, transcript in zip(world.nodes, transcripts, strict=True):
        assert await world.relay.attestation(agreement, run, address_of(key), "latest") == (block, transcript)
    root = some_hash()
    found = await world.relay.run(agreement, run, "latest")
    assert found == RunView("attested", 1, address_of(world.outsider), 3, (), (0, 1, 2), None)
    await world.node[0].commit(agreement, run, root)
    found = await world.relay.run(agreement, run, "latest")
    assert (found.stage, found.commitment) == ("committed", root)

    for _ in range(2):
        await world.party[1].revoke(agreement)
    assert (await world.relay.view(agreement, "latest")).state == "revoked"
    await refused("AgreementNotInState", world.node[0].authorise(agreement, [some_hash()]))


async def test_a_version_takes_over_and_goes_on_with_the_account(world):
    asker = address_of(world.outsider)
    first = await world.active(requesters=(Requester(asker, 1),), privacy_budget=9)
    run = some_hash()
    await world.node[0].authorise(first, [run], asker, 4)
    changes = {"supersedes": first, "requesters": (Requester(asker, 2),), "privacy_budget": 9}
    await refused("PartyLeftOut", world.propose(**changes, parties=(*map(address_of, world.parties[:2]), asker)))
    second = await world.active(**changes)
    view = await world.relay.view(second, "latest")
    assert (view.state, view.version, view.latest, view.supersedes) == ("active", 2, second, first)
    assert (view.runs_used, view.budget_spent, view.requester_runs) == (1, 4, (1,))
    before = await world.relay.view(first, "latest")
    assert (before.state, before.version, before.latest, before.runs_used) == ("superseded", 1, second, 1)
    await refused("AgreementNotInState", world.node[0].authorise(first, [some_hash()]))
    await refused("BudgetExhausted", world.node[0].authorise(second, [some_hash()], asker, 6))
    await world.node[0].authorise(second, [some_hash()], asker, 5)
    await refused("RequesterQuotaExhausted", world.node[0].authorise(second, [some_hash()], asker))
    await refused("NotARequester", world.node[0].authorise(second, [some_hash()], address_of(world.relayer)))
    assert (await world.relay.authorisations(second, [run], "latest")) == {}
    rival = await world.signed(supersedes=first)
    await refused("AgreementNotLatest", world.party[0].activate(rival))
    await refused("AgreementEnded", world.party[0].revoke(first))


async def test_who_suspends_resumes(world):
    agreement = await world.active()
    for _ in range(2):
        await world.party[1].suspend(agreement)
    await world.party[2].suspend(agreement)
    view = await world.relay.view(agreement, "latest")
    assert (view.state, view.suspended_by) == ("suspended", tuple(map(address_of, world.parties[1:])))
    await refused("AgreementNotInState", world.node[0].authorise(agreement, [some_hash()]))
    await world.party[0].resume(agreement)
    for party in world.party[1:]:
        assert (await world.relay.view(agreement, "latest")).state == "suspended"
        await party.resume(agreement)
        await party.resume(agreement)
    assert (await world.relay.view(agreement, "latest")).state == "active"
    await refused("NotAParty", world.node[0].suspend(agreement))
    await world.node[0].authorise(agreement, [some_hash()])


async def test_a_run_that_all_give_up_is_released(world):
    agreement, run, kept = await world.active(privacy_budget=5), some_hash(), some_hash()
    await world.node[0].authorise(agreement, [run], None, 5)
    for node in world.node:
        assert (await world.relay.view(agreement, "latest")).budget_spent == 5
        for _ in range(2):
            await node.release(agreement, run, 1)
    view = await world.relay.view(agreement, "latest")
    assert (view.runs_used, view.budget_spent) == (0, 0)
    found = await world.relay.run(agreement, run, "latest")
    assert (found.stage, found.sequence, found.given_up) == ("released", 1, (0, 1, 2))
    assert await world.relay.authorisation(agreement, run, "latest") is None
    await refused("RunNotInStage", world.node[0].attest(agreement, run, some_hash(), some_hash()))

    await world.node[0].authorise(agreement, [run, kept])
    assert await world.relay.authorisation(agreement, run, "latest") == 2
    await refused("SequenceRefused", world.node[0].release(agreement, run, 1))
    await world.node[0].release(agreement, kept, 3)
    await world.node[1].attest(agreement, kept, some_hash(), some_hash())
    await refused("RunNotInStage", world.node[2].release(agreement, kept, 3))
    await refused("AlreadyGivenUp", world.node[0].attest(agreement, kept, some_hash(), some_hash()))
    await refused("NotAnAttestor", world.party[0].release(agreement, run, 2))


async def test_the_longest_lists_fit_the_gas_limits(world):
    askers = tuple(Requester(f"0x{place:040x}", 1) for place in range(1, 65))
    keys = [*world.parties, *(new_key() for _ in range(5))]
    parties = tuple(map(address_of, keys))
    attestors = (*map(address_of, world.nodes), *(f"0x{place:040x}" for place in range(1, 6)))
    agreement = await world.propose(parties=parties, attestors=attestors, requesters=askers)
    for key in keys:
        await world.relay.sign(agreement, key)
    await world.party[0].activate(agreement)
    await world.node[2].authorise(agreement, [some_hash()], askers[-1].account)
    await world.node[2].authorise(agreement, [some_hash() for _ in range(64)])
    for party in world.party:
        await party.suspend(agreement)
    later = await world.propose(parties=parties[::-1], attestors=attestors, requesters=askers, supersedes=agreement)
    for key in keys:
        await world.relay.sign(later, key)
    await world.party[0].activate(later)
    view = await world.relay.view(later, "latest")
    assert (view.state, len(view.suspended_by), sum(view.requester_runs), view.runs_used) == ("suspended", 3, 1, 65)


async def test_what_a_block_holds_is_asked_for_once_and_a_new_block_is_asked_again(world, monkeypatch):
    agreement = await world.active()
    asked, call = [], Endpoint.call

    async def counted(endpoint, method, *parameters):
        asked.append(method)
        return await call(endpoint, method, *parameters)

    monkeypatch.setattr(Endpoint, "call", counted)
    block = (await world.relay.view(agreement, "latest")).block_number
    asked.clear()
    again = await world.relay.view(agreement, block)
    assert (again.block_number, asked) == (block, ["eth_getBlockByNumber"])
    await world.party[1].revoke(agreement)
    assert (await world.relay.view(agreement, "latest")).state == "revoked"
    assert (await world.relay.view(agreement, block)).state == "active"


async def test_the_chain_knows_nothing_that_was_not_proposed(world):
    view = await world.relay.view(some_hash(), "latest")
    assert (view.state, view.parties, view.run_quota) == ("unknown", (), 0)
    await refused("AgreementUnknown", world.node[0].authorise(some_hash(), [some_hash()]))
    await refused("AgreementUnknown", world.relay.sign(some_hash(), world.parties[0]))


async def test_an_agreement_without_all_signatures_authorises_nothing(world):
    agreement = await world.propose()
    for party in world.parties[:2]:
        await world.relay.sign(agreement, party)
    error = await refused("AgreementNotInState", world.node[0].authorise(agreement, [some_hash()]))
    assert (error.found["found"], error.found["required"]) == (1, 3)
    assert "Let every party sign" in str(error)
    await refused("AgreementNotInState", world.party[0].activate(agreement))
    await world.relay.sign(agreement, world.parties[2])
    error = await refused("AgreementNotInState", world.node[0].authorise(agreement, [some_hash()]))
    assert (error.found["found"], error.found["required"]) == (2, 3)


async def test_a_signature_for_other_contents_registry_or_chain_is_refused(world):
    proposal = world.proposal()
    agreement = await world.propose(**vars(proposal))
    party, address = world.parties[0], address_of(world.parties[0])
    here = world.deployment
    elsewhere = here.model_copy(update={"address": address_of(new_key())})
    other_chain = here.model_copy(update={"chain_id": here.chain_id + 1})
    other_terms = world.proposal(terms_hash=some_hash(), valid_from=proposal.valid_from, valid_until=proposal.valid_until)
    more_runs = world.proposal(**(vars(proposal) | {"run_quota": 101}))
    successor = world.proposal(**(vars(proposal) | {"supersedes": await world.active()}))
    asked_for = world.proposal(**(vars(proposal) | {"requesters": (Requester(address_of(party), 1),)}))
    for signature in (
        sign_agreement(here, successor, party), sign_agreement(here, asked_for, party),
        sign_agreement(here, other_terms, party), sign_agreement(here, more_runs, party),
        sign_agreement(elsewhere, proposal, party), sign_agreement(other_chain, proposal, party),
        sign_agreement(here, proposal, world.parties[1]), bytes(65), b"",
    ):
        await refused("SignatureRefused", world.relay.relay(agreement, address, signature))
    assert address in (await world.relay.view(agreement, "latest")).missing
    await world.relay.relay(agreement, address, sign_agreement(here, proposal, party))
    assert address not in (await world.relay.view(agreement, "latest")).missing


async def test_outsiders_can_do_nothing(world):
    agreement = await world.active()
    run = some_hash()
    await world.node[0].authorise(agreement, [run])
    outsider, party = await world.open(world.outsider), world.party[0]
    await refused("NotAParty", world.relay.sign(agreement, world.outsider))
    await refused("NotAParty", outsider.revoke(agreement))
    await refused("NotAParty", world.node[0].revoke(agreement))
    for stranger in (outsider, party):
        await refused("NotAnAttestor", stranger.authorise(agreement, [some_hash()]))
        await refused("NotAnAttestor", stranger.attest(agreement, run, some_hash(), some_hash()))
        await refused("NotAnAttestor", stranger.release(agreement, run, 1))
        await refused("NotAnAttestor", stranger.commit(agreement, run, some_hash()))
    view = await world.relay.view(agreement, "latest")
    assert (view.state, view.runs_used) == ("active", 1)


async def test_authorising_a_run_twice_counts_once(world):
    agreement = await world.active()
    runs = [some_hash() for _ in range(3)]
    await world.node[0].authorise(agreement, runs)
    await asyncio.gather(*(node.authorise(agreement, list(reversed(runs))) for node in world.node))
    await world.node[1].authorise(agreement, [runs[0], runs[0]])
    assert await world.relay.authorisations(agreement, runs, "latest") == {run: i + 1 for i, run in enumerate(runs)}
    assert (await world.relay.view(agreement, "latest")).runs_used == 3


async def test_three_nodes_authorise_a_replay_together(world):
    agreement = await world.active(run_quota=300)
    runs = [some_hash() for _ in range(210)]
    await asyncio.gather(*(node.authorise(agreement, runs[i * 70:(i + 1) * 70]) for i, node in enumerate(world.node)))
    found = await world.relay.wait_authorised(agreement, runs, timeout_seconds=5)
    assert sorted(found.values()) == list(range(1, 211))


async def test_the_quota_holds_also_when_nodes_race(world):
    agreement = await world.active(run_quota=2)
    await world.node[0].authorise(agreement, [some_hash()])
    last = [some_hash() for _ in world.node]
    ended = await asyncio.gather(
        *(node.authorise(agreement, [run]) for node, run in zip(world.node, last, strict=True)), return_exceptions=True
    )
    assert ended.count(None) == 1
    assert [error.rule for error in ended if error is not None] == ["QuotaExhausted"] * 2
    view = await world.relay.view(agreement, "latest")
    assert (view.runs_used, view.run_quota) == (2, 2)
    assert len(await world.relay.authorisations(agreement, last, "latest")) == 1


async def test_a_batch_beyond_the_quota_takes_nothing(world):
    agreement = await world.active(run_quota=2)
    await refused("QuotaExhausted", world.node[0].authorise(agreement, [some_hash() for _ in range(3)]))
    assert (await world.relay.view(agreement, "latest")).runs_used == 0


async def test_an_attestation_is_made_once_and_for_authorised_runs_only(world):
    agreement, run, mine = await world.active(), some_hash(), (some_hash(), some_hash())
    node = world.node[0]
    await refused("RunNotInStage", node.attest(agreement, run, *mine))
    await node.authorise(agreement, [run])
    sent = []

    async def look():
        sent.append(await node.attestation(agreement, run, address_of(world.nodes[0]), "latest"))

    looking = []
    await node.attest(agreement, run, *mine, lambda: looking.append(asyncio.create_task(look())))
    await asyncio.gather(*looking)
    assert len(sent) == 1  # on its way, and mined or not
    await node.attest(agreement, run, *mine, lambda: sent.append("again"))
    assert sent in ([None], [mine])
    await refused("AlreadyAttested", node.attest(agreement, run, mine[0], some_hash()))
    await refused("AlreadyAttested", node.attest(agreement, run, some_hash(), mine[1]))
    assert await node.attestation(agreement, run, address_of(world.nodes[0]), "latest") == mine
    assert await node.attestation(agreement, run, address_of(world.nodes[1]), "latest") is None


async def test_a_root_is_committed_once_and_for_attested_runs_only(world):
    agreement, other, run, root = await world.active(), await world.active(), some_hash(), some_hash()
    await world.node[0].authorise(agreement, [run])
    await refused("RunNotInStage", world.node[0].commit(agreement, some_hash(), root))
    await refused("RunNotInStage", world.node[0].commit(agreement, run, root))
    await world.node[2].attest(agreement, run, some_hash(), some_hash())
    await refused("RunNotInStage", world.node[0].commit(other, run, root))
    await world.node[0].commit(agreement, run, root)
    await world.node[1].commit(agreement, run, root)
    await refused("AlreadyCommitted", world.node[1].commit(agreement, run, some_hash()))
    assert (await world.relay.run(agreement, run, "latest")).commitment == root


async def test_evidence_is_taken_after_a_revocation(world):
    agreement, run = await world.active(), some_hash()
    await world.node[0].authorise(agreement, [run])
    await world.party[0].revoke(agreement)
    await world.node[0].attest(agreement, run, some_hash(), some_hash())
    await world.node[0].commit(agreement, run, some_hash())


async def test_an_agreement_ends_by_itself(world):
    agreement = await world.active(valid_until=int(time.time()) + 5)
    await world.relay.wait_state(agreement, "expired", timeout_seconds=10, at="latest")
    await refused("AgreementNotInState", world.node[0].authorise(agreement, [some_hash()]))
    assert (await world.relay.view(agreement, "latest")).missing == ()


async def test_nothing_is_authorised_before_the_first_day(world):
    agreement = await world.active(valid_from=int(time.time()) + 600)
    assert (await world.relay.view(agreement, "latest")).state == "active"
    await refused("AgreementNotYetValid", world.node[0].authorise(agreement, [some_hash()]))


@pytest.mark.parametrize(("rule", "changes"), [
    ("ZeroRefused", {"terms_hash": "00" * 32}),
    ("ZeroRefused", {"run_quota": 0}),
    ("PeriodRefused", {"valid_from": 1, "valid_until": 2}),
    ("PeriodRefused", {"valid_from": 4_000_000_000, "valid_until": 4_000_000_000}),
    ("ListLengthRefused", {"parties": ()}),
    ("ListLengthRefused", {"attestors": tuple(f"0x{i + 1:040x}" for i in range(9))}),
    ("AddressRefused", {"parties": ("0x" + "11" * 20, "0x" + "11" * 20)}),
    ("AddressRefused", {"attestors": ("0x" + "00" * 20,)}),
    ("AddressRefused", {"requesters": (Requester("0x" + "22" * 20, 1), Requester("0x" + "11" * 20, 1))}),
    ("ListLengthRefused", {"requesters": tuple(Requester(f"0x{i + 1:040x}", 1) for i in range(65))}),
    ("AgreementUnknown", {"supersedes": "ab" * 32}),
])
async def test_proposals_that_make_no_sense_are_refused(world, rule, changes):
    await refused(rule, world.propose(**changes))


async def test_writes_may_be_repeated(world):
    proposal = world.proposal()
    first, again = await world.propose(**vars(proposal)), await world.propose(**vars(proposal))
    assert first == again
    await world.relay.sign(first, world.parties[0])
    await world.relay.sign(first, world.parties[0])
    assert len((await world.relay.view(first, "latest")).missing) == 2


async def test_waiting_has_an_end(world):
    agreement = await world.propose()
    with pytest.raises(ChainTimeout, match="active"):
        await world.relay.wait_state(agreement, "active", timeout_seconds=0.3)
    with pytest.raises(ChainTimeout, match="1 runs"):
        await world.relay.wait_authorised(agreement, [some_hash()], timeout_seconds=0.3)


async def test_other_code_and_another_chain_are_noticed(world):
    agreement = await world.active()
    pins = world.deployment
    for change, words in (
        ({"code_hash": "00" * 32}, "pinned"),
        ({"address": address_of(world.relayer)}, "no contract"),
        ({"chain_id": pins.chain_id + 1}, "expected"),
    ):
        stranger = await make_client(world, pins.model_copy(update=change))
        with pytest.raises(ChainMismatch, match=words):
            await stranger.view(agreement, "latest")
        with pytest.raises(ChainMismatch):
            await stranger.authorisation(agreement, some_hash(), "latest")
        with pytest.raises(ChainMismatch):
            await stranger.authorise(agreement, [some_hash()])


async def make_client(world, deployment):
    from policy.chain.registry import Registry

    return await world.stack.enter_async_context(Registry(world.chain.url, deployment, world.nodes[0]))


async def test_changed_code_at_the_pinned_address_is_noticed(world):
    other = await make_world(world.chain, world.stack)
    agreement = await other.active()
    async with Endpoint(world.chain.url, 5) as endpoint:
        code = await endpoint.data("eth_getCode", other.deployment.address, "latest")
        changed = code[:-60] + bytes([code[-60] ^ 1]) + code[-59:]
        await endpoint.call("anvil_setCode", other.deployment.address, "0x" + changed.hex())
    await asyncio.sleep(3 * BLOCK_SECONDS)
    with pytest.raises(ChainMismatch, match="not the registry's"):
        await other.relay.view(agreement, "latest")


async def test_a_block_is_checked_while_it_is_read_and_nothing_is_told_before(world, monkeypatch):
    """Two round trips to a new block, one to a known one; what was read of a block that fails is thrown away."""
    agreement = await world.active()
    registry = await world.open(None)
    call, trips, under_way = registry._endpoint.call, [], []

    async def watched(method, *parameters):
        under_way.append(method)
        trips.append(sorted(under_way))
        try:
            return await call(method, *parameters)
        finally:
            under_way.remove(method)

    monkeypatch.setattr(registry._endpoint, "call", watched)
    number = (await world.relay.block("latest")).number
    assert (await registry.view(agreement, number)).state == "active"
    assert trips[0] == ["eth_getBlockByNumber"]
    assert trips[-1] == ["eth_call", "eth_chainId", "eth_getCode"]
    trips.clear()
    assert await registry.authorisations(agreement, [some_hash()], number) == {}
    assert trips == [["eth_getBlockByNumber"], ["eth_call"]]

    async def other_code(block):
        raise ChainMismatch("other code")

    monkeypatch.setattr(registry, "_check", other_code)
    with pytest.raises(ChainMismatch, match="other code"):
        await registry.view(agreement, number - 1)
    assert (agreement, (await world.relay.block(number - 1)).hash) not in registry._views


async def test_without_a_key_nothing_is_sent(world):
    reader = await world.open(None)
    agreement = await world.active()
    assert (await reader.view(agreement, "latest")).state == "active"
    with pytest.raises(ChainError, match="no key"):
        await reader.authorise(agreement, [some_hash()])


async def test_only_hashes_addresses_and_numbers_are_stored_or_sent(world):
    fresh = await make_world(world.chain, world.stack)
    earlier = await fresh.active()
    asker = Requester(address_of(fresh.outsider), 6)
    proposal = fresh.proposal(requesters=(asker,), privacy_budget=40, supersedes=earlier)
    run, block, transcript, root = some_hash(), some_hash(), some_hash(), some_hash()
    agreement = await fresh.active(**vars(proposal))
    await fresh.node[0].authorise(agreement, [run], asker.account, 30)
    await fresh.node[0].attest(agreement, run, block, transcript)
    await fresh.node[0].commit(agreement, run, root)

    first = await fresh.relay.view(earlier, "latest")
    expected = [int(x, 16) for x in (
        *2 * (*proposal.parties, *proposal.attestors), first.terms_hash, proposal.terms_hash, earlier, agreement, block,
        transcript, root, earlier, earlier,  # what is superseded, and the lineage of both
    )]
    lengths = [3, 3, 3, 3, 1]
    packed = [
        _packed((first.valid_from, 64), (first.valid_until, 64), (first.run_quota, 32)),
        _packed((proposal.valid_from, 64), (proposal.valid_until, 64), (proposal.run_quota, 32), (40, 64)),
        _packed((int(asker.account, 16), 160), (6, 32)),
        _packed((1, 32), (0b111, 8), (0, 8), (1, 8), (1, 8)),  # version, signed, suspended, activated, superseded
        _packed((2, 32), (0b111, 8), (0, 8), (1, 8)),
        _packed((1, 32), (1, 32), (30, 64)), 1,  # the account: sequence, runs, budget; runs of the requester
        _packed((1, 32), (30, 64), (0, 8), (1, 8), (4, 8)),  # the run: sequence, budget, released, attested, stage
        int(asker.account, 16),
    ]
    expected += lengths + packed
    async with Endpoint(world.chain.url, 5) as endpoint:
        dump = json.loads(gzip.decompress(await endpoint.data("anvil_dumpState")))
        account = {a.lower(): found for a, found in dump["accounts"].items()}[fresh.deployment.address.lower()]
        assert sorted(found for word in account["storage"].values() if (found := int(word, 16))) == sorted(expected)
        head = await endpoint.block("latest")
        calls = [
            transaction["input"]
            for number in range(head.number + 1)
            for transaction in (await endpoint.call("eth_getBlockByNumber", hex(number), True))["transactions"]
            if (transaction.get("to") or "").lower() == fresh.deployment.address.lower()
        ]
    assert len(calls) == 13
    # Every 32-byte word of a call is a known value, a small number (count, offset, length) or part of a signature.
    known = {*expected, int(run, 16), *(time for p in (first, proposal) for time in (p.valid_from, p.valid_until))}
    signatures = [sign_agreement(fresh.deployment, p, key) for p in (first.proposal, proposal) for key in fresh.parties]
    known |= {int.from_bytes(s[i:i + 32].ljust(32, b"\0"), "big") for s in signatures for i in (0, 32, 64)}
    for call in calls:
        body = bytes.fromhex(call[10:])
        words = {int.from_bytes(body[i:i + 32], "big") for i in range(0, len(body), 32)}
        assert {word for word in words if word > 1024} <= known


def _packed(*fields):
    """One word of storage: (value, bits) from its low end on."""
    word, place = 0, 0
    for value, bits in fields:
        word |= value << place
        place += bits
    return word
