"""Reads of a bounded size: what is larger is read in parts.

A page may have a value of 40 MB, and a server, a proxy or a slow disk may not like to be asked for it at once. Only sources that
really read are wrapped; views of memory or of a map cost nothing at any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.buffers import allocate
from lancelet.errors import OptionError
from lancelet.storage.base import Source, WrappedSource

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DEFAULT_CHUNK_BYTES", "ChunkedSource", "in_chunks"]

DEFAULT_CHUNK_BYTES = 8 << 20


def in_chunks(source: Source, chunk_bytes: int) -> Source:
    """Return `source`, or where it really reads, a source that asks it for at most `chunk_bytes` at once.

    Raises
    ------
    OptionError
        `chunk_bytes` is not a positive integer.
    """
    if isinstance(chunk_bytes, bool) or not isinstance(chunk_bytes, int) or chunk_bytes < 1:
        raise OptionError(f"read_chunk_size is {chunk_bytes!r}; it must be a number of bytes, at least 1")
    return source if source.gives_views else ChunkedSource(source, chunk_bytes)


class ChunkedSource(WrappedSource):
    """A source that is asked for at most so many bytes at once.

    Parameters
    ----------
    source
        Where the bytes come from; closed with this one.
    chunk_bytes
        Most bytes of a read.
    """

    def __init__(self, source: Source, chunk_bytes: int) -> None:
        super().__init__(source)
        self.gap_bytes = source.gap_bytes
        self.most_bytes = min(source.most_bytes, chunk_bytes)
        self._chunk_bytes = chunk_bytes

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read several ``(position, size)``, the large ones in parts."""
        limit = self._chunk_bytes
        if all(size <= limit for _, size in ranges):
            return self._source.read_ranges(ranges)
        for position, size in ranges:  # before memory is taken
            self._check_range(position, size)
        return [self._read_parts(position, size) for position, size in ranges]

    def _read_parts(self, position: int, size: int) -> memoryview:
        if size <= self._chunk_bytes:
            return self._source.read(position, size)
        whole = memoryview(allocate(size)).cast("B")
        for start in range(0, size, self._chunk_bytes):
            stop = min(start + self._chunk_bytes, size)
            whole[start:stop] = self._source.read(position + start, stop - start).cast("B")
        return whole.toreadonly()
