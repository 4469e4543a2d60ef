"""``fsst``: ``binary`` whose bytes are compressed with a table of symbols (encodings_v2_0.md 3, *Fsst*; compressors.md 4).

Indices and adjustment count *compressed* bytes; every value is compressed on its own. The table, 2312 bytes, travels in the
message. Small pages have a table that is switched off (zeros but for its magic) and plain bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks import VariableWidth
from lancelet.blocks.arrow import offset_bits
from lancelet.buffers import EMPTY, allocate, as_values, nbytes
from lancelet.codecs.fsst import MIN_VALUE_BYTES, TABLE_BYTES
from lancelet.errors import FormatError
from lancelet.v20.binary import Binary, as_text, encode_binary
from lancelet.v20.node import Node, PageBuffers, PageContext

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.buffers import Allocate
    from lancelet.pages.base import RowRanges
    from lancelet.pb.encodings20_pb2 import ArrayEncoding
    from lancelet.v20.fetch import Fetch

__all__ = ["CompressedValues", "Fsst", "compress_values", "encode_fsst"]

_SWITCHED_OFF = bytes(4) + b"\x54\x53\x53\x46" + bytes(TABLE_BYTES - 8)
_SWITCH = 3


@dataclass(frozen=True, slots=True, eq=False)
class Fsst(Node):
    """Compressed values.

    Attributes
    ----------
    num_values, values, symbol_table
        Their number, the compressed values, and the table.
    """

    name: ClassVar[str] = "fsst"
    num_values: int
    values: Binary
    symbol_table: bytes

    @classmethod
    def from_message(cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int) -> Fsst:
        """Read ``Fsst`` and check its table."""
        table = message.symbol_table
        if len(table) != TABLE_BYTES:
            raise FormatError(f"fsst: the symbol table has {len(table)} bytes in place of {TABLE_BYTES}")
        if message.binary.WhichOneof("array_encoding") != Binary.name:
            raise FormatError("fsst: the compressed values are not of the encoding 'binary'")
        no_values = np.zeros(1, dtype=np.uint32)
        kernels.fsst_decode_offsets(table, EMPTY, no_values, 32, no_values.copy())
        return cls(num_values, Binary.from_message(message.binary.binary, page, type_, num_values), table)

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read the compressed values of `rows`, and decompress them."""
        packed = yield from self.values.read_raw(rows, allocate)
        if self.symbol_table[_SWITCH] == 0 or len(packed) == 0:
            return as_text(packed)
        bitmap, offsets, data = packed.buffers()
        bits = offset_bits(packed.type)
        plain_offsets = allocate(nbytes(offsets))
        parts = (self.symbol_table, data, offsets, bits)
        plain = allocate(kernels.fsst_decode_offsets(*parts, plain_offsets))
        kernels.fsst_decode(*parts, plain)
        buffers = [bitmap, pa.py_buffer(plain_offsets), pa.py_buffer(plain)]
        return as_text(pa.Array.from_buffers(packed.type, len(packed), buffers))


@dataclass(frozen=True, slots=True, eq=False)
class CompressedValues:
    """Values under a table of symbols.

    Attributes
    ----------
    table
        The table.
    values
        The compressed values; plain ones, when the table is switched off.
    """

    table: bytes
    values: VariableWidth

    @property
    def num_bytes(self) -> int:
        """Bytes of values and table."""
        values = self.values
        offsets = as_values(values.offsets, values.offset_bits)
        return TABLE_BYTES + int(offsets[values.num_values]) - int(offsets[0])


def compress_values(block: VariableWidth) -> CompressedValues:
    """Train a table on some values and compress them; switched off where they are few, as the reference does."""
    bits = block.offset_bits
    offsets = as_values(block.offsets, bits)[: block.num_values + 1]
    num_bytes = int(offsets[-1]) - int(offsets[0])
    if num_bytes < MIN_VALUE_BYTES:
        return CompressedValues(_SWITCHED_OFF, block)
    table = np.empty(TABLE_BYTES, dtype=np.uint8)
    kernels.fsst_train(block.data, offsets, bits, table)
    out_offsets, out = allocate(nbytes(offsets)), allocate(2 * num_bytes)
    written = kernels.fsst_encode(table, block.data, offsets, bits, out_offsets, out)
    if written > min(num_bytes, 2**31 - 1):
        return CompressedValues(_SWITCHED_OFF, block)
    return CompressedValues(
        table.tobytes(), VariableWidth(bits, block.num_values, out_offsets, out.slice(0, written))
    )


def encode_fsst(
    compressed: CompressedValues, valid: npt.NDArray[np.bool_] | None, buffers: PageBuffers
) -> ArrayEncoding:
    """Encode compressed values."""
    from lancelet.pb import encodings20_pb2 as pb

    binary = encode_binary(compressed.values, valid, buffers)
    return pb.ArrayEncoding(fsst=pb.Fsst(binary=binary, symbol_table=compressed.table))
