"""The contract's own tests (contracts/test), by forge; and tests of these tests: a contract with one fault fails them."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
FORGE = CONTRACTS / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"
FORGE_SECONDS = 240
"""For what takes 10 to 20 seconds on two free cores."""
GAS_TOLERANCE_PERCENT = 2
RUNS_TO_FIND_A_FAULT = "400"
"""More than foundry.toml has: forge stops at the first failure, so that a fault costs no more than it takes to find it; forge's
threads share the seed, so that when it is found differs from time to time."""

FAULTS = {
    "a run is not counted": ("++account.runsUsed;", "", "other runs than counted"),
    "a run that was given up counts on": ("--account.runsUsed;", "", "other runs than counted"),
    "any signature is one": (
        "if (!SignatureChecker.isValidSignatureNow(party, id, signature)) revert SignatureRefused(id, party);", "",
        "another's signature was taken",
    ),
    "runs under whatever agreement": (
        "_attestorBit(id, found, msg.sender);\n        _require(id, found, State.Active);",
        "_attestorBit(id, found, msg.sender);", "authorised without all signatures|authorised when it was not active",
    ),
    "no quota": (
        "if (account.runsUsed >= found.content.runQuota) revert QuotaExhausted(id, found.content.runQuota);", "",
        "over the quota",
    ),
    "a requester without a quota": (
        "if (used >= quota) revert RequesterQuotaExhausted(id, asked.requester, quota);", "", "over a requester's quota",
    ),
    "a budget without an end": ("if (asked.budget > left)", "if (asked.budget > budget)", "over the budget"),
    "a sequence that stands still": ("++account.sequence", "account.sequence + 1", "a sequence number came again"),
    "a suspension that a successor ends": (
        "found.suspended |= _partyBit(id, found, party);", "", "another state|authorised when it was not active",
    ),
    "a revocation that a successor ends": (
        "if (state == State.Revoked) revert AgreementEnded(supersedes, state);", "", "superseded what was revoked",
    ),
    "an attested run is given up": (
        "if (entry.stage != Stage.Authorised) revert RunNotInStage(id, runId, entry.stage);\n        if (entry.sequence",
        "if (entry.sequence", "given up after an attestation|other runs than counted",
    ),
}


def forge(folder, *arguments, **variables):
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    node = Path(build.node_executable()).parent
    environment = {**os.environ, "PATH": f"{node}{os.pathsep}{os.environ['PATH']}", **variables}
    return subprocess.run(
        [FORGE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=FORGE_SECONDS, check=False,
    )


def test_the_contract_passes_its_tests():
    ended = forge(CONTRACTS, "test", "--match-contract", "Fuzz|Invariants")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"\b14 tests passed, 0 failed, 0 skipped", ended.stdout)


def test_every_call_works_and_takes_as_much_gas_as_written_down():
    """`forge snapshot --match-contract 'Agreements|Runs'` in contracts/ writes it down anew."""
    ended = forge(
        CONTRACTS, "snapshot", "--match-contract", "Agreements|Runs", "--check", "--tolerance", str(GAS_TOLERANCE_PERCENT)
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_call_error_and_event_of_the_interface_is_in_a_test():
    interface = (CONTRACTS / "src" / "interfaces" / "IAgreementRegistry.sol").read_text()
    tests = "\n".join(path.read_text() for path in (CONTRACTS / "test").glob("*.t.sol"))
    named = re.findall(r"^    (error|event|function) (\w+)\(", interface, flags=re.MULTILINE)
    assert len(named) > 40
    helpers = {"AgreementNotInState": r"\brefusesState\(", "RunNotInStage": r"\brefusesStage\("}
    pattern = {"error": r"\bR\.{}\.selector", "event": r"\bemit R\.{}\(", "function": r"\b{}\("}
    for kind, name in named:
        assert re.search(helpers.get(name, pattern[kind].format(name)), tests), (kind, name)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A copy in which there is also, of every fault, a contract that has it; compiled once."""
    folder = tmp_path_factory.mktemp("contracts")
    for name in ("src", "test"):
        shutil.copytree(CONTRACTS / name, folder / name)
    for name in ("foundry.toml", "compiler.cjs"):
        shutil.copy(CONTRACTS / name, folder / name)
    (folder / "node_modules").symlink_to(CONTRACTS / "node_modules")
    source = (folder / "src" / "AgreementRegistry.sol").read_text()
    for number, (right, wrong, _) in enumerate(FAULTS.values()):
        assert source.count(right) == 1, right
        (folder / "src" / f"Faulty{number}.sol").write_text(
            source.replace(right, wrong).replace("contract AgreementRegistry is", f"contract Faulty{number} is")
        )
    ended = forge(folder, "build", FOUNDRY_OPTIMIZER="false")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.mark.parametrize("fault", FAULTS)
def test_the_invariants_find(faulty, fault):
    number, words = list(FAULTS).index(fault), FAULTS[fault][2]
    ended = forge(
        faulty, "test", "--match-contract", "Invariants", WINNOW_REGISTRY=f"Faulty{number}.sol:Faulty{number}",
        FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT="0", FOUNDRY_INVARIANT_FAILURE_PERSIST_DIR=str(faulty / f"found-{number}"),
        FOUNDRY_OPTIMIZER="false", FOUNDRY_INVARIANT_RUNS=RUNS_TO_FIND_A_FAULT,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert re.search(rf"\[FAIL: ({words})", ended.stdout), ended.stdout
