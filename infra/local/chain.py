"""The embedded chain: anvil on a free loopback port. One operator, a key everybody knows: for demos and tests only.

`finalized` is a label here, two blocks behind the head: one process makes the blocks, so there is no consensus.
"""

import http.client
import json
import os
import secrets
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.local.children import free_port, spawn_tied, stop
from infra.local.errors import LocalError

ANVIL_VARIABLE = "WINNOW_ANVIL"
"""Environment variable with the path of another anvil binary."""
DEV_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
"""First account of anvil's published mnemonic; it pays for gas on this chain and is nobody's identity."""
REPLAY_BLOCK_SECONDS = 0.25
LIVE_BLOCK_SECONDS = 1.0

_MNEMONIC = "test test test test test test test test test test test junk"
_PACKAGED = Path("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
_ATTEMPTS = 3
_READY_SECONDS = 10.0
_REQUEST_SECONDS = 2.0
_MAX_ANSWER = 1 << 16
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxy the environment names, this chain is on our own loopback."""


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


class EmbeddedChain:
    """An Ethereum chain as a child process, with a chain id of its own so that no signature fits another.

    with EmbeddedChain(folder, block_seconds=0.25) as chain:
        … chain.url …
    """

    def __init__(self, folder: Path, block_seconds: float = LIVE_BLOCK_SECONDS) -> None:
        self.folder = folder
        self.block_seconds = block_seconds
        self.chain_id = secrets.randbelow(1 << 30) + (1 << 30)
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """HTTP JSON-RPC endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start and wait until our own chain answers; main thread only.

        Raises:
            LocalError: no binary, or it did not become ready.
        """
        binary = anvil_binary()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.folder / "chain.log"
        for _ in range(_ATTEMPTS):
            self.port = free_port()
            self.process = spawn_tied(
                [
                    str(binary), "--host", "127.0.0.1", "--port", str(self.port), "--chain-id", str(self.chain_id),
                    "--slots-in-an-epoch", "1",  # finalized = head - 2; anvil's own default is 64
                    "--block-time", str(self.block_seconds),  # with one block a transaction nothing becomes final
                    "--mnemonic", _MNEMONIC, "--accounts", "1", "--hardfork", "cancun", "--no-cors", "--quiet",
                ],
                log, self.folder,
            )
            limit = time.monotonic() + _READY_SECONDS
            while time.monotonic() < limit and self.alive:
                if self._answers():
                    return self
                time.sleep(0.01)
            stop(self.process)
        code = self.process.returncode if self.process else None
        raise LocalError(f"the embedded chain was not ready after {_ATTEMPTS} attempts (exit {code}); see {log}")

    def _answers(self) -> bool:
        """Whether our own chain answers: its random chain id tells it from another listener on the port."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})  # noqa: S310 - loopback
        try:
            with _DIRECT.open(request, timeout=_REQUEST_SECONDS) as answer:
                found: Any = json.loads(answer.read(_MAX_ANSWER))
            return int(found["result"], 16) == self.chain_id
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return False

    def stop(self) -> None:
        """End the process; safe to call twice."""
        if self.process is not None:
            stop(self.process)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
