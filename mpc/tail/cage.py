"""The cage around MPyC 0.11: imported once, here, without its side effects and without pickle.

Importing `mpyc.runtime` reads our sys.argv, configures logging, sets environment variables, may set an event loop
policy and makes a runtime on the current loop; and it unpickles what peers send. `docs/adr/0006-mpyc-caged.md`.
"""

import asyncio
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from mpc.errors import ProtocolError
from mpc.tail.field import PRIME, Residues, decode, encode

VERSION = "0.11"
"""The patched names belong to this version."""
PATCHED = ("sectypes", "asyncoro", "mpctools", "seclists", "secpols", "secgroups", "random", "statistics")
"""Modules of MPyC that hold the process-wide runtime in a global."""


class Host(Protocol):
    """What runs a session: the patched names find theirs through CURRENT."""

    runtime: Any

    def spawn(self, coroutine: Any) -> "asyncio.Task[Any]": ...
    def stop(self, error: BaseException) -> None: ...


CURRENT: ContextVar[Host] = ContextVar("mpc.tail session")


class Codec:
    """Stands where `mpyc.runtime` had the module `pickle`: flat arrays of residues and nothing else."""

    @staticmethod
    def dumps(values: object) -> bytes:
        if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype != object:
            raise ProtocolError(f"only flat arrays of residues leave a session, not {type(values).__name__}")
        return encode(values)

    @staticmethod
    def loads(payload: bytes) -> Residues:
        return decode(payload)


class _CurrentRuntime:
    """The global `runtime` of MPyC's modules: that of whichever session runs."""

    def __getattr__(self, name: str) -> Any:
        return getattr(CURRENT.get().runtime, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(CURRENT.get().runtime, name, value)


class _NoLoop:
    """The event loop on which MPyC makes the runtime that nobody uses."""

    def set_exception_handler(self, handler: object) -> None:
        pass


@contextmanager
def _untouched() -> Iterator[None]:
    """Put back what importing MPyC changes."""
    root = logging.getLogger()
    handlers, level, argv, environment = root.handlers[:], root.level, sys.argv, dict(os.environ)
    get_loop: Callable[..., Any] = asyncio.get_event_loop
    sys.argv = ["winnow", "--no-log", "--no-uvloop"]
    asyncio.get_event_loop = _NoLoop  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "numpy.core is deprecated", DeprecationWarning)
            yield
    finally:
        asyncio.get_event_loop = get_loop
        sys.argv = argv
        root.handlers[:] = handlers
        root.setLevel(level)
        os.environ.clear()
        os.environ.update(environment)


def _spawn(coroutine: Any, loop: object) -> "asyncio.Task[Any]":  # noqa: ARG001 - MPyC passes it
    """Start MPyC's coroutine as a task that its session knows and can cancel."""
    return CURRENT.get().spawn(coroutine)


def _reconcile(declared: Any, task: "asyncio.Task[Any]") -> None:
    """Hand a finished coroutine's result to its placeholder. The original stops OUR event loop on an exception."""
    host = CURRENT.get()
    host.runtime._pc_level -= 1  # noqa: SLF001 - MPyC's own bookkeeping
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        host.stop(error)
    elif declared is not None:
        _settle(declared, task.result())


with _untouched():
    import mpyc
    import mpyc.asyncoro
    import mpyc.finfields
    import mpyc.runtime
if mpyc.__version__ != VERSION:
    raise RuntimeError(f"found MPyC {mpyc.__version__}, the cage is made for {VERSION}. Install mpyc=={VERSION}.")
for _name in PATCHED:
    importlib.import_module(f"mpyc.{_name}").runtime = _CurrentRuntime()  # type: ignore[attr-defined]
mpyc.runtime.pickle = Codec
_settle: Callable[[Any, Any], None] = getattr(mpyc.asyncoro, "__reconcile")
mpyc.asyncoro.Task = _spawn
mpyc.asyncoro._reconcile = _reconcile  # noqa: SLF001 - the patch
_options = mpyc._get_arg_parser().parse_args([])  # noqa: SLF001 - there is no public way to an options object
_options.threshold, _options.no_async, _options.no_log, _options.no_prss = 1, False, True, True
field_array: Any = mpyc.finfields.GF(PRIME).array


class CagedRuntime(mpyc.runtime.Runtime):  # type: ignore[misc]
    """MPyC's runtime for three nodes: opens no port; Python objects do not travel."""

    def __init__(self, number: int, protocols: dict[int, object]) -> None:
        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()
        parties = [mpyc.runtime.Party(i) for i in range(3)]
        for peer, protocol in protocols.items():
            parties[peer].protocol = protocol
        super().__init__(number, parties, _options)
        loop.set_exception_handler(handler)

    def transfer(self, *_: object, **__: object) -> None:
        raise ProtocolError("Python objects do not travel between nodes")
