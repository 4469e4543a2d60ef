"""Dictionaries of pages that are read directly: twin of ``native/direct_items.hpp``. No kernel stands here."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_bytes
from lancelet.errors import FormatError
from lancelet.kernels.reference.lz4 import lz4_decode
from lancelet.kernels.reference.offsets import check_values, read_offsets
from lancelet.kernels.reference.varwidth import read_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data

__all__ = ["Items", "ItemsForm", "decode_items", "fixed_items", "variable_items"]

_LZ4_HEAD = 4
_LZ4_RATIO = 255
#: Most bytes that a dictionary may declare; larger ones are for those who ask for memory first.
_MAX_ITEMS_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Items:
    """The values that indices refer to.

    Attributes
    ----------
    values
        The items.
    is_variable
        Whether they have lengths of their own.
    null
        What stands for a slot that is null: zeros, or nothing.
    """

    values: Sequence[bytes]
    is_variable: bool
    null: bytes

    @property
    def held_bytes(self) -> int:
        """What the items take, with an offset each if they have lengths."""
        return sum(map(len, self.values)) + 8 * self.is_variable * len(self.values)


@dataclass(frozen=True, slots=True)
class ItemsForm:
    """How the message of a page says that its dictionary is stored.

    Attributes
    ----------
    is_variable, bits
        What the column is like.
    stored_bits
        Bits of a value of one width.
    is_compressed
        Whether the dictionary is a ``u32`` with its decoded size, and an LZ4 block.
    count
        Number of items.
    is_text
        Whether items must be ASCII.
    """

    is_variable: bool
    bits: int
    stored_bits: int
    is_compressed: bool
    count: int
    is_text: bool


def fixed_items(data: Data, bits: int) -> Items:
    """Return values of whole bytes.

    Raises
    ------
    ValueError
        They have no whole bytes, or are not whole.
    """
    raw, width = as_bytes(data).tobytes(), bits // 8
    if bits <= 0 or bits % 8 or len(raw) % width:
        raise ValueError("direct: items are not whole values")
    values = [raw[start : start + width] for start in range(0, len(raw), width)]
    return Items(values, False, bytes(width))


def variable_items(data: Data, offsets: Data, offset_bits: int) -> Items:
    """Return values of variable width.

    Raises
    ------
    FormatError
        The offsets decrease, or reach past the data.
    ValueError
        There are no such offsets.
    """
    raw, borders = as_bytes(data).tobytes(), read_offsets(offsets, offset_bits)
    check_values(borders, len(raw))
    return Items([raw[start:stop] for start, stop in pairwise(borders)], True, b"")


def decode_items(form: ItemsForm, stored: Data) -> Items:
    """Decode a dictionary as its page stores it.

    Raises
    ------
    FormatError
        It is damaged, declares more bytes than LZ4 can make of it or more than 64 MiB, or is text and may not be UTF-8.
    ValueError
        It holds other values than its column.
    """
    data = _decompressed(stored) if form.is_compressed else as_bytes(stored).tobytes()
    if form.is_variable:
        borders, values = read_part(data, 0, len(data), form.count, form.bits, True)
        if form.is_text and not values.tobytes().isascii():
            raise FormatError("direct: text may not be UTF-8")
        return variable_items(values, np.array(borders, dtype=np.uint64), 64)
    if form.stored_bits != form.bits or form.bits % 8:
        raise ValueError("direct: a dictionary holds other values than its column")
    items = fixed_items(data, form.bits) if len(data) % (form.bits // 8) == 0 else None
    if items is None or len(items.values) != form.count:
        raise FormatError("a dictionary has another number of values")
    return items


def _decompressed(stored: Data) -> bytes:
    """Decode a ``u32`` with the decoded size, and an LZ4 block."""
    raw = as_bytes(stored)
    if len(raw) < _LZ4_HEAD:
        raise FormatError("lz4: a compressed buffer ends inside of its size")
    size = int.from_bytes(raw[:_LZ4_HEAD].tobytes(), "little")
    if size > min(_LZ4_RATIO * len(raw), _MAX_ITEMS_BYTES):
        raise FormatError("lz4: a buffer declares too many bytes")
    out = bytearray(size)
    start, rest, borders = (np.array(n, np.int64) for n in ([_LZ4_HEAD], [len(raw) - _LZ4_HEAD], [0, size]))
    lz4_decode(raw, start, rest, out, borders)
    return bytes(out)
