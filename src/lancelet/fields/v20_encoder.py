"""The encoders of version 2.0: every field of the schema is a column of its own (encodings_v2_0.md 2, 4, 5, 6 and 8).

========================  =================================================================  ===========================
field                     column                                                             children
========================  =================================================================  ===========================
struct                    a header, one page, written when everything else is                get the children's arrays
list                      stored ends of the lists                                           gets the items of the lists
blob                      positions and sizes; the bytes lie before the pages                none
all others                pages of values                                                    none
========================  =================================================================  ===========================
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import valid_mask
from lancelet.errors import OptionError
from lancelet.fields.base import ColumnEnd, EncodingStrategy, FieldEncoder, PageDescription, PageTask
from lancelet.fields.joining import Scale, join, logical_bytes
from lancelet.fields.paths import storage_of
from lancelet.fields.structure import visible_items
from lancelet.schema.blobs import BLOB
from lancelet.schema.project import is_packed
from lancelet.v20.choose import LeafParams, encode_leaf
from lancelet.v20.node import Compression, PageBuffers
from lancelet.v20.offsets import encode_offsets, struct_header
from lancelet.v20.rules import compression_of, default_dictionary_threshold
from lancelet.versions import Version
from lancelet.wishes import ColumnOptions
from lancelet.wishes.resolve import LeafKind, unfulfilled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.fields.base import ColumnNumbering, FieldRequest, OutOfLineBuffers
    from lancelet.options import WriteOptions
    from lancelet.schema.fields import Field

__all__ = ["V20Strategy"]

#: Arrays are joined up to this size: 32-bit offsets end at 2 GiB.
_MAX_JOINED_BYTES = 1 << 30


class _PageQueue:
    """Arrays of one column that wait for their page, by the rules of the reference (section 8).

    What fills the queue goes out with all that waited, as one page. Only an array that goes out alone is cut, into equal parts.
    """

    def __init__(self, options: WriteOptions, cache_bytes: int) -> None:
        self._options = options
        self._cache_bytes = cache_bytes
        self._arrays: list[pa.Array] = []
        self._num_bytes = 0
        self._scale = Scale()

    def add(self, array: pa.Array) -> list[pa.Array]:
        """Queue `array`; gives the rows of the pages that are due."""
        self._num_bytes += self._scale.add(array)
        full = self._num_bytes > self._cache_bytes
        if not full and not self._options.keep_original_array:
            # a few rows must not keep a large batch alive; a single array would not be copied
            array = join([array, array[:0]]) or array
        self._arrays.append(array)
        return self.take() if full else []

    def take(self) -> list[pa.Array]:
        """Empty the queue."""
        waiting, num_bytes = self._arrays, self._num_bytes
        self._arrays, self._num_bytes, self._scale = [], 0, Scale()
        if len(waiting) == 1:
            return _equal_parts(waiting[0], self._options.max_page_bytes)
        if len(waiting) > 1 and num_bytes <= _MAX_JOINED_BYTES:
            joined = join(waiting)
            return waiting if joined is None else [joined]
        return waiting


def _equal_parts(array: pa.Array, max_bytes: int) -> list[pa.Array]:
    """Cut `array` into as many parts of the same number of rows as `max_bytes` asks for."""
    num_rows = len(array)
    num_parts = min(-(-logical_bytes(array) // max_bytes), num_rows)
    if num_parts < 2:
        return [array]
    rows_per_part = -(-num_rows // num_parts)
    return [array.slice(start, rows_per_part) for start in range(0, num_rows, rows_per_part)]


def leaf_params(request: FieldRequest) -> LeafParams:
    """Resolve the parameters of the pages of a leaf: metadata comes first, then options, then the rules for many columns.

    Raises
    ------
    OptionError
        The options of the column ask for what version 2.0 does not have.
    """
    field, options = request.field, request.column_options
    kind = LeafKind.of(field.storage_type, blob=BLOB in field.metadata)
    for name, reason in unfulfilled(kind, Version.V2_0, options):
        raise OptionError(
            f"field {field.name!r}, {field.arrow_type}: {name}={options.given[name]!r} cannot be fulfilled: {reason}"
        )
    compression = compression_of(field.name, field.metadata)
    if compression is None and kind.form == "variable":
        rules = request.options.compression_params.for_leaf(field.name, field.storage_type)
        wishes = options.over(rules)
        if wishes.compression is not None:
            compression = Compression(wishes.compression, wishes.compression_level)
    return LeafParams(compression, default_dictionary_threshold(), compact=options.v20 == "compact")


class _LeafEncoder(FieldEncoder):
    """Encodes values: one column."""

    num_columns = 1

    def __init__(self, column: int, request: FieldRequest) -> None:
        field = request.field
        self._column = column
        self._field = field
        self._params = leaf_params(request)
        self._queue = _PageQueue(request.options, request.cache_bytes)

    def add(
        self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers
    ) -> list[PageTask]:
        """Queue `array`."""
        return self._tasks(self._queue.add(storage_of(array, self._field))) if len(array) else []

    def flush(self, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Give tasks for what waits."""
        return self._tasks(self._queue.take())

    def finish(self) -> list[ColumnEnd]:
        """Nothing is left to say."""
        return []

    def _tasks(self, pages: Sequence[pa.Array]) -> list[PageTask]:
        return [PageTask(self._column, rows.nbytes, partial(self._encode, rows)) for rows in pages]

    def _encode(self, rows: pa.Array) -> list[PageDescription]:
        try:
            page = encode_leaf(rows, self._params)
        except OptionError as error:
            raise OptionError(f"field {self._field.name!r}: {error}") from None
        return [PageDescription(self._column, page.buffers, page.message, page.num_rows, 0)]


