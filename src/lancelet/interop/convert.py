"""Conversion of files between Lance and other formats, batch by batch.

=============================  ==========================  =================================================
suffix                         format                      remarks
=============================  ==========================  =================================================
``.lance``                     Lance
``.parquet``, ``.pq``          Parquet                     written with zstd
``.csv``, ``.csv.gz``          comma-separated text        see :mod:`lancelet.interop.delimited`
``.tsv``, ``.tsv.gz``          tab-separated text          the same
``.arrow``, ``.ipc``,          Arrow IPC file              streams are read too
``.feather``
=============================  ==========================  =================================================
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError
from lancelet.interop.base import ReadOptions, SinkFile, writing
from lancelet.storage import open_sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from lancelet.interop.base import BatchWriter, Rows
    from lancelet.storage import Sink

    Path_ = str | os.PathLike[str]

__all__ = ["FORMATS", "convert_file", "format_of"]

#: Format by suffix. Text may be compressed: one more suffix ``.gz``.
FORMATS = {
    ".lance": "lance",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
}
_DELIMITERS = {"csv": ",", "tsv": "\t"}


def format_of(path: Path_) -> str:
    """Return the format that the suffix of `path` names.

    Raises
    ------
    OptionError
        The suffix is not known.

    Examples
    --------
    >>> format_of("flights.csv.gz")
    'csv'
    """
    name = os.fspath(path).lower()
    plain = name.removesuffix(".gz")
    found = FORMATS.get(Path(plain).suffix)
    if found is None or (name != plain and found not in _DELIMITERS):
        raise OptionError(
            f"{path}: the suffix names no known format; known are {', '.join(FORMATS)}, .csv.gz, .tsv.gz"
        )
    return found


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
        Paths of files.
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
    read_format, write_format = format_of(source), format_of(target)
    if not overwrite and Path(target).exists():
        raise OptionError(f"{target} exists already; it is replaced only when overwriting is asked for")
    with _open_rows(source, read_format, options or ReadOptions()) as rows:
        if write_format == "lance":
            return _to_lance(rows, target, version, progress)
        return _to_other(rows, target, write_format, progress)


def _open_rows(path: str, format_: str, options: ReadOptions) -> AbstractContextManager[Rows]:
    if format_ == "lance":
        from lancelet.interop import lance

        return lance.open_rows(path, options)
    if format_ == "parquet":
        from lancelet.interop import parquet

        return parquet.open_rows(path, options)
    if format_ == "ipc":
        from lancelet.interop import ipc

        return ipc.open_rows(path, options)
    from lancelet.interop import delimited

    return delimited.open_rows(path, options, _DELIMITERS[format_])


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

    return DelimitedBatchWriter(file, schema, _DELIMITERS[format_])


def _counted(rows: Rows, progress: Callable[[int, int | None], None] | None) -> Iterator[pa.RecordBatch]:
    done = 0
    if progress is not None:
        progress(done, rows.num_rows)
    for batch in rows.batches:
        yield batch
        done += batch.num_rows
        if progress is not None:
            progress(done, rows.num_rows)
