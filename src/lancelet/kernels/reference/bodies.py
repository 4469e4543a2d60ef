"""Bodies of blobs as they lie in a file: one after the other, each padded (container.md 1).

With an alignment of 4 and ``H`` as fill, the parts ``ab``, ``cdefg`` and nothing are ``abHH cdefgHHH``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.buffers import as_bytes, nbytes

if TYPE_CHECKING:
    from lancelet.buffers import Data, Int64Array

__all__ = ["pad_parts"]


def pad_parts(
    data: Data, starts: Int64Array, sizes: Int64Array, alignment: int, fill: int, out: Data
) -> None:
    """Copy parts of `data` one after the other, each padded to a multiple of the alignment.

    Parameters
    ----------
    data
        Any bytes.
    starts, sizes
        ``int64[num_parts]``: part ``i`` is ``sizes[i]`` bytes at ``starts[i]``.
    alignment
        A power of two.
    fill
        Value of the padding bytes.
    out
        Exactly the room for all parts with their padding.

    Raises
    ------
    ValueError
        A part lies outside of `data`, `out` has another size, or `alignment` or `fill` are impossible.
    """
    if len(starts) != len(sizes):
        raise ValueError("pad_parts: one size a part")
    if alignment <= 0 or alignment & (alignment - 1):
        raise ValueError("pad_parts: the alignment must be a power of two")
    if not 0 <= fill < 256:
        raise ValueError("pad_parts: the fill must be a byte")
    padded = b""
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        if not (0 <= start <= nbytes(data) and 0 <= size <= nbytes(data) - start):
            raise ValueError("pad_parts: a part lies outside of the data")
        padded += as_bytes(data)[start : start + size].tobytes() + bytes([fill]) * (-size % alignment)
    if len(padded) != nbytes(out):
        raise ValueError("pad_parts: the parts do not fill the output")
    as_bytes(out)[:] = as_bytes(padded)
