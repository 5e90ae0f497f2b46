"""Environments of contenders: made once, and left out with a reason where they cannot be."""

import sys
from dataclasses import dataclass

import pytest

from benchmarks import foreign
from benchmarks.foreign import SPU, TNO, Foreign, interpreter

HERE = Foreign("nothing", f"{sys.version_info.major}.{sys.version_info.minor}", ())


@dataclass
class Pip:
    """Stands where subprocess.run was; the installation ends as told."""

    code: int
    commands: int = 0

    def __call__(self, command, **_):
        self.commands += 1
        if self.code and "pip" in command:
            raise foreign.subprocess.CalledProcessError(self.code, command, "", "a\nno matching distribution\n")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(foreign.shutil, "which", lambda name: f"/bin/{name}")


def run(monkeypatch, code):
    pip = Pip(code)
    monkeypatch.setattr(foreign.subprocess, "run", pip)
    return pip


def test_it_is_made_once(monkeypatch):
    pip = run(monkeypatch, 0)
    foreign.folder(HERE).mkdir(parents=True)  # as venv does
    assert [interpreter(HERE) for _ in range(2)] == 2 * [str(foreign.folder(HERE) / "bin" / "python")]
    assert pip.commands == 2  # the environment, what is in it; the second time nothing


def test_other_versions_have_another_folder():
    assert foreign.folder(SPU) != foreign.folder(SPU._replace(pins=(*SPU.pins[1:],)))


def test_what_cannot_be_installed_is_left_out_with_the_reason(monkeypatch, capsys):
    run(monkeypatch, 1)
    assert interpreter(HERE) is None
    assert "nothing: left out: no matching distribution" in capsys.readouterr().err


def test_without_its_python_it_is_left_out_with_the_reason(monkeypatch, capsys):
    monkeypatch.setattr(foreign.shutil, "which", lambda _: None)
    assert interpreter(SPU) is None
    assert "spu: left out: it needs Python 3.11" in capsys.readouterr().err


def test_every_version_is_pinned():
    assert all("==" in pin for pin in (*SPU.pins, *TNO.pins))
