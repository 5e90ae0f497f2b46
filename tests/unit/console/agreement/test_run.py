"""The commands of `winnow agreement`: what they print, how they end, and that the docs name what there is."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from console.agreement.commands import agreement
from console.agreement.run import summarise
from console.agreement.standing import block_of
from console.assembly import KPIS
from console.commands import app
from console.errors import ConsoleError
from policy.kpi import load_kpi
from tests.support.terms import make_terms

ROOT = Path(__file__).parents[4]
EXAMPLES = sorted(ROOT.glob("examples/*/agreement.toml"))
DOC = (ROOT / "docs" / "agreements.md").read_text(encoding="utf-8")
COMMANDS = [name for name in agreement if not name.startswith("-")]


def help_of(name, capsys):
    with pytest.raises(SystemExit) as ended:
        app(["agreement", name, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_every_command_is_in_the_docs_and_the_other_way_round():
    assert set(re.findall(r"^## winnow agreement (\w+)$", DOC, flags=re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_docs_name_every_option(name, capsys):
    shown = help_of(name, capsys)
    section = DOC.split(f"## winnow agreement {name}\n")[1].split("\n## ")[0]
    options = set(re.findall(r"--[a-z]+", shown)) - {"--help", "--version"}
    assert {"--json"} <= options
    assert ("--lang" in options) == (section in DOC.split("\n## On the chain\n")[0])  # what is read from files alone
    assert set(re.findall(r"--[a-z]+", section)) <= options
    assert options - {"--lang", "--json"} <= set(re.findall(r"--[a-z]+", section))
    acts = {"sign", "activate", "suspend", "resume", "revoke"}  # their codes are those of propose
    assert ("Exit codes" in shown) == (name not in acts)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_can_be_summarised(path, capsys):
    for lang in ("en", "nl"):
        assert summarise(path, lang, html=False, as_json=False) == 0
        assert capsys.readouterr().out.startswith("# ")
    assert summarise(path, "en", html=True, as_json=False) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
    assert summarise(path, "en", html=False, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["terms_hash"] is None


@pytest.mark.parametrize("tables", ["whole", "in-order"])
def test_terms_are_told_with_their_hash_and_the_texts_beside_them(tmp_path, capsys, tables):
    terms = make_terms(disclosure={"minimum_cohort": 3, "tables": tables})
    path = tmp_path / "terms.json"
    path.write_text(terms.model_dump_json(), encoding="utf-8")
    own = load_kpi("cost-difference").model_copy(update={"title": load_kpi("uptake").title})
    strange = load_kpi("gp-visit-rate-ratio").model_copy(update={"significant_bits": 21})
    (tmp_path / "kpis.json").write_bytes(KPIS.dump_json([own, strange]))
    assert summarise(path, "en", html=False, as_json=False) == 0
    said = capsys.readouterr().out
    assert f"Their hash is {terms.hash}." in said
    assert f"### {own.title.en} (cost-difference)" in said
    assert "\n### gp-visit-rate-ratio\n" in said  # a program that compiles to another plan says nothing of this one
    (tmp_path / "kpis.json").write_text("no list", encoding="utf-8")
    assert summarise(path, "en", html=False, as_json=False) == 0
    assert "\n### cost-difference\n" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "content", "message"), [
    ("terms.json", "{}", "Expected the signed terms"), ("draft.toml", "a = 1", "Field required"),
    ("draft.toml", None, "cannot read agreement"),
])
def test_what_is_no_agreement_is_said_in_a_line(tmp_path, capsys, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert summarise(path, "en", html=False, as_json=False) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_exit_codes_reach_the_shell(tmp_path):
    path = tmp_path / "other.toml"
    path.write_text(EXAMPLES[0].read_text("utf-8").replace("runs = 200", "runs = 201"), encoding="utf-8")
    for arguments, code in (
        (["diff", EXAMPLES[0], EXAMPLES[0]], 0), (["diff", EXAMPLES[0], path], 1), (["summary", tmp_path], 2),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "console.cli", "agreement", *map(str, arguments)], capture_output=True, text=True,
            timeout=60, check=False,
        )
        assert ended.returncode == code, ended.stderr


def test_two_forms_at_once_are_refused(capsys):
    assert summarise(EXAMPLES[0], "en", html=True, as_json=True) == 2
    assert "Give one of them" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "said"), [
    (["sign", "c.toml"], "found no --key"), (["suspend", "c.toml"], "found no --key"),
    (["sign", "c.toml", "--signature", "00"], "--signature and --party belong together"),
    (["sign", "c.toml", "--party", "hospital", "--key", "k"], "--signature and --party belong together"),
    (["sign", "c.toml", "--party", "hospital", "--signature", "00"], "found no --key"),
    (["sign", "c.toml", "--typed", "--key", "k"], "give it without --key, --signature and --party"),
    (["revoke", "c.toml", "--call", "--key", "k"], "give it without --key"),
])
def test_options_that_do_not_go_together_are_said(arguments, said):
    with pytest.raises(ConsoleError, match=re.escape(said)):
        app(["agreement", *arguments])


@pytest.mark.parametrize("url", ["http://127.0.0.1:85450", "nonsense", "http://[::1", "ftp://127.0.0.1"])
def test_a_registry_is_not_deployed_to_what_is_no_url(tmp_path, capsys, url):
    with pytest.raises(SystemExit) as ended:
        app(["agreement", "deploy", url, "--key", str(tmp_path / "key")])
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert said.startswith(f"winnow: URL: found {url!r}, expected the http or https URL of a chain's endpoint")


def test_a_block_is_named_by_a_word_or_a_number():
    assert [block_of(text) for text in ("latest", "finalized", "12")] == ["latest", "finalized", 12]
    for text in ("newest", "1.5", "9" * 5_000):
        with pytest.raises(ConsoleError, match="expected latest, finalized or the number of a block"):
            block_of(text)
