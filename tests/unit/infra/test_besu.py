"""The files of a QBFT chain: what the genesis says, that all make the same, and that genesis, compose file and page fit."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import rlp
from eth_keys import keys

from infra.besu import key
from infra.besu.network import extra_data, files, genesis, main, validator
from infra.local.errors import LocalError

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "besu.md").read_text(encoding="utf-8")
COMPOSE = (ROOT / "infra" / "besu" / "compose.yml").read_text(encoding="utf-8")
PRIVATE = [keys.PrivateKey(bytes([n]) * 32) for n in range(1, 6)]
ENODES = [f"enode://{private.public_key.to_bytes().hex()}@172.28.0.{10 + at}:30303" for at, private in enumerate(PRIVATE)]
CHAIN = 648291


def four():
    return [validator(enode) for enode in ENODES[:4]]


def test_a_validators_address_is_that_of_its_key():
    assert [v.address for v in four()] == [private.public_key.to_canonical_address() for private in PRIVATE[:4]]


def test_the_extra_data_is_that_of_besus_manual():
    """The example of Besu's page on QBFT."""
    addresses = (
        "64a702e6263b7297a96638cac6ae65e6541f4169", "3923390ad55e90c237593b3b0e401f3b08a03185",
        "aefdb9a738c9f433e5b6b212a6d62f6370c2f692", "c7eeb9a4e00ce683cf93039b212648e01c6c6b78",
    )
    assert extra_data([bytes.fromhex(a) for a in addresses]).hex() == (
        "f87aa00000000000000000000000000000000000000000000000000000000000000000f854"
        + "".join("94" + a for a in addresses) + "c080c0"
    )


@pytest.mark.parametrize("count", [3, 4, 16])
def test_the_extra_data_reads_back_as_the_validators(count):
    public = [keys.PrivateKey(bytes([n]) * 32).public_key for n in range(1, count + 1)]
    made = genesis(CHAIN, [validator(f"enode://{each.to_bytes().hex()}@10.0.0.{at}:30303") for at, each in enumerate(public)])
    vanity, validators, vote, round_, seals = rlp.decode(bytes.fromhex(made["extraData"][2:]))
    assert (vanity, vote, round_, seals) == (bytes(32), [], b"", [])
    assert validators == sorted(each.to_canonical_address() for each in public)


def test_the_genesis_has_every_fork_up_to_the_one_that_the_contract_is_compiled_for():
    made = genesis(CHAIN, four())
    forks = {name: at for name, at in made["config"].items() if name.endswith(("Block", "Time"))}
    assert set(forks.values()) == {0}
    assert {"berlinBlock", "londonBlock", "shanghaiTime", "cancunTime"} <= set(forks)
    assert not {"pragueTime", "osakaTime"} & set(forks)
    assert "cancun" in (ROOT / "contracts" / "build.py").read_text(encoding="utf-8")
    assert made["config"]["chainId"] == CHAIN
    assert set(made["config"]["qbft"]) == {"blockperiodseconds", "epochlength", "requesttimeoutseconds"}


def test_gas_is_free_and_no_money_is_made():
    made = genesis(CHAIN, four())
    assert (made["config"]["zeroBaseFee"], made["baseFeePerGas"], made["alloc"]) == (True, "0x0", {})
    assert "--min-gas-price=0" in COMPOSE


def test_a_validators_key_is_made_once_for_its_owner_alone(tmp_path, capsys):
    path = tmp_path / "keys" / "0" / "key"
    said = []
    for _ in range(2):
        assert key.main([str(path)]) == 0
        said.append(capsys.readouterr().out.strip())
    assert said[0] == said[1]
    private = keys.PrivateKey(bytes.fromhex(path.read_text()))
    assert private.public_key.to_bytes().hex() == said[0]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert validator(f"enode://{said[0]}@10.0.0.1:30303").address == private.public_key.to_canonical_address()


