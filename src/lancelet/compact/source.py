"""Data files whose pages are to be moved: which columns are wanted, where their buffers lie, and whether all of it is sound.

Columns are found by the ids of fields, not by their place: files may hold them in any order, and others beside them. Nothing is
decoded. What is read of a file are its footer and the metadata of the columns that are wanted, the encodings of pages included.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from lancelet.compact.layouts import are_known, refers_elsewhere
from lancelet.compact.pages import field_paths
from lancelet.container.metadata import ALIGNMENT
from lancelet.container.reader import Container
from lancelet.errors import FormatError, UnsupportedError
from lancelet.fields.paths import leaf_paths
from lancelet.pb import file2_pb2
from lancelet.schema.blobs import BLOB
from lancelet.schema.logical import LISTS
from lancelet.schema.project import columns_of, is_packed
from lancelet.table.formats.names import DATA
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lancelet.container.metadata import PageMetadata, PageTotals
    from lancelet.schema.fields import Field, Schema
    from lancelet.storage import Store
    from lancelet.table.formats.metadata import DataFile

__all__ = ["PLAIN_COLUMN", "Run", "SourceFile", "WantedColumns", "file_bytes", "open_data_file"]

#: ``ColumnEncoding { values {} }``: an ordinary column.
PLAIN_COLUMN = b"\x0a\x00"
_NODE = "lance.encodings.ArrayEncoding"


class WantedColumns:
    """The physical columns that a file with all fields of a schema has, in their order.

    Parameters
    ----------
    schema
        Fields as data files store them.
    version
        Version of the files.

    Attributes
    ----------
    ids, paths
        For each column the id and the path of the field that owns it.
    rows_per_row
        For each column the rows that its pages count for one row of the file; 1 in version 2.0.
    headers
        Columns of version 2.0 that say how many structs there are, and nothing else.
    """

    def __init__(self, schema: Schema, version: Version) -> None:
        self.schema = schema
        self.version = version
        self.ids = tuple(columns_of(schema, version))
        names = field_paths(schema.fields)
        self.paths = tuple(names[id_] for id_ in self.ids)
        per_row = dict.fromkeys(self.ids, 1)
        if version > Version.V2_0:
            per_row |= {path.leaf.id: path.rows_per_row for top in schema.fields for path in leaf_paths(top)}
        self.rows_per_row = tuple(per_row[id_] for id_ in self.ids)
        headers = {field.id for field in schema.walk() if version == Version.V2_0 and is_header(field)}
        self.headers = frozenset(column for column, id_ in enumerate(self.ids) if id_ in headers)

    @property
    def column_of(self) -> dict[int, int]:
        """Field id -> column."""
        return {id_: column for column, id_ in enumerate(self.ids)}


def is_header(field: Field) -> bool:
    """Tell whether the column that a field has in version 2.0 holds no values, but only says how many structs there are."""
    return (
        field.logical_type == "struct" and not is_packed(field, Version.V2_0) and BLOB not in field.metadata
    )


class Run(NamedTuple):
    """Neighbouring bytes of a file that are moved together: buffers, and the padding between them."""

    start: int
    stop: int


def open_data_file(store: Store, file: DataFile) -> Container:
    """Open a data file of a dataset; the source of the result is the caller's to close.

    Raises
    ------
    FormatError
        There is no such file, its envelope is damaged, or it is not what the manifest says.
    UnsupportedError
        It lies outside of the dataset.
    """
    if file.base_id is not None:
        raise UnsupportedError(
            f"data file {file.path!r} lies outside of the dataset (base {file.base_id}), which is not supported"
        )
    columns = file.columns_of.values()
    if len(set(columns)) < len(columns):
        raise FormatError("two fields have the same column", path=file.path)
    try:
        source = store.open_source(f"{DATA}/{file.path}", size=file.file_size_bytes)
    except FileNotFoundError:
        raise _missing(store, file) from None
    try:
        container = Container.open(source)
        if container.version != file.version:
            raise FormatError(
                f"the file has version {container.version.text}, and the manifest says {file.version.text}",
                path=source.name,
            )
        if max(columns, default=-1) >= container.num_columns:
            raise FormatError(
                f"the manifest says that a field has column {max(columns)}, and the file has {container.num_columns} columns",
                path=source.name,
            )
    except BaseException:
        source.close()
        raise
    return container


def file_bytes(store: Store, file: DataFile) -> int:
    """Return the size of a data file.

    Raises
    ------
    FormatError
        The manifest does not say it, and there is no such file.
    """
    try:
        return file.file_size_bytes or store.size(f"{DATA}/{file.path}")
    except FileNotFoundError:
        raise _missing(store, file) from None


def _missing(store: Store, file: DataFile) -> FormatError:
    return FormatError(f"data file {file.path!r} does not exist, and a manifest names it", path=store.name)


class SourceFile:
    """An open data file with all wanted columns.

    Everything that is said of the wanted columns is checked: buffers lie in the file, pages follow each other and hold all rows.

    Parameters
    ----------
    container
        The file.
    file
        What the manifest says of it; it lists all wanted columns.
    wanted
        The columns.

    Attributes
    ----------
    num_rows
        Rows of the file.
    totals
        For each wanted column what its pages are together, with the rows as they count them.
    problem
        Why the pages cannot be moved; ``None``: they can be.

    Raises
    ------
    FormatError
        The metadata is damaged, or the encoding of a page.
    UnsupportedError
        Encodings are stored in a way that is not known here.
    """

    def __init__(self, container: Container, file: DataFile, wanted: WantedColumns) -> None:
        self.num_rows = container.num_rows
        self.problem: str | None = None
        self._container = container
        self._file = file
        self._wanted = wanted
        numbers = file.columns_of
        self._numbers = [numbers[id_] for id_ in wanted.ids]
        if container.num_global_buffers > 1:
            self._refuse(f"has {container.num_global_buffers - 1} user global buffers")
        container.prepare(len(self._numbers))
        self.totals: list[PageTotals] = [self._read(*place) for place in enumerate(self._numbers)]
        if wanted.version > Version.V2_0:
            self._look_at_pages()
        elif self.problem is None:
            try:
                self._check_rows_20()
            except FormatError as error:
                raise error.locate(path=container.source.name) from None

    @property
    def num_pages(self) -> int:
        """Pages of all wanted columns."""
        return sum([total.num_pages for total in self.totals])

    def _read(self, place: int, number: int) -> PageTotals:
        """Check a column; that its buffers lie in the file and that its pages are of the version is checked by the container."""
        container, is_old = self._container, self._wanted.version == Version.V2_0
        rows_per_row = self._wanted.rows_per_row[place]
        if container.table is not None and not is_old and rows_per_row == 1:
            totals = container.table.plain_totals(number, PLAIN_COLUMN)
            if totals is not None and totals.num_rows == self.num_rows:  # most columns
                return totals
        column = container.column(number)
        if column.buffers:
            self._refuse(f"has buffers of column {self._wanted.paths[place]!r} as a whole")
        elif column.encoding != PLAIN_COLUMN:
            self._refuse(f"describes column {self._wanted.paths[place]!r} by an encoding of its own")
        totals = container.totals(number)
        if is_old:
            return totals._replace(num_rows=sum([page.num_rows for page in column.pages]))
        container.check_rows(number, rows_per_row)
        return totals._replace(num_rows=self.num_rows * rows_per_row)

    def _look_at_pages(self) -> None:
        """Look at the encodings of pages of version 2.1 or later."""
        if not are_known(self._container):
            for place, number in enumerate(self._numbers):
                if refers_elsewhere(self._container, number):
                    self._refuse(f"says that column {self._wanted.paths[place]!r} holds blobs")

    def _refuse(self, reason: str) -> None:
        if self.problem is None:
            self.problem = f"data file {self._file.path!r} {reason}"

    # ---- version 2.0, where only the encodings of lists say how many items there are

    def _check_rows_20(self) -> None:
        column_of = self._wanted.column_of
        for field in self._wanted.schema.fields:
            self._check_field_20(field, column_of, self.num_rows)

    def _check_field_20(self, field: Field, column_of: dict[int, int], num_values: int) -> None:
        place = column_of[field.id]
        found, kinds, num_items = self._kinds(place)
        number = self._numbers[place]
        if found != num_values:
            raise FormatError(f"the pages hold {found} rows, but {num_values} are needed", column=number)
        if place in self._wanted.headers:
            if kinds != {"struct"} or any(page.buffers for page in self._pages(place)):
                raise FormatError(
                    "the column of a struct holds something else than its length", column=number
                )
            for child in field.children:
                self._check_field_20(child, column_of, num_values)
            return
        if field.logical_type in LISTS:
            if kinds - {"list"}:
                raise FormatError("the column does not hold the offsets of lists", column=number)
            self._check_field_20(field.children[0], column_of, num_items)
        elif "struct" in kinds:
            raise FormatError("the column has no values, but only says how many there are", column=number)
        elif "list" in kinds:
            self._refuse(f"keeps column {self._wanted.paths[place]!r} in two columns, as very old files do")

    def _kinds(self, place: int) -> tuple[int, set[str | None], int]:
        """Return the rows of a column, the outermost encodings of its pages, and the items of its lists."""
        nodes = [
            _node_20(page.encoding) if page.type_name == _NODE else (None, 0) for page in self._pages(place)
        ]
        return self.totals[place].num_rows, {kind for kind, _ in nodes}, sum(items for _, items in nodes)

    def _pages(self, place: int) -> tuple[PageMetadata, ...]:
        return self._container.column(self._numbers[place]).pages

    # ---- moving

    def runs(self) -> list[Run]:
        """Return the bytes that are wanted, in order: often one run, the whole data of the file.

        All buffers of a run that begins at a multiple of 64 begin at such multiples, unless they overlap.
        """
        runs: list[Run] = []
        start = stop = -1
        for position, size in sorted(self._buffers()):
            apart = position - stop
            if start < 0 or apart >= ALIGNMENT or (apart >= 0 and (position - start) % ALIGNMENT):
                if start >= 0:
                    runs.append(Run(start, stop))
                start = stop = position
            stop = max(stop, position + size)
        if start >= 0:
            runs.append(Run(start, stop))
        return runs

    def _buffers(self) -> Iterable[tuple[int, int]]:
        """Return position and size of all buffers that are wanted."""
        table = self._container.table
        is_whole = table is not None and len(self._numbers) == self._container.num_columns
        if table is not None and is_whole and None not in map(table.totals, self._numbers):
            return map(tuple, table.buffers.tolist())
        columns = [self._container.column(number) for number in self._numbers]
        return [buffer for column in columns for page in column.pages for buffer in page.buffers]

    def moved_pages(
        self, runs: Sequence[Run], targets: Sequence[int], first_row: int
    ) -> Iterator[tuple[int, bytes]]:
        """Yield each column and its pages as they stand in a file to which the buffers were moved.

        Columns that say how many structs there are have one page in a file, and are left to the caller.

        Parameters
        ----------
        runs
            What :meth:`runs` returned.
        targets
            Where each of them begins in the new file.
        first_row
            Rows of the new file before those of this one.
        """
        starts = [run.start for run in runs]
        shifts = [target - start for target, start in zip(targets, starts, strict=True)]
        is_old = self._wanted.version == Version.V2_0
        moved = None if is_old else self._container.moved_pages(self._numbers, starts, shifts, first_row)
        if moved is not None:
            yield from enumerate(moved)
            return
        shift = shifts[0] if len(shifts) == 1 else None
        for column, number in enumerate(self._numbers):
            if column in self._wanted.headers:
                continue
            message = self._message(number)
            for page in message.pages:
                offsets = page.buffer_offsets
                if shift is not None:
                    offsets[:] = [offset + shift for offset in offsets]
                elif offsets:
                    offsets[:] = [offset + shifts[bisect_right(starts, offset) - 1] for offset in offsets]
                if is_old:
                    page.ClearField("priority")
                elif first_row:
                    page.priority += first_row
            message.ClearField("encoding")
            yield column, message.SerializeToString(deterministic=True)

    def header(self, column: int) -> file2_pb2.ColumnMetadata.Page:
        """Return the first page of a column that says how many structs there are."""
        return self._message(self._numbers[column]).pages[0]

    def _message(self, number: int) -> file2_pb2.ColumnMetadata:
        return file2_pb2.ColumnMetadata.FromString(bytes(self._container.column_block(number)))


@lru_cache(maxsize=1024)  # pages of one kind have the same encoding, most often
def _node_20(encoding: bytes) -> tuple[str | None, int]:
    """Return the outermost encoding of a page of version 2.0; of lists, also their items.

    Raises
    ------
    FormatError
        It is damaged.
    """
    from lancelet.pb import encodings20_pb2

    try:
        node = encodings20_pb2.ArrayEncoding.FromString(encoding)
    except DecodeError as error:
        raise FormatError(f"the encoding of a page cannot be parsed: {error}") from None
    kind = node.WhichOneof("array_encoding")
    return kind, node.list.num_items if kind == "list" else 0
