"""One evaluation, all its processes with a witness, for the tests that inspect it."""

import json
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.inspection.case import investigate

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
NAMES = ("Rozemarijn Quispel", "Quispel-Zandvoort")


@pytest.fixture(scope="session")
def names():
    """Of the one patient who has some."""
    return NAMES


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    """A small cohort with bad lines; one patient has a name, and one bad line holds it with the identifier."""
    folder = tmp_path_factory.mktemp("inspection")
    parties = generate(folder / "cohort", shape=SHAPE, dirt=2).parties
    patients = parties["hospital"] / "Patient.ndjson"
    first, *rest = patients.read_text().splitlines()
    named = json.loads(first) | {"name": [{"text": NAMES[0], "family": NAMES[1]}], "birthDate": "1961-07-08"}
    number = named["identifier"][0]["value"]
    bad = f'{{"resourceType": "Patient", "id": "h999999", "name": "{NAMES[0]}", "identifier": "{number}", '
    patients.write_text("\n".join([json.dumps(named), *rest, bad]) + "\n")
    return investigate(AGREEMENT, parties, folder / "work", NAMES)
