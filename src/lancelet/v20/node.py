"""The contract of an array encoding, and where its bytes come from (encodings_v2_0.md 1).

A page's message is a tree; each node refers to buffers of the page, of the column or of the file::

    ArrayEncoding { nullable { some_nulls { validity: flat(1, buffer 0), values: flat(32, buffer 1) } } }

:meth:`PageContext.parse` makes the tree, with the Arrow type that each node must give: what does not fit the type, the row count
or the buffers is refused before anything is read. Writing goes the other way: ``encode`` functions add to :class:`PageBuffers` in
the order of the tree, which is the order of the buffers in the page.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lancelet.buffers import EMPTY, as_bytes, nbytes
from lancelet.codecs.general import compress_buffer, decompress_buffer
from lancelet.errors import FormatError, UnsupportedError
from lancelet.pages.base import ByteRange

if TYPE_CHECKING:
    import pyarrow as pa

    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.pages.base import RowRanges
    from lancelet.pb.encodings20_pb2 import ArrayEncoding, Buffer, Flat
    from lancelet.v20.fetch import Fetch

__all__ = [
    "ByteSource",
    "Compression",
    "Node",
    "PageBuffers",
    "PageContext",
    "byte_source",
    "plain_source",
    "plain_values",
]


class Node(ABC):
    """One node of the tree of a page: what its message says, checked. Immutable but for caches."""

    #: Member of ``ArrayEncoding``.
    name: ClassVar[str]

    num_values: int

    @classmethod
    @abstractmethod
    def from_message(cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int) -> Node:
        """Check `message` and the sizes of the buffers that it names.

        Parameters
        ----------
        message
            The member of ``ArrayEncoding``.
        page
            Where buffers are found and children parsed.
        type_
            Arrow type of the values, no extension type.
        num_values
            Values that the node has.

        Raises
        ------
        FormatError
            The message does not fit the type, or a buffer is missing or too small.
        UnsupportedError
            The message is one that is not handled.
        """

    @abstractmethod
    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read the values `rows`, which may be no range at all; gives one array without an offset."""


@dataclass(frozen=True, slots=True)
class PageContext:
    """The buffers that a page may refer to, by position and size; all lie inside of the file.

    Attributes
    ----------
    page, column, file
        Buffers of the page, of the column as a whole, and global buffers of the file.
    """

    page: tuple[ByteRange, ...]
    column: tuple[ByteRange, ...] = ()
    file: tuple[ByteRange, ...] = ()

    def buffer(self, message: Any) -> ByteRange:
        """Find the buffer that the member ``buffer`` of `message` names.

        Raises
        ------
        FormatError
            It names none, or one that does not exist.
        """
        if not message.HasField("buffer"):
            raise FormatError(f"the encoding {message.DESCRIPTOR.name} names no buffer")
        reference: Buffer = message.buffer
        kinds = (("page", self.page), ("column", self.column), ("file", self.file))
        if not 0 <= reference.buffer_type < len(kinds):
            raise FormatError(f"buffers of type {reference.buffer_type} do not exist")
        kind, buffers = kinds[reference.buffer_type]
        if reference.buffer_index >= len(buffers):
            raise FormatError(
                f"the encoding {message.DESCRIPTOR.name} names {kind} buffer {reference.buffer_index}; there are {len(buffers)}"
            )
        return buffers[reference.buffer_index]

    def parse(self, message: ArrayEncoding, type_: pa.DataType, num_values: int) -> Node:
        """Make the node that `message` describes; see :meth:`Node.from_message`."""
        from lancelet.v20.registry import node_class

        name = message.WhichOneof("array_encoding")
        if name is None:
            raise FormatError("an array encoding is missing")
        return node_class(name).from_message(getattr(message, name), self, type_, num_values)


@dataclass(frozen=True, slots=True)
class Compression:
    """How a buffer is compressed as a whole (section 7).

    Attributes
    ----------
    scheme
        ``zstd``, ``lz4`` or ``none``.
    level
        Level of zstd, stored in the message for every scheme; ``None``: not stated.
    """

    scheme: str
    level: int | None = None


