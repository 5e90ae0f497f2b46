"""`winnow agreement keys` and `terms`: from a draft to what is signed, each organisation with keys of its own."""

import hashlib
import json
import ssl
import tomllib
from datetime import date

import pytest
import tomli_w
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account import Account

from console.commands import app
from policy.agreement import Terms, load_draft
from tests.support.terms import draft_data

ROLES = ("hospital", "insurer", "statistics", "node-0", "node-1", "node-2", "innovation-team", "ann")
ADDRESS = "0x" + "5e" * 20
PARTYS = {"link", "pseudonym", "sharing", "batch", "rejects"}


@pytest.fixture
def draft(tmp_path):
    path = tmp_path / "agreement.toml"
    path.write_text(tomli_w.dumps(draft_data(requesters=[
        {"name": "ann", "recipient": "innovation-team", "runs": 2}])), encoding="utf-8")
    return path


@pytest.fixture
def winnow(capsys):
    """Exit code, output and errors of `winnow agreement …`."""
    def run(*words):
        with pytest.raises(SystemExit) as ended:
            app(["agreement", *map(str, words)])
        code = ended.value.code or 0
        out, err = capsys.readouterr()
        return code, out, err
    return run


@pytest.fixture
def drawn(winnow, draft, tmp_path):
    """Draws a role's keys; returns their folder."""
    def draw(role, *more, name=None):
        folder = tmp_path / (name or role)
        if role.startswith("node-"):
            more = ("--organisation", f"house {role[-1]}", "--endpoint", f"{role}.example.org:7000", *more)
        code, _, err = winnow("keys", draft, role, "-o", folder, *more)
        assert (code, err) == (0, "")
        return folder
    return draw


@pytest.fixture
def everyone(drawn):
    return {role: drawn(role) for role in ROLES}


def public(folder):
    return json.loads((folder / "identity.json").read_text())


def secret(folder, key):
    return bytes.fromhex((folder / key).read_text())


def ed25519(folder, key):
    return Ed25519PrivateKey.from_private_bytes(secret(folder, key)).public_key().public_bytes_raw().hex()


def x25519(folder, key):
    return X25519PrivateKey.from_private_bytes(secret(folder, key)).public_key().public_bytes_raw().hex()


def test_each_role_has_its_own_keys_and_the_others_get_their_public_halves(everyone):
    for role, folder in everyone.items():
        files = {p.name for p in folder.iterdir()} - {"identity.json"}
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {(folder / name).stat().st_mode & 0o777 for name in files} == {0o600}
        told = public(folder)
        if role in ROLES[:3]:
            assert files == PARTYS | {"chain"}
            assert told["party"]["batch_key"] == ed25519(folder, "batch")
            assert told["party"]["address"] == Account.from_key(secret(folder, "chain")).address
        elif role == "ann":
            assert files == {"chain"}
            assert told["requester"] == {"name": "ann", "address": Account.from_key(secret(folder, "chain")).address}
        elif role == "innovation-team":
            assert files == {"sealing"}
            assert told["recipient"] == {"name": role, "sealing_key": x25519(folder, "sealing")}
        else:
            assert files == {"sealing", "records", "chain", f"{role}.key.pem", f"{role}.certificate.pem"}
            der = ssl.PEM_cert_to_DER_cert((folder / f"{role}.certificate.pem").read_text())
            assert told["node"] == {
                "number": int(role[-1]), "organisation": f"house {role[-1]}", "endpoint": f"{role}.example.org:7000",
                "certificate": hashlib.sha256(der).hexdigest(), "sealing_key": x25519(folder, "sealing"),
                "record_key": ed25519(folder, "records"),
                "attestor": Account.from_key(secret(folder, "chain")).address,
            }
    secrets = [(f / name).read_text() for f in everyone.values() for name in PARTYS | {"chain", "sealing", "records"}
               if (f / name).exists()]
    assert len(set(secrets)) == len(secrets) > 20
    said = "".join((folder / "identity.json").read_text() for folder in everyone.values())
    assert not any(key in said for key in secrets)


