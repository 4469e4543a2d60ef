"""Twin of ``native/chunk_levels.hpp``: the levels of rows that are taken from mini-block chunks (structural.md 5.5 to 5.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lancelet.kernels.reference.bitpack import out_of_line_unpack
from lancelet.kernels.reference.miniblock import miniblock_check_def, miniblock_check_rep
from lancelet.kernels.reference.picks import select_rows

if TYPE_CHECKING:
    from lancelet.buffers import Data, Int64Array, UInt16Array

__all__ = ["miniblock_pick_levels"]


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def miniblock_pick_levels(
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    entries: Int64Array,
    selected: Int64Array,
    rep_width: int,
    def_width: int,
    max_rep: int,
    max_def: int,
    max_visible: int,
    starts: Int64Array,
    stops: Int64Array,
    out_rep: UInt16Array,
    out_def: UInt16Array,
    out_picks: Int64Array,
) -> tuple[int, int]:
    """Unpack and check the levels of some chunks, and keep those of chosen rows.

    Parameters
    ----------
    data
        The chunks.
    offsets, sizes, entries
        What :func:`miniblock_headers` gave; repetition levels are the first part, definition levels the next one.
    selected
        ``int64[5, num_chunks]``, what :func:`miniblock_select` gave.
    rep_width, def_width
        Bits of packed levels (:func:`out_of_line_unpack`), -1 for those that the page has not. It has one kind at least.
    max_rep, max_def, max_visible
        As in :func:`miniblock_check_rep` and :func:`miniblock_check_def`.
    starts, stops
        Sorted, disjoint ranges of rows, counted from the first row of the chunks.
    out_rep, out_def
        ``uint16[sum(entries)]`` each, empty for those that the page has not. The levels of the rows stand in front at the end.
    out_picks
        ``int64[4, num_ranges]``, see :func:`select_rows`.

    Returns
    -------
    num_entries, num_slots
        Entries and slots of the rows.

    Raises
    ------
    FormatError
        As :func:`out_of_line_unpack`, :func:`miniblock_check_rep` and :func:`miniblock_check_def` do.
    ValueError
        A range is not within the rows, or a size does not fit.
    """
    num_chunks, num_ranges = len(entries), len(starts)
    _require(
        rep_width <= 16 and def_width <= 16 and max(rep_width, def_width) >= 0, "levels have at most 16 bits"
    )
    _require(
        selected.size == 5 * num_chunks and offsets.size == sizes.size,
        "miniblock_pick_levels: five numbers a chunk, one size an offset",
    )
    _require(out_picks.size == 4 * num_ranges, "miniblock_pick_levels: four numbers a range")
    _, slots, rows, begins, leftovers = selected.reshape(5, num_chunks)
    widths = [width for width in (rep_width, def_width) if width >= 0]
    _require(offsets.size >= len(widths) * num_chunks, "the chunks have fewer parts")
    outs = [out for width, out in ((rep_width, out_rep), (def_width, out_def)) if width >= 0]
    for part, (width, out) in enumerate(zip(widths, outs, strict=True)):
        own = slice(part * num_chunks, (part + 1) * num_chunks)
        where = offsets.reshape(-1)[own], sizes.reshape(-1)[own]
        out_of_line_unpack(data, *where, entries, 16, width, out)
        if out is out_rep and rep_width >= 0:
            miniblock_check_rep(out_rep, entries, rows, begins, leftovers, max_rep)
        else:
            miniblock_check_def(out_def, entries, slots, max_def, max_visible)
    rep = out_rep if rep_width >= 0 else np.full(len(out_def), max_rep, np.uint16)  # a row is an entry
    picks = out_picks.reshape(4, num_ranges)
    select_rows(rep, out_def, max_rep, max_visible, starts, stops, picks)
    numbers = [k for start, stop in picks[:2].T.tolist() for k in range(start, stop)]
    for out in outs:
        out[: len(numbers)] = out[numbers]
    return len(numbers), int((picks[3] - picks[2]).sum())
