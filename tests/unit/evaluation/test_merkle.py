"""Merkle roots against the test vectors of RFC 6962's reference implementation, and its definition."""

import hashlib

import pytest

from evaluation.merkle import merkle_root

LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("size", ROOTS)
def test_known_roots(size):
    assert merkle_root([bytes.fromhex(leaf) for leaf in LEAVES[:size]]).hex() == ROOTS[size]


def test_a_leaf_is_not_a_node():
    left, right = b"a" * 32, b"b" * 32
    inner = hashlib.sha256(b"\0" + left).digest() + hashlib.sha256(b"\0" + right).digest()
    assert merkle_root([left, right]) != merkle_root([inner])


def test_no_leaves_is_an_error():
    with pytest.raises(ValueError, match="at least one leaf"):
        merkle_root([])
