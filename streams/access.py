"""Who may read and write which topic of an agreement. Pure; whoever is not named may nothing.

Nobody but a party reads what is the party's own; nobody but a node reads its inbox. Nodes write their receipts to the
party's topic of them.
"""

from dataclasses import dataclass
from enum import StrEnum

from policy.agreement import Draft
from policy.identity import NODES
from streams.topics import REQUESTS, RUNS, alerts, all_topics, changelog, holdings, inbox, receipts, results


class Resource(StrEnum):
    """What access is to."""

    TOPIC = "topic"
    GROUP = "group"


class Operation(StrEnum):
    """What access allows; both also tell that the topic is there."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, order=True)
class Rule:
    """One user may do one thing to one topic or consumer group, from any host."""

    user: str
    resource: Resource
    name: str
    operation: Operation


def party_user(party: str) -> str:
    """Kafka user of a party's processes."""
    return f"party-{party}"


def node_user(node: int) -> str:
    """Kafka user of a node."""
    return f"node-{node}"


def recipient_user(recipient: str) -> str:
    """Kafka user of a recipient's console and alerts."""
    return f"recipient-{recipient}"


def requester_user(requester: str) -> str:
    """Kafka user of whoever asks for runs."""
    return f"requester-{requester}"


def rules(draft: Draft) -> tuple[Rule, ...]:
    """All that an agreement's users need, in order."""
    found: set[Rule] = set()

    def allow(user: str, operation: Operation, *names: str, resource: Resource = Resource.TOPIC) -> None:
        found.update(Rule(user, resource, name, operation) for name in names)

    names = [topic.name for topic in all_topics(draft)]
    inboxes = [inbox(node, draft.name) for node in range(NODES)]
    outlets = [results(recipient.name) for recipient in draft.recipients]
    for party in draft.parties:
        user = party_user(party.name)
        # Names have no dots, and none is `node-0` or `results` (policy.agreement), so this is the party's alone.
        own = [name for name in names if name.startswith(f"{party.name}.")]
        allow(user, Operation.READ, *own)
        allow(user, Operation.WRITE, *own, *inboxes, RUNS)
    told = [] if draft.erasure is None else [receipts(party.name, draft.name) for party in draft.parties]
    for node in range(NODES):
        allow(node_user(node), Operation.READ, inboxes[node], REQUESTS)
        allow(node_user(node), Operation.WRITE, *outlets, *told, RUNS)
        allow(node_user(node), Operation.WRITE, *(holdings(party.name, draft.name) for party in draft.parties))
    for recipient in draft.recipients:
        allow(recipient_user(recipient.name), Operation.READ, results(recipient.name), RUNS)
    for requester in draft.requesters:
        # Whoever asks waits for the answer, and reads it as the recipient for whom it is.
        allow(requester_user(requester.name), Operation.WRITE, REQUESTS)
        allow(requester_user(requester.name), Operation.READ, RUNS, results(requester.recipient))
    for name in {alert.recipient for alert in draft.alerts}:
        user, stream = recipient_user(name), alerts(name)
        allow(user, Operation.READ, changelog(stream))
        allow(user, Operation.WRITE, changelog(stream))
        allow(user, Operation.READ, stream, resource=Resource.GROUP)
    return tuple(sorted(found))


def users(draft: Draft) -> tuple[str, ...]:
    """Every Kafka user that an agreement needs, in order."""
    return tuple(sorted({rule.user for rule in rules(draft)}))
