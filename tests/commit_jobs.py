"""Datasets made by hand for the tests of commits. A module, so that spawned processes can import it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import lancelet
from lancelet.schema.fields import Field, Schema
from lancelet.storage import LocalStore, Store
from lancelet.table.commits.commit import commit_transaction
from lancelet.table.formats.deletions import read_deletions, write_deletions
from lancelet.table.formats.metadata import DataFile, FragmentMetadata
from lancelet.table.formats.names import data_file_name
from lancelet.table.formats.operations import Append, Delete, Merge, Operation, Overwrite, Project
from lancelet.table.formats.transaction import Transaction

if TYPE_CHECKING:
    from lancelet.table.formats.manifest import Manifest

SCHEMA = pa.schema([("a", pa.int64()), ("s", pa.string())])


def rows(*numbers: int) -> pa.Table:
    """A table of the usual schema."""
    return pa.table({"a": numbers, "s": [f"row {number}" for number in numbers]}, SCHEMA)


def data_file(
    store: Store,
    table: pa.Table,
    ids: list[int] | None = None,
    *,
    version: str = "2.1",
    path: str | None = None,
) -> DataFile:
    """Write a data file; its leaves get `ids`, by default 0, 1, ..."""
    name = path or data_file_name()
    with store.open_sink(f"data/{name}") as sink:
        writer = lancelet.FileWriter(sink, table.schema, version=version)
        writer.write_table(table)
        writer.close()
        pairs = writer.field_id_to_column_indices
    fields = tuple(id_ for id_, _ in pairs) if ids is None else tuple(ids)
    minor = int(version[-1])
    return DataFile(name, fields, tuple(column for _, column in pairs), 2, minor, store.size(f"data/{name}"))


def fragment(store: Store, table: pa.Table, ids: list[int] | None = None, **options: Any) -> FragmentMetadata:
    """Write a table as a fragment that is not committed."""
    return FragmentMetadata(0, (data_file(store, table, ids, **options),), table.num_rows)


def create(
    store: Store, *tables: pa.Table, schema: pa.Schema = SCHEMA, version: str = "2.1", **options: Any
) -> Manifest:
    """Create a dataset with a fragment for each table."""
    fragments = tuple(fragment(store, table, version=version) for table in tables)
    operation = Overwrite(Schema.from_arrow(schema), fragments)
    return commit_transaction(store, Transaction(0, operation), **options)


def append(store: Store, latest: Manifest, *tables: pa.Table, **options: Any) -> Manifest:
    """Append a fragment for each table, having looked at `latest`."""
    version = latest.storage_version.text
    fragments = tuple(fragment(store, table, version=version) for table in tables)
    return commit_transaction(store, Transaction(latest.version, Append(fragments)), **options)


def deletion(store: Store, manifest: Manifest, fragment_id: int, offsets: list[int]) -> Delete:
    """Return the operation that deletes rows of a fragment, with its deletion file written."""
    found = next(found for found in manifest.fragments if found.id == fragment_id)
    union = np.union1d(read_deletions(store, found), np.array(offsets, np.uint32)).astype(np.uint32)
    if len(union) == found.physical_rows:
        return Delete((), (fragment_id,), "by hand")
    file = write_deletions(store, fragment_id, manifest.version, union)
    return Delete((replace(found, deletion_file=file),), (), "by hand")


def read_rows(store: Store, manifest: Manifest, names: dict[int, str] | None = None) -> list[dict[str, Any]]:
    """Read all rows of a version, by the ids of top-level fields; slow and plain."""
    names = names or {field.id: field.name for field in manifest.schema.fields}
    result: list[dict[str, Any]] = []
    for found in manifest.fragments:
        columns: dict[str, list[Any]] = {name: [None] * (found.physical_rows or 0) for name in names.values()}
        for file in found.files:
            with lancelet.FileReader(store.open_source(f"data/{file.path}")) as reader:
                table = reader.read_all().to_table()
            for id_, column in file.columns_of.items():
                if id_ in names:
                    columns[names[id_]] = table.column(column).to_pylist()
        deleted = set(read_deletions(store, found).tolist())
        for row in range(found.physical_rows or 0):
            if row not in deleted:
                result.append({name: values[row] for name, values in columns.items()})
    return result


def commit(store: Store, read: Manifest | int, operation: Operation, **options: Any) -> Manifest:
    version = read if isinstance(read, int) else read.version
    return commit_transaction(store, Transaction(version, operation), **options)


def numbers(store: Store, manifest: Manifest) -> list[int]:
    return [row["a"] for row in read_rows(store, manifest)]


def field(id_: int, name: str, logical_type: str = "int64", *, nullable: bool = True) -> Field:
    return Field.make(name, logical_type, nullable, {}, (), id=id_, parent_id=-1)


def added(
    store: Store, latest: Manifest, new: Field, value: int | None = None, *, version: str = "2.1"
) -> Merge:
    """The operation that adds a column, with a file of `value` for each fragment or none."""
    fragments = latest.fragments
    if value is not None:
        table = pa.table({new.name: pa.array([value], pa.int64())})
        files = [
            data_file(store, pa.concat_tables([table] * (f.physical_rows or 0)), [new.id], version=version)
            for f in fragments
        ]
        fragments = tuple(
            replace(f, files=(*f.files, file)) for f, file in zip(fragments, files, strict=True)
        )
    return Merge(fragments, Schema((*latest.schema.fields, new)))


def without(latest: Manifest, *names: str) -> Project:
    return Project(Schema(tuple(found for found in latest.schema.fields if found.name not in names)))


def transactions(store: Store) -> list[str]:
    return store.list("_transactions")


def append_many(root: str, writer: int, num_appends: int) -> None:
    """Append fragments of one row each: 1000 * writer, 1000 * writer + 1, ..."""
    from lancelet.table.formats.manifest import latest_manifest

    store = LocalStore(root)
    for number in range(num_appends):
        latest = latest_manifest(store)
        if latest is None:
            raise FileNotFoundError(root)
        append(store, latest, rows(1000 * writer + number))
