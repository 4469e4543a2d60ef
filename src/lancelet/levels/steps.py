"""Structure without values: what stands between a top-level row and the values of one leaf column.

A column's structure is a sequence of steps, outer-most first; the last one is the leaf's own validity. A struct and the leaf
contribute a :class:`Validity`, a list or large list a :class:`Lists`, a fixed size list *of structs* a :class:`FixedLists` (one of
numbers is a value, and no step). The column ``struct<list<int32>>`` has the steps Validity, Lists, Validity.

The type alone gives the sequence of *kinds*: :data:`ITEM`, :data:`LIST`, or a :class:`FixedList`.

Bitmaps are Arrow's: 1 is valid, value ``i`` stands at bit ``bit_offset + i``, lowest bit first; ``None`` means that all are valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lancelet.buffers import Data, Int64Array

    Int32Array = npt.NDArray[np.int32]

__all__ = ["ITEM", "LIST", "FixedList", "FixedLists", "Kind", "Lists", "Step", "StepKind", "Validity"]


@dataclass(frozen=True, slots=True, eq=False)
class Validity:
    """Which structs, or values of the leaf, are valid.

    Attributes
    ----------
    num_values
        Structs or values.
    validity
        Bitmap of them.
    bit_offset
        Bit of value 0.
    null_count
        Zeros of the bitmap; ``None`` if nobody has counted them.
    """

    num_values: int
    validity: Data | None = None
    bit_offset: int = 0
    null_count: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Lists of any length.

    Attributes
    ----------
    num_values
        Lists.
    offsets
        ``int64[num_values + 1]``, after unravelling also ``int32``; from 0 on. List ``i`` has the items ``offsets[i]`` to
        ``offsets[i + 1]`` of the next step.
    validity
        Bitmap of the lists. A null list has no items.
    bit_offset
        Bit of list 0.
    null_count
        Zeros of the bitmap; ``None`` if nobody has counted them.
    """

    num_values: int
    offsets: Int64Array | Int32Array
    validity: Data | None = None
    bit_offset: int = 0
    null_count: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FixedLists:
    """Lists of one length. A null list has items like any other.

    Attributes
    ----------
    num_values
        Lists; the next step has ``num_values * dimension`` values.
    dimension
        Items per list, at least 1.
    validity
        Bitmap of the lists.
    bit_offset
        Bit of list 0.
    null_count
        Zeros of the bitmap; ``None`` if nobody has counted them.
    """

    num_values: int
    dimension: int
    validity: Data | None = None
    bit_offset: int = 0
    null_count: int | None = None


Step = Validity | Lists | FixedLists


class Kind(Enum):
    """The kinds of steps that need no parameter."""

    ITEM = "item"
    LIST = "list"

    # There is one object of each, so that looking kinds up need not hash their names, as enumerations do.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class FixedList:
    """The kind of a :class:`FixedLists` step.

    Attributes
    ----------
    dimension
        Items per list, at least 1.
    """

    dimension: int


#: A struct, or the leaf.
ITEM: Literal[Kind.ITEM] = Kind.ITEM
#: A list or large list.
LIST: Literal[Kind.LIST] = Kind.LIST

StepKind = Kind | FixedList
