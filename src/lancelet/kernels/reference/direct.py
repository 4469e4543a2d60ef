"""What ``lancelet._native`` offers for :mod:`lancelet.file.direct`: many flat mini-block columns a call.

These kernels have no twin: the general way of reading is the twin, and tests hold the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data, Int64Array, UInt8Array

__all__ = ["DirectColumns", "DirectRead"]


class DirectColumns:
    """Columns of a file that lies in memory, with those of their pages that were opened.

    Parameters
    ----------
    file
        All bytes of the file; held as long as this object lives.
    """

    def __init__(self, file: Data) -> None:
        raise UnsupportedError("columns are read directly by native kernels only")

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
        """
        raise NotImplementedError

    def add_columns(self, first_rows: Int64Array, kinds: Int64Array) -> int:
        """Add columns as :meth:`add_column` does; returns the number of the first, and the others follow.

        Parameters
        ----------
        first_rows
            Those of all columns, one after the other.
        kinds
            ``int64[num_columns, 3]``: number of pages, `is_variable` and `bits` of each.
        """
        raise NotImplementedError

    def add_pages(
        self, pages: Int64Array, forms: Int64Array, symbols: list[bytes | None], out_held: Int64Array
    ) -> None:
        """Add pages as :meth:`add_page` does.

        Parameters
        ----------
        pages
            ``int64[num_pages, 10]``: column, page, form; position and size of the chunk words, of the chunks, and of the dictionary
            (0 without one); whether values are text. Dictionaries of text are refused if they are not all ASCII.
        forms
            ``int64[num_forms, 10]``: `levels`, `level_width`, `values`, `bits` and `large` of :meth:`add_page`; rows of the page;
            of the dictionary the kind (0: none, 1: values of one width, 2: block of variable width), bits of a value, whether it is
            an LZ4 block behind a ``u32`` with its decoded size, and its number of items.
        symbols
            Symbol table of each form.
        out_held
            ``int64[num_pages]``: the bytes that the page holds beside the file; -1: it is refused, and not added.
        """
        raise NotImplementedError

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
            The chunk words contradict the page.
        ValueError
            The page has other values than the column.
        """
        raise NotImplementedError

    def forget_pages(self) -> None:
        """Close all pages; reads that began before keep theirs."""
        raise NotImplementedError


class DirectRead:
    """One read of some columns.

    Parameters
    ----------
    columns
        Where the columns are.
    numbers
        ``int64[num_columns]``: numbers of the columns to read.
    starts, stops
        ``int64[num_ranges]``: sorted, disjoint, non-empty ranges of rows.
    """

    def __init__(
        self, columns: DirectColumns, numbers: Int64Array, starts: Int64Array, stops: Int64Array
    ) -> None:
        raise NotImplementedError

    def missing(self) -> list[tuple[int, int]]:
        """Return the pages that must be added first: place of the column in `numbers`, and page; keep those that are there."""
        raise NotImplementedError

    def chunk_ranges(self) -> list[tuple[int, int]]:
        """Return position and size of the chunks that hold the rows, neighbours together, when no page is missing."""
        raise NotImplementedError

    def measure(self, out_needs: Int64Array) -> None:
        """Say what a column needs: 1 for a bitmap or 0, and the bytes of its values or offsets; ``int64[2 * num_columns]``."""
        raise NotImplementedError

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
            A chunk is damaged.
        """
        raise NotImplementedError

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
        """
        raise NotImplementedError
