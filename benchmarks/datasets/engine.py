"""Datasets by either library: lancelet's names follow pylance's, so that one adapter serves both."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks.engines.base import INSTALLATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

FILE_VERSION = "2.2"


class DatasetEngine:
    """Writes, reads and compacts datasets with one library.

    Parameters
    ----------
    name
        Name of an installation.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._library: Any = import_module(INSTALLATIONS[name].library)

    @property
    def version(self) -> str:
        """The version of the library."""
        try:
            return version(INSTALLATIONS[self.name].distribution)
        except PackageNotFoundError:
            return str(self._library.__version__)

    @cached_property
    def compacts(self) -> bool:
        """Whether the library has compaction."""
        return hasattr(getattr(self._library, "LanceDataset", None) or self._library.Dataset, "optimize")

    def write(self, data: Any, path: Path, **options: Any) -> None:
        """Write or append rows: a table or a reader."""
        self._library.write_dataset(data, str(path), **options)

    def open(self, path: Path) -> Any:
        """Open the latest version, with nothing known of its files."""
        return self._library.dataset(str(path))

    def batches(self, dataset: Any, condition: str | None, batch_rows: int) -> Iterable[pa.RecordBatch]:
        """Read the rows that satisfy a condition."""
        batches: Iterable[pa.RecordBatch] = dataset.to_batches(filter=condition, batch_size=batch_rows)
        return batches

    def take(self, dataset: Any, rows: list[int]) -> pa.Table:
        """Read some rows."""
        return dataset.take(rows)

    def compact(self, dataset: Any, mode: str) -> None:
        """Compact with the options of the library, apart from the mode."""
        dataset.optimize.compact_files(compaction_mode=mode)

    def num_pages(self, path: Path) -> tuple[int, int]:
        """Return the pages of a data file and its physical columns."""
        if self.name == "lancelet":
            from lancelet.container.reader import Container
            from lancelet.storage.local import LocalSource

            container = Container.open(LocalSource(path))
            counts = [len(container.column(index).pages) for index in range(container.num_columns)]
            container.close()
        else:
            from lance.file import LanceFileReader

            counts = [len(column.pages) for column in LanceFileReader(str(path)).metadata().columns]
        return sum(counts), len(counts)


@contextmanager
def without_sync() -> Iterator[None]:
    """Let nobody in this process wait for the disk: pylance never does, and lancelet always."""
    with mock.patch("os.fsync"):
        yield


def data_files(path: Path) -> list[Path]:
    """Return the data files of a dataset."""
    return sorted(path.joinpath("data").glob("*.lance"))


@contextmanager
def without_extras() -> Iterator[None]:
    """Let lancelet do of a compaction what a raw copy does: nothing for the disk's sake, and no look at what was written."""
    with (
        mock.patch("os.fsync"),
        mock.patch("lancelet.storage.local.start_write_back"),
        mock.patch("lancelet.compact.copy.verify_copy"),
    ):
        yield


def link_copy(path: Path, target: Path) -> None:
    """Copy a dataset: its files never change, so links will do."""
    for file in path.rglob("*"):
        if file.is_file():
            copy = target / file.relative_to(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, copy)
