"""Bit-packing kernels, both implementations: vectors of compressors.md 3.1, round trips of every width, corrupt input."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference

WORDS = (8, 16, 32, 64)
PAIRS = [(bits, width) for bits in WORDS for width in range(bits + 1)]

# T, W, first 16 bytes and CRC-32 of the packed block of (i * 2654435761) & (2**W - 1)
VECTORS = [
    (8, 1, "00ff00ff00ff00ff00ff00ff00ff00ff", 0x37B0AE2E),
    (8, 3, "004992db246db6ff004992db246db6ff", 0x5181CB89),
    (8, 7, "00b1629344f526d708b96a9b4cfd2edf", 0x4E883150),
    (16, 5, "000031c6420873ce8410b5d6c618f7de", 0xC19D7F18),
    (16, 11, "0000b1896213139dc42675a82632d7bb", 0x787EF7F8),
    (32, 4, "00000000111111112222222233333333", 0xB7866B47),
    (32, 10, "00000210b1c5186b628b2f86134d36e1", 0x62501D76),
    (32, 17, "000000b1b17963a462f3c497136d268b", 0x0A9BFCDD),
    (32, 31, "00000000b179379e62f36e3c136da6da", 0xBDDBD773),
    (64, 13, "0000100344c00420b13946c6aa9811bb", 0x8A222B18),
    (64, 33, "0000000000b17937b179379e62a4e873", 0xF92CACF6),
    (64, 63, "0000000000000000b179379e00000080", 0x367D0B10),
]


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    if request.param == "reference":
        return reference
    return pytest.importorskip("lancelet._native", reason="the kernels were not compiled")


def int64s(*values):
    return np.array(values, dtype=np.int64)


def random_values(rng, bits, width, count):
    if width == 0:
        return np.zeros(count, dtype=f"<u{bits // 8}")
    return (
        rng.integers(0, 1 << width, size=count, dtype=np.uint64).astype(f"<u{bits // 8}")
        if width < 64
        else (rng.integers(0, np.iinfo(np.uint64).max, size=count, dtype=np.uint64, endpoint=True))
    )


def pack_one(kernels, values, bits, width):
    out = np.empty(bits // 8 + 128 * width, dtype=np.uint8)
    written = kernels.inline_pack(values, int64s(len(values)), bits, np.array([width], dtype=np.uint8), out)
    assert written == len(out)
    assert int.from_bytes(out[: bits // 8].tobytes(), "little") == width
    return out[bits // 8 :]


@pytest.mark.parametrize(("bits", "width", "start", "crc"), VECTORS)
def test_vectors(kernels, bits, width, start, crc):
    values = ((np.arange(1024, dtype=np.uint64) * 2654435761) & ((1 << width) - 1)).astype(f"<u{bits // 8}")
    packed = pack_one(kernels, values, bits, width)
    assert packed[:16].tobytes().hex() == start
    assert zlib.crc32(packed) == crc


@pytest.mark.parametrize(("bits", "crc"), [(16, 0x4F599626), (32, 0x9AC98679), (64, 0x850CDBA3)])
def test_vector_of_the_first_numbers(kernels, bits, crc):
    assert zlib.crc32(pack_one(kernels, np.arange(1024, dtype=f"<u{bits // 8}"), bits, 10)) == crc


@pytest.mark.parametrize("bits", WORDS)
def test_place_of_a_single_bit(kernels, bits):
    sixteen = {8: 16, 16: 32, 32: 64, 64: 4}[bits]
    for element, place, byte in ((1, bits // 8, 1), (128, 0, 2), (1023, 127, 0x80), (16, sixteen, 1)):
        values = np.zeros(1024, dtype=f"<u{bits // 8}")
        values[element] = 1
        packed = pack_one(kernels, values, bits, 1)
        assert packed[place] == byte
        assert np.count_nonzero(packed) == 1


@pytest.mark.parametrize(("bits", "width"), PAIRS)
def test_inline_round_trip_of_every_width_and_both_agree(bits, width):
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(bits * 100 + width)
    values = random_values(rng, bits, width, 2500)
    counts = int64s(1024, 1024, 452)
    size = bits // 8 + 128 * width
    written, unpacked = [], []
    for kernels in (native, reference):
        out = np.empty(3 * size, dtype=np.uint8)
        assert kernels.inline_pack(values, counts, bits, np.full(3, width, np.uint8), out) == len(out)
        back = np.empty_like(values)
        kernels.inline_unpack(out, np.arange(3) * size, int64s(size, size, size), counts, bits, back)
        written.append(out)
        unpacked.append(back)
    assert np.array_equal(*written)
    assert all(np.array_equal(values, back) for back in unpacked)


@pytest.mark.parametrize(("bits", "width"), PAIRS)
def test_out_of_line_round_trip_of_every_width_and_both_agree(bits, width):
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(bits * 100 + width)
    counts = int64s(2048, 1, 0, 1023, 1500, 1024 + min(1023, width * 1024 // bits))
    values = random_values(rng, bits, width, int(counts.sum()))
    results = []
    for kernels in (native, reference):
        out, sizes = np.zeros(values.nbytes + 8192, dtype=np.uint8), np.empty(len(counts), dtype=np.int64)
        written = kernels.out_of_line_pack(values, counts, bits, width, out, sizes)
        assert written == sizes.sum()
        exact, back = out[:written].copy(), np.empty_like(values)
        kernels.out_of_line_unpack(exact, np.cumsum(sizes) - sizes, sizes, counts, bits, width, back)
        assert np.array_equal(values, back)
        results.append((exact, sizes))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize(("bits", "width"), [(8, 3), (16, 1), (32, 31), (64, 62)])
def test_tails(kernels, bits, width):
    rng = np.random.default_rng(1)
    words = 1024 * width // bits
    for count in [*range(1, 1026, 97), words - 1, words, words + 1, 1023, 1024, 1025]:
        values = random_values(rng, bits, width, count)
        out, sizes = np.empty(2 * 128 * bits, dtype=np.uint8), np.empty(1, dtype=np.int64)
        written = kernels.out_of_line_pack(values, int64s(count), bits, width, out, sizes)
        tail = count % 1024
        assert written == count // 1024 * 128 * width + min(tail * bits // 8, 128 * width)
        if 0 < tail <= words:
            assert out[written - tail * bits // 8 : written].tobytes() == values[-tail:].tobytes()
        back = np.empty_like(values)
        kernels.out_of_line_unpack(out[:written].copy(), int64s(0), sizes, int64s(count), bits, width, back)
        assert np.array_equal(values, back)


def test_all_inline_tails(kernels):
    rng = np.random.default_rng(2)
    step = 1 if kernels is not reference else 61
    for count in range(0, 1025, step):
        values = random_values(rng, 16, 11, count)
        packed = np.concatenate([np.frombuffer(b"\x0b\x00", np.uint8), pack_one(kernels, values, 16, 11)])
        back = np.empty_like(values)
        kernels.inline_unpack(packed, int64s(0), int64s(len(packed)), int64s(count), 16, back)
        assert np.array_equal(values, back)


def test_a_raw_tail_is_told_by_its_length(kernels):
    # Packing would need 64 words for 100 values; a writer may leave them raw, and a reader sees it by the size.
    values = np.arange(100, dtype="<u2")
    back = np.empty_like(values)
    kernels.out_of_line_unpack(values, int64s(0), int64s(200), int64s(100), 16, 1, back)
    assert np.array_equal(values, back)


@pytest.mark.parametrize("bits", WORDS)
def test_bit_widths(kernels, bits):
    values = np.zeros(3000, dtype=f"<u{bits // 8}")
    values[1023] = 1
    values[2048:] = np.iinfo(values.dtype).max
    out = np.empty(3, dtype=np.uint8)
    kernels.bit_widths(values, bits, out)
    assert out.tolist() == [1, 0, bits]
    for width in range(bits + 1):
        one = np.array([0, 0, (1 << width) - 1, 0, 0], dtype=values.dtype)
        kernels.bit_widths(one, bits, out[:1])
        assert out[0] == width


def test_block_widths(kernels):
    values = np.array([1, 2, 3, 255, 0, 0, 16], dtype=np.uint8)
    out = np.empty(5, dtype=np.uint8)
    kernels.block_widths(values, int64s(3, 1, 0, 2, 1), 8, out)
    assert out.tolist() == [2, 8, 0, 0, 5]


def good_block():
    """A packed block of 1024 u32 of width 4 behind 3 other bytes."""
    values = np.arange(1024, dtype="<u4") & 15
    block = np.concatenate([np.array([4, 0, 0, 0], np.uint8), pack_one(reference, values, 32, 4)])
    return np.concatenate([np.zeros(3, np.uint8), block])


@pytest.mark.parametrize(
    ("offset", "size", "count"),
    [
        (3, 515, 1024),
        (3, 517, 1024),
        (4, 516, 1024),
        (-1, 516, 1024),
        (3, -1, 1024),
        (3, 2**62, 1024),
        (2**63 - 1, 516, 1024),
        (3, 3, 1024),
        (3, 0, 0),
        (3, 516, 1025),
        (3, 516, -1),
    ],
)
def test_bad_inline_blocks(kernels, offset, size, count):
    out = np.empty(4 * max(count, 0), dtype=np.uint8)
    with pytest.raises(FormatError):
        kernels.inline_unpack(good_block(), int64s(offset), int64s(size), int64s(count), 32, out)


@pytest.mark.parametrize(
    "header", [[33, 0, 0, 0], [4, 1, 0, 0], [255, 255, 255, 255], [5, 0, 0, 0], [3, 0, 0, 0]]
)
def test_bad_inline_headers(kernels, header):
    data = good_block()
    data[3:7] = header
    with pytest.raises(FormatError):
        kernels.inline_unpack(data, int64s(3), int64s(516), int64s(1024), 32, np.empty(4096, np.uint8))


@pytest.mark.parametrize(
    ("count", "size"),
    [(1024, 127), (1024, 129), (1500, 128), (1500, 255), (1500, 257), (5, 9), (5, 11), (0, 1)],
)
def test_bad_out_of_line_sizes(kernels, count, size):
    data = np.zeros(size, dtype=np.uint8)
    with pytest.raises(FormatError):
        kernels.out_of_line_unpack(
            data, int64s(0), int64s(size), int64s(count), 16, 1, np.empty(2 * count, np.uint8)
        )


@pytest.mark.parametrize(("offset", "size"), [(-1, 128), (1, 128), (0, 2**63 - 1)])
def test_bad_out_of_line_places(kernels, offset, size):
    data = np.zeros(128, dtype=np.uint8)
    with pytest.raises(FormatError):
        kernels.out_of_line_unpack(
            data, int64s(offset), int64s(size), int64s(1024), 16, 1, np.empty(2048, np.uint8)
        )


def test_broken_contracts(kernels):
    data, one, out = np.zeros(4096, np.uint8), int64s(1024), np.empty(4096, np.uint8)
    width = np.array([4], np.uint8)
    with pytest.raises(ValueError, match="bits"):
        kernels.bit_widths(data, 12, out[:1])
    with pytest.raises(ValueError, match="width"):
        kernels.bit_widths(data, 32, out[:2])
    with pytest.raises(ValueError, match="whole"):
        kernels.bit_widths(data[:5], 32, out[:1])
    with pytest.raises(ValueError, match="small"):
        kernels.inline_pack(data, one, 32, width, out[:515])
    with pytest.raises(ValueError, match="larger"):
        kernels.inline_pack(data, one, 32, np.array([33], np.uint8), out)
    with pytest.raises(ValueError, match="counts"):
        kernels.inline_pack(data, int64s(1023), 32, width, out)
    with pytest.raises(ValueError, match="1024"):
        kernels.inline_pack(np.zeros(8192, np.uint8), int64s(2048), 32, width, out)
    for size in (4095, 4097):
        with pytest.raises(ValueError, match=r"counts|small"):
            kernels.inline_unpack(good_block(), int64s(3), int64s(516), one, 32, np.empty(size, np.uint8))
    with pytest.raises(ValueError, match="counts"):
        kernels.out_of_line_unpack(
            data[:128], int64s(0), int64s(128), int64s(2**62), 16, 1, np.empty(2048, np.uint8)
        )
    with pytest.raises(ValueError, match="length"):
        kernels.inline_unpack(data, int64s(0), int64s(4, 4), one, 32, out)
    with pytest.raises(ValueError, match="small"):
        kernels.out_of_line_pack(data, one, 32, 4, out[:511], np.empty(1, np.int64))
