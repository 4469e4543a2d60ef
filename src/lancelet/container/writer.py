"""Write a file front to back: padded buffers, then all that describes them (container.md 1 and 6).

::

    buffers, each padded with 'H' to a multiple of 64   write_buffer, write_page, add_global_buffer
    descriptor; a "mini" file has none                  finish
    column metadata blocks                                 |
    table of the column metadata                           |
    table of the global buffers                            |
    footer                                                 v
"""

from __future__ import annotations

import threading
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from lancelet import kernels
from lancelet.buffers import nbytes
from lancelet.container.footer import Footer, pack_pairs
from lancelet.container.metadata import (
    ALIGNMENT,
    BufferRef,
    PageMetadata,
    encode_column,
    encode_page,
    encode_page_tail,
)
from lancelet.container.spill import MemoryPages
from lancelet.versions import COLUMN_ENCODING, Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data
    from lancelet.container.metadata import ColumnMetadata
    from lancelet.container.spill import PageStore
    from lancelet.storage import Sink

__all__ = ["ContainerWriter"]

#: ``ColumnEncoding { values {} }``: an ordinary column.
_PLAIN_COLUMN = b"\x0a\x00"

#: The buffers of a page that takes no more, and says no more of itself, go to the sink in one piece.
_SMALL_BYTES, _SMALL_RECORD_BYTES = 16 << 10, 4 << 10


class _Scratch(threading.local):
    """Where a thread puts a small page together, for all its writers: there may be thousands."""

    def __init__(self) -> None:
        self.piece = memoryview(bytearray(_SMALL_BYTES))
        self.record = memoryview(bytearray(_SMALL_RECORD_BYTES))


_scratch = _Scratch()


