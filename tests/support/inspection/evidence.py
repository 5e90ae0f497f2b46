"""What an evaluation leaves behind where somebody could look: topics, files, sockets, memory, the chain."""

import asyncio
import json
import mmap
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from streams.broker import Broker, Consumer
from streams.topics import all_topics
from tests.support.inspection.search import decoded, text_of
from tests.support.inspection.watched import MESSAGE
from tests.support.sockets import Listener

PRESENT = 1 << 63
MEMORY_PIECE = 8 << 20
READ_SECONDS = 60


@dataclass(frozen=True)
class Blob:
    """Some bytes, where they stand, and whose they are: a party's, `node-<j>`'s, a recipient's, or everybody's."""

    place: str
    owner: str
    data: bytes

    @cached_property
    def text(self) -> bytes:
        return text_of(self.data)

    @cached_property
    def forms(self) -> tuple[bytes, ...]:
        """The data, and what stands in it in hexadecimal or base64."""
        return self.data, *decoded(self.text)


PUBLIC = "everybody"


@dataclass(frozen=True)
class File:
    mode: int
    data: bytes | None
    """None for a folder."""


@dataclass(frozen=True)
class Transaction:
    sender: str
    to: str | None
    value: int
    data: bytes
    extra: tuple
    """Whatever else could carry data: access lists, blobs, authorisations."""


@dataclass(frozen=True)
class Log:
    address: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Chain:
    transactions: tuple[Transaction, ...]
    logs: tuple[Log, ...]
    blocks: frozenset[bytes]
    """Hashes of all blocks."""


@dataclass(frozen=True)
class Message:
    """A node's message to another, after decryption."""

    sender: int
    channel: int
    label: int
    payload: bytes


async def read_topics(address, draft):
    """Every record of every topic: name → [Record], up to the ends at the time of the call."""

    async def read(topic):
        async with Consumer(Broker(address), topic.name, range(topic.partitions)) as consumer:
            ends = {number: await consumer.end(number) for number in range(topic.partitions)}
            found = []
            async with asyncio.timeout(READ_SECONDS):
                # Tombstones are passed over, so what was read is told by where reading is.
                while any([await consumer.position(number) < end for number, end in ends.items()]):
                    found += await consumer.poll(0.2, 5_000)
        return found

    topics = all_topics(draft)
    return dict(zip((t.name for t in topics), await asyncio.gather(*map(read, topics)), strict=True))


def read_files(root: Path) -> Mapping[str, File]:
    """Everything below `root`, and `root` itself as ".": path → File."""
    return {
        str(path.relative_to(root)): File(path.lstat().st_mode & 0o7777, path.read_bytes() if path.is_file() else None)
        for path in (root, *sorted(root.rglob("*")))
    }


def read_messages(path: Path) -> list[Message]:
    """What a node's witness kept."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        sender, channel, label, size = MESSAGE.unpack_from(data, at)
        at += MESSAGE.size
        found.append(Message(sender, channel, label, data[at : at + size]))
        at += size
    return found


def read_trail(path: Path) -> list[tuple[str, list]]:
    """What a witness wrote down: (event, arguments)."""
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()]


def memory(pid: int):
    """Pieces of a process's writable memory that are really there; those that go while we read are left out."""
    folder = Path("/proc") / str(pid)
    with (folder / "mem").open("rb", 0) as content, (folder / "pagemap").open("rb", 0) as pages:
        for line in (folder / "maps").read_text().splitlines():
            area, rights, _, _, _, *name = line.split(maxsplit=5)
            if not rights.startswith("rw") or (name and name[0] in {"[vvar]", "[vsyscall]"}):
                continue
            start, end = (int(x, 16) for x in area.split("-"))
            pages.seek(start // mmap.PAGESIZE * 8)
            entries = np.frombuffer(pages.read((end - start) // mmap.PAGESIZE * 8), np.uint64)
            there = np.flatnonzero(entries & np.uint64(PRESENT))
            if not len(there):
                continue
            for run in np.split(there, np.flatnonzero(np.diff(there) != 1) + 1):
                first, last = start + int(run[0]) * mmap.PAGESIZE, start + (int(run[-1]) + 1) * mmap.PAGESIZE
                for at in range(first, last, MEMORY_PIECE):
                    try:
                        content.seek(at)
                        yield content.read(min(MEMORY_PIECE, last - at))
                    except OSError:
                        continue


def read_chain(url: str) -> Chain:
    """All transactions and logs of all blocks."""

    def ask(method, *parameters):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)["result"]

    sent, blocks = [], set()
    for number in range(int(ask("eth_blockNumber"), 16) + 1):
        block = ask("eth_getBlockByNumber", hex(number), True)
        blocks.add(_bytes(block["hash"]))
        for t in block["transactions"]:
            carried = ("accessList", "blobVersionedHashes", "authorizationList")
            sent.append(Transaction(
                t["from"].lower(), t["to"] and t["to"].lower(), int(t["value"], 16), _bytes(t["input"]),
                tuple(json.dumps(t[k]) for k in carried if t.get(k)),
            ))
    logs = [
        Log(x["address"].lower(), tuple(map(_bytes, x["topics"])), _bytes(x["data"]))
        for x in ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    ]
    return Chain(tuple(sent), tuple(logs), frozenset(blocks))


def _bytes(text):
    return bytes.fromhex(text[2:])


@dataclass(frozen=True)
class Evidence:
    """All of it, of one evaluation. Roles: parties, `node-<j>`, recipients, `broker`, `chain`."""

    work: Path
    topics: Mapping[str, list]
    files: Mapping[str, File]
    """Below `work`, by relative path; the first folder is the role."""
    messages: Mapping[int, list[Message]]
    """What each node received from its peers."""
    trails: Mapping[str, list[tuple[str, list]]]
    sockets: Mapping[str, set[Listener]]
    """Every listener that was seen at any time."""
    processes: Mapping[str, tuple[bytes, bytes]]
    """Command line and environment."""
    statuses: Mapping[str, bytes]
    """Status lines."""
    pages: Mapping[str, bytes]
    chain: Chain

    def inboxes(self, draft):
        """Node → its messages."""
        return {j: [r.value for r in self.topics[f"node-{j}.{draft.name}.inbox"]] for j in range(3)}

    def blobs(self, roles) -> list[Blob]:
        """Everything, as bytes with an owner; `roles` are the owners there are."""

        def owner(name):
            return name if name in roles else PUBLIC

        found = [
            Blob(f"topic {name}", owner(name.split(".")[1 if name.startswith("results.") else 0]),
                 b"\0\0".join((r.key or b"") + b" " + r.value for r in records))
            for name, records in self.topics.items()
        ]
        found += [
            Blob(f"file {path}", owner(path.split("/")[0]), file.data)
            for path, file in self.files.items() if file.data is not None
        ]
        found += [
            Blob(f"messages to node-{j}", f"node-{j}", b"\0".join(m.payload for m in messages))
            for j, messages in self.messages.items()
        ]
        for role, (command, environment) in self.processes.items():
            found += [Blob(f"command line of {role}", role, command), Blob(f"environment of {role}", role, environment)]
        found += [Blob(f"status lines of {role}", owner(role), said) for role, said in self.statuses.items()]
        found += [Blob(f"page {name}", owner(name), page) for name, page in self.pages.items()]
        carried = [t.data for t in self.chain.transactions]
        carried += [part for log in self.chain.logs for part in (*log.topics, log.data)]
        return [*found, Blob("chain", PUBLIC, b"\0".join(carried))]
