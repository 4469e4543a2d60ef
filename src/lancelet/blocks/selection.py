"""Values of an array picked by position or by a mask.

``take`` and ``filter`` of pyarrow (release 26) read past the memory of fixed-size lists of fixed-size lists that are slices, or
hold slices: they give other bytes than those of the values. Such arrays are copied first, so that they start at 0 at every depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lancelet.buffers import Int64Array

__all__ = ["filtered", "taken"]


def taken(array: pa.Array, positions: Int64Array) -> pa.Array:
    """Return the values of `array` at `positions`, in their order."""
    return _safe(array).take(pa.array(positions))


def filtered(array: pa.Array, mask: npt.NDArray[np.bool_]) -> pa.Array:
    """Return the values of `array` where ``mask: bool[len(array)]`` is true."""
    return _safe(array).filter(pa.array(mask))


def _safe(array: pa.Array) -> pa.Array:
    return pa.concat_arrays([array, array[:0]]) if _has_lists_in_lists(array.type) else array


def _has_lists_in_lists(type_: pa.DataType) -> bool:
    """Whether there are fixed-size lists of fixed-size lists at some depth of a type without extensions."""
    if pa.types.is_fixed_size_list(type_) and pa.types.is_fixed_size_list(type_.value_type):
        return True
    if not pa.types.is_nested(type_):
        return False
    return any(_has_lists_in_lists(type_.field(index).type) for index in range(type_.num_fields))
