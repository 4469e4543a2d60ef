"""Nested fields as one array per leaf, and back (structural.md 1).

From 2.1 on only leaves own columns: structure travels inside of every leaf below it. So a nested array is first taken
apart into arrays of *one path* each: ``list<struct<a, b>>`` becomes ``list<struct<a>>`` and ``list<struct<b>>``, which share
all buffers of the structure. Such arrays are still Arrow's: they can be queued, joined, sliced and measured as any other. On
the way up, the arrays of all leaves are put together again, after a check that they agree about what they share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import aligned_bits, valid_mask
from lancelet.blocks.dictionary_array import stored_dictionary
from lancelet.errors import FormatError, OptionError
from lancelet.levels.steps import ITEM, LIST, FixedList
from lancelet.schema.blobs import descriptor_type, is_blob
from lancelet.schema.logical import JSON
from lancelet.schema.project import is_packed
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from lancelet.buffers import Data
    from lancelet.levels.steps import StepKind
    from lancelet.schema.fields import Field

    Mask = npt.NDArray[np.bool_] | None

__all__ = [
    "Container",
    "LeafPath",
    "bitmap_of",
    "container_of",
    "empty_array",
    "innermost",
    "is_empty_struct",
    "is_leaf",
    "join_paths",
    "leaf_paths",
    "list_items",
    "shown",
    "split_paths",
    "storage_of",
    "with_innermost",
    "without_extensions",
]


class Container(Enum):
    """What a step of a path is in Arrow; a :class:`~lancelet.levels.steps.FixedList` stands for itself."""

    STRUCT = "struct"
    LIST = "list"
    LARGE_LIST = "large_list"


@dataclass(frozen=True, slots=True)
class LeafPath:
    """A leaf of a field and what stands around it.

    Attributes
    ----------
    leaf
        The field that owns the column.
    containers
        Structs and lists around the leaf, outer-most first.
    kinds
        Kinds of the steps of the column's structure, outer-most first, the leaf's validity last.
    is_plain
        Whether the leaf's pages hold its own values: it is no blob, and no struct without children.
    rows_per_row
        Rows that a page counts for one top-level row: the product of the fixed-size lists outside of all lists.
    """

    leaf: Field
    containers: tuple[Container | FixedList, ...] = ()
    kinds: tuple[StepKind, ...] = field(init=False, repr=False)
    is_plain: bool = field(init=False, repr=False)
    rows_per_row: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # what every read asks for is computed once
        object.__setattr__(self, "kinds", (*(_kind(container) for container in self.containers), ITEM))
        object.__setattr__(self, "is_plain", not is_blob(self.leaf) and not is_empty_struct(self.leaf))
        object.__setattr__(self, "rows_per_row", _rows_per_row(self.containers))

    @property
    def value_type(self) -> pa.DataType:
        """Arrow type of the values in the column's pages: that of the leaf, for blobs that of their descriptors."""
        return descriptor_type(self.leaf) if is_blob(self.leaf) else self.leaf.storage_type


def _rows_per_row(containers: Sequence[Container | FixedList]) -> int:
    product = 1
    for container in containers:
        if container in (Container.LIST, Container.LARGE_LIST):
            break
        if isinstance(container, FixedList):
            product *= container.dimension
    return product


def _kind(container: Container | FixedList) -> StepKind:
    if isinstance(container, FixedList):
        return container
    return ITEM if container is Container.STRUCT else LIST


def is_leaf(field: Field) -> bool:
    """Whether `field` owns a column: it has no child fields, or is stored as one value (packed structs, blobs)."""
    return not field.children or is_packed(field, Version.V2_1) or is_blob(field)


def is_empty_struct(field: Field) -> bool:
    """Whether `field` is a struct without children: its column only keeps the numbering, it has no values and no levels."""
    return field.logical_type == "struct" and not field.children and not is_blob(field)


