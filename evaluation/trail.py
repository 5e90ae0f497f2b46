"""What a node notes of a run while it is under way, as evidence of how it came to be permitted."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluation.evidence import Account, Passed, Permitted, Verdict
from policy.gate import AgreementFacts, Refusal


@dataclass
class Trail:
    """Of one attempt at one run."""

    requester: str | None = None
    """On whose demand; None: on schedule."""
    phase: str = "agree"
    """That it is in, or ended in."""
    windows: tuple[int, ...] = ()
    _before: Account | None = None
    _after: Account | None = None
    _verdicts: tuple[Verdict, ...] = ()
    _phases: dict[str, int] = field(default_factory=dict)
    _erased: int = 0
    _newest: int = 0
    """Block that was looked at last."""

    def judged(
        self, facts: AgreementFacts, found: Sequence[tuple[str, Refusal | None]], erased_panes: int
    ) -> None:
        """Every rule was asked, at a final block."""
        self._erased = erased_panes
        self._before = Account.of(facts, self.requester)
        self._verdicts = tuple(Verdict.of(rule, refusal) for rule, refusal in found)

    def looked(self, facts: AgreementFacts) -> None:
        """The newest block was read."""
        self._newest = facts.block_number

    def passed(self, phase: str) -> None:
        """No node refuses to enter a phase."""
        if self._before is not None:
            self._phases[phase] = self._newest

    def authorised_before(self) -> None:
        """The run was authorised when it was judged."""
        self._after = self._before

    def authorised(self, facts: AgreementFacts) -> None:
        """The run's authorisation is final at this block."""
        self._after = Account.of(facts, self.requester)

    @property
    def permitted(self) -> Permitted:
        """So far."""
        return Permitted(
            before=self._before, after=self._after, verdicts=self._verdicts, erased_panes=self._erased,
            phases=tuple(Passed(phase=phase, block=block) for phase, block in self._phases.items()),
        )
