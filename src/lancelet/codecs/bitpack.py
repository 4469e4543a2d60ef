"""Bit-packing: blocks of 1024 values, all of the width of the widest (compressors.md 3).

=================  ==========================================  =====================================================
encoding           bytes of a block of ``n`` values            width W
=================  ==========================================  =====================================================
inline             W as T bits | 128 * W, for n <= 1024        each block has its own
out of line        128 * W for every 1024 values; the tail     one for all, in the message
                   packed alike, or raw if not longer
=================  ==========================================  =====================================================

The order of the bits stands in :mod:`lancelet.kernels.reference.bitpack`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks import FixedWidth
from lancelet.buffers import nbytes, total
from lancelet.codecs.base import BlockCodec, ChunkCodec, EncodedBlocks, EncodedChunks
from lancelet.codecs.checks import (
    MAX_EXPANDED_BYTES,
    check_decoded_bytes,
    check_word_bits,
    expect_fixed,
    only_buffer,
    refuse_compression,
)
from lancelet.codecs.flat import Flat, equal_counts
from lancelet.codecs.registry import register
from lancelet.errors import FormatError, OptionError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding
from lancelet.pb.encodings21_pb2 import InlineBitpacking as InlineBitpackingMessage
from lancelet.pb.encodings21_pb2 import OutOfLineBitpacking as OutOfLineBitpackingMessage

if TYPE_CHECKING:
    from lancelet.blocks import Block
    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.codecs.base import ChunkLimits, Chunks, Parse, Picks, Spans

__all__ = ["BLOCK_VALUES", "InlineBitpacking", "OutOfLineBitpacking"]

#: Values that are packed together.
BLOCK_VALUES = 1024


@register
@dataclass(frozen=True, slots=True)
class InlineBitpacking(ChunkCodec, BlockCodec):
    """Blocks of at most 1024 values that carry their width.

    Attributes
    ----------
    bits
        T: 8, 16, 32 or 64.
    """

    name: ClassVar[str] = "inline_bitpacking"

    bits: int

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec as written."""
        message = InlineBitpackingMessage(uncompressed_bits_per_value=self.bits)
        return CompressiveEncoding(inline_bitpacking=message)

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> InlineBitpacking:
        """Read an ``InlineBitpacking`` message.

        Raises
        ------
        FormatError
            The width is not allowed.
        UnsupportedError
            The width is 128, or the buffer is said to be compressed.
        """
        refuse_compression(message, "values", cls.name)
        check_word_bits(message.uncompressed_bits_per_value, cls.name)
        return cls(message.uncompressed_bits_per_value)

    @property
    def num_buffers(self) -> int:
        """Value buffers per chunk: 1."""
        return 1

    def encode_chunks(self, block: Block, limits: ChunkLimits) -> EncodedChunks:
        """Pack chunks of 1024 values, the last one padded with zeros. The limits have no say: no other count is possible.

        Raises
        ------
        OptionError
            `block` has not this width.
        """
        fixed = expect_fixed(block, self.bits)
        counts = equal_counts(fixed.num_values, BLOCK_VALUES)
        widths = np.empty(len(counts), dtype=np.uint8)
        kernels.bit_widths(fixed.data, self.bits, widths)
        return EncodedChunks(self, (self._pack(fixed, counts, widths),), counts)

    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> FixedWidth:
        """Unpack chunks of at most 1024 values.

        Raises
        ------
        FormatError
            A chunk's width is too large, or its size does not fit its width, or it has more than 1024 values.
        """
        return self._unpack(only_buffer(chunks, self.name), chunks.counts, chunks.num_values, allocate)

    def pick_chunks(self, chunks: Chunks, picks: Picks, allocate: Allocate) -> FixedWidth:
        """Unpack the chosen values: one by one where a chunk has few of them.

        Raises
        ------
        FormatError
            As for :meth:`decode_chunks`.
        """
        spans = only_buffer(chunks, self.name)
        out = allocate(picks.num_values * self.bits // 8)
        kernels.inline_pick(
            spans.data, spans.offsets, spans.sizes, chunks.counts, self.bits, picks.starts, picks.stops, out
        )
        return FixedWidth(self.bits, picks.num_values, out)

    def encode_blocks(self, block: Block, counts: Int64Array) -> EncodedBlocks:
        """Pack blocks of at most 1024 values.

        Raises
        ------
        OptionError
            `block` has not this width, or a count is larger than 1024.
        """
        fixed = expect_fixed(block, self.bits)
        if int(counts.max(initial=0)) > BLOCK_VALUES:
            raise OptionError(f"a bit-packed block has at most {BLOCK_VALUES} values")
        widths = np.empty(len(counts), dtype=np.uint8)
        kernels.block_widths(fixed.data, counts, self.bits, widths)
        return EncodedBlocks(self, *self._pack(fixed, counts, widths))

    def decode_blocks(self, spans: Spans, counts: Int64Array, allocate: Allocate) -> FixedWidth:
        """Unpack blocks, as :meth:`decode_chunks` does."""
        return self._unpack(spans, counts, total(counts), allocate)

    def _pack(self, block: FixedWidth, counts: Int64Array, widths: Any) -> tuple[Data, Int64Array]:
        sizes = self.bits // 8 + BLOCK_VALUES // 8 * widths.astype(np.int64)
        data = pa.allocate_buffer(sum(sizes.tolist()))
        kernels.inline_pack(block.data, counts, self.bits, widths, data)
        return data, sizes

    def _unpack(self, spans: Spans, counts: Int64Array, num_values: int, allocate: Allocate) -> FixedWidth:
        num_bytes = num_values * self.bits // 8
        check_decoded_bytes(num_bytes, len(counts) * BLOCK_VALUES * self.bits // 8, self.name)
        out = allocate(num_bytes)
        kernels.inline_unpack(spans.data, spans.offsets, spans.sizes, counts, self.bits, out)
        return FixedWidth(self.bits, num_values, out)


@register
@dataclass(frozen=True, slots=True)
class OutOfLineBitpacking(BlockCodec):
    """Sequences of blocks of one width.

    Attributes
    ----------
    bits
        T: 8, 16, 32 or 64.
    width
        W, at most `bits`; encoding needs one that every value fits.
    """

    name: ClassVar[str] = "out_of_line_bitpacking"

    bits: int
    width: int

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec as written."""
        message = OutOfLineBitpackingMessage(uncompressed_bits_per_value=self.bits)
        message.values.flat.bits_per_value = self.width
        # Setting a field to 0 does not make the message that holds it present.
        message.values.flat.SetInParent()
        return CompressiveEncoding(out_of_line_bitpacking=message)

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> OutOfLineBitpacking:
        """Read an ``OutOfLineBitpacking`` message.

        The child is no encoding of its own: ``flat`` names the packed width, which may be 0.

        Raises
        ------
        FormatError
            A width is not allowed, or the child is not flat.
        UnsupportedError
            The values have 128 bits, or the buffer is said to be compressed.
        """
        check_word_bits(message.uncompressed_bits_per_value, cls.name)
        if message.values.WhichOneof("compression") != Flat.name:
            raise FormatError("the packed values of out_of_line_bitpacking must be flat")
        flat = message.values.flat
        refuse_compression(flat, "data", cls.name)
        if flat.bits_per_value > message.uncompressed_bits_per_value:
            raise FormatError(
                f"{message.uncompressed_bits_per_value}-bit values are packed to {flat.bits_per_value} bits"
            )
        return cls(message.uncompressed_bits_per_value, flat.bits_per_value)

    def encode_blocks(self, block: Block, counts: Int64Array) -> EncodedBlocks:
        """Pack every block as a sequence of its own.

        Raises
        ------
        OptionError
            `block` has not this width, or a value needs more than the packed width.
        """
        fixed = expect_fixed(block, self.bits)
        widths = np.empty(-(-fixed.num_values // BLOCK_VALUES), dtype=np.uint8)
        kernels.bit_widths(fixed.data, self.bits, widths)
        if int(widths.max(initial=0)) > self.width:
            raise OptionError(f"values of {int(widths.max())} bits do not fit {self.width} bits")
        tail_bytes = np.minimum(counts % BLOCK_VALUES * (self.bits // 8), BLOCK_VALUES // 8 * self.width)
        num_bytes = counts // BLOCK_VALUES * (BLOCK_VALUES // 8 * self.width) + tail_bytes
        data = pa.allocate_buffer(int(num_bytes.sum()))
        sizes = np.empty(len(counts), dtype=np.int64)
        kernels.out_of_line_pack(fixed.data, counts, self.bits, self.width, data, sizes)
        return EncodedBlocks(self, data, sizes)

    def decode_blocks(self, spans: Spans, counts: Int64Array, allocate: Allocate) -> FixedWidth:
        """Unpack the sequences.

        Raises
        ------
        FormatError
            The size of a block does not fit its count and the width.
        """
        num_values = total(counts)
        num_bytes = num_values * self.bits // 8
        bound = nbytes(spans.data) * self.bits // self.width if self.width else MAX_EXPANDED_BYTES
        check_decoded_bytes(num_bytes, bound, self.name)
        out = allocate(num_bytes)
        kernels.out_of_line_unpack(spans.data, spans.offsets, spans.sizes, counts, self.bits, self.width, out)
        return FixedWidth(self.bits, num_values, out)
