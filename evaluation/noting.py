"""One node's evidence: it notes runs that ended, refusals and runs that were cut off (evaluation.journal).

A run is noted when all three nodes have told that they keep its outcome, and before it counts here. A node that dies in
between finds it noted when it settles the run, and does not note it again. Before anything runs, the nodes compare what
they noted of all runs so far: where that differs, one of them has a file that was changed, and nothing runs.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.agreement import in_words
from evaluation.coordination import Ready
from evaluation.errors import Apart, Tampered
from evaluation.evidence import (
    Aborted,
    Answered,
    AnyEntry,
    Asking,
    Common,
    Ended,
    Permitted,
    Refused,
    Verdict,
    cut,
    following,
    signed,
)
from evaluation.intake import Asked
from evaluation.journal import FILE, EntryReader, Journal
from evaluation.ledger import Prepared
from evaluation.outcome import RunRefused
from evaluation.run import NodeRun
from evaluation.state import NodeState
from policy.agreement import Terms
from policy.gate import Refusal, demand_rules
from policy.plan import Plan
from policy.window import Window

SAME_EVIDENCE = "same-evidence"
UNSIGNED = "0" * 128
MOST_A_DAY = 1_000
"""Of refusals, interruptions and answers, by requester, or by rule: somebody could else fill the disk. Runs are all
noted."""


@dataclass
class Evidence:
    """Of one node.

    Raises:
        Tampered: the file does not fit, or not to the ledger beside it.
    """

    terms: Terms
    agreement_id: str
    number: int
    key: Ed25519PrivateKey
    state: NodeState

    def __post_init__(self) -> None:
        path = self.state.folder / FILE
        self._journal = Journal(path, EntryReader(self.terms, self.agreement_id, str(path), self.number))
        self._day, self._noted = datetime.now(UTC).date(), Counter[str]()
        head, known = self._journal.head, self.state.ledger.evidence
        if known not in {head.hash, head.before} and (known or head.entries > 1):
            raise Tampered(
                f"evidence-chain: {path} ends with entry {head.hash[:16]}, {head.entries} in all, expected "
                f"{known[:16] or 'none'}, as ledger.json says. Entries are missing or were added: restore the folder "
                "of this node from a copy, both files together."
            )
        if head.entries and known != head.hash:
            self.state.update(evidence=head.hash)

    @property
    def same(self) -> str:
        """Head of what must be equal at all three nodes."""
        return self._journal.head.same

    @property
    def runs(self) -> int:
        """That were noted."""
        return self._journal.head.runs

    def compare(self, ready: Sequence[Ready]) -> None:
        """Refuse to go on where the three nodes noted different runs.

        Raises:
            Apart: naming what was found, what is expected and what to do.
        """
        if len({(r.evidence, r.noted) for r in ready}) != 1:
            found = ", ".join(f"node {j} {r.evidence[:16]} over {r.noted} runs" for j, r in enumerate(ready))
            refusal = Refusal(
                SAME_EVIDENCE, found, "equal heads at all three nodes",
                "run `winnow audit --verify` with the nodes' files (evidence.jsonl), and restore the folder of the "
                "node whose file was changed; until then nothing runs",
            )
            self.refused(RunRefused(refusal, None, "ready"), (), None, None)
            raise Apart(in_words(refusal))

    def ended(self, mine: Prepared, root: str | None) -> None:
        """Note a run of which all three nodes keep the outcome; nothing if it is noted.

        Args:
            mine: its outcome here.
            root: over all that the three nodes sealed; None where they sealed nothing.
        """
        head = self._journal.head
        if head.attempt == mine.attempt:
            return
        done = mine.done
        known = {plan.hash: plan for plan in self.terms.plans}
        plans = [known[digest] for digest in mine.plans]
        hidden = {(s.kpi, s.window, tuple(sorted(s.cell.items()))) for s in done.suppressed}
        common = Common(
            agreement=self.terms.hash, run=mine.run, requester=mine.requester, windows=mine.windows,
            kpis=done.kpis, plans=mine.plans, batch=done.batch, epoch=done.epoch,
            outcome=tuple(
                tuple(_bits(plan, window, hidden) for window in mine.windows) for plan in plans if mine.windows
            ),
            alerts=done.alerts, root=root,
        )
        asked = tuple(Verdict(rule=rule, passes=True) for rule in demand_rules() if mine.answers)
        permitted = mine.permitted.model_copy(update={"verdicts": (*asked, *mine.permitted.verdicts)})
        self._add(Ended(
            **self._frame(), common=common, same=following(head.same, common), attempt=mine.attempt,
            manifest=done.manifest or mine.run, sequence=done.sequence,
            requests=tuple(
                Asking(request=a.request, requester=a.requester, outcome=a.outcome, kpis=a.kpis) for a in mine.answers
            ),
            permitted=permitted, sealed=dict(zip(sorted(mine.sealed), mine.hashes, strict=True)),
            transcript=mine.transcript, attestation=mine.attestation,
        ))

    def refused(
        self, error: RunRefused, windows: Sequence[int], request: str | None, asked: Asked | None
    ) -> None:
        """Note a refusal.

        Args:
            error: what refused it.
            windows: indexes of those that do not run; none: all that are left.
            request: digest of the request that is refused.
            asked: the request, if it is of somebody who may ask.
        """
        refusal = error.refusal
        self._note(Refused(
            **self._frame(), rule=refusal.rule, found=cut(refusal.found), required=cut(refusal.required),
            next_step=cut(refusal.next_step), phase=error.phase, run=error.run, windows=tuple(windows), request=request,
            kpis=() if asked is None else asked.demand.kpis,
            requester=None if asked is None else asked.demand.requester,
            opened=error.run in self.state.ledger.opened, permitted=error.permitted,
        ))

    def answered(self, asked: Asked, window: Window, run: str | None) -> None:
        """Note a request that was answered from what had ended."""
        self._note(Answered(
            **self._frame(), request=asked.digest, requester=asked.demand.requester, windows=(window.index,),
            kpis=asked.demand.kpis, run=run,
        ))

    @contextmanager
    def watching(self, run: NodeRun) -> Iterator[None]:
        """Note it if what is done in the block is cut off by anything that is no rule."""
        try:
            yield
        except RunRefused:
            raise
        except (Exception, asyncio.CancelledError) as error:
            trail = run.trail
            self._aborted(type(error).__name__, trail.phase, run.run, trail.windows, trail.requester, trail.permitted)
            raise

    def dropped(self, mine: Prepared) -> None:
        """Note an outcome that was kept here, and not by all three nodes."""
        self._aborted("Dropped", "settle", mine.run, mine.windows, mine.requester, mine.permitted)

    def _aborted(
        self, reason: str, phase: str, run: str | None, windows: Sequence[int], requester: str | None,
        permitted: Permitted,
    ) -> None:
        self._note(Aborted(
            **self._frame(), reason=reason, phase=phase, run=run, windows=tuple(windows), requester=requester,
            opened=run in self.state.ledger.opened, permitted=permitted,
        ))

    def _note(self, entry: Refused | Aborted | Answered) -> None:
        """Add an entry, unless the last one says the same: what is tried again every second is noted once.

        Of one requester at most `MOST_A_DAY`; of what nobody asked for as many of each rule, and of interruptions, so
        that a peer who makes up one refusal after another does not keep others from being noted.
        """
        last = self._journal.head.last
        frame = set(self._frame()) - {"node"}
        if last is not None and entry.model_dump(exclude={*frame, "permitted"}) == last.model_dump(
            exclude={*frame, "permitted"}
        ):
            return
        day, about = entry.at.date(), entry.requester or f"nobody: {getattr(entry, 'rule', entry.kind)}"
        if day != self._day:
            self._day, self._noted = day, Counter()
        self._noted[about] += 1
        if self._noted[about] <= MOST_A_DAY:
            self._add(entry)
        elif self._noted[about] == MOST_A_DAY + 1:
            structlog.get_logger().warning(
                "no more is noted today of refusals, interruptions and answers", about=about, noted=MOST_A_DAY,
            )

    def _add(self, entry: AnyEntry) -> None:
        self._journal.append(signed(entry, self.key))
        self.state.update(evidence=self._journal.head.hash)

    def _frame(self) -> dict[str, object]:
        """What every entry has."""
        head = self._journal.head
        return {
            "number": head.entries, "previous": head.hash, "at": datetime.now(UTC), "agreement": self.terms.hash,
            "agreement_id": self.agreement_id, "node": self.number, "signature": UNSIGNED,
        }


def _bits(plan: Plan, window: int, hidden: set[tuple[str, int, tuple[tuple[str, str], ...]]]) -> str:
    """Which cells of a KPI came out for a window, in the order of its strata."""
    return "".join(
        "0" if (plan.kpi, window, tuple(sorted(stratum.cell.items()))) in hidden else "1" for stratum in plan.strata
    )
