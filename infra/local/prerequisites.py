"""Check what the machine must have before `make setup`; standard library only, since nothing is installed yet.

    python3 prerequisites.py [--for-tests] [--packages]

Prints one apt line that mends everything that is missing and exits with 1; `--packages` prints the names alone.
"""

import importlib.util
import re
import shutil
import subprocess
import sys

MINIMUM_PYTHON = (3, 11)
MINIMUM_JAVA = 17
"""Brokers of Apache Kafka 4 need it (KIP-1013)."""


def missing_packages(for_tests: bool) -> list[str]:
    """Debian packages that provide what is missing here."""
    wanted = {
        "git": shutil.which("git"),
        "make": shutil.which("make"),
        "python3-venv": importlib.util.find_spec("ensurepip"),
    }
    if for_tests:
        wanted["chromium"] = shutil.which("chromium") or shutil.which("chromium-browser")
        wanted["maven"] = shutil.which("mvn")
        if package := lacking_java():
            wanted[package] = None
    return [package for package, found in wanted.items() if not found]


def lacking_java() -> str:
    """Debian package that brings a Java new enough for Apache Kafka; empty if one is there."""
    found = shutil.which("java")
    if found is None:
        return "default-jre-headless"
    try:
        said = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    match = re.search(r'version "(\d+)', said)
    return "" if match and int(match[1]) >= MINIMUM_JAVA else f"openjdk-{MINIMUM_JAVA}-jre-headless"


def main() -> int:
    """Return the exit code."""
    if sys.version_info < MINIMUM_PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        sys.stderr.write(f"Python {found} found, 3.11 or newer needed: apt-get install python3.11 python3.11-venv\n")
        return 1
    missing = missing_packages("--for-tests" in sys.argv)
    if "--packages" in sys.argv:
        sys.stdout.write(" ".join(missing) + "\n")
        return 0
    if missing:
        sys.stderr.write(f"Missing on this machine: {', '.join(missing)}. Install with:\n")
        sys.stderr.write(f"  sudo apt-get install -y {' '.join(missing)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
