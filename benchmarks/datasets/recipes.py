"""The datasets that are read and compacted, each written by the engine that reads it or by pylance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from benchmarks.workloads import WORKLOADS, read_source

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.datasets.engine import DatasetEngine

TINY_ROWS = 10


def tiny_batch(number: int) -> pa.Table:
    """Return the rows of one of many small appends."""
    first = TINY_ROWS * number
    ids = range(first, first + TINY_ROWS)
    return pa.table({"id": ids, "value": [0.5 * id_ for id_ in ids], "name": [f"row {id_}" for id_ in ids]})


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a dataset is made.

    Parameters
    ----------
    workload
        The table of :mod:`benchmarks.workloads` whose first rows it holds; empty: tiny batches.
    num_fragments
        Fragments, each of the same number of rows.
    rows
        Rows at scale 1; a smaller scale means smaller fragments, or fewer of tiny batches.
    file_version
        Version of the data files.
    appended
        Each fragment is a version of the dataset.
    """

    workload: str
    num_fragments: int
    rows: int
    file_version: str = "2.2"
    appended: bool = False

    def count(self, scale: float) -> int:
        """Return the number of fragments."""
        return max(20, round(self.num_fragments * scale)) if self.appended else self.num_fragments

    def num_rows(self, scale: float) -> int:
        """Return the number of rows."""
        if self.appended:
            return TINY_ROWS * self.count(scale)
        return self.num_fragments * max(1, round(self.rows * scale / self.num_fragments))

    def source(self, directory: Path, scale: float) -> Path | None:
        """Return the table that it is made of, in the work folder; tiny batches need none."""
        if not self.workload:
            return None
        table = WORKLOADS[self.workload]
        return table.source(directory, self.num_rows(scale) / table.size)

    def make(self, engine: DatasetEngine, path: Path, source: Path | None, scale: float) -> None:
        """Write the dataset."""
        if source is None:
            for number in range(self.count(scale)):
                engine.write(tiny_batch(number), path, mode="append" if number else "create")
            return
        table = pa.Table.from_batches(read_source(source)).slice(0, self.num_rows(scale))
        engine.write(
            table.to_reader(),
            path,
            data_storage_version=self.file_version,
            max_rows_per_file=self.num_rows(scale) // self.num_fragments,
        )


RECIPES = {
    "appends": Recipe("", 1000, 1000 * TINY_ROWS, appended=True),
    "trips": Recipe("taxi", 200, 10_000_000),
    "trips-2.1": Recipe("taxi", 200, 10_000_000, file_version="2.1"),
    "vectors": Recipe("emb", 50, 200_000),
    "small": Recipe("taxi", 1000, 1_000_000),
}
