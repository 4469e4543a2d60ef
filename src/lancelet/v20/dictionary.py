"""``dictionary``: indices and distinct items, in two conventions that the type tells apart (encodings_v2_0.md 3, *Dictionary*).

=====================  =====================================================  =============================================
field                  indices, ``nullable.no_nulls{flat}``                   items
=====================  =====================================================  =============================================
``dict:..``            of the key type, from 0; a null is the index of a      an ordinary page of the value type, with
                       null item                                              nulls
(large) utf8, binary   u8: 0 = null, ``k`` = item ``k - 1``                   ``binary``, at most 255; one null item when
                                                                              everything is null
=====================  =====================================================  =============================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks import VariableWidth
from lancelet.blocks.arrow import is_variable_width, offset_bits, to_block, valid_mask
from lancelet.blocks.dictionary_array import index_numbers, valid_indices
from lancelet.buffers import EMPTY, as_bytes, as_values
from lancelet.errors import FormatError, OptionError
from lancelet.pages.base import RowRanges
from lancelet.v20.binary import encode_binary
from lancelet.v20.fetch import together
from lancelet.v20.node import Node, PageBuffers, PageContext, plain_values
from lancelet.v20.nullable import encode_nullable, wrap_values

if TYPE_CHECKING:
    from lancelet.buffers import Allocate
    from lancelet.pb.encodings20_pb2 import ArrayEncoding
    from lancelet.v20.fetch import Fetch

__all__ = ["MAX_TEXT_ITEMS", "Dictionary", "encode_keys", "encode_text_dictionary"]

#: Most items of a dictionary of the second convention: indices are u8, and 0 is null.
MAX_TEXT_ITEMS = 255


@dataclass(slots=True, eq=False)
class Dictionary(Node):
    """Indices and items; the items are read once.

    Attributes
    ----------
    type_
        A dictionary type (first convention), or (large) utf8 or binary (second).
    num_values, indices, items
        The number of values, and the two nodes.
    """

    name: ClassVar[str] = "dictionary"
    type_: pa.DataType
    num_values: int
    indices: Node
    items: Node
    _read_items: pa.Array | None = None

    @classmethod
    def from_message(cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int) -> Dictionary:
        """Read ``Dictionary``."""
        of_keys = pa.types.is_dictionary(type_)
        if not of_keys and not is_variable_width(type_):
            raise FormatError(f"a dictionary does not fit the type {type_}")
        if message.items.WhichOneof("array_encoding") == cls.name:
            raise FormatError("the items of a dictionary are a dictionary")
        item_type = type_.value_type if of_keys else type_
        index_type = type_.index_type if of_keys else pa.uint8()
        indices = page.parse(message.indices, index_type, num_values)
        return cls(
            type_, num_values, indices, page.parse(message.items, item_type, message.num_dictionary_items)
        )

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read the indices of `rows` and, at the first read, all items."""
        indices, items = yield from together([self.indices.read(rows, allocate), self._all_items(allocate)])
        if indices.null_count:
            raise FormatError("the indices of a dictionary have nulls")
        if pa.types.is_dictionary(self.type_):
            return self._keys(indices, items)
        return _looked_up(plain_values(indices, "u1"), items, allocate)

    def _all_items(self, allocate: Allocate) -> Fetch[pa.Array]:
        items = self._read_items
        if items is None:
            num_items = self.items.num_values
            rows = RowRanges.single(0, num_items) if num_items else _NO_ROWS
            items = self._read_items = yield from self.items.read(rows, allocate)
        return items

    def _keys(self, indices: pa.Array, items: pa.Array) -> pa.Array:
        """Give keys and dictionary; what points to a null item becomes a null key."""
        index_type = self.type_.index_type
        sign = "i" if pa.types.is_signed_integer(index_type) else "u"
        keys = plain_values(indices, f"<{sign}{index_type.bit_width // 8}")
        for key in (int(keys.min()), int(keys.max())) if len(keys) else ():
            if not 0 <= key < len(items):
                raise FormatError(f"a dictionary of {len(items)} items has no item {key}")
        bitmap = None
        items_valid = valid_mask(items)
        if items_valid is not None and len(keys):
            bitmap = pa.py_buffer(np.packbits(items_valid[keys], bitorder="little"))
        keyed = pa.Array.from_buffers(index_type, len(keys), [bitmap, indices.buffers()[1]])
        return pa.DictionaryArray.from_arrays(keyed, items, safe=False)


_NO_ROWS = RowRanges(np.zeros(0, np.int64), np.zeros(0, np.int64))


