"""Setting a chain up: deploy the registry, give accounts something to pay with."""

import asyncio
from collections.abc import Sequence

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from policy.chain.artifact import registry_artifact
from policy.chain.endpoint import Endpoint
from policy.chain.finality import CLIENTS_OWN, Finality, final_block
from policy.chain.model import Deployment
from policy.chain.reader import REQUEST_TIMEOUT_SECONDS, pinned, wait
from policy.chain.sender import Sender

_GAS_DEPLOY = 6_000_000
_GAS_TRANSFER = 21_000
FUNDS_WEI = 10**19
"""Ten ether: thousands of transactions at the embedded chain's price of about one gwei."""


async def deploy(
    url: str, key: bytes, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS, finality: Finality = CLIENTS_OWN
) -> Deployment:
    """Deploy the registry of the committed artifact and wait until it is final.

    Args:
        url: HTTP JSON-RPC endpoint.
        key: pays; it gets no right whatever over the contract.
        timeout_seconds: for each request.
        finality: which block is final.

    Raises:
        policy.errors.ChainError: see policy.chain.errors.
    """
    artifact = registry_artifact()
    async with Endpoint(url, timeout_seconds) as endpoint:
        chain_id = await endpoint.number("eth_chainId")
        created = await Sender(endpoint, key, chain_id).send("deployment", None, artifact.bytecode, _GAS_DEPLOY)
        if created is None:
            raise endpoint.malformed("eth_getTransactionReceipt")

        async def look() -> bytes | None:
            block = await final_block(endpoint, finality)
            return await endpoint.data("eth_getCode", created, pinned(block)) or None

        code = await wait(look, finality.seconds, "the registry's deployment to be final")
    artifact.check_code(code)
    return Deployment(address=to_checksum_address(created), chain_id=chain_id, code_hash=keccak(code).hex())


async def fund(
    url: str, key: bytes, addresses: Sequence[str], wei: int = FUNDS_WEI,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
) -> None:
    """Give accounts money on a demo chain, all at once.

    Raises:
        policy.errors.ChainError: see policy.chain.errors.
    """
    async with Endpoint(url, timeout_seconds) as endpoint:
        sender = Sender(endpoint, key, await endpoint.number("eth_chainId"))
        ended = await asyncio.gather(
            *(sender.send("transfer", address, b"", _GAS_TRANSFER, wei) for address in addresses),
            return_exceptions=True,
        )
    for error in ended:
        if isinstance(error, BaseException):
            raise error
