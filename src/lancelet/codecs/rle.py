"""Runs: values and how often each repeats (compressors.md 5.1).

=======  ==============================================================================================================
role     bytes
=======  ==============================================================================================================
chunk    buffer 0: values of T bits; buffer 1: lengths, ``u8`` from 1 to 255, as many as values; they add up to the count
block    ``u64`` size of the values | values | lengths                                                 (file version 2.2)
=======  ==============================================================================================================

Longer runs take several entries. On reading lengths may have 16 or 32 bits (file version 2.3), and the last run of a chunk may
be too long (writers of 2025): it is cut.
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
    expect_buffers,
    expect_fixed,
)
from lancelet.codecs.flat import Flat
from lancelet.codecs.registry import register
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding
from lancelet.pb.encodings21_pb2 import Rle as RleMessage

if TYPE_CHECKING:
    from lancelet.blocks import Block
    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.codecs.base import ChunkLimits, Chunks, Parse, Spans

__all__ = ["Rle"]


@register
@dataclass(frozen=True, slots=True)
class Rle(ChunkCodec, BlockCodec):
    """Runs of equal values.

    Attributes
    ----------
    values
        ``Flat`` of 8, 16, 32 or 64 bits.
    run_lengths
        ``Flat(8)``; for decoding also 16 or 32.
    """

    name: ClassVar[str] = "rle"

    values: Flat
    run_lengths: Flat = Flat(8)  # noqa: RUF009 - frozen, so one default serves all

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec as written."""
        message = RleMessage(values=self.values.to_message(), run_lengths=self.run_lengths.to_message())
        return CompressiveEncoding(rle=message)

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> Rle:
        """Read an ``Rle`` message.

        Raises
        ------
        FormatError
            A child is missing, or its width is not allowed.
        UnsupportedError
            A child is not flat (file version 2.3).
        """
        if not message.HasField("values") or not message.HasField("run_lengths"):
            raise FormatError("rle needs an encoding of its values and one of its run lengths")
        values, run_lengths = parse(message.values), parse(message.run_lengths)
        if not isinstance(values, Flat) or not isinstance(run_lengths, Flat):
            raise UnsupportedError(f"rle over {values.name} and {run_lengths.name} is not handled")
        check_word_bits(values.bits, cls.name)
        if run_lengths.bits not in (8, 16, 32):
            raise FormatError(f"run lengths of {run_lengths.bits} bits: 8, 16 or 32 were expected")
        return cls(values, run_lengths)

    @property
    def num_buffers(self) -> int:
        """Value buffers per chunk: 2."""
        return 2

    def encode_chunks(self, block: Block, limits: ChunkLimits) -> EncodedChunks:
        """Cut `block` into chunks, as many values in each as the limits allow, and encode their runs.

        Raises
        ------
        OptionError
            `block` has not this width, or the run lengths are not those that can be written.
        """
        fixed, value_bytes = self._expect(block), self.values.bits // 8
        # No chunk is smaller than the largest power of two of entries that fits.
        fitting = min(limits.max_values, limits.max_bytes // (value_bytes + 1))
        least = max(2, 1 << max(fitting, 1).bit_length() - 1)
        counts = np.empty(fixed.num_values // least + 2, dtype=np.int64)
        entries = np.empty_like(counts)
        num_chunks = kernels.rle_cut(
            fixed.data, self.values.bits, limits.max_values, limits.max_bytes, counts, entries
        )
        counts, entries = counts[:num_chunks], entries[:num_chunks]
        num_entries = int(entries.sum())
        values = pa.allocate_buffer(num_entries * value_bytes)
        lengths = pa.allocate_buffer(num_entries)
        kernels.rle_encode(fixed.data, self.values.bits, counts, values, lengths, entries)
        return EncodedChunks(self, ((values, entries * value_bytes), (lengths, entries)), counts)

    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> FixedWidth:
        """Expand the runs of all chunks.

        Raises
        ------
        FormatError
            Values and lengths are not as many, a length is 0, or they add up to less than the count.
        """
        expect_buffers(chunks.buffers, 2, self.name)
        values, lengths = chunks.buffers
        out = self._allocate(chunks.num_values, lengths.data, allocate)
        kernels.rle_decode(
            values.data,
            values.offsets,
            values.sizes,
            lengths.data,
            lengths.offsets,
            lengths.sizes,
            chunks.counts,
            self.values.bits,
            self.run_lengths.bits,
            out,
        )
        return FixedWidth(self.values.bits, chunks.num_values, out)

    def encode_blocks(self, block: Block, counts: Int64Array) -> EncodedBlocks:
        """Encode the runs of every block.

        Raises
        ------
        OptionError
            As for :meth:`encode_chunks`.
        """
        fixed = self._expect(block)
        most = 8 * len(counts) + fixed.num_values * (self.values.bits // 8 + 1)
        data = pa.allocate_buffer(most)
        sizes = np.empty(len(counts), dtype=np.int64)
        num_bytes = kernels.rle_encode_blocks(fixed.data, self.values.bits, counts, data, sizes)
        return EncodedBlocks(self, data.slice(0, num_bytes), sizes)

    def decode_blocks(self, spans: Spans, counts: Int64Array, allocate: Allocate) -> FixedWidth:
        """Expand the runs of all blocks.

        Raises
        ------
        FormatError
            As for :meth:`decode_chunks`; or a block's header does not fit it.
        """
        num_values = total(counts)
        out = self._allocate(num_values, spans.data, allocate)
        kernels.rle_decode_blocks(
            spans.data, spans.offsets, spans.sizes, counts, self.values.bits, self.run_lengths.bits, out
        )
        return FixedWidth(self.values.bits, num_values, out)

    def _expect(self, block: Block) -> FixedWidth:
        if self.run_lengths.bits != 8:
            raise OptionError("run lengths are written with 8 bits")
        return expect_fixed(block, self.values.bits)

    def _allocate(self, num_values: int, lengths: Data, allocate: Allocate) -> Any:
        """Take memory for `num_values`, which `lengths` must be able to reach."""
        value_bytes, length_bits = self.values.bits // 8, self.run_lengths.bits
        bound = nbytes(lengths) * 8 // length_bits * ((1 << length_bits) - 1) * value_bytes
        if length_bits > 8:
            bound = min(bound, MAX_EXPANDED_BYTES)
        check_decoded_bytes(num_values * value_bytes, bound, self.name)
        return allocate(num_values * value_bytes)
