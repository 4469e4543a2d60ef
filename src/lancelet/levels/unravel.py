"""Levels to structure (structural.md 4.5, and the checks 5 and 7 to 11 of section 10).

The layers are taken off one by one, inner-most first. A Validity only looks at the levels, a Lists leaves fewer of them: those that
began a list, with their repetition level lowered by one. At the end there is one entry per row.

What a level means depends on the numbers of the layers that were taken off already (``max_valid``) and on those up to the next list
further out (``visible``)::

    def    0 ...... max_valid   valid here
           ........ visible     null (or an empty list) here, or in a struct around it
           above                in a null or empty list further out: no value here
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lancelet import kernels
from lancelet.errors import FormatError
from lancelet.levels.layers import NO_LEVELS, Layer, Structure, max_def, max_rep, max_visible
from lancelet.levels.steps import LIST, FixedList, FixedLists, Lists, Validity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Int64Array, UInt8Array, UInt16Array
    from lancelet.levels.layers import Leaf
    from lancelet.levels.steps import Int32Array, Step, StepKind

#: Most entries whose numbers fit 32-bit offsets.
_MOST_SHORT_OFFSETS = 2**31 - 1
#: Most entries whose layers are taken off in one call: it makes room for as many lists as entries.
_FEW_ENTRIES = 4096
_LISTS = frozenset(layer for layer in Layer if layer.is_list)

__all__ = ["check_layers", "innermost_fixed_list", "unravel"]


def check_layers(layers: Sequence[Layer], kinds: Sequence[StepKind]) -> None:
    """Check that the layers of a page fit the type (check 5).

    Parameters
    ----------
    layers
        Inner-most first.
    kinds
        Outer-most first.

    Raises
    ------
    FormatError
        Their number differs, or a list stands where the type has none, or the other way round.
    """
    if not _fit(tuple(layers), tuple(kinds)):
        found = ", ".join(layer.name for layer in layers)
        wanted = ", ".join("list" if kind is LIST else "item" for kind in reversed(kinds))
        raise FormatError(f"the layers of the page ({found}) do not fit those of the type ({wanted})")


@lru_cache(1024)
def _fit(layers: tuple[Layer, ...], kinds: tuple[StepKind, ...]) -> bool:
    return [layer.is_list for layer in reversed(layers)] == [kind is LIST for kind in kinds]


@lru_cache(1024)
def _numbers(layers: tuple[Layer, ...], kinds: tuple[StepKind, ...]) -> bytes | None:
    """Return the numbers of the layers for :func:`~lancelet.kernels.unravel_layers`.

    ``None`` if there are fixed-size lists, or the layers do not fit.
    """
    has_fixed = any(isinstance(kind, FixedList) for kind in kinds)
    return bytes(layers) if _fit(layers, kinds) and not has_fixed else None


def unravel(leaf: Leaf, kinds: Sequence[StepKind], keep: Int64Array | None = None) -> list[Step]:
    """Give back the structure of the rows of `leaf`.

    Parameters
    ----------
    leaf
        Levels and values of whole rows.
    kinds
        What the type asks for, outer-most first.
    keep
        Rows of the leaf, as it counts them, that the step of the inner-most fixed-size list outside of all lists is made of, and
        those around it; the steps inside have all rows. Needed for leaves that begin or end inside of such a list.

    Returns
    -------
    list
        Steps, outer-most first. A bitmap is there only when there is a null, and starts at bit 0. Nothing is null in a layer of
        the kind ALL_VALID_ITEM. Values in a null struct are null themselves, lists in one are null lists.

    Raises
    ------
    FormatError
        The layers do not fit `kinds`, or the levels contradict the layers, each other, or the numbers of rows and slots.
    """
    if keep is None:
        few = _unravel_few(leaf, kinds)
        if few is not None:
            return few
    check_layers(leaf.layers, kinds)
    levels = _Levels(leaf)
    steps: list[Step] = []
    selected = None if keep is None else innermost_fixed_list(kinds)
    for position, kind in reversed(tuple(enumerate(kinds))):
        if keep is not None and position == selected:
            levels.select(keep)
        steps.append(levels.take(len(steps), kind))
    steps.reverse()
    num_rows = leaf.num_rows if keep is None else len(keep)
    for kind in kinds:
        if kind is LIST:
            break
        if isinstance(kind, FixedList):
            num_rows //= kind.dimension
    if steps[0].num_values != num_rows:
        raise FormatError(f"the levels give {steps[0].num_values} rows instead of {num_rows}")
    return steps


def _unravel_few(leaf: Leaf, kinds: Sequence[StepKind]) -> list[Step] | None:
    """Take all layers off a few levels in one call.

    ``None`` where there are many levels or fixed-size lists, or if they contradict other numbers: the general way says which.
    """
    numbers = _numbers(leaf.layers, tuple(kinds))
    if numbers is None or (leaf.values is not None and leaf.values.num_values != leaf.num_slots):
        return None
    structure = leaf.structure or _few_layers(leaf, numbers)
    if structure is None:
        return None
    out, counts, num_entries = structure
    layers, bitmap_bytes, stride = leaf.layers, *_room(num_entries)
    numbers_of = iter(counts.tolist())
    steps: list[Step] = []
    start = 0
    for layer, num_values, nulls in zip(layers, numbers_of, numbers_of, strict=True):
        validity = out[start : start + (num_values + 7) // 8] if nulls else None
        if layer in _LISTS:
            first = start + bitmap_bytes
            offsets = out[first : first + 4 * (num_values + 1)].view(np.int32)
            steps.append(Lists(num_values, offsets, validity, 0, nulls))
        else:
            steps.append(Validity(num_values, validity, 0, nulls))
        start += stride
    steps.reverse()
    return steps


def _few_layers(leaf: Leaf, numbers: bytes) -> Structure | None:
    """Take all layers off; ``None`` as :func:`_unravel_few`."""
    rep = leaf.rep
    if max(leaf.num_rows, 0 if rep is None else len(rep)) > _FEW_ENTRIES:
        return None
    rep, def_ = NO_LEVELS if rep is None else rep, _definitions(leaf)
    if len(def_) > _FEW_ENTRIES:
        return None
    num_entries = len(rep) or len(def_) or leaf.num_rows
    _, stride = _room(num_entries)
    out, counts = np.empty(len(numbers) * stride, np.uint8), np.empty(2 * len(numbers), np.int64)
    if not kernels.unravel_layers(rep, def_, numbers, leaf.num_rows, leaf.num_slots, out, counts):
        return None
    return Structure(out, counts, num_entries)


def _room(num_entries: int) -> tuple[int, int]:
    """Return the bytes of a bitmap, and of all of a layer, in what :func:`~lancelet.kernels.unravel_layers` fills."""
    bitmap_bytes = 8 * (num_entries // 64 + 1)
    return bitmap_bytes, bitmap_bytes + 8 * (num_entries // 2 + 1)


def innermost_fixed_list(kinds: Sequence[StepKind]) -> int | None:
    """Return the position of the inner-most fixed-size list outside of all lists, ``None`` if there is none."""
    outside = kinds[: kinds.index(LIST)] if LIST in kinds else kinds
    positions = [position for position, kind in enumerate(outside) if isinstance(kind, FixedList)]
    return positions[-1] if positions else None


@dataclass(slots=True, eq=False)
class _Levels:
    """Levels while layers are taken off. Empty vectors: every level is 0."""

    layers: tuple[Layer, ...]
    rep: UInt16Array
    def_: UInt16Array
    max_valid: int
    num_values: int

    def __init__(self, leaf: Leaf) -> None:
        self.layers = leaf.layers
        self.rep = NO_LEVELS if leaf.rep is None else leaf.rep
        self.def_ = _definitions(leaf)
        self.max_valid = 0
        self.num_values = leaf.num_slots
        top_rep, top_def = max_rep(leaf.layers), max_def(leaf.layers)
        kernels.check_levels(self.rep, self.def_, top_rep, top_def, leaf.num_rows)
        if leaf.def_ is not None:
            num_slots = kernels.count_visible(leaf.def_, max_visible(leaf.layers))
        else:
            num_slots = leaf.num_rows if leaf.rep is None else len(leaf.rep)
        if num_slots != leaf.num_slots:
            raise FormatError(f"the levels give {num_slots} values and the page has {leaf.num_slots}")
        if leaf.values is not None and leaf.values.num_values != num_slots:
            raise FormatError(f"the levels give {num_slots} values instead of {leaf.values.num_values}")

    def select(self, rows: Int64Array) -> None:
        """Go on with some of the rows, in order, after all lists were taken off: each entry is a row."""
        if len(rows) and int(rows[-1]) >= self.num_values:
            raise FormatError(f"the levels give {self.num_values} rows, and row {int(rows[-1])} is wanted")
        self.rep = self.rep[rows] if len(self.rep) else self.rep
        self.def_ = self.def_[rows] if len(self.def_) else self.def_
        self.num_values = len(rows)

    def take(self, index: int, kind: StepKind) -> Step:
        """Take layer `index` off."""
        layer, outer = self.layers[index], self.layers[index + 1 :]
        if kind is LIST:
            return self._take_lists(layer, max_visible(outer), not outer)
        visible = self.max_valid + max_visible(self.layers[index:])
        if isinstance(kind, FixedList):
            self._join(kind.dimension, visible)
        validity, nulls = None, 0
        if layer is Layer.NULLABLE_ITEM and len(self.def_):
            validity, nulls = self._bitmap(visible)
        self.max_valid += layer.num_def
        if isinstance(kind, FixedList):
            return FixedLists(self.num_values, kind.dimension, validity, 0, nulls)
        return Validity(self.num_values, validity, 0, nulls)

    def _bitmap(self, visible: int) -> tuple[UInt8Array | None, int]:
        bitmap = _bits(self.num_values)
        nulls = kernels.unravel_validity(self.def_, visible, self.max_valid, self.num_values, bitmap)
        return bitmap if nulls else None, nulls

    def _take_lists(self, layer: Layer, outer: int, is_last: bool) -> Lists:
        top = self.max_valid + layer.num_def
        visible = top + outer
        has_empty = layer in (Layer.EMPTYABLE_LIST, Layer.NULL_AND_EMPTY_LIST)
        remaining, num_lists = kernels.count_lists(self.rep, self.def_, visible)
        if is_last:
            rep = def_ = NO_LEVELS
        else:
            rep, def_ = _empty(remaining), _empty(remaining if len(self.def_) else 0)
        offsets: Int64Array | Int32Array = np.empty(num_lists + 1, dtype=np.int32)
        if len(self.rep) > _MOST_SHORT_OFFSETS:
            offsets = np.empty(num_lists + 1, dtype=np.int64)
        validity = _bits(num_lists)
        nulls = kernels.unravel_lists(
            self.rep,
            self.def_,
            visible,
            self.max_valid,
            top if has_empty else 0,
            8 * offsets.itemsize,
            rep,
            def_,
            offsets,
            validity,
        )
        if offsets[-1] != self.num_values:
            raise FormatError(f"the lists have {offsets[-1]} items and {self.num_values} values are there")
        self.rep, self.def_, self.max_valid, self.num_values = rep, def_, top, num_lists
        return Lists(num_lists, offsets, validity if nulls else None, 0, nulls)

    def _join(self, dimension: int, visible: int) -> None:
        """Make one entry of the entries of each fixed size list."""
        num_lists, rest = divmod(self.num_values, dimension)
        if rest:
            raise FormatError(f"{self.num_values} items are no whole number of lists of {dimension}")
        removed = self.num_values - num_lists
        rep = _empty(len(self.rep) - removed if len(self.rep) else 0)
        def_ = _empty(len(self.def_) - removed if len(self.def_) else 0)
        kernels.unravel_fixed(self.rep, self.def_, visible, self.max_valid, dimension, rep, def_)
        self.rep, self.def_, self.num_values = rep, def_, num_lists


def _definitions(leaf: Leaf) -> UInt16Array:
    """Definition levels; those of a page that says nothing but "all null" are made here."""
    if leaf.def_ is not None:
        return leaf.def_
    if leaf.values is None and leaf.layers == (Layer.NULLABLE_ITEM,):
        return np.ones(leaf.num_rows, dtype=np.uint16)
    return NO_LEVELS


def _empty(num_levels: int) -> UInt16Array:
    return np.empty(num_levels, dtype=np.uint16)


def _bits(num_values: int) -> UInt8Array:
    return np.empty((num_values + 7) // 8, dtype=np.uint8)
