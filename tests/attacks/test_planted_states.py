"""Somebody may write to a party's state topic and to nothing else: a start goes on from the party's own states."""

from streams.checkpoint import KEPT, MAX_UNFINISHED, Held, read_states
from tests.unit.streams.test_checkpoint import KEY, TOPIC, life, shard, start

FAR = 10**15


def forged(position, pieces=1):
    return b'{"version":2,"position":%d,"pieces":%d,"seal":"%s"}' % (position, pieces, b"0" * 64)


async def stored():
    """A party's process, with two checkpoints on its topic: at 4 and 6."""
    process = life()
    _, mine = await start(process, 3)
    await mine.keep(0, shard(0, 4))
    await mine.keep(0, shard(0, 6))
    return process


async def plant(process, *records):
    await process.producer(None).send(TOPIC, 0, list(records))


async def test_forged_checkpoints_of_a_far_position_do_not_take_the_place_of_true_ones():
    process = await stored()
    for number in range(2 * KEPT):
        await plant(process, (b"9/%d/0" % number, b"x"), (b"9/%d/manifest" % number, forged(FAR + number)))
    assert (await start(process, 10))[0] == 6


async def test_a_true_manifest_under_another_name_does_not_count():
    """What the party once sealed is copied, to come again when it is old."""
    process = await stored()
    log = list(process.world.log(TOPIC, 0))
    for record in log[:2]:
        await plant(process, (b"9" + record.key[1:], record.value))
    (held,) = await read_states(process.consumer(None, TOPIC, [0]), KEY, [shard(0).purpose])
    assert len(held.states()) == KEPT
    assert (await start(process, 10))[0] == 6


async def test_more_pieces_for_a_whole_checkpoint_change_nothing():
    process = await stored()
    await plant(process, (b"3/1/7", b"x"), (b"3/1/0", b"x"))
    assert (await start(process, 10))[0] == 6


async def test_pieces_of_owners_that_never_were_do_not_fill_the_memory():
    held = Held(KEY, shard(0).purpose)
    process = life()
    await plant(process, *((b"%d/0/0" % epoch, b"x" * 1000) for epoch in range(500)))
    for record in process.world.log(TOPIC, 0):
        held.take(record)
        assert len(held._pieces) <= MAX_UNFINISHED


async def test_keys_that_were_never_written_are_not_taken_away(monkeypatch):
    monkeypatch.setattr("streams.checkpoint.MAX_TAKEN_AWAY", 3)
    process = life()
    await plant(process, *((b"1/%d/4095" % number, b"x") for number in range(5)))
    _, mine = await start(process, 3)
    taken = []
    for position in range(1, 5):
        before = len(process.world.log(TOPIC, 0))
        await mine.keep(0, shard(0, position))
        taken.append(sum(r.value is None for r in process.world.log(TOPIC, 0)[before:]))
    assert taken[0] == 0
    assert max(taken) <= 4
    assert sum(taken) == 5 + 2 * 2
