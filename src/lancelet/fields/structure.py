"""Arrays of one path <-> leaves: Arrow's structure to levels and back (structural.md 4).

On the way down the structure is prepared as the levels want it: nulls of structs are pushed into what lies below, null lists lose
the items that they hide, offsets start at 0, and what no reader can see in the values is wiped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks.arrow import from_block, to_block, valid_mask
from lancelet.blocks.selection import filtered, taken
from lancelet.buffers import allocate, as_values
from lancelet.errors import FormatError
from lancelet.fields.paths import Container, list_items
from lancelet.levels.build import build
from lancelet.levels.steps import FixedList, FixedLists, Lists, Validity
from lancelet.levels.unravel import innermost_fixed_list, unravel

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.buffers import Allocate, Int64Array
    from lancelet.fields.paths import LeafPath
    from lancelet.levels import Leaf
    from lancelet.levels.steps import Step
    from lancelet.pages.base import RowRanges

    Mask = npt.NDArray[np.bool_] | None

__all__ = ["array_of_leaf", "kept", "leaf_of_array", "validity_of", "visible_items"]

_MAX_LIST_OFFSET = 2**31 - 1


def leaf_of_array(array: pa.Array, path: LeafPath, *, robust: bool = True) -> Leaf:
    """Make the leaf of an `array` of one path.

    Parameters
    ----------
    array
        As :func:`~lancelet.fields.paths.split_paths` gives it.
    path
        The path.
    robust
        Choose layers that the reference's readers can digest (structural.md 11.1).
    """
    steps: list[Step] = []
    hidden: Mask = None  # values that lie in a null struct
    for container in path.containers:
        valid = _valid(array, hidden)
        num_values = len(array)
        if container is Container.STRUCT:
            steps.append(Validity(num_values, _packed(valid)))
            array, hidden = array.field(0), None if valid is None else ~valid
        elif isinstance(container, FixedList):
            size = container.dimension
            steps.append(FixedLists(num_values, size, _packed(valid)))
            array = array.values.slice(array.offset * size, num_values * size)
            hidden = None if valid is None else np.repeat(~valid, size)
        else:
            offsets, array = visible_items(array, valid)
            steps.append(Lists(num_values, offsets, _packed(valid)))
            del offsets
            hidden = None
    valid = _valid(array, hidden)
    steps.append(Validity(len(array), _packed(valid)))
    leaf = build(steps, robust=robust)
    steps.clear()  # their offsets are as large as the levels, and the values may have to be copied
    if pa.types.is_null(array.type) or (valid is not None and not valid.any()):
        return leaf
    return replace(leaf, values=to_block(array, valid))


def _valid(array: pa.Array, hidden: Mask) -> Mask:
    """Return which values are valid and lie in no null struct, ``None`` when all do."""
    valid = valid_mask(array)
    if hidden is None:
        return valid
    return ~hidden if valid is None else valid & ~hidden


def _packed(valid: Mask) -> Any:
    return None if valid is None else np.packbits(valid, bitorder="little")


def visible_items(array: pa.Array, valid: Mask) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """Return the offsets and items of lists after null lists have lost theirs."""
    raw, items = list_items(array)
    if valid is not None:
        lengths = np.diff(raw)
        if lengths[~valid].any():
            kept = np.where(valid, lengths, 0)
            return np.concatenate(([0], np.cumsum(kept, dtype=np.int64))), filtered(
                items, np.repeat(valid, lengths)
            )
    if raw.dtype == np.int64:
        return raw, items
    # From the pool, which uses the memory for what comes next.
    offsets = as_values(allocate(8 * len(raw)), 64).view(np.int64)
    offsets[:] = raw
    return offsets, items


def array_of_leaf(leaf: Leaf, path: LeafPath, allocate: Allocate, keep: RowRanges | None = None) -> pa.Array:
    """Make the array of one path of a `leaf`.

    Parameters
    ----------
    leaf
        What a page gave.
    path
        The path.
    allocate
        Where memory comes from.
    keep
        Rows of the leaf, as pages count them, to keep: a leaf may begin or end inside of the fixed-size lists of one row.

    Raises
    ------
    FormatError
        The levels do not fit the path or each other, or the values do not fit the type.
    """
    steps = unravel(leaf, path.kinds, None if keep is None else positions(keep))
    last, selected = steps[-1], innermost_fixed_list(path.kinds)
    array = from_block(leaf.values, path.value_type, last.num_values, *validity_of(last), allocate)
    for position in reversed(range(len(path.containers))):
        if keep is not None and position == selected:
            array = kept(array, keep)
        array = _wrap(array, path.containers[position], steps[position])
    return array


def kept(array: pa.Array, keep: RowRanges) -> pa.Array:
    """Return the rows `keep` of `array`, a view when they are one range."""
    if len(keep.starts) == 1:
        return array.slice(int(keep.starts[0]), int(keep.stops[0] - keep.starts[0]))
    return taken(array, positions(keep))


def positions(rows: RowRanges) -> Int64Array:
    """Return the numbers of `rows`, ``int64[rows.num_rows]``."""
    lengths = rows.stops - rows.starts
    shifts = rows.starts - np.concatenate(([0], np.cumsum(lengths)[:-1]))
    return np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(shifts, lengths)


def validity_of(step: Step) -> tuple[Any, int]:
    """Return the bitmap of a step and how many nulls it has, which are counted if nobody did."""
    if step.validity is None:
        return None, 0
    null_count = step.null_count
    if null_count is None:
        null_count = kernels.count_nulls(step.validity, step.bit_offset, step.num_values)
    return pa.py_buffer(step.validity), null_count


def _wrap(items: pa.Array, container: Container | FixedList, step: Step) -> pa.Array:
    bitmap, null_count = validity_of(step)
    if container is Container.STRUCT:
        type_ = pa.struct([pa.field("", items.type)])
        return pa.Array.from_buffers(type_, step.num_values, [bitmap], null_count, children=[items])
    if isinstance(container, FixedList):
        type_ = pa.list_(items.type, container.dimension)
        return pa.Array.from_buffers(type_, step.num_values, [bitmap], null_count, children=[items])
    if not isinstance(step, Lists):
        raise TypeError("a list needs offsets")
    offsets, list_type = step.offsets, pa.large_list
    if container is Container.LIST:
        if int(offsets[-1]) > _MAX_LIST_OFFSET:
            raise FormatError(
                f"{int(offsets[-1])} items do not fit a list with 32-bit offsets; read fewer rows at a time"
            )
        list_type = pa.list_
    stored = offsets.astype(np.int32 if list_type is pa.list_ else np.int64, copy=False)
    buffers = [bitmap, pa.py_buffer(stored)]
    return pa.Array.from_buffers(
        list_type(items.type), step.num_values, buffers, null_count, children=[items]
    )
