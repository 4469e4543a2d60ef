"""What an engine must be able to do, and where each one is installed."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

REPOSITORY = Path(__file__).resolve().parents[2]


class Engine(ABC):
    """Writes and reads single files of one format with one library.

    The constructor imports the library. What `open` returns is opaque, keeps the file open and is passed to the other verbs.
    """

    suffix: str

    @property
    @abstractmethod
    def version(self) -> str:
        """The version of the library."""

    @property
    @abstractmethod
    def file_version(self) -> str:
        """What is written: the format's version, or how it is compressed."""

    @abstractmethod
    def write(self, path: Path, batches: Sequence[pa.RecordBatch]) -> None:
        """Write a file, batch by batch."""

    @abstractmethod
    def open(self, path: Path, columns: list[str] | None = None) -> Any:
        """Open a file for reading all or some of its columns."""

    @abstractmethod
    def num_rows(self, handle: Any) -> int:
        """Return the number of rows."""

    @abstractmethod
    def metadata(self, handle: Any) -> Any:
        """Read all that the file says of its columns, pages or chunks."""

    @abstractmethod
    def stream(self, handle: Any, batch_rows: int) -> Iterable[pa.RecordBatch]:
        """Read all rows, batch by batch."""

    @abstractmethod
    def table(self, handle: Any, batch_rows: int) -> pa.Table:
        """Read all rows into one table."""

    @abstractmethod
    def take(self, handle: Any, rows: list[int]) -> pa.Table:
        """Read some rows, which are distinct and ascending (a demand of pylance's file reader)."""

    def close(self, handle: Any) -> None:  # noqa: B027 - most have nothing to close
        """Close a file."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a library is and how its engine is started.

    Parameters
    ----------
    name
        The engine's name on the command line.
    module, engine
        Module of this package and class in it.
    library
        The module that users import.
    distribution
        The name of the installed package.
    python
        The interpreter that runs it.
    folder
        A folder on PYTHONPATH that holds the library, if it is not in the environment of the interpreter.
    """

    name: str
    module: str
    engine: str
    library: str
    distribution: str
    python: Path = Path(sys.executable)
    folder: Path | None = None

    @property
    def is_there(self) -> bool:
        """Whether the interpreter and the folder exist."""
        return self.python.exists() and (self.folder is None or self.folder.exists())

    def load(self) -> Engine:
        """Import the library and return its engine; called in the engine's own process."""
        engine: Engine = getattr(import_module(f"benchmarks.engines.{self.module}"), self.engine)()
        return engine


PYLANCE_RELEASE = "14.0.2"

INSTALLATIONS = {
    installation.name: installation
    for installation in (
        Installation("lancelet", "lancelet_file", "Lancelet", "lancelet", "lancelet"),
        Installation(
            "pylance",
            "pylance_file",
            "Pylance",
            "lance",
            "pylance",
            folder=REPOSITORY / ".oracle" / PYLANCE_RELEASE,
        ),
        Installation("parquet", "parquet_file", "Parquet", "pyarrow.parquet", "pyarrow"),
        Installation(
            "vortex",
            "vortex_file",
            "Vortex",
            "vortex",
            "vortex-data",
            python=REPOSITORY / ".bench" / "vortex" / "bin" / "python",
        ),
    )
}
