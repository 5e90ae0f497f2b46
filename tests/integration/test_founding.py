"""From a draft to the first results as docs/operating.md says: each organisation with its own commands, keys and files."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from evaluation.keys import private_folder, write_secret
from infra.local.broker import EmbeddedBroker
from infra.local.chain import DEV_KEY, EmbeddedChain
from policy.chain.deployment import fund
from policy.chain.signing import address_of
from tests.support.command import compare, winnow
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0, newcomers=0.03)
PARTIES = ("hospital", "insurer", "statistics")
NODES = ("node-0", "node-1", "node-2")
TEAM = "innovation-team"
SECONDS = 240


def free_ports(count):
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


class Organisation:
    """A folder of one role, and what it does there: nothing passes to others but the files that the test hands on."""

    def __init__(self, role, root):
        self.role, self.folder, self.config = role, private_folder(root / role), root / role / "config.toml"

    def draws(self, draft, *more):
        made, _ = winnow("agreement", "keys", draft, self.role, "-o", self.folder / "keys", *more, "--json")
        return Path(made["identity"])

    def puts_together(self, draft, identities):
        return winnow("agreement", "terms", draft, *identities, "-o", self.folder / "terms", "--json")[0]["terms_hash"]

    def acts(self, what, *more):
        winnow("agreement", what, self.config, "--key", self.folder / "keys" / "chain", *more)

    def phases(self):
        """What its process said that it does."""
        lines = (self.folder / "said").read_bytes().split(b"\n")[:-1]
        return [json.loads(line)["phase"] for line in lines]

    def runs(self, command, end):
        with (self.folder / "log").open("wb") as log, (self.folder / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "console.cli", command, "--config", str(self.config)], stdout=said, stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)}, cwd=Path(__file__).parents[2],
            )
        end.callback(process.wait, 30)
        end.callback(process.terminate)
        return process


@pytest.mark.timeout(600)
async def test_from_a_draft_to_results_by_the_commands_of_the_documentation(tmp_path):
    draft, data = AGREEMENTS / "quick.toml", generate(tmp_path / "data", shape=SHAPE).parties
    who = {role: Organisation(role, tmp_path) for role in (*PARTIES, *NODES, TEAM)}
    ports = dict(zip(NODES, free_ports(3), strict=True))
    identities = [who["hospital"].draws(draft)]
    link = who["hospital"].folder / "keys" / "link"
    identities += [who[party].draws(draft, "--link", link) for party in PARTIES[1:]]
    identities += [who[node].draws(draft, "--organisation", party, "--endpoint", f"127.0.0.1:{ports[node]}")
                   for node, party in zip(NODES, PARTIES, strict=True)]
    identities.append(who[TEAM].draws(draft))
    assert len({organisation.puts_together(draft, identities) for organisation in who.values()}) == 1

    with EmbeddedChain(tmp_path / "chain", 0.25) as chain, EmbeddedBroker(tmp_path / "broker") as broker:
        (tmp_path / "operator.toml").write_text(f'broker = "{broker.address}"\n')
        winnow("topics", draft, "--make", tmp_path / "operator.toml")
        write_secret(tmp_path / "payer", DEV_KEY)
        deployed, _ = winnow("agreement", "deploy", chain.url, "--key", tmp_path / "payer", "--json")
        (tmp_path / "chain.toml").write_text(tomli_w.dumps(deployed))
        keys = [(who[role].folder / "keys" / "chain").read_text() for role in (*PARTIES, *NODES)]
        await fund(chain.url, DEV_KEY, [address_of(bytes.fromhex(key)) for key in keys])

        for role, organisation in who.items():
            own = organisation.folder
            common = {"terms": str(own / "terms" / "terms.json"), "broker": broker.address, "keys": str(own / "keys")}
            if role == TEAM:
                common |= {"recipient": role, "kpis": str(own / "terms" / "kpis.json"), "document": str(own / "document.json")}
            else:
                on_chain, _ = winnow("agreement", "id", own / "terms" / "terms.json", tmp_path / "chain.toml", "--json")
                common |= on_chain
            if role in PARTIES:
                common |= {"party": role, "data": str(data[role]), "state": str(own / "state")}
            elif role in NODES:
                common |= {"number": int(role[-1]), "live": True, "store": str(own / "store"),
                           "state": str(own / "state")}
            organisation.config.write_text(tomli_w.dumps(common))
            assert tomllib.loads(organisation.config.read_text()) == common
        who["hospital"].acts("propose")
        for party in PARTIES:
            who[party].acts("sign", "--yes")
        who["statistics"].acts("activate")

        with ExitStack() as end:
            console = who[TEAM].runs("console", end)
            running = [who[node].runs("node", end) for node in NODES] + [who[p].runs("party", end) for p in PARTIES]
            limit = time.monotonic() + SECONDS
            while "complete" not in who[TEAM].phases():
                assert time.monotonic() < limit, {role: organisation.phases()[-3:] for role, organisation in who.items()}
                assert console.poll() is None
                assert {process.poll() for process in running} <= {None, 0}
                await asyncio.sleep(0.2)
            document = json.loads((who[TEAM].folder / "document.json").read_text())
        cells, sums = compare(document, expect(draft, data))
        assert cells > 20
        assert sums > cells
