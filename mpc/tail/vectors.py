"""Arithmetic on vectors of field shares: products, masked openings, comparisons, floating-point steps.

A vector is an array of this node's Shamir shares (Python integers modulo PRIME), any shape. Values are read as signed
integers. Every method is one or more rounds and is awaited before the next: two at once would take labels in an
order that differs between nodes.
"""

import hmac
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpc.errors import IntegrityError
from mpc.tail.boolean import Boolean, Planes, planes_of, unpacked
from mpc.tail.cage import field_array
from mpc.tail.field import PRIME, RESIDUE_BYTES, ROOM_BITS, Residues, at_zero, decode, encode, on_a_line
from mpc.tail.session import KEY_BYTES, Session
from policy.plan import LEAST_SIGNIFICANT_BITS, MASK_BITS, MOST_SIGNIFICANT_BITS

FRACTION_BITS = 58
"""Bits of a working mantissa; errors of up to 90 units in the last place, and TIE_UNITS, stay below 2^-49."""
TIE_UNITS = 128
"""Added to a quotient before it is rounded: more than its error, which follows the masks, so that one exactly between
two mantissas goes up each time."""
RECIPROCAL_STEPS = 4
"""The first guess of 1/b is off by 0.0858 at most, so four squarings leave 2^-56."""
RECIPROCAL_START = 2.9142135623731
"""1/b ≈ 2.914… − 2b on [1/2, 1): least largest error."""
OCTAVES = range(FRACTION_BITS - 2, FRACTION_BITS + 5)
"""⌊log2⌋ of a quotient to be rounded: a variance's lies in [1/2, 16], and some units beside."""
CUTS = [octave + 1 - LEAST_SIGNIFICANT_BITS for octave in OCTAVES]
"""Low bits that go when a quotient of each octave keeps LEAST_SIGNIFICANT_BITS."""
RING_BITS = 64
TOP_BITS = 4
"""Of each ring component; with |x| < 2^62 they settle how often the three wrap."""


def joined(digits: Sequence[Residues]) -> Residues:
    """Numbers from their binary digits, the lowest first."""
    found: Residues = sum(digit << place for place, digit in enumerate(digits)) % PRIME
    return found


