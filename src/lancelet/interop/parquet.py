"""Parquet files as one of the formats of a conversion."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lancelet.interop.base import BatchWriter, Rows, check_columns, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.interop.base import ReadOptions

__all__ = ["ParquetBatchWriter", "open_rows"]

_BATCH_ROWS = 65536
#: A row group is cut at whichever comes first.
_GROUP_ROWS = 1 << 20
_GROUP_BYTES = 64 << 20


@contextmanager
def open_rows(path: str, options: ReadOptions) -> Iterator[Rows]:
    """Open a Parquet file."""
    with reading(path), pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        check_columns(options.columns, schema.names, path)
        wanted = schema.names if options.columns is None else list(options.columns)
        batches = file.iter_batches(options.batch_size or _BATCH_ROWS, columns=wanted)
        selected = pa.schema([schema.field(name) for name in wanted], metadata=schema.metadata)
        yield Rows(selected, file.metadata.num_rows, (batch.select(wanted) for batch in batches))


class ParquetBatchWriter(BatchWriter):
    """Writes Parquet with zstd; row groups of up to 2^20 rows or 64 MiB wait in memory."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of `batch`."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write what waits, and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, schema=self._schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._rows, self._bytes = [], 0, 0
