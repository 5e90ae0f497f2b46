"""Late truth: what came after a pane was sealed is shared at the agreed maturities, as what is to be added.

Every revision is compared with a shard that never seals before its end and was told only what had come by then.
"""

import math
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from policy.maturity import MAX_MATURITIES
from policy.measure import LIMB_BITS
from streams.columns import ENDED, NEVER
from streams.envelope import Claim, ClaimEvent, Enrolment, EnrolmentEvent, Heartbeat, Social, SocialEvent
from streams.panes import ShardPanes
from streams.rejects import Reason
from streams.rowwise import micros
from streams.shard import Shard
from streams.validate import Validator
from tests.support.kinds import NAMES, at, common, encounter, enrolled, kinds_data, prom, withdrawal
from tests.support.watermark import Watermark
from tests.unit.streams import test_shard

PANES, PEOPLE = 12, 4
KEY = b"k" * 32


def agreed(maturities, grace=0, **changes):
    data = kinds_data(maturities={"days": maturities}, **changes)
    for party in data["parties"]:
        party["grace_panes"] = grace
    data["parties"][0]["sources"][0]["name"] = "ehr"
    for m in data["measures"]:
        if m.get("bound", 1) > 1:
            m["bound"] = 2**20
    return Draft.model_validate(data)


def enrol(who, name, start, stop, recorded, programme, source="ehr"):
    return EnrolmentEvent(
        **{**common(who, name, start, recorded), "source": source},
        payload=Enrolment(programme=programme, stop=None if stop is None else at(stop)),
    )


def hospital(seed):
    """Encounters, monitoring, answers, corrections and cancellations, and programmes that are said again."""
    rng = random.Random(seed)
    for event in test_shard.story(seed, 90, tuple(range(1, PEOPLE + 2))):
        if isinstance(event, Heartbeat) and event.until is None:
            return
        yield event
        if not isinstance(event, Heartbeat) and rng.random() < 0.3:
            day = (event.recorded_at - at(0)).total_seconds() / 86_400
            start, stop = max(-9.0, day - rng.choice([0, 3, 40])), rng.choice([None, day - 0.5])
            stop = None if stop is None else max(start, stop)
            programme = rng.choice(["ibd-coach", "ibd-care"])
            yield enrol(rng.randrange(PEOPLE) + 1, f"{programme}{rng.randrange(9)}", start, stop, day, programme)


def insurer(seed):
    """Claim lines, many of them on days long ago, and credit lines."""
    rng, day, lines = random.Random(seed), -15.0, []
    for who in range(1, PEOPLE + 1):
        yield enrol(who, f"m{who}", -20, rng.choice([None, -16]), -15, "insured", "claims")
    for number in range(120):
        day = min(83.0, day + rng.choice([0, 0, 1, 4]))
        credit = bool(lines) and rng.random() < 0.2
        who, cents, back = rng.choice(lines) if credit else (rng.randrange(PEOPLE) + 1, rng.randrange(90_000), None)
        more = {"source": "claims", "corrects": NAMES.event_id("t", back) if credit else None}
        if not credit:
            lines.append((who, cents, f"c{number}"))
        occurred = max(0.0, day - rng.choice([0, 0, 2, 20, 50]))
        yield ClaimEvent(
            **{**common(who, f"c{number}", occurred, max(day, 0.0)), **more},
            payload=Claim(care_type=rng.choice(["gp", "medication"]), cents=cents, credit=credit),
        )
        if rng.random() < 0.1:
            programme_end = rng.choice([None, max(0.0, day - 9)])
            yield enrol(who, f"m{who}", -20, programme_end, max(day, 0.0), "insured", "claims")


def statistics(seed):
    """Incomes that hold from a day long ago."""
    rng, day = random.Random(seed), -15.0
    for number in range(60):
        day = min(83.0, day + rng.choice([0, 1, 3]))
        since = day - rng.choice([0, 5, 30])
        yield SocialEvent(
            **{**common(rng.randrange(PEOPLE) + 1, f"s{number}", since, day), "source": "persons"},
            payload=Social(field="income", value=rng.choice(["1", "2", "3", None])),
        )


STORIES = {"hospital": hospital, "insurer": insurer, "statistics": statistics}


def instant(pane, revision, maturities, grace):
    """When a revision of a pane is made, seconds since 1970, from the calendar alone."""
    end = pane + 1 + grace
    return math.inf if end > PANES else at(7 * end + (0, *maturities)[revision]).timestamp()


