"""Environments for contenders that cannot share ours, because they want other versions of what we use.

Made by pip in a cache folder at first use, every version pinned, built packages only.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SECONDS = 900.0


class Foreign(NamedTuple):
    """A contender's environment."""

    name: str
    python: str
    """The one minor version that all its packages are built for, such as 3.11."""
    pins: Sequence[str]


SPU = Foreign("spu", "3.11", (
    "cachetools==8.0.2", "cloudpickle==3.1.3", "dill==0.4.1", "jax==0.4.34", "jaxlib==0.4.34", "ml_dtypes==0.5.4",
    "multiprocess==0.70.19", "numpy==1.26.4", "opt_einsum==3.4.0", "scipy==1.17.1", "spu==0.9.5", "termcolor==3.3.0",
))
TNO = Foreign("tno", "3.11", (
    "aiohappyeyeballs==2.7.1", "aiohttp==3.14.5", "aiosignal==1.4.0", "attrs==26.1.0", "bitarray==3.12.3",
    "frozenlist==1.8.0", "gmpy2==2.3.2", "idna==3.20", "mpmath==1.3.0", "multidict==7.2.1", "mypy_extensions==1.2.0",
    "numpy==1.26.4", "ormsgpack==1.13.1", "packaging==26.4", "propcache==0.5.4", "randomgen==2.5.1", "sympy==1.14.0",
    "tenacity==9.2.1", "tno.mpc.communication==4.12.0", "tno.mpc.encryption_schemes.paillier==3.2.0",
    "tno.mpc.encryption_schemes.templates==4.2.1", "tno.mpc.encryption_schemes.utils==0.15.0",
    "tno.mpc.protocols.secure_inner_join==2.0.2", "typing_extensions==4.16.0", "yarl==1.25.1",
))


def folder(foreign: Foreign) -> Path:
    """Where its environment is or will be: in the user's cache folder (XDG_CACHE_HOME, otherwise ~/.cache)."""
    digest = hashlib.sha256("\n".join((foreign.python, *foreign.pins)).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "winnow-benchmarks" / f"{foreign.name}-{digest}"


def interpreter(foreign: Foreign) -> str | None:
    """The Python of its environment, which is made if it is not there; None, and why on stderr, if it cannot be."""
    place = folder(foreign)
    python, complete = place / "bin" / "python", place / "complete"
    if complete.exists():
        return str(python)
    base = shutil.which(f"python{foreign.python}")
    if base is None:
        _left_out(foreign, f"it needs Python {foreign.python}, of which there is none on the PATH")
        return None
    sys.stderr.write(f"{foreign.name}: making its environment in {place}\n")
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", *foreign.pins]
    try:
        for command in ([base, "-m", "venv", "--clear", str(place)], install):
            subprocess.run(command, check=True, timeout=SECONDS, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        _left_out(foreign, lines[-1] if lines else f"{error.cmd[0]} ended with {error.returncode}")
    except (OSError, subprocess.TimeoutExpired) as error:
        _left_out(foreign, str(error))
    else:
        complete.touch()
        return str(python)
    return None


def _left_out(foreign: Foreign, why: str) -> None:
    sys.stderr.write(f"{foreign.name}: left out: {why}\n")
