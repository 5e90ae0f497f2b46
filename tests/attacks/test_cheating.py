"""A node that leaves the protocol: what the others notice before anything opens, and what they cannot notice."""

import asyncio
import secrets
from functools import partial

import numpy as np
import pytest

from mpc import disclosure
from mpc.aes import draw_key, expand_key, tags
from mpc.engine import Bits, Engine
from mpc.errors import IntegrityError, MpcError
from mpc.linkage import extend, link
from mpc.matching import NOWHERE
from mpc.operation import Operation
from mpc.share import Share
from mpc.tail.alerts import AlertBatch, alert_states
from mpc.tail.estimators import estimate
from mpc.tail.session import Session
from mpc.tail.vectors import Vectors
from policy.alert import Alert
from tests.support.dealing import deal, deal_bits
from tests.support.faults import cells
from tests.support.wires import run_three, three_wires
from tests.unit.mpc.tail.helpers import PANES, PATIENTS

CHEAT = 2
NODES = (0, 1, 2)


def add_one(words):
    words[..., :1] += np.uint64(1)


def zero(words):
    words[...] = 0


def spoil(words):
    words ^= np.random.default_rng(1).integers(0, 2**64, words.shape, np.uint64)


def reorder(words):
    words[...] = np.roll(words, 1, axis=-1)


def cheating(monkeypatch, change, operation, *, to=None, keeps_it=True):
    """The cheat changes what it sends in an operation (its number or its name), and goes on with what it sent, or not."""
    names, begin, send = {}, Engine._begin, Operation.send

    def _begin(engine, name, shape, *public):
        op = begin(engine, name, shape, *public)
        names[op.number] = name
        return op

    def changed(op, peer, step, values):
        if op.me == CHEAT and to in (None, peer) and operation in (op.number, names[op.number]):
            values = values if keeps_it else values.copy()
            change(values)
        send(op, peer, step, values)

    monkeypatch.setattr(Engine, "_begin", _begin)
    monkeypatch.setattr(Operation, "send", changed)


async def honest_end(program):
    """How nodes 0 and 1 end. The cheat warns nobody of what it sees."""
    async with three_wires(stall_seconds=2.0) as wires:
        async def at(wire):
            try:
                return await program(Engine(wire))
            except MpcError as error:
                wire.fail(error)
                raise

        wires[CHEAT].fail = lambda _: None
        return (await asyncio.gather(*map(at, wires), return_exceptions=True))[:CHEAT]


def noticed(ended, message):
    assert [type(end) for end in ended] == [IntegrityError] * 2, ended
    assert any(message in str(end) for end in ended), ended


def same(ended):
    """What both honest nodes opened."""
    assert np.array_equal(*ended), ended
    return ended[0]


async def opening(engine, result):
    return await (engine.open_bits if isinstance(result, Bits) else engine.open)(result)


# -- what is noticed

@pytest.mark.parametrize("enter", [Engine.input, Engine.input_bits])
async def test_an_owner_that_holds_another_component_than_it_sent(monkeypatch, enter):
    async def program(engine):
        return await opening(engine, await enter(engine, CHEAT, np.arange(5) if engine.number == CHEAT else None, (5,)))

    cheating(monkeypatch, add_one, 0, keeps_it=False)
    noticed(await honest_end(program), "hold a component of an input that differs")


async def shuffled(engine, shares):
    return await engine.shuffle(shares[engine.number], await engine.random_permutation(41))


@pytest.mark.parametrize("dealt", [deal, deal_bits])
@pytest.mark.parametrize(("to", "keeps_it"), [(0, True), (1, True), (1, False)])
@pytest.mark.parametrize("change", [add_one, zero, spoil])
async def test_a_shuffle_that_changes_the_sum_of_its_rows(monkeypatch, dealt, to, keeps_it, change):
    """In the second pass the cheat follows and sends to node 0, which then needs that no more; in the last it leads and sends to node 1."""
    shares = dealt(np.arange(3 * 41).reshape(3, 41), np.random.default_rng(1))

    async def program(engine):
        return await opening(engine, await shuffled(engine, shares))

    cheating(monkeypatch, change, "shuffle", to=to, keeps_it=keeps_it)
    noticed(await honest_end(program), "a shuffle was wrong")


