"""Writing files: batch -> fields -> pages -> container (container.md 6)."""

from __future__ import annotations

import os
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.container.metadata import ALIGNMENT
from lancelet.container.spill import DEFAULT_SPILL_BYTES, SpilledPages
from lancelet.container.writer import ContainerWriter
from lancelet.errors import OptionError, UnsupportedError
from lancelet.fields.base import ColumnNumbering, FieldRequest, check_alignment
from lancelet.fields.encoder import StructuralStrategy
from lancelet.fields.v20_encoder import V20Strategy
from lancelet.fields.wishes import checked_options, options_of_leaves
from lancelet.file.checks import check_batch, check_row_count, fields_of, with_nullability
from lancelet.file.placing import LateBuffers, PagePlacer
from lancelet.options import Profile, WriteOptions, default_max_page_bytes
from lancelet.pb.file_pb2 import FileDescriptor
from lancelet.schema.blobs import stored_schema
from lancelet.schema.fields import Schema
from lancelet.schema.limits import check_version
from lancelet.storage import open_sink
from lancelet.versions import Version
from lancelet.wishes import ColumnOptions, CompressionParams
from lancelet.wishes.column import NO_WISHES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lancelet.buffers import Data
    from lancelet.fields.base import EncodingStrategy, FieldEncoder

__all__ = ["FileWriter"]


