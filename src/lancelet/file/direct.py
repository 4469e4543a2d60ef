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

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.blocks.arrow import fixed_bits, from_block, is_variable_width, offset_bits
from lancelet.buffers import allocate, as_bytes
from lancelet.codecs.binary import Variable
from lancelet.codecs.bitpack import InlineBitpacking, OutOfLineBitpacking
from lancelet.codecs.flat import Flat
from lancelet.codecs.fsst import Fsst
from lancelet.codecs.rle import Rle
from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.fields.paths import shown
from lancelet.file.cache import DEFAULT_CACHE_BYTES
from lancelet.file.rows import is_scattered
from lancelet.levels import Layer
from lancelet.pages.miniblock import MiniBlock
from lancelet.schema.blobs import is_blob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.codecs.base import ChunkCodec
    from lancelet.container.metadata import BufferRef
    from lancelet.file.column import ColumnPages
    from lancelet.pages.base import RowRanges
    from lancelet.schema.fields import Field
    from lancelet.storage import Source

    _Items = tuple[Data | None, int, Data | None]

__all__ = ["DirectColumns", "DirectFields", "DirectTable", "NotDirect", "TablePart"]

_SHARED_BYTES = 4096
_ALIGNMENT = 64


class NotDirect(Exception):  # noqa: N818 - no error: the caller takes another way
    """A column cannot be read directly; asked again, :meth:`DirectColumns.number_of` says so."""


class _Column(NamedTuple):
    """A column that was added: its native number, its pages, and the type of its values."""

    number: int
    pages: ColumnPages
    value_type: pa.DataType


