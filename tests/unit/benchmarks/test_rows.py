"""What must come of the made-up rows of `link`, by plain sets."""

from benchmarks.link import scaled
from benchmarks.rows import Registers
from benchmarks.trio import Timing


def test_the_total_is_over_those_whom_all_three_registers_have():
    data = Registers.of(40)
    found = [dict(zip(keys.tolist(), values.tolist(), strict=True)) for keys, values in zip(*data, strict=True)]
    common = set.intersection(*map(set, found))
    assert len(common) == 20
    assert data.total() == sum(found[0][key] * found[1][key] * found[2][key] for key in common)


def test_a_batch_brings_new_rows_of_new_and_of_known_people():
    data = Registers.of(80)
    new = data.batch(64)
    both = data.and_then(new)
    for old, later, keys, values in zip(data.keys, new.keys, *both, strict=True):
        assert len(later) == 64
        assert len({*old.tolist(), *later.tolist()}) == len(keys) == len(values) == 80 + 64
    found = [dict(zip(keys.tolist(), values.tolist(), strict=True)) for keys, values in zip(*both, strict=True)]
    common = set.intersection(*map(set, found))
    # 32 people are new to all; 10 come to each register whom others have, and the third has those of the first two.
    assert len(common) == 40 + 32 + 20
    assert both.total() == sum(found[0][key] * found[1][key] * found[2][key] for key in common)


def test_a_contender_of_few_rows_says_so():
    note = scaled(Timing("cold", 100, (1.0, 2.0, 9.0), None, 5), 1_000_000)["note"]
    assert note == "measured with 100 rows; 1,000,000 would take 20,000 s if scaled linearly"
