"""The metadata of all columns of a file, taken apart by one call: objects are made of those that somebody looks at."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lancelet import kernels
from lancelet.container.metadata import ColumnMetadata, PageMetadata, PageTotals, make_ref, parse_any
from lancelet.errors import FormatError
from lancelet.versions import COLUMN_ENCODING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lancelet.buffers import Int64Array
    from lancelet.container.metadata import BufferRef, Region
    from lancelet.versions import Version

__all__ = ["ColumnTable"]

#: Several times as fast as a call of the class.
_make_totals: Callable[[Iterable[int]], PageTotals] = partial(tuple.__new__, PageTotals)


class ColumnTable:
    """Column metadata as arrays. Threads may share it.

    All that :func:`~lancelet.container.metadata.parse_column` checks was checked of the columns that are here; what is damaged or
    unusual is not, and left to that function.

    Parameters
    ----------
    blocks
        All column metadata blocks.
    edges
        ``int64[num_columns + 1]``: where each of them begins, and the end.
    region
        Where buffers may lie.
    version
        Version of the file.

    Attributes
    ----------
    pages
        ``int64[num_pages, 5]``: first buffer, number of buffers, rows, first row, number of the encoding.
    buffers
        ``int64[num_buffers, 2]``: position and size.
    """

    def __init__(self, blocks: memoryview, edges: Int64Array, region: Region, version: Version) -> None:
        num_columns = len(edges) - 1
        counts = np.empty((num_columns, 2), dtype=np.int64)
        kernels.columns_measure(blocks, edges, region.stop, region.aligned, counts)
        num_pages, num_buffers = np.maximum(counts, 0).sum(axis=0).tolist()
        columns = np.empty((num_columns, 7), dtype=np.int64)
        self.pages: Int64Array = np.empty((num_pages, 5), dtype=np.int64)
        self.buffers: Int64Array = np.empty((num_buffers, 2), dtype=np.int64)
        encodings = np.empty((num_columns + num_pages, 2), dtype=np.int64)
        found = kernels.columns_parse(
            blocks,
            edges,
            region.stop,
            region.aligned,
            counts,
            columns,
            self.pages,
            self.buffers,
            encodings,
        )
        self._spans = encodings[:found]
        self._encodings = [_parse(bytes(blocks[start:stop])) for start, stop in self._spans.tolist()]
        #: Tuples: those of numbers do not stay with the garbage collector, which would look at thousands of files again and again.
        self._columns: list[tuple[int, ...]] = list(map(tuple, columns.tolist()))
        #: Those that describe columns; there is no number -1.
        self._described = {
            number: encoding
            for number, encoding in enumerate(self._encodings)
            if encoding is not None and encoding[0] == COLUMN_ENCODING
        }
        wrong = [
            number
            for number, encoding in enumerate(self._encodings)
            if encoding is None or not version.allows_page_type(encoding[0])
        ]
        self._wrong_pages = np.isin(self.pages[:, 4], wrong) if wrong else None

    def first_page(self, column: int) -> int:
        """Return the row of :attr:`pages` with which the pages of a column begin."""
        return self._columns[column][0]

    def first_encoding(self, column: int) -> bytes | None:
        """Return the bytes of the message that the first page of a column has; ``None``: the column must be parsed on its own."""
        first_page, num_pages, *_ = self._columns[column]
        found = self._encodings[self.pages[first_page, 4]] if num_pages > 0 <= first_page else None
        return None if found is None else found[1]

    def page_kinds(self) -> set[tuple[tuple[str, bytes] | None, int, int]]:
        """Return the different encodings, as name and bytes, numbers of buffers, and rows of pages; ``None``: no encoding."""
        kinds = set(map(tuple, self.pages[:, [4, 1, 2]].tolist()))
        return {(self._encodings[number], num_buffers, num_rows) for number, num_buffers, num_rows in kinds}

    def moved(
        self,
        blocks: memoryview,
        columns: Sequence[int],
        starts: Sequence[int],
        shifts: Sequence[int],
        first_row: int,
    ) -> list[bytes] | None:
        """Return the pages of columns as they stand in a file to which their buffers are moved; ``None``: one is not here.

        `blocks` are those that the table was made of; see :func:`lancelet.kernels.pages_moved`.
        """
        if None in map(self.totals, columns):
            return None
        own = np.array([self._columns[column][:2] for column in columns], dtype=np.int64)
        edges = np.array([starts, shifts], dtype=np.int64)
        return kernels.pages_moved(
            blocks, self._spans, own, self.pages, self.buffers, edges[0], edges[1], first_row
        )

    def encoding_numbers(self, rows: list[int]) -> list[int]:
        """Return the numbers of the encodings that some rows of :attr:`pages` have."""
        found: list[int] = self.pages[rows, 4].tolist()
        return found

    def encoding(self, number: int) -> tuple[str, bytes]:
        """Return name and bytes of the message of an encoding that a page here has."""
        found = self._encodings[number]
        if found is None:
            raise IndexError(f"encoding {number} is not one of a page")
        return found

    def totals(self, column: int) -> PageTotals | None:
        """Return what the pages of a column are together; ``None``: it must be parsed on its own."""
        first_page, num_pages, _, _, number, num_rows, num_bytes = self._columns[column]
        if number not in self._described:
            return None
        if self._wrong_pages is not None and self._wrong_pages[first_page : first_page + num_pages].any():
            return None
        return _make_totals((num_rows, num_bytes, num_pages))

    def plain_totals(self, column: int, encoding: bytes) -> PageTotals | None:
        """Return what :meth:`totals` does, of a column with `encoding` and no buffers as a whole; ``None``: it may not be one."""
        _, _, _, num_buffers, number, *_ = self._columns[column]
        described = self._described.get(number)
        if num_buffers or described is None or described[1] != encoding:
            return None
        return self.totals(column)

    def column(self, column: int) -> ColumnMetadata | None:
        """Return the metadata of a column; ``None``: it must be parsed on its own."""
        totals = self.totals(column)
        if totals is None:
            return None
        first_page, num_pages, first_buffer, num_buffers, number, *_ = self._columns[column]
        buffers = self._refs(first_buffer, num_buffers) if num_buffers else ()
        pages = _Pages(self, range(first_page, first_page + num_pages))
        return ColumnMetadata(*self._described[number], buffers, pages, totals)

    def _refs(self, first: int, count: int) -> tuple[BufferRef, ...]:
        return tuple(map(make_ref, self.buffers[first : first + count].tolist()))

    def page(self, numbers: list[int]) -> PageMetadata:
        """Make a page of a row of :attr:`pages`."""
        first_buffer, num_buffers, num_rows, first_row, number = numbers
        return PageMetadata(
            self._refs(first_buffer, num_buffers), num_rows, first_row, *self.encoding(number)
        )


class _Pages:
    """The pages of a column; see :class:`~lancelet.container.metadata.PageList`."""

    __slots__ = ("_last", "_rows", "_table")

    def __init__(self, table: ColumnTable, rows: range) -> None:
        self._table = table
        self._rows = rows
        #: The page that was asked for last: whoever opens one asks several times.
        self._last: tuple[int, PageMetadata] | None = None

    def all(self) -> tuple[PageMetadata, ...]:
        """Make all pages."""
        return tuple(map(self._table.page, self._table.pages[self._rows.start : self._rows.stop].tolist()))

    def page(self, number: int) -> PageMetadata:
        """Make one page."""
        last = self._last
        if last is None or last[0] != number:
            page = self._table.page(self._table.pages[self._rows[number]].tolist())
            self._last = last = number, page
        return last[1]

    def first_rows(self) -> list[int]:
        """Return the first row of each page."""
        rows: list[int] = self._table.pages[self._rows.start : self._rows.stop, 3].tolist()
        return rows


def _parse(encoding: bytes) -> tuple[str, bytes] | None:
    try:
        return parse_any(encoding)
    except FormatError:  # the columns that have it will say so
        return None
