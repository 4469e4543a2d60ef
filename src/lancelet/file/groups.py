"""Groups of fields that are read together: what a task of a worker thread reads of a window of rows.

=================  =========================================  ================================================
group              reads                                      one request for
=================  =========================================  ================================================
``PagesGroup``     files of version 2.1 and later             a field, where reads cost nothing; else all fields
``DirectGroup``    the same, in memory: flat columns          none, for those columns
``V20Group``       files of version 2.0                       each step of all fields
=================  =========================================  ================================================

:func:`make_groups` decides which fields share a group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from lancelet.errors import FormatError, LanceletError
from lancelet.fields.decoder import field_arrays, join_leaves, leaf_arrays
from lancelet.file.bodies import load_bodies
from lancelet.file.column import announce_heads, plan_columns, read_by_page, read_parts
from lancelet.file.direct import DirectFields, DirectTable, NotDirect, TablePart, TooMuchToOpen
from lancelet.file.rows import is_scattered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from lancelet.buffers import Allocate
    from lancelet.container.reader import Container
    from lancelet.fields.v20_reader import V20Reader
    from lancelet.file.bodies import Sidecars
    from lancelet.file.column import ColumnPages
    from lancelet.file.direct import DirectColumns
    from lancelet.pages.base import RowRanges
    from lancelet.schema.fields import Field
    from lancelet.storage import Source

__all__ = ["DirectGroup", "FieldRead", "Group", "PagesGroup", "V20Group", "make_groups"]


class FieldRead(NamedTuple):
    """A top-level field to read, and what is known of its size before anything is decoded.

    Attributes
    ----------
    position
        Its position in the schema of the result.
    columns
        Pages of its leaves; none in version 2.0.
    stored, shown
        The field as it is stored and as it is shown; they differ in blobs.
    row_bytes
        About how many bytes a row of it takes when it is decoded.
    is_fixed
        Whether that is certain.
    has_blobs
        Whether there are blobs in it.
    first_rows
        Rows of the file where the pages of its largest column start, and the number of rows.
    """

    position: int
    columns: tuple[ColumnPages, ...]
    stored: Field
    shown: Field
    row_bytes: float
    is_fixed: bool
    has_blobs: bool
    first_rows: Sequence[int]


class Group(ABC):
    """What a task reads: the same rows of some top-level fields. Threads share it, since it holds no bytes between reads.

    Attributes
    ----------
    fields
        Positions in the schema of the result: the arrays of a read come in this order.
    row_bytes
        The sum of :attr:`FieldRead.row_bytes`.
    """

    fields: tuple[int, ...]
    row_bytes: float

    @abstractmethod
    def read(self, rows: RowRanges, allocate: Allocate) -> list[list[pa.Array]]:
        """Read `rows` of the file: for each field its arrays, in order.

        Raises
        ------
        FormatError
            The file is damaged; of several damages the first one in the order of the fields.
        LanceletError
            There is not enough memory.
        UnsupportedError
            A page has an encoding that is not known here.
        """

    def table(self, rows: RowRanges, allocate: Allocate) -> TableReader:
        """Begin to read `rows` part by part; `allocate` gives the memory that all parts share."""
        return ArraysOfParts(self)


class TableReader(ABC):
    """Reads the fields of a group part by part. Threads may read parts at the same time.

    Attributes
    ----------
    rows_step
        Parts begin at multiples of so many rows of the table.
    """

    rows_step = 1

    @abstractmethod
    def read(self, rows: RowRanges, start: int, allocate: Allocate) -> Any:
        """Read a part: `rows` of the file, which stand in the table from row `start` on."""

    @abstractmethod
    def finish(self, parts: Sequence[Any]) -> list[list[pa.Array]]:
        """Return the arrays of each field, from what :meth:`read` gave for all parts, in order."""


class ArraysOfParts(TableReader):
    """Every part has arrays of its own."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def read(self, rows: RowRanges, start: int, allocate: Allocate) -> list[list[pa.Array]]:
        """Read the arrays of a part."""
        return self._group.read(rows, allocate)

    def finish(self, parts: Sequence[list[list[pa.Array]]]) -> list[list[pa.Array]]:
        """Put the arrays of the parts after each other."""
        return [[array for arrays in field for array in arrays] for field in zip(*parts, strict=True)]


