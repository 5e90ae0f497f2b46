"""Topics: names, partitions, retention. No other module spells a topic's name."""

from dataclasses import dataclass

from policy.agreement import Draft
from policy.identity import NODES

PLAINTEXT_DAYS = 35
"""An organisation's own events leave its topics a month after the end of their use, and a few days."""
SHARE_DAYS = 7
"""Inboxes are emptied by the nodes into their stores within minutes; a week survives a long outage."""
RESULT_DAYS = 90
RECEIPT_DAYS = 3_660
"""Ten years: somebody may ask much later."""


@dataclass(frozen=True)
class Topic:
    """One topic. `retention_days` holds on brokers that can delete (not on the embedded one)."""

    name: str
    partitions: int
    retention_days: int
    compacted: bool = False
    """Whether only the latest record of a key is kept, for ever, on brokers that can."""


def source(party: str) -> str:
    """The organisation's own events, in order of recording within a partition."""
    return f"{party}.source"


def rejected(party: str) -> str:
    """Refused lines and events, sealed, with a reason each."""
    return f"{party}.rejected"


def sharded(party: str, agreement: str) -> str:
    """Accepted events; partition = shard."""
    return f"{party}.{agreement}.sharded"


def panes(party: str, agreement: str) -> str:
    """Snapshots of the register and of sealed panes, plaintext, the organisation's own; partition = shard."""
    return f"{party}.{agreement}.panes"


def state(party: str, agreement: str) -> str:
    """Checkpoints of shards' states, for whoever goes on; partition = shard."""
    return f"{party}.{agreement}.state"


def owner(party: str, agreement: str) -> str:
    """Claims: the last one says who works for the party."""
    return f"{party}.{agreement}.owner"


def figures(party: str, agreement: str) -> str:
    """How the party's workers stand, for its own operator only: the last word of each."""
    return f"{party}.{agreement}.figures"


def holdings(party: str, agreement: str) -> str:
    """What each node has of the party's batches, and which it asks for again: the last word of each."""
    return f"{party}.{agreement}.holdings"


def receipts(party: str, agreement: str) -> str:
    """Which lists of rows to be erased left, as the party says, and which were erased, as the nodes do; all signed."""
    return f"{party}.{agreement}.receipts"


def inbox(node: int, agreement: str) -> str:
    """Share batches for a node, sealed to it; partition = shard."""
    return f"node-{node}.{agreement}.inbox"


def results(recipient: str) -> str:
    """Nodes' shares of outputs, sealed to the recipient."""
    return f"results.{recipient}"


def alerts(recipient: str) -> str:
    """The control stream that follows a recipient's alerts; a name of a process and a group, not of a topic."""
    return f"alerts-{recipient}"


def changelog(stream: str) -> str:
    """What a control stream keeps: changes of its table's rows, sealed. Faust derives the name in this way."""
    return f"{stream}-{TABLE}-changelog"


TABLE = "state"
RUNS = "runs"
"""What was proposed, authorised, refused, done; and why."""
REQUESTS = "requests"
"""What requesters ask for, signed; one partition, so that all nodes take requests in one order."""


def all_topics(draft: Draft) -> tuple[Topic, ...]:
    """Every topic an agreement needs, for whoever prepares a broker."""
    found = []
    for party in draft.parties:
        found += [
            Topic(source(party.name), draft.shards, PLAINTEXT_DAYS),
            Topic(rejected(party.name), 1, PLAINTEXT_DAYS),
            Topic(sharded(party.name, draft.name), draft.shards, PLAINTEXT_DAYS),
            Topic(panes(party.name, draft.name), draft.shards, PLAINTEXT_DAYS),
            Topic(state(party.name, draft.name), draft.shards, PLAINTEXT_DAYS, compacted=True),
            Topic(owner(party.name, draft.name), 1, PLAINTEXT_DAYS, compacted=True),
            Topic(figures(party.name, draft.name), 1, PLAINTEXT_DAYS, compacted=True),
            Topic(holdings(party.name, draft.name), 1, PLAINTEXT_DAYS, compacted=True),
        ]
        if draft.erasure is not None:
            found.append(Topic(receipts(party.name, draft.name), 1, RECEIPT_DAYS))
    found += [Topic(inbox(node, draft.name), draft.shards, SHARE_DAYS) for node in range(NODES)]
    found += [Topic(results(recipient.name), 1, RESULT_DAYS) for recipient in draft.recipients]
    found += [
        Topic(changelog(alerts(name)), 1, RESULT_DAYS, compacted=True)
        for name in sorted({alert.recipient for alert in draft.alerts})
    ]
    return (*found, Topic(RUNS, 1, RESULT_DAYS), Topic(REQUESTS, 1, RESULT_DAYS))
