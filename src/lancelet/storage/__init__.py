"""Bytes: objects read in ranges and written front to back, and the stores that hold them. Knows nothing of the format."""

from lancelet.storage.base import Sink, Source
from lancelet.storage.coalesce import fetch
from lancelet.storage.folder import LocalStore
from lancelet.storage.memory_store import MemoryStore
from lancelet.storage.opening import borrow_source, open_sink, open_source
from lancelet.storage.store import Store

__all__ = [
    "LocalStore",
    "MemoryStore",
    "Sink",
    "Source",
    "Store",
    "borrow_source",
    "fetch",
    "open_sink",
    "open_source",
]
