"""Arrow arrays without structure <-> blocks (compressors.md 1.3).

``to_block`` views the buffers of an array and forgets its nulls; what lies below them is wiped first, so that files do not carry
bytes that no reader shows, and equal tables give equal bytes. ``from_block`` puts values and validity together again and checks
that the block fits the type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.blocks.block import Block, Dictionary, FixedSizeList, FixedWidth, Packed, VariableWidth
from lancelet.blocks.dictionary import expand, narrow_indices
from lancelet.blocks.dictionary_array import compacted
from lancelet.buffers import EMPTY, allocate, as_bytes, as_values, nbytes
from lancelet.errors import FormatError, OptionError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.buffers import Allocate, Data

    Mask = npt.NDArray[np.bool_]

__all__ = [
    "aligned_bits",
    "fixed_bits",
    "from_block",
    "is_variable_width",
    "offset_bits",
    "to_block",
    "valid_mask",
]

#: Where a dictionary keeps whether all of its items are text.
_TEXT_ITEMS = "text"

#: Widths of offsets by the number of a type: types themselves are slow to look up.
_BINARY = {pa.binary().id: 32, pa.string().id: 32, pa.large_binary().id: 64, pa.large_string().id: 64}

#: Types whose values are nothing but numbers of one width.
_NUMBERS = frozenset(
    make().id
    for make in (
        *(pa.int8, pa.int16, pa.int32, pa.int64, pa.uint8, pa.uint16, pa.uint32, pa.uint64),
        *(pa.float16, pa.float32, pa.float64),
    )
)


def is_variable_width(type_: pa.DataType) -> bool:
    """Whether values of `type_` have lengths of their own: (large) utf8 and binary."""
    return type_.id in _BINARY


def offset_bits(type_: pa.DataType) -> int:
    """Return the width of the offsets of a (large) utf8 or binary type."""
    return _BINARY[type_.id]


def fixed_bits(type_: pa.DataType) -> int:
    """Return the width of a fixed-width `type_` in bits: 1 for bool, 256 for decimal256.

    Raises
    ------
    OptionError
        `type_` has no fixed width.
    """
    if pa.types.is_fixed_size_binary(type_):  # Arrow counts their bits in 32, which may be too few
        return 8 * int(type_.byte_width)
    try:
        return int(type_.bit_width)
    except ValueError:
        raise OptionError(f"values of type {type_} have no fixed width") from None


def aligned_bits(bitmap: Any, start: int, count: int) -> Data:
    """Return bits `start` to ``start + count`` of an Arrow `bitmap` from bit 0 on; a view where that is possible.

    Bits of the last byte beyond `count` are 0 in a copy and arbitrary in a view.
    """
    if start % 8 == 0:
        return bitmap.slice(start // 8, (count + 7) // 8)  # type: ignore[no-any-return]
    return np.packbits(_bits(bitmap, start, count), bitorder="little")


def _bits(bitmap: Data, start: int, count: int) -> Mask:
    first = start // 8
    data = as_bytes(bitmap)[first : (start + count + 7) // 8]
    bits = np.unpackbits(data, bitorder="little", count=start - 8 * first + count)
    return bits[start - 8 * first :].view(np.bool_)


def valid_mask(array: pa.Array) -> Mask | None:
    """Return ``bool[len(array)]``, true where a value is valid; ``None`` when nothing is null."""
    if array.null_count == 0:
        return None
    bitmap = array.buffers()[0]
    if bitmap is None:  # the null type has no bitmap
        return np.zeros(len(array), dtype=np.bool_)
    return _bits(bitmap, array.offset, len(array))


def to_block(array: pa.Array, valid: Mask | None) -> Block:
    """View the values of a flat `array`.

    Parameters
    ----------
    array
        Of a flat type, a fixed-size list of one, a struct of both, which becomes packed, or a dictionary of flat values without
        nulls among them. Extension arrays count as their storage.
    valid
        Which values anybody sees. The others are wiped, which copies: zeros, or no bytes. ``None``: all are seen.

    Raises
    ------
    OptionError
        The type has no flat form, a child of a struct has nulls that somebody sees, or an index lies outside of its dictionary.
    """
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        return _dictionary_block(array, valid)
    if pa.types.is_struct(array.type):
        return _packed_block(array, valid)
    if pa.types.is_fixed_size_list(array.type):
        return _list_block(array, valid)
    block = _view(array)
    if valid is None:
        return block
    if isinstance(block, VariableWidth):
        lengths = np.diff(as_values(block.offsets, block.offset_bits))
        return _without_hidden_bytes(array, valid) if lengths[~valid].any() else block
    return _wiped(block, valid)


def _list_block(array: pa.Array, valid: Mask | None) -> FixedSizeList:
    dimension = array.type.list_size
    if dimension == 0:
        raise OptionError("lists of size 0 are not stored by any file version")
    items = array.values.slice(array.offset * dimension, len(array) * dimension)
    seen = None if valid is None else np.repeat(valid, dimension)
    items_valid = valid_mask(items)
    if items_valid is not None:
        seen = items_valid if seen is None else seen & items_valid
        # an item nobody sees because its list is null needs no null of its own
        hidden_lists = False if valid is None else np.repeat(~valid, dimension)
        shown_null = ~(items_valid | hidden_lists)
        validity = np.packbits(~shown_null, bitorder="little") if shown_null.any() else None
    else:
        validity = None
    return FixedSizeList(dimension, len(array), to_block(items, seen), validity)


def _dictionary_block(array: pa.Array, valid: Mask | None) -> Dictionary:
    """Keep the items that somebody sees; indices keep their width, and are unsigned whatever they were."""
    numbers, items = compacted(array, valid)
    indices = FixedWidth(8 * numbers.itemsize, len(array), numbers)
    return Dictionary(len(array), indices, to_block(items, None))


def _packed_block(array: pa.Array, valid: Mask | None) -> Packed:
    children = []
    for index in range(array.type.num_fields):
        child = array.field(index)
        child_valid = valid_mask(child)
        if child_valid is not None and not (child_valid if valid is None else child_valid | ~valid).all():
            name = array.type.field(index).name
            raise OptionError(f"the child {name!r} has nulls, for which a packed struct has no place")
        children.append(to_block(child, valid))
    return Packed(len(array), tuple(children))


def _wiped(block: FixedWidth, valid: Mask) -> FixedWidth:
    if block.bits == 1:
        bits = np.unpackbits(as_bytes(block.data), bitorder="little", count=block.num_values)
        return FixedWidth(1, block.num_values, np.packbits(bits & valid, bitorder="little"))
    if block.bits in (8, 16, 32, 64):
        # From the pool, which lets go of what nobody uses: a writer does this for page after page.
        wiped = allocate(block.num_values * block.bits // 8)
        words = as_values(wiped, block.bits)
        words.fill(0)
        np.copyto(words, as_values(block.data, block.bits), where=valid)
        return FixedWidth(block.bits, block.num_values, wiped)
    rows = as_bytes(block.data).reshape(block.num_values, block.bits // 8)
    return FixedWidth(block.bits, block.num_values, np.where(valid[:, None], rows, np.uint8(0)).reshape(-1))


def _without_hidden_bytes(array: pa.Array, valid: Mask) -> VariableWidth:
    import pyarrow.compute as pc

    empty = pa.scalar(b"", pa.large_binary()).cast(array.type)
    block = _view(pc.if_else(pa.array(valid), array, empty))
    if not isinstance(block, VariableWidth):
        raise TypeError(f"values of type {array.type} have no lengths")
    return block


def _view(array: pa.Array) -> FixedWidth | VariableWidth:
    num_values, start = len(array), array.offset
    buffers = array.buffers()
    if is_variable_width(array.type):
        bits = offset_bits(array.type)
        if num_values == 0:
            return VariableWidth(bits, 0, bytes(bits // 8), EMPTY)
        offsets = buffers[1].slice(start * bits // 8, (num_values + 1) * bits // 8)
        return VariableWidth(bits, num_values, offsets, EMPTY if buffers[2] is None else buffers[2])
    bits = fixed_bits(array.type)
    if bits == 0:
        raise OptionError(f"values of type {array.type} are empty; no file version stores them")
    if num_values == 0:
        return FixedWidth(bits, 0, EMPTY)
    if bits == 1:
        return FixedWidth(1, num_values, _clean_bits(buffers[1], start, num_values))
    width = bits // 8
    return FixedWidth(bits, num_values, buffers[1].slice(start * width, num_values * width))


def _clean_bits(bitmap: Any, start: int, count: int) -> Data:
    """Return bits from bit 0 on, those beyond `count` zero: they go to the file."""
    bits = aligned_bits(bitmap, start, count)
    if count % 8 == 0 or start % 8:
        return bits
    copy = as_bytes(bits).copy()
    copy[-1] &= (1 << count % 8) - 1
    return copy


def from_block(
    block: Block | None,
    type_: pa.DataType,
    num_values: int,
    validity: Data | None,
    null_count: int,
    allocate: Allocate,
) -> pa.Array:
    """Make the Arrow array of `block`.

    Parameters
    ----------
    block
        The values; ``None`` when every slot is null.
    type_
        A flat Arrow type, a fixed-size list of one, a struct of both, or a dictionary of flat values; no extension type.
    num_values
        Length of the array.
    validity
        Bitmap of ``ceil(num_values / 8)`` bytes, or ``None`` when nothing is null.
    null_count
        Zero bits of `validity`; -1 when they were not counted.
    allocate
        Where memory comes from for values that are looked up in a dictionary, and for nulls that no block bounds.

    Raises
    ------
    FormatError
        The block does not fit the type or the length, a row without bytes is not null, an index of a valid slot lies outside of its
        dictionary, or text is not UTF-8.
    """
    if block is None:
        from lancelet.blocks.nulls import null_array  # needs what stands here

        return null_array(type_, num_values, allocate)
    if block.num_values != num_values:
        raise FormatError(f"expected {num_values} values and found {block.num_values}")
    if type(block) is FixedWidth and type_.id in _NUMBERS:
        return _array_of_width(block, type_, num_values, validity, null_count)
    if pa.types.is_null(type_):
        raise FormatError("a column of type null has values")
    if pa.types.is_dictionary(type_):
        return _dictionary_array(block, type_, validity, null_count, allocate)
    is_text = _is_text(type_)
    if isinstance(block, Dictionary):
        is_text = is_text and not _has_text_items(block, type_, allocate)
        block = expand(block.indices, block.items, validity, allocate)
    bitmap = None if validity is None else pa.py_buffer(validity)
    if is_variable_width(type_):
        if not isinstance(block, VariableWidth):
            raise FormatError(f"values of type {type_} need lengths, and the page has values of one width")
        return _variable_array(block, type_, bitmap, null_count, check_text=is_text)
    if pa.types.is_fixed_size_list(type_):
        stored, own_validity = _stored_items(block, type_)
        items = from_block(stored, type_.value_type, num_values * type_.list_size, own_validity, -1, allocate)
        return pa.Array.from_buffers(type_, num_values, [bitmap], null_count, children=[items])
    if pa.types.is_struct(type_):
        if not isinstance(block, Packed):
            raise FormatError(f"the page does not have values of type {type_}")
        return _struct_array(block, type_, validity, null_count, allocate)
    if not isinstance(block, FixedWidth):
        raise FormatError(f"values of type {type_} have one width, and the page has values of another kind")
    return _array_of_width(block, type_, num_values, validity, null_count)


def _stored_items(block: Block, type_: pa.DataType) -> tuple[Block | None, Data | None]:
    """Return the items of lists and their validity; no items if they are a constant without a value: nulls of any type.

    Raises
    ------
    FormatError
        These are no such lists, or an item without a value is valid.
    """
    if isinstance(block, FixedWidth) and block.bits == 0:
        return None, None
    if not isinstance(block, FixedSizeList) or block.dimension != type_.list_size:
        raise FormatError(f"the page does not have values of type {type_}")
    items = block.items
    if not isinstance(items, FixedWidth) or items.bits > 0 or pa.types.is_fixed_size_list(type_.value_type):
        return items, block.validity
    if block.validity is not None and _has_bits(block.validity, items.num_values):
        raise FormatError("an item of a list is valid, and has no value")
    return None, None


def _has_bits(bitmap: Data, num_bits: int) -> bool:
    """Tell whether one of the first bits is set."""
    whole = as_bytes(bitmap)
    last = num_bits // 8
    return bool(whole[:last].any()) or bool(num_bits % 8 and whole[last] & ((1 << num_bits % 8) - 1))


def _array_of_width(
    block: FixedWidth, type_: pa.DataType, num_values: int, validity: Data | None, null_count: int
) -> pa.Array:
    bitmap = None if validity is None else pa.py_buffer(validity)
    data = _data_of_width(block, fixed_bits(type_), type_)
    return pa.Array.from_buffers(type_, num_values, [bitmap, pa.py_buffer(data)], null_count)


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _has_text_items(block: Dictionary, type_: pa.DataType, allocate: Allocate) -> bool:
    """Whether all items are UTF-8, so that nothing that is looked up among them needs a check; found out once a page."""
    known = block.arrays.get(_TEXT_ITEMS)
    if known is None:
        try:
            from_block(block.items, type_, block.items.num_values, None, 0, allocate)
            known = True
        except FormatError:  # perhaps nobody refers to what is wrong
            known = False
        block.arrays[_TEXT_ITEMS] = known
    return bool(known)


def _dictionary_array(
    block: Block, type_: pa.DataType, validity: Data | None, null_count: int, allocate: Allocate
) -> pa.Array:
    if not isinstance(block, Dictionary):
        raise FormatError(f"values of type {type_} stand in a dictionary, and the page has none")
    index_type, num_values = type_.index_type, block.num_values
    bits = fixed_bits(index_type)
    limit = (1 << (bits - pa.types.is_signed_integer(index_type))) - 1
    valid = None if validity is None else _bits(validity, 0, num_values)
    data = narrow_indices(block, bits, limit, valid, allocate)
    bitmap = None if validity is None else pa.py_buffer(validity)
    indices = pa.Array.from_buffers(index_type, num_values, [bitmap, pa.py_buffer(data)], null_count)
    items = block.arrays.get(type_.value_type)
    if items is None:  # it is made and checked once a page, and reads of the page share it
        made = from_block(block.items, type_.value_type, block.items.num_values, None, 0, allocate)
        items = block.arrays.setdefault(type_.value_type, made)
    return pa.DictionaryArray.from_arrays(indices, items, ordered=type_.ordered, safe=False)


def _struct_array(
    block: Packed, type_: pa.DataType, validity: Data | None, null_count: int, allocate: Allocate
) -> pa.Array:
    num_values = block.num_values
    if block.absent is not None:
        shown = block.absent if validity is None else block.absent & _bits(validity, 0, num_values)
        if shown.any():
            raise FormatError("a packed struct that is not null has no bytes")
        if block.absent.all():
            return from_block(None, type_, num_values, None, num_values, allocate)
    if len(block.children) != type_.num_fields:
        raise FormatError(f"packed structs of {len(block.children)} fields do not fit the type {type_}")
    children = [
        from_block(child, type_.field(index).type, num_values, None, 0, allocate)
        for index, child in enumerate(block.children)
    ]
    bitmap = None if validity is None else pa.py_buffer(validity)
    return pa.Array.from_buffers(type_, num_values, [bitmap], null_count, children=children)


def _data_of_width(block: FixedWidth, bits: int, type_: pa.DataType) -> Data:
    if bits == 1 and block.bits == 8:  # full-zip pages and constants store a bool as a byte
        return np.packbits(as_bytes(block.data)[: block.num_values] != 0, bitorder="little")
    if block.bits != bits:
        raise FormatError(
            f"values of type {type_} have {bits} bits, and the page has values of {block.bits} bits"
        )
    if nbytes(block.data) < (block.num_values * bits + 7) // 8:
        raise FormatError(
            f"{block.num_values} values of {bits} bits do not fit into {nbytes(block.data)} bytes"
        )
    return block.data


def _variable_array(
    block: VariableWidth, type_: pa.DataType, bitmap: Any, null_count: int, *, check_text: bool
) -> pa.Array:
    offsets: Data = block.offsets
    wanted = offset_bits(type_)
    if block.offset_bits != wanted:
        wide = as_values(offsets, block.offset_bits)
        if wanted == 32 and int(wide[-1]) > 2**31 - 1:
            raise FormatError(f"{int(wide[-1])} bytes of values do not fit a column of type {type_}")
        offsets = wide.astype(np.uint32 if wanted == 32 else np.uint64)
    buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(block.data)]
    array = pa.Array.from_buffers(type_, block.num_values, buffers, null_count)
    if check_text and not block.is_ascii:
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise FormatError(f"text is not valid UTF-8: {error}") from None
    return array
