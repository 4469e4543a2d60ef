"""Columns, pages and buffers as the column metadata describes them (container.md 2).

A column metadata block is one ``lance.file.v2.ColumnMetadata`` message::

    encoding   direct { Any { "/lance.encodings.ColumnEncoding", value } }
    pages      each: buffer offsets and sizes, rows, first row, direct { Any { "/<message name>", value } }
    buffers    offsets and sizes of buffers that belong to the column as a whole

What the encodings mean is not known here; they are a message name and bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

from lancelet.errors import FormatError, UnsupportedError
from lancelet.pb import file2_pb2
from lancelet.versions import COLUMN_ENCODING, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lancelet.buffers import Data

__all__ = [
    "ALIGNMENT",
    "BufferRef",
    "ColumnMetadata",
    "PageMetadata",
    "PageTotals",
    "Region",
    "check_page_rows",
    "encode_column",
    "encode_page",
    "encode_page_tail",
    "make_ref",
    "parse_any",
    "parse_column",
]

#: Buffers start at multiples of this; readers may rely on it from version 2.1 on.
ALIGNMENT = 64

#: Rows are counted in signed 64-bit integers.
_MAX_ROWS = 2**63 - 1


class BufferRef(NamedTuple):
    """Where a buffer lies: absolute position and size in bytes, without padding."""

    position: int
    size: int


#: Makes a reference of a pair; several times as fast as a call of the class.
make_ref: Callable[[tuple[int, int]], BufferRef] = partial(tuple.__new__, BufferRef)


@dataclass(frozen=True, slots=True)
class PageMetadata:
    """One page of a column.

    Attributes
    ----------
    buffers
        The page's buffers; encodings refer to them by index.
    num_rows
        ``Page.length``: top-level rows; in 2.0 items of this column; under a fixed-size list of structs rows
        times dimension.
    first_row
        ``Page.priority``: the first top-level row of the page; 0 in 2.0.
    type_name
        Full name of the message that describes the page.
    encoding
        That message, serialised.
    """

    buffers: tuple[BufferRef, ...]
    num_rows: int
    first_row: int
    type_name: str
    encoding: bytes


class PageTotals(NamedTuple):
    """What the pages of a column are together.

    Attributes
    ----------
    num_rows
        Rows of all pages; -1 when these do not follow each other from row 0 on.
    num_bytes
        Bytes of their buffers.
    num_pages
        Number of pages.
    """

    num_rows: int
    num_bytes: int
    num_pages: int


class PageList(Protocol):
    """Pages of a column that are made when somebody asks for them."""

    def all(self) -> tuple[PageMetadata, ...]:
        """Make all pages."""

    def page(self, number: int) -> PageMetadata:
        """Make one page."""

    def first_rows(self) -> list[int]:
        """Return the first row of each page."""


class ColumnMetadata:
    """One physical column. Immutable; threads may share it.

    Parameters
    ----------
    type_name, encoding
        Name and bytes of the message that describes the column.
    buffers
        Buffers of the column as a whole.
    pages
        The pages in row order; or what makes them when they are first asked for.
    totals
        What is known of the pages together.

    Attributes
    ----------
    type_name, encoding
        Name and bytes of the message that describes the column.
    buffers
        Buffers of the column as a whole; none from 2.1 on.
    """

    __slots__ = ("_pages", "_totals", "buffers", "encoding", "type_name")

    def __init__(
        self,
        type_name: str,
        encoding: bytes,
        buffers: tuple[BufferRef, ...],
        pages: tuple[PageMetadata, ...] | PageList,
        totals: PageTotals | None = None,
    ) -> None:
        self.type_name = type_name
        self.encoding = encoding
        self.buffers = buffers
        self._pages = pages
        self._totals = totals

    @property
    def pages(self) -> tuple[PageMetadata, ...]:
        """The pages in row order."""
        pages = self._pages
        if not isinstance(pages, tuple):
            self._pages = pages = pages.all()
        return pages

    def page(self, number: int) -> PageMetadata:
        """Return one page, without making the others."""
        pages = self._pages
        return pages[number] if isinstance(pages, tuple) else pages.page(number)

    @property
    def first_rows(self) -> list[int]:
        """The first row of each page."""
        pages = self._pages
        return [page.first_row for page in pages] if isinstance(pages, tuple) else pages.first_rows()

    @property
    def totals(self) -> PageTotals:
        """What the pages are together."""
        if self._totals is None:
            num_rows = 0
            for page in self.pages:
                num_rows = num_rows + page.num_rows if page.first_row == num_rows else -1
            num_bytes = sum(buffer.size for page in self.pages for buffer in page.buffers)
            self._totals = PageTotals(num_rows, num_bytes, len(self.pages))
        return self._totals

    def replaced(self, **changes: Any) -> ColumnMetadata:
        """Return the same with other values of some parameters."""
        names = ("type_name", "encoding", "buffers", "pages")
        return ColumnMetadata(**{name: getattr(self, name) for name in names} | changes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ColumnMetadata):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self.type_name, self.encoding, self.buffers, self.pages

    def __repr__(self) -> str:
        names = ("type_name", "encoding", "buffers", "pages")
        return f"ColumnMetadata({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def __reduce__(self) -> tuple[type[ColumnMetadata], tuple[object, ...]]:
        return ColumnMetadata, self._key()


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a file that may hold buffers.

    Attributes
    ----------
    stop
        End of the region; it begins at 0.
    aligned
        Buffers must start at multiples of 64.
    """

    stop: int
    aligned: bool

    def refs(self, offsets: Sequence[int], sizes: Sequence[int]) -> tuple[BufferRef, ...]:
        """Pair offsets and sizes and check each buffer.

        Raises
        ------
        FormatError
            There are not as many sizes as offsets, or a buffer lies outside of the region or is misaligned.
        """
        if len(offsets) != len(sizes):
            raise FormatError(f"there are {len(offsets)} buffer offsets, but {len(sizes)} buffer sizes")
        if not offsets:
            return ()
        refs = tuple(map(make_ref, zip(offsets, sizes, strict=True)))
        stop, odd_bits = self.stop, ALIGNMENT - 1 if self.aligned else 0
        for position, size in refs:
            if position + size > stop or position & odd_bits:
                raise self._refused(refs)
        return refs

    def _refused(self, refs: Sequence[BufferRef]) -> FormatError:
        """Say which is the first buffer that is wrong, and why."""
        for number, (position, size) in enumerate(refs):
            if position + size > self.stop:
                return FormatError(
                    f"{size} bytes at {position} do not lie inside of the data, which ends at {self.stop}",
                    buffer=number,
                    offset=position,
                )
            if self.aligned and position % ALIGNMENT:
                break
        return FormatError(
            f"the buffer does not start at a multiple of {ALIGNMENT}", buffer=number, offset=position
        )


