"""Two samples without a common patient, brought together by a script, give what the plain files give."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import evaluate
from tests.support.synthea import make_sample, plain

EXAMPLE = Path(__file__).parents[2] / "examples" / "synthea"
PARTIES = ("hospital", "insurer", "statistics")


def bring_together(fhir, claims, out, *more, expect=0):
    ended = subprocess.run(
        [sys.executable, EXAMPLE / "crosswalk.py", fhir, claims, out, *more], capture_output=True, text=True, timeout=60,
        check=False,
    )
    assert ended.returncode == expect, ended.stderr
    return ended.stderr


@pytest.mark.timeout(600)
def test_every_line_is_read_and_the_kpis_are_those_of_the_plain_files(tmp_path):
    fhir, claims = make_sample(tmp_path, seed=4)
    bring_together(fhir, claims, tmp_path / "out")
    expected = plain(tmp_path / "out")
    document, _ = evaluate(EXAMPLE / "agreement.toml", {party: tmp_path / "out" / party for party in PARTIES})

    for party, counts in expected.events.items():
        found = document["events"][party]
        assert {name: found[name] for name in counts} == counts, party
        assert found["accepted"] + sum(found["rejected"].values()) == found["read"]
    released = {}
    for release in document["releases"]:
        assert release["cell"] == {}
        released.setdefault((release["kpi"], release["window"]["start"]), {})[release["output"]] = release
    assert released.keys() == expected.cells.keys()
    assert len({kpi for kpi, _ in released}) == 2
    for key, (sums, value, low, high) in expected.cells.items():
        found = released[key]["value"]
        assert math.isclose(found["value"], value, rel_tol=1e-6), key
        # A bound near 0 is a difference of large numbers: it is as exact as the interval is wide.
        for name, number in (("low", low), ("high", high)):
            assert math.isclose(found[name], number, rel_tol=1e-6, abs_tol=1e-6 * (high - low)), (key, name)
        for name, number in sums.items():
            if (told := released[key].get(f"sums.{name}")) is not None:
                assert told["value"] == number, (key, name)


def test_the_crosswalk_follows_the_seed_and_overwrites_nothing(tmp_path):
    fhir, claims = make_sample(tmp_path, seed=5)

    def made(name, *more):
        bring_together(fhir, claims, tmp_path / name, *more)
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*.csv")}

    first = made("a")
    assert made("b") == first
    assert made("c", "--seed", "2")["insurer/crosswalk.csv"] != first["insurer/crosswalk.csv"]
    assert "is there already" in bring_together(fhir, claims, tmp_path / "a", expect=2)
    hospital, insurer = (
        {line.partition(b",")[2] for line in first[f"{party}/crosswalk.csv"].splitlines()[1:]} for party in PARTIES[:2]
    )
    assert hospital < insurer
    assert (len(hospital), len(insurer)) == (12, 15)
