"""``bitpacked`` and ``bitpacked_for_non_neg``: integers of fewer bits than their type has (encodings_v2_0.md 9).

=======================  ==========================================================================================
encoding                 buffer, for values of u bits packed to c bits
=======================  ==========================================================================================
bitpacked                one stream of bits: value ``i`` is bits ``i * c .. (i + 1) * c``, least significant first;
                         with ``signed`` bit ``c - 1`` is a sign
bitpacked_for_non_neg    blocks of 1024 values in FastLanes order, ``128 * c`` bytes each; the last one is padded
=======================  ==========================================================================================

The reference's writer of 2.0 makes neither; its readers take both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.buffers import as_values
from lancelet.errors import FormatError
from lancelet.pages.base import ByteRange, RowRanges
from lancelet.v20.flat import fixed_width_bits, row_positions
from lancelet.v20.node import Node, PageBuffers, PageContext

if TYPE_CHECKING:
    from lancelet.blocks import FixedWidth
    from lancelet.buffers import Allocate, Data
    from lancelet.pb.encodings20_pb2 import ArrayEncoding
    from lancelet.v20.fetch import Fetch

__all__ = ["Bitpacked", "BitpackedForNonNeg", "encode_non_negative"]

_BLOCK_VALUES = 1024


def _check_widths(message: Any, type_: pa.DataType) -> tuple[int, int]:
    """Return c and u."""
    packed, plain = message.compressed_bits_per_value, message.uncompressed_bits_per_value
    if plain not in (8, 16, 32, 64) or fixed_width_bits(type_) != plain:
        raise FormatError(f"packed values of {plain} bits do not fit the type {type_}")
    if packed > plain:
        raise FormatError(f"values of {plain} bits are packed to {packed} bits")
    return packed, plain


@dataclass(frozen=True, slots=True, eq=False)
class Bitpacked(Node):
    """A stream of bits.

    Attributes
    ----------
    type_
        An Arrow type of `bits` bits.
    num_values, packed_bits, bits, signed, buffer
        The number of values, c, u, whether they have a sign, and where they lie.
    """

    name: ClassVar[str] = "bitpacked"
    type_: pa.DataType
    num_values: int
    packed_bits: int
    bits: int
    signed: bool
    buffer: ByteRange

    @classmethod
    def from_message(cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int) -> Bitpacked:
        """Read ``Bitpacked``."""
        packed, plain = _check_widths(message, type_)
        if packed == 0:
            raise FormatError("values are packed to 0 bits")
        buffer = page.buffer(message)
        if num_values * packed > 8 * buffer.size:
            raise FormatError(f"{num_values} values of {packed} bits do not fit into {buffer.size} bytes")
        return cls(type_, num_values, packed, plain, message.signed, buffer)

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read the bytes that hold `rows`, and take the bits apart."""
        width = self.packed_bits
        firsts, lasts = rows.starts * width // 8, (rows.stops * width + 7) // 8
        sizes = lasts - firsts
        parts = yield [
            ByteRange(self.buffer.position + first, size)
            for first, size in zip(firsts.tolist(), sizes.tolist(), strict=True)
        ]
        starts = 8 * (np.cumsum(sizes) - sizes) + rows.starts * width % 8
        # values of one range are `width` apart, so positions grow by what rows do
        bit_positions = row_positions(rows, np.zeros(len(starts), np.int64))
        bit_positions = bit_positions * width + np.repeat(starts, rows.stops - rows.starts)
        values = _extract(b"".join(parts), bit_positions, width)
        if self.signed:
            shift = np.uint64(64 - width)
            values = ((values << shift).view(np.int64) >> shift.astype(np.int64)).view(np.uint64)
        out = allocate(rows.num_rows * self.bits // 8)
        as_values(out, self.bits)[:] = values.astype(f"<u{self.bits // 8}")
        return pa.Array.from_buffers(self.type_, rows.num_rows, [None, out], 0)


def _extract(data: bytes, bit_positions: Any, width: int) -> Any:
    """Return ``uint64[num_values]``: the `width` bits at each position."""
    padded = np.frombuffer(data + bytes(9), dtype=np.uint8)
    words = np.ndarray(len(data) + 1, dtype="<u8", buffer=padded, strides=(1,))
    at, shift = bit_positions >> 3, (bit_positions & 7).astype(np.uint64)
    values = words[at] >> shift
    if width > 57:  # a value may reach into a ninth byte
        high = padded[at + 8].astype(np.uint64)
        values |= np.where(shift > 0, high << (np.uint64(64) - np.maximum(shift, np.uint64(1))), np.uint64(0))
    return values if width == 64 else values & np.uint64((1 << width) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class BitpackedForNonNeg(Node):
    """Blocks of 1024 packed values.

    Attributes
    ----------
    type_
        An Arrow type of `bits` bits.
    num_values, packed_bits, bits, buffer
        The number of values, c, u, and where they lie.
    """

    name: ClassVar[str] = "bitpacked_for_non_neg"
    type_: pa.DataType
    num_values: int
    packed_bits: int
    bits: int
    buffer: ByteRange

    @classmethod
    def from_message(
        cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int
    ) -> BitpackedForNonNeg:
        """Read ``BitpackedForNonNeg``."""
        packed, plain = _check_widths(message, type_)
        buffer = page.buffer(message)
        needed = -(-num_values // _BLOCK_VALUES) * 128 * packed
        if buffer.size < needed:
            raise FormatError(f"packed values need {needed} bytes, and their buffer has {buffer.size}")
        return cls(type_, num_values, packed, plain, buffer)

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read the blocks that hold `rows`."""
        blocks = _blocks_of(rows)
        block_bytes = 128 * self.packed_bits
        parts = yield [
            ByteRange(self.buffer.position + first * block_bytes, (last - first) * block_bytes)
            for first, last in zip(blocks.starts.tolist(), blocks.stops.tolist(), strict=True)
        ]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        num_unpacked = blocks.num_rows * _BLOCK_VALUES
        unpacked = allocate(num_unpacked * self.bits // 8)
        whole = (np.zeros(1, np.int64), np.array([blocks.num_rows * block_bytes]), np.array([num_unpacked]))
        kernels.out_of_line_unpack(data, *whole, self.bits, self.packed_bits, unpacked)
        sizes = blocks.stops - blocks.starts
        bases = _BLOCK_VALUES * (np.cumsum(sizes) - sizes - blocks.starts)
        owner = np.searchsorted(blocks.starts, rows.starts // _BLOCK_VALUES, side="right") - 1
        places = rows.starts + bases[owner]
        width = self.bits // 8
        if len(rows.starts) == 1:
            values: Data = unpacked.slice(int(places[0]) * width, rows.num_rows * width)
        else:
            values = as_values(unpacked, self.bits)[row_positions(rows, places)]
        return pa.Array.from_buffers(self.type_, rows.num_rows, [None, pa.py_buffer(values)], 0)


def _blocks_of(rows: RowRanges) -> RowRanges:
    """Return the blocks that hold `rows`, as ranges of blocks."""
    firsts, lasts = rows.starts // _BLOCK_VALUES, (rows.stops + _BLOCK_VALUES - 1) // _BLOCK_VALUES
    if len(firsts) < 2:
        return RowRanges(firsts, lasts)
    opens = np.concatenate(([True], firsts[1:] >= lasts[:-1]))
    closes = np.append(np.flatnonzero(opens)[1:] - 1, len(firsts) - 1)
    return RowRanges(firsts[opens], lasts[closes])


def encode_non_negative(block: FixedWidth, buffers: PageBuffers) -> ArrayEncoding | None:
    """Bit-pack integers to the width of the largest, at least 1.

    Parameters
    ----------
    block
        Integers of 8, 16, 32 or 64 bits; a signed one that is negative has its highest bit set, and then nothing is gained.
    buffers
        Receives the packed values.

    Returns
    -------
    ArrayEncoding or None
        ``bitpacked_for_non_neg``; ``None`` when it is not smaller than the plain values.
    """
    from lancelet.pb import encodings20_pb2 as pb

    bits, num_values = block.bits, block.num_values
    values = as_values(block.data, bits)[:num_values]
    width = max(int(values.max()).bit_length(), 1) if num_values else bits
    num_blocks = -(-num_values // _BLOCK_VALUES)
    if num_blocks * 128 * width >= num_values * bits // 8:
        return None
    padded = np.zeros(num_blocks * _BLOCK_VALUES, dtype=values.dtype)
    padded[:num_values] = values
    packed = np.empty(num_blocks * 128 * width, dtype=np.uint8)
    kernels.out_of_line_pack(
        padded, np.array([len(padded)], np.int64), bits, width, packed, np.empty(1, np.int64)
    )
    message = pb.BitpackedForNonNeg(
        compressed_bits_per_value=width, uncompressed_bits_per_value=bits, buffer=buffers.add(packed)
    )
    return pb.ArrayEncoding(bitpacked_for_non_neg=message)
