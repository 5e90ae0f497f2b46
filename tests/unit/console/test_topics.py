"""`winnow topics` without a broker: what an operator reads before making anything."""

import json

import pytest
import tomli_w

from console.commands import app
from tests.support.terms import draft_data, make_terms


@pytest.fixture
def listed(tmp_path, capsys):
    """Exit code, output and errors of `winnow topics` on an agreement of two shards."""
    file = tmp_path / "agreement.toml"
    file.write_text(tomli_w.dumps(draft_data(shards=2)), encoding="utf-8")

    def run(*words, of=file):
        with pytest.raises(SystemExit) as ended:
            app(["topics", str(of), *map(str, words)])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err
    return run


def test_topics_users_and_rules_are_listed_and_nothing_is_made(listed):
    code, out, err = listed()
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "Topics of agreement small; nothing was made:"
    for line in ("hospital.source 2 partitions, 35 days", "hospital.small.state 2 partitions, compacted",
                 "node-0.small.inbox 2 partitions, 7 days", "runs 1 partition, 90 days"):
        assert line in lines
    node = lines.index("node-0", lines.index("requests 1 partition, 90 days"))
    assert "read topic node-0.small.inbox" in lines[node:lines.index("node-1", node)]
    assert "read topic node-1.small.inbox" not in lines[node:lines.index("node-1", node)]


def test_programs_read_the_same_of_terms(listed, tmp_path):
    terms = tmp_path / "terms.json"
    terms.write_text(make_terms(shards=2).model_dump_json(), encoding="utf-8")
    code, out, _ = listed("--json", of=terms)
    found = json.loads(out)
    assert (code, out) == (0, listed("--json")[1])
    assert found["made"] is False
    assert {"name": "insurer.small.panes", "partitions": 2, "retention_days": 35, "compacted": False} in found["topics"]
    assert {"user": "party-insurer", "resource": "topic", "name": "insurer.source", "operation": "write"} in found["rules"]
    assert {r["user"] for r in found["rules"]} == set(found["users"])


def test_a_wrong_file_is_named(listed, tmp_path):
    assert listed(of=tmp_path / "none.toml")[0] == 2
    operator = tmp_path / "operator.toml"
    for text, said in (("", "broker: Field required"), ("broker = 'nowhere'\n", "expected host:port"),
                       ("broker = '127.0.0.1:1'\nmore = 1\n", "more: Extra inputs")):
        operator.write_text(text)
        code, out, err = listed("--make", operator)
        assert (code, out, said in err) == (2, "", True), err


def test_a_broker_that_is_gone_is_named(listed, tmp_path):
    operator = tmp_path / "operator.toml"
    operator.write_text("broker = '127.0.0.1:1'\n")
    code, out, err = listed("--make", operator)
    assert (code, out) == (5, "")
    assert "broker 127.0.0.1:1: creating topics failed" in err