async def test_what_two_hold_differently_is_noticed_when_it_is_shuffled():
    shares = deal(np.arange(41), np.random.default_rng(1))
    shares[CHEAT].parts[0, 3] += np.uint64(1)

    async def program(engine):
        await shuffled(engine, shares)
        return await engine.open(engine.zeros((1,)))

    noticed(await honest_end(program), "a shuffle was wrong")


async def linking(engine, join="inner", cheat=None, *, batch=False):
    """Two registers with 30 of 50 patients in common; each node adds 64 rows to each, about 32 of which match.

    With a batch the same again, of other patients. `cheat` is called before what is looked at.
    """
    random = np.random.default_rng(1)
    key, linked = draw_key(engine), None
    for number in range(1 + batch):
        patients = random.integers(0, 2**64, 70, np.uint64)
        registers = [deal_bits(patients[first : first + 50], random)[engine.number] for first in (0, 20)]
        keys = await expand_key(engine, key)
        if cheat is not None and engine.number == CHEAT and number == batch:
            cheat()
        if linked is None:
            linked = await link(engine, keys, registers, 64, join=join)
        else:
            linked = await extend(engine, keys, linked, registers, 64, secrets.randbits)
    order = linked.segments[-1].order
    return order[:, (order != NOWHERE).all(axis=0)]


@pytest.mark.parametrize("options", [{}, {"join": "left"}, {"batch": True}], ids=["inner", "left", "batch"])
@pytest.mark.parametrize(("change", "operation"), [(reorder, "shuffle"), (spoil, "evaluation")])
async def test_tags_that_match_for_nobody(monkeypatch, change, operation, options):
    """Rows in another order keep their sum, and a wrong AND gate shows nowhere; but what a node made to match must match."""
    least, most = (30 + 64, 30 + 128) if "batch" not in options else (30 + 64, 30 + 192)
    assert least < same(await honest_end(partial(linking, **options))).shape[1] < most
    cheat = partial(cheating, monkeypatch, change, operation)
    ended = await honest_end(partial(linking, cheat=cheat, **options))
    noticed(ended, "fewer rows of the registers match than this node made to match")


async def test_a_node_that_did_something_else_in_the_tail():
    async def at(wire):
        session = Session(wire)
        vectors = Vectors(session)
        if wire.number == CHEAT:
            session.record(b"something else")
        zeros = np.zeros(3, dtype=object)
        return await session.run(lambda _: vectors.private(vectors.lift(zeros, zeros)), 5)

    with pytest.raises(IntegrityError, match="something else in the tail"):
        await run_three(at, stall_seconds=2.0)


async def test_what_nodes_tell_each_other_to_compare_each_knew_already():
    """So nobody gets a digest of a component that it lacks: such a digest would let it check guesses."""
    told = {}

    def tap(sender, receiver, _channel, _label, payload):
        if len(payload) != 41 * 8:
            told.setdefault((sender, receiver), []).append(payload)
        return payload

    async def program(wire):
        engine = Engine(wire)
        for owner in NODES:
            entered = await engine.input(owner, np.arange(41) if wire.number == owner else None, (41,))
            await engine.shuffle(entered, await engine.random_permutation(41))
        await engine.verify()

    await run_three(program, tap=tap)
    assert len(told) == 6
    for (sender, receiver), messages in told.items():
        assert [len(message) for message in messages] == [96]
        assert messages == told[receiver, sender]


# -- what is not

def add_one_to_what_is_as_long_as_the_data(words):
    """In a comparison only the last product is: the words before it hold bits of many rows."""
    if words.size == 6:
        add_one(words)


