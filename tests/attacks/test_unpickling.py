"""What peers send is never unpickled, and no module of ours can: each check with a violation that it catches."""

import asyncio
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.records import open_record
from evaluation.results import open_result
from mpc.errors import MpcError
from mpc.frames import TAG_BYTES, FrameReader, data_header, nowhere
from mpc.share import Share
from mpc.shuffle import Permutation
from mpc.tail import cage
from mpc.tail.cage import Codec
from mpc.tail.estimators import estimate
from mpc.tail.session import TAIL_CHANNEL
from policy.canonical import canonical_bytes
from streams.batch import BatchHeader, framed, open_snapshot
from streams.envelope import parse
from streams.inbox import Opener
from streams.parcel import read_header
from streams.rejects import open_rejected
from tests.support.inspection import unpickling
from tests.support.inspection.shares import SUITE
from tests.support.parties import BATCH_KEY, NODE_KEYS, keyed_terms
from tests.support.wires import three_wires
from tests.unit.mpc.tail.helpers import PANES, PATIENTS, batches, make_plan, patients

ROOT = Path(__file__).parents[2]
PACKAGES = ("policy", "mpc", "streams", "evaluation", "console", "infra", "contracts")
TERMS = keyed_terms()


def modules():
    return [
        path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
        if "node_modules" not in path.parts
    ]


def test_no_module_can_unpickle_or_run_text():
    found = modules()
    assert len(found) > 80
    assert [text for path in found for text in unpickling.source(path.relative_to(ROOT), path.read_text())] == []


@pytest.mark.parametrize("line", [
    "import pickle", "import pickle as p", "import os, marshal", "from pickle import loads", "import shelve", "import dill",
    "import cloudpickle", "import yaml", "from multiprocessing import _pickle", "value = eval(text)", "exec(text)",
    "m = __import__('pickle')", "import importlib; m = importlib.import_module('pickle')",
    "import importlib; m = importlib.import_module(name)", "import importlib; m = importlib.import_module(f'{a}.pickle')",
    "import numpy as np; a = np.load(path)", "a = numpy.load(path)", "a = loader(path, allow_pickle=True)",
    "a = loader(path, allow_pickle=flag)", "import pandas as pd; pd.read_pickle(path)",
    "app.topic('runs', value_serializer='pickle')", "x = app.Table(serializer='raw|pickle')",
    "def inner():\n    import pickle",
])
def test_planted_sources_are_found(line):
    assert len(unpickling.source("planted.py", f'"""Planted."""\n{line}\n')) == 1


@pytest.mark.parametrize("line", [
    "import json", "import pickled_onions", "a = loader(path, allow_pickle=False)", "text = 'pickle'", "model.eval()",
    "import importlib; m = importlib.import_module(f'mpyc.{name}')", "import re; re.compile('x')",
])
def test_harmless_sources_are_not(line):
    assert unpickling.source("harmless.py", line) == []


