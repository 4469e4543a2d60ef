"""Arrays of one column joined to one, and what they weigh: dictionaries make both more than adding up.

Arrays with the same dictionary share it in the joined array too, uncopied. Different dictionaries become one, which may have more
items than the indices can count; then the arrays stay apart.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lancelet.blocks.dictionary_array import same_memory, unify
from lancelet.blocks.selection import taken
from lancelet.fields.paths import container_of, innermost, shown, with_innermost, without_extensions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Int64Array
    from lancelet.fields.paths import Container
    from lancelet.levels.steps import FixedList

__all__ = ["Scale", "join", "logical_bytes", "take"]


def join(arrays: Sequence[pa.Array]) -> pa.Array | None:
    """Join `arrays`, of which there is at least one.

    Parameters
    ----------
    arrays
        Arrays of one type: that of a leaf, or of one path (:mod:`lancelet.fields.paths`).

    Returns
    -------
    pyarrow.Array | None
        ``None`` when no array of the type can hold them: there are more distinct values than its indices can count, or more bytes
        or items than its offsets.
    """
    first = arrays[0]
    if len(arrays) == 1:
        return first
    if isinstance(first.type, pa.BaseExtensionType):
        storage = join([array.storage for array in arrays])
        return None if storage is None else pa.ExtensionArray.from_storage(first.type, storage)
    try:
        if first.type.num_fields == 0 and not pa.types.is_dictionary(first.type):
            return pa.concat_arrays(arrays)
        containers, leaf_type = _containers(first.type)
        if pa.types.is_dictionary(leaf_type):
            return _join_dictionaries(arrays, containers)
        return pa.concat_arrays(arrays)
    except pa.ArrowInvalid:
        return None


def take(arrays: Sequence[pa.Array], positions: Int64Array) -> list[pa.Array]:
    """Return values of `arrays`, counted through all of them, in the order of `positions`.

    One array, or where none can hold them, a new one wherever the next value lies in another of the `arrays`.
    """
    whole = join(arrays)
    if whole is not None:
        return [_take(whole, positions)]
    stops = np.cumsum([len(array) for array in arrays])
    numbers = np.searchsorted(stops, positions, side="right")
    breaks = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(positions)]
    parts = []
    for start, stop in pairwise(breaks):
        array = arrays[numbers[start]]
        first = stops[numbers[start]] - len(array)
        parts.append(_take(array, positions[start:stop] - first))
    return parts


def _take(array: pa.Array, positions: Int64Array) -> pa.Array:
    """Arrow takes no values of extension types in structs and lists, so their storage is taken."""
    return shown(taken(shown(array, without_extensions(array.type)), positions), array.type)


def _join_dictionaries(
    arrays: Sequence[pa.Array], containers: Sequence[Container | FixedList]
) -> pa.Array | None:
    leaves = unify([innermost(array, containers)[0] for array in arrays])
    if leaves is None:
        return None
    type_, items = leaves[0].type, leaves[0].dictionary
    joined = pa.concat_arrays(
        [with_innermost(array, containers, leaf.indices) for array, leaf in zip(arrays, leaves, strict=True)]
    )
    indices, _ = innermost(joined, containers)
    leaf = pa.DictionaryArray.from_arrays(indices, items, ordered=type_.ordered, safe=False)
    return with_innermost(joined, containers, leaf)


def _containers(type_: pa.DataType) -> tuple[list[Container | FixedList], pa.DataType]:
    """Return what stands around the leaf of a path of this type, and the type of the leaf."""
    containers = []
    while pa.types.is_nested(type_) and type_.num_fields == 1:
        containers.append(container_of(type_))
        type_ = type_.field(0).type
    return containers, type_


def logical_bytes(array: pa.Array) -> int:
    """Return the bytes that the rows of an `array` of one path refer to, the shown part of a dictionary included."""
    return Scale().add(array)


class Scale:
    """Weighs arrays of one path as they come; a dictionary that they share counts once.

    Of a dictionary counts what the rows may show at most: one item of average size each.
    """

    def __init__(self) -> None:
        self._items: pa.Array | None = None
        self._charged = 0

    def add(self, array: pa.Array) -> int:
        """Return what `array` adds, in bytes."""
        if array.type.num_fields == 0 and not pa.types.is_dictionary(array.type):
            return array.nbytes  # type: ignore[no-any-return]
        containers, leaf_type = _containers(array.type)
        if not pa.types.is_dictionary(leaf_type):
            return array.nbytes  # type: ignore[no-any-return]
        leaf, _ = innermost(array, containers)
        items, items_bytes = leaf.dictionary, leaf.dictionary.nbytes
        if self._items is None or not same_memory(items, self._items):
            self._items, self._charged = items, 0
        share = min(items_bytes - self._charged, len(leaf) * -(-items_bytes // max(len(items), 1)))
        self._charged += share
        return int(array.nbytes - items_bytes + share)
