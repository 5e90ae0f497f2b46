"""Where a node listens for its peers."""

import asyncio
import errno
import socket

import pytest

from evaluation.config import NodeSettings
from evaluation.errors import EXIT_USAGE
from evaluation.keys import new_secret, private_folder, sealing_public, signing_public
from evaluation.node import Node
from evaluation.process import exit_code
from infra.local.children import free_port
from mpc.identity import create_identity
from policy.chain.model import Deployment
from streams.cluster import EMBEDDED, Broker
from tests.support.runs import Silent
from tests.support.terms import make_terms


@pytest.fixture
def made(tmp_path):
    """A node 0 with keys, of whose configuration the caller says more; and the port that the agreement names."""
    keys, port = private_folder(tmp_path / "keys"), free_port()
    records, sealing = new_secret(keys / "records"), new_secret(keys / "sealing")
    terms = make_terms()
    mine = terms.nodes[0].model_copy(update={
        "record_key": signing_public(records), "sealing_key": sealing_public(sealing), "endpoint": f"node-0.example.org:{port}",
        "certificate": create_identity(keys, "node-0").fingerprint,
    })
    terms = terms.model_copy(update={"nodes": (mine, *terms.nodes[1:])})

    def node(**more):
        return Node(NodeSettings(
            number=0, terms=tmp_path / "terms", broker=Broker("127.0.0.1:1", EMBEDDED), keys=keys, store=tmp_path / "store",
            state=tmp_path / "state", chain={"url": "http://127.0.0.1:1", "agreement_id": "a" * 64, "deployment": Deployment(
                address="0x" + "1" * 40, chain_id=1, code_hash="2" * 64,
            )}, **more,
        ), terms, Silent("test"))

    return node, port


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
async def test_a_node_listens_where_it_is_told_to(made, more, expected):
    node, port = made
    async with node(**more)._links():
        assert [await reached(address, port) for address in ("127.0.0.1", "127.0.0.2")] == expected


async def test_an_address_that_is_taken_or_not_this_machines_is_for_the_operator_to_mend(made):
    node, port = made
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match=rf"127.0.0.1.*{port}") as taken:
        async with node()._links():
            pass
    with pytest.raises(OSError, match=r"192.0.2.1") as not_here:
        async with node(bind="192.0.2.1")._links():
            pass
    assert [taken.value.errno, not_here.value.errno] == [errno.EADDRINUSE, errno.EADDRNOTAVAIL]
    assert exit_code(taken.value) == exit_code(not_here.value) == EXIT_USAGE


def test_a_name_is_no_address_to_listen_on(made):
    node, _ = made
    with pytest.raises(ValueError, match="not a valid IPv4 or IPv6 address"):
        node(bind="node-0.example.org")
