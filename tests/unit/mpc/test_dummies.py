"""Dummy patients: how many of each region, within their budget, and which keys a batch plants again."""

import random
from collections import Counter

import numpy as np
import pytest

from mpc.dummies import draw_dummies, region_cap, regions, repeatable
from mpc.errors import LinkageError


def holders(rows):
    """Key → the registers that hold it."""
    where = {}
    for party, row in enumerate(rows):
        for key in row.tolist():
            where[key] = (*where.get(key, ()), party)
    return where


@pytest.mark.parametrize(("parties", "first", "later"), [(2, 1, 3), (3, 4, 16), (4, 11, 61), (5, 26, 206)])
def test_regions_are_all_that_opened_tags_can_tell(parties, first, later):
    assert len(set(regions(parties))) == first
    assert len(set(regions(parties, later=True))) == later
    for new, earlier in regions(parties, later=True):
        assert new
        assert len({*new, *earlier}) == len(new) + len(earlier) > 1


@pytest.mark.parametrize(("parties", "dummies"), [(2, 2), (2, 33), (3, 6), (3, 32), (4, 32), (5, 30), (5, 64)])
def test_dummies_stay_within_their_budget(parties, dummies):
    seen = []
    for seed in range(300):
        rows = draw_dummies(parties, dummies, random.Random(seed).getrandbits)
        assert rows.shape == (parties, dummies)
        sizes = Counter(holders(rows).values())
        assert max(sizes[r] for r, _ in regions(parties)) <= region_cap(parties, dummies)
        assert all(len(set(row.tolist())) == dummies for row in rows)
        seen.append(sizes[regions(parties)[-1][0]])
    middle = region_cap(parties, dummies) // 2
    assert np.mean(seen) == pytest.approx(middle, abs=0.4)
    assert np.mean(np.array(seen) == middle) == pytest.approx(1 / 3, abs=0.1)
    assert {middle - 1, middle + 1} <= set(seen)


@pytest.mark.parametrize(("parties", "dummies"), [(2, 1), (3, 5), (4, 13), (5, 29)])
def test_a_budget_too_small_for_noise_is_refused(parties, dummies):
    with pytest.raises(LinkageError, match="Agree on 0 or at least"):
        region_cap(parties, dummies)


@pytest.mark.parametrize(("parties", "dummies", "least"), [(2, 3, 4), (3, 15, 16), (4, 51, 52), (5, 159, 160)])
def test_a_batch_has_more_regions_and_needs_more(parties, dummies, least):
    with pytest.raises(LinkageError, match=f"in a batch. Agree on 0 or at least {least}"):
        region_cap(parties, dummies, later=True)
    assert region_cap(parties, least, later=True) == 2


@pytest.mark.parametrize(("parties", "dummies"), [(2, 8), (3, 32), (4, 64)])
def test_a_batch_plants_earlier_keys_again_in_every_region(parties, dummies):
    cap = region_cap(parties, dummies, later=True)
    seen = {region: [] for region in regions(parties, later=True)}
    for seed in range(100):
        bits = random.Random(seed).getrandbits
        first = draw_dummies(parties, dummies, bits)
        batch = draw_dummies(parties, dummies, bits, first)
        assert batch.shape == (parties, dummies)
        assert all(len({*old.tolist(), *new.tolist()}) == 2 * dummies for old, new in zip(first, batch, strict=True))
        before = holders(first)
        sizes = Counter((new, before.get(key, ())) for key, new in holders(batch).items())
        for region, counts in seen.items():
            counts.append(sizes[region])
    for region, counts in seen.items():
        assert max(counts) <= cap
        assert min(counts) < max(counts), region


def test_a_batch_plants_a_key_only_where_it_says():
    """Those of earlier segments that match in a batch are, to this node, in exactly the registers of the region."""
    bits = random.Random(1).getrandbits
    planted = draw_dummies(3, 32, bits)
    for _ in range(20):
        before = holders(planted)
        batch = draw_dummies(3, 32, bits, planted)
        for key, new in holders(batch).items():
            assert not set(new) & set(before.get(key, ()))
        planted = np.concatenate([planted, batch], axis=1)
        assert all(len(set(row.tolist())) == planted.shape[1] for row in planted)


def test_without_earlier_dummies_a_batch_plants_none_again():
    batch = draw_dummies(3, 16, random.Random(2).getrandbits, np.zeros((3, 0), np.uint64))
    assert batch.shape == (3, 16)


def test_the_same_key_and_name_draw_the_same():
    first, again, other = (draw_dummies(3, 32, repeatable(bytes(32), name)) for name in (b"a", b"a", b"b"))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)
