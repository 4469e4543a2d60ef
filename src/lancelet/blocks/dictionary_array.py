"""Arrow dictionary arrays: what is stored of them, and one dictionary for several.

Their indices are seen as unsigned numbers here, whatever their type: those of slots that are not null are never negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lancelet.blocks.dictionary import compact
from lancelet.buffers import EMPTY
from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lancelet.blocks.dictionary import Indices

    Mask = npt.NDArray[np.bool_]

__all__ = [
    "compacted",
    "index_numbers",
    "num_nulls",
    "same_memory",
    "stored_dictionary",
    "unify",
    "valid_indices",
]

_INTEGERS = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}


def index_numbers(array: pa.DictionaryArray) -> Indices:
    """View the indices of `array` as unsigned numbers; those of null slots may be anything."""
    indices = array.indices
    dtype = np.dtype(f"<u{indices.type.bit_width // 8}")
    data = indices.buffers()[1]
    return np.frombuffer(EMPTY if data is None else data, dtype)[indices.offset :][: len(indices)]


def valid_indices(array: pa.DictionaryArray) -> Mask | None:
    """Return ``bool[len(array)]``, true where there is an index; ``None``: everywhere."""
    if array.null_count == 0:
        return None
    valid: Mask = array.indices.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _array(numbers: Indices, valid: Mask | None, items: pa.Array, type_: pa.DataType) -> pa.DictionaryArray:
    """Make a dictionary array of `type_`, with indices that point into `items` where they are valid."""
    signed = numbers.view(type_.index_type.to_pandas_dtype())
    indices = pa.array(signed, type_.index_type, mask=None if valid is None else ~valid)
    return pa.DictionaryArray.from_arrays(indices, items, ordered=type_.ordered, safe=False)


def compacted(array: pa.DictionaryArray, valid: Mask | None) -> tuple[Indices, pa.Array]:
    """Return the indices and items of `array` without the items that nobody sees.

    Parameters
    ----------
    array
        A dictionary array.
    valid
        ``bool[len(array)]``: which values anybody sees; ``None``: all.

    Raises
    ------
    OptionError
        An index lies outside of the dictionary.
    """
    numbers, used = compact(index_numbers(array), valid, len(array.dictionary))
    return numbers, array.dictionary if used is None else array.dictionary.filter(pa.array(used))


def stored_dictionary(array: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return `array` as the format has it: without nulls among the items, and with plain text and binary in place of views.

    Raises
    ------
    OptionError
        An index lies outside of the dictionary.
    """
    items, type_ = array.dictionary, array.type
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get(items.type)
    if plain is not None:
        type_ = pa.dictionary(type_.index_type, plain, type_.ordered)
        array = pa.DictionaryArray.from_arrays(
            array.indices, items.cast(plain), ordered=type_.ordered, safe=False
        )
    if items.null_count == 0:
        return array
    valid = _valid_values(array)
    numbers, items = compacted(array, valid)
    return _array(numbers, valid, items, type_)


def num_nulls(array: pa.DictionaryArray, seen: Mask | None = None) -> int:
    """Count the nulls of `array`, those that stand in the dictionary too; of a part of it with ``seen``, ``bool[len(array)]``."""
    if seen is None and array.dictionary.null_count == 0:
        return int(array.null_count)
    null = ~_valid_values(array)
    return int(np.count_nonzero(null if seen is None else null & seen))


def _valid_values(array: pa.DictionaryArray) -> Mask:
    """Return ``bool[len(array)]``: which slots have an index, of an item that is not null."""
    valid, numbers = valid_indices(array), index_numbers(array)
    if valid is not None:
        numbers = numbers * valid
    items_valid = array.dictionary.is_valid().to_numpy(zero_copy_only=False)
    if int(numbers.max(initial=0)) >= max(len(items_valid), 1):
        raise OptionError(
            f"index {int(numbers.max())} lies outside of a dictionary of {len(items_valid)} items"
        )
    if not len(items_valid):
        return np.zeros(len(array), np.bool_)
    shown: Mask = items_valid[numbers]
    return shown if valid is None else shown & valid


def unify(arrays: Sequence[pa.DictionaryArray]) -> list[pa.DictionaryArray] | None:
    """Give arrays of one type one dictionary, the same memory for all.

    Parameters
    ----------
    arrays
        At least one; without nulls among their items.

    Returns
    -------
    list | None
        ``None`` when they show more distinct values than indices of their type can count.
    """
    items, numbers = _distinct(arrays)
    if len(items) == 1:
        return [_array(index_numbers(array), valid_indices(array), items[0], array.type) for array in arrays]
    unified = _unified(arrays, items, numbers)
    if unified is None:
        shown = [_without_unused(array) for array in arrays]
        unified = _unified(shown, [array.dictionary for array in shown], range(len(shown)))
    return unified


def _without_unused(array: pa.DictionaryArray) -> pa.DictionaryArray:
    valid = valid_indices(array)
    numbers, items = compacted(array, valid)
    return _array(numbers, valid, items, array.type)


def _distinct(arrays: Sequence[pa.DictionaryArray]) -> tuple[list[pa.Array], list[int]]:
    """Return the dictionaries, those of neighbours that are equal only once, and the number of each array's own."""
    items, numbers = [arrays[0].dictionary], [0]
    for array in arrays[1:]:
        if not same_memory(array.dictionary, items[-1]) and not _bits(array.dictionary).equals(
            _bits(items[-1])
        ):
            items.append(array.dictionary)
        numbers.append(len(items) - 1)
    return items, numbers


def _bits(array: pa.Array) -> pa.Array:
    """View floats as integers: values are the same if their bits are, and pyarrow spoils distinct halves (release 26)."""
    type_ = array.type
    return array.view(_INTEGERS[type_.bit_width]) if pa.types.is_floating(type_) else array


def same_memory(one: pa.Array, other: pa.Array) -> bool:
    """Whether two flat arrays view the same memory."""
    return len(one) == len(other) and one.offset == other.offset and _addresses(one) == _addresses(other)


def _addresses(array: pa.Array) -> list[int | None]:
    return [None if buffer is None else buffer.address for buffer in array.buffers()]


def _unified(
    arrays: Sequence[pa.DictionaryArray], dictionaries: Sequence[pa.Array], numbers: Sequence[int]
) -> list[pa.DictionaryArray] | None:
    type_ = arrays[0].type
    encoded = pa.concat_arrays([_bits(items) for items in dictionaries]).dictionary_encode()
    items = encoded.dictionary.view(type_.value_type)
    index_type = type_.index_type
    if len(items) > 1 << (index_type.bit_width - pa.types.is_signed_integer(index_type)):
        return None
    dtype = index_numbers(arrays[0]).dtype
    places = np.append(index_numbers(encoded), 0).astype(
        dtype
    )  # null slots of an empty dictionary find a place too
    starts = np.cumsum([0, *map(len, dictionaries)])
    joined = []
    for array, number in zip(arrays, numbers, strict=True):
        old, valid = index_numbers(array), valid_indices(array)
        new = places[starts[number] :][old if valid is None else old * valid]
        joined.append(_array(new, valid, items, type_))
    return joined
