"""A store in memory: for tests, and for datasets that nobody keeps."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from lancelet.storage.memory import MemorySource
from lancelet.storage.store import ObjectInfo, Store, check_path, check_prefix, check_size, exists, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data
    from lancelet.storage.base import Source

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Objects in a dictionary. Reads are views, which outlive the object. A store cannot be pickled: a copy would be another store.

    Parameters
    ----------
    name
        How errors call the store.
    """

    def __init__(self, *, name: str = "<memory>") -> None:
        self.name = name
        self._objects: dict[str, bytes] = {}
        self._times: dict[str, float] = {}
        self._lock = threading.Lock()

    def size(self, path: str) -> int:
        """Return the size of an object; see :meth:`Store.size`."""
        return len(self._get(path))

    def get_range(self, path: str, position: int, size: int) -> memoryview:
        """Return a view of a part of an object; see :meth:`Store.get_range`."""
        return self.open_source(path).read(position, size)

    def put(self, path: str, data: Data) -> None:
        """Keep a copy of `data`; see :meth:`Store.put`."""
        copy = bytes(memoryview(data))
        with self._lock:
            self._objects[check_path(path)] = copy
            self._times[path] = time.time()

    def put_if_absent(self, path: str, data: Data) -> None:
        """Keep a copy of `data`, unless there is an object; see :meth:`Store.put_if_absent`."""
        copy = bytes(memoryview(data))
        with self._lock:
            if check_path(path) in self._objects:
                raise exists(self._name_of(path))
            self._objects[path] = copy
            self._times[path] = time.time()

    def list(self, folder: str = "") -> list[str]:
        """Return the paths below a folder; see :meth:`Store.list`."""
        prefix = check_prefix(folder)
        with self._lock:
            return sorted(path for path in self._objects if path.startswith(prefix))

    def describe(self, folder: str = "", *, unfinished: bool = False) -> Sequence[ObjectInfo]:
        """Return sizes and times of the objects below a folder; see :meth:`Store.describe`. What is being written is nowhere."""
        prefix = check_prefix(folder)
        if unfinished:
            return []
        with self._lock:
            found = [path for path in self._objects if path.startswith(prefix)]
            return [ObjectInfo(path, len(self._objects[path]), self._times[path]) for path in sorted(found)]

    def delete(self, path: str) -> None:
        """Forget an object; see :meth:`Store.delete`."""
        with self._lock:
            if self._objects.pop(check_path(path), None) is None:
                raise missing(self._name_of(path))

    def open_source(self, path: str, *, size: int | None = None) -> Source:
        """Open an object; see :meth:`Store.open_source`."""
        source = MemorySource(self._get(path), name=self._name_of(path))
        check_size(source.name, source.size(), size)
        return source

    def _get(self, path: str) -> bytes:
        found = self._objects.get(check_path(path))
        if found is None:
            raise missing(self._name_of(path))
        return found

    def _name_of(self, path: str) -> str:
        return f"{self.name}/{path}"
