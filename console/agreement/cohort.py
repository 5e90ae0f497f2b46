"""The cohort that `winnow agreement lattice` is asked about, from its options."""

from collections.abc import Sequence

from console.agreement.outlook import MOST_PATIENTS, Cohort
from console.errors import ConsoleError


def read_cohort(patients: int, exposed: float, groups: str | None, active: Sequence[str]) -> Cohort:
    """Check the options.

    Args:
        patients: 1 to 10⁹.
        exposed: a share between 0 and 1, both not included: an arm of nobody never comes out.
        groups: NAME=SHARE,NAME=SHARE, or None.
        active: shares above 0, or KPI=SHARE.

    Raises:
        ConsoleError: names the option, what was found and what is expected.
    """
    if not 1 <= patients <= MOST_PATIENTS:
        raise ConsoleError(f"--patients: found {patients}, expected 1 to {MOST_PATIENTS:,}. Say how many are linked.")
    if not 0 < exposed < 1:
        raise ConsoleError(f"--exposed: found {exposed:g}, expected a share between 0 and 1, such as 0.3.")
    shares: dict[str, float] | None = None
    if groups is not None:
        shares = {}
        for part in groups.split(","):
            name, share = _named("--groups", part.strip())
            if not name or name in shares:
                raise ConsoleError(f"--groups: found {part.strip()!r}; expected NAME=SHARE, each name once.")
            shares[name] = share
    found: dict[str, float] = {}
    for option in active:
        kpi, share = _named("--active", option)
        if kpi in found or share <= 0:
            raise ConsoleError(f"--active: found {option!r}; expected a share above 0, or KPI=SHARE, each KPI once.")
        found[kpi] = share
    return Cohort(patients, exposed, shares, found)


def _named(option: str, text: str) -> tuple[str, float]:
    """NAME=SHARE, or SHARE alone with the name ""."""
    name, _, share = text.rpartition("=")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConsoleError(f"{option}: found {text!r}; expected a share from 0 to 1, such as 0.25.")
    return name, value
