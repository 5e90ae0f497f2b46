"""One epoch at one node: the linkage of all shards under one key, and the running totals in its order of rows."""

from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.growing import Link
from evaluation.totals import PaneTotals
from mpc.aes import RoundKeys, draw_key, expand_key
from mpc.engine import Engine
from mpc.linkage import LinkedShard, extend, link, repeatable
from mpc.share import Bits
from mpc.workers import ShardEngines, together
from policy.agreement import Terms
from policy.plan import Plan
from streams.store import ShareStore


class Epoch:
    """One node's."""

    def __init__(
        self, terms: Terms, plans: Sequence[Plan], store: ShareStore, noise_key: bytes, folder: Path | None
    ) -> None:
        """Nothing is linked yet; the arguments are those of evaluation.compute.Computation."""
        self._terms, self._plans, self._store, self._noise_key = terms, plans, store, noise_key
        self.linked: Mapping[int, LinkedShard] = {}
        """Shard → its linkage."""
        self.totals = PaneTotals(terms, plans, store, folder)
        self.linkage = ""
        """The attempt of which this node keeps the linkage, hexadecimal; empty before."""

    @property
    def batches(self) -> int:
        """Batches of the registers that are linked."""
        return min((found.batches for found in self.linked.values()), default=0)

    @property
    def first(self) -> int:
        """How many of them were linked together first; 1 before."""
        return min((found.first for found in self.linked.values()), default=1)

    @property
    def patients(self) -> int:
        """Most patients that any sum runs over: the linked rows of all shards, at least 1."""
        return _patients(self.linked)

    def resume(self, linkage: str, linked: Mapping[int, LinkedShard]) -> None:
        """Go on with a linkage made before, in the attempt `linkage`; with "" and none, be unlinked.

        Running totals stay as long as it is of the same epoch: batches append rows, and totals have those of settled
        batches alone.
        """
        if {s: found.key for s, found in linked.items()} != {s: found.key for s, found in self.linked.items()}:
            self.totals.forget()
        self.linked, self.linkage = dict(linked), linkage

    async def link(self, engines: ShardEngines, what: Link) -> None:
        """Link a batch of every shard's registers under the epoch's key; to begin, all up to it, under a key that is
        drawn for this attempt.

        Raises:
            mpc.linkage.LinkageError: a register repeats a patient.
            policy.errors.PlanError: with so many patients a plan could leave its arithmetic bounds.
            MpcError: see mpc.errors.
        """
        key = await self._key(engines, what)
        linked: dict[int, LinkedShard] = {}
        for shards in together({shard: self._slots(shard, what) for shard in range(self._terms.draft.shards)}):
            linked |= await engines.each({shard: partial(self._link, shard, what, key) for shard in shards})
        patients = _patients(linked)
        for plan in self._plans:
            plan.check_bounds(patients, self._terms.draft.lattice.largest)
            self._check_dominance(plan, patients)
        for alert in self._terms.draft.alerts:
            plan = next(p for p in self._terms.plans if p.kpi == alert.kpi)
            alert.check_bounds(plan, patients, self._terms.draft.lattice.longest_scheduled)
        self.resume(engines.main.wire.attempt.hex(), linked)

    def _check_dominance(self, plan: Plan, patients: int) -> None:
        rules, lattice = self._terms.draft.disclosure.dominance, self._terms.draft.lattice
        panes = lattice.largest if plan.cap is not None else max(stop - start for start, stop in lattice.atoms)
        bound = plan.contribution_bound(panes)
        if rules is not None and bound is not None:
            rules.check(plan.kpi, bound, patients)

    async def _key(self, engines: ShardEngines, what: Link) -> RoundKeys:
        """Expanded by the main engine, which the shards' engines do not verify: so it does, before they open tags."""
        key = draw_key(engines.main) if what.begins else self.linked[0].key
        expanded = await expand_key(engines.main, key)
        await engines.main.verify()
        return expanded

    def _link(self, shard: int, what: Link, keys: RoundKeys, engine: Engine) -> Coroutine[Any, Any, LinkedShard]:
        """One shard's program."""
        registers, dummies = self._registers(shard, what), self._terms.draft.linkage.dummies
        noise = repeatable(self._noise_key, self._noise(shard, what).encode())
        if what.begins:
            return link(engine, keys, registers, dummies, noise, batches=what.epoch)
        return extend(engine, keys, self.linked[shard], registers, dummies, noise)

    def _noise(self, shard: int, what: Link) -> str:
        """The name from which dummies follow: another one wherever other registers are linked under another key.

        What was erased changes registers, but not those of a batch whose epoch began: its tags stay the same.
        """
        name = f"dummies {self._terms.hash} {shard}"
        if what.epoch == 1:
            return name + (f" {what.batch}" if what.batch else "")
        return f"{name} anew {what.epoch} " + (self._store.erased_digest if what.begins else f"batch {what.batch}")

    def _slots(self, shard: int, what: Link) -> int:
        """How many are linked, of all parties together."""
        parties = [party.name for party in self._terms.draft.parties]
        slots = sum(self._store.register_slots(party, shard, what.batch + 1) for party in parties)
        if what.begins:
            return slots
        return slots - sum(self._store.register_slots(party, shard, what.batch) for party in parties)

    def _registers(self, shard: int, what: Link) -> list[Bits]:
        """Of each party the link keys of the slots that are linked."""
        batches = range(what.epoch) if what.begins else (what.batch,)
        return [
            Bits.concat([Bits(self._store.register(party.name, shard, batch)) for batch in batches])
            for party in self._terms.draft.parties
        ]


def _patients(linked: Mapping[int, LinkedShard]) -> int:
    return max(1, sum(found.linked for found in linked.values()))
