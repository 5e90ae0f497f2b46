"""Bring two public samples together that have no patient in common: a hospital's FHIR R4 and an insurer's claims.

    python examples/synthea/crosswalk.py FHIR CLAIMS OUT [--seed 1]

FHIR and CLAIMS are folders as Synthea writes them: `*.ndjson` with a Patient.ndjson, and `*.csv` with a patients.csv.
OUT, which must not be there yet, gets a folder for each of three parties: `hospital` with a copy of FHIR, `insurer`
with a copy of CLAIMS and `statistics`; with a source.toml and made-up files:

- `crosswalk.csv`: each patient's number of this party, and the number by which all parties know the person. Each FHIR
  patient becomes one person with a patient of the claims, drawn by the seed. Patients without a partner stay.
- `hospital/enrolment.csv`: everybody is in care from birth on; half of them, drawn by the seed, get a coach at some
  time from 2006 to 2014.
- `insurer/members.csv`: everybody is insured from birth to death.
- `statistics/persons.csv`: an income quintile for everybody, drawn by the seed.
"""

import argparse
import csv
import json
import random
import shutil
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
COACHES = (date(2006, 1, 1), date(2014, 12, 31))
QUINTILES = 5


def write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """One CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def fhir_patients(folder: Path) -> dict[str, tuple[str, str]]:
    """Resource id → (day of birth, day of death or "")."""
    with (folder / "Patient.ndjson").open(encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines if line.strip()]
    return {p["id"]: (p["birthDate"], p.get("deceasedDateTime", "")[:10]) for p in found}


def claims_patients(folder: Path) -> dict[str, tuple[str, str]]:
    """Patient → (day of birth, day of death or "")."""
    with (folder / "patients.csv").open(encoding="utf-8", newline="") as file:
        return {row["Id"]: (row["BIRTHDATE"], row["DEATHDATE"]) for row in csv.DictReader(file)}


def periods(record: str, person: str, life: tuple[str, str]) -> list[tuple[str, str, str, str, str]]:
    """From birth on, recorded at birth; and once more, with its end, recorded at death. An end is the day after."""
    born, died = life
    found = [(record, person, born, "", born)]
    if died:
        found.append((record, person, born, str(date.fromisoformat(died) + timedelta(days=1)), died))
    return found


def bring_together(fhir: Path, claims: Path, out: Path, seed: int) -> None:
    """Write the three parties' folders."""
    rng = random.Random(seed)  # noqa: S311 - a sample, no secret
    ours, theirs = fhir_patients(fhir), claims_patients(claims)
    numbers = [f"P{number:08d}" for number in rng.sample(range(10**8), len(ours) + len(theirs))]
    persons = dict(zip(sorted(ours), numbers, strict=False))
    partners = rng.sample(sorted(theirs), len(theirs))
    # The first partners get the numbers of the FHIR patients; who is left over gets one of his own.
    insured = dict(zip(partners, [*persons.values(), *numbers[len(ours):]], strict=False))
    hospital, insurer, statistics = (out / name for name in ("hospital", "insurer", "statistics"))
    out.mkdir(parents=True)
    shutil.copytree(fhir, hospital)
    shutil.copytree(claims, insurer)
    statistics.mkdir()
    for folder, people in ((hospital, persons), (insurer, insured)):
        write(folder / "crosswalk.csv", ("patient", "person"), sorted(people.items()))
        shutil.copyfile(HERE / f"{folder.name}.toml", folder / "source.toml")
    enrolments = [
        (*row, "care") for patient, life in sorted(ours.items())
        for row in periods(f"care-{persons[patient]}", persons[patient], life)
    ]
    for person in sorted(rng.sample(sorted(persons.values()), len(persons) // 2)):
        since = COACHES[0] + timedelta(days=rng.randrange((COACHES[1] - COACHES[0]).days))
        enrolments.append((f"coach-{person}", person, str(since), "", str(since), "coach"))
    write(hospital / "enrolment.csv", ("record", "person", "start", "end", "recorded", "programme"), enrolments)
    write(insurer / "members.csv", ("record", "person", "start", "end", "recorded"), (
        row for patient, life in sorted(theirs.items())
        for row in periods(f"member-{insured[patient]}", insured[patient], life)
    ))
    births = {insured[p]: life[0] for p, life in theirs.items()} | {persons[p]: life[0] for p, life in ours.items()}
    write(statistics / "persons.csv", ("record_id", "person", "income_quintile", "valid_from", "recorded_at"), (
        (f"income-{person}", person, rng.randint(1, QUINTILES), born, born) for person, born in sorted(births.items())
    ))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("fhir", type=Path)
    parser.add_argument("claims", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.out.exists():
        parser.error(f"{given.out} is there already; name a new folder")
    bring_together(given.fhir, given.claims, given.out, given.seed)
