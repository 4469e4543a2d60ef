"""Leaves to Arrow arrays: values and validity are put together, and rows that came along are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import from_block
from lancelet.errors import FormatError, UnsupportedError
from lancelet.levels.flat import validity_from_levels

if TYPE_CHECKING:
    from lancelet.levels import Leaf
    from lancelet.pages.base import RowRanges
    from lancelet.schema.fields import Field

__all__ = ["check_readable", "kept", "leaf_array"]


def check_readable(field: Field) -> None:
    """Check that columns of this field can be read.

    Raises
    ------
    UnsupportedError
        The field's type has no decoder here yet.
    """
    type_ = field.arrow_type
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    if pa.types.is_nested(storage) or pa.types.is_dictionary(storage):
        raise UnsupportedError(
            f"reading columns of type {type_} is not supported yet (field {field.name!r}); name other columns with columns="
        )
    if "lance-encoding:blob" in field.metadata:
        raise UnsupportedError(f"reading blob columns is not supported yet (field {field.name!r})")


def leaf_array(leaf: Leaf, type_: pa.DataType) -> pa.Array:
    """Make the array of a `leaf` without structure.

    Parameters
    ----------
    leaf
        Rows of a page.
    type_
        Arrow type of the field; extension types give extension arrays.

    Raises
    ------
    FormatError
        The page has structure that the type has not, or its values do not fit the type.
    """
    if len(leaf.layers) != 1 or leaf.layers[0].is_list:
        kinds = ", ".join(layer.name for layer in leaf.layers)
        raise FormatError(f"a column of type {type_} has one layer of validity, and the page has the layers {kinds}")
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    validity, null_count = None, 0
    if leaf.def_ is not None and leaf.values is not None:
        validity, null_count = validity_from_levels(leaf.def_)
        if null_count == 0:
            validity = None
    array = from_block(leaf.values, storage, leaf.num_rows, validity, null_count)
    return pa.ExtensionArray.from_storage(type_, array) if storage is not type_ else array


def kept(array: pa.Array, keep: RowRanges | None) -> pa.Array:
    """Return the rows `keep` of `array`, a view when they are one range."""
    if keep is None:
        return array
    if len(keep.starts) == 1:
        return array.slice(int(keep.starts[0]), int(keep.stops[0] - keep.starts[0]))
    lengths = keep.stops - keep.starts
    shifts = keep.starts - np.concatenate(([0], np.cumsum(lengths)[:-1]))
    return array.take(pa.array(np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(shifts, lengths)))
