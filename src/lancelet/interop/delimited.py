"""CSV and TSV files as formats of a conversion: UTF-8, one header line, quotes as in RFC 4180.

How values are written stands in :mod:`lancelet.interop.text`. What is written reads back: a null is an empty field without quotes,
an empty text is ``""``. Types are inferred from the first 8 MiB of a file; binary comes back as text, and zones as UTC.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pacsv

from lancelet.interop.base import BatchWriter, Rows, check_columns, reading
from lancelet.interop.text import csv_batch, csv_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lancelet.interop.base import ReadOptions

__all__ = ["DelimitedBatchWriter", "open_rows"]

_BLOCK_BYTES = 8 << 20


@contextmanager
def open_rows(path: str, options: ReadOptions, delimiter: str = ",") -> Iterator[Rows]:
    """Open a file of delimited text, compressed when its name ends in ``.gz``."""
    with reading(path):
        stream = _open(path, options, delimiter, blank_lines=False)
        check_columns(options.columns, stream.schema.names, path)
        check_columns(list(options.column_types), stream.schema.names, path)
        if len(stream.schema) == 1:  # an empty line is a null then
            stream.close()
            stream = _open(path, options, delimiter, blank_lines=True)
        with stream:
            names = stream.schema.names if options.columns is None else list(options.columns)
            schema = pa.schema([stream.schema.field(name) for name in names])
            yield Rows(schema, None, _batches(stream, names, options.batch_size))


def _open(path: str, options: ReadOptions, delimiter: str, *, blank_lines: bool) -> pacsv.CSVStreamingReader:
    return pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pacsv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=not blank_lines
        ),
        convert_options=pacsv.ConvertOptions(
            null_values=list(options.null_values),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            # Those of columns that the file does not have are ignored.
            column_types={**_readable(options.known_types), **options.column_types},
        ),
    )


def _readable(types: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """Return those of the types that text is read as."""
    known = (
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_float32,
        pa.types.is_float64,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_date,
        pa.types.is_time,
        pa.types.is_timestamp,
        pa.types.is_decimal128,
    )
    return {name: type_ for name, type_ in types.items() if any(test(type_) for test in known)}


def _batches(stream: Any, names: list[str], batch_size: int | None) -> Iterator[pa.RecordBatch]:
    for batch in stream:
        for start in range(0, batch.num_rows, batch_size or max(batch.num_rows, 1)):
            yield batch.slice(start, batch_size).select(names)


class DelimitedBatchWriter(BatchWriter):
    """Writes delimited text with a header line."""

    def __init__(self, file: Any, schema: pa.Schema, delimiter: str = ",") -> None:
        options = pacsv.WriteOptions(delimiter=delimiter)
        self._writer = pacsv.CSVWriter(file, csv_schema(schema), write_options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of `batch`."""
        self._writer.write_batch(csv_batch(batch))

    def finish(self) -> None:
        """Write the end."""
        self._writer.close()
