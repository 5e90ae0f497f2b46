"""Three nodes' runs, real computation and coordination, under an agreement on a real chain."""

import time
from datetime import UTC, datetime, timedelta

from evaluation.config import ChainSettings
from evaluation.coordination import Council
from evaluation.outcome import RunRefused
from evaluation.run import NodeRun
from policy.window import Window
from tests.support.runs import RECORD_KEYS, Silent, ThreeNodes, run_terms


def current_terms(**changes):
    """Terms that are valid now."""
    today = datetime.now(UTC).date()
    dates = {"valid_from": today - timedelta(days=400), "valid_until": today + timedelta(days=400)}
    return run_terms(**{**{name: day.isoformat() for name, day in dates.items()}, **changes})


def soon(seconds):
    """Unix seconds, so much from now."""
    return int(time.time()) + seconds


class AgreedNodes(ThreeNodes):
    """Nodes that ask the chain by clients of their own; `agreement` is the id on the chain in their configurations."""

    def __init__(self, world, agreement, terms=None):
        super().__init__(terms or current_terms())
        self.world, self.agreement, self.clients = world, agreement, list(world.node)
        self.head = None
        """The block at which they look for permissions; the latest final one by default."""

    async def link(self, plans=None):
        """Each node's outcome of the first linkage, or what ended it; `plans`: of each node, the agreed ones by default."""
        return await self._each(plans, lambda run, mine: run.link(mine))

    async def window(self, *windows, plans=None):
        """As `link`, of a run over (start, stop) in panes; of each node its own, if there are three."""
        each = windows if len(windows) == 3 else windows * 3
        lattice = self.terms.draft.lattice

        def run_windows(run, mine):
            start, stop = each[run.wire.number]
            return run.windows(mine, (lattice.at(start, stop) or Window(index=0, start=start, stop=stop),))

        return await self._each(plans, run_windows)

    async def _each(self, plans, work):
        head = (await self.world.relay.block("finalized")).number if self.head is None else self.head
        chain = ChainSettings(url=self.world.chain.url, deployment=self.world.deployment, agreement_id=self.agreement)

        async def at(node, wire):
            run = NodeRun(
                node.terms, chain, self.clients[node.number], node.computation, RECORD_KEYS[node.number], Silent("test"), wire,
                Council(wire), head, node.state,
            )
            return await work(run, self.terms.plans if plans is None else plans[node.number])

        return await self._at_each(at, None, 20.0)

    async def refused(self, ended, *rules, runs=0):
        """Every node refused, by its rule or all by the only one; the chain counts so many runs, and none has results."""
        assert all(isinstance(e, RunRefused) for e in ended), ended
        assert tuple(e.refusal.rule for e in ended) == (rules if len(rules) == 3 else rules * 3)
        assert not any(node.sent for node in self.nodes)
        assert (await self.world.relay.view(self.agreement, "latest")).runs_used == runs
        return [e.refusal for e in ended]