def told(draft, party, events):
    """Revisions as they come: (pane, revision, content, of the whole shard); and (event, watermark before it, clock,
    whether it still changes something).
    """
    panes, history = ShardPanes(draft, party, bytes(32)), Validator(draft, party)
    source = draft.party(party).sources[0].name
    mark, clock, made, heard = Watermark({source: 0}), NEVER, [], []

    def reach():
        value = mark.value
        now = {math.inf: ENDED, -math.inf: NEVER}.get(value)
        now = round(value * 1e6) if now is None else now
        panes.reach(now, ENDED if now == ENDED else clock)
        while panes.ripe:
            made.append(panes.seal())
        return now

    for event in events:
        if isinstance(event, Heartbeat):
            clock = max(clock, micros(event.recorded_at))
            mark.hear(source, event.until.timestamp(), event.recorded_at.timestamp())
            reach()
            continue
        entered = history.enter(event)
        if not isinstance(entered, Reason):
            before, lost = mark.value, panes.late_after_maturity
            clock = max(clock, micros(event.recorded_at))
            now = reach()
            panes.apply(entered, now, clock)
            heard.append((entered, before, panes.late_after_maturity == lost))
        mark.observe(source, event.occurred_at.timestamp(), event.recorded_at.timestamp())
        reach()
    mark.finish(source)
    reach()
    return panes, made, heard


def known(draft, party, events, pane):
    """A pane of a shard that got these events and sealed nothing before its end."""
    shard, clock = ShardPanes(draft, party, bytes(32)), NEVER
    for event in events:
        clock = max(clock, micros(event.recorded_at))
        shard.apply(event, NEVER, clock)
    shard.reach(ENDED, ENDED)
    return [shard.seal() for _ in range(pane + 1)][-1].content


