"""`winnow agreement dpia`: all that an agreement says is in it, it follows every term, and says what it does not know."""

import json
import re
import string
from collections import Counter
from dataclasses import replace

import pytest

from console.agreement.dpia.blocks import Report, Risk
from console.agreement.dpia.command import dpia
from console.agreement.dpia.dutch import DUTCH
from console.agreement.dpia.english import ENGLISH
from console.agreement.dpia.render import as_document, as_html, as_markdown
from console.agreement.dpia.report import parts
from console.agreement.sections import sections_of
from console.agreement.words import TEXTS
from console.errors import ConsoleError
from console.locale import LANGS
from evaluation.errors import EXIT_ENDED
from streams.topics import PLAINTEXT_DAYS, SHARE_DAYS
from tests.support.full_agreements import (
    GROWING,
    HOPPING,
    WITHOUT,
    changed,
    full_data,
    growing_data,
    subject,
    with_plan,
)
from tests.support.terms import draft_data, make_terms

FULL, GROWN = subject(full_data()), subject(growing_data())
BARE = subject(draft_data(linkage={"date": "2024-01-08", "block_slots": 64, "dummies": 0}))
SIGNED = replace(FULL, draft=make_terms().draft, plans=make_terms().plans, kpis=(), terms=make_terms())
ADHERENCE = subject(draft_data(
    kpis=["monitoring-adherence"], recipients=[{"name": "innovation-team", "kpis": []}],
    parties=[{"name": "hospital", "sources": [{"name": "fhir", "kinds": ["enrolment", "monitoring"]}]},
             {"name": "statistics", "sources": [{"name": "persons", "kinds": ["social"]}]},
             {"name": "idle", "sources": [{"name": "none", "kinds": ["enrolment"]}]}],
    measures=[
        {"name": "app_user", "party": "hospital", "aggregation": "exposed", "programme": "ibd-coach"},
        *({"name": f"modules_{what}", "party": "hospital", "aggregation": "count", "kind": "monitoring", "code": what,
           "bound": 15} for what in ("due", "completed")),
        {"name": "modules_missed", "party": "hospital", "aggregation": "missed", "bound": 15},
        *({"name": f"modules_{what}_any", "party": "hospital", "aggregation": "nonzero", "of": f"modules_{what}"}
          for what in ("due", "completed", "missed")),
        *({"name": f"income_{q}", "party": "statistics", "aggregation": "category", "field": "income", "value": str(q)}
          for q in range(1, 6)),
    ],
))
VARIANTS = {
    "full": FULL, "grown": GROWN, "bare": BARE, "signed": SIGNED, "adherence": ADHERENCE,
    **{f"without {key}": subject(changed(full_data(), change)) for key, change in WITHOUT.items()},
}


def written(one, lang, running=()):
    report = Report(one, lang)
    return as_markdown(report, parts(report, running))


def lines(one, lang):
    return [line for part in parts(Report(one, lang)) for line in part.lines]


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_clause_of_the_agreement_is_in_the_report(name, lang):
    said = {line.text for line in lines(VARIANTS[name], lang)}
    clauses = {c.text for s in sections_of(VARIANTS[name], lang) for c in s.clauses if s.id != "keys"}
    assert clauses <= said


@pytest.mark.parametrize("field", HOPPING)
def test_the_report_follows_every_field(field):
    other = subject(changed(full_data(), HOPPING[field]))
    langs = [field[-2:]] if field.endswith((".en", ".nl")) else LANGS  # a text in one language shows in that one alone
    for lang in langs:
        assert written(other, lang) != written(FULL, lang)


@pytest.mark.parametrize("field", GROWING)
def test_the_report_follows_every_field_of_windows_that_grow(field):
    other = subject(changed(growing_data(), GROWING[field]))
    for lang in LANGS:
        assert written(other, lang) != written(GROWN, lang)


