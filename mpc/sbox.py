"""The AES S-box as circuits for shares, without its constant 0x63.

`NARROW` is the circuit of Boyar and Peralta, "A small depth-16 circuit for the AES S-box" (SEC 2012): 34 AND gates in
four layers. (Theirs of 2010 has two gates less in two layers more.) What is shared anew is not every AND gate but the
sums that later layers and the output need: each node adds its thirds of products locally, so 19 bits travel instead of
34.

`SHALLOW` has three layers. In theirs, the first one makes elements a, b and e of GF(2^4), the two in the middle the
inverse d of e, and the last multiplies a and b by it. Since d = e^14 = e^2 * e^12, here a and b are multiplied by e^2,
whose bits are sums of those of e, while e^12 is worked out, and then by that: 50 AND gates, and 24 bits travel.

The four NOT gates are left out: they add 0x63 to every byte, which the round keys of `mpc.aes` absorb.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mpc.boolean import Gate, SharedSums

_FIRST = """
b02=x0+x3 b13=x0+x5 b01=x0+x6 b=x3+x5 t5=x4+x6 a23=b02+t5 t7=x1+x2 a3=x7+a23 a1=x7+t7 a13=a23+t7 t11=x1+x5 t12=x2+x5
b23=b01+b t14=a23+t11 a02=t5+t11 a01=t5+t12 a0=a1+a01 t18=x3+x7 b2=t7+t18 b0=b02+b2 t21=x6+x7 b1=t7+t21
b3=b13+b1 t24=b13+a13 t25=b0+a0 t26=b01+a01 a=b02+t12
: m1=b23*a23 m2=b3*a3 m3=t14+m1 m4=b2*a2 m5=m4+m1 m6=b01*a01 m7=b1*a1 m8=t26+m6 m9=b0*a0 m10=m9+m6 m11=b02*a02
m12=b*a m13=m12+m11 m14=b13*a13 m15=m14+m11 m16=m3+m2 m17=m5+t24 m18=m8+m7 m19=m10+m15
: e3=m16+m13 e2=m17+m15 e1=m18+m13 e0=m19+t25
"""
"""+ is XOR, * is AND; x0 and s0 are the most significant bits. Of each layer: sums of what is shared; what each node
works out by itself; what is shared then. Elements of GF(2^4) are a letter each, all in one basis: a01 is the sum of the
bits a0 and a1, and a that of all four."""
_INVERSE = (
    """
e01=e1+e0 e23=e3+e2
:
: m25=e1*e3 m31=e3*e0 m34=e2*e1
""",
    """
