"""Arrow arrays without structure <-> blocks (compressors.md 1.3).

``to_block`` views the buffers of an array and forgets its nulls; what lay below them is wiped first, so that files do not carry
bytes that no reader shows, and equal tables give equal bytes. ``from_block`` puts values and validity together again and checks
that the block fits the type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.blocks.block import Block, FixedWidth, VariableWidth
from lancelet.buffers import EMPTY, as_bytes, as_values, nbytes
from lancelet.errors import FormatError, OptionError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.buffers import Data

__all__ = ["aligned_bits", "fixed_bits", "from_block", "is_variable_width", "offset_bits", "to_block", "validity_of"]

_BINARY = {pa.binary(): 32, pa.string(): 32, pa.large_binary(): 64, pa.large_string(): 64}


def is_variable_width(type_: pa.DataType) -> bool:
    """Whether values of `type_` have lengths of their own: (large) utf8 and binary."""
    return type_ in _BINARY


def offset_bits(type_: pa.DataType) -> int:
    """Return the width of the offsets of a (large) utf8 or binary type."""
    return _BINARY[type_]


def fixed_bits(type_: pa.DataType) -> int:
    """Return the width of a fixed-width `type_` in bits: 1 for bool, 256 for decimal256.

    Raises
    ------
    OptionError
        `type_` has no fixed width.
    """
    try:
        return int(type_.bit_width)
    except ValueError:
        raise OptionError(f"values of type {type_} have no fixed width") from None


def validity_of(array: pa.Array) -> tuple[Data, int] | None:
    """Return the validity bitmap of `array` with its bit offset, or ``None`` when nothing is null."""
    if array.null_count == 0:
        return None
    bitmap = array.buffers()[0]
    if bitmap is None:  # the null type has no bitmap
        return bytes((len(array) + 7) // 8), 0
    return bitmap, array.offset


def _valid_mask(array: pa.Array) -> npt.NDArray[np.bool_]:
    bitmap, offset = array.buffers()[0], array.offset
    first = offset // 8
    bits = np.unpackbits(
        as_bytes(bitmap)[first : (offset + len(array) + 7) // 8], bitorder="little", count=offset % 8 + len(array)
    )
    return bits[offset % 8 :].view(np.bool_)


def _wiped(array: pa.Array) -> FixedWidth | VariableWidth:
    """Make the block of an `array` that has nulls: null slots become zeros, or empty values."""
    valid = _valid_mask(array)
    block = _view(array)
    if isinstance(block, VariableWidth):
        offsets = as_values(block.offsets, block.offset_bits)
        lengths = np.diff(offsets)
        if not lengths[~valid].any():
            return block
        import pyarrow.compute as pc

        empty = pa.scalar(b"", pa.large_binary()).cast(array.type)
        return _view(pc.if_else(pa.array(valid), array, empty))
    if block.bits == 1:
        values = np.unpackbits(as_bytes(block.data), bitorder="little", count=block.num_values)
        return FixedWidth(1, block.num_values, np.packbits(values & valid, bitorder="little"))
    width = block.bits // 8
    if width in (1, 2, 4, 8):
        words = as_values(block.data, block.bits)
        return FixedWidth(block.bits, block.num_values, np.where(valid, words, words.dtype.type(0)))
    rows = as_bytes(block.data).reshape(block.num_values, width)
    return FixedWidth(block.bits, block.num_values, np.where(valid[:, None], rows, np.uint8(0)).reshape(-1))


def to_block(array: pa.Array) -> FixedWidth | VariableWidth:
    """View the values of a flat `array`; with nulls, their slots are wiped (which copies).

    Raises
    ------
    OptionError
        The type has no flat form.
    """
    if array.null_count and array.buffers()[0] is not None:
        return _wiped(array)
    return _view(array)


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
        return FixedWidth(1, num_values, aligned_bits(buffers[1], start, num_values))
    width = bits // 8
    return FixedWidth(bits, num_values, buffers[1].slice(start * width, num_values * width))


def aligned_bits(bitmap: Any, start: int, count: int) -> Data:
    """Return bits `start` to ``start + count`` of an Arrow `bitmap` from bit 0 on, unused bits zero; a view where that is possible."""
    if start % 8 == 0:
        whole = bitmap.slice(start // 8, (count + 7) // 8)
        if count % 8 == 0:
            return whole  # type: ignore[no-any-return]
        trimmed = as_bytes(whole).copy()
        trimmed[-1] &= (1 << count % 8) - 1
        return trimmed
    bits = np.unpackbits(as_bytes(bitmap)[start // 8 :], bitorder="little", count=start % 8 + count)
    return np.packbits(bits[start % 8 :], bitorder="little")


def from_block(block: Block | None, type_: pa.DataType, num_values: int, validity: Data | None, null_count: int) -> pa.Array:
    """Make the Arrow array of `block`.

    Parameters
    ----------
    block
        The values; ``None`` when every slot is null.
    type_
        A flat Arrow type (no extension type).
    num_values
        Length of the array.
    validity
        Bitmap of ``ceil(num_values / 8)`` bytes, or ``None`` when nothing is null.
    null_count
        Zero bits of `validity`.

    Raises
    ------
    FormatError
        The block does not fit the type or the length, or text is not UTF-8.
    """
    if block is None or type_ == pa.null():
        if block is not None:
            raise FormatError("a column of type null has values")
        return pa.nulls(num_values, type_)
    if block.num_values != num_values:
        raise FormatError(f"expected {num_values} values and found {block.num_values}")
    bitmap = None if validity is None else pa.py_buffer(validity)
    if is_variable_width(type_):
        if not isinstance(block, VariableWidth):
            raise FormatError(f"values of type {type_} need lengths, and the page has values of one width")
        array = _variable_array(block, type_, bitmap, null_count)
        if type_ in (pa.string(), pa.large_string()):
            _check_text(array)
        return array
    if not isinstance(block, FixedWidth):
        raise FormatError(f"values of type {type_} have one width, and the page has values of another kind")
    bits = fixed_bits(type_)
    data = block.data
    if bits == 1 and block.bits == 8:
        data = np.packbits(as_bytes(data) != 0, bitorder="little")
    elif block.bits != bits:
        raise FormatError(f"values of type {type_} have {bits} bits, and the page has values of {block.bits} bits")
    if nbytes(data) < (num_values * bits + 7) // 8:
        raise FormatError(f"{num_values} values of {bits} bits do not fit into {nbytes(data)} bytes")
    return pa.Array.from_buffers(type_, num_values, [bitmap, pa.py_buffer(data)], null_count)


def _variable_array(block: VariableWidth, type_: pa.DataType, bitmap: Any, null_count: int) -> pa.Array:
    offsets: Data = block.offsets
    wanted = offset_bits(type_)
    if block.offset_bits != wanted:
        wide = as_values(offsets, block.offset_bits)
        if wanted == 32 and int(wide[-1]) > 2**31 - 1:
            raise FormatError(f"{int(wide[-1])} bytes of values do not fit a column of type {type_}")
        offsets = wide.astype(np.uint32 if wanted == 32 else np.uint64)
    return pa.Array.from_buffers(
        type_, block.num_values, [bitmap, pa.py_buffer(offsets), pa.py_buffer(block.data)], null_count
    )


def _check_text(array: pa.Array) -> None:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        raise FormatError(f"text is not valid UTF-8: {error}") from None
