import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "contracts" / "build.py"
ARTIFACT = ROOT / "policy" / "chain" / "artifacts" / "AgreementRegistry.json"
PLAIN_TYPES = {"bytes32", "bytes32[]", "address", "address[]", "uint8", "uint32", "uint32[]", "uint64", "uint256"}
STRUCTS = {"tuple", "tuple[]"}


@pytest.fixture
def build():
    spec = importlib.util.spec_from_file_location("contracts_build", BUILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def abi():
    return json.loads(ARTIFACT.read_text())["abi"]


def test_the_committed_artifact_is_what_the_sources_compile_to():
    ended = subprocess.run([sys.executable, BUILD, "--check"], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr


def test_another_source_is_noticed(build, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts" / "src", folder / "src")
    (folder / "node_modules").symlink_to(ROOT / "contracts" / "node_modules")
    source = folder / "src" / "AgreementRegistry.sol"
    source.write_text(source.read_text().replace("MAX_RUNS = 128", "MAX_RUNS = 127"))
    different = build.compile_registry(folder)
    monkeypatch.setattr(build, "compile_registry", lambda: different)
    monkeypatch.setattr(sys, "argv", ["build.py", "--check"])
    assert build.main() == 1
    assert "commit the result" in capsys.readouterr().err


def test_a_warning_of_the_compiler_is_an_error(build, tmp_path):
    folder = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts" / "src", folder / "src")
    (folder / "node_modules").symlink_to(ROOT / "contracts" / "node_modules")
    source = folder / "src" / "AgreementRegistry.sol"
    source.write_text(source.read_text().replace("uint256 length = accounts.length;", "uint256 length = accounts.length; uint256 unused;", 1))
    with pytest.raises(build.BuildError, match="Unused local variable"):
        build.compile_registry(folder)


def test_a_missing_compiler_says_what_to_do(build, tmp_path):
    with pytest.raises(build.BuildError, match="npm ci"):
        build.compile_registry(tmp_path)


def test_the_lock_pins_by_hash_and_names_no_download_address():
    text = (ROOT / "contracts" / "package-lock.json").read_text()
    packages = {name: p for name, p in json.loads(text)["packages"].items() if name}
    assert {"node_modules/solc", "node_modules/@openzeppelin/contracts"} <= packages.keys()
    assert {f"node_modules/@foundry-rs/{tool}-linux-amd64" for tool in ("anvil", "forge")} <= packages.keys()
    assert all(p["integrity"].startswith("sha512-") for p in packages.values())
    assert '"resolved"' not in text


def test_the_contract_takes_and_tells_hashes_addresses_and_numbers_only(abi):
    types = {
        (entry["name"], place["name"], component["type"])
        for entry in abi if entry["type"] in ("function", "event", "error") and entry["name"] != "eip712Domain"
        for place in [*entry["inputs"], *entry.get("outputs", [])]
        for component in flat(place)
    }
    assert {found for found in types if found[2] not in PLAIN_TYPES} == {("sign", "signature", "bytes")} | {
        # OpenZeppelin's own errors about the fixed name in the constructor
        found for found in types if found[0] == "StringTooLong"
    }


def flat(place):
    """A value's members, and theirs, down to what is no struct."""
    if "components" not in place:
        return [place]
    assert place["type"] in STRUCTS
    return [found for component in place["components"] for found in flat(component)]


def test_nobody_can_change_or_stop_the_contract(abi):
    writes = {e["name"] for e in abi if e["type"] == "function" and e["stateMutability"] != "view"}
    assert writes == {
        "propose", "sign", "activate", "suspend", "resume", "revoke", "authorise", "release", "attest", "commit",
    }
    assert all(e["type"] not in ("fallback", "receive") for e in abi)
    code = bytes.fromhex(json.loads(ARTIFACT.read_text())["deployed_bytecode"][2:])
    found = opcodes(code)
    assert "STATICCALL" in found  # signature checks; shows that the reading below sees calls
    assert not {"DELEGATECALL", "SELFDESTRUCT", "CALLCODE", "CREATE", "CREATE2", "CALL"} & found


def opcodes(code):
    """Names of some instructions in EVM code, reading past pushed constants; the metadata at the end is left out."""
    names = {0xF0: "CREATE", 0xF1: "CALL", 0xF2: "CALLCODE", 0xF4: "DELEGATECALL", 0xF5: "CREATE2", 0xFF: "SELFDESTRUCT", 0xFA: "STATICCALL"}
    code = code[: -2 - int.from_bytes(code[-2:], "big")]
    found, place = set(), 0
    while place < len(code):
        byte = code[place]
        found.add(names.get(byte, hex(byte)))
        place += byte - 0x5F + 1 if 0x60 <= byte <= 0x7F else 1
    return found
