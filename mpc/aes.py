"""AES-128 on XOR-shared data: the pseudorandom function that links registers.

Bitsliced: a state is 8 planes (most significant bit first) × 16 bytes × words, each word holding that bit of
64 rows. The S-box is the circuit of `mpc.sbox`, in four rounds; everything else is local. It leaves out the constant
0x63: ShiftRows and MixColumns keep one that is in every byte, so the round keys absorb it.
FIPS 197 names the steps.
"""

from collections import deque
from collections.abc import Coroutine, Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mpc.boolean import Evaluation, SharedSums, Wires
from mpc.engine import Engine
from mpc.errors import ProtocolError
from mpc.sbox import SBOX
from mpc.share import Bits, Words, public_bits

KEY_BYTES = 16
BLOCK_BYTES = 16
TAG_BYTES = 8
ROUNDS = 10
ROWS_PER_BATCH = 1 << 15
"""Rows enciphered together: enough to make rounds cheap, few enough to stay near the processor's caches."""
BATCHES_AT_ONCE = 2
"""Enciphered side by side: while messages of one are under way, another one is worked on."""
ROWS_PER_OPENING = 1 << 20
"""16 MiB of both components wait for their opening."""

_SBOX_CONSTANT = 0x63
_SHIFT_ROWS = np.array([0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11])
_ALL_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)

@dataclass(frozen=True)
class SharedKey:
    """A node's two components of an XOR-shared AES-128 key; no node knows the key."""

    parts: bytes
    """Component i, then component i + 1: 2 × 16 bytes."""

    def __post_init__(self) -> None:
        if len(self.parts) != 2 * KEY_BYTES:
            raise ProtocolError(f"a shared key has {2 * KEY_BYTES} bytes, found {len(self.parts)}")


@dataclass(frozen=True, eq=False)
class RoundKeys:
    """An expanded shared key."""

    key: SharedKey
    planes: Words
    """(2, 11, 8, 16, 1) words of all zeros or all ones per component."""


def draw_key(engine: Engine) -> SharedKey:
    """Draw this attempt's shared key: each component is drawn by the two nodes that hold it, without messages.

    The result is bound to the attempt: a retry gets another key, so that tags opened by an attempt that failed
    cannot be compared with those of the next one. Keep the key of the attempt that succeeds.
    """
    holders = (engine.number + 2) % 3, (engine.number + 1) % 3
    return SharedKey(b"".join(engine.wire.pair_key(peer, b"linkage key")[:KEY_BYTES] for peer in holders))


