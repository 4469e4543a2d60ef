"""``packed_struct``: structs of fixed-width children, row by row (encodings_v2_0.md 3, *PackedStruct*).

One buffer; a row is the bytes of its children in the order of the fields, without padding::

    {x: fixed_size_list<int8, 3>, y: int16}    ([1, 2, 3], 7), ([4, 5, 6], 8)    01 02 03 07 00 04 05 06 08 00

Widths come from the schema. ``inner`` says how each child would be encoded alone; readers ignore it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet.blocks import FixedSizeList as FixedSizeListBlock
from lancelet.blocks import FixedWidth
from lancelet.blocks.arrow import to_block
from lancelet.buffers import as_bytes
from lancelet.errors import FormatError, OptionError
from lancelet.v20.flat import fixed_width_bits
from lancelet.v20.node import Node, PageBuffers, PageContext, plain_source
from lancelet.v20.nullable import wrap_values

if TYPE_CHECKING:
    from lancelet.blocks import Block
    from lancelet.buffers import Allocate
    from lancelet.pages.base import RowRanges
    from lancelet.pb.encodings20_pb2 import ArrayEncoding
    from lancelet.v20.fetch import Fetch
    from lancelet.v20.node import ByteSource

__all__ = ["PackedStruct", "encode_packed", "packed_bytes"]


def packed_bytes(type_: pa.DataType) -> int | None:
    """Return how many bytes a value of `type_` takes in a row, ``None`` when it cannot stand in one."""
    if pa.types.is_fixed_size_list(type_):
        item = packed_bytes(type_.value_type)
        return None if item is None else item * type_.list_size
    bits = fixed_width_bits(type_)
    return None if bits is None or bits % 8 or bits == 0 else bits // 8


@dataclass(frozen=True, slots=True, eq=False)
class PackedStruct(Node):
    """Structs, row by row.

    Attributes
    ----------
    type_
        The struct type.
    num_values, widths, source
        The number of rows, the bytes of each child, and where the rows lie.
    """

    name: ClassVar[str] = "packed_struct"
    type_: pa.DataType
    num_values: int
    widths: tuple[int, ...]
    source: ByteSource

    @classmethod
    def from_message(
        cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int
    ) -> PackedStruct:
        """Read ``PackedStruct``; the children's widths are those of `type_`."""
        if not pa.types.is_struct(type_):
            raise FormatError(f"a packed struct does not fit the type {type_}")
        widths = []
        for child in type_:
            width = packed_bytes(child.type)
            if width is None:
                raise FormatError(f"a child of type {child.type} cannot stand in a packed struct")
            widths.append(width)
        row_bytes = sum(widths)
        if num_values * row_bytes >= 2**63:
            raise FormatError(f"{num_values} rows of {row_bytes} bytes are impossible")
        return cls(type_, num_values, tuple(widths), plain_source(message, page, num_values * row_bytes))

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read `rows`, and take their children apart."""
        row_bytes, num_rows = sum(self.widths), rows.num_rows
        data = yield from self.source.read(rows.starts * row_bytes, rows.stops * row_bytes, allocate)
        table = as_bytes(data).reshape(num_rows, row_bytes)
        children, at = [], 0
        for field, width in zip(self.type_, self.widths, strict=True):
            out = allocate(num_rows * width)
            as_bytes(out).reshape(num_rows, width)[:] = table[:, at : at + width]
            children.append(_array_of_bytes(field.type, num_rows, out))
            at += width
        return pa.Array.from_buffers(self.type_, num_rows, [None], 0, children=children)


def _array_of_bytes(type_: pa.DataType, num_values: int, data: Any) -> pa.Array:
    if pa.types.is_fixed_size_list(type_):
        items = _array_of_bytes(type_.value_type, num_values * type_.list_size, data)
        return pa.Array.from_buffers(type_, num_values, [None], 0, children=[items])
    return pa.Array.from_buffers(type_, num_values, [None, data], 0)


def encode_packed(array: pa.StructArray, buffers: PageBuffers) -> ArrayEncoding:
    """Encode structs row by row.

    Raises
    ------
    OptionError
        A struct or a child is null, or a child has no whole number of bytes.
    """
    from lancelet.pb import encodings20_pb2 as pb

    if array.null_count:
        raise OptionError(
            "a packed struct with null rows cannot be stored in version 2.0, which keeps no nulls of structs; "
            "version 2.1 can"
        )
    columns, inner = [], []
    for index, field in enumerate(array.type):
        width = packed_bytes(field.type)
        if width is None:
            raise OptionError(f"a packed struct cannot have a child of type {field.type} ({field.name!r})")
        block = to_block(array.field(index), None)
        if array.field(index).null_count or (
            isinstance(block, FixedSizeListBlock) and _has_null_items(block)
        ):
            raise OptionError(f"a packed struct cannot have nulls in a child ({field.name!r})")
        columns.append((as_bytes(_leaf(block).data)[: len(array) * width].reshape(len(array), width), width))
        inner.append(_described(block))
    rows = np.empty((len(array), sum(width for _, width in columns)), dtype=np.uint8)
    at = 0
    for column, width in columns:
        rows[:, at : at + width] = column
        at += width
    message = pb.PackedStruct(inner=inner, buffer=buffers.add(rows.reshape(-1)))
    return pb.ArrayEncoding(packed_struct=message)


def _has_null_items(block: Block) -> bool:
    while isinstance(block, FixedSizeListBlock):
        if block.validity is not None:
            return True
        block = block.items
    return False


def _leaf(block: Block) -> FixedWidth:
    while isinstance(block, FixedSizeListBlock):
        block = block.items
    if not isinstance(block, FixedWidth):
        raise OptionError("a packed struct cannot have a child of any length")
    return block


def _described(block: Block) -> ArrayEncoding:
    """Describe a child as if it were encoded alone."""
    from lancelet.pb import encodings20_pb2 as pb

    if isinstance(block, FixedSizeListBlock):
        items = _described(block.items)
        return wrap_values(
            pb.ArrayEncoding(fixed_size_list=pb.FixedSizeList(dimension=block.dimension, items=items))
        )
    return wrap_values(PageBuffers().add_flat(b"", _leaf(block).bits))
