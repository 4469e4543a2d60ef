"""The Arrow files that list deleted rows, decoded here: pyarrow ends the process on some damaged files (dataset.md 4).

An Arrow IPC file is ``ARROW1``, zeros up to 8 or 64 bytes, messages, a footer that says again where they are, and ``ARROW1``:

====================  ==============================================================================
bytes of a message    meaning
====================  ==============================================================================
u32 ``0xffffffff``    constant
i32 size              of the metadata; 0: the messages are over
metadata              Flatbuffers table ``Message``: its type (field 1), a ``Schema`` or ``RecordBatch`` (2), the size
                      of the body (3)
body                  of a batch: whether each row is null (not there, or not looked at), then u32 for each row. A
                      compressed buffer begins with i64, its size when it is not, or -1: it is not compressed
====================  ==============================================================================
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.buffers import Data

__all__ = ["decode_array", "encode_array"]

_SCHEMA = pa.schema([pa.field("row_id", pa.uint32(), nullable=False)])
#: Positions of rows, each once, do not compress better than this, which is 256 times.
_ROWS_PER_BYTE = 64
_MAGIC = b"ARROW1"
_CONTINUES = 0xFFFFFFFF
_SCHEMA_TYPE, _BATCH_TYPE = 1, 3
_INTEGER_TYPE = 2
_CODECS = {0: "lz4", 1: "zstd"}
#: Writers may round the size of buffers up to as much as this.
_PADDING = 64


def encode_array(offsets: np.ndarray[Any, Any]) -> bytes:
    """Return ``uint32[num]`` as an Arrow file; it is not compressed."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_batch(pa.record_batch([pa.array(offsets, pa.uint32())], schema=_SCHEMA))
    return bytes(sink.getvalue())


