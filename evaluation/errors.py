"""Errors of the evaluation package, and the exit codes they end a process with."""

EXIT_ENDED, EXIT_BUG, EXIT_USAGE, EXIT_REFUSED, EXIT_SUPPRESSED = 0, 1, 2, 3, 4
EXIT_UNREACHABLE, EXIT_INTEGRITY, EXIT_INTERRUPTED = 5, 6, 130


class EvaluationError(Exception):
    """A process cannot go on; the message says found, expected and what to do."""

    exit_code = EXIT_BUG


class ConfigError(EvaluationError):
    """A configuration or key file is missing, unreadable or wrong."""

    exit_code = EXIT_USAGE


class Refused(EvaluationError):
    """Policy refuses; nothing was opened."""

    exit_code = EXIT_REFUSED


class Unreachable(EvaluationError):
    """A peer, the broker or the chain does not answer."""

    exit_code = EXIT_UNREACHABLE


class Apart(EvaluationError):
    """The nodes remember different things: one of them lost its folder, or has another node's."""

    exit_code = EXIT_INTEGRITY


class Tampered(EvaluationError):
    """Something signed, sealed or committed does not fit; it is never used."""

    exit_code = EXIT_INTEGRITY
