"""Nodes linked by real TLS on loopback, for tests."""

import asyncio
import contextlib
import socket

from mpc.identity import create_identity
from mpc.transport import NodeAddress, NodeLinks


def made_identities(folder):
    """Those of nodes 0, 1, 2 and of a stranger."""
    return [*(create_identity(folder, f"node-{number}") for number in range(3)), create_identity(folder, "stranger")]


def agreed_nodes(identities):
    """The three nodes of an agreement, on ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [s.getsockname()[1] for s in sockets]
    return [NodeAddress(f"127.0.0.1:{p}", i.fingerprint) for p, i in zip(ports, identities, strict=False)]


@contextlib.asynccontextmanager
async def three_links(nodes, identities, who=(0, 1, 2), **options):
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(NodeLinks(n, nodes, identities[n], **options)) for n in who]


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
