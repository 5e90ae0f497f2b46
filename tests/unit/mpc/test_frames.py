"""A byte stream cut into frames, wherever reads end."""

import random

import pytest

from mpc.errors import ProtocolError
from mpc.frames import MAX_FRAME_BYTES, SHORT_BYTES, Close, Data, FrameReader, Hello, data_header, encode, nowhere

TAG = b"0123456789abcdef"


def taken(reader, stream, size):
    """Frames of a stream that is read by at most `size()` bytes at a time, and the longest room that was offered."""
    found, longest = [], 0
    while stream:
        room = reader.room
        count = min(len(room), len(stream), size())
        room[:count] = stream[:count]
        found += reader.filled(count)
        stream, longest = stream[count:], max(longest, len(room))
    return found, longest


def of_all_lengths(rng):
    """Frames, and their bytes."""
    lengths = [0, 1, 100, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 30, 3 * SHORT_BYTES + 17]
    rng.shuffle(lengths)
    wanted, stream = [Hello()], [encode(Hello())]
    for label, length in enumerate(lengths):
        payload = rng.randbytes(length)
        wanted += [Data(TAG, 3, label, payload), Close(TAG)]
        stream += [data_header(TAG, 3, label, length), payload, encode(Close(TAG))]
    return wanted, b"".join(stream)


@pytest.mark.parametrize("seed", range(20))
def test_frames_arrive_whole_wherever_reads_end(seed):
    rng = random.Random(seed)
    wanted, stream = of_all_lengths(rng)
    reader = FrameReader(nowhere)
    most = rng.choice([7, 1000, SHORT_BYTES, 10 * SHORT_BYTES])
    found, longest = taken(reader, memoryview(stream), lambda: rng.randint(1, most))
    assert found == wanted
    assert longest > SHORT_BYTES  # long frames land where they stay
    assert not reader.inside_frame


@pytest.mark.parametrize("size", [2, 4, 20, 2 * SHORT_BYTES])
def test_a_stream_that_ends_in_a_frame_says_so(size):
    reader = FrameReader(nowhere)
    stream = data_header(TAG, 0, 0, 3 * SHORT_BYTES) + bytes(3 * SHORT_BYTES)
    found, _ = taken(reader, stream[:size], lambda: 1 << 20)
    assert found == []
    assert reader.inside_frame


@pytest.mark.parametrize("seed", range(10))
def test_a_payload_lands_where_it_is_wanted(seed):
    rng = random.Random(seed)
    wanted, stream = of_all_lengths(rng)
    payloads = {frame.label: frame.payload for frame in wanted if isinstance(frame, Data)}
    rooms = {label: memoryview(bytearray(len(payload))) for label, payload in payloads.items() if rng.random() < 0.6}
    asked = []

    def landing(*message):
        asked.append(message)
        return rooms.get(message[2])

    found, _ = taken(FrameReader(landing), memoryview(stream), lambda: rng.randint(1, 3 * SHORT_BYTES))
    assert found == wanted
    assert asked == [(TAG, 3, label, len(payload)) for label, payload in payloads.items()]
    for frame in found:
        if isinstance(frame, Data):
            assert (frame.payload is rooms.get(frame.label)) == (frame.label in rooms)


def test_once_it_is_closed_nothing_lands_any_more():
    room = memoryview(bytearray(3 * SHORT_BYTES))
    reader = FrameReader(lambda *_: room)
    stream = data_header(TAG, 0, 0, len(room)) + b"x" * len(room)
    taken(reader, stream[: 2 * SHORT_BYTES], lambda: SHORT_BYTES)
    before = bytes(room)
    assert before.count(b"x") > SHORT_BYTES
    assert len(reader.room) > SHORT_BYTES
    reader.close()
    assert not reader.inside_frame
    taken(reader, stream, lambda: SHORT_BYTES)
    assert room == before


def test_what_comes_after_an_attempt_lands_elsewhere_and_the_stream_goes_on():
    room = memoryview(bytearray(3 * SHORT_BYTES))
    reader = FrameReader(lambda _tag, _channel, label, _size: None if label else room)
    payload = random.Random(1).randbytes(len(room))
    stream = memoryview(data_header(TAG, 0, 0, len(room)) + payload + encode(Close(TAG)))
    taken(reader, stream[: 2 * SHORT_BYTES], lambda: SHORT_BYTES)
    reader.free(b"another attempt!")
    taken(reader, stream[2 * SHORT_BYTES : 2 * SHORT_BYTES + 9], lambda: SHORT_BYTES)
    before = bytes(room)
    assert before.rstrip(bytes(1)) == payload[: 2 * SHORT_BYTES + 9 - 31].rstrip(bytes(1))
    reader.free(TAG)
    found, _ = taken(reader, stream[2 * SHORT_BYTES + 9 :], lambda: SHORT_BYTES)
    assert found == [Data(TAG, 0, 0, payload), Close(TAG)]
    assert room == before
    reader.free(TAG)  # nothing is under way


@pytest.mark.parametrize(
    ("length", "kind", "says"),
    [
        (2**26, 0, "kind 0 has 67108863 bytes; expected 12"), (MAX_FRAME_BYTES, 99, "unknown kind 99"),
        (3, 4, "a data frame has 3 bytes; at least 27 expected"),
    ],
)
def test_what_no_frame_is_is_refused_before_there_is_room_for_it(length, kind, says):
    reader = FrameReader(nowhere)
    with pytest.raises(ProtocolError, match=says):
        taken(reader, length.to_bytes(4, "big") + bytes([kind]), lambda: 5)
    assert len(reader.room) == SHORT_BYTES


@pytest.mark.parametrize("length", [0, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_there_is_room_for_it(length):
    reader = FrameReader(nowhere)
    with pytest.raises(ProtocolError, match=f"announces {length} bytes"):
        taken(reader, length.to_bytes(4, "big"), lambda: 4)
    assert len(reader.room) == SHORT_BYTES