#: Paths of fields by identity, with the field, so that no other one takes its place. Every read asks for them.
_PATHS: dict[int, tuple[Field, tuple[LeafPath, ...]]] = {}
_MOST_PATHS = 8192


def leaf_paths(field: Field) -> tuple[LeafPath, ...]:
    """Return the paths of all leaves of `field`, depth first."""
    known = _PATHS.get(id(field))
    if known is not None and known[0] is field:
        return known[1]
    paths = _leaf_paths(field)
    if len(_PATHS) >= _MOST_PATHS:
        _PATHS.clear()
    _PATHS[id(field)] = (field, paths)
    return paths


def _leaf_paths(field: Field) -> tuple[LeafPath, ...]:
    if is_leaf(field):
        return (LeafPath(field),)
    container = container_of(field.storage_type)
    return tuple(
        LeafPath(path.leaf, (container, *path.containers))
        for child in field.children
        for path in _leaf_paths(child)
    )


def container_of(type_: pa.DataType) -> Container | FixedList:
    """Return what a nested type is as a step of a path."""
    if pa.types.is_struct(type_):
        return Container.STRUCT
    if pa.types.is_fixed_size_list(type_):
        return FixedList(type_.list_size)
    return Container.LARGE_LIST if pa.types.is_large_list(type_) else Container.LIST


def split_paths(array: pa.Array, field: Field) -> list[pa.Array]:
    """Take an array of `field` apart: one array a leaf, in the order of :func:`leaf_paths`.

    Structs and lists keep their validity and offsets, with one child each; maps become lists of structs. Nothing is copied but
    bitmaps and offsets of slices.
    """
    array = storage_of(array, field)
    if is_leaf(field):
        return [array]
    num_values, null_count = len(array), array.null_count
    container, bitmap = container_of(field.storage_type), bitmap_of(array)
    if container is Container.STRUCT:
        return [
            _rebuild(pa.struct([pa.field(child.name, leaf.type)]), num_values, [bitmap], null_count, leaf)
            for index, child in enumerate(field.children)
            for leaf in split_paths(array.field(index), child)
        ]
    (child,) = field.children
    if isinstance(container, FixedList):
        size = container.dimension
        items = array.values.slice(array.offset * size, num_values * size)
        return [
            _rebuild(pa.list_(leaf.type, size), num_values, [bitmap], null_count, leaf)
            for leaf in split_paths(items, child)
        ]
    offsets, items = list_items(array)
    list_type = pa.large_list if container is Container.LARGE_LIST else pa.list_
    return [
        _rebuild(list_type(leaf.type), num_values, [bitmap, pa.py_buffer(offsets)], null_count, leaf)
        for leaf in split_paths(items, child)
    ]


def storage_of(array: pa.Array, field: Field) -> pa.Array:
    """Return what is stored of `array`, also in packed structs.

    That is the storage of an extension array, plain text and binary of views, JSONB of JSON text, dictionaries without nulls.

    Raises
    ------
    OptionError
        A text of a JSON column is no JSON, or an index of a dictionary array lies outside of the dictionary.
    """
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    elif pa.types.is_binary_view(array.type):
        array = array.cast(pa.binary())
    elif pa.types.is_dictionary(array.type):
        array = stored_dictionary(array)
    if field.logical_type == JSON and not pa.types.is_large_binary(array.type):
        array = _as_jsonb(array, field)
    if is_packed(field, Version.V2_1) and not is_blob(field):
        children = [storage_of(array.field(index), child) for index, child in enumerate(field.children)]
        named = zip(field.children, children, strict=True)
        type_ = pa.struct([pa.field(child.name, stored.type, child.nullable) for child, stored in named])
        array = _rebuild(type_, len(array), [bitmap_of(array)], array.null_count, *children)
    return array


def _as_jsonb(array: pa.Array, field: Field) -> pa.Array:
    from lancelet.blocks.jsonb import jsonb_of_text  # few files have JSON columns

    try:
        return jsonb_of_text(array)
    except OptionError as error:
        raise OptionError(f"field {field.name!r}: {error}") from None


