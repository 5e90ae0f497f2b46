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
from policy.chain.codec import decode_event, decode_result, encode_call, refusal
from policy.chain.endpoint import Endpoint, Reverted
from policy.chain.errors import ChainMismatch, ChainTimeout
from policy.chain.events import Event, check_events
from policy.chain.finality import CLIENTS_OWN, MAX_HEAD_AGE_SECONDS, Finality, final_block
from policy.chain.model import (
    MAX_ACCOUNTS,
    NOBODY,
    STAGES,
    STATES,
    AgreementView,
    At,
    Attested,
    Block,
    Deployment,
    Requester,
    RunView,
    State,
    check_fresh,
    to_bytes32,
)
from policy.chain.signing import agreement_id

T = TypeVar("T")

REQUEST_TIMEOUT_SECONDS = 10.0
"""An endpoint on a machine that does too much at once still answers within this."""
POLL_SECONDS = 0.04
"""Three nodes look for finality at once, and the last one sets the pace."""
KNOWN_BLOCKS = 8
BLOCKS_PER_CALL = 5_000
"""Of logs: Besu answers no more by default, others take as many."""
RUNS_PER_CALL = 64
"""About 2 million gas when new: a fraction of a block. The contract takes 128."""


class RegistryReader:
    """One deployed registry behind one endpoint; belongs to one event loop. Close it, or use `async with`.

    Args:
        url: HTTP JSON-RPC endpoint of this organisation's own chain node.
        deployment: the pinned registry.
        timeout_seconds: for each request.
        max_head_age_seconds: a newest block further from this machine's clock is refused.
        finality: which block "finalized" is.
    """

    def __init__(
        self, url: str, deployment: Deployment, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        max_head_age_seconds: float = MAX_HEAD_AGE_SECONDS, finality: Finality = CLIENTS_OWN,
    ) -> None:
        self.deployment = deployment
        self._finality = finality
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
        found = await self._find(at)
        await self._check(found)
        return found

    async def view(self, agreement: str, at: At = "finalized") -> AgreementView:
        """An agreement, all of it at one block. State "unknown": not proposed there.

        Raises:
            ChainError: see policy.chain.errors.
        """
        block = await self._find(at)
        if (known := self._views.get((agreement, block.hash))) is not None:
            return known
        view = self._view(block, *await self._read(block, ("agreement", to_bytes32(agreement))))
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
        block, parts = await self._find(at), list(chunks(runs))
        told = await self._read(block, *(
            ("authorisations", to_bytes32(agreement), [to_bytes32(run) for run in chunk]) for chunk in parts
        ))
        found: dict[str, int] = {}
        for chunk, numbers in zip(parts, told, strict=True):
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

    async def run(self, agreement: str, run: str, at: At = "finalized") -> RunView:
        """Where a run stands. Stage "unknown": it was never authorised.

        Raises:
            ChainError: see policy.chain.errors.
        """
        ((stage, sequence, (_, requester, budget), released, attested, root),) = await self._read(
            await self._find(at), ("run", to_bytes32(agreement), to_bytes32(run))
        )
        return RunView(
            stage=self._one_of(STAGES, stage), sequence=sequence,
            requester=None if requester == NOBODY else to_checksum_address(requester), budget=budget,
            given_up=_bits(released), attested=_bits(attested), commitment=root.hex() if any(root) else None,
        )

    async def attestation(self, agreement: str, run: str, attestor: str, at: At = "finalized") -> Attested | None:
        """What an attestor recorded for a run, None when nothing.

        Raises:
            ChainError: see policy.chain.errors.
        """
        ((block_hash, transcript),) = await self._read(await self._find(at), (
            "attestation", to_bytes32(agreement), to_bytes32(run), to_checksum_address(attestor)
        ))
        return Attested(block_hash.hex(), transcript.hex()) if any(transcript) else None

    async def events(self, agreement: str, first: int = 0, at: At = "finalized") -> tuple[Event, ...]:
        """What happened to an agreement, in order, from block `first` up to and including `at`.

        An endpoint that leaves events out is found out by what the contract tells of the state at the end, as far as
        that shows them: signatures, how the agreement stands, and from its beginning the number of its authorisations.

        Raises:
            ChainMismatch: what is told does not lead to the state at that block.
            ChainError: see policy.chain.errors.
        """
        last = await self.block(at)
        found: list[Event] = []
        for start in range(first, last.number + 1, BLOCKS_PER_CALL):
            stop = min(start + BLOCKS_PER_CALL - 1, last.number)
            logs = await self._endpoint.call("eth_getLogs", {
                "address": self.deployment.address, "fromBlock": hex(start), "toBlock": hex(stop),
                "topics": [None, "0x" + to_bytes32(agreement).hex()],
            })
            found.extend(self._event(log, agreement, start, stop) for log in self._list(logs))
        found.sort(key=lambda event: event.place)
        check_events(found, await self.view(agreement, last.number), whole=first == 0)
        return tuple(found)

    async def wait_state(
        self, agreement: str, state: State, timeout_seconds: float | None = None, at: At = "finalized"
    ) -> AgreementView:
        """Wait until the agreement is in `state`, as long as a block may take to be final unless said otherwise.

        Raises:
            ChainTimeout: not in time.
            ChainError: see policy.chain.errors.
        """
        async def look() -> AgreementView | None:
            view = await self.view(agreement, at)
            return view if view.state == state else None

        return await wait(look, self._patience(timeout_seconds), f"agreement {agreement[:16]} to be {state} at {at}")

    async def wait_authorised(
        self, agreement: str, runs: Sequence[str], timeout_seconds: float | None = None, at: At = "finalized",
    ) -> dict[str, int]:
        """Wait until all runs are authorised, as long as `wait_state` does; returns their sequence numbers.

        Raises:
            ChainTimeout: not in time.
            ChainError: see policy.chain.errors.
        """
        wanted = set(runs)

        async def look() -> dict[str, int] | None:
            found = await self.authorisations(agreement, runs, at)
            return found if found.keys() == wanted else None

        return await wait(look, self._patience(timeout_seconds), f"{len(wanted)} runs to be authorised at {at}")

    def _patience(self, timeout_seconds: float | None) -> float:
        return self._finality.seconds if timeout_seconds is None else timeout_seconds

    def _list(self, logs: Any) -> list[Any]:
        if not isinstance(logs, list):
            raise self._endpoint.malformed("eth_getLogs")
        return logs

    def _event(self, log: Any, agreement: str, first: int, last: int) -> Event:
        """One log, which must be what was asked for."""
        try:
            name, values = decode_event(
                [bytes.fromhex(topic[2:]) for topic in log["topics"]], bytes.fromhex(log["data"][2:])
            )
            event = Event(
                place=(int(log["blockNumber"], 16), int(log["logIndex"], 16)), name=name,
                block_hash=bytes.fromhex(log["blockHash"][2:]).hex(),
                transaction=bytes.fromhex(log["transactionHash"][2:]).hex(),
                values={key: value.hex() if isinstance(value, bytes) else value for key, value in values.items()},
            )
            address = to_checksum_address(log["address"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._endpoint.malformed("eth_getLogs") from None
        asked = address == to_checksum_address(self.deployment.address) and event.values["id"] == agreement
        if not asked or not first <= event.block_number <= last:
            raise self._endpoint.malformed("eth_getLogs")
        return event

    def _view(self, block: Block, found: Any) -> AgreementView:
        """An agreement from what the contract tells of it."""
        content, state, version, signed, suspended, latest, runs_used, budget_spent, requester_runs = found
        (
            terms_hash, supersedes, parties, attestors, requesters, valid_from, valid_until, run_quota, privacy_budget,
        ) = content
        everyone = tuple(map(to_checksum_address, parties))
        if len(requester_runs) != len(requesters):
            raise self._endpoint.malformed("eth_call of agreement")
        return AgreementView(
            block_number=block.number, block_hash=block.hash, block_time=block.time,
            state=self._one_of(STATES, state), terms_hash=terms_hash.hex(), parties=everyone,
            attestors=tuple(map(to_checksum_address, attestors)),
            missing=tuple(party for i, party in enumerate(everyone) if not signed >> i & 1),
            valid_from=valid_from, valid_until=valid_until, run_quota=run_quota, runs_used=runs_used,
            requesters=tuple(Requester(to_checksum_address(account), quota) for account, quota in requesters),
            requester_runs=tuple(requester_runs), privacy_budget=privacy_budget, budget_spent=budget_spent,
            supersedes=supersedes.hex() if any(supersedes) else None, version=version,
            latest=latest.hex() if any(latest) else None,
            suspended_by=tuple(party for i, party in enumerate(everyone) if suspended >> i & 1),
        )

    def _one_of(self, names: tuple[T, ...], number: int) -> T:
        if number >= len(names):
            raise self._endpoint.malformed("eth_call of the registry")
        return names[number]

    async def _find(self, at: At) -> Block:
        """A block, of which nothing is known yet but that its time is right."""
        if at == "finalized":
            return await final_block(self._endpoint, self._finality, self._max_head_age_seconds)
        found = await self._endpoint.block(at)
        if at == "latest":
            check_fresh(found, time.time(), self._max_head_age_seconds)
        return found

    async def _check(self, block: Block) -> None:
        """Refuse a block of another chain, or in which another contract stands."""
        if block.hash in self._good_blocks:
            return
        code, _ = await asyncio.gather(
            self._endpoint.data("eth_getCode", self.deployment.address, pinned(block)),
            self._endpoint.check_chain(self.deployment.chain_id),
        )
        self._check_code(code)
        self._good_blocks.append(block.hash)

    async def _read(self, block: Block, *calls: tuple[Any, ...]) -> list[Any]:
        """What functions (name, arguments) return at a block, which is checked meanwhile: else nothing is told."""
        ended = await asyncio.gather(
            self._check(block), *(self._call(block, *call) for call in calls), return_exceptions=True
        )
        for found in ended:
            if isinstance(found, BaseException):
                raise found
        return ended[1:]

    async def _call(self, block: Block, function: str, *arguments: Any) -> Any:
        call = {"to": self.deployment.address, "data": "0x" + encode_call(function, *arguments).hex()}
        try:
            return decode_result(function, await self._endpoint.data("eth_call", call, pinned(block)))
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


def _bits(flags: int) -> tuple[int, ...]:
    """Places of the bits that are set, of at most 8."""
    return tuple(place for place in range(MAX_ACCOUNTS) if flags >> place & 1)


def pinned(block: Block) -> dict[str, Any]:
    """The block parameter that reads at this block and no other of its height (EIP-1898)."""
    return {"blockHash": "0x" + block.hash, "requireCanonical": True}
