"""Column metadata blocks as arrays of numbers: all columns of a file a call (container.md 2).

Blocks are messages of protobuf. What is taken here are *plain* ones: as writers make them, and without a fault. Every field of
``ColumnMetadata``, ``Page``, ``Encoding`` and ``DirectEncoding`` is known and comes once (pages: any number of times), lists of
numbers are packed, and encodings are direct. All others are for the general parser, :mod:`lancelet.container.metadata`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lancelet.buffers import as_bytes, nbytes
from lancelet.kernels.reference.direct_pages import checked_slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lancelet.buffers import Data, Int64Array

    #: A number, or start and stop of bytes.
    Value = int | tuple[int, int]

__all__ = ["columns_measure", "columns_parse", "page_places", "pages_moved"]

_ALIGNMENT = 64
_MAX_NUMBER = 2**63 - 1
#: The bit of a byte of a varint that says that more bytes follow.
_MORE = 0x80


def columns_measure(
    blocks: Data, edges: Int64Array, stop: int, aligned: bool, out_counts: Int64Array
) -> None:
    """Count the pages and buffers of columns.

    Parameters
    ----------
    blocks
        Column metadata blocks.
    edges
        ``int64[num_columns + 1]``: block i is ``blocks[edges[i]:edges[i + 1]]``.
    stop
        Where the buffers of a column must end.
    aligned
        Buffers must start at multiples of 64.
    out_counts
        ``int64[num_columns, 2]``: pages, and buffers of pages and column together; -1 and -1 for a block that is not plain.
    """
    counts = out_counts.reshape(-1)
    if not len(edges) or len(counts) != 2 * (len(edges) - 1):
        raise ValueError("columns: two counts a column are needed")
    for number in range(len(edges) - 1):
        found = _column(blocks, edges, number, stop, aligned)
        pages = () if found is None else found.pages
        buffers = 0 if found is None else len(found.buffers) + sum(len(page.buffers) for page in pages)
        counts[2 * number : 2 * number + 2] = (-1, -1) if found is None else (len(pages), buffers)


def columns_parse(
    blocks: Data,
    edges: Int64Array,
    stop: int,
    aligned: bool,
    counts: Int64Array,
    out_columns: Int64Array,
    out_pages: Int64Array,
    out_buffers: Int64Array,
    out_encodings: Int64Array,
) -> int:
    """Take columns apart; returns the number of different encodings.

    Parameters
    ----------
    blocks, edges, stop, aligned
        See :func:`columns_measure`.
    counts
        What that gave. Columns with -1 are left out.
    out_columns
        ``int64[num_columns, 7]``: first page, number of pages, first buffer and number of buffers of the column itself, encoding,
        rows of all pages (-1 when these do not follow each other from row 0 on), bytes of the pages' buffers (at most
        ``2**63 - 1``). All are -1 for columns that are left out.
    out_pages
        ``int64[num_pages, 5]``: first buffer, number of buffers, rows, first row, encoding.
    out_buffers
        ``int64[num_buffers, 2]``: position and size.
    out_encodings
        ``int64[at least the number of different ones, 2]``; columns and pages together are always enough. Start and stop in
        `blocks` of each different encoding, the bytes of an ``Any``, in the order of their first use.
    """
    if not len(edges) or counts.size != 2 * (len(edges) - 1):
        raise ValueError("columns: two counts a column are needed")
    columns: list[tuple[int, ...]] = []
    pages: list[tuple[int, ...]] = []
    buffers: list[tuple[int, int]] = []
    encodings: dict[bytes, tuple[int, int, int]] = {}

    def number_of(span: tuple[int, int]) -> int:
        key = as_bytes(blocks)[span[0] : span[1]].tobytes()
        return encodings.setdefault(key, (len(encodings), *span))[0]

    for number, num_pages in enumerate(counts.reshape(-1, 2)[:, 0].tolist()):
        found = None if num_pages < 0 else _column(blocks, edges, number, stop, aligned)
        if found is None:
            if num_pages >= 0:
                raise ValueError("columns: the counts are those of other blocks")
            columns.append((-1,) * 7)
            continue
        first_page, num_rows, num_bytes = len(pages), 0, 0
        for page in found.pages:
            pages.append(
                (len(buffers), len(page.buffers), page.num_rows, page.first_row, number_of(page.encoding))
            )
            buffers += page.buffers
            num_bytes += sum(size for _, size in page.buffers)
            in_order = page.first_row == num_rows and num_rows + page.num_rows <= _MAX_NUMBER
            num_rows = num_rows + page.num_rows if in_order else -1
        places = (first_page, len(found.pages), len(buffers), len(found.buffers), number_of(found.encoding))
        columns.append((*places, num_rows, min(num_bytes, _MAX_NUMBER)))
        buffers += found.buffers
    _fill(out_columns, columns, 7)
    _fill(out_pages, pages, 5)
    _fill(out_buffers, buffers, 2)
    _fill(out_encodings, [span for _, *span in encodings.values()], 2)
    return len(encodings)


def pages_moved(
    blocks: Data,
    spans: Int64Array,
    columns: Int64Array,
    pages: Int64Array,
    buffers: Int64Array,
    starts: Int64Array,
    shifts: Int64Array,
    first_row: int,
) -> list[bytes]:
    """Return the pages of columns as they stand in the metadata of a file to which their buffers are moved (container.md 2).

    Parameters
    ----------
    blocks, pages, buffers
        See :func:`columns_parse`.
    spans
        ``int64[num_encodings, 2]``: its `out_encodings`.
    columns
        ``int64[num_columns, 2]``: first page and number of pages of each.
    starts, shifts
        ``int64[num_runs]``: buffers from ``starts[i]`` on lie ``shifts[i]`` bytes further; in order.
    first_row
        Rows of the new file before those of this one.

    Returns
    -------
    list[bytes]
        For each column the field ``ColumnMetadata.pages``, serialised.

    Raises
    ------
    FormatError
        An encoding lies outside of the blocks.
    ValueError
        There are no such pages, buffers or encodings, a buffer lies before all starts, or numbers become negative or too large.
    """
    if columns.size % 2 or len(starts) != len(shifts) or first_row < 0:
        raise ValueError("columns: two numbers a column, a shift for each start, and a first row")
    borders = starts.tolist()
    if borders != sorted(borders):
        raise ValueError("columns: the starts are not in order")
    all_pages, all_buffers = pages.reshape(-1, 5), buffers.reshape(-1, 2)
    found = []
    for first, count in columns.reshape(-1, 2).tolist():
        if first < 0 or not 0 <= count <= len(all_pages) - first:
            raise ValueError("columns: no such pages")
        column = b""
        for buffer, num_buffers, num_rows, row, encoding in all_pages[first : first + count].tolist():
            if buffer < 0 or not 0 <= num_buffers <= len(all_buffers) - buffer:
                raise ValueError("columns: no such buffers")
            if not 0 <= encoding < spans.size // 2:
                raise ValueError("columns: no such encoding")
            if num_rows < 0 or row < 0 or row + first_row > _MAX_NUMBER:
                raise ValueError("columns: no such rows")
            own = all_buffers[buffer : buffer + num_buffers].tolist()
            start, stop = spans.reshape(-1, 2)[encoding].tolist()
            any_ = checked_slice(as_bytes(blocks), start, stop - start).tobytes()
            offsets = b"".join(_varint(_moved(position, borders, shifts)) for position, _ in own)
            sizes = b"".join(_varint(size) for _, size in own)
            page = _bytes_field(1, offsets) + _bytes_field(2, sizes) if own else b""
            page += _number_field(3, num_rows) + _bytes_field(4, _bytes_field(2, _bytes_field(1, any_)))
            column += _bytes_field(2, page + _number_field(5, row + first_row))
        found.append(column)
    return found


def _moved(position: int, starts: list[int], shifts: Int64Array) -> int:
    after = bisect_right(starts, position)
    if not after:
        raise ValueError("columns: a buffer lies before all that is moved")
    found = position + int(shifts[after - 1])
    if not 0 <= found <= _MAX_NUMBER:
        raise ValueError("columns: a buffer is moved out of the file")
    return found


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= _MORE:
        found.append(value % _MORE | _MORE)
        value //= _MORE
    return bytes([*found, value])


def _number_field(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes_field(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def page_places(
    wanted: Int64Array,
    pages: Int64Array,
    buffers: Int64Array,
    num_buffers: Int64Array,
    out_places: Int64Array,
) -> None:
    """Say where the buffers of mini-block pages lie.

    Parameters
    ----------
    wanted
        ``int64[num_wanted, 5]``: column, page, form; row in `pages`; whether values are text.
    pages, buffers
        See :func:`columns_parse`.
    num_buffers
        ``int64[num_forms]``: buffers of a page of each form, 2, or 3 with a dictionary.
    out_places
        ``int64[num_wanted, 10]``: column, page, form, or -1 if the page has another number of buffers; position and size of the
        chunk words, of the chunks, and of the dictionary (0 without one); whether values are text.

    Raises
    ------
    ValueError
        There are no such rows, or outputs of another size.
    """
    if wanted.size % 5 or out_places.size != wanted.size // 5 * 10:
        raise ValueError("columns: five numbers a page are needed, and ten come out")
    for place, (column, page, form, row, is_text) in enumerate(wanted.reshape(-1, 5).tolist()):
        first, found, *_ = _row(pages.reshape(-1, 5), row)
        (count,) = _row(num_buffers.reshape(-1, 1), form)
        if count not in (2, 3):
            raise ValueError("columns: a mini-block page has two or three buffers")
        is_known = found == count
        numbers = range(first, first + count) if is_known else ()
        where = [edge for number in numbers for edge in _row(buffers.reshape(-1, 2), number)]
        where += [0] * (6 - len(where))
        out_places.reshape(-1, 10)[place] = (column, page, form if is_known else -1, *where, is_text)


def _row(rows: Int64Array, number: int) -> list[int]:
    if not 0 <= number < len(rows):
        raise ValueError("columns: no such row")
    found: list[int] = rows[number].tolist()
    return found


def _fill(out: Int64Array, rows: Sequence[Sequence[int]], width: int) -> None:
    if out.size < len(rows) * width:
        raise ValueError("columns: there is no room for what the blocks hold")
    out.reshape(-1)[: len(rows) * width] = np.array(rows, dtype=np.int64).reshape(-1)


class _Page(NamedTuple):
    buffers: list[tuple[int, int]]
    num_rows: int
    first_row: int
    encoding: tuple[int, int]


class _Column(NamedTuple):
    buffers: list[tuple[int, int]]
    pages: list[_Page]
    encoding: tuple[int, int]


class _NotPlain(Exception):  # noqa: N818 - no error: the general parser takes the block
    """A block is not plain."""


def _column(blocks: Data, edges: Int64Array, number: int, stop: int, aligned: bool) -> _Column | None:
    start, end = int(edges[number]), int(edges[number + 1])
    if not 0 <= start <= end <= nbytes(blocks):
        raise ValueError("columns: a block lies outside of the blocks")
    parser = _Parser(as_bytes(blocks).tobytes(), stop, aligned)
    try:
        return parser.column(start, end)
    except _NotPlain:
        return None


class _Parser:
    """Reads the wire format; places are positions in `data`."""

    def __init__(self, data: bytes, stop: int, aligned: bool) -> None:
        self._data = data
        self._stop = stop
        self._aligned = aligned

    def column(self, start: int, end: int) -> _Column:
        """Read a ``ColumnMetadata``."""
        fields = self._fields(start, end)
        pages = [self._page(*self._span(value)) for number, value in fields if number == 2]
        found = self._once((number, value) for number, value in fields if number != 2)
        if not found.keys() <= {1, 3, 4}:
            raise _NotPlain
        return _Column(self._buffers(found.get(3), found.get(4)), pages, self._encoding(found.get(1)))

    def _page(self, start: int, end: int) -> _Page:
        found = self._once(self._fields(start, end))
        num_rows, first_row = found.get(3, 0), found.get(5, 0)
        if (
            not found.keys() <= {1, 2, 3, 4, 5}
            or not isinstance(num_rows, int)
            or not isinstance(first_row, int)
        ):
            raise _NotPlain
        if num_rows > _MAX_NUMBER or first_row > _MAX_NUMBER:
            raise _NotPlain
        encoding = self._encoding(found.get(4))
        return _Page(self._buffers(found.get(1), found.get(2)), num_rows, first_row, encoding)

    def _encoding(self, encoding: Value | None) -> tuple[int, int]:
        for number in (2, 1):
            fields = self._fields(*self._span(encoding))
            if [found for found, _ in fields] != [number]:
                raise _NotPlain
            encoding = fields[0][1]
        return self._span(encoding)

    def _buffers(self, offsets: Value | None, sizes: Value | None) -> list[tuple[int, int]]:
        pairs = list(zip(self._packed(offsets), self._packed(sizes), strict=False))
        if len(self._packed(offsets)) != len(self._packed(sizes)):
            raise _NotPlain
        for position, size in pairs:
            if position + size > self._stop or (self._aligned and position % _ALIGNMENT):
                raise _NotPlain
        return pairs

    def _packed(self, span: Value | None) -> list[int]:
        numbers = []
        at, end = (0, 0) if span is None else self._span(span)
        while at < end:
            value, at = self._varint(at, end)
            numbers.append(value)
        return numbers

    def _fields(self, at: int, end: int) -> list[tuple[int, Value]]:
        """Return numbers and values of the fields of a message: numbers as they are, bytes as start and stop."""
        fields: list[tuple[int, Value]] = []
        while at < end:
            tag, at = self._varint(at, end)
            value, at = self._varint(at, end)
            if tag & 7 == 0:
                fields.append((tag >> 3, value))
            elif tag & 7 == 2 and value <= end - at:
                fields.append((tag >> 3, (at, at + value)))
                at += value
            else:
                raise _NotPlain
        return fields

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at == end:
                break
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= 2**64:
                    break
                return value, at
        raise _NotPlain

    @staticmethod
    def _once(fields: Iterable[tuple[int, Value]]) -> dict[int, Value]:
        found: dict[int, Value] = {}
        for number, value in fields:
            if number in found:
                raise _NotPlain
            found[number] = value
        return found

    @staticmethod
    def _span(value: Value | None) -> tuple[int, int]:
        if not isinstance(value, tuple):
            raise _NotPlain
        return value
