"""Datasets to copy, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

import lancelet
from lancelet.compact.copy import CopiedFile, copy_files
from lancelet.compact.eligible import blob_column, examine, manifest_problem
from lancelet.compact.source import WantedColumns
from lancelet.file import FileReader
from lancelet.storage import LocalStore
from lancelet.table.commits.commit import commit_transaction
from lancelet.table.formats.manifest import Manifest, latest_manifest
from lancelet.table.formats.metadata import FragmentMetadata
from lancelet.table.formats.operations import ReserveFragments, Rewrite, RewriteGroup
from lancelet.table.formats.transaction import Transaction
from lancelet.table.reads.snapshot import Snapshot
from oracle import oracle
from oracle.worker import pack_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VERSIONS = ("2.0", "2.1", "2.2")

_PACKED = {"lance-encoding:packed": "true"}


def mixed_table(start: int, num_rows: int, version: str, *, packed: bool = True) -> pa.Table:
    """Return rows of many types: nested, with nulls, empty, constant, of few different values."""
    numbers = range(start, start + num_rows)
    points = pa.array(
        [{"x": float(i), "y": i % 3} for i in numbers], pa.struct([("x", pa.float32()), ("y", pa.int32())])
    )
    columns = {
        "id": pa.array(numbers, pa.int64()),
        "text": pa.array([None if i % 5 == 0 else f"row {i} " * (i % 4) for i in numbers], pa.string()),
        "empty": pa.array([""] * num_rows, pa.string()),
        "none": pa.nulls(num_rows, pa.int32()),
        "flag": pa.array([i % 3 == 0 for i in numbers]),
        "kind": pa.array([f"kind {i % 3}" for i in numbers]).dictionary_encode(),
        "list": pa.array([None if i % 7 == 0 else list(range(i % 4)) for i in numbers], pa.list_(pa.int32())),
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(np.arange(start * 4, (start + num_rows) * 4, dtype=np.float32)), 4
        ),
        "deep": pa.array(
            [{"a": i, "b": [{"c": str(i), "d": i % 2}] * (i % 3)} for i in numbers],
            pa.struct(
                [("a", pa.int16()), ("b", pa.list_(pa.struct([("c", pa.string()), ("d", pa.int8())])))]
            ),
        ),
    }
    fields = [pa.field(name, array.type) for name, array in columns.items()]
    arrays = list(columns.values())
    if packed:
        fields.append(pa.field("point", points.type, metadata=_PACKED))
        arrays.append(points)
    if version == "2.2":
        maps = pa.array([[(f"k{i}", i)] for i in numbers], pa.map_(pa.string(), pa.int32()))
        fields.append(pa.field("map", maps.type))
        arrays.append(maps)
    return pa.table(arrays, schema=pa.schema(fields))


def plain_tables(count: int = 4, num_rows: int = 100) -> list[pa.Table]:
    """Return tables that every release can write."""
    return [
        pa.table(
            {
                "a": pa.array(range(k * num_rows, (k + 1) * num_rows), pa.int64()),
                "b": pa.array([None if i % 5 == 0 else f"b{k}-{i}" for i in range(num_rows)]),
                "c": pa.array([[i, k] * (i % 3) for i in range(num_rows)], pa.list_(pa.int32())),
                "d": pa.array([{"e": i * 0.5, "f": f"f{i % 4}"} for i in range(num_rows)]),
            }
        )
        for k in range(count)
    ]


def write_fragments(path: Path, tables: Sequence[pa.Table], version: str) -> LocalStore:
    """Write a fragment for each table."""
    lancelet.write_dataset(tables[0], path, data_storage_version=version)
    for table in tables[1:]:
        lancelet.write_dataset(table, path, mode="append")
    return LocalStore(path)


def write_by_pylance(release: str, path: Path, tables: Sequence[pa.Table], version: str) -> LocalStore:
    """Have a release of pylance write a fragment for each table."""
    oracle(release).run(
        """
for number, packed in enumerate(tables):
    table = pa.ipc.open_stream(packed).read_all()
    table = pa.Table.from_batches([b.take(pa.array(range(b.num_rows))) for b in table.to_batches()])
    lance.write_dataset(table, path, mode="append" if number else "create", data_storage_version=version)
""",
        path=str(path),
        tables=[pack_table(table) for table in tables],
        version=version,
    )
    return LocalStore(path)


def write_by(writer: str, path: Path, tables: Sequence[pa.Table], version: str) -> LocalStore:
    """Have ``"lancelet"``, or a release of pylance, write a fragment for each table."""
    if writer == "lancelet":
        return write_fragments(path, tables, version)
    return write_by_pylance(writer, path, tables, version)


def latest(store: LocalStore) -> Manifest:
    found = latest_manifest(store)
    assert found is not None
    return found


def copied(store: LocalStore, **options: object) -> list[CopiedFile]:
    """Copy all fragments of the latest version."""
    manifest = latest(store)
    snapshot = Snapshot(store, manifest)
    return copy_files(store, manifest.fragments, snapshot.stored_schema, manifest.storage_version, **options)  # type: ignore[arg-type]


def copy_problem(store: LocalStore, fragment: FragmentMetadata) -> str | None:
    """Return why a fragment of the latest version cannot be copied; ``None``: it can be."""
    manifest = latest(store)
    schema = Snapshot(store, manifest).stored_schema
    if blob := blob_column(schema):
        return f"column {blob!r} holds blobs"
    wanted = WantedColumns(schema, manifest.storage_version)
    return manifest_problem(fragment, wanted) or examine(store, fragment.files[0], wanted)[0]


def read_file(store: LocalStore, copy: CopiedFile) -> pa.Table:
    """Read a data file as a file."""
    with FileReader(f"{store.name}/data/{copy.file.path}") as reader:
        return reader.read_all().to_table()


def commit_copies(store: LocalStore, copies: Sequence[CopiedFile]) -> None:
    """Put the copies in the place of all fragments."""
    manifest = latest(store)
    reserved = commit_transaction(store, Transaction(manifest.version, ReserveFragments(len(copies))))
    assert reserved.max_fragment_id is not None
    first = reserved.max_fragment_id - len(copies) + 1
    new = tuple(
        FragmentMetadata(first + number, (copy.file,), copy.num_rows) for number, copy in enumerate(copies)
    )
    commit_transaction(
        store, Transaction(manifest.version, Rewrite((RewriteGroup(manifest.fragments, new),)))
    )


def data_files(store: LocalStore) -> list[str]:
    """Paths of all data files, and of what is left of unfinished ones."""
    return store.list("data") + [found.path for found in store.describe("data", unfinished=True)]