def test_both_languages_have_the_same_texts_with_the_same_gaps():
    assert list(ENGLISH) == list(DUTCH)
    assert not set(ENGLISH) & set(TEXTS["en"])
    panes = {f"{case}pane" for case in ("", "the_", "whole_", "of_", "open_")}
    for key in ENGLISH:
        gaps = [{name for _, name, _, _ in string.Formatter().parse(t[key]) if name} - panes for t in (ENGLISH, DUTCH)]
        assert gaps[0] == gaps[1], key
        assert ENGLISH[key] != DUTCH[key] or key in {"dpia_context", "dpia_kinds", "dpia_for"}, key


def test_every_text_is_used(tmp_path):
    """By one of the variants, or a configuration of it."""
    used = set()

    class Seen(dict):
        def __getitem__(self, key):
            used.add(key)
            return super().__getitem__(key)

    running = [(tmp_path, read_back(tmp_path, text)) for text in CONFIGURATIONS]
    doubled = SIGNED.terms.model_copy(update={"nodes": tuple(
        n.model_copy(update={"organisation": "one"}) for n in SIGNED.terms.nodes)})
    squares = with_plan(FULL, outputs=("value", "interval", "sums"))
    for one in (*VARIANTS.values(), replace(SIGNED, terms=doubled), squares):
        report = Report(one, "en")
        report.say._texts = Seen(report.say._texts)
        for found in (parts(report), parts(report, running)):
            as_markdown(report, found)
            as_html(report, found)
    assert sorted(set(ENGLISH) - used) == []


def test_what_a_privacy_officer_would_look_for_is_there():
    text = written(FULL, "en")
    for sentence in (
        "# Data protection impact assessment: Small", "*GDPR article 35(7)(a)*", "- **The agreement is silent:** No legal basis",
        "- **To be filled in:** The legal basis of each controller (article 6(1))",
        "| hospital | data party | Its own records, and how far its own data are. | **To be filled in:** Whether hospital is controller, ",
        f"| {PLAINTEXT_DAYS} days after being written |", f"| {SHARE_DAYS} days after being written |",
        "| “left\\_out” |".replace("\\_", "_"), "| hospital | **To be filled in:** No KPI needs “left_out”.",
        "- **Enforced.**\n  - No figure about fewer than 10 patients.", "disclosure.minimum_cohort = 10",
        "No noise is added to figures", "It is told of “advantage-gone”: on or off.", "## 12. What has still to be filled in",
        "Nodes' evidence, and access logs made from it | What ran, was refused or cut off, which organisation asked",
        "Nodes' stores", "It holds up to and including 1 Jan 2030.", "Advice of the data protection officer (article 35(2))",
    ):
        assert sentence in text, sentence
    dutch = written(FULL, "nl")
    for sentence in ("# Gegevensbeschermingseffectbeoordeling: Klein", "**De afspraak zwijgt:** Er staat geen grondslag in.",
                     "**In te vullen:**", "Geen cijfer over minder dan 10 patiënten."):
        assert sentence in dutch, sentence


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_risk_says_what_is_enforced_by_whom_and_what_remains(name, lang):
    found = parts(Report(VARIANTS[name], lang))
    risks = [block for part in found for block in part.blocks if isinstance(block, Risk)]
    assert len(risks) >= 15
    assert len({risk.key for risk in risks}) == len(risks)
    for risk in risks:
        assert risk.enforced, risk.key
        assert risk.by, risk.key
        assert risk.remains, risk.key
    for part in found:
        assert part.blocks
        for line in part.lines:
            assert line.text
            assert not set("{}") & set(line.text), line
            assert "None" not in line.text


def test_what_is_to_be_filled_in_is_gathered_at_the_end():
    *before, last = parts(Report(FULL, "en"))
    asked = {line for part in before for line in part.lines if line.mark == "open"}
    gathered = Counter(last.lines)
    assert asked <= set(gathered)
    assert all(line.mark == "open" for line in gathered)
    assert f"Points to be filled in: {gathered.total()}." in written(FULL, "en")


def test_what_is_gathered_can_be_read_without_its_table():
    *_, last = parts(Report(FULL, "en"))
    gathered = [line.text for line in last.lines]
    assert "Whether node 0 is controller, joint controller or processor, and for which step." in gathered
    assert "No KPI needs “left_out”. Take it out of the agreement, or say why it is shared." in gathered
    *_, last = parts(Report(FULL, "nl"))
    gathered = [line.text for line in last.lines]
    assert "Of knooppunt 0 verantwoordelijke, gezamenlijk verantwoordelijke of verwerker is, en voor welke stap." in gathered


