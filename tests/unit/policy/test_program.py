"""Programs of sums: compiled, split into limbs, and refused before anything can leave the ring."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.errors import PlanError
from policy.plan import RING_BITS
from policy.program import Program, compile_sums, load_program, programs
from policy.sums import Factor, Part, SumsPlan
from tests.support.summing import MEASURES, Plain, columns_for

IDS = [
    "outpatient-rate", "de-adoption", "gp-visit-rate", "admission-rate", "ed-visit-rate", "time-to-first-admission",
    "cost-per-patient-month", "cost-difference-in-differences", "incremental-net-monetary-benefit", "icer",
    "monitoring-adherence", "prom-change", "flares-and-steroid-courses", "subgroup-effect", "equity-of-uptake", "completeness",
]


def compiled(program, patients=10_000, panes=52):
    return compile_sums(program, MEASURES, patients=patients, panes=panes)


def test_the_sixteen_kpis_come_with_winnow_and_compile_for_a_year_of_weeks():
    assert [(p.number, p.id) for p in programs()] == list(enumerate(IDS, 1))
    for program in programs():
        plan, again = compiled(program), compiled(program)
        assert plan.hash == again.hash == SumsPlan.model_validate_json(plan.model_dump_json()).hash
        assert program.about
        assert plan.sums or plan.first_events


def test_moments_are_all_sums_and_all_products_of_two():
    plan = compiled(load_program("outpatient-rate"))
    names = [each.name for each in plan.sums]
    assert len(names) == len(set(names)) == 4 + 10
    assert {"exposed.days", "exposed.visits * exposed.visits", "exposed.days * comparator.visits"} <= set(names)
    within = [each.name for each in compiled(load_program("de-adoption")).sums]
    assert len(within) == 2 * (1 + 4 + 10)
    assert {"started", "started * comparator.visits@before", "waiting * comparator.days * comparator.visits@before"} <= set(within)


def one(*sums, columns=None, terms=None, **more):
    return Program(
        id="one", number=1, about="", sums=sums, columns=columns or {},
        terms=terms or {"cost": {"columns": ["cost"]}, "days": {"columns": ["insured_days"]}}, **more,
    )


def parts(plan, name):
    (found,) = (each for each in plan.sums if each.name == name)
    return {tuple((f.name, f.before) for f in part.factors): part.weight for part in found.parts}


def test_a_square_of_an_amount_is_three_sums():
    plan = compiled(one("cost * cost", "cost * days", "cost", "cost * cost@before"))
    assert plan.amounts == ()
    high, low, days = ("cost.high", False), ("cost.low", False), ("days", False)
    assert parts(plan, "cost * cost") == {(high, high): 2**26, (high, low): 2**14, (low, low): 1}
    assert parts(plan, "cost * days") == {(high, days): 2**13, (low, days): 1}
    assert parts(plan, "cost") == {(high,): 2**13, (low,): 1}
    assert len(parts(plan, "cost * cost@before")) == 4


def test_a_product_of_an_amount_with_itself_in_a_pane_is_three_terms():
    plan = compiled(one("square", terms={"square": {"columns": ["cost", "cost"]}}), patients=100_000)
    assert {term.columns: weight for term, weight in zip(plan.terms, (2**26, 2**14, 1), strict=True)} == {
        ("cost.high", "cost.high"): 2**26, ("cost.high", "cost.low"): 2**14, ("cost.low", "cost.low"): 1,
    }
    assert parts(plan, "square") == {
        (("square.high.high", False),): 2**26, (("square.high.low", False),): 2**14, (("square.low.low", False),): 1,
    }


def test_an_amount_stays_whole_where_its_products_fit():
    plan = compiled(one("cost", "days"))
    assert [amount.name for amount in plan.amounts] == ["cost"]
    assert [len(each.parts) for each in plan.sums] == [1, 1]
    assert [column.name for column in plan.columns] == ["cost.high", "cost.low", "insured_days"]


def test_only_the_amounts_that_ask_for_it_are_split():
    columns = {"fees": {"party": "insurer", "bound": 2**20, "amount": True}}
    terms = {"cost": {"columns": ["cost"]}, "fees": {"columns": ["fees"]}}
    plan = compiled(one("cost * cost", "fees", columns=columns, terms=terms))
    assert [amount.name for amount in plan.amounts] == ["fees"]
    assert [column.name for column in plan.columns] == ["cost.high", "cost.low", "fees.high", "fees.low"]


@pytest.mark.parametrize("bound", [1, 7, 12_345])
def test_the_ring_is_used_to_its_end_and_no_further(bound):
    columns = {"score": {"party": "hospital", "bound": bound}}
    program = one("score * score", columns=columns, terms={"score": {"columns": ["score"]}})
    most = (2**RING_BITS - 1) // (bound * 13) ** 2
    assert compiled(program, most, 13).part_bound(Part(factors=(Factor(name="score"),) * 2), most, 13) < 2**62
    with pytest.raises(PlanError, match="may need 63 bits"):
        compiled(program, most + 1, 13)


@pytest.mark.parametrize(("program", "message"), [
    (one("cost * cost * cost", "days"),
     (r"sum cost \* cost \* cost may need 96 bits in cost.high · cost.high · cost.high, the ring has 62. Lower the number of "
      r"patients \(1000000000000\) or the window \(52 panes\) or the bound of cost.high \(8192\)\.$")),
    (one("old * wide", states={"old": ["age"]}, terms={"wide": {"columns": ["age", "age"]}},
         columns={"age": {"party": "hospital", "bound": 2**20}}), r"sum old \* wide may need \d+ bits in old · wide"),
    (one(terms={"wide": {"columns": ["age", "age"]}}, columns={"age": {"party": "hospital", "bound": 2**20}},
         matrices=[{"name": "m", "rows": "in_care", "outcome": "wide"}]),
     r"matrix m may need 80 bits in wide, the ring has 62. Lower the number of patients \(1000000000000\) or the bound of age \(1048576\), or share age as an amount"),
])
def test_what_may_leave_the_ring_is_refused_with_what_to_lower(program, message):
    with pytest.raises(PlanError, match=message):
        compiled(program, patients=10**12)


def test_more_patients_than_the_ring_can_count_are_refused():
    with pytest.raises(PlanError, match="first events admission may need 63 bits in a count"):
        compiled(load_program("time-to-first-admission"), patients=2**62)


DAYS = {"days": {"columns": ["insured_days"]}}
FIRST = {"name": "f", "present": "insured_any", "event": "admissions_any", "arms": ["exposed"]}


@pytest.mark.parametrize(("program", "message"), [
    (one("dayz", terms=DAYS), "no term is called 'dayz'; terms: days; states: none"),
    (one("days * days@before * days * days", terms=DAYS), "has 4 factors, at most 3"),
    (one("days", terms={"days": {"columns": ["insured_day"]}}), "needs 'insured_day', which is neither a measure"),
    (one("days", terms={"days": {"columns": ["insured_days"], "arms": ["exposed"]}}), "no arm is called 'exposed'; known: none"),
    (one("exposed.days", terms={"days": {"columns": ["insured_days"], "arms": ["exposed"]}}, arms={"exposed": "gp_visits"}),
     "gp_visits is an arm, a stratum or of first events; expected 0 or 1"),
    (one("days", terms=DAYS, columns={"insured_days": {"party": "insurer", "bound": 7}}),
     "insured_days is a column of the program and a measure of the agreement"),
    (one("days", terms=DAYS, columns={"cost.high": {"party": "hospital", "bound": 1}}), "cost.high is a limb of the amount cost"),
    (one(), "computes nothing"),
    (one("days"), "nothing uses the term or state cost. Leave it out"),
    (one("days", terms=DAYS, states={"s": ["in_care"]}), "nothing uses the term or state s"),
    (one("days * days", terms=DAYS, states={"days": ["in_care"]}), "more than one term or state is called days"),
    (one("s@before", "days", terms=DAYS, states={"s": ["in_care"]}), "state s says by itself which of its columns is before"),
    (one("s", states={"s": ["cost"]}, matrices=[{"name": "m", "rows": "in_care", "outcome": "days"},
                                                {"name": "n", "rows": "in_care", "outcome": "cost"}]),
     "expected cost to be a column, not an amount"),
    (one("days", "cost", matrices=[{"name": "m", "rows": "cost", "outcome": "days"}]), "expected cost to be a column"),
    (one("days", terms=DAYS, matrices=[{"name": "days", "rows": "in_care", "outcome": "days"}]), "more than one result is called days"),
    (one("s", "days", terms=DAYS, states={"s": ["in_care"]}, matrices=[{"name": "m", "rows": "in_care", "outcome": "s"}]),
     "no term is called 's'; terms: days; states: s"),
    (one(terms=DAYS, first_events=[FIRST]), "no arm is called 'exposed'"),
    (one("days", terms=DAYS, strata={"income": {"1": "income_1"}, "education": {"low": "education_low"}}), "at most one is supported"),
    (one("days", terms=DAYS, strata={"income": {"1": "cost"}}), "cost is an amount; expected a category, 0 or 1"),
    (one("days", terms=DAYS, strata={"income": {"1": "insured_days"}}), "insured_days is an arm, a stratum"),
])
def test_a_program_that_means_nothing_is_refused(program, message):
    with pytest.raises(PlanError, match=message):
        compiled(program)


@pytest.mark.parametrize(("name", "message"), [
    ("no-such", "KPI 'no-such' is not in the plans; known: admission-rate, completeness"), ("no/such.toml", "readable TOML file"),
])
def test_an_unknown_program_is_named(name, message):
    with pytest.raises(PlanError, match=message):
        load_program(name)


def test_a_matrix_of_a_state_is_refused():
    program = one("s", terms=DAYS, states={"s": ["in_care"]}, matrices=[{"name": "m", "rows": "in_care", "outcome": "days"}])
    plan = compiled(program).model_dump()
    plan["matrices"][0]["outcomes"] = [*plan["matrices"][0]["outcomes"], {"term": "s", "weight": 1}]
    with pytest.raises(ValueError, match="matrix m is of terms, not of state s"):
        SumsPlan.model_validate(plan)


def test_the_first_cell_is_that_of_all_patients():
    plan = compiled(load_program("subgroup-effect"))
    with pytest.raises(ValueError, match="the first cell is not that of all patients"):
        SumsPlan.model_validate(plan.model_dump() | {"strata": plan.model_dump()["strata"][1:]})


@st.composite
def written(draw):
    """Any program of a few columns with bounds of any size, for a few patients and panes."""
    bounds = st.one_of(st.integers(1, 2**26 - 1), st.sampled_from([1, 2, 2**13, 2**20, 2**26 - 1]))
    columns = {
        name: {"party": "p", "bound": draw(bounds), "amount": draw(st.booleans()), "signed": draw(st.booleans())}
        for name in ("a", "b", "c")
    }
    named = st.lists(st.sampled_from("abc"), min_size=1, max_size=3)
    terms = {name: {"columns": draw(named)} for name in ("t", "u")}
    factors = st.lists(st.sampled_from(["t", "u", "t@before", "u@before"]), min_size=1, max_size=3).map(" * ".join)
    sums = [*draw(st.lists(factors, min_size=1, max_size=3)), "t", "u"]
    used = {column for term in terms.values() for column in term["columns"]}
    return Program(
        id="any", number=1, about="", columns={n: c for n, c in columns.items() if n in used}, terms=terms, sums=sums,
    )


@settings(max_examples=300)
@given(program=written(), patients=st.integers(1, 6), panes=st.integers(1, 3), seed=st.integers(0, 99))
def test_what_is_accepted_never_leaves_the_ring_and_means_what_was_written(program, patients, panes, seed):
    """Columns at their bounds, in every pane and of every patient; and at random."""
    try:
        plan = compile_sums(program, {}, patients=patients, panes=panes)
    except PlanError as error:
        assert "the ring has 62" in str(error)  # noqa: PT017 - whatever is accepted is judged below
        return
    assert plan.hash == SumsPlan.model_validate_json(plan.model_dump_json()).hash
    extremes = {c.name: np.full((2 * panes, patients), c.bound) for c in plan.columns}
    for columns in (extremes, columns_for(plan, 2 * panes, patients, seed)):
        plain = Plain(program, plan, columns)
        values = {
            (term.name, before): np.prod([plain.columns[name] for name in term.product], axis=0)[window].sum(axis=0)
            for term in plan.terms for before, window in ((True, slice(0, panes)), (False, slice(panes, 2 * panes)))
        }
        for each in plan.sums:
            whole = 0
            for part in each.parts:
                products = np.prod([values[f.name, f.before] for f in part.factors], axis=0)
                value = int(products.sum())
                assert abs(value) <= plan.part_bound(part, patients, panes) < 2**62
                assert max(abs(products)) < 2**62
                whole += part.weight * value
            assert whole == plain.sum(each.name, 0, panes, 2 * panes)
