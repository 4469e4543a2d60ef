"""Open a file from its end; column metadata is parsed when it is asked for (container.md 7).

One read of the tail is enough in the common case. Everything that the footer, the tables and the descriptor
claim is checked here; what a column claims is checked when the column is parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError

from lancelet.container.footer import FOOTER_BYTES, PAIR_BYTES, Footer, unpack_pairs
from lancelet.container.metadata import (
    ALIGNMENT,
    BufferRef,
    ColumnMetadata,
    Region,
    check_page_rows,
    parse_column,
)
from lancelet.container.table import ColumnTable
from lancelet.errors import FormatError, OptionError
from lancelet.pb import file_pb2
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lancelet.container.metadata import PageTotals
    from lancelet.storage import Source

__all__ = ["Container"]

_MAX_ROWS = 2**63 - 1
#: All columns are parsed together when more than this part of them are wanted, and they take so many bytes, which one by one take
#: longer.
_PARSED_TOGETHER = 16
_MIN_TOGETHER_BYTES = 1 << 10
#: So few blocks of metadata are checked one by one: arrays would take longer.
_FEW_COLUMNS = 16


class _Tail:
    """The end of a file, read in as few requests as possible."""

    def __init__(self, source: Source, block_bytes: int) -> None:
        self.file_bytes = source.size()
        self._source = source
        self._start = max(0, self.file_bytes - block_bytes)
        self._data = source.read(self._start, self.file_bytes - self._start)

    def read(self, position: int, size: int) -> memoryview:
        """Return bytes that the caller knows to lie inside of the file."""
        if position < self._start:
            return self._source.read(position, size)
        return self._data[position - self._start : position - self._start + size]

    def extend(self, start: int) -> None:
        """Have everything from `start` to the end."""
        if start < self._start:
            missing = self._source.read(start, self._start - start)
            self._data = memoryview(b"".join((missing, self._data)))
            self._start = start


class Container:
    """An open file as a set of described buffers. Immutable, apart from caches; threads may share it.

    Attributes
    ----------
    source
        Where the bytes come from; page buffers are read there.
    version
        Version of the file.
    schema_message
        The schema as stored.
    footer
        The footer as stored.
    """

    def __init__(
        self,
        source: Source,
        footer: Footer,
        descriptor: file_pb2.FileDescriptor,
        globals_: tuple[BufferRef, ...],
        blocks: tuple[memoryview, npt.NDArray[np.uint64]],
        region: Region,
    ) -> None:
        self.source = source
        self.footer = footer
        self.version: Version = footer.version
        self.schema_message = descriptor.schema
        self._num_rows = descriptor.length
        self._globals = globals_
        self._blocks, self._block_table = blocks
        self._region = region
        self._columns: dict[int, ColumnMetadata] = {}
        #: Known when many columns were asked for at once.
        self.table: ColumnTable | None = None

    @classmethod
    def open(cls, source: Source, *, block_size: int = 64 * 1024, check_alignment: bool = True) -> Container:
        """Read and check the envelope of a file.

        Parameters
        ----------
        source
            The file. It stays open, and the caller's.
        block_size
            Bytes to read from the end at first; wider files take one more read.
        check_alignment
            Refuse misaligned buffers in files of version 2.1 and later. Batches encoded in memory need not be
            aligned.

        Raises
        ------
        FormatError
            The envelope is damaged, or this is no Lance file of version 2.
        """
        try:
            return cls._open(source, max(block_size, FOOTER_BYTES), check_alignment)
        except FormatError as error:
            raise error.locate(path=source.name) from None

    @classmethod
    def _open(cls, source: Source, block_bytes: int, check_alignment: bool) -> Container:
        file_bytes = source.size()
        if file_bytes < FOOTER_BYTES:
            raise FormatError(f"{file_bytes} bytes are too short for a Lance file")
        tail = _Tail(source, block_bytes)
        footer = Footer.unpack(tail.read(file_bytes - FOOTER_BYTES, FOOTER_BYTES), file_bytes)
        if footer.num_global_buffers == 0:
            raise FormatError("the file has no descriptor, and so no schema; read_mini reads such files")
        aligned = check_alignment and footer.version >= Version.V2_1
        globals_ = _read_globals(tail, footer, aligned)
        # Descriptor, column metadata and tables follow each other in files as they are written. Where a file
        # says otherwise, the parts are read one by one rather than all that lies between them.
        descriptor = globals_[0]
        if descriptor.position + descriptor.size == footer.column_metadata_offset:
            tail.extend(descriptor.position)
        message = _parse_descriptor(tail.read(*descriptor))
        blocks = _read_blocks(tail, footer)
        return cls(source, footer, message, globals_, blocks, Region(descriptor.position, aligned))

    @classmethod
    def open_mini(cls, source: Source, schema: file_pb2.Schema, *, rows_per_row: int = 1) -> Container:
        """Read and check the envelope of a "mini" file, which has neither schema nor number of rows (container.md 8).

        Parameters
        ----------
        source
            The file.
        schema
            Its schema.
        rows_per_row
            Rows that the pages of column 0 count for one row of the file; they tell the number of rows.

        Raises
        ------
        FormatError
            The envelope or the metadata of column 0 is damaged, or the file has a descriptor.
        """
        try:
            file_bytes = source.size()
            if file_bytes < FOOTER_BYTES:
                raise FormatError(f"{file_bytes} bytes are too short for a Lance file")
            tail = _Tail(source, file_bytes)
            footer = Footer.unpack(tail.read(file_bytes - FOOTER_BYTES, FOOTER_BYTES), file_bytes)
            if footer.num_global_buffers:
                raise FormatError("this is no mini file: it has a descriptor of its own")
            blocks = _read_blocks(tail, footer)
            region = Region(footer.column_metadata_offset, aligned=False)
            descriptor = file_pb2.FileDescriptor(schema=schema)
            if footer.num_columns:
                descriptor.length = cls(source, footer, descriptor, (), blocks, region)._rows_of_pages(
                    rows_per_row
                )
        except FormatError as error:
            raise error.locate(path=source.name) from None
        return cls(source, footer, descriptor, (), blocks, region)

    def close(self) -> None:
        """Let go of the file, and of its map unless somebody else has views of it; what describes it stays."""
        self._blocks, self._block_table = memoryview(bytes(self._blocks)), self._block_table.copy()
        self.source.close()

    def _rows_of_pages(self, rows_per_row: int) -> int:
        """Return the rows that the pages of column 0 hold."""
        rows, rest = divmod(sum(page.num_rows for page in self.column(0).pages), rows_per_row)
        if rest or rows > _MAX_ROWS:
            raise FormatError(f"the pages hold {rows} rows and {rest} items, which is impossible", column=0)
        return rows

    @property
    def num_columns(self) -> int:
        """Number of physical columns."""
        return self.footer.num_columns

    @property
    def num_rows(self) -> int:
        """Number of rows, as the descriptor says."""
        return self._num_rows

    @property
    def data_stop(self) -> int:
        """Position where the data ends: buffers of pages, and what pages refer to, lie before it."""
        return self._region.stop

    @property
    def num_global_buffers(self) -> int:
        """Number of global buffers; 0 is the descriptor, the user's follow."""
        return len(self._globals)

    @property
    def global_buffers(self) -> tuple[BufferRef, ...]:
        """Where the global buffers lie."""
        return self._globals

    def global_buffer(self, index: int) -> memoryview:
        """Read global buffer `index`.

        Raises
        ------
        OptionError
            There is no such buffer.
        """
        if not 0 <= index < len(self._globals):
            raise OptionError(f"global buffer {index} does not exist; the file has {len(self._globals)}")
        return self.source.read(*self._globals[index])

    def column(self, index: int) -> ColumnMetadata:
        """Return the metadata of physical column `index`, parsed and checked at the first call.

        Raises
        ------
        FormatError
            The metadata is damaged; the error names column and page.
        IndexError
            There is no such column.
        """
        found = self._columns.get(index)
        if found is not None:
            return found
        if not 0 <= index < self.footer.num_columns:
            raise IndexError(f"column {index} does not exist; the file has {self.num_columns}")
        parsed = None if self.table is None else self.table.column(index)
        if parsed is None:
            block = self.column_block(index)
            try:
                parsed = parse_column(block, self._region, self.version)
            except FormatError as error:
                raise error.locate(path=self.source.name, column=index) from None
        # Two threads may both parse; all callers get the one that was stored first.
        return self._columns.setdefault(index, parsed)

    def column_block(self, index: int) -> memoryview:
        """Return the metadata of physical column `index` as stored, for those who move pages without looking into them.

        Raises
        ------
        IndexError
            There is no such column.
        """
        if not 0 <= index < self.footer.num_columns:
            raise IndexError(f"column {index} does not exist; the file has {self.num_columns}")
        position, size = self._block_table[index].tolist()
        start = position - self.footer.column_metadata_offset
        return self._blocks[start : start + size]

    def moved_pages(
        self, columns: Sequence[int], starts: Sequence[int], shifts: Sequence[int], first_row: int
    ) -> list[bytes] | None:
        """Return the pages of columns as they stand in another file; ``None``: they must be rewritten one by one.

        Parameters
        ----------
        columns
            Indices of physical columns.
        starts, shifts
            Buffers from ``starts[i]`` on lie ``shifts[i]`` bytes further there.
        first_row
            Rows of the other file before those of this one.
        """
        return (
            None if self.table is None else self.table.moved(self._blocks, columns, starts, shifts, first_row)
        )

    def totals(self, index: int) -> PageTotals:
        """Return what the pages of physical column `index` are together. Raises what :meth:`column` does."""
        table, totals = self.table, None
        if table is not None and 0 <= index < self.footer.num_columns:
            totals = table.totals(index)
        return self.column(index).totals if totals is None else totals

    def prepare(self, num_columns: int) -> None:
        """Get ready for many calls of :meth:`column`: parse all columns at once, if so many are worth it."""
        share = self.num_columns // _PARSED_TOGETHER
        enough = len(self._blocks) >= _MIN_TOGETHER_BYTES and num_columns - len(self._columns) > share
        if self.table is None and enough:
            start, stop = self.footer.column_metadata_offset, self.footer.column_table_offset
            # The blocks follow each other, in a file, so that the numbers are small.
            edges = np.append(self._block_table[:, 0], np.uint64(stop)) - np.uint64(start)
            self.table = ColumnTable(self._blocks, edges.astype(np.int64), self._region, self.version)

    def check_rows(self, column: int, multiplier: int = 1) -> None:
        """Check that the pages of a column follow each other and hold all rows of the file (2.1 and later).

        Parameters
        ----------
        column
            Index of the physical column.
        multiplier
            Slots a row: the product of the dimensions of the fixed-size lists of structs around the column
            (versions.md 5.8).

        Raises
        ------
        FormatError
            Rows are missing, too many, or out of order.
        """
        if multiplier == 1 and self.totals(column).num_rows == self.num_rows:
            return
        try:
            check_page_rows(self.column(column).pages, self.num_rows, multiplier)
        except FormatError as error:
            raise error.locate(path=self.source.name, column=column) from None


