"""Requesters with keys, and their requests, for nodes in one process (tests.support.runs)."""

from itertools import count

from evaluation.requests import open_request, seal_request
from policy.chain.signing import address_of, new_key
from policy.identity import RequesterIdentity
from policy.request import new_demand
from tests.support.runs import CHAIN, ThreeNodes, run_terms

READER = "innovation-team"
KPIS = ("cost-difference", "gp-visit-rate-ratio")


class Asking:
    """Three nodes, and `requesters` who may ask them."""

    def __init__(self, requesters=8, runs=5, most_windows=26, ahead=False, **changes):
        names = [f"analyst-{i}" for i in range(requesters)]
        terms = run_terms(
            requesters=[{"name": n, "recipient": READER, "runs": runs} for n in names],
            **{"on_demand": {"largest": 4}, **changes},
        )
        self.keys = {n: new_key() for n in names}
        self.terms = terms.model_copy(update={"requesters": tuple(
            RequesterIdentity(name=n, address=address_of(k)) for n, k in self.keys.items()
        )})
        self.nodes = ThreeNodes(self.terms, most_windows, ahead)
        self.topic = []
        self.heard = [0, 0, 0]
        self._names = count()

    def demand(self, start=0, stop=2, kpis=KPIS, requester="analyst-0", **changes):
        return new_demand(self.terms, requester, kpis, start, stop).model_copy(update=changes)

    def ask(self, demand, key=None, deployment=CHAIN.deployment, agreement=CHAIN.agreement_id):
        """Put a request on the topic; returns its digest."""
        message = seal_request(demand, deployment, agreement, key or self.keys[demand.requester])
        self.topic.append(message)
        return open_request(message).digest(CHAIN.deployment, CHAIN.agreement_id)

    async def hear(self, number, most=None):
        """Let a node read on; by default all there is."""
        end = len(self.topic) if most is None else min(len(self.topic), self.heard[number] + most)
        for offset in range(self.heard[number], end):
            await self.nodes.nodes[number].desk.answering.hear(offset, self.topic[offset])
        self.heard[number] = end

    async def all_hear(self):
        for number in range(3):
            await self.hear(number)

    def answers(self, number=0):
        """What a node said about requests: digest → records."""
        found = {}
        for record in self.nodes.nodes[number].records:
            if getattr(record, "request", None) is not None:
                found.setdefault(record.request, []).append(record)
        return found