m26=e2+m25 m28=e0+m25 m33=e23+m25 m36=e01+m25
: m29=m28*e23 m30=m26*e01 m32=e23*m31 m35=e01*m34
: d0=e2+m29 d1=m32+m33 d2=e0+m30 d3=m35+m36
""",
)
"""d = 1/e."""
_BY_SQUARE = """
e01=e0+e1 e23=e2+e3 f0=e0+e23 f1=e01+e3 f2=e01+e2 f3=e1+e23 f01=e1+e2 f23=e0+e3 f02=e1+e3 f13=e0+e2 f=e01+e23
: n1=e2*e3 n2=e0*e1 n3=e01*e23 n4=e1*e2 n5=e0*e3 n6=n4+n5 n7=n1+n6 n8=n2+n6 n9=n1+n2 n10=n9+n3 n11=n10+n5 n12=n10+n4
q1=a0*f0 q2=a1*f1 q3=a2*f2 q4=a3*f3 q5=a01*f01 q6=a23*f23 q7=a02*f02 q8=a13*f13 q9=a*f
q10=q7+q8 q11=q9+q7 q12=q5+q1 q13=q5+q2 q14=q6+q3 q15=q6+q4
r1=b0*f0 r2=b1*f1 r3=b2*f2 r4=b3*f3 r5=b01*f01 r6=b23*f23 r7=b02*f02 r8=b13*f13 r9=b*f
r10=r7+r8 r11=r9+r7 r12=r5+r1 r13=r5+r2 r14=r6+r3 r15=r6+r4
: h0=n7+e23 h1=n11+f h2=n8+e01 h3=n12+f c0=q12+q10 c1=q13+q11 c2=q14+q10 c3=q15+q11
g0=r12+r10 g1=r13+r11 g2=r14+r10 g3=r15+r11
"""
"""f = e^2, c = a * f, g = b * f, h = e^12."""
_SUMS = """
c01=c0+c1 c23=c2+c3 c02=c0+c2 c13=c1+c3 c=c01+c23 g01=g0+g1 g23=g2+g3 g02=g0+g2 g13=g1+g3 g=g01+g23
"""
_LAST = """
d13=d1+d3 d02=d0+d2 d01=d0+d1 d23=d2+d3 d=d02+d13
: m46=d23*a23 m47=d3*a3 m48=d2*a2 m49=d01*a01 m50=d1*a1 m51=d0*a0 m52=d02*a02 m53=d*a m54=d13*a13
m55=d23*b23 m56=d3*b3 m57=d2*b2 m58=d01*b01 m59=d1*b1 m60=d0*b0 m61=d02*b02 m62=d*b m63=d13*b13 l0=m61+m62
l1=m50+m56 l2=m46+m48 l3=m47+m55 l4=m54+m58 l5=m49+m61 l6=m62+l5 l7=m46+l3 l8=m51+m59 l9=m52+m53 l10=m53+l4
l11=m60+l2 l12=m48+m51 l13=m50+l0 l14=m52+m61 l15=m55+l1 l16=m56+l0 l17=m57+l1 l18=m58+l8 l19=m63+l4 l20=l0+l1
l21=l1+l7 l22=l3+l12 l23=l18+l2 l24=l15+l9 l25=l6+l10 l26=l7+l9 l27=l8+l10 l28=l11+l14 l29=l11+l17
: s0=l6+l24 s1=l16+l26 s2=l19+l28 s3=l6+l21 s4=l20+l22 s5=l25+l29 s6=l13+l27 s7=l6+l23
"""
"""Of a * d and b * d."""


class Layer(NamedTuple):
    """Wires are numbered: the eight inputs first, the eight outputs last."""

    sums: list[tuple[int, int, int]]
    """(output, left, right): XOR gates on shared wires."""
    shared: SharedSums
    """Products and their sums, that become wires."""


class Circuit(NamedTuple):
    """Layers to be evaluated one after another."""

    layers: tuple[Layer, ...]
    wires: int
    digest: bytes
    """32 bytes; equal circuits have equal ones."""


def _gates(text: str) -> Iterator[Gate[str]]:
    for gate in text.split():
        out, formula = gate.split("=")
        product = "*" in formula
        left, right = formula.split("*" if product else "+")
        yield Gate(out, left, right, product)


def _compiled(texts: Sequence[str]) -> Circuit:
    wires = {f"x{i}": i for i in range(8)} | {"a2": 7}
    layers = []
    for text in texts:
        linear, local, shared = (list(_gates(part)) for part in text.split(":"))
        for gate in linear:
            wires[gate.out] = len(wires)
        sums = [(wires[gate.out], wires[gate.left], wires[gate.right]) for gate in linear]
        into = slice(len(wires), len(wires) + len(shared))
        layers.append(Layer(sums, _placed(wires, local, shared, into)))
        wires |= {gate.out: into.start + place for place, gate in enumerate(shared)}
    return Circuit(tuple(layers), len(wires), hashlib.sha256(repr(layers).encode()).digest())


def _placed(
    wires: Mapping[str, int], local: Sequence[Gate[str]], shared: Sequence[Gate[str]], into: slice,
) -> SharedSums:
    """Gates in an order and in places such that few values are held at once."""
    by_name = {gate.out: gate for gate in local}
    order: list[Gate[str]] = []
    known = set(wires)

    def need(gate: Gate[str]) -> None:
        for name in (gate.left, gate.right):
            if name not in known:
                need(by_name[name])
        known.add(gate.out)
        order.append(gate)

    for gate in shared:
        need(gate)
    last = {name: at for at, gate in enumerate(order) for name in (gate.left, gate.right)}
    places: dict[str, int] = {}
    free: list[int] = []
    room = 0
    for at, gate in enumerate(order):
        if gate in shared:
            places[gate.out] = -1 - shared.index(gate)
        elif free:
            places[gate.out] = free.pop()
        else:
            places[gate.out], room = room, room + 1
        used = dict.fromkeys((gate.left, gate.right))  # in an order that is the same in all processes
        free += [places[name] for name in used if name in places and last[name] == at]
    places = {name: place if place >= 0 else room - 1 - place for name, place in places.items()}
    numbers = dict(wires) | {name: len(wires) + place for name, place in places.items()}
    return SharedSums(
        tuple(Gate(places[g.out], numbers[g.left], numbers[g.right], g.product) for g in order), room, into,
    )


def _with(text: str, **elements: str) -> str:
    """Gates for other elements of GF(2^4)."""
    return re.sub(r"\b[a-h](?=\d*\b)", lambda name: elements.get(name[0], name[0]), text)


NARROW = _compiled((_FIRST, *_INVERSE, _LAST))
"""Least traffic and work: four rounds, 19 bits a byte, 34 ANDs."""
SHALLOW = _compiled((_FIRST, _BY_SQUARE, _SUMS + _with(_LAST, a="c", b="g", d="h")))
"""Least waiting: three rounds, 24 bits a byte, 50 ANDs."""
