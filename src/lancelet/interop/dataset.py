"""Datasets as one of the formats of a conversion, to read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lancelet.datasets.dataset import dataset
from lancelet.interop.base import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.interop.base import ReadOptions

__all__ = ["open_rows"]


@contextmanager
def open_rows(path: str, options: ReadOptions) -> Iterator[Rows]:
    """Open the latest version of a dataset."""
    opened = dataset(path)
    scanner = opened.scanner(
        columns=options.columns, batch_size=options.batch_size, blob_handling="all_binary"
    )
    yield Rows(scanner.schema, opened.num_rows, scanner.to_batches())