def sealed_arrow(payload):
    """A party's message whose Arrow schema says that a column is Python's, to be unpickled from `payload`."""
    party = TERMS.draft.parties[0].name
    header = BatchHeader(
        agreement=TERMS.hash, epoch=0, party=party, shard=0, block=0, kind="register", pane=-1, revision=0,
        columns=("link",), slots=TERMS.draft.linkage.block_slots, blocks=1,
    )
    metadata = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": payload}
    schema = pa.schema([pa.field("component", pa.uint8(), nullable=False, metadata=metadata)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([pa.array([0, 1], pa.uint8())], schema=schema))
    head = canonical_bytes(header)
    key = X25519PrivateKey.from_private_bytes(NODE_KEYS[0]).public_key()
    message = framed(header, SUITE.encrypt(sink.getvalue().to_pybytes(), key, b"winnow-batch/1\0\0" + head))
    return Ed25519PrivateKey.from_private_bytes(BATCH_KEY).sign(b"winnow-batch\0\0" + message) + message


def test_the_planted_arrow_message_gets_past_signature_and_seal():
    """So that the schema is what refuses it."""
    with pytest.raises(Exception, match="schema"):
        OPENER.open(sealed_arrow(b"x"), 0)


def frames(data):
    """What a link makes of bytes."""
    reader, found = FrameReader(nowhere), []
    while data:
        room = reader.room
        count = min(len(room), len(data))
        room[:count] = data[:count]
        found += reader.filled(count)
        data = data[count:]
    return found


OPENER = Opener(TERMS, 0, X25519PrivateKey.from_private_bytes(NODE_KEYS[0]))
READERS = {
    "tail": Codec.loads,
    "link": lambda data: frames(len(data).to_bytes(4, "big") + data),
    "message on a link": lambda data: frames(data_header(bytes(TAG_BYTES), 0, 0, len(data)) + data)[0].payload,
    "share message": read_header,
    "arrow": lambda data: OPENER.open(sealed_arrow(data), 0),
    "snapshot": open_snapshot,
    "event": parse,
    "reject": lambda data: open_rejected(data, X25519PrivateKey.from_private_bytes(NODE_KEYS[0])),
    "permutation": Permutation.from_bytes,
    "record": lambda data: open_record(bytes(64) + data, TERMS),
    "result": lambda data: open_result(
        bytes(65) + data, "team", X25519PrivateKey.from_private_bytes(NODE_KEYS[0]), TERMS
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_of_foreign_bytes_unpickles(name, tmp_path):
    assert unpickling.loads(READERS[name], tmp_path) == []


def test_a_reader_that_was_called_wrongly_is_found(tmp_path):
    assert len(unpickling.loads(lambda: None, tmp_path)) == 4


@pytest.mark.parametrize("reader", [pickle.loads, lambda data: json.loads(pickle.loads(data))])
def test_planted_readers_are_found(reader, tmp_path):
    findings = unpickling.loads(reader, tmp_path)
    assert "a bomb was executed" in findings
    assert "a padded bomb was executed" in findings


def test_mpyc_reads_through_our_codec():
    assert cage.mpyc.runtime.pickle is Codec


async def attacked(folder):
    """A whole tail in which node 2 sends bombs where MPyC exchanges arrays: what ran, and who did not notice."""
    mark, rng, plan = folder / "executed", np.random.default_rng(5), make_plan()
    held = batches(rng, plan, [patients(rng, plan, 30)])

    def tap(sender, receiver, channel, label, payload):
        bomb = pickle.dumps(unpickling.Bomb(mark))
        if sender == 2 and channel == TAIL_CHANNEL and label % 2 == 1 and len(payload) >= len(bomb):
            return bomb.ljust(len(payload), b".")
        return payload

    async with three_wires(tap=tap) as wires:
        ended = await asyncio.gather(
            *(estimate(wire, [held[wire.number]], PATIENTS, PANES, 30) for wire in wires), return_exceptions=True
        )
    findings = ["a peer's bomb was executed"] if mark.exists() else []
    return findings + [f"node {j} ended with {type(e).__name__}" for j, e in enumerate(ended) if not isinstance(e, MpcError)]


async def test_a_peers_pickle_in_a_tail_neither_runs_nor_counts(tmp_path):
    assert await attacked(tmp_path) == []


class Careless:
    """What MPyC would do by itself."""

    dumps = Codec.dumps

    @staticmethod
    def loads(payload):
        try:
            return pickle.loads(payload)
        except pickle.UnpicklingError:
            return Codec.loads(payload)


async def test_a_planted_unpickling_runtime_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(cage.mpyc.runtime, "pickle", Careless)
    assert "a peer's bomb was executed" in await attacked(tmp_path)


def test_shares_are_no_objects():
    """A share of objects (which numpy would pickle when stored) cannot be made."""
    with pytest.raises(TypeError, match="uint64"):
        Share(np.zeros((2, 3), dtype=object))
