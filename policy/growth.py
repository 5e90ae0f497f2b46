"""When registers take in new patients, after the linkage date."""

from datetime import date

from policy.window import PaneGrid

MAX_BATCHES = 120
"""Of a register, the first one included: each is a run, and a block at least of every party and shard."""


def batch_edges(every: int | None, panes: PaneGrid, first: date) -> tuple[int, ...]:
    """The panes at whose start later batches open, ascending: multiples of `every` that begin after the day `first`, on
    which the first batch closes.
    """
    if every is None:
        return ()
    return tuple(pane for pane in range(every, panes.count, every) if panes.first_day(pane) > first)


def check_batches(every: int | None, panes: PaneGrid, first: date, runs: int) -> None:
    """Refuse batches that never open, and more of them than can be linked.

    Args:
        every: panes from one batch to the next; None: there is one batch only.
        panes: the agreement's.
        first: the linkage date.
        runs: most runs of the agreement; every batch is linked by one.

    Raises:
        ValueError: says what to change.
    """
    if every is None:
        return
    batches = 1 + len(batch_edges(every, panes, first))
    if batches == 1:
        raise ValueError(
            f"linkage.batch_panes {every}: no batch opens in the agreement's {panes.count} panes after {first}. Agree "
            "on fewer panes from one batch to the next, or leave it out"
        )
    if batches > MAX_BATCHES:
        raise ValueError(
            f"linkage.batch_panes {every} makes {batches} batches with the first; at most {MAX_BATCHES} are linked. "
            f"Agree on at least {-(-panes.count // MAX_BATCHES)} panes from one batch to the next"
        )
    if runs < batches:
        raise ValueError(
            f"quota.runs {runs} has no room to link {batches} batches, a run each. Agree on more runs"
        )


def spare_links(renew: int | None, later: int) -> int:
    """Most runs that link anew, or link a batch for an epoch to come: one for each batch after the first `renew`.

    `later`: batches beside the first.
    """
    return 0 if renew is None else max(0, 1 + later - renew)


def check_renewal(renew: int | None, later: int, runs: int) -> None:
    """Refuse a renewal that never comes, and more of them than there are runs.

    Args:
        renew: segments of a linkage after which everything is linked anew; None: never.
        later: batches beside the first.
        runs: most runs of the agreement.

    Raises:
        ValueError: says what to change.
    """
    if renew is None:
        return
    if not later:
        raise ValueError(
            f"linkage.renew_batches {renew} without linkage.batch_panes: registers that do not grow are linked once. "
            "Leave it out"
        )
    spare = spare_links(renew, later)
    if not spare:
        raise ValueError(
            f"linkage.renew_batches {renew}: of {1 + later} batches nothing would be linked anew. Agree on less "
            "than that, or leave it out"
        )
    if runs < 1 + later + spare:
        raise ValueError(
            f"quota.runs {runs} has no room to link {1 + later} batches and up to {spare} of them anew, a run each. "
            "Agree on more runs"
        )


def check_dummies(dummies: int, parties: int, *, grows: bool) -> None:
    """Refuse so few dummies that they would look like noise and be none.

    Args:
        dummies: rows that each node adds to each register.
        parties: how many there are.
        grows: whether batches follow the first: who is new in one may be new or have a row elsewhere.

    Raises:
        ValueError: says how many it takes.
    """
    regions = int((3 if grows else 2) ** (parties - 1)) - 1
    if 0 < dummies < 2 * regions:
        raise ValueError(
            f"linkage.dummies {dummies} do not hide the {regions} overlaps of {parties} parties in which a node can "
            f"place a patient of its own; agree on at least {2 * regions}, or on 0"
        )
