"""When and how the rows of patients who withdrew are erased at the nodes."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from policy.window import MAX_PANES

MAX_BATCH_SLOTS = 65_536
"""Four bytes each: a batch fits one message."""
MAX_WITHIN_DAYS = 31


class Erasure(BaseModel):
    """The table `erasure` of an agreement; without it, rows of panes that passed before a withdrawal stay.

    A batch has a *boundary*, a multiple of `every_panes` or the end of the grid: the rows that it names are erased in
    all panes before it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_panes: int = Field(ge=1, le=MAX_PANES)
    """Panes from one boundary to the next."""
    batch_slots: int = Field(ge=1, le=MAX_BATCH_SLOTS)
    """Rows of a batch, whoever withdrew: those of patients, and rows where nobody is."""
    delay_panes: Annotated[int, Field(ge=0, le=MAX_PANES)] | None = None
    """Panes after the boundary that must be complete before nodes erase; None: those of the longest scheduled window,
    so that all windows over the panes before it have run.
    """
    within_days: int = Field(ge=1, le=MAX_WITHIN_DAYS)
    """A node that has had a batch for so long, by its own clock, waits no longer."""

    def is_boundary(self, pane: int, panes: int) -> bool:
        """Whether batches may have this boundary, 1 ≤ pane; `panes`: of the grid."""
        return pane % self.every_panes == 0 or pane == panes

    def complete_by(self, boundary: int, longest: int, panes: int) -> int:
        """Panes that must be complete before the batches of a boundary are erased.

        Args:
            boundary: theirs.
            longest: panes of the longest scheduled window.
            panes: of the grid.
        """
        return min(panes, boundary + (longest if self.delay_panes is None else self.delay_panes))


def check_erasure(erasure: Erasure | None, minimum: int, panes: int, block_slots: int) -> None:
    """Refuse batches that would tell of fewer than the minimum, or that never leave.

    Args:
        erasure: the agreement's.
        minimum: patients of the smallest cohort.
        panes: of the grid.
        block_slots: rows of a block of a register, which has at least one.

    Raises:
        ValueError: says what to change.
    """
    if erasure is None:
        return
    if not minimum <= erasure.batch_slots <= block_slots:
        raise ValueError(
            f"erasure.batch_slots {erasure.batch_slots} must be from disclosure.minimum_cohort, {minimum}, to "
            f"linkage.block_slots, {block_slots}: fewer rows would tell who withdrew, and more may not be there"
        )
    if erasure.every_panes > panes:
        raise ValueError(
            f"erasure.every_panes {erasure.every_panes} is more than the agreement's {panes} panes, so nothing would "
            "be erased. Agree on a shorter cycle"
        )
