"""Offsets of variable-width values, checked: what several groups of twins share. No kernel stands here."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from lancelet.buffers import as_values, nbytes
from lancelet.errors import FormatError

if TYPE_CHECKING:
    from lancelet.buffers import Data

__all__ = ["check_values", "read_offsets", "write_offsets"]


def read_offsets(offsets: Data, offset_bits: int) -> list[int]:
    """Return the ``num_values + 1`` offsets.

    Raises
    ------
    ValueError
        `offset_bits` is neither 32 nor 64, or the buffer does not hold at least one whole integer.
    """
    if offset_bits not in (32, 64):
        raise ValueError("offset_bits must be 32 or 64")
    if nbytes(offsets) == 0 or nbytes(offsets) % (offset_bits // 8):
        raise ValueError("offsets: n + 1 whole integers are needed")
    return [int(offset) for offset in as_values(offsets, offset_bits)]


def check_values(offsets: list[int], data_bytes: int) -> None:
    """Check that the values lie in `data_bytes` bytes, one after the other.

    Raises
    ------
    FormatError
        They do not.
    """
    if any(start > stop for start, stop in pairwise(offsets)):
        raise FormatError("the offsets of values decrease")
    if offsets[-1] > data_bytes:
        raise FormatError("the offsets of values reach past the data")


def write_offsets(out_offsets: Data, offset_bits: int, offsets: list[int]) -> None:
    """Fill the buffer `out_offsets`, which has exactly the size of `offsets`.

    Raises
    ------
    ValueError
        It has another size.
    """
    if nbytes(out_offsets) != len(offsets) * (offset_bits // 8):
        raise ValueError("out_offsets: n + 1 integers are needed")
    as_values(out_offsets, offset_bits)[:] = offsets
