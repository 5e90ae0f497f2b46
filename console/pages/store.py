"""Where the pages get the current document from."""

from datetime import UTC, datetime
from typing import Protocol

from evaluation.document import Document


class Store(Protocol):
    """Holds the evaluation as it is now."""

    @property
    def version(self) -> int:
        """Grows with every change; open pages compare it."""
        ...

    @property
    def updated(self) -> datetime:
        """When the document last changed, zone-aware."""
        ...

    def current(self) -> Document:
        """The document as it is now."""
        ...


class MemoryStore:
    """A store for the process that recombines results and serves the pages from one event loop."""

    def __init__(self, document: Document | None = None) -> None:
        self._document = document or Document()
        self._version = 0
        self._updated = datetime.now(UTC)

    @property
    def version(self) -> int:
        return self._version

    @property
    def updated(self) -> datetime:
        return self._updated

    def current(self) -> Document:
        return self._document

    def publish(self, document: Document) -> None:
        """Show this document from now on."""
        if document == self._document:
            return
        self._document = document
        self._version += 1
        self._updated = datetime.now(UTC)