def _rebuild(
    type_: pa.DataType, num_values: int, buffers: list[Any], null_count: int, *children: pa.Array
) -> pa.Array:
    return pa.Array.from_buffers(type_, num_values, buffers, null_count, children=list(children))


def bitmap_of(array: pa.Array) -> Any:
    """Return the validity of `array` as a bitmap from bit 0, ``None`` when nothing is null."""
    if array.null_count == 0:
        return None
    return pa.py_buffer(aligned_bits(array.buffers()[0], array.offset, len(array)))


def list_items(array: pa.Array) -> tuple[Any, pa.Array]:
    """Return the offsets of a list, large list or map array from 0 on, and the items that they refer to."""
    dtype = np.dtype(np.int64 if pa.types.is_large_list(array.type) else np.int32)
    num_values = len(array)
    items = array.values
    if num_values == 0:
        return np.zeros(1, dtype), items.slice(0, 0)
    raw = array.buffers()[1].slice(array.offset * dtype.itemsize, (num_values + 1) * dtype.itemsize)
    offsets = np.frombuffer(raw, dtype)
    first, last = int(offsets[0]), int(offsets[-1])
    return (offsets if first == 0 else offsets - first), items.slice(first, last - first)


def join_paths(arrays: Iterator[pa.Array], field: Field) -> pa.Array:
    """Put the arrays of the leaves of `field` together to its array, as a user sees it: with extension types at every depth.

    Parameters
    ----------
    arrays
        One array of one path a leaf, in the order of :func:`leaf_paths`; consumed as far as the field's leaves go.
    field
        The field.

    Raises
    ------
    FormatError
        Two leaves disagree about the structure that they share.
    """
    if is_leaf(field):
        return shown(next(arrays), field.arrow_type)
    paths = leaf_paths(field)
    own = [next(arrays) for _ in paths]
    # columns of empty structs do not know the structure around them
    telling = [array for array, path in zip(own, paths, strict=True) if not is_empty_struct(path.leaf)]
    first = (telling or own)[0]
    for other in telling[1:]:
        _check_agreement(first, other, field)
    type_ = field.arrow_type
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    container, num_values, buffers = container_of(field.storage_type), len(first), [bitmap_of(first)]
    if container is Container.STRUCT:
        below = iter([array.field(0) for array in own])
    elif isinstance(container, FixedList):
        size = container.dimension
        below = iter([array.values.slice(array.offset * size, num_values * size) for array in own])
    else:
        parts = [list_items(array) for array in own]
        buffers.append(pa.py_buffer(parts[0][0]))
        below = iter([items for _, items in parts])
    children = [join_paths(below, child) for child in field.children]
    array = _rebuild(storage, num_values, buffers, first.null_count, *children)
    return pa.ExtensionArray.from_storage(type_, array) if storage is not type_ else array


