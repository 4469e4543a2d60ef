"""Byte-stream-split: the first bytes of all values, then the second bytes, and so on (compressors.md 5.2).

==============  ======  ==============================================================
position        size    content of a chunk of ``n`` values of B bytes (4 or 8)
==============  ======  ==============================================================
``j * n + i``   1       byte ``j`` of value ``i``
==============  ======  ==============================================================

Nothing shrinks: the point is to put alike bytes together for a general compressor around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from lancelet import kernels
from lancelet.blocks import FixedWidth
from lancelet.buffers import nbytes
from lancelet.codecs.base import ChunkCodec, EncodedChunks
from lancelet.codecs.checks import check_decoded_bytes, expect_fixed, only_buffer
from lancelet.codecs.flat import Flat, equal_counts, flat_chunk_values
from lancelet.codecs.registry import register
from lancelet.errors import FormatError
from lancelet.pb.encodings21_pb2 import ByteStreamSplit as ByteStreamSplitMessage
from lancelet.pb.encodings21_pb2 import CompressiveEncoding

if TYPE_CHECKING:
    from lancelet.blocks import Block
    from lancelet.buffers import Allocate
    from lancelet.codecs.base import ChunkLimits, Chunks, Parse, Picks

__all__ = ["ByteStreamSplit"]


@register
@dataclass(frozen=True, slots=True)
class ByteStreamSplit(ChunkCodec):
    """Bytes of values sorted by their place.

    Attributes
    ----------
    values
        ``Flat`` of 32 or 64 bits.
    """

    name: ClassVar[str] = "byte_stream_split"

    values: Flat

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec as written."""
        return CompressiveEncoding(byte_stream_split=ByteStreamSplitMessage(values=self.values.to_message()))

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> ByteStreamSplit:
        """Read a ``ByteStreamSplit`` message.

        Raises
        ------
        FormatError
            The child is missing, not flat, or not of 32 or 64 bits.
        """
        if not message.HasField("values"):
            raise FormatError("byte_stream_split needs an encoding of its values")
        values = parse(message.values)
        if not isinstance(values, Flat) or values.bits not in (32, 64):
            raise FormatError(f"byte_stream_split over {values}: flat values of 32 or 64 bits were expected")
        return cls(values)

    @property
    def num_buffers(self) -> int:
        """Value buffers per chunk: 1."""
        return 1

    def encode_chunks(self, block: Block, limits: ChunkLimits) -> EncodedChunks:
        """Cut `block` as flat values are cut, and split every chunk.

        Raises
        ------
        OptionError
            `block` has not this width.
        """
        fixed, value_bytes = expect_fixed(block, self.values.bits), self.values.bits // 8
        counts = equal_counts(fixed.num_values, flat_chunk_values(value_bytes, 1, limits))
        data = pa.allocate_buffer(nbytes(fixed.data))
        kernels.bss_encode(fixed.data, counts, self.values.bits, data)
        return EncodedChunks(self, ((data, counts * value_bytes),), counts)

    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> FixedWidth:
        """Join the bytes of all chunks.

        Raises
        ------
        FormatError
            The size of a chunk is not that of its values.
        """
        spans, num_bytes = only_buffer(chunks, self.name), chunks.num_values * self.values.bits // 8
        check_decoded_bytes(num_bytes, nbytes(spans.data), self.name)
        out = allocate(num_bytes)
        kernels.bss_decode(spans.data, spans.offsets, spans.sizes, chunks.counts, self.values.bits, out)
        return FixedWidth(self.values.bits, chunks.num_values, out)

    def pick_chunks(self, chunks: Chunks, picks: Picks, allocate: Allocate) -> FixedWidth:
        """Join the bytes of the chosen values.

        Raises
        ------
        FormatError
            As for :meth:`decode_chunks`.
        """
        spans, bits = only_buffer(chunks, self.name), self.values.bits
        check_decoded_bytes(chunks.num_values * bits // 8, nbytes(spans.data), self.name)
        out = allocate(picks.num_values * bits // 8)
        kernels.bss_pick(
            spans.data, spans.offsets, spans.sizes, chunks.counts, bits, picks.starts, picks.stops, out
        )
        return FixedWidth(bits, picks.num_values, out)
