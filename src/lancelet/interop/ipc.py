"""Arrow IPC files (and streams, to read) as one of the formats of a conversion."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import UnsupportedError
from lancelet.interop.base import BatchWriter, Rows, check_columns, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.interop.base import ReadOptions

__all__ = ["IpcBatchWriter", "open_rows"]

_FILE_MAGIC = b"ARROW1"
_FEATHER_V1_MAGIC = b"FEA1"


@contextmanager
def open_rows(path: str, options: ReadOptions) -> Iterator[Rows]:
    """Open an Arrow IPC file or stream; which of them it is shows in its first bytes."""
    with Path(path).open("rb") as file:
        magic = file.read(len(_FILE_MAGIC))
    if magic.startswith(_FEATHER_V1_MAGIC):
        raise UnsupportedError(f"{path} is a Feather file of version 1; only version 2 (Arrow IPC) is read")
    with reading(path), pa.OSFile(path) as source:
        if magic == _FILE_MAGIC:
            opened = pa.ipc.open_file(source)
            found = (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            opened = pa.ipc.open_stream(source)
            found = iter(opened)
        check_columns(options.columns, opened.schema.names, path)
        schema = opened.schema
        if options.columns is not None:
            fields = [schema.field(name) for name in options.columns]
            schema = pa.schema(fields, metadata=schema.metadata)
        yield Rows(schema, None, _batches(found, options))


def _batches(found: Iterator[pa.RecordBatch], options: ReadOptions) -> Iterator[pa.RecordBatch]:
    for batch in found:
        wanted = batch if options.columns is None else batch.select(list(options.columns))
        for start in range(0, wanted.num_rows, options.batch_size or max(wanted.num_rows, 1)):
            yield wanted.slice(start, options.batch_size)


class IpcBatchWriter(BatchWriter):
    """Writes an Arrow IPC file (Feather version 2), not compressed, so that it can be mapped into memory."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._writer = pa.ipc.new_file(file, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of `batch`."""
        self._writer.write_batch(batch)

    def finish(self) -> None:
        """Write the footer."""
        self._writer.close()
