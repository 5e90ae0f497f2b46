"""One chain endpoint over JSON-RPC: every call has a time-out, every failure becomes a ChainError.

Clients differ in how they report a reverted call; here is the one place that knows.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Self

from web3.types import RPCEndpoint

from policy.chain.errors import ChainMismatch, ChainUnreachable
from policy.chain.model import At, Block
from policy.chain.provider import HttpProvider
from policy.chain.url import place_of

_REVERT_DATA = re.compile(r"(?:Reverted )?(0x(?:[0-9a-fA-F]{2})*)")
_MAX_MESSAGE = 200


class Reverted(Exception):
    """A call was refused by the contract; `data` is what it returned."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data.hex())
        self.data = data


class CallFailed(ChainUnreachable):
    """The endpoint answers a call with an error of its own."""

    def __init__(self, place: str, method: str, message: str) -> None:
        super().__init__(
            f"chain endpoint {place} refused {method}: {message}; check the endpoint's version and, where it sends, "
            "the account's balance."
        )
        self.message = message


class Endpoint:
    """A JSON-RPC client that belongs to one event loop; close it in the end."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self.place = place_of(url)
        self._provider = HttpProvider(url, timeout_seconds)
        self._timeout_seconds = timeout_seconds

    async def close(self) -> None:
        """Close its connections; safe to call twice."""
        await self._provider.disconnect()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, method: str, *parameters: Any) -> Any:
        """The result of one JSON-RPC call.

        Raises:
            ChainUnreachable: no answer in time, no JSON-RPC, or an error of the endpoint.
            Reverted: the contract refused.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._provider.make_request(RPCEndpoint(method), list(parameters))
        except TimeoutError as error:
            raise ChainUnreachable(
                f"chain endpoint {self.place} did not answer {method} within {self._timeout_seconds:g} s; "
                "check that it runs and is reachable."
            ) from error
        except Exception as error:
            raise ChainUnreachable(
                f"chain endpoint {self.place}, {method}: {type(error).__name__}, expected a JSON-RPC answer; "
                "check that it runs and is reachable."
            ) from None  # its text may hold the whole address, access key included
        failure = answer.get("error") if isinstance(answer, Mapping) else None
        if failure:
            data = _revert_data(failure)
            if data is not None:
                raise Reverted(data)
            message = failure.get("message") if isinstance(failure, Mapping) else failure
            raise CallFailed(self.place, method, str(message)[:_MAX_MESSAGE])
        if not isinstance(answer, Mapping) or "result" not in answer:
            raise self.malformed(method)
        return answer["result"]

    async def number(self, method: str, *parameters: Any) -> int:
        """A result that is a quantity.

        Raises:
            ChainUnreachable: see call.
        """
        found = await self.call(method, *parameters)
        try:
            return int(found, 16)
        except (TypeError, ValueError):
            raise self.malformed(method) from None

    async def data(self, method: str, *parameters: Any) -> bytes:
        """A result that is bytes.

        Raises:
            ChainUnreachable: see call.
        """
        found = await self.call(method, *parameters)
        try:
            return bytes.fromhex(found.removeprefix("0x"))
        except (AttributeError, ValueError):
            raise self.malformed(method) from None

    async def block(self, at: At) -> Block:
        """A block's header.

        Raises:
            ChainUnreachable: see call; or the endpoint has no such block.
        """
        try:
            found = await self.call("eth_getBlockByNumber", hex(at) if isinstance(at, int) else at, False)
        except CallFailed as error:
            if at != "finalized":
                raise
            raise self._nothing_final(error.message) from None  # as Besu answers under QBFT
        if found is None and at == "finalized":
            raise self._nothing_final("null")
        if found is None:
            raise ChainUnreachable(f"chain endpoint {self.place} has no block {at}; wait until it has.")
        try:
            block = Block(
                number=int(found["number"], 16), hash=bytes.fromhex(found["hash"][2:]).hex(),
                time=int(found["timestamp"], 16), base_fee_wei=int(found.get("baseFeePerGas") or "0x0", 16),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self.malformed("eth_getBlockByNumber") from None
        if isinstance(at, int) and block.number != at:
            raise self.malformed("eth_getBlockByNumber")
        return block

    def _nothing_final(self, said: str) -> ChainUnreachable:
        return ChainUnreachable(
            f"chain endpoint {self.place} knows no finalized block (it says: {said}); wait until it does. If its "
            "client never does, set finality.tag = false and finality.confirmations."
        )

    async def check_chain(self, chain_id: int) -> None:
        """Refuse another chain than the pinned one.

        Raises:
            ChainMismatch: another chain.
            ChainUnreachable: see call.
        """
        found = await self.number("eth_chainId")
        if found != chain_id:
            raise ChainMismatch(
                f"chain endpoint {self.place} is of chain {found}, expected {chain_id}; correct the endpoint."
            )

    def malformed(self, method: str) -> ChainUnreachable:
        """The error for an answer that is not what the method returns."""
        return ChainUnreachable(
            f"chain endpoint {self.place} answered {method} with something else than it returns; "
            "check that it is an Ethereum JSON-RPC endpoint."
        )


def _revert_data(failure: Any) -> bytes | None:
    """What a reverted call returned; None when the failure is the endpoint's own.

    geth, Besu and anvil give `data` as hexadecimal text, some proxies nest it once more, others write
    "Reverted 0x…"; a revert without a reason has only its message or code 3.
    """
    if not isinstance(failure, Mapping):
        return None
    data = failure.get("data")
    if isinstance(data, Mapping):
        data = data.get("data")
    if isinstance(data, str) and (found := _REVERT_DATA.fullmatch(data)):
        return bytes.fromhex(found.group(1)[2:])
    return b"" if failure.get("code") == 3 or "revert" in str(failure.get("message", "")).lower() else None
