"""Raw LZ4 blocks, read strictly (compressors.md 5.3).

A block is a row of sequences; the last one ends after its literals:

=========================  ==========================================================================
size                       what
=========================  ==========================================================================
1                          token: high 4 bits number of literals, low 4 bits match length - 4
0 ..                       if the high bits are 15: bytes to add, the last one below 255
number of literals         literals
2                          distance back, 1 to 65535
0 ..                       if the low bits are 15: bytes to add to the match length, the last one below 255
=========================  ==========================================================================
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from lancelet.buffers import as_bytes, nbytes
from lancelet.errors import FormatError

if TYPE_CHECKING:
    from lancelet.buffers import Data, Int64Array

__all__ = ["lz4_decode"]

MIN_MATCH = 4


def lz4_decode(
    data: Data, offsets: Int64Array, sizes: Int64Array, out: Data, out_offsets: Int64Array
) -> None:
    """Decode raw LZ4 blocks; block ``i`` is ``data[offsets[i] : offsets[i] + sizes[i]]``.

    Blocks that writers may not make but that have one meaning (a match within the last five bytes) are read.

    Parameters
    ----------
    data
        The bytes that hold the blocks.
    offsets, sizes
        ``int64[num_blocks]``.
    out
        Block ``i`` must decode to exactly ``out[out_offsets[i] : out_offsets[i + 1]]``; matches do not reach
        into other blocks.
    out_offsets
        ``int64[num_blocks + 1]``, non-decreasing, inside of `out`.

    Raises
    ------
    FormatError
        A block lies outside of `data`, is malformed, or decodes to another size.
    ValueError
        The lengths of the arrays do not agree, or `out_offsets` do not lie inside of `out`.
    """
    starts, lengths, borders = ([int(n) for n in numbers] for numbers in (offsets, sizes, out_offsets))
    if len(starts) != len(lengths) or len(borders) != len(starts) + 1:
        raise ValueError("lz4_decode: n offsets, n sizes and n + 1 out_offsets are needed")
    if any(not 0 <= a <= b <= nbytes(out) for a, b in pairwise(borders)):
        raise ValueError("lz4_decode: out_offsets do not lie inside of out")
    for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        if start < 0 or length < 0 or start + length > nbytes(data):
            raise FormatError("a buffer part lies outside of its buffer")
        block = as_bytes(data)[start : start + length].tobytes()
        as_bytes(out)[borders[i] : borders[i + 1]] = as_bytes(
            _decode_block(block, borders[i + 1] - borders[i])
        )


def _decode_block(block: bytes, num_bytes: int) -> bytearray:
    out = bytearray()
    at = 0
    while True:
        if at == len(block):
            raise FormatError("lz4: a block does not end in literals")
        token = block[at]
        num_literals, at = _read_length(block, at + 1, token >> 4)
        if num_literals > len(block) - at:
            raise FormatError("lz4: literals reach past the block")
        if num_literals > num_bytes - len(out):
            raise FormatError("lz4: a block decodes to more than its declared size")
        out += block[at : at + num_literals]
        at += num_literals
        if at == len(block):
            break
        if len(block) - at < 2:
            raise FormatError("lz4: a block ends inside of a match")
        distance = int.from_bytes(block[at : at + 2], "little")
        if not 0 < distance <= len(out):
            raise FormatError("lz4: a match starts before its block")
        match_bytes, at = _read_length(block, at + 2, token & 15)
        match_bytes += MIN_MATCH
        if match_bytes > num_bytes - len(out):
            raise FormatError("lz4: a block decodes to more than its declared size")
        for _ in range(match_bytes):
            out.append(out[-distance])
    if len(out) != num_bytes:
        raise FormatError("lz4: a block decodes to less than its declared size")
    return out


def _read_length(block: bytes, at: int, nibble: int) -> tuple[int, int]:
    """Return a length and the position after it."""
    if nibble < 15:
        return nibble, at
    length = nibble
    while True:
        if at == len(block):
            raise FormatError("lz4: a block ends inside of a length")
        length += block[at]
        at += 1
        if block[at - 1] < 255:
            return length, at
