"""The circuit of the S-box, evaluated in the clear; `test_aes` compares the cipher."""

import os
import subprocess
import sys

from mpc.sbox import SBOX


def substituted(value):
    """One byte through the circuit."""
    wires = [value >> (7 - bit) & 1 for bit in range(8)] + [None] * (SBOX.wires - 8)
    for sums, shared in SBOX.layers:
        for out, left, right in sums:
            wires[out] = wires[left] ^ wires[right]
        first = shared.into.start
        values = wires[:first] + [None] * (shared.room + shared.into.stop - first)
        for out, left, right, product in shared.gates:
            found = wires[left] & wires[right] if product else values[left] ^ values[right]
            values[first + out] = found
        wires[shared.into] = values[first + shared.room :]
    return sum(bit << (7 - place) for place, bit in enumerate(wires[-8:]))


def test_it_is_the_s_box_without_its_constant():
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
        assert substituted(value) == (turned[0] ^ turned[1] ^ turned[2] ^ turned[3] ^ turned[4]) & 0xFF


def test_it_has_34_and_gates_in_four_layers_and_shares_19_bits():
    """What makes it the one of Boyar and Peralta, and what it costs."""
    assert [sum(gate.product for gate in shared.gates) for _, shared in SBOX.layers] == [9, 3, 4, 18]
    assert [shared.into.stop - shared.into.start for _, shared in SBOX.layers] == [4, 3, 4, 8]


def test_every_process_has_the_same_circuit():
    """Nodes compare what they do, gate by gate."""
    def circuit(seed):
        return subprocess.run(
            [sys.executable, "-c", "from mpc.sbox import SBOX; print(SBOX)"], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, check=True, text=True, timeout=60,
        ).stdout

    assert circuit("1") == circuit("2") == f"{SBOX}\n"
