"""AES-128 on XOR-shared data: the pseudorandom function that links registers.

Bitsliced: a state is 8 planes (most significant bit first) × 16 bytes × words, each word holding that bit of
64 rows. The S-box is the circuit of Boyar and Peralta, "A small depth-16 circuit for the AES S-box" (SEC 2012), 34 AND
gates in four layers; everything else is local. (Theirs of 2010 has two gates less in two layers more: a third less
waiting is worth 6 % more bytes.) Its four NOT gates are left out: they add 0x63 to every byte, ShiftRows and
MixColumns keep that constant, so the round keys absorb it.
FIPS 197 names the steps.
"""

from collections import deque
from collections.abc import Coroutine, Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mpc.engine import Engine
from mpc.errors import ProtocolError
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

_CIRCUIT = """
t1=x0+x3 t2=x0+x5 t3=x0+x6 t4=x3+x5 t5=x4+x6 t6=t1+t5 t7=x1+x2 t8=x7+t6 t9=x7+t7 t10=t6+t7 t11=x1+x5 t12=x2+x5
t13=t3+t4 t14=t6+t11 t15=t5+t11 t16=t5+t12 t17=t9+t16 t18=x3+x7 t19=t7+t18 t20=t1+t19 t21=x6+x7 t22=t7+t21 t23=t2+t22
t24=t2+t10 t25=t20+t17 t26=t3+t16 t27=t1+t12 m1=t13*t6 m2=t23*t8 m3=t14+m1 m4=t19*x7 m5=m4+m1 m6=t3*t16 m7=t22*t9
m8=t26+m6 m9=t20*t17 m10=m9+m6 m11=t1*t15 m12=t4*t27 m13=m12+m11 m14=t2*t10 m15=m14+m11 m16=m3+m2 m17=m5+t24 m18=m8+m7
m19=m10+m15 m20=m16+m13 m21=m17+m15 m22=m18+m13 m23=m19+t25 m24=m22+m23 m25=m22*m20 m26=m21+m25 m27=m20+m21
m28=m23+m25 m29=m28*m27 m30=m26*m24 m31=m20*m23 m32=m27*m31 m33=m27+m25 m34=m21*m22 m35=m24*m34 m36=m24+m25
m37=m21+m29 m38=m32+m33 m39=m23+m30 m40=m35+m36 m41=m38+m40 m42=m37+m39 m43=m37+m38 m44=m39+m40 m45=m42+m41 m46=m44*t6
m47=m40*t8 m48=m39*x7 m49=m43*t16 m50=m38*t9 m51=m37*t17 m52=m42*t15 m53=m45*t27 m54=m41*t10 m55=m44*t13 m56=m40*t23
m57=m39*t19 m58=m43*t3 m59=m38*t22 m60=m37*t20 m61=m42*t1 m62=m45*t4 m63=m41*t2 l0=m61+m62 l1=m50+m56 l2=m46+m48
l3=m47+m55 l4=m54+m58 l5=m49+m61 l6=m62+l5 l7=m46+l3 l8=m51+m59 l9=m52+m53 l10=m53+l4 l11=m60+l2 l12=m48+m51
l13=m50+l0 l14=m52+m61 l15=m55+l1 l16=m56+l0 l17=m57+l1 l18=m58+l8 l19=m63+l4 l20=l0+l1 l21=l1+l7 l22=l3+l12
l23=l18+l2 l24=l15+l9 l25=l6+l10 l26=l7+l9 l27=l8+l10 l28=l11+l14 l29=l11+l17 s0=l6+l24 s1=l16+l26 s2=l19+l28
s3=l6+l21 s4=l20+l22 s5=l25+l29 s6=l13+l27 s7=l6+l23
"""
"""+ is XOR, * is AND; x0 and s0 are the most significant bits; NOTs left out."""


class _Layer(NamedTuple):
    """AND gates that can be evaluated together, then the XOR gates that they make possible; numbers of wires."""

    left: list[int]
    right: list[int]
    ands: slice
    """Wires of the AND gates' outputs."""
    xors: list[tuple[int, int, int]]
    """(output, left, right)."""


