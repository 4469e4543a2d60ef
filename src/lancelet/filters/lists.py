"""Functions of lists: one element, length, whether an element is there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lancelet.filters.comparing import Datum, compare, spread

__all__ = ["contains", "element", "is_list", "length"]


def is_list(type_: pa.DataType) -> bool:
    """Tell whether values are lists of any kind."""
    return bool(
        pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)
    )


def _extents(lists: pa.Array) -> tuple[np.ndarray, np.ndarray, pa.Array]:
    """Return first item and length of every row (int64[num_rows], 0 for null), and the items that they count in."""
    if pa.types.is_fixed_size_list(lists.type):
        width = lists.type.list_size
        starts = (np.arange(len(lists), dtype=np.int64) + lists.offset) * width
        lengths = np.full(len(lists), width, np.int64)
    else:
        offsets = np.asarray(lists.offsets).astype(np.int64)
        starts, lengths = offsets[:-1], np.diff(offsets)
    present = np.asarray(lists.is_valid().to_numpy(zero_copy_only=False))
    return starts, np.where(present, lengths, 0), lists.values


def element(lists: pa.Array, index: Datum) -> pa.Array:
    """Return element `index` of every list, counted from 1, or from the end if negative; null where there is none."""
    starts, lengths, items = _extents(lists)
    wanted = spread(index, len(lists)).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    places = np.where(wanted > 0, wanted - 1, lengths + wanted)
    exists = (wanted != 0) & (places >= 0) & (places < lengths)
    return items.take(pa.array(np.where(exists, starts + places, 0), mask=~exists))


def length(lists: pa.Array) -> pa.Array:
    """Return the number of elements (uint64), null for null."""
    return pc.list_value_length(lists).cast(pa.uint64())


def contains(lists: pa.Array, value: Datum) -> pa.Array:
    """Tell which lists have an element equal to `value`; null for null."""
    starts, lengths, items = _extents(lists)
    rows = np.repeat(np.arange(len(lists)), lengths)
    before = np.cumsum(lengths) - lengths
    places = np.arange(len(rows)) - np.repeat(before - starts, lengths)
    wanted = value if isinstance(value, pa.Scalar) else value.take(pa.array(rows))
    equal = pc.fill_null(compare("=", items.take(pa.array(places)), wanted), False)
    found = np.zeros(len(lists), bool)
    found[rows[np.asarray(equal.to_numpy(zero_copy_only=False))]] = True
    unknown = np.asarray(lists.is_null().to_numpy(zero_copy_only=False))
    if not isinstance(value, pa.Scalar):
        unknown |= np.asarray(value.is_null().to_numpy(zero_copy_only=False))
    elif not value.is_valid:
        unknown[:] = True
    return pa.array(found, mask=unknown)
