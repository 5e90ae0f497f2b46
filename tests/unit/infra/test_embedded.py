import asyncio
import json
import signal
import socket
import time
import urllib.request

import pytest

from infra.local.broker import EmbeddedBroker
from infra.local.chain import DEV_KEY, EmbeddedChain, anvil_binary
from infra.local.errors import LocalError
from streams.broker import Broker, watch
from streams.errors import BrokerError
from tests.support.sockets import Listener, listeners

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def rpc(url, method, *parameters):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with OPENER.open(request, timeout=5) as answer:
        return json.load(answer)["result"]


def test_the_chain_listens_on_loopback_makes_blocks_and_ends(tmp_path):
    with EmbeddedChain(tmp_path / "chain", 0.1) as chain:
        assert listeners(chain.process.pid) == {Listener("tcp", "127.0.0.1", chain.port)}
        assert int(rpc(chain.url, "eth_chainId"), 16) == chain.chain_id
        limit = time.monotonic() + 5
        while int(rpc(chain.url, "eth_getBlockByNumber", "finalized", False)["number"], 16) < 2:
            assert time.monotonic() < limit
            time.sleep(0.05)
        before, final, after = (
            int(rpc(chain.url, "eth_getBlockByNumber", name, False)["number"], 16) for name in ("latest", "finalized", "latest")
        )
        assert before - 2 <= final <= after - 1
    assert not chain.alive
    chain.stop()


def test_the_chain_forgets_what_was_long_ago_and_leaves_no_file_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("infra.local.chain.KEPT_STATES", 7)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with EmbeddedChain(tmp_path / "chain", 1) as chain:
        for _ in range(15):
            rpc(chain.url, "anvil_mine", hex(200))
        account, final = rpc(chain.url, "eth_accounts")[0], int(rpc(chain.url, "eth_blockNumber"), 16) - 5
        assert int(rpc(chain.url, "eth_getBalance", account, hex(final)), 16) > 0
        with pytest.raises(KeyError, match="result"):
            rpc(chain.url, "eth_getBalance", account, hex(final - 2000))
        assert 0 < len(list((tmp_path / "chain" / "states").rglob("*.json"))) <= 7
    assert not (tmp_path / "home").exists()
    assert [path.name for path in (tmp_path / "chain").iterdir()] == ["chain.log"]


def test_the_chain_slows_down(tmp_path):
    with EmbeddedChain(tmp_path / "chain", 0.1) as chain:
        chain.slow_down()
        first, began = int(rpc(chain.url, "eth_blockNumber"), 16), time.monotonic()
        made = 0
        while time.monotonic() - began < 2.5 or not made:
            assert time.monotonic() < began + 20
            time.sleep(0.1)
            made = int(rpc(chain.url, "eth_blockNumber"), 16) - first
        assert made <= time.monotonic() - began + 1
    with pytest.raises(LocalError, match="does not answer"):
        chain.slow_down()


def test_two_chains_never_share_an_id(tmp_path):
    assert EmbeddedChain(tmp_path).chain_id != EmbeddedChain(tmp_path).chain_id


def test_the_dev_key_is_the_funded_account(tmp_path):
    from policy.chain.signing import address_of

    with EmbeddedChain(tmp_path / "chain", 1) as chain:
        assert [a.lower() for a in rpc(chain.url, "eth_accounts")] == [address_of(DEV_KEY).lower()]


def test_a_missing_anvil_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("WINNOW_ANVIL", str(tmp_path / "nothing"))
    with pytest.raises(LocalError, match="make setup"):
        EmbeddedChain(tmp_path / "chain").start()


def test_a_named_anvil_is_used(tmp_path, monkeypatch):
    binary = tmp_path / "anvil"
    binary.write_text("#!/bin/sh\nexit 3\n")
    binary.chmod(0o700)
    monkeypatch.setenv("WINNOW_ANVIL", str(binary))
    assert anvil_binary() == binary
    with pytest.raises(LocalError, match=r"exit 3"):
        EmbeddedChain(tmp_path / "chain").start()


def test_the_death_of_the_chain_is_seen(tmp_path):
    with EmbeddedChain(tmp_path / "chain", 1) as chain:
        assert chain.alive
        chain.process.send_signal(signal.SIGKILL)
        chain.process.wait(5)
        assert not chain.alive


async def test_the_broker_listens_on_loopback_and_its_death_is_seen(tmp_path):
    with EmbeddedBroker(tmp_path / "broker") as broker:
        assert listeners(broker.process.pid) == {Listener("tcp", "127.0.0.1", broker.port)}
        watching = asyncio.create_task(watch(Broker(broker.address)))
        done, _ = await asyncio.wait({watching}, timeout=0.2)
        assert not done
        broker.process.send_signal(signal.SIGKILL)
        with pytest.raises(BrokerError, match="is gone"):
            await asyncio.wait_for(watching, 2)
    assert not broker.alive


def test_the_broker_ends_although_a_client_holds_a_connection(tmp_path):
    with EmbeddedBroker(tmp_path / "broker") as broker, socket.create_connection(("127.0.0.1", broker.port)):
        start = time.monotonic()
        broker.stop()
        assert time.monotonic() - start < 2
    assert not broker.alive
