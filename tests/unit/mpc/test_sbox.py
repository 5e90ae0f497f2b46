"""The circuit of the S-box, evaluated in the clear; `test_aes` compares the cipher."""

import os
import subprocess
import sys

import pytest

from mpc.sbox import NARROW, SHALLOW

both = pytest.mark.parametrize("circuit", [NARROW, SHALLOW], ids=["narrow", "shallow"])


def substituted(circuit, value):
    """One byte through the circuit."""
    wires = [value >> (7 - bit) & 1 for bit in range(8)] + [None] * (circuit.wires - 8)
    for sums, shared in circuit.layers:
        for out, left, right in sums:
            wires[out] = wires[left] ^ wires[right]
        first = shared.into.start
        values = wires[:first] + [None] * (shared.room + shared.into.stop - first)
        for out, left, right, product in shared.gates:
            found = wires[left] & wires[right] if product else values[left] ^ values[right]
            values[first + out] = found
        wires[shared.into] = values[first + shared.room :]
    return sum(bit << (7 - place) for place, bit in enumerate(wires[-8:]))


@both
def test_it_is_the_s_box_without_its_constant(circuit):
    """FIPS 197, 5.1.1: the inverse in GF(2^8), and a sum of its turns."""
    def times(a, b):
        product = 0
        for bit in range(8):
            product ^= (b >> bit & 1) * (a << bit)
        for bit in range(14, 7, -1):
            product ^= (product >> bit & 1) * (0x11B << (bit - 8))
        return product

    for value in range(256):
        inverse = next((x for x in range(256) if times(value, x) == 1), 0)
        turned = [inverse << turn | inverse >> (8 - turn) for turn in range(5)]
        assert substituted(circuit, value) == (turned[0] ^ turned[1] ^ turned[2] ^ turned[3] ^ turned[4]) & 0xFF


@pytest.mark.parametrize(("circuit", "products", "shared"), [
    (NARROW, [9, 3, 4, 18], [4, 3, 4, 8]), (SHALLOW, [9, 23, 18], [4, 12, 8]),
], ids=["narrow", "shallow"])
def test_what_its_layers_cost(circuit, products, shared):
    """AND gates, of which Boyar and Peralta have 34; and bits that travel."""
    assert [sum(gate.product for gate in layer.shared.gates) for layer in circuit.layers] == products
    assert [layer.shared.into.stop - layer.shared.into.start for layer in circuit.layers] == shared


def test_every_process_has_the_same_circuits():
    """Nodes compare what they do, gate by gate."""
    def circuits(seed):
        return subprocess.run(
            [sys.executable, "-c", "from mpc.sbox import NARROW, SHALLOW; print(NARROW, SHALLOW)"],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True, timeout=60,
        ).stdout

    assert circuits("1") == circuits("2") == f"{NARROW} {SHALLOW}\n"
