"""New fragments: rows -> data files, cut by rows and bytes (dataset.md 3.3, 6).

Files are invisible until a manifest names them. Whoever writes them and does not commit leaves files that clean-up finds; writers
that fail remove their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.file.writer import FileWriter
from lancelet.schema.blobs import BLOB_V2
from lancelet.schema.fields import Schema
from lancelet.schema.logical import EXTENSION_NAME
from lancelet.table.formats.metadata import DataFile, FragmentMetadata
from lancelet.table.formats.names import DATA, data_file_name
from lancelet.table.formats.sidecars import SidecarWriter
from lancelet.table.reads.parts import assemble
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lancelet.schema.fields import Field
    from lancelet.storage.store import Store

__all__ = ["FileLimits", "FragmentWriter", "fields_for", "write_column_file"]

#: What pylance cuts files at.
DEFAULT_ROWS_PER_FILE = 1 << 20
DEFAULT_BYTES_PER_FILE = 90 << 30

#: Rows that are written before the size of a file is looked at, as parts of the limit: so much may a file be larger.
_PARTS_OF_LIMIT = 8
_LEAST_CACHE_BYTES = 64 << 10
_CACHE_BYTES_PER_FIELD = 8 << 20


@dataclass(frozen=True, slots=True)
class FileLimits:
    """Where data files are cut.

    Attributes
    ----------
    max_rows
        Most rows of a file.
    max_bytes
        Bytes at which a file ends. It is looked at after every eighth of it, so files may be that much larger.
    """

    max_rows: int = DEFAULT_ROWS_PER_FILE
    max_bytes: int = DEFAULT_BYTES_PER_FILE

    def __post_init__(self) -> None:
        for name, value in (("max_rows_per_file", self.max_rows), ("max_bytes_per_file", self.max_bytes)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{name} is {value!r}; it must be a number of at least 1")


def fields_for(schema: Schema, given: pa.Schema) -> Schema:
    """Return the fields of a dataset that rows of the schema `given` have values for, in the order of the dataset.

    Parameters
    ----------
    schema
        Schema of the dataset.
    given
        Schema of the rows. Columns and children of structs may be missing where nulls are allowed.

    Raises
    ------
    OptionError
        A column is not in the dataset or has another type, or one without which rows cannot be is missing.
    """
    own = Schema.from_arrow(given)
    return Schema(_matching(schema.fields, own.fields, ""), schema.metadata)


def _matching(wanted: Iterable[Field], given: Iterable[Field], prefix: str) -> tuple[Field, ...]:
    by_name = {field.name: field for field in given}
    found = []
    for field in wanted:
        name = prefix + field.name
        other = by_name.pop(field.name, None)
        if other is None:
            if not field.nullable:
                raise OptionError(f"the data has no column {name!r}, which must not be null")
            continue
        found.append(_match(field, other, name))
    if by_name:
        known = ", ".join(repr(prefix + field.name) for field in wanted) or "none"
        raise OptionError(f"the dataset has no column {prefix + next(iter(by_name))!r}; it has {known}")
    return tuple(found)


def _match(field: Field, other: Field, name: str) -> Field:
    if field.metadata.get(EXTENSION_NAME) == BLOB_V2:
        if other.metadata.get(EXTENSION_NAME) != BLOB_V2:
            raise OptionError(f"column {name!r} holds blobs, and is written with the extension {BLOB_V2}")
        return field
    if field.logical_type != other.logical_type:
        raise OptionError(
            f"column {name!r} has type {other.arrow_type}; the dataset stores {field.arrow_type}"
        )
    if not field.children:
        return field
    if field.logical_type == "struct":
        children = _matching(field.children, other.children, f"{name}.")
        if not children:
            raise OptionError(f"struct {name!r} of the data has none of the dataset's children")
    else:  # items of lists, entries of maps: their names do not matter
        pairs = zip(field.children, other.children, strict=True)
        children = tuple(_match(own, theirs, f"{name}.{own.name}") for own, theirs in pairs)
    return field if children == field.children else field.with_children(children)


def _turned_columns(fields: Schema, given: pa.Schema) -> dict[str, tuple[Field, Field]]:
    """Return the columns whose children come in another order or under other names than the dataset has.

    By name: the field of the dataset, and the same as it comes, with the ids of the dataset.
    """
    found = {}
    for field, own in zip(fields.fields, Schema.from_arrow(given).fields, strict=True):
        if any(below.metadata.get(EXTENSION_NAME) == BLOB_V2 for below in field.walk()):
            continue  # values of blobs come in forms of their own, which sidecar writers know
        if [below.name for below in field.walk()] != [below.name for below in own.walk()]:
            found[field.name] = (field, _with_ids(own, field))
    return found


def _with_ids(own: Field, field: Field) -> Field:
    """Return a field as it comes, with ids: children of structs are matched by name, others by place."""
    if own.logical_type == "struct":
        by_name = {child.name: child for child in field.children}
        children = [_with_ids(child, by_name[child.name]) for child in own.children]
    else:
        children = [_with_ids(*pair) for pair in zip(own.children, field.children, strict=True)]
    return replace(own, id=field.id, children=tuple(children))


class FragmentWriter:
    """Writes rows as data files, a fragment each. Belongs to one thread.

    Parameters
    ----------
    store
        The dataset's.
    fields
        The fields that are written, with the ids of the dataset.
    given
        Schema of the rows; see :func:`fields_for`.
    version
        File version.
    limits
        Where files are cut.
    options
        Further options of :class:`~lancelet.file.writer.FileWriter`.

    Attributes
    ----------
    num_rows, num_bytes
        Rows taken, and bytes of finished files.
    """

    def __init__(
        self,
        store: Store,
        fields: Schema,
        given: pa.Schema,
        *,
        version: Version,
        limits: FileLimits | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.num_rows = 0
        self.num_bytes = 0
        self._store = store
        self._fields = fields
        self._given = pa.schema([given.field(field.name) for field in fields.fields])
        self._turned = _turned_columns(fields, self._given)
        for name, (field, _) in self._turned.items():
            position = self._given.get_field_index(name)
            self._given = self._given.set(position, self._given.field(position).with_type(field.arrow_type))
        self._version = version
        self._limits = limits or FileLimits()
        self._options = {"data_cache_bytes": self._cache_bytes(), **(options or {})}
        self._file: _OpenFile | None = None
        self._fragments: list[FragmentMetadata] = []
        self._paths: list[str] = []

    def _cache_bytes(self) -> int:
        """Return what columns may queue: little where files are to be small, since what waits counts for no file."""
        usual = _CACHE_BYTES_PER_FIELD * max(len(self._fields.fields), 1)
        return max(min(usual, self._limits.max_bytes // 4), _LEAST_CACHE_BYTES)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; their columns are found by name.

        Raises
        ------
        OptionError
            A column is missing or has another type, or there is a null where none may be.
        """
        if self._turned:
            batch = self._in_order(batch)
        for part in self._parts(batch):
            if self._file is None:
                self._file = _OpenFile(self._store, self._fields, self._given, self._version, self._options)
            self._file.write(part)
            self.num_rows += part.num_rows
            if self._file.num_rows >= self._limits.max_rows or self._file.is_full(self._limits.max_bytes):
                self._end_file()

    def _in_order(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch whose structs have their children as the dataset does."""
        for name, (field, given) in self._turned.items():
            position = batch.schema.get_field_index(name)
            array = batch.column(position)
            try:
                plain = array if array.type == given.arrow_type else array.cast(given.arrow_type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise OptionError(
                    f"column {name!r}: the children of its structs are in another order than in the dataset, "
                    f"and cannot be put in order: {error}"
                ) from None
            turned = assemble(field, [(given, plain)], len(plain))
            batch = batch.set_column(position, self._given.field(name), turned)
        return batch

    def _parts(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        """Yield parts of `batch`, none of which crosses the end of a file or is a large part of one."""
        start = 0
        row_bytes = batch.nbytes / max(batch.num_rows, 1)
        most = max(int(self._limits.max_bytes / _PARTS_OF_LIMIT / max(row_bytes, 1e-9)), 1)
        while start < batch.num_rows:
            room = self._limits.max_rows - (self._file.num_rows if self._file else 0)
            size = min(most, room, batch.num_rows - start)
            yield batch if size == batch.num_rows else batch.slice(start, size)
            start += size

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            described = file.finish()
        finally:
            self._paths.extend(file.paths)
        self.num_bytes += described.file_size_bytes or 0
        self._fragments.append(FragmentMetadata(0, (described,), file.num_rows))

    @property
    def paths(self) -> list[str]:
        """Paths of all files of finished fragments, sidecar files included."""
        return list(self._paths)

    def finish(self) -> list[FragmentMetadata]:
        """End the last file; returns the fragments in the order of the rows, without ids. No rows are no fragment."""
        self._end_file()
        return self._fragments

    def abort(self) -> None:
        """Remove all files that were written."""
        if self._file is not None:
            self._file.abort()
            self._paths.extend(self._file.paths)
            self._file = None
        remove_files(self._store, self._paths)
        self._paths = []

    def __enter__(self) -> FragmentWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self.abort()


def remove_files(store: Store, paths: Iterable[str]) -> None:
    """Remove files that nothing names; those that are gone already do not matter."""
    for path in paths:
        try:
            store.delete(path)
        except OSError:
            continue


def write_column_file(
    store: Store,
    fields: Schema,
    batches: Iterable[pa.RecordBatch],
    given: pa.Schema,
    *,
    version: Version,
    options: Mapping[str, Any] | None = None,
) -> tuple[DataFile, int, list[str]]:
    """Write one data file with all rows of `batches`; returns its description, its rows, and the paths of all that was written.

    On an error the file is removed. Parameters are those of :class:`FragmentWriter`.
    """
    file = _OpenFile(store, fields, given, version, dict(options or {}))
    try:
        for batch in batches:
            file.write(batch)
        return file.finish(), file.num_rows, file.paths
    except BaseException:
        file.abort()
        remove_files(store, file.paths)
        raise


class _OpenFile:
    """A data file that is being written, and the sidecar files of its blobs."""

    def __init__(
        self, store: Store, fields: Schema, given: pa.Schema, version: Version, options: Mapping[str, Any]
    ) -> None:
        self._name = data_file_name()
        self._path = f"{DATA}/{self._name}"
        self._version = version
        self._blobs = SidecarWriter(store, self._name.removesuffix(".lance"), fields)
        self._sink = store.open_sink(self._path, replace=False)
        self.num_rows = 0
        self._raw_bytes = 0
        try:
            self._writer = FileWriter(
                self._sink, self._blobs.prepared_schema(given), fields=fields, version=version, **options
            )
        except BaseException:
            self._sink.abort()
            raise

    @property
    def paths(self) -> list[str]:
        """Paths of all files that may exist."""
        return [self._path, *self._blobs.paths]

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._writer.write_batch(self._blobs.prepare(batch))
        self.num_rows += batch.num_rows
        self._raw_bytes += batch.nbytes

    def is_full(self, max_bytes: int) -> bool:
        """Tell whether the file has `max_bytes`. Only data of that size is reason enough to ask, which waits for pages."""
        return self._raw_bytes >= max_bytes and self._writer.tell() + self._blobs.num_bytes >= max_bytes

    def finish(self) -> DataFile:
        """Complete the file and its sidecars."""
        try:
            self._blobs.finish()
            self._writer.finish()
        except BaseException:
            self.abort()
            raise
        pairs = self._writer.field_id_to_column_indices
        major, minor = 2, self._version.footer[1] if self._version > Version.V2_0 else 0
        return DataFile(
            self._name,
            tuple(field for field, _ in pairs),
            tuple(column for _, column in pairs),
            major,
            minor,
            self._writer.tell(),
        )

    def abort(self) -> None:
        """Give up."""
        self._writer.abort()
        self._blobs.abort()
