"""Where a process listens, from /proc (proc_pid_fd(5), proc_pid_net(5)); it may close files meanwhile."""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

LISTENING, UNIX_LISTENING = "0A", 0x10000


@dataclass(frozen=True, order=True)
class Listener:
    kind: str
    """tcp, udp or unix."""
    address: str
    port: int


def listeners(pid: int) -> set[Listener]:
    """Sockets of a process that anybody could send to: listening TCP, bound UDP and raw, listening Unix."""
    mine, found = _sockets(pid), set()
    net = Path("/proc") / str(pid) / "net"
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for line in (net / kind).read_text().splitlines()[1:] if (net / kind).exists() else ():
            fields = line.split()
            if fields[9] in mine and (fields[3] == LISTENING or not kind.startswith("tcp")):
                address, port = fields[1].split(":")
                found.add(Listener(kind.rstrip("6"), _address(address), int(port, 16)))
    for line in (net / "unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[6] in mine and int(fields[3], 16) & UNIX_LISTENING:
            found.add(Listener("unix", fields[7] if len(fields) > 7 else "", 0))
    return found


def connected(port: int) -> int:
    """TCP sockets of this process that are connected to a port of this machine, or not yet closed."""
    mine, net = _sockets(os.getpid()), Path("/proc/self/net")
    lines = [line.split() for kind in ("tcp", "tcp6") for line in (net / kind).read_text().splitlines()[1:]]
    return sum(fields[9] in mine and int(fields[2].rpartition(":")[2], 16) == port for fields in lines)


def _sockets(pid):
    """Inodes of a process's sockets."""
    mine = set()
    for entry in (Path("/proc") / str(pid) / "fd").iterdir():
        try:
            if match := re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink())):
                mine.add(match[1])
        except FileNotFoundError:
            continue
    return mine


def _address(text):
    words = [struct.pack("<I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8)]
    if len(words) == 1:
        return ".".join(map(str, words[0]))
    return ":".join(b"".join(words).hex()[i : i + 4] for i in range(0, 32, 4))
