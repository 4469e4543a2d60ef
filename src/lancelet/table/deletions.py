"""Deletion files: which rows of a fragment are gone (dataset.md 4).

A file lists all deleted rows of its fragment as positions in the data files, and replaces the one before it.

============  ============================================================================================
``.arrow``    Arrow IPC file of one batch with one column ``row_id: uint32 not null``, in any order
``.bin``      Roaring bitmap; see :mod:`lancelet.table.bitmap`
============  ============================================================================================
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.table.bitmap import decode_bitmap, encode_bitmap
from lancelet.table.metadata import DeletionFile
from lancelet.table.names import new_deletion_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lancelet.buffers import Data
    from lancelet.storage import Store
    from lancelet.table.metadata import FragmentMetadata

__all__ = [
    "NO_OFFSETS",
    "decode_array",
    "encode_array",
    "read_deletions",
    "write_deletions",
]

#: Fragments with at least so many deleted rows get a bitmap, whatever their size.
BITMAP_FROM = 5000

_SCHEMA = pa.schema([pa.field("row_id", pa.uint32(), nullable=False)])
_MOST_ROWS = 1 << 32
#: Positions of rows, each once, do not compress better than this, which is 256 times.
_ROWS_PER_BYTE = 64
_ARROW = b"ARROW1"
#: Whether each row is null, and the rows; their sizes are rounded up to as much as this.
_NUM_BUFFERS = 2
_PADDING = 64

#: What fragments without deletions have: uint32[0], read-only.
NO_OFFSETS = np.empty(0, np.uint32)
NO_OFFSETS.flags.writeable = False


def read_deletions(
    store: Store, fragment: FragmentMetadata, *, bases: Mapping[int, Store] | None = None
) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return which rows of a fragment are deleted.

    Parameters
    ----------
    store
        The dataset.
    fragment
        The fragment. Its number of rows, where it is known, bounds what the file may hold.
    bases
        Roots of other datasets, by ``base_id``, for deletion files that lie there.

    Returns
    -------
    uint32[num_deleted_rows]
        Positions in the data files, ascending, each once; read-only.

    Raises
    ------
    FormatError
        The file is damaged or missing, or contradicts what the manifest says of the fragment.
    UnsupportedError
        The file lies in a place that is not in `bases`.
    """
    deletion = fragment.deletion_file
    if deletion is None:
        return NO_OFFSETS
    if deletion.base_id is not None:
        if bases is None or deletion.base_id not in bases:
            raise UnsupportedError(
                f"the deletion file of fragment {fragment.id} lies in base path {deletion.base_id}"
            )
        store = bases[deletion.base_id]
    path = deletion.path(fragment.id)
    most = _MOST_ROWS if fragment.physical_rows is None else fragment.physical_rows
    try:
        with store.open_source(path) as source:
            data = source.read(0, source.size())
            decode = decode_array if deletion.file_type == "array" else decode_bitmap
            offsets = decode(data, limit=min(most, _MOST_ROWS))
        _check(offsets, most, deletion.num_deleted_rows)
    except FileNotFoundError:
        raise FormatError("there is no such deletion file", path=f"{store.name}/{path}") from None
    except FormatError as error:
        raise error.locate(path=f"{store.name}/{path}") from None
    offsets.flags.writeable = False
    return offsets


def write_deletions(
    store: Store, fragment_id: int, read_version: int, offsets: np.ndarray[Any, Any]
) -> DeletionFile:
    """Write which rows of a fragment are deleted. Nobody sees it until a manifest names the file.

    Parameters
    ----------
    store
        The dataset.
    fragment_id
        The fragment.
    read_version
        Version that the deletion begins from.
    offsets
        uint32[num_deleted_rows]: *all* rows of the fragment that are deleted, ascending, each once.

    Raises
    ------
    OptionError
        There are none, or they do not ascend.
    """
    offsets = np.ascontiguousarray(offsets, np.uint32)
    if not len(offsets) or (offsets[1:] <= offsets[:-1]).any():
        raise OptionError("deleted rows must ascend, and there must be some")
    is_bitmap = len(offsets) >= BITMAP_FROM
    deletion = DeletionFile("bitmap" if is_bitmap else "array", read_version, new_deletion_id(), len(offsets))
    store.put(deletion.path(fragment_id), encode_bitmap(offsets) if is_bitmap else encode_array(offsets))
    return deletion


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
        Most rows that it can hold.

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
    limit = min(limit, _ROWS_PER_BYTE * len(view))
    if bytes(view[: len(_ARROW)]) != _ARROW or bytes(view[-len(_ARROW) :]) != _ARROW:
        raise FormatError("this is no Arrow file of deleted rows: it begins or ends with something else")
    try:
        parts = [column.to_numpy() for column in _columns(_stream(view), limit)]
    except (pa.ArrowException, OSError, OverflowError, struct.error) as error:
        raise FormatError(f"this is no Arrow file of deleted rows: {_one_line(error)}") from None
    return np.sort(np.concatenate([NO_OFFSETS, *parts]))


