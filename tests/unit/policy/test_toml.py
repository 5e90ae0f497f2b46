"""Whatever is in a file: it is TOML, or there is one error that says why not."""

import codecs

import pytest

from policy.errors import NotToml
from policy.toml import read_toml, toml_of


def test_tables_are_read(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(codecs.BOM_UTF8 + 'a = "é"\r\n[b]\nc = [1, -9223372036854775809]\n'.encode())
    assert read_toml(path) == {"a": "é", "b": {"c": [1, -(2**63) - 1]}}
    with pytest.raises(FileNotFoundError):
        read_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(("content", "said"), [
    (b"a = ", "Invalid value"), (b"a = 1\n\xe9 = 2", "byte 7 is not UTF-8; save the file as UTF-8"),
    (b"a = " + b"[" * 100_000, "nested too deep"), (b"a = " + b"[" * 200 + b"]" * 200, "nested too deep"), (b"a = " + b"9" * 5_000, "more than 4,300 digits"),
    (b"a = [{b = 0x" + b"f" * 5_000 + b"}]", "more than 4,300 digits"),
    ("a = 1".encode("utf-16"), "byte 1 is not UTF-8"), (b"a = 2024-02-31", "Invalid date"),
])
def test_what_is_no_toml_is_one_error(content, said):
    with pytest.raises(NotToml, match=said):
        toml_of(content)
