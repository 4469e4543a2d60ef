"""The columns that :mod:`lancelet.file.direct` reads, and their open pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lancelet import kernels
from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.blocks.arrow import from_block
from lancelet.buffers import allocate, as_bytes
from lancelet.errors import LanceletError, UnsupportedError
from lancelet.file.cache import DEFAULT_CACHE_BYTES
from lancelet.file.direct_forms import form_of, kind_of
from lancelet.pages.miniblock import MiniBlock
from lancelet.schema.blobs import is_blob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from lancelet.buffers import Data, Int64Array
    from lancelet.container.metadata import BufferRef
    from lancelet.container.reader import Container
    from lancelet.container.table import ColumnTable
    from lancelet.file.column import ColumnPages
    from lancelet.file.direct_forms import Form
    from lancelet.pages.base import RowRanges
    from lancelet.schema.fields import Field

    _Items = tuple[Data | None, int, Data | None]

__all__ = ["DirectColumns", "NotDirect"]

#: Reads of so few rows do not go on where they end: what lies around them is not wanted.
_FEW_ROWS = 1024
#: So few pages are opened one by one.
_FEW_PAGES = 8
#: What lies between two ranges that are fetched from a disk is read along if it is no more than this.
_GAP_BYTES = 16 << 10


class NotDirect(Exception):  # noqa: N818 - no error: the caller takes another way
    """A column cannot be read directly; asked again, :meth:`DirectColumns.number_of` says so."""


class _Column(NamedTuple):
    """A column that was added: its native number, its pages, the type of its values, and whether these are text."""

    number: int
    pages: ColumnPages
    value_type: pa.DataType
    is_text: bool


class DirectColumns:
    """The columns of an open file that can be read directly. May be shared by threads.

    Parameters
    ----------
    container
        The open file; its source gives views.
    max_bytes
        Most bytes that open pages may hold beside the file: where their chunks lie, dictionaries, symbol tables. When they hold
        more, the next read closes all, and opens what it wants.
    """

    def __init__(self, container: Container, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        source = container.source
        self._native = kernels.DirectColumns(source.read(0, source.size()))
        self._container = container
        self._source = source
        self._columns: dict[int, _Column | None] = {}
        self._forms: dict[tuple[str, bytes], Form] = {}
        #: By the number of an encoding in the container's table; ``None``: such pages are opened one by one.
        self._numbered_forms: dict[int, Form | None] = {}
        self._max_bytes = max_bytes
        self._held_bytes = 0

    def add(self, fields: Sequence[Field], columns: Sequence[ColumnPages]) -> None:
        """Get ready for :meth:`number_of` of many fields that have one leaf.

        Parameters
        ----------
        fields
            Fields as they are stored.
        columns
            Each one's column.
        """
        known, added = self._columns, []
        for field, pages in zip(fields, columns, strict=True):
            if pages.column not in known:
                kind = None if field.children or is_blob(field) else kind_of(field.logical_type)
                if kind is None or not pages.num_pages:
                    known[pages.column] = None
                else:
                    added.append((pages, field.storage_type, kind))
        if not added:
            return
        first_rows = [row for pages, _, _ in added for row in pages.first_rows]
        first = self._native.add_columns(
            np.array(first_rows, dtype=np.int64),
            np.array(
                [(pages.num_pages, kind.is_variable, kind.bits) for pages, _, kind in added], dtype=np.int64
            ),
        )
        for number, (pages, value_type, kind) in enumerate(added, first):
            known[pages.column] = _Column(number, pages, value_type, kind.is_text)

    def number_of(self, field: Field, columns: Sequence[ColumnPages]) -> int | None:
        """Return the number by which a native read knows a field; ``None``: it must be read the general way.

        Parameters
        ----------
        field
            A field as it is stored.
        columns
            The columns of its leaves.
        """
        pages = columns[0]
        if len(columns) != 1:
            return None
        if pages.column not in self._columns:
            self.add([field], columns)
        found = self._columns[pages.column]
        return None if found is None else found.number

    def begin(self, numbers: Int64Array, columns: Sequence[int], rows: RowRanges) -> kernels.DirectRead:
        """Begin a read of `columns`, whose `numbers` were asked for; opens the pages that are not open.

        Raises
        ------
        FormatError
            The file has shrunk.
        NotDirect
            Some column must be read the general way.
        """
        self._source.read(0, 0)  # checks that the whole map may be touched
        if self._held_bytes > self._max_bytes:
            self._held_bytes = 0
            self._native.forget_pages()
        read = kernels.DirectRead(self._native, numbers, rows.starts, rows.stops)
        while missing := read.missing():  # again if another thread closed them meanwhile
            self._open_pages([(columns[place], page) for place, page in missing])
        if len(rows.starts) > 1 or rows.num_rows <= _FEW_ROWS:
            ranges = read.chunk_ranges()
            if len(ranges) > _FEW_PAGES:
                ranges = _near(np.array(ranges, dtype=np.int64))
            self._source.prefetch(ranges)
        return read

    def _open_pages(self, wanted: Sequence[tuple[int, int]]) -> None:
        """Open pages, which are pairs of a column and its page.

        Raises
        ------
        NotDirect
            Some column must be read the general way.
        """
        table = self._container.table
        if table is not None and len(wanted) > _FEW_PAGES:
            wanted = self._open_together(wanted, table)
        self._source.prefetch(self._heads(wanted))
        wrong = {column for column, page in wanted if not self._open_page(column, page)}
        if wrong:
            raise self.refused(wrong)

    def _open_together(self, wanted: Sequence[tuple[int, int]], table: ColumnTable) -> list[tuple[int, int]]:
        """Open pages of known forms by one native call; returns those that must be opened one by one."""
        others, tabled = [], []
        for number, page in wanted:
            column, first_page = self._columns[number], table.first_page(number)
            if column is None or first_page < 0:
                others.append((number, page))
            else:
                tabled.append((column.number, page, number, first_page + page, column.is_text))
        if not tabled:
            return others
        rows = np.array(tabled, dtype=np.int64)
        first_buffers, num_buffers, _, _, encodings = table.pages[rows[:, 3]].T
        forms, places = self._forms_of(rows, encodings)
        expected = np.array([form.num_buffers for form in forms] + [-1], dtype=np.int64)[places]
        is_open = expected == num_buffers
        first_buffers, has_items = first_buffers[is_open], expected[is_open] == 3
        pages = np.empty((len(first_buffers), 10), dtype=np.int64)
        pages[:, :2], pages[:, 2], pages[:, 9] = rows[is_open, :2], places[is_open], rows[is_open, 4]
        pages[:, 3:5], pages[:, 5:7] = table.buffers[first_buffers], table.buffers[first_buffers + 1]
        pages[:, 7:9] = table.buffers[first_buffers + 2 * has_items] * has_items[:, None]
        self._source.prefetch(_near(np.concatenate((pages[:, 3:5], pages[has_items, 7:9]))))
        held = np.empty(len(pages), dtype=np.int64)
        forms_rows = np.array([form.row for form in forms], dtype=np.int64)
        self._native.add_pages(pages, forms_rows, [form.symbols for form in forms], held)
        self._held_bytes += int(held.clip(0).sum())
        is_open[is_open] = held >= 0
        return others + [(row[2], row[1]) for row in rows[~is_open].tolist()]

    def _forms_of(self, rows: Int64Array, encodings: Int64Array) -> tuple[list[Form], Int64Array]:
        """Return the different forms of pages with `encodings` of the table, and for each page the place of its form or -1."""
        numbers, firsts, inverse = np.unique(encodings, return_index=True, return_inverse=True)
        forms: list[Form] = []
        places = []
        for number, (_, page, column, *_) in zip(numbers.tolist(), rows[firsts].tolist(), strict=True):
            form = self._numbered_form(number, column, page)
            places.append(-1 if form is None else len(forms))
            if form is not None:
                forms.append(form)
        return forms, np.array(places, dtype=np.int64)[inverse]

    def _numbered_form(self, number: int, column: int, page: int) -> Form | None:
        """Return the form of all pages that have an encoding of the container's table; `page` of `column` is one of them."""
        if number not in self._numbered_forms:
            found = self._columns[column]
            try:
                form = None if found is None else form_of(found.pages.layout(page))
            except LanceletError:
                form = None
            self._numbered_forms[number] = form if form is not None and form.items is not None else None
        return self._numbered_forms[number]

    def _heads(self, pages: Iterable[tuple[int, int]]) -> list[BufferRef]:
        """Return what is read to open pages: all buffers but the chunks."""
        heads = []
        for number, page in pages:
            column = self._columns[number]
            if column is not None:
                words, _, *others = *column.pages.metadata.pages[page].buffers, None, None
                heads += [buffer for buffer in (words, *others) if buffer is not None]
        return heads

    def refused(self, columns: Iterable[int]) -> NotDirect:
        """Leave columns to the general way, which has the words for what is wrong with them."""
        self._columns.update(dict.fromkeys(columns))
        return NotDirect()

    def _open_page(self, column: int, page: int) -> bool:
        """Open a page; tell whether that was possible."""
        found = self._columns[column]
        try:
            held = None if found is None else self._add_page(found, page)
        except (LanceletError, ValueError):
            held = None
        if held is None:
            return False
        self._held_bytes += held
        return True

    def _add_page(self, column: _Column, page: int) -> int | None:
        """Open a page; return the bytes that it holds, or ``None`` when it is another kind of page."""
        # Columns of one type mostly have pages of one message: what it says is found out once.
        metadata = column.pages.metadata.pages[page]
        form = self._forms.get((metadata.type_name, metadata.encoding))
        items: _Items = (None, 0, None)
        if form is None or form.num_rows != metadata.num_rows or len(metadata.buffers) != 2:
            layout = column.pages.layout(page)
            form = form_of(layout)
            if form is None or not isinstance(layout, MiniBlock):
                return None
            if layout.dictionary_codec is None:
                self._forms[metadata.type_name, metadata.encoding] = form
            else:
                items = self._items(column, layout)
        words, chunks = metadata.buffers[:2]
        return self._native.add_page(column.number, page, *form.numbers, words, chunks, *items, form.symbols)

    def _items(self, column: _Column, layout: MiniBlock) -> _Items:
        opened = layout.open(self._source.read_ranges(layout.head_ranges()))
        block = opened.items
        if block is None:
            raise UnsupportedError("a dictionary is missing")
        # What the indices refer to is checked here once: text may not be UTF-8.
        from_block(block, column.value_type, block.num_values, None, 0, allocate)
        match block:
            case FixedWidth(bits=bits) if bits % 8 == 0:
                return as_bytes(block.data)[: block.num_values * bits // 8], bits, None
            case VariableWidth(offset_bits=bits):
                return block.data, bits, as_bytes(block.offsets)[: (block.num_values + 1) * bits // 8]
        raise UnsupportedError("a dictionary holds values of whole bytes, or text and binary")


def _near(ranges: Int64Array) -> list[tuple[int, int]]:
    """Merge ranges (``int64[num_ranges, 2]``: position and size) that lie close together."""
    if not len(ranges):
        return []
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    starts, stops = ranges[:, 0], np.maximum.accumulate(ranges.sum(axis=1))
    firsts = np.flatnonzero(np.concatenate(([True], starts[1:] - stops[:-1] > _GAP_BYTES)))
    lasts = np.append(firsts[1:], len(ranges)) - 1
    return list(zip(starts[firsts].tolist(), (stops[lasts] - starts[firsts]).tolist(), strict=True))
