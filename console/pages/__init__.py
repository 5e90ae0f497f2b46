"""The pages: released KPIs in a browser on this machine."""

from console.pages.app import create_app
from console.pages.server import serve
from console.pages.store import MemoryStore, Store

__all__ = ["MemoryStore", "Store", "create_app", "serve"]
