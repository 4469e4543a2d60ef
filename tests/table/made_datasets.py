"""Versions of datasets made by hand in a store in memory: data files, fragments and deletions, without manifests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lancelet.schema.fields import Schema
from lancelet.storage import MemoryStore, Store
from lancelet.table.changes.write_files import fields_for, write_column_file
from lancelet.table.formats.deletions import write_deletions
from lancelet.table.formats.metadata import DataFile, FragmentMetadata
from lancelet.table.reads.snapshot import Snapshot
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lancelet.pb import table_pb2


@dataclass(frozen=True)
class MadeVersion:
    """What reads need of a manifest."""

    schema: Schema
    fragments: tuple[FragmentMetadata, ...]
    has_stable_row_ids: bool = False
    num_rows: int | None = None
    base_paths: Mapping[int, table_pb2.BasePath] = field(default_factory=dict)


def write_file(
    store: Store, schema: Schema, table: pa.Table, version: Version = Version.V2_2, **options: object
) -> DataFile:
    """Write the columns of `table`, in its order, with the ids that they have in `schema`."""
    own = {field.name: field for field in fields_for(schema, table.schema).fields}
    fields = Schema(tuple(own[name] for name in table.column_names))
    file, _, _ = write_column_file(
        store, fields, table.to_batches(), table.schema, version=version, options=options
    )
    return file


def make_fragment(
    store: Store,
    number: int,
    files: list[DataFile],
    num_rows: int,
    deleted: list[int] | np.ndarray | None = None,
) -> FragmentMetadata:
    """Describe a fragment, and write its deletions."""
    found = FragmentMetadata(number, tuple(files), num_rows)
    if deleted is None or not len(deleted):
        return found
    offsets = np.asarray(deleted, dtype=np.uint32)
    return replace(found, deletion_file=write_deletions(store, number, 1, offsets))


def make_snapshot(schema: Schema, fragments: list[FragmentMetadata], store: Store, **options) -> Snapshot:
    """Return a snapshot of a version that has these fragments."""
    return Snapshot(store, MadeVersion(schema, tuple(fragments)), **options)


def split_snapshot(
    table: pa.Table,
    sizes: list[int],
    deleted: dict[int, list[int]],
    version: Version = Version.V2_2,
    **options: object,
) -> tuple[Snapshot, pa.Table]:
    """Write a table as fragments of some sizes; returns the snapshot and the rows that are not deleted."""
    store, schema = MemoryStore(), Schema.from_arrow(table.schema)
    fragments, live, start = [], [], 0
    for number, size in enumerate(sizes):
        part = table.slice(start, size)
        start += size
        gone = deleted.get(number, [])
        file = write_file(store, schema, part, version, **options)
        fragments.append(make_fragment(store, number, [file], size, gone))
        live.append(part.filter(pa.array(~np.isin(np.arange(size), gone))))
    return make_snapshot(schema, fragments, store), pa.concat_tables(live).combine_chunks()
