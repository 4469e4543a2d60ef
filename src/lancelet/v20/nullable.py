"""``nullable``: values and which of them are valid (encodings_v2_0.md 3, *Nullable*).

==============  ===========================================================
form            buffers
==============  ===========================================================
``no_nulls``    those of the values
``some_nulls``  validity, ``flat(1)``, 1 = valid; then those of the values
``all_nulls``   none
==============  ===========================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet.blocks import FixedSizeList as FixedSizeListBlock
from lancelet.blocks import FixedWidth
from lancelet.blocks.arrow import to_block, valid_mask
from lancelet.blocks.nulls import null_array
from lancelet.buffers import as_bytes
from lancelet.errors import FormatError, OptionError
from lancelet.v20.bitpacked import encode_non_negative
from lancelet.v20.fetch import together
from lancelet.v20.node import Node, PageBuffers, PageContext

if TYPE_CHECKING:
    from lancelet.blocks import Block
    from lancelet.buffers import Allocate, Data
    from lancelet.pages.base import RowRanges
    from lancelet.pb.encodings20_pb2 import ArrayEncoding
    from lancelet.v20.fetch import Fetch

__all__ = ["AllNulls", "Nullable", "encode_all_nulls", "encode_nullable", "wrap_values"]


@dataclass(frozen=True, slots=True, eq=False)
class Nullable(Node):
    """Values with or without validity.

    Attributes
    ----------
    num_values
        Their number.
    values, validity
        Both are nodes; ``None`` for the validity when nothing is null.
    """

    name: ClassVar[str] = "nullable"
    num_values: int
    values: Node
    validity: Node | None

    @classmethod
    def from_message(cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int) -> Node:
        """Read ``Nullable``."""
        form = message.WhichOneof("nullability")
        if form == "all_nulls":
            return AllNulls.from_message(message.all_nulls, page, type_, num_values)
        if form is None:
            raise FormatError("a 'nullable' encoding does not say whether there are nulls")
        if form == "some_nulls":
            _check_can_be_null(type_)
        inner = message.no_nulls if form == "no_nulls" else message.some_nulls
        if inner.values.WhichOneof("array_encoding") == cls.name:
            raise FormatError("a 'nullable' encoding stands in another one")
        validity = None
        if form == "some_nulls":
            validity = page.parse(inner.validity, pa.bool_(), num_values)
        return cls(num_values, page.parse(inner.values, type_, num_values), validity)

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read values and validity in one step."""
        if self.validity is None:
            return (yield from self.values.read(rows, allocate))
        validity, values = yield from together(
            [self.validity.read(rows, allocate), self.values.read(rows, allocate)]
        )
        if validity.null_count or values.null_count:
            raise FormatError("values or validity of a 'nullable' encoding have nulls of their own")
        return _with_validity(values, validity.buffers()[1])


def _check_can_be_null(type_: pa.DataType) -> None:
    """Dictionaries keep their nulls among their items, and structs have none."""
    if pa.types.is_struct(type_) or pa.types.is_dictionary(type_):
        raise FormatError(f"nulls of type {type_} stand in a 'nullable' encoding")


def _with_validity(values: pa.Array, bitmap: pa.Buffer) -> pa.Array:
    type_ = values.type
    children = [values.values] if pa.types.is_fixed_size_list(type_) else None
    own = [] if children else values.buffers()[1:]
    return pa.Array.from_buffers(type_, len(values), [bitmap, *own], children=children)


@dataclass(frozen=True, slots=True, eq=False)
class AllNulls(Node):
    """``nullable { all_nulls }``: nothing but nulls."""

    name: ClassVar[str] = "nullable"
    type_: pa.DataType
    num_values: int

    @classmethod
    def from_message(cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int) -> AllNulls:
        """Read ``AllNull``, which is empty."""
        _check_can_be_null(type_)
        return cls(type_, num_values)

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Make the nulls; nothing is read."""
        yield from ()
        return null_array(self.type_, rows.num_rows, allocate)


def encode_all_nulls() -> ArrayEncoding:
    """Return ``nullable { all_nulls }``."""
    from lancelet.pb import encodings20_pb2 as pb

    return pb.ArrayEncoding(nullable=pb.Nullable(all_nulls=pb.Nullable.AllNull()))


def wrap_values(values: ArrayEncoding, validity: ArrayEncoding | None = None) -> ArrayEncoding:
    """Return ``nullable`` over encoded values, with validity or without nulls."""
    from lancelet.pb import encodings20_pb2 as pb

    if validity is None:
        return pb.ArrayEncoding(nullable=pb.Nullable(no_nulls=pb.Nullable.NoNull(values=values)))
    some = pb.Nullable.SomeNull(validity=validity, values=values)
    return pb.ArrayEncoding(nullable=pb.Nullable(some_nulls=some))


def encode_nullable(array: pa.Array, buffers: PageBuffers, *, pack_integers: bool = False) -> ArrayEncoding:
    """Encode an array of a fixed-width type or of fixed-size lists of one.

    What lies below nulls is wiped.

    Parameters
    ----------
    array
        The values; no extension type.
    buffers
        Receives the page's buffers.
    pack_integers
        Bit-pack integers that are not negative, where that is smaller.
    """
    valid = valid_mask(array)
    if pa.types.is_null(array.type) or len(array) == 0 or (valid is not None and not valid.any()):
        return encode_all_nulls()
    block = to_block(array, valid)
    validity = None if valid is None else np.packbits(valid, bitorder="little")
    signed = pa.types.is_signed_integer(array.type)
    packable = pack_integers and (signed or pa.types.is_unsigned_integer(array.type))
    return _encode_block(block, validity, buffers, packable)


def _encode_block(
    block: Block, validity: Data | None, buffers: PageBuffers, packable: bool = False
) -> ArrayEncoding:
    from lancelet.pb import encodings20_pb2 as pb

    if validity is not None and not as_bytes(validity).any():
        return encode_all_nulls()
    bitmap = None if validity is None else buffers.add_flat(validity, 1)
    if isinstance(block, FixedSizeListBlock):
        items = _encode_block(block.items, block.validity, buffers)
        values = pb.ArrayEncoding(fixed_size_list=pb.FixedSizeList(dimension=block.dimension, items=items))
        return wrap_values(values, bitmap)
    if not isinstance(block, FixedWidth):
        raise OptionError("items of fixed-size lists must have one width")
    packed = encode_non_negative(block, buffers) if packable else None
    return wrap_values(packed or buffers.add_flat(block.data, block.bits), bitmap)
