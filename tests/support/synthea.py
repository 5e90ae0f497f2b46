"""A small sample with the columns and resources that Synthea writes, and the plain results of examples/synthea.

Shares no code with Winnow: pandas reads the raw files.
"""

import csv
import json
import math
import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import NormalDist
from uuid import UUID

import numpy as np
import pandas as pd

ZONE = "America/New_York"
FIRST_YEAR, YEARS, SIZE = 1925, 100, 5
MINIMUM = 3
LINKAGE = date(2020, 1, 1)
DAYS_PER_MONTH = 30.4375
Z = NormalDist().inv_cdf(0.975)
TRANSACTIONS = next(csv.reader([
    ("ID,CLAIMID,CHARGEID,PATIENTID,TYPE,AMOUNT,METHOD,FROMDATE,TODATE,PLACEOFSERVICE,PROCEDURECODE,MODIFIER1,MODIFIER2,"
    "DIAGNOSISREF1,DIAGNOSISREF2,DIAGNOSISREF3,DIAGNOSISREF4,UNITS,DEPARTMENTID,NOTES,UNITAMOUNT,TRANSFEROUTID,"
    "TRANSFERTYPE,PAYMENTS,ADJUSTMENTS,TRANSFERS,OUTSTANDING,APPOINTMENTID,LINENOTE,PATIENTINSURANCEID,FEESCHEDULEID,"
    "PROVIDERID,SUPERVISINGPROVIDERID")
]))
ENCOUNTERS = next(csv.reader([
    ("Id,START,STOP,PATIENT,ORGANIZATION,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,DESCRIPTION,BASE_ENCOUNTER_COST,"
    "TOTAL_CLAIM_COST,PAYER_COVERAGE,REASONCODE,REASONDESCRIPTION")
]))
PATIENTS = next(csv.reader(["Id,BIRTHDATE,DEATHDATE,SSN,FIRST,LAST,GENDER,CITY"]))
CLAIMS = next(csv.reader(["Id,PATIENTID,PROVIDERID,SERVICEDATE,STATUS1,OUTSTANDING1,HEALTHCARECLAIMTYPEID1"]))
PAYERS = next(csv.reader(["Id,NAME,AMOUNT_COVERED,MEMBER_MONTHS"]))


