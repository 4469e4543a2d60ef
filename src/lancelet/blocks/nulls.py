"""Arrays of nothing but nulls.

A page that says "all null" takes no bytes of the file, whatever number of rows it states. So the memory of its array is asked for
like that of any other result, and may be refused. Every buffer of such an array is zeros, and one serves for all: validity,
offsets and values, of the array and of what it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.blocks.arrow import fixed_bits, is_variable_width, offset_bits
from lancelet.buffers import as_bytes

if TYPE_CHECKING:
    from lancelet.buffers import Allocate

__all__ = ["null_array"]


def null_array(type_: pa.DataType, num_values: int, allocate: Allocate) -> pa.Array:
    """Make an array of `num_values` nulls.

    Parameters
    ----------
    type_
        Null, a flat Arrow type, a dictionary of such, or a fixed-size list or struct; no extension type.
    num_values
        Length of the array.
    allocate
        Asked once, for the largest buffer.
    """
    zeros = allocate(_largest_bytes(type_, num_values))
    as_bytes(zeros)[:] = 0
    return _of_zeros(type_, num_values, zeros)


def _children(type_: pa.DataType, num_values: int) -> list[tuple[pa.DataType, int]]:
    """Return types and lengths of the arrays that an array of `type_` holds."""
    if pa.types.is_fixed_size_list(type_):
        return [(type_.value_type, num_values * type_.list_size)]
    if pa.types.is_struct(type_):
        return [(field.type, num_values) for field in type_]
    return []


def _largest_bytes(type_: pa.DataType, num_values: int) -> int:
    """Return the size of the largest buffer of an array of nulls."""
    if pa.types.is_null(type_):
        return 0
    if pa.types.is_dictionary(type_):
        return _largest_bytes(type_.index_type, num_values)
    bitmap = -(-num_values // 8)
    if is_variable_width(type_):
        return max(bitmap, (num_values + 1) * offset_bits(type_) // 8)
    children = _children(type_, num_values)
    if children or pa.types.is_nested(type_):
        return max(bitmap, *(_largest_bytes(*child) for child in children), 0)
    return max(bitmap, -(-num_values * fixed_bits(type_) // 8))


def _of_zeros(type_: pa.DataType, num_values: int, zeros: Any) -> pa.Array:
    if pa.types.is_null(type_):
        return pa.Array.from_buffers(type_, num_values, [None])
    if pa.types.is_dictionary(type_):
        indices = _of_zeros(type_.index_type, num_values, zeros)
        empty = pa.array([], type_.value_type)
        return pa.DictionaryArray.from_arrays(indices, empty, ordered=type_.ordered, safe=False)
    if pa.types.is_nested(type_):
        children = [_of_zeros(*child, zeros) for child in _children(type_, num_values)]
        return pa.Array.from_buffers(type_, num_values, [zeros], num_values, children=children)
    num_buffers = 3 if is_variable_width(type_) else 2
    return pa.Array.from_buffers(type_, num_values, [zeros] * num_buffers, num_values)
