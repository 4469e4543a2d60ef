"""Sources and stores that write down what they are asked for, and may be as slow as a server: for tests and measurements."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lancelet.storage.base import Source, WrappedSource
from lancelet.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data
    from lancelet.storage.store import ObjectInfo

__all__ = ["CountingSource", "CountingStore", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes
    ----------
    kind
        ``"read"`` for a source, for a store the name of the method; ``"get_range"`` for each part of ``get_ranges``.
    path
        Object of a store, or folder of ``"list"``; the name of a source.
    position, size
        Bytes that were asked for. What is written has position 0; other requests have none.
    """

    kind: str
    path: str
    position: int = 0
    size: int = 0


class CountingSource(WrappedSource):
    """A source that counts. It seems to read really, even from memory, so that ranges are merged for it.

    Parameters
    ----------
    source
        Where the bytes come from; closed with this one.
    latency_seconds
        Time that each call takes in addition. The ranges of one call are asked for at once and take it once.
    gap_bytes, most_bytes
        See :class:`~lancelet.storage.base.Source`.

    Attributes
    ----------
    requests
        What was asked for, in order. Reads of no bytes ask for nothing.
    """

    def __init__(
        self,
        source: Source,
        *,
        latency_seconds: float = 0.0,
        gap_bytes: int = Source.gap_bytes,
        most_bytes: int = Source.most_bytes,
    ) -> None:
        super().__init__(source)
        self.gap_bytes = gap_bytes
        self.most_bytes = most_bytes
        self.requests: list[Request] = []
        self._latency_seconds = latency_seconds

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read several ``(position, size)``."""
        asked = [Request("read", self.name, position, size) for position, size in ranges if size]
        self.requests += asked
        if asked:
            time.sleep(self._latency_seconds)
        return self._source.read_ranges(ranges)


class CountingStore(Store):
    """A store that counts, also what its sources and sinks ask for.

    Parameters
    ----------
    store
        Where the objects are.
    latency_seconds
        Time that each call takes in addition.

    Attributes
    ----------
    requests
        What was asked for, in order.
    """

    def __init__(self, store: Store, *, latency_seconds: float = 0.0) -> None:
        self.name = store.name
        self.requests: list[Request] = []
        self._store = store
        self._latency_seconds = latency_seconds

    def size(self, path: str) -> int:
        """Return the size of an object; see :meth:`Store.size`."""
        self._count(Request("size", path))
        return self._store.size(path)

    def get_range(self, path: str, position: int, size: int) -> memoryview:
        """Return bytes of an object; see :meth:`Store.get_range`."""
        return self.get_ranges(path, [(position, size)])[0]

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return bytes of an object; see :meth:`Store.get_ranges`."""
        self._count(*(Request("get_range", path, position, size) for position, size in ranges))
        return self._store.get_ranges(path, ranges)

    def put(self, path: str, data: Data) -> None:
        """Write an object; see :meth:`Store.put`."""
        self._count(Request("put", path, 0, memoryview(data).nbytes))
        self._store.put(path, data)

    def put_note(self, path: str, data: Data) -> None:
        """Write an object; see :meth:`Store.put_note`."""
        self._count(Request("put_note", path, 0, memoryview(data).nbytes))
        self._store.put_note(path, data)

    def put_if_absent(self, path: str, data: Data) -> None:
        """Write an object, unless there is one; see :meth:`Store.put_if_absent`."""
        self._count(Request("put_if_absent", path, 0, memoryview(data).nbytes))
        self._store.put_if_absent(path, data)

    def list(self, folder: str = "") -> list[str]:
        """Return the paths below a folder; see :meth:`Store.list`."""
        self._count(Request("list", folder))
        return self._store.list(folder)

    def describe(self, folder: str = "", *, unfinished: bool = False) -> Sequence[ObjectInfo]:
        """Return sizes and times of objects; see :meth:`Store.describe`."""
        self._count(Request("describe", folder))
        return self._store.describe(folder, unfinished=unfinished)

    def delete(self, path: str) -> None:
        """Remove an object; see :meth:`Store.delete`."""
        self._count(Request("delete", path))
        self._store.delete(path)

    def _count(self, *requests: Request) -> None:
        self.requests += requests
        if requests:
            time.sleep(self._latency_seconds)