class DirectColumns:
    """The columns of an open file that can be read directly. May be shared by threads.

    Parameters
    ----------
    source
        The file; gives views.
    max_bytes
        Most bytes that open pages may hold beside the file: where their chunks lie, dictionaries, symbol tables. When they hold
        more, the next read closes all, and opens what it wants.
    """

    def __init__(self, source: Source, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._native = kernels.DirectColumns(source.read(0, source.size()))
        self._source = source
        self._columns: dict[int, _Column | None] = {}
        self._forms: dict[tuple[str, bytes], _Form] = {}
        self._max_bytes = max_bytes
        self._held_bytes = 0

    def number_of(self, field: Field, columns: Sequence[ColumnPages]) -> int | None:
        """Return the number by which a native read knows a field; ``None``: it must be read the general way.

        Parameters
        ----------
        field
            A field as it is stored.
        columns
            The columns of its leaves.
        """
        column = columns[0].column
        if column not in self._columns:
            self._columns[column] = self._added(field, columns)
        found = self._columns[column]
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
        if is_scattered(rows):
            self._source.prefetch(read.chunk_ranges())
        return read

    def end(self, read: kernels.DirectRead, rows: RowRanges) -> None:
        """Let go of the chunks that a read has decoded, if it goes through the file."""
        if not is_scattered(rows):
            self._source.release(read.chunk_ranges())

    def refused(self, columns: Iterable[int]) -> NotDirect:
        """Leave columns to the general way, which has the words for what is wrong with them."""
        self._columns.update(dict.fromkeys(columns))
        return NotDirect()

    def _added(self, field: Field, columns: Sequence[ColumnPages]) -> _Column | None:
        value_type = field.storage_type
        if field.children or len(columns) != 1 or is_blob(field) or not _is_flat(value_type):
            return None
        (pages,) = columns
        if not pages.metadata.pages:
            return None
        first_rows = np.array(pages.first_rows, dtype=np.int64)
        number = self._native.add_column(first_rows, is_variable_width(value_type), _bits(value_type))
        return _Column(number, pages, value_type)

    def _open_pages(self, pages: Sequence[tuple[int, int]]) -> None:
        """Open pages, given by column and number; nothing is read before all of them are known to be of the right kind."""
        found = [(column, self._found(column, page)) for column, page in pages]
        if wrong := {column for column, page in found if page is None}:
            raise self.refused(wrong)
        opened = [(column, page) for column, page in found if page is not None]
        self._source.prefetch([buffer for _, page in opened for buffer in page.heads])
        if wrong := {column for column, page in opened if not self._add_page(page)}:
            raise self.refused(wrong)

    def _found(self, number: int, page: int) -> _Page | None:
        """Look at the message of a page; ``None``: it is of another kind."""
        column = self._columns[number]
        if column is None:
            return None
        # Columns of one type mostly have pages of one message: what it says is found out once.
        metadata = column.pages.metadata.pages[page]
        form = self._forms.get((metadata.type_name, metadata.encoding))
        if form is not None and form.num_rows == metadata.num_rows and len(metadata.buffers) == 2:
            return _Page(column, page, form, metadata.buffers, None)
        try:
            layout = column.pages.layout(page)
        except LanceletError:
            return None
        form = _form(layout) if isinstance(layout, MiniBlock) else None
        if form is None or not isinstance(layout, MiniBlock):
            return None
        if layout.dictionary_codec is None:
            self._forms[metadata.type_name, metadata.encoding] = form
            return _Page(column, page, form, metadata.buffers, None)
        return _Page(column, page, form, metadata.buffers, layout)

    def _add_page(self, page: _Page) -> bool:
        """Open a page; tell whether that was possible."""
        words, chunks = page.buffers[:2]
        try:
            items = (None, 0, None) if page.indexed is None else self._items(page.column, page.indexed)
            self._held_bytes += self._native.add_page(
                page.column.number, page.number, *page.form.numbers, words, chunks, *items, page.form.symbols
            )
        except (LanceletError, ValueError):
            return False
        return True

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


def _is_flat(type_: pa.DataType) -> bool:
    if is_variable_width(type_):
        return True
    if pa.types.is_nested(type_) or pa.types.is_dictionary(type_):
        return False
    try:
        return fixed_bits(type_) > 0
    except OptionError:
        return False


def _bits(type_: pa.DataType) -> int:
    """Return the width of the offsets, or of the values, of a flat type."""
    return offset_bits(type_) if is_variable_width(type_) else fixed_bits(type_)


class _Form(NamedTuple):
    """What a page is like, in the words of the kernel.

    Attributes
    ----------
    numbers
        ``levels``, ``level_width``, ``values``, ``bits`` and ``large`` of :meth:`kernels.DirectColumns.add_page`.
    symbols
        Symbol table.
    num_rows
        Rows of the page, which its message repeats.
    """

    numbers: tuple[int, int, int, int, bool]
    symbols: bytes | None
    num_rows: int


def _form(layout: MiniBlock) -> _Form | None:
    """Return what a page is like; ``None`` when the kernel has no words for it."""
    levels, values = _level_form(layout), _value_form(layout.value_codec)
    if levels is None or values is None:
        return None
    numbers = (*levels, *values[:2], layout.large)
    return _Form(numbers, values[2], layout.page.num_rows)


class _Page(NamedTuple):
    """A page that can be read directly: what it is like, where it lies, and its layout if its values are indices."""

    column: _Column
    number: int
    form: _Form
    buffers: tuple[BufferRef, ...]
    indexed: MiniBlock | None

    @property
    def heads(self) -> tuple[BufferRef, ...]:
        """What is read to open the page."""
        return self.buffers[:1] if self.indexed is None else self.indexed.head_ranges()


def _level_form(layout: MiniBlock) -> tuple[int, int] | None:
    if layout.layers == (Layer.ALL_VALID_ITEM,):
        return 0, 0
    if layout.layers != (Layer.NULLABLE_ITEM,):
        return None
    match layout.def_codec:
        case Flat(bits=16):
            return 1, 0
        case InlineBitpacking(bits=16):
            return 2, 0
        case OutOfLineBitpacking(bits=16, width=width):
            return 3, width
        case Rle(values=Flat(bits=16), run_lengths=Flat(bits=8)):
            return 4, 0
    return None


def _value_form(codec: ChunkCodec) -> tuple[int, int, bytes | None] | None:
    match codec:
        case Flat(bits=bits) if bits == 1 or bits % 8 == 0:
            return 0, bits, None
        case InlineBitpacking(bits=bits):
            return 1, bits, None
        case Rle(values=Flat(bits=bits), run_lengths=Flat(bits=8)):
            return 2, bits, None
        case Variable(offset_bits=bits):
            return 3, bits, None
        case Fsst(values=Variable(offset_bits=bits), symbol_table=table):
            return 4, bits, table
    return None


class _ArrayMaker:
    """Makes the arrays of a field."""

    def __init__(self, field: Field) -> None:
        self._type = field.storage_type
        self._shown_type = None if field.arrow_type == self._type else field.arrow_type
        self.is_variable = is_variable_width(self._type)
        self.is_text = pa.types.is_string(self._type) or pa.types.is_large_string(self._type)
        self.bits = _bits(self._type)

    def __call__(self, num_rows: int, buffers: list[Any], null_count: int) -> pa.Array:
        array = pa.Array.from_buffers(self._type, num_rows, buffers, null_count)
        return array if self._shown_type is None else shown(array, self._shown_type)


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
        self.makers = [_ArrayMaker(field) for field in fields]
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
        self.end(read, rows)
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

    def end(self, read: kernels.DirectRead, rows: RowRanges) -> None:
        """Let go of what a read has decoded."""
        self._direct.end(read, rows)

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
        fields.end(read, rows)
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
