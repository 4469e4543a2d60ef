"""Where a writer keeps the metadata of its pages until the file is finished: in memory, or in a file (container.md 6).

The spill file is a run of chunks in the order in which they were written, without header, index or padding. The index, which
chunks belong to which column, stays in memory. A chunk belongs to one column::

    chunk      record record ...
    record     varint(length) Page      a page as in ``ColumnMetadata.pages``, without its tag

As a page in a column metadata block has the form ``12 varint(length) Page``, a record is such a page without its first byte.
"""

from __future__ import annotations

import os
import struct
import weakref
import zlib
from abc import ABC, abstractmethod
from operator import index
from typing import IO, TYPE_CHECKING

from lancelet.errors import FormatError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DEFAULT_SPILL_BYTES", "MemoryPages", "PageStore", "SpilledPages"]

#: Bytes of pages that a spilling writer keeps in memory, all columns together.
DEFAULT_SPILL_BYTES = 256 * 1024

#: Least share of a column in it.
_MIN_COLUMN_BYTES = 64

#: Tag of ``ColumnMetadata.pages``: field 2, bytes.
_PAGES_TAG = b"\x12"

#: A chunk in the index: position, size, CRC-32.
_CHUNK = struct.Struct("<QII")


class PageStore(ABC):
    """The pages of all columns of one file, as pieces of their column metadata blocks."""

    @abstractmethod
    def expect(self, num_columns: int) -> None:
        """Say how many columns share the memory; called before the first page is added."""

    @abstractmethod
    def add(self, column: int, page: bytes) -> None:
        """Keep a page: a result of :func:`~lancelet.container.metadata.encode_page`."""

    @property
    @abstractmethod
    def num_columns(self) -> int:
        """The largest column that has pages, plus 1."""

    @abstractmethod
    def seal(self) -> None:
        """Say that all pages were added."""

    @abstractmethod
    def take(self, column: int) -> bytes:
        """Return the joined pages of a column, in the order in which they were added, and forget them.

        Raises
        ------
        FormatError
            The bytes that were kept outside of memory are gone or were changed.
        """

    @abstractmethod
    def discard(self) -> None:
        """Let go of everything. Harmless when repeated."""