class FileWriter:
    """Writes one Lance file. Belongs to one thread, and to one process: a forked child must not write with it.

    The file appears under its name when :meth:`finish` succeeds, and not before: an exception inside ``with``, :meth:`abort`, a
    dropped writer or a killed process leave nothing there.

    Pages are encoded on worker threads (``LANCELET_THREADS``), while the program gets its next batch. So the memory behind a
    batch must not change before :meth:`finish`, as that of Arrow arrays never does; a batch that was made around a NumPy array
    without a copy is one that can. The file does not depend on the number of threads.

    Parameters
    ----------
    path
        Path, or a binary file object.
    schema
        Arrow schema; by default that of the first batch.
    fields
        The fields that `schema` is stored as, with ids, nullability and metadata of their own, as those of a dataset have; by
        default those that `schema` says, numbered from 0. Names and types must be those of `schema`.
    version
        File version: ``"2.0"``, ``"2.1"``, ``"2.2"`` or ``"stable"`` (2.2).
    data_cache_bytes
        Bytes that all columns together may queue before pages are cut; by default 8 MiB for each.
    max_page_bytes
        Largest page before encoding; by default ``LANCE_FILE_WRITER_MAX_PAGE_BYTES``, or 32 MiB. One row is never cut.
    keep_original_array
        Queue arrays without copying them. Saves time where the batches are not parts of something larger.
    columns
        Wishes for single columns, by path: ``"a"``, ``"s.a"``, ``"l.item"``. They hold for all leaves below. What a column
        cannot have is refused.
    compression_params
        Wishes for many columns, by type and by pattern of names; they come after `columns`.
    profile
        Who chooses where nothing is wished: ``"balanced"``, ``"small"`` (zstd wherever it pays), ``"fast"`` (no symbol tables, no
        general compression) or ``"reference"`` (as the reference implementation chooses).
    encoding_strategy
        What chooses the encoders, by default :class:`~lancelet.fields.encoder.StructuralStrategy`, or
        :class:`~lancelet.fields.v20_encoder.V20Strategy` for version 2.0.
    page_spill
        Path of a file that does not exist yet, which takes the metadata of the pages while the file is written, for programs that
        keep thousands of writers open. It is removed in the end, however that comes. The file is the same as without.
    page_spill_bytes
        Bytes of that metadata that stay in memory.
    buffer_alignment
        Buffers start at multiples of it: a power of two, at least 8; from version 2.1 on never below 64.

    Raises
    ------
    OptionError
        An option is out of range, or the version cannot hold a type of the schema.
    UnsupportedError
        The version cannot be written here.

    Examples
    --------
    >>> import pyarrow as pa
    >>> with FileWriter("numbers.lance") as writer:  # doctest: +SKIP
    ...     writer.write_table(pa.table({"n": [1, 2, 3]}))
    """

    def __init__(
        self,
        path: Any,
        schema: pa.Schema | None = None,
        *,
        version: str | Version = "stable",
        data_cache_bytes: int | None = None,
        max_page_bytes: int | None = None,
        keep_original_array: bool = False,
        columns: Mapping[str, ColumnOptions] | None = None,
        compression_params: CompressionParams | None = None,
        profile: str = "balanced",
        encoding_strategy: EncodingStrategy | None = None,
        page_spill: str | os.PathLike[str] | None = None,
        page_spill_bytes: int = DEFAULT_SPILL_BYTES,
        buffer_alignment: int = ALIGNMENT,
        fields: Schema | None = None,
    ) -> None:
        self._version = Version.parse(version)
        if self._version > Version.V2_2:
            raise UnsupportedError(
                f"file version {self._version.text} is not written: it is unstable, and what one release of the reference "
                "implementation writes as 2.3 the next cannot read; write 2.2 (stable), 2.1 or 2.0"
            )
        self._options = WriteOptions(
            version=self._version,
            data_cache_bytes=data_cache_bytes,
            max_page_bytes=default_max_page_bytes() if max_page_bytes is None else max_page_bytes,
            keep_original_array=keep_original_array,
            profile=Profile.parse(profile),
            compression_params=CompressionParams() if compression_params is None else compression_params,
        )
        fields = fields_of(schema, fields)
        self._column_options = checked_options(columns)
        self._strategy = encoding_strategy or (
            V20Strategy() if self._version == Version.V2_0 else StructuralStrategy()
        )
        self._numbering = ColumnNumbering()
        self._encoders: list[FieldEncoder] = []
        self._schema: Schema | None = None
        self._arrow_schema: pa.Schema | None = None
        self._strict_schema: pa.Schema | None = None
        self._takes_any_value = False
        self._schema_metadata: dict[str, str] = {}
        self._rows_written = 0
        self._state = "open"
        pages = None if page_spill is None else SpilledPages(page_spill, page_spill_bytes)
        alignment = check_alignment(buffer_alignment)
        if self._version > Version.V2_0:
            alignment = max(alignment, ALIGNMENT)
        self._container = ContainerWriter(open_sink(path), self._version, pages=pages, alignment=alignment)
        self._process = os.getpid()
        self._placer = PagePlacer(self._container)
        weakref.finalize(self, self._placer.tasks.close)
        if fields is not None:
            with self._giving_up_on_error():
                self._initialise(schema, fields)

    @property
    def version(self) -> str:
        """File version, as ``"2.2"``."""
        return self._version.text

    @property
    def field_id_to_column_indices(self) -> list[tuple[int, int]]:
        """Field ids and the physical columns they own, in the order of the columns."""
        return list(self._numbering.columns.items())

    def tell(self) -> int:
        """Return the number of bytes written so far, once the pages that are due are written."""
        if self._state == "open":
            with self._giving_up_on_error():
                self._placer.drain()
        return self._container.position

    def add_schema_metadata(self, key: str, value: str) -> None:
        """Set a key of the schema metadata; it wins over the schema's own value.

        Raises
        ------
        OptionError
            Key or value are no text.
        """
        self._check_open()
        for text in (key, value):
            if not isinstance(text, str) or any("\ud800" <= char <= "\udfff" for char in text):
                raise OptionError(f"schema metadata is Unicode text, and {text!r} is not")
        self._schema_metadata[key] = value

    def add_global_buffer(self, data: Data) -> int:
        """Store `data` in the file; returns its index, from 1, for :meth:`FileReader.read_global_buffer`."""
        self._check_open()
        with self._giving_up_on_error():
            self._placer.drain()
            return self._container.add_global_buffer(data)

    def write_batch(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Add the rows of `batch`.

        Raises
        ------
        OptionError
            A column is missing or has another type than the file, a null is visible where the schema allows none, or the batch has
            2^32 rows or more.
        """
        self._check_open()
        if isinstance(batch, pa.Table):
            self.write_table(batch)
            return
        if not isinstance(batch, pa.RecordBatch):
            batch = pa.record_batch(batch)
        self._set_schema(batch.schema)
        if self._takes_any_value and batch.schema.equals(self._arrow_schema):
            arrays = batch.columns
        else:
            arrays = check_batch(batch, self._arrow_schema, self._strict_schema)
        if batch.num_rows == 0:
            return
        check_row_count(batch.num_rows, self._rows_written)
        with self._giving_up_on_error():
            self._encode(arrays, batch.num_rows)

    def write_batches(self, batches: Iterable[pa.RecordBatch] | Any) -> None:
        """Add all rows of `batches`: an iterable of batches, a table, or any object with an Arrow stream."""
        if isinstance(batches, pa.Table):
            self.write_table(batches)
            return
        if hasattr(batches, "__arrow_c_stream__"):
            batches = pa.RecordBatchReader.from_stream(batches)
            self._check_open()
            self._set_schema(batches.schema)
        for batch in batches:
            self.write_batch(batch)

    def write_table(self, table: pa.Table) -> None:
        """Add all rows of `table`, which may have none.

        Raises
        ------
        OptionError
            As :meth:`write_batch`; tables without rows are checked too.
        """
        self._check_open()
        if not isinstance(table, pa.Table):
            table = pa.table(table)
        self._set_schema(table.schema)
        for batch in table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]:
            self.write_batch(batch)

    def finish(self) -> int:
        """Write what waits and the metadata, and put the file in its place; returns the number of rows.

        Raises
        ------
        OptionError
            The writer has no schema: none was given and no batch was written. Or it was finished before.
        """
        self._check_open()
        if self._schema is None:
            raise OptionError("the file has no schema: give one to FileWriter, or write a batch")
        with self._giving_up_on_error():
            self._finish(self._schema)
        self._state = "finished"
        return self._rows_written

    def close(self) -> int | None:
        """Finish if that has not happened yet; returns the number of rows then, and ``None`` otherwise."""
        return self.finish() if self._state == "open" else None

    def abort(self) -> None:
        """Give up: nothing is left under the file's name. Waits for pages that are being encoded."""
        self._abort()

    def _abort(self) -> list[BaseException]:
        """Give up; returns the errors of pages that nobody has heard of."""
        if self._state != "open":
            return []
        self._state = "aborted"
        try:
            return self._placer.tasks.abandon()
        finally:
            self._container.abort()

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self.abort()
        else:
            with self._giving_up_on_error():
                self.close()

    def __repr__(self) -> str:
        return f"<lancelet.FileWriter: version {self.version}, {self._rows_written} rows, {self._state}>"

    def _check_open(self) -> None:
        if self._state != "open":
            raise OptionError(f"the writer is {self._state}; nothing can be written any more")
        if self._process != os.getpid():
            raise OptionError("the writer belongs to the process that made it, of which this one is a fork")

    @contextmanager
    def _giving_up_on_error(self) -> Iterator[None]:
        """Run steps that change the file: when one fails, the file is given up.

        Other pages may have failed at the same time; what they say becomes a note of the error.
        """
        try:
            yield
        except BaseException as error:
            for other in self._abort():
                error.add_note(f"another page failed too: {type(other).__name__}: {other}")
            raise

    def _set_schema(self, arrow_schema: pa.Schema) -> Schema:
        """Return the schema; the first data brings it, unless the writer has one."""
        if self._schema is None:
            return self._initialise(arrow_schema, Schema.from_arrow(arrow_schema))
        return self._schema

    def _initialise(self, arrow_schema: pa.Schema, schema: Schema) -> Schema:
        check_version(schema, self._version)
        schema = stored_schema(schema)
        leaf_options = options_of_leaves(schema.fields, self._column_options)
        cache_bytes = self._options.cache_bytes_per_field(len(schema.fields))
        numbering = ColumnNumbering()
        encoders = []
        shared: dict[Any, Any] = {}
        for field in schema.fields:
            wishes = leaf_options.get(field.id) or self._column_options.get(field.name, NO_WISHES)
            request = FieldRequest(field, field, (), self._options, cache_bytes, wishes, leaf_options, shared)
            encoders.append(self._strategy.field_encoder(request, numbering, self._strategy))
        self._container.expect_columns(numbering.num_columns)
        self._schema, self._arrow_schema = schema, arrow_schema
        self._strict_schema = strict = with_nullability(arrow_schema, schema)
        self._takes_any_value = all(field.nullable and field.type.num_fields == 0 for field in strict)
        self._encoders, self._numbering = encoders, numbering
        return schema

    def _encode(self, arrays: list[pa.Array], num_rows: int) -> None:
        out_of_line = LateBuffers(self._placer, self._container)
        tasks = [
            task
            for encoder, array in zip(self._encoders, arrays, strict=True)
            for task in encoder.add(array, self._rows_written, num_rows, out_of_line)
        ]
        self._rows_written += num_rows
        out_of_line.write()
        self._placer.put(tasks)
        self._container.flush()

    def _finish(self, schema: Schema) -> None:
        out_of_line = LateBuffers(self._placer, self._container)
        tasks = [task for encoder in self._encoders for task in encoder.flush(out_of_line)]
        out_of_line.write()
        self._placer.put(tasks)
        self._placer.drain()
        self._placer.tasks.close()
        for end in (end for encoder in self._encoders for end in encoder.finish()):
            for page in end.pages:
                self._placer.place(page)
            if end.encoding is not None:
                name, message = (
                    end.encoding.DESCRIPTOR.full_name,
                    end.encoding.SerializeToString(deterministic=True),
                )
                self._container.end_column(end.column, name, message, end.buffers)
        message = schema.to_message()
        for key, value in self._schema_metadata.items():
            message.metadata[key] = value.encode()
        descriptor = FileDescriptor(schema=message, length=self._rows_written)
        self._container.finish(descriptor.SerializeToString(deterministic=True), self._numbering.num_columns)
