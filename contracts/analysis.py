"""Have slither look at the registry; exit 1 for a finding above informational that answers.json does not answer.

    python contracts/analysis.py

slither wants an older web3 than ours, so it has an environment of its own in the user's cache folder, made by pip at
first use. forge and the compiler come from `npm ci` in this folder.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from build import HERE, BuildError, node_executable

from benchmarks.foreign import Foreign, interpreter

SLITHER = Foreign("slither", "3.11", (
    "aiohappyeyeballs==2.7.1", "aiohttp==3.14.5", "aiosignal==1.4.0", "annotated-types==0.8.0", "attrs==26.1.0",
    "bitarray==3.12.3", "cbor2==6.3.0", "certifi==2026.10.19.post1", "ckzg==2.1.8", "crytic-compile==0.4.2",
    "cytoolz==1.2.0", "eth-account==0.14.0", "eth-hash==0.8.0", "eth-keyfile==0.10.0", "eth-keys==0.8.0",
    "eth-rlp==3.0.0", "eth-typing==6.0.0", "eth-utils==6.0.0", "eth_abi==6.0.0", "frozenlist==1.8.0", "hexbytes==2.0.0",
    "idna==3.20", "multidict==7.2.1", "packaging==26.4", "parsimonious==0.10.0", "prettytable==3.18.0",
    "propcache==0.5.4", "py-ecc==8.0.0", "pycryptodome==3.24.1", "pydantic==2.14.4", "pydantic_core==2.50.5",
    "pyunormalize==18.0.0", "regex==2026.11.19", "requests==2.34.2", "rlp==5.0.0", "slither-analyzer==0.11.6",
    "solc-select==1.2.0", "toolz==1.2.0", "types-requests==2.33.0.20261030", "typing-inspection==0.4.5",
    "typing_extensions==4.16.0", "urllib3==2.8.0", "charset-normalizer==3.5.3", "wcwidth==0.9.4", "web3==7.16.0",
    "websockets==15.0.1", "yarl==1.25.1",
))
FORGE = HERE / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin"
LOOKED_AT = {"High", "Medium", "Low"}
SECONDS = 300.0


def unanswered(findings: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, str]]) -> list[str]:
    """Findings above informational that no answer is for, and answers to nothing; each as a line.

    An answer is for a check, or "*", in the files whose path begins with `where`. A finding is where its first element
    is: that is what it is about.
    """
    left, used = [], set()
    for finding in findings:
        if finding["impact"] not in LOOKED_AT:
            continue
        path = finding["elements"][0]["source_mapping"]["filename_relative"] if finding["elements"] else ""
        answer = next(
            (i for i, a in enumerate(answers) if path.startswith(a["where"]) and a["check"] in {"*", finding["check"]}),
            None,
        )
        if answer is None:
            left.append(f"{finding['impact']}: {finding['check']}: {' '.join(finding['description'].split())}")
        used.add(answer)
    left += [f"answers nothing: {a['check']} in {a['where']}" for i, a in enumerate(answers) if i not in used]
    return left


def findings(python: str) -> list[dict[str, Any]]:
    """What slither finds in the sources and what they import.

    Raises:
        BuildError: forge or slither failed.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-analysis-") as made:
        folder = Path(made)
        shutil.copytree(HERE / "src", folder / "src")
        for name in ("foundry.toml", "compiler.cjs"):
            shutil.copy(HERE / name, folder / name)
        (folder / "node_modules").symlink_to(HERE / "node_modules")
        paths = [str(Path(node_executable()).parent), str(FORGE), os.environ["PATH"]]
        environment = {**os.environ, "PATH": os.pathsep.join(paths), "FOUNDRY_OPTIMIZER": "false"}
        found = folder / "found.json"
        for command, ends in (
            ([str(FORGE / "forge"), "build", "--build-info"], {0}),
            ([str(Path(python).parent / "slither"), ".", "--ignore-compile", "--json", str(found)], {0, 255}),
        ):
            ended = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
            )
            if ended.returncode not in ends:
                raise BuildError(f"{command[0]} ended with {ended.returncode}: {(ended.stdout + ended.stderr)[-2000:]}")
        if not found.is_file():
            raise BuildError(f"slither wrote nothing: {(ended.stdout + ended.stderr)[-2000:]}")
        answer = json.loads(found.read_text(encoding="utf-8"))
    if not answer["success"]:
        raise BuildError(f"slither failed: {answer['error']}")
    return list(answer["results"].get("detectors", []))


def main() -> int:
    """Return the exit code."""
    python = interpreter(SLITHER)
    if python is None:
        return 1
    try:
        found = findings(python)
    except (BuildError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    left = unanswered(found, json.loads((HERE / "answers.json").read_text(encoding="utf-8")))
    for line in left:
        print(line, file=sys.stderr)
    looked_at = sum(finding["impact"] in LOOKED_AT for finding in found)
    print(f"{looked_at} findings above informational, {len(left)} not answered")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
