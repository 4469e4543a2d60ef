"""``flat``: values back to back (encodings_v2_0.md 3, *Flat*).

========================  ==================================================================================
``bits_per_value`` w      buffer
========================  ==================================================================================
1                         bitmap of ``ceil(n / 8)`` bytes, least significant bit first, unused bits zero
8 k                       ``n * k`` bytes, little endian: Arrow's own values
========================  ==================================================================================

With ``compression`` the whole buffer is compressed, and any read needs all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import aligned_bits, fixed_bits, is_variable_width
from lancelet.buffers import as_bytes, nbytes
from lancelet.errors import FormatError
from lancelet.v20.node import ByteSource, Node, PageContext, byte_source

if TYPE_CHECKING:
    from lancelet.buffers import Allocate, Data
    from lancelet.pages.base import RowRanges
    from lancelet.v20.fetch import Fetch

__all__ = ["Flat", "fixed_width_bits", "row_positions"]

#: Arrow's widest values; what is less aligned than its width is copied.
_MAX_ALIGNMENT = 16


def fixed_width_bits(type_: pa.DataType) -> int | None:
    """Return the width of the values of a flat type, ``None`` when they have no fixed one."""
    if pa.types.is_nested(type_) or pa.types.is_dictionary(type_) or pa.types.is_null(type_):
        return None
    return None if is_variable_width(type_) else fixed_bits(type_)


def row_positions(rows: RowRanges, starts: Any) -> Any:
    """Return ``int64[num_rows]``: where each row stands when range ``i`` of `rows` begins at ``starts[i]``."""
    lengths = rows.stops - rows.starts
    shifts = starts - (np.cumsum(lengths) - lengths)
    return np.repeat(shifts, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Flat(Node):
    """Values of one width.

    Attributes
    ----------
    type_
        A flat Arrow type of that width.
    num_values, bits, source
        How many, how wide, and where.
    """

    name: ClassVar[str] = "flat"
    type_: pa.DataType
    num_values: int
    bits: int
    source: ByteSource

    @classmethod
    def from_message(cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int) -> Flat:
        """Read ``Flat``; the width must be that of `type_`."""
        bits = message.bits_per_value
        if fixed_width_bits(type_) != bits or bits == 0:
            raise FormatError(f"values of {bits} bits do not fit the type {type_}")
        if num_values * bits >= 2**63:
            raise FormatError(f"{num_values} values of {bits} bits are impossible")
        return cls(type_, num_values, bits, byte_source(message, page, (num_values * bits + 7) // 8))

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read exactly the bytes of `rows`; a view where that is possible."""
        if self.bits == 1:
            data = yield from self.source.read(rows.starts // 8, (rows.stops + 7) // 8, allocate)
            data = _bits_of_rows(data, rows)
        else:
            width = self.bits // 8
            data = yield from self.source.read(rows.starts * width, rows.stops * width, allocate)
            data = _aligned(data, width)
        return pa.Array.from_buffers(self.type_, rows.num_rows, [None, pa.py_buffer(data)], 0)


def _bits_of_rows(data: Data, rows: RowRanges) -> Any:
    """Bring the bits of `rows` together, of the bytes that hold each range."""
    if len(rows.starts) == 1:
        first = int(rows.starts[0]) % 8
        return aligned_bits(pa.py_buffer(data), first, rows.num_rows)
    num_bytes = (rows.stops + 7) // 8 - rows.starts // 8
    starts = 8 * (np.cumsum(num_bytes) - num_bytes) + rows.starts % 8
    bits = np.unpackbits(as_bytes(data), bitorder="little")
    return np.packbits(bits[row_positions(rows, starts)], bitorder="little")


def _aligned(data: Data, width: int) -> Any:
    """Return `data` where Arrow may work on it: copied in files whose buffers are not padded."""
    alignment = min(width & -width, _MAX_ALIGNMENT)
    if nbytes(data) == 0 or pa.py_buffer(data).address % alignment == 0:
        return data
    copy = pa.allocate_buffer(nbytes(data))
    as_bytes(copy)[:] = as_bytes(data)
    return copy
