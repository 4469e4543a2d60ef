"""``fixed_size_binary``: strings or bytes that all have one length (encodings_v2_0.md 9).

``nullable { fixed_size_binary(w, bytes: flat(8)) }``: value ``i`` is bytes ``i * w .. (i + 1) * w``. The reference's writer of
2.0 never makes it; its readers take it with ``flat(8)``, and ``flat(8 w)`` holds the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import is_variable_width, offset_bits
from lancelet.buffers import as_bytes, as_values
from lancelet.errors import FormatError
from lancelet.v20.binary import as_text, offsets_of_lengths
from lancelet.v20.node import ByteSource, Node, PageBuffers, PageContext, byte_source
from lancelet.v20.nullable import wrap_values

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.blocks import VariableWidth
    from lancelet.buffers import Allocate
    from lancelet.pages.base import RowRanges
    from lancelet.pb.encodings20_pb2 import ArrayEncoding
    from lancelet.v20.fetch import Fetch

__all__ = ["FixedSizeBinary", "encode_fixed_size"]


@dataclass(frozen=True, slots=True, eq=False)
class FixedSizeBinary(Node):
    """Values of one length.

    Attributes
    ----------
    type_
        (Large) utf8 or binary.
    num_values, byte_width, source
        Their number, their length, and their bytes.
    """

    name: ClassVar[str] = "fixed_size_binary"
    type_: pa.DataType
    num_values: int
    byte_width: int
    source: ByteSource

    @classmethod
    def from_message(
        cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int
    ) -> FixedSizeBinary:
        """Read ``FixedSizeBinary``."""
        width = message.byte_width
        if not is_variable_width(type_) or width == 0:
            raise FormatError(f"values of {width} bytes do not fit the type {type_}")
        data = message.bytes
        if data.WhichOneof("array_encoding") != "flat" or data.flat.bits_per_value not in (8, 8 * width):
            raise FormatError(
                "the bytes of a 'fixed_size_binary' encoding are not flat(8), and not one value each"
            )
        if num_values * width >= 2**63:
            raise FormatError(f"{num_values} values of {width} bytes are impossible")
        return cls(type_, num_values, width, byte_source(data.flat, page, num_values * width))

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read the bytes of `rows`."""
        width = self.byte_width
        data = yield from self.source.read(rows.starts * width, rows.stops * width, allocate)
        lengths = np.full(rows.num_rows, width, dtype=np.int64)
        offsets = offsets_of_lengths(lengths, offset_bits(self.type_), self.type_, allocate)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        return as_text(pa.Array.from_buffers(self.type_, rows.num_rows, buffers, 0))


def encode_fixed_size(
    block: VariableWidth, width: int, valid: npt.NDArray[np.bool_] | None, buffers: PageBuffers
) -> ArrayEncoding:
    """Encode values whose valid ones all have `width` bytes; null ones, which are empty, become zeros."""
    from lancelet.pb import encodings20_pb2 as pb

    offsets = as_values(block.offsets, block.offset_bits)[: block.num_values + 1]
    packed = as_bytes(block.data)[int(offsets[0]) : int(offsets[-1])]
    validity = None
    if valid is not None:
        validity = buffers.add_flat(np.packbits(valid, bitorder="little"), 1)
        rows = np.zeros((block.num_values, width), dtype=np.uint8)
        rows[valid] = packed.reshape(-1, width)
        packed = rows.reshape(-1)
    message = pb.FixedSizeBinary(bytes=buffers.add_flat(packed, 8), byte_width=width)
    return wrap_values(pb.ArrayEncoding(fixed_size_binary=message), validity)
