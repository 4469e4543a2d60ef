"""Dictionaries of mini-block pages: distinct values once, and an index a slot (compressors.md 5.6, structural.md 5.8).

A dictionary is a feature of the page, not a codec: the page stores the indices as its values, under a chunk codec, and the items
in a buffer of their own, under a block codec. Indices of pages that we write have 32 bits and count in order of first occurrence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet import kernels
from lancelet.blocks.block import FixedWidth, VariableWidth
from lancelet.buffers import EMPTY, allocate, as_bytes, as_values
from lancelet.errors import FormatError, OptionError, UnsupportedError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.blocks.block import Block, Dictionary
    from lancelet.buffers import Allocate, Data, UInt8Array

    Mask = npt.NDArray[np.bool_]
    Indices = npt.NDArray[Any]

__all__ = ["build", "compact", "expand", "narrow_indices"]

_ITEM_BITS = (32, 64, 128)
_INDEX_BITS = (8, 16, 32, 64)


def build(block: Block, *, max_entries: int, max_bytes: int) -> tuple[FixedWidth, Block] | None:
    """Make a dictionary of the values of `block`, null slots included.

    Parameters
    ----------
    block
        A :class:`FixedWidth` of 32, 64 or 128 bits, or a :class:`VariableWidth`.
    max_entries
        Most distinct values.
    max_bytes
        Most bytes that the distinct values have together, their offsets not counted.

    Returns
    -------
    tuple[FixedWidth, Block] | None
        Indices of 32 bits, one a value, and the items: a block of the kind of `block`, in memory of its own. ``None`` when a limit
        is exceeded (found early: the rest of the block is not looked at), or the block is of another kind.
    """
    if isinstance(block, FixedWidth):
        return _build_fixed(block, max_entries, max_bytes) if block.bits in _ITEM_BITS else None
    if isinstance(block, VariableWidth):
        return _build_variable(block, max_entries, max_bytes)
    return None


def _build_fixed(block: FixedWidth, max_entries: int, max_bytes: int) -> tuple[FixedWidth, Block] | None:
    value_bytes = block.bits // 8
    data = as_bytes(block.data)[: block.num_values * value_bytes]
    max_entries = max(0, min(max_entries, max_bytes // value_bytes, block.num_values))
    indices = np.empty(block.num_values, dtype=np.uint32)
    first = np.empty(max_entries, dtype=np.int64)
    num_items = kernels.unique_fixed(data, value_bytes, max_entries, indices, first)
    if num_items < 0:
        return None
    items = allocate(num_items * value_bytes)
    kernels.gather_fixed(data, value_bytes, first[:num_items], 64, EMPTY, items)
    return FixedWidth(32, block.num_values, indices), FixedWidth(block.bits, num_items, items)


def _build_variable(
    block: VariableWidth, max_entries: int, max_bytes: int
) -> tuple[FixedWidth, Block] | None:
    bits = block.offset_bits
    offsets = _offsets(block)
    max_entries = max(0, min(max_entries, block.num_values))
    indices = np.empty(block.num_values, dtype=np.uint32)
    first = np.empty(max_entries, dtype=np.int64)
    num_items = kernels.unique_variable(
        block.data, offsets, bits, max_entries, max(0, max_bytes), indices, first
    )
    if num_items < 0:
        return None
    items = _gather_variable(block, first[:num_items], 64, EMPTY, num_items, allocate)
    return FixedWidth(32, block.num_values, indices), items


def expand(indices: FixedWidth, items: Block, validity: Data | None, allocate: Allocate) -> Block:
    """Look up the value of every slot.

    Parameters
    ----------
    indices
        Unsigned integers of 8, 16, 32 or 64 bits.
    items
        The dictionary; it may be empty when all slots are null.
    validity
        Bitmap of the slots (bit 1 = valid), ``None``: all are valid. Whatever the index of a null slot says, its value becomes
        zeros or is empty.
    allocate
        Where the memory of the result comes from.

    Returns
    -------
    Block
        One value a slot, a block of the kind of `items`.

    Raises
    ------
    FormatError
        The indices have a width that no index has, or the index of a valid slot lies outside of the dictionary.
    UnsupportedError
        The items are not whole bytes, or lists or structs.
    """
    _check_bits(indices)
    numbers = as_bytes(indices.data)[: indices.num_values * indices.bits // 8]
    bitmap = EMPTY if validity is None else validity
    if isinstance(items, VariableWidth):
        return _gather_variable(items, numbers, indices.bits, bitmap, indices.num_values, allocate)
    if not isinstance(items, FixedWidth) or items.bits == 0 or items.bits % 8:
        raise UnsupportedError("a dictionary holds values of whole bytes, or text and binary")
    value_bytes = items.bits // 8
    data = as_bytes(items.data)[: items.num_values * value_bytes]
    out = allocate(indices.num_values * value_bytes)
    kernels.gather_fixed(data, value_bytes, numbers, indices.bits, bitmap, out)
    return FixedWidth(items.bits, indices.num_values, out)


def _gather_variable(
    items: VariableWidth, numbers: Data, index_bits: int, bitmap: Data, num_values: int, allocate: Allocate
) -> VariableWidth:
    offsets = _offsets(items)
    lookup = (offsets, items.offset_bits, numbers, index_bits, bitmap)
    out_offsets = allocate((num_values + 1) * items.offset_bits // 8)
    out = allocate(kernels.gather_variable_offsets(*lookup, out_offsets))
    kernels.gather_variable(items.data, *lookup, out_offsets, out)
    return VariableWidth(items.offset_bits, num_values, out_offsets, out)


def _offsets(block: VariableWidth) -> UInt8Array:
    return as_bytes(block.offsets)[: (block.num_values + 1) * block.offset_bits // 8]


def compact(numbers: Indices, valid: Mask | None, num_items: int) -> tuple[Indices, Mask | None]:
    """Find the items of a dictionary that are shown, and count the indices anew.

    Parameters
    ----------
    numbers
        Indices, unsigned.
    valid
        ``bool[len(numbers)]``: which of them anybody sees; ``None``: all.
    num_items
        Length of the dictionary.

    Returns
    -------
    tuple
        Indices of the dtype of `numbers` into the items that are kept, 0 where nobody sees them; and ``bool[num_items]``: which
        items those are, ``None`` for all.

    Raises
    ------
    OptionError
        An index that is seen lies outside of the dictionary.
    """
    seen = numbers if valid is None else numbers[valid]
    _check_indices(seen, num_items, OptionError)
    used = np.zeros(num_items, dtype=np.bool_)
    used[seen] = True
    if valid is not None:
        numbers = np.where(valid, numbers, numbers.dtype.type(0))
    if used.all():
        return numbers, None
    places: Indices = np.cumsum(used) - used
    return places.astype(numbers.dtype)[numbers], used


def narrow_indices(block: Dictionary, bits: int, limit: int, valid: Mask | None, allocate: Allocate) -> Data:
    """Return the indices of `block` in `bits` bits; 0 where a null slot has one that points nowhere.

    Parameters
    ----------
    block
        What a page gave.
    bits
        8, 16, 32 or 64.
    limit
        Largest index that the result may have.
    valid
        ``bool[num_values]``, false in null slots; ``None``: all are valid.
    allocate
        Where the memory of the result comes from; it is a view when nothing needs to be changed.

    Raises
    ------
    FormatError
        The indices have a width that no index has, or the index of a valid slot lies outside of the dictionary or above `limit`.
    """
    indices, bound = block.indices, min(block.items.num_values, limit + 1)
    _check_bits(indices)
    numbers = as_values(indices.data, indices.bits)[: block.num_values]
    points_nowhere = bool((numbers >= bound).any())
    if points_nowhere:
        if valid is not None:
            numbers = numbers * valid
        if valid is None or bool(valid.any()):
            _check_indices(numbers, block.items.num_values, FormatError)
        largest = int(numbers.max())
        if largest > limit:
            raise FormatError(f"the page has index {largest}, and indices of the column count to {limit}")
    elif indices.bits == bits:
        return indices.data
    out = allocate(block.num_values * bits // 8)
    as_values(out, bits)[:] = numbers
    return out  # type: ignore[no-any-return]


def _check_bits(indices: FixedWidth) -> None:
    if indices.bits not in _INDEX_BITS:
        raise FormatError(
            f"the indices of a dictionary have {indices.bits} bits; 8, 16, 32 or 64 are possible"
        )


def _check_indices(numbers: Indices, num_items: int, error: type[FormatError | OptionError]) -> None:
    largest = int(numbers.max(initial=0))
    if len(numbers) and largest >= num_items:
        raise error(f"index {largest} lies outside of a dictionary of {num_items} items")
