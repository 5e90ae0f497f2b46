"""Where a node listens for its peers."""

import asyncio
import errno
import socket

import pytest

from evaluation.errors import EXIT_USAGE
from evaluation.process import exit_code
from tests.support.node import a_node


async def reached(address, port):
    """Whether somebody listens there."""
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize(("more", "expected"), [
    ({}, [True, False]), ({"bind": "127.0.0.2"}, [False, True]), ({"bind": "0.0.0.0"}, [True, True]),
], ids=["loopback unless told otherwise", "one address", "all"])
async def test_a_node_listens_where_it_is_told_to(tmp_path, more, expected):
    node, port = a_node(tmp_path, **more)
    async with node._links():
        assert [await reached(address, port) for address in ("127.0.0.1", "127.0.0.2")] == expected


async def test_an_address_that_is_taken_or_not_this_machines_is_for_the_operator_to_mend(tmp_path):
    node, port = a_node(tmp_path)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match=rf"127.0.0.1.*{port}") as taken:
        async with node._links():
            pass
    with pytest.raises(OSError, match=r"192.0.2.1") as not_here:
        async with a_node(tmp_path, bind="192.0.2.1")[0]._links():
            pass
    assert [taken.value.errno, not_here.value.errno] == [errno.EADDRINUSE, errno.EADDRNOTAVAIL]
    assert exit_code(taken.value) == exit_code(not_here.value) == EXIT_USAGE


def test_a_name_is_no_address_to_listen_on(tmp_path):
    with pytest.raises(ValueError, match="not a valid IPv4 or IPv6 address"):
        a_node(tmp_path, bind="node-0.example.org")
