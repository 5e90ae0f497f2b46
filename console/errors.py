"""Errors of the console."""


class ConsoleError(Exception):
    """The console cannot do what was asked; the message says found, expected and what to do."""


class PortTakenError(ConsoleError):
    """Somebody else listens on the port."""