def to_planes(words: Words) -> Words:
    """Bitslice rows: (2, n) words → (2, 8, 8, ⌈n/64⌉): bit (most significant first), byte, 64 rows a word."""
    rows = words.shape[1]
    squares = np.zeros((2, -(-rows // 64), 64), np.uint64)
    squares.reshape(2, -1)[:, :rows] = words
    _transpose(squares)
    octets = squares.reshape(2, -1, 8, 8)
    return np.ascontiguousarray(octets[..., ::-1].transpose(0, 3, 2, 1))


def from_planes(planes: Words, rows: int) -> Words:
    """Undo `to_planes` for one array: (8, 8, words) → (rows,)."""
    squares = np.ascontiguousarray(planes.transpose(2, 1, 0)[..., ::-1]).reshape(1, -1, 64)
    _transpose(squares)
    return squares.reshape(-1)[:rows]


def _transpose(squares: Words) -> None:
    """Transpose squares of 64 × 64 bits in place: (…, 64); Warren, Hacker's Delight, §7-3."""
    for half in (32, 16, 8, 4, 2, 1):
        pairs = squares.reshape(*squares.shape[:-1], -1, 2, half)
        upper, lower = pairs[..., 0, :], pairs[..., 1, :]
        swap = ((upper >> np.uint64(half)) ^ lower) & np.uint64(int(_ALL_ONES) // (2**half + 1))
        lower ^= swap
        upper ^= swap << np.uint64(half)


class _Shared(NamedTuple):
    """Sums to be shared together with the other nodes."""

    wires: Wires
    sums: SharedSums


_Program = Generator[_Shared, None, Words]
"""What one batch needs: local work, and sums to share in between."""


class _Room:
    """Memory for a circuit's wires, used again and again."""

    def __init__(self, cells: int) -> None:
        self._words = np.empty(2 * SBOX.wires * cells, np.uint64)
        self._wires: dict[int, Wires] = {}

    def wires(self, cells: int) -> Wires:
        """So many words a wire and component; what they were before is lost."""
        if cells not in self._wires:
            self._wires[cells] = Wires(self._words[: 2 * SBOX.wires * cells].reshape(SBOX.wires, 2, cells))
        return self._wires[cells]


def _substituted(state: Words, room: _Room) -> _Program:
    """SubBytes without its constant 0x63: (2, 8, …) → (2, 8, …)."""
    planes = state.reshape(2, 8, -1).swapaxes(0, 1)
    wires = room.wires(planes.shape[2])
    wires.words[:8] = planes
    each = wires.each
    for layer in SBOX.layers:
        for out, left, right in layer.sums:
            np.bitwise_xor(each[left], each[right], out=each[out])
        yield _Shared(wires, layer.shared)
    return wires.words[-8:].swapaxes(0, 1).reshape(state.shape)


async def _side_by_side(engine: Engine, programs: Iterator[_Program], most: int) -> list[Words]:
    """Run programs, `most` at a time, in turns: all nodes start the same operations in the same order, whichever
    message comes first.

    Returns:
        The programs' results, in their order.
    """
    results: dict[int, Words] = {}
    running: deque[tuple[int, _Program, Evaluation, Coroutine[Any, Any, None]]] = deque()
    numbered = enumerate(programs)

    def go_on(number: int, program: _Program, evaluation: Evaluation | None) -> None:
        try:
            wires, sums = next(program)
        except StopIteration as ended:
            results[number] = ended.value
            start()
        else:
            evaluation = evaluation or engine.evaluation(SBOX.digest, wires.words.shape)
            running.append((number, program, evaluation, evaluation.share(wires, sums)))

    def start() -> None:
        for number, program in numbered:
            go_on(number, program, None)
            return

    try:
        for _ in range(most):
            start()
        while running:
            number, program, evaluation, rest = running.popleft()
            await rest
            go_on(number, program, evaluation)
    finally:
        for *_, rest in running:
            rest.close()
    return [results[number] for number in range(len(results))]


_DOUBLING = ((slice(0, 7), slice(1, 8)), (slice(7, 8), slice(0, 1)))
"""Planes of 2x and those of x that they are, before the modulus."""
_NEXT = ((slice(0, 3), slice(1, 4)), (slice(3, 4), slice(0, 1)))
"""Rows of a column and those below them."""
_OVER_NEXT = ((slice(0, 2), slice(2, 4)), (slice(2, 4), slice(0, 2)))


def _mix_columns(state: Words) -> Words:
    """(2, 8, 16, words) → the same shape. 2a + 3b + c + d = 2(a + b) + b + (c + d) in GF(2⁸), modulus 0x11B."""
    columns = state.reshape(2, 8, 4, 4, -1)
    pairs, mixed = np.empty_like(columns), np.empty_like(columns)
    for here, below in _NEXT:
        np.bitwise_xor(columns[:, :, :, here], columns[:, :, :, below], out=pairs[:, :, :, here])
    for here, below in _NEXT:
        for double, single in _DOUBLING:
            out = mixed[:, double, :, here]
            np.bitwise_xor(pairs[:, single, :, here], columns[:, double, :, below], out=out)
    for plane in (3, 4, 6):
        mixed[:, plane] ^= pairs[:, 0]
    for here, below in _OVER_NEXT:
        mixed[:, :, :, here] ^= pairs[:, :, :, below]
    return mixed.reshape(state.shape)


def _constant(value: int) -> Words:
    """A public byte as shared planes (2, 8, 1, 1)."""
    bits = np.array([_ALL_ONES if value >> (7 - bit) & 1 else 0 for bit in range(8)], np.uint64)
    return public_bits(bits.reshape(8, 1, 1)).parts


async def expand_key(engine: Engine, key: SharedKey) -> RoundKeys:
    """The key schedule; ten small S-box evaluations. The S-box constant of the data path is folded in."""
    (planes,) = await _side_by_side(engine, iter([_scheduled(key)]), 1)
    return RoundKeys(key, planes)


def _scheduled(key: SharedKey) -> _Program:
    octets = np.frombuffer(key.parts, np.uint8).reshape(2, 1, KEY_BYTES, 1)
    bits = np.unpackbits(octets, axis=1)
    current = np.where(bits == 1, _ALL_ONES, np.uint64(0))
    schedule = [current]
    round_constant, room = 1, _Room(4)
    for _ in range(ROUNDS):
        word = yield from _substituted(current[:, :, [13, 14, 15, 12]], room)
        word ^= _constant(_SBOX_CONSTANT)
        word[:, :, :1] ^= _constant(round_constant)
        words = [current[:, :, :4] ^ word]
        for index in range(1, 4):
            words.append(words[-1] ^ current[:, :, 4 * index : 4 * index + 4])
        current = np.concatenate(words, axis=2)
        schedule.append(current ^ _constant(_SBOX_CONSTANT))
        round_constant = round_constant << 1 ^ (0x11B if round_constant & 0x80 else 0)
    return np.stack(schedule, axis=1)


async def encrypt(engine: Engine, keys: RoundKeys, state: Bits, output_bytes: int = BLOCK_BYTES) -> Bits:
    """Encipher blocks.

    Args:
        engine: the ring engine.
        keys: the expanded key.
        state: (8, given, words) planes of each block's first bytes; the rest, up to 16, is zeros. What becomes of these
            in the first round depends on the key alone, and is evaluated once for all blocks.
        output_bytes: 1..16; the last round evaluates no S-box whose output is not wanted.

    Returns:
        (8, output_bytes, words) planes of the first bytes of each block.
    """
    program = _enciphered(keys, state.parts, output_bytes, _Room(BLOCK_BYTES * state.shape[2]))
    (planes,) = await _side_by_side(engine, iter([program]), 1)
    return Bits(planes)


def _enciphered(keys: RoundKeys, state: Words, output_bytes: int, room: _Room) -> _Program:
    """See `encrypt`: (2, 8, given, words) → (2, 8, output_bytes, words)."""
    given, words = state.shape[2:]
    whole = np.empty((2, 8, BLOCK_BYTES, words), np.uint64)
    first = state ^ keys.planes[:, 0, :, :given]
    # One S-box layer for both: the given bytes of all rows, and the others of the key.
    both = np.concatenate([first.reshape(2, 8, -1), keys.planes[:, 0, :, given:, 0]], axis=2)
    both = yield from _substituted(both, room)
    whole[:, :, :given] = both[:, :, : given * words].reshape(first.shape)
    whole[:, :, given:] = both[:, :, given * words :, None]
    planes = whole
    for number in range(1, ROUNDS):
        if number > 1:
            planes = yield from _substituted(planes, room)
        planes = _mix_columns(planes[:, :, _SHIFT_ROWS])
        planes ^= keys.planes[:, number]
    planes = yield from _substituted(planes[:, :, _SHIFT_ROWS[:output_bytes]], room)
    return planes ^ keys.planes[:, ROUNDS, :, :output_bytes]


async def tags(engine: Engine, keys: RoundKeys, words: Bits) -> Words:
    """Open the first 8 bytes of AES(word ‖ 0⁸) for every word (little endian).

    Args:
        engine: the ring engine.
        keys: the expanded key.
        words: (n,) XOR-shared 64-bit words.

    Returns:
        (n,) uint64, public: equal words have equal tags and nothing else is learnt about them.
    """
    rows = words.shape[0]
    opened = np.empty(rows, np.uint64)
    rooms: list[_Room] = []

    def program(batch: Words) -> _Program:
        room = rooms.pop() if rooms else _Room(BLOCK_BYTES * -(-ROWS_PER_BATCH // 64))
        planes = yield from _enciphered(keys, to_planes(batch), TAG_BYTES, room)
        rooms.append(room)
        return planes

    for start in range(0, rows, ROWS_PER_OPENING):
        part = words.parts[:, start : start + ROWS_PER_OPENING]
        batches = (part[:, at : at + ROWS_PER_BATCH] for at in range(0, part.shape[1], ROWS_PER_BATCH))
        planes = np.concatenate(await _side_by_side(engine, map(program, batches), BATCHES_AT_ONCE), axis=3)
        opened[start : start + part.shape[1]] = from_planes(await engine.open_bits(Bits(planes)), part.shape[1])
    return opened
