"""Layers: what one step of nesting may hold in a page, and which level numbers it takes (structural.md 3.2 and 4.2).

Layers stand inner-most first, as in the file. Level 0 is the inner-most, fully valid case; every layer takes as many definition
numbers as its kind needs, counted from the inner-most layer outwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lancelet.errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lancelet.blocks import Block
    from lancelet.buffers import Int64Array, UInt8Array, UInt16Array

__all__ = ["NO_LEVELS", "Layer", "Leaf", "Structure", "max_def", "max_rep", "max_visible", "parse_layers"]

#: Layers of a page that are handled; it bounds the levels (structural.md 10, check 5).
MAX_LAYERS = 256

#: Sequences of layers whose largest levels are remembered: every page of every read asks for them.
_MOST_SHAPES = 1024

#: What kernels take for an absent vector of levels.
NO_LEVELS: UInt16Array = np.empty(0, dtype=np.uint16)


class Layer(IntEnum):
    """What a layer may hold in this page. A nullable kind does not promise that there is a null."""

    ALL_VALID_ITEM = 1
    ALL_VALID_LIST = 2
    NULLABLE_ITEM = 3
    NULLABLE_LIST = 4
    EMPTYABLE_LIST = 5
    NULL_AND_EMPTY_LIST = 6

    # The numbers differ: no need to hash the names, as enumerations do, in every look-up of layers.
    __hash__ = int.__hash__

    @property
    def is_list(self) -> bool:
        """Whether the layer is a list (and not the validity of an item or struct)."""
        return self == Layer.ALL_VALID_LIST or self >= Layer.NULLABLE_LIST

    @property
    def num_def(self) -> int:
        """Definition numbers that the layer takes: 0, 1 or 2 (null is the lower one, empty the higher)."""
        return _NUM_DEF[self]


_NUM_DEF = (0, 0, 0, 1, 1, 1, 2)


@lru_cache(_MOST_SHAPES)
def max_rep(layers: tuple[Layer, ...]) -> int:
    """Return the largest repetition level: the number of lists."""
    return sum(layer.is_list for layer in layers)


@lru_cache(_MOST_SHAPES)
def max_def(layers: tuple[Layer, ...]) -> int:
    """Return the largest definition level."""
    return sum(layer.num_def for layer in layers)


@lru_cache(_MOST_SHAPES)
def max_visible(layers: tuple[Layer, ...]) -> int:
    """Return the largest definition level of an entry that has a slot (structural.md 4.4)."""
    total = 0
    for layer in layers:
        if layer.is_list:
            break
        total += layer.num_def
    return total


def parse_layers(numbers: Iterable[int]) -> tuple[Layer, ...]:
    """Read the layers of a page message."""
    layers: list[Layer] = []
    for number in numbers:
        if number == 0:
            raise FormatError("a layer of the page is unspecified")
        if not Layer.ALL_VALID_ITEM <= number <= Layer.NULL_AND_EMPTY_LIST:
            raise UnsupportedError(f"layer kind {number} is not known here")
        if len(layers) == MAX_LAYERS:
            raise UnsupportedError(f"the page nests deeper than {MAX_LAYERS} layers")
        layers.append(Layer(number))
    if not layers:
        raise FormatError("the page lists no layers")
    return tuple(layers)


class Structure(NamedTuple):
    """Layers that were taken off already, as :func:`~lancelet.kernels.unravel_layers` does.

    Attributes
    ----------
    layers
        ``uint8[at least num_layers * stride]``: its `out`.
    counts
        ``int64[2 * num_layers]``: its `counts`.
    num_entries
        Entries of the levels.
    """

    layers: UInt8Array
    counts: Int64Array
    num_entries: int


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """Rows of one leaf column, between Arrow and the pages: levels and values.

    Attributes
    ----------
    num_rows
        Top-level rows.
    layers
        Inner-most first.
    rep
        ``uint16[num_entries]``, or ``None`` when there is no list layer.
    def_
        ``uint16[num_entries]``, or ``None`` when all is valid (every level is 0). A leaf of the one layer NULLABLE_ITEM that
        has neither levels nor values is all null.
    num_slots
        Entries with ``def <= max_visible``: those that have a value. Without levels, the number of rows.
    values
        Block of `num_slots` values, null slots included; ``None`` when every slot is null.
    structure
        What the levels mean, if whoever read them has found out, for types without fixed-size lists of structs. Not to be kept
        where layers or levels are replaced.
    """

    num_rows: int
    layers: tuple[Layer, ...]
    rep: UInt16Array | None
    def_: UInt16Array | None
    num_slots: int
    values: Block | None
    structure: Structure | None = None
