"""Flat: values as they are (compressors.md 2.1).

========  ========================================  ==================================================================
bits      bytes of ``n`` values                     where
========  ========================================  ==================================================================
1         ``ceil(n / 8)``, bit ``i % 8`` of a byte  chunks and blocks; as a value of its own a bool is a byte 0 or 1
8 * B     ``n * B``, little endian                  chunks, blocks, and records of B bytes
========  ========================================  ==================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks import FixedWidth
from lancelet.buffers import as_bytes, nbytes, total
from lancelet.codecs.base import (
    BlockCodec,
    ChunkCodec,
    EncodedBlocks,
    EncodedChunks,
    EncodedValues,
    ValueCodec,
)
from lancelet.codecs.checks import check_decoded_bytes, expect_fixed, only_buffer, refuse_compression
from lancelet.codecs.registry import register
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding
from lancelet.pb.encodings21_pb2 import Flat as FlatMessage

if TYPE_CHECKING:
    from lancelet.blocks import Block, VariableWidth
    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.codecs.base import ChunkLimits, Chunks, Parse, Picks, Spans

__all__ = ["Flat", "equal_counts", "flat_chunk_values"]

_MAX_BITS = 1 << 32


def flat_chunk_values(word_bytes: int, word_values: int, limits: ChunkLimits) -> int:
    """Return how many values a chunk has when every `word_values` take `word_bytes` (compressors.md 2.1).

    Starts at one word, at least 2 values, and doubles while the limits allow twice as much.
    """
    values = max(word_values, 2)
    size = values // word_values * word_bytes
    while 2 * size < limits.max_bytes and 2 * values <= limits.max_values:
        values, size = 2 * values, 2 * size
    return values


def equal_counts(num_values: int, chunk_values: int) -> Int64Array:
    """Return the counts of chunks of `chunk_values` values, the last one of what remains."""
    if num_values <= chunk_values:
        return np.array([num_values] if num_values else [], dtype=np.int64)
    counts = np.full(-(-num_values // chunk_values), chunk_values, dtype=np.int64)
    if num_values % chunk_values:
        counts[-1] = num_values % chunk_values
    return counts


@register
@dataclass(frozen=True, slots=True)
class Flat(ChunkCodec, ValueCodec, BlockCodec):
    """Values as they are.

    Attributes
    ----------
    bits
        Bits a value, 1 to 2**32. Only 1 and multiples of 8 have a block to decode to; others appear as the packed width in
        messages of other encodings.
    """

    name: ClassVar[str] = "flat"

    bits: int

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec as written."""
        return CompressiveEncoding(flat=FlatMessage(bits_per_value=self.bits))

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> Flat:
        """Read a ``Flat`` message.

        Raises
        ------
        FormatError
            The width is 0 or larger than 2**32.
        UnsupportedError
            The buffer is said to be compressed.
        """
        refuse_compression(message, "data", cls.name)
        if not 1 <= message.bits_per_value <= _MAX_BITS:
            raise FormatError(f"flat values of {message.bits_per_value} bits")
        return cls(message.bits_per_value)

    @property
    def num_buffers(self) -> int:
        """Value buffers per chunk: 1."""
        return 1

    def encode_chunks(self, block: Block, limits: ChunkLimits) -> EncodedChunks:
        """Cut `block` into chunks of one power of two of values; the bytes are those of the block itself.

        Raises
        ------
        OptionError
            `block` has not this width.
        """
        fixed = expect_fixed(block, self.bits)
        whole_bytes = self.bits % 8 == 0
        chunk_values = flat_chunk_values(
            self.bits // 8 if whole_bytes else self.bits, 1 if whole_bytes else 8, limits
        )
        counts = equal_counts(fixed.num_values, chunk_values)
        return EncodedChunks(self, ((fixed.data, -(-counts * self.bits // 8)),), counts)

    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> FixedWidth:
        """Join the chunks; one chunk, or chunks that lie back to back, are viewed and not copied.

        Raises
        ------
        FormatError
            The size of a chunk is not that of its values.
        UnsupportedError
            The width is neither 1 nor a multiple of 8.
        """
        return self._join(only_buffer(chunks, self.name), chunks.counts, chunks.num_values, allocate)

    def pick_chunks(self, chunks: Chunks, picks: Picks, allocate: Allocate) -> FixedWidth:
        """Copy the chosen values; one range of chunks that lie back to back is viewed.

        Raises
        ------
        FormatError, UnsupportedError
            As for :meth:`decode_chunks`.
        """
        spans = only_buffer(chunks, self.name)
        if self.bits % 8:
            return self._pick_bits(spans, chunks, picks, allocate)
        num_bytes = picks.num_values * self.bits // 8
        check_decoded_bytes(chunks.num_values * self.bits // 8, nbytes(spans.data), self.name)
        if len(picks.starts) == 1:
            view: Any = self._view(spans, chunks.counts, chunks.num_values * self.bits // 8)
            if view is not None:
                data = view.slice(int(picks.starts[0]) * self.bits // 8, num_bytes)
                return FixedWidth(self.bits, picks.num_values, data)
        out = allocate(num_bytes)
        kernels.flat_pick(
            spans.data, spans.offsets, spans.sizes, chunks.counts, self.bits, picks.starts, picks.stops, out
        )
        return FixedWidth(self.bits, picks.num_values, out)

    def _pick_bits(self, spans: Spans, chunks: Chunks, picks: Picks, allocate: Allocate) -> FixedWidth:
        bits = self._join(spans, chunks.counts, chunks.num_values, allocate)
        out = allocate(-(-picks.num_values // 8))
        kernels.pick_fixed(bits.data, 1, picks.starts, picks.stops, out)
        return FixedWidth(1, picks.num_values, out)

    def encode_values(self, block: Block) -> EncodedValues:
        """Make one record a value: the block itself, or a byte 0 or 1 a bool.

        Raises
        ------
        OptionError
            `block` has not this width, or the width is neither 1 nor whole bytes.
        """
        fixed = expect_fixed(block, self.bits)
        if self.bits == 1:
            flags = np.unpackbits(as_bytes(fixed.data), count=fixed.num_values, bitorder="little")
            return EncodedValues(Flat(8), FixedWidth(8, fixed.num_values, pa.py_buffer(flags)))
        if self.bits % 8:
            raise OptionError(f"values of {self.bits} bits cannot be records")
        return EncodedValues(self, fixed)

    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> FixedWidth:
        """Return `records`. A column of bools gets bytes (nonzero: true), which whoever makes the Arrow array packs.

        Raises
        ------
        FormatError
            The records have another width, or one that is not of whole bytes.
        """
        if not isinstance(records, FixedWidth) or records.bits != self.bits or self.bits % 8:
            raise FormatError(f"the records of the page are not flat values of {self.bits} bits")
        return records

    def encode_blocks(self, block: Block, counts: Int64Array) -> EncodedBlocks:
        """Cut `block`; values of whole bytes are not copied.

        Raises
        ------
        OptionError
            `block` has not this width.
        """
        fixed = expect_fixed(block, self.bits)
        sizes = -(-counts * self.bits // 8)
        if self.bits != 1:
            return EncodedBlocks(self, fixed.data, sizes)
        data = pa.allocate_buffer(int(sizes.sum()))
        kernels.flat_bits_encode(fixed.data, counts, data)
        return EncodedBlocks(self, data, sizes)

    def decode_blocks(self, spans: Spans, counts: Int64Array, allocate: Allocate) -> FixedWidth:
        """Join the blocks, as :meth:`decode_chunks` does."""
        return self._join(spans, counts, total(counts), allocate)

    def _join(self, spans: Spans, counts: Int64Array, num_values: int, allocate: Allocate) -> FixedWidth:
        if self.bits != 1 and self.bits % 8:
            raise UnsupportedError(f"flat values of {self.bits} bits are not handled")
        num_bytes = -(-num_values * self.bits // 8)
        check_decoded_bytes(num_bytes, nbytes(spans.data), self.name)
        view = self._view(spans, counts, num_bytes)
        if view is not None:
            return FixedWidth(self.bits, num_values, view)
        out = allocate(num_bytes)
        if self.bits == 1:
            kernels.flat_bits_decode(spans.data, spans.offsets, spans.sizes, counts, out)
        else:
            kernels.flat_gather(spans.data, spans.offsets, spans.sizes, counts, self.bits, out)
        return FixedWidth(self.bits, num_values, out)

    def _view(self, spans: Spans, counts: Int64Array, num_bytes: int) -> Data | None:
        """View the spans as one buffer, or return ``None`` when they are apart, not aligned, or wrong in any way."""
        if len(counts) == 0 or (self.bits == 1 and len(counts) > 1):
            return None
        start = int(spans.offsets[0])
        if start < 0 or start + num_bytes > nbytes(spans.data):
            return None
        if len(counts) == 1:
            if int(spans.sizes[0]) != num_bytes:
                return None
        elif (spans.sizes != counts * (self.bits // 8)).any() or (
            spans.offsets[1:] - spans.offsets[:-1] != spans.sizes[:-1]
        ).any():
            return None
        buffer: Any = pa.py_buffer(spans.data)
        if num_bytes and (buffer.address + start) % gcd(max(self.bits // 8, 1), 8):
            return None
        view: Data = buffer.slice(start, num_bytes)
        return view
