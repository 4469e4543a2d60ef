"""Structure to levels (structural.md 4.1 to 4.3, and 11.1).

The steps of a column are gone through twice, outer-most first: once to find what each layer holds, which fixes the numbers, and
once to make the levels. The worked example ``list<int64>`` ``[[1, 2], null, [], [3, null]]``::

    step                    kind                  numbers             rep              def
    Lists     2, -, 0, 2    NULL_AND_EMPTY_LIST   null 2, empty 3     1 0 1 1 1 0      0 0 2 3 0 0
    Validity  1 1 1 0       NULLABLE_ITEM         null 1                               0 0 2 3 0 1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lancelet import kernels
from lancelet.buffers import EMPTY, allocate, as_values
from lancelet.levels.layers import NO_LEVELS, Layer, Leaf, max_def, max_rep, max_visible
from lancelet.levels.steps import FixedLists, Lists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data, UInt16Array
    from lancelet.levels.steps import Step

__all__ = ["build", "layer_kinds"]

_LIST_KINDS = {
    (False, False): Layer.ALL_VALID_LIST,
    (True, False): Layer.NULLABLE_LIST,
    (False, True): Layer.EMPTYABLE_LIST,
    (True, True): Layer.NULL_AND_EMPTY_LIST,
}


def build(steps: Sequence[Step], *, robust: bool = True) -> Leaf:
    """Make the levels of the rows that `steps` describe.

    Expected of the steps (structural.md 4.1 calls it preparation):

    * step ``i + 1`` has one value for each value of a Validity, item of a Lists, and place of a FixedLists step ``i``;
    * the nulls of a struct were pushed into the step below it, as long as that is no list's item: what lies directly in a null
      struct is null itself. (Levels are the same without it; the kinds of the layers, and so the bytes of the page, may differ
      from the reference's);
    * a list that is null or lies in a null struct has no items, and offsets begin at 0: items that nothing refers to were removed.

    Parameters
    ----------
    steps
        Outer-most first, at least the leaf's validity.
    robust
        Choose layers that the reference's reader can digest where a struct stands around a list (structural.md 11.1), and around
        or in a fixed-size list. Without
        it the layers are those that the reference writes.

    Returns
    -------
    Leaf
        Without ``values``; the caller puts them in. ``num_rows`` counts as a page does: with a FixedLists outside of all lists,
        every item of it. ``def_`` is ``None`` when the layers have no definition numbers, not when they have some and use none.

    Raises
    ------
    ValueError
        The steps do not fit each other.
    """
    layers = layer_kinds(steps, robust=robust)
    levels = _Levels(steps[0].num_values, layers)
    for step, layer in zip(steps, reversed(layers), strict=True):
        levels.add(step, layer)
    num_entries = levels.num_entries
    rep = levels.rep if max_rep(layers) > 0 else None
    def_ = levels.def_ if max_def(layers) > 0 else None
    num_rows = num_entries if rep is None else kernels.count_rows(rep, max_rep(layers))
    num_slots = num_entries if def_ is None else kernels.count_visible(def_, max_visible(layers))
    return Leaf(num_rows, layers, rep, def_, num_slots, None)


def layer_kinds(steps: Sequence[Step], *, robust: bool = True) -> tuple[Layer, ...]:
    """Decide what each layer of a page may hold.

    Parameters
    ----------
    steps, robust
        As in :func:`build`.

    Returns
    -------
    tuple
        Layers, inner-most first.
    """
    # The reader takes as many valid bits as there are slots from a page whose layer has no nulls, and mixes pages: also those
    # of fixed-size lists, and of structs around them.
    last_nested = max((i for i, step in enumerate(steps) if isinstance(step, Lists | FixedLists)), default=-1)
    in_struct = False
    layers = []
    for i, step in enumerate(steps):
        if isinstance(step, Lists):
            nulls, empty, _ = kernels.scan_lists(step.offsets, _bitmap(step), step.bit_offset)
            layers.append(_LIST_KINDS[nulls > 0 or (robust and in_struct), empty > 0])
            continue
        in_struct = True
        nullable = (robust and i <= last_nested) or _has_nulls(step)
        layers.append(Layer.NULLABLE_ITEM if nullable else Layer.ALL_VALID_ITEM)
    return tuple(reversed(layers))


def _has_nulls(step: Step) -> bool:
    return (
        step.validity is not None and kernels.count_nulls(step.validity, step.bit_offset, step.num_values) > 0
    )


def _bitmap(step: Step) -> Data:
    return EMPTY if step.validity is None else step.validity


def _zeros(num_levels: int) -> UInt16Array:
    """Return levels in memory of the pool, which lets go of what nobody uses: a writer does this for page after page."""
    levels: UInt16Array = as_values(allocate(2 * num_levels), 16)
    levels.fill(0)
    return levels


@dataclass(slots=True, eq=False)
class _Levels:
    """Levels while they grow from the outside inwards. Empty vectors: every level is 0."""

    num_entries: int
    next_rep: int
    next_def: int
    max_open: int
    rep: UInt16Array
    def_: UInt16Array

    def __init__(self, num_rows: int, layers: tuple[Layer, ...]) -> None:
        self.num_entries = num_rows
        self.next_rep = max_rep(layers)
        self.next_def = self.max_open = max_def(layers)
        self.rep = NO_LEVELS
        self.def_ = _zeros(num_rows if self.next_def > 0 else 0)

    def add(self, step: Step, layer: Layer) -> None:
        if isinstance(step, Lists):
            self._add_lists(step, layer)
            return
        if layer is Layer.NULLABLE_ITEM:
            kernels.mark_nulls(
                self.def_, self.max_open, _bitmap(step), step.bit_offset, step.num_values, self.next_def
            )
        self.next_def -= layer.num_def
        if isinstance(step, FixedLists):
            self._repeat(step)

    def _add_lists(self, step: Lists, layer: Layer) -> None:
        _, _, filled = kernels.scan_lists(step.offsets, _bitmap(step), step.bit_offset)
        num_entries = self.num_entries + int(step.offsets[-1] - step.offsets[0]) - filled
        rep, def_ = _zeros(num_entries), _zeros(num_entries if len(self.def_) else 0)
        has_nulls = layer in (Layer.NULLABLE_LIST, Layer.NULL_AND_EMPTY_LIST)
        has_empty = layer in (Layer.EMPTYABLE_LIST, Layer.NULL_AND_EMPTY_LIST)
        kernels.open_lists(
            self.rep,
            self.def_,
            self.max_open,
            step.offsets,
            _bitmap(step),
            step.bit_offset,
            self.next_rep,
            self.next_def - has_empty if has_nulls else 0,
            self.next_def if has_empty else 0,
            rep,
            def_,
        )
        self.num_entries, self.rep, self.def_ = num_entries, rep, def_
        self.next_rep -= 1
        self.next_def -= layer.num_def
        self.max_open = self.next_def

    def _repeat(self, step: FixedLists) -> None:
        num_entries = self.num_entries + step.num_values * (step.dimension - 1)
        rep = _zeros(num_entries if len(self.rep) else 0)
        def_ = _zeros(num_entries if len(self.def_) else 0)
        kernels.repeat_fixed(self.rep, self.def_, self.max_open, step.dimension, rep, def_)
        self.num_entries, self.rep, self.def_ = num_entries, rep, def_
