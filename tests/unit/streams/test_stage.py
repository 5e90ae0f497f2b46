"""The panes stage: what is late depends on the events and their order, never on how many records came together."""

from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policy.agreement import Draft
from streams.batch import open_snapshot
from streams.envelope import Heartbeat, encode, parse
from streams.flow import Counts, Pulse
from streams.rejects import Reason, open_rejected
from streams.rekey import Rekeyer, beginning
from streams.shard import Shard
from streams.snapshots import END_KEY, PaneStage
from streams.tags import TAG_BYTES, Tags
from tests.support.kinds import NAMES, at, encounter, enrolled, kinds_data, prom, withdrawal
from tests.support.parties import SHARING_KEY

EVENTS = [
    enrolled(1), enrolled(2), encounter(1, "a", 3), prom(1, "b", 4), encounter(2, "c", 9), encounter(2, "d", 15),
    encounter(2, "d", 15),
    Heartbeat(source="ehr", final=False, until=at(21), recorded_at=at(22)),
    encounter(1, "late", 8, recorded=22), withdrawal(1, "w", 22), encounter(1, "gone", 23), encounter(2, "e", 30),
    Heartbeat(source="ehr"),
]


TAGS = Tags(SHARING_KEY, "ab" * 32)
REJECTS = X25519PrivateKey.from_private_bytes(b"R" * 32)


class Polled:
    """A consumer of the shard's log, its source re-keyed in stretches of so many records."""

    topic = "hospital.small.sharded"

    def __init__(self, draft, most):
        rekeyer, header, self._polls = Rekeyer(draft, "hospital", NAMES, REJECTS.public_key()), beginning(0), []
        records = [
            SimpleNamespace(partition=0, offset=n, timestamp=0, key=None, value=encode(event)) for n, event in enumerate(EVENTS)
        ]
        for i in range(0, len(records), most):
            step = rekeyer.step(header, records[i : i + most])
            header = step.header
            for value in step.sharded[0]:
                tagged = TAGS.put(self.topic, 0, None, value)
                self._polls.append([SimpleNamespace(partition=0, offset=len(self._polls), key=None, value=tagged)])

    async def poll(self, _seconds, _most):
        return self._polls.pop(0)


class Kept:
    """A producer that keeps what it is given."""

    def __init__(self):
        self.sent, self.rejected = [], []

    async def send(self, topic, _partition, records):
        assert topic in ("hospital.small.panes", "hospital.rejected")
        (self.sent if topic == "hospital.small.panes" else self.rejected).extend(records)


@pytest.mark.parametrize("most", [1, 5, 100])
async def test_late_events_and_withdrawals_do_not_depend_on_polls(most):
    draft = Draft.model_validate(kinds_data())
    shard = Shard(draft, "hospital", 0, SHARING_KEY, 1)
    stage = PaneStage(draft, "ab" * 32, "hospital", TAGS, [shard], NAMES.link_key, REJECTS.public_key())
    counts, producer, told = Counts(), Kept(), []
    await stage.run(Polled(draft, most), producer, counts, lambda *said: told.append(said), Pulse(5.0))
    assert (counts.late_pending, counts.accepted, dict(counts.rejected)) == (1, 10, {Reason.DUPLICATE_ID: 1})
    assert told[-1] == ("panes", 12, 12)
    ((_, refused),) = producer.rejected
    what, original = open_rejected(refused, REJECTS)
    assert (what.reason, what.position, parse(original)) == (Reason.DUPLICATE_ID, "source:0:6", EVENTS[6])
    assert producer.sent[-1][0] == END_KEY
    assert len(producer.sent) == 1 + 12 + 1
    assert (shard.panes.sealed, shard.panes.ripe, shard.ended) == (12, False, True)
    contacts = np.array([_column(value, "contacts") for _, value in producer.sent[1:-1]])
    assert contacts.sum(axis=1).tolist() == [1, 1, 1, 0, 1] + [0] * 7
    assert [_column(value, "answers").sum() for _, value in producer.sent[1:3]] == [1, 0]


def _column(snapshot, name):
    header, content = open_snapshot(snapshot[:-TAG_BYTES])
    return content[header.columns.index(name)].view(np.int64)
