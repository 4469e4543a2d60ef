"""Codecs of text and of compressed buffers, and the dictionaries of pages: round trips, the specification's bytes, bad input."""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from lancelet.blocks import FixedSizeList, FixedWidth, Packed, VariableWidth, dictionary
from lancelet.buffers import allocate, as_bytes, as_values, nbytes
from lancelet.codecs import general
from lancelet.codecs.base import ChunkCodec, ChunkLimits, Chunks, Spans
from lancelet.codecs.binary import Variable
from lancelet.codecs.bitpack import InlineBitpacking
from lancelet.codecs.bss import ByteStreamSplit
from lancelet.codecs.flat import Flat
from lancelet.codecs.fsst import MIN_VALUE_BYTES, TABLE_BYTES, Fsst
from lancelet.codecs.general import General
from lancelet.codecs.registry import parse, parse_as
from lancelet.codecs.rle import Rle
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding

LIMITS = ChunkLimits()


def variable(values, bits=32, first=0):
    offsets = np.cumsum([first, *map(len, values)]).astype(f"<u{bits // 8}")
    return VariableWidth(bits, len(values), offsets, b"?" * first + b"".join(values))


def values_of(block):
    assert isinstance(block, VariableWidth)
    offsets = as_values(block.offsets, block.offset_bits)[: block.num_values + 1]
    data = bytes(as_bytes(block.data))
    return [data[int(a) : int(b)] for a, b in pairwise(offsets)]


def text(num_values):
    rng = np.random.default_rng(num_values)
    return [b"row %d of some text" % i * int(n) for i, n in enumerate(rng.integers(0, 5, num_values))]


def as_chunks(encoded, gap=5):
    """Make of encoded chunks what a page gives to the decoder: the parts lie `gap` bytes apart."""
    buffers = []
    for data, sizes in encoded.buffers:
        assert nbytes(data) == sizes.sum()
        raw, stops = bytes(as_bytes(data)), np.cumsum(sizes)
        parts = [raw[stop - size : stop] for stop, size in zip(stops, sizes, strict=True)]
        joined = b"".join(b"#" * gap + part for part in parts)
        buffers.append(Spans(joined, stops - sizes + gap * np.arange(1, len(sizes) + 1), sizes))
    return Chunks(tuple(buffers), encoded.counts, int(encoded.counts.sum()))


def through_chunks(wish, block):
    """Encode, write and read the message, decode."""
    encoded = wish.encode_chunks(block, LIMITS)
    codec = parse_as(ChunkCodec, encoded.codec.to_message())
    assert codec == encoded.codec
    assert len(encoded.buffers) == codec.num_buffers
    return encoded.codec, codec.decode_chunks(as_chunks(encoded), allocate)


def through_values(wish, block):
    encoded = wish.encode_values(block)
    codec = parse(encoded.codec.to_message())
    assert codec == encoded.codec
    return encoded.codec, codec.decode_values(encoded.records, allocate)


