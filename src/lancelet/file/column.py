"""One physical column of an open file: its pages by row."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lancelet.errors import FormatError, LanceletError
from lancelet.pages.base import PageInfo, RowRanges
from lancelet.pages.registry import parse_page
from lancelet.pages.rows import PageRows, split_by_page
from lancelet.storage.coalesce import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.container.metadata import ColumnMetadata
    from lancelet.container.reader import Container
    from lancelet.file.cache import PageCache
    from lancelet.levels import Leaf
    from lancelet.pages.base import ByteRange, Layout, OpenPage, PagePart
    from lancelet.storage import Source

__all__ = ["ColumnPages", "ColumnPart", "fetch_parts", "plan_columns"]

#: Mean size of ranges, in bytes, up to which a copy of what lies apart is cheaper than the first touch of a view.
_COPIED_BYTES = 256 << 10


@dataclass(frozen=True, slots=True, eq=False)
class ColumnPart:
    """A page's share in a read.

    Attributes
    ----------
    page, open_page
        Its number, and the opened page.
    rows
        The wanted rows, counted from the first row of the page.
    part
        What its layout planned.
    """

    page: int
    open_page: OpenPage
    rows: RowRanges
    part: PagePart


class ColumnPages:
    """The pages of a column. May be shared by threads: what is cached is immutable, and making it twice does no harm.

    Parameters
    ----------
    container
        The open file.
    column
        Physical column.
    cache
        Where opened pages are kept.
    rows_per_row
        Rows that its pages count for one row of the file (versions.md 5.8).

    Attributes
    ----------
    column
        Physical column.
    encoded_bytes
        Bytes of all page buffers.
    first_rows
        Row of the file where each page starts, and the number of rows.
    """

    def __init__(self, container: Container, column: int, cache: PageCache, rows_per_row: int = 1) -> None:
        self.column = column
        self._cache = cache
        self.metadata: ColumnMetadata = container.column(column)
        container.check_rows(column, rows_per_row)
        self._rows_per_row = rows_per_row
        self.first_rows = [page.first_row for page in self.metadata.pages] + [container.num_rows]
        self.encoded_bytes = sum(buffer.size for page in self.metadata.pages for buffer in page.buffers)
        self._first_rows: Int64Array = np.array(self.first_rows, dtype=np.int64)

    def split(self, rows: RowRanges) -> list[PageRows]:
        """Assign `rows` of the file to the pages."""
        if len(rows.starts) > 1:
            return split_by_page(rows, self._first_rows)
        first_rows, start, stop = self.first_rows, int(rows.starts[0]), int(rows.stops[0])
        parts = []
        for page in range(bisect_right(first_rows, start) - 1, bisect_left(first_rows, stop)):
            first, end = first_rows[page], first_rows[page + 1]
            if first < end:  # old writers made pages without rows
                parts.append(
                    PageRows(page, RowRanges.single(max(start, first) - first, min(stop, end) - first))
                )
        return parts

    def kept(self, page: int) -> OpenPage | None:
        """Return the opened page if it is kept."""
        return self._cache.get((self.column, page))

    def plan(self, rows: PageRows, page: OpenPage) -> ColumnPart:
        """Plan the read of `rows` of one opened page."""
        wanted = _scaled(rows.rows, self._rows_per_row)
        try:
            return ColumnPart(rows.page, page, wanted, page.plan(wanted))
        except FormatError as error:
            raise error.locate(column=self.column, page=rows.page) from None

    def decode(self, part: ColumnPart, data: Sequence[Data], allocate: Allocate) -> Leaf:
        """Decode the bytes fetched for `part`."""
        try:
            return part.open_page.decode(part.part, data, allocate)
        except FormatError as error:
            raise error.locate(column=self.column, page=part.page) from None

    def layout(self, page: int) -> Layout:
        """Parse the layout of one page without reading from it."""
        metadata = self.metadata.pages[page]
        info = PageInfo(metadata.buffers, metadata.num_rows)
        try:
            return parse_page(metadata.type_name, metadata.encoding, info)
        except FormatError as error:
            raise error.locate(column=self.column, page=page) from None
        except LanceletError as error:
            raise type(error)(f"column {self.column}, page {page}: {error}") from None

    def open(self, page: int, layout: Layout, heads: Sequence[Data]) -> OpenPage:
        """Open a page, whose `layout` and its head are known, and keep it."""
        try:
            opened = layout.open(heads)
        except FormatError as error:
            raise error.locate(column=self.column, page=page) from None
        return self._cache.put((self.column, page), opened)


def plan_columns(columns: Sequence[ColumnPages], rows: RowRanges, source: Source) -> list[list[ColumnPart]]:
    """Plan the read of `rows` of some columns: for each the parts of its pages, in order.

    Pages that are not open are opened first, and their heads fetched together.

    Parameters
    ----------
    columns
        The columns.
    rows
        Rows of the file.
    source
        Where heads are read.

    Raises
    ------
    FormatError
        The description of a page is damaged.
    UnsupportedError
        A page has an encoding that is not known here.
    """
    found = [(pages, part, pages.kept(part.page)) for pages in columns for part in pages.split(rows)]
    missing = [(pages, part.page, pages.layout(part.page)) for pages, part, page in found if page is None]
    opened = iter(_open_pages(missing, source) if missing else ())
    planned: dict[ColumnPages, list[ColumnPart]] = {pages: [] for pages in columns}
    for pages, part, page in found:
        planned[pages].append(pages.plan(part, next(opened) if page is None else page))
    return list(planned.values())


def _open_pages(missing: Sequence[tuple[ColumnPages, int, Layout]], source: Source) -> list[OpenPage]:
    ranges = [layout.head_ranges() for _, _, layout in missing]
    fetched = iter(fetch(source, [range_ for heads in ranges for range_ in heads], scattered=True))
    return [
        pages.open(page, layout, [next(fetched) for _ in heads])
        for (pages, page, layout), heads in zip(missing, ranges, strict=True)
    ]


def fetch_parts(
    source: Source, parts: Sequence[ColumnPart], allocate: Allocate, *, scattered: bool
) -> Iterator[Sequence[Data]]:
    """Read what was planned: for each part, in order, what :meth:`~lancelet.pages.base.OpenPage.decode` wants.

    Parameters
    ----------
    source
        Where it is read.
    parts
        The parts, of any columns.
    allocate
        Where memory comes from for bytes that are copied.
    scattered
        See :func:`~lancelet.storage.coalesce.fetch`.

    Raises
    ------
    FormatError
        A range does not lie inside of the source, or the source has shrunk.
    """
    ranges = [range_ for part in parts for range_ in part.part.ranges]
    if scattered and source.copies_scattered:
        num_bytes = sum([size for _, size in ranges])
        if num_bytes <= _COPIED_BYTES * len(ranges):
            source.prefetch(ranges)
            yield from (_copied(source, part.part.ranges, allocate) for part in parts)
            return
    fetched = iter(fetch(source, ranges, scattered=scattered))
    yield from ([next(fetched) for _ in part.part.ranges] for part in parts)


def _copied(source: Source, ranges: Sequence[ByteRange], allocate: Allocate) -> Sequence[Data]:
    """Read the ranges of a part into one buffer."""
    if not ranges:
        return ()
    buffer = allocate(sum([size for _, size in ranges]))
    source.read_into(ranges, buffer)
    return (buffer,)


def _scaled(rows: RowRanges, factor: int) -> RowRanges:
    """Count rows of the file as the pages do; no overflow, since the pages' own counts were checked."""
    return rows if factor == 1 else RowRanges(rows.starts * factor, rows.stops * factor)
