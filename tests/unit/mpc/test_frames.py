"""A byte stream cut into frames, wherever reads end."""

import random

import pytest

from mpc.errors import ProtocolError
from mpc.frames import MAX_FRAME_BYTES, SHORT_BYTES, Close, Data, FrameReader, Hello, data_header, encode

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
    reader = FrameReader()
    most = rng.choice([7, 1000, SHORT_BYTES, 10 * SHORT_BYTES])
    found, longest = taken(reader, memoryview(stream), lambda: rng.randint(1, most))
    assert found == wanted
    assert longest > SHORT_BYTES  # long frames land where they stay
    assert not reader.inside_frame


@pytest.mark.parametrize("size", [2, 4, 20, 2 * SHORT_BYTES])
def test_a_stream_that_ends_in_a_frame_says_so(size):
    reader = FrameReader()
    stream = data_header(TAG, 0, 0, 3 * SHORT_BYTES) + bytes(3 * SHORT_BYTES)
    found, _ = taken(reader, stream[:size], lambda: 1 << 20)
    assert found == []
    assert reader.inside_frame


@pytest.mark.parametrize("length", [0, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_there_is_room_for_it(length):
    reader = FrameReader()
    with pytest.raises(ProtocolError, match=f"announces {length} bytes"):
        taken(reader, length.to_bytes(4, "big"), lambda: 4)
    assert len(reader.room) == SHORT_BYTES
