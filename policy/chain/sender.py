"""Transactions of one account: explicit nonces, gas and fees; each is mined or an error.

An account is used by one process. Within it, transactions may be sent together: a lock hands out nonces in order.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rlp
from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak

from policy.chain.codec import refusal
from policy.chain.endpoint import Endpoint, Reverted
from policy.chain.errors import ChainTimeout, ChainUnreachable
from policy.chain.signing import private_key

MINED_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.1
_TYPE = b"\2"
"""Of a transaction with a maximal fee (EIP-2718, EIP-1559)."""


@dataclass(frozen=True)
class Transaction:
    """A transaction of EIP-1559 without an access list; its fees are wei for each unit of gas."""

    chain_id: int
    nonce: int
    max_fee: int
    max_priority_fee: int
    gas: int
    to: str | None
    """An address; None creates a contract."""
    value_wei: int
    data: bytes

    def signed(self, key: PrivateKey) -> bytes:
        """As it is sent.

        Raises:
            ValueError: `to` is not an address.
        """
        content: list[Any] = [
            self.chain_id, self.nonce, self.max_priority_fee, self.max_fee, self.gas,
            b"" if self.to is None else to_canonical_address(self.to), self.value_wei, self.data, [],
        ]
        v, r, s = key.sign_msg_hash(keccak(_TYPE + rlp.encode(content))).vrs
        return bytes(_TYPE + rlp.encode([*content, v, r, s]))


class Sender:
    """Signs and sends for one key."""

    def __init__(self, endpoint: Endpoint, key: bytes, chain_id: int) -> None:
        self._endpoint = endpoint
        self._key = private_key(key)
        self._chain_id = chain_id
        self._lock = asyncio.Lock()
        self.address = str(self._key.public_key.to_checksum_address())

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
        transaction = Transaction(
            # Twice the base fee lasts six full blocks; no tip: the chains meant here have no market for space.
            self._chain_id, nonce, max_fee=2 * head.base_fee_wei, max_priority_fee=0, gas=gas, to=to,
            value_wei=value_wei, data=data,
        )
        sent = await self._endpoint.call("eth_sendRawTransaction", "0x" + transaction.signed(self._key).hex())
        if not isinstance(sent, str):
            raise self._endpoint.malformed("eth_sendRawTransaction")
        return sent
