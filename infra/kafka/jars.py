"""Apache Kafka's jars: fetched once by Maven, as pom.xml beside this file pins them.

`python -m infra.kafka.jars` fetches them ahead; starting a cluster fetches them when they are missing.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from infra.local.errors import LocalError
from infra.local.prerequisites import MINIMUM_JAVA, lacking_java

FETCH_SECONDS = 600.0
"""About 45 MB, on a slow line."""

_HERE = Path(__file__).parent
_POM = _HERE / "pom.xml"
_FOLDER = _HERE / "lib"
_STAMP = _FOLDER / ".pom-sha256"


def java() -> str:
    """Path of a Java that runs Kafka.

    Raises:
        LocalError: there is none, or it is too old; says what to install.
    """
    found = shutil.which("java")
    package = lacking_java()
    if found is None or package:
        is_there = f"{found} is older" if found else "there is no `java`"
        raise LocalError(f"Apache Kafka needs Java {MINIMUM_JAVA} or newer, and {is_there}. {_mend(package)}")
    return found


def jars() -> Path:
    """Folder with the jars that pom.xml asks for; fetched when missing or when pom.xml has changed.

    Raises:
        LocalError: no Maven, or it could not fetch them; says what to do.
    """
    wanted = hashlib.sha256(_POM.read_bytes()).hexdigest()
    if _fetched() == wanted:
        return _FOLDER
    with (_HERE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _fetched() != wanted:
            shutil.rmtree(_FOLDER, ignore_errors=True)
            _FOLDER.mkdir()
            _fetch()
            _STAMP.write_text(wanted, encoding="ascii")
    return _FOLDER


def _fetched() -> str:
    try:
        return _STAMP.read_text(encoding="ascii")
    except OSError:
        return ""


def _fetch() -> None:
    """Run Maven; with its own session, since it is a shell script that starts Java."""
    maven = shutil.which("mvn")
    if maven is None:
        raise LocalError(f"Apache Kafka's jars are fetched by Maven, and there is no `mvn`. {_mend('maven')}")
    command = [
        maven, "--batch-mode", "--quiet", "--strict-checksums", "--file", str(_POM), "dependency:copy-dependencies",
        f"-DoutputDirectory={_FOLDER}",
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=FETCH_SECONDS)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise LocalError(
                f"Maven did not fetch Kafka's jars within {FETCH_SECONDS:g} s; check the network"
            ) from error
        raise
    if process.returncode or not list(_FOLDER.glob("kafka_*.jar")):
        last = "\n".join(said.splitlines()[-8:])
        raise LocalError(
            f"Maven could not fetch Kafka's jars (exit {process.returncode}). Check the network and "
            f"Maven's settings, then run `make kafka`. It said:\n{last}"
        )


def _mend(package: str) -> str:
    return f"Install it: sudo apt-get install -y {package}"


if __name__ == "__main__":
    try:
        java()
        jars()
    except LocalError as problem:
        sys.exit(str(problem))
