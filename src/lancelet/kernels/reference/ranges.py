"""Ranges of a file that are fetched together. These kernels are for :mod:`lancelet.storage`; no other one knows of files."""

from __future__ import annotations

import os
from bisect import bisect_right
from typing import TYPE_CHECKING

from lancelet.buffers import as_bytes, nbytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lancelet.buffers import Data, Int64Array, UInt8Array

__all__ = ["near_ranges", "read_ranges"]

_MOST = 1 << 62
_NO_WAIT = getattr(os, "RWF_NOWAIT", None)


def near_ranges(ranges: Int64Array, gap: int) -> list[tuple[int, int]]:
    """Sort ranges, and merge those with few bytes between them; empty ones are left out.

    Parameters
    ----------
    ranges
        ``int64[num_ranges, 2]``: position and size; they may overlap.
    gap
        Most bytes between two ranges that are merged.

    Raises
    ------
    ValueError
        A number is negative, or a range ends at 2**62 or later.
    """
    if ranges.size % 2 or not 0 <= gap < _MOST:
        raise ValueError("ranges: two numbers a range, and a gap")
    pairs = [(position, size) for position, size in ranges.reshape(-1, 2).tolist()]
    if any(position < 0 or size < 0 or position + size >= _MOST for position, size in pairs):
        raise ValueError("ranges: no such place in a file")
    return merge_near(pairs, gap)


def merge_near(ranges: Iterable[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Do what :func:`near_ranges` does."""
    merged: list[tuple[int, int]] = []
    for position, size in sorted(range_ for range_ in ranges if range_[1]):
        start, stop = (merged[-1][0], sum(merged[-1])) if merged else (0, -1)
        if merged and position - stop <= gap:
            merged[-1] = start, max(stop, position + size) - start
        else:
            merged.append((position, size))
    return merged


def read_ranges(descriptor: int, ranges: Sequence[tuple[int, int]], wait: bool, out: Data) -> int:
    """Read ranges of a file back to back; returns how many were read before one that is not there to its end.

    Parameters
    ----------
    descriptor
        Of the file.
    ranges
        Position and size of each.
    wait
        Otherwise what is not in memory is not read; nor anything, where the system cannot tell.
    out
        Writable, with the bytes of all ranges.

    Raises
    ------
    OSError
        The file cannot be read; only with `wait`.
    ValueError
        A number is negative, or the output has another size.
    """
    if any(position < 0 or size < 0 for position, size in ranges):
        raise ValueError("ranges: no such place in a file")
    if sum(size for _, size in ranges) != nbytes(out):
        raise ValueError("ranges: the output has another size")
    target, at = memoryview(out).cast("B"), 0
    for number, (position, size) in enumerate(ranges):
        done = 0
        while done < size:
            part = target[at + done : at + size]
            try:
                if not wait and _NO_WAIT is None:
                    return number
                count = os.preadv(descriptor, [part], position + done, 0 if wait else _NO_WAIT or 0)
            except OSError:
                if wait:
                    raise
                return number
            if count == 0:
                return number
            done += count
        at += size
    return len(ranges)


class Copies:
    """Copies of some ranges of a file, sorted and disjoint, which lie back to back. No kernel.

    Raises
    ------
    ValueError
        These are no such ranges, or the copies of others.
    """

    def __init__(self, ranges: Sequence[tuple[int, int]] = (), data: Data = b"") -> None:
        self._data = as_bytes(data)
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._places: list[int] = []
        stop = used = 0
        for position, size in ranges:
            if position < stop or size < 0 or position + size >= 1 << 63:
                raise ValueError("ranges: no such places in a file, or not in order")
            stop = position + size
            self._starts.append(position)
            self._stops.append(stop)
            self._places.append(used)
            used += size
        if used != len(self._data):
            raise ValueError("ranges: copies of other ranges")

    def of(self, position: int, part: UInt8Array) -> UInt8Array:
        """Return the copy of a part of the file, which lies in one range; without one the part itself."""
        found = bisect_right(self._starts, position) - 1
        if found < 0 or position >= self._stops[found] or position + len(part) > self._stops[found]:
            return part
        at = self._places[found] + position - self._starts[found]
        return self._data[at : at + len(part)]