def test_parties_have_one_link_secret_between_them(drawn, winnow, draft, tmp_path):
    first = drawn("hospital")
    second = drawn("insurer", "--link", first / "link")
    assert secret(second, "link") == secret(first, "link") != secret(drawn("statistics"), "link")
    assert secret(second, "pseudonym") != secret(first, "pseudonym")
    said = winnow("keys", draft, "hospital", "-o", tmp_path / "a")[1]
    assert "The link secret is new. One party draws it; the others take it over with --link" in said
    assert "link secret is new" not in winnow("keys", draft, "hospital", "-o", tmp_path / "b", "--link", first / "link")[1]
    assert secret(first, "link").hex() not in said


def test_dutch_is_spoken_too(everyone, winnow, draft, tmp_path):
    said = winnow("keys", draft, "hospital", "-o", tmp_path / "sleutels", "--lang", "nl")[1]
    assert "Het koppelgeheim is nieuw." in said
    put = winnow("terms", draft, *(f / "identity.json" for f in everyone.values()), "-o", tmp_path / "terms", "--lang", "nl")
    assert "Voorwaarden van small" in put[1]


@pytest.mark.parametrize("role", ["hospital", "node-2", "ann"])
def test_a_key_for_the_chain_may_be_elsewhere(drawn, role):
    folder = drawn(role, "--address", ADDRESS)
    assert not (folder / "chain").exists()
    assert ADDRESS in {value for told in public(folder).values() if isinstance(told, dict) for value in told.values()}


@pytest.mark.parametrize(("words", "said"), [
    (["nobody"], "no role 'nobody' in agreement small. Expected one of hospital, insurer, statistics, node-0, node-1, "),
    (["node-3"], "no role 'node-3'"),
    (["node-0"], "node-0 is a node: its endpoint is part of the agreement. Give --endpoint."),
    (["node-0", "--endpoint", "a:1"], "its organisation is part of the agreement. Give --organisation."),
    (["node-0", "--organisation", "a", "--endpoint", "a:0"], "node-0: endpoint: found 'a:0', expected host:port with a port"),
    (["node-0", "--organisation", "a", "--endpoint", "a:65536"], "found 'a:65536'"),
    (["node-0", "--organisation", "a", "--endpoint", "u@a:1"], "found 'u@a:1'"),
    (["node-0", "--organisation", "", "--endpoint", "a:1"], "node-0: organisation: String should have"),
    (["node-0", "--organisation", "a" * 81, "--endpoint", "a:1"], "node-0: organisation: String should have"),
    (["hospital", "--endpoint", "a:1"], "hospital is a party, which has no endpoint. Leave --endpoint out."),
    (["innovation-team", "--address", ADDRESS], "innovation-team is a recipient, which has no address."),
    (["ann", "--organisation", "a"], "ann is a requester, which has no organisation."),
    (["hospital", "--address", "0x12"], "address '0x12': expected 0x and 40 hexadecimal digits."),
    (["hospital", "--link", "none"], "key file none: No such file or directory. Expected 64 hexadecimal digits."),
])
def test_what_cannot_be_is_refused_and_leaves_nothing(winnow, draft, tmp_path, words, said):
    before = sorted(tmp_path.iterdir())
    code, out, err = winnow("keys", draft, words[0], "-o", tmp_path / "keys", *words[1:])
    assert (code, out) == (2, "")
    assert said in err
    assert sorted(tmp_path.iterdir()) == before


def test_keys_are_never_replaced(drawn, winnow, draft, tmp_path):
    folder = drawn("hospital")
    before = {path.name: path.read_text() for path in folder.iterdir()}
    code, _, err = winnow("keys", draft, "hospital", "-o", folder)
    assert (code, err) == (2, f"winnow: {folder} is there already, expected a new or empty folder. Name another one.\n")
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    (tmp_path / "file").write_text("")
    for there in (tmp_path / "file", tmp_path / "file" / "below"):
        assert winnow("keys", draft, "hospital", "-o", there)[0] == 2
    (tmp_path / "empty").mkdir()
    assert winnow("keys", draft, "nobody", "-o", tmp_path / "empty")[0] == 2
    assert (tmp_path / "empty").is_dir()
    assert winnow("keys", draft, "hospital", "-o", tmp_path / "empty")[0] == 0
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700