class MemoryPages(PageStore):
    """Pages in memory."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def expect(self, num_columns: int) -> None:
        """Do nothing: memory is not shared out."""

    def add(self, column: int, page: bytes) -> None:
        """Keep a page; see :meth:`PageStore.add`."""
        self._pages.setdefault(column, bytearray()).extend(page)

    @property
    def num_columns(self) -> int:
        """The largest column that has pages, plus 1."""
        return max(self._pages, default=-1) + 1

    def seal(self) -> None:
        """Do nothing."""

    def take(self, column: int) -> bytes:
        """Return the joined pages of a column; see :meth:`PageStore.take`."""
        return bytes(self._pages.pop(column, b""))

    def discard(self) -> None:
        """Forget the pages."""
        self._pages.clear()


class SpilledPages(PageStore):
    """Pages in a file of their own, for programs that keep very many writers open.

    The file is made when the first page comes, and removed by :meth:`discard`, or when the store is dropped.

    Parameters
    ----------
    path
        The file. It must not exist: writers do not share one.
    budget
        Bytes that stay in memory, in equal shares for all columns; a share is at least 64.

    Raises
    ------
    OptionError
        The path is none, or the budget is no positive number.
    """

    def __init__(self, path: str | os.PathLike[str], budget: int = DEFAULT_SPILL_BYTES) -> None:
        try:
            self._path = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - a change of directory must not move it
            self._budget = index(budget)
        except TypeError:
            raise OptionError(
                f"page_spill={path!r}, page_spill_bytes={budget!r}: a path and a number of bytes are needed"
            ) from None
        if self._budget < 1:
            raise OptionError(f"page_spill_bytes is {budget!r}; it must be at least 1")
        self._column_bytes = self._budget
        self._file: IO[bytes] | None = None
        self._discard: weakref.finalize[..., SpilledPages] | None = None
        self._file_bytes = 0
        self._pending: dict[int, bytearray] = {}
        self._chunks: dict[int, bytearray] = {}

    def expect(self, num_columns: int) -> None:
        """Divide the budget among the columns."""
        self._column_bytes = max(self._budget // max(num_columns, 1), _MIN_COLUMN_BYTES)

    def add(self, column: int, page: bytes) -> None:
        """Keep a page; what a column has gathered goes to the file when it reaches its share.

        Raises
        ------
        OptionError
            The file exists already.
        OSError
            It cannot be made or written.
        """
        if self._file is None:
            self._create()
        pending = self._pending.setdefault(column, bytearray())
        pending += memoryview(page)[len(_PAGES_TAG) :]
        if len(pending) >= self._column_bytes:
            self._flush(column)

    @property
    def num_columns(self) -> int:
        """The largest column that has pages, plus 1."""
        return max(self._pending, default=-1) + 1

    def seal(self) -> None:
        """Write the rest of all columns, and open the file for reading.

        Raises
        ------
        FormatError
            The file is gone.
        """
        if self._file is None:
            return
        for column in sorted(self._pending):
            self._flush(column)
        self._file.close()
        try:
            self._file = open(self._path, "rb")  # noqa: SIM115, PTH123 - lives until discard
        except FileNotFoundError:
            raise FormatError("the spill file of the pages has vanished", path=self._path) from None

    def take(self, column: int) -> bytes:
        """Return the joined pages of a column; see :meth:`PageStore.take`."""
        joined = bytearray()
        for position, size, checksum in _CHUNK.iter_unpack(self._chunks.pop(column, b"")):
            chunk = self._read(position, size)
            if len(chunk) != size or zlib.crc32(chunk) != checksum:
                raise FormatError(
                    f"the spill file of the pages was changed: the {size} bytes here are not those that were written",
                    path=self._path,
                    column=column,
                    offset=position,
                )
            for record in _records(chunk):
                joined += _PAGES_TAG
                joined += record
        return bytes(joined)

    def discard(self) -> None:
        """Close and remove the file, if this store has made one."""
        self._pending.clear()
        self._chunks.clear()
        if self._file is not None:
            self._file.close()
        if self._discard is not None:
            self._discard()

    def _create(self) -> None:
        try:
            self._file = open(self._path, "xb", buffering=0)  # noqa: SIM115, PTH123 - lives until discard
        except FileExistsError:
            raise OptionError(
                f"page_spill: {self._path!r} exists; every writer needs a file of its own"
            ) from None
        self._discard = weakref.finalize(self, _remove, self._path, os.getpid())

    def _flush(self, column: int) -> None:
        pending = self._pending[column]
        if not pending or self._file is None:
            return
        rest = memoryview(pending)
        while rest.nbytes:
            rest = rest[self._file.write(rest) :]
        rest.release()
        entry = _CHUNK.pack(self._file_bytes, len(pending), zlib.crc32(pending))
        self._chunks.setdefault(column, bytearray()).extend(entry)
        self._file_bytes += len(pending)
        self._pending[column] = bytearray()

    def _read(self, position: int, size: int) -> bytes:
        if self._file is None:
            raise ValueError("the store was discarded already")
        self._file.seek(position)
        return self._file.read(size)


def _records(chunk: bytes) -> Iterator[memoryview]:
    """Split a chunk, whose bytes are known to be ours, into its records."""
    view, start = memoryview(chunk), 0
    while start < len(chunk):
        stop, length, shift = start, 0, 0
        while True:
            byte = chunk[stop]
            length |= (byte & 0x7F) << shift
            stop, shift = stop + 1, shift + 7
            if byte < 0x80:
                break
        stop += length
        yield view[start:stop]
        start = stop


def _remove(path: str, process: int) -> None:
    """Remove a spill file; a forked child must leave its parent's file alone."""
    if os.getpid() != process:
        return
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return
