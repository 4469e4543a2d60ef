"""Leaves of one page each straight to the array of their nested field.

The way over arrays of one path (:mod:`lancelet.fields.paths`) serves any number of pages; where every column gave just one leaf, as
for a row that is taken, lists and structs are made once and not once a leaf. The result is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import from_block
from lancelet.fields.paths import Container, container_of, leaf_paths, shown
from lancelet.fields.structure import validity_of
from lancelet.levels.steps import Lists
from lancelet.levels.unravel import unravel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Allocate
    from lancelet.levels import Leaf
    from lancelet.levels.steps import Step
    from lancelet.schema.fields import Field

__all__ = ["assembled"]

_MAX_LIST_OFFSET = 2**31 - 1


class _Part(NamedTuple):
    """A leaf whose structure is known: its steps, outer-most first, and its values."""

    steps: Sequence[Step]
    values: pa.Array


class _Different(Exception):  # noqa: N818 - no error: the long way decides
    """Two leaves do not have the same bytes of structure, or a list is too long."""


def assembled(stored: Field, field: Field, leaves: Sequence[Leaf], allocate: Allocate) -> pa.Array | None:
    """Make the array of a nested field.

    Parameters
    ----------
    stored, field
        The field as it is stored, which has children, and as it is shown.
    leaves
        One a column, in the order of :func:`~lancelet.fields.paths.leaf_paths`, of the same rows.
    allocate
        Where memory comes from.

    Returns
    -------
    pyarrow.Array | None
        ``None`` where this way does not lead there: there are blobs or empty structs, or the columns differ in their structure,
        which need not be a damage.

    Raises
    ------
    FormatError
        The levels of a leaf contradict each other or the type, or the values do not fit it.
    """
    paths = leaf_paths(stored)
    if not all(path.is_plain for path in paths):
        return None
    parts = []
    for leaf, path in zip(leaves, paths, strict=True):
        steps = unravel(leaf, path.kinds)
        last = steps[-1]
        values = from_block(leaf.values, path.value_type, last.num_values, *validity_of(last), allocate)
        parts.append(_Part(steps, values))
    try:
        return _assembled(field, parts, 0)
    except _Different:
        return None


def _assembled(field: Field, parts: Sequence[_Part], depth: int) -> pa.Array:
    """Make the array of `field`, whose structure begins with the step at `depth` of its leaves."""
    if depth == len(parts[0].steps) - 1:
        return shown(parts[0].values, field.arrow_type)
    step = parts[0].steps[depth]
    for other in parts[1:]:
        _check_same(step, other.steps[depth])
    bitmap, null_count = validity_of(step)
    container, buffers = container_of(field.storage_type), [bitmap]
    if isinstance(step, Lists):
        buffers.append(_offsets(step, container))
    children, start = [], 0
    for child in field.children:
        stop = start + len(leaf_paths(child))
        children.append(_assembled(child, parts[start:stop], depth + 1))
        start = stop
    type_ = field.arrow_type
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    array = pa.Array.from_buffers(storage, step.num_values, buffers, null_count, children=children)
    return array if storage is type_ else pa.ExtensionArray.from_storage(type_, array)


def _check_same(first: Step, other: Step) -> None:
    if first.num_values != other.num_values or (first.validity is None) != (other.validity is None):
        raise _Different
    if first.validity is not None and not _same_bytes(first.validity, other.validity):
        raise _Different
    if isinstance(first, Lists) and not (
        isinstance(other, Lists) and _same_bytes(first.offsets, other.offsets)
    ):
        raise _Different


def _same_bytes(first: Any, other: Any) -> bool:
    return bool(pa.py_buffer(first).equals(pa.py_buffer(other)))


def _offsets(step: Lists, container: object) -> Any:
    offsets, itemsize = step.offsets, 4 if container is Container.LIST else 8
    if offsets.itemsize == itemsize:
        return pa.py_buffer(offsets)
    if itemsize == 4 and int(offsets[-1]) > _MAX_LIST_OFFSET:
        raise _Different
    return pa.py_buffer(offsets.astype(np.int32 if itemsize == 4 else np.int64))
