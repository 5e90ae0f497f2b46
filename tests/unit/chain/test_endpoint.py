import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest

from policy.chain.endpoint import Endpoint, Reverted
from policy.chain.errors import ChainMismatch, ChainUnreachable
from policy.errors import ChainError


@asynccontextmanager
async def answering(body, status="200 OK", timeout_seconds=1.0):
    """An endpoint that answers every request with `body`; None: it never answers."""

    serving = []

    async def serve(reader, writer):
        serving.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        if body is not None:
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            await writer.drain()
        else:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with Endpoint(f"http://user:hidden@127.0.0.1:{port}/key/hidden?k=hidden", timeout_seconds) as endpoint:
            yield endpoint
        await asyncio.wait_for(asyncio.gather(*serving), 5)


def result(value):
    return json.dumps({"jsonrpc": "2.0", "id": 0, "result": value}).encode()


def failure(**error):
    return json.dumps({"jsonrpc": "2.0", "id": 0, "error": error}).encode()


@pytest.mark.parametrize(("body", "status"), [
    (b"", "200 OK"), (b"not json", "200 OK"), (b"[]", "200 OK"), (b"null", "200 OK"), (b'"text"', "200 OK"),
    (b"{}", "200 OK"), (b"\xff\xfe", "200 OK"), (result("0x1"), "500 Internal Server Error"),
    (result("0x1"), "401 Unauthorized"), (result("0x1"), "302 Found\r\nLocation: http://127.0.0.1/"),
    (result("0x1"), "304 Not Modified"), (failure(code=-32601, message="no such method"), "200 OK"),
    (b'{"error": "text"}', "200 OK"), (b'{"error": ["list"]}', "200 OK"),
])
async def test_answers_that_are_no_result_are_unreachable_and_hide_the_access_key(body, status):
    async with answering(body, status) as endpoint:
        with pytest.raises(ChainUnreachable) as caught:
            await endpoint.call("eth_chainId")
    assert "http://127.0.0.1:" in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None or "hidden" not in str(caught.value.__cause__)


async def test_silence_ends_with_the_time_out():
    start = asyncio.get_running_loop().time()
    async with answering(None, timeout_seconds=0.2) as endpoint:
        with pytest.raises(ChainUnreachable, match=r"within 0\.2 s"):
            await endpoint.call("eth_chainId")
    assert asyncio.get_running_loop().time() - start < 2


async def test_calls_that_are_cancelled_at_any_moment_leave_the_others_alone():
    async with answering(result("0x1")) as endpoint:
        for moment in range(60):
            calls = [asyncio.create_task(endpoint.number("eth_chainId")) for _ in range(3)]
            for _ in range(moment % 20):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        assert await endpoint.number("eth_chainId") == 1


async def test_an_answer_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("policy.chain.provider.MAX_ANSWER_BYTES", 1000)
    async with answering(result("0x" + "00" * 1000)) as endpoint:
        with pytest.raises(ChainUnreachable, match="eth_getCode: ValueError"):
            await endpoint.call("eth_getCode")


async def test_nobody_there_is_unreachable():
    async with Endpoint("http://127.0.0.1:1", 1) as endpoint:
        with pytest.raises(ChainUnreachable, match="check that it runs"):
            await endpoint.call("eth_chainId")


@pytest.mark.parametrize("value", [None, 5, "0xzz", "", {}, []])
async def test_values_of_the_wrong_kind_are_refused(value):
    async with answering(result(value)) as endpoint:
        with pytest.raises(ChainError):
            await endpoint.number("eth_chainId")


@pytest.mark.parametrize("value", [None, 5, "0xzz", {}, []])
async def test_bytes_of_the_wrong_kind_are_refused(value):
    async with answering(result(value)) as endpoint:
        with pytest.raises(ChainError):
            await endpoint.data("eth_getCode")


@pytest.mark.parametrize("value", [None, 5, "0x1", [], {}, {"number": "0x1"}, {"number": 1, "hash": "0x00", "timestamp": "0x1"}])
async def test_blocks_of_the_wrong_shape_are_refused(value):
    async with answering(result(value)) as endpoint:
        with pytest.raises(ChainUnreachable):
            await endpoint.block("finalized")


async def test_a_block_is_read():
    value = {"number": "0x10", "hash": "0x" + "AB" * 32, "timestamp": "0x20", "baseFeePerGas": "0x7"}
    async with answering(result(value)) as endpoint:
        block = await endpoint.block(16)
    assert (block.number, block.hash, block.time, block.base_fee_wei) == (16, "ab" * 32, 32, 7)


@pytest.mark.parametrize(("error", "data"), [
    ({"code": 3, "message": "execution reverted", "data": "0x01020304"}, "01020304"),  # geth, anvil
    ({"code": -32000, "message": "Execution reverted", "data": "0x01020304"}, "01020304"),  # Besu
    ({"code": -32015, "message": "VM execution error.", "data": "Reverted 0x01020304"}, "01020304"),  # Nethermind
    ({"code": -32603, "message": "proxied", "data": {"code": 3, "data": "0x01020304"}}, "01020304"),
    ({"code": 3, "message": "execution reverted"}, ""),
    ({"code": -32000, "message": "VM Exception: revert"}, ""),
])
async def test_every_clients_revert_is_understood(error, data):
    async with answering(failure(**error)) as endpoint:
        with pytest.raises(Reverted) as caught:
            await endpoint.call("eth_call")
    assert caught.value.data.hex() == data


async def test_another_chain_is_refused():
    async with answering(result("0x2")) as endpoint:
        await endpoint.check_chain(2)
        with pytest.raises(ChainMismatch, match="chain 2, expected 1"):
            await endpoint.check_chain(1)
