"""Key files: who may read them, and what is refused."""

import pytest

from evaluation.errors import ConfigError
from evaluation.keys import (
    new_secret,
    noise_key,
    private_folder,
    read_secret,
    write_secret,
)
from tests.support.node import a_node


def test_a_secret_reads_back_and_only_its_owner_may_read_it(tmp_path):
    folder = private_folder(tmp_path / "keys")
    secret = new_secret(folder / "link")
    assert read_secret(folder / "link") == secret
    assert (folder / "link").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_key_is_never_overwritten(tmp_path):
    new_secret(tmp_path / "key")
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "key", bytes(32))


@pytest.mark.parametrize(("text", "mode", "message"), [
    ("ab" * 32, 0o644, "mode 644, expected 600"), ("ab" * 31, 0o600, "62 characters, expected 64"), ("zz", 0o600, "64 hexadecimal"),
    (None, 0o600, "No such file"),
])
def test_what_is_wrong_is_named_without_the_key(tmp_path, text, mode, message):
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(ConfigError, match=message) as caught:
        read_secret(path)
    assert "abab" not in str(caught.value)


def test_a_node_has_other_noise_for_the_same_terms_on_another_chain(tmp_path):
    """A rehearsal over made-up data, which everybody knows, must not tell the noise of what comes after."""
    def key(agreement):
        node, _ = a_node(tmp_path, agreement)
        found: bytes = node._computation._noise._key
        assert found == noise_key(read_secret(tmp_path / "keys" / "records"), agreement)
        return found

    assert key("a" * 64) != key("b" * 64)
    assert key("b" * 64) == key("b" * 64)