def _looked_up(indices: Any, items: pa.Array, allocate: Allocate) -> pa.Array:
    """Look up text; index 0 and null items are null."""
    if len(indices) and int(indices.max()) > len(items):
        raise FormatError(f"a dictionary of {len(items)} items has no item {int(indices.max()) - 1}")
    valid = indices != 0
    items_valid = valid_mask(items)
    if items_valid is not None:
        valid &= np.concatenate(([False], items_valid))[indices]
    bitmap = EMPTY if valid.all() else np.packbits(valid, bitorder="little")
    shifted = indices - np.uint8(1)  # null slots wrap around; their indices are not looked at
    bits = offset_bits(items.type)
    _, item_offsets, item_data = items.buffers()
    offsets = allocate((len(indices) + 1) * bits // 8)
    total = kernels.gather_variable_offsets(item_offsets, bits, shifted, 8, bitmap, offsets)
    data = allocate(total)
    kernels.gather_variable(item_data, item_offsets, bits, shifted, 8, bitmap, offsets, data)
    validity = pa.py_buffer(bitmap) if len(bitmap) else None
    return pa.Array.from_buffers(items.type, len(indices), [validity, offsets, data])


def encode_text_dictionary(array: pa.Array, buffers: PageBuffers) -> ArrayEncoding:
    """Encode text in the second convention; it has at most :data:`MAX_TEXT_ITEMS` distinct values.

    Raises
    ------
    OptionError
        It has more.
    """
    valid = valid_mask(array)
    block = to_block(array.drop_null() if valid is not None else array, None)
    if not isinstance(block, VariableWidth):
        raise TypeError(f"values of type {array.type} have no lengths")
    numbers = np.empty(block.num_values, dtype=np.uint32)
    first = np.empty(MAX_TEXT_ITEMS, dtype=np.int64)
    offsets = as_bytes(block.offsets)[: (block.num_values + 1) * block.offset_bits // 8]
    num_items = kernels.unique_variable(
        block.data, offsets, block.offset_bits, MAX_TEXT_ITEMS, 2**62, numbers, first
    )
    if num_items < 0:
        raise OptionError(f"text has more than {MAX_TEXT_ITEMS} distinct values")
    indices = np.zeros(len(array), dtype=np.uint8)
    indices[slice(None) if valid is None else valid] = numbers + 1
    index_node = wrap_values(buffers.add_flat(indices, 8))
    items = _items_block(block, first[:num_items])
    no_items = None if num_items else np.zeros(1, dtype=np.bool_)
    return _message(index_node, encode_binary(items, no_items, buffers), max(num_items, 1))


def _items_block(block: VariableWidth, first: Any) -> VariableWidth:
    """Return the values `first` of a block; one empty value when there is none."""
    borders = as_values(block.offsets, block.offset_bits)
    raw = as_bytes(block.data)
    parts = [raw[int(borders[i]) : int(borders[i + 1])].tobytes() for i in first] or [b""]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.uint64)
    return VariableWidth(64, len(parts), offsets, b"".join(parts))


def encode_keys(array: pa.DictionaryArray, buffers: PageBuffers) -> ArrayEncoding:
    """Encode an Arrow dictionary array in the first convention.

    Null keys become the index of a null item that is appended.

    Parameters
    ----------
    array
        Without nulls among its items.
    buffers
        Receives the page's buffers.

    Raises
    ------
    OptionError
        The index type cannot count the items, not even when they are all distinct and used.
    """
    most = _largest_key(array.type.index_type)
    indices, items = _with_null_item(array)
    if len(items) - 1 > most:
        indices, items = _with_null_item(array.dictionary_decode().dictionary_encode())
        if len(items) - 1 > most:
            raise OptionError(
                f"{len(items)} dictionary items, the one for nulls among them, do not fit keys of type {array.type.index_type}"
            )
    width = array.type.index_type.bit_width
    index_node = wrap_values(buffers.add_flat(indices.astype(f"<u{width // 8}"), width))
    if is_variable_width(items.type):
        valid = valid_mask(items)
        block = to_block(items, valid)
        if not isinstance(block, VariableWidth):
            raise TypeError(f"values of type {items.type} have no lengths")
        item_node = encode_binary(block, valid, buffers)
    else:
        item_node = encode_nullable(items, buffers)
    return _message(index_node, item_node, len(items))


def _with_null_item(array: pa.DictionaryArray) -> tuple[Any, pa.Array]:
    """Return ``int64`` indices without nulls, and items with a null one at the end where that is needed."""
    valid = valid_indices(array)
    numbers = index_numbers(array).astype(np.int64)
    if valid is None:
        return numbers, array.dictionary
    items = pa.concat_arrays([array.dictionary, pa.nulls(1, array.type.value_type)])
    return np.where(valid, numbers, len(items) - 1), items


def _largest_key(index_type: pa.DataType) -> int:
    bits = int(index_type.bit_width)
    return (1 << (bits - 1 if pa.types.is_signed_integer(index_type) else bits)) - 1


def _message(indices: ArrayEncoding, items: ArrayEncoding, num_items: int) -> ArrayEncoding:
    from lancelet.pb import encodings20_pb2 as pb

    if num_items >= 2**32:
        raise OptionError(f"a dictionary of {num_items} items does not fit version 2.0")
    message = pb.Dictionary(indices=indices, items=items, num_dictionary_items=num_items)
    return pb.ArrayEncoding(dictionary=message)
