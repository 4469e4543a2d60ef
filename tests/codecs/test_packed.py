"""The codecs of packed structs: messages, round trips, bad input."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lancelet.blocks import FixedSizeList, FixedWidth, Packed, VariableWidth
from lancelet.blocks.arrow import from_block, to_block
from lancelet.buffers import allocate
from lancelet.codecs.base import ChunkLimits, Chunks, Spans
from lancelet.codecs.binary import Variable
from lancelet.codecs.choose import chunk_codec, value_codec
from lancelet.codecs.flat import Flat
from lancelet.codecs.packed import PackedField, PackedStruct, VariablePackedStruct
from lancelet.codecs.params import CodecParams
from lancelet.codecs.registry import parse
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding
from lancelet.versions import Version

PARAMS = CodecParams(Version.V2_2)


def structs(num_rows, **types):
    """Return structs whose children count."""
    children = {
        "i": pa.array(range(num_rows), pa.int32()),
        "d": pa.array(np.arange(num_rows) / 7),
        "b": pa.array([i % 251 for i in range(num_rows)], pa.uint8()),
        "s": pa.array([f"value {i}" * (i % 4) for i in range(num_rows)]),
        "l": pa.array([b"x" * (i % 3) for i in range(num_rows)], pa.large_binary()),
        "v": pa.array([[i, None] for i in range(num_rows)], pa.list_(pa.int16(), 2)),
    }
    return pa.StructArray.from_arrays([children[name] for name in types["names"]], names=list(types["names"]))


def block_of(num_rows, names):
    return to_block(structs(num_rows, names=names), None)


def shown(block, names):
    array = from_block(block, structs(1, names=names).type, block.num_values, None, 0, allocate)
    array.validate(full=True)
    return array


def chunks_of(encoded):
    (data, sizes), counts = encoded.buffers[0], encoded.counts
    spans = Spans(data, np.cumsum(sizes) - sizes, sizes)
    return Chunks((spans,), counts, int(counts.sum()))


def again(codec):
    """Return the codec that a reader makes of the message."""
    return parse(CompressiveEncoding.FromString(codec.to_message().SerializeToString()))


def records(codec, *rows, offset_bits=32):
    sizes = [len(row) for row in rows]
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(f"<u{offset_bits // 8}")
    return codec.decode_values(VariableWidth(offset_bits, len(rows), offsets, b"".join(rows)), allocate)


# ---- fields of one width


def test_example_of_the_format():
    array = pa.array(
        [{"i": 27, "d": 0.9952942372705931, "b": 42}], pa.struct({"i": "int32", "d": "double", "b": "uint8"})
    )
    block = to_block(array, None)
    encoded = chunk_codec(block, PARAMS).encode_chunks(block, ChunkLimits())
    assert bytes(encoded.buffers[0][0]).hex() == "1b000000ca2edf4c73d9ef3f2a"
    assert encoded.codec == PackedStruct((32, 64, 8))
    assert encoded.codec.to_message() == CompressiveEncoding(
        packed_struct={"bits_per_value": [32, 64, 8], "values": {"flat": {"bits_per_value": 104}}}
    )


@pytest.mark.parametrize("num_rows", [1, 512, 513, 3000])
def test_chunks(num_rows):
    block = block_of(num_rows, "idb")
    encoded = chunk_codec(block, PARAMS).encode_chunks(block, ChunkLimits())
    assert encoded.counts.max() <= 512  # as flat values of 104 bits
    assert again(encoded.codec) == encoded.codec
    found = again(encoded.codec).decode_chunks(chunks_of(encoded), allocate)
    assert shown(found, "idb").equals(structs(num_rows, names="idb"))


def test_records_of_one_width():
    encoded = PackedStruct((32, 64, 8)).encode_values(block_of(9, "idb"))
    assert encoded.records.bits == 104
    found = again(encoded.codec).decode_values(encoded.records, allocate)
    assert shown(found, "idb").equals(structs(9, names="idb"))


@pytest.mark.parametrize(
    "block",
    [
        FixedWidth(32, 1, bytes(4)),
        Packed(1, (FixedWidth(32, 1, bytes(4)),)),
        Packed(1, (FixedWidth(32, 1, bytes(4)), FixedWidth(8, 2, bytes(2)))),
        Packed(1, (FixedWidth(32, 1, bytes(4)), FixedWidth(16, 1, bytes(2)))),
        Packed(1, (FixedWidth(32, 1, bytes(4)), FixedWidth(8, 1, bytes(2)))),
    ],
)
def test_blocks_that_do_not_suit(block):
    with pytest.raises(OptionError):
        PackedStruct((32, 8)).encode_values(block)


def message(**member):
    return CompressiveEncoding(packed_struct=member)


FLAT = {"flat": {"bits_per_value": 40}}
PACKED_BITS = {"inline_bitpacking": {"uncompressed_bits_per_value": 32}}


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (message(values=FLAT), FormatError, "without fields"),
        (message(bits_per_value=[32, 8]), FormatError, "needs an encoding"),
        (message(bits_per_value=[40, 0], values=FLAT), FormatError, "0 bits"),
        (message(bits_per_value=[39, 1], values=FLAT), FormatError, "whole bytes"),
        (message(bits_per_value=[2**64 - 8], values=FLAT), FormatError, "whole bytes"),
        (message(bits_per_value=[32, 16], values=FLAT), FormatError, "rows of 40"),
        (message(bits_per_value=[32], values=FLAT), FormatError, "rows of 40"),
        (
            message(bits_per_value=[40], values={"inline_bitpacking": {"uncompressed_bits_per_value": 32}}),
            UnsupportedError,
            "inline",
        ),
    ],
)
def test_bad_messages(bad, error, words):
    with pytest.raises(error, match=words):
        parse(bad)


def test_rows_of_another_size():
    codec = PackedStruct((32, 8))
    for sizes in ([4], [6], [0]):
        spans = Spans(bytes(6), np.zeros(1, np.int64), np.array(sizes, np.int64))
        with pytest.raises(FormatError):
            codec.decode_chunks(Chunks((spans,), np.array([1]), 1), allocate)
    with pytest.raises(FormatError):
        codec.decode_values(FixedWidth(48, 1, bytes(6)), allocate)
    with pytest.raises(FormatError):
        codec.decode_values(FixedWidth(40, 2, bytes(6)), allocate)
    with pytest.raises(FormatError):
        codec.decode_values(VariableWidth(32, 0, bytes(4), b""), allocate)


# ---- fields of any length


@pytest.mark.parametrize("names", ["s", "is", "lsb", "vi", "isvldb", "di"])
@pytest.mark.parametrize("num_rows", [1, 2, 3000])
def test_values(names, num_rows):
    block = block_of(num_rows, names)
    encoded = value_codec(block, PARAMS).encode_values(block)
    assert again(encoded.codec).to_message() == encoded.codec.to_message()
    assert encoded.records.num_values == num_rows
    found = again(encoded.codec).decode_values(encoded.records, allocate)
    assert shown(found, names).equals(structs(num_rows, names=names))


def test_record_bytes():
    array = pa.array([{"i": 27, "s": "ab"}, {"i": 1, "s": ""}], pa.struct({"i": "int32", "s": "utf8"}))
    block = to_block(array, None)
    encoded = value_codec(block, PARAMS).encode_values(block)
    assert bytes(encoded.records.data).hex() == "1b0000000200000061620100000000000000"
    assert encoded.records.offsets.tolist() == [0, 10, 18]
    assert encoded.codec.fields == (PackedField(Flat(32), 32), PackedField(Variable(32), 32, True))


def test_every_field_has_its_own_encoding():
    text = pa.array([f"a sentence with the number {i} in it" for i in range(2000)])
    array = pa.StructArray.from_arrays([text, text, text], names=["fsst", "zstd", "none"])
    children = tuple(CodecParams(Version.V2_2, True, compression=name) for name in (None, "zstd", "none"))
    block = to_block(array, None)
    encoded = value_codec(block, CodecParams(Version.V2_2, children=children)).encode_values(block)
    assert [field.codec.name for field in encoded.codec.fields] == ["fsst", "general", "variable"]
    found = again(encoded.codec).decode_values(encoded.records, allocate)
    assert from_block(found, array.type, 2000, None, 0, allocate).equals(array)


CODEC = VariablePackedStruct((PackedField(Flat(32), 32), PackedField(Variable(32), 32, True)))
ROW = bytes.fromhex("1b000000020000006162")


def test_absent_rows_must_be_null():
    block = records(CODEC, ROW, b"", ROW)
    assert block.absent.tolist() == [False, True, False]
    type_ = pa.struct({"i": "int32", "s": "utf8"})
    found = from_block(block, type_, 3, bytes([0b101]), 1, allocate)
    assert found.to_pylist() == [{"i": 27, "s": "ab"}, None, {"i": 27, "s": "ab"}]
    for validity, null_count in ((None, 0), (bytes([0b011]), 1)):
        with pytest.raises(FormatError, match="has no bytes"):
            from_block(block, type_, 3, validity, null_count, allocate)
    nothing = records(CODEC, b"", b"")
    assert from_block(nothing, type_, 2, bytes(1), 2, allocate).null_count == 2
    with pytest.raises(FormatError, match="has no bytes"):
        from_block(nothing, type_, 2, bytes([0b10]), 1, allocate)


@pytest.mark.parametrize("row", [ROW[:-1], ROW[:3], ROW[:7], ROW + b"x", ROW[:4] + b"\xff" * 6])
def test_corrupt_rows(row):
    with pytest.raises(FormatError):
        records(CODEC, ROW, row)


def test_records_of_the_wrong_kind():
    with pytest.raises(FormatError, match="one width"):
        CODEC.decode_values(FixedWidth(80, 1, ROW), allocate)
    for field in (PackedField(Flat(16), 32), PackedField(Variable(32), 32), PackedField(Flat(32), 32, True)):
        row = bytes(4)
        with pytest.raises(FormatError):
            records(VariablePackedStruct((field,)), row)


def test_nulls_that_expand_too_far():
    wide = VariablePackedStruct((PackedField(Flat(8 << 20), 8 << 20),))
    row = bytes(1 << 20)
    assert records(wide, row, b"").num_values == 2
    with pytest.raises(UnsupportedError, match="read fewer rows"):
        records(wide, row, *[b""] * 5000)


def variable(*fields):
    return CompressiveEncoding(variable_packed_struct={"fields": fields})


FLAT32 = {"flat": {"bits_per_value": 32}}
TEXT = {"variable": {"offsets": FLAT32}}


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (CompressiveEncoding(variable_packed_struct={}), FormatError, "without fields"),
        (variable({"bits_per_value": 32}), FormatError, "no encoding"),
        (variable({"value": FLAT32}), FormatError, "neither"),
        (variable({"value": FLAT32, "bits_per_value": 0}), FormatError, "0 bits"),
        (variable({"value": FLAT32, "bits_per_value": 31}), FormatError, "whole bytes"),
        (variable({"value": FLAT32, "bits_per_value": 2**63}), FormatError, "whole bytes"),
        (variable({"value": TEXT, "bits_per_length": 16}), FormatError, "16 bits"),
        (variable({"value": TEXT, "bits_per_length": 0}), FormatError, "0 bits"),
        (variable(*[{"value": FLAT32, "bits_per_value": 2**34}] * 3), FormatError, "4 GiB"),
        (
            variable(
                {"value": {"inline_bitpacking": {"uncompressed_bits_per_value": 32}}, "bits_per_value": 32}
            ),
            UnsupportedError,
            "inline_bitpacking",
        ),
    ],
)
def test_bad_variable_messages(bad, error, words):
    with pytest.raises(error, match=words):
        parse(bad)


# ---- blocks


def test_blocks_of_slices_and_nulls():
    array = structs(50, names="isv").slice(3, 20)
    mask = np.arange(20) % 3 == 0
    nullable = pa.StructArray.from_arrays(
        [pa.array(array.field(i).to_pylist(), array.type.field(i).type, mask=mask) for i in range(3)],
        names=list("isv"),
        mask=pa.array(mask),
    )
    block = to_block(nullable, ~mask)
    found = from_block(
        block, array.type, 20, np.packbits(~mask, bitorder="little"), int(mask.sum()), allocate
    )
    assert found.to_pylist() == nullable.to_pylist()
    assert from_block(to_block(array, None), array.type, 20, None, 0, allocate).equals(array)
    with pytest.raises(OptionError, match="'i' has nulls"):
        to_block(nullable, None)


@pytest.mark.parametrize(
    "block",
    [
        FixedWidth(32, 1, bytes(4)),
        Packed(1, (FixedWidth(32, 1, bytes(4)),)),
        Packed(1, (FixedWidth(32, 1, bytes(4)), FixedWidth(8, 1, bytes(1)))),
        Packed(1, (FixedWidth(32, 1, bytes(4)), FixedSizeList(1, 1, FixedWidth(8, 1, bytes(1))))),
        Packed(2, (FixedWidth(32, 2, bytes(8)), VariableWidth(32, 2, bytes(12), b""))),
    ],
)
def test_blocks_that_do_not_fit_the_type(block):
    with pytest.raises(FormatError):
        from_block(block, pa.struct({"i": "int32", "s": "utf8"}), 1, None, 0, allocate)
