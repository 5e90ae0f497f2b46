"""What counts as an answer to slither's findings. `python contracts/analysis.py` runs slither itself."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
HERE, THERE = "src/AgreementRegistry.sol", "node_modules/@openzeppelin/contracts/utils/math/Math.sol"


@pytest.fixture
def unanswered(monkeypatch):
    monkeypatch.syspath_prepend(str(CONTRACTS))
    spec = importlib.util.spec_from_file_location("contracts_analysis", CONTRACTS / "analysis.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.unanswered
    sys.modules.pop("build", None)


def finding(check, path=HERE, impact="Medium"):
    return {"check": check, "impact": impact, "description": "a\n\tb", "elements": [{"source_mapping": {"filename_relative": path}}]}


ANSWERS = [{"where": "node_modules/", "check": "*", "why": "theirs"}, {"where": HERE, "check": "timestamp", "why": "days"}]


def test_an_answer_is_for_one_check_in_one_place(unanswered):
    answered = [finding("timestamp"), finding("divide", THERE), finding("anything", impact="Informational")]
    assert unanswered(answered, ANSWERS) == []
    assert unanswered([*answered, finding("reentrancy", impact="High")], ANSWERS) == ["High: reentrancy: a b"]
    assert unanswered([*answered, finding("timestamp", "src/Other.sol")], ANSWERS) == ["Medium: timestamp: a b"]
    assert unanswered([*answered, {**finding("loose"), "elements": []}], ANSWERS) == ["Medium: loose: a b"]


def test_an_answer_that_answers_nothing_is_named(unanswered):
    assert unanswered([finding("divide", THERE)], ANSWERS) == [f"answers nothing: timestamp in {HERE}"]


def test_every_answer_gives_its_reason():
    answers = json.loads((CONTRACTS / "answers.json").read_text())
    assert all(set(a) == {"where", "check", "why"} and len(a["why"].split()) > 8 for a in answers)
    assert all(a["check"] != "*" for a in answers if a["where"].startswith("src/"))
