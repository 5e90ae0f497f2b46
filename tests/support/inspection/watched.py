"""A process of the product with a witness beside it: `python -m tests.support.inspection.watched CONFIG.toml`.

The witness changes nothing. It writes down, outside the folder of the evaluation, what the interpreter itself reports
(sys.addaudithook): every address that is bound or connected to, every file that is opened for writing, every child, and
every name that an unpickler looks up. At a node it also keeps each message that a peer delivers, after decryption.
"""

import importlib
import json
import os
import struct
import sys
import tomllib
from pathlib import Path

MODULES = {"party": "evaluation.party", "number": "evaluation.node", "recipient": "console.recipient"}
"""The key that only this process's configuration has, and its module."""
NOTED = {
    "socket.bind", "socket.connect", "pickle.find_class", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork",
    "os.system",
}
MESSAGE = struct.Struct("<BHqI")
"""Sender, channel, label, length of the payload that follows."""


def folder_of(work):
    """Where the witnesses of an evaluation in `work` write."""
    return work.parent / "witness"


def watch(trail):
    file = os.open(trail, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def hook(event, arguments):
        if event in NOTED:
            told = [a if isinstance(a, int | str) else repr(a) for a in arguments]
            if event.startswith("socket."):
                told = list(arguments[1]) if isinstance(arguments[1], tuple) else [repr(arguments[1])]
        elif event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            told = [os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else repr(arguments[0])]
        else:
            return
        os.write(file, json.dumps([event, told]).encode() + b"\n")

    sys.addaudithook(hook)


def keep_messages(path):
    from mpc.wire import Attempt

    deliver, file = Attempt.deliver, path.open("wb")

    def kept(self, peer, channel, label, payload):
        file.write(MESSAGE.pack(peer, channel, label, len(payload)) + payload)
        file.flush()
        deliver(self, peer, channel, label, payload)

    Attempt.deliver = kept


def main(config):
    settings = tomllib.loads(config.read_text())
    folder, role = folder_of(config.parent.parent), config.parent.name
    folder.mkdir(exist_ok=True)
    watch(folder / f"{role}.jsonl")
    if "number" in settings:
        keep_messages(folder / f"{role}.messages")
    (module,) = (name for key, name in MODULES.items() if key in settings)
    return importlib.import_module(module).main(config)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
