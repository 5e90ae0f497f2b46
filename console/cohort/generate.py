"""From a shape and a seed to the folders of three parties."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from console.cohort.claims import draw_claims
from console.cohort.dirt import add_dirt
from console.cohort.files import hospital_lines, insurer_lines, statistics_lines, write
from console.cohort.hospital import hospital_events
from console.cohort.people import NEVER, draw_people
from console.cohort.shape import Shape


@dataclass(frozen=True)
class Summary:
    """What was written."""

    parties: dict[str, Path]
    """Folder of each party."""
    patients: int
    users: int
    """Patients of the hospital who start using the app."""
    claims: int
    credits: int
    lines: dict[str, int]
    """Lines of each file, headers not counted."""
    rejected: dict[str, dict[str, int]] = field(default_factory=dict)
    """Bad lines put in on purpose: party → reason → number."""


def generate(
    directory: Path, patients: int = 4_350, weeks: int = 78, seed: int = 1, *, shape: Shape | None = None,
    dirt: int = 0, events: bool = False,
) -> Summary:
    """Write a cohort under `directory`/hospital, /insurer and /statistics. The same arguments give the same bytes.

    Args:
        directory: made when missing; files of an earlier cohort are overwritten.
        patients: patients of the hospital.
        weeks: length of the period.
        seed: of all randomness.
        shape: everything at once, instead of the three above.
        dirt: bad lines of each kind that each party gets among its good ones.
        events: whether the hospital has contacts, questionnaires and home monitoring too.

    Raises:
        ValueError: a size or a fraction is out of bounds.
    """
    shape = shape or Shape(patients=patients, weeks=weeks, seed=seed)
    rng = np.random.default_rng(shape.seed)
    people = draw_people(rng, shape)
    claims = draw_claims(rng, people, shape)
    files = hospital_lines(people, shape) | insurer_lines(people, claims, shape) | statistics_lines(people, shape)
    if events:
        for name, lines in hospital_events(people, shape).items():
            files.setdefault(name, []).extend(lines)
    rejected = add_dirt(files, people, claims, shape, dirt) if dirt else {}
    write(directory, files)
    return Summary(
        parties={name: directory / name for name in ("hospital", "insurer", "statistics")},
        patients=shape.patients, users=int((people.app_start < NEVER).sum()),
        claims=len(claims), credits=int(claims.credit.sum()),
        lines={name: len(lines) for name, lines in files.items()}, rejected=rejected,
    )
