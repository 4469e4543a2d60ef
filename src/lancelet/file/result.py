"""What a read gives: rows that are decoded when they are asked for, as batches, a table, or an Arrow stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.fields.joining import take
from lancelet.fields.paths import empty_array
from lancelet.file.budget import physical_memory
from lancelet.file.scan import Request, batch_rows, read_table, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.buffers import Int64Array
    from lancelet.file.plan import ReadPlan
    from lancelet.file.scan import Limits
    from lancelet.file.selection import Selection
    from lancelet.pages.base import RowRanges

__all__ = ["ReadResult"]


class ReadResult:
    """Rows of a file. Nothing is read before a method asks for it; every call reads anew.

    Anything that takes Arrow streams takes this object (``pyarrow.table(result)``, Polars, DuckDB).
    """

    def __init__(
        self,
        selection: Selection,
        rows: RowRanges | None,
        batch_size: int | None,
        limits: Limits,
        positions: Int64Array | None = None,
    ) -> None:
        self._selection = selection
        self._rows = rows
        self._batch_size = batch_size
        self._limits = limits
        self._positions = positions

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the result."""
        return self._selection.arrow_schema

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
        if self._positions is None:
            yield from stream(self._request(self._rows))
        else:  # an order of the user's: rows are read once, then put in order
            table = self.to_table()
            size = self._batch_size or batch_rows(table.nbytes / max(table.num_rows, 1))
            yield from table.to_batches(max_chunksize=size)

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
            arrays = [empty_array(field.type) for field in self._selection.arrow_schema]
            return pa.Table.from_arrays(arrays, schema=self._selection.arrow_schema)
        limit = physical_memory() if max_result_bytes is None else max_result_bytes
        columns = read_table(self._request(self._rows), limit)
        if self._positions is not None:
            columns = [take(parts, self._positions) for parts in columns]
        arrays = [
            parts[0] if len(parts) == 1 else pa.chunked_array(parts, type=field.type)
            for field, parts in zip(self.schema, columns, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _request(self, rows: RowRanges) -> Request:
        found = self._selection
        return Request(
            schema=found.arrow_schema,
            reads=found.reads,
            rows=rows,
            batch_size=self._batch_size,
            limits=self._limits,
            groups=found.groups,
            together=found.together,
            row_bytes=found.row_bytes,
        )

    def plan(self) -> ReadPlan:
        """Say which bytes will be fetched, in one piece; only the heads of pages are read for it.

        A stream fetches the same in windows, and :meth:`to_table` in runs of pages.

        Raises
        ------
        FormatError
            Metadata or the head of a page is damaged.
        UnsupportedError
            A page has an encoding that is not known here.
        """
        return self._selection.plan(self._rows)

    def explain(self) -> str:
        """Return :meth:`plan` as text."""
        return str(self.plan())

    def to_reader(self) -> pa.RecordBatchReader:
        """Return a ``pyarrow.RecordBatchReader`` over the batches."""
        return pa.RecordBatchReader.from_batches(self._selection.arrow_schema, self.to_batches())

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.to_batches()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> Any:
        return self._selection.arrow_schema.__arrow_c_schema__()

    def __repr__(self) -> str:
        return f"<lancelet.ReadResult: {self.num_rows} rows, {len(self._selection.arrow_schema)} columns>"
