"""The fields of an open file that a read gives, and how they are read."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from lancelet.blocks.arrow import fixed_bits
from lancelet.errors import FormatError
from lancelet.fields.decoder import check_supported
from lancelet.fields.paths import leaf_paths
from lancelet.fields.v20_reader import V20Reader
from lancelet.file.bodies import shows_values
from lancelet.file.cache import PageCache
from lancelet.file.column import ColumnPages, plan_by_page, plan_columns
from lancelet.file.direct_columns import DirectColumns
from lancelet.file.groups import DirectGroup, FieldRead, PagesGroup, V20Group, make_groups
from lancelet.file.plan import leaf_names, make_plan, plan_of_column, plan_of_v20
from lancelet.schema.blobs import is_blob, shown_schema
from lancelet.schema.logical import flat_type_of
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from lancelet.container.reader import Container
    from lancelet.fields.paths import LeafPath
    from lancelet.file.bodies import Sidecars
    from lancelet.file.column import ColumnPart
    from lancelet.file.groups import Group
    from lancelet.file.plan import ReadPlan
    from lancelet.pages.base import RowRanges
    from lancelet.schema.blobs import BlobView
    from lancelet.schema.fields import Field, Schema, StoredSchema

__all__ = ["Columns", "Selection"]

#: Divisions of the fields that are kept; reads of one kind need few.
_MOST_GROUPS = 64


class Columns:
    """The physical columns of an open file. Threads share it.

    Parameters
    ----------
    container
        The open file.
    schema
        Its whole schema; ``None``: its fields are described elsewhere, as those of a dataset, and nobody asks for columns of which
        no field is known.
    columns_of
        Field id -> physical column.
    sidecars
        Files beside this one that bodies of blobs may lie in; ``None``: there are none, or nobody knows where.
    """

    def __init__(
        self,
        container: Container,
        schema: StoredSchema | None,
        columns_of: Mapping[int, int],
        sidecars: Sidecars | None = None,
    ) -> None:
        self.container = container
        self.columns_of = columns_of
        self.sidecars = sidecars
        self._schema = schema
        self._cache = PageCache()
        self._pages: dict[tuple[int, int | None], ColumnPages] = {}

    @property
    def held_bytes(self) -> int:
        """About how many bytes are kept beside the file: what is known of its pages."""
        direct = self.__dict__.get("direct")
        return self._cache.held_bytes + (0 if direct is None else direct.held_bytes)

    def pages(self, column: int, rows_per_row: int | None = None) -> ColumnPages:
        """Return the pages of a physical column.

        Parameters
        ----------
        column
            Physical column.
        rows_per_row
            Rows that its pages count for one row of the file; ``None``: what the schema of the file says.

        Raises
        ------
        FormatError
            The file has no such column, its metadata is damaged, or its pages do not hold the rows of the file.
        """
        key = (column, rows_per_row)
        pages = self._pages.get(key)
        if pages is None:
            if column >= self.container.num_columns:
                raise FormatError(
                    f"the schema needs column {column}, and the file has {self.container.num_columns}",
                    path=self.container.source.name,
                )
            factor = self._rows_per_row.get(column, 1) if rows_per_row is None else rows_per_row
            pages = ColumnPages(self.container, column, self._cache, factor)
            pages = self._pages.setdefault(key, pages)
        return pages

    def of(self, paths: Sequence[LeafPath]) -> tuple[ColumnPages, ...]:
        """Return the columns of leaves (2.1 and later)."""
        columns_of = self.columns_of
        if self._schema is not None:
            return tuple([self.pages(columns_of[path.leaf.id]) for path in paths])
        return tuple([self.pages(columns_of[path.leaf.id], path.rows_per_row) for path in paths])

    @cached_property
    def v20(self) -> V20Reader:
        """What reads the fields of a file of version 2.0."""
        if self._schema is None:
            return V20Reader(self.container, self.columns_of)
        return V20Reader.of_file(self.container, self._schema.whole)

    @cached_property
    def direct(self) -> DirectColumns | None:
        """Columns that can be read directly; ``None`` where reads do not give views."""
        container = self.container
        return DirectColumns(container, self._cache.max_bytes) if container.source.gives_views else None

    @cached_property
    def _rows_per_row(self) -> dict[int, int]:
        """Rows that the pages of a column count for one row of the file, where that is not one."""
        nested = () if self._schema is None else self._schema.nested
        paths = (path for field in nested for path in leaf_paths(field))
        owned = ((self.columns_of.get(path.leaf.id), path.rows_per_row) for path in paths)
        return {column: factor for column, factor in owned if column is not None and factor > 1}


class Selection:
    """Some fields of an open file, in the order of a result. Threads share it.

    Parameters
    ----------
    columns
        The columns of the file.
    schema
        The fields, as they are stored.
    blobs
        What is shown of blobs.
    shown
        The fields as they are shown, where somebody has them.
    """

    def __init__(
        self,
        columns: Columns,
        schema: Schema,
        blobs: BlobView,
        shown: Schema | None = None,
    ) -> None:
        self._columns = columns
        self._schema = schema
        self._blobs = blobs
        self._known_shown = shown
        self._kept_groups: dict[tuple[int, int, int], list[Group]] = {}

    @cached_property
    def _shown(self) -> Schema:
        return self._known_shown or shown_schema(self._schema, self._blobs)

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """Arrow schema of the result."""
        return self._shown.to_arrow()

    @property
    def _pairs(self) -> list[tuple[Field, Field]]:
        return list(zip(self._schema.fields, self._shown.fields, strict=True))

    @cached_property
    def reads(self) -> list[FieldRead]:
        """What is read for each field.

        Raises
        ------
        FormatError
            The metadata of a column is damaged.
        UnsupportedError
            A field has a type that has no decoder here.
        """
        container, pairs = self._columns.container, self._pairs
        if container.version == Version.V2_0:
            return [self._read_old(position, *pair) for position, pair in enumerate(pairs)]
        for field, _ in pairs:
            if field.children or is_blob(field):  # others are always supported
                check_supported(field)
        container.prepare(len(pairs))
        return [
            self._read(position, stored, shown)
            if stored.children or is_blob(stored)
            else self._read_leaf(position, stored)
            for position, (stored, shown) in enumerate(pairs)
        ]

    def _read_leaf(self, position: int, field: Field) -> FieldRead:
        """Do what :meth:`_read` does, of a field without children that is no blob."""
        pages = self._columns.pages(self._columns.columns_of[field.id])
        if field.arrow_type is field.storage_type:
            fixed = _fixed_row_bytes(field.logical_type)
            is_fixed = fixed is not None
            num_rows = max(self._columns.container.num_rows, 1)
            row_bytes = 2 * pages.encoded_bytes / num_rows if fixed is None else fixed
        else:
            row_bytes, is_fixed = self._row_bytes(field, pages.encoded_bytes, False)
        return FieldRead(position, (pages,), field, field, row_bytes, is_fixed, False, pages.first_rows)

    def _read(self, position: int, stored: Field, shown: Field) -> FieldRead:
        paths = leaf_paths(stored)
        columns = self._columns.of(paths)
        has_blobs = any(is_blob(path.leaf) for path in paths)
        largest = max(columns, key=lambda column: column.encoded_bytes)
        encoded = sum(column.encoded_bytes for column in columns)
        row_bytes, is_fixed = self._row_bytes(stored, encoded, has_blobs and shows_values(stored, shown))
        first_rows = largest.first_rows
        return FieldRead(position, columns, stored, shown, row_bytes, is_fixed, has_blobs, first_rows)

    def _read_old(self, position: int, stored: Field, shown: Field) -> FieldRead:
        reader, num_rows = self._columns.v20, self._columns.container.num_rows
        encoded = reader.encoded_bytes(stored)
        first_rows = reader.first_rows(stored)
        if first_rows[-1] != num_rows:  # reading it will say what is wrong
            first_rows = [0, num_rows]
        row_bytes, is_fixed = self._row_bytes(stored, encoded, shows_values(stored, shown))
        return FieldRead(position, (), stored, shown, row_bytes, is_fixed, False, first_rows)

    def _row_bytes(self, stored: Field, encoded_bytes: int, has_bodies: bool) -> tuple[float, bool]:
        """Guess what a decoded row takes, and tell whether it is certain."""
        container = self._columns.container
        num_rows = max(container.num_rows, 1)
        if has_bodies:  # their sizes are not known yet, only that the file holds them all
            return (2 * encoded_bytes + container.data_stop) / num_rows, False
        try:
            return fixed_bits(stored.arrow_type) / 8, True
        except ValueError:
            return 2 * encoded_bytes / num_rows, False

    def plan(self, rows: RowRanges | None) -> ReadPlan:
        """Say what will be fetched for `rows` of the file; only the heads of pages are read.

        Raises
        ------
        FormatError
            Metadata or the head of a page is damaged.
        UnsupportedError
            A page has an encoding that is not known here.
        """
        source, num_rows = self._columns.container.source, 0 if rows is None else rows.num_rows
        try:
            if self._columns.container.version == Version.V2_0:
                found = [] if rows is None else plan_of_v20(self._columns.v20, self._pairs, rows)
                return make_plan(num_rows, found, source, is_complete=False)
            owned = [
                (name, pages)
                for read in self.reads
                for name, pages in zip(leaf_names(read.stored), read.columns, strict=True)
            ]
            pages = [pages for _, pages in owned]
            parts: Iterable[Iterable[ColumnPart]] = [() for _ in pages]
            if rows is not None:
                together = plan_columns(pages, rows, source)
                parts = (
                    (plan_by_page(column, rows, source) for column in pages) if together is None else together
                )
            columns = [
                plan_of_column(name, pages, planned)
                for (name, pages), planned in zip(owned, parts, strict=True)
            ]
            bodies = any(shows_values(read.stored, read.shown) for read in self.reads)
            return make_plan(num_rows, columns, source, is_complete=not bodies)
        except FormatError as error:
            raise error.locate(path=source.name) from None

    @property
    def together(self) -> bool:
        """Whether all fields are to be read with one request: the file is really read, not viewed."""
        return not self._columns.container.source.gives_views

    @cached_property
    def row_bytes(self) -> float:
        """About how many bytes a decoded row takes."""
        return sum(read.row_bytes for read in self.reads)

    def groups(self, reads: Sequence[FieldRead], most: int) -> list[Group]:
        """Divide some of :attr:`reads`, neighbours, into at most `most` groups; repeated reads divide them alike, and once."""
        if not reads:
            return []
        first, stop = reads[0].position, reads[-1].position + 1
        if self.reads[first:stop] != reads:
            return self._groups(reads, most)
        key = (first, stop, most)
        kept = self._kept_groups.get(key)  # held here: another thread may clear what is kept
        if kept is None:
            if len(self._kept_groups) >= _MOST_GROUPS:
                self._kept_groups.clear()
            kept = self._kept_groups[key] = self._groups(reads, most)
        return kept

    def _groups(self, reads: Sequence[FieldRead], most: int) -> list[Group]:
        make = self._v20_group if self._columns.container.version == Version.V2_0 else self._pages_group
        return make_groups(reads, 1 if self.together else most, make)

    def _pages_group(self, reads: Sequence[FieldRead]) -> Group:
        container, columns_of = self._columns.container, self._columns.columns_of
        direct = self._columns.direct
        if direct is None:
            return PagesGroup(reads, container, columns_of, self._columns.sidecars)
        flat = [read for read in reads if len(read.columns) == 1]
        direct.add([read.stored for read in flat], [read.columns[0] for read in flat])
        return DirectGroup(reads, container, columns_of, direct, self._columns.sidecars)

    def _v20_group(self, reads: Sequence[FieldRead]) -> Group:
        return V20Group(reads, self._columns.container, self._columns.v20)


@lru_cache(maxsize=1024)  # columns share few types
def _fixed_row_bytes(logical_type: str) -> float | None:
    """Return what a row of a flat type takes; ``None`` if values have no fixed width."""
    try:
        return fixed_bits(flat_type_of(logical_type)) / 8
    except ValueError:
        return None
