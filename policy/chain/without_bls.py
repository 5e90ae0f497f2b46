"""Keeps BLS12-381 out of our processes: half a second of processor time at the start of each.

eth_account loads eth_keyfile, which loads py_ecc's pairings to write keystores of validators (EIP-2335), and these
compute when they are imported (https://github.com/ethereum/py_ecc/issues/135). Winnow's keys are of secp256k1, and it
writes no keystores. To be taken out when `tests/unit/chain/test_without_bls.py` says that eth_keyfile does without.
"""

import sys
from types import ModuleType
from typing import Final, NoReturn

CURVE_ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""Of the group (draft-irtf-cfrg-pairing-friendly-curves): eth_keyfile makes a bound of it."""


class _Absent:
    """Stands for the signatures."""

    def __getattr__(self, name: str) -> NoReturn:
        raise NotImplementedError(f"BLS12-381 ({name}) is left out of Winnow's processes: see policy.chain.without_bls")


def keep_out() -> None:
    """Stand in for the modules that eth_keyfile imports, unless they are loaded already."""
    signatures, curve = ModuleType("py_ecc.bls"), ModuleType("py_ecc.bls12_381")
    vars(signatures)["G2ProofOfPossession"], vars(curve)["curve_order"] = _Absent(), CURVE_ORDER
    for module in (signatures, curve):
        sys.modules.setdefault(module.__name__, module)
