"""Hybrid compaction: large pages are copied, runs of small ones are decoded and become full ones (design.md 10).

What is decided, is decided for a field of a fragment. Files are written field by field::

    fragments        0      1      2      3          4
    field a          copy   copy   copy   decode     copy      fragment 3 has deleted rows
    field b          decode decode decode decode     decode    all pages are small
                     '------- one run, full pages -------'

Pages of a column stay in the order of the rows. So fragments with deletions, of another file version, without a column, or split
over several files take nothing from their neighbours. Plans give only fragments here that can be copied; who calls
:func:`merge_pages` may give others too.

What pages take when they are joined is not known before. Most take less than their sources did; where encodings made much of what
was special to a source, they may take more. Pages of one value, or of nulls, would grow beyond measure, since they take nothing for
a row: those of many rows are joined only to neighbours that hold the same.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lancelet.blocks.arrow import fixed_bits
from lancelet.compact.blob_rows import blob_fields
from lancelet.compact.field_writer import FieldFileWriter
from lancelet.compact.layouts import refers_elsewhere
from lancelet.compact.reencode import field_bytes, scan_bytes
from lancelet.compact.source import PLAIN_COLUMN
from lancelet.errors import FormatError, OptionError
from lancelet.schema.blobs import is_blob
from lancelet.schema.limits import check_version
from lancelet.table.changes.write_files import remove_files
from lancelet.table.formats.metadata import FragmentMetadata
from lancelet.table.reads.scanner import Scanner
from lancelet.versions import COLUMN_ENCODING, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from lancelet.container.metadata import ColumnMetadata
    from lancelet.container.reader import Container
    from lancelet.schema.fields import Field
    from lancelet.table.formats.metadata import DataFile
    from lancelet.table.reads.snapshot import Snapshot

    #: Encoding of a page and the bytes of its buffers.
    _Value = tuple[bytes, ...]

__all__ = ["FULL_PAGE_BYTES", "merge_pages"]

#: A page is full enough from so many bytes on, encoded or before: an eighth of what is queued for one.
FULL_PAGE_BYTES = 1 << 20
#: Pages of one value are joined to others up to so many rows: as runs of 255 rows they take about what describes a page.
_MOST_CONSTANT_ROWS = 2048
#: Most memory for a field that is decoded: its queue, pages in the making, and its part of the rows that were read.
_BYTES_PER_FIELD = 64 << 20
#: How often the decoded bytes of a field are there then, if they are less.
_COPIES = 3
#: Values without a fixed width are taken to be so many times as large as they are encoded, and so much a row and column.
_DECODED_RATIO, _DECODED_ROW_BYTES = 16, 32
#: What a row of a column without a fixed width takes at least before it is encoded, as far as it is known.
_LEAST_ROW_BITS = 64


class _Source(NamedTuple):
    """The pages of a field in one fragment.

    Attributes
    ----------
    place
        Place of the fragment in the snapshot.
    num_rows
        Its rows that are not deleted.
    container, columns
        The file, and its columns in the order of the output's; no container: the field must be decoded.
    is_full
        Whether the pages are large enough to be copied.
    constant
        The values of the columns, if all pages are of one value or null.
    """

    place: int
    num_rows: int
    container: Container | None
    columns: tuple[ColumnMetadata, ...] = ()
    is_full: bool = False
    constant: tuple[frozenset[_Value], ...] | None = None

    @property
    def num_pages(self) -> int:
        """Most pages of a column."""
        return max((column.totals.num_pages for column in self.columns), default=0)

    @property
    def num_bytes(self) -> int:
        """Bytes of the pages."""
        return sum(column.totals.num_bytes for column in self.columns)


def merge_pages(
    snapshot: Snapshot,
    groups: Sequence[range],
    *,
    version: Version,
    memory_limit: int,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[FragmentMetadata], list[str]]:
    """Write the rows of a snapshot that are not deleted as new data files.

    Parameters
    ----------
    snapshot
        The fragments.
    groups
        For each new file the places of the fragments that it is made of.
    version
        File version of the result: 2.1 or 2.2.
    memory_limit
        Bytes that this may take while it decodes and encodes.
    batch_size
        Most rows that are read at a time.
    progress
        Called with the rows of each file that is finished.

    Returns
    -------
    fragments
        Without ids, in the order of the rows; groups without rows give none.
    paths
        Paths of all files.

    Raises
    ------
    FormatError
        A file is damaged.
    OptionError
        The version is 2.0, or cannot hold a type of the schema; or there are blobs of the second kind.
    UnsupportedError
        Something is stored in a way that is not known here.
    """
    if version == Version.V2_0:
        raise OptionError("pages of version 2.0 are not merged: files are copied or re-encoded as a whole")
    check_version(snapshot.schema, version)
    if blob_fields(snapshot.schema):
        raise OptionError("blobs of the second kind are moved with whole rows: such fragments are re-encoded")
    merging = _Merging(snapshot, version, memory_limit, batch_size)
    fragments, paths = [], []
    try:
        for group in groups:
            part = snapshot.part([snapshot.fragments[place] for place in group])
            if part.num_rows == 0:
                continue
            writer = merging.open_file()
            paths.append(writer.path)
            with writer:
                merging.write(part, writer)
                fragments.append(FragmentMetadata(0, (writer.finish(part.num_rows),), part.num_rows))
            if progress is not None:
                progress(part.num_rows)
    except BaseException:
        remove_files(snapshot.store, paths)
        raise
    return fragments, paths


class _Merging:
    """What is the same for all files of a task."""

    def __init__(
        self, snapshot: Snapshot, version: Version, memory_limit: int, batch_size: int | None
    ) -> None:
        self._snapshot = snapshot
        self._schema = snapshot.schema
        self._version = version
        self._memory_limit = memory_limit
        self._batch_size = batch_size
        #: Path of a data file -> its columns by field; files with the same columns share them.
        self._columns_by_path: dict[str, dict[int, int]] = {}
        self._columns_by_numbers: dict[tuple[tuple[int, ...], ...], dict[int, int]] = {}

    def open_file(self) -> FieldFileWriter:
        """Begin a file."""
        cache, page = field_bytes(self._memory_limit)
        return FieldFileWriter(
            self._snapshot.store, self._schema, self._version, data_cache_bytes=cache, max_page_bytes=page
        )

    def write(self, part: Snapshot, writer: FieldFileWriter) -> None:
        """Write all fields of some fragments."""
        waiting: list[int] = []
        num_bytes = 0
        for number, field in enumerate(self._schema.fields):
            runs = list(_runs(self._sources(part, field, writer.columns_of(number))))
            (is_copied, sources), *others = runs
            if is_copied or others:
                self._write_field(part, runs, writer, number)
                continue
            own_bytes = _needed_bytes(field, sources)
            if waiting and num_bytes + own_bytes > self._memory_limit:
                self._decode(part, writer, waiting, 0)
                waiting, num_bytes = [], 0
            waiting.append(number)  # nothing is copied: several fields at a time open each file once
            num_bytes += own_bytes
        if waiting:
            self._decode(part, writer, waiting, 0)

    def _write_field(
        self, part: Snapshot, runs: Sequence[tuple[bool, list[_Source]]], writer: FieldFileWriter, field: int
    ) -> None:
        first_row = 0
        for is_copied, sources in runs:
            if is_copied:
                for source in sources:
                    self._copy(source, writer, field, first_row)
                    first_row += source.num_rows
            else:
                run = part.part([part.fragments[source.place] for source in sources])
                self._decode(run, writer, [field], first_row)
                first_row += run.num_rows

    def _sources(self, part: Snapshot, field: Field, owners: Sequence[int]) -> Iterator[_Source]:
        """Yield what there is of a field in each fragment; `owners` are the fields that own its columns."""
        may_copy = not any(map(is_blob, field.walk()))
        widths = [_row_bits(field, id_) for id_ in owners]
        for place, fragment in enumerate(part.fragments):
            num_rows = part.reader(place).num_rows
            found = self._columns(part, fragment, owners, num_rows) if may_copy else None
            if not num_rows:
                continue
            if found is None:
                yield _Source(place, num_rows, None)
                continue
            container, columns = found
            pairs = zip(columns, widths, strict=True)
            is_full = all(_is_full(column, num_rows, bits) for column, bits in pairs)
            yield _Source(
                place, num_rows, container, columns, is_full, _constant(container, columns, num_rows)
            )

    def _columns(
        self, part: Snapshot, fragment: FragmentMetadata, owners: Sequence[int], num_rows: int
    ) -> tuple[Container, tuple[ColumnMetadata, ...]] | None:
        """Return the columns of a field in a fragment; ``None``: they cannot be copied."""
        if fragment.deletion_file is not None or not owners:
            return None
        files = [file for file in fragment.files if not self._columns_of(file).keys().isdisjoint(owners)]
        if len(files) != 1 or files[0].version != self._version:
            return None
        places = self._columns_of(files[0])
        if not places.keys() >= set(owners):
            return None
        container = part.session.open(part.store, files[0], part.schema_key).container
        container.prepare(len(places))  # the other fields come next
        columns = tuple(container.column(places[id_]) for id_ in owners)
        may_copy = all(_is_plain(column, num_rows) for column in columns)
        # all are looked at: what is damaged is an error, whatever becomes of it
        elsewhere = [refers_elsewhere(container, places[id_]) for id_ in owners]
        return (container, columns) if may_copy and not any(elsewhere) else None

    def _columns_of(self, file: DataFile) -> dict[int, int]:
        """Return the columns of a data file by field, which every field asks for."""
        found = self._columns_by_path.get(file.path)
        if found is None:
            key = (file.fields, file.column_indices)
            found = self._columns_by_numbers.setdefault(key, file.columns_of)
            self._columns_by_path[file.path] = found
        return found

    def _copy(self, source: _Source, writer: FieldFileWriter, field: int, first_row: int) -> None:
        if source.container is None:
            raise ValueError("there is nothing to copy")
        for number, column in enumerate(source.columns):
            for page in column.pages:
                buffers = [source.container.source.read(*buffer) for buffer in page.buffers]
                writer.copy_page(field, number, page, buffers, first_row)

    def _decode(self, run: Snapshot, writer: FieldFileWriter, fields: Sequence[int], first_row: int) -> None:
        """Decode fields of neighbouring fragments and encode them as full pages."""
        scanner = Scanner(
            run,
            columns=[self._schema.fields[field].name for field in fields],
            batch_size=self._batch_size,
            blob_handling="all_binary",
            io_buffer_size=scan_bytes(self._memory_limit),
        )
        num_rows = 0
        for batch in scanner.to_batches():
            for place, field in enumerate(fields):
                writer.encode(field, batch.select([place]), first_row + num_rows)
            num_rows += batch.num_rows
        for field in fields:
            writer.end_run(field)
        if num_rows != run.num_rows:
            raise FormatError(f"{num_rows} rows were read of {run.num_rows}", path=run.store.name)


def _runs(sources: Iterable[_Source]) -> Iterator[tuple[bool, list[_Source]]]:
    """Yield runs of neighbours that are all copied, or all decoded."""
    found = list(sources)
    is_same = len({source.constant for source in found}) == 1

    def kind(source: _Source) -> Hashable:
        """Return what neighbours of a run have in common; ``True``: they are copied."""
        if source.container is None:
            return False
        if source.constant is not None and source.num_rows > _MOST_CONSTANT_ROWS:
            return not is_same and source.constant
        return source.is_full

    for common, group in groupby(found, kind):
        run = list(group)
        # what cannot be put together with anything is not worth decoding
        alone = len(run) == 1 and run[0].container is not None and run[0].num_pages <= 1
        yield common is True or alone, run


def _constant(
    container: Container, columns: Sequence[ColumnMetadata], num_rows: int
) -> tuple[frozenset[_Value], ...] | None:
    """Return the values of columns whose pages are of one value each."""
    if not all(_is_constant(column, num_rows) for column in columns):
        return None
    read = container.source.read
    return tuple(
        frozenset(
            (page.encoding, *(bytes(read(*buffer)) for buffer in page.buffers)) for page in column.pages
        )
        for column in columns
    )


def _is_constant(column: ColumnMetadata, num_rows: int) -> bool:
    """Whether each page of a column is of one value: in its encoding or its only buffer, which has no byte for each row then."""
    return column.totals.num_bytes < num_rows and all(len(page.buffers) <= 1 for page in column.pages)


def _is_plain(column: ColumnMetadata, num_rows: int) -> bool:
    """Whether a column has nothing but pages, which hold all rows in order."""
    is_plain = column.type_name == COLUMN_ENCODING and column.encoding == PLAIN_COLUMN
    return is_plain and not column.buffers and column.totals.num_rows == num_rows


def _is_full(column: ColumnMetadata, num_rows: int, row_bits: int) -> bool:
    """Whether the pages of a column are large on average, or would only grow."""
    totals = column.totals
    if num_rows > _MOST_CONSTANT_ROWS and _is_constant(column, num_rows):
        return True
    num_bytes = max(totals.num_bytes, num_rows * row_bits // 8)
    return num_bytes >= FULL_PAGE_BYTES * totals.num_pages


def _row_bits(field: Field, id_: int) -> int:
    """Return what a row of a column takes at least before it is encoded."""
    owner = next(found for found in field.walk() if found.id == id_)
    if owner.id != field.id or owner.children:
        return _LEAST_ROW_BITS
    try:
        return fixed_bits(owner.storage_type)
    except OptionError:
        return _LEAST_ROW_BITS


def _needed_bytes(field: Field, sources: Sequence[_Source]) -> int:
    """Return the memory that a field takes at most while it is decoded and encoded, as far as that is known before."""
    num_rows = sum(source.num_rows for source in sources)
    bits = _fixed_row_bits(field)
    if bits is not None:
        num_bytes = num_rows * bits // 8
    elif all(source.container is not None for source in sources):
        num_columns = max(len(source.columns) for source in sources)
        encoded_bytes = sum(source.num_bytes for source in sources)
        num_bytes = num_rows * num_columns * _DECODED_ROW_BYTES + encoded_bytes * _DECODED_RATIO
    else:
        return _BYTES_PER_FIELD
    return min(_COPIES * num_bytes, _BYTES_PER_FIELD)


def _fixed_row_bits(field: Field) -> int | None:
    """Return what a row takes when it is decoded, with its validity; ``None``: not all rows take the same."""
    if field.logical_type == "struct" and field.children:
        parts = [_fixed_row_bits(child) for child in field.children]
        return None if None in parts else sum(part or 0 for part in parts) + 1
    if field.children or pa.types.is_dictionary(field.storage_type):
        return None
    try:
        return fixed_bits(field.storage_type) + 1
    except OptionError:
        return None
