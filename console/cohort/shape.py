"""What shapes a cohort, and the published figures it is calibrated to.

Sources: the IBD telemedicine trial (Lancet 2017;390:959-68) for outpatient visits and admissions, its
cost-effectiveness study (CGH 2020;18:1744-52) for the yearly cost, GP contacts and GP cost per person-year as
published for the Netherlands. Figures marked *assumed* are ours.
"""

from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

DAYS_PER_YEAR = 365.25
INVOICING_DAYS = 30
"""A closed hospital product is invoiced within a month."""
MAX_LAG_DAYS = 150
"""No claim line, credit lines included, is recorded later than this after the day of care. It is shorter than
the 22 weeks (154 days) that the demo agreement keeps the insurer's panes open, so nothing is late."""
MAX_CLAIM_CENTS = 10_000_000
"""€100,000: keeps four lines a day for a month within a measure's bound."""


@dataclass(frozen=True)
class Care:
    """How one care type is used and claimed.

    `rate`: contacts per person-year in standard care. `size`: of the negative binomial, smaller is more
    over-dispersed. `fixed_cents` + a patient's multiplier (mean 1) · `scaled_cents` is the mean amount.
    `close_days`: most days until a product closes; `wait_days`: least and most days from there to the claim.
    """

    name: str
    products: tuple[str, ...]
    rate: float
    size: float
    fixed_cents: int
    scaled_cents: int
    close_days: int
    wait_days: tuple[int, int]


CARE = (
    # 4.4 contacts a year over users and others together, so 4.6 without the app; at about €45 that is €207,
    # between the published €165 and €241.
    Care("gp", ("consult", "long-consult", "phone"), 4.6, 1.5, 4_500, 0, 0, (10, 45)),
    # 2.34 visits and 0.10 admissions a year with sizes 15.66 and 0.118 are the trial's control arm.
    Care("outpatient", ("visit", "endoscopy", "telemonitoring"), 2.34, 15.66, 8_000, 17_000, 120, (5, INVOICING_DAYS)),
    Care("admission", ("clinical",), 0.10, 0.118, 150_000, 500_000, 120, (5, INVOICING_DAYS)),
    # Assumed: the rest of the yearly cost is mostly expensive drugs.
    Care("medication", ("oral", "biological"), 10.0, 4.0, 1_500, 68_500, 0, (5, 30)),
    Care("other", ("laboratory", "imaging", "paramedic"), 6.0, 2.0, 2_500, 14_800, 0, (10, 60)),
)
COST_SHAPE = 0.57
"""Gamma shape of patients' cost multiplier: a standard deviation of about €12,200 on €9,481 a year."""


@dataclass(frozen=True)
class Shape:
    """A cohort's size, period and effects.

    The three ratios are rates while using the app over rates without it. Outpatient and admission ratios are the
    trial's; with the GP ratio of 0.85 (assumed) a year costs €8,926 with the app and €9,480 without; published are
    €8,924 and €9,481.
    """

    patients: int = 4_350
    """Patients of the hospital."""
    weeks: int = 78
    seed: int = 1
    start: date = date(2024, 1, 1)
    zone: str = "Europe/Amsterdam"
    enrolled: float = 1 / 3
    """Fraction of the patients who start using the app before the period ends."""
    uptake_weeks: float = 10.0
    """Mean time to activation: exponential, cut off at the period's end, so that more start early."""
    income: tuple[float, float, float, float, float] = (0.2, 0.2, 0.2, 0.2, 0.2)
    """Fractions of the income quintiles, lowest first."""
    income_missing: float = 0.03
    """Fraction without a known quintile until the second publication, a quarter into the period."""
    newcomers: float = 0.0
    """Fraction of its people that each party meets only after the registers have closed: they are not linked."""
    gp_ratio: float = 0.85
    outpatient_ratio: float = 1.55 / 2.34
    admission_ratio: float = 0.5

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be generated.

        Raises:
            ValueError: names the field, what was found and what is possible.
        """
        for name, low, high in (
            ("patients", 1, 1_000_000), ("weeks", 4, 520), ("seed", 0, 2**63), ("enrolled", 0, 1),
            ("uptake_weeks", 0.1, 1_000), ("income_missing", 0, 1), ("newcomers", 0, 1),
            ("gp_ratio", 0, 1),
            ("outpatient_ratio", 0, 1), ("admission_ratio", 0, 1),
        ):
            found = getattr(self, name)
            if not low <= found <= high:
                raise ValueError(f"{name} is {found}; expected {low} to {high}")
        if min(self.income) < 0 or abs(sum(self.income) - 1) > 1e-9:
            raise ValueError(f"income fractions {self.income} must be at least 0 and add up to 1")
        ZoneInfo(self.zone)

    @property
    def days(self) -> int:
        """Days of the period."""
        return 7 * self.weeks

    @property
    def publication_day(self) -> int:
        """Day of the period on which the statistics office publishes incomes for the second time."""
        return 7 * (self.weeks // 4)

    def ratio(self, care: str) -> float:
        """The rate of a care type while using the app over the rate without it."""
        ratios = {"gp": self.gp_ratio, "outpatient": self.outpatient_ratio, "admission": self.admission_ratio}
        return ratios.get(care, 1.0)
