"""Frames of zstd that hold nothing compressed, which is what incompressible values become (compressors.md 5.3, RFC 8878 3.1.1).

A compressed buffer is the size of its value as u64 and one frame:

=================  =====================================================================================
size               what
=================  =====================================================================================
4                  ``28 b5 2f fd``
1                  descriptor: bits 0..4 are 0 (dictionary, checksum, reserved), bit 5 says that the frame is
                   a single segment, bits 6..7 are the ``code`` of the size
0 or 1             window, unless single segment: ``8 + (bits 0..2)`` eighths of ``2^(10 + (bits 3..7))`` bytes
2^code             size of the value, less 256 in u16; stated in u8 (code 0) by a single segment only
rest               blocks: 3 bytes (bit 0 last, bits 1..2 type, bits 3.. size), then the bytes of a raw block
                   (type 0) or the one byte that an RLE block (type 1) repeats
=================  =====================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.buffers import as_bytes, nbytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data, Int64Array

__all__ = ["zstd_copy_raw"]

MAGIC = b"\x28\xb5\x2f\xfd"
MOST_BLOCK_BYTES = 1 << 17
MOST_WINDOW_LOG = 27


def zstd_copy_raw(buffers: Sequence[Data], sizes: Int64Array, out: Data, taken: Data) -> int:
    """Copy the values of compressed buffers whose frames consist of raw and RLE blocks, and leave the others alone.

    Whatever is corrupt or doubtful is not taken either; the library has the last word on it. Not taken are also empty values,
    sizes that are not stated in the frame, windows above 128 MiB, blocks larger than the window or 128 KiB, RLE blocks of nothing,
    and bytes after the frame.

    Parameters
    ----------
    buffers
        Compressed buffers.
    sizes
        ``int64[num_buffers]``: how many bytes each value has.
    out
        Exactly the room for all values; each stands after those before it. The room of those not taken stays as it is.
    taken
        ``uint8[num_buffers]``: becomes 1 for each value that is in `out`, and 0 for the others.

    Returns
    -------
    int
        How many values were taken.

    Raises
    ------
    ValueError
        The numbers of buffers, sizes and places in `taken` differ, or `out` has another size.
    """
    if len(sizes) != len(buffers) or nbytes(taken) != len(buffers):
        raise ValueError("zstd_copy_raw: one size and one place in taken a buffer")
    at = 0
    marks = as_bytes(taken)
    for i, (buffer, size) in enumerate(zip(buffers, sizes.tolist(), strict=True)):
        if not 0 <= size <= nbytes(out) - at:
            raise ValueError("zstd_copy_raw: the values do not fit into the output")
        value = _stored_value(as_bytes(buffer).tobytes(), size)
        marks[i] = value is not None
        if value is not None:
            as_bytes(out)[at : at + size] = as_bytes(value)
        at += size
    if at != nbytes(out):
        raise ValueError("zstd_copy_raw: the values do not fill the output")
    return int(marks.sum())


def _stored_value(buffer: bytes, num_bytes: int) -> bytes | None:
    """Return the value of a buffer; ``None`` when it is not to be read here."""
    if num_bytes == 0 or len(buffer) < 13 or buffer[:8] != num_bytes.to_bytes(8, "little"):
        return None
    descriptor = buffer[12]
    if buffer[8:12] != MAGIC or descriptor & 0x1F:
        return None
    is_single = descriptor & 0x20 != 0
    size_bytes = 1 << (descriptor >> 6)
    head = 13 if is_single else 14
    if (size_bytes == 1 and not is_single) or len(buffer) < head + size_bytes:
        return None
    stated = int.from_bytes(buffer[head : head + size_bytes], "little") + (256 if size_bytes == 2 else 0)
    if stated != num_bytes:
        return None
    window = num_bytes
    if not is_single:
        window_log = 10 + (buffer[13] >> 3)
        if window_log > MOST_WINDOW_LOG:
            return None
        window = (1 << window_log) // 8 * (8 + (buffer[13] & 7))
    return _join_blocks(buffer[head + size_bytes :], num_bytes, min(window, MOST_BLOCK_BYTES))


def _join_blocks(blocks: bytes, num_bytes: int, most_block_bytes: int) -> bytes | None:
    value = b""
    is_last = False
    while not is_last:
        if len(blocks) < 3:
            return None
        head = int.from_bytes(blocks[:3], "little")
        is_last, is_run, size = head & 1 != 0, head >> 1 & 3 == 1, head >> 3
        if head >> 1 & 3 > 1 or size > min(most_block_bytes, num_bytes - len(value)):
            return None
        stored = 1 if is_run else size
        if len(blocks) - 3 < stored or (is_run and size == 0):
            return None
        value += blocks[3:4] * size if is_run else blocks[3 : 3 + size]
        blocks = blocks[3 + stored :]
    return value if len(value) == num_bytes and not blocks else None
