"""What processes listen on, connect to, start, write and unpickle."""

from pathlib import Path

LOOPBACK = "127.0.0.1"
IPV6_PROBE = ["::1", 0]
"""urllib3, which web3 imports, binds it for a moment to learn whether there is IPv6; it does not listen."""
UNAME = ["uname", "['uname', '-p']"]
"""Python's platform module, which MPyC asks for the processor."""


def sockets(found, allowed):
    """Listeners that a role should not have, or has not.

    Args:
        found: role → {Listener}, seen at any time.
        allowed: role → {(kind, port)}, on loopback; port None: one, whichever.
    """
    findings = [f"{role} was never looked at" for role in sorted(set(allowed) - set(found))]
    for role, listeners in sorted(found.items()):
        expected = sorted(allowed.get(role, ()), key=str)
        findings += [f"{role} listens on {x.kind} {x.address}" for x in sorted(listeners) if x.address != LOOPBACK]
        seen = sorted((x.kind, x.port) for x in listeners)
        if len(seen) != len(expected) or any(
            kind != k or (port is not None and port != p) for (kind, port), (k, p) in zip(expected, seen, strict=True)
        ):
            findings.append(f"{role} listens on {seen}, expected {expected}")
    return findings


def binds(trails, allowed):
    """Addresses that a process bound, however briefly, beyond its listeners; see `sockets`."""
    findings = []
    for role, trail in trails.items():
        bound = [address for event, address in trail if event == "socket.bind" and address != IPV6_PROBE]
        ports = [port for _, port in allowed.get(role, ())]
        findings += [f"{role} bound {a}" for a in bound if a[0] != LOOPBACK]
        findings += [f"{role} bound {a}" for a in bound if None not in ports and a[1] not in ports]
        if len(bound) > len(ports):
            findings.append(f"{role} bound {len(bound)} addresses, expected {len(ports)}")
    return findings


def connections(trails, allowed):
    """Peers that a process called and need not; `allowed`: role → ports on loopback."""
    return [
        f"{role} connected to {address}" for role, trail in trails.items() for event, address in trail
        if event == "socket.connect" and (address[0] != LOOPBACK or address[1] not in allowed.get(role, ()))
    ]


def children(trails):
    """Processes that a process started: none should."""
    starts = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.system"}
    return [
        f"{role}: {event} {told}" for role, trail in trails.items() for event, told in trail
        if event in starts and told[:2] != UNAME
    ]


def unpickled(trails):
    """Names that an unpickler looked up in any process."""
    return [
        f"{role} unpickled {'.'.join(map(str, told))}" for role, trail in trails.items() for event, told in trail
        if event == "pickle.find_class"
    ]


def writes(trails, work, apart):
    """Files written outside the role's folder, where no other check would look; compiled modules and `apart` excepted."""
    findings = []
    for role, trail in trails.items():
        for event, told in trail:
            if event != "open":
                continue
            path = (work / role / told[0]).resolve()
            allowed = any(path.is_relative_to(folder.resolve()) for folder in (work / role, apart))
            if not allowed and "__pycache__" not in path.parts and path != Path("/dev/null"):
                findings.append(f"{role} wrote {path}")
    return findings
