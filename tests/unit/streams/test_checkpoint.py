"""Checkpoints: whatever part of one is there, a start goes on from the newest that is whole."""

import hashlib
from random import Random
from types import SimpleNamespace

import pytest

from policy.agreement import Draft
from streams import topics
from streams.checkpoint import KEPT, PIECE_BYTES, Checkpoints, read_states, restore
from streams.errors import BrokerError, ConfigurationError, StoreError, SupersededError
from streams.owner import Owner
from streams.shard import Shard
from streams.snapshots import is_of
from streams.states import StateFolder
from streams.tags import Tags
from tests.support.kinds import kinds_data
from tests.support.parties import SHARING_KEY
from tests.support.world import SimulatedProcess, World

TOPIC, KEY = "hospital.small.state", b"K" * 32
DRAFT = Draft.model_validate(kinds_data())
TAGS = Tags(SHARING_KEY, "ab" * 32)


def shard(number, position=0, more=0):
    """A shard that is so far, with so many bytes of people in it."""
    made = Shard(DRAFT, "hospital", number, SHARING_KEY, 1)
    made.position = position
    for person in range(more // 40):
        made.panes.register.person(f"v1:{person:032x}")
    return made


def life(world=None, name="hospital"):
    return SimulatedProcess(name, world or World(rng=Random(1), incidents=[], hides=0.0, repeats=0.0))


def checkpoints(process, epoch, folder=None, read=None):
    return Checkpoints(TOPIC, KEY, epoch, 60.0, folder, read or [], process.producer(None))


async def restored(process, folder=None, shards=1, fits=True):
    async def said(_number, _state):
        return fits

    return await restore(shard, shards, KEY, folder, process.consumer(None, TOPIC, range(shards)), said)


async def start(process, epoch, folder=None):
    found, read = await restored(process, folder)
    return found[0].position, checkpoints(process, epoch, folder, read)


async def test_the_newest_state_comes_back_in_pieces():
    process = life()
    _, mine = await start(process, 3)
    big = shard(0, 7, more=3 * PIECE_BYTES)
    await mine.keep(0, big)
    assert len(process.world.log(TOPIC, 0)) == 3 + 1
    (found,), _ = await restored(process)
    assert found.position == 7
    assert found.dump(KEY) == big.dump(KEY)


async def test_a_checkpoint_that_is_not_whole_is_as_if_it_were_not_there():
    process = life()
    _, mine = await start(process, 3)
    await mine.keep(0, shard(0, 7))
    log = process.world.log(TOPIC, 0)
    whole = len(log)
    await mine.keep(0, shard(0, 9, more=3 * PIECE_BYTES // 2))
    written = log[whole:]
    assert len(written) == 3
    for missing in range(3):
        log[whole:] = [r for i, r in enumerate(written) if i != missing]
        for offset, record in enumerate(log):
            record.offset = offset
        assert (await start(process, 4))[0] == 7, missing
    log[whole:] = written
    for offset, record in enumerate(log):
        record.offset = offset
    assert (await start(process, 4))[0] == 9


async def test_another_owners_pieces_between_ours_harm_neither():
    process = life()
    (_, one), (_, two) = await start(process, 1), await start(process, 2)
    await one.keep(0, shard(0, 5, more=2 * PIECE_BYTES))
    await two.keep(0, shard(0, 6, more=2 * PIECE_BYTES))
    log = process.world.log(TOPIC, 0)
    half = len(log) // 2
    mixed = [record for pair in zip(log[:half], log[half:], strict=True) for record in pair]
    for offset, record in enumerate(mixed):
        record.offset = offset
    log[:] = mixed
    (held,) = await read_states(process.consumer(None, TOPIC, [0]), KEY, [shard(0).purpose])
    states = held.states()
    assert len(states) == 2
    assert (await start(process, 3))[0] == 6


async def test_old_checkpoints_are_taken_away_and_the_latest_stay():
    process = life()
    _, first = await start(process, 1)
    await first.keep(0, shard(0, 1))
    _, second = await start(process, 2)
    for position in range(2, 8):
        await second.keep(0, shard(0, position))
    kept = {}
    for record in process.world.log(TOPIC, 0):
        kept[record.key] = record.value
    standing = [key for key, value in kept.items() if value is not None]
    assert sorted(standing) == sorted(f"2/{n}/{part}".encode() for n in (4, 5) for part in ("0", "manifest"))
    assert len(standing) == 2 * KEPT
    # What compaction leaves gives the same as the whole log.
    process.world.logs[TOPIC, 0] = [
        SimpleNamespace(partition=0, offset=i, key=key, value=kept[key]) for i, key in enumerate(standing)
    ]
    assert (await start(process, 3))[0] == 7


async def test_the_local_copy_is_used_when_it_is_newer_and_not_when_it_is_damaged_or_older(tmp_path):
    process, folder = life(), StateFolder(tmp_path / "state")
    _, mine = await start(process, 1, folder)
    await mine.keep(0, shard(0, 4))
    folder.write(0, shard(0, 8).dump(KEY))
    assert (await start(process, 2, folder))[0] == 8
    folder.write(0, shard(0, 2).dump(KEY))
    assert (await start(process, 2, folder))[0] == 4
    state = bytearray(shard(0, 8).dump(KEY))
    state[len(state) // 2] ^= 1
    folder.write(0, bytes(state))
    assert (await start(process, 2, folder))[0] == 4
    assert (await start(process, 2, StateFolder(tmp_path / "elsewhere")))[0] == 4
    (tmp_path / "state" / "half.new").write_text("")
    StateFolder(tmp_path / "state")
    assert [(p.name, p.stat().st_mode & 0o777) for p in (tmp_path / "state").iterdir()] == [("shard-0.state", 0o600)]


async def test_a_local_copy_of_another_log_is_not_used(tmp_path):
    """Topics were made anew, and the folder was left: its state would be mixed with what the new log says."""
    process, folder = life(), StateFolder(tmp_path / "state")
    _, mine = await start(process, 1, folder)
    await mine.keep(0, shard(0, 4))
    folder.write(0, shard(0, 8).dump(KEY))
    (found,), _ = await restored(process, folder, fits=False)
    assert found.position == 4


@pytest.mark.parametrize(("records", "expired", "said"), [
    ([b"a", b"b", b"c"], 0, True), ([b"a", b"x", b"c"], 0, False), ([b"a"], 0, False), ([], 0, False),
    ([b"a", b"x", b"c"], 2, True),
])
async def test_a_state_is_of_the_log_whose_record_it_ends_with(records, expired, said):
    process, log = life(), "hospital.small.sharded"
    await process.producer(None).send(log, 0, [(None, record) for record in records])
    process.world.expired[log, 0] = expired
    state = shard(0, 2)
    state.latest = hashlib.sha256(b"b").hexdigest()
    assert await is_of(process.consumer(None, log, [0]), 0, state) == said


async def test_a_full_disk_does_not_stop_a_worker(tmp_path):
    process, folder = life(), StateFolder(tmp_path / "state")
    (tmp_path / "state" / "shard-0.state").mkdir()
    _, mine = await start(process, 1, folder)
    await mine.keep(0, shard(0, 4))
    assert (await start(process, 2, folder))[0] == 4


async def test_states_of_another_agreement_or_key_are_not_used():
    process = life()
    _, mine = await start(process, 1)
    await mine.keep(0, shard(0, 4))
    (found,), _ = await restore(shard, 1, b"L" * 32, None, process.consumer(None, TOPIC, [0]), None)
    assert found.position == 0

    def of_other_terms(number):
        return Shard(DRAFT, "hospital", number, b"another seed of a register.....!", 1)

    (found,), _ = await restore(of_other_terms, 1, KEY, None, process.consumer(None, TOPIC, [0]), None)
    assert found.position == 0


async def test_records_that_no_checkpoint_has_are_passed_over():
    process = life()
    _, mine = await start(process, 1)
    await mine.keep(0, shard(0, 4))
    strange = [None, b"", b"owner", b"1/2", b"1/2/3/4", b"x/0/0", b"1/0/-1", b"1/0/" + b"9" * 30, b"\xff/0/0",
               b"9" * 40 + b"/0/0", b"1/7/manifest"]
    await process.producer(None).send(TOPIC, 0, [(key, b"not json") for key in strange])
    assert (await start(process, 2))[0] == 4


async def test_a_state_topic_that_ends_too_early_is_an_error(monkeypatch):
    monkeypatch.setattr("streams.flow.END_SECONDS", 0.05)
    consumer = life().consumer(None, TOPIC, [0])
    consumer.ends = _far
    with pytest.raises(BrokerError, match=r"state gave nothing for 0\.05 s before its end"):
        await read_states(consumer, KEY, [shard(0).purpose])


async def _far(partitions):
    return dict.fromkeys(partitions, 5)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot make the state folder .* Name another one, or none"):
        StateFolder(tmp_path / "file" / "state")
    folder = StateFolder(tmp_path / "state")
    (tmp_path / "state" / "shard-0.state").mkdir()
    with pytest.raises(StoreError, match=r"cannot store the state of shard 0 .* Make room"):
        folder.write(0, b"x")


async def test_the_last_claim_counts_and_the_one_before_stops():
    world = World(rng=Random(2), incidents=[], hides=0.2, repeats=0.0)
    process = life(world)
    producer, topic = process.producer(None), topics.owner("hospital", "small")
    first, second, third = (Owner(process.consumer(None, topic, [0]), "hospital", TAGS) for _ in range(3))
    one = await first.claim(producer)
    assert await second.claim(producer) > one
    with pytest.raises(SupersededError, match="another worker works for hospital since claim 1 .* ours was 0"):
        await first.watch()
    await producer.send("hospital.small.owner", 0, [(b"owner", b"not a claim")])
    await third.claim(producer)
    with pytest.raises(SupersededError):
        await second.watch()
