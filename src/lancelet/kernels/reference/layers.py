"""Twin of ``native/layers.hpp``: all layers of a few levels taken off in one call (structural.md 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_bytes, as_values
from lancelet.kernels.reference.levels import (
    check_levels,
    count_lists,
    count_visible,
    unravel_lists,
    unravel_validity,
)

if TYPE_CHECKING:
    from lancelet.buffers import Data

__all__ = ["unravel_layers"]

#: Definition numbers that the layers take, by the number of the layer in the file.
_NUM_DEF = (0, 0, 0, 1, 1, 1, 2)
_NULLABLE_ITEM = 3
_LISTS = (2, 4, 5, 6)
_WITH_EMPTY = (5, 6)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _max_visible(layers: list[int]) -> int:
    total = 0
    for layer in layers:
        if layer in _LISTS:
            break
        total += _NUM_DEF[layer]
    return total


def layer_maxima(layers: list[int]) -> tuple[int, int, int]:
    """Return the largest repetition and definition levels, and the largest one of an entry that has a slot."""
    top_def = sum(_NUM_DEF[layer] for layer in layers)
    return sum(layer in _LISTS for layer in layers), top_def, _max_visible(layers)


def unravel_layers(
    rep: Data, def_: Data, layers: Data, num_rows: int, num_slots: int, out: Data, counts: Data
) -> bool:
    """Take all layers off, none of which is one of fixed-size lists.

    Parameters
    ----------
    rep, def_
        ``uint16[num_entries]``, each may be empty: every level is 0. Without both there are `num_rows` entries; there are
        fewer than 2**24.
    layers
        ``uint8[num_layers]``, their numbers in the file, inner-most first.
    num_rows
        Top-level rows.
    num_slots
        Values that the page has.
    out
        ``num_layers * (8 * (num_entries // 64 + 1) + 8 * (num_entries // 2 + 1))`` bytes. Each layer has room for a bitmap,
        which is set if the layer has nulls, and for 32-bit offsets, which are set if it is one of lists.
    counts
        ``int64[num_layers, 2]``: values of the layer, and how many of them are null.

    Returns
    -------
    bool
        False if the levels give other numbers of rows or values than are there; nothing is known of `out` then.

    Raises
    ------
    FormatError
        What :func:`check_levels` and :func:`unravel_lists` refuse.
    ValueError
        A size does not fit, or a layer has no such number.
    """
    numbers = as_bytes(layers).tolist()
    _require(all(1 <= number <= 6 for number in numbers), "a layer has no such number")
    _require(num_rows >= 0, "num_rows is negative")
    reps, defs = as_values(rep, 16), as_values(def_, 16)
    top_def = sum(_NUM_DEF[number] for number in numbers)
    check_levels(reps, defs, sum(number in _LISTS for number in numbers), top_def, num_rows)
    num_entries = max(len(reps), len(defs)) or num_rows
    _require(num_entries < 1 << 24, "too many entries")
    bitmap_bytes = 8 * (num_entries // 64 + 1)
    stride = bitmap_bytes + 8 * (num_entries // 2 + 1)
    target, table = as_bytes(out), as_values(counts, 64).view(np.int64)
    _require(len(target) == len(numbers) * stride, "out has another size than the layers need")
    _require(len(table) == 2 * len(numbers), "there must be two counts a layer")
    num_values = count_visible(defs, _max_visible(numbers)) if len(defs) else num_entries
    if num_values != num_slots:
        return False
    max_valid = 0
    for i, number in enumerate(numbers):
        bitmap = target[i * stride : i * stride + bitmap_bytes]
        offsets = target[i * stride + bitmap_bytes : (i + 1) * stride]
        top, nulls = max_valid + _NUM_DEF[number], 0
        if number in _LISTS:
            visible = top + _max_visible(numbers[i + 1 :])
            remaining, num_lists = count_lists(reps, defs, visible)
            kept = remaining if i + 1 < len(numbers) else 0
            rep_out, def_out = np.empty(kept, np.uint16), np.empty(kept if len(defs) else 0, np.uint16)
            offsets = offsets[: 4 * (num_lists + 1)]
            bits = bitmap[: (num_lists + 7) // 8]
            empty = top if number in _WITH_EMPTY else 0
            nulls = unravel_lists(reps, defs, visible, max_valid, empty, 32, rep_out, def_out, offsets, bits)
            if int(as_values(offsets, 32)[-1]) != num_values:
                return False
            reps, defs, num_values = rep_out, def_out, num_lists
        elif number == _NULLABLE_ITEM and len(defs):
            visible = max_valid + _max_visible(numbers[i:])
            bits = bitmap[: (num_values + 7) // 8]
            nulls = unravel_validity(defs, visible, max_valid, num_values, bits)
        max_valid = top
        table[2 * i : 2 * i + 2] = num_values, nulls
    return num_values == num_rows
