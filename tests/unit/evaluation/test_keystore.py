"""A process's key for the chain: from its environment or from a file, never from both."""

import pytest

from evaluation.errors import ConfigError
from evaluation.keys import write_secret
from evaluation.keystore import CHAIN_KEY, chain_key_of_a_process

KEY = bytes(range(32))


def test_it_is_in_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv(CHAIN_KEY, raising=False)
    write_secret(tmp_path / "chain", KEY)
    assert chain_key_of_a_process(tmp_path / "chain") == KEY


def test_it_is_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(CHAIN_KEY, KEY.hex() + "\n")
    assert chain_key_of_a_process(tmp_path / "chain") == KEY


def test_two_keys_are_one_too_many(tmp_path, monkeypatch):
    monkeypatch.setenv(CHAIN_KEY, KEY.hex())
    write_secret(tmp_path / "chain", KEY)
    with pytest.raises(ConfigError, match=rf"found a key in .*chain and one in {CHAIN_KEY}, expected one"):
        chain_key_of_a_process(tmp_path / "chain")


@pytest.mark.parametrize("given", ["", KEY.hex()[:-1], "0x" + KEY.hex(), "z" * 64, "٣" * 64])
def test_what_is_none_is_refused_and_not_shown(tmp_path, monkeypatch, given):
    monkeypatch.setenv(CHAIN_KEY, given)
    with pytest.raises(ConfigError, match=f"{CHAIN_KEY} holds .* characters, expected 64 hexadecimal digits") as caught:
        chain_key_of_a_process(tmp_path / "chain")
    assert KEY.hex()[:16] not in str(caught.value)