class ContainerWriter:
    """Places buffers in a sink and keeps account of them.

    The pages of a column are kept as the bytes that will stand in its metadata, not as objects: a file may
    have very many. Nothing is visible under the target's name before :meth:`finish`; dropping the writer
    drops the sink, which aborts.

    Parameters
    ----------
    sink
        Where the file goes. The writer owns it.
    version
        The version that the footer will state.
    pages
        Where the metadata of the pages waits; by default memory.
    alignment
        Buffers start at multiples of it, a power of two.
    """

    def __init__(
        self, sink: Sink, version: Version, *, pages: PageStore | None = None, alignment: int = ALIGNMENT
    ) -> None:
        self.version = version
        self.alignment = alignment
        self._sink = sink
        self._pages = MemoryPages() if pages is None else pages
        self._ends: dict[int, tuple[str, bytes, tuple[BufferRef, ...]]] = {}
        self._global_buffers: list[BufferRef] = []

    @property
    def position(self) -> int:
        """Bytes written so far, padding included: where the next buffer starts."""
        return self._sink.tell()

    def expect_columns(self, num_columns: int) -> None:
        """Say how many columns will come, before the first page."""
        self._pages.expect(num_columns)

    def write_buffer(self, data: Data) -> BufferRef:
        """Write `data` and its padding; an empty buffer takes no space, but has a position."""
        position, size = self._sink.tell(), nbytes(data)
        self._sink.write(data)
        padding = -(position + size) % self.alignment
        if padding:
            self._sink.write(b"H" * padding)
        return BufferRef(position, size)

    def write_page(
        self,
        column: int,
        buffers: Sequence[Data],
        num_rows: int,
        first_row: int,
        type_name: str,
        message: bytes,
    ) -> None:
        """Write the buffers of a page and append the page to its column.

        Parameters
        ----------
        column
            Index of the physical column.
        buffers
            Page buffers in their order.
        num_rows
            ``Page.length``.
        first_row
            First top-level row of the page; version 2.0 stores 0 instead.
        type_name, message
            Full name and bytes of the message that describes the page.
        """
        if column < 0:
            raise ValueError(f"column {column} does not exist")
        priority = 0 if self.version == Version.V2_0 else first_row
        tail = encode_page_tail(num_rows, priority, type_name, message)
        piece, record = _scratch.piece, _scratch.record
        num_bytes, record_bytes = kernels.join_page(
            buffers, self._sink.tell(), self.alignment, tail, piece, record
        )
        if num_bytes >= 0:
            self._sink.write(bytes(piece[:num_bytes]))
            self._pages.add(column, bytes(record[:record_bytes]))
            return
        refs = tuple(self.write_buffer(buffer) for buffer in buffers)
        page = encode_page(PageMetadata(refs, num_rows, priority, type_name, message))
        self._pages.add(column, page)

    def end_column(self, column: int, type_name: str, message: bytes, buffers: Sequence[Data] = ()) -> None:
        """Write the buffers of a column as a whole, and say what describes it.

        Columns that are never ended are ordinary ones: ``ColumnEncoding { values {} }``, no buffers.

        Parameters
        ----------
        column
            Index of the physical column.
        type_name, message
            Full name and bytes of the message that describes the column.
        buffers
            Column buffers in their order.
        """
        self._ends[column] = (type_name, message, tuple(self.write_buffer(buffer) for buffer in buffers))

    def flush(self) -> None:
        """Have the sink hand on what it keeps back: writers that wait for their next batch should hold no bytes."""
        self._sink.flush()

    def add_prepared_column(self, column: int, metadata: ColumnMetadata) -> None:
        """Take the metadata of a column whose buffers are all in the sink already (container.md 6, "Prepared metadata")."""
        for page in metadata.pages:
            self._pages.add(column, encode_page(page))
        self._ends[column] = (metadata.type_name, metadata.encoding, metadata.buffers)

    def add_pages(self, column: int, pages: bytes) -> None:
        """Take the pages of a column whose buffers are all in the sink already, as they stand in its metadata, joined.

        Only writers that keep the metadata of pages in memory can do that.
        """
        if not isinstance(self._pages, MemoryPages):
            raise ValueError("pages that are joined already cannot be spilled")
        if pages:
            self._pages.add(column, pages)

    def align(self) -> None:
        """Pad with zeros to the next place where a buffer, or the descriptor, may start."""
        self._sink.write(bytes(-self._sink.tell() % self.alignment))

    def add_global_buffer(self, data: Data) -> int:
        """Write a global buffer of the user; returns its index, counted from 1 (0 is the descriptor)."""
        self._global_buffers.append(self.write_buffer(data))
        return len(self._global_buffers)

    def finish(self, descriptor: bytes | None, num_columns: int) -> int:
        """Write everything that follows the buffers, and commit.

        Parameters
        ----------
        descriptor
            The serialised ``lance.file.FileDescriptor``; ``None`` makes a "mini" file, which has no schema (container.md 8).
        num_columns
            Physical columns; those without pages get metadata without pages.

        Returns
        -------
        int
            Size of the file in bytes.

        Raises
        ------
        ValueError
            Something was written for a column that does not exist.
        FormatError
            The spilled metadata of pages is damaged.
        """
        last = max(self._pages.num_columns - 1, *self._ends, -1)
        if last >= num_columns:
            raise ValueError(f"something was written for column {last}, but there are {num_columns} columns")
        self._pages.seal()
        global_buffers = self._global_buffers
        if descriptor is not None:
            global_buffers = [self._append(descriptor), *global_buffers]
        column_metadata_offset = self._sink.tell()
        columns = self._append_all([self._column_block(column) for column in range(num_columns)])
        column_table = self._append(pack_pairs(columns))
        global_table = self._append(pack_pairs(global_buffers))
        footer = Footer(
            column_metadata_offset,
            column_table.position,
            global_table.position,
            len(global_buffers),
            num_columns,
            *self.version.footer,
        )
        self._sink.write(footer.pack())
        file_bytes = self._sink.tell()
        self._pages.discard()
        self._sink.commit()
        return file_bytes

    def abort(self) -> None:
        """Give up; nothing is left behind, as far as the sink can do that."""
        try:
            self._sink.abort()
        finally:
            self._pages.discard()

    def _append(self, data: Data) -> BufferRef:
        """Write without padding."""
        position = self._sink.tell()
        self._sink.write(data)
        return BufferRef(position, self._sink.tell() - position)

    def _append_all(self, blocks: Sequence[bytes]) -> list[BufferRef]:
        """Write blocks without padding."""
        stops = accumulate(map(len, blocks), initial=self._sink.tell())
        self._sink.write(b"".join(blocks))
        return [BufferRef(start, stop - start) for start, stop in pairwise(stops)]

    def _column_block(self, column: int) -> bytes:
        type_name, message, buffers = self._ends.get(column, (COLUMN_ENCODING, _PLAIN_COLUMN, ()))
        return encode_column(type_name, message, buffers, self._pages.take(column))
