"""A link that ended takes nothing more, wherever its bytes had got to."""

from mpc.errors import PeerLost
from mpc.frames import SHORT_BYTES, Hello, data_header, encode
from mpc.link import Link

TAG = b"0123456789abcdef"


def read(link, stream):
    """Bytes arrive, as asyncio hands them over."""
    while stream:
        room = link.get_buffer(-1)
        count = min(len(room), len(stream))
        room[:count] = stream[:count]
        link.buffer_updated(count)
        stream = stream[count:]


def made(taken, landing=lambda *_: None):
    """A link that ends with the frame of label 1."""
    def take(link, frame):
        taken.append(frame.label)
        if frame.label == 1:
            link.end(PeerLost("ended by the test"))

    link = Link(lambda _: 2, lambda _: None, take, lambda *_: None, landing)
    read(link, encode(Hello()))
    return link


def test_frames_after_the_one_that_ends_a_link_are_not_taken():
    taken = []
    read(made(taken), b"".join(data_header(TAG, 0, label, 0) for label in range(3)))
    assert taken == [0, 1]


def test_what_still_comes_lands_nowhere():
    room = memoryview(bytearray(3 * SHORT_BYTES))
    link = made([], lambda *_: room)
    stream = data_header(TAG, 0, 0, len(room)) + b"x" * len(room)
    read(link, stream[: 2 * SHORT_BYTES])
    before = bytes(room)
    assert before.count(b"x") > SHORT_BYTES
    link.end(PeerLost("ended by the test"))
    read(link, b"y" * len(room))
    assert room == before
