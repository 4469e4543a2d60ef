"""Values of an array picked by position or by a mask, and values of a block picked by ranges.

``take`` and ``filter`` of pyarrow (release 26) read past the memory of fixed-size lists of fixed-size lists that are slices, or
hold slices: they give other bytes than those of the values. Such arrays are copied first, so that they start at 0 at every depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lancelet import kernels
from lancelet.blocks.block import Block, Dictionary, FixedSizeList, FixedWidth, Packed, VariableWidth
from lancelet.buffers import as_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.buffers import Allocate, Data, Int64Array

__all__ = ["filtered", "picked_ranges", "taken"]


def taken(array: pa.Array, positions: Int64Array, *, check: bool = True) -> pa.Array:
    """Return the values of `array` at `positions`, in their order; without `check` they are known to exist."""
    return pc.take(_safe(array), pa.array(positions), boundscheck=check)


def filtered(array: pa.Array, mask: npt.NDArray[np.bool_]) -> pa.Array:
    """Return the values of `array` where ``mask: bool[len(array)]`` is true."""
    return _safe(array).filter(pa.array(mask))


def picked_ranges(
    block: Block, starts: Int64Array, stops: Int64Array, num_values: int, allocate: Allocate
) -> Block:
    """Return the values ``starts[i]`` to ``stops[i]`` of `block`, in their order.

    Parameters
    ----------
    block
        Values of any kind; the dictionary of a :class:`~lancelet.blocks.Dictionary` stays as it is.
    starts, stops
        ``int64[num_ranges]``: sorted, disjoint ranges within the block.
    num_values
        Values in all ranges.
    allocate
        Where memory comes from.
    """
    if isinstance(block, FixedWidth):
        return _picked_fixed(block, starts, stops, num_values, allocate)
    if isinstance(block, VariableWidth):
        bits = block.offset_bits
        offsets = allocate((num_values + 1) * bits // 8)
        source = as_bytes(block.offsets)[: (block.num_values + 1) * bits // 8]
        data = allocate(kernels.pick_variable_offsets(source, bits, starts, stops, offsets))
        kernels.pick_variable(block.data, source, bits, starts, stops, data)
        return VariableWidth(bits, num_values, offsets, data)
    if isinstance(block, FixedSizeList):
        size = block.dimension
        inner = (starts * size, stops * size, num_values * size)
        validity = None if block.validity is None else _picked(block.validity, 1, *inner, allocate)
        return FixedSizeList(size, num_values, picked_ranges(block.items, *inner, allocate), validity)
    if isinstance(block, Packed):
        children = (picked_ranges(child, starts, stops, num_values, allocate) for child in block.children)
        absent = block.absent
        if absent is not None:
            picked = _picked(absent.view(np.uint8), 8, starts, stops, num_values, allocate)
            absent = as_bytes(picked).view(np.bool_)
        return Packed(num_values, tuple(children), absent)
    indices = _picked_fixed(block.indices, starts, stops, num_values, allocate)
    return Dictionary(num_values, indices, block.items, block.arrays)


def _picked_fixed(
    block: FixedWidth, starts: Int64Array, stops: Int64Array, num_values: int, allocate: Allocate
) -> FixedWidth:
    return FixedWidth(
        block.bits, num_values, _picked(block.data, block.bits, starts, stops, num_values, allocate)
    )


def _picked(
    data: Data, bits: int, starts: Int64Array, stops: Int64Array, num_values: int, allocate: Allocate
) -> Data:
    out: Data = allocate(-(-num_values * bits // 8))
    kernels.pick_fixed(data, bits, starts, stops, out)
    return out


def _safe(array: pa.Array) -> pa.Array:
    return pa.concat_arrays([array, array[:0]]) if _has_lists_in_lists(array.type) else array


def _has_lists_in_lists(type_: pa.DataType) -> bool:
    """Whether there are fixed-size lists of fixed-size lists at some depth of a type without extensions."""
    if pa.types.is_fixed_size_list(type_) and pa.types.is_fixed_size_list(type_.value_type):
        return True
    if not pa.types.is_nested(type_):
        return False
    return any(_has_lists_in_lists(type_.field(index).type) for index in range(type_.num_fields))