class TestFsst:
    @pytest.mark.parametrize("bits", [32, 64])
    def test_round_trip(self, bits):
        values = text(4000)
        for through in (through_chunks, through_values):
            codec, block = through(Fsst(Variable(bits)), variable(values, bits, first=7))
            assert isinstance(codec, Fsst)
            assert len(codec.symbol_table) == TABLE_BYTES
            assert block.offset_bits == bits
            assert values_of(block) == values

    def test_chunks_are_cut_by_compressed_bytes(self):
        block = variable(text(4000))
        compressed = Fsst(Variable(32)).encode_chunks(block, LIMITS)
        plain = Variable(32).encode_chunks(block, LIMITS)
        assert len(compressed.counts) < len(plain.counts)
        assert nbytes(compressed.buffers[0][0]) * 2 < nbytes(plain.buffers[0][0])

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param([], id="none"),
            pytest.param([b"x" * (MIN_VALUE_BYTES - 1)], id="small"),
            pytest.param([b""] * 20_000, id="only offsets"),
            pytest.param([np.random.default_rng(i).bytes(40) for i in range(2000)], id="random"),
        ],
    )
    def test_what_does_not_shrink_stays(self, values):
        for through in (through_chunks, through_values):
            codec, block = through(Fsst(Variable(32)), variable(values, first=3))
            assert codec == Variable(32)
            assert values_of(block) == values

    def test_a_given_table_is_used(self):
        block = variable(text(4000))
        table = Fsst(Variable(32)).encode_values(block).codec.symbol_table
        again = variable(text(3000))
        codec, decoded = through_chunks(Fsst(Variable(32), table), again)
        assert codec.symbol_table == table
        assert values_of(decoded) == values_of(again)

    def test_selected_records_decode(self):
        encoded = Fsst(Variable(32)).encode_values(variable(text(4000)))
        records = values_of(encoded.records)
        picked = variable([records[i] for i in (17, 3, 3999)], first=9)
        assert values_of(encoded.codec.decode_values(picked, allocate)) == [
            text(4000)[i] for i in (17, 3, 3999)
        ]

    def test_switched_off_tables(self):
        codec = Fsst(Variable(32), b"\0\0\0\0TSSF".ljust(TABLE_BYTES, b"\0"))
        codec = parse(codec.to_message())
        values = [b"\xff", b"", b"plain"]
        assert values_of(codec.decode_values(variable(values), allocate)) == values
        assert values_of(
            codec.decode_chunks(as_chunks(Variable(32).encode_chunks(variable(values), LIMITS)), allocate)
        )

    def test_corrupt_messages(self):
        good = Fsst(Variable(32)).encode_values(variable(text(4000))).codec.to_message()
        for position, byte in ((4, 0), (3, 2), (8 + 8 * good.fsst.symbol_table[0], 9)):
            table = bytearray(good.fsst.symbol_table)
            table[position] = byte
            bad = CompressiveEncoding()
            bad.CopyFrom(good)
            bad.fsst.symbol_table = bytes(table)
            with pytest.raises(FormatError):
                parse(bad)
        bad.fsst.symbol_table = good.fsst.symbol_table[1:]
        with pytest.raises(FormatError):
            parse(bad)
        bad.CopyFrom(good)
        bad.fsst.ClearField("values")
        with pytest.raises(FormatError):
            parse(bad)
        bad.fsst.values.CopyFrom(good)
        with pytest.raises(UnsupportedError):
            parse(bad)

    def test_corrupt_records(self):
        codec = Fsst(Variable(32)).encode_values(variable(text(4000))).codec
        for record in (b"\xff", b"\x01\xff"):
            with pytest.raises(FormatError):
                codec.decode_values(variable([record]), allocate)
        with pytest.raises(FormatError):
            codec.decode_values(FixedWidth(32, 1, b"1234"), allocate)

    def test_other_blocks_are_refused(self):
        with pytest.raises(TypeError):
            Fsst(Variable(32)).encode_values(variable([b"x"], 64))
        with pytest.raises(ValueError, match="not trained"):
            Fsst(Variable(32)).to_message()


