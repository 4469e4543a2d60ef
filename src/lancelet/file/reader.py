"""Reading files: plan, fetch, decode (container.md 7)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lancelet.container.reader import Container
from lancelet.errors import FormatError, LanceletError
from lancelet.fields.decoder import check_supported, join_leaves, leaf_arrays
from lancelet.fields.paths import leaf_paths
from lancelet.fields.v20_reader import V20Reader
from lancelet.file.bodies import load_bodies, shows_values
from lancelet.file.column import ColumnPages
from lancelet.file.plan import as_row_numbers, check_batch_size, check_range, order_rows
from lancelet.file.result import ReadResult
from lancelet.pages.base import RowRanges
from lancelet.schema.blobs import check_view, shown_schema
from lancelet.schema.fields import Schema
from lancelet.schema.project import columns_of, project
from lancelet.storage import open_source
from lancelet.storage.chunked import DEFAULT_CHUNK_BYTES, in_chunks
from lancelet.storage.memory import MemorySource
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from lancelet.buffers import Allocate
    from lancelet.container.metadata import ColumnMetadata
    from lancelet.schema.blobs import BlobView
    from lancelet.schema.fields import Field
    from lancelet.storage import Source

__all__ = ["ColumnStatistics", "FileReader", "FileStatistics"]

#: Streams aim at batches of so many bytes: larger ones spend their time on fresh memory.
_BATCH_BYTES = 1 << 20
_MAX_BATCH_ROWS = 65536


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What a physical column takes.

    Attributes
    ----------
    num_pages
        Number of pages.
    size_bytes
        Bytes of their buffers, padding excluded.
    """

    num_pages: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileStatistics:
    """What the columns of a file take, in the order of the physical columns."""

    columns: list[ColumnStatistics]


