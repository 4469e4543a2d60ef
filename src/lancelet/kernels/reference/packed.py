"""Rows of packed structs: the values of all fields of a row side by side (compressors.md 5.4).

=====================  ==========================================  =================================
field                  bytes of a row                              its number in ``widths``
=====================  ==========================================  =================================
of one width           the value                                   its size, 1 or more
of any length          length in 4 or 8 bytes, then the value      -4 or -8
=====================  ==========================================  =================================

A row of ``{int32 27, "ab", uint8 42}``, with ``widths`` 4, -4, 1: ``1b000000 02000000 6162 2a``.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_bytes, nbytes
from lancelet.errors import FormatError
from lancelet.kernels.reference.offsets import check_values, read_offsets, write_offsets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lancelet.buffers import Data, Int64Array

__all__ = [
    "packed_decode",
    "packed_decode_offsets",
    "packed_encode",
    "packed_encode_offsets",
    "packed_interleave",
    "packed_split",
]

_MAX_WIDTH = 1 << 36
_MAX_FIELDS = 1 << 24


def packed_interleave(values: Sequence[Data], widths: Int64Array, num_rows: int, out: Data) -> None:
    """Write rows of fields of one width.

    Parameters
    ----------
    values
        For each field ``num_rows * widths[field]`` bytes.
    widths
        ``int64[num_fields]``, at least one; none may be negative here.
    num_rows
        Number of rows.
    out
        ``num_rows * sum(widths)`` bytes.
    """
    sizes = _checked(widths, num_rows)
    rows = _rows_of_one_size(values, sizes, num_rows, out)
    position = 0
    for data, width in zip(values, sizes, strict=True):
        rows[:, position : position + width] = as_bytes(data).reshape(num_rows, width)
        position += width


def packed_split(data: Data, widths: Int64Array, num_rows: int, out_values: Sequence[Data]) -> None:
    """Read rows of fields of one width; the way back of :func:`packed_interleave`.

    Parameters
    ----------
    data
        ``num_rows * sum(widths)`` bytes.
    widths, num_rows
        As for :func:`packed_interleave`.
    out_values
        For each field ``num_rows * widths[field]`` bytes.
    """
    sizes = _checked(widths, num_rows)
    rows = _rows_of_one_size(out_values, sizes, num_rows, data)
    position = 0
    for out, width in zip(out_values, sizes, strict=True):
        as_bytes(out).reshape(num_rows, width)[:] = rows[:, position : position + width]
        position += width


def packed_encode_offsets(
    offsets: Sequence[Data], widths: Int64Array, num_rows: int, out_offsets: Int64Array
) -> None:
    """Tell where rows will start.

    Parameters
    ----------
    offsets
        For each field of any length its ``num_rows + 1`` offsets, unsigned integers of ``-widths[field]`` bytes; the first one need
        not be 0. No bytes for a field of one width.
    widths
        ``int64[num_fields]``, at least one.
    num_rows
        Number of rows.
    out_offsets
        ``int64[num_rows + 1]``: starts of the rows from 0 on, and the size of all.

    Raises
    ------
    FormatError
        Offsets decrease, or say more than 63 bits can count.
    """
    sizes = _checked(widths, num_rows)
    if num_rows * sum(map(abs, sizes)) > (2**63 - 1) // 2:
        raise ValueError("the rows are too many")
    most = (2**63 - 1) // (2 * len(sizes))
    borders = _field_offsets(offsets, sizes, num_rows, [most] * len(sizes))
    if len(out_offsets) != num_rows + 1:
        raise ValueError("out_offsets: n + 1 integers are needed")
    lengths = [
        sum(map(abs, sizes)) + sum(field[row + 1] - field[row] for field in borders if field)
        for row in range(num_rows)
    ]
    out_offsets[:] = list(accumulate(lengths, initial=0))


def packed_encode(
    values: Sequence[Data], offsets: Sequence[Data], widths: Int64Array, num_rows: int, out: Data
) -> None:
    """Write rows.

    Parameters
    ----------
    values
        The bytes of each field: ``num_rows * widths[field]`` of them, or those that its offsets refer to.
    offsets, widths, num_rows
        As for :func:`packed_encode_offsets`.
    out
        As many bytes as the rows take.

    Raises
    ------
    FormatError
        Offsets decrease or reach past the values.
    """
    sizes = _checked(widths, num_rows)
    _expect_fields(values, sizes)
    borders = _field_offsets(offsets, sizes, num_rows, [nbytes(data) for data in values])
    for data, width in zip(values, sizes, strict=True):
        if width > 0 and nbytes(data) != num_rows * width:
            raise ValueError("the values do not fit the number of rows")
    rows = bytearray()
    for row in range(num_rows):
        for data, field, width in zip(values, borders, sizes, strict=True):
            if width > 0:
                rows += as_bytes(data)[row * width : (row + 1) * width].tobytes()
            else:
                start, stop = field[row : row + 2]
                rows += (stop - start).to_bytes(-width, "little") + as_bytes(data)[start:stop].tobytes()
    if nbytes(out) != len(rows):
        raise ValueError("the output does not fit the rows")
    as_bytes(out)[:] = np.frombuffer(rows, dtype=np.uint8)


def packed_decode_offsets(
    data: Data,
    offsets: Data,
    offset_bits: int,
    widths: Int64Array,
    num_rows: int,
    out_offsets: Sequence[Data],
) -> None:
    """Check rows, and tell how long the values of their fields are.

    Parameters
    ----------
    data
        The rows' bytes. A row without bytes stands for a null struct: its values are zeros, or have no bytes.
    offsets
        ``num_rows + 1`` unsigned integers of `offset_bits`: where rows start and end; the first one need not be 0.
    offset_bits
        32 or 64.
    widths
        ``int64[num_fields]``, at least one.
    num_rows
        Number of rows.
    out_offsets
        For each field of any length room for ``num_rows + 1`` unsigned integers of ``-widths[field]`` bytes: where its values
        start, from 0 on, and the size of all. No bytes for a field of one width.

    Raises
    ------
    FormatError
        The offsets decrease or reach past the data, a field reaches past its row, a row has bytes after its last field, or the
        values of a field are more than signed offsets of the width of its lengths can count.
    """
    sizes = _checked(widths, num_rows)
    _expect_fields(out_offsets, sizes)
    for out, width in zip(out_offsets, sizes, strict=True):
        if nbytes(out) != (0 if width > 0 else (num_rows + 1) * -width):
            raise ValueError("out_offsets: n + 1 integers are needed")
    totals = [[0] for _ in sizes]
    for row in _walk(data, offsets, offset_bits, sizes, num_rows):
        for total, width, value in zip(totals, sizes, row or [b""] * len(sizes), strict=True):
            total.append(total[-1] + len(value))
            if width < 0 and total[-1] >= 1 << (8 * -width - 1):
                raise FormatError("the values of a field are too large for its offsets")
    for out, total, width in zip(out_offsets, totals, sizes, strict=True):
        if width < 0:
            write_offsets(out, 8 * -width, total)


def packed_decode(
    data: Data,
    offsets: Data,
    offset_bits: int,
    widths: Int64Array,
    num_rows: int,
    out_values: Sequence[Data],
) -> None:
    """Read the values of all fields.

    Parameters
    ----------
    data, offsets, offset_bits, widths, num_rows
        As for :func:`packed_decode_offsets`.
    out_values
        For each field ``num_rows * widths[field]`` bytes, or as many as its values take: the last of its offsets.

    Raises
    ------
    FormatError
        As for :func:`packed_decode_offsets`.
    """
    sizes = _checked(widths, num_rows)
    _expect_fields(out_values, sizes)
    for out, width in zip(out_values, sizes, strict=True):
        if width > 0 and nbytes(out) != num_rows * width:
            raise ValueError("the output does not fit the number of rows")
    fields = [bytearray() for _ in sizes]
    for row in _walk(data, offsets, offset_bits, sizes, num_rows):
        for field, value in zip(fields, row or [bytes(max(width, 0)) for width in sizes], strict=True):
            field += value
    for out, field in zip(out_values, fields, strict=True):
        if nbytes(out) != len(field):
            raise ValueError("the output does not fit the values")
        as_bytes(out)[:] = np.frombuffer(field, dtype=np.uint8)


def _checked(widths: Int64Array, num_rows: int) -> list[int]:
    """Return the widths as numbers."""
    sizes: list[int] = np.asarray(widths).tolist()
    if not 1 <= len(sizes) <= _MAX_FIELDS:
        raise ValueError("a row needs at least one field")
    if num_rows < 0:
        raise ValueError("the number of rows is negative")
    if any(width not in (-4, -8) and not 0 < width <= _MAX_WIDTH for width in sizes):
        raise ValueError("a field has an impossible width")
    if num_rows * sum(map(abs, sizes)) > 2**63 - 1:
        raise ValueError("the rows are too many")
    return sizes


def _expect_fields(buffers: Sequence[Data], sizes: list[int]) -> None:
    if len(buffers) != len(sizes):
        raise ValueError("there is not one buffer a field")


def _rows_of_one_size(values: Sequence[Data], sizes: list[int], num_rows: int, rows: Data) -> np.ndarray:
    """Check all sizes; view the rows as ``uint8[num_rows, row_bytes]``."""
    if min(sizes) < 0:
        raise ValueError("a field has no fixed width")
    _expect_fields(values, sizes)
    if any(nbytes(data) != num_rows * width for data, width in zip(values, sizes, strict=True)):
        raise ValueError("the values do not fit the number of rows")
    if nbytes(rows) != num_rows * sum(sizes):
        raise ValueError("the rows do not fit their number")
    return as_bytes(rows).reshape(num_rows, sum(sizes))


def _field_offsets(
    offsets: Sequence[Data], sizes: list[int], num_rows: int, data_bytes: list[int]
) -> list[list[int]]:
    """Return the checked offsets of each field, an empty list for one of one width."""
    _expect_fields(offsets, sizes)
    borders: list[list[int]] = []
    for raw, width, num_bytes in zip(offsets, sizes, data_bytes, strict=True):
        if width > 0:
            if nbytes(raw):
                raise ValueError("a field of one width has offsets")
            borders.append([])
            continue
        field = read_offsets(raw, 8 * -width)
        if len(field) != num_rows + 1:
            raise ValueError("offsets: n + 1 whole integers are needed")
        check_values(field, num_bytes)
        borders.append(field)
    return borders


def _walk(
    data: Data, offsets: Data, offset_bits: int, sizes: list[int], num_rows: int
) -> Iterator[list[bytes] | None]:
    """Yield the values of each row, ``None`` for a row without bytes."""
    borders = read_offsets(offsets, offset_bits)
    if len(borders) != num_rows + 1:
        raise ValueError("offsets: n + 1 whole integers are needed")
    check_values(borders, nbytes(data))
    for start, stop in pairwise(borders):
        yield _fields_of(as_bytes(data)[start:stop].tobytes(), sizes) if stop > start else None


def _fields_of(row: bytes, sizes: list[int]) -> list[bytes]:
    values = []
    position = 0
    for width in sizes:
        length = width
        if width < 0:
            if position - width > len(row):
                raise FormatError("a field of a packed struct reaches past its row")
            length = int.from_bytes(row[position : position - width], "little")
            position -= width
        if position + length > len(row):
            raise FormatError("a field of a packed struct reaches past its row")
        values.append(row[position : position + length])
        position += length
    if position != len(row):
        raise FormatError("a row of a packed struct has bytes after its last field")
    return values
