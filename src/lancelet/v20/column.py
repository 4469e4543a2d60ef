"""The pages of one physical column, and the rows in them.

Pages of length 0 hold nothing and are passed over; old writers left them anywhere. Where pages begin is the sum of the lengths
before them: ``Page.priority`` says nothing in version 2.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError

from lancelet.errors import FormatError, LanceletError, UnsupportedError
from lancelet.pages.base import RowRanges
from lancelet.pages.rows import split_by_page
from lancelet.v20.fetch import together
from lancelet.v20.node import PageContext
from lancelet.v20.offsets import Offsets
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lancelet.buffers import Allocate, Int64Array
    from lancelet.container.metadata import ColumnMetadata
    from lancelet.container.reader import Container
    from lancelet.pb.encodings20_pb2 import ArrayEncoding, ColumnEncoding
    from lancelet.v20.ends import Ends
    from lancelet.v20.fetch import Fetch
    from lancelet.v20.node import Node

__all__ = ["LeafColumn", "ListColumn", "Lists", "PageList", "check_header", "is_blob", "starts_with_list"]

_PAGE_TYPE = Version.V2_0.page_types[0]


class PageList:
    """The pages of a column and their messages.

    Attributes
    ----------
    column
        Index of the column.
    num_rows
        Values of all pages.
    """

    def __init__(self, container: Container, column: int) -> None:
        if column >= container.num_columns:
            raise FormatError(f"the schema needs column {column}, and the file has {container.num_columns}")
        self.column = column
        self._metadata: ColumnMetadata = container.column(column)
        self._file_buffers = container.global_buffers
        lengths = [page.num_rows for page in self._metadata.pages]
        self.num_rows = sum(lengths)
        if self.num_rows >= 2**63:
            raise FormatError(f"the pages hold {self.num_rows} values, which is impossible", column=column)
        self.first_rows: Int64Array = np.cumsum([0, *lengths], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._metadata.pages)

    @property
    def encoded_bytes(self) -> int:
        """Bytes of all page buffers."""
        return sum(buffer.size for page in self._metadata.pages for buffer in page.buffers)

    def length(self, page: int) -> int:
        """Values of a page."""
        return self._metadata.pages[page].num_rows

    def message(self, page: int) -> ArrayEncoding:
        """Parse the message of a page."""
        from lancelet.pb.encodings20_pb2 import ArrayEncoding

        metadata = self._metadata.pages[page]
        if metadata.type_name != _PAGE_TYPE:
            raise UnsupportedError(
                f"column {self.column}, page {page}: pages of type {metadata.type_name!r} are not known here"
            )
        try:
            return ArrayEncoding.FromString(metadata.encoding)
        except DecodeError as error:
            raise self.locate(FormatError(f"the encoding cannot be parsed: {error}"), page) from None

    def context(self, page: int) -> PageContext:
        """Return the buffers that a page may refer to."""
        return PageContext(self._metadata.pages[page].buffers, self._metadata.buffers, self._file_buffers)

    def column_encoding(self) -> ColumnEncoding:
        """Parse what the column says of itself."""
        from lancelet.pb.encodings20_pb2 import ColumnEncoding

        try:
            return ColumnEncoding.FromString(self._metadata.encoding)
        except DecodeError as error:
            raise FormatError(f"the column encoding cannot be parsed: {error}", column=self.column) from None

    def check_length(self, expected: int) -> None:
        """Check that the pages hold `expected` values."""
        if self.num_rows != expected:
            raise FormatError(
                f"the pages hold {self.num_rows} values, and {expected} are needed", column=self.column
            )

    def locate(self, error: LanceletError, page: int) -> LanceletError:
        """Say in an error where it happened."""
        if isinstance(error, FormatError):
            return error.locate(column=self.column, page=page)
        if isinstance(error, UnsupportedError):
            return UnsupportedError(f"column {self.column}, page {page}: {error}")
        return error


def is_blob(pages: PageList) -> bool:
    """Tell whether a column says that it holds blobs."""
    encoding = pages.column_encoding()
    for _ in range(_MAX_WRAPPERS):
        if encoding.WhichOneof("column_encoding") != "zone_index":
            break
        encoding = encoding.zone_index.inner
    return encoding.WhichOneof("column_encoding") == "blob"


#: Zone indexes around a column's encoding; one is sensible.
_MAX_WRAPPERS = 8


def starts_with_list(pages: PageList) -> bool:
    """Tell whether the first page of a column holds offsets of lists."""
    return len(pages) > 0 and pages.message(0).WhichOneof("array_encoding") == "list"


def check_header(pages: PageList, expected: int) -> None:
    """Check the column of a struct: one page without buffers, as long as its children.

    Raises
    ------
    FormatError
        It is something else.
    """
    if len(pages) != 1:
        raise FormatError(f"the header of a struct has {len(pages)} pages, not one", column=pages.column)
    name = pages.message(0).WhichOneof("array_encoding")
    if name != "struct":
        raise pages.locate(FormatError(f"the header of a struct has the encoding {name!r}"), 0)
    pages.check_length(expected)


class LeafColumn:
    """The values of one column. May be shared by threads.

    Parameters
    ----------
    pages
        Its pages.
    type_
        Arrow type of the values, no extension type.
    """

    def __init__(self, pages: PageList, type_: pa.DataType) -> None:
        self._pages = pages
        self._type = type_
        # what a page reads once (dictionaries, decompressed bytes) is kept for the page that was read last
        self._recent: tuple[int, Node] | None = None

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[list[pa.Array]]:
        """Read `rows` of the column: one array a page, at least one."""
        if len(rows.starts) == 0:
            yield from ()
            return [empty_array(self._type)]
        parts = split_by_page(rows, self._pages.first_rows)
        return (yield from together([self._read_page(part.page, part.rows, allocate) for part in parts]))

    def _read_page(self, page: int, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        try:
            return (yield from self._node(page).read(rows, allocate))
        except LanceletError as error:
            raise self._pages.locate(error, page) from None

    def _node(self, page: int) -> Node:
        recent = self._recent
        if recent is not None and recent[0] == page:
            return recent[1]
        pages = self._pages
        node = pages.context(page).parse(pages.message(page), self._type, pages.length(page))
        self._recent = page, node
        return node


def empty_array(type_: pa.DataType) -> pa.Array:
    """Return an array of no values."""
    return pa.array([], type_)


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Some lists of a column.

    Attributes
    ----------
    lengths
        ``int64[num_lists]``: items of each, hidden ones of null lists included.
    valid
        ``bool[num_lists]``, or ``None`` when nothing is null.
    items
        Where the items lie in the column of the items.
    """

    lengths: Int64Array
    valid: npt.NDArray[np.bool_] | None
    items: RowRanges


