"""How far back events may still come and be corrected, and so how long a party must remember them."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from policy.maturity import Maturities
from policy.window import MAX_PANES


class Corrections(BaseModel):
    """The table `corrections` of an agreement; without it events may come and be corrected for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon_panes: int = Field(ge=1, le=MAX_PANES)
    """Panes by which a watermark must lie beyond a pane's end for the pane to be closed to events of any kind."""


def check_corrections(
    corrections: Corrections | None, graces: Mapping[str, int], maturities: Maturities, shortest: int
) -> None:
    """Refuse a horizon that would refuse what is on time, or what a maturity waits for.

    Args:
        corrections: the agreement's.
        graces: party → panes of grace.
        maturities: the agreement's.
        shortest: days of the shortest pane.

    Raises:
        ValueError: names the party.
    """
    if corrections is None:
        return
    for party, grace in graces.items():
        if grace > corrections.horizon_panes:
            raise ValueError(
                f"corrections.horizon_panes {corrections.horizon_panes} is less than party {party}'s grace of {grace} "
                "panes, so events on time would be refused. Agree on a longer horizon or a shorter grace"
            )
        wait = max(maturities.days, default=0)
        if (corrections.horizon_panes - grace) * shortest < wait:
            raise ValueError(
                f"corrections.horizon_panes {corrections.horizon_panes} is over before party {party}'s panes are "
                f"{wait} days old, so events that maturities wait for would be refused. Agree on a horizon of at least "
                f"{grace + -(-wait // shortest)} panes, or on fewer days"
            )
