"""Whom a node waits for: said once for every change, by party, shard, and batch or pane; and what readers make of it."""

from datetime import UTC, date, datetime

import pytest
import structlog
from structlog.testing import capture_logs

from evaluation.awaited import waits
from evaluation.records import Awaiting, Lacking
from evaluation.schedule import Timetable
from evaluation.status import StatusLine
from evaluation.waits import PATIENCE_SECONDS, Waits
from tests.support.terms import draft_data, make_terms

LATER = datetime(2025, 6, 1, 12, tzinfo=UTC)
GROWING = {"linkage": {"date": "2024-01-08", "block_slots": 64, "dummies": 0, "batch_panes": 4}}
BOTH = {"maturities": {"days": [30, 60], "release": "both", "revisions": 9}}


class Held:
    """A store of which (party, shard) lacks (pane or −1, revision or batch), by edition."""

    def __init__(self):
        self.complete_panes = self.mature_panes = 0
        self.missed = {0: {}, 1: {}}
        self.asked = set()

    def first_missed(self, side, stop, edition=0):
        self.asked.add((stop, edition))
        return self.missed[edition].get(side)


class Said(StatusLine):
    def __init__(self):
        super().__init__("node-1")
        self.lines = []

    def say(self, phase, done=0, total=None, detail="", **facts):
        self.lines.append((phase, done, detail))


class World:
    def __init__(self, resumed=False, **changes):
        self.terms = make_terms(**{**GROWING, **changes})
        self.held, self.status, self.now, self.today = Held(), Said(), 0.0, LATER
        self.waits = Waits(self.terms, 1, self.held, self.status, resumed=resumed, clock=lambda: self.now)
        lattice = self.terms.draft.lattice
        self.left = (*lattice.scheduled, *lattice.full)

    def after(self, seconds):
        self.now += seconds
        return self.waits.due(self.left, self.today)


def lacks(party, shard, **what):
    return Lacking(party=party, shard=shard, **{"window": 0, **what})


def test_it_says_once_which_batch_of_whom_is_not_here_and_once_that_it_came():
    world = World(shards=2)
    world.held.missed[0] = {("insurer", 0): (-1, 1), ("insurer", 1): (-1, 1), ("statistics", 0): (5, 0)}
    assert world.after(0) is None
    assert world.after(PATIENCE_SECONDS - 1) is None
    with capture_logs() as logs:
        word = world.after(1)
    assert (word.node, word.said_at, word.agreement) == (1, LATER, world.terms.hash)
    assert word.lacking == (
        lacks("insurer", 0, batch=1), lacks("insurer", 1, batch=1), lacks("statistics", 0, pane=5),
    )
    (line,) = logs
    assert (line["log_level"], line["event"]) == ("warning", "windows wait for what parties have not shared")
    assert line["lacking"] == [
        "batch 1 of the register of insurer, shards 0, 1, which can be here since 2024-01-29",
        "the pane of 2024-02-05 of statistics, shard 0, which can be here since 2024-02-12",
    ]
    assert (line["more"], line["first_window"], "winnow figures" in line["todo"]) == (0, "2024-01-01", True)
    assert world.status.lines == [("awaiting", 2, "; ".join(line["lacking"]))]
    with capture_logs() as logs:
        assert [world.after(PATIENCE_SECONDS) for _ in range(3)] == [None] * 3
        world.held.missed[0] = {}
        word = world.after(5)
        assert word.lacking == ()
        assert world.after(500) is None
    assert [each["event"] for each in logs] == ["no window waits for a party any more"]
    assert world.status.lines[1:] == [("awaiting", 0, "nothing any more")]


def test_what_goes_on_is_not_waited_for_and_words_come_once_a_minute_at_most():
    world = World()
    for pane in range(20):
        world.held.missed[0] = {("hospital", 0): (pane, 0)}
        assert world.after(PATIENCE_SECONDS / 2) is None
    world.held.missed[0] |= {("insurer", 0): (1, 0)}
    assert world.after(PATIENCE_SECONDS / 2) is None
    assert world.after(PATIENCE_SECONDS / 2).lacking == (lacks("hospital", 0, pane=19),)
    world.held.missed[0] = {("insurer", 0): (1, 0)}
    assert world.after(PATIENCE_SECONDS / 2) is None
    assert world.after(PATIENCE_SECONDS / 2).lacking == (lacks("insurer", 0, pane=1),)


