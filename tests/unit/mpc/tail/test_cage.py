"""What importing the tail leaves alone, and what it never opens."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mpc.errors import ProtocolError
from mpc.tail.cage import CagedRuntime, Codec

ROOT = Path(__file__).parents[4]


def in_a_new_process(program, *arguments):
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=True,
    )
    assert ran.stderr == ""
    return ran.stdout


UNTOUCHED = """
import asyncio, json, logging, os, sys, warnings
import numpy, mpc.tail.field
def state():
    return [sys.argv[1:], logging.getLogger().level, len(logging.getLogger().handlers), logging.root.manager.disable,
            dict(os.environ), type(asyncio.get_event_loop_policy()).__name__, str(warnings.filters), os.getcwd()]
before = state()
def handler(loop, context): pass
async def main():
    asyncio.get_running_loop().set_exception_handler(handler)
    import mpc.tail.cage
    assert asyncio.get_running_loop().get_exception_handler() is handler
if "inside" in sys.argv:
    asyncio.run(main())
else:
    import mpc.tail.cage
print(json.dumps([[a, b] for a, b in zip(before, state()) if a != b]))
"""


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_import_leaves_the_process_as_it_was(where):
    assert json.loads(in_a_new_process(UNTOUCHED, where, "-V", "-M", "3", "--no-async")) == []


BOUND = """
import asyncio, socket, sys
sys.path.insert(0, "")
bound = []
sys.addaudithook(lambda event, arguments: bound.append(event) if event in ("socket.bind", "socket.connect") else None)
import numpy as np
from tests.unit.mpc.tail.helpers import compute, make_plan, patients
rng = np.random.default_rng(0)
plan = make_plan()
asyncio.run(compute(rng, [(plan, [patients(rng, plan, 20)])]))
ours = len(bound)
with socket.socket() as control:
    control.bind(("127.0.0.1", 0))
print(ours, len(bound))
"""


def test_a_tail_opens_no_port_and_connects_to_none():
    assert in_a_new_process(BOUND) == "0 1\n"


@pytest.mark.parametrize("module", ["mpc.tail", "mpc.tail.recombine", "mpc.tail.decode"])
def test_the_recipients_side_loads_no_mpyc(module):
    found = in_a_new_process(f"import sys, {module}; print([m for m in sys.modules if m.startswith('mpyc')])")
    assert found == "[]\n"


def test_the_package_offers_its_two_names():
    import mpc.tail
    from mpc.tail.estimators import CellBatch, estimate

    assert (mpc.tail.CellBatch, mpc.tail.estimate) == (CellBatch, estimate)
    with pytest.raises(AttributeError, match="has no attribute nothing"):
        _ = mpc.tail.nothing


def test_only_the_module_whose_pickle_we_replace_unpickles():
    import mpyc.runtime

    folder = Path(mpyc.__file__).parent
    found = {path.name for path in folder.glob("*.py") if re.search(r"import (pickle|marshal|shelve)|loads\(", path.read_text())}
    assert found == {"runtime.py"}
    assert mpyc.runtime.pickle is Codec


@pytest.mark.parametrize("values", [{"a": 1}, [1, 2], np.zeros(3), np.zeros((2, 2), dtype=object)])
def test_only_flat_arrays_of_integers_leave(values):
    with pytest.raises(ProtocolError, match="only flat arrays"):
        Codec.dumps(values)


@pytest.mark.parametrize("payload", [b"x", b"\xff" * 32, bytes(31), bytes(33)])
def test_only_residues_come_in(payload):
    with pytest.raises(ProtocolError):
        Codec.loads(payload)


async def test_a_runtime_keeps_our_loops_exception_handler():
    def handler(loop, context):
        pass

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(handler)
    CagedRuntime(0, {})
    assert loop.get_exception_handler() is handler
