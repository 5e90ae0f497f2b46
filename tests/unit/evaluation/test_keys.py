"""Key files: who may read them, and what is refused."""

import pytest

from evaluation.errors import ConfigError
from evaluation.keys import new_secret, private_folder, read_secret, write_secret


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
    ("ab" * 32, 0o644, "mode 644, expected 600"), ("ab" * 31, 0o600, "31 bytes"), ("zz", 0o600, "64 hexadecimal"),
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
