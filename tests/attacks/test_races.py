"""Requests that race with each other and with the schedule, and requests that are refused or are none."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from evaluation.intake import MAX_STRANGERS
from evaluation.records import Answered, Done, Refused, Skipped
from policy.chain.signing import new_key
from tests.attacks.test_resume import by_hand, until_idle
from tests.support.asking import KPIS, Asking
from tests.support.runs import CHAIN, PANES, released

COUNCIL = 2
SCHEDULED = PANES - 1


def pairs_run(nodes):
    """(KPI, window) → how many runs computed it, by what node 0 says."""
    return Counter(
        (kpi, w) for r in nodes.nodes[0].records if isinstance(r, Done) for kpi in r.kpis for w in r.windows
    )


def sums_of(nodes, window):
    return {key: sums for key, sums in released(nodes).items() if key[1] == window}


async def linked(asking):
    """Nodes that have linked, and have no panes yet."""
    for node in asking.nodes.nodes:
        node.shares.complete_panes = 0
    await until_idle(asking.nodes)


@pytest.mark.parametrize("seed", range(6))
async def test_eight_requesters_and_the_schedule_want_the_same_window_at_once(seed):
    """Nodes hear of requests and panes at different moments; whatever the order, every pair is computed once."""
    rng = random.Random(seed)
    asking = Asking(most_windows=rng.choice([1, 2, 26]))
    nodes = asking.nodes
    await linked(asking)
    digests = [asking.ask(asking.demand(2, 4, requester=f"analyst-{i}")) for i in range(8)]
    while any(heard < 8 for heard in asking.heard) or any(n.shares.complete_panes < PANES for n in nodes.nodes):
        for number, node in enumerate(nodes.nodes):
            node.shares.complete_panes = PANES
            await asking.hear(number, rng.randrange(4))
        assert not [e for e in await nodes.work() if isinstance(e, Exception)]
    await until_idle(nodes)

    assert set(pairs_run(nodes).values()) == {1}
    assert set(pairs_run(nodes)) == {(kpi, w) for kpi in KPIS for w in range(SCHEDULED)}
    assert released(nodes) == by_hand()
    assert len(nodes.chain.runs) == 1 + len({r.run for r in nodes.nodes[0].records if isinstance(r, Done) and r.windows})
    for number, node in enumerate(nodes.nodes):
        said = asking.answers(number)
        assert set(said) == set(digests)
        outcomes = Counter(record.outcome for records in said.values() for record in records)
        assert sum(outcomes.values()) == 8
        assert outcomes["run"] <= 1
        assert sum(node.state.ledger.used.values()) == outcomes["run"]
        assert len({record.run for records in said.values() for record in records}) == 1
        skipped = [w for r in node.records if isinstance(r, Skipped) for w in r.windows]
        assert skipped == ([2] if outcomes["run"] else [])
    assert len({str(sorted((d, r[0].outcome) for d, r in asking.answers(n).items())) for n in range(3)}) == 1


async def test_a_request_of_one_kpi_leaves_the_other_to_the_schedule():
    asking = Asking()
    nodes = asking.nodes
    await linked(asking)
    digest = asking.ask(asking.demand(2, 4, kpis=KPIS[:1]))
    for node in nodes.nodes:
        node.shares.complete_panes = PANES
    await asking.all_hear()
    await nodes.work_on()
    assert [r.outcome for r in asking.answers()[digest]] == ["run"]
    assert set(pairs_run(nodes).values()) == {1}
    assert released(nodes) == by_hand()
    assert not [r for r in nodes.nodes[0].records if isinstance(r, Skipped)]


async def test_windows_on_demand_are_their_scheduled_parts_added_up():
    asking = Asking()
    await asking.nodes.work_on()
    digest = asking.ask(asking.demand(1, 5))
    await asking.all_hear()
    await asking.nodes.work_on()
    (answer,) = asking.answers()[digest]
    assert answer.outcome == "run"
    assert answer.window == asking.terms.draft.lattice.at(1, 5).index >= SCHEDULED
    found = sums_of(asking.nodes, answer.window)
    assert found == {
        (kpi, answer.window, cell): {name: 2 * number for name, number in sums.items()}
        for (kpi, window, cell), sums in by_hand().items() if window == 0
    }


async def test_requests_and_the_schedule_take_turns():
    """Many requests wait, each for another window; scheduled windows run in between."""
    asking = Asking(most_windows=1, runs=50)
    await linked(asking)
    asked = [asking.ask(asking.demand(s, e)) for s in range(3) for e in (s + 1, s + 3, s + 4) if e <= PANES]
    for node in asking.nodes.nodes:
        node.shares.complete_panes = PANES
    await asking.all_hear()
    await asking.nodes.work_on(most=40)
    order = [r.windows[0] < SCHEDULED for r in asking.nodes.nodes[0].records if isinstance(r, Done) and r.windows]
    assert len(order) == len(asked) + SCHEDULED
    assert order[: 2 * SCHEDULED] == [False, True] * SCHEDULED


def other_agreement(asking):
    return asking.demand(agreement="f" * 64), {}


def other_nonce_twice(asking):
    first = asking.demand(0, 2)
    asking.ask(first)
    return asking.demand(1, 3, nonce=first.nonce), {}


REFUSED = {
    "requester-known": lambda a: (a.demand(requester="nobody"), {"key": new_key()}),
    "request-agreement": other_agreement,
    "request-signed": lambda a: (a.demand(), {"key": new_key()}),
    "request-signed elsewhere": lambda a: (
        a.demand(), {"deployment": CHAIN.deployment.model_copy(update={"chain_id": 2})}
    ),
    "request-fresh": other_nonce_twice,
    "kpis-permitted": lambda a: (a.demand(kpis=("cost-difference", "unknown-kpi")), {}),
    "window-sealed": lambda a: (a.demand(PANES - 2, PANES), {}),
    "window-on-lattice": lambda a: (a.demand(0, 5), {}),
    "requester-quota": lambda a: (a.demand(0, 4, requester="analyst-1"), {}),
    "quota": lambda a: (a.demand(0, 4), {}),
    "agreement-active": lambda a: (a.demand(0, 4), {}),
    "terms-agreed": lambda a: (a.demand(0, 4), {}),
    "within-validity": lambda a: (a.demand(0, 4), {}),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_request_opens_nothing_and_leaves_a_record(case):
    rule = case.split()[0]
    asking = Asking(runs=1)
    nodes, chain = asking.nodes, asking.nodes.chain
    for node in nodes.nodes:
        node.shares.complete_panes = PANES - 1
    await nodes.work_on()
    if rule == "requester-quota":
        asking.ask(asking.demand(1, 4, requester="analyst-1"))
    demand, options = REFUSED[case](asking)
    digest = asking.ask(demand, **options)
    if rule != "window-sealed":
        for number in range(3):
            await asking.hear(number, len(asking.topic) - 1)
        await nodes.work_on()
    honest = (chain.state, chain.quota, chain.terms_hash, chain.time)
    chain.state = "revoked" if rule == "agreement-active" else chain.state
    chain.quota = len(chain.runs) if rule == "quota" else chain.quota
    chain.terms_hash = "e" * 64 if rule == "terms-agreed" else None
    chain.time = datetime(2031, 1, 1, tzinfo=UTC) if rule == "within-validity" else chain.time
    runs, talked = dict(chain.runs), set()

    def tap(sender, receiver, channel, label, payload):
        talked.add(channel)
        return payload

    await asking.all_hear()
    ended = await nodes.work(tap=tap)
    assert not [e for e in ended if isinstance(e, BaseException)]
    assert talked <= {COUNCIL}
    assert chain.runs == runs
    for number in range(3):
        (record,) = asking.answers(number)[digest]
        assert isinstance(record, Refused)
        assert record.rule == rule
        assert record.required
        assert record.next_step
    chain.state, chain.quota, chain.terms_hash, chain.time = honest
    for node in nodes.nodes:
        assert node.desk.stopped is None
        node.shares.complete_panes = PANES
    await until_idle(nodes)
    assert {w for _, w in pairs_run(nodes)} >= set(range(SCHEDULED))


async def test_the_same_request_again_is_answered_once_and_free():
    asking = Asking(runs=1)
    await asking.nodes.work_on()
    demand = asking.demand(0, 4)
    digest = asking.ask(demand)
    other = asking.ask(asking.demand(1, 4, nonce=demand.nonce))
    asking.ask(demand, key=new_key())
    for _ in range(20):
        asking.topic += asking.topic[:3]
    await asking.all_hear()
    await asking.nodes.work_on()
    asking.nodes.nodes[1].restart()
    asking.heard[1] = 0
    asking.topic += asking.topic[:3]
    again = asking.ask(asking.demand(0, 4))
    await asking.all_hear()
    await until_idle(asking.nodes)
    for number in range(3):
        said = asking.answers(number)
        assert [r.outcome for r in said[digest]] == ["run"]
        assert [r.rule for r in said[other]] == ["request-fresh"]
        assert [r.outcome for r in said[again]] == ["released"]
        assert len(said) == 3
        assert said[again][0].run == said[digest][0].run
        assert asking.nodes.nodes[number].state.ledger.used == {"analyst-0": 1}


async def test_garbage_and_strangers_do_not_fill_anything():
    """Thousands of messages that are no requests, and hundreds of somebody who may not ask."""
    rng, asking = random.Random(1), Asking(requesters=1)
    await asking.nodes.work_on()
    desk = asking.nodes.nodes[0].desk
    stranger, key = asking.demand(requester="nobody"), new_key()
    asking.ask(stranger, key)
    strange = asking.topic.pop()
    before = len(asking.nodes.nodes[0].records)
    for offset in range(3_300):
        noise = strange if offset % 11 == 0 else rng.choice([
            b"", b"{}", b"[" * 4000, rng.randbytes(200), strange[:-1], b"x" * 5000, b'{"demand": null}',
        ])
        assert not await desk.answering.hear(offset, noise)
    assert len(asking.nodes.nodes[0].records) - before == MAX_STRANGERS
    assert not desk.has_work
    assert desk.intake.read == 3_300


async def test_a_flood_of_a_requester_waits_outside(monkeypatch):
    """Who may ask cannot make a node hold more than its queue; all of it is answered in the end, at one run."""
    monkeypatch.setattr("evaluation.intake.MAX_WAITING", room := 12)
    asking = Asking(requesters=1, runs=1)
    nodes = asking.nodes
    await nodes.work_on()
    for _ in range(room + 5):
        asking.ask(asking.demand(0, 4))
    for number in range(3):
        await asking.hear(number, room)
        assert nodes.nodes[number].intake.full
    await nodes.work()
    await asking.all_hear()
    await nodes.work_on(most=60)
    outcomes = Counter(r[0].outcome for r in asking.answers().values() if isinstance(r[0], Answered))
    assert outcomes == {"run": 1, "joined": room - 1, "released": 5}
    assert nodes.nodes[0].state.ledger.used == {"analyst-0": 1}
    assert not nodes.nodes[0].intake.waiting(10**6)


@pytest.mark.parametrize("behind", range(3))
async def test_a_node_that_died_with_a_request_answered_elsewhere_goes_on(behind):
    """Its peers refused or answered while it was killed before it wrote that down."""
    asking = Asking(runs=1)
    nodes = asking.nodes
    await nodes.work_on()
    run = asking.ask(asking.demand(0, 4))
    await asking.all_hear()
    await nodes.work_on()
    asked = [asking.ask(asking.demand(0, 4)), asking.ask(asking.demand(1, 4)), asking.ask(asking.demand(0, 2))]
    await asking.all_hear()
    lost = nodes.nodes[behind]
    for _ in range(2):
        keep = lost.state.ledger
        await nodes.work()
        # What it noted as evidence it noted before that.
        lost.state.update(**{name: getattr(keep, name) for name in type(keep).model_fields if name != "evidence"})
    lost.restart()
    asking.heard[behind] = 0
    await asking.all_hear()
    await until_idle(nodes)
    assert len({n.state.ledger.handled for n in nodes.nodes}) == 1
    for number in range(3):
        said = asking.answers(number)
        assert said[run][0].outcome == "run"
        assert said[asked[0]][0].outcome == "released"
        assert said[asked[2]][0].outcome == "released"
    assert set(pairs_run(nodes).values()) == {1}


async def test_a_node_that_reads_a_request_a_moment_later_is_waited_for():
    asking = Asking()
    nodes = asking.nodes
    await linked(asking)
    for node in nodes.nodes:
        node.shares.complete_panes = PANES
    digest = asking.ask(asking.demand(2, 4))
    await asking.hear(0, 1)
    await asking.hear(1, 1)

    async def later():
        await asyncio.sleep(0.05)
        await asking.hear(2, 1)

    late = asyncio.create_task(later())
    assert not [e for e in await nodes.work() if isinstance(e, Exception)]
    await late
    await until_idle(nodes)
    assert [r.outcome for r in asking.answers()[digest]] == ["run"]
    first = next(r for r in nodes.nodes[0].records if isinstance(r, Done) and r.windows)
    assert first.windows == (2,)
