from __future__ import annotations

import numpy as np
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference

native = pytest.importorskip("lancelet._native")

CHUNK_32 = "14000000 16000000 16000000 19000000 1a000000 616263646566 4848"
CHUNK_64 = (
    "2800000000000000 2a00000000000000 2a00000000000000 2d00000000000000 2e00000000000000 616263646566 4848"
)
BLOCK_32 = "20000000 1c000000 00000000 01000000 03000000 06000000 07000000 61626263636365"
BLOCK_64 = (
    "4000000000000000 3800000000000000 0000000000000000 0100000000000000 0300000000000000 0600000000000000 "
    "0700000000000000 61626263636365"
)
# Written by pylance 0.36.0 in 2.1 files.
EARLY_32 = "20 04000000 1d000000 00000000 01000000 03000000 06000000 07000000 61626263636365"
EARLY_64 = (
    "40 0400000000000000 3900000000000000 0000000000000000 0100000000000000 0300000000000000 0600000000000000 "
    "0700000000000000 61626263636365"
)
EXAMPLES = [
    pytest.param(32, False, ["ab", "", "cde", "f"], CHUNK_32, id="chunk32"),
    pytest.param(64, False, ["ab", "", "cde", "f"], CHUNK_64, id="chunk64"),
    pytest.param(32, True, ["a", "bb", "ccc", "e"], BLOCK_32, id="block32"),
    pytest.param(64, True, ["a", "bb", "ccc", "e"], BLOCK_64, id="block64"),
]


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    return native if request.param == "native" else reference


def unaligned(data):
    """The same bytes at an odd address, in an array of exactly their size."""
    raw = np.frombuffer(bytes(data), np.uint8)
    out = np.empty(len(raw) + 1, np.uint8)[1:]
    out[:] = raw
    return out


def values_of(lengths, bits, start=0):
    offsets = (np.cumsum([0, *lengths]) + start).astype(f"<u{bits // 8}")
    rng = np.random.default_rng(len(lengths))
    return rng.integers(0, 256, int(offsets[-1]) + 3, dtype=np.uint8), offsets