@pytest.mark.parametrize(("content", "mode", "said"), [
    ("ab" * 32, 0o640, "mode 640, expected 600"), ("00" * 32, 0o600, "no key of the curve"),
    ("ab" * 31, 0o600, "no key of the curve"), ("secret words", 0o600, "no key of the curve"),
])
def test_what_is_no_key_or_read_by_others_is_refused_and_not_shown(tmp_path, capsys, content, mode, said):
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(mode)
    assert key.main([str(path)]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert content not in shown.err


def test_everyone_makes_the_same_files_whatever_the_order():
    assert files(CHAIN, four()) == files(CHAIN, four()[::-1])
    made = files(CHAIN, four())
    assert sorted(json.loads(made["static-nodes.json"])) == sorted(ENODES[:4])
    assert sorted(tomllib.loads(made["permissions_config.toml"])["nodes-allowlist"]) == sorted(ENODES[:4])
    assert files(CHAIN, four()) != files(CHAIN, [validator(e) for e in (*ENODES[:3], ENODES[4])])


def test_the_program_writes_them_and_says_a_digest(tmp_path, capsys):
    asked = ["--chain-id", str(CHAIN), "--out"]
    assert main([*asked, str(tmp_path / "a"), *ENODES[:4]]) == 0
    said = capsys.readouterr().out
    assert main([*asked, str(tmp_path / "b"), *ENODES[3::-1]]) == 0
    assert said.split()[-1] == capsys.readouterr().out.split()[-1]
    for name, content in files(CHAIN, four()).items():
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text() == content


@pytest.mark.parametrize(("chain", "enodes", "said"), [
    (1, ENODES[:4], "chain id 1 is Ethereum's"),
    (1337, ENODES[:4], "that of many test chains"),
    (0, ENODES[:4], "not between 2"),
    (CHAIN, ENODES[:2], "found 2 validators, expected 3 to 16"),
    (CHAIN, [*ENODES[:3], ENODES[0].replace(".10:", ".77:")], "3 different keys"),
    (CHAIN, [*ENODES[:3], ENODES[3].replace("172.28.0.13", "besu.example.org")], "no enode address"),
    (CHAIN, [*ENODES[:3], ENODES[3].replace(".13:", ".313:")], "no enode address"),
    (CHAIN, [*ENODES[:3], ENODES[3][:-6]], "no enode address"),
    (CHAIN, [*ENODES[:3], PRIVATE[3].to_hex()], "no enode address"),
])
def test_what_makes_no_chain_is_refused(tmp_path, capsys, chain, enodes, said):
    assert main(["--chain-id", str(chain), "--out", str(tmp_path / "out"), *enodes]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_key_that_was_given_by_mistake_is_not_shown():
    with pytest.raises(LocalError) as caught:
        validator(PRIVATE[0].to_hex())
    assert PRIVATE[0].to_hex()[2:10] not in str(caught.value)


def test_the_compose_file_reads_what_the_program_writes_and_the_page_says_so():
    for name in files(CHAIN, four()):
        assert f"/network/{name}" in COMPOSE
        assert name in PAGE
    image = re.search(r"image: (\S+)", COMPOSE)[1]
    assert image in PAGE
    assert len(re.findall(r"^  validator-\d:$", COMPOSE, flags=re.MULTILINE)) == 4
    for at in range(4):
        assert f'"./keys/{at}:/key:ro"' in COMPOSE
        assert f"ipv4_address: 172.28.0.{10 + at}" in COMPOSE
    assert re.findall(r'"(\S+):8545"', COMPOSE) == [f"127.0.0.1:{8545 + at}" for at in range(4)]  # never to others
    assert str(CHAIN) in PAGE


def test_validators_keep_the_states_that_an_audit_reads():
    options = {"--sync-mode=FULL", "--data-storage-format=FOREST"}
    assert options <= set(re.findall(r"^    - (--\S+)$", COMPOSE, flags=re.MULTILINE))
    assert all(option in PAGE for option in options)


def test_the_page_tells_the_genesis_as_it_is():
    base = json.loads((ROOT / "infra" / "besu" / "genesis.json").read_text())
    assert f"`blockperiodseconds` {base['config']['qbft']['blockperiodseconds']}" in PAGE
    assert f"`requesttimeoutseconds` {base['config']['qbft']['requesttimeoutseconds']}" in PAGE
    assert f"`gasLimit` {int(base['gasLimit'], 16):,}" in PAGE


def test_no_key_is_in_the_folder():
    kept = [path.name for path in (ROOT / "infra" / "besu").iterdir() if path.name != "__pycache__"]
    assert sorted(kept) == [".gitignore", "__init__.py", "compose.yml", "genesis.json", "key.py", "network.py"]
    assert {"/keys/", "/network/"} <= set((ROOT / "infra/besu/.gitignore").read_text().split())
