"""`kill -9` of any one process ends the evaluation with a clear message and exit 5, and leaves nobody behind."""

import time
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.command import alive, children, kill, start

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
VICTIMS = {
    "broker": "--cluster-id", "chain": "anvil", "innovation-team": "console.recipient",
    "node-1": "node-1/config.toml", "insurer": "insurer/config.toml",
}
EVERYBODY = 9
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    shape = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
    return generate(tmp_path_factory.mktemp("cohort"), shape=shape).parties


def until(condition, what):
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {WAIT_SECONDS} s for {what}")


def all_of(pid):
    """The children, once all of them run."""
    found = children(pid)
    return found if len(found) >= EVERYBODY else None


@pytest.mark.parametrize("name", VICTIMS)
def test_one_dead_process_ends_everything(tmp_path, folders, name):
    process = start(AGREEMENT, folders, tmp_path / "work")
    try:
        everybody = until(lambda: all_of(process.pid), "all processes")
        victims = [pid for pid, command in everybody.items() if VICTIMS[name] in command]
        assert len(victims) == 1, everybody
        kill(victims[0])
        _, stderr = process.communicate(timeout=WAIT_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 5, stderr
    assert f"process {name} was ended by signal 9" in stderr
    assert not [pid for pid in everybody if alive(pid)]


def test_the_end_of_the_parent_ends_its_children(tmp_path, folders):
    process = start(AGREEMENT, folders, tmp_path / "work")
    everybody = until(lambda: all_of(process.pid), "all processes")
    process.kill()
    process.communicate(timeout=WAIT_SECONDS)
    until(lambda: not [pid for pid in everybody if alive(pid)], "the children to end")