class ByteSource(ABC):
    """The bytes of one buffer, plain."""

    @abstractmethod
    def read(self, starts: Int64Array, stops: Int64Array, allocate: Allocate) -> Fetch[Data]:
        """Read bytes ``starts[i]`` to ``stops[i]``, one range after the other.

        Raises
        ------
        FormatError
            They lie outside of the buffer.
        """


class _Stored(ByteSource):
    """A buffer as it lies in the file."""

    __slots__ = ("_range",)

    def __init__(self, range_: ByteRange) -> None:
        self._range = range_

    def read(self, starts: Int64Array, stops: Int64Array, allocate: Allocate) -> Fetch[Data]:
        position, size = self._range
        _check_inside(starts, stops, size)
        parts = yield [
            ByteRange(position + start, stop - start)
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
        ]
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Compressed(ByteSource):
    """A buffer that is decompressed as a whole, once."""

    __slots__ = ("_plain", "_range", "_scheme")

    def __init__(self, range_: ByteRange, scheme: str) -> None:
        self._range = range_
        self._scheme = scheme
        self._plain: Data | None = None

    def read(self, starts: Int64Array, stops: Int64Array, allocate: Allocate) -> Fetch[Data]:
        plain = self._plain
        if plain is None:
            (data,) = yield [self._range]
            plain = self._plain = decompress_buffer(data, self._scheme, allocate)
        _check_inside(starts, stops, nbytes(plain))
        view = memoryview(as_bytes(plain))
        parts = [view[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_inside(starts: Int64Array, stops: Int64Array, size: int) -> None:
    if len(stops) and (int(stops.max()) > size or int(starts.min()) < 0 or bool((starts > stops).any())):
        raise FormatError(f"values lie outside of their buffer of {size} bytes")


def byte_source(message: Flat, page: PageContext, least_bytes: int) -> ByteSource:
    """Make the source of a ``Flat``'s bytes.

    Parameters
    ----------
    message
        The message.
    page
        Where its buffer is found.
    least_bytes
        Bytes that the values need; checked at once where the buffer is not compressed.
    """
    range_ = page.buffer(message)
    scheme = message.compression.scheme if message.HasField("compression") else "none"
    if scheme in ("zstd", "lz4"):
        return _Compressed(range_, scheme)
    if scheme != "none":
        raise UnsupportedError(f"the compression {scheme!r} is not known here")
    return _stored(range_, least_bytes)


def plain_source(message: Any, page: PageContext, least_bytes: int) -> ByteSource:
    """Make the source of the member ``buffer`` of a message that knows no compression; see :func:`byte_source`."""
    return _stored(page.buffer(message), least_bytes)


def _stored(range_: ByteRange, least_bytes: int) -> ByteSource:
    if range_.size < least_bytes:
        raise FormatError(f"the values need {least_bytes} bytes, and their buffer has {range_.size}")
    return _Stored(range_)


class PageBuffers:
    """The buffers of a page that is written; they are numbered in the order in which they come."""

    def __init__(self) -> None:
        self.buffers: list[Data] = []

    def add(self, data: Data) -> Buffer:
        """Append `data`; returns the reference to it."""
        from lancelet.pb.encodings20_pb2 import Buffer

        self.buffers.append(data)
        return Buffer(buffer_index=len(self.buffers) - 1)

    def add_flat(self, data: Data, bits: int, compression: Compression | None = None) -> ArrayEncoding:
        """Append values of `bits` bits; returns ``flat`` over them."""
        from lancelet.pb import encodings20_pb2 as pb

        message = pb.Flat(bits_per_value=bits)
        if compression is not None:
            data = compress_buffer(data, compression.scheme, compression.level)
            message.compression.CopyFrom(pb.Compression(scheme=compression.scheme, level=compression.level))
        message.buffer.CopyFrom(self.add(data))
        return pb.ArrayEncoding(flat=message)


def plain_values(array: pa.Array, dtype: str) -> Any:
    """View the values of an `array` that a node gave, as numpy values of the same width."""
    data = array.buffers()[1]
    return np.frombuffer(EMPTY if data is None else data, dtype=dtype, count=len(array))