@pytest.mark.parametrize(("operation", "change"), [
    (lambda engine, x: engine.multiply(x, x), add_one), (lambda engine, x: engine.inner(x, x), add_one), (Engine.gram, add_one),
    (lambda engine, x: engine.matmul(x, x.reshape(3, 2)), add_one),
    (lambda engine, x: engine.less(x, 3), add_one_to_what_is_as_long_as_the_data),
], ids=["multiply", "inner", "gram", "matmul", "less"])
async def test_an_error_added_to_a_product_is_not_noticed(monkeypatch, operation, change):
    x = deal(np.arange(6).reshape(2, 3), np.random.default_rng(1))

    async def program(engine):
        return await engine.open(await operation(engine, x[engine.number]))

    right = same(await honest_end(program))
    cheating(monkeypatch, change, 0)
    assert not np.array_equal(same(await honest_end(program)), right)


async def test_another_order_of_a_nodes_rows_is_not_noticed_in_a_shuffle(monkeypatch):
    shares = deal(np.arange(41) ** 2, np.random.default_rng(1))

    async def program(engine):
        return await engine.open(await shuffled(engine, shares))

    assert sorted(same(await honest_end(program))) == [k**2 for k in range(41)]
    cheating(monkeypatch, reorder, "shuffle", to=1)
    assert sorted(same(await honest_end(program))) != [k**2 for k in range(41)]


# -- one place before every opening

async def opens(engine):
    await engine.open(Share(np.ones((2, 4), np.uint64)))


async def opens_words(engine):
    await engine.open_bits(Bits(np.ones((2, 4), np.uint64)))


async def opens_release_bits(engine):
    await disclosure.opened(engine, Share(np.ones((2, 1, 1, 2), np.uint64)))


async def opens_tags(engine):
    words = deal_bits(np.arange(70), np.random.default_rng(1))
    await tags(engine, await expand_key(engine, draw_key(engine)), words[engine.number])


async def estimates(engine):
    await estimate(engine.wire, [cells()[2][engine.number]], PATIENTS, PANES, 20)


async def compares_with_alert_bounds(engine):
    plan, _, held = cells()
    alert = Alert(id="a", kpi=plan.kpi, recipient="r", when="above", raise_at="1.2", clear_at="1")
    await alert_states(engine.wire, [AlertBatch(alert, plan, held[engine.number].sums, 1)], PATIENTS, PANES, 20)


OPENINGS = (Engine, "_all_parts"), (Vectors, "open"), (Vectors, "private")
"""Whatever opens does it by one of these."""


@pytest.mark.parametrize("program", [opens, opens_words, opens_release_bits, opens_tags, estimates, compares_with_alert_bounds])
async def test_every_opening_is_verified_first(monkeypatch, program):
    """No message of an opening leaves before the node has verified: begun, verified, and so on, never otherwise."""
    steps = {number: [] for number in NODES}

    def watched(kind, name, word):
        original = getattr(kind, name)

        async def watching(self, *arguments):
            node = self._session.number if kind is Vectors else self.number
            steps[node].append(word)
            return await original(self, *arguments)

        monkeypatch.setattr(kind, name, watching)

    for kind, name in OPENINGS:
        watched(kind, name, "opens")
    for kind in (Engine, Session):
        watched(kind, "verify", "verifies")
    await run_three(lambda wire: program(Engine(wire)))
    for order in steps.values():
        assert order
        assert order == ["opens", "verifies"] * (len(order) // 2)


@pytest.mark.parametrize("program", [opens, opens_words, opens_release_bits])
async def test_a_node_that_does_not_verify_opens_nothing(monkeypatch, program):
    async def refuse(self):
        raise IntegrityError("refused")

    sent = []
    monkeypatch.setattr(Engine, "verify", refuse)
    with pytest.raises(IntegrityError):
        await run_three(lambda wire: program(Engine(wire)), tap=lambda *message: sent.append(message))
    assert not sent
