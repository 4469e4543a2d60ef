"""Small pages on their way into a file: their buffers as one piece, and what their column says of them (container.md 6 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_bytes, nbytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data

__all__ = ["join_page"]


def join_page(
    buffers: Sequence[Data], position: int, alignment: int, tail: Data, out: Data, out_record: Data
) -> tuple[int, int]:
    """Join the buffers of a page, and say what its column will say of it.

    Parameters
    ----------
    buffers
        Page buffers in their order.
    position
        Where the first one will stand in the file.
    alignment
        Each is padded with ``H`` up to a multiple of it.
    tail
        The fields of a ``ColumnMetadata.Page`` that follow ``buffer_offsets`` and ``buffer_sizes``.
    out
        Room for the padded buffers.
    out_record
        Room for the page as a piece of a column metadata block: ``12 varint(length) Page``.

    Returns
    -------
    tuple[int, int]
        Bytes used in `out` and `out_record`; -1 and 0 when one of them is too small, what they hold is of no use then.
    """
    if alignment <= 0 or not 0 <= position <= 1 << 62:
        raise ValueError("join_page: the alignment is 0, or the file too large")
    pieces, offsets, sizes = [], [], []
    start = position
    for buffer in buffers:
        offsets.append(start)
        sizes.append(nbytes(buffer))
        start += sizes[-1]
        padding = -start % alignment
        pieces += [bytes(buffer), b"H" * padding]
        start += padding
    page = _packed(0x0A, offsets) + _packed(0x12, sizes) + bytes(tail)
    record = b"\x12" + _varint(len(page)) + page
    joined = b"".join(pieces)
    if len(joined) > nbytes(out) or len(record) > nbytes(out_record):
        return -1, 0
    as_bytes(out)[: len(joined)] = np.frombuffer(joined, np.uint8)
    as_bytes(out_record)[: len(record)] = np.frombuffer(record, np.uint8)
    return len(joined), len(record)


def _packed(tag: int, numbers: Sequence[int]) -> bytes:
    packed = b"".join(map(_varint, numbers))
    return bytes([tag]) + _varint(len(packed)) + packed if numbers else b""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
