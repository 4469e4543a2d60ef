"""Data files whose pages are to be moved: which columns are wanted, where their buffers lie, and whether all of it is sound.

Columns are found by the ids of fields, not by their place: files may hold them in any order, and others beside them. Nothing is
decoded. What is read of a file are its footer and the metadata of the columns that are wanted.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from lancelet.container.metadata import ALIGNMENT, Region, parse_any
from lancelet.container.reader import Container
from lancelet.errors import FormatError, UnsupportedError
from lancelet.fields.paths import leaf_paths
from lancelet.pb import file2_pb2
from lancelet.schema.blobs import BLOB
from lancelet.schema.logical import LISTS
from lancelet.schema.project import columns_of, is_packed
from lancelet.table.names import DATA
from lancelet.versions import COLUMN_ENCODING, Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lancelet.container.metadata import BufferRef
    from lancelet.schema.fields import Field, Schema
    from lancelet.storage import Store
    from lancelet.table.metadata import DataFile

__all__ = ["ColumnTotals", "Run", "SourceFile", "WantedColumns", "open_data_file"]

_MAX_ROWS = (1 << 63) - 1
#: ``ColumnEncoding { values {} }``: an ordinary column.
_PLAIN_COLUMN = b"\x0a\x00"
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
        names = {id_: path for field in schema.fields for id_, path in _paths(field, "")}
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


def _paths(field: Field, prefix: str) -> Iterator[tuple[int, str]]:
    yield field.id, prefix + field.name
    for child in field.children:
        yield from _paths(child, f"{prefix}{field.name}.")


class Run(NamedTuple):
    """Neighbouring bytes of a file that are moved together: buffers, and the padding between them."""

    start: int
    stop: int


@dataclass(slots=True)
class ColumnTotals:
    """What the pages of a column are together: rows as they count them, number, and bytes of their buffers."""

    num_rows: int = 0
    num_pages: int = 0
    num_bytes: int = 0


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
        raise FormatError(
            f"data file {file.path!r} does not exist, and a manifest names it", path=store.name
        ) from None
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
        For each wanted column what its pages are together.
    problem
        Why the pages cannot be moved; ``None``: they can be.

    Raises
    ------
    FormatError
        The metadata is damaged.
    UnsupportedError
        Encodings are stored in a way that is not known here.
    """

    def __init__(self, container: Container, file: DataFile, wanted: WantedColumns) -> None:
        self.num_rows = container.num_rows
        self.problem: str | None = None
        self.totals: list[ColumnTotals] = []
        self._container = container
        self._file = file
        self._wanted = wanted
        self._region = Region(container.data_stop, wanted.version > Version.V2_0)
        self._columns: list[file2_pb2.ColumnMetadata] = []
        self._refs: list[BufferRef] = []
        if container.num_global_buffers > 1:
            self.problem = (
                f"data file {file.path!r} has {container.num_global_buffers - 1} user global buffers"
            )
        numbers = file.columns_of
        for place, id_ in enumerate(wanted.ids):
            try:
                self._read(place, numbers[id_])
            except FormatError as error:
                raise error.locate(path=container.source.name, column=numbers[id_]) from None
        if wanted.version == Version.V2_0 and self.problem is None:
            try:
                self._check_rows_20()
            except FormatError as error:
                raise error.locate(path=container.source.name) from None

    @property
    def num_pages(self) -> int:
        """Pages of all wanted columns."""
        return sum([total.num_pages for total in self.totals])

    def _read(self, place: int, number: int) -> None:
        try:
            message = file2_pb2.ColumnMetadata.FromString(bytes(self._container.column_block(number)))
        except DecodeError as error:
            raise FormatError(f"the column metadata cannot be parsed: {error}") from None
        path = self._wanted.paths[place]
        type_name, encoding = parse_encoding(message.encoding)
        if type_name != COLUMN_ENCODING:
            raise FormatError(f"the column is described by {type_name!r}, not by {COLUMN_ENCODING!r}")
        if message.buffer_offsets or message.buffer_sizes:
            self._refuse(f"has buffers of column {path!r} as a whole")
        elif encoding != _PLAIN_COLUMN:
            self._refuse(f"describes column {path!r} by an encoding of its own")
        total = ColumnTotals()
        for page in message.pages:
            try:
                self._add_page(page, total)
            except FormatError as error:
                raise error.locate(page=total.num_pages) from None
            total.num_pages += 1
        if self._wanted.version > Version.V2_0:
            self._check_rows(message.pages, self._wanted.rows_per_row[place])
        self.totals.append(total)
        self._columns.append(message)

    def _refuse(self, reason: str) -> None:
        if self.problem is None:
            self.problem = f"data file {self._file.path!r} {reason}"

    def _add_page(self, page: file2_pb2.ColumnMetadata.Page, total: ColumnTotals) -> None:
        type_name, _ = parse_encoding(page.encoding)
        if not self._wanted.version.allows_page_type(type_name):
            raise FormatError(
                f"a file of version {self._wanted.version.text} cannot have a page of type {type_name!r}"
            )
        refs = self._region.refs(page.buffer_offsets, page.buffer_sizes)
        total.num_bytes += sum([size for _, size in refs])
        total.num_rows += page.length
        if total.num_rows > _MAX_ROWS:
            raise FormatError(f"pages of {total.num_rows} rows are impossible")
        self._refs += refs

    def _check_rows(self, pages: Sequence[file2_pb2.ColumnMetadata.Page], rows_per_row: int) -> None:
        """Check that pages follow each other and hold all rows."""
        row = 0
        for number, page in enumerate(pages):
            rows, rest = (page.length, 0) if rows_per_row == 1 else divmod(page.length, rows_per_row)
            if rest:
                raise FormatError(f"{page.length} items are no whole rows of {rows_per_row}", page=number)
            if page.priority != row:
                raise FormatError(
                    f"the page starts at row {page.priority}, but {row} rows come before it", page=number
                )
            row += rows
        if row != self.num_rows:
            raise FormatError(f"the pages hold {row} rows, but the file has {self.num_rows}")

    # ---- version 2.0, where only the encodings of lists say how many items there are

    def _check_rows_20(self) -> None:
        column_of = self._wanted.column_of
        for field in self._wanted.schema.fields:
            self._check_field_20(field, column_of, self.num_rows)

    def _check_field_20(self, field: Field, column_of: dict[int, int], num_values: int) -> None:
        place = column_of[field.id]
        found, kinds, num_items = self._kinds(place)
        number = self._file.columns_of[field.id]
        if found != num_values:
            raise FormatError(f"the pages hold {found} rows, but {num_values} are needed", column=number)
        if place in self._wanted.headers:
            if kinds != {"struct"} or any(page.buffer_offsets for page in self._columns[place].pages):
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
        from lancelet.pb import encodings20_pb2

        num_items = 0
        kinds: set[str | None] = set()
        for page in self._columns[place].pages:
            type_name, encoding = parse_encoding(page.encoding)
            if type_name != _NODE:
                kinds.add(None)
                continue
            try:
                node = encodings20_pb2.ArrayEncoding.FromString(encoding)
            except DecodeError as error:
                raise FormatError(f"the encoding of a page cannot be parsed: {error}") from None
            kind = node.WhichOneof("array_encoding")
            kinds.add(kind)
            if kind == "list":
                num_items += node.list.num_items
        return self.totals[place].num_rows, kinds, num_items

    # ---- moving

    def runs(self) -> list[Run]:
        """Return the bytes that are wanted, in order: often one run, the whole data of the file.

        All buffers of a run that begins at a multiple of 64 begin at such multiples, unless they overlap.
        """
        runs: list[Run] = []
        start = stop = -1
        for position, size in sorted(self._refs):
            apart = position - stop
            if start < 0 or apart >= ALIGNMENT or (apart >= 0 and (position - start) % ALIGNMENT):
                if start >= 0:
                    runs.append(Run(start, stop))
                start = stop = position
            stop = max(stop, position + size)
        if start >= 0:
            runs.append(Run(start, stop))
        return runs

    def moved_pages(
        self, runs: Sequence[Run], targets: Sequence[int], first_row: int
    ) -> Iterator[tuple[int, bytes]]:
        """Yield each column and its pages as they stand in a file to which the buffers were moved. Can be done once.

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
        shift = shifts[0] if len(shifts) == 1 else None
        is_old = self._wanted.version == Version.V2_0
        for column, message in enumerate(self._columns):
            if column in self._wanted.headers:
                continue
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
        return self._columns[column].pages[0]


def parse_encoding(encoding: file2_pb2.Encoding) -> tuple[str, bytes]:
    """Return name and bytes of the message that describes a page or a column.

    Raises
    ------
    FormatError
        There is none, or it is damaged.
    UnsupportedError
        It is stored apart.
    """
    direct = encoding.direct.encoding
    if direct:
        return parse_any(direct)
    if encoding.WhichOneof("location") == "indirect":
        raise UnsupportedError("encodings stored apart from the column metadata (indirect) are not handled")
    raise FormatError("the encoding is missing")
