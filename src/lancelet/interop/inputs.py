"""Inputs in any format that is read: files by their suffix, and the folders of datasets."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lancelet.errors import OptionError
from lancelet.interop.base import Rows
from lancelet.interop.formats import DELIMITERS, format_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from lancelet.interop.base import ReadOptions

__all__ = ["open_input", "open_inputs"]


def open_input(path: str, options: ReadOptions) -> AbstractContextManager[Rows]:
    """Open a file whose suffix names its format, or the folder of a dataset.

    Raises
    ------
    OptionError
        The suffix is not known.
    """
    if "://" in path or Path(path).is_dir():
        from lancelet.interop import dataset

        return dataset.open_rows(path, options)
    format_ = format_of(path)
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

    return delimited.open_rows(path, options, DELIMITERS[format_])


@contextmanager
def open_inputs(paths: Sequence[str], options: ReadOptions) -> Iterator[Rows]:
    """Open several inputs as one: the rows of all, in this order. Each is opened when its rows are wanted.

    Parameters
    ----------
    paths
        Files and folders of datasets.
    options
        How they are read.

    Yields
    ------
    Rows
        Rows with the schema of the first input. While they are consumed, an input without its columns, or with values that its
        types do not hold, is an :class:`~lancelet.errors.OptionError`.

    Raises
    ------
    FileNotFoundError
        An input does not exist.
    OptionError
        There is none, or a suffix is not known.
    """
    if not paths:
        raise OptionError("there is no input")
    for path in paths:  # before any of them is read
        if "://" not in path and not Path(path).is_dir():
            format_of(path)
            os.stat(path)  # noqa: PTH116 - the error names the path as it was given
    with open_input(paths[0], options) as first:
        if len(paths) == 1:
            yield first
        else:
            yield Rows(first.schema, None, _chained(first, paths, options))


def _chained(first: Rows, paths: Sequence[str], options: ReadOptions) -> Iterator[pa.RecordBatch]:
    from lancelet.table.inputs.data import rows_of

    yield from first.batches
    names = first.schema.names
    for path in paths[1:]:
        with open_input(path, options) as rows:
            if sorted(rows.schema.names) != sorted(names):
                raise OptionError(
                    f"{path} has the columns {', '.join(rows.schema.names)}, and {paths[0]} has {', '.join(names)}"
                )
            try:
                yield from rows_of(rows.batches, first.schema).batches
            except OptionError as error:
                raise OptionError(f"{path}: {error}") from None
