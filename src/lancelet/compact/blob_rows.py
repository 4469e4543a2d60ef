"""Rows with blobs of the second kind, whose values lie beside the rows: in the data file, in sidecar files, or elsewhere.

A scan gives descriptors of such blobs. They mean places relative to the data file that they stand in, so rows that move take their
values along, and the writer places them anew. Values elsewhere, which have a URI, stay where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lancelet.blocks.arrow import valid_mask
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.schema.blobs import BLOB_V2, LOGICAL_INPUT
from lancelet.schema.logical import EXTENSION_NAME
from lancelet.table.formats.sidecars import sidecar_path
from lancelet.table.reads.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lancelet.schema.fields import Field, Schema
    from lancelet.table.formats.metadata import DataFile, FragmentMetadata
    from lancelet.table.reads.snapshot import Snapshot

    Read = Callable[[int, int, int, int], memoryview]

__all__ = ["blob_fields", "rows_with_blobs", "schema_with_blobs"]

_INLINE, _PACKED, _DEDICATED, _EXTERNAL = range(4)
_LOGICAL = pa.struct(list(LOGICAL_INPUT.items()))
#: Rows that are read before the sizes of their blobs are known.
_ROWS = 1024
_MAX_BYTES = 1 << 62


def blob_fields(schema: Schema) -> tuple[str, ...]:
    """Return the names of the columns that are blobs of the second kind.

    Raises
    ------
    UnsupportedError
        There are such blobs inside of structs or lists.
    """
    found = tuple(field.name for field in schema.fields if _is_blob(field))
    for top in schema.fields:
        if top.name not in found and any(map(_is_blob, top.walk())):
            raise UnsupportedError(
                f"column {top.name!r} holds blobs in a struct or list, which are not moved yet"
            )
    return found


def schema_with_blobs(snapshot: Snapshot) -> pa.Schema:
    """Return the schema of the batches of :func:`rows_with_blobs`."""
    names = blob_fields(snapshot.schema)
    fields = []
    for field, arrow in zip(snapshot.schema.fields, snapshot.arrow_schema, strict=True):
        metadata = {EXTENSION_NAME: BLOB_V2}
        fields.append(
            pa.field(field.name, _LOGICAL, arrow.nullable, metadata) if field.name in names else arrow
        )
    return pa.schema(fields)


def rows_with_blobs(
    snapshot: Snapshot, *, max_bytes: int, scan_bytes: int, batch_size: int | None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a snapshot in order, with the values of blobs.

    Parameters
    ----------
    snapshot
        The fragments.
    max_bytes
        Most bytes of blobs in a batch; a row may have more.
    scan_bytes
        Bytes of other columns that wait.
    batch_size
        Most rows of a batch.

    Raises
    ------
    FormatError
        A file is missing or damaged.
    UnsupportedError
        A blob is of a kind that is not known here.
    """
    schema = schema_with_blobs(snapshot)
    names = blob_fields(snapshot.schema)
    others = [name for name in schema.names if name not in names]
    options: dict[str, Any] = {
        "batch_size": min(batch_size or _ROWS, _ROWS),
        "strict_batch_size": True,
        "io_buffer_size": scan_bytes,
    }
    for fragment in snapshot.fragments:
        part = snapshot.part([fragment])
        places = Scanner(part, columns=names, blob_handling="blobs_descriptions", **options)
        rest = Scanner(part, columns=others, blob_handling="all_binary", **options)
        readers = {name: _reader(part, fragment, name) for name in names}
        for described, plain in zip(places.to_batches(), rest.to_batches(), strict=True):
            for start, stop in _cuts(described, max_bytes):
                columns = []
                for name in schema.names:
                    if name in names:
                        column = described[name].slice(start, stop - start)
                        columns.append(_values(column, readers[name], name))
                    else:
                        columns.append(plain[name].slice(start, stop - start))
                yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _is_blob(field: Field) -> bool:
    return field.metadata.get(EXTENSION_NAME) == BLOB_V2


