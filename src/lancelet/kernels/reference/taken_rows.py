"""Twin of ``native/taken_rows.hpp``: a few rows of mini-block chunks in one call (structural.md 4.5 and 5.3 to 5.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_bytes
from lancelet.kernels.reference.chunk_levels import miniblock_pick_levels
from lancelet.kernels.reference.layers import layer_maxima, unravel_layers
from lancelet.kernels.reference.miniblock import miniblock_headers, miniblock_select

if TYPE_CHECKING:
    from lancelet.buffers import Data, Int64Array, UInt8Array, UInt16Array

__all__ = ["miniblock_take"]

_MOST_ENTRIES = 1 << 16


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def miniblock_take(
    data: Data,
    tables: Int64Array,
    planned: Int64Array,
    num_runs: int,
    num_chunks: int,
    num_buffers: int,
    large: bool,
    rep_width: int,
    def_width: int,
    layers: Data,
    out_numbers: Int64Array,
    out_levels: UInt16Array,
    out_structure: UInt8Array,
) -> tuple[int, int, bool]:
    """Read the headers of the chunks of some rows, find the levels and values of the rows, and take all layers off.

    Parameters
    ----------
    data
        The chunks of all runs, back to back.
    tables
        ``int64[6, n]``, what :func:`miniblock_open` gave for the page.
    planned
        ``int64[6, num_ranges]``, what :func:`miniblock_plan` gave for the rows.
    num_runs, num_chunks
        Runs of chunks, and chunks in them, as :func:`miniblock_plan` returned them.
    num_buffers, large
        As in :func:`miniblock_headers`.
    rep_width, def_width
        As in :func:`miniblock_pick_levels`.
    layers
        As in :func:`unravel_layers`.
    out_numbers
        ``int64[num_chunks + 2 * num_buffers * num_chunks + 2 * num_ranges + 2 * num_layers]``: slots of each chunk; offsets of its
        value buffers, ``[num_buffers, num_chunks]``, and their sizes; first value of each range, counted over all chunks, and the
        one after its last; values and nulls of each layer, ``[num_layers, 2]``.
    out_levels
        ``uint16[2, room]``: levels of the rows, in front; repetition and definition levels.
    out_structure
        Room for what :func:`unravel_layers` gives for `room` entries; it stands in front, as for the entries that there are.

    Returns
    -------
    num_entries, num_slots, is_known
        Entries of the rows, -1 if there is no room for them or the chunks have more than 65536; then nothing else counts. Slots of
        the rows. What :func:`unravel_layers` returned.

    Raises
    ------
    FormatError
        As :func:`miniblock_headers`, :func:`miniblock_pick_levels` and :func:`unravel_layers` do.
    ValueError
        A size does not fit, or a run or a row is not there.
    """
    numbers = as_bytes(layers).tolist()
    _require(set(numbers) <= set(range(1, 7)), "a layer has no such number")
    _require(tables.size % 6 == planned.size % 6 == 0, "miniblock_take: six numbers a chunk and a range")
    num_ranges, num_layers = planned.size // 6, len(numbers)
    are_there = 1 <= num_runs <= num_ranges and 1 <= num_chunks <= tables.size // 6
    _require(are_there, "miniblock_take: no such runs or chunks")
    num_values = num_buffers * num_chunks
    _require(
        out_numbers.size == num_chunks + 2 * num_values + 2 * num_ranges + 2 * num_layers,
        "miniblock_take: out_numbers has another size",
    )
    firsts, lasts, _, _, starts, stops = planned.reshape(6, num_ranges)
    has_rep, has_def = rep_width >= 0, def_width >= 0
    shape = has_rep, has_def, num_buffers, large
    described = _describe(data, tables, firsts[:num_runs], lasts[:num_runs], num_chunks, shape)
    offsets, part_sizes, entries, selected = described
    num_parts = len(offsets)
    num_entries = int(entries.sum())
    if num_entries > _MOST_ENTRIES:
        return -1, 0, False
    rep, def_ = (np.empty(num_entries if has else 0, dtype=np.uint16) for has in (has_rep, has_def))
    picks = np.empty((4, num_ranges), dtype=np.int64)
    maxima = layer_maxima(numbers)
    kept, num_slots = miniblock_pick_levels(
        data, *described, rep_width, def_width, *maxima, starts, stops, rep, def_, picks
    )
    levels = out_levels.reshape(2, -1)
    if kept > levels.shape[1]:
        return -1, 0, False
    rep, def_ = rep[:kept], def_[:kept]
    levels[0, : len(rep)], levels[1, : len(def_)] = rep, def_
    out_numbers[: out_numbers.size - 2 * num_layers] = np.concatenate(
        [
            selected[1],
            offsets[num_parts - num_buffers :].ravel(),
            part_sizes[num_parts - num_buffers :].ravel(),
            picks[2:].ravel(),
        ]
    )
    num_bytes = num_layers * (8 * (kept // 64 + 1) + 8 * (kept // 2 + 1))
    _require(num_bytes <= out_structure.size, "miniblock_take: out_structure is too small")
    num_rows = int((stops - starts).sum())
    counts = out_numbers[out_numbers.size - 2 * num_layers :]
    is_known = unravel_layers(rep, def_, layers, num_rows, num_slots, out_structure[:num_bytes], counts)
    return kept, num_slots, is_known


def _describe(
    data: Data,
    tables: Int64Array,
    firsts: Int64Array,
    lasts: Int64Array,
    num_chunks: int,
    shape: tuple[bool, bool, int, bool],
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
    """Return offsets and sizes of the parts of the chunks of some runs, their entries, and what is known of the chunks."""
    sizes, _, slots, started, finished, leftovers = tables.reshape(6, -1)
    selected = np.empty((5, num_chunks), dtype=np.int64)
    miniblock_select(sizes, slots, started, finished, leftovers, firsts, lasts, selected)
    entries = np.empty(num_chunks, dtype=np.int64)
    offsets, part_sizes = np.empty((2, sum(shape[:3]), num_chunks), dtype=np.int64)
    miniblock_headers(data, selected[0], selected[1], *shape, entries, offsets, part_sizes)
    return offsets, part_sizes, entries, selected
