"""A data file that is written field by field, of pages that are copied and pages that are encoded.

Other files are written batch by batch. Here all rows of a field come before those of the next one, so that what waits for a page
is one field's, however many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.container.writer import ContainerWriter
from lancelet.fields.base import ColumnNumbering, FieldRequest
from lancelet.fields.encoder import StructuralStrategy
from lancelet.fields.wishes import options_of_leaves
from lancelet.file.checks import check_batch, with_nullability
from lancelet.file.placing import LateBuffers, PagePlacer
from lancelet.options import WriteOptions
from lancelet.pb.file_pb2 import FileDescriptor
from lancelet.schema.blobs import stored_schema
from lancelet.schema.fields import Schema
from lancelet.table.formats.metadata import DataFile
from lancelet.table.formats.names import DATA, data_file_name
from lancelet.wishes.column import NO_WISHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data
    from lancelet.container.metadata import PageMetadata
    from lancelet.storage import Store
    from lancelet.versions import Version

__all__ = ["FieldFileWriter"]


class FieldFileWriter:
    """Writes one data file of version 2.1 or 2.2. Belongs to one thread; left with an error, it removes the file.

    Parameters
    ----------
    store
        The dataset.
    schema
        All fields.
    version
        File version.
    data_cache_bytes
        Bytes of a field that wait for a page.
    max_page_bytes
        Largest page before it is encoded.

    Attributes
    ----------
    path
        Path of the file below the root of the dataset.
    """

    def __init__(
        self, store: Store, schema: Schema, version: Version, *, data_cache_bytes: int, max_page_bytes: int
    ) -> None:
        self._name = data_file_name()
        self.path = f"{DATA}/{self._name}"
        self._version = version
        self._schema = stored_schema(schema)
        arrow = [pa.schema([field.to_arrow()]) for field in schema.fields]
        stored = [Schema((field,)) for field in self._schema.fields]
        strict = (with_nullability(*pair) for pair in zip(arrow, stored, strict=True))
        self._checks = list(zip(arrow, strict, strict=True))
        self._numbering = ColumnNumbering()
        options = WriteOptions(version=version, max_page_bytes=max_page_bytes)
        strategy = StructuralStrategy()
        leaf_options = options_of_leaves(self._schema.fields, {})
        shared: dict[Any, Any] = {}
        self._encoders = []
        self._columns: list[tuple[tuple[int, int], ...]] = []
        for field in self._schema.fields:
            before = len(self._numbering.columns)
            wishes = leaf_options.get(field.id) or NO_WISHES
            request = FieldRequest(field, field, (), options, data_cache_bytes, wishes, leaf_options, shared)
            self._encoders.append(strategy.field_encoder(request, self._numbering, strategy))
            self._columns.append(tuple(self._numbering.columns.items())[before:])
        self._container = ContainerWriter(store.open_sink(self.path, replace=False), version)
        self._container.expect_columns(self._numbering.num_columns)
        self._placer = PagePlacer(self._container)
        self._is_open = True

    def columns_of(self, field: int) -> tuple[int, ...]:
        """Return the ids of the fields that own the columns of a top-level field, in the order of the columns."""
        return tuple(id_ for id_, _ in self._columns[field])

    def copy_page(
        self, field: int, number: int, page: PageMetadata, buffers: Sequence[Data], first_row: int
    ) -> None:
        """Write a page of another file.

        Parameters
        ----------
        field, number
            Place of the top-level field, and of the column among its columns.
        page
            The page as it is described there.
        buffers
            Its bytes.
        first_row
            Row of this file that is row 0 of the other.
        """
        self._placer.drain()
        column = self._columns[field][number][1]
        self._container.write_page(
            column, buffers, page.num_rows, first_row + page.first_row, page.type_name, page.encoding
        )

    def encode(self, field: int, batch: pa.RecordBatch, first_row: int) -> None:
        """Add rows of a top-level field, which `batch` has as its only column.

        Raises
        ------
        OptionError
            There is a null where none may be.
        """
        (array,) = check_batch(batch, *self._checks[field])
        out_of_line = LateBuffers(self._placer, self._container)
        tasks = self._encoders[field].add(array, first_row, batch.num_rows, out_of_line)
        out_of_line.write()
        self._placer.put(tasks)

    def end_run(self, field: int) -> None:
        """Write what waits of a field: what comes next is copied, or there is no more."""
        out_of_line = LateBuffers(self._placer, self._container)
        tasks = self._encoders[field].flush(out_of_line)
        out_of_line.write()
        self._placer.put(tasks)

    def finish(self, num_rows: int) -> DataFile:
        """Complete the file, which has `num_rows` rows."""
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
        descriptor = FileDescriptor(schema=self._schema.to_message(), length=num_rows)
        num_columns = self._numbering.num_columns
        size = self._container.finish(descriptor.SerializeToString(deterministic=True), num_columns)
        self._is_open = False
        pairs = list(self._numbering.columns.items())
        fields, columns = tuple(id_ for id_, _ in pairs), tuple(column for _, column in pairs)
        return DataFile(self._name, fields, columns, 2, self._version.footer[1], size)

    def __enter__(self) -> FieldFileWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._is_open:
            self._is_open = False
            try:
                self._placer.tasks.abandon()
            finally:
                self._container.abort()
