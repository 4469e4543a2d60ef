"""``binary``: strings and bytes of any length (encodings_v2_0.md 3, *Binary*).

=======  ==============================================================================
buffer   meaning
=======  ==============================================================================
indices  one stored end (:mod:`lancelet.v20.ends`) a value, ``nullable.no_nulls{flat(64)}``
bytes    the values' bytes, ``flat(8)``, compressed as a whole or not
=======  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import is_variable_width, offset_bits
from lancelet.buffers import EMPTY, as_bytes, as_values
from lancelet.errors import FormatError, OptionError
from lancelet.v20.ends import decode_ends, encode_ends, stored_rows
from lancelet.v20.node import ByteSource, Node, PageBuffers, PageContext, byte_source, plain_values
from lancelet.v20.nullable import wrap_values

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.blocks import VariableWidth
    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.pages.base import RowRanges
    from lancelet.pb.encodings20_pb2 import ArrayEncoding
    from lancelet.v20.fetch import Fetch
    from lancelet.v20.node import Compression

__all__ = ["Binary", "as_text", "encode_binary", "offsets_of_lengths"]


@dataclass(frozen=True, slots=True, eq=False)
class Binary(Node):
    """Values of any length.

    Attributes
    ----------
    type_
        (Large) utf8 or binary.
    num_values, indices, source, adjustment
        Their number, stored ends, bytes, and what nulls add to their ends.
    """

    name: ClassVar[str] = "binary"
    type_: pa.DataType
    num_values: int
    indices: Node
    source: ByteSource
    adjustment: int

    @classmethod
    def from_message(cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int) -> Binary:
        """Read ``Binary``."""
        if not is_variable_width(type_):
            raise FormatError(f"values of any length do not fit the type {type_}")
        data = message.bytes
        if data.WhichOneof("array_encoding") != "flat" or data.flat.bits_per_value != 8:
            raise FormatError("the bytes of a 'binary' encoding are not flat(8)")
        indices = page.parse(message.indices, pa.uint64(), num_values)
        return cls(type_, num_values, indices, byte_source(data.flat, page, 0), message.null_adjustment)

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read the indices of `rows` and of the value before each range, then their bytes only."""
        array = yield from self.read_raw(rows, allocate)
        return as_text(array)

    def read_raw(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read as :meth:`read` does, without a look at the text."""
        indices = yield from self.indices.read(stored_rows(rows), allocate)
        if indices.null_count:
            raise FormatError("the indices of a 'binary' encoding have nulls")
        ends = decode_ends(plain_values(indices, "<u8"), self.adjustment, rows, 2**62)
        data = yield from self.source.read(ends.starts, ends.stops, allocate)
        bits = offset_bits(self.type_)
        offsets = offsets_of_lengths(ends.lengths, bits, self.type_, allocate)
        bitmap = None if ends.valid is None else pa.py_buffer(np.packbits(ends.valid, bitorder="little"))
        return pa.Array.from_buffers(
            self.type_, len(ends.lengths), [bitmap, pa.py_buffer(offsets), pa.py_buffer(data)]
        )


def offsets_of_lengths(lengths: Int64Array, bits: int, type_: pa.DataType, allocate: Allocate) -> Any:
    """Make Arrow offsets of `bits` bits from lengths.

    Raises
    ------
    OptionError
        The values together are too long for them.
    """
    total = int(lengths.sum())
    if bits == 32 and total > 2**31 - 1:
        raise OptionError(
            f"{total} bytes or items do not fit an array of type {type_}; read fewer rows at a time"
        )
    offsets = allocate((len(lengths) + 1) * bits // 8)
    view = as_values(offsets, bits)
    view[0] = 0
    np.cumsum(lengths, dtype=view.dtype, out=view[1:])
    return offsets


def as_text(array: pa.Array) -> pa.Array:
    """Return `array` after a check that text is UTF-8."""
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise FormatError(f"text is not valid UTF-8: {error}") from None
    return array


def encode_binary(
    block: VariableWidth,
    valid: npt.NDArray[np.bool_] | None,
    buffers: PageBuffers,
    compression: Compression | None = None,
) -> ArrayEncoding:
    """Encode values of any length; null ones must be empty."""
    from lancelet.pb import encodings20_pb2 as pb

    offsets = as_values(block.offsets, block.offset_bits)[: block.num_values + 1]
    first, last = (int(offsets[0]), int(offsets[-1])) if block.num_values else (0, 0)
    data: Data = as_bytes(block.data)[first:last] if last > first else EMPTY
    ends = offsets[1:].astype(np.uint64)
    ends -= np.uint64(first)
    stored, adjustment = encode_ends(ends, valid)
    indices = wrap_values(buffers.add_flat(stored, 64))
    message = pb.Binary(
        indices=indices, bytes=buffers.add_flat(data, 8, compression), null_adjustment=adjustment
    )
    return pb.ArrayEncoding(binary=message)
