"""Segments of row ids, as stored, and the runs of consecutive ids that they consist of (dataset.md 5).

======================  ============================================================  ==================================
form                    holds                                                         chosen for
======================  ============================================================  ==================================
``range``               start, ..., end - 1                                           ids without gaps
``range_with_holes``    the same without the ids listed                               ascending ids, whichever of these
``range_with_bitmap``   start + i where bit i % 8, least significant first, of byte   three is smallest: 24 bytes, and 4 for
                        i / 8 is set                                                  each hole, 1 for each 8 slots of the
``sorted_array``        any ids that ascend                                           range, or 2 for each id
``array``               any ids                                                       all else
======================  ============================================================  ==================================

Arrays are offsets of 2 or 4 bytes from the least id, or the ids themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.errors import FormatError
from lancelet.pb import rowids_pb2

if TYPE_CHECKING:
    from typing import TypeAlias

    #: uint64[num_runs], the first id of each run; int64[num_runs], how many ids follow each other.
    Runs: TypeAlias = tuple[np.ndarray[Any, np.dtype[np.uint64]], np.ndarray[Any, np.dtype[np.int64]]]

__all__ = [
    "MAX_LENGTH",
    "decode_segment",
    "encode_segment",
    "expand_runs",
    "remove_offsets",
    "runs_of",
    "segment_length",
]

#: Longer sequences are refused, so that positions in them are signed 64-bit integers.
MAX_LENGTH = (1 << 63) - 1
_MAX_ID = (1 << 64) - 1
_ONE = np.uint64(1)


def decode_segment(message: rowids_pb2.U64Segment) -> Runs:
    """Return the runs of a stored segment.

    They take at most about 200 times the bytes of the segment; long ranges take next to nothing.

    Raises
    ------
    FormatError
        The segment is damaged.
    """
    form = message.WhichOneof("segment")
    if form == "range":
        return _whole(message.range.start, _slots(message.range))
    if form == "range_with_holes":
        return _decode_holes(message.range_with_holes)
    if form == "range_with_bitmap":
        return _decode_bitmap(message.range_with_bitmap)
    if form == "sorted_array":
        ids = _decode_array(message.sorted_array)
        _check_ascending(ids, "a sorted array of row ids")
        return runs_of(ids)
    if form == "array":
        return runs_of(_decode_array(message.array))
    raise FormatError("a segment of row ids is of no known form")


def segment_length(message: rowids_pb2.U64Segment) -> int:
    """Return how many ids a stored segment has.

    Raises
    ------
    FormatError
        The segment is damaged.
    """
    if message.WhichOneof("segment") == "range":
        return _slots(message.range)
    return int(decode_segment(message)[1].sum())


def encode_segment(starts: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> rowids_pb2.U64Segment:
    """Return runs as a segment of the form that suits them.

    Parameters
    ----------
    starts, lengths
        uint64[num_runs] and int64[num_runs], at least one; two that touch are one run.
    """
    first, last = int(starts[0]), int(starts[-1]) + int(lengths[-1]) - 1
    lasts = starts + (lengths.astype(np.uint64) - _ONE)
    if (starts[1:] <= lasts[:-1]).any():
        return rowids_pb2.U64Segment(array=_encode_array(expand_runs(starts, lengths)))
    num, num_slots = int(lengths.sum()), last - first + 1
    if last == _MAX_ID:  # no range ends behind it
        return rowids_pb2.U64Segment(sorted_array=_encode_array(expand_runs(starts, lengths)))
    if num == num_slots:
        return rowids_pb2.U64Segment(range=rowids_pb2.U64Segment.Range(start=first, end=last + 1))
    sizes = (4 * (num_slots - num), (num_slots + 7) // 8, 2 * num)
    if sizes[0] == min(sizes):
        gaps = lasts[:-1] + _ONE
        holes = expand_runs(gaps, (starts[1:] - gaps).astype(np.int64))
        return rowids_pb2.U64Segment(
            range_with_holes=rowids_pb2.U64Segment.RangeWithHoles(
                start=first, end=last + 1, holes=_encode_array(holes)
            )
        )
    ids = expand_runs(starts, lengths)
    if sizes[1] == min(sizes):
        bits = np.zeros(num_slots, np.uint8)
        bits[ids - np.uint64(first)] = 1
        bitmap = np.packbits(bits, bitorder="little").tobytes()
        return rowids_pb2.U64Segment(
            range_with_bitmap=rowids_pb2.U64Segment.RangeWithBitmap(start=first, end=last + 1, bitmap=bitmap)
        )
    return rowids_pb2.U64Segment(sorted_array=_encode_array(ids))


def runs_of(ids: np.ndarray[Any, Any]) -> Runs:
    """Return the runs of consecutive ids in ``uint64[num]``, in their order."""
    if not len(ids):
        return ids, np.empty(0, np.int64)
    follows = (ids[1:] - ids[:-1] == _ONE) & (ids[1:] != 0)
    begins = np.concatenate([[0], np.flatnonzero(~follows) + 1])
    return ids[begins], np.diff(begins, append=len(ids))


def expand_runs(
    starts: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return all ids of runs, ``uint64[sum of lengths]``."""
    ids = np.arange(int(lengths.sum()), dtype=np.uint64)
    if len(starts) == 1:
        ids += starts[0]
    else:  # differences below zero wrap around, and so do the sums that they end in
        ids += np.repeat(starts - (np.cumsum(lengths) - lengths).astype(np.uint64), lengths)
    return ids


