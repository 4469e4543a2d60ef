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
from typing import TYPE_CHECKING

from lancelet.errors import FormatError, OptionError
from lancelet.storage.local import path_text

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

#: What a path gives where the file that was made there is no more: nothing, or a directory in its place.
_GONE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


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
            self._path = os.path.abspath(path_text(path))  # noqa: PTH100 - a change of directory must not move it
            self._budget = index(budget)
        except (TypeError, OptionError):
            raise OptionError(
                f"page_spill={path!r}, page_spill_bytes={budget!r}: a path and a number of bytes are needed"
            ) from None
        if self._budget < 1:
            raise OptionError(f"page_spill_bytes is {budget!r}; it must be at least 1")
        self._column_bytes = self._budget
        self._descriptor = -1
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
        if self._discard is None:
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
        """Write the rest of all columns."""
        for column in sorted(self._pending):
            self._flush(column)

    def take(self, column: int) -> bytes:
        """Return the joined pages of a column; see :meth:`PageStore.take`."""
        joined = bytearray()
        for chunk in self._read(column, self._chunks.pop(column, b"")):
            for record in _records(chunk):
                joined += _PAGES_TAG
                joined += record
        return bytes(joined)

    def discard(self) -> None:
        """Close and remove the file, if this store has made one."""
        self._pending.clear()
        self._chunks.clear()
        if self._discard is not None:
            self._discard()

    def _create(self) -> None:
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise OptionError(
                f"page_spill: {self._path!r} exists; every writer needs a file of its own"
            ) from None
        self._discard = weakref.finalize(self, _remove, self._descriptor, self._path, os.getpid())

    def _flush(self, column: int) -> None:
        pending = self._pending[column]
        if not pending:
            return
        done = 0
        while done < len(pending):
            done += os.write(self._descriptor, pending[done:])
        entry = _CHUNK.pack(self._file_bytes, len(pending), zlib.crc32(pending))
        self._chunks.setdefault(column, bytearray()).extend(entry)
        self._file_bytes += len(pending)
        self._pending[column] = bytearray()

    def _read(self, column: int, index: bytes | bytearray) -> Iterator[bytes]:
        """Yield the chunks of an index, checked. The file is opened by its name: what was put in its place does not count."""
        if not index:
            return
        try:
            file = open(self._path, "rb")  # noqa: PTH123, SIM115 - closed below
        except _GONE:
            raise FormatError("the spill file of the pages has vanished", path=self._path) from None
        with file:
            for position, size, checksum in _CHUNK.iter_unpack(index):
                file.seek(position)
                chunk = file.read(size)
                if len(chunk) != size or zlib.crc32(chunk) != checksum:
                    raise FormatError(
                        f"the spill file of the pages was changed: the {size} bytes here are not those written",
                        path=self._path,
                        column=column,
                        offset=position,
                    )
                yield chunk


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


def _remove(descriptor: int, path: str, process: int) -> None:
    """Close and remove a spill file; a forked child must leave its parent's file alone."""
    os.close(descriptor)
    if os.getpid() != process:
        return
    try:
        os.unlink(path)  # noqa: PTH108
    except _GONE:
        return