class ListColumn:
    """The offsets of lists.

    Attributes
    ----------
    num_items
        Items of all lists together.
    """

    def __init__(self, pages: PageList) -> None:
        self._pages = pages
        self._open: list[Offsets] = []
        for page in range(len(pages)):
            try:
                self._open.append(
                    Offsets.from_message(pages.message(page), pages.context(page), pages.length(page))
                )
            except LanceletError as error:
                raise pages.locate(error, page) from None
        counts = [page.num_items for page in self._open]
        self.num_items = sum(counts)
        if self.num_items >= 2**63:
            raise FormatError(f"{self.num_items} items are impossible", column=pages.column)
        self._first_items: Int64Array = np.cumsum([0, *counts], dtype=np.int64)

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[Lists]:
        """Read `rows` of the column."""
        if len(rows.starts) == 0:
            yield from ()
            return Lists(np.zeros(0, np.int64), None, rows)
        parts = split_by_page(rows, self._pages.first_rows)
        read = yield from together([self._read_page(part.page, part.rows, allocate) for part in parts])
        bases = [self._first_items[part.page] for part in parts]
        starts = np.concatenate([ends.starts + base for ends, base in zip(read, bases, strict=True)])
        stops = np.concatenate([ends.stops + base for ends, base in zip(read, bases, strict=True)])
        return Lists(
            np.concatenate([ends.lengths for ends in read]), _joined_masks(read), _joined(starts, stops)
        )

    def _read_page(self, page: int, rows: RowRanges, allocate: Allocate) -> Fetch[Ends]:
        try:
            return (yield from self._open[page].read(rows, allocate))
        except LanceletError as error:
            raise self._pages.locate(error, page) from None


def _joined_masks(read: Sequence[Ends]) -> npt.NDArray[np.bool_] | None:
    if all(ends.valid is None for ends in read):
        return None
    return np.concatenate(
        [np.ones(len(ends.lengths), np.bool_) if ends.valid is None else ends.valid for ends in read]
    )


def _joined(starts: Int64Array, stops: Int64Array) -> RowRanges:
    """Make ranges of ascending ones that may touch or be empty."""
    filled = starts < stops
    starts, stops = starts[filled], stops[filled]
    if len(starts) < 2:
        return RowRanges(starts, stops)
    breaks = starts[1:] != stops[:-1]
    return RowRanges(starts[np.concatenate(([True], breaks))], stops[np.append(breaks, True)])
