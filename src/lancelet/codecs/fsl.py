"""Lists of one length, nested to any depth, ending in flat values (compressors.md 5.5).

``num_items(j)`` is the number of items of layer ``j`` in one row: the product of the dimensions from the outside to there.

=======  ==============================================================================================================
role     bytes
=======  ==============================================================================================================
chunk    a buffer for each layer with validity, outer first: ``ceil(n * num_items(j) / 8)`` bytes, bit 1 = valid;
         then a buffer of all items
value    one record a row: ``ceil(num_items(j) / 8)`` bytes for each layer with validity, outer first; then the items
=======  ==============================================================================================================

Validity here is that of the items of a layer. Nulls of the lists themselves are definition levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks import FixedSizeList, FixedWidth
from lancelet.buffers import EMPTY, nbytes
from lancelet.codecs.base import ChunkCodec, Chunks, EncodedChunks, EncodedValues, Picks, Spans, ValueCodec
from lancelet.codecs.checks import check_decoded_bytes, expect_buffers, expect_fixed
from lancelet.codecs.constant import Constant
from lancelet.codecs.flat import Flat, equal_counts, flat_chunk_values
from lancelet.codecs.registry import register
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding
from lancelet.pb.encodings21_pb2 import FixedSizeList as FixedSizeListMessage

if TYPE_CHECKING:
    from lancelet.blocks import Block, VariableWidth
    from lancelet.buffers import Allocate, Data
    from lancelet.codecs.base import ChunkLimits, Parse

__all__ = ["FixedSizeListCodec"]

_MAX_DIMENSION = (1 << 31) - 1
_MAX_ROW_BITS = 1 << 35


@register
@dataclass(frozen=True, slots=True)
class FixedSizeListCodec(ChunkCodec, ValueCodec):
    """Lists of one length.

    Attributes
    ----------
    dimension
        Items a list, at least 1.
    values
        Codec of the items: lists again, or flat, or (on reading) constant.
    has_validity
        Whether there is a bitmap of the items. As a wish it has no say, the block decides.
    """

    name: ClassVar[str] = "fixed_size_list"

    dimension: int
    values: FixedSizeListCodec | Flat | Constant
    has_validity: bool = False

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec as written."""
        message = FixedSizeListMessage(
            items_per_value=self.dimension, values=self.values.to_message(), has_validity=self.has_validity
        )
        return CompressiveEncoding(fixed_size_list=message)

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> FixedSizeListCodec:
        """Read a ``FixedSizeList`` message.

        Raises
        ------
        FormatError
            The dimension is 0, the row is too large, or the child is missing or of the wrong kind.
        UnsupportedError
            The dimension does not fit 31 bits, as Arrow demands.
        """
        if not message.items_per_value:
            raise FormatError("a fixed_size_list of 0 items a value")
        if message.items_per_value > _MAX_DIMENSION:
            raise UnsupportedError(
                f"a fixed_size_list of {message.items_per_value} items a value is not handled"
            )
        if not message.HasField("values"):
            raise FormatError("fixed_size_list needs an encoding of its values")
        values = parse(message.values)
        if not isinstance(values, FixedSizeListCodec | Flat | Constant):
            raise FormatError(f"the values of a fixed_size_list cannot be {values.name}")
        codec = cls(message.items_per_value, values, message.has_validity)
        if codec.num_items * codec._item_bits > _MAX_ROW_BITS:
            raise FormatError(
                f"a fixed_size_list of {codec.num_items} items of {codec._item_bits} bits a row"
            )
        return codec

    @property
    def _layers(self) -> tuple[FixedSizeListCodec, ...]:
        """The layer itself and those inside, outer first."""
        inner = self.values
        return (self, *(inner._layers if isinstance(inner, FixedSizeListCodec) else ()))

    @property
    def _leaf(self) -> Flat | Constant:
        """The codec of the innermost items."""
        return self.values._leaf if isinstance(self.values, FixedSizeListCodec) else self.values

    @property
    def _item_bits(self) -> int:
        """Stored bits of an innermost item."""
        return self._leaf.bits if isinstance(self._leaf, Flat) else 0

    @property
    def num_items(self) -> int:
        """Innermost items a row."""
        return prod(layer.dimension for layer in self._layers)

    @property
    def _bitmap_items(self) -> tuple[int, ...]:
        """Items a row of each layer with validity, outer first."""
        items, found = 1, []
        for layer in self._layers:
            items *= layer.dimension
            if layer.has_validity:
                found.append(items)
        return tuple(found)

    @property
    def record_bits(self) -> int:
        """Bits of a record in the per-value role; a page must agree.

        Raises
        ------
        UnsupportedError
            The items of a row are not whole bytes.
        """
        item_bits = self.num_items * self._item_bits
        if item_bits % 8:
            raise UnsupportedError(
                f"{self.num_items} items of {self._item_bits} bits a row cannot be a record"
            )
        return 8 * sum(-(-items // 8) for items in self._bitmap_items) + item_bits

    @property
    def num_buffers(self) -> int:
        """Value buffers per chunk: one, and one more for every layer with validity."""
        return len(self._bitmap_items) + 1

    def encode_chunks(self, block: Block, limits: ChunkLimits) -> EncodedChunks:
        """Cut `block` into chunks of one power of two of rows.

        Raises
        ------
        OptionError
            `block` has not these layers.
        """
        codec, bitmaps, items = self._as_written(block)
        counts = equal_counts(block.num_values, codec._chunk_rows(limits))
        buffers: list[tuple[Data, Any]] = []
        for bitmap, row_items in zip(bitmaps, codec._bitmap_items, strict=True):
            buffers.append(_cut_bits(bitmap, counts * row_items))
        if items.bits == 1:
            buffers.append(_cut_bits(items.data, counts * codec.num_items))
        else:
            buffers.append((items.data, counts * (codec.num_items * items.bits // 8)))
        return EncodedChunks(codec, tuple(buffers), counts)

    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> FixedSizeList:
        """Join the chunks of every layer.

        Raises
        ------
        FormatError
            The number of buffers or the size of one is not what the layers and the counts demand.
        UnsupportedError
            The items are not flat.
        """
        leaf = self._chunk_leaf(chunks)
        bitmaps = [
            Flat(1).decode_chunks(_scaled(chunks, spans, row_items), allocate).data
            for spans, row_items in zip(chunks.buffers, self._bitmap_items, strict=False)
        ]
        items = leaf.decode_chunks(_scaled(chunks, chunks.buffers[-1], self.num_items), allocate)
        return self._nest(chunks.num_values, bitmaps, items)

    def pick_chunks(self, chunks: Chunks, picks: Picks, allocate: Allocate) -> FixedSizeList:
        """Copy the items of the chosen rows, layer by layer.

        Raises
        ------
        FormatError, UnsupportedError
            As for :meth:`decode_chunks`.
        """
        leaf = self._chunk_leaf(chunks)
        bitmaps = [
            Flat(1)
            .pick_chunks(_scaled(chunks, spans, row_items), _scaled_picks(picks, row_items), allocate)
            .data
            for spans, row_items in zip(chunks.buffers, self._bitmap_items, strict=False)
        ]
        items = leaf.pick_chunks(
            _scaled(chunks, chunks.buffers[-1], self.num_items),
            _scaled_picks(picks, self.num_items),
            allocate,
        )
        return self._nest(picks.num_values, bitmaps, items)

    def _chunk_leaf(self, chunks: Chunks) -> Flat:
        """Return the codec of the innermost items after a look at the number of buffers."""
        expect_buffers(chunks.buffers, self.num_buffers, self.name)
        if not isinstance(self._leaf, Flat):
            raise UnsupportedError("chunks of lists of constants are not handled")
        return self._leaf

    def encode_values(self, block: Block) -> EncodedValues:
        """Make one record a row; without validity the items are the records, and nothing is copied.

        Raises
        ------
        OptionError
            `block` has not these layers, or the items of a row are not whole bytes.
        """
        codec, bitmaps, items = self._as_written(block)
        item_bits = codec.num_items * items.bits
        if item_bits % 8:
            raise OptionError(f"{codec.num_items} items of {items.bits} bit a row cannot be a record")
        num_rows, record_bits = block.num_values, codec.record_bits
        if not bitmaps:
            return EncodedValues(codec, FixedWidth(record_bits, num_rows, items.data))
        out = pa.allocate_buffer(num_rows * record_bits // 8)
        position = 0
        for data, row_bits in zip((*bitmaps, items.data), (*codec._bitmap_items, item_bits), strict=True):
            kernels.records_put(data, num_rows, row_bits, record_bits // 8, position, out)
            position += -(-row_bits // 8)
        return EncodedValues(codec, FixedWidth(record_bits, num_rows, out))

    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> FixedSizeList:
        """Take the records apart; without validity the items are the records, and nothing is copied.

        Raises
        ------
        FormatError
            The records have not :attr:`record_bits`.
        UnsupportedError
            The items of a row are not whole bytes.
        """
        record_bits, num_rows = self.record_bits, records.num_values
        if not isinstance(records, FixedWidth) or records.bits != record_bits:
            raise FormatError(f"the records of the page have not the {record_bits} bits of their lists")
        check_decoded_bytes(num_rows * record_bits // 8, nbytes(records.data), self.name)
        item_bits = self.num_items * self._item_bits
        fields: list[Data] = [records.data]
        if self._bitmap_items:
            fields, position = [], 0
            for row_bits in (*self._bitmap_items, item_bits):
                out = allocate(-(-num_rows * row_bits // 8))
                kernels.records_get(records.data, num_rows, row_bits, record_bits // 8, position, out)
                fields.append(out)
                position += -(-row_bits // 8)
        items = FixedWidth(self._item_bits, num_rows * self.num_items, fields[-1])
        if isinstance(self._leaf, Constant):
            items = self._leaf.decode_values(FixedWidth(0, items.num_values, EMPTY), allocate)
        return self._nest(num_rows, fields[:-1], items)

    def _chunk_rows(self, limits: ChunkLimits) -> int:
        """Rows a chunk, by the rule of flat values as wide as a row with its bitmaps."""
        bitmap_bytes = sum(-(-items // 8) for items in self._bitmap_items)
        row_bits = self.num_items * self._item_bits
        if row_bits % 8 == 0:
            return flat_chunk_values(row_bits // 8 + bitmap_bytes, 1, limits)
        return flat_chunk_values(row_bits + 8 * bitmap_bytes, 8, limits)

    def _as_written(self, block: Block) -> tuple[FixedSizeListCodec, list[Data], FixedWidth]:
        """Take `block` apart: the codec with its validity, the bitmaps outer first, the items."""
        if not isinstance(block, FixedSizeList) or block.dimension != self.dimension:
            raise OptionError(f"a codec of lists of {self.dimension} items cannot encode this block")
        if block.items.num_values != block.num_values * block.dimension:
            raise OptionError(f"{block.num_values} lists do not have {block.items.num_values} items")
        values, items = self.values, block.items
        bitmaps: list[Data] = []
        if isinstance(values, FixedSizeListCodec):
            values, bitmaps, items = values._as_written(items)
        elif isinstance(values, Flat):
            items = expect_fixed(items, values.bits)
        if not isinstance(items, FixedWidth) or isinstance(values, Constant):
            raise OptionError("the items of lists are written flat")
        if block.validity is not None:
            if nbytes(block.validity) != -(-block.items.num_values // 8):
                raise OptionError(
                    f"a bitmap of {nbytes(block.validity)} bytes for {block.items.num_values} items"
                )
            bitmaps = [block.validity, *bitmaps]
        return FixedSizeListCodec(self.dimension, values, block.validity is not None), bitmaps, items

    def _nest(self, num_values: int, bitmaps: list[Data], items: Block) -> FixedSizeList:
        """Put the layers together; `bitmaps` outer first."""
        validity, inner = None, bitmaps
        if self.has_validity:
            validity, inner = bitmaps[0], bitmaps[1:]
        if isinstance(self.values, FixedSizeListCodec):
            items = self.values._nest(num_values * self.dimension, inner, items)
        return FixedSizeList(self.dimension, num_values, items, validity)


def _cut_bits(bitmap: Data, counts: Any) -> tuple[Data, Any]:
    """Cut a bitmap into parts that each start at a byte."""
    sizes = -(-counts // 8)
    data = pa.allocate_buffer(int(sizes.sum()))
    kernels.flat_bits_encode(bitmap, counts, data)
    return data, sizes


def _scaled(chunks: Chunks, spans: Spans, row_items: int) -> Chunks:
    """Return the one buffer `spans` of `chunks`, counted in items of `row_items` a row."""
    num_items = chunks.num_values * row_items
    if num_items > np.iinfo(np.int64).max:
        raise FormatError(f"{num_items} items are too many")
    return Chunks((spans,), chunks.counts * row_items, num_items)


def _scaled_picks(picks: Picks, row_items: int) -> Picks:
    """Count in items; after :func:`_scaled`, which checks that they can be counted."""
    return Picks(picks.starts * row_items, picks.stops * row_items, picks.num_values * row_items)
