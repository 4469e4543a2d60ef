"""What a read gives: rows that are decoded when they are asked for, as batches, a table, or an Arrow stream."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import LanceletError, OptionError
from lancelet.fields.joining import join, take
from lancelet.fields.paths import empty_array
from lancelet.file.plan import windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lancelet.buffers import Allocate, Int64Array
    from lancelet.pages.base import RowRanges

    ReadColumns = Callable[[RowRanges, Allocate], list[list[pa.Array]]]

__all__ = ["ReadResult", "bounded_allocate"]


def bounded_allocate(max_bytes: int) -> Allocate:
    """Return an allocator that hands out at most `max_bytes` in total.

    A small file may declare a huge result (constants and runs expand): the limit is checked before memory is taken.
    """
    left = max_bytes

    def allocate(num_bytes: int) -> Any:
        nonlocal left
        if num_bytes > left:
            raise OptionError(
                f"the result needs more than max_result_bytes = {max_bytes} bytes; read it in batches, or raise the limit"
            )
        left -= num_bytes
        try:
            return pa.allocate_buffer(num_bytes)
        except MemoryError:
            raise LanceletError(f"there is no memory for {num_bytes} bytes of the result") from None

    return allocate


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 1 << 40


class ReadResult:
    """Rows of a file. Nothing is read before a method asks for it; every call reads anew.

    Anything that takes Arrow streams takes this object (``pyarrow.table(result)``, Polars, DuckDB).
    """

    def __init__(
        self,
        schema: pa.Schema,
        rows: RowRanges | None,
        batch_size: int,
        read_columns: ReadColumns,
        positions: Int64Array | None = None,
    ) -> None:
        self._schema = schema
        self._rows = rows
        self._batch_size = batch_size
        self._read_columns = read_columns
        self._positions = positions

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the result."""
        return self._schema

    @property
    def num_rows(self) -> int:
        """Rows of the result."""
        if self._positions is not None:
            return len(self._positions)
        return 0 if self._rows is None else self._rows.num_rows

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Read batch by batch; memory stays within a batch and the pages it touches.

        Rows that were asked for in an order of their own are read at once and put in order before the first batch.

        Where no array can hold the rows of a batch, it comes in parts: 32-bit offsets end at 2 GiB, and where pages with different
        dictionaries meet, the indices of the column's type may not count all values.

        Raises
        ------
        FormatError
            The file is damaged.
        UnsupportedError
            A page has an encoding that is not known here.
        """
        if self._rows is None:
            return
        if self._positions is not None:  # an order of the user's: rows are read once, then put in order
            yield from self.to_table().to_batches(max_chunksize=self._batch_size)
            return
        for window in windows(self._rows, self._batch_size):
            columns = self._read_columns(window, bounded_allocate(_physical_memory()))
            arrays = [join(parts) for parts in columns]
            if any(array is None for array in arrays):
                yield from self._table(columns).to_batches()
            else:
                yield pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def to_table(self, *, max_result_bytes: int | None = None) -> pa.Table:
        """Read everything into memory.

        Parameters
        ----------
        max_result_bytes
            Most bytes that decoding may take; by default the memory of the machine.

        Raises
        ------
        FormatError
            The file is damaged.
        OptionError
            The result is larger than `max_result_bytes`.
        UnsupportedError
            A page has an encoding that is not known here.
        """
        if self._rows is None:
            arrays = [empty_array(field.type) for field in self._schema]
            return pa.Table.from_arrays(arrays, schema=self._schema)
        limit = _physical_memory() if max_result_bytes is None else max_result_bytes
        columns = self._read_columns(self._rows, bounded_allocate(limit))
        if self._positions is not None:
            columns = [take(parts, self._positions) for parts in columns]
        return self._table(columns)

    def _table(self, columns: list[list[pa.Array]]) -> pa.Table:
        arrays = [
            pa.chunked_array(parts, type=field.type)
            for field, parts in zip(self._schema, columns, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return a ``pyarrow.RecordBatchReader`` over the batches."""
        return pa.RecordBatchReader.from_batches(self._schema, self.to_batches())

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.to_batches()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> Any:
        return self._schema.__arrow_c_schema__()

    def __repr__(self) -> str:
        return f"<lancelet.ReadResult: {self.num_rows} rows, {len(self._schema)} columns>"
