"""AES-128 on XOR-shared data: the pseudorandom function that links registers.

Bitsliced: a state is 8 planes (most significant bit first) × 16 bytes × words, each word holding that bit of
64 rows. The S-box is the circuit of Boyar and Peralta, "A new combinational logic minimization technique with
applications to cryptology" (SEA 2010), 32 AND gates in six layers; everything else is local. Its four NOT gates are
left out: they add 0x63 to every byte, ShiftRows and MixColumns keep that constant, so the round keys absorb it.
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
y14=x3+x5 y13=x0+x6 y9=x0+x3 y8=x0+x5 t0=x1+x2 y1=t0+x7 y4=y1+x3 y12=y13+y14 y2=y1+x0 y5=y1+x6 y3=y5+y8 t1=x4+y12
y15=t1+x5 y20=t1+x1 y6=y15+x7 y10=y15+t0 y11=y20+y9 y7=x7+y11 y17=y10+y11 y19=y10+y8 y16=t0+y11 y21=y13+y16
y18=x0+y16 t2=y12*y15 t3=y3*y6 t4=t3+t2 t5=y4*x7 t6=t5+t2 t7=y13*y16 t8=y5*y1 t9=t8+t7 t10=y2*y7 t11=t10+t7
t12=y9*y11 t13=y14*y17 t14=t13+t12 t15=y8*y10 t16=t15+t12 t17=t4+t14 t18=t6+t16 t19=t9+t14 t20=t11+t16 t21=t17+y20
t22=t18+y19 t23=t19+y21 t24=t20+y18 t25=t21+t22 t26=t21*t23 t27=t24+t26 t28=t25*t27 t29=t28+t22 t30=t23+t24
t31=t22+t26 t32=t31*t30 t33=t32+t24 t34=t23+t33 t35=t27+t33 t36=t24*t35 t37=t36+t34 t38=t27+t36 t39=t29*t38
t40=t25+t39 t41=t40+t37 t42=t29+t33 t43=t29+t40 t44=t33+t37 t45=t42+t41 z0=t44*y15 z1=t37*y6 z2=t33*x7 z3=t43*y16
z4=t40*y1 z5=t29*y7 z6=t42*y11 z7=t45*y17 z8=t41*y10 z9=t44*y12 z10=t37*y3 z11=t33*y4 z12=t43*y13 z13=t40*y5
z14=t29*y2 z15=t42*y9 z16=t45*y14 z17=t41*y8 t46=z15+z16 t47=z10+z11 t48=z5+z13 t49=z9+z10 t50=z2+z12 t51=z2+z5
t52=z7+z8 t53=z0+z3 t54=z6+z7 t55=z16+z17 t56=z12+t48 t57=t50+t53 t58=z4+t46 t59=z3+t54 t60=t46+t57 t61=z14+t57
t62=t52+t58 t63=t49+t58 t64=z4+t59 t65=t61+t62 t66=z1+t63 s0=t59+t63 s6=t56+t62 s7=t48+t60 t67=t64+t65 s3=t53+t66
s4=t51+t66 s5=t47+t65 s1=t64+s3 s2=t55+t67
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
