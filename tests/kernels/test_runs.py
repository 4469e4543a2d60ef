"""Run-length, byte-stream-split and flat kernels, both implementations: examples of compressors.md, corrupt input."""

from __future__ import annotations

import numpy as np
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference

WORDS = (8, 16, 32, 64)


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    if request.param == "reference":
        return reference
    return pytest.importorskip("lancelet._native", reason="the kernels were not compiled")


def int64s(*values):
    return np.array(values, dtype=np.int64)


def bytes_of(text):
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint8)


def runs_of(rng, bits, num_runs, mean):
    lengths = rng.geometric(1 / mean, size=num_runs)
    values = rng.integers(0, 256, size=num_runs, dtype=np.uint64).astype(f"<u{bits // 8}")
    return np.repeat(values, lengths)


def encode(kernels, values, bits, counts):
    out_values, lengths = np.empty(values.nbytes, np.uint8), np.empty(len(values), np.uint8)
    entries = np.empty(len(counts), np.int64)
    total = kernels.rle_encode(values, bits, counts, out_values, lengths, entries)
    assert total == entries.sum()
    return out_values[: total * bits // 8].copy(), lengths[:total].copy(), entries


def decode(kernels, values, lengths, counts, bits, *, length_bits=8, entries=None, out=None):
    value_bytes, length_bytes = bits // 8, length_bits // 8
    entries = int64s(len(lengths.tobytes()) // length_bytes) if entries is None else entries
    starts = np.cumsum(entries) - entries
    out = np.empty(int(counts.sum()) * value_bytes, np.uint8) if out is None else out
    parts = (starts * value_bytes, entries * value_bytes), (starts * length_bytes, entries * length_bytes)
    kernels.rle_decode(values, *parts[0], lengths, *parts[1], counts, bits, length_bits, out)
    return out.view(f"<u{value_bytes}")


def test_the_example_of_the_format_page(kernels):
    values = np.repeat(np.array([7, 9, 7], "<u4"), [300, 100, 20])
    run_values, lengths, _ = encode(kernels, values, 32, int64s(420))
    assert run_values.tobytes().hex() == "07000000070000000900000007000000"
    assert lengths.tobytes().hex() == "ff2d6414"
    assert np.array_equal(decode(kernels, run_values, lengths, int64s(420), 32), values)


@pytest.mark.parametrize("bits", WORDS)
@pytest.mark.parametrize("mean", [1.05, 3, 20, 400])
def test_round_trip_and_both_agree(bits, mean):
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    values = runs_of(np.random.default_rng(bits + int(mean)), bits, 3000, mean)
    cuts = []
    for kernels in (native, reference):
        counts, entries = np.empty(len(values), np.int64), np.empty(len(values), np.int64)
        num_chunks = kernels.rle_cut(values, bits, 4096, 8186, counts, entries)
        cuts.append((counts[:num_chunks], entries[:num_chunks]))
    assert np.array_equal(cuts[0][0], cuts[1][0])
    assert np.array_equal(cuts[0][1], cuts[1][1])
    counts, entries = cuts[0]
    assert counts.sum() == len(values)
    assert (entries * (bits // 8 + 1) <= 8186).all()
    native_form, twin_form = (encode(kernels, values, bits, counts) for kernels in (native, reference))
    assert all(map(np.array_equal, native_form, twin_form))
    assert np.array_equal(native_form[2], entries)
    for kernels in (native, reference):
        assert np.array_equal(decode(kernels, *native_form[:2], counts, bits, entries=entries), values)


@pytest.mark.parametrize("bits", WORDS)
def test_word_stats_agree(bits):
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(bits)
    for mean in (1.01, 2, 50, 300, 9000):
        values = runs_of(rng, bits, 50, mean)
        for piece in (values, values[:63], values[1:66], values[:1], values[:0]):
            assert native.word_stats(piece, bits, 4096) == reference.word_stats(piece, bits, 4096)


def test_word_stats(kernels):
    values = np.repeat(np.array([1, 2, 1], np.uint8), [255, 256, 4097])
    assert kernels.word_stats(values, 8, 4096) == (2, 2 + 1 + 1 + 1 + 1, 3, 1 + 2 + 17 + 1)
    assert kernels.word_stats(values[:0], 8, 4096) == (0, 0, 0, 0)
    assert kernels.word_stats(np.array([2**63, 5], "<u8"), 64, 4096) == (64, 64, 2, 2)
    for data, bits, max_run in ((values, 12, 4096), (values, 8, 63), (values[:5], 16, 4096)):
        with pytest.raises(ValueError):
            kernels.word_stats(data, bits, max_run)


def cut(kernels, values, bits, max_values=4096, max_bytes=8186):
    counts, entries = np.empty(len(values) + 1, np.int64), np.empty(len(values) + 1, np.int64)
    num_chunks = kernels.rle_cut(values, bits, max_values, max_bytes, counts, entries)
    return counts[:num_chunks].tolist()


def test_chunk_rule(kernels):
    assert cut(kernels, np.zeros(10000, "<u4"), 32) == [4096, 4096, 1808]
    assert cut(kernels, np.zeros(4096, "<u4"), 32) == [4096]
    assert cut(kernels, np.arange(2000, dtype="<u4"), 32) == [1024, 976]
    assert cut(kernels, np.arange(1637, dtype="<u4"), 32) == [1637]
    assert cut(kernels, np.arange(1638, dtype="<u4"), 32) == [1024, 614]
    assert cut(kernels, np.arange(1000, dtype="<u8"), 64) == [512, 488]
    assert cut(kernels, np.arange(256, dtype="u1"), 8, max_values=100) == [64, 64, 64, 64]
    assert cut(kernels, np.arange(5, dtype="u1"), 8, max_bytes=0) == [2, 2, 1]
    assert cut(kernels, np.array([], "u1"), 8) == []


@pytest.mark.parametrize("length_bits", [8, 16, 32])
def test_lengths_of_all_widths_and_runs_past_the_chunk(kernels, length_bits):
    values = np.array([5, 6, 7], "<u2")
    lengths = np.array([2, 200, 100], f"<u{length_bits // 8}")
    expected = np.repeat(values, [2, 200, 8])
    assert np.array_equal(
        decode(kernels, values, lengths, int64s(210), 16, length_bits=length_bits), expected
    )
    assert np.array_equal(
        decode(kernels, values, lengths, int64s(202), 16, length_bits=length_bits), expected[:202]
    )
    assert np.array_equal(
        decode(kernels, values, lengths, int64s(1), 16, length_bits=length_bits), expected[:1]
    )
    assert len(decode(kernels, values, lengths, int64s(0), 16, length_bits=length_bits)) == 0


@pytest.mark.parametrize("bits", WORDS)
def test_every_length_near_the_end_of_the_output(kernels, bits):
    for length in range(1, 80):
        values = np.array([1, 200, 3], f"<u{bits // 8}")
        lengths = np.array([1, length, 2], np.uint8)
        expected = np.repeat(values, lengths)
        assert np.array_equal(decode(kernels, values, lengths, int64s(length + 3), bits), expected)


@pytest.mark.parametrize(
    ("values", "lengths", "count"),
    [
        ("0100", "00", 1),
        ("01000200", "0500", 5),
        ("0100", "05", 6),
        ("0100", "0505", 5),
        ("01000200", "05", 5),
        ("010002", "05", 5),
        ("", "", 1),
    ],
)
def test_bad_runs(kernels, values, lengths, count):
    values, lengths, out = bytes_of(values), bytes_of(lengths), np.empty(2 * count, np.uint8)
    zero = int64s(0)
    with pytest.raises(FormatError):
        kernels.rle_decode(
            values, zero, int64s(len(values)), lengths, zero, int64s(len(lengths)), int64s(count), 16, 8, out
        )
    block = np.concatenate([np.array([len(values)], "<u8").view(np.uint8), values, lengths])
    with pytest.raises(FormatError):
        kernels.rle_decode_blocks(block, zero, int64s(len(block)), int64s(count), 16, 8, out)


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, 5), (5, 0), (2**63 - 1, 2**63 - 1), (0, -1)])
def test_bad_places_of_runs(kernels, offset, size):
    data, good, out = np.ones(4, np.uint8), (int64s(0), int64s(4)), np.empty(4, np.uint8)
    bad = (int64s(offset), int64s(size))
    for places in ((bad, good), (good, bad)):
        with pytest.raises(FormatError):
            kernels.rle_decode(data, *places[0], data, *places[1], int64s(4), 8, 8, out)


def test_lengths_of_half_a_value(kernels):
    with pytest.raises(FormatError):
        kernels.rle_decode(
            np.ones(4, np.uint8), int64s(0), int64s(4), np.ones(3, np.uint8), int64s(0), int64s(3), int64s(4), 32, 16,
            np.empty(16, np.uint8),
        )  # fmt: skip


def test_runs_into_an_output_of_another_size(kernels):
    values, lengths = np.ones(1, np.uint8), np.array([4], np.uint8)
    for size in (3, 5):
        with pytest.raises(ValueError, match="counts"):
            decode(kernels, values, lengths, int64s(4), 8, out=np.empty(size, np.uint8))
    with pytest.raises(ValueError, match="bits"):
        decode(kernels, values, lengths, int64s(4), 24, out=np.empty(12, np.uint8))
    with pytest.raises(ValueError, match="length_bits"):
        kernels.rle_decode(
            values,
            int64s(0),
            int64s(1),
            lengths,
            int64s(0),
            int64s(1),
            int64s(4),
            8,
            64,
            np.empty(4, np.uint8),
        )


def test_blocks_of_runs(kernels):
    values = np.repeat(np.array([0, 1, 0, 1, 1], "<u2"), [3, 1, 600, 7, 9])
    counts = int64s(4, 0, 616)
    out, sizes = np.empty(8 * 3 + 3 * 620, np.uint8), np.empty(3, np.int64)
    written = kernels.rle_encode_blocks(values, 16, counts, out, sizes)
    assert sizes.tolist() == [8 + 2 * 3, 8, 8 + 4 * 3]
    assert out[:14].tobytes().hex() == "0400000000000000000001000301"
    assert out[22:written].tobytes().hex() == "08000000000000000000000000000100ffff5a10"
    back = np.empty_like(values)
    kernels.rle_decode_blocks(out[:written].copy(), np.cumsum(sizes) - sizes, sizes, counts, 16, 8, back)
    assert np.array_equal(values, back)
    with pytest.raises(ValueError, match=r"small|counts"):
        kernels.rle_encode_blocks(values, 16, counts, out[: written - 1], sizes)


@pytest.mark.parametrize("block", ["", "00000000000000", "03000000000000000000", "ffffffffffffffff000001"])
def test_bad_headers_of_blocks_of_runs(kernels, block):
    data = bytes_of(block)
    with pytest.raises(FormatError):
        kernels.rle_decode_blocks(data, int64s(0), int64s(len(data)), int64s(1), 16, 8, np.empty(2, np.uint8))


def test_byte_stream_split_example(kernels):
    values = np.array([1, 2, 3, 4], "<f4")
    out = np.empty(16, np.uint8)
    kernels.bss_encode(values, int64s(4), 32, out)
    assert out.tobytes().hex() == "0000000000000000800040803f404040"


@pytest.mark.parametrize("bits", [32, 64])
def test_byte_stream_split_round_trip(kernels, bits):
    rng = np.random.default_rng(bits)
    values = rng.integers(0, 2**31, size=3333).astype(f"<u{bits // 8}") * 77777777
    counts = int64s(1024, 1, 0, 2000, 308)
    sizes = counts * (bits // 8)
    out, back = np.empty(values.nbytes, np.uint8), np.empty_like(values)
    kernels.bss_encode(values, counts, bits, out)
    twin = np.empty_like(out)
    reference.bss_encode(values, counts, bits, twin)
    assert np.array_equal(out, twin)
    kernels.bss_decode(out, np.cumsum(sizes) - sizes, sizes, counts, bits, back)
    assert np.array_equal(values, back)


@pytest.mark.parametrize(
    ("offset", "size", "count"), [(0, 15, 4), (0, 16, 3), (0, 16, 5), (1, 16, 4), (0, 16, -4)]
)
def test_bad_streams_and_flat_parts(kernels, offset, size, count):
    data, out = np.zeros(16, np.uint8), np.empty(16, np.uint8)
    for kernel in (kernels.bss_decode, kernels.flat_gather):
        with pytest.raises(FormatError):
            kernel(data, int64s(offset), int64s(size), int64s(count), 32, out)


@pytest.mark.parametrize("bits", [8, 24, 64, 104])
def test_flat_gather(kernels, bits):
    data = np.random.default_rng(1).integers(0, 256, size=2000, dtype=np.uint8)
    counts, offsets = int64s(3, 0, 10), int64s(7, 2000, 500)
    sizes = counts * (bits // 8)
    out = np.empty(13 * bits // 8, np.uint8)
    kernels.flat_gather(data, offsets, sizes, counts, bits, out)
    assert out.tobytes() == data[7 : 7 + sizes[0]].tobytes() + data[500 : 500 + sizes[2]].tobytes()
    for wrong in (out[:-1], np.empty(len(out) + 1, np.uint8)):
        with pytest.raises(ValueError, match="counts"):
            kernels.flat_gather(data, offsets, sizes, counts, bits, wrong)


def test_flat_gather_of_bits_is_a_bug_of_the_caller(kernels):
    with pytest.raises(ValueError, match="multiple of 8"):
        kernels.flat_gather(b"", int64s(), int64s(), int64s(), 12, np.empty(0, np.uint8))


def test_bitmaps_are_cut_and_joined(kernels):
    rng = np.random.default_rng(3)
    for _ in range(60):
        counts = rng.integers(0, 70, size=rng.integers(0, 9)).astype(np.int64)
        total = int(counts.sum())
        bits = rng.integers(0, 2, size=total, dtype=np.uint8)
        bitmap = np.packbits(bits, bitorder="little")
        sizes = -(-counts // 8)
        parts = np.full(int(sizes.sum()), 0xFF, np.uint8)
        kernels.flat_bits_encode(bitmap, counts, parts)
        offsets = np.cumsum(sizes) - sizes
        for start, offset, count in zip(np.cumsum(counts) - counts, offsets, counts, strict=True):
            part = np.unpackbits(parts[offset : offset + -(-count // 8)], bitorder="little")
            assert np.array_equal(part[:count], bits[start : start + count])
            assert not part[count:].any()
        back = np.full(len(bitmap), 0xFF, np.uint8)
        kernels.flat_bits_decode(parts, offsets, sizes, counts, back)
        assert np.array_equal(back, bitmap)


def test_spare_bits_of_a_file_are_dropped(kernels):
    out = np.full(1, 0xFF, np.uint8)
    kernels.flat_bits_decode(b"\xff\xff", int64s(0, 1), int64s(1, 1), int64s(3, 2), out)
    assert out.tolist() == [0b11111]


@pytest.mark.parametrize(
    ("offset", "size", "count"), [(0, 2, 8), (0, 1, 9), (2, 1, 8), (0, 1, -1), (0, 0, 1)]
)
def test_bad_bitmaps(kernels, offset, size, count):
    with pytest.raises(FormatError):
        kernels.flat_bits_decode(
            b"\x00\x00", int64s(offset), int64s(size), int64s(count), np.empty(2, np.uint8)
        )


def test_bitmaps_of_another_size(kernels):
    for size in (1, 3):
        with pytest.raises(ValueError, match="counts"):
            kernels.flat_bits_decode(b"\x00\x00", int64s(0), int64s(2), int64s(16), np.empty(size, np.uint8))
        with pytest.raises(ValueError, match="counts"):
            kernels.flat_bits_encode(b"\x00\x00", int64s(16), np.empty(size, np.uint8))
    for counts in (int64s(17), int64s(8), int64s(-1), int64s(2**62)):
        with pytest.raises(ValueError, match="counts"):
            kernels.flat_bits_encode(b"\x00\x00", counts, np.empty(2, np.uint8))


@pytest.mark.parametrize("row_bits", [1, 7, 8, 9, 16, 100, 3200])
@pytest.mark.parametrize("num_rows", [0, 1, 5, 33])
def test_fields_of_records(kernels, row_bits, num_rows):
    rng = np.random.default_rng(row_bits)
    bits = rng.integers(0, 2, size=(num_rows, row_bits), dtype=np.uint8)
    field_bytes = -(-row_bits // 8)
    record_bytes = field_bytes + 5
    bitmap = np.packbits(bits.reshape(-1), bitorder="little")
    records = np.full(num_rows * record_bytes, 0xAA, np.uint8)
    kernels.records_put(bitmap, num_rows, row_bits, record_bytes, 2, records)
    rows = records.reshape(num_rows, record_bytes)
    assert (rows[:, :2] == 0xAA).all()
    assert (rows[:, 2 + field_bytes :] == 0xAA).all()
    assert np.array_equal(rows[:, 2 : 2 + field_bytes], np.packbits(bits, axis=1, bitorder="little"))
    back = np.full(len(bitmap), 0xFF, np.uint8)
    kernels.records_get(records, num_rows, row_bits, record_bytes, 2, back)
    assert np.array_equal(back, bitmap)


@pytest.mark.parametrize(
    ("num_rows", "row_bits", "record_bytes", "position"),
    [
        (4, 8, 5, 0),
        (4, 8, 0, 0),
        (4, 33, 4, 0),
        (4, 8, 4, 4),
        (4, 8, 4, -1),
        (-4, 8, 4, 0),
        (4, -8, 4, 0),
        (4, 16, 4, 0),
        (4, 2**62, 4, 0),
    ],
)
def test_fields_that_do_not_fit(kernels, num_rows, row_bits, record_bytes, position):
    records, bitmap = np.zeros(16, np.uint8), np.zeros(4, np.uint8)
    with pytest.raises(ValueError, match=r"record|rows|field"):
        kernels.records_put(bitmap, num_rows, row_bits, record_bytes, position, records)
    with pytest.raises(ValueError, match=r"record|rows|field"):
        kernels.records_get(records, num_rows, row_bits, record_bytes, position, bitmap)
