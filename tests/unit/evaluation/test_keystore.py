"""A process's key for the chain: from its environment or from a file, never from both."""

import asyncio

import pytest
from eth_account import Account

from evaluation.errors import ConfigError
from evaluation.keys import write_secret
from evaluation.keystore import CHAIN_KEY, chain_key_of_a_process
from tests.support.node import a_node

KEY = bytes(range(32))
ADDRESS = Account.from_key(KEY).address


def test_it_is_in_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv(CHAIN_KEY, raising=False)
    write_secret(tmp_path / "chain", KEY)
    assert chain_key_of_a_process(tmp_path / "chain", ADDRESS) == KEY


def test_it_is_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(CHAIN_KEY, KEY.hex() + "\n")
    assert chain_key_of_a_process(tmp_path / "chain", ADDRESS) == KEY


def test_two_keys_are_one_too_many(tmp_path, monkeypatch):
    monkeypatch.setenv(CHAIN_KEY, KEY.hex())
    write_secret(tmp_path / "chain", KEY)
    with pytest.raises(ConfigError, match=rf"found a key in .*chain and one in {CHAIN_KEY}, expected one"):
        chain_key_of_a_process(tmp_path / "chain", ADDRESS)


@pytest.mark.parametrize("given", ["", KEY.hex()[:-1], "0x" + KEY.hex(), "z" * 64, "٣" * 64])
def test_what_is_none_is_refused_and_not_shown(tmp_path, monkeypatch, given):
    monkeypatch.setenv(CHAIN_KEY, given)
    with pytest.raises(ConfigError, match=f"{CHAIN_KEY} holds .* characters, expected 64 hexadecimal digits") as caught:
        chain_key_of_a_process(tmp_path / "chain", ADDRESS)
    assert KEY.hex()[:16] not in str(caught.value)


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize(("secret", "said"), [
    (bytes(range(1, 33)), f"holds the key of 0x.*, expected that of {ADDRESS}, which the agreement names"),
    (bytes(32), "holds 32 bytes that are no private key"), (b"\xff" * 32, "holds 32 bytes that are no private key"),
])
def test_a_key_that_the_agreement_does_not_name_is_refused(tmp_path, monkeypatch, secret, said, in_file):
    if in_file:
        monkeypatch.delenv(CHAIN_KEY, raising=False)
        write_secret(tmp_path / "chain", secret)
    else:
        monkeypatch.setenv(CHAIN_KEY, secret.hex())
    with pytest.raises(ConfigError, match=said) as caught:
        chain_key_of_a_process(tmp_path / "chain", ADDRESS)
    assert str(caught.value).startswith(f"key file {tmp_path / 'chain'}" if in_file else CHAIN_KEY)
    assert secret.hex()[:16] not in str(caught.value)


def test_letter_case_of_an_address_says_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv(CHAIN_KEY, raising=False)
    write_secret(tmp_path / "chain", KEY)
    assert chain_key_of_a_process(tmp_path / "chain", ADDRESS.lower()) == KEY


async def test_a_node_does_not_start_with_it(tmp_path, monkeypatch):
    monkeypatch.delenv(CHAIN_KEY, raising=False)
    node, _ = a_node(tmp_path)
    write_secret(tmp_path / "keys" / "chain", KEY)
    with pytest.raises(ConfigError, match="which the agreement names"):
        await asyncio.wait_for(node.run(), 10)
