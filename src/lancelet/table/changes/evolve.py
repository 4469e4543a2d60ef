"""Columns that come, go and change: the data files and the operation that a new schema needs (dataset.md 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from lancelet.errors import OptionError, UnsupportedError
from lancelet.fields.joining import take
from lancelet.schema.fields import Schema
from lancelet.table.changes.schema_changes import altered, with_added, without
from lancelet.table.changes.write_files import remove_files, write_column_file
from lancelet.table.formats.operations import Merge, Project
from lancelet.table.inputs.arguments import check_progress
from lancelet.table.inputs.data import rows_of
from lancelet.table.reads.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lancelet.buffers import Int64Array
    from lancelet.storage import Store
    from lancelet.table.changes.schema_changes import Alteration
    from lancelet.table.formats.metadata import DataFile, FragmentMetadata
    from lancelet.table.formats.operations import Operation
    from lancelet.table.reads.fragment_reader import FragmentReader
    from lancelet.table.reads.snapshot import Snapshot
    from lancelet.versions import Version

    Batches = Iterator[pa.RecordBatch]

__all__ = ["Evolution", "add_columns", "alter_columns", "drop_columns"]


@dataclass(frozen=True, slots=True)
class Evolution:
    """What a change of columns commits.

    Attributes
    ----------
    operation
        The operation.
    files
        Paths of the data files that were written for it.
    """

    operation: Operation
    files: tuple[str, ...] = ()


class _Values(Protocol):
    """Values of new columns, fragment by fragment."""

    def schema(self) -> pa.Schema:
        """Return the schema of all batches."""

    def of(self, number: int) -> Batches | None:
        """Give the values of the rows of a fragment that are not deleted; ``None``: all are null, and need no file.

        Fragments are asked for in order, each once. Columns that are null in the whole fragment may be missing.
        """

    def end(self) -> None:
        """Check that nothing is left over."""


def add_columns(
    snapshot: Snapshot,
    transforms: Any,
    first_id: int,
    version: Version,
    *,
    read_columns: Sequence[str] | None = None,
    reader_schema: pa.Schema | None = None,
    batch_size: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Evolution:
    """Write the values of new columns, a data file for each fragment.

    Parameters
    ----------
    snapshot
        The version of the dataset.
    transforms
        Names and SQL expressions; a function from a batch of rows to a batch of new columns; rows of new columns, as many as the
        dataset has and in its order; or Arrow fields, whose values are null.
    first_id
        First id that a new field may have.
    version
        File version.
    read_columns
        Columns that a function is given; by default all.
    reader_schema
        Schema of the new columns, where a function or an iterable of batches does not tell.
    batch_size
        Rows that a function is given at once.
    progress
        Called with the rows that are done, and all rows.

    Raises
    ------
    OptionError
        A column exists already; or the values are too few, too many, of different types, or cannot be stored.
    """
    check_progress(progress)
    if not isinstance(reader_schema, pa.Schema | None):
        raise OptionError(f"reader_schema is {type(reader_schema).__name__}; it must be a pyarrow.Schema")
    nulls = _null_fields(transforms)
    if nulls is not None:
        for field in nulls:
            if not field.nullable:
                raise OptionError(f"column {field.name!r} would be null in all rows, and may not be")
        schema, _ = with_added(snapshot.schema, nulls, first_id, version)
        return Evolution(Merge(snapshot.fragments, schema))
    values: _Values
    if _is_mapping_of_text(transforms):
        values = _Computed(snapshot, transforms, batch_size)
    elif callable(transforms):
        values = _Mapped(snapshot, transforms, read_columns, reader_schema, batch_size)
    else:
        values = _Given(snapshot, transforms, reader_schema)
    given = values.schema()
    schema, new = with_added(snapshot.schema, given, first_id, version)
    return _with_files(snapshot, schema, new, given, values, version, progress)


def drop_columns(schema: Schema, columns: Sequence[str]) -> tuple[Project, set[int]]:
    """Return the operation that drops columns, and the ids of the fields that go. No file is touched.

    Raises
    ------
    OptionError
        See :func:`~lancelet.table.changes.schema_changes.without`.
    """
    left, gone = without(schema, columns)
    return Project(left), gone


def alter_columns(
    snapshot: Snapshot,
    alterations: Sequence[Alteration],
    first_id: int,
    version: Version,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> Evolution:
    """Rename columns, allow or forbid nulls, and write columns anew that get another type.

    Raises
    ------
    OptionError
        See :func:`~lancelet.table.changes.schema_changes.altered`; or there are nulls where they are to be forbidden, or values
        that the new type does not have.
    """
    check_progress(progress)
    change = altered(snapshot.schema, alterations, first_id, version)
    for name in change.not_null:
        _check_no_nulls(snapshot, name, change.schema)
    if not change.recast:
        return Evolution(Project(change.schema))
    new = Schema(tuple(change.recast.values()), change.schema.metadata)
    values = _Cast(snapshot, {name: field.to_arrow() for name, field in change.recast.items()})
    return _with_files(snapshot, change.schema, new, values.schema(), values, version, progress)


def _with_files(
    snapshot: Snapshot,
    schema: Schema,
    new: Schema,
    given: pa.Schema,
    values: _Values,
    version: Version,
    progress: Callable[[int, int | None], None] | None,
) -> Evolution:
    """Write one data file for each fragment, with the fields `new`."""
    fragments: list[FragmentMetadata] = []
    paths: list[str] = []
    done, total = 0, snapshot.num_rows
    try:
        for number, fragment in enumerate(snapshot.fragments):
            reader = snapshot.reader(number)
            batches = values.of(number)
            if batches is not None:
                file, own = _column_file(snapshot.store, reader, batches, new, given, version)
                paths += own
                files = (*fragment.files, file)
                fragment = replace(fragment, files=files, physical_rows=reader.physical_rows)
            fragments.append(fragment)
            done += reader.num_rows
            if progress is not None:
                progress(done, total)
        values.end()
    except BaseException:
        remove_files(snapshot.store, paths)
        raise
    return Evolution(Merge(tuple(fragments), schema), tuple(paths))


def _column_file(
    store: Store, reader: FragmentReader, batches: Batches, new: Schema, given: pa.Schema, version: Version
) -> tuple[DataFile, list[str]]:
    """Write those of the fields `new` that `batches` have; returns also the paths of all files."""
    first = next(batches, None)
    if first is not None and first.schema.names != given.names:
        given = first.schema
        new = Schema(tuple(field for field in new.fields if field.name in given.names), new.metadata)
    offsets = reader.offsets_of(np.arange(reader.num_rows))
    rows = _physical(chain([] if first is None else [first], batches), offsets, reader.physical_rows)
    file, _, paths = write_column_file(store, new, rows, given, version=version)
    return file, paths


def _physical(batches: Batches, offsets: Int64Array, physical_rows: int) -> Batches:
    """Give each physical row a value: those that are deleted get that of the next row, or of the last one.

    Parameters
    ----------
    batches
        Values of the rows that are not deleted.
    offsets
        ``int64[num_rows]``: where these rows are.
    physical_rows
        Rows with those that are deleted.

    Raises
    ------
    OptionError
        There are more or fewer values than rows.
    """
    start, stop = 0, 0
    for batch in batches:
        if not batch.num_rows:
            continue
        own = offsets[start : start + batch.num_rows]
        if len(own) < batch.num_rows:
            raise OptionError(f"there are values for more than the {len(offsets)} rows of a fragment")
        start += len(own)
        first, stop = stop, physical_rows if start == len(offsets) else int(own[-1]) + 1
        yield batch if stop - first == len(own) else _spread(batch, own, first, stop)
    if start < len(offsets):
        raise OptionError(f"there are values for {start} of the {len(offsets)} rows of a fragment")


def _spread(batch: pa.RecordBatch, own: Int64Array, first: int, stop: int) -> pa.RecordBatch:
    wanted = np.minimum(np.searchsorted(own, np.arange(first, stop)), len(own) - 1)
    columns = [pa.chunked_array(take([column], wanted)).combine_chunks() for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _null_fields(transforms: Any) -> pa.Schema | None:
    if isinstance(transforms, pa.Field):
        return pa.schema([transforms])
    if (
        isinstance(transforms, (list, tuple))
        and transforms
        and all(isinstance(one, pa.Field) for one in transforms)
    ):
        return pa.schema(transforms)
    return transforms if isinstance(transforms, pa.Schema) else None


def _is_mapping_of_text(transforms: Any) -> bool:
    return isinstance(transforms, dict) and all(isinstance(text, str) for text in transforms.values())


class _Computed:
    """Values of SQL expressions."""

    def __init__(self, snapshot: Snapshot, expressions: Mapping[str, str], batch_size: int | None) -> None:
        if not expressions:
            raise OptionError("add_columns needs at least one column")
        self._snapshot = snapshot
        self._options: dict[str, Any] = {"columns": dict(expressions), "batch_size": batch_size}

    def schema(self) -> pa.Schema:
        return Scanner(self._snapshot, **self._options).schema

    def of(self, number: int) -> Batches:
        part = self._snapshot.part([self._snapshot.fragments[number]])
        return Scanner(part, **self._options).to_batches()

    def end(self) -> None:
        """Do nothing: there are as many values as rows."""


class _Mapped:
    """Values that a function makes of batches."""

    def __init__(
        self,
        snapshot: Snapshot,
        function: Callable[[pa.RecordBatch], Any],
        columns: Sequence[str] | None,
        schema: pa.Schema | None,
        batch_size: int | None,
    ) -> None:
        self._snapshot = snapshot
        self._function = function
        self._options: dict[str, Any] = {"columns": columns, "batch_size": batch_size}
        self._schema = schema
        self._first: tuple[pa.RecordBatch, Batches] | None = None

    def schema(self) -> pa.Schema:
        """Return the schema of what the function gives for the first batch."""
        if self._schema is not None:
            return self._schema
        scanner = Scanner(self._snapshot.part(self._snapshot.fragments[:1]), **self._options)
        batches = scanner.to_batches()
        first = next(batches, None)
        if first is None:
            made = self._made(pa.RecordBatch.from_pylist([], schema=scanner.schema))
        else:
            made = self._made(first)
            self._first = made, batches
        self._schema = made.schema
        return self._schema

    def of(self, number: int) -> Batches:
        kept, self._first = self._first, None
        if kept is not None:
            yield kept[0]
            batches = kept[1]
        else:
            part = self._snapshot.part([self._snapshot.fragments[number]])
            batches = Scanner(part, **self._options).to_batches()
        for batch in batches:
            yield self._made(batch)

    def _made(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        given = self._function(batch)
        rows = rows_of(given, self._schema)
        table = pa.Table.from_batches(rows.batches, rows.schema).combine_chunks()
        if table.num_rows != batch.num_rows:
            raise OptionError(f"the function made {table.num_rows} rows of a batch of {batch.num_rows}")
        found = table.to_batches()
        if len(found) > 1:
            raise UnsupportedError(
                "the values of one batch take more than an array can hold; read smaller batches"
            )
        return found[0] if found else pa.RecordBatch.from_pylist([], schema=rows.schema)

    def end(self) -> None:
        """Do nothing: every batch was checked."""


class _Given:
    """Values that somebody hands over for all rows."""

    def __init__(self, snapshot: Snapshot, data: Any, schema: pa.Schema | None) -> None:
        self._snapshot = snapshot
        rows = rows_of(data, schema)
        self._schema, self._batches = rows.schema, rows.batches
        self._rest: pa.RecordBatch | None = None

    def schema(self) -> pa.Schema:
        return self._schema

    def of(self, number: int) -> Batches:
        left = self._snapshot.reader(number).num_rows
        while left:
            batch = self._next()
            if batch is None:
                raise OptionError("there are fewer values than the dataset has rows")
            size = min(left, batch.num_rows)
            self._rest = batch.slice(size) if size < batch.num_rows else None
            left -= size
            yield batch.slice(0, size)

    def _next(self) -> pa.RecordBatch | None:
        batch, self._rest = self._rest, None
        while batch is None or not batch.num_rows:
            batch = next(self._batches, None)
            if batch is None:
                return None
        return batch

    def end(self) -> None:
        """Check that no values are left."""
        if self._next() is not None:
            raise OptionError("there are more values than the dataset has rows")


class _Cast:
    """Values of columns, cast to other types."""

    def __init__(self, snapshot: Snapshot, fields: Mapping[str, pa.Field]) -> None:
        self._snapshot = snapshot
        self._fields = dict(fields)

    def schema(self) -> pa.Schema:
        return pa.schema(self._fields.values())

    def of(self, number: int) -> Batches | None:
        fragment = self._snapshot.fragments[number]
        listed = {id_ for file in fragment.files for id_ in file.fields}
        held = [
            field.name
            for field in self._snapshot.schema.fields
            if field.name in self._fields and any(below.id in listed for below in field.walk())
        ]
        return self._cast(self._snapshot.part([fragment]), held) if held else None

    def _cast(self, part: Snapshot, names: Sequence[str]) -> Batches:
        fields = [self._fields[name] for name in names]
        for batch in Scanner(part, columns=names).to_batches():
            arrays = [_cast(*cast) for cast in zip(batch.columns, fields, names, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def end(self) -> None:
        """Do nothing: there are as many values as rows."""


def _cast(array: pa.Array, field: pa.Field, name: str) -> pa.Array:
    try:
        return array.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise OptionError(
            f"column {name!r} cannot be cast from {array.type} to {field.type}: {error}"
        ) from None


def _check_no_nulls(snapshot: Snapshot, name: str, changed: Schema) -> None:
    """Check that a column has no null where `changed` allows none."""
    from lancelet.file.checks import check_nulls, with_nullability

    before = next(number for number, field in enumerate(snapshot.schema.fields) if field.name == name)
    field = changed.fields[before]
    for batch in Scanner(snapshot, columns=[name]).to_batches():
        column = batch.column(0)
        arrow = pa.schema([pa.field(field.name, column.type)])
        check_nulls(column, with_nullability(arrow, Schema((field,))).field(0), name)
