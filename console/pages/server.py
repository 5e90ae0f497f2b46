"""Serve the pages from an asyncio program, on loopback."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from fastapi import FastAPI

from console.errors import PortTakenError

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 3
"""Open connections get this long to end; a page that polls never holds one for longer."""


class _Server(uvicorn.Server):
    """Leaves signals to the program around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve(app: FastAPI, port: int) -> AsyncIterator[str]:
    """Answer on 127.0.0.1 as long as the block lasts.

    Args:
        app: as made by create_app.
        port: 0 takes a free one.

    Yields:
        The address, such as "http://127.0.0.1:8080/".

    Raises:
        PortTakenError: somebody else listens on that port.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            raise PortTakenError(
                f"cannot listen on {LOOPBACK}:{port}: {error.strerror}. Choose another port, or 0 for a free one."
            ) from error
        server = _Server(uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        ))
        listener.listen(64)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://{LOOPBACK}:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            await task
    finally:
        listener.close()