class FileReader:
    """Reads one Lance file; may be shared by threads and pickled.

    Parameters
    ----------
    path
        Path, bytes, binary file object, or a :class:`~lancelet.storage.Source`.
    columns
        Names of the columns to read (``"a"``, or ``"a.b"`` for a child of a struct), in the order wanted; by default all.
    mmap
        Map a local file into memory. With ``False`` every read copies, and a file that others truncate while it is read gives an
        error and never a signal.
    read_chunk_size
        Most bytes of a single read of sources that really read (files without `mmap`, file objects); larger buffers are read in
        parts.
    blobs
        What is shown of blob columns: their ``"values"`` as large_binary, or their ``"descriptors"``, structs that tell where the
        values lie, without reading them. By default the values of blobs of the first kind (``lance-encoding:blob``), which are all
        in the file, and the descriptors of the second kind (``lance.blob.v2``), whose values may be elsewhere: those are not read
        here, and asking for them is an UnsupportedError.

    Raises
    ------
    FormatError
        The file is no Lance file, or its envelope is damaged.
    UnsupportedError
        The file version is not known here.
    OptionError
        A column does not exist.

    Examples
    --------
    >>> with FileReader("flights.lance") as reader:  # doctest: +SKIP
    ...     table = reader.take_rows([5, 100]).to_table()
    """

    def __init__(
        self,
        path: Any,
        columns: Sequence[str] | None = None,
        *,
        mmap: bool = True,
        read_chunk_size: int = DEFAULT_CHUNK_BYTES,
        blobs: BlobView = None,
    ) -> None:
        check_view(blobs)
        self._columns_wanted = columns
        self._blobs = blobs
        self._container = _open(path, mmap, read_chunk_size)
        try:
            self._file_schema = Schema.from_message(self._container.schema_message)
            self._columns_of = columns_of(self._file_schema, self._container.version)
            self._schema = self._file_schema if columns is None else project(self._file_schema, columns)
            self._arrow_schema = shown_schema(self._schema, blobs).to_arrow()
        except FormatError as error:
            raise error.locate(path=self._container.source.name) from None
        self._pages: dict[int, ColumnPages] = {}
        self._v20: V20Reader | None = None

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the columns that are read."""
        return self._arrow_schema

    @property
    def num_rows(self) -> int:
        """Rows of the file."""
        return self._container.num_rows

    @property
    def version(self) -> Version:
        """File version."""
        return self._container.version

    @property
    def num_columns(self) -> int:
        """Physical columns of the file."""
        return self._container.num_columns

    @property
    def num_global_buffers(self) -> int:
        """Global buffers, the descriptor (index 0) included."""
        return self._container.num_global_buffers

    @property
    def fields(self) -> Schema:
        """The file's own schema: fields with their ids, all columns."""
        return self._file_schema

    def read_global_buffer(self, index: int) -> bytes:
        """Return a global buffer; index 0 is the descriptor, those of the user start at 1."""
        return bytes(self._container.global_buffer(index))

    def metadata(self) -> list[ColumnMetadata]:
        """Return the metadata of all physical columns: pages with their buffers, rows and encodings."""
        return [self._container.column(column) for column in range(self._container.num_columns)]

    def file_statistics(self) -> FileStatistics:
        """Return pages and bytes of every physical column."""
        return FileStatistics(
            [
                ColumnStatistics(
                    len(column.pages), sum(buffer.size for page in column.pages for buffer in page.buffers)
                )
                for column in self.metadata()
            ]
        )

    def column_indices(self) -> dict[int, int]:
        """Return field id -> physical column, for the fields that own one."""
        return dict(self._columns_of)

    def pages(self, column: int) -> ColumnPages:
        """Return the pages of a physical column.

        Raises
        ------
        FormatError
            The file has no such column, its metadata is damaged, or its pages do not hold the rows of the file.
        """
        pages = self._pages.get(column)
        if pages is None:
            if column >= self._container.num_columns:
                raise FormatError(
                    f"the schema needs column {column}, and the file has {self._container.num_columns}",
                    path=self._container.source.name,
                )
            pages = self._pages[column] = ColumnPages(
                self._container, column, self._rows_per_row.get(column, 1)
            )
        return pages

    @cached_property
    def _rows_per_row(self) -> dict[int, int]:
        """Rows that the pages of a column count for one row of the file, where that is not one."""
        paths = (path for field in self._file_schema.fields for path in leaf_paths(field))
        owned = ((self._columns_of.get(path.leaf.id), path.rows_per_row) for path in paths)
        return {column: factor for column, factor in owned if column is not None and factor > 1}

    def read_all(self, *, batch_size: int | None = None, columns: Sequence[str] | None = None) -> ReadResult:
        """Read all rows.

        Parameters
        ----------
        batch_size
            Rows per batch; by default what makes about 1 MiB.
        columns
            Names of columns, a part of those of the reader.
        """
        return self.read_range(0, self.num_rows, batch_size=batch_size, columns=columns)

    def read_range(
        self,
        start: int,
        num_rows: int,
        *,
        batch_size: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> ReadResult:
        """Read `num_rows` rows from row `start` on.

        Raises
        ------
        OptionError
            The rows do not exist.
        """
        check_range(start, num_rows, self.num_rows)
        rows = RowRanges.single(start, start + num_rows) if num_rows else None
        return self._result(rows, None, batch_size, columns)

    def take_rows(
        self, indices: Any, *, batch_size: int | None = None, columns: Sequence[str] | None = None
    ) -> ReadResult:
        """Read single rows, in the order asked for; a row may be asked for twice.

        Parameters
        ----------
        indices
            Row numbers from 0: a sequence, a numpy array or an Arrow array of integers.

        Raises
        ------
        OptionError
            A row does not exist, or `indices` are no integers.
        """
        wanted = as_row_numbers(indices)
        if wanted.size == 0:
            return self._result(None, None, batch_size, columns)
        order = order_rows(wanted, self.num_rows)
        return self._result(order.rows, order.positions, batch_size, columns)

    def _result(
        self, rows: RowRanges | None, positions: Any, batch_size: int | None, columns: Sequence[str] | None
    ) -> ReadResult:
        check_batch_size(batch_size)
        schema = self._schema if columns is None else project(self._schema, columns)
        shown = shown_schema(schema, self._blobs)
        arrow_schema = self._arrow_schema if columns is None else shown.to_arrow()
        if self.version != Version.V2_0:
            for field in schema.fields:
                check_supported(field)
        fields = list(zip(schema.fields, shown.fields, strict=True))

        def read_columns(window: RowRanges, allocate: Allocate) -> list[list[pa.Array]]:
            return self._read(fields, window, allocate)

        size = batch_size or self._default_batch_size(fields)
        return ReadResult(arrow_schema, rows, size, read_columns, positions)

    def _v20_reader(self) -> V20Reader:
        """Return what reads the fields of a file of version 2.0."""
        if self._v20 is None:
            self._v20 = V20Reader(self._container, self._file_schema)
        return self._v20

    def _encoded_bytes(self, field: Field) -> int:
        if self.version == Version.V2_0:
            return self._v20_reader().encoded_bytes(field)
        return sum(pages.encoded_bytes for pages in self._columns(field))

    def _columns(self, field: Field) -> list[ColumnPages]:
        return [self.pages(self._columns_of[path.leaf.id]) for path in leaf_paths(field)]

    def _default_batch_size(self, fields: Sequence[tuple[Field, Field]]) -> int:
        if self.num_rows == 0:
            return _MAX_BATCH_ROWS
        row_bytes = 0.0
        for field, shown in fields:
            if shows_values(field, shown):  # their sizes are not known yet, only that the file holds them all
                row_bytes += self._container.data_stop / self.num_rows
            try:
                row_bytes += field.arrow_type.bit_width / 8
            except ValueError:
                row_bytes += 2 * self._encoded_bytes(field) / self.num_rows
        return int(min(max(_BATCH_BYTES / max(row_bytes, 1), 1), _MAX_BATCH_ROWS))

    def _read(
        self, fields: Sequence[tuple[Field, Field]], rows: RowRanges, allocate: Allocate
    ) -> list[list[pa.Array]]:
        """Plan all columns, fetch everything at once, decode; then fetch the values that blobs' descriptors lead to.

        Parameters
        ----------
        fields
            Each field as it is stored and as it is shown.
        rows
            Rows of the file.
        allocate
            Where memory comes from.
        """
        source = self._container.source
        try:
            if self.version == Version.V2_0:
                return self._v20_reader().read(fields, rows, allocate)
            columns = [self._columns(field) for field, _ in fields]
            plans = [[pages.plan(rows) for pages in leaves] for leaves in columns]
            ranges = [
                range_ for plan in plans for parts in plan for part in parts for range_ in part.part.ranges
            ]
            fetched = iter(source.read_ranges(ranges))
            arrays = [
                leaf_arrays(
                    field,
                    [
                        [
                            (
                                pages.decode(part, [next(fetched) for _ in part.part.ranges], allocate),
                                part.part.keep,
                            )
                            for part in parts
                        ]
                        for pages, parts in zip(leaves, plan, strict=True)
                    ],
                    allocate,
                )
                for (field, _), leaves, plan in zip(fields, columns, plans, strict=True)
            ]
            load_bodies(fields, arrays, source, self._container.data_stop, self._columns_of, allocate)
            return [join_leaves(shown, parts) for (_, shown), parts in zip(fields, arrays, strict=True)]
        except FormatError as error:
            raise error.locate(path=source.name) from None
        except MemoryError:
            raise LanceletError(
                f"there is no memory for {rows.num_rows} rows of {source.name}; read fewer at a time"
            ) from None

    def close(self) -> None:
        """Let go of the file; arrays that were handed out stay valid."""
        self._container.source.close()

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return (_reopen, (self._container.source, self._columns_wanted, self._blobs))

    def __repr__(self) -> str:
        return (
            f"<lancelet.FileReader {self._container.source.name!r}: version {self.version.text}, "
            f"{self.num_rows} rows, {len(self._arrow_schema)} columns>"
        )


def _open(path: Any, mmap: bool, read_chunk_size: int) -> Container:
    if isinstance(path, Container):
        return path
    opened = open_source(path, mmap=mmap)
    try:
        # What was encoded in memory may be packed without gaps.
        return Container.open(
            in_chunks(opened, read_chunk_size), check_alignment=not isinstance(opened, MemorySource)
        )
    except LanceletError:
        if opened is not path:  # the error may live long, and would keep the file open
            opened.close()
        raise


def _reopen(source: Source, columns: Sequence[str] | None, blobs: BlobView) -> FileReader:
    return FileReader(source, columns, blobs=blobs)
