"""The second phase of a run's end: it counts once all three nodes have told that they keep its outcome (ADR 9)."""

from evaluation.coordination import Council, Sealed
from evaluation.merkle import merkle_root
from evaluation.noting import Evidence
from evaluation.state import NodeState
from mpc.errors import ProtocolError


async def settle(council: Council, state: NodeState, evidence: Evidence, number: int) -> None:
    """Tell that the outcome is durable here; note it, and count it, once all three have told so.

    Raises:
        ProtocolError: nodes sealed for different numbers of recipients.
        PeerLost, PeerTimeout: see mpc.wire; what is prepared stays.
    """
    mine = state.prepared
    assert mine is not None
    answers = await council.exchange(Sealed(hashes=mine.hashes))
    if len({len(answer.hashes) for answer in answers}) != 1:
        raise ProtocolError(f"the nodes sealed {[len(a.hashes) for a in answers]} results; expected as many")
    hashes = [bytes.fromhex(h) for answer in answers for h in answer.hashes]
    root = merkle_root(hashes).hex() if hashes else None
    evidence.ended(mine, root)
    state.settle(root if number == 0 else None)
