"""The watch over open connections sees one."""

import asyncio
import socket

import pytest

from tests.support.open_transports import LeftOpenError


def test_a_loop_that_closes_with_an_open_connection_is_named():
    loop = asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, *server.getsockname()))
        with pytest.raises(LeftOpenError, match=r"test_a_loop_that_closes.* left open: .*_SelectorSocketTransport.*127\.0\.0\.1"):
            loop.close()
        transport._sock.close()
        transport._sock = None
        assert loop.is_closed()


def test_one_that_was_closed_is_no_fault():
    async def work():
        with socket.create_server(("127.0.0.1", 0)) as server:
            _, writer = await asyncio.open_connection(*server.getsockname())
            writer.close()
            await writer.wait_closed()

    asyncio.run(work())
