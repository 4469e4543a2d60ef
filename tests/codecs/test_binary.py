from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.buffers import allocate, as_bytes, as_values
from lancelet.codecs.base import BlockCodec, ChunkCodec, ChunkLimits, Chunks, Spans, ValueCodec
from lancelet.codecs.binary import Variable
from lancelet.codecs.registry import parse, parse_as
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding


def block_of(values, bits=32):
    array = pa.array(values, pa.binary() if bits == 32 else pa.large_binary())
    _, offsets, data = array.buffers()
    return VariableWidth(bits, len(array), offsets, data if data is not None else b"")


def values_of(block):
    offsets = as_values(block.offsets, block.offset_bits).tolist()
    assert offsets[0] == 0
    data = as_bytes(block.data).tobytes()
    return [data[a:b] for a, b in pairwise(offsets)]


def spans_of(data, sizes):
    return Spans(data, np.cumsum(sizes) - sizes, sizes)


@pytest.mark.parametrize("bits", [32, 64])
def test_message(bits):
    message = Variable(bits).to_message()
    assert message.SerializeToString() == bytes.fromhex("12060a040a0208") + bytes([bits])
    for role in (ChunkCodec, ValueCodec, BlockCodec):
        assert parse_as(role, message) == Variable(bits)
    assert Variable(bits).num_buffers == 1


def test_bad_messages():
    empty = CompressiveEncoding()
    empty.variable.SetInParent()
    other_width = CompressiveEncoding()
    other_width.variable.offsets.flat.bits_per_value = 16
    for message in (empty, other_width):
        with pytest.raises(FormatError):
            parse(message)
    encoded = CompressiveEncoding()
    encoded.variable.offsets.inline_bitpacking.uncompressed_bits_per_value = 32
    compressed = Variable(32).to_message()
    compressed.variable.values.scheme = 1
    compressed_offsets = Variable(32).to_message()
    compressed_offsets.variable.offsets.flat.data.scheme = 1
    for message in (encoded, compressed, compressed_offsets):
        with pytest.raises(UnsupportedError):
            parse(message)
    with pytest.raises(ValueError):
        Variable(16)


@pytest.mark.parametrize("bits", [32, 64])
def test_chunks(bits):
    rng = np.random.default_rng(5)
    values = [rng.bytes(length) for length in rng.integers(0, 200, 3000)]
    encoded = Variable(bits).encode_chunks(block_of(values, bits), ChunkLimits())
    assert encoded.codec == Variable(bits)
    assert encoded.counts.sum() == 3000
    assert len(encoded.counts) > 80
    full = encoded.counts[:-1]
    assert ((full & (full - 1)) == 0).all()
    assert full.min() >= 2
    ((data, sizes),) = encoded.buffers
    chunks = Chunks((spans_of(data, sizes),), encoded.counts, 3000)
    decoded = Variable(bits).decode_chunks(chunks, allocate)
    assert decoded.offset_bits == bits
    assert values_of(decoded) == values


def test_chunks_of_a_slice():
    values = [b"abc", b"", b"defg", b"hi", b"j"]
    block = block_of(values)
    offsets = as_values(block.offsets, 32)[1:5]
    part = VariableWidth(32, 3, offsets, block.data)
    encoded = Variable(32).encode_chunks(part, ChunkLimits())
    assert bytes(encoded.buffers[0][0])[:16] == np.array([16, 16, 20, 22], "<u4").tobytes()
    chunks = Chunks((spans_of(*encoded.buffers[0]),), encoded.counts, 3)
    assert values_of(Variable(32).decode_chunks(chunks, allocate)) == values[1:4]


def test_chunks_of_a_limit():
    encoded = Variable(32).encode_chunks(block_of([b"x" * 9000] * 5), ChunkLimits())
    assert encoded.counts.tolist() == [2, 2, 1]
    assert Variable(32).encode_chunks(block_of([b"x"] * 5), ChunkLimits(max_values=2)).counts.tolist() == [
        2,
        2,
        1,
    ]


@pytest.mark.parametrize("bits", [32, 64])
def test_blocks(bits):
    values = [b"a", b"bb", b"", b"ccc", b"e"]
    counts = np.array([2, 0, 3])
    encoded = Variable(bits).encode_blocks(block_of(values, bits), counts)
    spans = spans_of(encoded.data, encoded.sizes)
    assert values_of(encoded.codec.decode_blocks(spans, counts, allocate)) == values
    # The width stands in the block, whatever the message says.
    other = Variable(96 - bits).decode_blocks(spans, counts, allocate)
    assert other.offset_bits == bits
    assert values_of(other) == values
    assert values_of(Variable(bits).decode_blocks(spans_of(b"", counts[:0]), counts[:0], allocate)) == []


def test_block_example():
    encoded = Variable(32).encode_blocks(block_of([b"a", b"bb", b"ccc", b"e"]), np.array([4]))
    expected = "20000000 1c000000 00000000 01000000 03000000 06000000 07000000 61626263636365"
    assert bytes(encoded.data) == bytes.fromhex(expected)


def test_block_of_an_early_writer():
    data = bytes.fromhex("20 04000000 1d000000 00000000 01000000 03000000 06000000 07000000 61626263636365")
    counts = np.array([4])
    for bits in (32, 64):
        decoded = Variable(bits).decode_blocks(spans_of(data, np.array([len(data)])), counts, allocate)
        assert decoded.offset_bits == 32
        assert values_of(decoded) == [b"a", b"bb", b"ccc", b"e"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x20\0\0",
        bytes(100),
        bytes([8, *bytes(99)]),
        bytes([32, 0, 0, 0]),
        bytes([64, 0, 0, 0, 0, 0, 0, 0, 24]),
    ],
)
def test_bad_blocks(data):
    one = np.ones(1, np.int64)
    with pytest.raises(FormatError):
        Variable(32).decode_blocks(spans_of(data, one * len(data)), one, allocate)


def test_blocks_of_two_widths():
    small = bytes(Variable(32).encode_blocks(block_of([b"a"]), np.array([1])).data)
    wide = bytes(Variable(64).encode_blocks(block_of([b"a"], 64), np.array([1])).data)
    spans = spans_of(small + wide, np.array([len(small), len(wide)]))
    with pytest.raises(FormatError):
        Variable(32).decode_blocks(spans, np.array([1, 1]), allocate)


def test_counts_beyond_the_data():
    # Refused before the offsets of so many values are allocated.
    one = np.ones(1, np.int64)
    with pytest.raises(FormatError):
        Variable(32).decode_blocks(spans_of(bytes([32, *bytes(99)]), one * 100), one << 50, allocate)
    with pytest.raises(FormatError):
        Variable(64).decode_chunks(Chunks((spans_of(bytes(100), one * 100),), one << 50, 1 << 50), allocate)


def test_values():
    block = block_of([b"a", b"bc"])
    encoded = Variable(32).encode_values(block)
    assert encoded.codec == Variable(32)
    assert encoded.records is block
    assert Variable(32).decode_values(encoded.records, allocate) is block
    with pytest.raises(FormatError):
        Variable(32).decode_values(FixedWidth(8, 1, b"a"), allocate)


def test_other_blocks_are_refused():
    for block in (FixedWidth(8, 1, b"a"), block_of([b"a"], 64)):
        with pytest.raises(OptionError):
            Variable(32).encode_chunks(block, ChunkLimits())
        with pytest.raises(OptionError):
            Variable(32).encode_values(block)
        with pytest.raises(OptionError):
            Variable(32).encode_blocks(block, np.array([1]))
