"""Cut a public data set into three parties' files, to be evaluated with configuration only.

    python examples/randhie/cut.py DIR

The data are of the RAND Health Insurance Experiment (Newhouse and others, 1993), as in
`statsmodels.datasets.randhie`: one row a person and year, with the number of outpatient visits, the logarithm of the
coinsurance rate + 1 (0: free care), and how the person rates his or her health. Each row becomes a person: a hospital
knows the plan, an insurer the visits, a statistics office the health. Dates are made up, since the data have none.
"""

import csv
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import statsmodels.api as sm

HERE = Path(__file__).resolve().parent
FIRST_DAY, VISIT_DAY, VISIT_RECORDED = "1975-01-01", "1975-06-15", "1975-06-16"


def write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """One CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def cut(directory: Path) -> None:
    """Write the three parties' folders, each with its source.toml."""
    data = sm.datasets.randhie.load_pandas().data
    people = [f"person-{row:05d}" for row in range(len(data))]
    free = (data["lncoins"] == 0).tolist()
    poor, fair, good = (data[name].astype(bool).tolist() for name in ("hlthp", "hlthf", "hlthg"))
    health = [
        "poor" if p else "fair" if f else "good" if g else "excellent" for p, f, g in zip(poor, fair, good, strict=True)
    ]
    write(directory / "hospital" / "plans.csv", ("record", "who", "plan", "since"), [
        *((f"study-{who}", who, "any", FIRST_DAY) for who in people),
        *((f"free-{who}", who, "free", FIRST_DAY) for who, is_free in zip(people, free, strict=True) if is_free),
    ])
    write(directory / "insurer" / "insured.csv", ("record", "who", "since"), (
        (f"insured-{who}", who, FIRST_DAY) for who in people
    ))
    write(directory / "insurer" / "visits.csv", ("record", "who", "day", "cents", "booked"), (
        (f"visit-{who}-{visit}", who, VISIT_DAY, 0, VISIT_RECORDED)
        for who, visits in zip(people, data["mdvis"].astype(int).tolist(), strict=True) for visit in range(visits)
    ))
    write(directory / "statistics" / "health.csv", ("record", "who", "rated", "asked"), (
        (f"health-{who}", who, rated, FIRST_DAY) for who, rated in zip(people, health, strict=True)
    ))
    for party in ("hospital", "insurer", "statistics"):
        shutil.copyfile(HERE / f"{party}.toml", directory / party / "source.toml")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/randhie/cut.py DIR")
    cut(Path(sys.argv[1]))
