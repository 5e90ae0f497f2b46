"""The errors of releases: as large as theory says, growing as it says, and drawn."""

import math
from xml.etree import ElementTree as ET

import pytest

from benchmarks.privacy import draw, measure_privacy, series


def errors(rows, name, contender):
    return {row["rows"]: row["error"] for row in rows if row["case"] == name and row["contender"] == contender}


@pytest.fixture(scope="module")
def rows():
    return [row for releases in (8, 128) for row in measure_privacy(releases, 12)]


def test_errors_are_what_is_expected_of_them(rows):
    """Mean squares of some hundred draws, some of them in common; a factor of 2 would be found."""
    for row in rows:
        assert math.isclose(row["error"], row["expected_error"], rel_tol=0.35), row


def test_a_tree_grows_with_the_logarithm_and_noise_for_each_release_with_the_root(rows):
    """Standard errors: log T, so that variances are log² T; each release: √T."""
    name = series(1)[0].name
    expected = {(row["contender"], row["rows"]): row["expected_error"] for row in rows if row["case"] == name}
    assert expected["each", 128] / expected["each", 8] == pytest.approx(math.sqrt(128 / 8), rel=0.01)
    assert expected["tree", 128] / expected["tree", 8] < 1.15 * math.log2(2 * 128) / math.log2(2 * 8)
    tree, each = (errors(rows, name, contender) for contender in ("tree", "each"))
    assert tree[128] < each[128]


def test_the_picture_is_svg_with_every_curve(rows):
    root = ET.fromstring(draw(rows))
    assert root.tag.endswith("svg")
    assert sum(each.tag.endswith("polyline") for each in root) == 4
    assert "nan" not in draw(rows)
