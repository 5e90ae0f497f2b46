"""Figures as tables of both languages, and the command from a party's topic to the table."""

import asyncio
import io
import json
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console

from console.figures import WORDS, _age, figures, present_figures
from console.schedule import present_sealed
from console.workdir import WorkDir
from evaluation.figures import Reporter
from infra.local.broker import EmbeddedBroker
from policy.agreement import Party
from policy.window import PaneGrid
from streams import topics
from streams.broker import Broker, Producer, create_topics
from streams.figures import PartitionStand, ShardStand, SourceStand, Stand
from streams.figures import figures as made
from tests.support.parties import BATCH_KEY, keyed_terms

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
GRID = PaneGrid(zone="Europe/Amsterdam", unit="week", start=date(2024, 1, 1), count=12)
PARTY = Party.model_validate({"name": "insurer", "sources": [
    {"name": "claims", "kinds": ["claim"]}, {"name": "members", "kinds": ["enrolment"]}, {"name": "old", "kinds": ["claim"]},
    {"name": "new", "kinds": ["claim"]},
]})
STANDS = [
    Stand(worker="a", at=NOW - timedelta(seconds=90), partitions=(PartitionStand(partition=0, end=12_345, position=12_345, rejected=7, sources=(
        SourceStand(source="claims", watermark=NOW - timedelta(days=9), heard=NOW - timedelta(days=5)),
        SourceStand(source="members", watermark=NOW - timedelta(hours=1), heard=NOW),
        SourceStand(source="old", ended=True), SourceStand(source="new"),
    )),)),
    Stand(worker="b", at=NOW, shards=(
        ShardStand(shard=0, end=5_000, position=0, watermark=NOW - timedelta(days=9), sealed=3, late=2, late_after_maturity=1, gone=3),
        ShardStand(shard=1, end=1_000, position=1_000, ended=True, sealed=12, late=0, late_after_maturity=4, gone=0),
    )),
]


def shown(lang, stands, partitions, shards, width):
    out = io.StringIO()
    present_figures(made(PARTY, GRID, partitions, shards, stands, NOW), lang, Console(file=out, width=width))
    return out


@pytest.mark.parametrize("lang", ["en", "nl"])
def test_on_a_narrow_terminal_nothing_is_cut_off(lang):
    letters = [
        sorted(re.sub(r"[\s─]", "", shown(lang, STANDS, 1, 2, width).getvalue())) for width in (200, 80)
    ]
    assert letters[0] == letters[1]


def printed(lang, stands=STANDS, partitions=1, shards=2):
    out = shown(lang, stands, partitions, shards, 200)
    return [re.sub(r"\s{2,}", " | ", line.strip()) for line in out.getvalue().splitlines() if line.strip() and "─" not in line]


def test_tables_in_english():
    assert printed("en") == [
        "insurer, 1 Mar 2024 12:00:00",
        "Source | State | Watermark (UTC) | Behind | Last heard (UTC)",
        "claims | unknown | 21 Feb 2024 12:00:00 | 9 d 0 h | 25 Feb 2024 12:00:00",
        "members | heard | 1 Mar 2024 11:00:00 | 1 h 0 min | 1 Mar 2024 12:00:00",
        "old | ended | ended | ended | unknown",
        "new | unknown | unknown | unknown | unknown",
        "Source partition | Unread | Watermark (UTC) | Behind | Waits for | Rejected | Told (UTC)",
        "0 | 0 | unknown | unknown | new | 7 | 1 Mar 2024 11:58:30, no word since",
        "Shard | Unread | Watermark (UTC) | Behind | Sealed until | Late | After maturity | Gone | Told (UTC)",
        "0 | 5,000 | 21 Feb 2024 12:00:00 | 9 d 0 h | 22 Jan 2024 | 2 | 1 | 3 | 1 Mar 2024 12:00:00",
        "1 | 0 | ended | ended | 25 Mar 2024 | 0 | 4 | 0 | 1 Mar 2024 12:00:00",
        (
            "In all: sealed until 22 Jan 2024; unknown behind; unread 0 events and 5,000 batches; 2 late; "
            "5 after the last maturity; 7 rejected."
        ),
        "Nodes miss 3 batches that have left the panes topic: their stores must be restored from a copy.",
        "Apart: partitions unknown, shards 0 s; the fullest shard has 1.67 times the mean.",
    ]


def test_how_many_wait_for_a_batch_is_unknown_until_all_shards_said_it():
    shards = [ShardStand(shard=n, withdrawn_waiting=n + 1) for n in range(2)]
    stands = [Stand(worker="b", at=NOW, shards=tuple(shards))]
    found = made(PARTY, GRID, 1, 2, stands, NOW)
    assert ([s.withdrawn_waiting for s in found.shards], found.withdrawn_waiting) == ([1, 2], 3)
    assert made(PARTY, GRID, 1, 3, stands, NOW).withdrawn_waiting is None


def test_lists_that_differ_between_nodes_are_told_in_red():
    differing = [STANDS[0], Stand(worker="b", at=NOW, shards=tuple(ShardStand(shard=n, lists_differing=n) for n in range(2)))]
    assert made(PARTY, GRID, 1, 2, differing, NOW).lists_differing == 1
    assert any(line.startswith("Nodes have different contents of 1 lists of rows to be erased") for line in printed("en", differing))
    assert any(line.startswith("Knooppunten hebben 1 lijsten van te wissen rijen") for line in printed("nl", differing))
