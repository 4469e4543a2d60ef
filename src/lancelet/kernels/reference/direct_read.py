"""One read of one column: rows to pages to chunks to values. Twin of ``native/direct_read.hpp``; no kernel stands here."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, compress, pairwise
from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_bytes
from lancelet.errors import FormatError
from lancelet.kernels.reference.direct_pages import WORD_BITS, Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from lancelet.buffers import Int64Array, UInt8Array
    from lancelet.kernels.reference.direct_pages import Page
    from lancelet.kernels.reference.ranges import Copies

    Ranges = Sequence[tuple[int, int]]

__all__ = ["Column", "Decoded", "chunk_parts", "decode_column", "row_ranges"]

#: Most bytes that are told apart: nobody has so many, and sums of some still fit.
_TOO_MANY_BYTES = 1 << 56


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def row_ranges(starts: Int64Array, stops: Int64Array) -> list[tuple[int, int]]:
    """Return half-open ranges of rows.

    Raises
    ------
    ValueError
        There are none, or they are not sorted, disjoint and non-empty.
    """
    _require(len(starts) == len(stops) > 0, "direct: ranges of rows are needed")
    ranges = list(zip(starts.tolist(), stops.tolist(), strict=True))
    in_order = ranges[0][0] >= 0 and all(start < stop for start, stop in ranges)
    in_order &= all(left[1] <= right[0] for left, right in pairwise(ranges))
    _require(in_order, "direct: the ranges of rows are not in order")
    return ranges


class Column:
    """A column, and those of its pages that are open.

    Parameters
    ----------
    first_rows, is_variable, bits
        As for ``DirectColumns.add_column``.

    Raises
    ------
    ValueError
        There are no such columns.
    """

    def __init__(self, first_rows: Sequence[int], is_variable: bool, bits: int) -> None:
        _require(len(first_rows) >= 2 and first_rows[0] == 0, "direct: pages begin with row 0")
        _require(list(first_rows) == sorted(first_rows), "direct: the pages are not in order")
        is_known = bits in (32, 64) if is_variable else bits == 1 or (bits > 0 and bits % 8 == 0)
        _require(is_known, "direct: values or offsets of this width are not read")
        self.first_rows = first_rows
        self.is_variable = is_variable
        self.bits = bits
        self.pages: list[Page | None] = [None] * (len(first_rows) - 1)

    def num_rows(self, page: int) -> int:
        """Return the rows of a page.

        Raises
        ------
        ValueError
            There is no such page.
        """
        _require(0 <= page < len(self.pages), "direct: no such page")
        return self.first_rows[page + 1] - self.first_rows[page]

    def page_of(self, row: int) -> int:
        """Return the number of the page that holds a row."""
        return bisect_right(self.first_rows, row) - 1

    def pages_of(self, ranges: Ranges) -> list[int]:
        """Return the numbers of the pages that ranges of rows touch."""
        return [
            number
            for number, (first, last) in enumerate(pairwise(self.first_rows))
            if any(start < last and stop > first for start, stop in ranges)
        ]

    def check_page(self, page: Page) -> None:
        """Check that a page holds what the column does.

        Raises
        ------
        ValueError
            It does not.
        """
        form, items = page.form, page.items
        if items is None:
            is_same = form.has_lengths == self.is_variable and form.bits == self.bits
            _require(is_same, "direct: a page has other values than its column")
        else:
            is_same = not form.has_lengths and items.is_variable == self.is_variable
            _require(is_same, "direct: a page has another kind of values than its column")
            _require(form.bits in WORD_BITS, "bits must be 8, 16, 32 or 64")

    def needed_bytes(self, num_rows: int) -> int:
        """Return the bytes of the values of some rows, or of their offsets."""
        if self.is_variable:
            num_rows += 1
        return min(-(-num_rows * self.bits // 8), _TOO_MANY_BYTES)


def chunk_parts(
    column: Column, pages: Mapping[int, Page], ranges: Ranges
) -> Iterator[tuple[Page, int, int, int]]:
    """Give page, chunk, first slot in the chunk, and number of slots, for all rows in order.

    Raises
    ------
    ValueError
        A page is not among those that are given.
    """
    for row, stop in ranges:
        while row < stop:
            number = column.page_of(row)
            _require(number in pages, "direct: a page is not open")
            page, first_row = pages[number], column.first_rows[number]
            chunk = page.chunk_of(row - first_row)
            first_slot, stop_slot = page.slot_borders[chunk : chunk + 2]
            next_row = min(stop, first_row + stop_slot)
            yield page, chunk, row - first_row - first_slot, next_row - row
            row = next_row


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a read has of a column.

    Attributes
    ----------
    has_levels
        Whether some page can have nulls.
    is_valid
        ``uint8[num_rows]``, 0 or 1.
    values
        One a row if they have lengths of their own; otherwise any pieces, of values of one bit a byte each.
    is_item
        For each of `values` whether it comes from a dictionary.
    """

    has_levels: bool
    is_valid: UInt8Array
    values: list[bytes]
    is_item: list[bool]

    def bitmap(self) -> bytes:
        """Return the validity bitmap."""
        return np.packbits(self.is_valid, bitorder="little").tobytes()

    def fixed(self, bits: int) -> bytes:
        """Return the values, which have one width."""
        data = b"".join(self.values)
        return data if bits > 1 else np.packbits(as_bytes(data), bitorder="little").tobytes()

    def offsets(self, bits: int) -> bytes:
        """Return the offsets of values of variable width.

        Raises
        ------
        FormatError
            A signed offset cannot hold the last one.
        """
        offsets = list(accumulate(map(len, self.values), initial=0))
        if offsets[-1] >= 2 ** (bits - 1):
            raise FormatError("the values together are too long for their offsets")
        return np.array(offsets, f"<u{bits // 8}").tobytes()

    def is_ascii(self) -> bool:
        """Whether all values that come from no dictionary are ASCII."""
        return all(
            is_item or value.isascii() for value, is_item in zip(self.values, self.is_item, strict=True)
        )


