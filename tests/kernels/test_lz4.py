"""The strict LZ4 block decoder, native and reference, against pyarrow's compressor and damaged blocks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference

#: compressors.md 5.3: 100 bytes of a block of text, without the size in front.
VECTOR_BLOCK = bytes.fromhex("62 200000001400 0100 9f 2800000050000000 78 0100 14 1f79 0100 0f 50 7979797979")
VECTOR_RAW = bytes.fromhex("2000000014000000000000002800000050000000") + b"x" * 40 + b"y" * 40

LZ4 = pa.Codec("lz4_raw")


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request):
    return pytest.importorskip(request.param)


def decode(kernels, blocks, sizes, gap=3):
    """Decode `blocks`, which lie `gap` bytes apart, to `sizes` bytes each."""
    data = np.frombuffer(b"".join(b"#" * gap + block for block in blocks), dtype=np.uint8).copy()
    lengths = np.array([len(block) for block in blocks], dtype=np.int64)
    offsets = np.cumsum(lengths + gap) - lengths
    borders = np.cumsum([0, *sizes]).astype(np.int64)
    out = np.empty(int(borders[-1]), dtype=np.uint8)
    kernels.lz4_decode(data, offsets, lengths, out, borders)
    return [bytes(out[a:b]) for a, b in pairwise(borders)]


def samples():
    rng = np.random.default_rng(2)
    yield from (b"", b"a", b"ab" * 7, b"x" * 100_000, bytes(range(256)) * 30)
    for period in (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31):
        yield (rng.bytes(period) * 2000)[: 1000 + period]
    for size in (5, 12, 13, 64, 300, 5000, 70_000):
        yield rng.bytes(size)
        yield rng.integers(0, 3, size, dtype=np.uint8).tobytes()
    yield (rng.bytes(60_000) + b"-" * 20) * 2


def test_blocks_of_another_compressor(kernels):
    raws = list(samples())
    blocks = [LZ4.compress(raw, asbytes=True) for raw in raws]
    assert decode(kernels, blocks, map(len, raws)) == raws
    assert [
        decode(kernels, [block], [len(raw)], 0)[0] for block, raw in zip(blocks, raws, strict=True)
    ] == raws


def test_no_blocks(kernels):
    assert decode(kernels, [], []) == []


def test_vector(kernels):
    assert decode(kernels, [VECTOR_BLOCK], [100]) == [VECTOR_RAW]


def test_a_match_may_stand_at_the_end(kernels):
    assert decode(kernels, [b"\x10a\x01\x00\x00"], [5]) == [b"aaaaa"]


MALFORMED = {
    "nothing": (b"", 0),
    "nothing, some wanted": (b"", 4),
    "too short": (b"\x10a", 2),
    "too long": (b"\x20ab", 1),
    "literals missing": (b"\x20a", 2),
    "no literals at the end": (b"\x10a\x01\x00", 5),
    "length of literals missing": (b"\xf0", 15),
    "length of literals cut": (b"\xf0\xff", 300),
    "huge literals": (b"\xf0" + b"\xff" * 5000 + b"\x00", 5),
    "distance cut": (b"\x10a\x01", 5),
    "distance 0": (b"\x10a\x00\x00\x00", 5),
    "distance before the block": (b"\x10a\x02\x00\x00", 5),
    "match without literals before": (b"\x00\x01\x00\x00", 4),
    "length of match missing": (b"\x1fa\x01\x00", 50),
    "length of match cut": (b"\x1fa\x01\x00\xff", 300),
    "match too long": (b"\x10a\x01\x00\x00", 4),
    "huge match": (b"\x1fa\x01\x00" + b"\xff" * 5000 + b"\x00\x00", 100),
    "more after the end": (b"\x10a\x01\x00\x10b\x01\x00\x00", 6),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_blocks(kernels, name):
    block, size = MALFORMED[name]
    with pytest.raises(FormatError):
        decode(kernels, [block], [size])
    with pytest.raises(FormatError):
        decode(kernels, [b"\x50hello", block, b"\x50hello"], [5, size, 5])


def test_matches_do_not_reach_into_another_block(kernels):
    with pytest.raises(FormatError):
        decode(kernels, [b"\x50hello", b"\x10a\x03\x00\x00"], [5, 5])


@pytest.mark.parametrize(
    ("offset", "size"), [(-1, 3), (0, -1), (0, 4), (4, 0), (2**62, 2**62), (1, 2**63 - 1)]
)
def test_blocks_outside_of_the_data(kernels, offset, size):
    offsets, sizes = np.array([offset]), np.array([size])
    with pytest.raises(FormatError):
        kernels.lz4_decode(b"\x20ab", offsets, sizes, np.empty(2, dtype=np.uint8), np.array([0, 2]))


@pytest.mark.parametrize(
    ("offsets", "sizes", "borders"),
    [
        ([0], [3, 3], [0, 2]),
        ([0], [3], [0, 2, 2]),
        ([0], [3], [2]),
        ([0], [3], [1, 0]),
        ([0], [3], [1, 3]),
        ([0], [3], [-2, 0]),
    ],
)
def test_broken_contracts(kernels, offsets, sizes, borders):
    arguments = (np.array(numbers, dtype=np.int64) for numbers in (offsets, sizes))
    with pytest.raises(ValueError):
        kernels.lz4_decode(
            b"\x20ab", *arguments, np.empty(2, dtype=np.uint8), np.array(borders, dtype=np.int64)
        )


def test_mutated_blocks_agree():
    native = pytest.importorskip("lancelet._native")
    rng = np.random.default_rng(3)
    raw = b"".join(bytes([97 + i % 7]) * int(n) for i, n in enumerate(rng.integers(1, 40, 60))) + rng.bytes(
        40
    )
    block = LZ4.compress(raw * 2, asbytes=True)
    for _ in range(2000):
        bad = bytearray(block)
        for _ in range(int(rng.integers(1, 4))):
            bad[int(rng.integers(len(bad)))] = int(rng.integers(256))
        bad = bytes(bad[: int(rng.integers(1, len(bad) + 1))]) if rng.integers(3) == 0 else bytes(bad)
        results = []
        for module in (native, reference):
            try:
                results.append(decode(module, [bad], [2 * len(raw)], 0))
            except FormatError as error:
                results.append(str(error))
        assert results[0] == results[1]
