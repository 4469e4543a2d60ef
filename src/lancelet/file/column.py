"""One physical column of an open file: its pages by row, each opened once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lancelet.errors import FormatError, LanceletError
from lancelet.file.plan import split_by_page
from lancelet.pages.base import PageInfo, RowRanges
from lancelet.pages.registry import parse_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.container.metadata import ColumnMetadata
    from lancelet.container.reader import Container
    from lancelet.levels import Leaf
    from lancelet.pages.base import Layout, OpenPage, PagePart

__all__ = ["ColumnPages", "ColumnPart"]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnPart:
    """A page's share in a read.

    Attributes
    ----------
    page, open_page
        Its number, and the opened page.
    part
        What its layout planned.
    """

    page: int
    open_page: OpenPage
    part: PagePart


class ColumnPages:
    """The pages of a column. May be shared by threads: what is cached is immutable, and making it twice does no harm.

    Parameters
    ----------
    container
        The open file.
    column
        Physical column.
    rows_per_row
        Rows that its pages count for one row of the file (versions.md 5.8).
    """

    def __init__(self, container: Container, column: int, rows_per_row: int = 1) -> None:
        self._container = container
        self._column = column
        self._open: dict[int, OpenPage] = {}
        self._metadata: ColumnMetadata = container.column(column)
        container.check_rows(column, rows_per_row)
        self._rows_per_row = rows_per_row
        self._first_rows: Int64Array = np.array(
            [page.first_row for page in self._metadata.pages] + [container.num_rows], dtype=np.int64
        )

    @property
    def encoded_bytes(self) -> int:
        """Bytes of all page buffers."""
        return sum(buffer.size for page in self._metadata.pages for buffer in page.buffers)

    def plan(self, rows: RowRanges) -> list[ColumnPart]:
        """Plan the read of `rows` of the file; opens the pages that were not opened before."""
        parts = []
        for wanted in split_by_page(rows, self._first_rows):
            page = self._open_page(wanted.page)
            try:
                part = page.plan(_scaled(wanted.rows, self._rows_per_row))
            except FormatError as error:
                raise error.locate(column=self._column, page=wanted.page) from None
            parts.append(ColumnPart(wanted.page, page, part))
        return parts

    def decode(self, part: ColumnPart, data: Sequence[Data], allocate: Allocate) -> Leaf:
        """Decode the bytes fetched for `part`."""
        try:
            return part.open_page.decode(part.part, data, allocate)
        except FormatError as error:
            raise error.locate(column=self._column, page=part.page) from None

    def layout(self, page: int) -> Layout:
        """Parse the layout of one page without reading from it."""
        metadata = self._metadata.pages[page]
        info = PageInfo(metadata.buffers, metadata.num_rows)
        try:
            return parse_page(metadata.type_name, metadata.encoding, info)
        except FormatError as error:
            raise error.locate(column=self._column, page=page) from None
        except LanceletError as error:
            raise type(error)(f"column {self._column}, page {page}: {error}") from None

    def _open_page(self, page: int) -> OpenPage:
        opened = self._open.get(page)
        if opened is None:
            layout = self.layout(page)
            try:
                opened = layout.open(self._container.source.read_ranges(layout.head_ranges()))
            except FormatError as error:
                raise error.locate(column=self._column, page=page) from None
            self._open[page] = opened
        return opened


def _scaled(rows: RowRanges, factor: int) -> RowRanges:
    """Count rows of the file as the pages do; no overflow, since the pages' own counts were checked."""
    return rows if factor == 1 else RowRanges(rows.starts * factor, rows.stops * factor)