def check_page_rows(pages: Sequence[PageMetadata], num_rows: int, multiplier: int = 1) -> None:
    """Check that pages follow each other and hold all rows of a file (2.1 and later).

    Parameters
    ----------
    pages
        All pages of a column.
    num_rows
        Rows of the file.
    multiplier
        Rows that the pages count for one row of the file (versions.md 5.8).

    Raises
    ------
    FormatError
        Rows are missing, too many, or out of order.
    """
    row = 0
    for number, page in enumerate(pages):
        rows, rest = divmod(page.num_rows, multiplier)
        if rest:
            raise FormatError(f"{page.num_rows} items are no whole rows of {multiplier} items", page=number)
        if page.first_row != row:
            raise FormatError(
                f"the page starts at row {page.first_row}, but {row} rows come before it", page=number
            )
        row += rows
    if row != num_rows:
        raise FormatError(f"the pages hold {row} rows, but the file has {num_rows}")


def parse_column(data: Data, region: Region, version: Version) -> ColumnMetadata:
    """Read and check one column metadata block.

    Parameters
    ----------
    data
        The block.
    region
        Where the column's buffers may lie.
    version
        The version of the file; page messages must fit it.

    Raises
    ------
    FormatError
        The block cannot be parsed or breaks a rule of container.md 7; the error names the page.
    UnsupportedError
        An encoding is stored apart from the metadata ("indirect"), which no writer does.
    """
    try:
        message = file2_pb2.ColumnMetadata.FromString(bytes(data))
    except DecodeError as error:
        raise FormatError(f"the column metadata cannot be parsed: {error}") from None
    type_name, encoding = _parse_encoding(message)
    if type_name != COLUMN_ENCODING:
        raise FormatError(f"the column is described by {type_name!r}, not by {COLUMN_ENCODING!r}")
    buffers = region.refs(message.buffer_offsets, message.buffer_sizes)
    pages = []
    for page in message.pages:
        try:
            pages.append(_parse_page(page, region, version))
        except FormatError as error:
            raise error.locate(page=len(pages)) from None
    return ColumnMetadata(type_name, encoding, buffers, tuple(pages))


