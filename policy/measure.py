"""Measures: how a party's events become one integer per patient and pane.

A measure has a declared bound; the plan compiler propagates it, and the party rejects what would exceed it.
An amount is shared as two limbs (value = high·2^LIMB_BITS + low, 0 ≤ low < 2^LIMB_BITS) so that sums of
squares stay below 2^62.
"""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

LIMB_BITS = 13
"""€81.92: with amounts below 2^26 cents a pane, both limbs have 13 bits and a sign."""

Aggregation = Literal[
    "exposed", "not-yet-exposed", "days", "count", "sum", "category", "nonzero", "missed", "follow-ups", "change",
]
EventKind = Literal[
    "enrolment", "encounter", "monitoring", "prom", "claim", "social", "withdrawal", "heartbeat",
]
EncounterClass = Literal["outpatient", "admission", "ed", "tele", "procedure"]
MonitoringStatus = Literal["due", "completed"]

Unit = Literal["days", "cents", "hundredths", "count"]
"""hundredths: of a point of a score."""

Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
"""As in events; a code that none can have would match nothing in silence."""
CODES: dict[EventKind, tuple[str, ...]] = {
    "encounter": get_args(EncounterClass), "monitoring": get_args(MonitoringStatus), "prom": (),
}
"""Kind → what `code` may be; () means any instrument."""


class Measure(BaseModel):
    """One integer per patient and pane, in event time: an event belongs to the pane in which it occurred.

    - `exposed`: 1 when the patient is enrolled in `programme` during the whole pane.
    - `not-yet-exposed`: 1 when enrolled in `cohort` during the whole pane and not in `programme` at any
      time up to the pane's end. The pane in which `programme` starts belongs to neither arm.
    - `days`: calendar days of the pane on which the patient is enrolled in `programme`.
    - `count`: number of matching events of `kind`. Of claims those of `care_type` (None: all), net: a credit line
      takes away what it cancels. Of encounters, monitoring and PROM answers those of `code` and `module` (None: any);
      an event that was corrected or cancelled does not count. A module completed of which the same record says when
      it was due counts as due in that pane too.
    - `sum`: net sum of the claims' cents, two limbs.
    - `category`: 1 when the `field` valid at the pane's start equals `value`.
    - `missed`: monitoring modules (of `module`, None: any) due in the pane less those completed in it, never below 0.
    - `follow-ups`: PROM answers with instrument `code` in the pane, without the patient's first of that instrument:
      the earliest in event time that stands, of several at one instant the one with the lowest score. An answer from
      before the first pane may be the first; one after the last pane is refused.
    - `change`: sum over those follow-up answers of score − score of the first answer, in hundredths of a point.
      Signed, |value| ≤ bound; divided by `follow-ups` it is the mean change since the first answer.
    - `nonzero`: 1 when measure `of` is not 0.
    Whoever withdrew has 0 in all of a party's measures from the first pane on that is not sealed yet. An event, or a
    correction, that would change what a sealed pane holds is late; so is one that would make another answer the first
    when a sealed pane holds answers of the patient. It waits for the pane's next maturity (policy.maturity); after the
    last one, or without any, it changes nothing, in no pane.
    `at_risk` names a measure of the same party: where that is 0 this one is 0 too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    party: str
    aggregation: Aggregation
    kind: EventKind | None = None
    programme: Code | None = None
    cohort: Code | None = None
    care_type: Code | None = None
    """Of claims only."""
    code: Code | None = None
    """Of encounters the class, of monitoring the status (due or completed), of PROM the instrument."""
    module: Code | None = None
    """Of monitoring only."""
    field: Code | None = None
    value: Code | None = None
    of: str | None = None
    at_risk: str | None = None
    bound: int = Field(default=1, ge=1, le=2**26 - 1)

    @model_validator(mode="after")
    def _complete(self) -> "Measure":
        needed = {
            "exposed": ("programme",), "not-yet-exposed": ("programme", "cohort"), "days": ("programme",),
            "count": ("kind",), "sum": ("kind",), "category": ("field", "value"), "nonzero": ("of",),
            "missed": (), "follow-ups": ("code",), "change": ("code",),
        }[self.aggregation]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"measure {self.name}: {self.aggregation} needs {', '.join(missing)}")
        self._check_codes()
        return self

    def _check_codes(self) -> None:
        """What would match nothing in silence is refused."""
        counts, needs = self.aggregation in ("count", "sum"), self.needs
        if self.aggregation in ("missed", "follow-ups", "change") and self.kind not in (None, needs):
            raise ValueError(f"measure {self.name}: {self.aggregation} is of {needs} events; leave kind out")
        for key, fits in (
            ("code", self.aggregation in ("follow-ups", "change") or (counts and needs in CODES)),
            ("module", needs == "monitoring"),
            ("care_type", counts and needs == "claim"),
        ):
            if getattr(self, key) is not None and not fits:
                raise ValueError(
                    f"measure {self.name}: {key} says nothing about a {self.aggregation} of {needs or 'other'} events; "
                    "leave it out"
                )
        known = CODES.get(needs) if needs is not None else None
        if self.code is not None and known and self.code not in known:
            raise ValueError(
                f"measure {self.name}: code {self.code!r} is unknown for {needs} events; expected one of "
                f"{', '.join(known)}"
            )

    @property
    def needs(self) -> EventKind | None:
        """The kind of events that it is made of; None: made of another measure."""
        match self.aggregation:
            case "exposed" | "not-yet-exposed" | "days":
                return "enrolment"
            case "category":
                return "social"
            case "nonzero":
                return None
            case "missed":
                return "monitoring"
            case "follow-ups" | "change":
                return "prom"
            case _:
                return self.kind

    @property
    def unit(self) -> Unit:
        """What its sums are counted in."""
        match self.aggregation:
            case "days":
                return "days"
            case "sum":
                return "cents"
            case "change":
                return "hundredths"
            case _:
                return "count"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the shared columns, most significant limb first."""
        return (f"{self.name}.high", f"{self.name}.low") if self.aggregation == "sum" else (self.name,)
