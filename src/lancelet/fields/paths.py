"""Nested fields as one array per leaf, and back (structural.md 1).

From 2.1 on only leaves own columns: structure travels inside of every leaf below it. So a nested array is first taken apart into
arrays of *one path* each: ``list<struct<a, b>>`` becomes ``list<struct<a>>`` and ``list<struct<b>>``, which share all buffers of the
structure. Such arrays are still Arrow's: they can be queued, joined, sliced and measured as any other. On the way up, the arrays of all
leaves are put together again, after a check that they agree about what they share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import aligned_bits
from lancelet.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.schema.fields import Field

__all__ = ["is_leaf", "join_paths", "leaves", "split_paths"]


def is_leaf(field: Field) -> bool:
    """Whether `field` owns a column: it has no children of its own, or is stored as one value (packed structs, blobs)."""
    return not field.children or field.is_packed or field.is_blob


def leaves(field: Field) -> Iterator[Field]:
    """Give the leaves of `field`, depth first."""
    if is_leaf(field):
        yield field
    else:
        for child in field.children:
            yield from leaves(child)


def split_paths(array: pa.Array, field: Field) -> list[pa.Array]:
    """Take the storage array of `field` apart: one array a leaf, in the order of :func:`leaves`.

    Structs and lists keep their validity and offsets, with one child each. Nothing is copied but bitmaps and offsets of slices.
    """
    if is_leaf(field):
        return [array]
    num_values, type_ = len(array), array.type
    if pa.types.is_struct(type_):
        validity = _bitmap(array)
        return [
            _rebuild(pa.struct([pa.field(child.name, leaf.type)]), num_values, [validity], array.null_count, [leaf])
            for index, child in enumerate(field.children)
            for leaf in split_paths(array.field(index), child)
        ]
    (child,) = field.children
    if pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        items = array.values.slice(array.offset * size, num_values * size)
        return [
            _rebuild(pa.list_(leaf.type, size), num_values, [_bitmap(array)], array.null_count, [leaf])
            for leaf in split_paths(items, child)
        ]
    offsets, items = _rebased(array)
    list_type = pa.large_list if pa.types.is_large_list(type_) else pa.list_
    return [
        _rebuild(list_type(leaf.type), num_values, [_bitmap(array), offsets], array.null_count, [leaf])
        for leaf in split_paths(items, child)
    ]


def _rebuild(type_: pa.DataType, num_values: int, buffers: list[Any], null_count: int, children: list[Any]) -> pa.Array:
    return pa.Array.from_buffers(type_, num_values, buffers, null_count, children=children)


def _bitmap(array: pa.Array) -> Any:
    if array.null_count == 0:
        return None
    return pa.py_buffer(aligned_bits(array.buffers()[0], array.offset, len(array)))


def _rebased(array: pa.Array) -> tuple[Any, pa.Array]:
    """Return offsets from 0 and the items that they refer to."""
    wide = pa.types.is_large_list(array.type)
    dtype = np.dtype(np.int64 if wide else np.int32)
    num_values = len(array)
    items = _items(array)
    if num_values == 0:
        return pa.py_buffer(np.zeros(1, dtype)), items.slice(0, 0)
    raw = array.buffers()[1].slice(array.offset * dtype.itemsize, (num_values + 1) * dtype.itemsize)
    offsets = np.frombuffer(raw, dtype)
    first, last = int(offsets[0]), int(offsets[-1])
    return (raw if first == 0 else pa.py_buffer(offsets - first)), items.slice(first, last - first)


def _items(array: pa.Array) -> pa.Array:
    """Return the items of a list or map array, whatever part of them the array shows."""
    if not pa.types.is_map(array.type):
        return array.values
    keys, items = array.keys, array.items
    fields = [array.type.key_field, array.type.item_field]
    return pa.StructArray.from_arrays([keys, items], fields=fields)


def join_paths(arrays: Iterator[pa.Array], field: Field, type_: pa.DataType) -> pa.Array:
    """Put the arrays of the leaves of `field` together to its array of the Arrow type `type_`.

    Parameters
    ----------
    arrays
        One array of one path a leaf, in the order of :func:`leaves`; consumed as far as the field's leaves go.
    field
        The field.
    type_
        Its storage type, children with all their names and flags.

    Raises
    ------
    FormatError
        Two leaves disagree about the structure that they share.
    """
    if is_leaf(field):
        return next(arrays)
    own = [next(arrays) for _ in leaves(field)]
    first = own[0]
    for other in own[1:]:
        _check_agreement(first, other, field)
    num_values, null_count = len(first), first.null_count
    validity = _bitmap(first)
    if pa.types.is_struct(type_):
        below = iter([array.field(0) for array in own])
        children = [
            join_paths(below, child, type_.field(index).type) for index, child in enumerate(field.children)
        ]
        return _rebuild(type_, num_values, [validity], null_count, children)
    (child,) = field.children
    if pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        below = iter([array.values.slice(array.offset * size, num_values * size) for array in own])
        return _rebuild(type_, num_values, [validity], null_count, [join_paths(below, child, type_.value_type)])
    parts = [_rebased(array) for array in own]
    below = iter([items for _, items in parts])
    item_type = pa.struct([type_.key_field, type_.item_field]) if pa.types.is_map(type_) else type_.value_type
    return _rebuild(type_, num_values, [validity, parts[0][0]], null_count, [join_paths(below, child, item_type)])


def _check_agreement(first: pa.Array, other: pa.Array, field: Field) -> None:
    """Check that two leaves store the same validity and offsets of `field`."""
    same = len(first) == len(other) and first.null_count == other.null_count
    if same and first.null_count:
        same = bytes(_bitmap(first)) == bytes(_bitmap(other))
    if same and (pa.types.is_list(first.type) or pa.types.is_large_list(first.type)):
        same = bytes(_rebased(first)[0]) == bytes(_rebased(other)[0])
    if not same:
        raise FormatError(f"two columns below the field {field.name!r} disagree about its nulls or lengths")
