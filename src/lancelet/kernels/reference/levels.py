"""Repetition and definition levels from structure, and structure from levels (structural.md 4).

Words used by all of them:

* Levels are ``uint16``, one per entry. An empty vector of levels is an absent one: every level is 0. Where
  both vectors are present they have one length.
* An empty bitmap is an absent one: every bit is 1. Other bitmaps hold value ``i`` at bit ``bit_offset + i``,
  lowest bit first.
* An entry is *open* while structure is built, and *visible* while it is taken apart, when no list on its way
  from the row inwards is null or empty: it has exactly one value in the layer at hand. That is so when its
  level is at most `max_open` or `max_visible`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.buffers import as_bytes, as_values
from lancelet.errors import FormatError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.buffers import Data, Int64Array, UInt16Array

    Bools = npt.NDArray[np.bool_]

__all__ = [
    "check_levels",
    "count_lists",
    "count_nulls",
    "count_rows",
    "count_visible",
    "levels_from_validity",
    "mark_nulls",
    "open_lists",
    "repeat_fixed",
    "row_starts",
    "scan_lists",
    "unravel_fixed",
    "unravel_lists",
    "unravel_validity",
    "validity_from_levels",
]


def _levels(data: Data) -> UInt16Array:
    return as_values(data, 16)


def _numbers(data: Data) -> Int64Array:
    return as_values(data, 64).view(np.int64)


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check(condition: Any, message: str) -> None:
    if not condition:
        raise FormatError(message)


def _check_level(*levels: int) -> None:
    _require(all(0 <= level <= 0xFFFF for level in levels), "a level must be within 0 and 65535")


def _bits(validity: Data, bit_offset: int, num_values: int) -> Bools:
    packed = as_bytes(validity)
    _require(bit_offset >= 0, "the bit offset is negative")
    _require(num_values >= 0, "num_values is negative")
    if len(packed) == 0:
        return np.ones(num_values, dtype=np.bool_)
    _require(bit_offset + num_values <= 8 * len(packed), "the bitmap is too short")
    return np.unpackbits(packed, bitorder="little")[bit_offset : bit_offset + num_values].astype(np.bool_)


def _put_bits(bits: Bools, out: Data) -> int:
    packed = np.packbits(bits, bitorder="little")
    target = as_bytes(out)
    _require(len(packed) == len(target), "out must have one bit per value")
    target[:] = packed
    return int((~bits).sum())


def _both(rep: Data, def_: Data) -> tuple[UInt16Array, UInt16Array, int]:
    reps, defs = _levels(rep), _levels(def_)
    _require(
        len(reps) == 0 or len(defs) == 0 or len(reps) == len(defs), "there must be as many rep as def levels"
    )
    return reps, defs, max(len(reps), len(defs))


def _or_zeros(levels: UInt16Array, num_entries: int) -> UInt16Array:
    return levels if len(levels) else np.zeros(num_entries, dtype=np.uint16)


def _put_levels(levels: UInt16Array, out: Data, *, absent: bool = False) -> None:
    target = _levels(out)
    _require(len(target) == (0 if absent else len(levels)), "an output has a wrong size")
    if not absent:
        target[:] = levels


def count_nulls(validity: Data, bit_offset: int, num_values: int) -> int:
    """Count the zeros of a bitmap.

    Parameters
    ----------
    validity, bit_offset
        Bitmap, may be absent.
    num_values
        Number of its bits.

    Raises
    ------
    ValueError
        The bitmap is too short.
    """
    return int((~_bits(validity, bit_offset, num_values)).sum())


def count_rows(rep: Data, max_rep: int) -> int:
    """Count the entries of ``rep: uint16[num_entries]`` that start a top-level row: those that equal
    `max_rep`.
    """
    _check_level(max_rep)
    return int((_levels(rep) == max_rep).sum())


def count_visible(def_: Data, max_visible: int) -> int:
    """Count the entries of ``def_: uint16[num_entries]`` up to `max_visible` (structural.md 4.4)."""
    _check_level(max_visible)
    return int((_levels(def_) <= max_visible).sum())


def row_starts(rep: Data, max_rep: int, out: Data) -> None:
    """Find the entries that start top-level rows.

    Parameters
    ----------
    rep
        ``uint16[num_entries]``.
    max_rep
        Level that starts a row.
    out
        ``int64[num_rows + 1]``: the entry that starts each row, and the number of entries.

    Raises
    ------
    ValueError
        `out` does not fit the number of rows.
    """
    _check_level(max_rep)
    reps, target = _levels(rep), _numbers(out)
    starts = np.append(np.flatnonzero(reps == max_rep), len(reps))
    _require(len(target) == len(starts), "out must have num_rows + 1 items")
    target[:] = starts


def levels_from_validity(validity: Data, bit_offset: int, num_values: int, level: int, out: Data) -> None:
    """Make the definition levels of a column without lists and structs.

    Parameters
    ----------
    validity, bit_offset
        Bitmap, may be absent.
    num_values
        Number of values.
    level
        Level of a null; valid is 0.
    out
        ``uint16[num_values]``.

    Raises
    ------
    ValueError
        A size does not fit.
    """
    _check_level(level)
    bits = _bits(validity, bit_offset, num_values)
    _put_levels(np.where(bits, 0, level).astype(np.uint16), out)


def mark_nulls(
    def_: Data, max_open: int, validity: Data, bit_offset: int, num_values: int, level: int
) -> None:
    """Bring one validity layer into the levels (structural.md 4.3): open entries with level 0 that are null
    get `level`.

    Parameters
    ----------
    def_
        ``uint16[num_entries]``, changed in place.
    max_open
        Largest level of an open entry.
    validity, bit_offset
        Bitmap of the layer, may be absent.
    num_values
        Values of the layer, one per open entry.
    level
        The layer's number.

    Raises
    ------
    ValueError
        The open entries are not `num_values`, or the bitmap is too short.
    """
    _check_level(max_open, level)
    levels = _levels(def_)
    is_open = levels <= max_open
    _require(is_open.sum() == num_values, "there must be one value per open entry")
    is_null = np.zeros(len(levels), dtype=np.bool_)
    is_null[is_open] = ~_bits(validity, bit_offset, num_values)
    levels[is_null & (levels == 0)] = level


def scan_lists(offsets: Data, validity: Data, bit_offset: int) -> tuple[int, int, int]:
    """Count what decides the kind of a list layer.

    Parameters
    ----------
    offsets
        ``int64[num_lists + 1]``.
    validity, bit_offset
        Bitmap of the lists, may be absent.

    Returns
    -------
    num_nulls, num_empty, num_filled
        Null lists; valid lists without items; lists with items.

    Raises
    ------
    ValueError
        There are no offsets, or the bitmap is too short.
    """
    numbers = _numbers(offsets)
    _require(len(numbers) > 0, "there must be num_lists + 1 offsets")
    is_valid = _bits(validity, bit_offset, len(numbers) - 1)
    has_no_items = numbers[:-1] == numbers[1:]
    return int((~is_valid).sum()), int((is_valid & has_no_items).sum()), int((~has_no_items).sum())


def open_lists(
    rep: Data,
    def_: Data,
    max_open: int,
    offsets: Data,
    validity: Data,
    bit_offset: int,
    rep_level: int,
    null_level: int,
    empty_level: int,
    rep_out: Data,
    def_out: Data,
) -> None:
    """Bring one list layer into the levels (structural.md 4.3): an open entry becomes one entry per item of
    its list.

    Parameters
    ----------
    rep, def_
        ``uint16[num_entries]``. Both absent: one open entry per list.
    max_open
        Largest level of an open entry.
    offsets
        ``int64[num_lists + 1]``; one list per open entry. Null lists, and lists whose entry has a level other
        than 0, have no items.
    validity, bit_offset
        Bitmap of the lists, may be absent.
    rep_level
        Repetition level of the layer.
    null_level, empty_level
        Definition levels of a null and of an empty list; 0 when there is none.
    rep_out
        ``uint16[num_entries + num_items - num_filled]`` (see :func:`scan_lists`).
    def_out
        As many; or empty, when all levels are 0.

    Raises
    ------
    ValueError
        A size does not fit, the offsets decrease, a list that may have no items has some, or a level is
        needed and absent.
    """
    _check_level(max_open, rep_level, null_level, empty_level)
    numbers = _numbers(offsets)
    _require(len(numbers) > 0, "there must be num_lists + 1 offsets")
    _require(numbers[0] >= 0 and (numbers[1:] >= numbers[:-1]).all(), "the offsets decrease")
    num_lists = len(numbers) - 1
    reps, defs, num_entries = _both(rep, def_)
    num_entries = num_entries or num_lists
    reps, defs = _or_zeros(reps, num_entries).copy(), _or_zeros(defs, num_entries).copy()
    is_open = defs <= max_open
    _require(is_open.sum() == num_lists, "there must be one list per open entry")
    is_valid = _bits(validity, bit_offset, num_lists)

    num_out = np.ones(num_entries, dtype=np.int64)
    num_out[is_open] = np.maximum(np.diff(numbers), 1)
    reps[is_open & (reps == 0)] = rep_level
    levels = np.where(np.diff(numbers) > 0, 0, np.where(is_valid, empty_level, null_level))
    levels = np.where(defs[is_open] > 0, defs[is_open], levels).astype(np.uint16)
    closes = np.diff(numbers) == 0
    _require(
        (closes | (is_valid & (defs[is_open] == 0))).all(),
        "a list that is null or lies in a null struct has items",
    )
    _require((levels[closes] > 0).all(), "a null or empty list has no level")
    defs[is_open] = levels

    first = np.cumsum(num_out) - num_out
    all_reps, all_defs = np.zeros((2, int(num_out.sum())), dtype=np.uint16)
    all_reps[first] = reps
    all_defs[first] = defs
    _put_levels(all_reps, rep_out)
    absent = len(_levels(def_out)) == 0
    _require(not absent or not all_defs.any(), "def_out is missing")
    _put_levels(all_defs, def_out, absent=absent)


def repeat_fixed(rep: Data, def_: Data, max_open: int, dimension: int, rep_out: Data, def_out: Data) -> None:
    """Open the items of fixed size lists: an open entry becomes `dimension` entries (versions.md 5.8).

    Parameters
    ----------
    rep, def_
        ``uint16[num_entries]``.
    max_open
        Largest level of an open entry.
    dimension
        Items per list.
    rep_out, def_out
        Levels of all items: the first one of a list keeps its repetition level, the others have 0, and all
        have the list's definition level. Absent where the input is absent.

    Raises
    ------
    ValueError
        A size does not fit.
    """
    _check_level(max_open)
    _require(dimension >= 1, "the dimension must be positive")
    reps, defs, num_entries = _both(rep, def_)
    copies = np.where(_or_zeros(defs, num_entries) <= max_open, dimension, 1)
    first = np.cumsum(copies) - copies
    all_reps = np.zeros(int(copies.sum()), dtype=np.uint16)
    all_reps[first] = _or_zeros(reps, num_entries)
    _put_levels(all_reps, rep_out, absent=len(reps) == 0)
    _put_levels(np.repeat(_or_zeros(defs, num_entries), copies), def_out, absent=len(defs) == 0)


def check_levels(rep: Data, def_: Data, max_rep: int, max_def: int, num_rows: int) -> None:
    """Check the levels of whole rows (structural.md 10, checks 7 and 8).

    Parameters
    ----------
    rep, def_
        ``uint16[num_entries]``.
    max_rep, max_def
        Largest levels that the layers allow.
    num_rows
        Top-level rows.

    Raises
    ------
    FormatError
        The numbers of levels differ; a level is too large; the first entry does not start a row; the number
        of entries that start rows (all of them when there are no lists) is not `num_rows`; repetition levels
        are there without a list layer, or absent.
    """
    _check_level(max_rep, max_def)
    _require(num_rows >= 0, "num_rows is negative")
    reps, defs = _levels(rep), _levels(def_)
    _check(
        len(reps) == 0 or len(defs) == 0 or len(reps) == len(defs), "the numbers of rep and def levels differ"
    )
    _check(not (defs > max_def).any(), "a definition level is larger than the layers allow")
    if max_rep == 0:
        _check(len(reps) == 0, "the page has repetition levels but no list layer")
        _check(len(defs) in (0, num_rows), "the number of definition levels is not the number of rows")
        return
    _check(not (reps > max_rep).any(), "a repetition level is larger than the layers allow")
    _check(len(reps) == 0 or reps[0] == max_rep, "the first entry does not start a row")
    _check(
        (reps == max_rep).sum() == num_rows,
        "the number of entries that start a row is not the number of rows",
    )
    _check(len(reps) > 0 or len(defs) == 0, "the page has a list layer but no repetition levels")


def validity_from_levels(def_: Data, max_valid: int, out: Data) -> int:
    """Make the validity bitmap of a column without lists.

    Parameters
    ----------
    def_
        ``uint16[num_values]``.
    max_valid
        Largest level of a valid value.
    out
        ``ceil(num_values / 8)`` bytes; the last bits are 0.

    Returns
    -------
    int
        Number of nulls.

    Raises
    ------
    ValueError
        A size does not fit.
    """
    _check_level(max_valid)
    return _put_bits(_levels(def_) <= max_valid, out)


def unravel_validity(def_: Data, max_visible: int, max_valid: int, num_values: int, out: Data) -> int:
    """Make the validity bitmap of one layer (structural.md 4.5).

    Parameters
    ----------
    def_
        ``uint16[num_entries]``.
    max_visible
        Largest level of a visible entry; the others have no value in this layer.
    max_valid
        Largest level of a valid value.
    num_values
        Number of visible entries.
    out
        ``ceil(num_values / 8)`` bytes; the last bits are 0.

    Returns
    -------
    int
        Number of nulls.

    Raises
    ------
    ValueError
        A size does not fit.
    """
    _check_level(max_visible, max_valid)
    levels = _levels(def_)
    visible = levels[levels <= max_visible]
    _require(len(visible) == num_values, "num_values is wrong")
    return _put_bits(visible <= max_valid, out)


def count_lists(rep: Data, def_: Data, max_visible: int) -> tuple[int, int]:
    """Give the sizes that :func:`unravel_lists` needs.

    Parameters
    ----------
    rep, def_
        ``uint16[num_entries]``.
    max_visible
        Largest level of an entry that has a list.

    Returns
    -------
    num_remaining, num_lists
        Entries with a repetition level above 0, and how many of them are visible.
    """
    _check_level(max_visible)
    reps, defs, num_entries = _both(rep, def_)
    _require(len(reps) or not len(defs), "repetition levels are missing")
    is_list = (reps > 0) & (_or_zeros(defs, num_entries) <= max_visible)
    return int((reps > 0).sum()), int(is_list.sum())


def unravel_lists(
    rep: Data,
    def_: Data,
    max_visible: int,
    max_child: int,
    empty_level: int,
    offset_bits: int,
    rep_out: Data,
    def_out: Data,
    offsets_out: Data,
    validity_out: Data,
) -> int:
    """Take one list layer out of the levels (structural.md 4.5).

    Parameters
    ----------
    rep, def_
        ``uint16[num_entries]``.
    max_visible
        Largest level of an entry that has a list in this layer, be it null; those above belong to a list
        further out.
    max_child
        Largest level of an entry that is an item of its list; from there to `max_visible` the list is null or
        empty.
    empty_level
        Level of an empty list, 0 when there is none.
    offset_bits
        32 or 64; with 32 there are fewer than 2**31 entries.
    rep_out, def_out
        ``uint16[num_remaining]``, the entries of the next layer: those with a repetition level above 0,
        lowered by one. `def_out` is absent where `def_` is. Both are absent when nobody wants them.
    offsets_out
        ``num_lists + 1`` integers of `offset_bits`, from 0.
    validity_out
        ``ceil(num_lists / 8)`` bytes; the last bits are 0.

    Returns
    -------
    int
        Number of null lists.

    Raises
    ------
    FormatError
        An entry continues a list that is null, empty or was never begun; or says null or empty within a list.
    ValueError
        A size does not fit.
    """
    _check_level(max_visible, max_child, empty_level)
    reps, defs, num_entries = _both(rep, def_)
    _require(len(reps) or not len(defs), "repetition levels are missing")
    levels = _or_zeros(defs, num_entries)
    starts = reps > 0
    is_child = levels <= max_child
    follows_open = np.concatenate(([False], is_child))[:num_entries]
    _check((starts | (follows_open & is_child)).all(), "an entry continues a list that is not open")

    wanted = len(_levels(rep_out)) > 0
    _put_levels(reps[starts] - np.uint16(1), rep_out, absent=not wanted)
    _put_levels(levels[starts], def_out, absent=len(defs) == 0 or not wanted)
    begins_list = starts & (levels <= max_visible)
    children_before = np.concatenate(([0], np.cumsum(is_child)))
    _require(offset_bits in (32, 64), "offset_bits must be 32 or 64")
    _require(num_entries < 1 << (offset_bits - 1), "too many entries for such offsets")
    target = as_values(offsets_out, offset_bits)
    _require(len(target) == begins_list.sum() + 1, "there must be num_lists + 1 offsets")
    target[:-1] = children_before[:-1][begins_list]
    target[-1] = children_before[-1]
    is_empty = (levels == empty_level) & (empty_level != 0)
    return _put_bits((is_child | is_empty)[begins_list], validity_out)


def unravel_fixed(
    rep: Data, def_: Data, max_visible: int, max_valid: int, dimension: int, rep_out: Data, def_out: Data
) -> None:
    """Take one layer of fixed size lists out of the levels: `dimension` visible entries become one
    (versions.md 5.8).

    Parameters
    ----------
    rep, def_
        ``uint16[num_entries]``.
    max_visible
        Largest level of a visible entry; the others stand for themselves.
    max_valid
        Largest level of an item whose fixed size list is valid.
    dimension
        Items per list.
    rep_out, def_out
        Levels of the first items. Absent where the input is absent.

    Raises
    ------
    FormatError
        The visible entries do not form whole lists, a list further in or out begins within one, or its items
        disagree on its level.
    ValueError
        A size does not fit.
    """
    _check_level(max_visible, max_valid)
    _require(dimension >= 1, "the dimension must be positive")
    reps, defs, num_entries = _both(rep, def_)
    all_reps, all_defs = _or_zeros(reps, num_entries), _or_zeros(defs, num_entries)
    first = []
    entry = 0
    while entry < num_entries:
        level = all_defs[entry]
        stop = entry + (dimension if level <= max_visible else 1)
        _check(stop <= num_entries, "the entries are not a whole number of fixed size lists")
        others = all_defs[entry + 1 : stop]
        _check(not all_reps[entry + 1 : stop].any(), "a list begins within a fixed size list")
        agree = others <= max_valid if level <= max_valid else others == level
        _check(agree.all(), "the items of a fixed size list disagree whether it is null")
        first.append(entry)
        entry = stop
    _put_levels(all_reps[first], rep_out, absent=len(reps) == 0)
    _put_levels(all_defs[first], def_out, absent=len(defs) == 0)