def test_a_version_keeps_the_keys_that_the_chain_and_its_people_know(everyone, drawn, winnow, draft, tmp_path):
    first = {role: everyone[role] for role in ("hospital", "node-0", "ann")}
    second = {role: drawn(role, "--earlier", folder, name=f"{role}-2") for role, folder in first.items()}
    kept = {"hospital": {"link", "pseudonym", "rejects", "chain"}, "node-0": {"chain"}, "ann": {"chain"}}
    for role, folder in first.items():
        names = {p.name for p in folder.iterdir()}
        assert names == {p.name for p in second[role].iterdir()}
        assert {n for n in names if (folder / n).read_text() == (second[role] / n).read_text()} - {"identity.json"} == kept[role]
    assert public(second["hospital"])["party"]["address"] == public(first["hospital"])["party"]["address"]
    said = winnow("keys", draft, "hospital", "-o", tmp_path / "third", "--earlier", first["hospital"])[1]
    assert "link secret is new" not in said
    code, _, err = winnow("keys", draft, "hospital", "-o", tmp_path / "fourth", "--earlier", tmp_path / "nothing")
    assert (code, "none of link, pseudonym, rejects, chain is there" in err) == (2, True)
    assert not (tmp_path / "fourth").exists()


def test_a_certificate_outlives_its_agreement(drawn, draft):
    data = tomllib.loads(draft.read_text())
    draft.write_text(tomli_w.dumps(data | {"valid_until": date(2099, 12, 31)}))
    pem = (drawn("node-1") / "node-1.certificate.pem").read_bytes()
    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc.date() > date(2099, 12, 31)


def test_everybody_finds_the_same_terms(everyone, winnow, draft, tmp_path):
    files = [folder / "identity.json" for folder in everyone.values()]
    code, out, err = winnow("terms", draft, *files, "-o", tmp_path / "one", "--json")
    assert (code, err) == (0, "")
    made = json.loads(out)
    terms = Terms.model_validate_json((tmp_path / "one" / "terms.json").read_text())
    assert made == {
        "terms": str(tmp_path / "one" / "terms.json"), "kpis": str(tmp_path / "one" / "kpis.json"),
        "terms_hash": terms.hash,
    }
    assert terms.draft == load_draft(draft)
    told = {role: public(folder) for role, folder in everyone.items()}
    assert [p.address for p in terms.parties] == [told[role]["party"]["address"] for role in ROLES[:3]]
    assert [n.certificate for n in terms.nodes] == [told[f"node-{j}"]["node"]["certificate"] for j in range(3)]
    assert [r.sealing_key for r in terms.recipients] == [told["innovation-team"]["recipient"]["sealing_key"]]
    assert [r.address for r in terms.requesters] == [told["ann"]["requester"]["address"]]
    assert [p.kpi for p in terms.plans] == list(terms.draft.kpis)
    code, out, _ = winnow("terms", draft, *reversed(files), "-o", tmp_path / "other")
    assert (code, f"Their hash is {terms.hash}." in out) == (0, True)
    assert winnow("validate", tmp_path / "one" / "terms.json")[0] == 0


def test_terms_that_are_there_stay(everyone, drawn, winnow, draft, tmp_path):
    files = {role: folder / "identity.json" for role, folder in everyone.items()}
    put = ("terms", draft, "-o", tmp_path / "terms")
    assert winnow(*put, *files.values())[0] == 0
    assert winnow(*put, *files.values())[0] == 0
    before = (tmp_path / "terms" / "terms.json").read_text()
    other = drawn("insurer", name="other") / "identity.json"
    code, _, err = winnow(*put, *(files | {"insurer": other}).values())
    assert (code, "holds other terms. Name another folder" in err) == (2, True)
    assert (tmp_path / "terms" / "terms.json").read_text() == before


