"""Many flat mini-block columns a call, read straight from a file in memory (structural.md 5).

What a page must look like to be read this way stands in :mod:`lancelet.file.direct`; every other page takes the general way, and so
does every page whose bytes are refused here. The steps of a read:

1. :meth:`DirectRead.missing` names the pages that :meth:`DirectColumns.add_page` must open,
2. :meth:`DirectRead.measure` says how large the outputs must be,
3. :meth:`DirectRead.decode` fills them, but for the bytes of values of variable width,
4. :meth:`DirectRead.copy` writes these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_bytes
from lancelet.errors import FormatError
from lancelet.kernels.reference.direct_items import ItemsForm, decode_items, fixed_items, variable_items
from lancelet.kernels.reference.direct_pages import MAX_BITS, PageForm, checked_slice, make_page
from lancelet.kernels.reference.direct_read import Column, chunk_parts, decode_column, row_ranges
from lancelet.kernels.reference.ranges import Copies, merge_near

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data, Int64Array, UInt8Array
    from lancelet.kernels.reference.direct_items import Items
    from lancelet.kernels.reference.direct_pages import Page
    from lancelet.kernels.reference.direct_read import Decoded

__all__ = ["DirectColumns", "DirectRead"]

_PAGE_NUMBERS = 10
_FORM_NUMBERS = 10
_VARIABLE_ITEMS = 2
_MOST_ITEMS = 2**32 - 2


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


class DirectColumns:
    """Columns of a file that lies in memory, with those of their pages that were opened.

    Parameters
    ----------
    file
        All bytes of the file; held as long as this object lives.
    """

    def __init__(self, file: Data) -> None:
        self._file = as_bytes(file)
        self._columns: list[Column] = []

    def add_column(self, first_rows: Int64Array, is_variable: bool, bits: int) -> int:
        """Add a column; returns its number, from 0.

        Parameters
        ----------
        first_rows
            ``int64[num_pages + 1]``: the row where each page starts, and the end.
        is_variable
            Whether values have lengths of their own.
        bits
            Width of an offset (32, 64), or of a value (1, or a multiple of 8).

        Raises
        ------
        ValueError
            The rows do not begin with 0 or decrease, or there are no such widths.
        """
        self._columns.append(Column(first_rows.tolist(), is_variable, bits))
        return len(self._columns) - 1

    def add_columns(self, first_rows: Int64Array, kinds: Int64Array) -> int:
        """Add columns as :meth:`add_column` does; returns the number of the first, and the others follow.

        Parameters
        ----------
        first_rows
            Those of all columns, one after the other.
        kinds
            ``int64[num_columns, 3]``: number of pages, `is_variable` and `bits` of each.

        Raises
        ------
        ValueError
            As for :meth:`add_column`, or there are more or fewer rows than pages. Columns may have been added then.
        """
        first, at = len(self._columns), 0
        _require(kinds.size % 3 == 0, "direct: three numbers a column")
        for num_pages, is_variable, bits in kinds.reshape(-1, 3).tolist():
            is_known = 0 <= num_pages < len(first_rows) - at and 0 <= bits <= MAX_BITS
            _require(is_known, "direct: columns of other pages")
            self.add_column(first_rows[at : at + num_pages + 1], bool(is_variable), bits)
            at += num_pages + 1
        _require(at == len(first_rows), "direct: columns of other pages")
        return first

    def add_pages(
        self,
        pages: Int64Array,
        forms: Int64Array,
        symbols: list[bytes | None],
        copied: Sequence[tuple[int, int]],
        copies: Data,
        room: int,
        out_held: Int64Array,
    ) -> int:
        """Add pages as :meth:`add_page` does; returns how many it came to.

        Parameters
        ----------
        pages
            ``int64[num_pages, 10]``: column, page, form; position and size of the chunk words, of the chunks, and of the dictionary
            (0 without one); whether values are text. Dictionaries of text are refused if they are not all ASCII.
        forms
            ``int64[num_forms, 10]``: `levels`, `level_width`, `values`, `bits` and `large` of :meth:`add_page`; rows of the page;
            of the dictionary the kind (0: none, 1: values of one width, 2: block of variable width), bits of a value, whether it is
            an LZ4 block behind a ``u32`` with its decoded size (at most 255 bytes a stored byte, and 64 MiB), and its number of
            items.
        symbols
            Symbol table of each form.
        copied, copies
            Ranges of the file, sorted and disjoint, and the bytes of all of them: chunk words and dictionaries that lie in one are
            read there.
        room
            No more pages are added when those that were hold more bytes than this together.
        out_held
            ``int64[num_pages]``: the bytes that the page holds beside the file; -1: it is refused, and not added.

        Raises
        ------
        ValueError
            There are not ten numbers a page and a form, a page has none of the forms, or there are copies of other ranges.
        """
        _require(
            pages.size == _PAGE_NUMBERS * len(out_held) and forms.size == _FORM_NUMBERS * len(symbols),
            "direct: ten numbers a page and a form",
        )
        heads, number = Copies(copied, copies), 0
        for page in pages.reshape(-1, _PAGE_NUMBERS).tolist():
            if room < 0:
                break
            _require(0 <= page[2] < len(symbols), "direct: no such form")
            form = forms.reshape(-1, _FORM_NUMBERS)[page[2]].tolist()
            try:
                out_held[number] = held = self._add_known(page, form, symbols[page[2]], heads)
                room -= held
            except (FormatError, ValueError):
                out_held[number] = -1
            number += 1
        return number

    def add_page(
        self,
        column: int,
        page: int,
        levels: int,
        level_width: int,
        values: int,
        bits: int,
        large: bool,
        words: tuple[int, int],
        chunks: tuple[int, int],
        items: Data | None,
        item_bits: int,
        item_offsets: Data | None,
        symbols: bytes | None,
    ) -> int:
        """Open a page: check its chunk words and keep what is needed to find its chunks (structural.md 5).

        Parameters
        ----------
        column, page
            Numbers.
        levels
            How definition levels are stored: 0 not at all, 1 flat, 2 inline bit-packed, 3 bit-packed out of line, 4 runs.
        level_width
            Packed width of levels of form 3.
        values
            How the values, or indices, are stored: 0 flat, 1 inline bit-packed, 2 runs, 3 variable width, 4 the same with symbols.
        bits
            Width of a value, an index, or an offset.
        large
            32-bit chunk words and buffer sizes.
        words, chunks
            Position and size of the chunk words, and of the chunks.
        items, item_bits, item_offsets
            The dictionary that indices refer to: values, or bytes and offsets with their width; copied.
        symbols
            Symbol table of form 4.

        Returns
        -------
        int
            Bytes that are kept.

        Raises
        ------
        FormatError
            A buffer lies outside of the file, the chunk words contradict the page, the symbol table is damaged, or the offsets of
            the dictionary decrease or reach past its data.
        ValueError
            There is no such column, page or form, or the page has other values than the column.
        """
        dictionary = None
        if items is not None and item_offsets is not None:
            dictionary = variable_items(items, item_offsets, item_bits)
        elif items is not None:
            dictionary = fixed_items(items, item_bits)
        _require(
            items is None or item_bits == self._column(column).bits,
            "direct: a dictionary holds other values than its column",
        )
        form = PageForm(levels, level_width, values, bits, large)
        return self._open_page(
            column, page, form, checked_slice(self._file, *words), chunks, dictionary, symbols
        )

    def forget_pages(self) -> None:
        """Close all pages; reads that began before keep theirs."""
        for column in self._columns:
            column.pages = [None] * len(column.pages)

    def _column(self, number: int) -> Column:
        _require(0 <= number < len(self._columns), "direct: no such column")
        return self._columns[number]

    def _add_known(self, page: list[int], form: list[int], symbols: bytes | None, heads: Copies) -> int:
        """Add a page as :meth:`add_pages` describes it."""
        number, page_number, _, *places, is_text = page
        words, chunks, stored = (places[0], places[1]), (places[2], places[3]), (places[4], places[5])
        levels, level_width, values, bits, large, num_rows, kind, stored_bits, is_compressed, count = form
        column = self._column(number)
        _require(column.num_rows(page_number) == num_rows, "direct: a page of other rows")
        items = None
        if kind:
            is_variable = kind == _VARIABLE_ITEMS
            items_form = ItemsForm(
                is_variable, column.bits, stored_bits, bool(is_compressed), count, bool(is_text)
            )
            items = decode_items(items_form, heads.of(stored[0], checked_slice(self._file, *stored)))
        page_form = PageForm(levels, level_width, values, bits, bool(large))
        own_words = heads.of(words[0], checked_slice(self._file, *words))
        return self._open_page(number, page_number, page_form, own_words, chunks, items, symbols)

    def _open_page(
        self,
        number: int,
        page: int,
        form: PageForm,
        words: UInt8Array,
        chunks: tuple[int, int],
        items: Items | None,
        symbols: bytes | None,
    ) -> int:
        column = self._column(number)
        num_rows = column.num_rows(page)
        if items is not None:
            _require(0 < len(items.values) <= _MOST_ITEMS, "direct: a dictionary of this length")
        opened = make_page(form, self._file, words, chunks, num_rows, items, symbols)
        column.check_page(opened)
        column.pages[page] = opened
        return opened.held_bytes


class DirectRead:
    """One read of some columns.

    Parameters
    ----------
    columns
        Where the columns are.
    numbers
        ``int64[num_columns]``: numbers of the columns to read.
    starts, stops
        ``int64[num_ranges]``: sorted, disjoint, non-empty ranges of rows, at least one.

    Raises
    ------
    ValueError
        There are no such columns or ranges.
    """

    def __init__(
        self, columns: DirectColumns, numbers: Int64Array, starts: Int64Array, stops: Int64Array
    ) -> None:
        self._file = columns._file
        self._ranges = row_ranges(starts, stops)
        self._num_rows = sum(stop - start for start, stop in self._ranges)
        self._columns = [columns._column(number) for number in numbers.tolist()]
        for column in self._columns:
            _require(self._ranges[-1][1] <= column.first_rows[-1], "direct: there are not as many rows")
        self._pages: list[dict[int, Page]] = [{} for _ in self._columns]
        self._decoded: list[Decoded] = []
        self._copies = Copies()

    def missing(self) -> list[tuple[int, int]]:
        """Return the pages that must be added first: place of the column in `numbers`, and page; keep those that are there."""
        found = []
        for place, (column, pages) in enumerate(zip(self._columns, self._pages, strict=True)):
            for number in column.pages_of(self._ranges):
                page = pages.get(number, column.pages[number])
                if page is None:
                    found.append((place, number))
                else:
                    pages[number] = page
        return found

    def chunk_ranges(self, gap: int) -> list[tuple[int, int]]:
        """Return position and size of the chunks that hold the rows, when no page is missing.

        Parameters
        ----------
        gap
            Chunks with at most so many bytes between them are one range.
        """
        ranges = []
        for column, pages in zip(self._columns, self._pages, strict=True):
            for page, chunk, _, _ in chunk_parts(column, pages, self._ranges):
                start, stop = (page.position + border for border in page.byte_borders[chunk : chunk + 2])
                ranges.append((start, stop - start))
        return merge_near(ranges, gap)

    def use_copies(self, ranges: Sequence[tuple[int, int]], data: Data) -> None:
        """Read chunks that lie in one of `ranges` of the file, sorted and disjoint, from `data`, the bytes of all of them.

        Raises
        ------
        ValueError
            These are no such ranges, or the bytes of others.
        """
        self._decoded = []
        self._copies = Copies(ranges, data)

    def measure(self, out_needs: Int64Array) -> None:
        """Say what a column needs: 1 for a bitmap or 0, and the bytes of its values or offsets; ``int64[2 * num_columns]``."""
        _require(out_needs.size == 2 * len(self._columns), "direct: two numbers a column")
        needs = out_needs.reshape(-1, 2)
        for place, (column, pages) in enumerate(zip(self._columns, self._pages, strict=True)):
            has_levels = any(page.form.has_levels for page in pages.values())
            needs[place] = has_levels, column.needed_bytes(self._num_rows)

    def decode(self, outs: Sequence[Data], where: Int64Array, out_report: Int64Array) -> None:
        """Decode levels and values, and offsets of variable-width values.

        Parameters
        ----------
        outs
            Writable buffers.
        where
            ``int64[3 * num_columns]``: for each column the number of its buffer, the byte of the bitmap in it (-1: none), and the
            byte of the values or offsets.
        out_report
            ``int64[2 * num_columns]``: nulls, and the bytes of variable-width values.

        Raises
        ------
        FormatError
            A chunk is damaged. Its header, all its levels, and its buffers are checked; of offsets the first, the last and those
            of wanted rows; of indices those of wanted rows that are not null. A null that refers to a dictionary gives zeros, or
            nothing.
        ValueError
            A page is not open, a result does not fit its buffer, or a column that may have nulls has no bitmap.
        """
        _require(
            where.size == 3 * len(self._columns) and out_report.size == 2 * len(self._columns),
            "direct: three places and two numbers a column",
        )
        self._decoded = []
        report, bitmap_bytes = out_report.reshape(-1, 2), -(-self._num_rows // 8)
        places = where.reshape(-1, 3).tolist()
        for i, (column, pages) in enumerate(zip(self._columns, self._pages, strict=True)):
            number, bitmap_start, start = places[i]
            bitmap = None if bitmap_start < 0 else _part(outs, number, bitmap_start, bitmap_bytes)
            out = _part(outs, number, start, column.needed_bytes(self._num_rows))
            decoded = decode_column(column, pages, self._ranges, self._copies)
            _require(
                bitmap is not None or not decoded.has_levels, "direct: a column with nulls needs a bitmap"
            )
            if bitmap is not None:
                bitmap[:] = as_bytes(decoded.bitmap())
            data = decoded.offsets(column.bits) if column.is_variable else decoded.fixed(column.bits)
            out[:] = as_bytes(data)
            num_bytes = sum(map(len, decoded.values)) if column.is_variable else 0
            report[i] = self._num_rows - np.count_nonzero(decoded.is_valid), num_bytes
            self._decoded.append(decoded)

    def copy(self, outs: Sequence[Data], where: Int64Array, out_ascii: UInt8Array) -> None:
        """Write the bytes of variable-width values, after :meth:`decode`.

        Parameters
        ----------
        outs
            Writable buffers.
        where
            As for :meth:`decode`, the last number is the byte where the data begins; only those of columns of variable width count.
        out_ascii
            ``uint8[num_columns]``: whether all bytes that come from no dictionary are ASCII; of other columns it stays as it is.

        Raises
        ------
        ValueError
            The last :meth:`decode` did not end well, or a result does not fit its buffer.
        """
        _require(
            where.size == 3 * len(self._columns)
            and len(out_ascii) == len(self._columns) == len(self._decoded),
            "direct: three places and a flag a column, and decode comes first",
        )
        places = where.reshape(-1, 3).tolist()
        for i, (column, decoded) in enumerate(zip(self._columns, self._decoded, strict=True)):
            if column.is_variable:
                number, _, start = places[i]
                data = b"".join(decoded.values)
                _part(outs, number, start, len(data))[:] = as_bytes(data)
                out_ascii[i] = decoded.is_ascii()


def _part(outs: Sequence[Data], number: int, start: int, size: int) -> UInt8Array:
    """Return a writable part of one of the buffers."""
    _require(0 <= number < len(outs), "direct: no such buffer")
    out = as_bytes(outs[number])
    _require(0 <= start <= len(out) - size, "direct: the result does not fit its buffer")
    return out[start : start + size]
