"""What the chain must know of terms, and its view of them in the gate's words."""

from dataclasses import replace

import pytest

from evaluation.agreement import facts, in_force, proposal, requester_address
from policy.chain.model import AgreementView, Requester
from policy.identity import RequesterIdentity
from tests.support.terms import make_terms

PLAIN = make_terms(requesters=[
    {"name": "zoe", "recipient": "innovation-team", "runs": 3}, {"name": "ann", "recipient": "innovation-team", "runs": 7},
])
LOW, HIGH = "0x" + "0A" * 20, "0x" + "F0" * 20
TERMS = PLAIN.model_copy(update={
    "requesters": (RequesterIdentity(name="zoe", address=HIGH), RequesterIdentity(name="ann", address=LOW)),
    "parties": tuple(p.model_copy(update={"address": f"0x{i + 1:040x}"}) for i, p in enumerate(PLAIN.parties)),
})


def view(**changes):
    mine = proposal(TERMS)
    return replace(AgreementView(
        block_number=5, block_hash="bb" * 32, block_time=1_800_000_000, state="active", terms_hash=TERMS.hash,
        parties=mine.parties, attestors=mine.attestors, missing=(), valid_from=mine.valid_from,
        valid_until=mine.valid_until, run_quota=mine.run_quota, runs_used=4, requesters=mine.requesters,
        requester_runs=(2, 1),
    ), **changes)


def test_a_proposal_names_requesters_by_address_with_their_quotas():
    assert proposal(TERMS).requesters == (Requester(LOW, 7), Requester(HIGH, 3))
    assert proposal(make_terms()).requesters == ()
    assert [requester_address(TERMS, name) for name in ("zoe", "ann", "eve", None)] == [HIGH, LOW, None, None]


def test_a_version_names_what_it_supersedes_and_others_keep_their_hash():
    draft = TERMS.draft.model_copy(update={"supersedes": "ab" * 32})
    later = TERMS.model_copy(update={"draft": draft})
    assert proposal(TERMS).supersedes is None
    assert proposal(later).supersedes == "ab" * 32
    assert later.hash != TERMS.hash
    assert "supersedes" not in TERMS.draft.model_dump()
    assert type(draft).model_validate(draft.model_dump(mode="json")) == draft


@pytest.mark.parametrize("value", ["", "ab", "AB" * 32, "0x" + "ab" * 32])
def test_what_is_superseded_is_an_id_on_the_chain(value):
    with pytest.raises(ValueError, match="supersedes"):
        make_terms(supersedes=value)


def test_the_gate_hears_names():
    found = facts(view(
        state="suspended", missing=(TERMS.parties[1].address,), suspended_by=(TERMS.parties[0].address.lower(), HIGH), latest="cd" * 32
    ), TERMS)
    assert (found.missing, found.suspended_by) == ((TERMS.parties[1].name,), (TERMS.parties[0].name, HIGH))
    assert found.requester_runs == {"ann": 2, "zoe": 1}
    assert (found.block_hash, found.latest, found.runs_used) == ("bb" * 32, "cd" * 32, 4)


@pytest.mark.parametrize(("latest", "final", "expected"), [
    ("active", "active", True), ("active", "suspended", False), ("suspended", "active", False), ("signed", "signed", False),
    ("revoked", "active", None), ("superseded", "superseded", None), ("expired", "expired", None),
])
async def test_an_agreement_is_in_force_again_when_that_is_final(latest, final, expected):
    class Chain:
        async def view(self, agreement, at):
            return view(state=latest if at == "latest" else final)

    assert await in_force(Chain(), "a" * 64) is expected