class _BlobEncoder(_LeafEncoder):
    """Puts the bytes of blobs before the pages and encodes where they lie."""

    def add(
        self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers
    ) -> list[PageTask]:
        """Place the blobs of `array` and queue their positions and sizes."""
        if len(array) == 0:
            return []
        blobs = storage_of(array, self._field)
        valid = valid_mask(blobs)
        _, offsets, data = blobs.buffers()
        borders = np.frombuffer(offsets, "<i8", count=len(blobs) + 1, offset=8 * blobs.offset)
        sizes = np.diff(borders)
        if valid is not None:
            sizes[~valid] = 0
        positions = np.zeros(len(blobs), dtype=np.uint64)
        for index in np.flatnonzero(sizes).tolist():
            body = data.slice(int(borders[index]), int(sizes[index]))
            positions[index] = out_of_line.reserve(body)
        if valid is not None:
            positions[~valid] = 1
        described = pa.StructArray.from_arrays(
            [pa.array(positions), pa.array(sizes.astype(np.uint64))], ["position", "size"]
        )
        return self._tasks(self._queue.add(described))

    def finish(self) -> list[ColumnEnd]:
        """Say that the column holds blobs."""
        from google.protobuf.empty_pb2 import Empty

        from lancelet.pb import encodings20_pb2 as pb

        inner = pb.ColumnEncoding(values=Empty())
        return [ColumnEnd(self._column, pb.ColumnEncoding(blob=pb.Blob(inner=inner)))]


