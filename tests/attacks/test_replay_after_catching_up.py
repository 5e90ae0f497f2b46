"""A request that two nodes refused while the third was cut off is sent again, byte for byte.

The third would queue it and the others not: their queues would never be alike again.
"""

import pytest

from evaluation.outcome import RunRefused
from policy.gate import Refusal
from policy.request import demanded_window
from tests.support.asking import Asking


@pytest.mark.parametrize("nonce_known", [False, True], ids=["a new nonce", "a nonce that was used"])
async def test_a_copy_of_what_peers_refused(nonce_known):
    asking = Asking()
    demand = asking.demand(kpis=("cost-difference",))
    digest = asking.ask(demand)
    await asking.all_hear()
    for node in asking.nodes.nodes:
        if nonce_known:
            node.state.answered(0, {f"{demand.requester} {demand.nonce}": "0" * 64})
    for node in asking.nodes.nodes[:2]:
        asked, = node.intake.waiting(1)
        refusal = Refusal("kpis-permitted", "that one", "others", "ask for another")
        await node.desk.answering.refuse(asked, demanded_window(asking.terms, demand), RunRefused(refusal, None))
    await asking.nodes.work()
    assert [node.state.ledger.handled for node in asking.nodes.nodes] == [1, 1, 1]
    asking.topic.append(asking.topic[0])
    asking.ask(asking.demand())
    await asking.all_hear()
    assert [[a.offset for a in node.intake.waiting(3)] for node in asking.nodes.nodes] == [[2]] * 3
    assert digest not in asking.answers(2)
    await asking.nodes.work_on()
    assert [node.intake.waiting(3) for node in asking.nodes.nodes] == [()] * 3
