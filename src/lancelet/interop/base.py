"""What a format must offer for a conversion: a stream of batches to read, and a place to write batches to."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import FormatError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lancelet.storage import Sink

__all__ = [
    "BatchWriter",
    "ReadOptions",
    "Rows",
    "SinkFile",
    "check_columns",
    "reading",
    "writing",
]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How an input is read.

    Attributes
    ----------
    columns
        Columns in the order wanted; ``None``: all.
    batch_size
        Rows per batch; ``None``: what suits the format.
    null_values
        Fields of text files that mean null when they stand without quotes.
    column_types
        Arrow types of columns of text files by name; the others are inferred from the beginning of the file.
    known_types
        The same for columns that may be there, and where text can be read as the type: what the rows will be added to.
    """

    columns: Sequence[str] | None = None
    batch_size: int | None = None
    null_values: Sequence[str] = ("",)
    column_types: Mapping[str, pa.DataType] = field(default_factory=dict)
    known_types: Mapping[str, pa.DataType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise OptionError(f"batch_size is {self.batch_size}; it must be at least 1")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """An open input.

    Attributes
    ----------
    schema
        Schema of all batches.
    num_rows
        Number of rows; ``None``: not known before the end.
    batches
        The rows, to be consumed once.
    """

    schema: pa.Schema
    num_rows: int | None
    batches: Iterator[pa.RecordBatch]


class BatchWriter(ABC):
    """An open output. Nothing is complete before :meth:`finish`."""

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of `batch`."""

    @abstractmethod
    def finish(self) -> None:
        """Write what waits and the end of the format."""


class SinkFile(io.RawIOBase):
    """A sink in the form of a Python file, for libraries that write to such; closing it does not commit."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink
        self._given_up = False

    def give_up(self) -> None:
        """Let further writes go nowhere: writers that are dropped after an error still write their ends."""
        self._given_up = True

    def writable(self) -> bool:
        """Files of this kind are written."""
        return True

    def write(self, data: Any) -> int:
        """Append `data`."""
        view = memoryview(data)
        if not self._given_up:
            self._sink.write(view)
        return view.nbytes

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._sink.tell()


def check_columns(columns: Sequence[str] | None, names: Sequence[str], path: str) -> None:
    """Check that all `columns`, or all `names` if none are given, stand exactly once among `names`.

    Raises
    ------
    OptionError
        A column does not exist, or several have its name.
    """
    for column in names if columns is None else columns:
        if column not in names:
            raise OptionError(f"{path} has no column {column!r}; it has {', '.join(map(str, names))}")
        if names.count(column) > 1:
            raise OptionError(f"{path} has more than one column {column!r}")


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn what pyarrow says of bad bytes into a :class:`FormatError`; errors of the system pass."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise FormatError(str(error), path=path) from None
    except UnicodeDecodeError as error:  # names of columns
        raise FormatError(f"the file is not UTF-8 text: {error}", path=path) from None
    except OSError as error:
        # Damaged Parquet files give an OSError too, without a number of the system.
        if error.errno is not None:
            raise
        raise FormatError(str(error), path=path) from None


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn what pyarrow says of data that a format cannot hold into an :class:`OptionError`."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise OptionError(f"{path} cannot hold this: {error}") from None