def _stream(view: memoryview) -> pa.Buffer:
    """Return the stream in an Arrow file: it begins behind the magic number, which is padded with zeros to 8 bytes, or to 64."""
    start = next((place for place in range(8, 64, 8) if any(view[place : place + 8])), 64)
    return pa.py_buffer(view[start:])


def _columns(stream: pa.Buffer, limit: int) -> Iterator[pa.Array]:
    """Yield the column of each batch. The footer of the file is not needed: it says where batches are, which follow each other."""
    messages = pa.ipc.MessageReader.open_stream(stream)
    first = next(iter(messages), None)
    if first is None:
        raise FormatError("an array of deleted rows has no schema")
    schema = pa.ipc.read_schema(first)
    if not schema.equals(_SCHEMA):
        raise FormatError(f"an array of deleted rows has the columns {_one_line(schema)}")
    for message in messages:
        if message.type != "record batch":
            raise FormatError(f"an array of deleted rows has a part that is a {message.type}")
        limit -= _check_batch(memoryview(message.metadata), memoryview(message.body), limit)
        column = pa.ipc.read_record_batch(message, schema).column(0)
        column.validate(full=True)
        if column.null_count:
            raise FormatError("an array of deleted rows has nulls")
        yield column


def _check_batch(metadata: memoryview, body: memoryview, limit: int) -> int:
    """Check how much memory a batch takes, which Arrow takes before it checks anything; return its number of rows.

    The metadata is a Flatbuffers table ``Message``, whose field 2 is a ``RecordBatch``, with the number of rows as field 0 and the
    position and size of each buffer as field 2. A compressed buffer begins with its size in memory.
    """
    (root,) = struct.unpack_from("<I", metadata)
    batch = _field(metadata, root, 2)
    batch += struct.unpack_from("<I", metadata, batch)[0]
    place = _field(metadata, batch, 0)
    (num_rows,) = struct.unpack_from("<q", metadata, place) if place else (0,)
    if not 0 <= num_rows <= limit:
        raise FormatError(f"{num_rows} rows are deleted, and {limit} are possible")
    if _field(metadata, batch, 3):
        buffers = _field(metadata, batch, 2)
        buffers += struct.unpack_from("<I", metadata, buffers)[0]
        (num_buffers,) = struct.unpack_from("<I", metadata, buffers)
        for index in range(min(num_buffers, _NUM_BUFFERS)):
            position, size = struct.unpack_from("<qq", metadata, buffers + 4 + 16 * index)
            if size and struct.unpack_from("<q", body, position)[0] > 4 * num_rows + _PADDING:
                raise FormatError(f"{num_rows} deleted rows take more memory than their number of bytes")
    return int(num_rows)


def _field(metadata: memoryview, table: int, index: int) -> int:
    """Return the position of a field of a Flatbuffers table; 0: it is not there."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    if vtable < 0 or 4 + 2 * index >= struct.unpack_from("<H", metadata, vtable)[0]:
        return 0
    (offset,) = struct.unpack_from("<H", metadata, vtable + 4 + 2 * index)
    return table + offset if offset else 0


def _check(offsets: np.ndarray[Any, Any], num_rows: int, expected: int | None) -> None:
    if (offsets[1:] == offsets[:-1]).any():
        raise FormatError("a row is deleted twice")
    if len(offsets) and int(offsets[-1]) >= num_rows:
        raise FormatError(f"row {offsets[-1]} is deleted, and the fragment has {num_rows}")
    if expected is not None and len(offsets) != expected:
        raise FormatError(f"the file lists {len(offsets)} deleted rows, the manifest counts {expected}")


def _one_line(found: object) -> str:
    return " ".join(str(found).split())
