"""Parquet with zstd, by pyarrow. A take reads the row groups that hold the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.engines.base import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class OpenParquet:
    """A file and the columns wanted of it."""

    file: pq.ParquetFile
    columns: list[str] | None


class Parquet(Engine):
    """Parquet, zstd, a row group for each written batch."""

    suffix = ".parquet"
    version = pa.__version__
    file_version = "zstd"

    def write(self, path: Path, batches: Sequence[pa.RecordBatch]) -> None:  # noqa: D102
        with pq.ParquetWriter(path, batches[0].schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)

    def open(self, path: Path, columns: list[str] | None = None) -> OpenParquet:  # noqa: D102
        return OpenParquet(pq.ParquetFile(path), columns)

    def num_rows(self, handle: OpenParquet) -> int:  # noqa: D102
        num_rows: int = handle.file.metadata.num_rows
        return num_rows

    def metadata(self, handle: OpenParquet) -> object:  # noqa: D102
        return handle.file.metadata.to_dict()

    def stream(self, handle: OpenParquet, batch_rows: int) -> Iterable[pa.RecordBatch]:  # noqa: D102
        batches: Iterable[pa.RecordBatch] = handle.file.iter_batches(batch_rows, columns=handle.columns)
        return batches

    def table(self, handle: OpenParquet, batch_rows: int) -> pa.Table:  # noqa: D102
        return handle.file.read(columns=handle.columns)

    def take(self, handle: OpenParquet, rows: list[int]) -> pa.Table:  # noqa: D102
        metadata = handle.file.metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        ends = np.cumsum(sizes)
        wanted = np.asarray(rows)
        groups, firsts = np.unique(np.searchsorted(ends, wanted, side="right"), return_index=True)
        parts = [
            handle.file.read_row_group(int(group), columns=handle.columns).take(
                pa.array(part - (ends[group] - sizes[group]))
            )
            for group, part in zip(groups, np.split(wanted, firsts[1:]), strict=True)
        ]
        return pa.concat_tables(parts)

    def close(self, handle: OpenParquet) -> None:  # noqa: D102
        handle.file.close()