def test_protection_that_is_not_agreed_is_said_to_be_missing():
    text = written(BARE, "en")
    for sentence in ("**The agreement is silent:** There is no rule against one or two patients",
                     "**The agreement is silent:** No source brings withdrawals.", "These numbers are exact",
                     "### What this agreement leaves open"):
        assert sentence in text, sentence
    assert "### What this agreement leaves open" not in written(FULL, "en")


def test_one_organisation_with_two_nodes_is_told():
    first, second, third = SIGNED.terms.nodes
    terms = SIGNED.terms.model_copy(update={
        "nodes": (first, second.model_copy(update={"organisation": first.organisation}), third),
    })
    assert "More than one node is run by “hospital”" in written(replace(SIGNED, terms=terms), "en")
    assert "More than one node" not in written(SIGNED, "en")
    assert "Node 1: insurer" in written(SIGNED, "en")


CONFIGURATIONS = [
    'party = "hospital"\nbroker = "127.0.0.1:9092"\ndata = "files"\n',
    'party = "insurer"\n[broker]\naddress = "kafka.example.org:9093"\nuser = "u"\npassword = "/secret/path"\nauthority = "ca.pem"\n',
    'number = 1\nlive = true\nnotify = "n"\ndocument = "d"\n[broker]\naddress = "kafka.example.org:9092"\n',
    ('number = 2\n[chain]\nurl = "http://user:hunter2@node.example.org:8545/v3/APIKEY"\nagreement_id = "x"\n'
     f'[chain.deployment]\naddress = "0x{"11" * 20}"\nchain_id = 7\ncode_hash = "{"ab" * 32}"\n'),
    'recipient = "innovation-team"\n', 'requester = "analyst"\n', "",
]


def read_back(folder, text, terms=None):
    from console.agreement.dpia.deployed import read

    terms = terms or make_terms()
    (folder / "terms.json").write_text(terms.model_dump_json(), encoding="utf-8")
    path = folder / "config.toml"
    path.write_text(f'terms = "{folder / "terms.json"}"\n{text}', encoding="utf-8")
    return read(path, replace(SIGNED, terms=terms, draft=terms.draft))


@pytest.mark.parametrize(("which", "said"), [
    (0, ["Party hospital (config.toml)", "uses an embedded broker", "from files in a folder"]),
    (1, ["Party insurer", "Kafka over TLS", "from its own topic"]),
    (2, ["Node 1", "Kafka without TLS and log-in", "It stays up", "sends messages", "writes figures"]),
    (3, ["Node 2", "reads chain 7 at node.example.org", "reads the chain without encryption", "It ends when"]),
    (4, ["Recipient innovation-team"]), (5, ["Requester analyst"]), (6, ["A process (config.toml)"]),
])
def test_a_configuration_is_told_without_its_secrets(tmp_path, which, said):
    found = read_back(tmp_path, CONFIGURATIONS[which])
    text = written(SIGNED, "en", [(tmp_path / "config.toml", found)])
    for sentence in said:
        assert sentence in text, sentence
    for secret in ("APIKEY", "hunter2", "/secret", "ca.pem"):
        assert secret not in text, secret


def test_a_configuration_of_other_terms_is_refused(tmp_path, capsys):
    terms, other = make_terms(), make_terms(name="other")
    for name, one in (("terms", terms), ("other", other)):
        (tmp_path / f"{name}.json").write_text(one.model_dump_json(), encoding="utf-8")
    config = tmp_path / "node.toml"
    config.write_text(f'number = 0\nterms = "{tmp_path / "terms.json"}"\n', encoding="utf-8")
    assert dpia(tmp_path / "terms.json", [config], None, "en", html=False, as_json=False) == EXIT_ENDED
    assert "### Node 0 (node.toml)" in capsys.readouterr().out
    for text, message in (
        (None, "found other terms"), ("number = 'x'\nterms = 't'", "number: "), ("terms = 'nowhere'", "terms nowhere"),
        ("a = ", "configuration"), ("a = " + "[" * 5_000, "is not TOML"), ('broker = 1\nterms = "t"', "broker"),
    ):
        if text is not None:
            config.write_text(text, encoding="utf-8")
        with pytest.raises(ConsoleError, match=message):
            dpia(tmp_path / "other.json", [config], None, "en", html=False, as_json=False)
    with pytest.raises(ConsoleError, match="configuration"):
        dpia(tmp_path / "terms.json", [tmp_path / "gone.toml"], None, "en", html=False, as_json=False)