class Vectors:
    """The field arithmetic of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._boolean = Boolean(session)
        # Component c is known to nodes c and c − 1: as a line through (0, 1) that is 0 at the third node.
        self._weights = tuple(
            (1 - (session.number + 1) * pow((component + 1) % 3 + 1, -1, PRIME)) % PRIME
            for component in (session.number, session.up)
        )

    # -- one round each
    async def reshare(self, x: Residues) -> Residues:
        """A sum of products of shares (degree 2) as fresh shares of degree 1."""
        self._session.step_of_mpyc(x.size * RESIDUE_BYTES)
        flat = field_array(x.reshape(-1) % PRIME, check=False)
        fresh: Residues = (await self._session.runtime._reshare(flat)).value.reshape(x.shape)  # noqa: SLF001
        await self._session.wire.drain()
        return fresh

    async def multiply(self, x: Residues, y: Residues) -> Residues:
        """Elementwise product."""
        return await self.reshare(x * y) if x.size else x * y

    async def open(self, x: Residues) -> Residues:
        """The values, at all nodes; all three shares are compared. Two rounds with `Session.verify`.

        The shares themselves become known, so x comes from `reshare` plus lifted masks, never from inputs alone.

        Raises:
            IntegrityError: a peer's share does not fit the other two, or a peer did something else before.
        """
        session, payload = self._session, encode(x)
        await session.verify()
        peers = (session.up, session.down)
        received = await session.exchange(dict.fromkeys(peers, payload), dict.fromkeys(peers, len(payload)))
        shares = {session.number: x, **{peer: decode(received[peer]) for peer in peers}}
        if not on_a_line(shares[0], shares[1], shares[2]).all():
            raise IntegrityError("the three shares of a masked value in the tail do not agree")
        opened = at_zero(shares[0], shares[1])
        session.record(encode(opened))
        return opened

    async def private(self, x: Residues) -> Residues:
        """This node's share of x for the recipient: re-randomised by sharings of 0 that all three nodes deal.

        Raises:
            IntegrityError: a peer did something else before.
        """
        await self._session.verify()
        self._session.step_of_mpyc(x.size * RESIDUE_BYTES)
        zeros = field_array(np.zeros(x.size, dtype=object), check=False)
        dealt = await self._session.runtime.input(zeros)
        fresh: Residues = (x + sum(each[0].value for each in dealt)) % PRIME
        return fresh

    # -- between rings
    def lift(self, first: Residues, second: Residues) -> Residues:
        """Shares of s0 + s1 + s2 over the integers, from this node's two summands; no message."""
        lifted: Residues = (first * self._weights[0] + second * self._weights[1]) % PRIME
        return lifted

    async def from_bits(self, planes: Planes, n: int) -> Residues:
        """(2, k, w) XOR-shared planes → (k, n) field shares of the bits."""
        bits = unpacked(planes, n).astype(object)
        zero = np.zeros_like(bits[0])
        parts = [zero, zero, zero]
        parts[self._session.number] = self.lift(bits[0], zero)
        parts[self._session.up] = self.lift(zero, bits[1])
        pair = parts[0] + parts[1] - 2 * await self.multiply(parts[0], parts[1])
        both = await self.multiply(pair, parts[2])
        found: Residues = (pair + parts[2] - 2 * both) % PRIME
        return found

    async def from_ring(self, components: NDArray[np.uint64]) -> Residues:
        """(2, n) replicated shares modulo 2^64 of |x| < 2^62 → (n,) field shares of x.

        Each component is lifted where it is known. Their sum is x + 2^63 plus 0, 1 or 2 times 2^64; as
        x + 2^63 lies in (2^62, 3·2^62), the components' top four bits settle how often.

        Raises:
            IntegrityError: a component differs from the other holder's.
        """
        await self._agree(components)
        moved = components.copy()
        for held, component in enumerate((self._session.number, self._session.up)):
            if component == 0:
                moved[held] += np.uint64(1 << (RING_BITS - 1))
        n = moved.shape[1]
        top = (moved >> np.uint64(RING_BITS - TOP_BITS)).tolist()
        wraps = await self._wraps((top[0], top[1]), TOP_BITS)
        lifted = self.lift(moved[0].astype(object), moved[1].astype(object))
        found: Residues = (lifted - (wraps << RING_BITS) - (1 << (RING_BITS - 1))) % PRIME if n else lifted
        return found

    async def _agree(self, components: NDArray[np.uint64]) -> None:
        """The holders of each component compare keyed digests of it; the third node sees none."""
        session = self._session
        peers = (session.down, session.up)
        digests = [
            hmac.digest(session.key(held, b"agree"), np.ascontiguousarray(components[held], "<u8").tobytes(), "sha256")
            for held in (0, 1)
        ]
        received = await session.exchange(dict(zip(peers, digests, strict=True)), dict.fromkeys(peers, KEY_BYTES))
        for held, peer in enumerate(peers):
            if not hmac.compare_digest(digests[held], received[peer]):
                raise IntegrityError(
                    f"component {(session.number + held) % 3} of the tail's input differs from node {peer}'s"
                )

    async def _wraps(self, summands: tuple[Sequence[int], Sequence[int]], bits: int) -> Residues:
        """How often, 0..2, the sum of three numbers below 2^bits passes 2^bits; each component holds one."""
        planes = np.stack([planes_of(values, bits) for values in summands])
        _, carries = await self._boolean.add(planes)
        first, second = await self.from_bits(carries, len(summands[0]))
        found: Residues = first + second
        return found

    # -- masked openings
    async def _masked(self, x: Residues, bits: int) -> tuple[Residues, tuple[Residues, Residues]]:
        """Open 0 ≤ x < 2^bits under three masks of bits + MASK_BITS bits; also the two masks known here."""
        if bits > ROOM_BITS:
            raise ValueError(f"{bits} bits cannot be masked; the field has room for {ROOM_BITS}")
        mask_bits = bits + MASK_BITS
        size = (mask_bits + 7) // 8
        keep = (1 << mask_bits) - 1
        masks = []
        for stream in self._session.streams(size * x.size):
            mask = np.empty(x.size, dtype=object)
            mask[:] = [int.from_bytes(stream[at:at + size], "little") & keep for at in range(0, len(stream), size)]
            masks.append(mask)
        opened = await self.open((x + self.lift(masks[0], masks[1])) % PRIME)
        return opened, (masks[0], masks[1])

    def _summands(
        self, opened: Residues, masks: tuple[Residues, Residues], bits: int,
    ) -> tuple[Residues, Residues]:
        """Three numbers below 2^bits that add to x modulo 2^bits: minus the masks, the opened one in component 1."""
        found = [
            ((opened if component == 1 else 0) - mask) & ((1 << bits) - 1)
            for component, mask in zip((self._session.number, self._session.up), masks, strict=True)
        ]
        return found[0], found[1]

    async def truncate(self, x: Residues, drop: int, bits: int) -> Residues:
        """Quotient x / 2^drop within (−2, 2) units, for 0 ≤ x < 2^bits: one opening."""
        opened, masks = await self._masked(x, bits)
        low = (1 << drop) - 1
        rest = x + self.lift(masks[0] & low, masks[1] & low) - (opened & low)
        found: Residues = (rest * pow(2, -drop, PRIME) - 1) % PRIME
        return found

    async def floor(self, x: Residues, drop: int, bits: int) -> Residues:
        """⌊x / 2^drop⌋ exactly, for 0 ≤ x < 2^bits."""
        opened, masks = await self._masked(x, bits)
        first, second = self._summands(opened, masks, drop)
        wraps = await self._wraps((first.tolist(), second.tolist()), drop)
        rest = x - self.lift(first, second) + (wraps << drop)
        found: Residues = rest * pow(2, -drop, PRIME) % PRIME
        return found

    async def negative(self, x: Residues, bits: int) -> Residues:
        """1 where x < 0, else 0, exactly, for |x| < 2^bits."""
        found: Residues = (1 - await self.floor(x + (1 << bits), bits, bits + 1)) % PRIME
        return found

    # -- floating point
    async def leading(self, x: Residues, bits: int) -> tuple[list[Residues], Residues]:
        """⌊log2 x⌋ of 0 ≤ x < 2^bits, exactly; 2 ≤ bits.

        Returns:
            its binary digits, the lowest first; present, 1 where x ≠ 0. Where x = 0 all digits are 0.
        """
        opened, masks = await self._masked(x, bits)
        summands = self._summands(opened, masks, bits)
        binary, _ = await self._boolean.add(np.stack([planes_of(values.tolist(), bits) for values in summands]))
        position, nonzero = await self._boolean.leading(binary)
        *digits, present = await self.from_bits(np.concatenate((position, nonzero), axis=1), x.size)
        return digits, present

    async def shrinking(self, digits: Sequence[Residues], base: int) -> Residues:
        """base^−e in the field, for an exponent e with these binary digits, the lowest first; ⌈log2 digits⌉ rounds."""
        factors: list[Residues] = [
            1 + digit * (pow(base, -(1 << place), PRIME) - 1) for place, digit in enumerate(digits)
        ]
        while len(factors) > 1:
            half = len(factors) // 2
            merged = await self.multiply(np.stack(factors[:half]), np.stack(factors[half:2 * half]))
            factors = [*merged, *factors[2 * half:]]
        return factors[0]

    async def normalise(self, x: Residues, bits: int) -> tuple[Residues, Residues, Residues]:
        """Bring 0 ≤ x < 2^bits into a fixed octave, exactly.

        Returns:
            scaled, 2^(bits−1) ≤ scaled < 2^bits, with x = scaled · 2^(exponent + 1 − bits); exponent = ⌊log2 x⌋;
            present, 1 where x ≠ 0. Where x = 0: scaled 2^(bits−1), exponent 0, present 0.
        """
        digits, present = await self.leading(x, bits)
        product = await self.multiply(x, await self.shrinking(digits, 2))
        scaled = ((product + 1 - present) << (bits - 1)) % PRIME
        return scaled, joined(digits), present

    async def mantissa(self, scaled: Residues, bits: int) -> Residues:
        """`normalise`'s scaled value with FRACTION_BITS bits, within 2 units."""
        if bits <= FRACTION_BITS:
            widened: Residues = (scaled << (FRACTION_BITS - bits)) % PRIME
            return widened
        return await self.truncate(scaled, bits - FRACTION_BITS, bits)

    async def reciprocal(self, b: Residues) -> Residues:
        """1/b for 1/2 ≤ b < 1 (within 2 units), both with FRACTION_BITS bits; within 64 units.

        Goldschmidt (IBM J. Res. Dev. 11, 1967): 1/b = g·(1 + e)·(1 + e²)·(1 + e⁴)·… with e = 1 − g·b. A step's two
        products do not wait for each other: 10 rounds.
        """
        f = FRACTION_BITS
        guess: Residues = (round(RECIPROCAL_START * 2**f) - 2 * b) % PRIME
        error = ((1 << f) - await self.truncate(await self.multiply(guess, b), f, 2 * f + 2)) % PRIME
        for _ in range(RECIPROCAL_STEPS):
            products = await self.multiply(np.concatenate((guess, error)), np.concatenate((error, error)))
            # The first error may be below 0, and only what is not is truncated.
            grown, squared = np.split(await self.truncate(products + (1 << 2 * f), f, 2 * f + 1), 2)
            guess, error = (guess + grown - (1 << f)) % PRIME, (squared - (1 << f)) % PRIME
        return guess

    async def rounded(self, quotient: Residues, significant: Residues) -> tuple[Residues, Residues]:
        """Round halves up to s significant bits: quotient ≈ mantissa · 2^shift, 2^(s−1) ≤ mantissa ≤ 2^s.

        Exact, so that the same quotient always gives the same mantissa and nothing below it leaves. Where a quotient is
        cut depends on its octave, which nobody may know: one addition of what lies under the masks gives what is
        carried over every cut, and bits choose. 16 rounds.

        Args:
            quotient: (n,) integers, ⌊log2⌋ in OCTAVES.
            significant: (n,) s, public, LEAST_SIGNIFICANT_BITS..MOST_SIGNIFICANT_BITS.
        """
        n, k = quotient.size, OCTAVES.stop
        # Lifted, a quotient of a given octave is cut at the same place whatever its s.
        lifted = quotient * 2 ** (significant - LEAST_SIGNIFICANT_BITS) % PRIME
        most = k + MOST_SIGNIFICANT_BITS - LEAST_SIGNIFICANT_BITS
        opened, masks = await self._masked(np.concatenate((quotient, lifted)), most)
        summands = [np.split(values, 2) for values in self._summands(opened, masks, k)]
        planes = [np.stack([planes_of(part[at].tolist(), k) for part in summands]) for at in (0, 1)]
        w = planes[0].shape[2]
        total, wraps = await self._boolean.add(np.concatenate(planes, axis=2), at=CUTS)
        reached = (await self._boolean.reached(total[:, OCTAVES.start:, :w]))[:, 1:]

        # By octave: twice what is carried over the cut, and the bit below it, which rounds.
        carried = np.concatenate(
            (wraps[:, :, w:].reshape(2, len(CUTS), 2, w), total[:, [cut - 1 for cut in CUTS], None, w:]), axis=2,
        )
        change = (carried[:, 1:] ^ carried[:, :-1]).reshape(2, -1, w)
        kept = await self._boolean.conjunction(np.repeat(reached, 3, axis=1), change)
        chosen = carried[:, 0] ^ np.bitwise_xor.reduce(kept.reshape(2, -1, 3, w), axis=1)
        bits = await self.from_bits(np.concatenate((chosen, reached), axis=1), n)
        up, above = bits[:3].sum(axis=0), bits[3:]

        first, second = summands[0][1], summands[1][1]
        cut = np.stack([
            (lifted - self.lift(first & ((1 << low) - 1), second & ((1 << low) - 1))) * pow(2, -low, PRIME)
            for low in CUTS
        ])
        mantissa = await self.reshare(cut[0] + (above * (cut[1:] - cut[:-1])).sum(axis=0))
        return (mantissa + up) % PRIME, (OCTAVES.start + above.sum(axis=0) + 1 - significant) % PRIME
