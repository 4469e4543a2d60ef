"""Datasets to compact, and what must stay the same of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import lancelet
from lancelet.compact.options import CompactionOptions
from lancelet.compact.plan import CompactionTask

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.datasets.dataset import Dataset

MODES = ("reencode", "hybrid", "try_binary_copy")
VERSIONS = ("2.0", "2.1", "2.2")
LINEAGE = ["_row_created_at_version", "_row_last_updated_at_version"]


def rows(start: int, stop: int, seed: int = 0) -> pa.Table:
    """Rows of many kinds of types; `id` runs from `start` to `stop`."""
    random = np.random.default_rng([seed, start])
    size = stop - start
    nulls = random.random(size) < 0.1
    return pa.table(
        {
            "id": pa.array(range(start, stop), pa.int64()),
            "number": pa.array(random.normal(size=size), mask=nulls),
            "word": pa.array([None if null else f"word {n % 7}" for n, null in enumerate(nulls)]),
            "text": pa.array([str(value) for value in random.integers(0, 1 << 60, size)]),
            "list": pa.array(
                [list(range(n % 4)) if n % 11 else None for n in range(size)], pa.list_(pa.int32())
            ),
            "point": pa.StructArray.from_arrays(
                [pa.array(random.integers(0, 9, size)), pa.array([f"p{n % 3}" for n in range(size)])],
                ["x", "y"],
            ),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(random.random(4 * size, np.float32)), 4),
            "nothing": pa.nulls(size, pa.int16()),
        }
    )


def made(path: Path, sizes: list[int], version: str = "2.2", *, stable: bool = False) -> Dataset:
    """A dataset with a fragment of each size."""
    start = 0
    for number, size in enumerate(sizes):
        options: dict[str, Any] = {"mode": "append"} if number else {"enable_stable_row_ids": stable}
        table = rows(start, start + size)
        lancelet.write_dataset(
            table, path, data_storage_version=version, max_rows_per_file=1 << 20, **options
        )
        start += size
    return lancelet.dataset(path)


def kept(ds: Dataset) -> pa.Table:
    """What a compaction must not change: the rows, and with stable row ids these and the versions of the rows."""
    columns = [*ds.schema.names, *(LINEAGE if ds.has_stable_row_ids else ())]
    table = ds.to_table(columns, with_row_id=ds.has_stable_row_ids)
    return table.sort_by("id")


def task_of(ds: Dataset, mode: Any, **options: Any) -> CompactionTask:
    """One task for all fragments of a dataset, whatever a plan would say."""
    files = [file for fragment in ds.manifest.fragments for file in fragment.files]
    return CompactionTask(
        ds.store,
        ds.version,
        CompactionOptions.of({}, **options),
        0,
        ds.manifest.fragments,
        mode,
        (),
        options.get("data_storage_version") or ds.data_storage_version,
        ds.num_rows,
        sum(file.file_size_bytes or 0 for file in files),
        len(files),
        1,
    )


def data_files(ds: Dataset) -> set[str]:
    """Paths of all files below ``data``."""
    return set(ds.store.list("data"))