def make_sample(folder: Path, seed: int) -> tuple[Path, Path]:
    """Folders `fhir-r4` of 12 patients and `claims` of 15, with nobody in common."""
    rng = random.Random(seed)

    def uuid() -> str:
        return str(UUID(int=rng.getrandbits(128)))

    def moment(first: int = 2000) -> str:
        day = date(first, 1, 1) + timedelta(days=rng.randrange((2024 - first) * 365))
        return f"{day}T{rng.randrange(24):02d}:{rng.randrange(60):02d}:16"

    fhir, claims = folder / "fhir-r4", folder / "claims"
    ill, insured = [uuid() for _ in range(12)], [uuid() for _ in range(15)]
    born = {who: str(date(1940, 1, 1) + timedelta(days=rng.randrange(20_000))) for who in ill + insured}

    def resource(kind: str, **more: object) -> dict:
        return {"resourceType": kind, "id": uuid(), "meta": {"profile": ["http://hl7.org/fhir/us/core"]}, **more}

    def about(who: str) -> dict:
        return {"reference": f"Patient/{who}", "display": "Mrs. Somebody"}

    ndjson(fhir / "Patient.ndjson", [
        {**resource("Patient", birthDate=born[who], identifier=[
            {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-94-5397"},
            {"system": "https://github.com/synthetichealth/synthea", "value": who},
        ]), "id": who, **({"deceasedDateTime": "2013-05-09T20:35:22-04:00"} if not n else {})}
        for n, who in enumerate(ill)
    ])
    ndjson(fhir / "Encounter.ndjson", [
        resource("Encounter", status="finished", subject=about(who), period={"start": at + "-05:00", "end": at + "-05:00"},
                 **{"class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                              "code": rng.choice(["AMB"] * 6 + ["IMP", "EMER", "HH", "VR", "FLD"])}})
        for who in ill for at in [moment() for _ in range(rng.randrange(10, 40))] + ["2019-12-31T23:30:00", "2024-12-31T23:30:00"]
    ])
    ndjson(fhir / "Procedure.ndjson", [
        resource("Procedure", status="completed", subject=about(rng.choice(ill)), performedPeriod={"start": at, "end": at})
        for at in [moment() + "-04:00" for _ in range(50)]
    ])
    ndjson(fhir / "Device.ndjson", [
        resource("Device", type={"coding": [{"code": rng.choice(["337414009", "228869008"])}]}, patient=about(who),
                 manufactureDate=moment() + "-05:00") for who in ill[:6]
    ])
    ndjson(fhir / "Condition.ndjson", [
        resource("Condition", code={"coding": [{"code": "91302008"}]}, subject=about(rng.choice(ill)), onsetDateTime=moment())
        for _ in range(20)
    ])
    table(claims / "patients.csv", PATIENTS, [
        {"Id": who, "BIRTHDATE": born[who], "SSN": "999-17-5017", "DEATHDATE": "2012-02-29" if not n else ""}
        for n, who in enumerate(insured)
    ])
    visits = [(uuid(), who, at + "Z") for who in insured for at in [moment() for _ in range(rng.randrange(15, 40))] + [
        "2020-01-01T04:30:00",  # the year before, in New York
    ]]
    table(claims / "encounters.csv", ENCOUNTERS, [
        {"Id": key, "START": at, "STOP": at, "PATIENT": who, "DESCRIPTION": 'Visit, "routine"',
         "ENCOUNTERCLASS": rng.choice(["wellness", "ambulatory", "inpatient", "hospice"])} for key, who, at in visits
    ])
    table(claims / "claims.csv", CLAIMS, [
        {"Id": uuid(), "PATIENTID": who, "SERVICEDATE": at, "OUTSTANDING1": "0"} for _, who, at in visits
    ])
    table(claims / "claims_transactions.csv", TRANSACTIONS, [
        {"ID": uuid(), "PATIENTID": who, "TYPE": kind, "FROMDATE": at, "TODATE": at, "PROCEDURECODE": "162673000",
         "AMOUNT": f"{rng.randrange(900)}.{rng.randrange(100):02d}" if kind in ("CHARGE", "PAYMENT") else ""}
        for _, who, at in visits for kind in ("CHARGE", "TRANSFEROUT", "TRANSFERIN", "PAYMENT", "CHARGE")
    ])
    table(claims / "payers.csv", PAYERS, [{"Id": uuid(), "NAME": "Medicare"} for _ in range(3)])
    (claims / "LICENSE").write_text("None.\n")
    return fhir, claims


def ndjson(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def table(path: Path, columns: list[str], rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@dataclass(frozen=True)
class Plain:
    """What an evaluation of the three folders must give."""

    events: dict[str, dict]
    """Party → read, accepted, and rejected by reason."""
    cells: dict[tuple[str, str], tuple[dict[str, int], float, float, float]]
    """(KPI, first day of the window) that must be released → sums, value, low, high. Strata are never enough."""


def plain(folder: Path) -> Plain:
    """From the raw files."""
    hospital, insurer = folder / "hospital", folder / "insurer"
    persons = pd.read_csv(folder / "statistics" / "persons.csv", dtype=str)
    ours = crosswalk(hospital)
    theirs = crosswalk(insurer)
    births = pd.read_csv(insurer / "patients.csv", dtype=str).set_index("Id")["BIRTHDATE"]
    known = {theirs[who] for who, born in births.items() if date.fromisoformat(born) < LINKAGE}
    linked = sorted({*ours.values()} & known & {*persons["person"]})
    years = range(FIRST_YEAR, FIRST_YEAR + YEARS)

    care, coach, insured = (spans(*where) for where in (
        (hospital / "enrolment.csv", "care"), (hospital / "enrolment.csv", "coach"), (insurer / "members.csv", None),
    ))
    exposed = np.array([[whole(coach.get(p), y) for y in years] for p in linked])
    waiting = np.array([[
        whole(care.get(p), y) and (p not in coach or coach[p][0] >= date(y + 1, 1, 1)) for y in years
    ] for p in linked])
    days = np.array([[overlap(insured.get(p), y) for y in years] for p in linked])

    encounters = pd.json_normalize([json.loads(x) for x in (hospital / "Encounter.ndjson").read_text().splitlines()])
    seen = encounters[encounters["class.code"].isin(["AMB", "HH"])]
    visits = grid(seen["subject.reference"].str.removeprefix("Patient/").map(ours), seen["period.start"], 1, linked, years)
    lines = pd.read_csv(insurer / "claims_transactions.csv", dtype=str, keep_default_na=False)
    charges = lines[lines["TYPE"] == "CHARGE"]
    cents = charges["AMOUNT"].map(lambda text: int(Decimal(text) * 100))
    cost = grid(charges["PATIENTID"].map(theirs), charges["FROMDATE"], cents, linked, years) * (days > 0)

    cells = {}
    for kpi, outcome in (("cost-difference", cost), ("outpatient-visit-rate-ratio", visits)):
        for first in range(0, YEARS, SIZE):
            part = slice(first, first + SIZE)
            vectors = [(arm * what)[:, part].sum(axis=1) for arm in (exposed, waiting) for what in (days, outcome)]
            if all(int((v != 0).sum()) >= MINIMUM for v in vectors):
                cells[kpi, f"{FIRST_YEAR + first}-01-01"] = (
                    dict(zip(("exposed.time", "exposed.outcome", "comparator.time", "comparator.outcome"),
                             (int(v.sum()) for v in vectors), strict=True)),
                    *estimate(kpi, *(v.astype(float) for v in vectors)),
                )
    return Plain({name: count(folder / name) for name in ("hospital", "insurer", "statistics")}, cells)


def crosswalk(folder: Path) -> dict[str, str]:
    found = pd.read_csv(folder / "crosswalk.csv", dtype=str)
    return dict(zip(found["patient"], found["person"], strict=True))


def spans(path: Path, programme: str | None) -> dict[str, tuple[date, date]]:
    """Person → first day, first day after; the last version of a record holds."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if programme:
        rows = rows[rows["programme"] == programme]
    last = rows.groupby("record", sort=False).last()
    return {
        row.person: (date.fromisoformat(row.start), date.fromisoformat(row.end) if row.end else date.max)
        for row in last.itertuples()
    }


def overlap(span: tuple[date, date] | None, year: int) -> int:
    if span is None:
        return 0
    return max(0, (min(span[1], date(year + 1, 1, 1)) - max(span[0], date(year, 1, 1))).days)


def whole(span: tuple[date, date] | None, year: int) -> bool:
    return overlap(span, year) == (date(year + 1, 1, 1) - date(year, 1, 1)).days


def grid(who: pd.Series, at: pd.Series, amount, linked: list[str], years: range) -> np.ndarray:
    """int64 (people, years) sums."""
    year = pd.to_datetime(at, utc=True, format="ISO8601").dt.tz_convert(ZONE).dt.year
    found = pd.DataFrame({"who": who, "year": year, "amount": amount}).pivot_table(
        index="who", columns="year", values="amount", aggfunc="sum", fill_value=0
    )
    return found.reindex(index=linked, columns=list(years), fill_value=0).to_numpy(dtype=np.int64)


def estimate(kpi: str, tu, yu, tc, yc) -> tuple[float, float, float]:
    Tu, Yu, Tc, Yc = (v.sum() for v in (tu, yu, tc, yc))
    if kpi.endswith("ratio"):
        value = (Yu / Tu) / (Yc / Tc)
        spread = math.exp(Z * math.sqrt(((yu / Yu - tu / Tu - yc / Yc + tc / Tc) ** 2).sum()))
        return value, value / spread, value * spread
    scale = DAYS_PER_MONTH / 100
    spread = Z * scale * math.sqrt((((yu - Yu / Tu * tu) / Tu - (yc - Yc / Tc * tc) / Tc) ** 2).sum())
    return (Yu / Tu - Yc / Tc) * scale, (Yu / Tu - Yc / Tc) * scale - spread, (Yu / Tu - Yc / Tc) * scale + spread


def count(folder: Path) -> dict:
    """Every line of every data file: read, and what must become of it."""
    rejected: dict[str, int] = {}
    read = 0
    for path in sorted(folder.iterdir()):
        if path.name == "crosswalk.csv" or path.suffix not in (".csv", ".ndjson"):
            continue
        if path.suffix == ".csv":
            rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        else:
            rows = pd.json_normalize([json.loads(line) for line in path.read_text().splitlines()])
        read += len(rows)
        for reason, number in refused(path.name, rows).items():
            if number:
                rejected[reason] = rejected.get(reason, 0) + number
    return {"read": read, "accepted": read - sum(rejected.values()), "rejected": rejected}


def refused(name: str, rows: pd.DataFrame) -> dict[str, int]:
    match name:
        case "claims.csv" | "payers.csv" | "Condition.ndjson":
            return {"not-mapped": len(rows)}
        case "claims_transactions.csv":
            return {"not-mapped": int((rows["TYPE"] != "CHARGE").sum())}
        case "Device.ndjson":
            return {"unknown-code": sum(c[0]["code"] != "337414009" for c in rows["type.coding"])}
        case "Encounter.ndjson":
            return {"unknown-code": int((~rows["class.code"].isin(["AMB", "HH", "IMP", "EMER", "VR"])).sum())}
        case "encounters.csv":
            known = ["wellness", "ambulatory", "outpatient", "inpatient", "emergency", "urgentcare"]
            return {"unknown-code": int((~rows["ENCOUNTERCLASS"].isin(known)).sum())}
        case _:
            return {}