def _read_globals(tail: _Tail, footer: Footer, aligned: bool) -> tuple[BufferRef, ...]:
    """Read and check the table of the global buffers."""
    table = tail.read(footer.global_table_offset, footer.num_global_buffers * PAIR_BYTES)
    refs = tuple(BufferRef(position, size) for position, size in unpack_pairs(table).tolist())
    for number, (position, size) in enumerate(refs):
        # The descriptor comes last of all buffers, in front of the column metadata.
        stop = refs[0].position if number else footer.column_metadata_offset
        if position + size > stop:
            raise FormatError(
                f"global buffer {number}: {size} bytes at {position} reach beyond {stop}", offset=position
            )
        if aligned and position % ALIGNMENT:
            raise FormatError(
                f"global buffer {number} does not start at a multiple of {ALIGNMENT}", offset=position
            )
    return refs


def _parse_descriptor(data: memoryview) -> file_pb2.FileDescriptor:
    try:
        message = file_pb2.FileDescriptor.FromString(bytes(data))
    except DecodeError as error:
        raise FormatError(f"the file descriptor cannot be parsed: {error}") from None
    if message.length > _MAX_ROWS:
        raise FormatError(f"the descriptor says {message.length} rows, which is impossible")
    return message


def _read_blocks(tail: _Tail, footer: Footer) -> tuple[memoryview, npt.NDArray[np.uint64]]:
    """Read the column metadata blocks and their table, and check that the blocks lie back to back."""
    start, stop = footer.column_metadata_offset, footer.column_table_offset
    table = unpack_pairs(tail.read(stop, footer.num_columns * PAIR_BYTES))
    if footer.num_columns <= _FEW_COLUMNS and _follow_each_other(table.tolist(), start, stop):
        return tail.read(start, stop - start), table
    positions, sizes = table[:, 0], table[:, 1]
    # No sum below can overflow: the largest position is known to be a file position before sizes are added.
    inside = (
        (positions >= start) & (positions <= stop) & (sizes <= stop - np.minimum(positions, np.uint64(stop)))
    )
    if not inside.all():
        column = int(np.argmin(inside))
        raise FormatError(
            f"{sizes[column]} bytes at {positions[column]} do not lie inside of the column metadata "
            f"from {start} to {stop}",
            column=column,
        )
    edges = np.concatenate((positions, [np.uint64(stop)]))
    ends = np.concatenate(([np.uint64(start)], positions + sizes))
    joined = edges == ends
    if not joined.all():
        column = int(np.argmin(joined))
        raise FormatError(
            f"the column metadata blocks do not follow each other: one starts at {edges[column]}, "
            f"what comes before ends at {ends[column]}",
            column=column,
        )
    return tail.read(start, stop - start), table


def _follow_each_other(blocks: Sequence[tuple[int, int]], start: int, stop: int) -> bool:
    """Whether ``(position, size)`` of all blocks fill the bytes from `start` to `stop`, in order."""
    for position, size in blocks:
        if position != start:
            return False
        start += size
    return start == stop
