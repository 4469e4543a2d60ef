"""``variable``: values of any length with their offsets (compressors.md 2.2).

Chunk form, one buffer a chunk; W = width of an offset in bytes, every number little endian:

=================  ===========  ==========================================================
offset             size         what
=================  ===========  ==========================================================
0                  (n + 1) W    offsets, counted from the start of this buffer; the first one is ``(n + 1) W``
(n + 1) W                       the values' bytes
..                 0 to W - 1   0x48 up to a multiple of W; part of the buffer
=================  ===========  ==========================================================

Block form, for dictionaries:

=================  ===========  ==========================================================
offset             size         what
=================  ===========  ==========================================================
0                  W            8 W: the width of an offset in bits; this decides, not the message
W                  W            position of the values: ``2 W + (n + 1) W``
2 W                (n + 1) W    offsets, counted from the first value
..                              the values' bytes
=================  ===========  ==========================================================

The first writers of 2.1 (pylance 0.36) had a header of ``1 + 2 W`` bytes instead: u8 width of an offset in bits, number of values,
position of the values. Such blocks are read, never written; a byte other than 0 among the bytes 1 to 3 tells them.

Per value, a record is the value itself; the page stores its length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lancelet import kernels
from lancelet.blocks import VariableWidth
from lancelet.buffers import allocate, as_bytes, as_values, nbytes, total
from lancelet.codecs.base import (
    BlockCodec,
    ChunkCodec,
    EncodedBlocks,
    EncodedChunks,
    EncodedValues,
    Spans,
    ValueCodec,
)
from lancelet.codecs.registry import register
from lancelet.errors import FormatError, OptionError, UnsupportedError

if TYPE_CHECKING:
    from lancelet.blocks import Block, FixedWidth
    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.codecs.base import ChunkLimits, Chunks, Parse, Picks
    from lancelet.pb.encodings21_pb2 import CompressiveEncoding

__all__ = ["Variable"]

_WIDTHS = (32, 64)


@register
@dataclass(frozen=True, slots=True)
class Variable(ChunkCodec, ValueCodec, BlockCodec):
    """Values of any length with 32- or 64-bit offsets.

    Attributes
    ----------
    offset_bits
        32 or 64.
    """

    name: ClassVar[str] = "variable"
    offset_bits: int

    def __post_init__(self) -> None:
        if self.offset_bits not in _WIDTHS:
            raise ValueError(f"offsets have 32 or 64 bits, not {self.offset_bits}")

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec: ``variable(offsets = flat(offset_bits))``."""
        from lancelet.pb.encodings21_pb2 import CompressiveEncoding, Flat
        from lancelet.pb.encodings21_pb2 import Variable as Message

        offsets = CompressiveEncoding(flat=Flat(bits_per_value=self.offset_bits))
        return CompressiveEncoding(variable=Message(offsets=offsets))

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> Variable:
        """Read ``Variable``.

        Raises
        ------
        FormatError
            The offsets are missing, or flat with a width that no offset has.
        UnsupportedError
            Encoded offsets, or a compression of the values inside this message: no writer is known
            (compressors.md 1.1).
        """
        if message.HasField("values") or message.offsets.flat.HasField("data"):
            raise UnsupportedError("a 'variable' encoding compresses its values or offsets by itself")
        kind = message.offsets.WhichOneof("compression")
        if kind is None:
            raise FormatError("a 'variable' encoding does not say how its offsets are stored")
        if kind != "flat":
            raise UnsupportedError(f"offsets of variable-width values are encoded as {kind!r}")
        bits = message.offsets.flat.bits_per_value
        if bits not in _WIDTHS:
            raise FormatError(f"offsets of variable-width values have {bits} bits; 32 or 64 are possible")
        return cls(bits)

    @property
    def num_buffers(self) -> int:
        """One: offsets and bytes lie together."""
        return 1

    def encode_chunks(self, block: Block, limits: ChunkLimits) -> EncodedChunks:
        """Cut `block` by ``limits.target_bytes`` and write the chunk form."""
        values = self._checked(block)
        counts = np.empty((values.num_values + 1) // 2, dtype=np.int64)
        offsets = as_bytes(values.offsets)[: (values.num_values + 1) * self.offset_bits // 8]
        num_chunks = kernels.variable_cut(
            offsets, self.offset_bits, limits.target_bytes, limits.max_values, counts
        )
        counts = counts[:num_chunks].copy()
        return EncodedChunks(self, (self._encode(values, counts, is_block=False),), counts)

    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> VariableWidth:
        """Decode the chunk form to offsets from 0 and the values' bytes."""
        (spans,) = chunks.buffers
        return _decode(spans, chunks.counts, chunks.num_values, self.offset_bits, False, allocate)

    def pick_chunks(self, chunks: Chunks, picks: Picks, allocate: Allocate) -> VariableWidth:
        """Copy the chosen values."""
        (spans,) = chunks.buffers
        _check_values(chunks.num_values, self.offset_bits, spans)
        parts = (spans.data, spans.offsets, spans.sizes, chunks.counts, self.offset_bits)
        offsets = allocate((picks.num_values + 1) * (self.offset_bits // 8))
        data = allocate(kernels.variable_pick_offsets(*parts, picks.starts, picks.stops, offsets))
        kernels.variable_pick(*parts, picks.starts, picks.stops, data)
        return VariableWidth(self.offset_bits, picks.num_values, offsets, data)

    def encode_values(self, block: Block) -> EncodedValues:
        """Records are the values."""
        return EncodedValues(self, self._checked(block))

    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> VariableWidth:
        """Values are the records."""
        if not isinstance(records, VariableWidth):
            raise FormatError("a 'variable' encoding stands in a page of values of one width")
        return records

    def encode_blocks(self, block: Block, counts: Int64Array) -> EncodedBlocks:
        """Write the block form."""
        return EncodedBlocks(self, *self._encode(self._checked(block), counts, is_block=True))

    def decode_blocks(self, spans: Spans, counts: Int64Array, allocate: Allocate) -> VariableWidth:
        """Decode the block form. The first block tells the width, and all others must have the same."""
        bits = _width_of_block(spans) if len(counts) else self.offset_bits
        return _decode(spans, counts, total(counts), bits, True, allocate)

    def _checked(self, block: Block) -> VariableWidth:
        if not isinstance(block, VariableWidth) or block.offset_bits != self.offset_bits:
            raise OptionError(f"{self} cannot encode a {type(block).__name__} of another kind or width")
        return block

    def _encode(
        self, values: VariableWidth, counts: Int64Array, *, is_block: bool
    ) -> tuple[Data, Int64Array]:
        width = self.offset_bits // 8
        offsets = as_values(values.offsets, self.offset_bits)[: values.num_values + 1]
        num_bytes = int(offsets[-1]) - int(offsets[0])
        out = allocate(max(num_bytes, 0) + (values.num_values + 4 * len(counts)) * width)
        sizes = np.empty(len(counts), dtype=np.int64)
        written = kernels.variable_encode(
            values.data, offsets.view(np.uint8), self.offset_bits, counts, is_block, out, sizes
        )
        return out.slice(0, written), sizes


def _width_of_block(spans: Spans) -> int:
    """Return the width that the first block states in its first byte, as blocks of either width and of early writers do."""
    start, size = int(spans.offsets[0]), int(spans.sizes[0])
    if start < 0 or size < 1 or start > nbytes(spans.data) - size:
        raise FormatError("a block of variable-width values has no header")
    bits = int(as_bytes(spans.data)[start])
    if bits not in _WIDTHS:
        raise FormatError(
            f"a block of variable-width values states offsets of {bits} bits; 32 or 64 are possible"
        )
    return bits


def _check_values(num_values: int, offset_bits: int, spans: Spans) -> None:
    """Bound what is allocated before a kernel looks at the parts: every value costs an offset in the file."""
    if num_values * (offset_bits // 8) > nbytes(spans.data):
        raise FormatError(f"{num_values} values of variable width cannot lie in {nbytes(spans.data)} bytes")


def _decode(
    spans: Spans, counts: Int64Array, num_values: int, offset_bits: int, is_block: bool, allocate: Allocate
) -> VariableWidth:
    _check_values(num_values, offset_bits, spans)
    offsets = allocate((num_values + 1) * (offset_bits // 8))
    parts = (spans.data, spans.offsets, spans.sizes, counts, offset_bits, is_block)
    data = allocate(kernels.variable_decode_offsets(*parts, offsets))
    kernels.variable_decode(*parts, data)
    return VariableWidth(offset_bits, num_values, offsets, data)
