"""Conversion of files between Lance and other formats, batch by batch.

Formats stand in :mod:`lancelet.interop.formats`; a dataset can be the source too.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError
from lancelet.interop.base import ReadOptions, SinkFile, writing
from lancelet.interop.formats import DELIMITERS, format_of
from lancelet.interop.inputs import open_input
from lancelet.storage import open_sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from lancelet.interop.base import BatchWriter, Rows
    from lancelet.storage import Sink

    Path_ = str | os.PathLike[str]

__all__ = ["convert_file"]


def convert_file(
    source: Path_,
    target: Path_,
    *,
    overwrite: bool = False,
    version: str = "stable",
    options: ReadOptions | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> int:
    """Convert one file; formats are known by suffix. Memory stays within a few batches.

    The target appears when it is complete. After an error nothing is left behind, and an existing target is as it was.

    Parameters
    ----------
    source, target
        Paths of files; `source` may be the folder of a dataset too.
    overwrite
        Replace an existing target.
    version
        File version of a Lance target.
    options
        Columns, batch size, and how text is read.
    progress
        Called with the rows that are done, and all rows or ``None``, at the start and after every batch.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    FormatError
        The source is damaged.
    OptionError
        A suffix is unknown, the target exists, a column does not exist, or the target cannot hold a type.
    UnsupportedError
        The source uses something that is not handled.
    """
    source, target = os.fspath(source), os.fspath(target)
    write_format = format_of(target)
    if not overwrite and Path(target).exists():
        raise OptionError(f"{target} exists already; it is replaced only when overwriting is asked for")
    with open_input(source, options or ReadOptions()) as rows:
        if write_format == "lance":
            return _to_lance(rows, target, version, progress)
        return _to_other(rows, target, write_format, progress)


def _to_lance(
    rows: Rows, target: str, version: str, progress: Callable[[int, int | None], None] | None
) -> int:
    from lancelet.file.writer import FileWriter

    with FileWriter(target, rows.schema, version=version) as writer:
        for batch in _counted(rows, progress):
            writer.write_batch(batch)
        return writer.finish()


def _to_other(
    rows: Rows, target: str, format_: str, progress: Callable[[int, int | None], None] | None
) -> int:
    num_rows = 0
    with open_sink(target) as sink:
        with _written(sink) as file, _compressed(file, target) as stream:
            with writing(target):
                writer = _open_writer(stream, rows.schema, format_)
            for batch in _counted(rows, progress):
                with writing(target):
                    writer.write(batch)
                num_rows += batch.num_rows
            with writing(target):
                writer.finish()
        sink.commit()
    return num_rows


@contextmanager
def _written(sink: Sink) -> Iterator[SinkFile]:
    """Yield `sink` as a file; after an error nothing more reaches it."""
    file = SinkFile(sink)
    try:
        yield file
    except BaseException:
        file.give_up()
        raise


@contextmanager
def _compressed(file: SinkFile, target: str) -> Iterator[Any]:
    """Yield `file`, or a stream that compresses into it."""
    if not target.lower().endswith(".gz"):
        yield file
        return
    import pyarrow as pa

    with pa.CompressedOutputStream(file, "gzip") as stream:
        yield stream


def _open_writer(file: Any, schema: pa.Schema, format_: str) -> BatchWriter:
    if format_ == "parquet":
        from lancelet.interop.parquet import ParquetBatchWriter

        return ParquetBatchWriter(file, schema)
    if format_ == "ipc":
        from lancelet.interop.ipc import IpcBatchWriter

        return IpcBatchWriter(file, schema)
    from lancelet.interop.delimited import DelimitedBatchWriter

    return DelimitedBatchWriter(file, schema, DELIMITERS[format_])


def _counted(rows: Rows, progress: Callable[[int, int | None], None] | None) -> Iterator[pa.RecordBatch]:
    done = 0
    if progress is not None:
        progress(done, rows.num_rows)
    for batch in rows.batches:
        yield batch
        done += batch.num_rows
        if progress is not None:
            progress(done, rows.num_rows)