def _parse_page(page: file2_pb2.ColumnMetadata.Page, region: Region, version: Version) -> PageMetadata:
    type_name, encoding = _parse_encoding(page)
    if not version.allows_page_type(type_name):
        raise FormatError(f"a file of version {version.text} cannot have a page of type {type_name!r}")
    num_rows, first_row = page.length, page.priority
    if num_rows > _MAX_ROWS or first_row > _MAX_ROWS:
        raise FormatError(f"impossible numbers of rows: {num_rows} rows from row {first_row} on")
    buffers = region.refs(page.buffer_offsets, page.buffer_sizes)
    return PageMetadata(buffers, num_rows, first_row, type_name, encoding)


def _parse_encoding(message: file2_pb2.ColumnMetadata | file2_pb2.ColumnMetadata.Page) -> tuple[str, bytes]:
    """Return name and bytes of the message inside of the encoding of a page or a column."""
    direct = message.encoding.direct.encoding
    if direct:
        return parse_any(direct)
    location = message.encoding.WhichOneof("location")
    if location == "indirect":
        raise UnsupportedError("encodings stored apart from the column metadata (indirect) are not handled")
    if location != "direct":
        raise FormatError("the encoding is missing")
    return parse_any(direct)


@lru_cache(maxsize=1024)  # columns of one kind have the same encoding, most often
def parse_any(data: bytes) -> tuple[str, bytes]:
    """Return name and bytes of a message wrapped in an ``Any``."""
    try:
        message = AnyMessage.FromString(data)
    except DecodeError as error:
        raise FormatError(f"the encoding cannot be parsed: {error}") from None
    _, slash, name = message.type_url.rpartition("/")
    if not slash or not name:
        raise FormatError(
            f"the encoding's type {message.type_url!r} is not a slash and the name of a message"
        )
    return name, message.value


def _direct(type_name: str, encoding: bytes) -> file2_pb2.Encoding:
    return file2_pb2.Encoding(direct=file2_pb2.DirectEncoding(encoding=_any(type_name, encoding)))


@lru_cache(maxsize=64)  # pages of one kind have the same encoding, most often
def _any(type_name: str, encoding: bytes) -> bytes:
    return AnyMessage(type_url=f"/{type_name}", value=encoding).SerializeToString(deterministic=True)


def encode_page(page: PageMetadata) -> bytes:
    """Return a page as a piece of a column metadata block: such pieces are simply joined."""
    column = file2_pb2.ColumnMetadata()
    message = column.pages.add()  # filled in place, which is twice as fast as keywords
    if page.buffers:
        offsets, sizes = zip(*page.buffers, strict=True)
        message.buffer_offsets.extend(offsets)
        message.buffer_sizes.extend(sizes)
    message.length = page.num_rows
    message.encoding.direct.encoding = _any(page.type_name, page.encoding)
    message.priority = page.first_row
    return column.SerializeToString(deterministic=True)


@lru_cache(maxsize=64)  # pages of one kind have the same encoding, most often
def encode_page_tail(num_rows: int, first_row: int, type_name: str, encoding: bytes) -> bytes:
    """Return what follows the offsets and sizes of the buffers in a page message: see :func:`encode_page`."""
    message = file2_pb2.ColumnMetadata.Page(length=num_rows, priority=first_row)
    message.encoding.direct.encoding = _any(type_name, encoding)
    return message.SerializeToString(deterministic=True)


def encode_column(type_name: str, encoding: bytes, buffers: Sequence[BufferRef], pages: bytes) -> bytes:
    """Return a column metadata block.

    Parameters
    ----------
    type_name, encoding
        Name and bytes of the message that describes the column.
    buffers
        Buffers of the column as a whole.
    pages
        The joined results of :func:`encode_page`.
    """
    head = _column_head(type_name, encoding)
    if not buffers:
        return head + pages
    tail = file2_pb2.ColumnMetadata(
        buffer_offsets=[buffer.position for buffer in buffers],
        buffer_sizes=[buffer.size for buffer in buffers],
    )
    return head + pages + tail.SerializeToString(deterministic=True)


@lru_cache(maxsize=4)  # most columns are described by the same few bytes
def _column_head(type_name: str, encoding: bytes) -> bytes:
    message = file2_pb2.ColumnMetadata(encoding=_direct(type_name, encoding))
    return message.SerializeToString(deterministic=True)