def test_the_report_is_written_once(tmp_path, capsys):
    (tmp_path / "terms.json").write_text(make_terms().model_dump_json(), encoding="utf-8")
    out = tmp_path / "report.html"
    assert dpia(tmp_path / "terms.json", [], out, "nl", html=True, as_json=False) == EXIT_ENDED
    assert out.read_text(encoding="utf-8").strip().startswith("<!doctype html>")
    assert not capsys.readouterr().out
    with pytest.raises(ConsoleError, match="is there already"):
        dpia(tmp_path / "terms.json", [], out, "nl", html=True, as_json=False)
    with pytest.raises(ConsoleError, match="cannot write"):
        dpia(tmp_path / "terms.json", [], tmp_path / "no" / "where", "nl", html=True, as_json=False)
    with pytest.raises(ConsoleError, match="two forms"):
        dpia(tmp_path / "terms.json", [], None, "nl", html=True, as_json=True)
    with pytest.raises(ConsoleError, match="cannot read agreement"):
        dpia(tmp_path / "gone.toml", [], None, "nl", html=False, as_json=False)
    assert dpia(tmp_path / "terms.json", [], None, "en", html=False, as_json=True) == EXIT_ENDED
    document = json.loads(capsys.readouterr().out)
    assert document["terms_hash"] == make_terms().hash
    assert [part["id"] for part in document["parts"]][-1] == "to_do"
    kinds = Counter(block["kind"] for part in document["parts"] for block in part["blocks"])
    assert min(kinds["risk"], kinds["table"], kinds["lines"]) >= 4


EVIL = "a\x1b[2J\n# Signed\n| x | <script>alert(1)</script> *b* " + "x" * 5000


def test_nobodys_text_commands_a_terminal_a_reader_or_a_browser():
    one = subject(full_data(title={"en": EVIL, "nl": EVIL}, purposes=[EVIL]))
    text = written(one, "en")
    assert "\x1b" not in text
    assert "\n# Signed" not in text
    assert "<script" not in text.replace("\\<", "")
    first, *rest = SIGNED.terms.nodes
    evil = SIGNED.terms.model_copy(update={"nodes": (first.model_copy(update={"organisation": EVIL}), *rest)})
    rows = [line for line in written(replace(SIGNED, terms=evil), "en").splitlines() if line.startswith("| Node 0")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 5
    for odd in (one, replace(SIGNED, terms=evil)):
        report = Report(odd, "en")
        page = as_html(report, parts(report))
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert "\x1b" not in page


@pytest.mark.parametrize("lang", LANGS)
def test_the_page_needs_nothing_and_has_a_place_for_every_link(lang):
    report = Report(FULL, lang)
    page = as_html(report, parts(report))
    head, body = page.split("</style>")
    assert f'<html lang="{lang}">' in head
    assert "default-src 'none'" in head
    for reference in ("<link", "<script", "src=", "url(http", "@import"):
        assert reference not in page
    ids = re.findall(r' id="([^"]+)"', body)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'href="#([^"]+)"', body)) <= set(ids)
    assert body.count("<h1") == 1
    assert "<th scope=row>" in body
    assert body.count('<th scope="col">') == sum(
        len(block.head) for part in parts(report) for block in part.blocks if hasattr(block, "head")
    )


def test_programs_get_the_same_sentences():
    report = Report(FULL, "en")
    found = parts(report)
    document = json.dumps(as_document(report, found), ensure_ascii=False)
    for part in found:
        for line in part.lines:
            assert json.dumps(line.text, ensure_ascii=False) in document
