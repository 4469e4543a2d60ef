"""Opened pages, kept while they fit: chunk words, repetition indexes, dictionaries and symbol tables are read once.

The pages that were used last stay, up to a number of bytes. A page that somebody works on lives on without the cache.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.pages.base import Layout

if TYPE_CHECKING:
    from lancelet.pages.base import OpenPage

    #: Column and page.
    Key = tuple[int, int]

__all__ = ["DEFAULT_CACHE_BYTES", "PageCache", "held_bytes"]

#: Enough for the heads of some GB of data.
DEFAULT_CACHE_BYTES = 128 << 20
#: What a page takes in any case: objects.
_PAGE_BYTES = 1 << 10

# One lock for all caches, held for a few dictionary operations. A forked child gets a free one.
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class PageCache:
    """Opened pages of one file, by column and number. Threads share it.

    Parameters
    ----------
    max_bytes
        Most bytes that the pages may hold together, by default 128 MiB; a single page may hold more.

    Attributes
    ----------
    max_bytes
        The same number.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self.max_bytes = DEFAULT_CACHE_BYTES if max_bytes is None else max_bytes
        self._pages: OrderedDict[Key, OpenPage] = OrderedDict()
        self._sizes: dict[Key, int] = {}
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes that the kept pages hold."""
        return self._bytes

    def get(self, key: Key) -> OpenPage | None:
        """Return a page, or ``None`` if it is not kept."""
        found = self._pages.get(key)
        # While there is room for as much again, nothing is near to being dropped and the order does not matter.
        if found is not None and 2 * self._bytes > self.max_bytes:
            with _lock:
                if key in self._pages:
                    self._pages.move_to_end(key)
        return found

    def put(self, key: Key, page: OpenPage, size: int) -> OpenPage:
        """Keep `page`, which holds `size` bytes; returns what is kept, which is another's if one was faster."""
        with _lock:
            kept = self._pages.setdefault(key, page)
            if kept is page:
                self._sizes[key] = size
                self._bytes += size
            while self._bytes > self.max_bytes and len(self._pages) > 1:
                dropped, _ = self._pages.popitem(last=False)
                self._bytes -= self._sizes.pop(dropped)
        return kept


def held_bytes(page: Any) -> int:
    """Return about how many bytes a page holds: its arrays and buffers, and those of the dictionary that it has."""
    return _PAGE_BYTES + _weigh(page)


#: By class: the names of the attributes that may hold something.
_attributes: dict[type, tuple[str, ...]] = {}


def _weigh(value: Any) -> int:
    names = _attributes.get(type(value))
    if names is None:
        described = is_dataclass(value) and not isinstance(value, Layout)  # layouts hold parameters
        names = tuple(field.name for field in fields(value)) if described else ()
        _attributes[type(value)] = names
    total = 0
    for name in names:
        part = getattr(value, name)
        if part is None or type(part) is int:
            continue
        if isinstance(part, (np.ndarray, memoryview)):
            total += part.nbytes
        elif isinstance(part, (bytes, pa.Buffer)):
            total += len(part)
        else:
            total += _weigh(part)
    return total
