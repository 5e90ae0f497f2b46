"""What eth_keyfile loads for validators' keys stays out, and nothing else changes."""

import subprocess
import sys

import pytest

from policy.chain.without_bls import CURVE_ORDER

ASKED = "import sys; sys.exit(0 if any(name.startswith('py_ecc.optimized_bls') for name in sys.modules) else 3)"


def loads_bls(code):
    """Whether a process that runs `code` has loaded the pairings."""
    ended = subprocess.run([sys.executable, "-c", f"{code}; {ASKED}"], check=False, timeout=60, capture_output=True, text=True)
    assert ended.returncode in {0, 3}, ended.stderr
    return ended.returncode == 0


@pytest.mark.parametrize("module", ["signing", "keystore", "registry", "deployment"])
def test_our_processes_do_not_load_it(module):
    assert not loads_bls(f"import policy.chain.{module}")


def test_the_library_alone_does():
    """Once this fails, policy/chain/without_bls.py has nothing left to do: take it out."""
    assert loads_bls("import eth_account")


def test_what_somebody_loaded_before_stays():
    assert loads_bls("import py_ecc.bls, policy.chain.signing")


def test_the_bound_is_the_curves_own():
    code = f"import sys; from py_ecc.bls12_381 import curve_order; sys.exit(curve_order != {CURVE_ORDER})"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_keystore_of_a_validator_is_told_apart():
    code = (
        "import policy.chain, eth_keyfile\n"
        "try: eth_keyfile.create_keyfile_json(bytes(31) + b'1', b'word', version=4)\n"
        "except NotImplementedError as error: assert 'policy.chain.without_bls' in str(error)\n"
        "else: raise SystemExit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