def shown(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """Give `array` the extension types of `type_`, at every depth, or take its own away: the storage of both types is the same."""
    if array.type == type_:
        return array
    if isinstance(array.type, pa.BaseExtensionType):
        return shown(array.storage, type_)
    if isinstance(type_, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type_, shown(array, type_.storage_type))
    if array.type.id != type_.id or array.type.num_fields != type_.num_fields or not type_.num_fields:
        raise FormatError(f"values of type {array.type} do not fit the type {type_}")
    buffers = [bitmap_of(array)]
    if pa.types.is_struct(type_):
        children = [array.field(index) for index in range(type_.num_fields)]
    elif pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        children = [array.values.slice(array.offset * size, len(array) * size)]
    else:
        offsets, items = list_items(array)
        buffers.append(pa.py_buffer(offsets))
        children = [items]
    children = [shown(child, type_.field(index).type) for index, child in enumerate(children)]
    return _rebuild(type_, len(array), buffers, array.null_count, *children)


def empty_array(type_: pa.DataType) -> pa.Array:
    """Return an array without values, also of types that ``pa.array`` cannot make: with extension types in lists and structs."""
    return shown(pa.nulls(0, without_extensions(type_)), type_)


def without_extensions(type_: pa.DataType) -> pa.DataType:
    """Return the type with the storage of extension types in their place, at every depth."""
    if isinstance(type_, pa.BaseExtensionType):
        return without_extensions(type_.storage_type)
    fields = [type_.field(index) for index in range(type_.num_fields)]
    plain = [field.with_type(without_extensions(field.type)) for field in fields]
    if plain == fields:
        return type_
    if pa.types.is_struct(type_):
        return pa.struct(plain)
    if pa.types.is_map(type_):
        return pa.map_(*plain[0].type)
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(plain[0], type_.list_size)
    return pa.large_list(plain[0]) if pa.types.is_large_list(type_) else pa.list_(plain[0])


def _same_bytes(first: Data, other: Data) -> bool:
    return bool(pa.py_buffer(first).equals(pa.py_buffer(other)))


def _check_agreement(first: pa.Array, other: pa.Array, field: Field) -> None:
    """Check that two leaves store the same validity and offsets of `field`."""
    same = len(first) == len(other) and first.null_count == other.null_count
    if same and first.null_count and not _same_bytes(bitmap_of(first), bitmap_of(other)):
        same = bool((first.is_null().to_numpy(False) == other.is_null().to_numpy(False)).all())
    if same and (pa.types.is_list(first.type) or pa.types.is_large_list(first.type)):
        same = _same_bytes(list_items(first)[0], list_items(other)[0])
    if not same:
        raise FormatError(f"two columns below the field {field.name!r} disagree about its nulls or lengths")


def innermost(array: pa.Array, containers: Sequence[Container | FixedList]) -> tuple[pa.Array, Mask]:
    """Return the values of an array of one path, and which of them nobody sees because a struct or list around them is null.

    Parameters
    ----------
    array
        As :func:`split_paths` gives it.
    containers
        Of its path.

    Returns
    -------
    values, hidden
        The leaf's array, and ``bool[len(values)]``; ``None``: none is hidden.
    """
    hidden: Mask = None
    for container in containers:
        valid = valid_mask(array)
        if valid is not None:
            hidden = ~valid if hidden is None else hidden | ~valid
        if container is Container.STRUCT:
            array = array.field(0)
        elif isinstance(container, FixedList):
            size = container.dimension
            array = array.values.slice(array.offset * size, len(array) * size)
            hidden = None if hidden is None else np.repeat(hidden, size)
        else:
            offsets, array = list_items(array)
            hidden = None if hidden is None else np.repeat(hidden, np.diff(offsets))
    return array, hidden


def with_innermost(
    array: pa.Array, containers: Sequence[Container | FixedList], values: pa.Array
) -> pa.Array:
    """Return an array of one path with other `values`, which may be of another type, as :func:`innermost` gives them."""
    if not containers:
        return values
    container, num_values, buffers = containers[0], len(array), [bitmap_of(array)]
    if container is Container.STRUCT:
        items, name = array.field(0), array.type.field(0).name
    elif isinstance(container, FixedList):
        items = array.values.slice(array.offset * container.dimension, num_values * container.dimension)
    else:
        offsets, items = list_items(array)
        buffers.append(pa.py_buffer(offsets))
    items = with_innermost(items, containers[1:], values)
    if container is Container.STRUCT:
        type_ = pa.struct([pa.field(name, items.type)])
    elif isinstance(container, FixedList):
        type_ = pa.list_(items.type, container.dimension)
    else:
        type_ = pa.large_list(items.type) if container is Container.LARGE_LIST else pa.list_(items.type)
    return _rebuild(type_, num_values, buffers, array.null_count, items)
