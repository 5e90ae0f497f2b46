"""The AES S-box as a circuit for shares, without its constant 0x63.

The circuit is that of Boyar and Peralta, "A small depth-16 circuit for the AES S-box" (SEC 2012): 34 AND gates in four
layers. (Theirs of 2010 has two gates less in two layers more.) What is shared anew is not every AND gate but the sums
that later layers and the output need: each node adds its thirds of products locally, so 19 bits travel instead of 34.
Its four NOT gates are left out: they add 0x63 to every byte, which the round keys of `mpc.aes` absorb.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mpc.boolean import Gate, SharedSums

_LAYERS = (
    """
    t1=x0+x3 t2=x0+x5 t3=x0+x6 t4=x3+x5 t5=x4+x6 t6=t1+t5 t7=x1+x2 t8=x7+t6 t9=x7+t7 t10=t6+t7 t11=x1+x5 t12=x2+x5
    t13=t3+t4 t14=t6+t11 t15=t5+t11 t16=t5+t12 t17=t9+t16 t18=x3+x7 t19=t7+t18 t20=t1+t19 t21=x6+x7 t22=t7+t21
    t23=t2+t22 t24=t2+t10 t25=t20+t17 t26=t3+t16 t27=t1+t12
    : m1=t13*t6 m2=t23*t8 m3=t14+m1 m4=t19*x7 m5=m4+m1 m6=t3*t16 m7=t22*t9 m8=t26+m6 m9=t20*t17 m10=m9+m6 m11=t1*t15
    m12=t4*t27 m13=m12+m11 m14=t2*t10 m15=m14+m11 m16=m3+m2 m17=m5+t24 m18=m8+m7 m19=m10+m15
    : m20=m16+m13 m21=m17+m15 m22=m18+m13 m23=m19+t25
    """,
    """
    m24=m22+m23 m27=m20+m21
    :
    : m25=m22*m20 m31=m20*m23 m34=m21*m22
    """,
    """
    m26=m21+m25 m28=m23+m25 m33=m27+m25 m36=m24+m25
    : m29=m28*m27 m30=m26*m24 m32=m27*m31 m35=m24*m34
    : m37=m21+m29 m38=m32+m33 m39=m23+m30 m40=m35+m36
    """,
    """
    m41=m38+m40 m42=m37+m39 m43=m37+m38 m44=m39+m40 m45=m42+m41
    : m46=m44*t6 m47=m40*t8 m48=m39*x7 m49=m43*t16 m50=m38*t9 m51=m37*t17 m52=m42*t15 m53=m45*t27 m54=m41*t10
    m55=m44*t13 m56=m40*t23 m57=m39*t19 m58=m43*t3 m59=m38*t22 m60=m37*t20 m61=m42*t1 m62=m45*t4 m63=m41*t2 l0=m61+m62
    l1=m50+m56 l2=m46+m48 l3=m47+m55 l4=m54+m58 l5=m49+m61 l6=m62+l5 l7=m46+l3 l8=m51+m59 l9=m52+m53 l10=m53+l4
    l11=m60+l2 l12=m48+m51 l13=m50+l0 l14=m52+m61 l15=m55+l1 l16=m56+l0 l17=m57+l1 l18=m58+l8 l19=m63+l4 l20=l0+l1
    l21=l1+l7 l22=l3+l12 l23=l18+l2 l24=l15+l9 l25=l6+l10 l26=l7+l9 l27=l8+l10 l28=l11+l14 l29=l11+l17
    : s0=l6+l24 s1=l16+l26 s2=l19+l28 s3=l6+l21 s4=l20+l22 s5=l25+l29 s6=l13+l27 s7=l6+l23
    """,
)
"""+ is XOR, * is AND; x0 and s0 are the most significant bits. Of each layer: sums of what is shared; what each node
works out by itself; what is shared then."""


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
    wires = {f"x{i}": i for i in range(8)}
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


SBOX = _compiled(_LAYERS)
