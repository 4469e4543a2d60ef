from __future__ import annotations

import numpy as np
import pytest

from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.codecs.base import ChunkLimits
from lancelet.codecs.binary import Variable
from lancelet.codecs.bitpack import InlineBitpacking
from lancelet.codecs.bss import ByteStreamSplit
from lancelet.codecs.flat import Flat
from lancelet.errors import FormatError
from lancelet.kernels import reference

native = pytest.importorskip("lancelet._native")


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    return native if request.param == "native" else reference


def i64(values):
    return np.array(values, dtype=np.int64)


def random_ranges(rng, num_values, density):
    """Sorted, disjoint ranges, some of them empty or adjacent."""
    num_ranges = int(rng.integers(0, max(2, int(num_values * density))))
    borders = np.sort(rng.integers(0, num_values + 1, 2 * num_ranges))
    return i64(borders[::2]), i64(borders[1::2])


def chosen(starts, stops):
    parts = [np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)]
    return np.concatenate([i64([]), *parts]).astype(np.int64)


def spans_of(encoded):
    ((data, sizes),) = encoded.buffers
    data = np.frombuffer(memoryview(data), np.uint8)
    return data, i64(np.cumsum(sizes) - sizes), i64(sizes), encoded.counts


DENSITIES = [0.001, 0.02, 0.3, 1.0]


