"""``general`` over zstd: what is copied past the library equals what the library gives, errors included."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pytest

from lancelet import kernels
from lancelet.blocks import VariableWidth
from lancelet.buffers import allocate, as_bytes, as_values
from lancelet.codecs.base import Chunks, Spans
from lancelet.codecs.binary import Variable
from lancelet.codecs.flat import Flat
from lancelet.codecs.general import General
from lancelet.errors import LanceletError

CODEC = General("zstd", None, Variable(32))
ZSTD = pa.Codec("zstd")
BLOCK = 1 << 17


def record(value):
    return struct.pack("<Q", len(value)) + ZSTD.compress(value, asbytes=True)


def bare(value):
    """Return a frame without its size, in front of it and inside."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(value)
    return sink.getvalue().to_pybytes()


def variable(records):
    offsets = np.cumsum([0, *map(len, records)]).astype("<u4")
    return VariableWidth(32, len(records), offsets, b"".join(records))


def outcomes(records):
    """Decode records together and where they lie: the values, or the type and text of the error."""
    found = []
    for decode in (
        lambda: CODEC.decode_values(variable(records), allocate),
        lambda: CODEC.decode_parts([memoryview(part) for part in records], 32, allocate),
    ):
        try:
            block = decode()
            offsets = as_values(block.offsets, 32).tolist()
            found.append((offsets, as_bytes(block.data).tobytes()))
        except LanceletError as error:
            found.append((type(error), str(error)))
    return found


@pytest.fixture
def same(monkeypatch):
    """Return a function that decodes records with and without the kernel, and compares."""

    def refuse(buffers, sizes, out, taken):
        return 0

    def compare(records):
        found = outcomes(records)
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "zstd_copy_raw", refuse)
            assert outcomes(records) == found
        assert found[0] == found[1]
        return found[0][1]

    return compare


def test_mixes(same):
    rng = np.random.default_rng(3)
    for _ in range(20):
        values = []
        for _ in range(int(rng.integers(1, 12))):
            size = int(rng.choice([1, 7, 300, 5000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5]))
            half = rng.bytes(size // 2)
            values.append((rng.bytes(size), bytes(size), half + bytes(size), b"")[int(rng.integers(4))])
        records = [b"" if not value and rng.integers(2) else record(value) for value in values]
        assert same(records) == b"".join(values)


def test_all_kinds_of_frames(same):
    value = np.random.default_rng(4).bytes(2000)
    stored = record(value)
    skippable = b"\x50\x2a\x4d\x18\x02\0\0\0hi"
    kinds = {
        "stored": (stored, value),
        "bare": (ZSTD.compress(value, asbytes=True), value),
        "bare, size unknown": (bare(value), value),
        "size in front only": (struct.pack("<Q", 2000) + bare(value), value),
        "two frames": (struct.pack("<Q", 4000) + 2 * stored[8:], 2 * value),
        "a skippable frame behind": (stored + skippable, value),
        "a skippable frame before": (stored[:8] + skippable + stored[8:], value),
    }
    for kind, content in kinds.values():
        assert same([kind]) == content
    assert same([kind for kind, _ in kinds.values()]) == b"".join(content for _, content in kinds.values())


def test_damage(same):
    rng = np.random.default_rng(6)
    good, text = record(rng.bytes(60)), record(b"text " * 20)
    num_values = 0
    for position in range(22):
        for flip in (1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xFF):
            bad = bytearray(good)
            bad[position] ^= flip
            num_values += isinstance(same([text, bytes(bad), good]), bytes)
    for stop in range(1, len(good)):
        assert isinstance(same([good, good[:stop]]), str)
    for rest in (b"\0", b"\x28\xb5\x2f\xfd", good[8:], good):
        assert isinstance(same([good + rest, text]), str)
    assert 0 < num_values < 22 * 9


def test_chunks():
    values = np.random.default_rng(8).integers(0, 2**32, 3000, dtype=np.uint32)
    parts = [values[:1024], values[1024:2048], values[2048:]]
    records = [record(part.tobytes()) for part in parts]
    sizes = np.array(list(map(len, records)), dtype=np.int64)
    counts = np.array(list(map(len, parts)), dtype=np.int64)
    spans = Spans(b"".join(records), np.cumsum(sizes) - sizes, sizes)
    block = General("zstd", None, Flat(32)).decode_chunks(Chunks((spans,), counts, 3000), allocate)
    assert as_bytes(block.data).tobytes() == values.tobytes()


def test_incompressible_values_do_not_reach_the_library(monkeypatch):
    values = [np.random.default_rng(size).bytes(size) for size in (20_000, BLOCK, 200_000)]
    records = [record(value) for value in values]
    monkeypatch.setattr("lancelet.codecs.general._decompress_frame", None)
    assert [data for _, data in outcomes(records)] == [b"".join(values)] * 2
