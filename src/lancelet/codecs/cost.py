"""How many bytes the values of a page will take: what the choice between candidates compares.

Sizes of flat, bit-packed and run-length encoded values are exact but for the padding of chunks. What symbol tables and
general compression leave is estimated on a sample of stretches spread evenly over the page.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lancelet import kernels
from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.buffers import allocate, as_bytes, as_values
from lancelet.codecs.fsst import MIN_VALUE_BYTES, TABLE_BYTES
from lancelet.codecs.general import compressed_bytes
from lancelet.options import Profile

if TYPE_CHECKING:
    from lancelet.blocks import Block
    from lancelet.blocks.stats import Stats
    from lancelet.buffers import Int64Array
    from lancelet.codecs.params import CodecParams

__all__ = ["distinct_values", "fixed_sizes", "general_ratio", "useful_entries", "value_bytes"]

_PACKABLE = (8, 16, 32, 64)
_STRETCHES, _STRETCH_BYTES = 8, 4096


def fixed_sizes(stats: Stats, params: CodecParams) -> dict[str, int]:
    """Return the size of each form that values of one width can take, in the order of preference where sizes are equal.

    Bit-packing is left out where the page is stored as it is, runs also where there are more than the threshold allows
    (compressors.md 7.2).
    """
    block = stats.block
    sizes = {"flat": stats.data_size}
    if not isinstance(block, FixedWidth) or block.bits not in _PACKABLE or block.num_values == 0:
        return sizes
    if params.compression == "none":
        return sizes
    threshold = params.rle_threshold
    if threshold is None or stats.run_count < block.num_values * threshold:
        sizes["rle"] = stats.rle_entries * (block.bits // 8 + 1)
    sizes["inline_bitpacking"] = stats.inline_bitpacking_bytes
    return sizes


def useful_entries(values: FixedWidth, sizes: dict[str, int]) -> int:
    """Return how many entries a dictionary of `values` may have before its packed indices are as wide as the best of `sizes`.

    Where runs are the best form there is no such number: indices have as many runs as the values, but narrower ones.
    """
    best, num_values = min(sizes.values()), values.num_values
    if sizes.get("rle") == best or num_values == 0:
        return num_values
    bits = (1024 * best / num_values - values.bits // 8) / 128
    return int(min(2.0 ** (math.ceil(bits) - 1), num_values))


def distinct_values(counts: Int64Array) -> int:
    """Estimate how many distinct values there are, from how often each one of a sample occurs in it (Chao's estimator)."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return len(counts) + (once * once // (2 * twice) if twice else once * (once - 1) // 2)


def value_bytes(stats: Stats, params: CodecParams, *, symbols: bool) -> int:
    """Estimate the bytes of the values of a mini-block page without a dictionary.

    Parameters
    ----------
    stats
        Those of the values.
    params
        What steers their codec.
    symbols
        Symbol tables are among the candidates.
    """
    block = stats.block
    size = min(fixed_sizes(stats, params).values())
    if symbols and isinstance(block, VariableWidth):
        size = min(size, _with_symbols(block, size))
    if params.compression in ("lz4", "zstd"):
        return int(size * general_ratio(block, params.compression, params.level))
    if params.profile is Profile.SMALL and params.compression is None:
        size = min(size, int(stats.data_size * general_ratio(block, "zstd", None)))
    return size


def _with_symbols(block: VariableWidth, size: int) -> int:
    """Estimate the size of text under a symbol table, which is part of the page's message."""
    bits = block.offset_bits
    offsets = as_values(block.offsets, bits)[: block.num_values + 1]
    num_bytes = int(offsets[-1]) - int(offsets[0])
    if num_bytes < MIN_VALUE_BYTES:
        return size
    table = np.empty(TABLE_BYTES, dtype=np.uint8)
    kernels.fsst_train(block.data, offsets.view(np.uint8), bits, table)
    seen = written = 0
    for start, stop in _stretches(block.num_values, num_bytes):
        part = offsets[start : stop + 1]
        part_bytes = int(part[-1]) - int(part[0])
        out_offsets, out = allocate(part.nbytes), allocate(2 * part_bytes)
        written += kernels.fsst_encode(table, block.data, part.view(np.uint8), bits, out_offsets, out)
        seen += part_bytes
    return size - num_bytes + TABLE_BYTES + num_bytes * written // max(seen, 1)


def _stretches(num_values: int, num_bytes: int) -> list[tuple[int, int]]:
    """Return ranges of values spread evenly, of about 4 KiB each, at least one value."""
    length = max(1, min(num_values // _STRETCHES, _STRETCH_BYTES * num_values // max(num_bytes, 1)))
    starts = np.linspace(0, num_values - length, min(_STRETCHES, num_values)).astype(int)
    return [(int(start), int(start) + length) for start in starts]


def general_ratio(block: Block, scheme: str, level: int | None) -> float:
    """Estimate what is left of the bytes of a block under a general compressor, at most all."""
    if isinstance(block, VariableWidth):
        offsets = as_values(block.offsets, block.offset_bits)
        data = as_bytes(block.data)[int(offsets[0]) : int(offsets[block.num_values])]
    elif isinstance(block, FixedWidth):
        data = as_bytes(block.data)
    else:
        return 1.0
    parts = [data[start:stop] for start, stop in _stretches(len(data), len(data))] if len(data) else []
    seen = sum(map(len, parts))
    return min(1.0, sum(compressed_bytes(part, scheme, level) for part in parts) / seen) if seen else 1.0