class SharedBuffers(TableReader):
    """Flat columns in final buffers; a part that cannot be read directly has arrays of its own."""

    rows_step = DirectTable.ROWS_STEP

    def __init__(self, group: _FieldsGroup, table: DirectTable) -> None:
        self._group = group
        self._table = table

    def read(self, rows: RowRanges, start: int, allocate: Allocate) -> TablePart | list[list[pa.Array]]:
        """Decode a part into the final buffers."""
        try:
            with self._group.orderly(rows):
                return self._table.read(rows, start, allocate)
        except NotDirect:
            return self._group.read(rows, allocate)

    def finish(self, parts: Sequence[TablePart | list[list[pa.Array]]]) -> list[list[pa.Array]]:
        """Make the arrays."""
        direct = [part for part in parts if isinstance(part, TablePart)]
        if len(direct) == len(parts):
            return self._table.finish(direct)
        pieces = [
            self._table.finish([part], part.rows) if isinstance(part, TablePart) else part for part in parts
        ]
        return [[array for arrays in field for array in arrays] for field in zip(*pieces, strict=True)]


class _FieldsGroup(Group):
    """A group with the fields that it was made of."""

    def __init__(self, reads: Sequence[FieldRead], container: Container) -> None:
        self.fields = tuple(read.position for read in reads)
        self.row_bytes = sum(read.row_bytes for read in reads)
        self._source: Source = container.source
        self._data_stop = container.data_stop

    def read(self, rows: RowRanges, allocate: Allocate) -> list[list[pa.Array]]:
        """Read `rows`; see :meth:`Group.read`."""
        with self.orderly(rows):
            return self._read(rows, allocate)

    @contextmanager
    def orderly(self, rows: RowRanges) -> Iterator[None]:
        """Name the file in errors of a read of `rows`, and have none when memory ends but LanceletError."""
        try:
            yield
        except FormatError as error:
            raise error.locate(path=self._source.name) from None
        except MemoryError:
            raise LanceletError(
                f"there is no memory for {rows.num_rows} rows of {self._source.name}; read fewer at a time"
            ) from None

    @abstractmethod
    def _read(self, rows: RowRanges, allocate: Allocate) -> list[list[pa.Array]]:
        """Read `rows`; errors do not know the file yet."""


