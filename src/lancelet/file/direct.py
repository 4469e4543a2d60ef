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

from lancelet.errors import FormatError
from lancelet.fields.paths import shown
from lancelet.file.direct_columns import DirectColumns, NotDirect, TooMuchToOpen
from lancelet.file.direct_forms import kind_of
from lancelet.schema.logical import flat_type_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet import kernels
    from lancelet.buffers import Allocate, Int64Array
    from lancelet.pages.base import RowRanges
    from lancelet.schema.fields import Field

__all__ = ["DirectColumns", "DirectFields", "DirectTable", "NotDirect", "TablePart", "TooMuchToOpen"]

_SHARED_BYTES = 4096
_ALIGNMENT = 64
_FEW_FIELDS = 16


class _ArrayMaker:
    """Makes the arrays of fields of a type.

    Parameters
    ----------
    logical_type
        The type, as it is stored.
    shown_type
        What is shown of it.
    """

    def __init__(self, logical_type: str, shown_type: pa.DataType | None = None) -> None:
        self._type = flat_type_of(logical_type)
        self._shown_type = None if shown_type == self._type else shown_type
        kind = kind_of(logical_type)
        if kind is None:
            raise ValueError(f"columns of type {self._type} are not read directly")
        self.is_variable, self.bits, self.is_text = kind

    def __call__(self, num_rows: int, buffers: list[Any], null_count: int) -> pa.Array:
        array = pa.Array.from_buffers(self._type, num_rows, buffers, null_count)
        return array if self._shown_type is None else shown(array, self._shown_type)


#: Fields without an extension share what makes their arrays with all of their type, in all files.
_plain_maker = lru_cache(maxsize=1024)(_ArrayMaker)


def _makers(fields: Sequence[Field]) -> list[_ArrayMaker]:
    """Return what makes the arrays of each field."""
    return [
        _plain_maker(field.logical_type)
        if field.arrow_type is field.storage_type
        else _ArrayMaker(field.logical_type, field.arrow_type)
        for field in fields
    ]


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
        return self.read_begun(self.begin(rows), rows, allocate)

    def read_begun(self, read: kernels.DirectRead, rows: RowRanges, allocate: Allocate) -> list[pa.Array]:
        """Do the rest of :meth:`read` after :meth:`begin`."""
        num_rows = rows.num_rows
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
            try:
                read.copy(places.buffers, places.where, is_ascii)
            except (
                ValueError
            ):  # the file was changed meanwhile, and its values no longer fit the memory that was taken
                raise self._direct.refused(self._columns) from None
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
        self._bitmap_bytes = bitmap_bytes.tolist()
        self._values_bytes = values_bytes.tolist()
        if len(self._values_bytes) <= _FEW_FIELDS:
            self._place_few(allocate, shared_bytes)
            return
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

    def _place_few(self, allocate: Allocate, shared_bytes: int) -> None:
        """Do the same for few fields, where arrays cost more than they save."""
        places, own, stop = [], [], 0
        for bitmap_bytes, values_bytes in zip(self._bitmap_bytes, self._values_bytes, strict=True):
            values_start = -(-bitmap_bytes // _ALIGNMENT) * _ALIGNMENT
            size = -(-(values_start + values_bytes) // _ALIGNMENT) * _ALIGNMENT
            if size > shared_bytes:
                own.append(size)
                number, start = len(own), 0
            else:
                number, start = 0, stop
                stop += size
            places.append([number, start if bitmap_bytes else -1, start + values_start])
        self.buffers = [allocate(size) for size in (stop, *own)]
        self.where = np.array(places, dtype=np.int64)
        self._places = places

    def slices(self, field: int) -> tuple[Any, Any]:
        """Return bitmap (``None`` without one) and values of a field."""
        number, bitmap_start, start = self._places[field]
        buffer = self.buffers[number]
        bitmap = None if bitmap_start < 0 else buffer.slice(bitmap_start, self._bitmap_bytes[field])
        return bitmap, buffer.slice(start, self._values_bytes[field])
