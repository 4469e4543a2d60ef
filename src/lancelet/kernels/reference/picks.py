"""Chosen values of blocks and of chunks, and the entries and slots of chosen rows.

What is chosen are ranges ``starts[i]`` to ``stops[i]``: ``int64[num_ranges]`` each, sorted, disjoint, possibly empty. Values of
chunks are counted over all chunks of a call. A chunk is checked as a whole whatever is chosen of it, unless a kernel says else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.buffers import as_bytes, as_values, nbytes
from lancelet.errors import FormatError
from lancelet.kernels.reference.bitpack import inline_unpack
from lancelet.kernels.reference.runs import bss_decode, flat_gather
from lancelet.kernels.reference.varwidth import variable_decode, variable_decode_offsets

if TYPE_CHECKING:
    from collections.abc import Callable

    from lancelet.buffers import Data, Int64Array, UInt8Array, UInt16Array

__all__ = [
    "bss_pick",
    "flat_pick",
    "inline_pick",
    "pick_fixed",
    "pick_variable",
    "pick_variable_offsets",
    "select_rows",
    "variable_pick",
    "variable_pick_offsets",
]


def pick_fixed(data: Data, bits: int, starts: Int64Array, stops: Int64Array, out: Data) -> None:
    """Choose values of one width.

    Parameters
    ----------
    data
        Values of `bits` bits without gaps.
    bits
        1, or a multiple of 8.
    starts, stops
        The ranges.
    out
        ``ceil(num_chosen * bits / 8)`` bytes; spare bits of the last one are 0.

    Raises
    ------
    ValueError
        A range is not within the values, or a size does not fit.
    """
    chosen = _chosen(starts, stops)
    _require(bits == 1 or (bits > 0 and bits % 8 == 0), "bits must be 1 or a multiple of 8")
    source = as_bytes(data)
    if bits == 1:
        values = np.unpackbits(source, bitorder="little")
        _require(not len(chosen) or int(chosen[-1]) < len(values), "a range reaches past the values")
        _put(np.packbits(values[chosen], bitorder="little"), out)
        return
    width = bits // 8
    rows = source[: len(source) // width * width].reshape(-1, width)
    _require(not len(chosen) or int(chosen[-1]) < len(rows), "a range reaches past the values")
    _put(rows[chosen].reshape(-1), out)


def pick_variable_offsets(
    offsets: Data, offset_bits: int, starts: Int64Array, stops: Int64Array, out_offsets: Data
) -> int:
    """Give the offsets of chosen values of any length.

    Parameters
    ----------
    offsets
        ``num_values + 1`` unsigned integers.
    offset_bits
        32 or 64, of the offsets read and written.
    starts, stops
        The ranges.
    out_offsets
        ``num_chosen + 1`` unsigned integers, from 0.

    Returns
    -------
    int
        Bytes of the chosen values.

    Raises
    ------
    FormatError
        The offsets of a chosen value decrease, or all values together exceed the largest signed offset.
    ValueError
        A range is not within the values, or a size does not fit.
    """
    _require(offset_bits in (32, 64), "offset_bits must be 32 or 64")
    borders = as_values(offsets, offset_bits).tolist()
    chosen = _chosen(starts, stops)
    _require(not len(chosen) or int(chosen[-1]) < len(borders) - 1, "a range reaches past the values")
    result = [0]
    for k in chosen.tolist():
        _check(borders[k] <= borders[k + 1], "the offsets of values decrease")
        result.append(result[-1] + borders[k + 1] - borders[k])
        _check(result[-1] < 1 << (offset_bits - 1), "the values together are too long for their offsets")
    _put(np.array(result, dtype=f"<u{offset_bits // 8}").view(np.uint8), out_offsets)
    return result[-1]


def pick_variable(
    data: Data, offsets: Data, offset_bits: int, starts: Int64Array, stops: Int64Array, out: Data
) -> None:
    """Copy the bytes of chosen values of any length.

    Parameters
    ----------
    data
        What `offsets` refer to.
    offsets, offset_bits, starts, stops
        As :func:`pick_variable_offsets` takes them.
    out
        As many bytes as that returned.

    Raises
    ------
    FormatError
        A chosen value does not lie in `data`.
    ValueError
        A range is not within the values, or a size does not fit.
    """
    _require(offset_bits in (32, 64), "offset_bits must be 32 or 64")
    borders, source = as_values(offsets, offset_bits).tolist(), as_bytes(data)
    parts = [source[:0]]
    for start, stop in _ranges(starts, stops):
        _require(stop < len(borders), "a range reaches past the values")
        first, last = borders[start], borders[stop]
        _check(first <= last <= len(source), "the offsets of values reach past the data")
        parts.append(source[first:last])
    _put(np.concatenate(parts), out)


def flat_pick(
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    counts: Int64Array,
    bits: int,
    starts: Int64Array,
    stops: Int64Array,
    out: Data,
) -> None:
    """Choose values of flat chunks.

    Parameters
    ----------
    data, offsets, sizes, counts, bits
        As :func:`~lancelet.kernels.reference.runs.flat_gather` takes them.
    starts, stops
        The ranges.
    out
        ``num_chosen * bits / 8`` bytes.

    Raises
    ------
    FormatError
        As for :func:`~lancelet.kernels.reference.runs.flat_gather`.
    ValueError
        A range is not within the values, or a size does not fit.
    """
    _require(bits > 0 and bits % 8 == 0, "bits must be a multiple of 8")
    _decode_and_pick(flat_gather, data, offsets, sizes, counts, bits, starts, stops, out)


def _decode_and_pick(
    decode: Callable[..., object],
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    counts: Int64Array,
    bits: int,
    starts: Int64Array,
    stops: Int64Array,
    out: Data,
) -> None:
    """Decode all values, and choose among them: the obvious way."""
    values = np.empty(_total(counts) * bits // 8, dtype=np.uint8)
    decode(data, offsets, sizes, counts, bits, values)
    pick_fixed(values, bits, starts, stops, out)


def inline_pick(
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    counts: Int64Array,
    bits: int,
    starts: Int64Array,
    stops: Int64Array,
    out: Data,
) -> None:
    """Unpack chosen values of blocks that carry their width.

    Parameters
    ----------
    data, offsets, sizes, counts, bits
        As :func:`~lancelet.kernels.reference.bitpack.inline_unpack` takes them.
    starts, stops
        The ranges.
    out
        ``num_chosen * bits / 8`` bytes.

    Raises
    ------
    FormatError
        As for :func:`~lancelet.kernels.reference.bitpack.inline_unpack`.
    ValueError
        A range is not within the values, or a size does not fit.
    """
    _require(bits in (8, 16, 32, 64), "bits must be 8, 16, 32 or 64")
    _decode_and_pick(inline_unpack, data, offsets, sizes, counts, bits, starts, stops, out)


def bss_pick(
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    counts: Int64Array,
    bits: int,
    starts: Int64Array,
    stops: Int64Array,
    out: Data,
) -> None:
    """Join the bytes of chosen values of byte-stream-split chunks.

    Parameters
    ----------
    data, offsets, sizes, counts, bits
        As :func:`~lancelet.kernels.reference.runs.bss_decode` takes them.
    starts, stops
        The ranges.
    out
        ``num_chosen * bits / 8`` bytes.

    Raises
    ------
    FormatError
        As for :func:`~lancelet.kernels.reference.runs.bss_decode`.
    ValueError
        A range is not within the values, or a size does not fit.
    """
    _require(bits in (32, 64), "bits must be 32 or 64")
    _decode_and_pick(bss_decode, data, offsets, sizes, counts, bits, starts, stops, out)


def variable_pick_offsets(
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    counts: Int64Array,
    offset_bits: int,
    starts: Int64Array,
    stops: Int64Array,
    out_offsets: Data,
) -> int:
    """Check chunks of values of any length and give the offsets of the chosen ones.

    Parameters
    ----------
    data, offsets, sizes, counts, offset_bits
        As :func:`~lancelet.kernels.reference.varwidth.variable_decode_offsets` takes them; chunk form.
    starts, stops
        The ranges.
    out_offsets
        ``num_chosen + 1`` unsigned integers, from 0.

    Returns
    -------
    int
        Bytes of the chosen values.

    Raises
    ------
    FormatError
        As for :func:`~lancelet.kernels.reference.varwidth.variable_decode_offsets`, where
        the largest offset is one of the chosen values.
    ValueError
        A range is not within the values, or a size does not fit.
    """
    borders = _borders(data, offsets, sizes, counts, offset_bits)
    return pick_variable_offsets(borders, offset_bits, starts, stops, out_offsets)


def variable_pick(
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    counts: Int64Array,
    offset_bits: int,
    starts: Int64Array,
    stops: Int64Array,
    out: Data,
) -> None:
    """Copy the bytes of chosen values of any length.

    Takes what :func:`variable_pick_offsets` took, and `out` of the size that it returned.

    Raises
    ------
    FormatError
        As :func:`variable_pick_offsets`.
    ValueError
        A range is not within the values, or a size does not fit.
    """
    borders = _borders(data, offsets, sizes, counts, offset_bits)
    values = np.empty(int(as_values(borders, offset_bits)[-1]), dtype=np.uint8)
    variable_decode(data, offsets, sizes, counts, offset_bits, False, values)
    pick_variable(values, borders, offset_bits, starts, stops, out)


def _borders(
    data: Data, offsets: Int64Array, sizes: Int64Array, counts: Int64Array, offset_bits: int
) -> UInt8Array:
    _require(offset_bits in (32, 64), "offset_bits must be 32 or 64")
    borders = np.empty((_total(counts) + 1) * offset_bits // 8, dtype=np.uint8)
    variable_decode_offsets(data, offsets, sizes, counts, offset_bits, False, borders)
    return borders


def select_rows(
    rep: UInt16Array,
    def_: UInt16Array,
    max_rep: int,
    max_visible: int,
    starts: Int64Array,
    stops: Int64Array,
    out: Int64Array,
) -> None:
    """Find the entries and slots of chosen rows of a page with lists.

    Parameters
    ----------
    rep, def_
        ``uint16[num_entries]``, of whole rows; no definition levels: every entry has a slot.
    max_rep
        Level that starts a row.
    max_visible
        Largest definition level of an entry with a slot.
    starts, stops
        The ranges of rows.
    out
        ``int64[4, num_ranges]``: first entries, entries after the last ones, first slots, slots after the last ones.

    Raises
    ------
    ValueError
        A range is not within the rows, or a size does not fit.
    """
    _require(len(def_) in (0, len(rep)), "there must be as many rep as def levels")
    ranges = _ranges(starts, stops)
    _require(out.size == 4 * len(ranges), "four numbers a range")
    entries = np.append(np.flatnonzero(rep == max_rep), len(rep))
    visible = def_ <= max_visible if len(def_) else np.ones(len(rep), dtype=np.bool_)
    slots = np.concatenate(([0], np.cumsum(visible)))
    table = out.reshape(4, len(ranges))
    for i, (start, stop) in enumerate(ranges):
        _require(stop < len(entries), "a row that does not exist")
        table[:, i] = (entries[start], entries[stop], slots[entries[start]], slots[entries[stop]])


def _ranges(starts: Int64Array, stops: Int64Array) -> list[tuple[int, int]]:
    _require(len(starts) == len(stops), "one stop a start")
    ranges, previous = list(zip(starts.tolist(), stops.tolist(), strict=True)), 0
    for start, stop in ranges:
        _require(previous <= start <= stop, "the ranges are not sorted and disjoint")
        previous = stop
    return ranges


def _chosen(starts: Int64Array, stops: Int64Array) -> Int64Array:
    parts = [np.arange(start, stop, dtype=np.int64) for start, stop in _ranges(starts, stops)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def _total(counts: Int64Array) -> int:
    return max(int(counts.sum()), 0)


def _put(values: UInt8Array, out: Any) -> None:
    _require(nbytes(out) == len(values), "out has another size than the values")
    as_bytes(out)[:] = values


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(f"picks: {message}")


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise FormatError(message)
