"""The panes stage: what is late depends on the events and their order, never on how many records came together."""

from types import SimpleNamespace

import numpy as np
import pytest

from policy.agreement import Draft
from streams.batch import open_snapshot
from streams.envelope import Heartbeat, encode
from streams.flow import Counts, Pulse
from streams.snapshots import END_KEY, PaneStage
from tests.support.kinds import NAMES, at, encounter, enrolled, kinds_data, prom, withdrawal
from tests.support.parties import SHARING_KEY

EVENTS = [
    enrolled(1), enrolled(2), encounter(1, "a", 3), prom(1, "b", 4), encounter(2, "c", 9), encounter(2, "d", 15),
    Heartbeat(source="ehr", final=False, until=at(21), recorded_at=at(22)),
    encounter(1, "late", 8, recorded=22), withdrawal(1, "w", 22), encounter(1, "gone", 23), encounter(2, "e", 30),
    Heartbeat(source="ehr"),
]


class Polled:
    """A consumer that gives so many records at a time."""

    topic = "hospital.small.sharded"

    def __init__(self, most):
        records = [
            SimpleNamespace(partition=0, offset=n, key=None, value=encode(event)) for n, event in enumerate(EVENTS)
        ]
        self._polls = [records[i : i + most] for i in range(0, len(records), most)]

    async def poll(self, _seconds, _most):
        return self._polls.pop(0)


class Kept:
    """A producer that keeps what it is given."""

    def __init__(self):
        self.sent = []

    async def send(self, _topic, _partition, records):
        self.sent += records


@pytest.mark.parametrize("most", [1, 5, 100])
async def test_late_events_and_withdrawals_do_not_depend_on_polls(most):
    stage = PaneStage(Draft.model_validate(kinds_data()), "ab" * 32, "hospital", NAMES.link_key, SHARING_KEY)
    counts, producer = Counts(), Kept()
    await stage.run(Polled(most), producer, counts, lambda *_: None, Pulse(5.0))
    assert counts.late_pending == 1
    assert producer.sent[-1][0] == END_KEY
    assert len(producer.sent) == 1 + 12 + 1
    (state,) = stage._shards
    assert (state.sealed, state.ripe) == (12, False)
    contacts = np.array([_column(value, "contacts") for _, value in producer.sent[1:-1]])
    assert contacts.sum(axis=1).tolist() == [1, 1, 1, 0, 1] + [0] * 7
    assert [_column(value, "answers").sum() for _, value in producer.sent[1:3]] == [1, 0]


def _column(snapshot, name):
    header, content = open_snapshot(snapshot)
    return content[header.columns.index(name)].view(np.int64)
