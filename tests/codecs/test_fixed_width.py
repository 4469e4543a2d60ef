"""Codecs of fixed-width values: through the message and back in every role, chunk rules, corrupt input."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lancelet.blocks import FixedSizeList, FixedWidth, VariableWidth
from lancelet.blocks.stats import Stats
from lancelet.buffers import allocate, as_bytes, nbytes
from lancelet.codecs.base import ChunkLimits, Chunks, Spans
from lancelet.codecs.bitpack import InlineBitpacking, OutOfLineBitpacking
from lancelet.codecs.bss import ByteStreamSplit
from lancelet.codecs.constant import Constant
from lancelet.codecs.flat import Flat
from lancelet.codecs.fsl import FixedSizeListCodec
from lancelet.codecs.registry import parse
from lancelet.codecs.rle import Rle
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding

LIMITS = ChunkLimits()


def int64s(*values):
    return np.array(values, dtype=np.int64)


def through_message(codec):
    return parse(CompressiveEncoding.FromString(codec.to_message().SerializeToString()))


def fixed(bits, count, seed=0, width=None):
    rng = np.random.default_rng(seed)
    if bits == 1:
        return FixedWidth(
            1, count, np.packbits(rng.integers(0, 2, size=count, dtype=np.uint8), bitorder="little")
        )
    if width is not None:
        values = rng.integers(0, 1 << width, size=count, dtype=np.uint64)
        return FixedWidth(bits, count, values.astype(f"<u{bits // 8}"))
    return FixedWidth(bits, count, rng.integers(0, 256, size=count * bits // 8, dtype=np.uint8))


def same(left, right):
    if isinstance(left, FixedSizeList):
        assert (left.dimension, left.num_values) == (right.dimension, right.num_values)
        assert (left.validity is None) == (right.validity is None)
        if left.validity is not None:
            assert as_bytes(left.validity).tobytes() == as_bytes(right.validity).tobytes()
        return same(left.items, right.items)
    assert (left.bits, left.num_values) == (right.bits, right.num_values)
    assert as_bytes(left.data).tobytes() == as_bytes(right.data).tobytes()
    return None


def padded(data, sizes, pad):
    """Lay parts out with `pad` bytes before each, as chunks do."""
    source, pieces, offsets = as_bytes(data), [], []
    position = start = 0
    for size in sizes.tolist():
        pieces += [np.full(pad, 0xFE, np.uint8), source[start : start + size]]
        offsets.append(position + pad)
        position, start = position + pad + size, start + size
    assert start == len(source)
    whole = np.concatenate(pieces) if pieces else np.empty(0, np.uint8)
    return Spans(whole, np.array(offsets, dtype=np.int64), sizes)


def chunk_round_trip(codec, block, limits=LIMITS, pad=8):
    encoded = codec.encode_chunks(block, limits)
    assert encoded.counts.sum() == block.num_values
    written = through_message(encoded.codec)
    assert written == encoded.codec
    assert written.num_buffers == len(encoded.buffers)
    spans = tuple(padded(data, sizes, pad) for data, sizes in encoded.buffers)
    back = written.decode_chunks(Chunks(spans, encoded.counts, block.num_values), allocate)
    same(block, back)
    return encoded


def block_round_trip(codec, block, counts, pad=3):
    encoded = codec.encode_blocks(block, counts)
    assert nbytes(encoded.data) == encoded.sizes.sum()
    spans = padded(encoded.data, encoded.sizes, pad)
    same(block, through_message(encoded.codec).decode_blocks(spans, counts, allocate))
    return encoded


def value_round_trip(codec, block):
    encoded = codec.encode_values(block)
    written = through_message(encoded.codec)
    assert written == encoded.codec
    same(block, written.decode_values(encoded.records, allocate))
    return encoded


# Flat ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "values"),
    [(1, 4096), (8, 4096), (16, 2048), (24, 2048), (32, 1024), (64, 512), (104, 512), (128, 256), (256, 128)],
)
def test_flat_chunks(bits, values):
    for count in (1, values - 1, values, 3 * values + 7):
        encoded = chunk_round_trip(Flat(bits), fixed(bits, count))
        assert encoded.counts.tolist() == [values] * (count // values) + [count % values] * (
            count % values > 0
        )
    assert len(chunk_round_trip(Flat(bits), fixed(bits, 0)).counts) == 0


def test_flat_chunk_sizes_of_bools():
    (_, sizes), counts = (
        (encoded := Flat(1).encode_chunks(fixed(1, 10000), LIMITS)).buffers[0],
        encoded.counts,
    )
    assert counts.tolist() == [4096, 4096, 1808]
    assert sizes.tolist() == [512, 512, 226]


def test_limits_of_chunks():
    assert Flat(8).encode_chunks(fixed(8, 40000), ChunkLimits(max_values=32768)).counts[0] == 4096
    assert Flat(1).encode_chunks(fixed(1, 40000), ChunkLimits(max_values=32768)).counts[0] == 32768
    assert Flat(8).encode_chunks(fixed(8, 40), ChunkLimits(max_values=4)).counts[0] == 4
    assert Flat(80000).encode_chunks(fixed(80000, 5), LIMITS).counts.tolist() == [2, 2, 1]


def test_one_flat_chunk_and_neighbours_are_views():
    data = pa.py_buffer(np.arange(64, dtype="<u4"))
    for offsets, sizes, counts in (
        (int64s(8), int64s(80), int64s(20)),
        (int64s(8, 48), int64s(40, 40), int64s(10, 10)),
    ):
        block = Flat(32).decode_chunks(Chunks((Spans(data, offsets, sizes),), counts, 20), allocate)
        assert block.data.address == data.address + 8
        assert as_bytes(block.data).view("<u4").tolist() == list(range(2, 22))
    crossed = Chunks((Spans(data, int64s(48, 8), int64s(40, 40)),), int64s(10, 10), 20)
    assert as_bytes(Flat(32).decode_chunks(crossed, allocate).data).view("<u4").tolist() == [
        *range(12, 22),
        *range(2, 12),
    ]
    odd = Flat(32).decode_chunks(Chunks((Spans(data, int64s(5), int64s(80)),), int64s(20), 20), allocate)
    assert odd.data.address % 4 == 0


@pytest.mark.parametrize("bits", [1, 8, 24, 64])
def test_flat_blocks(bits):
    block_round_trip(Flat(bits), fixed(bits, 1000), int64s(3, 0, 990, 7))
    block_round_trip(Flat(bits), fixed(bits, 1000), int64s(1000))


def test_flat_values():
    block = fixed(64, 9)
    assert value_round_trip(Flat(64), block).records is block
    bools = FixedWidth(1, 10, bytes([0b01010101, 0b11]))
    encoded = Flat(1).encode_values(bools)
    assert encoded.codec == Flat(8)
    assert as_bytes(encoded.records.data).tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1, 1]
    with pytest.raises(FormatError):
        Flat(1).decode_values(bools, allocate)
    with pytest.raises(FormatError):
        Flat(64).decode_values(fixed(32, 9), allocate)
    with pytest.raises(FormatError):
        Flat(64).decode_values(VariableWidth(32, 0, bytes(4), b""), allocate)


@pytest.mark.parametrize("bits", [1, 16, 24])
def test_bad_flat_chunks(bits):
    encoded = Flat(bits).encode_chunks(fixed(bits, 5000), LIMITS)
    data, sizes = encoded.buffers[0]
    offsets = np.cumsum(sizes) - sizes
    bad = [(offsets + 1, sizes), (offsets - 1, sizes), (offsets, sizes - 1), (offsets, sizes * 2)]
    for wrong_offsets, wrong_sizes in bad:
        chunks = Chunks((Spans(data, wrong_offsets, wrong_sizes),), encoded.counts, 5000)
        with pytest.raises(FormatError):
            Flat(bits).decode_chunks(chunks, allocate)
    one = Spans(data, int64s(0), int64s(nbytes(data)))
    for count in (4992, 5008, 2**61, -1):
        with pytest.raises(FormatError):
            Flat(bits).decode_blocks(one, int64s(count), allocate)
    with pytest.raises(FormatError):
        Flat(bits).decode_chunks(Chunks((one, one), int64s(5000), 5000), allocate)


def test_flat_of_odd_widths_is_read_but_not_decoded():
    codec = through_message(Flat(33))
    with pytest.raises(UnsupportedError):
        codec.decode_blocks(Spans(bytes(33), int64s(0), int64s(33)), int64s(8), allocate)


# Bit-packing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("count", [1, 300, 1024, 3000])
def test_inline_bitpacking_chunks(bits, count):
    encoded = chunk_round_trip(InlineBitpacking(bits), fixed(bits, count, width=5))
    assert encoded.counts.tolist() == [1024] * (count // 1024) + [count % 1024] * (count % 1024 > 0)


def test_inline_bitpacking_sizes():
    values = np.arange(1324, dtype="<u4") & 15
    values[:1024] = 0
    (_, sizes) = InlineBitpacking(32).encode_chunks(FixedWidth(32, 1324, values), LIMITS).buffers[0]
    assert sizes.tolist() == [4, 4 + 512]


def test_inline_bitpacking_blocks():
    encoded = block_round_trip(InlineBitpacking(16), fixed(16, 1500, width=3), int64s(700, 0, 800))
    assert encoded.sizes.tolist() == [2 + 384, 2, 2 + 384]
    with pytest.raises(OptionError):
        InlineBitpacking(16).encode_blocks(fixed(16, 1500), int64s(1500))


def test_bad_inline_bitpacking():
    codec, block = InlineBitpacking(32), fixed(32, 2000, width=7)
    encoded = codec.encode_chunks(block, LIMITS)
    data, sizes = encoded.buffers[0]
    offsets = np.cumsum(sizes) - sizes
    for wrong_offsets, wrong_sizes, counts in (
        (offsets + 1, sizes, encoded.counts),
        (offsets, sizes - 4, encoded.counts),
        (offsets, sizes, int64s(1025, 975)),
        (offsets, sizes, int64s(2**60, 2**60)),
    ):
        with pytest.raises(FormatError):
            codec.decode_chunks(
                Chunks((Spans(data, wrong_offsets, wrong_sizes),), counts, int(counts.sum())), allocate
            )


@pytest.mark.parametrize(("bits", "width"), [(16, 1), (32, 9), (64, 62), (8, 0), (16, 16)])
def test_out_of_line_bitpacking(bits, width):
    counts = int64s(1025, 2048, 1, 0, 880)
    block = fixed(bits, int(counts.sum()), width=width) if width < bits else fixed(bits, int(counts.sum()))
    block_round_trip(OutOfLineBitpacking(bits, width), block, counts)
    if width:
        with pytest.raises(OptionError):
            OutOfLineBitpacking(bits, width - 1).encode_blocks(
                FixedWidth(bits, 1, ((1 << width) - 1).to_bytes(bits // 8, "little")), int64s(1)
            )


def test_tails_of_out_of_line_bitpacking():
    levels = FixedWidth(16, 1904, np.ones(1904, "<u2"))
    assert OutOfLineBitpacking(16, 1).encode_blocks(levels, int64s(1904)).sizes.tolist() == [128 + 128]
    levels = FixedWidth(16, 1025, np.ones(1025, "<u2"))
    assert OutOfLineBitpacking(16, 1).encode_blocks(levels, int64s(1025)).sizes.tolist() == [128 + 2]


def test_bad_out_of_line_bitpacking():
    spans = Spans(bytes(128), int64s(0), int64s(128))
    for codec, count in (
        (OutOfLineBitpacking(16, 1), 1025),
        (OutOfLineBitpacking(16, 1), 2**60),
        (OutOfLineBitpacking(16, 0), 2**60),
        (OutOfLineBitpacking(16, 0), 1024),
        (OutOfLineBitpacking(16, 1), -1),
    ):
        with pytest.raises(FormatError):
            codec.decode_blocks(spans, int64s(count), allocate)


# Runs and byte-stream-split -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_rle(bits):
    rng = np.random.default_rng(bits)
    values = np.repeat(rng.integers(0, 100, size=800), rng.geometric(0.05, size=800)).astype(f"<u{bits // 8}")
    block = FixedWidth(bits, len(values), values)
    chunk_round_trip(Rle(Flat(bits)), block)
    chunk_round_trip(Rle(Flat(bits)), FixedWidth(bits, 5, values[:5]), ChunkLimits(max_bytes=1))
    chunk_round_trip(Rle(Flat(bits)), FixedWidth(bits, 0, b""))
    block_round_trip(Rle(Flat(bits)), block, int64s(700, 0, len(values) - 1000, 300))


def test_rle_chunks_of_the_format_page():
    values = np.repeat(np.array([7, 9, 7], "<i4"), [300, 100, 20])
    encoded = Rle(Flat(32)).encode_chunks(FixedWidth(32, 420, values), LIMITS)
    (run_values, value_sizes), (lengths, length_sizes) = encoded.buffers
    assert as_bytes(run_values).tobytes().hex() == "07000000070000000900000007000000"
    assert as_bytes(lengths).tobytes().hex() == "ff2d6414"
    assert (value_sizes.tolist(), length_sizes.tolist(), encoded.counts.tolist()) == ([16], [4], [420])


@pytest.mark.parametrize("length_bits", [16, 32])
def test_rle_lengths_of_2_3_are_read(length_bits):
    codec = through_message(Rle(Flat(16), Flat(length_bits)))
    values = Spans(np.array([4, 5], "<u2"), int64s(0), int64s(4))
    lengths = Spans(np.array([300, 9], f"<u{length_bits // 8}"), int64s(0), int64s(length_bits // 4))
    block = codec.decode_chunks(Chunks((values, lengths), int64s(305), 305), allocate)
    assert as_bytes(block.data).view("<u2").tolist() == [4] * 300 + [5] * 5
    with pytest.raises(FormatError):
        codec.decode_chunks(Chunks((values, lengths), int64s(2**31), 2**31), allocate)
    with pytest.raises(OptionError):
        codec.encode_chunks(fixed(16, 4), LIMITS)


def test_bad_rle():
    codec = Rle(Flat(16))
    values = Spans(np.array([4, 5], "<u2"), int64s(0), int64s(4))
    for lengths, count in (([3, 2], 6), ([3, 0], 3), ([3], 3), ([3, 2, 1], 6), ([3, 2], 2**60)):
        spans = Spans(bytes(lengths), int64s(0), int64s(len(lengths)))
        with pytest.raises(FormatError):
            codec.decode_chunks(Chunks((values, spans), int64s(count), count), allocate)
    with pytest.raises(FormatError):
        codec.decode_chunks(Chunks((values,), int64s(5), 5), allocate)
    with pytest.raises(FormatError):
        codec.decode_blocks(Spans(bytes(7), int64s(0), int64s(7)), int64s(1), allocate)


@pytest.mark.parametrize(("bits", "values"), [(32, 1024), (64, 512)])
def test_byte_stream_split(bits, values):
    encoded = chunk_round_trip(ByteStreamSplit(Flat(bits)), fixed(bits, 3 * values + 1))
    assert encoded.counts.tolist() == [values] * 3 + [1]
    data, sizes = encoded.buffers[0]
    for wrong in (sizes - 1, sizes + 1):
        spans = Spans(data, np.cumsum(sizes) - sizes, wrong)
        with pytest.raises(FormatError):
            ByteStreamSplit(Flat(bits)).decode_chunks(
                Chunks((spans,), encoded.counts, 3 * values + 1), allocate
            )
    with pytest.raises(FormatError):
        ByteStreamSplit(Flat(bits)).decode_chunks(Chunks((spans,), int64s(2**60), 2**60), allocate)


# Constant -----------------------------------------------------------------------------------------------------------


def test_constant():
    block = FixedWidth(16, 5, np.full(5, 0x1234, "<u2"))
    encoded = value_round_trip(Constant(), block)
    assert encoded.codec == Constant(b"\x34\x12")
    assert encoded.records.bits == 0
    block_round_trip(Constant(), block, int64s(3, 2), pad=0)
    for wrong in (FixedWidth(16, 2, b"abac"), FixedWidth(1, 1, b"\x01"), FixedWidth(16, 0, b"")):
        with pytest.raises(OptionError):
            Constant().encode_values(wrong)
    with pytest.raises(OptionError):
        Constant(b"zz").encode_values(block)


def test_constant_of_nulls():
    codec = through_message(Constant())
    assert codec.value is None
    block = codec.decode_values(FixedWidth(0, 7, b""), allocate)
    assert (block.bits, block.num_values) == (0, 7)


def test_bad_constants():
    codec = Constant(b"ab")
    with pytest.raises(FormatError):
        codec.decode_values(FixedWidth(16, 1, b"ab"), allocate)
    with pytest.raises(FormatError):
        codec.decode_values(FixedWidth(0, 2**50, b""), allocate)
    with pytest.raises(FormatError):
        codec.decode_blocks(Spans(b"ab", int64s(0), int64s(2)), int64s(1), allocate)
    with pytest.raises(FormatError):
        through_message(Constant(b""))


# Fixed-size lists ---------------------------------------------------------------------------------------------------


def lists(num_rows, dimensions, nullable, bits, seed=0):
    rng = np.random.default_rng(seed)
    num_items = num_rows * int(np.prod(dimensions))
    block = fixed(bits, num_items, seed)
    for dimension, validity in zip(reversed(dimensions), reversed(nullable), strict=True):
        bitmap = np.packbits(rng.integers(0, 2, size=num_items, dtype=np.uint8), bitorder="little")
        num_items //= dimension
        block = FixedSizeList(dimension, num_items, block, bitmap if validity else None)
    return block


def wish(dimensions, bits):
    codec = Flat(bits)
    for dimension in reversed(dimensions):
        codec = FixedSizeListCodec(dimension, codec)
    return codec


LISTS = [
    ((4,), (False,), 32),
    ((100,), (True,), 32),
    ((2, 3), (True, True), 16),
    ((2, 3), (False, True), 16),
    ((3, 3), (True, False), 8),
    ((2, 5, 3), (True, True, True), 24),
    ((16,), (True,), 1),
    ((16,), (False,), 1),
]


@pytest.mark.parametrize(
    ("dimensions", "nullable", "bits"), [*LISTS, ((3,), (True,), 1), ((5,), (False,), 1)]
)
def test_chunks_of_lists(dimensions, nullable, bits):
    for num_rows in (1, 13, 1500):
        block = lists(num_rows, dimensions, nullable, bits)
        chunk_round_trip(wish(dimensions, bits), block)


def test_chunk_sizes_of_the_format_page():
    encoded = wish((2, 3), 16).encode_chunks(lists(700, (2, 3), (True, True), 16), LIMITS)
    assert encoded.counts.tolist() == [512, 188]
    assert [int(sizes[0]) for _, sizes in encoded.buffers] == [128, 384, 6144]
    assert encoded.codec == FixedSizeListCodec(2, FixedSizeListCodec(3, Flat(16), True), True)


@pytest.mark.parametrize(("dimensions", "nullable", "bits"), LISTS)
def test_records_of_lists(dimensions, nullable, bits):
    for num_rows in (0, 1, 13, 50):
        encoded = value_round_trip(wish(dimensions, bits), lists(num_rows, dimensions, nullable, bits))
        assert encoded.records.bits == encoded.codec.record_bits


def test_records_of_the_format_page():
    encoded = wish((100,), 32).encode_values(lists(3, (100,), (True,), 32))
    assert encoded.records.bits == 3304
    # 50 rows of fsl<fsl<int16, 3>, 2>: 12 bytes each
    assert wish((2, 3), 16).encode_values(lists(50, (2, 3), (False, False), 16)).records.bits == 96
    block = lists(7, (4,), (False,), 32)
    assert wish((4,), 32).encode_values(block).records.data is block.items.data


def test_one_record_byte_by_byte():
    block = FixedSizeList(3, 2, FixedWidth(8, 6, b"abcdef"), bytes([0b110101]))
    encoded = FixedSizeListCodec(3, Flat(8)).encode_values(block)
    assert as_bytes(encoded.records.data).tobytes() == b"\x05abc\x06def"


def test_lists_of_bits_are_no_records():
    with pytest.raises(OptionError):
        wish((3,), 1).encode_values(lists(4, (3,), (True,), 1))
    with pytest.raises(UnsupportedError):
        wish((3,), 1).decode_values(FixedWidth(8, 1, b"a"), allocate)


def test_records_of_lists_of_nulls():
    codec = through_message(FixedSizeListCodec(4, Constant(), True))
    block = codec.decode_values(FixedWidth(8, 3, bytes(3)), allocate)
    assert (block.num_values, block.items.num_values, block.items.bits) == (3, 12, 0)
    assert as_bytes(block.validity).tobytes() == bytes(2)


def test_bad_lists():
    codec = FixedSizeListCodec(3, Flat(8), True)
    with pytest.raises(FormatError):
        codec.decode_values(FixedWidth(24, 2, b"abcdef"), allocate)
    with pytest.raises(FormatError):
        codec.decode_values(FixedWidth(32, 2, b"abcdef"), allocate)
    good, bits = Spans(b"abcdef", int64s(0), int64s(6)), Spans(b"\x00", int64s(0), int64s(1))
    codec.decode_chunks(Chunks((bits, good), int64s(2), 2), allocate)
    for buffers, count in (((good,), 2), ((good, bits), 2), ((bits, good), 3), ((bits, good), 2**62)):
        with pytest.raises(FormatError):
            codec.decode_chunks(Chunks(buffers, int64s(count), count), allocate)
    for wrong in (
        lists(4, (2,), (True,), 8),
        lists(4, (3, 2), (True, False), 8),
        lists(4, (3,), (True,), 16),
    ):
        with pytest.raises(OptionError):
            codec.encode_chunks(wrong, LIMITS)


# Messages -----------------------------------------------------------------------------------------------------------


def message(**members):
    return CompressiveEncoding(**members)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"flat": {}}, FormatError),
        ({"flat": {"bits_per_value": 2**32 + 1}}, FormatError),
        ({"flat": {"bits_per_value": 8, "data": {"scheme": 2}}}, UnsupportedError),
        ({"inline_bitpacking": {"uncompressed_bits_per_value": 24}}, FormatError),
        ({"inline_bitpacking": {"uncompressed_bits_per_value": 128}}, UnsupportedError),
        ({"inline_bitpacking": {"uncompressed_bits_per_value": 8, "values": {}}}, UnsupportedError),
        ({"out_of_line_bitpacking": {"uncompressed_bits_per_value": 16}}, FormatError),
        (
            {"out_of_line_bitpacking": {"uncompressed_bits_per_value": 16, "values": {"flat": {"bits_per_value": 17}}}},
            FormatError,
        ),
        ({"out_of_line_bitpacking": {"uncompressed_bits_per_value": 16, "values": {"constant": {}}}}, FormatError),
        (
            {"out_of_line_bitpacking": {"uncompressed_bits_per_value": 16, "values": {"flat": {"data": {}}}}},
            UnsupportedError,
        ),
        ({"out_of_line_bitpacking": {"values": {"flat": {}}}}, FormatError),
        ({"rle": {"values": {"flat": {"bits_per_value": 8}}}}, FormatError),
        ({"rle": {"values": {"flat": {"bits_per_value": 24}}, "run_lengths": {"flat": {"bits_per_value": 8}}}}, FormatError),
        ({"rle": {"values": {"flat": {"bits_per_value": 8}}, "run_lengths": {"flat": {"bits_per_value": 64}}}}, FormatError),
        ({"rle": {"values": {"constant": {}}, "run_lengths": {"flat": {"bits_per_value": 8}}}}, UnsupportedError),
        ({"byte_stream_split": {}}, FormatError),
        ({"byte_stream_split": {"values": {"flat": {"bits_per_value": 16}}}}, FormatError),
        ({"byte_stream_split": {"values": {"constant": {}}}}, FormatError),
        ({"fixed_size_list": {"values": {"flat": {"bits_per_value": 8}}}}, FormatError),
        ({"fixed_size_list": {"items_per_value": 2}}, FormatError),
        ({"fixed_size_list": {"items_per_value": 2**31, "values": {"flat": {"bits_per_value": 8}}}}, UnsupportedError),
        (
            {"fixed_size_list": {"items_per_value": 2**31 - 1, "values": {"flat": {"bits_per_value": 2**31}}}},
            FormatError,
        ),
        (
            {"fixed_size_list": {"items_per_value": 2, "values": {"inline_bitpacking": {"uncompressed_bits_per_value": 8}}}},
            FormatError,
        ),
    ],
)  # fmt: skip
def test_bad_messages(bad, error):
    with pytest.raises(error):
        parse(CompressiveEncoding.FromString(message(**bad).SerializeToString()))


@pytest.mark.parametrize(
    "codec",
    [
        Flat(1),
        InlineBitpacking(64),
        OutOfLineBitpacking(16, 0),
        OutOfLineBitpacking(32, 7),
        Rle(Flat(16)),
        Rle(Flat(16), Flat(32)),
        ByteStreamSplit(Flat(32)),
        Constant(),
        Constant(b"\x00"),
        FixedSizeListCodec(2, FixedSizeListCodec(3, Flat(1), True)),
    ],
)
def test_messages_round_trip(codec):
    assert through_message(codec) == codec


@pytest.mark.parametrize("codec", [Flat(32), InlineBitpacking(32), Rle(Flat(32)), ByteStreamSplit(Flat(32))])
def test_blocks_that_do_not_suit(codec):
    for block in (fixed(64, 8), VariableWidth(32, 0, bytes(4), b""), FixedWidth(32, 3, bytes(11))):
        with pytest.raises(OptionError):
            codec.encode_chunks(block, LIMITS)


# Statistics ---------------------------------------------------------------------------------------------------------


def test_statistics_of_words():
    values = np.repeat(np.array([5, 6, 0x1FF], "<u4"), [1024, 300, 10])
    stats = Stats(FixedWidth(32, 1334, values))
    assert (stats.data_size, stats.run_count, stats.rle_entries, stats.max_length) == (5336, 3, 5 + 2 + 1, 4)
    assert stats.bit_widths.tolist() == [3, 9]
    assert stats.max_bit_width == 9
    assert stats.inline_bitpacking_bytes == 2 * 4 + 128 * 12
    assert stats.byte_position_entropy.tolist() == [0, 0, 0, 0]


def test_entropy_of_the_first_values():
    values = np.arange(64, dtype="<u2") | np.uint16(0x100) * (np.arange(64, dtype="<u2") % 2)
    assert Stats(FixedWidth(16, 64, values)).byte_position_entropy.tolist() == [6000, 1000]
    assert Stats(FixedWidth(16, 128, np.tile(values, 2))).byte_position_entropy.tolist() == [6000, 1000]
    assert Stats(FixedWidth(1, 8, b"a")).byte_position_entropy.tolist() == []


def test_statistics_of_other_blocks():
    wide = Stats(FixedWidth(128, 4, b"a" * 32 + b"b" * 32))
    assert (wide.run_count, wide.rle_entries, wide.bit_widths.tolist(), wide.max_length) == (2, 2, [128], 16)
    odd = Stats(FixedWidth(24, 4, bytes(12)))
    assert (odd.run_count, odd.bit_widths.tolist(), odd.data_size) == (4, [24], 12)
    text = Stats(VariableWidth(32, 3, np.array([2, 4, 4, 9], "<u4"), b"..abcdefg"))
    assert (text.data_size, text.max_length, text.run_count) == (7 + 16, 5, 3)
    rows = Stats(lists(8, (4,), (True,), 32))
    assert (rows.data_size, rows.max_length) == (128 + 4, 16)
    empty = Stats(FixedWidth(32, 0, b""))
    assert (empty.run_count, empty.rle_entries, empty.max_bit_width, empty.data_size) == (0, 0, 0, 0)
