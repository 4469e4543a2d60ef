"""Structs stored row by row (compressors.md 5.4).

===========================  ====================  ====================================================================
encoding                     where                 a row
===========================  ====================  ====================================================================
``packed_struct``            chunks, flat records  the values of all fields, each of its own width, without gaps
``variable_packed_struct``   records (from 2.2)    the fields in order: the record of a field of one width, or a length
                                                   of 4 or 8 bytes and the record of a field of any length
===========================  ====================  ====================================================================

Both as hex: ``{int32 27, float64 0.99.., uint8 42}`` is ``1b000000 ca2edf4c73d9ef3f 2a``; ``{int32 27, "ab"}`` with 32-bit lengths
is ``1b000000 02000000 6162``. A full-zip page has no record for a null struct of any length: such rows come back as absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lancelet import kernels
from lancelet.blocks import FixedWidth, Packed, VariableWidth
from lancelet.buffers import EMPTY, allocate, as_values, nbytes
from lancelet.codecs.base import ChunkCodec, EncodedChunks, EncodedValues, ValueCodec
from lancelet.codecs.checks import MAX_EXPANDED_BYTES, expect_fixed
from lancelet.codecs.flat import Flat
from lancelet.codecs.registry import register
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding
from lancelet.pb.encodings21_pb2 import PackedStruct as PackedMessage
from lancelet.pb.encodings21_pb2 import VariablePackedStruct as VariablePackedMessage

if TYPE_CHECKING:
    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.codecs.base import ChunkLimits, Chunks, Parse, Picks

__all__ = ["PackedField", "PackedStruct", "VariablePackedStruct"]

_MAX_ROW_BITS = 1 << 35
_LENGTH_BITS = (32, 64)
#: Most bytes that Arrow's 32-bit offsets can count.
_MAX_OFFSET32 = (1 << 31) - 1


def _check_field_bits(bits: int, name: str) -> None:
    if bits == 0 or bits % 8 or bits > _MAX_ROW_BITS:
        raise FormatError(f"{name} has a field of {bits} bits; whole bytes were expected")


def _children(block: Packed | Any, num_fields: int, name: str) -> Packed:
    if not isinstance(block, Packed) or len(block.children) != num_fields:
        raise OptionError(f"{name} of {num_fields} fields cannot encode this {type(block).__name__} block")
    if any(child.num_values != block.num_values for child in block.children):
        raise OptionError(f"the fields of {block.num_values} packed structs have not so many values")
    return block


@register
@dataclass(frozen=True, slots=True)
class PackedStruct(ChunkCodec, ValueCodec):
    """Structs whose fields all have one width.

    Attributes
    ----------
    bits
        Width of each field, multiples of 8.
    """

    name: ClassVar[str] = "packed_struct"

    bits: tuple[int, ...]

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec: ``packed_struct(bits, values = flat(sum of the bits))``."""
        message = PackedMessage(bits_per_value=self.bits, values=self._rows.to_message())
        return CompressiveEncoding(packed_struct=message)

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> PackedStruct:
        """Read a ``PackedStruct`` message.

        Raises
        ------
        FormatError
            There is no field, one is not of whole bytes, or the rows are not as wide as their fields.
        UnsupportedError
            The rows are not flat.
        """
        bits = tuple(message.bits_per_value)
        if not bits:
            raise FormatError("a packed_struct without fields")
        for width in bits:
            _check_field_bits(width, cls.name)
        if not message.HasField("values"):
            raise FormatError("packed_struct needs an encoding of its rows")
        rows = parse(message.values)
        if not isinstance(rows, Flat):
            raise UnsupportedError(f"the rows of a packed_struct are encoded as {rows.name!r}")
        if rows.bits != sum(bits) or rows.bits > _MAX_ROW_BITS:
            raise FormatError(f"fields of {sum(bits)} bits are packed to rows of {rows.bits} bits")
        return cls(bits)

    @property
    def _rows(self) -> Flat:
        return Flat(sum(self.bits))

    @property
    def _widths(self) -> Int64Array:
        return np.array(self.bits, dtype=np.int64) // 8

    @property
    def num_buffers(self) -> int:
        """Value buffers per chunk: 1."""
        return 1

    def encode_chunks(self, block: Packed | Any, limits: ChunkLimits) -> EncodedChunks:
        """Write the rows, and cut them as flat values of their width.

        Raises
        ------
        OptionError
            `block` has not these fields.
        """
        encoded = self._rows.encode_chunks(self._interleave(block), limits)
        return EncodedChunks(self, encoded.buffers, encoded.counts)

    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> Packed:
        """Join the chunks and take the rows apart.

        Raises
        ------
        FormatError
            The size of a chunk is not that of its rows.
        """
        return self._split(self._rows.decode_chunks(chunks, allocate), allocate)

    def pick_chunks(self, chunks: Chunks, picks: Picks, allocate: Allocate) -> Packed:
        """Copy the chosen rows and take them apart.

        Raises
        ------
        FormatError
            The size of a chunk is not that of its rows.
        """
        return self._split(self._rows.pick_chunks(chunks, picks, allocate), allocate)

    def encode_values(self, block: Packed | Any) -> EncodedValues:
        """Make one record a row.

        Raises
        ------
        OptionError
            `block` has not these fields.
        """
        return EncodedValues(self, self._interleave(block))

    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> Packed:
        """Take the records apart.

        Raises
        ------
        FormatError
            The records are not as wide as the rows.
        """
        return self._split(self._rows.decode_values(records, allocate), allocate)

    def _interleave(self, block: Packed | Any) -> FixedWidth:
        packed = _children(block, len(self.bits), self.name)
        pairs = zip(packed.children, self.bits, strict=True)
        values = [expect_fixed(child, bits).data for child, bits in pairs]
        num_rows, row_bits = packed.num_values, sum(self.bits)
        out = allocate(num_rows * row_bits // 8)
        kernels.packed_interleave(values, self._widths, num_rows, out)
        return FixedWidth(row_bits, num_rows, out)

    def _split(self, rows: FixedWidth, allocate: Allocate) -> Packed:
        num_rows = rows.num_values
        if nbytes(rows.data) != num_rows * rows.bits // 8:
            raise FormatError(f"{num_rows} rows of {rows.bits} bits do not take {nbytes(rows.data)} bytes")
        outs = [allocate(num_rows * bits // 8) for bits in self.bits]
        kernels.packed_split(rows.data, self._widths, num_rows, outs)
        fields = zip(self.bits, outs, strict=True)
        return Packed(num_rows, tuple(FixedWidth(bits, num_rows, out) for bits, out in fields))


@dataclass(frozen=True, slots=True)
class PackedField:
    """How one field of a :class:`VariablePackedStruct` is stored.

    Attributes
    ----------
    codec
        Makes a record of every value of the field.
    bits
        Width of the records, or of their lengths: 32 or 64. As a wish it has no say, the block decides.
    has_length
        Whether records have lengths. As a wish it has no say.
    """

    codec: ValueCodec
    bits: int = 0
    has_length: bool = False

    @property
    def width(self) -> int:
        """Bytes of the records, or the bytes of their lengths as a negative number: what kernels call a width."""
        return -self.bits // 8 if self.has_length else self.bits // 8


@register
@dataclass(frozen=True, slots=True)
class VariablePackedStruct(ValueCodec):
    """Structs of any fields, each with an encoding of its own (2.2).

    Attributes
    ----------
    fields
        The fields in their order.
    """

    name: ClassVar[str] = "variable_packed_struct"

    fields: tuple[PackedField, ...]

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec as written."""
        message = VariablePackedMessage()
        for field in self.fields:
            layout = "bits_per_length" if field.has_length else "bits_per_value"
            message.fields.add(value=field.codec.to_message(), **{layout: field.bits})
        return CompressiveEncoding(variable_packed_struct=message)

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> VariablePackedStruct:
        """Read a ``VariablePackedStruct`` message.

        Raises
        ------
        FormatError
            There is no field, one has no encoding or no layout, is not of whole bytes, or has lengths of other than 32 or 64 bits.
        UnsupportedError
            A field is encoded in a way that single values cannot have.
        """
        if not message.fields:
            raise FormatError("a variable_packed_struct without fields")
        fields = tuple(_parse_field(field, parse) for field in message.fields)
        if sum(field.bits for field in fields) > _MAX_ROW_BITS:
            raise FormatError("a variable_packed_struct has rows of more than 4 GiB")
        return cls(fields)

    def encode_values(self, block: Packed | Any) -> EncodedValues:
        """Encode every field on its own, and make one record a row.

        Raises
        ------
        OptionError
            `block` has not so many fields, or a field has not what its codec wants.
        """
        packed = _children(block, len(self.fields), self.name)
        num_rows = packed.num_values
        encoded = [
            field.codec.encode_values(child)
            for field, child in zip(self.fields, packed.children, strict=True)
        ]
        fields, values, offsets = [], [], []
        for part in encoded:
            records = part.records
            has_length = isinstance(records, VariableWidth)
            bits = records.offset_bits if isinstance(records, VariableWidth) else records.bits
            fields.append(PackedField(part.codec, bits, has_length))
            values.append(records.data)
            offsets.append(_own_offsets(records))
        codec = VariablePackedStruct(tuple(fields))
        borders = np.empty(num_rows + 1, dtype=np.int64)
        kernels.packed_encode_offsets(offsets, codec._widths, num_rows, borders)
        num_bytes = int(borders[-1])
        out = allocate(num_bytes)
        kernels.packed_encode(values, offsets, codec._widths, num_rows, out)
        offset_bits = 32 if num_bytes <= _MAX_OFFSET32 else 64
        rows = VariableWidth(offset_bits, num_rows, borders.astype(f"<u{offset_bits // 8}"), out)
        return EncodedValues(codec, rows)

    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> Packed:
        """Take the records apart and decode every field; records without bytes come back as absent rows.

        Raises
        ------
        FormatError
            A field reaches past its record, a record has bytes after its last field, or a field is not what its codec wants.
        UnsupportedError
            The values of a field are too large for offsets of the width of its lengths, or null rows would take too much memory.
        """
        if not isinstance(records, VariableWidth):
            raise FormatError("a variable_packed_struct stands in a page of values of one width")
        num_rows = records.num_values
        absent = _absent_rows(records)
        if absent is not None and absent.all():
            return Packed(num_rows, (), absent)
        if nbytes(records.data) > _MAX_OFFSET32 and any(field.width == -4 for field in self.fields):
            raise UnsupportedError(
                f"{nbytes(records.data)} bytes of packed structs may be too many for 32-bit offsets; read fewer rows"
            )
        parts = (records.data, _own_offsets(records), records.offset_bits, self._widths, num_rows)
        offsets = [allocate((num_rows + 1) * max(-field.width, 0)) for field in self.fields]
        kernels.packed_decode_offsets(*parts, offsets)
        sizes = [_size(field, num_rows, own) for field, own in zip(self.fields, offsets, strict=True)]
        # Rows without bytes get values all the same: what they expand to is not bounded by the data.
        if sum(sizes) > max(MAX_EXPANDED_BYTES, nbytes(records.data)):
            raise UnsupportedError(
                f"{num_rows} packed structs take {sum(sizes)} bytes, most of them null; read fewer rows"
            )
        outs = [allocate(size) for size in sizes]
        kernels.packed_decode(*parts, outs)
        children = []
        for field, own, out in zip(self.fields, offsets, outs, strict=True):
            values: FixedWidth | VariableWidth = FixedWidth(field.bits, num_rows, out)
            if field.has_length:
                values = VariableWidth(field.bits, num_rows, own, out)
            children.append(field.codec.decode_values(values, allocate))
        return Packed(num_rows, tuple(children), absent)

    @property
    def _widths(self) -> Int64Array:
        return np.array([field.width for field in self.fields], dtype=np.int64)


def _parse_field(message: Any, parse: Parse) -> PackedField:
    name = VariablePackedStruct.name
    if not message.HasField("value"):
        raise FormatError(f"a field of a {name} has no encoding")
    layout = message.WhichOneof("layout")
    if layout is None:
        raise FormatError(f"a field of a {name} has neither a width nor lengths")
    bits = getattr(message, layout)
    has_length = layout == "bits_per_length"
    if not has_length:
        _check_field_bits(bits, name)
    elif bits not in _LENGTH_BITS:
        raise FormatError(f"a field of a {name} has lengths of {bits} bits; 32 or 64 are possible")
    codec = parse(message.value)
    if not isinstance(codec, ValueCodec):
        raise UnsupportedError(f"a field of a {name} is encoded as {codec.name!r}")
    return PackedField(codec, bits, has_length)


def _own_offsets(records: FixedWidth | VariableWidth) -> Data:
    """Return the offsets of records of any length, without what may follow them; no bytes for others."""
    if isinstance(records, FixedWidth):
        return EMPTY
    return memoryview(records.offsets).cast("B")[: (records.num_values + 1) * records.offset_bits // 8]


def _absent_rows(records: VariableWidth) -> np.ndarray | None:
    offsets = as_values(_own_offsets(records), records.offset_bits)
    absent = offsets[1:] == offsets[:-1]
    return absent if absent.any() else None


def _size(field: PackedField, num_rows: int, offsets: Data) -> int:
    return int(as_values(offsets, field.bits)[-1]) if field.has_length else num_rows * field.bits // 8
