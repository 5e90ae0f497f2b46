"""What the documents promise is there, locks hold no addresses, modules stay small."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from evaluation.config import AlertsSettings

ROOT = Path(__file__).parents[2]
PACKAGES = ("policy", "mpc", "streams", "evaluation", "infra", "console", "contracts")
MOST_LINES = 400


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def help_of(command):
    ended = subprocess.run(
        [sys.executable, "-m", "console.cli", command, "--help"], capture_output=True, text=True, check=True, timeout=60,
    )
    return ended.stdout


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", text(document)):
        if not target.startswith("http"):
            assert ((ROOT / document).parent / target).exists(), target


DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_that_a_document_names_is_there(document):
    for target in re.findall(r"`((?:policy|mpc|streams|evaluation|console|contracts|benchmarks)/[\w/.]+)`", text(document)):
        assert (ROOT / target).exists(), target


def test_every_key_of_a_recipients_alerts_is_explained():
    table = text("docs/operating.md").partition("## What a configuration says")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("|")]
    named = {key for row in rows if "●" in row[5] for key in re.findall(r"`(\w+)`", row[1])}
    assert set(AlertsSettings.model_fields) == named - {"party", "number"}


def test_the_readme_layout_is_the_tree():
    block = re.search(r"## Where things are\n((?:    .*\n)+)", text("README.md"))[1]
    folders = [line.split()[0] for line in block.splitlines()]
    assert len(folders) <= 10
    for folder in folders:
        assert (ROOT / folder).is_dir(), folder


def test_the_readme_commands_exist_with_their_options():
    joined = re.sub(r"\\\n\s+", "", text("README.md"))
    found = re.findall(r"winnow (evaluate|demo|schema)([^`\n#]*)", joined)
    assert {command for command, _ in found} == {"evaluate", "demo", "schema"}
    for command, rest in found:
        known = help_of(command)
        for word in shlex.split(rest):
            if word.startswith("--"):
                assert word.split("=")[0] in known, (command, word)


def test_every_drill_in_the_readme_is_one_and_the_other_way_round():
    from typing import get_args

    from console.drill import Drill

    named = re.search(r"`--drill ([a-z|-]+)`", text("README.md"))[1]
    assert set(named.split("|")) == set(get_args(Drill))


def test_locks_hold_hashes_and_no_addresses():
    lock = text("requirements.lock")
    assert "://" not in lock
    pins = re.findall(r"^([a-z0-9][\w.-]*)(?:\[[^\]]*\])?==", lock, flags=re.MULTILINE)
    assert len(pins) > 50
    assert lock.count("--hash=sha256:") >= len(pins)
    assert '"resolved"' not in text("contracts/package-lock.json")


def test_every_dependency_is_locked():
    project = tomllib.loads(text("pyproject.toml"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    for requirement in wanted:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower().replace("_", "-")
        assert re.search(rf"^{re.escape(name)}(\[[^\]]*\])?==", text("requirements.lock"), flags=re.MULTILINE), name


def test_modules_hold_one_idea_as_far_as_length_can_tell():
    long = {
        str(path.relative_to(ROOT)): count
        for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long


def test_decisions_say_what_they_cost():
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(p.name[:4]) for p in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        assert "\nAccepted, 20" in path.read_text(encoding="utf-8")
        assert "cost" in path.read_text(encoding="utf-8").lower(), path.name


def test_every_catalogue_kpi_speaks_both_languages():
    from policy.kpi import catalogue, load_kpi

    for name in catalogue():
        kpi = load_kpi(name)
        assert kpi.id == name
        for said in (kpi.title, kpi.description):
            assert said.en
            assert said.nl
            assert said.en != said.nl


def test_every_program_of_sums_stands_in_the_docs():
    from policy.program import programs

    for program in programs():
        row = re.search(rf"^\| ([\d, ]+) \| .*\b{program.id}\b.* \|.*\|$", text("docs/kpis.md"), flags=re.MULTILINE)
        assert row, program.id
        assert str(program.number) in row[1].split(", "), program.id


def test_every_attack_stands_in_the_docs():
    told = set(re.findall(r"\.\./tests/attacks/(test_\w+)\.py", text("docs/attacks.md")))
    assert told == {path.stem for path in (ROOT / "tests" / "attacks").glob("test_*.py")}
