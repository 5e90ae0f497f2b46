"""Replicated secret sharing among three nodes: what one node holds of a vector.

A value is the sum modulo 2^64 (`Share`) or the XOR (`Bits`) of three components; node i holds components i
and i+1 mod 3, so any two nodes together know it and no one alone does (Araki, Furukawa, Lindell, Nof, Ohara,
CCS 2016). Sums, differences and public factors are local: no message, no round.

A share may carry a bound, a public number that no value passes in size. It follows from the bounds of what the share
is made of, and lets comparisons work on fewer bits. Nobody can check it on shares: declare it of checked data only.

A public number enters every component alike: c·3⁻¹ in a sum (3 is odd, so it has an inverse modulo 2^64),
c itself in an XOR. So no code here needs to know which node it runs on.

Shapes in this module leave out the leading axis of two components.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Public = int | npt.NDArray[Any]

INVERSE_OF_THREE = pow(3, -1, 2**64)
UNBOUNDED = 2**63
"""The bound of a value of which nothing is known; a sum or product that may pass it is unbounded too."""


def ring(values: object) -> Words:
    """Integers of any sign (a number or an array) as residues modulo 2^64.

    Raises: TypeError for anything else: floats must be scaled to integers before they are shared, and a
    product or an AND of two shares needs messages (`Engine.multiply`, `Engine.and_bits`).
    """
    if isinstance(values, int):
        return np.asarray(values % 2**64, np.uint64)
    if not isinstance(values, np.ndarray | np.generic) or values.dtype.kind not in "biu":
        found = getattr(values, "dtype", type(values).__name__)
        raise TypeError(f"found {found}; expected public integers, as a number or a numpy array")
    return np.asarray(values).astype(np.uint64)


def signed(values: Words) -> npt.NDArray[np.int64]:
    """Residues modulo 2^64 as numbers from −2^63 to 2^63 − 1."""
    return values.view(np.int64)


@dataclass(frozen=True, eq=False)
class _Replicated:
    """(2, *shape) uint64: components i and i+1 at node i."""

    parts: Words

    __array_ufunc__ = None

    def __post_init__(self) -> None:
        if self.parts.dtype != np.uint64 or self.parts.ndim < 1 or self.parts.shape[0] != 2:
            raise TypeError(
                f"components are {self.parts.dtype} {self.parts.shape}; expected uint64 with a first axis of 2",
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.parts.shape[1:]

    @property
    def size(self) -> int:
        return self.parts.size // 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Self:
        rest = index if isinstance(index, tuple) else (index,)
        return self._of(self.parts[(slice(None), *rest)])

    def reshape(self, *shape: int) -> Self:
        return self._of(self.parts.reshape(2, *shape))

    def broadcast_to(self, *shape: int) -> Self:
        """As numpy does: axes of length 1, and missing leading axes, are repeated."""
        missing = len(shape) - len(self.shape)
        spread = self.parts.reshape(2, *(1,) * missing, *self.shape)
        return self._of(np.broadcast_to(spread, (2, *shape)))

    def take(self, positions: npt.NDArray[np.integer[Any]], axis: int = -1) -> Self:
        """Public positions along `axis`."""
        return self._of(np.take(self.parts, positions, axis=_inner(axis)))

    @classmethod
    def stack(cls, items: Sequence[Self], axis: int = 0) -> Self:
        return cls._joined(np.stack([item.parts for item in items], _inner(axis)), items)

    @classmethod
    def concat(cls, items: Sequence[Self], axis: int = 0) -> Self:
        return cls._joined(np.concatenate([item.parts for item in items], _inner(axis)), items)

    def _of(self, parts: Words) -> Self:
        """Other components of the same values, or of some of them."""
        return type(self)(parts)

    @classmethod
    def _joined(cls, parts: Words, items: Sequence[Self]) -> Self:  # noqa: ARG003 - what they were made of
        return cls(parts)


@dataclass(frozen=True, eq=False)
class Share(_Replicated):
    """Additively shared integers modulo 2^64."""

    bound: int = UNBOUNDED
    """|value| ≤ bound, read with signs; UNBOUNDED where nothing is known."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bound < 0:
            raise ValueError(f"a bound of {self.bound}; expected 0 or more")
        if self.bound > UNBOUNDED:
            object.__setattr__(self, "bound", UNBOUNDED)

    def bounded(self, bound: int) -> "Share":
        """The same values, of which it is known that none passes a bound in size."""
        return Share(self.parts, min(bound, self.bound))

    def _of(self, parts: Words) -> "Share":
        return Share(parts, self.bound)

    @classmethod
    def _joined(cls, parts: Words, items: Sequence["Share"]) -> "Share":
        return cls(parts, max((item.bound for item in items), default=0))

    def __add__(self, other: "Share | Public") -> "Share":
        if isinstance(other, Share):
            return Share(_aligned(self, other) + _aligned(other, self), self.bound + other.bound)
        return self + public(other)

    __radd__ = __add__

    def __sub__(self, other: "Share | Public") -> "Share":
        if isinstance(other, Share):
            return Share(_aligned(self, other) - _aligned(other, self), self.bound + other.bound)
        return self - public(other)

    def __rsub__(self, other: Public) -> "Share":
        return public(other) - self

    def __neg__(self) -> "Share":
        return Share(np.negative(self.parts), self.bound)

    def __mul__(self, factor: Public) -> "Share":
        """By a public integer or array; a product of two shares is `Engine.multiply`."""
        factors = ring(factor)
        missing = max(factors.ndim - len(self.shape), 0)
        return Share(self.parts.reshape(2, *(1,) * missing, *self.shape) * factors, self.bound * size_of(factors))

    __rmul__ = __mul__

    def sum(self, axis: int | tuple[int, ...] = -1) -> "Share":
        axes = (axis,) if isinstance(axis, int) else axis
        total = np.asarray(self.parts.sum(axis=tuple(map(_inner, axes)), dtype=np.uint64))
        return Share(total, self.bound * (self.size // max(total.size // 2, 1)))

    def cumsum(self, axis: int = -1) -> "Share":
        return Share(np.cumsum(self.parts, axis=_inner(axis), dtype=np.uint64), self.bound * self.shape[axis])


class Bits(_Replicated):
    """XOR-shared 64-bit words."""

    def __xor__(self, other: "Bits | Public") -> "Bits":
        if isinstance(other, Bits):
            return Bits(_aligned(self, other) ^ _aligned(other, self))
        return self ^ public_bits(other)

    __rxor__ = __xor__

    def __and__(self, mask: Public) -> "Bits":
        """With a public mask; the AND of two shared words is `Engine.and_bits`."""
        return Bits(self.parts & ring(mask))

    __rand__ = __and__

    def __lshift__(self, places: int) -> "Bits":
        """0 ≤ places ≤ 63."""
        return Bits(self.parts << np.uint64(places))

    def __rshift__(self, places: int) -> "Bits":
        """0 ≤ places ≤ 63."""
        return Bits(self.parts >> np.uint64(places))

    def __invert__(self) -> "Bits":
        return Bits(~self.parts)


def public(values: Public) -> Share:
    """A public number as a share that every node computes by itself."""
    whole = ring(values)
    component = whole * np.uint64(INVERSE_OF_THREE)
    return Share(np.broadcast_to(component, (2, *component.shape)), size_of(whole))


def public_bits(values: Public) -> Bits:
    """Public words as a share that every node computes by itself."""
    component = ring(values)
    return Bits(np.broadcast_to(component, (2, *component.shape)))


def size_of(values: Words) -> int:
    """The largest |value|, read with signs; 0 of none."""
    read = signed(values)
    return max(int(read.max(initial=0)), -int(read.min(initial=0)))


def _inner(axis: int) -> int:
    return axis + 1 if axis >= 0 else axis


def _aligned(item: _Replicated, other: _Replicated) -> Words:
    """`item`'s components with axes of length 1 after the first, so that numpy broadcasts the rest."""
    missing = len(other.shape) - len(item.shape)
    return item.parts.reshape(2, *(1,) * missing, *item.shape) if missing > 0 else item.parts
