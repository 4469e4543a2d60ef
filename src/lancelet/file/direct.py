"""Flat columns read straight from memory: many columns a native call.

The general way of a read (plan, fetch, decode) costs some ten Python calls a column. Where the whole file can be addressed, because
it is mapped or in memory, nothing needs to be fetched, and the plan of a flat mini-block column is simple enough for a kernel. What
is read this way:

* columns of one flat type, without structs and lists around them, that are no blobs;
* pages in mini-block layout, with values that are flat, bit-packed, runs, of variable width or with symbols, or are indices into a
  dictionary of any encoding.

Everything else takes the general way: so do columns that have one page of another kind, and whatever the kernel refuses, so that
damaged bytes give the same error as ever.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.blocks.arrow import fixed_bits, from_block, is_variable_width, offset_bits
from lancelet.buffers import allocate, as_bytes
from lancelet.container.metadata import make_ref
from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.fields.paths import shown
from lancelet.file.cache import DEFAULT_CACHE_BYTES
from lancelet.file.direct_forms import form_of
from lancelet.pages.miniblock import MiniBlock
from lancelet.schema.blobs import is_blob
from lancelet.schema.logical import flat_type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.container.metadata import BufferRef
    from lancelet.container.reader import Container
    from lancelet.container.table import ColumnTable
    from lancelet.file.column import ColumnPages
    from lancelet.file.direct_forms import Form
    from lancelet.pages.base import RowRanges
    from lancelet.schema.fields import Field

    _Items = tuple[Data | None, int, Data | None]

__all__ = ["DirectColumns", "DirectFields", "DirectTable", "NotDirect", "TablePart"]

_SHARED_BYTES = 4096
_ALIGNMENT = 64

#: Reads of so few rows do not go on where they end: what lies around them is not wanted.
_FEW_ROWS = 1024
#: So few pages are opened one by one.
_FEW_PAGES = 8


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
                kind = None if field.children or is_blob(field) else _kind_of(field.logical_type)
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
            self._source.prefetch(read.chunk_ranges())
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
        self._source.prefetch(list(map(make_ref, pages[:, 3:5].tolist() + pages[has_items, 7:9].tolist())))
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


class _Kind(NamedTuple):
    """What the values of a column are like.

    Attributes
    ----------
    is_variable
        Values have lengths of their own.
    bits
        Width of the offsets, or of the values.
    is_text
        They must be UTF-8.
    """

    is_variable: bool
    bits: int
    is_text: bool


@lru_cache(maxsize=1024)  # columns share few types
def _kind_of(logical_type: str) -> _Kind | None:
    """Return what values of a type without children are like; ``None`` if it is not one of those that are read here."""
    type_ = flat_type_of(logical_type)
    if is_variable_width(type_):
        return _Kind(True, offset_bits(type_), pa.types.is_string(type_) or pa.types.is_large_string(type_))
    if pa.types.is_nested(type_) or pa.types.is_dictionary(type_):
        return None
    try:
        bits = fixed_bits(type_)
    except OptionError:
        return None
    return _Kind(False, bits, False) if bits > 0 else None


class _ArrayMaker:
    """Makes the arrays of a field."""

    def __init__(self, field: Field) -> None:
        self._type = field.storage_type
        self._shown_type = None if field.arrow_type == self._type else field.arrow_type
        kind = _kind_of(field.logical_type)
        if kind is None:
            raise ValueError(f"columns of type {self._type} are not read directly")
        self.is_variable, self.bits, self.is_text = kind

    def __call__(self, num_rows: int, buffers: list[Any], null_count: int) -> pa.Array:
        array = pa.Array.from_buffers(self._type, num_rows, buffers, null_count)
        return array if self._shown_type is None else shown(array, self._shown_type)


def _makers(fields: Sequence[Field]) -> list[_ArrayMaker]:
    """Return what makes the arrays of each field; those without an extension share it with all of their type."""
    plain: dict[str, _ArrayMaker] = {}
    makers = []
    for field in fields:
        maker = plain.get(field.logical_type) if field.arrow_type is field.storage_type else None
        if maker is None:
            maker = _ArrayMaker(field)
            if field.arrow_type is field.storage_type:
                plain[field.logical_type] = maker
        makers.append(maker)
    return makers


def _is_utf8(array: pa.Array) -> bool:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


class _Data(NamedTuple):
    """The bytes of values of variable width, and for each field whether those of no dictionary are all ASCII."""

    places: _Places
    is_ascii: list[int]


class DirectFields:
    """Some fields of a file that are read by one native call. Threads share it.

    Parameters
    ----------
    direct
        The columns of the file.
    fields
        Fields as they are stored.
    columns
        Their physical columns.
    numbers
        The numbers by which native reads know them.
    """

    def __init__(
        self,
        direct: DirectColumns,
        fields: Sequence[Field],
        columns: Sequence[int],
        numbers: Sequence[int],
    ) -> None:
        self._direct = direct
        self._columns = columns
        self._numbers = np.array(numbers, dtype=np.int64)
        self.makers = _makers(fields)
        self._has_lengths = any(maker.is_variable for maker in self.makers)

    def read(self, rows: RowRanges, allocate: Allocate) -> list[pa.Array]:
        """Read `rows` of all fields.

        Raises
        ------
        NotDirect
            Some column must be read the general way.
        """
        read, num_rows = self.begin(rows), rows.num_rows
        places = _Places(*self.needs(read, num_rows), allocate)
        null_counts, data = self.decode(read, places.buffers, places.where, allocate)
        return [
            self.array(field, num_rows, places, null_count, data)
            for field, null_count in enumerate(null_counts.tolist())
        ]

    def table(self, rows: RowRanges, allocate: Allocate) -> DirectTable:
        """Begin a table of `rows`: take the memory of what has one width.

        Raises
        ------
        NotDirect
            Some column must be read the general way.
        """
        num_rows = rows.num_rows
        return DirectTable(self, num_rows, *self.needs(self.begin(rows), num_rows), allocate)

    def begin(self, rows: RowRanges) -> kernels.DirectRead:
        """Begin a read; opens the pages that were not opened before."""
        return self._direct.begin(self._numbers, self._columns, rows)

    def needs(self, read: kernels.DirectRead, num_rows: int) -> tuple[Int64Array, Int64Array]:
        """Return the bytes of bitmaps, and of values or offsets, as ``int64[num_fields]``."""
        needs = np.empty((len(self._columns), 2), dtype=np.int64)
        read.measure(needs)
        return needs[:, 0] * ((num_rows + 7) // 8), needs[:, 1]

    def decode(
        self, read: kernels.DirectRead, outs: list[Any], where: Int64Array, allocate: Allocate
    ) -> tuple[Int64Array, _Data | None]:
        """Decode to `outs`; return the null counts and the bytes of values of variable width."""
        report = np.empty((len(self._columns), 2), dtype=np.int64)
        try:
            read.decode(outs, where, report)
            if not self._has_lengths:
                return report[:, 0], None
            places = _Places(np.zeros(len(report), dtype=np.int64), report[:, 1], allocate)
            is_ascii = np.ones(len(report), dtype=np.uint8)
            read.copy(places.buffers, places.where, is_ascii)
        except FormatError:
            raise self._direct.refused(self._columns) from None
        return report[:, 0], _Data(places, is_ascii.tolist())

    def array(
        self, field: int, num_rows: int, places: _Places, null_count: int, data: _Data | None
    ) -> pa.Array:
        """Make the array of a field of what lies in `places`, and of the bytes of its values if these have lengths."""
        maker, (bitmap, values) = self.makers[field], places.slices(field)
        buffers = [bitmap if null_count else None, values]
        if data is None or not maker.is_variable:
            return maker(num_rows, buffers, null_count)
        array = maker(num_rows, [*buffers, data.places.slices(field)[1]], null_count)
        if maker.is_text and not data.is_ascii[field] and not _is_utf8(array):
            raise self._direct.refused([self._columns[field]])
        return array


class TablePart(NamedTuple):
    """What a part of a table gave: its rows in the table, null counts of all fields, the arrays of those of variable width."""

    rows: slice
    null_counts: Int64Array
    arrays: dict[int, pa.Array]


class DirectTable:
    """All rows of some fields, decoded in parts: values of one width go straight into one final buffer a field.

    Values of variable width stay as they come, an array a part: how long they are is not known before they are decoded. Threads may
    decode parts at the same time.

    Parameters
    ----------
    fields
        What is read.
    num_rows
        All rows.
    bitmap_bytes, values_bytes
        What they take, ``int64[num_fields]``.
    allocate
        Where memory comes from.
    """

    #: Parts begin at multiples of it, counted in the rows of the table: no two share a byte of a bitmap.
    ROWS_STEP = 64

    def __init__(
        self,
        fields: DirectFields,
        num_rows: int,
        bitmap_bytes: Int64Array,
        values_bytes: Int64Array,
        allocate: Allocate,
    ) -> None:
        self._fields = fields
        self._num_rows = num_rows
        self._is_variable = np.array([maker.is_variable for maker in fields.makers], dtype=np.bool_)
        is_fixed = ~self._is_variable
        self._places = _Places(bitmap_bytes * is_fixed, values_bytes * is_fixed, allocate, shared_bytes=0)
        #: Bytes that 8 rows take in the bitmap, if there is one, and in the values.
        self._steps = np.array([(0, 1, maker.bits) for maker in fields.makers], dtype=np.int64)
        self._steps[self._places.where[:, 1] < 0, 1] = 0

    def read(self, rows: RowRanges, start: int, allocate: Allocate) -> TablePart:
        """Decode a part of the rows, which begins with row `start` of the table.

        Raises
        ------
        NotDirect
            Some column must be read the general way.
        """
        fields, num_rows = self._fields, rows.num_rows
        read = fields.begin(rows)
        bitmap_bytes, values_bytes = fields.needs(read, num_rows)
        own = _Places(bitmap_bytes * self._is_variable, values_bytes * self._is_variable, allocate)
        where = np.where(
            self._is_variable[:, None],
            own.where + np.array([len(self._places.buffers), 0, 0]),
            self._places.where + self._steps * (start // 8),
        )
        null_counts, data = fields.decode(read, self._places.buffers + own.buffers, where, allocate)
        arrays = {
            field: fields.array(field, num_rows, own, null_count, data)
            for field, null_count in enumerate(null_counts.tolist())
            if fields.makers[field].is_variable
        }
        return TablePart(slice(start, start + num_rows), null_counts, arrays)

    def finish(self, parts: Sequence[TablePart], rows: slice | None = None) -> list[list[pa.Array]]:
        """Return the arrays of each field for `rows` of the table, by default all, when their `parts` were decoded."""
        null_counts = np.sum([part.null_counts for part in parts], axis=0).tolist()
        if rows is not None:
            null_counts = [-1] * len(null_counts)
        return [
            [part.arrays[field] for part in parts]
            if maker.is_variable
            else [self._final(field, null_counts[field], rows)]
            for field, maker in enumerate(self._fields.makers)
        ]

    def _final(self, field: int, null_count: int, rows: slice | None) -> pa.Array:
        array = self._fields.array(field, self._num_rows, self._places, null_count, None)
        return array if rows is None else array.slice(rows.start, rows.stop - rows.start)


class _Places:
    """Memory for the results of all fields: small ones share a buffer, so that one allocation serves many.

    Parameters
    ----------
    bitmap_bytes, values_bytes
        ``int64[num_fields]``; no bitmap where the first is 0.
    allocate
        Where memory comes from.
    shared_bytes
        Results up to this size share a buffer; larger ones have their own, so that one column does not keep the others alive.
    """

    def __init__(
        self,
        bitmap_bytes: Int64Array,
        values_bytes: Int64Array,
        allocate: Allocate,
        shared_bytes: int = _SHARED_BYTES,
    ) -> None:
        values_starts = (bitmap_bytes + (_ALIGNMENT - 1)) & -_ALIGNMENT
        sizes = (values_starts + values_bytes + (_ALIGNMENT - 1)) & -_ALIGNMENT
        is_own = sizes > shared_bytes
        shared = np.where(is_own, 0, sizes)
        stops = np.cumsum(shared)
        starts = np.where(is_own, 0, stops - shared)
        self.buffers = [allocate(int(stops[-1]))]
        self.buffers += [allocate(size) for size in sizes[is_own].tolist()]
        #: ``int64[num_fields, 3]``: number of the buffer, start of the bitmap or -1, start of the values.
        self.where = np.empty((len(sizes), 3), dtype=np.int64)
        self.where[:, 0] = np.where(is_own, np.cumsum(is_own), 0)
        self.where[:, 1] = np.where(bitmap_bytes, starts, -1)
        self.where[:, 2] = starts + values_starts
        self._places = self.where.tolist()
        self._bitmap_bytes = bitmap_bytes.tolist()
        self._values_bytes = values_bytes.tolist()

    def slices(self, field: int) -> tuple[Any, Any]:
        """Return bitmap (``None`` without one) and values of a field."""
        number, bitmap_start, start = self._places[field]
        buffer = self.buffers[number]
        bitmap = None if bitmap_start < 0 else buffer.slice(bitmap_start, self._bitmap_bytes[field])
        return bitmap, buffer.slice(start, self._values_bytes[field])