@pytest.mark.parametrize(("lang", "said"), [("en", "3 records on the party's own topics"), ("nl", "3 berichten op eigen topics")])
def test_what_others_planted_is_told_when_there_is_any(lang, said):
    stands = [Stand(worker="b", at=NOW, shards=tuple(ShardStand(shard=n, foreign=3 * n) for n in range(2)))]
    assert made(PARTY, GRID, 1, 2, stands, NOW).foreign == 3
    assert sum(line.startswith(said) for line in printed(lang, stands)) == 1
    assert not any("own topics" in line or "eigen topics" in line for line in printed(lang))


def test_tables_in_dutch_with_a_silent_source():
    stands = [STANDS[0].model_copy(update={"at": NOW}), STANDS[1]]
    lines = printed("nl", stands)
    assert lines[2] == "claims | stil sinds 25 feb 2024 12:00:00 | 21 feb 2024 12:00:00 | 9 d 0 u | 25 feb 2024 12:00:00"
    assert lines[5] == "new | stil: nooit gehoord | onbekend | onbekend | onbekend"
    assert lines[7] == "0 | 0 | onbekend | onbekend | new | 7 | 1 mrt 2024 12:00:00"
    assert lines[9].startswith("0 | 5.000 | ")
    assert lines[11] == (
        "In totaal: afgesloten tot 22 jan 2024; onbekend achter; ongelezen 0 gebeurtenissen en 5.000 pakketten; 2 te laat; "
        "5 na de laatste rijping; 7 afgewezen."
    )
    assert lines[12].startswith("Knooppunten missen 3 pakketten")
    assert lines[13] == "Uiteen: partities onbekend, shards 0 s; de volste shard heeft 1,67 maal het gemiddelde."


@pytest.mark.parametrize("lang", ["en", "nl"])
def test_before_anybody_spoke_no_table_says_0(lang):
    lines = printed(lang, stands=[])
    rows = [line for line in lines[1:] if line[0].isdigit()]
    unknown = WORDS["unknown"].nl if lang == "nl" else WORDS["unknown"].en
    assert [set(row.split(" | ")[1:]) for row in rows] == [{unknown}] * 3
    assert "0" not in "".join(lines[-2:])


@pytest.mark.parametrize(("seconds", "en", "nl"), [
    (0, "0 s", "0 s"), (59.9, "59 s", "59 s"), (3_725, "1 h 2 min", "1 u 2 min"), (90_000, "1 d 1 h", "1 d 1 u"), (61, "1 min 1 s", "1 min 1 s"),
    (-7_200, "−2 h 0 min", "−2 u 0 min"), (-0.4, "0 s", "0 s"), (None, "unknown", "onbekend"),
])
def test_how_long(seconds, en, nl):
    assert (_age(seconds, "en"), _age(seconds, "nl")) == (en, nl)


def test_until_when_parties_are_sealed():
    out = io.StringIO()
    present_sealed({"hospital": date(2024, 3, 4), "insurer": None}, Console(file=out, width=200))
    assert out.getvalue() == "Sealed until: hospital 4 Mar 2024, insurer unknown.\n"


@pytest.fixture
def configured(tmp_path):
    terms = keyed_terms(shards=2)
    work = WorkDir(tmp_path, terms)
    work.terms_file.write_text(terms.model_dump_json())
    (tmp_path / "insurer").mkdir()

    def configure(broker):
        chain = {"url": "http://127.0.0.1:9", "agreement_id": "ab" * 32, "deployment": {
            "address": "0x" + "11" * 20, "chain_id": 31337, "code_hash": "33" * 32}}
        return work.configure("insurer", {"party": "insurer", "terms": work.terms_file, "broker": broker,
                                          "data": tmp_path, "keys": tmp_path, "chain": chain})

    return terms, configure


def test_the_command_shows_what_workers_said_on_the_partys_topic(tmp_path, configured, capsys):
    terms, configure = configured
    key = Ed25519PrivateKey.from_private_bytes(BATCH_KEY)

    async def say(address):
        await create_topics(Broker(address), topics.all_topics(terms.draft))
        async with Producer(Broker(address)) as producer:
            first = Reporter(terms, "insurer", "a", key, producer)
            await first.tell([PartitionStand(partition=0, end=9, position=4, rejected=1)], [ShardStand(shard=0, sealed=2, late=0)])
            await producer.send(topics.figures("insurer", "small"), 0, [(b"a", b"x" * 100)])
            await Reporter(terms, "hospital", "h", key, producer).tell([PartitionStand(partition=0)], [ShardStand(shard=0)], last=True)

    with EmbeddedBroker(tmp_path / "broker") as broker:
        config = configure(broker.address)
        asyncio.run(say(broker.address))
        assert figures(config, as_json=True, lang="en") == 0
        said = capsys.readouterr()
        found = json.loads(said.out)
        assert [p["lag_messages"] for p in found["partitions"]] == [5, None]
        assert [s["sealed_until"] for s in found["shards"]] == ["2024-01-15", None]
        assert (found["party"], found["sealed_until"], found["rejected"], found["late"]) == ("insurer", None, None, None)
        assert "insurer did not sign; it is ignored" in said.err
        assert figures(config, as_json=False, lang="nl") == 0
        assert "onbekend" in capsys.readouterr().out
        assert figures(config.with_name("none.toml"), as_json=False, lang="en") == 2
    assert figures(config, as_json=True, lang="en") == 5
    assert "broker" in capsys.readouterr().err
