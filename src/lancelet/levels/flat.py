"""The fast path for a column without lists and structs: its levels are its validity.

The results are those of :mod:`~lancelet.levels.build` and :mod:`~lancelet.levels.unravel` for a single step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lancelet import kernels

if TYPE_CHECKING:
    from lancelet.buffers import Data, UInt8Array, UInt16Array

__all__ = ["count_nulls", "levels_from_validity", "validity_from_levels"]


def count_nulls(validity: Data, bit_offset: int, num_values: int) -> int:
    """Count the nulls of a bitmap whose value 0 stands at bit `bit_offset`; decides whether a column needs levels at all."""
    return kernels.count_nulls(validity, bit_offset, num_values)


def levels_from_validity(validity: Data, bit_offset: int, num_values: int) -> UInt16Array:
    """Make the definition levels of a nullable column: 0 is valid, 1 is null.

    Parameters
    ----------
    validity
        Bitmap, 1 is valid.
    bit_offset
        Bit of value 0; not 0 in a slice of an Arrow array.
    num_values
        Number of values.

    Returns
    -------
    numpy.ndarray
        ``uint16[num_values]``.
    """
    levels = np.empty(num_values, dtype=np.uint16)
    kernels.levels_from_validity(validity, bit_offset, num_values, 1, levels)
    return levels


def validity_from_levels(def_: UInt16Array) -> tuple[UInt8Array, int]:
    """Make the validity bitmap of a nullable column.

    Parameters
    ----------
    def_
        ``uint16[num_values]``: 0 is valid.

    Returns
    -------
    bitmap, null_count
        ``uint8[ceil(num_values / 8)]`` from bit 0, the last bits 0; and the number of nulls.
    """
    bitmap = np.empty((len(def_) + 7) // 8, dtype=np.uint8)
    return bitmap, kernels.validity_from_levels(def_, 0, bitmap)
