"""Stored ends: how lengths and nulls of strings and lists are stored together (encodings_v2_0.md 3, *Binary*, and 4).

One u64 a value: where it ends, counted from the start of the page; nulls add the *adjustment*, which is larger than any end::

    ["ab", null, "", "cde"]     ends 2 2 2 5     adjustment 6     stored 2 8 2 5

There is no leading 0: value 0 starts at 0, any other where the one before it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.errors import FormatError
from lancelet.pages.base import RowRanges

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.buffers import Int64Array

__all__ = ["Ends", "decode_ends", "encode_ends", "stored_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """Lengths of some values and where they lie.

    Attributes
    ----------
    lengths
        ``int64[num_values]``, of null values too.
    valid
        ``bool[num_values]``, or ``None`` when nothing is null.
    starts, stops
        ``int64[num_ranges]``: where the values of each range of rows begin and end, in ascending order.
    """

    lengths: Int64Array
    valid: npt.NDArray[np.bool_] | None
    starts: Int64Array
    stops: Int64Array


def stored_rows(rows: RowRanges) -> RowRanges:
    """Return the rows whose ends must be read for `rows`: also the one before each range."""
    return RowRanges(np.maximum(rows.starts - 1, 0), rows.stops)


def decode_ends(stored: npt.NDArray[np.uint64], adjustment: int, rows: RowRanges, limit: int) -> Ends:
    """Take lengths and nulls apart.

    Parameters
    ----------
    stored
        ``uint64``: what is stored for :func:`stored_rows` of `rows`.
    adjustment
        What nulls add.
    rows
        The wanted rows.
    limit
        The largest end that there may be.

    Raises
    ------
    FormatError
        An end is above `limit`, or below the one before it.
    """
    if len(stored) == 0:
        return Ends(np.zeros(0, np.int64), None, rows.starts, rows.starts)
    if adjustment == 0:
        raise FormatError("values have no null adjustment")
    null = stored >= np.uint64(adjustment)
    has_nulls = bool(null.any())
    ends = np.where(null, stored - np.uint64(adjustment), stored) if has_nulls else stored
    if int(ends.max()) > min(limit, adjustment - 1):
        raise FormatError(f"a value ends at {int(ends.max())}, and the values end at {limit}")
    places = ends.astype(np.int64)
    led = rows.starts > 0
    counts = rows.stops - rows.starts + led
    firsts = np.cumsum(counts) - counts
    lengths = np.diff(places, prepend=0)
    starts = np.where(led, places[firsts], 0)
    stops = places[firsts + counts - 1]
    lengths[firsts] = np.where(led, 0, places[firsts])
    if lengths.min() < 0 or (starts[1:] < stops[:-1]).any():
        raise FormatError("the ends of values decrease")
    valid = ~null if has_nulls else None
    if led.any():
        lengths = np.delete(lengths, firsts[led]) if len(rows.starts) > 1 else lengths[1:]
        if valid is not None:
            valid = np.delete(valid, firsts[led]) if len(rows.starts) > 1 else valid[1:]
    return Ends(lengths, valid, starts, stops)


def encode_ends(ends: Any, valid: npt.NDArray[np.bool_] | None) -> tuple[npt.NDArray[np.uint64], int]:
    """Put ends and nulls together.

    Parameters
    ----------
    ends
        Where each value ends; the last one is the total.
    valid
        Which values are valid; ``None``: all.

    Returns
    -------
    stored, adjustment
        ``uint64[num_values]``, and what nulls were given: the total plus one.
    """
    stored = np.asarray(ends).astype(np.uint64)
    adjustment = (int(stored[-1]) if len(stored) else 0) + 1
    if valid is not None:
        stored[~valid] += np.uint64(adjustment)
    return stored, adjustment
