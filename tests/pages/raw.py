"""A codec that changes nothing, and helpers to open and read pages."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from google.protobuf.any_pb2 import Any as AnyMessage

from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.buffers import allocate, as_bytes, as_values, nbytes
from lancelet.codecs.base import BlockCodec, EncodedBlocks, EncodedValues, Spans, ValueCodec
from lancelet.codecs.registry import register
from lancelet.errors import FormatError
from lancelet.pages.base import ByteRange, EncodedPage, PageInfo, RowRanges
from lancelet.pages.registry import PAGE_LAYOUT, parse_page
from lancelet.pb.encodings21_pb2 import CompressiveEncoding

if TYPE_CHECKING:
    from collections.abc import Callable

    from lancelet.blocks import Block
    from lancelet.buffers import Allocate, Int64Array
    from lancelet.levels import Leaf
    from lancelet.pages.base import OpenPage


@register
@dataclass(frozen=True, slots=True)
class Raw(ValueCodec, BlockCodec):
    name: ClassVar[str] = "lancelet.test.Raw"

    def to_message(self) -> CompressiveEncoding:
        return CompressiveEncoding(plugin=AnyMessage(type_url="/lancelet.test.Raw"))

    @classmethod
    def from_message(cls, message: Any, parse: Callable[..., Any]) -> Raw:
        return cls()

    def encode_values(self, block: Block) -> EncodedValues:
        assert isinstance(block, FixedWidth | VariableWidth)
        return EncodedValues(self, block)

    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> Block:
        return records

    def encode_blocks(self, block: Block, counts: Int64Array) -> EncodedBlocks:
        assert isinstance(block, FixedWidth)
        return EncodedBlocks(self, block.data, counts * block.bits // 8)

    def decode_blocks(self, spans: Spans, counts: Int64Array, allocate: Allocate) -> Block:
        if nbytes(spans.data) != 2 * counts.sum():
            raise FormatError("the block has a wrong size")
        return FixedWidth(16, int(counts.sum()), spans.data)


def page_file(page: EncodedPage, gap: int = 64) -> tuple[bytes, PageInfo]:
    """Place the buffers of a page behind one another, as in a file."""
    data = bytearray(gap)
    places = []
    for buffer in page.buffers:
        places.append(ByteRange(len(data), nbytes(buffer)))
        data += as_bytes(buffer).tobytes()
        data += b"\xee" * (-len(data) % 64)
    return bytes(data), PageInfo(tuple(places), page.num_rows)


def open_page(page: EncodedPage) -> tuple[bytes, OpenPage]:
    """Open a page as a reader does; the message goes through its bytes."""
    data, info = page_file(page)
    layout = parse_page(PAGE_LAYOUT, page.message.SerializeToString(), info)
    return data, layout.open([data[p : p + n] for p, n in layout.head_ranges()])


def read(data: bytes, opened: OpenPage, rows: RowRanges | None = None) -> Leaf:
    part = opened.plan(rows or RowRanges.single(0, opened.num_rows))
    leaf = opened.decode(part, [data[p : p + n] for p, n in part.ranges], allocate)
    assert leaf.num_rows == part.num_rows
    assert part.keep is None
    return leaf


def strings(*values: bytes | None, offset_bits: int = 32) -> VariableWidth:
    """Make a block of values; ``None`` has no bytes."""
    offsets = np.cumsum([0, *(len(value or b"") for value in values)]).astype(f"<u{offset_bits // 8}")
    return VariableWidth(offset_bits, len(values), offsets, b"".join(value or b"" for value in values))


def fixed(dtype: str, *values: int) -> FixedWidth:
    array = np.array(values, dtype=dtype)
    return FixedWidth(8 * array.itemsize, len(values), array)


def slots_of(block: Block | None) -> list[bytes]:
    """Return the bytes of every value."""
    if isinstance(block, FixedWidth):
        width, raw = block.bits // 8, as_bytes(block.data).tobytes()
        assert len(raw) == width * block.num_values
        return [raw[i : i + width] for i in range(0, len(raw), width)]
    assert isinstance(block, VariableWidth)
    ends = as_values(block.offsets, block.offset_bits)
    assert len(ends) == block.num_values + 1
    raw = as_bytes(block.data).tobytes()
    return [raw[a:b] for a, b in pairwise(ends)]
