"""What nodes said about requests, each for itself; a request is answered when two of three say so."""

from dataclasses import dataclass
from typing import Literal

from evaluation.records import BELIEVED, Answered, Refused
from policy.identity import NODES

MAX_REQUESTS = 10_000
"""Requests that are kept of one node's word alone; further ones are left."""
Outcome = Literal["run", "joined", "released"]


@dataclass(frozen=True)
class Answer:
    """What the nodes say about one request so far."""

    admitted: tuple[int, ...] = ()
    """Nodes that admit it."""
    refused: tuple[Refused, ...] = ()
    outcome: Outcome | None = None
    """What two nodes say happens; None: not known yet."""
    run: str | None = None


class Answers:
    """Collects records in order; the latest of a node counts."""

    def __init__(self) -> None:
        self._said: dict[str, dict[int, Answered | Refused]] = {}

    def add(self, record: Answered | Refused) -> None:
        """Take a record whose signature was checked."""
        digest = record.request
        if digest is None or not 0 <= record.node < NODES:
            return
        if digest not in self._said and len(self._said) >= MAX_REQUESTS:
            return
        self._said.setdefault(digest, {})[record.node] = record

    def about(self, digest: str) -> Answer:
        """What is known of a request."""
        said = self._said.get(digest, {})
        admitted = {j: a for j, a in sorted(said.items()) if isinstance(a, Answered)}
        outcomes = [a.outcome for a in admitted.values()]
        runs = [a.run for a in admitted.values() if a.run is not None]
        return Answer(
            admitted=tuple(admitted),
            refused=tuple(r for _, r in sorted(said.items()) if isinstance(r, Refused)),
            outcome=next((o for o in outcomes if outcomes.count(o) >= BELIEVED), None),
            run=next((r for r in runs if runs.count(r) >= BELIEVED), None),
        )

    def admitted(self) -> tuple[tuple[str, str | None, Outcome, int, tuple[str, ...]], ...]:
        """(request, requester, outcome, window, KPIs) of every request on which two nodes agree."""
        found = []
        for digest, said in self._said.items():
            words = [
                (a.requester, a.outcome, a.window, a.kpis) for a in said.values() if isinstance(a, Answered)
            ]
            agreed = next((w for w in words if words.count(w) >= BELIEVED), None)
            if agreed is not None:
                found.append((digest, *agreed))
        return tuple(found)