def test_whose_identity_is_missing_or_too_much_is_said(everyone, drawn, winnow, draft, tmp_path):
    files = [folder / "identity.json" for folder in everyone.values()]
    strange = tmp_path / "strange.json"

    def refusal(*names):
        code, out, err = winnow("terms", draft, "-o", tmp_path / "terms", *names)
        assert (code, out) == (2, "")
        assert not (tmp_path / "terms").exists()
        return err

    def changed(role, **changes):
        told = public(everyone[role])
        kind = next(key for key in told if key != "agreement")
        strange.write_text(json.dumps({**told, **changes.pop("outside", {}), kind: {**told[kind], **changes}}))
        return [file for file in files if file.parent.name != role] + [strange]

    assert "identities are missing: of hospital, insurer" in refusal(*files[2:])
    assert "identities are missing: of hospital, insurer, statistics, node-0" in refusal()
    assert "two identities of node-1" in refusal(*files, drawn("node-1", name="again") / "identity.json")
    assert "has no eve; it has hospital" in refusal(*files, *changed("ann", name="eve")[-1:])
    assert "for agreement another, expected small" in refusal(*changed("insurer", outside={"agreement": "another"}))
    for role, other, field, said in (
        ("node-0", "node-1", "attestor", "attestors' addresses repeat"),
        ("hospital", "insurer", "address", "parties' addresses repeat"),
        ("node-0", "node-2", "record_key", "record keys repeat"),
    ):
        told = public(everyone[other])
        value = told[next(key for key in told if key != "agreement")][field]
        assert said in refusal(*changed(role, **{field: value.lower()}))
    for role, field, value, said in (
        ("node-0", "attestor", "0x" + "0" * 40, "found the zero address"),
        ("hospital", "address", "0x" + "0" * 40, "found the zero address"),
        ("node-0", "sealing_key", "0" * 64, "found a key of small order"),
        ("innovation-team", "sealing_key", "01" + "0" * 62, "found a key of small order"),
        ("node-0", "record_key", "01" + "0" * 62, "under which anybody can sign"),
        ("hospital", "batch_key", "0" * 64, "under which anybody can sign"),
        ("node-0", "organisation", "a\x1b[2Jb", "text that can be printed"),
        ("node-0", "organisation", "a\u202eb", "text that can be printed"),
        ("node-0", "organisation", " ", "text that can be printed"),
        ("hospital", "name", "a\x1b[2J", "party.name: String should match"),
        ("node-0", "number", True, "node.number"), ("node-0", "number", "0", "node.number"),
    ):
        err = refusal(*changed(role, **{field: value}))
        assert said in err
        assert err.rstrip("\n").isprintable()
    assert refusal(*changed("ann", **{"a\x1b[31m" * 50: 1})).rstrip("\n").isprintable()
    assert "the identity of insurer is that of a recipient, expected that of a party" in refusal(
        *(f for f in files if f.parent.name not in {"insurer", "innovation-team"}),
        *changed("innovation-team", name="insurer")[-1:], everyone["innovation-team"] / "identity.json")
    assert "sealing keys repeat" in refusal(
        *changed("node-0", sealing_key=public(everyone["node-1"])["node"]["sealing_key"]))
    assert "node.certificate" in refusal(*changed("node-0", certificate="77"))
    assert "node.endpoint: found 'nowhere', expected host:port" in refusal(*changed("node-0", endpoint="nowhere"))
    assert "expected one of party, node, recipient and requester" in refusal(
        *changed("hospital", outside={"recipient": public(everyone["innovation-team"])["recipient"]}))
    assert "none.json: no such file" in refusal(*files[1:], tmp_path / "none.json")


def test_an_identity_as_windows_saves_it_and_one_without_end(everyone, winnow, draft, tmp_path):
    files = [folder / "identity.json" for folder in everyone.values()]
    text = files[0].read_bytes()
    files[0].write_bytes(b"\xef\xbb\xbf" + text)
    assert winnow("terms", draft, *files, "-o", tmp_path / "terms")[0] == 0
    files[0].write_bytes(text + b" " * 70_000)
    code, _, err = winnow("terms", draft, *files, "-o", tmp_path / "other")
    assert (code, "more than 65536 bytes" in err) == (2, True)


def test_what_is_in_the_folder_is_not_overwritten(everyone, winnow, draft, tmp_path):
    files = [folder / "identity.json" for folder in everyone.values()]
    (tmp_path / "terms").mkdir()
    (tmp_path / "terms" / "kpis.json").write_text("mine")
    code, _, err = winnow("terms", draft, *files, "-o", tmp_path / "terms")
    assert (code, "is there already, expected a new or empty folder" in err) == (2, True)
    assert [p.name for p in (tmp_path / "terms").iterdir()] == ["kpis.json"]


def test_a_key_file_in_place_of_an_identity_is_not_shown(everyone, winnow, draft, tmp_path):
    key = everyone["hospital"] / "batch"
    code, _, err = winnow("terms", draft, key, "-o", tmp_path / "terms")
    assert code == 2
    assert f"identity {key}: " in err
    assert key.read_text()[:8] not in err