@pytest.mark.parametrize("party", list(STORIES))
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(0, 2), st.sampled_from([(3,), (7, 20), (10, 30, 60)]))
def test_revisions_add_up_to_what_was_known_when_they_were_made(party, seed, grace, maturities):
    draft, patient = agreed(maturities, grace), agreed((), PANES)
    events = [e for e in STORIES[party](seed) if e.kind != "withdrawal"]
    panes, made, heard = told(draft, party, events)
    assert sorted((s.pane, s.revision) for s in made) == [
        (pane, revision) for pane in range(PANES) for revision in range(len(maturities) + 1)
    ]
    order = [(instant(s.pane, s.revision, maturities, grace), s.revision, s.pane) for s in made]
    assert order == sorted(order)
    total: dict[int, np.ndarray] = {}
    for pane, content, revision in made:
        total[pane] = content if revision == 0 else total[pane] + content
        cut = instant(pane, revision, maturities, grace)
        by_then = [event for event, before, counts in heard if counts and before < cut]
        assert np.array_equal(total[pane], known(patient, party, by_then, pane)), (pane, revision)
    first = [instant(p, 0, maturities, grace) for p in range(PANES)]
    claims = [(e, w) for e, w, _ in heard if isinstance(e, ClaimEvent)]
    if len(claims) == len(heard):
        late = sum(w >= first[int((e.occurred_at - at(0)).days // 7)] for e, w in claims)
        assert panes.late_pending + panes.late_after_maturity == late


@settings(max_examples=25)
@given(
    st.integers(0, 2**32), st.sets(st.integers(1, 62)), st.sets(st.integers(1, 62)),
    st.lists(st.booleans(), max_size=130), st.sampled_from([(3,), (7, 20, 45)]), st.integers(0, 200),
)
def test_how_source_partitions_come_together_changes_no_revision(seed, cuts, others, turns, maturities, crash):
    draft = Draft.model_validate(kinds_data(maturities={"days": maturities}))
    first, second = (
        test_shard.log_of(test_shard.story(seed + p, people=(1 + 9 * p, 2 + 9 * p, 3 + 9 * p)), c, p)
        for p, c in enumerate((cuts, others))
    )
    mixed, place = [], [0, 0]
    for turn in turns:
        mixed += (first, second)[turn][place[turn] : place[turn] + 1]
        place[turn] += 1
    seals, counts = [], set()
    for log in (first + second, second + first, mixed + first[place[0] :] + second[place[1] :]):
        shard = Shard(draft, "hospital", 0, bytes(32), 2)
        stop = crash % (len(log) + 1)
        found = test_shard.folded_seals(shard, log[:stop], 0)
        again = Shard(draft, "hospital", 0, bytes(32), 2)
        again.load(KEY, shard.dump(KEY))
        assert again.dump(KEY) == shard.dump(KEY)
        seals.append(found + test_shard.folded_seals(again, log[stop:], stop))
        counts.add((again.accepted, again.panes.late_pending, again.panes.late_after_maturity))
    assert seals[0] == seals[1] == seals[2]
    assert len(seals[0]) == draft.panes.count * (1 + len(maturities))
    assert len(counts) == 1


def test_a_correction_moves_an_event_at_the_next_maturity_and_what_comes_after_the_last_one_is_counted():
    draft = agreed((7, 14))
    panes, made, _ = told(draft, "hospital", [
        enrolled(1), encounter(1, "a", 3), encounter(1, "b", 8), encounter(1, "b", 3, recorded=9),
        encounter(1, "c", 15), encounter(1, "d", 3, recorded=16), encounter(1, "e", 22), encounter(1, "f", 3, recorded=23),
    ])
    column = [c for m in draft.party_measures("hospital") for c in m.columns].index("contacts")
    slot = int(panes.register.slot_of[0])
    assert {
        (s.pane, s.revision): int(s.content[column, slot]) for s in made if s.content[column].any()
    } == {(0, 0): 1, (0, 1): 1, (0, 2): 1, (2, 0): 1, (3, 0): 1}
    # "b" said again, and "d", wait for a maturity; "f" came after the last one.
    assert (panes.late_pending, panes.late_after_maturity) == (2, 1)


def test_an_amount_is_taken_back_as_signed_limbs():
    debit = {**common(1, "a", 3, 3), "source": "claims"}
    credit = {**common(1, "b", 3, 9), "source": "claims", "corrects": NAMES.event_id("t", "a")}
    later = {**common(1, "c", 8, 8), "source": "claims"}
    cents = 5 * (1 << LIMB_BITS) + 7
    draft = agreed((30,))
    panes, made, _ = told(draft, "insurer", [
        enrol(1, "m", -20, None, -15, "insured", "claims"),
        ClaimEvent(**debit, payload=Claim(care_type="gp", cents=cents, credit=False)),
        ClaimEvent(**later, payload=Claim(care_type="gp", cents=1, credit=False)),
        ClaimEvent(**credit, payload=Claim(care_type="gp", cents=cents, credit=True)),
    ])
    high = [c for m in draft.party_measures("insurer") for c in m.columns].index("cost.high")
    slot = int(panes.register.slot_of[0])
    of = {(s.pane, s.revision): s.content for s in made}
    assert of[0, 0][high : high + 2, slot].tolist() == [5, 7]
    assert of[0, 1][high : high + 2, slot].tolist() == [-5, -7]
    words = of[0, 0].view(np.uint64) + of[0, 1].view(np.uint64)
    assert words[high : high + 2].sum() == 0


def test_who_withdraws_stays_in_the_panes_that_had_passed_and_in_their_revisions():
    panes, made, _ = told(agreed((14,)), "hospital", [
        enrolled(1), encounter(1, "a", 3), encounter(1, "b", 8), withdrawal(1, "w", 8.5), encounter(1, "c", 4, recorded=9),
        encounter(1, "d", 9.5),
    ])
    slot = int(panes.register.slot_of[0])
    assert {
        (s.pane, s.revision): int(s.content[3, slot]) for s in made if s.content[3].any()
    } == {(0, 0): 1, (0, 1): 1}


def test_every_revision_is_shared_in_full_shape_whether_or_not_anything_changed():
    _, made, _ = told(agreed((30, 60)), "hospital", [enrolled(1), prom(1, "p", 3)])
    assert len(made) == 3 * PANES
    assert len({s.content.shape for s in made}) == 1
    assert not any(s.content.any() for s in made if s.revision)


def test_without_maturities_a_pane_is_shared_once_and_what_is_late_waits():
    panes, made, _ = told(agreed(()), "hospital", [enrolled(1), encounter(1, "a", 8), encounter(1, "b", 3, recorded=9)])
    assert [(s.pane, s.revision) for s in made] == [(pane, 0) for pane in range(PANES)]
    assert (panes.late_pending, panes.late_after_maturity) == (1, 0)


@pytest.mark.parametrize(("maturities", "said"), [
    ([30, 30], "do not ascend"), ([60, 30], "do not ascend"), ([0, 30], "greater than or equal to 1"),
    ([4_000], "less than or equal to 3660"), (list(range(1, MAX_MATURITIES + 2)), "at most 12"),
])
def test_maturities_that_make_no_sense_are_refused(maturities, said):
    with pytest.raises(ValueError, match=said):
        Draft.model_validate(kinds_data(maturities={"days": maturities}))


def test_maturities_stay_within_the_calendar():
    panes = {"zone": "Europe/Amsterdam", "unit": "year", "start": "9980-01-01", "count": 12}
    with pytest.raises(ValueError, match="mature beyond the calendar"):
        Draft.model_validate(kinds_data(panes=panes, maturities={"days": [3_660]}, windows={"size": 4, "step": 1}))


def test_results_at_maturity_need_one():
    with pytest.raises(ValueError, match="no days after which panes are mature"):
        Draft.model_validate(kinds_data(maturities={"release": "maturity"}))
    kinds = ({"release": "seal"}, {"release": "maturity"}, {"release": "both", "revisions": 5})
    drafts = [Draft.model_validate(kinds_data(maturities={"days": [3, 9], **kind})) for kind in kinds]
    assert [(d.maturities.last, d.maturities.editions) for d in drafts] == [(2, (0,)), (2, (2,)), (2, (0, 2))]


@pytest.mark.parametrize("said", [
    {"days": [3], "release": "both"}, {"days": [3], "release": "maturity", "revisions": 5}, {"revisions": 5},
])
def test_only_two_editions_have_a_quota_of_their_own(said):
    with pytest.raises(ValueError, match="how many runs may make full editions"):
        Draft.model_validate(kinds_data(maturities=said))
