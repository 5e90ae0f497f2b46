"""Errors of the streams package."""


class StreamsError(Exception):
    """A stream cannot go on; the message says found, expected and what to do."""


class SourceError(StreamsError):
    """A party's files are missing, unreadable or not of the agreed form; nothing was read."""


class ConfigurationError(StreamsError):
    """Settings do not fit the agreement."""


class BrokerError(StreamsError):
    """The broker refused, did not answer in time, or is gone."""


class StalledError(StreamsError):
    """A stage waited longer than its limit for the stage before it."""


class BatchError(StreamsError):
    """A share batch is not signed by its party, cannot be opened, or does not fit the agreement; never used."""


class StoreError(StreamsError):
    """The share store holds something of another version or form, or lacks what was asked for."""


class SupersededError(StreamsError):
    """Another worker has taken over the party; this one must stop."""
