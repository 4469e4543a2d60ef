"""Pages' leaves to the arrays of fields: rows that came along are dropped, leaves of one field are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.blocks.arrow import from_block
from lancelet.errors import FormatError, UnsupportedError
from lancelet.fields.assembling import assembled
from lancelet.fields.blob import with_one_validity
from lancelet.fields.empty import empty_structs
from lancelet.fields.joining import join
from lancelet.fields.packed import unsupported_child
from lancelet.fields.paths import (
    Container,
    LeafPath,
    is_empty_struct,
    is_leaf,
    join_paths,
    leaf_paths,
    shown,
)
from lancelet.fields.structure import array_of_leaf, kept
from lancelet.levels.flat import validity_from_levels
from lancelet.schema.blobs import DESCRIPTOR_V2, descriptor_type, is_blob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from lancelet.buffers import Allocate
    from lancelet.levels import Leaf
    from lancelet.pages.base import RowRanges
    from lancelet.schema.fields import Field

__all__ = ["check_supported", "field_arrays", "join_leaves", "leaf_array", "leaf_arrays"]


def check_supported(field: Field) -> None:
    """Check that columns of this field can be read and written.

    Raises
    ------
    UnsupportedError
        The field has, at some depth, a type that has no encoder and decoder here yet.
    """
    for path in leaf_paths(field):
        leaf = path.leaf
        if is_blob(leaf):
            descriptor_type(leaf)
            continue
        if is_empty_struct(leaf) and any(step is not Container.STRUCT for step in path.containers):
            what = "structs without children inside of lists are"
        elif unsupported_child(leaf) is not None:
            what = f"packed structs with a child of type {unsupported_child(leaf)} are"
        else:
            continue
        raise UnsupportedError(f"{what} not supported (field {field.name!r})")


def field_arrays(
    stored: Field,
    field: Field,
    leaves: Sequence[Sequence[tuple[Leaf, RowRanges | None]]],
    allocate: Allocate,
) -> list[pa.Array]:
    """Make the arrays of a field without blobs: :func:`leaf_arrays` and then :func:`join_leaves`, or the short way.

    Parameters
    ----------
    stored, field
        The field as it is stored and as it is shown.
    leaves, allocate
        See :func:`leaf_arrays`.

    Returns
    -------
    list
        The rows in order, in one array or several.

    Raises
    ------
    FormatError
        A page does not fit the type, or two columns disagree about the structure that they share.
    """
    if not is_leaf(stored) and all(len(pages) == 1 and pages[0][1] is None for pages in leaves):
        array = assembled(stored, field, [pages[0][0] for pages in leaves], allocate)
        if array is not None:
            return [array]
    return join_leaves(field, leaf_arrays(stored, leaves, allocate))


def leaf_arrays(
    field: Field, leaves: Iterable[Iterable[tuple[Leaf, RowRanges | None]]], allocate: Allocate
) -> list[list[pa.Array]]:
    """Make the arrays of the leaves of a field; of blobs those of their descriptors.

    Parameters
    ----------
    field
        The field as it is stored.
    leaves
        For each of its leaves, in the order of :func:`~lancelet.fields.paths.leaf_paths`, what its pages gave: a leaf, and the rows
        of it to keep, as the page counts them (``None``: all). Each is asked for when the array of the one before is made.
    allocate
        Where memory comes from for values that are looked up in a dictionary, and for nulls: pages without values are of any
        length.

    Returns
    -------
    list
        For each leaf the arrays of its path, one a page.

    Raises
    ------
    FormatError
        A page does not fit the type.
    """
    return [
        [_kept_rows(leaf, path, allocate, keep) for leaf, keep in pages]
        for path, pages in zip(leaf_paths(field), leaves, strict=True)
    ]


def join_leaves(field: Field, parts: Sequence[Sequence[pa.Array]]) -> list[pa.Array]:
    """Put the arrays of the leaves of a field together.

    Parameters
    ----------
    field
        The field as it is shown.
    parts
        What :func:`leaf_arrays` gave, with values in place of descriptors where values are shown.

    Returns
    -------
    list
        The rows in order, in one array or several.

    Raises
    ------
    FormatError
        Two columns disagree about the structure that they share.
    """
    if is_leaf(field):
        return [shown(part, field.arrow_type) for part in parts[0]]
    return _nested_arrays(field, parts)


def _nested_arrays(field: Field, parts: Sequence[Sequence[pa.Array]]) -> list[pa.Array]:
    """Put the leaves of a nested field together; rows that one array cannot hold become several."""
    joined = [join(pages) for pages in parts]
    whole = [array for array in joined if array is not None]
    if len(whole) == len(parts):
        return [join_paths(iter(whole), field)]
    num_rows = sum(map(len, parts[0]))
    if num_rows < 2:
        raise FormatError(f"a row of field {field.name!r} does not fit its type")
    half = num_rows // 2
    first = [_rows(pages, 0, half) for pages in parts]
    second = [_rows(pages, half, num_rows) for pages in parts]
    return _nested_arrays(field, first) + _nested_arrays(field, second)


def _rows(pages: Sequence[pa.Array], start: int, stop: int) -> list[pa.Array]:
    """Return rows `start` to `stop` of what lies in `pages` one after the other; at least one array."""
    parts, first = [pages[0][:0]], 0
    for page in pages:
        low, high = max(start - first, 0), min(stop - first, len(page))
        if low < high:
            parts.append(page.slice(low, high - low))
        first += len(page)
    return parts[1:] or parts


def _kept_rows(leaf: Leaf, path: LeafPath, allocate: Allocate, keep: RowRanges | None) -> pa.Array:
    if keep is None or path.rows_per_row > 1:
        return leaf_array(leaf, path, allocate, keep)
    return kept(leaf_array(leaf, path, allocate), keep)


def leaf_array(leaf: Leaf, path: LeafPath, allocate: Allocate, keep: RowRanges | None = None) -> pa.Array:
    """Make the array of a leaf: of a flat column directly, of any other by :func:`~lancelet.fields.structure.array_of_leaf`.

    Parameters and errors are those of that function; `keep` is only given where pages count several rows for one of the file.
    """
    if is_empty_struct(path.leaf):
        return empty_structs(leaf.num_rows, path)
    if path.value_type == DESCRIPTOR_V2 and is_blob(path.leaf):
        leaf = with_one_validity(leaf, len(path.kinds))
    if path.containers or len(leaf.layers) != 1 or leaf.layers[0].is_list:
        return array_of_leaf(leaf, path, allocate, keep)
    validity, null_count = None, 0
    if leaf.def_ is not None and leaf.values is not None:
        if int(leaf.def_.max(initial=0)) > leaf.layers[0].num_def:
            raise FormatError("a definition level is larger than the layers of the page allow")
        validity, null_count = validity_from_levels(leaf.def_)
    return from_block(
        leaf.values,
        path.value_type,
        leaf.num_rows,
        validity if null_count else None,
        null_count,
        allocate,
    )
