"""Values of variable width: cut into chunks, chunk and block form, and back (compressors.md 2.2).

======  ============================  ============================  ==================================
form    before the offsets            offsets (``num_values + 1``)  after the values
======  ============================  ============================  ==================================
chunk                                 from the start of the buffer  0x48 up to a multiple of the
                                                                    offset's width
block   width of an offset in bits,   from 0
        position of the values
early   u8 width of an offset,        from 0
block   number of values,
        position of the values
======  ============================  ============================  ==================================

Every number is as wide as an offset (32 or 64 bits) unless stated. All data arguments may be unaligned. Early blocks are only
read: the first writers of 2.1 made them. They are told by a byte other than 0 among the bytes 1 to 3.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.buffers import as_bytes, as_values, nbytes
from lancelet.errors import FormatError

if TYPE_CHECKING:
    from lancelet.buffers import Data, Int64Array

__all__ = ["variable_cut", "variable_decode", "variable_decode_offsets", "variable_encode", "variable_rebase"]

_PAD = 0x48


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise FormatError(message)


def _offsets(data: Data, offset_bits: int) -> list[int]:
    _require(offset_bits in (32, 64), "offset_bits must be 32 or 64")
    width = offset_bits // 8
    _require(nbytes(data) % width == 0 and nbytes(data) > 0, "offsets must be one more than the values")
    return [int(offset) for offset in as_values(data, offset_bits)]


def _store(out: Any, position: int, values: list[int], offset_bits: int) -> None:
    raw = np.array(values, dtype=f"<u{offset_bits // 8}").view(np.uint8)
    as_bytes(out)[position : position + len(raw)] = raw


def _sorted(offsets: list[int]) -> bool:
    return all(a <= b for a, b in pairwise(offsets))


def variable_cut(
    offsets: Data, offset_bits: int, target_bytes: int, max_values: int, out_counts: Int64Array
) -> int:
    """Cut values into chunks.

    A chunk takes all that is left, if that is fewer than `max_values` values and offsets and bytes together
    fit `target_bytes`. Otherwise it takes two values, doubled as long as the doubled count is below
    `max_values` and below what is left, and fits. Two values (or a last one alone) may exceed the target.

    Parameters
    ----------
    offsets
        ``num_values + 1`` unsigned integers; the first need not be 0.
    offset_bits
        32 or 64.
    target_bytes
        Wished bytes of a chunk, offsets included, padding excluded; at least 0.
    max_values
        At least 1.
    out_counts
        ``int64[(num_values + 1) // 2]``; values in each chunk.

    Returns
    -------
    int
        Number of chunks: how many of `out_counts` are written.
    """
    values = _offsets(offsets, offset_bits)
    num_values = len(values) - 1
    _require(
        len(out_counts) == (num_values + 1) // 2, "variable_cut: half as many counts as values are needed"
    )
    _require(target_bytes >= 0 and max_values >= 1, "variable_cut: impossible limits")

    def fits(start: int, count: int) -> bool:
        num_bytes = values[start + count] - values[start]
        _require(num_bytes >= 0, "the offsets decrease")
        return (count + 1) * offset_bits // 8 + num_bytes <= target_bytes

    start = num_chunks = 0
    while start < num_values:
        rest = num_values - start
        count = min(2, rest)
        if rest < max_values and fits(start, rest):
            count = rest
        else:
            while 2 * count < min(max_values, rest) and fits(start, 2 * count):
                count *= 2
        out_counts[num_chunks] = count
        num_chunks += 1
        start += count
    return num_chunks


def variable_encode(
    data: Data,
    offsets: Data,
    offset_bits: int,
    counts: Int64Array,
    is_block: bool,
    out: Any,
    out_sizes: Int64Array,
) -> int:
    """Write values as chunks or blocks, back to back.

    Parameters
    ----------
    data, offsets, offset_bits
        A :class:`~lancelet.blocks.VariableWidth`; the first offset need not be 0.
    counts
        ``int64[num_parts]``, values in each part; they add up to all values.
    is_block
        Write the block form, not the chunk form.
    out
        At least ``num_bytes + (num_values + 4 * num_parts) * offset_bits / 8`` bytes, where `num_bytes` is
        the last offset less the first.
    out_sizes
        ``int64[num_parts]``, bytes of each part.

    Returns
    -------
    int
        Bytes written to `out`.
    """
    values = _offsets(offsets, offset_bits)
    width = offset_bits // 8
    num_values = len(values) - 1
    source = as_bytes(data)
    _require(values[0] <= values[-1] <= len(source), "the offsets lie outside of the data")
    _require(len(out_sizes) == len(counts), "variable_encode: one size per count is needed")
    bound = values[-1] - values[0] + (num_values + 4 * len(counts)) * width
    _require(nbytes(out) >= bound, "variable_encode: the output is too small")
    _require(
        bool(np.all(counts >= 0)) and int(counts.sum()) == num_values,
        "the counts do not add up to the values",
    )
    target = as_bytes(out)
    start = written = 0
    for i, count in enumerate(counts.tolist()):
        part = values[start : start + count + 1]
        _require(_sorted(part), "the offsets decrease")
        header = 2 * width if is_block else 0
        position = header + len(part) * width
        _require(position + part[-1] - part[0] < 2**offset_bits, "a part is too large for its offsets")
        first = 0 if is_block else position
        if is_block:
            _store(out, written, [offset_bits, position], offset_bits)
        _store(out, written + header, [offset - part[0] + first for offset in part], offset_bits)
        size = position + part[-1] - part[0]
        target[written + position : written + size] = source[part[0] : part[-1]]
        if not is_block:
            padded = -(-size // width) * width
            target[written + size : written + padded] = _PAD
            size = padded
        out_sizes[i] = size
        written += size
        start += count
    return written


def read_part(
    data: Data, offset: int, size: int, count: int, offset_bits: int, is_block: bool
) -> tuple[list[int], Any]:
    """Return the checked offsets of one part, from 0, and the bytes of its values."""
    source = as_bytes(data)
    width = offset_bits // 8
    _check(
        offset >= 0 and size >= 0 and offset + size <= len(source), "a buffer part lies outside of its buffer"
    )
    _require(count >= 0, "a count is negative")
    part = source[offset : offset + size]
    is_early = is_block and bool(part[1:4].any())
    header = 1 + 2 * width if is_early else 2 * width if is_block else 0
    position = header + (count + 1) * width
    _check(position <= size, "the offsets of variable-width values do not fit in their buffer")
    if is_block:
        bits, num_values, start = int(part[0]), count, 0
        if is_early:
            num_values, start = _offsets(part[1:header].tobytes(), offset_bits)
        else:
            bits, start = _offsets(part[:header].tobytes(), offset_bits)
        _check(bits == offset_bits, "a block of variable-width values has another offset width")
        _check(num_values == count, "a block of variable-width values has another number of values")
        _check(start == position, "the values of a variable-width block do not follow its offsets")
    offsets = _offsets(part[header:position], offset_bits)
    _check(offsets[0] == (0 if is_block else position), "the first offset of variable-width values is wrong")
    offsets = [value - offsets[0] for value in offsets]
    _check(0 <= offsets[-1] <= size - position, "variable-width values run past the end of their buffer")
    return offsets, part[position : position + offsets[-1]]


def variable_decode_offsets(
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    counts: Int64Array,
    offset_bits: int,
    is_block: bool,
    out_offsets: Any,
) -> int:
    """Check chunks or blocks of values and give one run of offsets over all of them.

    Parameters
    ----------
    data, offsets, sizes
        The parts as :class:`~lancelet.codecs.base.Spans`.
    counts
        ``int64[num_parts]``, values in each part.
    offset_bits
        32 or 64: width of the offsets in the file and of those given out.
    is_block
        The parts are in block form, not in chunk form.
    out_offsets
        ``(sum(counts) + 1) * offset_bits / 8`` bytes; offsets from 0.

    Returns
    -------
    int
        Bytes of all values: the last offset.

    Raises
    ------
    FormatError
        A part lies outside of `data`; offsets do not fit in it, start at a wrong position, decrease, or run
        past its end; a block has another width, position or number of values; all values together exceed the largest signed
        offset.
    """
    _require(len(offsets) == len(sizes) == len(counts), "one offset, size and count a part")
    num_values = len(_offsets(out_offsets, offset_bits)) - 1
    _require(int(counts.sum()) == num_values, "the counts do not add up to the values")
    result = [0]
    for offset, size, count in zip(offsets.tolist(), sizes.tolist(), counts.tolist(), strict=True):
        part, values = read_part(data, offset, size, count, offset_bits, is_block)
        base = result[-1]
        total = base + len(values)
        _check(total < 2 ** (offset_bits - 1), "the values together are too long for their offsets")
        _check(_sorted(part), "the offsets of variable-width values decrease")
        result.extend(base + value for value in part[1:])
    _store(out_offsets, 0, result, offset_bits)
    return result[-1]


def variable_decode(
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    counts: Int64Array,
    offset_bits: int,
    is_block: bool,
    out: Any,
) -> None:
    """Copy the values of all parts back to back.

    Takes what :func:`variable_decode_offsets` took, and `out` of the size that it returned.

    Raises
    ------
    FormatError
        A part does not hold its values.
    """
    _require(len(offsets) == len(sizes) == len(counts), "one offset, size and count a part")
    _require(offset_bits in (32, 64), "offset_bits must be 32 or 64")
    parts = [np.empty(0, dtype=np.uint8)]
    for offset, size, count in zip(offsets.tolist(), sizes.tolist(), counts.tolist(), strict=True):
        parts.append(read_part(data, offset, size, count, offset_bits, is_block)[1])
    values = np.concatenate(parts)
    _require(len(values) == nbytes(out), "variable_decode: the output has another size than the values")
    as_bytes(out)[:] = values


def variable_rebase(offsets: Data, offset_bits: int, out_offsets: Any) -> None:
    """Write the same offsets counted from 0.

    Parameters
    ----------
    offsets
        ``num_values + 1`` unsigned integers.
    offset_bits
        32 or 64.
    out_offsets
        As many bytes as `offsets`.
    """
    values = _offsets(offsets, offset_bits)
    _require(nbytes(out_offsets) == nbytes(offsets), "variable_rebase: as many offsets out as in")
    _store(out_offsets, 0, [(value - values[0]) % 2**offset_bits for value in values], offset_bits)