def remove_offsets(
    begins: np.ndarray[Any, Any], length: int, offsets: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Cut runs where some positions are taken out.

    Parameters
    ----------
    begins
        int64[num_runs], the position at which each run begins; the first is 0 and none is empty.
    length
        Where the last run ends.
    offsets
        int64[num], the positions to take out, ascending, each once and below `length`.

    Returns
    -------
    begins, lengths, runs
        int64[num_pieces] each: the positions, before anything was taken out, at which what is left begins, how long it is, and the
        run that it belongs to.
    """
    # The ends of runs and of what is between offsets pair up in order; where two cuts coincide, an empty piece comes out.
    first = np.sort(np.concatenate([begins, offsets + 1]))
    last = np.sort(np.concatenate([begins[1:], [length], offsets]))
    kept = first < last
    first, last = first[kept], last[kept]
    return first, last - first, np.searchsorted(begins, first, "right") - 1


def _whole(start: int, num: int) -> Runs:
    if not num:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return np.array([start], np.uint64), np.array([num], np.int64)


def _slots(
    stored: rowids_pb2.U64Segment.Range
    | rowids_pb2.U64Segment.RangeWithHoles
    | rowids_pb2.U64Segment.RangeWithBitmap,
) -> int:
    num = stored.end - stored.start
    if not 0 <= num <= MAX_LENGTH:
        raise FormatError(f"a range of row ids from {stored.start} to {stored.end} is not possible")
    return num


def _decode_holes(stored: rowids_pb2.U64Segment.RangeWithHoles) -> Runs:
    num = _slots(stored)
    holes = _decode_array(stored.holes) if stored.HasField("holes") else np.empty(0, np.uint64)
    _check_ascending(holes, "the holes of a range of row ids")
    if len(holes) and not stored.start <= int(holes[0]) <= int(holes[-1]) < stored.end:
        raise FormatError(f"a hole lies outside of the row ids from {stored.start} to {stored.end}")
    if not num:
        return _whole(stored.start, 0)
    start = np.uint64(stored.start)
    begins, lengths, _ = remove_offsets(np.zeros(1, np.int64), num, (holes - start).astype(np.int64))
    return begins.astype(np.uint64) + start, lengths


def _decode_bitmap(stored: rowids_pb2.U64Segment.RangeWithBitmap) -> Runs:
    num = _slots(stored)
    if len(stored.bitmap) != (num + 7) // 8:
        raise FormatError(f"a bitmap of {num} row ids has {len(stored.bitmap)} bytes")
    bits = np.unpackbits(np.frombuffer(stored.bitmap, np.uint8), bitorder="little", count=num)
    edges = np.flatnonzero(np.diff(bits, prepend=np.uint8(0), append=np.uint8(0)))
    begins, ends = edges[::2], edges[1::2]
    return begins.astype(np.uint64) + np.uint64(stored.start), ends - begins


def _decode_array(stored: rowids_pb2.EncodedU64Array) -> np.ndarray[Any, np.dtype[np.uint64]]:
    form = stored.WhichOneof("array")
    if form == "u64_array":
        return _integers(stored.u64_array.values, 8).astype(np.uint64)
    if form not in ("u16_array", "u32_array"):
        raise FormatError("an array of row ids is of no known form")
    narrow = stored.u16_array if form == "u16_array" else stored.u32_array
    offsets = _integers(narrow.offsets, 2 if form == "u16_array" else 4)
    if len(offsets) and narrow.base + int(offsets.max()) > _MAX_ID:
        raise FormatError(f"offsets from {narrow.base} lead to no row id")
    return offsets.astype(np.uint64) + np.uint64(narrow.base)


def _encode_array(ids: np.ndarray[Any, Any]) -> rowids_pb2.EncodedU64Array:
    base = int(ids.min())
    span = int(ids.max()) - base
    if span > 0xFFFFFFFF:
        values = ids.astype("<u8").tobytes()
        return rowids_pb2.EncodedU64Array(u64_array=rowids_pb2.EncodedU64Array.U64Array(values=values))
    offsets = ids - np.uint64(base)
    if span > 0xFFFF:
        wide = rowids_pb2.EncodedU64Array.U32Array(base=base, offsets=offsets.astype("<u4").tobytes())
        return rowids_pb2.EncodedU64Array(u32_array=wide)
    short = rowids_pb2.EncodedU64Array.U16Array(base=base, offsets=offsets.astype("<u2").tobytes())
    return rowids_pb2.EncodedU64Array(u16_array=short)


def _integers(data: bytes, width: int) -> np.ndarray[Any, Any]:
    if len(data) % width:
        raise FormatError(f"{len(data)} bytes are no integers of {width} bytes each")
    return np.frombuffer(data, f"<u{width}")


def _check_ascending(ids: np.ndarray[Any, Any], what: str) -> None:
    if (ids[1:] <= ids[:-1]).any():
        raise FormatError(f"{what} does not ascend")