class _StructEncoder(FieldEncoder):
    """Counts structs, and passes on what is in them."""

    def __init__(self, column: int, field: Field, children: Sequence[FieldEncoder]) -> None:
        self._column = column
        self._field = field
        self._children = children
        self._num_structs = 0

    @property
    def num_columns(self) -> int:
        """The header, and the columns of the children."""
        return 1 + sum(child.num_columns for child in self._children)

    def add(
        self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers
    ) -> list[PageTask]:
        """Queue the children.

        Raises
        ------
        OptionError
            A struct is null.
        """
        array = storage_of(array, self._field)
        if array.null_count:
            raise OptionError(
                f"field {self._field.name!r} has {array.null_count} null structs; version 2.0 has no place for nulls of "
                "structs, so they would read as structs of nulls; version 2.1 can hold them"
            )
        self._num_structs += len(array)
        return [
            task
            for index, child in enumerate(self._children)
            for task in child.add(array.field(index), first_row, num_rows, out_of_line)
        ]

    def flush(self, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Give tasks for what waits in the children."""
        return [task for child in self._children for task in child.flush(out_of_line)]

    def finish(self) -> list[ColumnEnd]:
        """Give the header page, also of a file without rows."""
        page = PageDescription(self._column, (), struct_header(), self._num_structs, 0)
        ends = [end for child in self._children for end in child.finish()]
        return [ColumnEnd(self._column, pages=(page,)), *ends]


class _ListEncoder(FieldEncoder):
    """Encodes where lists end, and passes on their items; null lists lose theirs."""

    def __init__(self, column: int, request: FieldRequest, items: FieldEncoder) -> None:
        self._column = column
        self._field = request.field
        self._cache_bytes = request.cache_bytes
        self._items = items
        self._num_bytes = 0
        self._waiting: list[tuple[Any, Any]] = []

    @property
    def num_columns(self) -> int:
        """The offsets, and the columns of the items."""
        return 1 + self._items.num_columns

    def add(
        self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers
    ) -> list[PageTask]:
        """Queue the lists, and their items."""
        array = storage_of(array, self._field)
        if len(array) == 0:
            return self._items.add(array.values[:0], first_row, 0, out_of_line)
        valid = valid_mask(array)
        offsets, items = visible_items(array, valid)
        self._waiting.append((np.diff(offsets), valid))
        width = 8 if pa.types.is_large_list(array.type) else 4
        self._num_bytes += width * len(offsets) + (0 if valid is None else (len(array) + 7) // 8)
        own = self._own_tasks() if self._num_bytes > self._cache_bytes else []
        below = self._items.add(items, first_row, len(items), out_of_line)
        if own and not below:
            below = self._items.flush(out_of_line)
        return [*own, *below]

    def flush(self, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Give tasks for what waits."""
        return [*self._own_tasks(), *self._items.flush(out_of_line)]

    def finish(self) -> list[ColumnEnd]:
        """Give the ends of the items' columns."""
        return self._items.finish()

    def _own_tasks(self) -> list[PageTask]:
        waiting, num_bytes = self._waiting, self._num_bytes
        self._waiting, self._num_bytes = [], 0
        return [PageTask(self._column, num_bytes, partial(self._encode, waiting))] if waiting else []

    def _encode(self, waiting: Sequence[tuple[Any, Any]]) -> list[PageDescription]:
        ends = np.cumsum(np.concatenate([lengths for lengths, _ in waiting]), dtype=np.int64)
        valid = None
        if any(mask is not None for _, mask in waiting):
            masks = [np.ones(len(lengths), np.bool_) if mask is None else mask for lengths, mask in waiting]
            valid = np.concatenate(masks)
        buffers = PageBuffers()
        message = encode_offsets(ends, valid, buffers)
        return [PageDescription(self._column, tuple(buffers.buffers), message, len(ends), 0)]


class V20Strategy(EncodingStrategy):
    """The encoders of version 2.0."""

    def field_encoder(
        self, request: FieldRequest, numbering: ColumnNumbering, root: EncodingStrategy
    ) -> FieldEncoder:
        """Make the encoder of a field; `root` makes those of its children, which are given the children's own arrays."""
        field = request.field
        column = numbering.take(field.id)
        if BLOB in field.metadata:
            if field.logical_type == "struct":
                raise OptionError(f"field {field.name!r}: descriptions of blobs are not written, blobs are")
            return _BlobEncoder(column, request)
        if (not field.children and field.logical_type != "struct") or is_packed(field, Version.V2_0):
            return _LeafEncoder(column, request)
        children = []
        for child in field.children:
            wishes = request.leaf_options.get(child.id, ColumnOptions())
            below = replace(request, field=child, column_options=wishes)
            children.append(root.field_encoder(below, numbering, root))
        if field.logical_type == "struct":
            return _StructEncoder(column, field, children)
        return _ListEncoder(column, request, children[0])
