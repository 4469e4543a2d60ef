"""Scanners: what a query on a dataset gives, as batches, a table or an Arrow stream."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.fields.joining import join
from lancelet.fields.paths import empty_array
from lancelet.file.batches import cut
from lancelet.file.rows import check_batch_size
from lancelet.file.scan import batch_rows
from lancelet.table.inputs.accepted import SCAN_HINTS, SCAN_REFUSED, check_others
from lancelet.table.inputs.arguments import check_number
from lancelet.table.reads.projection import Projection, as_batch
from lancelet.table.reads.windows import DEFAULT_BYTES_IN_FLIGHT, Piece, Scan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lancelet.schema.blobs import BlobView
    from lancelet.table.reads.snapshot import Snapshot

    Arrays = list[pa.Array]

__all__ = ["Scanner", "blob_view"]

#: Chunks of a table are joined until they take so many bytes; larger ones are not copied.
_CHUNK_BYTES = 1 << 20
#: What :class:`Scanner` takes, for messages.
_OPTIONS = (
    "columns",
    "filter",
    "limit",
    "offset",
    "batch_size",
    "with_row_id",
    "with_row_address",
    "batch_readahead",
    "fragment_readahead",
    "scan_in_order",
    "late_materialization",
    "blob_handling",
    "io_buffer_size",
    "max_bytes_in_flight",
    "strict_batch_size",
)


class Scanner:
    """Rows of a dataset that satisfy a filter, in the order of the fragments. Nothing is read before a method asks for it.

    Anything that takes Arrow streams takes this object (``pyarrow.table(scanner)``, Polars, DuckDB).

    Parameters
    ----------
    snapshot
        The version of the dataset, or some of its fragments.
    columns
        Names, ``"a.b"`` for a child of a struct; or new names and the SQL expressions that compute them. By default all fields.
    filter
        Which rows: an expression in SQL, or one of ``pyarrow.compute``.
    limit, offset
        Give at most `limit` rows, after leaving out the first `offset`.
    batch_size
        Most rows of a batch; by default what makes about 1 MiB.
    with_row_id, with_row_address
        Give ``_rowid`` and ``_rowaddr`` too.
    batch_readahead
        Most batches that are made before they are asked for; ``None``: only bytes count.
    fragment_readahead
        Taken for the sake of programs that give it: files are opened as windows of rows are read.
    scan_in_order
        The same: rows always come in order.
    late_materialization
        Decode the columns that the filter does not need only where rows satisfy it; ``False``: decode all columns together.
    blob_handling
        ``"all_binary"``: values of blobs; by default, or with ``"blobs_descriptions"`` or ``"all_descriptions"``, structs that tell
        where they lie.
    io_buffer_size
        Most bytes of decoded rows in memory, by default 40 MiB. Also called `max_bytes_in_flight`.
    strict_batch_size
        All batches but the last have exactly `batch_size` rows; otherwise batches are cut where that saves copying.
    **others
        Further arguments of pylance: those that only say how indices are used, and ``None`` for what is not supported.

    Raises
    ------
    OptionError
        A column does not exist, an expression is none, or an argument is out of range or unknown.
    UnsupportedError
        An argument asks for what is not supported, as `nearest` and `order_by` do.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        filter: Any = None,
        limit: int | None = None,
        offset: int | None = None,
        batch_size: int | None = None,
        with_row_id: bool | None = False,
        with_row_address: bool | None = False,
        batch_readahead: int | None = None,
        fragment_readahead: int | None = None,
        scan_in_order: bool | None = True,
        late_materialization: bool | Sequence[str] | None = None,
        blob_handling: str | None = None,
        io_buffer_size: int | None = None,
        max_bytes_in_flight: int | None = None,
        strict_batch_size: bool | None = None,
        **others: Any,
    ) -> None:
        check_others(others, _OPTIONS, SCAN_REFUSED, SCAN_HINTS)
        check_batch_size(batch_size)
        for name, number in (("limit", limit), ("offset", offset)):
            check_number(name, number, 0)
        for name, number in (
            ("batch_readahead", batch_readahead),
            ("fragment_readahead", fragment_readahead),
            ("io_buffer_size", io_buffer_size),
            ("max_bytes_in_flight", max_bytes_in_flight),
        ):
            check_number(name, number, 1)
        columns = list(columns) if isinstance(columns, Iterator) else columns
        self._snapshot = snapshot
        self._asked = (columns, filter, bool(with_row_id), blob_view(blob_handling))
        self._projection = self._projected(bool(with_row_address))
        self._limit, self._offset = limit, offset or 0
        self._batch_size = batch_size
        self._readahead = batch_readahead
        self._late = late_materialization is not False
        self._max_bytes = io_buffer_size or max_bytes_in_flight or DEFAULT_BYTES_IN_FLIGHT
        self._strict = bool(strict_batch_size)

    def _projected(self, with_row_address: bool) -> Projection:
        columns, filter, with_row_id, blobs = self._asked
        return Projection(
            self._snapshot,
            columns,
            filter,
            with_row_id=with_row_id,
            with_row_address=with_row_address,
            blobs=blobs,
        )

    def with_addresses(self) -> Scanner:
        """Return a scanner of the same rows that gives ``_rowaddr`` too, behind the other columns if it is not among them."""
        found = copy(self)
        found._projection = self._projected(True)
        return found

    @property
    def snapshot(self) -> Snapshot:
        """The version of the dataset, or some of its fragments."""
        return self._snapshot

    @property
    def projection(self) -> Projection:
        """What is read."""
        return self._projection

    @property
    def num_rows(self) -> int | None:
        """Rows of the result; ``None``: a filter decides, and is not asked yet."""
        if self._projection.filter is not None:
            return None
        start, stop = self._bounds()
        return stop - start

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the result."""
        return self._projection.arrow_schema

    @property
    def projected_schema(self) -> pa.Schema:
        """The same, as pylance calls it."""
        return self.schema

    @property
    def dataset_schema(self) -> pa.Schema:
        """Arrow schema of the dataset."""
        return self._snapshot.arrow_schema

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Read batch by batch; memory stays within `io_buffer_size`, and one batch in any case.

        Raises
        ------
        FormatError
            A file is damaged or missing.
        UnsupportedError
            Something is stored in a way that is not known here.
        """
        gathered: list[Piece] = []
        num_rows = num_bytes = 0
        for piece in self._pieces(is_lazy=True):
            gathered.append(piece)
            num_rows += piece.num_rows
            num_bytes += 0 if self._batch_size else _num_bytes(piece)
            size = self._batch_size or batch_rows(num_bytes / num_rows)
            if num_rows < size:
                continue
            rest = num_rows % size
            if not self._strict and 2 * rest >= size:  # not worth the copy that joins it to what comes next
                rest = 0
            whole = _joined(gathered)
            gathered = [_slice(whole, num_rows - rest, num_rows)] if rest else []
            yield from _batches(whole.columns, num_rows - rest, size, self.schema)
            num_rows, num_bytes = rest, num_bytes * rest // num_rows
            del whole, piece
        if gathered:
            whole = _joined(gathered)
            yield from _batches(
                whole.columns, whole.num_rows, self._batch_size or whole.num_rows, self.schema
            )

    def to_table(self) -> pa.Table:
        """Read everything into memory; columns have few chunks.

        Raises
        ------
        FormatError, UnsupportedError
            See :meth:`to_batches`.
        OptionError
            The result takes more memory than the machine has.
        """
        pieces = list(self._pieces(is_lazy=self._limit is not None))
        num_rows = sum(piece.num_rows for piece in pieces)
        if not self.schema.names:
            return pa.Table.from_batches(list(_batches([], num_rows, num_rows, self.schema)), self.schema)
        columns = []
        for number, field in enumerate(self.schema):
            arrays = [array for piece in pieces for array in piece.columns[number]]
            for piece in pieces:
                piece.columns[number] = []
            columns.append(pa.chunked_array(_chunks(arrays, field.type), type=field.type))
        return pa.Table.from_arrays(columns, schema=self.schema)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return a ``pyarrow.RecordBatchReader`` over the batches."""
        return pa.RecordBatchReader.from_batches(self.schema, self.to_batches())

    def count_rows(self) -> int:
        """Count the rows; without a filter no data file is read, and with one only what it needs."""
        known = self.num_rows
        if known is not None:
            return known
        counting = self._projection.counting()
        start, stop = self._bounds()
        scan = Scan(self._snapshot, counting, start, stop, self._max_bytes, is_lazy=False)
        found = max(sum(piece.num_rows for piece in scan.pieces()) - self._offset, 0)
        return found if self._limit is None else min(found, self._limit)

    def head(self, num_rows: int) -> pa.Table:
        """Return the first rows.

        Raises
        ------
        OptionError
            `num_rows` is no whole number of at least 0.
        """
        check_number("num_rows", num_rows, 0, optional=False)
        pieces = list(self._pieces(is_lazy=True, most=num_rows))
        batches = [
            batch
            for piece in pieces
            for batch in _batches(piece.columns, piece.num_rows, piece.num_rows, self.schema)
        ]
        return pa.Table.from_batches(batches, self.schema)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.to_batches()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> Any:
        return self.schema.__arrow_c_schema__()

    def __repr__(self) -> str:
        return f"<lancelet.Scanner: {', '.join(self.schema.names)}>"

    def _bounds(self) -> tuple[int, int]:
        """Return which live rows are looked at."""
        total = self._snapshot.num_rows
        if self._projection.filter is not None:
            return 0, total
        start = min(self._offset, total)
        return start, total if self._limit is None else min(start + self._limit, total)

    def _pieces(self, *, is_lazy: bool, most: int | None = None) -> Iterator[Piece]:
        """Read piece by piece, after `offset` and up to `limit`."""
        start, stop = self._bounds()
        limits = [limit for limit in (self._limit, most) if limit is not None]
        left = min(limits, default=None)
        if self._projection.filter is None:
            stop = stop if left is None else min(stop, start + left)
        if left == 0 or start >= stop:
            return
        scan = Scan(
            self._snapshot,
            self._projection,
            start,
            stop,
            self._max_bytes,
            self._readahead,
            is_lazy=is_lazy,
            late=self._late,
        )
        pieces = scan.pieces()
        if self._projection.filter is None:
            yield from pieces
            return
        skip = self._offset
        for piece in pieces:
            first = min(skip, piece.num_rows)
            skip -= first
            last = piece.num_rows if left is None else min(piece.num_rows, first + left)
            if first < last:
                yield piece if last - first == piece.num_rows else _slice(piece, first, last)
            if left is not None:
                left -= last - first
                if not left:
                    return


def blob_view(handling: str | None) -> BlobView:
    """Return what is shown of blobs.

    Raises
    ------
    OptionError
        The word is unknown.
    """
    views: dict[str | None, BlobView] = {
        None: "descriptors",
        "all_binary": "values",
        "blobs_descriptions": "descriptors",
        "all_descriptions": "descriptors",
    }
    if not isinstance(handling, str | None) or handling not in views:
        raise OptionError(
            f"blob_handling is {handling!r}; it may be {', '.join(repr(name) for name in views if name)}"
        )
    return views[handling]


def _num_bytes(piece: Piece) -> int:
    return sum([array.nbytes for column in piece.columns for array in column])


def _joined(pieces: Sequence[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    columns = [list(chain(*arrays)) for arrays in zip(*(piece.columns for piece in pieces), strict=True)]
    return Piece(columns, sum(piece.num_rows for piece in pieces))


def _slice(piece: Piece, start: int, stop: int) -> Piece:
    """Return some rows of a piece, without copying."""
    columns = []
    for arrays in piece.columns:
        found, first = [], 0
        for array in arrays:
            low, high = max(start - first, 0), min(stop - first, len(array))
            if low < high:
                found.append(array.slice(low, high - low))
            first += len(array)
        columns.append(found)
    return Piece(columns, stop - start)


def _chunks(arrays: Arrays, type_: pa.DataType) -> Arrays:
    """Join neighbouring arrays until they are worth a chunk."""
    if not arrays:
        return [empty_array(type_)]
    if len(arrays) == 1:
        return arrays
    chunks: Arrays = []
    run: Arrays = []
    num_bytes = 0
    for array in arrays:
        size = array.nbytes
        if run and num_bytes + size > _CHUNK_BYTES:
            chunks += _chunk(run)
            run, num_bytes = [], 0
        run.append(array)
        num_bytes += size
    return chunks + _chunk(run)


def _chunk(run: Arrays) -> Arrays:
    joined = join(run)
    return run if joined is None else [joined]


def _batches(
    columns: list[Arrays], num_rows: int, batch_size: int, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Cut columns into batches; there may be no columns."""
    if columns:
        yield from cut(columns, num_rows, batch_size, schema)
        return
    for start in range(0, num_rows, max(batch_size, 1)):
        yield as_batch({}, min(batch_size, num_rows - start))
