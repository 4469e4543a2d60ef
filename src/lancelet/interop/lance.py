"""Lance files as one of the formats of a conversion."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lancelet.file.reader import FileReader
from lancelet.interop.base import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.interop.base import ReadOptions

__all__ = ["open_rows"]


@contextmanager
def open_rows(path: str, options: ReadOptions) -> Iterator[Rows]:
    """Open a Lance file."""
    with FileReader(path, options.columns) as reader:
        result = reader.read_all(batch_size=options.batch_size)
        yield Rows(reader.schema, reader.num_rows, result.to_batches())