@pytest.mark.parametrize(("missed", "day"), [
    # Batch 1 opens on 29 January, the first one closes on 8 January, and pane 3 ends on 29 January; sources may be 3
    # days late, and the insurer has two weeks of grace.
    ((-1, 0), date(2024, 1, 11)), ((-1, 1), date(2024, 2, 1)), ((3, 0), date(2024, 2, 15)), ((3, 1), date(2024, 3, 16)),
])
def test_before_the_day_after_it_can_be_there_nobody_waits(missed, day):
    parties = draft_data()["parties"]
    parties[0]["sources"][0]["bound_days"] = 3
    assert [p.get("grace_panes", 0) for p in parties] == [0, 2, 0]
    world = World(parties=parties, **BOTH)
    world.held.missed[0] = {("insurer", 0): missed}
    world.today = datetime(day.year, day.month, day.day, 22, tzinfo=UTC)
    world.after(0)
    assert world.after(PATIENCE_SECONDS) is None
    world.today = datetime(day.year, day.month, day.day, 23, 30, tzinfo=UTC)  # past midnight in Amsterdam
    world.after(0)
    assert [each.party for each in world.after(PATIENCE_SECONDS).lacking] == ["insurer"]


def test_only_the_next_window_of_each_edition_that_lacks_something_is_looked_at():
    world = World(**BOTH)
    first, full = world.terms.draft.lattice.scheduled, world.terms.draft.lattice.full
    world.held.complete_panes, world.held.mature_panes = first[2].stop, full[1].stop
    world.held.missed = {0: {("hospital", 0): (6, 0)}, 1: {("hospital", 0): (5, 2), ("insurer", 0): (5, 1)}}
    world.after(0)
    word = world.after(PATIENCE_SECONDS)
    assert world.held.asked == {(first[3].stop, 0), (full[2].stop, 1)}
    assert word.lacking == (
        lacks("hospital", 0, pane=6, window=first[3].index),
        lacks("insurer", 0, pane=5, revision=1, window=full[2].index),
    )
    world.left = ()
    assert world.after(PATIENCE_SECONDS).lacking == ()


@pytest.mark.parametrize("resumed", [False, True])
def test_a_node_that_starts_again_takes_back_what_it_said_before(resumed):
    world = World(resumed=resumed)
    world.after(0)
    word = world.after(PATIENCE_SECONDS)
    assert (word is not None) == resumed
    assert word is None or word.lacking == ()
    assert world.status.lines == []
    assert world.after(PATIENCE_SECONDS) is None


def test_a_line_of_the_log_names_a_bounded_number():
    world = World(shards=64)
    world.held.missed[0] = {(p.name, s): (s % 12, 0) for p in world.terms.draft.parties for s in range(64)}
    world.after(0)
    with capture_logs() as logs:
        assert len(world.after(PATIENCE_SECONDS).lacking) == 3 * 64
    assert (len(logs[0]["lacking"]), logs[0]["more"]) == (20, 16)


def says(terms, node, *lacking, at=LATER):
    return Awaiting(agreement=terms.hash, node=node, said_at=at, lacking=lacking)


def test_readers_see_what_each_node_said_last_and_who_says_the_same():
    terms = World(shards=4).terms
    same = [lacks("insurer", shard, batch=1, window=2 + shard) for shard in (3, 1)]
    records = [
        says(terms, 0, *same), says(terms, 2, *same, lacks("hospital", 0, pane=7)),
        says(terms, 1, lacks("statistics", 0, pane=1)), says(terms, 1, at=LATER.replace(hour=13)),
        says(terms, 0, at=LATER.replace(hour=11)),
    ]
    for order in (records, records[::-1]):
        table = Timetable(terms)
        for record in order:
            table.add(record)
        batch, pane = table.awaited()
        assert (batch.what, batch.nodes) == ("batch 1 of the register of insurer, shards 1, 3", (0, 2))
        assert (batch.expected, batch.window.start) == (date(2024, 1, 29), date(2024, 1, 22))
        assert (pane.what, pane.nodes) == ("the pane of 2024-02-19 of hospital, shard 0", (2,))


@pytest.mark.parametrize("each", [
    lacks("nobody", 0, batch=0), lacks("insurer", 1, batch=0), lacks("insurer", 0, batch=3), lacks("insurer", 0, pane=12),
    lacks("insurer", 0, pane=0, revision=3), lacks("insurer", 0, batch=1, window=999),
])
def test_what_no_agreement_has_is_not_shown(each):
    terms = World(**BOTH).terms
    assert waits(terms.draft, [says(terms, 0, each)]) == ()
    assert len(waits(terms.draft, [says(terms, 0, each, lacks("insurer", 0, batch=2))])) == 1


@pytest.mark.parametrize("what", [{}, {"batch": 1, "pane": 1}, {"batch": 1, "revision": 1}, {"pane": -1}, {"batch": 120}])
def test_a_word_about_nothing_or_two_things_is_none(what):
    with pytest.raises(ValueError, match="expected a batch|greater than|less than"):
        lacks("insurer", 0, **what)


@pytest.fixture(autouse=True)
def _plain_logs():
    structlog.reset_defaults()
