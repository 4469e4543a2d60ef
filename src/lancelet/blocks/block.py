"""The kinds of block (compressors.md 1.3).

A block has values and no nulls: what lies in a null slot is a value like any other. Blocks refer to memory, they never own a copy
that they do not need; a block made from an Arrow array views its buffers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lancelet.buffers import Data

__all__ = ["Block", "Dictionary", "FixedSizeList", "FixedWidth", "Packed", "VariableWidth"]


@dataclass(frozen=True, slots=True, eq=False)
class FixedWidth:
    """Values of one width, without gaps, least significant bit first.

    Attributes
    ----------
    bits
        Width of a value: 1, or a multiple of 8.
    num_values
        Number of values.
    data
        ``ceil(num_values * bits / 8)`` bytes; value 0 starts at bit 0.
    """

    bits: int
    num_values: int
    data: Data


@dataclass(frozen=True, slots=True, eq=False)
class VariableWidth:
    """Values of any length: value ``i`` is ``data[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    offset_bits
        32 or 64: width of the offsets here, and of the Arrow type they belong to.
    num_values
        Number of values.
    offsets
        ``num_values + 1`` unsigned integers, non-decreasing. The first one need not be 0 (a slice of an Arrow array).
    data
        The bytes that the offsets refer to.
    is_ascii
        Whether all of them are known to be ASCII, and so UTF-8.
    """

    offset_bits: int
    num_values: int
    offsets: Data
    data: Data
    is_ascii: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FixedSizeList:
    """Lists of one length.

    Attributes
    ----------
    dimension
        Items per list, at least 1.
    num_values
        Number of lists.
    items
        ``num_values * dimension`` items: a :class:`FixedWidth`, or lists again.
    validity
        Bitmap of the *items* (bit 1 = valid, item 0 at bit 0), ``None`` when none is null. Nulls of the lists themselves are
        definition levels.
    """

    dimension: int
    num_values: int
    items: Block
    validity: Data | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A struct stored row by row; the children have no nulls.

    Attributes
    ----------
    num_values
        Number of rows.
    children
        One block a child, each of ``num_values`` values; none when all rows are absent.
    absent
        ``bool[num_values]``, true for rows that were stored without bytes and so must be null; ``None`` when there are none.
    """

    num_values: int
    children: tuple[Block, ...]
    absent: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Dictionary:
    """Values that stand in a dictionary: value ``i`` is ``items[indices[i]]``.

    Whoever makes one of the bytes of a file leaves the indices as they are: those of null slots may be anything, and the others are
    checked where the values are looked up.

    Attributes
    ----------
    num_values
        Number of values.
    indices
        ``num_values`` unsigned integers of 8, 16, 32 or 64 bits.
    items
        The dictionary; it may hold a value twice, or one that no index refers to.
    arrays
        The items as Arrow arrays, by type, once somebody has made them; shared by all blocks of a page.
    """

    num_values: int
    indices: FixedWidth
    items: Block
    arrays: dict[Any, Any] = field(default_factory=dict)


Block = FixedWidth | VariableWidth | FixedSizeList | Packed | Dictionary
