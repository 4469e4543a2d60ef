"""Dictionaries: distinct values in order of first occurrence, and back (compressors.md 5.6)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_bytes, as_values, nbytes
from lancelet.errors import FormatError
from lancelet.kernels.reference.offsets import check_values, read_offsets, write_offsets

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from lancelet.buffers import Data, Int64Array

__all__ = ["gather_fixed", "gather_variable", "gather_variable_offsets", "unique_fixed", "unique_variable"]


def unique_fixed(
    data: Data, value_bytes: int, max_entries: int, out_indices: npt.NDArray[np.uint32], out_first: Int64Array
) -> int:
    """Number the distinct values in order of first occurrence; values are compared as bit patterns.

    Parameters
    ----------
    data
        Values of `value_bytes` bytes each.
    value_bytes
        4, 8 or 16.
    max_entries
        Most distinct values.
    out_indices
        ``uint32[num_values]``, filled with the number of every value; undefined when -1 is returned.
    out_first
        ``int64[max_entries]``, filled with the position where each number occurs first, as far as there are
        numbers; undefined when -1 is returned.

    Returns
    -------
    int
        How many values are distinct; -1 as soon as they are more than `max_entries`.

    Raises
    ------
    ValueError
        `value_bytes` is unknown, or a buffer has a wrong size.
    """
    if value_bytes not in (4, 8, 16):
        raise ValueError("value_bytes must be 4, 8 or 16")
    raw = as_bytes(data).tobytes()
    if len(raw) % value_bytes:
        raise ValueError("unique_fixed: the data is not a whole number of values")
    values = [raw[at : at + value_bytes] for at in range(0, len(raw), value_bytes)]
    return _number(values, max_entries, len(raw), out_indices, out_first)


def unique_variable(
    data: Data,
    offsets: Data,
    offset_bits: int,
    max_entries: int,
    max_bytes: int,
    out_indices: npt.NDArray[np.uint32],
    out_first: Int64Array,
) -> int:
    """Number the distinct values of any length in order of first occurrence.

    Parameters
    ----------
    data
        The values' bytes.
    offsets
        ``num_values + 1`` unsigned integers of `offset_bits`; the first may be above 0.
    offset_bits
        32 or 64.
    max_entries
        Most distinct values.
    max_bytes
        Most bytes that the distinct values have together, offsets not counted.
    out_indices, out_first
        As in :func:`unique_fixed`.

    Returns
    -------
    int
        How many values are distinct; -1 as soon as a limit is exceeded.

    Raises
    ------
    FormatError
        The offsets decrease or reach past `data`.
    ValueError
        `offset_bits` is unknown, a limit is negative, or a buffer has a wrong size.
    """
    borders = read_offsets(offsets, offset_bits)
    if max_bytes < 0:
        raise ValueError("unique_variable: max_bytes is negative")
    _check_arguments(len(borders) - 1, max_entries, out_indices, out_first)
    check_values(borders, nbytes(data))
    raw = as_bytes(data).tobytes()
    values = [raw[start:stop] for start, stop in pairwise(borders)]
    return _number(values, max_entries, max_bytes, out_indices, out_first)


def _check_arguments(
    num_values: int, max_entries: int, out_indices: npt.NDArray[np.uint32], out_first: Int64Array
) -> None:
    if not 0 <= max_entries < 2**32 - 1:
        raise ValueError("unique: max_entries must fit 32 bits")
    if len(out_indices) != num_values:
        raise ValueError("unique: out_indices needs one index a value")
    if len(out_first) != max_entries:
        raise ValueError("unique: out_first needs max_entries integers")


def _number(
    values: list[bytes],
    max_entries: int,
    max_bytes: int,
    out_indices: npt.NDArray[np.uint32],
    out_first: Int64Array,
) -> int:
    _check_arguments(len(values), max_entries, out_indices, out_first)
    numbers: dict[bytes, int] = {}
    num_bytes = 0
    for i, value in enumerate(values):
        if value not in numbers:
            num_bytes += len(value)
            if len(numbers) == max_entries or num_bytes > max_bytes:
                return -1
            out_first[len(numbers)] = i
            numbers[value] = len(numbers)
        out_indices[i] = numbers[value]
    return len(numbers)


def _read_indices(indices: Data, index_bits: int, validity: Data, num_items: int) -> list[int | None]:
    """Return one index a slot, ``None`` for null slots."""
    if index_bits not in (8, 16, 32, 64):
        raise ValueError("index_bits must be 8, 16, 32 or 64")
    if nbytes(indices) % (index_bits // 8):
        raise ValueError("gather: the indices are not whole integers")
    numbers = [int(index) for index in as_values(indices, index_bits)]
    valid: Iterable[int] = [1] * len(numbers)
    if nbytes(validity):
        if nbytes(validity) < (len(numbers) + 7) // 8:
            raise ValueError("gather: validity needs one bit a slot")
        valid = np.unpackbits(as_bytes(validity), count=len(numbers), bitorder="little").tolist()
    if any(bit and index >= num_items for bit, index in zip(valid, numbers, strict=True)):
        raise FormatError("an index lies outside of its dictionary")
    return [index if bit else None for bit, index in zip(valid, numbers, strict=True)]


def gather_fixed(
    data: Data, value_bytes: int, indices: Data, index_bits: int, validity: Data, out: Data
) -> None:
    """Look up the items of a dictionary of values of one width.

    Parameters
    ----------
    data
        The items, `value_bytes` bytes each; may be empty.
    value_bytes
        At least 1.
    indices
        One unsigned integer of `index_bits` a slot.
    index_bits
        8, 16, 32 or 64.
    validity
        Bitmap of the slots (bit 1 = valid, slot 0 at bit 0), or empty: all are valid. The index of a null slot
        is not looked at.
    out
        ``num_slots * value_bytes`` bytes; null slots become zeros.

    Raises
    ------
    FormatError
        The index of a valid slot is not below the number of items.
    ValueError
        `index_bits` is unknown, or a buffer has a wrong size.
    """
    if value_bytes <= 0:
        raise ValueError("gather_fixed: a value has at least one byte")
    raw = as_bytes(data).tobytes()
    if len(raw) % value_bytes:
        raise ValueError("gather_fixed: the data is not a whole number of values")
    numbers = _read_indices(indices, index_bits, validity, len(raw) // value_bytes)
    if nbytes(out) != len(numbers) * value_bytes:
        raise ValueError("gather_fixed: out needs one value an index")
    items = [
        bytes(value_bytes) if i is None else raw[i * value_bytes : (i + 1) * value_bytes] for i in numbers
    ]
    as_bytes(out)[:] = as_bytes(b"".join(items))


def gather_variable_offsets(
    offsets: Data, offset_bits: int, indices: Data, index_bits: int, validity: Data, out_offsets: Data
) -> int:
    """Compute where the values that :func:`gather_variable` looks up begin.

    Parameters
    ----------
    offsets, offset_bits
        Offsets of the items: ``num_items + 1`` unsigned integers of 32 or 64 bits; the first may be above 0.
    indices, index_bits, validity
        As in :func:`gather_fixed`.
    out_offsets
        ``num_slots + 1`` integers of `offset_bits`, filled with offsets from 0; null slots are empty.

    Returns
    -------
    int
        Bytes of all values together.

    Raises
    ------
    FormatError
        The index of a valid slot is not below the number of items, the offsets decrease, or the total is above
        ``2 ** (offset_bits - 1) - 1``.
    ValueError
        A width is unknown, or a buffer has a wrong size.
    """
    borders = read_offsets(offsets, offset_bits)
    check_values(borders, 2**63 - 1)
    numbers = _read_indices(indices, index_bits, validity, len(borders) - 1)
    new_borders = [0]
    for i in numbers:
        new_borders.append(new_borders[-1] + (0 if i is None else borders[i + 1] - borders[i]))
    if new_borders[-1] > 2 ** (offset_bits - 1) - 1:
        raise FormatError("the values of a dictionary are too long for their offsets")
    write_offsets(out_offsets, offset_bits, new_borders)
    return new_borders[-1]


def gather_variable(
    data: Data,
    offsets: Data,
    offset_bits: int,
    indices: Data,
    index_bits: int,
    validity: Data,
    out_offsets: Data,
    out: Data,
) -> None:
    """Look up the items of a dictionary of values of any length.

    Parameters
    ----------
    data, offsets, offset_bits
        The items, as in :func:`unique_variable`.
    indices, index_bits, validity
        As in :func:`gather_fixed`.
    out_offsets
        What :func:`gather_variable_offsets` computed from the same arguments.
    out
        As many bytes as it returned.

    Raises
    ------
    FormatError
        The index of a valid slot is not below the number of items, or the offsets decrease or reach past `data`.
    ValueError
        `out_offsets` or `out` do not fit the values, or a width is unknown.
    """
    borders = read_offsets(offsets, offset_bits)
    check_values(borders, nbytes(data))
    numbers = _read_indices(indices, index_bits, validity, len(borders) - 1)
    raw = as_bytes(data).tobytes()
    values = [b"" if i is None else raw[borders[i] : borders[i + 1]] for i in numbers]
    new_borders = [0]
    for value in values:
        new_borders.append(new_borders[-1] + len(value))
    if read_offsets(out_offsets, offset_bits) != new_borders or nbytes(out) != new_borders[-1]:
        raise ValueError("gather_variable: out and out_offsets do not fit the values")
    as_bytes(out)[:] = as_bytes(b"".join(values))
