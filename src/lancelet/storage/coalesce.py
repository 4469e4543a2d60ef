"""Ranges that lie close together are read at once.

A request costs about the same for one byte as for some thousands: a microsecond for a local file, tens of milliseconds for a
server. What lies between two wanted ranges is read along when that is cheaper than another request. :func:`merge_ranges` is pure;
:func:`fetch` is how readers read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lancelet.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.storage.base import Source

__all__ = ["MergedRanges", "fetch", "merge_ranges"]

#: A read begins at a multiple of it, so that buffers lie in memory as aligned as they do in the file.
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class MergedRanges:
    """Reads that hold all of some ranges.

    Attributes
    ----------
    reads
        ``(position, size)`` of each read, by position.
    places
        For each range, in the order in which they were given: the number of its read, and where it begins there.
    """

    reads: list[tuple[int, int]]
    places: list[tuple[int, int]]


def merge_ranges(ranges: Sequence[tuple[int, int]], gap_bytes: int, most_bytes: int) -> MergedRanges:
    """Merge ranges that have at most `gap_bytes` between them, or overlap.

    A range never comes in parts: one that is larger than `most_bytes` is a read of its own.

    Parameters
    ----------
    ranges
        ``(position, size)`` in any order; they may overlap.
    gap_bytes
        Most bytes between two ranges that are read together.
    most_bytes
        Most bytes of a read that holds several ranges, give or take the 63 bytes by which its begin is aligned.

    Raises
    ------
    FormatError
        A position or a size is negative.
    """
    reads: list[tuple[int, int]] = []
    places = [(0, 0)] * len(ranges)
    start = stop = -1
    for number in sorted(range(len(ranges)), key=ranges.__getitem__):
        position, size = ranges[number]
        if position < 0 or size < 0:
            raise FormatError(f"there are no {size} bytes at {position}")
        end = position + size
        if start < 0 or position - stop > gap_bytes or (end > stop and end - start > most_bytes):
            if start >= 0:
                reads.append((start, stop - start))
            start, stop = position - position % _ALIGNMENT, end
        elif end > stop:
            stop = end
        places[number] = (len(reads), position - start)
    if start >= 0:
        reads.append((start, stop - start))
    return MergedRanges(reads, places)


def fetch(source: Source, ranges: Sequence[tuple[int, int]], *, scattered: bool = False) -> list[memoryview]:
    """Read several ``(position, size)`` in as few requests as pays; returns their bytes in the order given.

    What was read together shares memory, which lives as long as the last view of it.

    Parameters
    ----------
    scattered
        Say that nothing around the ranges will be read soon, as when single rows are taken; see :meth:`Source.prefetch`. What is
        read front to back is better left to the read-ahead of the system.

    Raises
    ------
    FormatError
        A range does not lie inside of the source, or the source has shrunk.
    """
    if scattered:
        source.prefetch(ranges)
    if source.gives_views or len(ranges) < 2:
        return _read(source, ranges)
    merged = merge_ranges(ranges, source.gap_bytes, source.most_bytes)
    if len(merged.reads) == len(ranges):
        return _read(source, ranges)
    data = _read(source, merged.reads)
    return [
        data[read][start : start + size]
        for (read, start), (_, size) in zip(merged.places, ranges, strict=True)
    ]


def _read(source: Source, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
    """Read ranges; a source of the user's may give views that could be written to, and decoders write to what they may."""
    return [view if view.readonly else view.toreadonly() for view in source.read_ranges(ranges)]
