"""The embedded chain: anvil on a free loopback port. One operator, a key everybody knows: for demos and tests only.

`finalized` is a label here, two blocks behind the head: one process makes the blocks, so there is no consensus.
"""

import http.client
import json
import os
import secrets
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from infra.local.errors import LocalError
from infra.local.server import MAX_ANSWER_BYTES, EmbeddedServer

ANVIL_VARIABLE = "WINNOW_ANVIL"
"""Environment variable with the path of another anvil binary."""
DEV_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
"""First account of anvil's published mnemonic; it pays for gas on this chain and is nobody's identity."""
REPLAY_BLOCK_SECONDS = 0.25
LIVE_BLOCK_SECONDS = 1
KEPT_STATES = 900
"""Blocks of which the state can be read; anvil holds each in a file, of 150 bytes for every block so far."""

_MNEMONIC = "test test test test test test test test test test test junk"
_PACKAGED = Path("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
_REQUEST_SECONDS = 2.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxy the environment names, this chain is on our own loopback."""
_NO_ANSWER = OSError, http.client.HTTPException, ValueError, KeyError


def anvil_binary() -> Path:
    """Where anvil is: WINNOW_ANVIL, else what `npm ci` put into contracts/.

    Raises:
        LocalError: it is in neither place.
    """
    named = os.environ.get(ANVIL_VARIABLE)
    path = Path(named) if named else Path(__file__).resolve().parents[2] / _PACKAGED
    if not (path.is_file() and os.access(path, os.X_OK)):
        origin = f"{ANVIL_VARIABLE} names" if named else "the embedded chain needs"
        raise LocalError(
            f"{origin} {path}, which is not an executable file; run `make setup`, or set {ANVIL_VARIABLE} to anvil."
        )
    return path


class EmbeddedChain(EmbeddedServer):
    """An Ethereum chain with a chain id of its own, so that no signature fits another."""

    name = "chain"

    def __init__(self, folder: Path, block_seconds: float = LIVE_BLOCK_SECONDS) -> None:
        super().__init__(folder)
        self.block_seconds = block_seconds
        self.chain_id = secrets.randbelow(1 << 30) + (1 << 30)

    @property
    def _states(self) -> Path:
        return self.folder / "states"

    @property
    def url(self) -> str:
        """HTTP JSON-RPC endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """anvil, with finalized two blocks behind the head."""
        return [
            str(anvil_binary()), "--cache-path", str(self._states), "--max-persisted-states", str(KEPT_STATES),
            "--host", "127.0.0.1", "--port", str(self.port), "--chain-id", str(self.chain_id),
            "--slots-in-an-epoch", "1",  # finalized = head - 2; anvil's own default is 64
            "--block-time", str(self.block_seconds),  # with one block a transaction nothing becomes final
            "--mnemonic", _MNEMONIC, "--accounts", "1", "--hardfork", "cancun", "--no-cors", "--quiet",
        ]

    def answers(self) -> bool:
        """Its random chain id tells our own chain from another listener on the port."""
        try:
            return int(self._call("eth_chainId"), 16) == self.chain_id
        except (*_NO_ANSWER, TypeError):
            return False

    def stop(self) -> None:
        """End it, and remove the states that it leaves behind."""
        super().stop()
        shutil.rmtree(self._states, ignore_errors=True)

    def slow_down(self) -> None:
        """Make blocks no faster than a chain that is in use: what anvil keeps on disk grows with their number.

        Raises:
            LocalError: it does not answer.
        """
        try:
            self._call("evm_setIntervalMining", LIVE_BLOCK_SECONDS)
        except _NO_ANSWER as error:
            raise LocalError(f"the embedded chain at {self.url} does not answer: {error}.") from error

    def _call(self, method: str, *parameters: object) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})  # noqa: S310 - loopback
        with _DIRECT.open(request, timeout=_REQUEST_SECONDS) as answer:
            return json.loads(answer.read(MAX_ANSWER_BYTES))["result"]
