"""Errors of the local runner."""


class LocalError(Exception):
    """A local process did not start or is gone; the message says where its log is and what to do."""
