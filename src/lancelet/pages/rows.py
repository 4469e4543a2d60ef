"""Which pages of a column hold some rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lancelet.pages.base import RowRanges

if TYPE_CHECKING:
    from lancelet.buffers import Int64Array

__all__ = ["PageRows", "split_by_page"]


@dataclass(frozen=True, slots=True, eq=False)
class PageRows:
    """Rows of one page.

    Attributes
    ----------
    page
        Number of the page in its column.
    rows
        The rows, counted from the first row of the page.
    """

    page: int
    rows: RowRanges


def split_by_page(rows: RowRanges, first_rows: Int64Array) -> list[PageRows]:
    """Assign `rows` of the file to the pages of a column.

    Parameters
    ----------
    rows
        Rows of the file; all below ``first_rows[-1]``.
    first_rows
        ``int64[num_pages + 1]``: file row where each page starts, and the end.
    """
    # Methods of arrays, not functions of numpy: small takes come here for every column.
    first_page = int(first_rows.searchsorted(rows.starts[0], side="right")) - 1
    last_page = int(first_rows.searchsorted(rows.stops[-1], side="left"))
    if first_page + 1 == last_page:
        start = first_rows[first_page]
        return [PageRows(first_page, RowRanges(rows.starts - start, rows.stops - start) if start else rows)]
    pages = first_rows.searchsorted(rows.starts, side="right") - 1
    if (first_rows[pages + 1] >= rows.stops).all():
        return _split_between(rows, pages, first_rows[pages])
    parts = []
    for page in range(first_page, last_page):
        start, stop = first_rows[page], first_rows[page + 1]
        if start == stop:  # old writers made pages without rows
            continue
        low = int(rows.stops.searchsorted(start, side="right"))
        high = int(rows.starts.searchsorted(stop, side="left"))
        if low == high:
            continue
        starts = np.maximum(rows.starts[low:high], start) - start
        stops = np.minimum(rows.stops[low:high], stop) - start
        parts.append(PageRows(page, RowRanges(starts, stops)))
    return parts


def _split_between(rows: RowRanges, pages: Int64Array, first_rows: Int64Array) -> list[PageRows]:
    """Assign ranges of rows to pages when none lies in two: `pages` and their `first_rows` stand one for each range."""
    starts, stops = rows.starts - first_rows, rows.stops - first_rows
    borders = [0, *((pages[1:] != pages[:-1]).nonzero()[0] + 1).tolist(), len(pages)]
    numbers = pages.tolist()
    return [
        PageRows(numbers[low], RowRanges(starts[low:high], stops[low:high]))
        for low, high in pairwise(borders)
    ]
