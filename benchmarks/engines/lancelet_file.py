"""Files of lancelet, through its public names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lancelet
from benchmarks.engines.base import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pyarrow as pa


class Lancelet(Engine):
    """lancelet, file version 2.2."""

    suffix = ".lance"
    version = lancelet.__version__
    file_version = "2.2"

    def write(self, path: Path, batches: Sequence[pa.RecordBatch]) -> None:  # noqa: D102
        with lancelet.FileWriter(path, batches[0].schema, version=self.file_version) as writer:
            for batch in batches:
                writer.write_batch(batch)

    def open(self, path: Path, columns: list[str] | None = None) -> lancelet.FileReader:  # noqa: D102
        return lancelet.FileReader(path, columns=columns)

    def num_rows(self, handle: lancelet.FileReader) -> int:  # noqa: D102
        return handle.num_rows

    def metadata(self, handle: lancelet.FileReader) -> object:  # noqa: D102
        return handle.metadata()

    def stream(self, handle: lancelet.FileReader, batch_rows: int) -> Iterable[pa.RecordBatch]:  # noqa: D102
        return handle.read_all(batch_size=batch_rows).to_batches()

    def table(self, handle: lancelet.FileReader, batch_rows: int) -> pa.Table:  # noqa: D102
        return handle.read_all(batch_size=batch_rows).to_table()

    def take(self, handle: lancelet.FileReader, rows: list[int]) -> pa.Table:  # noqa: D102
        return handle.take_rows(rows).to_table()

    def close(self, handle: lancelet.FileReader) -> None:  # noqa: D102
        handle.close()