class _Circuit(NamedTuple):
    """The first eight wires are the inputs."""

    layers: tuple[_Layer, ...]
    wires: int
    outputs: list[int]


def _compiled(circuit: str) -> _Circuit:
    """Sort a circuit's gates by the number of AND gates on the longest path to them."""
    depth = {f"x{i}": 0 for i in range(8)}
    gates: list[tuple[int, bool, str, str, str]] = []
    for text in circuit.split():
        out, formula = text.split("=")
        is_and = "*" in formula
        left, right = formula.split("*" if is_and else "+")
        depth[out] = max(depth[left], depth[right]) + is_and
        gates.append((depth[out], is_and, out, left, right))
    numbers = {f"x{i}": i for i in range(8)}
    layers = []
    for level in range(max(depth.values()) + 1):
        ands = [gate[2:] for gate in gates if gate[:2] == (level, True)]
        xors = [gate[2:] for gate in gates if gate[:2] == (level, False)]
        first = len(numbers)
        numbers |= {out: first + place for place, (out, _, _) in enumerate(ands)}
        numbers |= {out: first + len(ands) + place for place, (out, _, _) in enumerate(xors)}
        layers.append(_Layer(
            [numbers[left] for _, left, _ in ands], [numbers[right] for _, _, right in ands],
            slice(first, first + len(ands)),
            [(numbers[out], numbers[left], numbers[right]) for out, left, right in xors],
        ))
    return _Circuit(tuple(layers), len(numbers), [numbers[f"s{i}"] for i in range(8)])


_SBOX = _compiled(_CIRCUIT)


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


class _Ands(NamedTuple):
    """A layer's AND gates to be evaluated together with the other nodes."""

    wires: Words
    layer: _Layer


_Program = Generator[_Ands, None, Words]
"""What one batch needs: local work, and AND gates in between."""


class _Room:
    """Memory for a circuit's wires, used again and again."""

    def __init__(self, cells: int) -> None:
        self._words = np.empty(2 * _SBOX.wires * cells, np.uint64)

    def wires(self, cells: int) -> Words:
        """(wires, 2, cells): a gate's components beside each other, so that one pass works on both."""
        return self._words[: 2 * _SBOX.wires * cells].reshape(_SBOX.wires, 2, cells)


def _substituted(state: Words, room: _Room) -> _Program:
    """SubBytes without its constant 0x63: (2, 8, …) → (2, 8, …)."""
    planes = state.reshape(2, 8, -1).swapaxes(0, 1)
    wires = room.wires(planes.shape[2])
    wires[:8] = planes
    each = list(wires.reshape(_SBOX.wires, -1))
    for layer in _SBOX.layers:
        if layer.left:
            yield _Ands(wires, layer)
        for out, left, right in layer.xors:
            np.bitwise_xor(each[left], each[right], out=each[out])
    return wires.swapaxes(0, 1)[:, _SBOX.outputs].reshape(state.shape)


async def _side_by_side(engine: Engine, programs: Iterator[_Program], most: int) -> list[Words]:
    """Run programs, `most` at a time, in turns: all nodes start the same operations in the same order, whichever
    message comes first.

    Returns:
        The programs' results, in their order.
    """
    results: dict[int, Words] = {}
    running: deque[tuple[int, _Program, Coroutine[Any, Any, None]]] = deque()
    numbered = enumerate(programs)

    def go_on(number: int, program: _Program) -> None:
        try:
            wires, (left, right, ands, _) = next(program)
        except StopIteration as ended:
            results[number] = ended.value
            start()
        else:
            running.append((number, program, engine.and_rows(wires, left, right, ands)))

    def start() -> None:
        for number, program in numbered:
            go_on(number, program)
            return

    try:
        for _ in range(most):
            start()
        while running:
            number, program, rest = running.popleft()
            await rest
            go_on(number, program)
    finally:
        for _, _, rest in running:
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
