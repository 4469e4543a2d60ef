"""Bit-packing of 1024-value blocks in FastLanes order (compressors.md 3).

===================  ============================================================================================
form                 bytes of one block of ``n`` values of T bits, packed to W bits
===================  ============================================================================================
packed               ``W * 1024 / T`` words of T bits; word ``k`` of lane ``l`` at index ``k * 1024 / T + l``
inline               W as an integer of T bits, then the packed block, padded with zeros to 1024 values
out of line          packed blocks of 1024 values; the tail is packed too, or raw where that is not longer
===================  ============================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.buffers import as_bytes, as_values
from lancelet.errors import FormatError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.buffers import Data, Int64Array, UInt8Array

__all__ = [
    "bit_widths",
    "block_widths",
    "inline_pack",
    "inline_unpack",
    "out_of_line_pack",
    "out_of_line_unpack",
]

BLOCK_VALUES = 1024
_ORDER = (0, 4, 2, 6, 1, 5, 3, 7)


def _check_bits(bits: int, width: int = 0) -> None:
    if bits not in (8, 16, 32, 64):
        raise ValueError("bits must be 8, 16, 32 or 64")
    if not 0 <= width <= bits:
        raise ValueError("the width is larger than the values")


def _values(data: Data, bits: int) -> npt.NDArray[Any]:
    _check_bits(bits)
    if memoryview(data).nbytes % (bits // 8):
        raise ValueError("the data is not a whole number of values")
    return as_values(data, bits)


def _split(values: npt.NDArray[Any], counts: Int64Array) -> list[npt.NDArray[Any]]:
    """Cut `values` into parts of ``counts[i]`` values."""
    if np.any(counts < 0) or int(counts.sum()) != len(values):
        raise ValueError("the counts do not fit the values")
    return np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []


def _elements(bits: int) -> npt.NDArray[np.intp]:
    """Return ``intp[bits, 1024 / bits]``: the element that stands in row ``r`` of lane ``l``."""
    rows = [_ORDER[row // 8] * 16 + row % 8 * 128 for row in range(bits)]
    return np.array(rows, dtype=np.intp)[:, None] + np.arange(BLOCK_VALUES // bits)


def _pack(values: npt.NDArray[Any], bits: int, width: int) -> UInt8Array:
    """Pack up to 1024 values, missing ones as zeros."""
    padded = np.zeros(BLOCK_VALUES, dtype=f"<u{bits // 8}")
    padded[: len(values)] = values
    rows = padded[_elements(bits)]
    bit_strings = (rows[:, None, :] >> np.arange(width, dtype=rows.dtype)[:, None]) & rows.dtype.type(1)
    words = bit_strings.reshape(width, bits, BLOCK_VALUES // bits)
    weights = np.arange(bits, dtype=rows.dtype)[None, :, None]
    packed: npt.NDArray[Any] = np.bitwise_or.reduce(words << weights, axis=1).astype(rows.dtype)
    return packed.reshape(-1).view(np.uint8)


def _unpack(packed: UInt8Array, bits: int, width: int) -> npt.NDArray[Any]:
    """Unpack one block of 1024 values."""
    dtype = np.dtype(f"<u{bits // 8}")
    words = np.frombuffer(packed.tobytes(), dtype=dtype).reshape(width, BLOCK_VALUES // bits)
    bit_strings = (words[:, None, :] >> np.arange(bits, dtype=dtype)[:, None]) & dtype.type(1)
    rows = bit_strings.reshape(bits, width, BLOCK_VALUES // bits) << np.arange(width, dtype=dtype)[:, None]
    values = np.zeros(BLOCK_VALUES, dtype=dtype)
    values[_elements(bits)] = np.bitwise_or.reduce(rows, axis=1) if width else 0
    return values


def _part(data: UInt8Array, offset: int, size: int) -> UInt8Array:
    if offset < 0 or size < 0 or offset + size > len(data):
        raise FormatError("a buffer part lies outside of its buffer")
    return data[offset : offset + size]


def _append(out: UInt8Array, written: int, part: npt.NDArray[Any]) -> int:
    """Copy `part` to ``out[written:]`` and return the new end."""
    if part.nbytes > len(out) - written:
        raise ValueError("the output is too small")
    out[written : written + part.nbytes] = part.view(np.uint8)
    return written + part.nbytes


def bit_widths(data: Data, bits: int, out: UInt8Array) -> None:
    """Find how many bits the values need, for every 1024 values (compressors.md 6, *BitWidth*).

    Parameters
    ----------
    data
        Values of `bits` bits (8, 16, 32 or 64).
    bits
        T.
    out
        ``uint8[ceil(num_values / 1024)]``: significant bits of the OR of the values, 0 when all are zero.
    """
    values = _values(data, bits)
    starts = range(0, len(values), BLOCK_VALUES)
    if len(out) != len(starts):
        raise ValueError("there must be one width per 1024 values")
    for index, start in enumerate(starts):
        out[index] = int(np.bitwise_or.reduce(values[start : start + BLOCK_VALUES])).bit_length()


def block_widths(data: Data, counts: Int64Array, bits: int, out: UInt8Array) -> None:
    """Find how many bits the values need, for blocks of any length.

    Parameters
    ----------
    data
        Values of `bits` bits.
    counts
        ``int64[num_blocks]``, values in each block.
    bits
        T: 8, 16, 32 or 64.
    out
        ``uint8[num_blocks]``.
    """
    if len(out) != len(counts):
        raise ValueError("there must be one width per block")
    for index, values in enumerate(_split(_values(data, bits), counts)):
        out[index] = int(np.bitwise_or.reduce(values)).bit_length() if len(values) else 0


def inline_pack(data: Data, counts: Int64Array, bits: int, widths: UInt8Array, out: Data) -> int:
    """Pack blocks that carry their width (compressors.md 3.2).

    Parameters
    ----------
    data
        Values of `bits` bits.
    counts
        ``int64[num_blocks]``, at most 1024 values a block; their sum is the number of values.
    bits
        T: 8, 16, 32 or 64.
    widths
        ``uint8[num_blocks]``, at most `bits`. Higher bits of the values are dropped.
    out
        Receives block after block, ``bits / 8 + 128 * widths[i]`` bytes each; at least as large as all of them.

    Returns
    -------
    int
        Bytes written.
    """
    target = as_bytes(out)
    if len(widths) != len(counts):
        raise ValueError("there must be one width per block")
    if np.any(counts > BLOCK_VALUES):
        raise ValueError("a block has at most 1024 values")
    written = 0
    for values, width in zip(_split(_values(data, bits), counts), widths.tolist(), strict=True):
        _check_bits(bits, width)
        written = _append(target, written, np.array([width], dtype=f"<u{bits // 8}"))
        written = _append(target, written, _pack(values, bits, width))
    return written


def inline_unpack(
    data: Data, offsets: Int64Array, sizes: Int64Array, counts: Int64Array, bits: int, out: Data
) -> None:
    """Unpack blocks that carry their width (compressors.md 3.2).

    Parameters
    ----------
    data
        The bytes that hold the blocks.
    offsets, sizes
        ``int64[num_blocks]``: where block ``i`` lies in `data`.
    counts
        ``int64[num_blocks]``: how many of its values count, at most 1024.
    bits
        T: 8, 16, 32 or 64.
    out
        ``sum(counts) * bits / 8`` bytes.

    Raises
    ------
    FormatError
        A block lies outside of `data`, its width is larger than T, its size is not ``T / 8 + 128 * width``, or its count is
        larger than 1024.
    """
    _check_bits(bits)
    source, target, written = as_bytes(data), as_bytes(out), 0
    for offset, size, count in _triples(offsets, sizes, counts):
        block = _part(source, offset, size)
        if not 0 <= count <= BLOCK_VALUES:
            raise FormatError("a bit-packed block has more than 1024 values")
        if len(block) < bits // 8:
            raise FormatError("a bit-packed block is shorter than its header")
        width = int.from_bytes(block[: bits // 8].tobytes(), "little")
        if width > bits:
            raise FormatError("the width of a bit-packed block is larger than its values")
        if len(block) != bits // 8 + 128 * width:
            raise FormatError("the size of a bit-packed block does not fit its width")
        written = _append(target, written, _unpack(block[bits // 8 :], bits, width)[:count])
    _check_full(target, written)


def out_of_line_pack(
    data: Data, counts: Int64Array, bits: int, width: int, out: Data, out_sizes: Int64Array
) -> int:
    """Pack sequences of values to one width (compressors.md 3.3).

    Parameters
    ----------
    data
        Values of `bits` bits.
    counts
        ``int64[num_sequences]``, values in each sequence.
    bits
        T: 8, 16, 32 or 64.
    width
        W, at most `bits`. Higher bits of packed values are dropped.
    out
        Receives sequence after sequence; at least as large as all of them.
    out_sizes
        ``int64[num_sequences]``: bytes of each.

    Returns
    -------
    int
        Bytes written.
    """
    _check_bits(bits, width)
    if len(out_sizes) != len(counts):
        raise ValueError("there must be one size per block")
    target, written = as_bytes(out), 0
    for index, values in enumerate(_split(_values(data, bits), counts)):
        start = written
        for first in range(0, len(values), BLOCK_VALUES):
            part = values[first : first + BLOCK_VALUES]
            packed = len(part) == BLOCK_VALUES or part.nbytes > 128 * width
            written = _append(target, written, _pack(part, bits, width) if packed else part)
        out_sizes[index] = written - start
    return written


def out_of_line_unpack(
    data: Data, offsets: Int64Array, sizes: Int64Array, counts: Int64Array, bits: int, width: int, out: Data
) -> None:
    """Unpack sequences of values of one width (compressors.md 3.3).

    A tail of as many bytes as its raw values is raw, any other one is packed.

    Parameters
    ----------
    data
        The bytes that hold the sequences.
    offsets, sizes
        ``int64[num_sequences]``: where sequence ``i`` lies in `data`.
    counts
        ``int64[num_sequences]``: values in each.
    bits
        T: 8, 16, 32 or 64.
    width
        W, at most `bits`.
    out
        ``sum(counts) * bits / 8`` bytes.

    Raises
    ------
    FormatError
        A sequence lies outside of `data`, or its size is not what count and width demand.
    """
    _check_bits(bits, width)
    source, target, written = as_bytes(data), as_bytes(out), 0
    for offset, size, count in _triples(offsets, sizes, counts):
        block = _part(source, offset, size)
        if not 0 <= count <= (len(target) - written) // (bits // 8):
            raise ValueError("the counts do not fit the values")
        for first in range(0, count, BLOCK_VALUES):
            num_values = min(count - first, BLOCK_VALUES)
            if num_values < BLOCK_VALUES and len(block) == num_values * (bits // 8):
                written = _append(target, written, block)
                block = block[:0]
                continue
            if len(block) < 128 * width:
                raise FormatError("a bit-packed sequence is too short")
            written = _append(target, written, _unpack(block[: 128 * width], bits, width)[:num_values])
            block = block[128 * width :]
        if len(block):
            raise FormatError("a bit-packed sequence is too long")
    _check_full(target, written)


def _triples(offsets: Int64Array, sizes: Int64Array, counts: Int64Array) -> zip[tuple[int, int, int]]:
    if not len(offsets) == len(sizes) == len(counts):
        raise ValueError("offsets, sizes and counts differ in length")
    return zip(offsets.tolist(), sizes.tolist(), counts.tolist(), strict=True)


def _check_full(out: UInt8Array, written: int) -> None:
    if written != len(out):
        raise ValueError("the counts do not fit the output")
