"""Reading the agreement registry.

Every read checks chain, code and freshness, and is pinned to one block's hash.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from policy.chain.artifact import registry_artifact
from policy.chain.codec import decode_result, encode_call, refusal
from policy.chain.endpoint import Endpoint, Reverted
from policy.chain.errors import ChainMismatch, ChainTimeout
from policy.chain.model import STATES, AgreementView, At, Block, Deployment, State, check_fresh, to_bytes32
from policy.chain.signing import agreement_id

REQUEST_TIMEOUT_SECONDS = 10.0
"""An endpoint on a machine that does too much at once still answers within this."""
MAX_HEAD_AGE_SECONDS = 120.0
"""Blocks come every second or few; a proof-of-authority chain may miss some, and clocks differ."""
FINAL_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.04
"""Three nodes look for finality at once, and the last one sets the pace."""
KNOWN_BLOCKS = 8
RUNS_PER_CALL = 64
"""About 2 million gas when new: a fraction of a block. The contract takes 128."""


class RegistryReader:
    """One deployed registry behind one endpoint; belongs to one event loop. Close it, or use `async with`.

    Args:
        url: HTTP JSON-RPC endpoint of this organisation's own chain node.
        deployment: the pinned registry.
        timeout_seconds: for each request.
        max_head_age_seconds: a newest block further from this machine's clock is refused.
    """

    def __init__(
        self, url: str, deployment: Deployment, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        max_head_age_seconds: float = MAX_HEAD_AGE_SECONDS,
    ) -> None:
        self.deployment = deployment
        self._endpoint = Endpoint(url, timeout_seconds)
        self._max_head_age_seconds = max_head_age_seconds
        self._good_code: bytes | None = None
        self._good_blocks: deque[str] = deque(maxlen=KNOWN_BLOCKS)
        """Hashes of blocks at which chain and code were the pinned ones; what a hash stands for does not change."""
        self._views: OrderedDict[tuple[str, str], AgreementView] = OrderedDict()
        """(agreement, block hash) → what was read there, for the same reason; the oldest go first."""

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._endpoint.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def block(self, at: At) -> Block:
        """A block of the pinned chain, in which the pinned registry stands; a tagged one must be fresh.

        Nodes compare the hashes of final blocks with each other by number.

        Raises:
            ChainError: see policy.chain.errors.
        """
        found = await self._endpoint.block(at)
        if isinstance(at, str):
            check_fresh(found, time.time(), self._max_head_age_seconds)
        if found.hash not in self._good_blocks:
            code, _ = await asyncio.gather(
                self._endpoint.data("eth_getCode", self.deployment.address, _pinned(found)),
                self._endpoint.check_chain(self.deployment.chain_id),
            )
            self._check_code(code)
            self._good_blocks.append(found.hash)
        return found

    async def view(self, agreement: str, at: At = "finalized") -> AgreementView:
        """An agreement, all of it at one block. State "unknown": not proposed there.

        Raises:
            ChainError: see policy.chain.errors.
        """
        block = await self.block(at)
        if (known := self._views.get((agreement, block.hash))) is not None:
            return known
        terms_hash, parties, attestors, valid_from, valid_until, quota, used, signed, state = await self._read(
            block, "agreement", to_bytes32(agreement)
        )
        if state >= len(STATES):
            raise self._endpoint.malformed("eth_call of agreement")
        view = AgreementView(
            block_number=block.number, block_hash=block.hash, block_time=block.time, state=STATES[state],
            terms_hash=terms_hash.hex(), parties=tuple(map(to_checksum_address, parties)),
            attestors=tuple(map(to_checksum_address, attestors)),
            missing=tuple(to_checksum_address(p) for i, p in enumerate(parties) if not signed >> i & 1),
            valid_from=valid_from, valid_until=valid_until, run_quota=quota, runs_used=used,
        )
        if view.state != "unknown" and agreement_id(self.deployment, view.proposal) != agreement:
            raise ChainMismatch(
                f"the contents under agreement {agreement[:16]} do not hash to its id; the endpoint answers wrongly, "
                "do not use it."
            )
        self._views[agreement, block.hash] = view
        while len(self._views) > KNOWN_BLOCKS:
            self._views.popitem(last=False)
        return view

    async def authorisations(self, agreement: str, runs: Sequence[str], at: At = "finalized") -> dict[str, int]:
        """Sequence numbers (from 1) of those runs that are authorised, all read at one block.

        Raises:
            ChainError: see policy.chain.errors.
        """
        block = await self.block(at)
        found: dict[str, int] = {}
        for chunk in chunks(runs):
            numbers = await self._read(
                block, "authorisations", to_bytes32(agreement), [to_bytes32(run) for run in chunk]
            )
            if len(numbers) != len(chunk):
                raise self._endpoint.malformed("eth_call of authorisations")
            found |= {run: number for run, number in zip(chunk, numbers, strict=True) if number}
        return found

    async def authorisation(self, agreement: str, run: str, at: At = "finalized") -> int | None:
        """A run's sequence number (from 1), None when it is not authorised.

        Raises:
            ChainError: see policy.chain.errors.
        """
        return (await self.authorisations(agreement, [run], at)).get(run)

    async def attestation(self, agreement: str, run: str, attestor: str, at: At = "finalized") -> str | None:
        """What an attestor recorded for a run, None when nothing.

        Raises:
            ChainError: see policy.chain.errors.
        """
        found = await self._read(
            await self.block(at), "attestation", to_bytes32(agreement), to_bytes32(run), to_checksum_address(attestor)
        )
        return found.hex() if any(found) else None

    async def commitment(self, agreement: str, run: str, at: At = "finalized") -> str | None:
        """The root of a run's outputs, None when none.

        Raises:
            ChainError: see policy.chain.errors.
        """
        found = await self._read(await self.block(at), "commitment", to_bytes32(agreement), to_bytes32(run))
        return found.hex() if any(found) else None

    async def wait_state(
        self, agreement: str, state: State, timeout_seconds: float = FINAL_TIMEOUT_SECONDS, at: At = "finalized"
    ) -> AgreementView:
        """Wait until the agreement is in `state`.

        Raises:
            ChainTimeout: not in time.
            ChainError: see policy.chain.errors.
        """
        async def look() -> AgreementView | None:
            view = await self.view(agreement, at)
            return view if view.state == state else None

        return await wait(look, timeout_seconds, f"agreement {agreement[:16]} to be {state} at {at}")

    async def wait_authorised(
        self, agreement: str, runs: Sequence[str], timeout_seconds: float = FINAL_TIMEOUT_SECONDS,
        at: At = "finalized",
    ) -> dict[str, int]:
        """Wait until all runs are authorised; returns their sequence numbers.

        Raises:
            ChainTimeout: not in time.
            ChainError: see policy.chain.errors.
        """
        wanted = set(runs)

        async def look() -> dict[str, int] | None:
            found = await self.authorisations(agreement, runs, at)
            return found if found.keys() == wanted else None

        return await wait(look, timeout_seconds, f"{len(wanted)} runs to be authorised at {at}")

    async def _read(self, block: Block, function: str, *arguments: Any) -> Any:
        call = {"to": self.deployment.address, "data": "0x" + encode_call(function, *arguments).hex()}
        try:
            return decode_result(function, await self._endpoint.data("eth_call", call, _pinned(block)))
        except Reverted as reverted:
            raise refusal(function, reverted.data) from None
        except ValueError:
            raise self._endpoint.malformed(f"eth_call of {function}") from None

    def _check_code(self, code: bytes) -> None:
        if self._good_code is not None and code == self._good_code:
            return
        registry_artifact().check_code(code)
        found = keccak(code).hex()
        if found != self.deployment.code_hash:
            raise ChainMismatch(
                f"the registry's code has hash {found[:16]}, pinned is {self.deployment.code_hash[:16]}: it was "
                "deployed anew or for another chain; check the pinned deployment."
            )
        self._good_code = code


T = TypeVar("T")


async def wait(look: Callable[[], Awaitable[T | None]], timeout_seconds: float, what: str) -> T:
    """Look until there is something.

    Raises:
        ChainTimeout: nothing in time.
    """
    limit = time.monotonic() + timeout_seconds
    while (found := await look()) is None:
        if time.monotonic() > limit:
            raise ChainTimeout(
                f"waited {timeout_seconds:g} s for {what}; check that the chain makes blocks and finalises them."
            )
        await asyncio.sleep(POLL_SECONDS)
    return found


def chunks(runs: Sequence[str]) -> Iterator[Sequence[str]]:
    """Runs in groups that fit one call."""
    return (runs[start : start + RUNS_PER_CALL] for start in range(0, len(runs), RUNS_PER_CALL))


def _pinned(block: Block) -> dict[str, Any]:
    """The block parameter that reads at this block and no other of its height (EIP-1898)."""
    return {"blockHash": "0x" + block.hash, "requireCanonical": True}
