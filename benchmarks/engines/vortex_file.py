"""Vortex, by vortex-data. Its strings come as string views."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import vortex

from benchmarks.engines.base import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class OpenVortex:
    """A file and the columns wanted of it."""

    file: Any
    columns: list[str] | None


class Vortex(Engine):
    """Vortex with its default compression."""

    suffix = ".vortex"
    version = version("vortex-data")
    file_version = "default"

    def write(self, path: Path, batches: Sequence[pa.RecordBatch]) -> None:  # noqa: D102
        vortex.io.write(pa.RecordBatchReader.from_batches(batches[0].schema, batches), str(path))

    def open(self, path: Path, columns: list[str] | None = None) -> OpenVortex:  # noqa: D102
        return OpenVortex(vortex.open(str(path)), columns)

    def num_rows(self, handle: OpenVortex) -> int:  # noqa: D102
        return len(handle.file)

    def metadata(self, handle: OpenVortex) -> object:  # noqa: D102
        return handle.file.dtype, handle.file.splits()

    def stream(self, handle: OpenVortex, batch_rows: int) -> Iterable[pa.RecordBatch]:  # noqa: D102
        batches: Iterable[pa.RecordBatch] = handle.file.to_arrow(handle.columns, batch_size=batch_rows)
        return batches

    def table(self, handle: OpenVortex, batch_rows: int) -> pa.Table:  # noqa: D102
        return handle.file.to_arrow(handle.columns).read_all()

    def take(self, handle: OpenVortex, rows: list[int]) -> pa.Table:  # noqa: D102
        indices = vortex.array(pa.array(rows, pa.uint64()))
        return handle.file.to_arrow(handle.columns, indices=indices).read_all()