class PagesGroup(_FieldsGroup):
    """Fields of a file of version 2.1 or later: plan, fetch, decode; then the values that descriptors of blobs lead to.

    Parameters
    ----------
    reads
        The fields.
    container
        The open file.
    columns_of
        Field id -> physical column.
    sidecars
        Files beside this one that bodies of blobs may lie in.
    """

    def __init__(
        self,
        reads: Sequence[FieldRead],
        container: Container,
        columns_of: Mapping[int, int],
        sidecars: Sidecars | None = None,
    ) -> None:
        super().__init__(reads, container)
        self._pairs = _pairs(reads)
        self._sidecars = sidecars
        self._columns = [read.columns for read in reads]
        self._columns_of = columns_of
        self._has_blobs = any(read.has_blobs for read in reads)

    def _read(self, rows: RowRanges, allocate: Allocate) -> list[list[pa.Array]]:
        num_fields = len(self._pairs)
        scattered = is_scattered(rows)
        if scattered or not self._source.gives_views:
            return self._read_fields(slice(0, num_fields), rows, allocate, scattered)
        return [
            arrays
            for number in range(num_fields)
            for arrays in self._read_fields(slice(number, number + 1), rows, allocate, scattered)
        ]

    def read_beside(
        self, rows: RowRanges, allocate: Allocate, meanwhile: Callable[[], None]
    ) -> list[list[pa.Array]]:
        """Read scattered `rows` as :meth:`read` does; `meanwhile` is called once, when the disk is at work for them."""
        with self.orderly(rows):
            return self._read_fields(slice(0, len(self._pairs)), rows, allocate, True, meanwhile)

    def announce(self, rows: RowRanges) -> bool:
        """Have the system read what is needed to plan a read, if it is not known yet; tells whether that was so."""
        first = self._columns[0][0]
        if all(first.kept(part.page) is not None for part in first.split(rows)):
            return False  # the pages of the others were opened with these; if not, nothing is lost but a hint
        announce_heads([pages for leaves in self._columns for pages in leaves], rows, self._source)
        return True

    def _read_fields(
        self,
        part: slice,
        rows: RowRanges,
        allocate: Allocate,
        scattered: bool,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[list[pa.Array]]:
        """Read some of the fields with one request."""
        pairs, columns = self._pairs[part], self._columns[part]
        flat = [pages for leaves in columns for pages in leaves]
        plans = plan_columns(flat, rows, self._source)
        if meanwhile is not None:
            self._source.prefetch(
                [range_ for parts in plans or () for part in parts for range_ in part.part.ranges]
            )
            meanwhile()
        if plans is None:
            return self._join(pairs, self._read_by_page(part, rows, allocate, scattered), allocate, scattered)
        num_bytes = 0
        counted = allocate

        def count(size: int) -> Any:
            nonlocal num_bytes
            num_bytes += size
            return allocate(size)

        if not scattered:
            counted = count
        leaves = read_parts(flat, plans, self._source, counted, scattered=scattered)
        fields = zip(pairs, columns, strict=True)
        arrays: list[Any]
        if self._has_blobs:
            arrays = [
                leaf_arrays(stored, [next(leaves) for _ in own], counted) for (stored, _), own in fields
            ]
        else:
            arrays = [
                field_arrays(stored, shown, [next(leaves) for _ in own], counted)
                for (stored, shown), own in fields
            ]
        if not scattered:
            # What was decoded has memory of its own. Where little was taken, arrays are views of the file, which will be looked at.
            ranges = [range_ for parts in plans for part in parts for range_ in part.part.ranges]
            if num_bytes >= sum([size for _, size in ranges]):
                self._source.release(ranges)
        return self._join(pairs, arrays, allocate, scattered) if self._has_blobs else arrays

    def _read_by_page(
        self, part: slice, rows: RowRanges, allocate: Allocate, scattered: bool
    ) -> list[list[list[pa.Array]]]:
        """Read the leaves of some of the fields page by page: what the pages hold together is too much."""
        return [
            leaf_arrays(
                stored,
                [read_by_page(pages, rows, self._source, allocate, scattered=scattered) for pages in own],
                allocate,
            )
            for (stored, _), own in zip(self._pairs[part], self._columns[part], strict=True)
        ]

    def _join(
        self,
        pairs: Sequence[tuple[Field, Field]],
        arrays: list[list[list[pa.Array]]],
        allocate: Allocate,
        scattered: bool,
    ) -> list[list[pa.Array]]:
        """Put the leaves of fields together, when what descriptors of blobs lead to is there."""
        if self._has_blobs:
            load_bodies(
                pairs,
                arrays,
                self._source,
                self._data_stop,
                self._columns_of,
                allocate,
                scattered=scattered,
                sidecars=self._sidecars,
            )
        return [join_leaves(shown, parts) for (_, shown), parts in zip(pairs, arrays, strict=True)]


class DirectGroup(_FieldsGroup):
    """Fields of a file that lies in memory: flat columns many a native call, the others by a :class:`PagesGroup`.

    Parameters
    ----------
    reads
        The fields.
    container
        The open file.
    columns_of
        Field id -> physical column.
    direct
        The columns of the file that can be read directly.
    sidecars
        Files beside this one that bodies of blobs may lie in.
    """

    def __init__(
        self,
        reads: Sequence[FieldRead],
        container: Container,
        columns_of: Mapping[int, int],
        direct: DirectColumns,
        sidecars: Sidecars | None = None,
    ) -> None:
        super().__init__(reads, container)
        self._reads = reads
        self._direct = direct
        self._pages_group = partial(PagesGroup, container=container, columns_of=columns_of, sidecars=sidecars)
        self._parts = self._split()

    def _split(self) -> tuple[list[int], DirectFields | None, list[int], PagesGroup | None]:
        """Divide the fields by the way that they are read: their places here, and what reads them."""
        numbers = [self._direct.number_of(read.stored, read.columns) for read in self._reads]
        flat = [place for place, number in enumerate(numbers) if number is not None]
        others = [place for place, number in enumerate(numbers) if number is None]
        fields = [self._reads[place] for place in flat]
        direct = DirectFields(
            self._direct,
            [read.stored for read in fields],
            [read.columns[0].column for read in fields],
            [number for number in numbers if number is not None],
        )
        general = self._pages_group([self._reads[place] for place in others])
        return flat, direct if flat else None, others, general if others else None

    def _read(self, rows: RowRanges, allocate: Allocate) -> list[list[pa.Array]]:
        arrays: list[list[pa.Array]] = [[] for _ in self._reads]
        while True:
            try:
                self._read_missing(arrays, rows, allocate)
            except TooMuchToOpen:
                return self._pages_group(self._reads).read(rows, allocate)
            except NotDirect:
                self._parts = self._split()
            else:
                return arrays

    def _read_missing(self, arrays: list[list[pa.Array]], rows: RowRanges, allocate: Allocate) -> None:
        """Read both parts; where rows are scattered, the disk works for one while the other is decoded.

        Fields that were read the general way before the direct one was refused have their `arrays`, and are not read again.
        """
        flat, direct, others, general = self._parts
        # What comes from pages that were open before is likely to be in memory: nobody needs to wait for it.
        is_beside = (
            general is not None and direct is not None and is_scattered(rows) and general.announce(rows)
        )
        begun = None if direct is None else direct.begin(rows)

        def read_direct() -> None:
            if direct is not None and begun is not None:
                for place, array in zip(flat, direct.read_begun(begun, rows, allocate), strict=True):
                    arrays[place] = [array]

        left = [place for place in others if not arrays[place]]
        if general is not None and len(left) < len(others):
            general = self._pages_group([self._reads[place] for place in left])
        found: list[list[pa.Array]] = []
        if general is not None and left:
            found = (
                general.read_beside(rows, allocate, read_direct)
                if is_beside
                else general.read(rows, allocate)
            )
        for place, parts in zip(left, found, strict=True):
            arrays[place] = parts
        if not (is_beside and left):
            read_direct()

    def table(self, rows: RowRanges, allocate: Allocate) -> TableReader:
        """Begin to read `rows`: into final buffers, if all fields are read directly."""
        while True:
            _, direct, _, general = self._parts
            if direct is None or general is not None:
                return ArraysOfParts(self)
            try:
                with self.orderly(rows):
                    return SharedBuffers(self, direct.table(rows, allocate))
            except TooMuchToOpen:
                return ArraysOfParts(self)
            except NotDirect:
                self._parts = self._split()


class V20Group(_FieldsGroup):
    """Fields of a file of version 2.0.

    Parameters
    ----------
    reads
        The fields.
    container
        The open file.
    reader
        What reads its columns.
    """

    def __init__(self, reads: Sequence[FieldRead], container: Container, reader: V20Reader) -> None:
        super().__init__(reads, container)
        self._pairs = _pairs(reads)
        self._reader = reader

    def _read(self, rows: RowRanges, allocate: Allocate) -> list[list[pa.Array]]:
        return self._reader.read(self._pairs, rows, allocate)


def _pairs(reads: Sequence[FieldRead]) -> list[tuple[Field, Field]]:
    """Return fields as they are stored, and as they are shown."""
    return [(read.stored, read.shown) for read in reads]


def make_groups(
    reads: Sequence[FieldRead], most: int, make: Callable[[Sequence[FieldRead]], Group]
) -> list[Group]:
    """Divide fields into at most `most` groups of about the same work, neighbours together.

    Parameters
    ----------
    reads
        The fields, in the order of the result.
    most
        Most groups.
    make
        Makes a group of some fields.
    """
    total = sum(read.row_bytes for read in reads)
    parts: list[list[FieldRead]] = [[]]
    before = 0.0
    for read in reads:
        # a new group begins where more than its share of the work lies before the middle of the field
        if parts[-1] and len(parts) < most and before + read.row_bytes / 2 > total * len(parts) / most:
            parts.append([])
        parts[-1].append(read)
        before += read.row_bytes
    return [make(part) for part in parts if part]
