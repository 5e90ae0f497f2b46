"""A test that leaves a connection open fails by itself, and not whichever runs when the garbage is collected."""

import os
from asyncio import selector_events

_CLOSE = selector_events.BaseSelectorEventLoop.close


class LeftOpenError(Exception):
    """What a loop had open when it was closed."""


def _close(loop):
    found = [] if loop.is_closed() else [
        f"{transport!r} to {transport.get_extra_info('peername')} of {transport.get_protocol()!r}"
        for transport in list(loop._transports.values()) if transport._sock is not None
    ]
    _CLOSE(loop)
    if found:
        raise LeftOpenError(f"{os.environ.get('PYTEST_CURRENT_TEST')} left open: {'; '.join(found)}")


def watch():
    """Look at every loop that is closed from now on."""
    selector_events.BaseSelectorEventLoop.close = _close