def numbers(num_values=20_000):
    return np.repeat(np.arange(num_values // 5, dtype=np.uint32) % 100, 5)


FIXED = [Flat(32), InlineBitpacking(32), Rle(Flat(32), Flat(8)), ByteStreamSplit(Flat(32))]


@pytest.mark.parametrize("scheme", ["lz4", "zstd"])
class TestGeneral:
    @pytest.mark.parametrize("inner", FIXED, ids=lambda codec: codec.name)
    def test_fixed_chunks(self, scheme, inner):
        values = numbers()
        codec, block = through_chunks(General(scheme, None, inner), FixedWidth(32, len(values), values))
        assert codec == General(scheme, None, inner)
        assert bytes(as_bytes(block.data)) == values.tobytes()

    @pytest.mark.parametrize("bits", [32, 64])
    def test_variable_chunks(self, scheme, bits):
        values = text(2000)
        codec, block = through_chunks(General(scheme, 7, Variable(bits)), variable(values, bits, first=2))
        assert codec == General(scheme, 7, Variable(bits))
        assert values_of(block) == values

    def test_around_fsst(self, scheme):
        values = text(20_000)
        codec, block = through_chunks(General(scheme, None, Fsst(Variable(32))), variable(values))
        assert isinstance(codec.values, Fsst)
        assert values_of(block) == values

    def test_what_does_not_shrink_stays(self, scheme):
        for size in (1000, 4000, 100_000):
            values = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
            codec, block = through_chunks(General(scheme, None, Flat(32)), FixedWidth(32, size // 4, values))
            assert codec == Flat(32)
            assert bytes(as_bytes(block.data)) == values.tobytes()

    def test_small_pages_stay(self, scheme):
        for num_values, compressed in ((1023, False), (1024, True)):
            values = np.zeros(num_values, dtype=np.uint32)
            codec, _ = through_chunks(General(scheme, None, Flat(32)), FixedWidth(32, num_values, values))
            assert isinstance(codec, General) is compressed

    @pytest.mark.parametrize("bits", [32, 64])
    def test_values(self, scheme, bits):
        values = [*text(50), b"", bytes(100_000)]
        codec, block = through_values(General(scheme, 0, Variable(bits)), variable(values, bits, first=4))
        assert codec == General(scheme, 0, Variable(bits))
        assert block.offset_bits == bits
        assert values_of(block) == values

    def test_empty_records_are_empty_values(self, scheme):
        codec = General(scheme, None, Variable(32))
        record = values_of(codec.encode_values(variable([b"something"])).records)[0]
        records = variable([b"", record, b"", b""])
        assert values_of(codec.decode_values(records, allocate)) == [b"", b"something", b"", b""]
        assert values_of(codec.decode_values(variable([]), allocate)) == []

    @pytest.mark.parametrize("counts", [[5], [0], [1000, 1000, 17]])
    def test_blocks(self, scheme, counts):
        counts = np.array(counts, dtype=np.int64)
        values = numbers()[: counts.sum()]
        encoded = General(scheme, None, Flat(32)).encode_blocks(FixedWidth(32, len(values), values), counts)
        codec = parse(encoded.codec.to_message())
        spans = Spans(encoded.data, np.cumsum(encoded.sizes) - encoded.sizes, encoded.sizes)
        block = codec.decode_blocks(spans, counts, allocate)
        assert bytes(as_bytes(block.data)) == values.tobytes()

    def test_variable_blocks(self, scheme):
        values = text(100)
        counts = np.array([100])
        encoded = General(scheme, None, Variable(64)).encode_blocks(variable(values, 64), counts)
        spans = Spans(encoded.data, np.zeros(1, dtype=np.int64), encoded.sizes)
        assert values_of(encoded.codec.decode_blocks(spans, counts, allocate)) == values

    def test_damaged_buffers(self, scheme):
        """Every single damaged byte and every cut: the values, other values, or an error of ours."""
        values = text(20)
        codec = General(scheme, None, Variable(32))
        record = values_of(codec.encode_values(variable([b"".join(values)])).records)[0]
        for size in range(1, len(record)):
            with pytest.raises(FormatError):
                codec.decode_values(variable([record[:size]]), allocate)
        for extra in (b"\0", b"0123456789", b"\x28\xb5\x2f\xfd"):
            with pytest.raises(FormatError):
                codec.decode_values(variable([record + extra]), allocate)
        for position in range(len(record)):
            for flip in (1, 0x80, 0xFF):
                bad = bytearray(record)
                bad[position] ^= flip
                try:
                    codec.decode_values(variable([bytes(bad)]), allocate)
                except (FormatError, UnsupportedError):
                    continue

    def test_declared_sizes_are_met(self, scheme):
        head = "<I" if scheme == "lz4" else "<Q"
        codec = General(scheme, None, Variable(32))
        record = values_of(codec.encode_values(variable([b"abcdefgh" * 10])).records)[0]
        frame = record[struct.calcsize(head) :]
        for size in (0, 79, 81, 1000, 2**31, 2**32 - 1):
            with pytest.raises(FormatError):
                codec.decode_values(variable([struct.pack(head, size) + frame]), allocate)

    def test_chunks_declare_no_more_than_their_values_need(self, scheme):
        raw = np.zeros(100_000, dtype=np.uint32)
        packed = General(scheme, None, Flat(32)).encode_blocks(
            FixedWidth(32, len(raw), raw), np.array([len(raw)])
        )
        spans = Spans(packed.data, np.zeros(1, dtype=np.int64), packed.sizes)
        for inner in FIXED:
            chunks = Chunks((spans,) * inner.num_buffers, np.array([512]), 512)
            with pytest.raises(FormatError, match="declares more"):
                General(scheme, None, inner).decode_chunks(chunks, allocate)

    def test_the_total_is_bounded(self, scheme, monkeypatch):
        codec = General(scheme, None, Variable(64))
        records = codec.encode_values(variable([bytes(1000)] * 3, 64)).records
        monkeypatch.setattr(general, "MAX_RAW_BYTES", 2999)
        with pytest.raises(UnsupportedError):
            codec.decode_values(records, allocate)

    @pytest.mark.parametrize(("offset", "size"), [(-1, 5), (0, -5), (0, 21), (2**62, 2**62), (21, 1), (0, 3)])
    def test_parts_outside_of_the_page(self, scheme, offset, size):
        spans = Spans(bytes(20), np.array([offset]), np.array([size]))
        with pytest.raises(FormatError):
            General(scheme, None, Flat(32)).decode_chunks(Chunks((spans,), np.array([1]), 1), allocate)

    def test_misplaced_encodings(self, scheme):
        spans = Spans(b"", np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
        with pytest.raises(UnsupportedError):
            General(scheme, None, Fsst(Variable(32))).decode_blocks(spans, np.array([0]), allocate)
        with pytest.raises(FormatError):
            General(scheme, None, Flat(32)).decode_chunks(Chunks((), np.array([1]), 1), allocate)
        with pytest.raises(FormatError):
            General(scheme, None, Flat(32)).decode_values(FixedWidth(32, 1, b"1234"), allocate)


class TestGeneralForms:
    def test_vector_of_lz4(self):
        """compressors.md 5.3: a dictionary of two strings of 40 bytes."""
        block = bytes.fromhex(
            "64000000 62 200000001400 0100 9f 2800000050000000 78 0100 14 1f79 0100 0f 50 7979797979"
        )
        codec = General("lz4", None, Variable(32))
        spans = Spans(block, np.array([0]), np.array([len(block)]))
        values = [b"x" * 40, b"y" * 40]
        assert values_of(codec.decode_blocks(spans, np.array([2]), allocate)) == values
        encoded = codec.encode_blocks(variable(values), np.array([2]))
        assert bytes(encoded.data)[:4] == b"\x64\0\0\0"

    def test_vector_of_zstd(self):
        """compressors.md 5.3: an empty string."""
        record = bytes.fromhex("0000000000000000 28b52ffd2000010000")
        codec = General("zstd", 0, Variable(32))
        assert values_of(codec.encode_values(variable([b""])).records) == [record]
        assert values_of(codec.decode_values(variable([record]), allocate)) == [b""]

    def test_bare_frames(self):
        codec = General("zstd", None, Variable(32))
        frames = [pa.Codec("zstd").compress(raw, asbytes=True) for raw in (b"", b"abc", bytes(3_000_000))]
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(b"size unknown " * 100)
        records = [*frames, sink.getvalue().to_pybytes(), struct.pack("<Q", 3) + frames[1]]
        values = [b"", b"abc", bytes(3_000_000), b"size unknown " * 100, b"abc"]
        assert values_of(codec.decode_values(variable(records), allocate)) == values
        for bad in (frames[1][:-1], frames[1] + b"rest", b"\x28\xb5", b"1234567"):
            with pytest.raises(FormatError):
                codec.decode_values(variable([bad]), allocate)

    def test_bare_frames_are_bounded(self, monkeypatch):
        frame = pa.Codec("zstd").compress(bytes(5_000_000), asbytes=True)
        codec = General("zstd", None, Variable(32))
        monkeypatch.setattr(general, "MAX_RAW_BYTES", 6_000_000)
        assert values_of(codec.decode_values(variable([frame]), allocate)) == [bytes(5_000_000)]
        with pytest.raises(UnsupportedError):
            codec.decode_values(variable([frame, frame]), allocate)

    def test_messages(self):
        message = General("zstd", 0, Flat(8)).to_message()
        assert message.general.compression.HasField("level")
        assert message.general.compression.scheme == 2
        message = General("lz4", None, Flat(8)).to_message()
        assert not message.general.compression.HasField("level")
        assert message.general.compression.scheme == 1
        message.general.compression.scheme = 0
        with pytest.raises(FormatError):
            parse(message)
        message.general.compression.scheme = 3
        with pytest.raises(UnsupportedError):
            parse(message)
        message.general.compression.scheme = 1
        message.general.ClearField("values")
        with pytest.raises(FormatError):
            parse(message)

    def test_options(self):
        with pytest.raises(ValueError, match="snappy"):
            General("snappy", None, Flat(8))
        with pytest.raises(OptionError):
            General("zstd", 99, Variable(32)).encode_values(variable([b"x"]))
        with pytest.raises(TypeError):
            General("zstd", None, Flat(32)).encode_values(FixedWidth(32, 1, b"1234"))


def fixed(values, dtype):
    array = np.array(values, dtype=dtype)
    return FixedWidth(8 * array.itemsize, len(array), array)


class TestDictionary:
    @pytest.mark.parametrize("dtype", ["<u4", "<f8", "V16"])
    def test_fixed(self, dtype):
        values = np.array([7, 7, 300, 5, 300], dtype=np.uint64)
        array = values.astype(dtype) if dtype != "V16" else np.repeat(values, 2).view(dtype)
        block = FixedWidth(8 * array.itemsize, 5, array)
        indices, items = dictionary.build(block, max_entries=3, max_bytes=3 * array.itemsize)
        assert (indices.bits, indices.num_values) == (32, 5)
        assert np.asarray(indices.data).tolist() == [0, 0, 1, 2, 1]
        assert (items.bits, items.num_values) == (block.bits, 3)
        assert bytes(as_bytes(items.data)) == array[[0, 2, 3]].tobytes()
        assert bytes(as_bytes(dictionary.expand(indices, items, None, allocate).data)) == array.tobytes()
        assert dictionary.build(block, max_entries=2, max_bytes=1000) is None
        assert dictionary.build(block, max_entries=9, max_bytes=3 * array.itemsize - 1) is None

    @pytest.mark.parametrize("bits", [32, 64])
    def test_variable(self, bits):
        values = [b"b", b"", b"ab", b"b", b"", b"ab"] * 10
        block = variable(values, bits, first=3)
        indices, items = dictionary.build(block, max_entries=3, max_bytes=3)
        assert items.offset_bits == bits
        assert values_of(items) == [b"b", b"", b"ab"]
        assert values_of(dictionary.expand(indices, items, None, allocate)) == values
        assert dictionary.build(block, max_entries=2, max_bytes=3) is None
        assert dictionary.build(block, max_entries=3, max_bytes=2) is None

    def test_longer_buffers_than_the_block(self):
        values = np.arange(10, dtype=np.uint64)
        indices, items = dictionary.build(FixedWidth(64, 4, values), max_entries=4, max_bytes=100)
        assert (indices.num_values, items.num_values) == (4, 4)
        block = VariableWidth(32, 1, np.array([0, 1, 2], dtype=np.uint32), b"ab")
        indices, items = dictionary.build(block, max_entries=5, max_bytes=100)
        assert values_of(items) == [b"a"]

    def test_nothing(self):
        indices, items = dictionary.build(variable([]), max_entries=0, max_bytes=0)
        assert (indices.num_values, items.num_values) == (0, 0)
        assert dictionary.build(variable([b"x"]), max_entries=0, max_bytes=0) is None
        assert dictionary.build(fixed([1], "<u8"), max_entries=-1, max_bytes=-1) is None

    def test_kinds_without_dictionary(self):
        assert dictionary.build(fixed([1], "<u2"), max_entries=9, max_bytes=99) is None
        assert dictionary.build(FixedSizeList(1, 1, fixed([1], "<u8")), max_entries=9, max_bytes=99) is None
        assert dictionary.build(Packed(1, (fixed([1], "<u8"),)), max_entries=9, max_bytes=99) is None

    @pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4", "<u8"])
    def test_indices_of_any_width(self, dtype):
        indices = fixed([2, 0, 1, 2], dtype)
        assert values_of(dictionary.expand(indices, variable([b"a", b"", b"c"]), None, allocate)) == [
            b"c",
            b"a",
            b"",
            b"c",
        ]
        block = dictionary.expand(indices, FixedWidth(24, 3, b"abcdefghi"), None, allocate)
        assert bytes(as_bytes(block.data)) == b"ghiabcdefghi"
        with pytest.raises(FormatError):
            dictionary.expand(indices, variable([b"a", b"b"]), None, allocate)
        with pytest.raises(FormatError):
            dictionary.expand(indices, FixedWidth(8, 2, b"ab"), None, allocate)

    def test_null_slots(self):
        indices = fixed([1, 200, 0, 200], "<u1")
        assert values_of(dictionary.expand(indices, variable([b"a", b"b"]), b"\x05", allocate)) == [
            b"b",
            b"",
            b"a",
            b"",
        ]
        assert values_of(dictionary.expand(indices, variable([]), b"\0", allocate)) == [b""] * 4
        block = dictionary.expand(indices, FixedWidth(16, 0, b""), b"\0", allocate)
        assert bytes(as_bytes(block.data)) == bytes(8)

    def test_widths_and_items_that_cannot_be(self):
        with pytest.raises(FormatError):
            dictionary.expand(FixedWidth(24, 1, b"\0\0\0"), variable([b"a"]), None, allocate)
        with pytest.raises(UnsupportedError):
            dictionary.expand(fixed([0], "<u1"), FixedWidth(1, 1, b"\1"), None, allocate)
        with pytest.raises(UnsupportedError):
            dictionary.expand(fixed([0], "<u1"), FixedSizeList(1, 1, FixedWidth(8, 1, b"a")), None, allocate)


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_one_lz4_buffer_and_several_are_decompressed_alike(size):
    raw = np.random.default_rng(size).integers(0, 4, size, dtype=np.uint8).tobytes()
    packed = bytes(general.compress_buffer(raw, "lz4", None))
    damaged = [packed[:3], packed[:-1], packed + b"\0", b"\xff" * 4 + packed[4:], b"\0" * 4 + packed[4:], b""]
    for data in (packed, *damaged):
        outcomes = []
        for number in (1, 2):
            offsets, sizes = np.zeros(number, np.int64), np.full(number, len(data), np.int64)
            try:
                spans = General("lz4", None, Flat(8))._decompress(Spans(data, offsets, sizes), None, allocate)
                first = int(spans.offsets[0])
                outcomes.append(bytes(spans.data)[first : first + int(spans.sizes[0])])
            except FormatError:
                outcomes.append(None)
        assert outcomes[0] == outcomes[1]
        assert data != packed or outcomes[0] == raw