def decode_column(column: Column, pages: Mapping[int, Page], ranges: Ranges, copies: Copies) -> Decoded:
    """Decode the values of some rows.

    Raises
    ------
    FormatError
        A chunk is damaged.
    ValueError
        A page is not among those that are given.
    """
    has_levels = False
    chunk: Chunk | None = None
    is_valid, values, is_item = [], list[bytes](), list[bool]()
    for page, number, first, count in chunk_parts(column, pages, ranges):
        if chunk is None or chunk.page is not page or chunk.number != number:
            chunk = Chunk(page, number, copies)
        levels = chunk.levels
        has_levels |= levels is not None
        valid = np.ones(count, np.bool_) if levels is None else levels[first : first + count] == 0
        found = _values(column, chunk, valid, first)
        is_valid.append(valid.astype(np.uint8))
        values += found
        is_item += [page.items is not None] * len(found)
    return Decoded(has_levels, np.concatenate(is_valid), values, is_item)


def _values(column: Column, chunk: Chunk, valid: npt.NDArray[np.bool_], first: int) -> list[bytes]:
    """Return the values of a chunk from slot `first` on, one for each of `valid`; of one width, in as many pieces as you like."""
    items, count = chunk.page.items, len(valid)
    if items is not None:
        wanted = chunk.indices[first : first + count]
        if any(index >= len(items.values) for index in compress(wanted, valid)):
            raise FormatError("an index lies outside of its dictionary")
        return [
            items.values[index] if is_valid else items.null
            for index, is_valid in zip(wanted, valid, strict=True)
        ]
    if column.is_variable:
        return chunk.variable_values(first, count)
    width = max(column.bits // 8, 1)
    return [chunk.flat_values[first * width : (first + count) * width]]
