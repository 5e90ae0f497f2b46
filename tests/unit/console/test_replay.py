"""`winnow replay` looks first, sends once, and says what it did in words or JSON."""

import asyncio
import json
import re
from datetime import date

import pytest

from console.replay import WORDS, replay_files
from console.workdir import WorkDir
from evaluation.keys import write_secret
from infra.local.broker import EmbeddedBroker
from streams import topics
from streams.broker import Broker, create_topics
from tests.support import parties as p
from tests.support.brokers import Served
from tests.support.parties import keyed_terms
from tests.support.pipelines import records

LINES = 12


@pytest.fixture
def party(tmp_path):
    """An insurer's configuration over a broker of its own."""
    terms = keyed_terms(shards=2)
    work = WorkDir(tmp_path, terms)
    work.terms_file.write_text(terms.model_dump_json())
    keys, data = tmp_path / "insurer" / "keys", tmp_path / "data"
    keys.mkdir(parents=True, mode=0o700)
    for name, key in (("link", p.LINK_SECRET), ("pseudonym", p.PSEUDONYM_KEY), ("rejects", p.REJECTS_KEY)):
        write_secret(keys / name, key)
    data.mkdir()
    members = [f"m{i},P{i:04d},2024-01-{1 + i:02d},,2024-02-{1 + i:02d}" for i in range(LINES)]
    p.write_lines(data / "members.csv", p.MEMBERS, *members, "bad")
    p.write_lines(data / "claims.csv", p.CLAIMS)
    chain = {"url": "http://127.0.0.1:9", "agreement_id": "ab" * 32, "deployment": {
        "address": "0x" + "11" * 20, "chain_id": 31337, "code_hash": "33" * 32}}
    with EmbeddedBroker(tmp_path / "broker") as broker:
        asyncio.run(create_topics(Broker(broker.address), topics.all_topics(terms.draft)))
        settings = {"party": "insurer", "terms": work.terms_file, "broker": broker.address, "keys": keys, "chain": chain}

        def configure(**more):
            return work.configure("insurer", {**settings, **more})

        yield Served(broker, secured=False), configure, data


def there(broker):
    return [r for r in asyncio.run(records(broker, topics.source("insurer"), 2)) if r.key]


def run(config, start=None, stop=None, lang="en", **flags):
    return replay_files(config, start, stop, lang, **{"send": False, "as_json": False, **flags})


def test_it_looks_first_and_sends_each_period_once(party, capsys):
    broker, configure, data = party
    config = configure(data=data)
    assert run(config) == 0
    said = capsys.readouterr().out
    assert "insurer: 13 lines, recorded from 1 Feb 2024 to 12 Feb 2024; 1 are refused." in said
    assert "claims: 12 × enrolment" in said
    assert "Nothing was sent. To send 12 events" in said
    assert "sending it ends their sources on the topic, and nothing is read after that" in said
    assert there(broker) == []
    for _ in range(2):
        assert run(config, None, date(2024, 2, 6), send=True) == 0
        assert len(there(broker)) == 5
    capsys.readouterr()
    assert run(config, date(2024, 2, 6), None, send=True, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["lines"], found["sent"], found["ends"], found["there"], found["to_send"]) == (8, True, True, 0, 7)
    assert sum(found["refused"].values()) == 1
    assert len(there(broker)) == LINES
    assert run(config, lang="nl") == 0
    said = capsys.readouterr().out
    assert "Er is niets verstuurd. Om 0 gebeurtenissen" in said
    assert "12 staan al op insurer.source" in said


def test_what_cannot_be_is_said(party, capsys):
    broker, configure, data = party
    assert run(configure()) == 2
    assert "data: missing" in capsys.readouterr().err
    config = configure(data=data)
    assert run(config, date(2024, 2, 6), date(2024, 2, 6)) == 2
    assert "--to 2024-02-06 is not after --from 2024-02-06" in capsys.readouterr().err
    assert run(config, date(2025, 1, 1), send=True) == 0
    said = capsys.readouterr().out
    assert "insurer: no line in this period." in said
    assert "ended" not in said
    assert asyncio.run(records(broker, topics.source("insurer"), 2)) == []
    assert run(config, None, date(2024, 2, 3), send=True) == 0
    capsys.readouterr()
    assert run(config, date(2024, 2, 6), None, send=True) == 2
    assert "events between them would be left out" in capsys.readouterr().err
    assert len(there(broker)) == 2
    broker.server.process.kill()
    assert run(config) == 5
    assert "broker" in capsys.readouterr().err


@pytest.mark.parametrize("name", WORDS)
def test_both_languages_say_the_same_things(name):
    words = WORDS[name]
    fields = re.compile(r"{(\w+)}")
    assert sorted(fields.findall(words.en)) == sorted(fields.findall(words.nl))
