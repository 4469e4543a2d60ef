"""The contract between the file writer and what encodes a field.

The writer asks an :class:`EncodingStrategy` for one :class:`FieldEncoder` per top-level field. The encoder claims its columns from
the :class:`ColumnNumbering`, queues what it is given, and answers with page tasks; the writer runs the tasks (in any order, on any
thread) and places the pages (in order). Whatever must lie in the file before the pages that refer to it (blob bodies) goes into
:class:`OutOfLineBuffers`, which knows its file positions in advance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any

from lancelet.buffers import nbytes
from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from lancelet.buffers import Data
    from lancelet.fields.paths import Container
    from lancelet.levels.steps import FixedList
    from lancelet.options import ColumnOptions, WriteOptions
    from lancelet.schema.fields import Field

__all__ = [
    "ColumnEnd",
    "ColumnNumbering",
    "EncodingStrategy",
    "FieldEncoder",
    "FieldRequest",
    "OutOfLineBuffers",
    "PageDescription",
    "PageTask",
    "check_alignment",
]


def check_alignment(alignment: int) -> int:
    """Return `alignment` if buffers may be aligned to it.

    Raises
    ------
    OptionError
        It is no power of two, or below 8.
    """
    if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
        raise OptionError(f"a buffer alignment must be a power of two and at least 8, not {alignment!r}")
    return alignment


class ColumnNumbering:
    """Hands out the numbers of physical columns, in the order in which encoders are made.

    Attributes
    ----------
    columns
        Field id -> column index, for the fields that own a column.
    """

    def __init__(self) -> None:
        self.columns: dict[int, int] = {}
        self._next = 0

    @property
    def num_columns(self) -> int:
        """Number of columns handed out."""
        return self._next

    def take(self, field_id: int) -> int:
        """Return the next column, owned by the field `field_id`.

        Raises
        ------
        OptionError
            The field owns a column already.
        """
        if field_id in self.columns:
            raise OptionError(f"field {field_id} has column {self.columns[field_id]} already")
        self.columns[field_id] = self._next
        return self.skip()

    def skip(self) -> int:
        """Return the next column, owned by no field."""
        self._next += 1
        return self._next - 1


class OutOfLineBuffers:
    """Buffers that lie in the file on their own, with positions known before they are written.

    Parameters
    ----------
    position
        File position where the first one will be written; aligned.
    alignment
        Alignment of every buffer: a power of two, at least 8.
    """

    def __init__(self, position: int, alignment: int) -> None:
        self.alignment = check_alignment(alignment)
        if position % alignment:
            raise OptionError(
                f"out-of-line buffers start at {position}, which is not a multiple of {alignment}"
            )
        self._next = position
        self.buffers: list[Data] = []

    def reserve(self, data: Data) -> int:
        """Queue `data`; returns the file position that it will have."""
        position = self._next
        self.buffers.append(data)
        self._next += -(-nbytes(data) // self.alignment) * self.alignment
        return position


@dataclass(frozen=True, slots=True, eq=False)
class PageDescription:
    """A page of a column, ready to be placed.

    Attributes
    ----------
    column
        Physical column.
    buffers
        Page buffers in order, without padding.
    message
        The page's message; the container stores it as ``Any``, named after its type.
    num_rows
        ``Page.length``.
    first_row
        File row of the first top-level row (``Page.priority``).
    """

    column: int
    buffers: tuple[Data, ...]
    message: Any
    num_rows: int
    first_row: int


@dataclass(frozen=True, slots=True, eq=False)
class PageTask:
    """The work of encoding one run of rows of one column.

    Attributes
    ----------
    column
        Physical column.
    num_bytes
        Logical bytes that the task holds on to.
    encode
        Does the work, without side effects; gives one page, or several in row order when one cannot hold the rows.
    """

    column: int
    num_bytes: int
    encode: Callable[[], Sequence[PageDescription]]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnEnd:
    """What is left to say of a column when all its rows were added.

    Attributes
    ----------
    column
        Physical column.
    encoding
        The column's message (``lance.encodings.ColumnEncoding``), or ``None`` for ordinary values.
    buffers
        Column buffers; they go with an `encoding` that refers to them.
    pages
        Final pages (the headers of structs in 2.0).
    """

    column: int
    encoding: Any = None
    buffers: tuple[Data, ...] = ()
    pages: tuple[PageDescription, ...] = ()


class FieldEncoder(ABC):
    """Encodes one field of the schema, children included; used by one thread."""

    @property
    @abstractmethod
    def num_columns(self) -> int:
        """Physical columns that the encoder fills."""

    @abstractmethod
    def add(
        self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers
    ) -> list[PageTask]:
        """Take the next rows; gives tasks for the pages that are full.

        Parameters
        ----------
        array
            Values of the field.
        first_row
            File row of the first one.
        num_rows
            Top-level rows of the batch (for a child of a list not the length of `array`).
        out_of_line
            Where buffers go that must lie before the pages.
        """

    @abstractmethod
    def flush(self, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Give tasks for all that is queued."""

    @abstractmethod
    def finish(self) -> list[ColumnEnd]:
        """Describe the ends of the columns that have something to say; nothing is added afterwards."""


@dataclass(frozen=True, slots=True)
class FieldRequest:
    """What a strategy is asked to find an encoder for.

    Attributes
    ----------
    field
        A top-level field, or a leaf of one.
    top
        The top-level field: `field` itself, or what stands around it.
    containers
        Structs and lists around a leaf, outer-most first; the encoder is given arrays of this path
        (:mod:`lancelet.fields.paths`). Empty for a top-level field.
    options
        Options of the writer.
    cache_bytes
        Bytes that each column may queue.
    column_options
        Wishes of the user for a leaf; for a nested field those at its own path.
    leaf_options
        Wishes for the leaves of a nested field, by field id.
    shared
        What an encoder has found out and others of the same writer may need too, by keys of the finder's choice.
    """

    field: Field
    top: Field
    containers: tuple[Container | FixedList, ...]
    options: WriteOptions
    cache_bytes: int
    column_options: ColumnOptions
    leaf_options: Mapping[int, ColumnOptions] = dataclass_field(default_factory=dict)
    shared: dict[Any, Any] = dataclass_field(default_factory=dict)


class EncodingStrategy(ABC):
    """Chooses the encoder of a field. Users may bring their own: ``FileWriter(encoding_strategy=...)``."""

    @abstractmethod
    def field_encoder(
        self, request: FieldRequest, numbering: ColumnNumbering, root: EncodingStrategy
    ) -> FieldEncoder:
        """Make the encoder of a field.

        Parameters
        ----------
        request
            The field and all that steers its encoding.
        numbering
            Where columns are claimed, depth first.
        root
            The strategy of the writer. A strategy that takes a field apart asks it for the encoders of the leaves, so that a
            strategy that wraps another one is asked at any depth.
        """
