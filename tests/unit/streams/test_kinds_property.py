"""Panes of all kinds that can be corrected, against a re-derivation by brute force from the events that stand."""

import random
from bisect import bisect_right

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from streams.envelope import Heartbeat, MonitoringEvent, PromEvent, WithdrawalEvent
from streams.rejects import Reason
from tests.support.checking import Checker
from tests.support.driven import DrivenPanes
from tests.support.kinds import (
    COLUMNS,
    MEASURES,
    NAMES,
    at,
    encounter,
    enrolled,
    kinds_data,
    monitoring,
    prom,
    withdrawal,
)
from tests.support.parties import person

PANES, LINKAGE_DAY, PEOPLE = 12, 7, 2
EDGES = [at(7 * pane).timestamp() for pane in range(PANES + 1)]
KINDS = ("encounter", "due", "completed", "both", "prom", "beat", "withdrawal")
STEPS = 80


def story(seed):
    """(steps, bounds divided by): what a source says, of a mixture that differs from seed to seed."""
    rng = random.Random(seed)
    weights = [rng.choice([0, 1, 5]) for _ in KINDS[:-1]] + [0.05]
    weights[4] += 1
    ids, gap = rng.choice([3, 8, 40]), rng.choice([0.05, 0.3, 1])
    lags = rng.choice([[-0.5, 0, 1], [0, 2, 9], [0, 0, 0, 25, 60], [0, 0, 0, 0, 12]])
    corrects, cancels = rng.choice([0, 0.2, 0.5]), rng.choice([0, 0.1, 0.3])
    steps = [
        (
            rng.choices(KINDS, weights)[0], rng.randrange(ids), rng.random() * 2 * gap, rng.choice(lags) * rng.random(),
            rng.randrange(4), rng.randrange(ids) if rng.random() < corrects else None, rng.random() < cancels,
        )
        for _ in range(STEPS)
    ]
    return steps, rng.choice([1, 1, 2, 3])


def made(step, recorded):
    kind, number, _, lag, code, corrects, cancels = step
    who, occurred = number % PEOPLE + 1, recorded - lag
    of = {"due": "m", "completed": "m", "both": "m", "encounter": "e", "prom": "p", "withdrawal": "w"}[kind]
    more = {
        "recorded": recorded, "corrects": None if corrects is None else f"{of}{corrects}", "cancels": cancels,
    }
    if kind == "withdrawal":
        return withdrawal(who, f"w{number}", occurred, recorded)
    if kind == "encounter":
        return encounter(who, f"e{number}", occurred, code=("outpatient", "ed", "tele", "outpatient")[code], **more)
    if kind == "prom":
        return prom(who, f"p{number}", occurred, score=(300, 900, 1_600, 1_000)[code], **more)
    module = ("diary", "walk", "diary", "diary")[code]
    status = "due" if kind == "due" else "completed"
    due = occurred - 5 * code if kind == "both" else None
    return monitoring(who, f"m{number}", occurred, module=module, status=status, due=due, **more)


def pane_of(moment):
    return bisect_right(EDGES, moment.timestamp()) - 1


def facts(standing):
    """(pane, patient, what) of everything that the standing events say."""
    found = []
    for event in standing.values():
        said = event.payload
        if isinstance(event, PromEvent):
            of = [e for e in standing.values() if isinstance(e, PromEvent) and e.patient == event.patient]
            first = min((e.occurred_at, e.payload.score, id(e)) for e in of)
            is_first = first[2] == id(event)
            found.append((
                pane_of(event.occurred_at), event.patient, ("prom", event.occurred_at, said.score, is_first, first[:2]),
            ))
        elif isinstance(event, MonitoringEvent):
            found.append((pane_of(event.occurred_at), event.patient, (said.status, said.module)))
            if said.due is not None:
                found.append((pane_of(said.due), event.patient, ("due", said.module)))
        else:
            found.append((pane_of(event.occurred_at), event.patient, ("encounter", said.type)))
    return found


def without_identity(found, below):
    """What sealed panes hold, whichever of two equal answers is called the first."""
    return sorted((f for f in found if 0 <= f[0] < below), key=str)


