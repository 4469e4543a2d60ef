"""Reading files: plan, fetch, decode (container.md 7)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lancelet.container.reader import Container
from lancelet.errors import FormatError, LanceletError
from lancelet.file.result import ReadResult
from lancelet.file.rows import as_row_numbers, check_batch_size, check_range, order_rows
from lancelet.file.scan import DEFAULT_BYTES_IN_FLIGHT, Limits
from lancelet.file.selection import Columns, Selection
from lancelet.pages.base import RowRanges
from lancelet.schema.blobs import check_view
from lancelet.schema.known import known_schema
from lancelet.schema.project import project, project_stored
from lancelet.storage import open_source
from lancelet.storage.chunked import DEFAULT_CHUNK_BYTES, in_chunks
from lancelet.storage.memory import MemorySource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from lancelet.buffers import Int64Array
    from lancelet.container.metadata import ColumnMetadata
    from lancelet.file.column import ColumnPages
    from lancelet.file.plan import ReadPlan
    from lancelet.schema.blobs import BlobView
    from lancelet.schema.fields import Schema, StoredSchema
    from lancelet.schema.known import KnownSchema
    from lancelet.storage import Source
    from lancelet.versions import Version

__all__ = ["ColumnStatistics", "FileReader", "FileStatistics"]


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
        if columns is not None:
            _ = self._schema

    @cached_property
    def _known(self) -> KnownSchema:
        with self._located():
            return known_schema(self._container.schema_message)

    @property
    def _stored_schema(self) -> StoredSchema:
        return self._known.stored

    @cached_property
    def _schema(self) -> Schema:
        stored, wanted = self._stored_schema, self._columns_wanted
        with self._located():
            return stored.whole if wanted is None else project_stored(stored, wanted)

    def _selected(self, names: Sequence[str]) -> Selection:
        """Select the part of the reader's columns that `names` mean."""
        if self._columns_wanted is not None:
            part = project(self._schema, names)
        else:
            with self._located():
                part = project_stored(self._stored_schema, names)
        return Selection(self._columns, part, self._blobs)

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Name the file in errors of its schema."""
        try:
            yield
        except FormatError as error:
            raise error.locate(path=self._container.source.name) from None

    @cached_property
    def _columns(self) -> Columns:
        known = self._known
        with self._located():
            return Columns(self._container, known.stored, known.columns_of(self._container.version))

    @cached_property
    def _selection(self) -> Selection:
        if self._columns_wanted is not None:
            return Selection(self._columns, self._schema, self._blobs)
        schema = self._schema
        return Selection(self._columns, schema, self._blobs, self._known.shown(self._blobs))

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the columns that are read.

        Raises
        ------
        FormatError
            The schema of the file is damaged.
        """
        return self._selection.arrow_schema

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
        with self._located():
            return self._stored_schema.whole

    def read_global_buffer(self, index: int) -> bytes:
        """Return a global buffer; index 0 is the descriptor, those of the user start at 1."""
        return bytes(self._container.global_buffer(index))

    def metadata(self) -> list[ColumnMetadata]:
        """Return the metadata of all physical columns: pages with their buffers, rows and encodings."""
        num_columns = self._container.num_columns
        self._container.prepare(num_columns)
        return [self._container.column(column) for column in range(num_columns)]

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
        return dict(self._columns.columns_of)

    def pages(self, column: int) -> ColumnPages:
        """Return the pages of a physical column.

        Raises
        ------
        FormatError
            The file has no such column, its metadata is damaged, or its pages do not hold the rows of the file.
        """
        return self._columns.pages(column)

    def read_all(
        self,
        *,
        batch_size: int | None = None,
        batch_readahead: int | None = None,
        max_bytes_in_flight: int = DEFAULT_BYTES_IN_FLIGHT,
        columns: Sequence[str] | None = None,
    ) -> ReadResult:
        """Read all rows.

        Parameters
        ----------
        batch_size
            Rows per batch; by default what makes about 1 MiB.
        batch_readahead
            Most batches that are made before they are asked for; by default only their bytes count.
        max_bytes_in_flight
            Most bytes of decoded rows that a stream has in memory: those that are used, and those that are made ahead. One batch is
            always there, however large it is.
        columns
            Names of columns, a part of those of the reader.
        """
        limits = Limits(max_bytes_in_flight, batch_readahead)
        return self._range(0, self.num_rows, batch_size, limits, columns)

    def read_range(
        self,
        start: int,
        num_rows: int,
        *,
        batch_size: int | None = None,
        batch_readahead: int | None = None,
        max_bytes_in_flight: int = DEFAULT_BYTES_IN_FLIGHT,
        columns: Sequence[str] | None = None,
    ) -> ReadResult:
        """Read `num_rows` rows from row `start` on. Other parameters are those of :meth:`read_all`.

        Raises
        ------
        OptionError
            The rows do not exist.
        """
        check_range(start, num_rows, self.num_rows)
        limits = Limits(max_bytes_in_flight, batch_readahead)
        return self._range(start, num_rows, batch_size, limits, columns)

    def take_rows(
        self,
        indices: Any,
        *,
        batch_size: int | None = None,
        batch_readahead: int | None = None,
        max_bytes_in_flight: int = DEFAULT_BYTES_IN_FLIGHT,
        columns: Sequence[str] | None = None,
    ) -> ReadResult:
        """Read single rows, in the order asked for; a row may be asked for twice.

        Parameters
        ----------
        indices
            Row numbers from 0: a sequence, a numpy array or an Arrow array of integers.
        batch_size, batch_readahead, max_bytes_in_flight, columns
            See :meth:`read_all`.

        Raises
        ------
        OptionError
            A row does not exist, or `indices` are no integers.
        """
        limits = Limits(max_bytes_in_flight, batch_readahead)
        wanted = as_row_numbers(indices)
        if wanted.size == 0:
            return self._result(None, None, batch_size, limits, columns)
        order = order_rows(wanted, self.num_rows)
        return self._result(order.rows, order.positions, batch_size, limits, columns)

    def plan(
        self,
        rows: Any = None,
        *,
        start: int = 0,
        num_rows: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> ReadPlan:
        """Say which bytes a read fetches: for each column the pages, their rows and ranges, and the requests that these become.

        Parameters
        ----------
        rows
            Single rows, as for :meth:`take_rows`; ``None``: a range.
        start, num_rows
            The range, as for :meth:`read_range`; by default up to the last row.
        columns
            Names of columns, a part of those of the reader.

        Raises
        ------
        OptionError
            A row or a column does not exist.

        Examples
        --------
        >>> print(reader.plan([5, 100], columns=["n"]))  # doctest: +SKIP
        column  page  layout      rows   wanted  bytes
        n       0     mini_block  10000  5, 100  1536
        """
        if rows is not None:
            return self.take_rows(rows, columns=columns).plan()
        if num_rows is None:
            num_rows = max(self.num_rows - start, 0)
        return self.read_range(start, num_rows, columns=columns).plan()

    def _range(
        self,
        start: int,
        num_rows: int,
        batch_size: int | None,
        limits: Limits,
        columns: Sequence[str] | None,
    ) -> ReadResult:
        rows = RowRanges.single(start, start + num_rows) if num_rows else None
        return self._result(rows, None, batch_size, limits, columns)

    def _result(
        self,
        rows: RowRanges | None,
        positions: Int64Array | None,
        batch_size: int | None,
        limits: Limits,
        columns: Sequence[str] | None,
    ) -> ReadResult:
        check_batch_size(batch_size)
        selection = self._selection if columns is None else self._selected(columns)
        return ReadResult(selection, rows, batch_size, limits, positions)

    def close(self) -> None:
        """Let go of the file; arrays that were handed out stay valid, and keep the map as long as they need it."""
        self._container.close()
        # What can be read directly has a view of the whole map.
        for name in ("_columns", "_selection"):
            self.__dict__.pop(name, None)

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return (_reopen, (self._container.source, self._columns_wanted, self._blobs))

    def __repr__(self) -> str:
        return (
            f"<lancelet.FileReader {self._container.source.name!r}: version {self.version.text}, "
            f"{self.num_rows} rows, {self.num_columns} columns>"
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
