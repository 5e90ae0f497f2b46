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


def test_a_contender_of_few_rows_says_so():
    note = scaled(Timing("cold", 100, (1.0, 2.0, 9.0), None, 5), 1_000_000)["note"]
    assert note == "measured with 100 rows; 1,000,000 would take 20,000 s if scaled linearly"
