"""What dominance rules may be asked of, and how output rules are told."""

import pytest

from policy.disclosure import Disclosure, Dominance
from policy.errors import PlanError

RULES = Dominance(largest_percent=50, p_percent=10)


def test_sums_that_may_leave_the_ring_are_refused():
    """p = 10 % compares up to 1,100 times a sum: 2^31 cents of 2^20 patients are 2^61.1, of 2^21 too many."""
    RULES.check("cost", 2**31, 2**20)
    with pytest.raises(PlanError, match=r"KPI cost: .* up to 63 bits, the ring has 62.* \(a patient may have 2147483648\)"):
        RULES.check("cost", 2**31, 2**21)


@pytest.mark.parametrize(("dominance", "rule", "words"), [
    (None, "minimum-cohort", "at least 10 contributors in every atom"),
    (RULES, "disclosure", (
        "at least 10 contributors in every atom; the largest contributor makes up less than 50 %, nobody can estimate "
        "another's part to within 10 %"
    )),
])
def test_a_suppression_is_told_by_what_is_agreed(dominance, rule, words):
    agreed = Disclosure(minimum_cohort=10, dominance=dominance)
    assert (agreed.rule, agreed.words()) == (rule, words)
