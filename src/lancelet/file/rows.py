"""The rows that a user asks for: checked, sorted, and used up in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from lancelet.errors import OptionError
from lancelet.pages.base import RowRanges

if TYPE_CHECKING:
    from lancelet.buffers import Int64Array

__all__ = [
    "RowCursor",
    "RowOrder",
    "as_row_numbers",
    "check_batch_size",
    "check_range",
    "is_scattered",
    "order_rows",
]


class RowCursor:
    """Rows that are used up from the front, in parts.

    Parameters
    ----------
    rows
        All rows.

    Attributes
    ----------
    left
        How many rows are left.
    """

    def __init__(self, rows: RowRanges) -> None:
        self._rows = rows
        self._ends = np.cumsum(rows.stops - rows.starts) if len(rows.starts) > 1 else None
        self._used = 0
        self.left = rows.num_rows

    def take(self, num_rows: int) -> RowRanges:
        """Return the next `num_rows` rows, or those that are left if they are fewer; at least one must be."""
        rows, ends, first = self._rows, self._ends, self._used
        last = first + min(num_rows, self.left)
        self._used = last
        self.left -= last - first
        if ends is None:
            start = int(rows.starts[0])
            return RowRanges.single(start + first, start + last)
        low = int(np.searchsorted(ends, first, side="right"))
        high = int(np.searchsorted(ends, last, side="left")) + 1
        starts, stops = rows.starts[low:high].copy(), rows.stops[low:high].copy()
        starts[0] = stops[0] - (ends[low] - first)
        stops[-1] -= ends[high - 1] - last
        return RowRanges(starts, stops)

    def count_below(self, row: int) -> int:
        """Return how many of the rows that are left lie before `row` of the file."""
        rows = self._rows
        before = np.minimum(rows.stops, row) - rows.starts
        return max(int(np.maximum(before, 0).sum()) - self._used, 0)


@dataclass(frozen=True, slots=True, eq=False)
class RowOrder:
    """Rows in the order in which a user asked for them.

    Attributes
    ----------
    rows
        The distinct rows, sorted.
    positions
        ``int64[num_wanted]``: where each wanted row stands among the distinct ones; ``None`` when they came sorted and distinct.
    """

    rows: RowRanges
    positions: Int64Array | None


def as_row_numbers(indices: Any) -> Int64Array:
    """Return the row numbers that a user asks for as ``int64[num_wanted]``; numbers that do not fit are no rows of any file.

    Raises
    ------
    OptionError
        `indices` is not a sequence or an array of integers without nulls.
    """
    try:
        wanted = np.asarray(indices)
    except ValueError:  # lists of several lengths
        wanted = np.empty((1, 1))
    if wanted.size == 0:
        return np.empty(0, dtype=np.int64)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        nulls = " with nulls" if getattr(indices, "null_count", 0) else ""
        raise OptionError(f"row numbers must be a list of integers, not {_what(indices)}{nulls}")
    if wanted.dtype == np.uint64:
        wanted = np.minimum(wanted, np.uint64(2**63 - 1))
    return wanted.astype(np.int64, copy=False)


def _what(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{type(value).__name__} {text[:30]}..."


def order_rows(indices: Int64Array, num_rows: int) -> RowOrder:
    """Sort the wanted row numbers `indices`, of which there is at least one.

    Raises
    ------
    OptionError
        An index is negative, or not below `num_rows`.
    """
    if len(indices) == 1:
        low = high = int(indices[0])
    else:
        low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= num_rows:
        wrong = low if low < 0 else high
        raise OptionError(f"row {wrong} does not exist; the file has {num_rows} rows, counted from 0")
    if len(indices) == 1 or bool((np.diff(indices) > 0).all()):
        return RowOrder(RowRanges.from_sorted(indices), None)
    distinct, positions = np.unique(indices, return_inverse=True)
    return RowOrder(RowRanges.from_sorted(distinct), positions)


#: So few rows stand alone.
_FEW_ROWS = 64


def is_scattered(rows: RowRanges) -> bool:
    """Whether what lies around `rows` will hardly be read next, as when single rows are taken."""
    return len(rows.starts) > 1 or rows.num_rows <= _FEW_ROWS


def check_range(start: int, num_rows: int, total: int) -> None:
    """Check that rows `start` to ``start + num_rows`` exist.

    Raises
    ------
    OptionError
        They do not, or these are no whole numbers.
    """
    if not isinstance(start, SupportsIndex) or not isinstance(num_rows, SupportsIndex):
        raise OptionError(f"start and num_rows must be whole numbers, not {start!r} and {num_rows!r}")
    if start < 0 or num_rows < 0 or start + num_rows > total:
        raise OptionError(
            f"rows {start} to {start + num_rows} do not exist; the file has {total} rows, counted from 0"
        )


def check_batch_size(batch_size: int | None) -> None:
    """Check a number of rows per batch; ``None`` leaves it to the reader.

    Raises
    ------
    OptionError
        It is no whole number, or less than 1.
    """
    if batch_size is not None and (not isinstance(batch_size, SupportsIndex) or int(batch_size) < 1):
        raise OptionError(f"batch_size is {batch_size!r}; it must be a whole number of at least 1")