def cut(kernels, offsets, bits, target=4096, most=4096):
    counts = np.full(len(offsets) // 2, -1, np.int64)
    num_chunks = kernels.variable_cut(unaligned(offsets), bits, target, most, counts)
    assert (counts[num_chunks:] == -1).all()
    return counts[:num_chunks].copy()


def encode(kernels, data, offsets, bits, counts, is_block):
    width = bits // 8
    num_bytes = int(offsets[-1]) - int(offsets[0])
    out = np.zeros(num_bytes + (len(offsets) - 1 + 4 * len(counts)) * width, np.uint8)
    sizes = np.zeros(len(counts), np.int64)
    written = kernels.variable_encode(data, unaligned(offsets), bits, counts, is_block, out, sizes)
    assert written == sizes.sum()
    return out[:written].copy(), sizes


def decode(kernels, data, offsets, sizes, counts, bits, is_block):
    parts = (data, np.asarray(offsets, np.int64), np.asarray(sizes, np.int64), np.asarray(counts, np.int64))
    out_offsets = np.zeros(int(parts[3].sum()) + 1, f"<u{bits // 8}")
    total = kernels.variable_decode_offsets(*parts, bits, is_block, out_offsets)
    assert total == out_offsets[-1]
    out = np.zeros(total, np.uint8)
    kernels.variable_decode(*parts, bits, is_block, out)
    return out, out_offsets


@pytest.mark.parametrize(("bits", "is_block", "texts", "expected"), EXAMPLES)
def test_examples_of_the_format(kernels, bits, is_block, texts, expected):
    expected = bytes.fromhex(expected)
    data = np.frombuffer("".join(texts).encode(), np.uint8)
    offsets = np.cumsum([0, *map(len, texts)]).astype(f"<u{bits // 8}")
    counts = np.array([len(texts)])
    encoded, sizes = encode(kernels, data, offsets, bits, counts, is_block)
    assert encoded.tobytes() == expected
    assert sizes.tolist() == [len(expected)]
    got, got_offsets = decode(kernels, unaligned(expected), [0], sizes, counts, bits, is_block)
    assert got.tobytes() == data.tobytes()
    assert got_offsets.tolist() == offsets.tolist()


@pytest.mark.parametrize(("bits", "example"), [(32, EARLY_32), (64, EARLY_64)])
def test_early_blocks(kernels, bits, example):
    data = bytes.fromhex(example)
    got, got_offsets = decode(kernels, unaligned(data), [0], [len(data)], [4], bits, True)
    assert got.tobytes() == b"abbccce"
    assert got_offsets.tolist() == [0, 1, 3, 6, 7]
    width = bits // 8
    for bad, count in (
        (data, 3),
        (data, 5),
        (b"\x08" + data[1:], 4),
        (corrupt(1, 5, bits, data), 4),
        (corrupt(1 + width, 3, bits, data), 4),
        (corrupt(1 + 2 * width, 1, bits, data), 4),
        (data[:-1], 4),
        (data[: 1 + 7 * width - 1], 4),
    ):
        with pytest.raises(FormatError):
            decode(kernels, unaligned(bad), [0], [len(bad)], [count], bits, True)


@pytest.mark.parametrize("is_block", [False, True])
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("start", [0, 5])
def test_round_trip_of_many_parts(kernels, bits, is_block, start):
    rng = np.random.default_rng(7)
    data, offsets = values_of(rng.integers(0, 30, 500), bits, start)
    counts = cut(kernels, offsets, bits, target=512)
    encoded, sizes = encode(kernels, data, offsets, bits, counts, is_block)
    twin, twin_sizes = encode(reference, data, offsets, bits, counts, is_block)
    assert encoded.tobytes() == twin.tobytes()
    assert sizes.tolist() == twin_sizes.tolist()
    part_offsets = np.cumsum(sizes) - sizes
    got, got_offsets = decode(kernels, unaligned(encoded), part_offsets, sizes, counts, bits, is_block)
    assert got.tobytes() == data[offsets[0] : offsets[-1]].tobytes()
    assert got_offsets.tolist() == (offsets - offsets[0]).tolist()
    chosen = [3, 1, 1, 7]
    got, got_offsets = decode(
        kernels, encoded, part_offsets[chosen], sizes[chosen], counts[chosen], bits, is_block
    )
    firsts = np.cumsum(counts) - counts
    expected = b"".join(data[offsets[firsts[i]] : offsets[firsts[i] + counts[i]]].tobytes() for i in chosen)
    assert got.tobytes() == expected


def test_no_values(kernels):
    offsets = np.zeros(1, "<u4")
    assert cut(kernels, offsets, 32).tolist() == []
    encoded, sizes = encode(kernels, b"", offsets, 32, np.array([0]), False)
    assert encoded.tobytes() == bytes([4, 0, 0, 0])
    assert decode(kernels, encoded, [0], sizes, [0], 32, False)[1].tolist() == [0]
    assert decode(kernels, b"", [], [], [], 32, False)[1].tolist() == [0]


@pytest.mark.parametrize(
    ("num_values", "length", "target", "most", "expected"),
    [
        # Counts that the reference wrote for these values: target and limit of the doubling, and the last chunk.
        (20000, 43 + 6, 4096, 4096, [64] * 312 + [32]),
        (20000, 9, 4096, 4096, [256] * 77 + [288]),
        (20000, 6, 65536, 4096, [2048] * 8 + [3616]),
        (4095, 6, 1000000, 4096, [4095]),
        (4096, 6, 1000000, 4096, [2048, 2048]),
        (6143, 6, 1000000, 4096, [2048, 4095]),
        (2047, 6, 1000000, 1024, [512, 512, 1023]),
        (5, 100, 3, 4096, [2, 2, 1]),
        (4, 5000, 4096, 4096, [2, 2]),
        (3, 1, 4096, 1, [2, 1]),
        (1, 5000, 4096, 4096, [1]),
    ],
)
def test_cut(kernels, num_values, length, target, most, expected):
    offsets = (np.arange(num_values + 1) * length + 11).astype("<u4")
    assert cut(kernels, offsets, 32, target, most).tolist() == expected


def test_cut_of_random_lengths_equals_the_twin():
    rng = np.random.default_rng(3)
    for _ in range(50):
        lengths = rng.integers(0, rng.choice([1, 5, 100, 6000]) + 1, rng.integers(1, 400))
        bits = int(rng.choice([32, 64]))
        _, offsets = values_of(lengths, bits)
        target = int(rng.choice([0, 100, 4096, 100000]))
        counts = cut(native, offsets, bits, target, 128)
        assert counts.sum() == len(lengths)
        assert counts.tolist() == cut(reference, offsets, bits, target, 128).tolist()


@pytest.mark.parametrize("bits", [32, 64])
def test_rebase(kernels, bits):
    offsets = np.array([7, 7, 9, 400], f"<u{bits // 8}")
    out = np.zeros(4, f"<u{bits // 8}")
    kernels.variable_rebase(unaligned(offsets), bits, out)
    assert out.tolist() == [0, 0, 2, 393]


def corrupt(position, number, bits, data):
    data = bytearray(data)
    data[position : position + bits // 8] = number.to_bytes(bits // 8, "little")
    return bytes(data)


def corrupt_parts():
    for bits, is_block, example in (
        (32, False, CHUNK_32),
        (64, False, CHUNK_64),
        (32, True, BLOCK_32),
        (64, True, BLOCK_64),
    ):
        data = bytes.fromhex(example)
        width = bits // 8
        header = 2 * width if is_block else 0
        last = header + 4 * width
        end = len(data) - last - width + (0 if is_block else 5 * width)
        cases = {
            "first offset": corrupt(header, 5 * width + (not is_block), bits, data),
            "decreasing": corrupt(header + width, end, bits, data),
            "past the end": corrupt(last, end + 1, bits, data),
            "largest offset": corrupt(last, 2**bits - 1, bits, data),
            "before the first": corrupt(last, 0, bits, corrupt(header, 1, bits, data)),
            "no room for offsets": data[: last + width - 1],
            "empty": b"",
        }
        if is_block:
            cases["width"] = corrupt(0, 8, bits, data)
            cases["position"] = corrupt(width, 2**bits - 1, bits, data)
        for name, bad in cases.items():
            yield pytest.param(bits, is_block, bad, id=f"{'block' if is_block else 'chunk'}{bits}-{name}")


@pytest.mark.parametrize(("bits", "is_block", "data"), list(corrupt_parts()))
def test_corrupt_parts(kernels, bits, is_block, data):
    with pytest.raises(FormatError):
        decode(kernels, unaligned(data), [0], [len(data)], [4], bits, is_block)


@pytest.mark.parametrize(
    ("offset", "size", "count"),
    [(-1, 28, 4), (0, -1, 4), (0, 29, 4), (2**62, 28, 4), (0, 2**62, 4), (0, 28, 7)],
)
def test_parts_outside_of_the_data(kernels, offset, size, count):
    with pytest.raises(FormatError):
        decode(kernels, unaligned(bytes.fromhex(CHUNK_32)), [offset], [size], [count], 32, False)


def test_copying_checks_again(kernels):
    data = corrupt(16, 100, 32, bytes.fromhex(CHUNK_32))
    with pytest.raises(FormatError):
        kernels.variable_decode(
            data, np.array([0]), np.array([28]), np.array([4]), 32, False, np.zeros(6, np.uint8)
        )


def test_values_together_too_long(kernels):
    # Parts may overlap, so a small file can promise more than 2^31 bytes.
    size = 1 << 20
    data = np.zeros(size, np.uint8)
    data[:8].view("<u4")[:] = (8, size)
    zeros, sizes, counts = np.zeros(2100, np.int64), np.full(2100, size), np.ones(2100, np.int64)
    with pytest.raises(FormatError):
        kernels.variable_decode_offsets(data, zeros, sizes, counts, 32, False, np.zeros(2101, "<u4"))


def test_broken_contracts(kernels):
    data, offsets = values_of([3, 4], 32)
    part = bytes.fromhex(CHUNK_32)
    one = np.array([0]), np.array([28]), np.array([4])
    for call in (
        lambda: kernels.variable_cut(offsets, 16, 10, 10, np.zeros(1, np.int64)),
        lambda: kernels.variable_cut(offsets, 32, 10, 10, np.zeros(2, np.int64)),
        lambda: kernels.variable_cut(offsets, 32, -1, 10, np.zeros(1, np.int64)),
        lambda: kernels.variable_cut(offsets[::-1].copy(), 32, 10, 10, np.zeros(1, np.int64)),
        lambda: kernels.variable_cut(b"", 32, 10, 10, np.zeros(0, np.int64)),
        lambda: encode(kernels, data, offsets, 32, np.array([1]), False),
        lambda: encode(kernels, data, offsets, 32, np.array([3]), False),
        lambda: encode(kernels, data, offsets, 32, np.array([3, -1]), False),
        lambda: encode(kernels, data[:6], offsets, 32, np.array([2]), False),
        lambda: encode(kernels, data, np.array([0, 5, 4], "<u4"), 32, np.array([2]), False),
        lambda: encode(kernels, data, np.array([0, 9, 4], "<u4"), 32, np.array([1, 1]), False),
        lambda: kernels.variable_encode(
            data, offsets, 32, np.array([2]), False, np.zeros(7, np.uint8), np.zeros(1, np.int64)
        ),
        lambda: kernels.variable_decode_offsets(part, *one, 32, False, np.zeros(4, "<u4")),
        lambda: kernels.variable_decode_offsets(part, *one, 33, False, np.zeros(5, "<u4")),
        lambda: kernels.variable_decode(part, *one, 32, False, np.zeros(5, np.uint8)),
        lambda: kernels.variable_decode(part, *one, 32, False, np.zeros(7, np.uint8)),
        lambda: kernels.variable_rebase(offsets, 32, np.zeros(2, "<u4")),
    ):
        with pytest.raises(ValueError):
            call()