@pytest.mark.parametrize("bits", [1, 8, 16, 24, 32, 64, 128])
def test_values_of_one_width(kernels, bits):
    rng = np.random.default_rng(bits)
    for num_values in (0, 1, 7, 300):
        data = rng.integers(0, 256, -(-num_values * bits // 8), dtype=np.uint8)
        for density in DENSITIES:
            starts, stops = random_ranges(rng, num_values, density)
            wanted = chosen(starts, stops)
            out = np.full(-(-len(wanted) * bits // 8), 0xEE, dtype=np.uint8)
            kernels.pick_fixed(data, bits, starts, stops, out)
            if bits == 1:
                values = np.unpackbits(data, bitorder="little")[wanted]
                assert out.tobytes() == np.packbits(values, bitorder="little").tobytes()
            else:
                assert out.tobytes() == data.reshape(-1, bits // 8)[wanted].tobytes()


@pytest.mark.parametrize("offset_bits", [32, 64])
def test_values_of_any_length(kernels, offset_bits):
    rng = np.random.default_rng(offset_bits)
    lengths = rng.integers(0, 9, 500)
    offsets = (np.concatenate(([0], np.cumsum(lengths))) + 3).astype(f"<u{offset_bits // 8}")
    data = rng.integers(0, 256, int(offsets[-1]), dtype=np.uint8)
    for density in DENSITIES:
        starts, stops = random_ranges(rng, 500, density)
        wanted = chosen(starts, stops)
        out_offsets = np.empty(len(wanted) + 1, dtype=offsets.dtype)
        raw = offsets.view(np.uint8)
        size = kernels.pick_variable_offsets(raw, offset_bits, starts, stops, out_offsets.view(np.uint8))
        out = np.empty(size, dtype=np.uint8)
        kernels.pick_variable(data, raw, offset_bits, starts, stops, out)
        assert np.diff(out_offsets).tolist() == lengths[wanted].tolist()
        assert out.tobytes() == b"".join(data[offsets[i] : offsets[i + 1]].tobytes() for i in wanted)


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_packed_and_flat_and_split_chunks(kernels, bits):
    rng = np.random.default_rng(bits)
    widths = range(bits + 1) if bits < 32 else [0, 1, 3, 7, 8, 13, 16, 17, 29, bits - 1, bits]
    for width in widths:
        num_values = int(rng.integers(1, 5000))
        high = 1 << min(width, 62)
        values = rng.integers(0, high, num_values, dtype=np.int64).astype(f"<u{bits // 8}")
        if width >= 63:
            values |= values.dtype.type(1 << (width - 1))
        block = FixedWidth(bits, num_values, values.view(np.uint8))
        cases = [(kernels.inline_pick, InlineBitpacking(bits)), (kernels.flat_pick, Flat(bits))]
        if bits >= 32:
            cases.append((kernels.bss_pick, ByteStreamSplit(Flat(bits))))
        for density in DENSITIES:
            starts, stops = random_ranges(rng, num_values, density)
            wanted = chosen(starts, stops)
            for pick, codec in cases:
                data, offsets, sizes, counts = spans_of(codec.encode_chunks(block, ChunkLimits()))
                out = np.empty(len(wanted), dtype=values.dtype)
                pick(data, offsets, sizes, counts, bits, starts, stops, out.view(np.uint8))
                assert out.tolist() == values[wanted].tolist()


@pytest.mark.parametrize("offset_bits", [32, 64])
def test_variable_chunks(kernels, offset_bits):
    rng = np.random.default_rng(offset_bits)
    lengths = rng.integers(0, 30, 2000)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(f"<u{offset_bits // 8}")
    values = rng.integers(0, 256, int(offsets[-1]), dtype=np.uint8)
    block = VariableWidth(offset_bits, 2000, offsets, values)
    parts = spans_of(Variable(offset_bits).encode_chunks(block, ChunkLimits(target_bytes=512)))
    for density in DENSITIES:
        starts, stops = random_ranges(rng, 2000, density)
        wanted = chosen(starts, stops)
        out_offsets = np.empty(len(wanted) + 1, dtype=offsets.dtype)
        picks = (*parts, offset_bits, starts, stops)
        out = np.empty(kernels.variable_pick_offsets(*picks, out_offsets.view(np.uint8)), dtype=np.uint8)
        kernels.variable_pick(*picks, out)
        assert np.diff(out_offsets).tolist() == lengths[wanted].tolist()
        assert out.tobytes() == b"".join(values[offsets[i] : offsets[i + 1]].tobytes() for i in wanted)


@pytest.mark.parametrize("has_def", [False, True])
def test_rows_of_levels(kernels, has_def):
    rng = np.random.default_rng(has_def)
    for num_rows in (0, 1, 5, 400):
        rep = [np.array([2, *rng.integers(0, 2, rng.integers(0, 20))]) for _ in range(num_rows)]
        rep = np.concatenate([i64([]), *rep]).astype(np.uint16)
        def_ = rng.integers(0, 4, len(rep)).astype(np.uint16) if has_def else np.zeros(0, np.uint16)
        visible = def_ <= 2 if has_def else np.ones(len(rep), dtype=bool)
        row_of = np.cumsum(rep == 2) - 1
        for density in DENSITIES:
            starts, stops = random_ranges(rng, num_rows, density)
            found = np.empty((4, len(starts)), dtype=np.int64)
            kernels.select_rows(rep, def_, 2, 2, starts, stops, found)
            for start, stop, (first, last, first_slot, last_slot) in zip(starts, stops, found.T, strict=True):
                inside = np.flatnonzero((row_of >= start) & (row_of < stop))
                assert np.arange(first, last).tolist() == inside.tolist()
                assert last_slot - first_slot == visible[first:last].sum()
                assert first_slot == visible[:first].sum()


def broken_ranges(num_values):
    return [
        (i64([2]), i64([1])),
        (i64([-1]), i64([1])),
        (i64([0, 1]), i64([2, 3])),
        (i64([0]), i64([num_values + 1])),
        (i64([0]), i64([1, 2])),
    ]


def test_ranges_outside_or_out_of_order_are_a_bug_of_the_caller(kernels):
    values = np.arange(8, dtype=np.uint32)
    parts = spans_of(Flat(32).encode_chunks(FixedWidth(32, 8, values.view(np.uint8)), ChunkLimits()))
    packed = spans_of(
        InlineBitpacking(32).encode_chunks(FixedWidth(32, 8, values.view(np.uint8)), ChunkLimits())
    )
    offsets = np.arange(9, dtype=np.uint32).view(np.uint8)
    rep = np.ones(8, dtype=np.uint16)
    for starts, stops in broken_ranges(8):
        size = max(int((stops - starts[: len(stops)]).sum()), 0) if len(starts) == len(stops) else 1
        out = np.empty(4 * size, dtype=np.uint8)
        with pytest.raises(ValueError, match=r"picks|\w"):
            kernels.pick_fixed(values, 32, starts, stops, out)
        with pytest.raises(ValueError, match=r"picks|\w"):
            kernels.flat_pick(*parts, 32, starts, stops, out)
        with pytest.raises(ValueError, match=r"picks|\w"):
            kernels.inline_pick(*packed, 32, starts, stops, out)
        with pytest.raises(ValueError, match=r"picks|\w"):
            kernels.pick_variable_offsets(offsets, 32, starts, stops, np.empty(4 * size + 4, np.uint8))
        with pytest.raises(ValueError, match=r"picks|\w"):
            kernels.pick_variable(values, offsets, 32, starts, stops, np.empty(size, np.uint8))
        with pytest.raises(ValueError, match=r"row|picks|\w"):
            kernels.select_rows(rep, rep[:0], 1, 0, starts, stops, np.empty(4 * len(starts), np.int64))


def test_outputs_of_a_wrong_size(kernels):
    values = np.arange(8, dtype=np.uint32)
    block = FixedWidth(32, 8, values.view(np.uint8))
    one = (i64([3]), i64([4]))
    for codec, name in (
        (Flat(32), "flat_pick"),
        (InlineBitpacking(32), "inline_pick"),
        (ByteStreamSplit(Flat(32)), "bss_pick"),
    ):
        parts = spans_of(codec.encode_chunks(block, ChunkLimits()))
        for size in (0, 3, 8):
            with pytest.raises(ValueError, match="out"):
                getattr(kernels, name)(*parts, 32, *one, np.empty(size, np.uint8))
    for size in (0, 3, 8):
        with pytest.raises(ValueError, match="out"):
            kernels.pick_fixed(values, 32, *one, np.empty(size, np.uint8))
    with pytest.raises(ValueError, match="range"):
        kernels.select_rows(np.ones(3, np.uint16), np.zeros(0, np.uint16), 1, 0, *one, np.empty(3, np.int64))


def test_chunks_are_checked_whole(kernels):
    """What decoding refuses is refused, also where only the first value is wanted."""
    one, values = (i64([0]), i64([1])), np.arange(2000, dtype=np.uint32)
    block = FixedWidth(32, 2000, values.view(np.uint8))
    out = np.empty(4, np.uint8)
    data, offsets, sizes, counts = spans_of(InlineBitpacking(32).encode_chunks(block, ChunkLimits()))
    wide = data.copy()
    wide[int(offsets[1])] = 33
    for broken in (
        (wide, offsets, sizes),
        (data, offsets, sizes - 1),
        (data, offsets + 8, sizes),
        (data[:-1], offsets, sizes),
    ):
        with pytest.raises(FormatError):
            kernels.inline_pick(*broken, counts, 32, *one, out)
    with pytest.raises(FormatError):
        kernels.inline_pick(data, offsets, sizes, counts + 1000, 32, *one, out)
    for codec, name in ((Flat(32), "flat_pick"), (ByteStreamSplit(Flat(32)), "bss_pick")):
        data, offsets, sizes, counts = spans_of(codec.encode_chunks(block, ChunkLimits()))
        pick = getattr(kernels, name)
        for broken in (
            (offsets, sizes, counts + 1),
            (offsets, sizes - 1, counts),
            (offsets + 4, sizes, counts),
        ):
            with pytest.raises(FormatError):
                pick(data, *broken, 32, *one, out)


@pytest.mark.parametrize("offset_bits", [32, 64])
def test_offsets_of_chunks_are_checked_whole(kernels, offset_bits):
    dtype = f"<u{offset_bits // 8}"
    offsets = np.arange(0, 33, 4).astype(dtype)
    block = VariableWidth(offset_bits, 8, offsets, bytes(32))
    data, *spans = spans_of(Variable(offset_bits).encode_chunks(block, ChunkLimits()))
    one = (i64([0]), i64([1]))
    out = np.empty(2, dtype=dtype).view(np.uint8)
    assert kernels.variable_pick_offsets(data, *spans, offset_bits, *one, out) == 4
    for place, value in ((5, 0), (5, 1000), (0, 7), (8, 1 << 31)):
        broken = data.copy()
        broken[: 9 * offset_bits // 8].view(dtype)[place] = value
        with pytest.raises(FormatError):
            kernels.variable_pick_offsets(broken, *spans, offset_bits, *one, out)
    with pytest.raises(FormatError):
        kernels.pick_variable_offsets(np.array([4, 3], dtype=dtype).view(np.uint8), offset_bits, *one, out)
    with pytest.raises(FormatError):
        kernels.pick_variable(
            bytes(4), np.array([4, 8], dtype=dtype).view(np.uint8), offset_bits, *one, bytearray(4)
        )