def decode_array(data: Data, *, limit: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return what an Arrow file lists.

    Parameters
    ----------
    data
        The file.
    limit
        Most rows that it can hold. It bounds the memory, as the size of the file does: at most 256 times as much.

    Returns
    -------
    uint32[num]
        Ascending; what stands there twice comes twice.

    Raises
    ------
    FormatError
        The file is damaged, has other columns or nulls, or more rows.
    """
    view = memoryview(data).cast("B")
    if bytes(view[: len(_MAGIC)]) != _MAGIC or bytes(view[-len(_MAGIC) :]) != _MAGIC:
        raise FormatError("this is no Arrow file of deleted rows: it begins or ends with something else")
    try:
        parts = list(_batches(view, min(limit, _ROWS_PER_BYTE * len(view))))
    except (struct.error, pa.ArrowException, OSError) as error:
        raise FormatError(f"this is no Arrow file of deleted rows: {error}") from None
    return np.sort(np.concatenate([np.empty(0, np.uint32), *parts]))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of Flatbuffers: fields are found by number, and may be left out. Reads outside of `data` end as ``struct.error``."""

    data: memoryview
    position: int

    def place(self, index: int) -> int:
        """Return the position of a field; 0: it is left out."""
        (back,) = struct.unpack_from("<i", self.data, self.position)
        fields = self.position - back
        if fields < 0:
            raise FormatError("the fields of an Arrow message lie before it")
        (size,) = struct.unpack_from("<H", self.data, fields)
        if 4 + 2 * index >= size:
            return 0
        (offset,) = struct.unpack_from("<H", self.data, fields + 4 + 2 * index)
        return self.position + offset if offset else 0

    def number(self, index: int, kind: str) -> int:
        """Return a number; what is left out is 0."""
        place = self.place(index)
        return int(struct.unpack_from(kind, self.data, place)[0]) if place else 0

    def target(self, index: int) -> int:
        """Return the position that a field refers to."""
        place = self.place(index)
        if not place:
            raise FormatError("a part of an Arrow message is missing")
        return place + int(struct.unpack_from("<I", self.data, place)[0])

    def table(self, index: int) -> _Table:
        """Return the table that a field refers to."""
        return _Table(self.data, self.target(index))

    def vector(self, index: int) -> tuple[int, int]:
        """Return the position of the first element of a vector, and the number of elements."""
        target = self.target(index)
        return target + 4, int(struct.unpack_from("<I", self.data, target)[0])


def _batches(view: memoryview, limit: int) -> Iterator[np.ndarray[Any, np.dtype[np.uint32]]]:
    """Yield the rows of each batch, as they stand there."""
    messages = _messages(view)
    first, _ = next(messages, (None, None))
    if first is None or first.number(1, "<B") != _SCHEMA_TYPE:
        raise FormatError("an array of deleted rows has no schema")
    _check_schema(first.table(2))
    for message, body in messages:
        if message.number(1, "<B") != _BATCH_TYPE:
            raise FormatError("an array of deleted rows has parts of another kind than batches")
        rows = _rows(message.table(2), body, limit)
        limit -= len(rows)
        yield rows


def _messages(view: memoryview) -> Iterator[tuple[_Table, memoryview]]:
    """Yield metadata and body of each message."""
    position = next((place for place in range(8, 64, 8) if any(view[place : place + 8])), 64)
    while True:
        mark, size = struct.unpack_from("<Ii", view, position)
        if mark != _CONTINUES:
            raise FormatError(f"an Arrow message begins with {mark:#x}")
        if not size:
            return
        metadata = _part(view, position + 8, size)
        message = _Table(metadata, struct.unpack_from("<I", metadata)[0])
        position += 8 + size
        body = _part(view, position, message.number(3, "<q"))
        position += len(body)
        yield message, body


def _check_schema(schema: _Table) -> None:
    """Check that there is the one column that there should be."""
    first, num_fields = schema.vector(1)
    if num_fields == 1 and not schema.number(0, "<h"):  # little endian
        field = _Table(schema.data, first + int(struct.unpack_from("<I", schema.data, first)[0]))
        start, size = field.vector(0)
        name, is_nullable = bytes(_part(schema.data, start, size)), field.number(1, "<B")
        if name == b"row_id" and not is_nullable and field.number(2, "<B") == _INTEGER_TYPE:
            integer = field.table(3)
            if (integer.number(0, "<i"), integer.number(1, "<B")) == (32, 0):
                return
    raise FormatError("an array of deleted rows has other columns than row_id of type uint32, not null")


def _rows(batch: _Table, body: memoryview, limit: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    num_rows = batch.number(0, "<q")
    if not 0 <= num_rows <= limit:
        raise FormatError(f"{num_rows} rows are deleted, and {limit} are possible")
    nodes, num_nodes = batch.vector(1)
    buffers, num_buffers = batch.vector(2)
    if (num_nodes, num_buffers) != (1, 2):
        raise FormatError("a batch of deleted rows has other buffers than a column has")
    length, num_nulls = struct.unpack_from("<qq", batch.data, nodes)
    if num_nulls:
        raise FormatError("an array of deleted rows has nulls")
    data = _part(body, *struct.unpack_from("<qq", batch.data, buffers + 16))
    if batch.place(3) and len(data):
        data = _decompressed(data, batch.table(3).number(0, "<b"), 4 * num_rows)
    if length != num_rows or len(data) < 4 * num_rows:
        raise FormatError(f"{len(data)} bytes do not hold {num_rows} deleted rows")
    return np.frombuffer(data, "<u4", num_rows)


def _decompressed(data: memoryview, codec: int, expected: int) -> memoryview:
    (size,) = struct.unpack_from("<q", data)
    if size == -1:
        return data[8:]
    if not expected <= size <= expected + _PADDING or codec not in _CODECS:
        raise FormatError(f"a buffer of codec {codec} and {size} bytes does not hold {expected} bytes")
    with pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(data[8:])), _CODECS[codec]) as stream:
        found = memoryview(stream.read(size + 1))
    if len(found) != size:
        raise FormatError(f"a buffer of {size} bytes was decompressed to {len(found)}")
    return found


def _part(view: memoryview, position: int, size: int) -> memoryview:
    if position < 0 or size < 0 or position + size > len(view):
        raise FormatError(f"{size} bytes at {position} do not lie inside of {len(view)}")
    return view[position : position + size]
