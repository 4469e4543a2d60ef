"""Small mini-block pages of one width in one call (structural.md 5, compressors.md 2.1 and 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_bytes, nbytes
from lancelet.kernels.reference.bitpack import block_widths, inline_pack
from lancelet.kernels.reference.miniblock import miniblock_frame, miniblock_words

if TYPE_CHECKING:
    from lancelet.buffers import Data, Int64Array, UInt8Array, UInt16Array

__all__ = ["miniblock_small"]

_MOST_BITS = 1 << 16


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def miniblock_small(
    data: Data,
    num_values: int,
    bits: int,
    packed: bool,
    chunk_values: int,
    def_: UInt16Array,
    large: bool,
    out_words: Data,
    out: Data,
) -> int:
    """Cut values of one width into chunks, pack them, and frame the chunks: what several other kernels do one after the other.

    Parameters
    ----------
    data
        ``ceil(num_values * bits / 8)`` bytes.
    num_values
        At least 1.
    bits
        1 or whole bytes; 8, 16, 32 or 64 if `packed`.
    packed
        Blocks of inline bit-packing, one a chunk; otherwise the values as they are.
    chunk_values
        Values of every chunk but the last, a power of two: at most 1024 if `packed`, at least 8 for values of one bit.
    def_
        ``uint16[num_values]``, stored in blocks of inline bit-packing; empty when there are no levels.
    large
        Words and sizes of 32 bits.
    out_words
        One word a chunk, as bytes.
    out
        The chunks; it may be larger.

    Returns
    -------
    int
        Bytes of all chunks; -1 when a limit of structural.md 5.4 is broken, the outputs are of no use then.
    """
    _require(num_values > 0 and chunk_values >= 2, "miniblock_small: no values")
    _require(bits == 1 or (bits % 8 == 0 and 0 < bits <= _MOST_BITS), "bits must be 1 or whole bytes")
    _require(bits != 1 or chunk_values % 8 == 0, "chunks of bits are whole bytes")
    _require(nbytes(data) == (num_values * bits + 7) // 8, "the data has another size than the values")
    _require(len(def_) in (0, num_values), "there must be one level a value")
    starts = np.arange(0, num_values, chunk_values, dtype=np.int64)
    counts = np.minimum(num_values - starts, chunk_values)
    parts = [(data, -(-counts * bits // 8))] if not packed else [_packed(as_bytes(data), bits, counts)]
    if len(def_):
        parts.insert(0, _packed(as_bytes(def_), 16, counts))
    sizes = [part_sizes for _, part_sizes in parts]
    num_levels = len(parts) - 1
    num_bytes = miniblock_words(counts, counts, sizes, num_levels, large, out_words)
    if num_bytes >= 0:
        _require(num_bytes <= nbytes(out), "the chunks do not fit the output")
        miniblock_frame(
            counts, [part for part, _ in parts], sizes, num_levels, large, as_bytes(out)[:num_bytes]
        )
    return num_bytes


def _packed(data: UInt8Array, bits: int, counts: Int64Array) -> tuple[UInt8Array, Int64Array]:
    widths = np.empty(len(counts), dtype=np.uint8)
    block_widths(data, counts, bits, widths)
    sizes = bits // 8 + 128 * widths.astype(np.int64)
    packed = np.empty(int(sizes.sum()), dtype=np.uint8)
    inline_pack(data, counts, bits, widths, packed)
    return packed, sizes
