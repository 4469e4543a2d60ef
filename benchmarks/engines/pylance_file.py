"""The reference implementation, through its file reader and writer: lancelet's unit is the file, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lance
from lance.file import LanceFileReader, LanceFileWriter

from benchmarks.engines.base import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pyarrow as pa


class Pylance(Engine):
    """pylance, file version 2.2."""

    suffix = ".lance"
    version = lance.__version__
    file_version = "2.2"

    def write(self, path: Path, batches: Sequence[pa.RecordBatch]) -> None:  # noqa: D102
        with LanceFileWriter(str(path), batches[0].schema, version=self.file_version) as writer:
            for batch in batches:
                writer.write_batch(batch)

    def open(self, path: Path, columns: list[str] | None = None) -> Any:  # noqa: D102
        return LanceFileReader(str(path), columns=columns)

    def num_rows(self, handle: Any) -> int:  # noqa: D102
        num_rows: int = handle.num_rows()
        return num_rows

    def metadata(self, handle: Any) -> object:  # noqa: D102
        return handle.metadata()

    def stream(self, handle: Any, batch_rows: int) -> Iterable[pa.RecordBatch]:  # noqa: D102
        batches: Iterable[pa.RecordBatch] = handle.read_all(batch_size=batch_rows).to_batches()
        return batches

    def table(self, handle: Any, batch_rows: int) -> pa.Table:  # noqa: D102
        return handle.read_all(batch_size=batch_rows).to_table()

    def take(self, handle: Any, rows: list[int]) -> pa.Table:  # noqa: D102
        return handle.take_rows(rows).to_table()