def columns(found, pane, patient):
    mine = [what for where, who, what in found if (where, who) == (pane, patient)]
    answers = [w for w in mine if w[0] == "prom"]
    later = [w for w in answers if not w[3]]
    missed = sum(w[0] == "due" for w in mine) - sum(w[0] == "completed" for w in mine)
    diary = mine.count(("due", "diary")) - mine.count(("completed", "diary"))
    return {
        "outpatient": mine.count(("encounter", "outpatient")), "contacts": sum(w[0] == "encounter" for w in mine),
        "due": sum(w[0] == "due" for w in mine), "done": mine.count(("completed", "diary")), "missed": max(0, missed),
        "diary_missed": max(0, diary), "answers": len(answers), "later": len(later),
        "change": sum(w[2] - w[4][1] for w in later), "any_later": int(bool(later)),
    }


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(0, 3) | st.just(12))
def test_panes_hold_what_stands_when_they_are_sealed(seed, grace):
    steps, slack = story(seed)
    data = kinds_data()
    data["parties"][0]["grace_panes"] = grace
    for m in data["measures"]:
        if m["party"] == "hospital" and m.get("bound", 1) > 1:
            m["bound"] = -(-m["bound"] // slack)
    draft = Draft.model_validate(data)
    bounds = {m.name: m.bound for m in draft.party_measures("hospital")}
    validator, panes = Checker(draft, "hospital", NAMES), DrivenPanes(draft, "hospital")
    patients = [NAMES.patient(person(n + 1)) for n in range(PEOPLE)]
    content, standing, withdrawn, expected = [], {}, set(), []
    late = sealed = 0
    happened, clock, heard = at(-20).timestamp(), at(-20).timestamp(), -np.inf
    for n in range(PEOPLE):
        panes.add(validator.check(enrolled(n + 1)))
    recorded, closed = 0.0, False
    for step in [*steps, None]:
        if step is not None:
            recorded += step[2]
        if step is None:
            panes.hear(Heartbeat(source="ehr"))
            heard, closed = np.inf, True
        elif step[0] == "beat":
            until, now = at(recorded - step[3]), at(recorded)
            panes.hear(Heartbeat(source="ehr", final=False, until=until, recorded_at=now))
            heard = max(heard, min(until, now).timestamp())
            closed |= recorded >= LINKAGE_DAY
        else:
            event = validator.check(made(step, recorded))
            if isinstance(event, Reason):
                continue
            panes.add(event)
            closed |= recorded >= LINKAGE_DAY
            happened, clock = max(happened, event.occurred_at.timestamp()), max(clock, event.recorded_at.timestamp())
            if isinstance(event, WithdrawalEvent):
                withdrawn.add(event.patient)
            else:
                gone = {event.event_id, event.corrects} & standing.keys()
                after = {name: e for name, e in standing.items() if name not in gone}
                if not event.payload.cancels:
                    after[event.event_id] = event
                same = without_identity(facts(standing), sealed) == without_identity(facts(after), sealed)
                if (event.payload.cancels and not gone) or not same:
                    late += 1
                else:
                    standing = after
        watermark = max(heard, min(happened, clock))
        if closed:
            ended = PANES if watermark == np.inf else min(PANES, bisect_right(EDGES, watermark) - 1 - grace)
            while sealed < ended:
                expected.append([
                    dict.fromkeys(COLUMNS, 0) if who in withdrawn else columns(facts(standing), sealed, who)
                    for who in patients
                ])
                sealed += 1
        while panes.sealed < panes.sealable:
            content.append(panes.seal()[1])
        assert (panes.sealed, panes.late_pending) == (sealed, late)
    slots = [int(panes.register.slot_of[panes.register.person(who)]) for who in patients]
    for pane, table in enumerate(content):
        for row, name in enumerate(COLUMNS, start=2):
            values = [int(table[row, slot]) for slot in slots]
            assert values == [expected[pane][n][name] for n in range(PEOPLE)], (pane, name)
            assert max(map(abs, values)) <= bounds[name]
        assert int(np.count_nonzero(np.delete(table, slots, axis=1))) == 0
    # Nothing that came later would have changed what was sealed.
    for pane in range(PANES):
        for n, who in enumerate(patients):
            if who not in withdrawn:
                assert columns(facts(standing), pane, who) == expected[pane][n]


def test_all_measures_of_the_agreement_are_derived():
    assert set(columns([], 0, "")) == {m["name"] for m in MEASURES} == set(COLUMNS)


def chains(rng):
    """Lists of (event made by a function of its time of recording), each to be told in order; no id in two lists."""
    told = []
    for n in range(30):
        who, day, score = rng.randrange(PEOPLE) + 1, rng.random() * 83, rng.choice([200, 900, 1_500])
        kind = rng.choice(["prom", "prom", "encounter", "both", "due"])
        chain = []
        for version in range(rng.choice([1, 1, 1, 2, 3])):
            cancels = version > 0 and rng.random() < 0.3
            before = chain[-1][2] if chain else None
            name = before if before and rng.random() < 0.5 else f"{kind}{n}.{version}"
            chain.append((kind, who, name, before, day + version / 10, score + 100 * version, cancels))
            if cancels:
                break
        told.append(chain)
    return told


def told_at(what, recorded):
    kind, who, name, before, day, score, cancels = what
    more = {"recorded": recorded, "corrects": before if before != name else None, "cancels": cancels}
    if kind == "prom":
        return prom(who, name, day, score=score, **more)
    if kind == "encounter":
        return encounter(who, name, day, **more)
    done = kind == "both"
    return monitoring(who, name, day, status="completed" if done else "due", due=day - 9 if done else None, **more)


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_within_the_grace_the_order_in_which_events_are_told_changes_nothing(seed):
    rng = random.Random(seed)
    told, tables = chains(rng), []
    data = kinds_data()
    data["parties"][0]["grace_panes"] = PANES
    for m in data["measures"]:
        if m["party"] == "hospital" and m.get("bound", 1) > 1:
            m["bound"] = 2**20
    draft = Draft.model_validate(data)
    for order in range(3):
        validator, panes = Checker(draft, "hospital", NAMES), DrivenPanes(draft, "hospital")
        for n in range(PEOPLE):
            panes.add(validator.check(enrolled(n + 1)))
        waiting, recorded = [list(chain) for chain in told], 100.0
        while waiting:
            chain = waiting[0] if order == 0 else rng.choice(waiting)
            event = validator.check(told_at(chain.pop(0), recorded))
            assert not isinstance(event, Reason), event
            panes.add(event)
            recorded += 0.01
            waiting = [c for c in waiting if c]
        panes.hear(Heartbeat(source="ehr"))
        table = np.stack([panes.seal()[1] for _ in range(PANES)])
        slots = [int(panes.register.slot_of[panes.register.person(NAMES.patient(person(n + 1)))]) for n in range(PEOPLE)]
        assert panes.late_pending == 0
        tables.append(table[:, :, slots])
    assert np.array_equal(tables[0], tables[1])
    assert np.array_equal(tables[0], tables[2])
    assert tables[0].any()
