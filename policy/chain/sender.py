"""Transactions of one account: explicit nonces, gas and fees; each is mined or an error.

An account is used by one process. Within it, transactions may be sent together: a lock hands out nonces in order.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from eth_utils.address import to_checksum_address

from policy.chain.codec import refusal
from policy.chain.endpoint import Endpoint, Reverted
from policy.chain.errors import ChainTimeout, ChainUnreachable
from policy.chain.signing import account_of

MINED_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.1


class Sender:
    """Signs and sends for one key."""

    def __init__(self, endpoint: Endpoint, key: bytes, chain_id: int) -> None:
        self._endpoint = endpoint
        self._account = account_of(key)
        self._chain_id = chain_id
        self._lock = asyncio.Lock()
        self.address = str(self._account.address)

    async def send(
        self, what: str, to: str | None, data: bytes, gas: int, value_wei: int = 0,
        sent: Callable[[], None] | None = None,
    ) -> str | None:
        """Send a transaction and wait until it is mined.

        Args:
            what: the function's name, for messages.
            to: the contract or account; None creates a contract.
            data: call data, or creation code.
            gas: limit; the account must be able to pay for all of it.
            value_wei: what is sent along.
            sent: called when the endpoint has taken the transaction, before it is mined.

        Returns:
            The address of a created contract, else None.

        Raises:
            ChainRefusal: the contract refuses.
            ChainTimeout: not mined in time; it may still be.
            ChainUnreachable: the endpoint failed.
        """
        call = {"from": self.address, "data": "0x" + data.hex(), "value": hex(value_wei)}
        if to is not None:
            call["to"] = to
        await self._rehearse(what, call)
        async with self._lock:
            name = await self._submit(to, data, gas, value_wei)
        if sent is not None:
            sent()
        limit = time.monotonic() + MINED_TIMEOUT_SECONDS
        while (receipt := await self._endpoint.call("eth_getTransactionReceipt", name)) is None:
            if time.monotonic() > limit:
                raise ChainTimeout(
                    f"{what} was not mined within {MINED_TIMEOUT_SECONDS:g} s; check that the chain makes blocks "
                    "and that no other process uses this key, then try again."
                )
            await asyncio.sleep(POLL_SECONDS)
        try:
            succeeded, created = int(receipt["status"], 16) == 1, receipt.get("contractAddress")
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._endpoint.malformed("eth_getTransactionReceipt") from None
        if not succeeded:
            await self._rehearse(what, call)  # another transaction came first: the rule that it broke now shows
            raise ChainUnreachable(f"{what} failed when it was mined (gas limit {gas}) and passes now; try again.")
        return None if created is None else str(created)

    async def _rehearse(self, what: str, call: dict[str, str]) -> None:
        try:
            await self._endpoint.call("eth_call", call, "latest")
        except Reverted as reverted:
            raise refusal(what, reverted.data) from None

    async def _submit(self, to: str | None, data: bytes, gas: int, value_wei: int) -> str:
        nonce, head = await asyncio.gather(
            self._endpoint.number("eth_getTransactionCount", self.address, "pending"), self._endpoint.block("latest"),
        )
        # Clients take no transaction below a tip of their own choice, but where the chain's rules make gas free.
        tip = await self._endpoint.number("eth_maxPriorityFeePerGas") if head.base_fee_wei else 0
        transaction: dict[str, Any] = {
            "type": 2, "chainId": self._chain_id, "nonce": nonce, "gas": gas, "value": value_wei,
            "data": "0x" + data.hex(),
            # Twice the base fee lasts six full blocks.
            "maxFeePerGas": 2 * head.base_fee_wei + tip, "maxPriorityFeePerGas": tip,
        }
        if to is not None:
            transaction["to"] = to_checksum_address(to)
        signed = self._account.sign_transaction(transaction)
        sent = await self._endpoint.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        if not isinstance(sent, str):
            raise self._endpoint.malformed("eth_sendRawTransaction")
        return sent
