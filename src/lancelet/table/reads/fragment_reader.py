"""Rows of one fragment: columns from its data files by field id, what is deleted, row ids and addresses (dataset.md 4 to 6).

Rows are *physical* positions in the data files, or *live* ones, which count what is not deleted. Files know only the former.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.blocks.selection import taken
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.fields.joining import join
from lancelet.fields.paths import shown, without_extensions
from lancelet.fields.structure import positions
from lancelet.pages.base import RowRanges
from lancelet.schema.blobs import stored_schema
from lancelet.table.formats.column_names import CREATED_AT, ROW_ADDRESS, ROW_ID, UPDATED_AT, is_reserved
from lancelet.table.formats.deletions import read_deletions
from lancelet.table.inputs.places import base_store
from lancelet.table.reads.parts import assemble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Allocate, Int64Array
    from lancelet.schema.fields import Schema
    from lancelet.storage import Store
    from lancelet.table.formats.metadata import DataFile, FragmentMetadata
    from lancelet.table.reads.parts import FieldPart, Layout, ReadFields
    from lancelet.table.reads.session import OpenFile, Session
    from lancelet.table.reads.snapshot import ReadableVersion

    Offsets = np.ndarray[Any, np.dtype[np.uint32]]
    Columns = list[list[pa.Array]]

__all__ = ["FragmentReader", "Origin", "picked"]

#: Rows between two wanted ones are read along, and dropped, if they take no more bytes: a read of its own costs more.
_GAP_BYTES = 4 << 10
#: Reads of rows one by one share the bytes of a chunk when they lie so near, whatever a row takes.
_GAP_ROWS = 8
#: What is read of so few rows is not worth a mask.
_FEW_ROWS = 64
_MOST_ROWS = 1 << 32
#: Fragments that are said to have more rows are compared with a data file before their deletions take memory.
_MANY_ROWS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class _KeptOffsets:
    """Deleted rows, for a session."""

    offsets: Offsets

    @property
    def held_bytes(self) -> int:
        return 256 + self.offsets.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class _KeptSequence:
    """Row ids or versions, for a session."""

    sequence: Any
    held_bytes: int


class Origin:
    """Where the fragments of a version come from. Threads share it.

    It knows nothing of who reads, so that a dataset that is dropped takes its open files along at once, without a collector.

    Parameters
    ----------
    store
        The dataset.
    manifest
        The version.
    session
        Keeps files open.
    """

    def __init__(self, store: Store, manifest: ReadableVersion, session: Session) -> None:
        self.store = store
        self.session = session
        self._manifest = manifest
        self._bases: dict[int, Store] = {}

    @property
    def has_stable_row_ids(self) -> bool:
        """Whether rows keep their ids when they are moved."""
        return self._manifest.has_stable_row_ids

    def store_of(self, base_id: int | None) -> Store:
        """Return where files of a base lie; ``None``: those of the dataset itself.

        Raises
        ------
        UnsupportedError
            The base is none of the manifest's, or no dataset on a local disk.
        """
        if base_id is None:
            return self.store
        found = self._bases.get(base_id)
        if found is None:
            made = base_store(self._manifest.base_paths, base_id)
            found = self._bases.setdefault(base_id, made)
        return found

    def open(self, file: DataFile) -> OpenFile:
        """Open a data file, wherever it lies; see :meth:`Session.open`."""
        return self.session.open(self.store_of(file.base_id), file, self.schema_key)

    @cached_property
    def stored_schema(self) -> Schema:
        """Fields of the dataset as data files store them: blobs of the second kind as their descriptors.

        Raises
        ------
        FormatError
            The schema of the dataset is damaged.
        UnsupportedError
            Blobs are declared in a way that is not known here.
        """
        for field in self._manifest.schema.fields:
            if is_reserved(field.name):
                raise FormatError(
                    f"column {field.name!r} has a name that is reserved for what readers make of rows"
                )
        try:
            return stored_schema(self._manifest.schema)
        except OptionError as error:
            raise UnsupportedError(str(error)) from None

    @cached_property
    def schema_key(self) -> str:
        """Types of all fields, by id: what open files depend on."""
        return ";".join(
            f"{field.id}:{field.parent_id}:{field.logical_type}" for field in self.stored_schema.walk()
        )


class FragmentReader:
    """Reads the rows of a fragment. Threads share it.

    Parameters
    ----------
    origin
        The version of the dataset.
    metadata
        The fragment.
    """

    def __init__(self, origin: Origin, metadata: FragmentMetadata) -> None:
        self._origin = origin
        self.metadata = metadata
        self._last_layout: tuple[ReadFields | None, Layout | None] = (None, None)

    # ---- rows

    @cached_property
    def physical_rows(self) -> int:
        """Rows of the data files.

        Raises
        ------
        FormatError
            The manifest does not say, and a file is damaged; or there are more rows than row addresses can count.
        """
        found = self.metadata.physical_rows
        if found is None:
            found = self._open(0).container.num_rows if self.metadata.files else 0
        if found > _MOST_ROWS:
            raise FormatError(
                f"fragment {self.metadata.id} has {found} rows, and a fragment has at most {_MOST_ROWS}"
            )
        return found

    @property
    def deletions(self) -> Offsets:
        """Physical rows that are deleted: ``uint32[num_deletions]``, sorted."""
        deleted = self.metadata.deletion_file
        if deleted is None:
            return _NONE
        key = ("deletions", self.metadata.id, deleted, self.metadata.physical_rows)
        return self._origin.session.get(key, self._read_deletions).offsets

    @cached_property
    def _checked_rows(self) -> int:
        """:attr:`physical_rows`, once the first data file has told the same; without files what the manifest says."""
        if self.metadata.files:
            self._open(0)
        return self.physical_rows

    def _read_deletions(self) -> _KeptOffsets:
        if self.physical_rows > _MANY_ROWS:
            _ = self._checked_rows
        deleted = self.metadata.deletion_file
        bases = None
        if deleted is not None and deleted.base_id is not None:
            bases = {deleted.base_id: self._origin.store_of(deleted.base_id)}
        return _KeptOffsets(read_deletions(self._origin.store, self.metadata, bases=bases))

    @property
    def num_rows(self) -> int:
        """Rows that are not deleted."""
        num_deletions = self.metadata.num_deletions
        return self.physical_rows - (len(self.deletions) if num_deletions is None else num_deletions)

    def live_rows(self, start: int, stop: int) -> RowRanges | None:
        """Return the physical rows of live rows `start` to `stop`; ``None`` if there are none."""
        if start >= stop:
            return None
        deleted = self.deletions
        if not len(deleted):
            return RowRanges.single(start, stop)
        first, last = self.offsets_of(np.array([start, stop - 1], dtype=np.int64)).tolist()
        low, high = np.searchsorted(deleted, [first, last + 1])
        holes = deleted[low:high].astype(np.int64)
        starts, stops = np.concatenate(([first], holes + 1)), np.concatenate((holes, [last + 1]))
        some = starts < stops
        return RowRanges(starts[some], stops[some])

    def offsets_of(self, live: Int64Array) -> Int64Array:
        """Return the physical rows of live rows, which exist."""
        deleted = self.deletions
        if not len(deleted):
            return live
        before = deleted.astype(np.int64) - np.arange(len(deleted))  # live rows before each deleted one
        return live + np.searchsorted(before, live, side="right")

    def check_live(self, offsets: Int64Array) -> None:
        """Check that physical rows exist and are not deleted.

        Raises
        ------
        OptionError
            One does not.
        """
        wrong = offsets[(offsets < 0) | (offsets >= self.physical_rows)]
        deleted = self.deletions
        if not len(wrong) and len(deleted):
            wrong = offsets[np.isin(offsets, deleted)]
        if len(wrong):
            raise OptionError(f"fragment {self.metadata.id} has no row {int(wrong[0])}, or it is deleted")

    @property
    def gives_views(self) -> bool:
        """Whether the bytes of data files are in memory, or mapped."""
        return not self.metadata.files or self._open(0).container.source.gives_views

    # ---- columns

    def row_bytes(self, fields: ReadFields) -> float:
        """About how many bytes a row of some fields takes when it is decoded; opens the files."""
        files = self._layout(fields).files
        return sum(
            self._open(number).select(own, visible, fields.blobs).row_bytes for number, own, visible in files
        )

    def read(self, fields: ReadFields, rows: RowRanges, allocate: Allocate) -> Columns:
        """Read physical rows of some fields: for each its arrays, in order; together ``rows.num_rows`` values.

        Parameters
        ----------
        fields
            The fields.
        rows
            Physical rows.
        allocate
            Where memory comes from.

        Raises
        ------
        FormatError
            A file is damaged or missing, is not what the manifest says, or no file holds a field that is not nullable.
        UnsupportedError
            Something is stored in a way that is not known here.
        """
        layout = self._layout(fields)
        num_rows = self.physical_rows if layout.files else self._checked_rows
        if int(rows.stops[-1]) > num_rows:
            raise OptionError(f"fragment {self.metadata.id} has only {num_rows} rows")
        read: list[Columns] = []
        for number, own, visible in layout.files:
            selection = self._open(number).select(own, visible, fields.blobs)
            group = selection.groups(selection.reads, 1)[0]
            around, wanted = (rows, None) if fields.has_bodies else _widened(rows, group.row_bytes)
            columns: Columns = [[] for _ in own.fields]
            for position, arrays in zip(group.fields, group.read(around, allocate), strict=True):
                if wanted is not None:
                    arrays = picked(arrays, wanted, around.num_rows)
                columns[position] = arrays
            read.append(columns)
        return [
            self._put_together(place, parts, fields, read, rows.num_rows)
            for place, parts in enumerate(layout.parts)
        ]

    def release(self, fields: ReadFields) -> None:
        """Say that scattered rows of some fields were read: pages that were mapped around them will hardly be looked at again."""
        for number, _, _ in self._layout(fields).files:
            container = self._open(number).container
            container.source.release([(0, container.data_stop)])

    def _layout(self, fields: ReadFields) -> Layout:
        known, layout = self._last_layout
        if known is fields and layout is not None:
            return layout
        try:
            layout = fields.layout(self.metadata.files)
        except FormatError as error:
            raise FormatError(f"fragment {self.metadata.id}: {error.message}") from None
        self._last_layout = (fields, layout)
        return layout

    def _put_together(
        self, place: int, parts: Sequence[FieldPart], fields: ReadFields, read: list[Columns], num_rows: int
    ) -> list[pa.Array]:
        """Return the arrays of one field from what was read of its parts."""
        field = fields.shown.fields[place]
        if len(parts) == 1:
            arrays = read[parts[0].read][parts[0].position]
            if arrays[0].type == field.arrow_type:
                return arrays
            return [assemble(field, [(parts[0].field, array)], len(array)) for array in arrays]
        pieces = []
        for part in parts:
            joined = join(read[part.read][part.position])
            if joined is None:
                raise OptionError(
                    f"field {field.name!r}: no array can hold so many values; read fewer rows at a time"
                )
            pieces.append((part.field, joined))
        return [assemble(field, pieces, num_rows)]

    def _open(self, number: int) -> OpenFile:
        """Open a data file and check that it has the rows of the fragment."""
        origin, file = self._origin, self.metadata.files[number]
        found = origin.open(file)
        physical_rows = self.metadata.physical_rows
        if physical_rows is None and number:
            physical_rows = self.physical_rows
        if physical_rows is not None and found.container.num_rows != physical_rows:
            raise FormatError(
                f"the file has {found.container.num_rows} rows, and fragment {self.metadata.id} has {physical_rows}",
                path=found.container.source.name,
            )
        return found

    # ---- row ids and addresses

    @property
    def row_ids(self) -> Any:
        """Stable row ids of all physical rows."""
        return self._sequence(ROW_ID)

    def system_column(self, name: str, rows: RowRanges) -> pa.Array:
        """Return one of :data:`~lancelet.table.formats.column_names.SYSTEM_COLUMNS` for physical rows.

        Raises
        ------
        FormatError
            Row ids or versions are missing, damaged, or of another number of rows; or a data file has other rows than the manifest
            says.
        UnsupportedError
            The dataset does not keep the versions of rows: it has no stable row ids.
        """
        _ = self._checked_rows
        offsets = positions(rows)
        stable = self._origin.has_stable_row_ids
        if name == ROW_ADDRESS or (name == ROW_ID and not stable):
            return pa.array(offsets.astype(np.uint64) + np.uint64(self.metadata.id << 32))
        if not stable:
            raise UnsupportedError(f"{name} needs stable row ids, and the dataset has none")
        return pa.array(self._sequence(name).take(offsets))

    def _sequence(self, name: str) -> Any:
        """Return a sequence with one value for each physical row."""
        from lancelet.table.formats.rowids import read_row_ids, read_versions  # only with stable row ids

        store, metadata = self._origin.store, self.metadata

        def read() -> _KeptSequence:
            num_runs = 0  # those of versions are few
            if name == CREATED_AT:
                sequence: Any = read_versions(store, metadata, "created_at")
            elif name == UPDATED_AT:
                sequence = read_versions(store, metadata, "last_updated_at")
            else:
                sequence = read_row_ids(store, metadata)
                num_runs = len(sequence.runs[0])
            if len(sequence) != self.physical_rows:
                raise FormatError(
                    f"fragment {metadata.id} has {self.physical_rows} rows, and {len(sequence)} values of {name}"
                )
            return _KeptSequence(sequence, 256 + 32 * num_runs)

        stored = (metadata.row_ids, metadata.created_at, metadata.last_updated_at)
        return self._origin.session.get((name, metadata.id, stored), read).sequence


_NONE = np.empty(0, np.uint32)


def _widened(rows: RowRanges, row_bytes: float) -> tuple[RowRanges, Int64Array | None]:
    """Close small gaps between rows: returns the rows to read, and which of them are wanted; ``None``: all."""
    if len(rows.starts) == 1 or rows.num_rows <= _FEW_ROWS:
        return rows, None
    gap = max(int(_GAP_BYTES / max(row_bytes, 1 / 8)), _GAP_ROWS)
    apart = rows.starts[1:] - rows.stops[:-1] > gap
    if apart.all():
        return rows, None
    starts = rows.starts[np.concatenate(([True], apart))]
    stops = rows.stops[np.concatenate((apart, [True]))]
    around = RowRanges(starts, stops)
    # where the wanted rows of each group stand among those that are read
    shifts = np.cumsum(np.concatenate(([0], stops[:-1] - starts[:-1]))) - starts
    group = np.cumsum(np.concatenate(([0], apart)))
    return around, positions(RowRanges(rows.starts + shifts[group], rows.stops + shifts[group]))


def picked(arrays: Sequence[pa.Array], rows: Int64Array, num_rows: int) -> list[pa.Array]:
    """Return some values of a column, as at least one array; an array without wanted values is left out if another has some.

    Parameters
    ----------
    arrays
        The column.
    rows
        Which of its `num_rows` values: ``int64[num_wanted]``, sorted.

    Raises
    ------
    FormatError
        The column has another number of values.
    """
    stops = np.cumsum([len(array) for array in arrays])
    if stops[-1] != num_rows:
        raise FormatError(f"a column has {stops[-1]} values, and {num_rows} rows were read")
    if len(arrays) == 1:
        return [_taken(arrays[0], rows)]
    borders = np.searchsorted(rows, stops)
    found: list[pa.Array] = []
    first = start = 0
    for array, stop, border in zip(arrays, stops.tolist(), borders.tolist(), strict=True):
        if border > first or (border == len(rows) and not found):
            found.append(_taken(array, rows[first:border] - start))
        first, start = border, stop
    return found


def _taken(array: pa.Array, rows: Int64Array) -> pa.Array:
    """Return values at positions that are known to exist."""
    plain = taken(shown(array, without_extensions(array.type)), rows, check=False)
    return shown(plain, array.type)