def _child(column: pa.StructArray, name: str) -> Any:
    return pc.fill_null(column.field(name), 0).to_numpy()


def _sizes(column: pa.StructArray) -> Any:
    """Return the bytes of each value that lies in the dataset, int64[num_rows]."""
    sizes = np.where(_child(column, "kind") < _EXTERNAL, _child(column, "size"), 0)
    valid = valid_mask(column)
    if len(sizes) and int(sizes.max()) > _MAX_BYTES:
        raise FormatError(f"a blob of {int(sizes.max())} bytes is impossible")
    return (sizes if valid is None else np.where(valid, sizes, 0)).astype(np.int64)


def _cuts(batch: pa.RecordBatch, max_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield runs of rows whose blobs take at most `max_bytes`, and one row at least."""
    sizes = sum(_sizes(column) for column in batch.columns).tolist()
    start = total = 0
    for row, size in enumerate(sizes):
        if row > start and total + size > max_bytes:
            yield start, row
            start, total = row, 0
        total += size
    if start < len(sizes):
        yield start, len(sizes)


def _reader(part: Snapshot, fragment: FragmentMetadata, name: str) -> Read:
    """Return what reads the values of a column of a fragment."""
    id_ = next(field.id for field in part.schema.fields if field.name == name)
    file = next((file for file in fragment.files if id_ in file.columns_of), None)

    def read(kind: int, blob_id: int, position: int, size: int) -> memoryview:
        if file is None:
            raise FormatError(f"column {name!r} has values, and fragment {fragment.id} no file of them")
        if kind == _INLINE:
            return _inline(part, file, position, size)
        if kind not in (_PACKED, _DEDICATED):
            raise UnsupportedError(f"column {name!r} has a blob of kind {kind}, which is not known here")
        path = sidecar_path(file.path.removesuffix(".lance"), blob_id)
        try:
            return part.store.get_range(path, position, size)
        except FileNotFoundError:
            raise FormatError("the file of a blob is missing", path=path) from None
        except OptionError as error:
            raise FormatError(f"a blob lies outside of its file: {error}", path=path) from None

    return read


def _inline(part: Snapshot, file: DataFile, position: int, size: int) -> memoryview:
    container = part.session.open(part.store, file, part.schema_key).container
    if position > container.data_stop or size > container.data_stop - position:
        raise FormatError(
            f"a blob of {size} bytes at {position} lies outside of the data", path=container.source.name
        )
    return container.source.read(position, size)


def _values(column: pa.StructArray, read: Read, name: str) -> pa.StructArray:
    """Return blobs as a user would write them: bytes, or a URI with the part that is meant."""
    valid = valid_mask(column)
    shown = np.ones(len(column), np.bool_) if valid is None else valid
    kinds, sizes = _child(column, "kind"), _sizes(column)
    external = shown & (kinds == _EXTERNAL)
    if (shown & (kinds > _EXTERNAL)).any():
        raise UnsupportedError(f"column {name!r} has blobs of kinds that are not known here")
    has_data = shown & ~external
    positions, ids = _child(column, "position"), _child(column, "blob_id")
    parts = [
        read(int(kinds[row]), int(ids[row]), int(positions[row]), int(sizes[row]))
        for row in np.flatnonzero(has_data & (sizes > 0)).tolist()
    ]
    offsets = np.concatenate(([0], np.cumsum(np.where(has_data, sizes, 0)))).astype(np.int64)
    bitmap = pa.array(has_data).buffers()[1]
    buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(b"".join(parts))]
    data = pa.Array.from_buffers(pa.large_binary(), len(column), buffers)
    elsewhere = pa.array(external)
    rest = [
        pc.if_else(elsewhere, column.field(place).cast(type_), pa.scalar(None, type_))
        for place, type_ in (("blob_uri", pa.string()), ("position", pa.uint64()), ("size", pa.uint64()))
    ]
    validity = None if valid is None else pa.array(valid).buffers()[1]
    return pa.Array.from_buffers(_LOGICAL, len(column), [validity], children=[data, *rest])
