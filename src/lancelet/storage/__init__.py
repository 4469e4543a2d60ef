"""Bytes: objects read in ranges, and objects written front to back. Knows nothing of the format."""

from lancelet.storage.coalesce import fetch
from lancelet.storage.store import Sink, Source, open_sink, open_source

__all__ = ["Sink", "Source", "fetch", "open_sink", "open_source"]
