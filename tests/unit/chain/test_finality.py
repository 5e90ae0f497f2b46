"""Which block counts as final: the client's own, one of some depth, or the older of both."""

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress

import pytest
from pydantic import ValidationError

from policy.chain.endpoint import Endpoint
from policy.chain.errors import ChainStale, ChainTimeout, ChainUnreachable
from policy.chain.finality import CLIENTS_OWN, MAX_CONFIRMATIONS, Finality, final_block

UNKNOWN = {"error": {"code": -39001, "message": "Unknown block"}}


@asynccontextmanager
async def chain(head, final, age=0.0, block_seconds=1.0):
    """An endpoint of a chain of blocks 0 to `head`; `final`: what it answers to that tag, a number or a whole answer."""

    def block(number):
        when = int(time.time() - age - (head - number) * block_seconds)
        return {"result": {"number": hex(number), "hash": "0x" + f"{number:064x}", "timestamp": hex(when)}}

    def answer(asked):
        assert asked["method"] == "eth_getBlockByNumber"
        at = asked["params"][0]
        if at == "finalized":
            return block(final) if isinstance(final, int) else final
        return block(head if at == "latest" else int(at, 16))

    async def serve(reader, writer):
        with suppress(asyncio.IncompleteReadError):
            header = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in header.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            asked = json.loads(await reader.readexactly(length))
            body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer(asked)}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 30) as endpoint:
        yield endpoint


@pytest.mark.parametrize(("finality", "final", "number"), [
    (CLIENTS_OWN, 48, 48),
    (Finality(confirmations=1), 48, 48),
    (Finality(confirmations=2), 48, 48),
    (Finality(confirmations=3), 48, 47),
    (Finality(confirmations=12), 48, 38),
    (Finality(confirmations=12), 30, 30),  # never ahead of the client's own
    (Finality(confirmations=50), 48, 0),
    (Finality(tag=False, confirmations=1), UNKNOWN, 49),
    (Finality(tag=False, confirmations=12), 48, 38),
])
async def test_it_is_the_older_of_the_clients_and_the_one_of_that_depth(finality, final, number):
    async with chain(50, final) as endpoint:
        assert (await final_block(endpoint, finality)).number == number


@pytest.mark.parametrize("finality", [CLIENTS_OWN, Finality(confirmations=3)])
@pytest.mark.parametrize(("said", "shown"), [(UNKNOWN, "Unknown block"), ({"result": None}, "null")])
async def test_a_client_that_knows_no_final_block_is_refused_with_what_to_set(finality, said, shown):
    async with chain(50, said) as endpoint:
        with pytest.raises(ChainUnreachable, match=rf"no finalized block \(it says: {shown}\).*finality\.tag = false"):
            await final_block(endpoint, finality)


async def test_a_chain_shorter_than_that_has_no_final_block():
    async with chain(4, UNKNOWN) as endpoint:
        with pytest.raises(ChainTimeout, match="the newest is 4, and 5 must stand on top of one"):
            await final_block(endpoint, Finality(tag=False, confirmations=5))
        assert (await final_block(endpoint, Finality(tag=False, confirmations=4))).number == 0


async def test_a_chain_that_stands_still_is_refused_however_deep_one_looks():
    async with chain(50, 48, age=130) as endpoint:
        for finality in (CLIENTS_OWN, Finality(confirmations=12), Finality(tag=False, confirmations=1)):
            with pytest.raises(ChainStale, match="check that the chain makes blocks"):
                await final_block(endpoint, finality)


async def test_a_final_block_may_be_twice_as_old_as_it_takes_to_be_final():
    async with chain(50, UNKNOWN, block_seconds=12) as endpoint:
        with pytest.raises(ChainStale, match=r"24\d s old, expected at most 120 s.*raise finality\.seconds"):
            await final_block(endpoint, Finality(tag=False, confirmations=20))
        assert (await final_block(endpoint, Finality(tag=False, confirmations=20, seconds=240))).number == 30


async def test_another_block_than_the_one_of_that_depth_is_refused(monkeypatch):
    async with chain(50, UNKNOWN) as endpoint:
        call = endpoint.call

        async def newest(method, at, full):
            return await call(method, "latest", full)

        monkeypatch.setattr(endpoint, "call", newest)
        with pytest.raises(ChainUnreachable, match="something else than it returns"):
            await final_block(endpoint, Finality(tag=False, confirmations=3))


@pytest.mark.parametrize(("values", "said"), [
    ({"tag": False}, "read at the newest block. Set confirmations to 1 or more"),
    ({"confirmations": -1}, "greater than or equal to 0"),
    ({"confirmations": MAX_CONFIRMATIONS + 1}, "less than or equal to 100"),
    ({"seconds": 0}, "greater than 0"),
    ({"seconds": 4000}, "less than or equal to 3600"),
    ({"depth": 3}, "Extra inputs are not permitted"),
])
def test_what_would_read_permissions_too_early_or_cannot_be_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        Finality(**values)
