"""A wallet that is a contract (contracts/test/TwoOwners.sol), on a chain of its test's own."""

import importlib.util
import json
import subprocess
from functools import cache
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from policy.chain.endpoint import Endpoint
from policy.chain.sender import Sender
from policy.chain.signing import address_of, sign_agreement

CONTRACTS = Path(__file__).parents[2] / "contracts"
SOURCE = "test/TwoOwners.sol"


@cache
def creation_code():
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    request = {
        "language": "Solidity", "sources": {SOURCE: {"content": (CONTRACTS / SOURCE).read_text(encoding="utf-8")}},
        "settings": {**build.SETTINGS, "outputSelection": {SOURCE: {"*": ["evm.bytecode.object"]}}},
    }
    command = [
        build.node_executable(), "node_modules/solc/solc.js", "--standard-json", "--base-path", ".", "--include-path",
        "node_modules",
    ]
    printed = subprocess.run(
        command, cwd=CONTRACTS, input=json.dumps(request), capture_output=True, text=True, check=True, timeout=120,
    ).stdout
    answer = json.loads(printed[printed.index("{"):])
    assert not [error for error in answer.get("errors", []) if error["severity"] == "error"]
    return bytes.fromhex(answer["contracts"][SOURCE]["TwoOwners"]["evm"]["bytecode"]["object"])


class Wallet:
    """One that stands on a world's chain; its owners are two keys."""

    def __init__(self, world, owners, address):
        self.world, self.owners, self.address = world, owners, address

    @classmethod
    async def create(cls, world, owners):
        arguments = encode(["address", "address"], [address_of(key) for key in owners])
        async with Endpoint(world.chain.url, 10) as endpoint:
            sender = Sender(endpoint, owners[0], world.deployment.chain_id)
            return cls(world, owners, await sender.send("wallet", None, creation_code() + arguments, 2_000_000))

    def signature(self, proposal):
        """Both owners'."""
        return b"".join(sign_agreement(self.world.deployment, proposal, key) for key in self.owners)

    async def send(self, call):
        """What `--call` printed, sent by the first owner through the wallet."""
        assert (int(call["value"], 16), call["chainId"]) == (0, self.world.deployment.chain_id)
        arguments = encode(["address", "bytes"], [call["to"], bytes.fromhex(call["data"][2:])])
        async with Endpoint(self.world.chain.url, 10) as endpoint:
            sender = Sender(endpoint, self.owners[0], self.world.deployment.chain_id)
            await sender.send("execute", self.address, keccak(text="execute(address,bytes)")[:4] + arguments, 1_000_000)
