"""What the choice of a codec looks at (compressors.md 6).

=====================  ========================  =====================================================================
statistic              blocks                    definition
=====================  ========================  =====================================================================
data size              all                       bytes of the values, with offsets and bitmaps
bit widths             fixed 8 to 64             per 1024 values: bits of the OR of all; other widths: one entry, the width
run count              fixed 8 to 128            1 + positions that differ from the one before; other blocks: the number of values
RLE entries            fixed 8 to 64             entries of at most 255 values, runs cut every 4096; other blocks: as runs
max length             all                       bytes of the longest value
byte position entropy  fixed, whole bytes        per byte of a value, over the first 64 values: 1000 times the entropy in bits
=====================  ========================  =====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet import kernels
from lancelet.blocks.block import Block, Dictionary, FixedSizeList, FixedWidth, VariableWidth
from lancelet.buffers import as_bytes, as_values, nbytes

if TYPE_CHECKING:
    from lancelet.buffers import Int64Array

__all__ = ["Stats"]

_WORD_BITS = (8, 16, 32, 64)
_MAX_RUN = 4096
_ENTROPY_VALUES = 64


class Stats:
    """Statistics of one block, each computed when it is first asked for.

    Parameters
    ----------
    block
        Null slots count like any other.

    Examples
    --------
    >>> import numpy as np
    >>> from lancelet.blocks import FixedWidth
    >>> stats = Stats(FixedWidth(32, 4, np.array([7, 7, 7, 9], dtype="<u4")))
    >>> stats.data_size, stats.run_count, stats.rle_entries, stats.bit_widths.tolist()
    (16, 2, 2, [4])
    """

    __slots__ = ("_data_size", "_max_length", "_words", "block")

    def __init__(self, block: Block) -> None:
        self.block = block
        self._data_size = self._max_length = -1
        self._words: tuple[int, int, int, int] | None = None

    @property
    def data_size(self) -> int:
        """Raw size in bytes: values, offsets (``num_values + 1`` of them) and bitmaps of items."""
        if self._data_size < 0:
            self._data_size = _data_size(self.block)
        return self._data_size

    @property
    def bit_widths(self) -> Int64Array:
        """``int64[..]``: significant bits of every 1024 values; one entry, the width, where values are not 8 to 64 bits."""
        block = self.block
        if not isinstance(block, FixedWidth) or block.bits not in _WORD_BITS:
            return np.array([8 * self.max_length], dtype=np.int64)
        widths = np.empty(-(-block.num_values // 1024), dtype=np.uint8)
        kernels.bit_widths(block.data, block.bits, widths)
        return widths.astype(np.int64)

    @property
    def max_bit_width(self) -> int:
        """Largest of :attr:`bit_widths`, 0 without values."""
        return self._counts[0]

    @property
    def inline_bitpacking_bytes(self) -> int:
        """Size of all values in bit-packed blocks of 1024 with their headers; meant for values of 8 to 64 bits."""
        block = self.block
        header_bytes = block.bits // 8 if isinstance(block, FixedWidth) else 0
        return -(-block.num_values // 1024) * header_bytes + 128 * self._counts[1]

    @property
    def run_count(self) -> int:
        """Runs of equal bit patterns."""
        return self._counts[2]

    @property
    def rle_entries(self) -> int:
        """Entries that run-length encoding would take."""
        return self._counts[3]

    @property
    def _counts(self) -> tuple[int, int, int, int]:
        """Largest and sum of the bit widths, runs, entries: one pass over the values gives all."""
        if self._words is None:
            self._words = _counts(self.block)
        return self._words

    @property
    def max_length(self) -> int:
        """Bytes of the longest value: its width, or for values of any length the longest."""
        if self._max_length < 0:
            self._max_length = _max_length(self.block)
        return self._max_length

    @property
    def byte_position_entropy(self) -> Int64Array:
        """``int64[bits / 8]``: entropy of every byte of a value in thousandths of a bit, rounded down; at most 6000.

        Empty for other blocks than values of whole bytes.
        """
        block = self.block
        if not isinstance(block, FixedWidth) or block.bits % 8 or block.num_values == 0:
            return np.empty(0, dtype=np.int64)
        num_bytes, seen = block.bits // 8, min(block.num_values, _ENTROPY_VALUES)
        sample = as_bytes(block.data)[: seen * num_bytes].reshape(seen, num_bytes)
        columns = (np.bincount(column, minlength=256) for column in sample.T)
        return np.array([int(1000 * _entropy(counts / seen)) for counts in columns], dtype=np.int64)


def _counts(block: Block) -> tuple[int, int, int, int]:
    num_values = block.num_values
    if isinstance(block, FixedWidth) and block.bits in _WORD_BITS:
        return kernels.word_stats(block.data, block.bits, _MAX_RUN)
    width = 8 * _max_length(block)
    if not isinstance(block, FixedWidth) or num_values == 0 or block.bits != 128:
        return width, width, num_values, num_values
    words = as_values(block.data, 64).reshape(-1, 2)
    runs = 1 + int((words[1:] != words[:-1]).any(axis=1).sum())
    return width, width, runs, runs


def _entropy(shares: Any) -> float:
    present = shares[shares > 0]
    # The sum of a constant byte is -0.0 or a little below zero.
    return max(0.0, -float((present * np.log2(present)).sum()))


def _data_size(block: Block) -> int:
    if isinstance(block, FixedWidth):
        return -(-block.num_values * block.bits // 8)
    if isinstance(block, VariableWidth):
        view = memoryview(block.offsets).cast("B")
        offsets = view.cast("I" if block.offset_bits == 32 else "Q")
        return offsets[-1] - offsets[0] + view.nbytes
    if isinstance(block, FixedSizeList):
        return _data_size(block.items) + (0 if block.validity is None else nbytes(block.validity))
    if isinstance(block, Dictionary):
        return _data_size(block.indices) + _data_size(block.items)
    return sum(map(_data_size, block.children))


def _max_length(block: Block) -> int:
    if isinstance(block, FixedWidth):
        return -(-block.bits // 8)
    if isinstance(block, VariableWidth):
        offsets = as_values(block.offsets, block.offset_bits)
        return int((offsets[1:] - offsets[:-1]).max(initial=0))
    if isinstance(block, FixedSizeList):
        return block.dimension * _max_length(block.items)
    if isinstance(block, Dictionary):
        return _max_length(block.items)
    return sum(map(_max_length, block.children))
