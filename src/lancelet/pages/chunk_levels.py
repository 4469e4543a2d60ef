"""The levels of mini-block chunks: all of them, or those of chosen rows (structural.md 5.5 to 5.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lancelet import kernels
from lancelet.blocks import FixedWidth
from lancelet.buffers import as_values, nbytes, total
from lancelet.codecs.base import Chunks, Picks, Spans
from lancelet.codecs.bitpack import OutOfLineBitpacking
from lancelet.codecs.checks import MAX_EXPANDED_BYTES, check_decoded_bytes
from lancelet.errors import FormatError
from lancelet.levels.layers import Layer, Structure, max_def, max_rep, max_visible

if TYPE_CHECKING:
    from lancelet.buffers import Allocate, Data, Int64Array, UInt16Array
    from lancelet.codecs.base import BlockCodec
    from lancelet.pages.base import RowRanges

#: So many levels are not worth to be counted as memory of the result.
_FEW_LEVELS = 1 << 15
#: Rows with at most so many entries are taken in one call, which needs room before it is known how many they are.
FEW_ENTRIES = 1024
#: Most bytes of a layer of them, see :func:`~lancelet.kernels.unravel_layers`.
_MOST_LAYER_BYTES = 8 * (FEW_ENTRIES // 64 + 1) + 8 * (FEW_ENTRIES // 2 + 1)

__all__ = [
    "FEW_ENTRIES",
    "TakenRows",
    "decode_levels",
    "packed_widths",
    "pick_entries",
    "pick_packed_levels",
    "take_rows",
]


def decode_levels(codec: BlockCodec, spans: Spans, entries: Int64Array, allocate: Allocate) -> UInt16Array:
    """Decode the levels of some chunks, of ``entries[i]`` entries each.

    Raises
    ------
    FormatError
        They are damaged, or no 16-bit numbers.
    """
    block = codec.decode_blocks(spans, entries, allocate)
    if not isinstance(block, FixedWidth) or block.bits != 16:
        raise FormatError("levels are not stored as 16-bit numbers")
    levels: UInt16Array = as_values(block.data, 16)
    # A codec may give a view of the file's bytes, and these may lie anywhere.
    return levels if levels.flags.aligned else levels.copy()


def pick_entries(levels: UInt16Array, starts: Int64Array, stops: Int64Array) -> UInt16Array:
    """Return levels of ranges of entries, a view of one range."""
    if len(starts) == 1:
        return levels[int(starts[0]) : int(stops[0])]
    out = np.empty(int((stops - starts).sum()), dtype=np.uint16)
    kernels.pick_fixed(levels, 16, starts, stops, out)
    return out


def packed_widths(rep_codec: BlockCodec | None, def_codec: BlockCodec | None) -> tuple[int, int] | None:
    """Return the widths of levels that are all packed, -1 for those that are not stored; ``None`` if any is encoded otherwise."""
    widths = []
    for codec in (rep_codec, def_codec):
        if codec is None:
            widths.append(-1)
        elif isinstance(codec, OutOfLineBitpacking) and codec.bits == 16:
            widths.append(codec.width)
        else:
            return None
    return None if max(widths) < 0 else (widths[0], widths[1])


def pick_packed_levels(
    data: Data,
    tables: tuple[Int64Array, Int64Array, Int64Array, Int64Array],
    widths: tuple[int, int],
    layers: tuple[Layer, ...],
    keep: RowRanges,
    allocate: Allocate,
) -> tuple[UInt16Array | None, UInt16Array | None, Picks]:
    """Decode, check and select levels in one call; the codecs and kernels for each of these steps give the same.

    Parameters
    ----------
    data
        The chunks.
    tables
        Offsets, sizes, entries and selected chunks, see :func:`~lancelet.kernels.miniblock_pick_levels`.
    widths
        What :func:`packed_widths` gave.
    layers
        Of the page.
    keep
        Rows, counted from the first row of the chunks.
    allocate
        Where memory comes from.

    Returns
    -------
    rep, def_, picks
        Levels of the rows, ``None`` for those that are not stored; and their values.

    Raises
    ------
    FormatError
        The levels are damaged.
    """
    num_entries = total(tables[2])
    for width in widths:
        bound = nbytes(data) * 16 // width if width > 0 else MAX_EXPANDED_BYTES
        check_decoded_bytes(2 * num_entries, bound, OutOfLineBitpacking.name)
    rep, def_ = (_room(num_entries if width >= 0 else 0, allocate) for width in widths)
    found = np.empty((4, len(keep.starts)), dtype=np.int64)
    num_kept, num_slots = kernels.miniblock_pick_levels(
        data,
        *tables,
        *widths,
        max_rep(layers),
        max_def(layers),
        max_visible(layers),
        keep.starts,
        keep.stops,
        rep,
        def_,
        found,
    )
    picks = Picks(found[2], found[3], num_slots)
    return rep[:num_kept] if widths[0] >= 0 else None, def_[:num_kept] if widths[1] >= 0 else None, picks


class TakenRows(NamedTuple):
    """Rows of mini-block chunks whose values are not decoded yet.

    Attributes
    ----------
    chunks, picks
        The values of the chunks, and which of them the rows have.
    rep, def_
        Levels of the rows, ``None`` for those that are not stored.
    structure
        What they mean, if they do not contradict the numbers of rows and values.
    """

    chunks: Chunks
    picks: Picks
    rep: UInt16Array | None
    def_: UInt16Array | None
    structure: Structure | None


def take_rows(
    data: Data,
    tables: Int64Array,
    planned: tuple[Int64Array, int, int],
    shape: tuple[int, bool],
    widths: tuple[int, int],
    layers: tuple[Layer, ...],
) -> TakenRows | None:
    """Do with few rows in one call what :func:`pick_packed_levels` and the kernels before and after it do.

    Parameters
    ----------
    data
        The chunks.
    tables
        ``int64[6, num_chunks]`` of the page, see :func:`~lancelet.kernels.miniblock_open`.
    planned
        What :func:`~lancelet.kernels.miniblock_plan` filled, and the runs and chunks that it found.
    shape
        Buffers of values a chunk, and whether their sizes have 32 bits.
    widths
        What :func:`packed_widths` gave.
    layers
        Of the page.

    Returns
    -------
    TakenRows | None
        ``None`` if there is too much for this way.

    Raises
    ------
    FormatError
        The chunks or their levels are damaged.
    """
    ranges, num_runs, num_chunks = planned
    num_buffers, _ = shape
    num_ranges = ranges.shape[1]
    if num_ranges > FEW_ENTRIES:
        return None
    num_parts, num_layers = num_buffers * num_chunks, len(layers)
    picked = num_chunks + 2 * num_parts
    counted = picked + 2 * num_ranges
    numbers = np.empty(counted + 2 * num_layers, dtype=np.int64)
    levels = np.empty((2, FEW_ENTRIES), dtype=np.uint16)
    structure = np.empty(num_layers * _MOST_LAYER_BYTES, dtype=np.uint8)
    num_entries, num_slots, is_known = kernels.miniblock_take(
        data, tables, ranges, num_runs, num_chunks, *shape, *widths, bytes(layers), numbers, levels, structure
    )
    if num_entries < 0:
        return None
    slots, spans = numbers[:num_chunks], []
    for start in range(num_chunks, num_chunks + num_parts, num_chunks):
        stop = start + num_chunks
        spans.append(Spans(data, numbers[start:stop], numbers[start + num_parts : stop + num_parts]))
    middle = picked + num_ranges
    return TakenRows(
        Chunks(tuple(spans), slots, total(slots)),
        Picks(numbers[picked:middle], numbers[middle:counted], num_slots),
        levels[0, :num_entries] if widths[0] >= 0 else None,
        levels[1, :num_entries] if widths[1] >= 0 else None,
        Structure(structure, numbers[counted:], num_entries) if is_known else None,
    )


def _room(num_levels: int, allocate: Allocate) -> UInt16Array:
    if num_levels <= _FEW_LEVELS:
        return np.empty(num_levels, dtype=np.uint16)
    return as_values(allocate(2 * num_levels), 16)
