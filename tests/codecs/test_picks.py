"""Choosing values of chunks is decoding all of them, and then choosing: for every codec of chunks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lancelet.blocks import Dictionary, FixedSizeList, FixedWidth, Packed, VariableWidth
from lancelet.blocks.selection import picked_ranges
from lancelet.buffers import allocate, as_bytes, as_values
from lancelet.codecs.base import ChunkLimits, Chunks, Picks, Spans
from lancelet.codecs.binary import Variable
from lancelet.codecs.bitpack import InlineBitpacking
from lancelet.codecs.bss import ByteStreamSplit
from lancelet.codecs.flat import Flat
from lancelet.codecs.fsl import FixedSizeListCodec
from lancelet.codecs.fsst import Fsst
from lancelet.codecs.general import General
from lancelet.codecs.packed import PackedStruct
from lancelet.codecs.rle import Rle

CODECS = {
    "bools": Flat(1),
    "flat": Flat(32),
    "wide": Flat(24),
    "packed": InlineBitpacking(16),
    "split": ByteStreamSplit(Flat(64)),
    "runs": Rle(Flat(32)),
    "variable": Variable(32),
    "long": Variable(64),
    "fsst": Fsst(Variable(32), always=True),
    "lz4": General("lz4", None, Flat(32)),
    "zstd text": General("zstd", None, Variable(32)),
    "lz4 runs": General("lz4", None, Rle(Flat(32))),
    "lists": FixedSizeListCodec(3, Flat(16)),
    "lists of lists": FixedSizeListCodec(2, FixedSizeListCodec(3, Flat(8), True), True),
    "lists of bools": FixedSizeListCodec(5, Flat(1)),
    "rows": PackedStruct((32, 8, 64)),
}


def fixed(bits, count, rng):
    if bits == 1:
        return FixedWidth(1, count, np.packbits(rng.random(count) < 0.5, bitorder="little"))
    values = rng.integers(0, 5, size=(count, bits // 8), dtype=np.uint8)
    values[:, 1:] = 0
    return FixedWidth(bits, count, np.repeat(values, 2, axis=0)[:count].reshape(-1))


def block_for(codec, count, rng):
    while isinstance(codec, General):
        codec = codec.values
    if isinstance(codec, Variable | Fsst):
        bits = codec.offset_bits if isinstance(codec, Variable) else codec.values.offset_bits
        offsets = np.concatenate(([0], np.cumsum(rng.integers(0, 60, count)))).astype(f"<u{bits // 8}")
        words = np.frombuffer(b"all about the words of it " * 20, np.uint8)
        return VariableWidth(bits, count, offsets, np.resize(words, int(offsets[-1])))
    if isinstance(codec, FixedSizeListCodec):
        items = block_for(codec.values, count * codec.dimension, rng)
        bitmap = np.packbits(rng.random(items.num_values) < 0.7, bitorder="little")
        return FixedSizeList(codec.dimension, count, items, bitmap if codec.has_validity else None)
    if isinstance(codec, PackedStruct):
        return Packed(count, tuple(fixed(bits, count, rng) for bits in codec.bits))
    bits = codec.values.bits if isinstance(codec, Rle | ByteStreamSplit) else codec.bits
    return fixed(bits, count, rng)


def content(block):
    """What a reader of `block` can see, without its memory."""
    if isinstance(block, FixedWidth):
        data = as_bytes(block.data)[: -(-block.num_values * block.bits // 8)]
        if block.bits == 1:
            return np.unpackbits(data, count=block.num_values, bitorder="little").tolist()
        return data.reshape(-1, block.bits // 8).tolist()
    if isinstance(block, VariableWidth):
        borders = as_values(block.offsets, block.offset_bits)[: block.num_values + 1].tolist()
        data = as_bytes(block.data)
        return [data[start:stop].tobytes() for start, stop in pairwise(borders)]
    if isinstance(block, FixedSizeList):
        items, size = content(block.items), block.dimension
        valid = [1] * len(items)
        if block.validity is not None:
            valid = np.unpackbits(as_bytes(block.validity), count=len(items), bitorder="little").tolist()
        cells = list(zip(items, valid, strict=True))
        return [cells[i : i + size] for i in range(0, len(cells), size)]
    if isinstance(block, Dictionary):
        return content(block.indices)
    absent = [False] * block.num_values if block.absent is None else block.absent.tolist()
    return list(zip(absent, *map(content, block.children), strict=True))


@st.composite
def ranges(draw, num_values):
    borders = sorted(draw(st.lists(st.integers(0, num_values), max_size=30)))
    borders = borders[: len(borders) // 2 * 2]
    return np.array(borders[::2], dtype=np.int64), np.array(borders[1::2], dtype=np.int64)


def chosen(values, starts, stops):
    return [value for start, stop in zip(starts, stops, strict=True) for value in values[start:stop]]


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_picked_is_decoded_and_taken(name, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    block = block_for(CODECS[name], data.draw(st.integers(1, 6000), "values"), rng)
    limits = ChunkLimits(max_values=data.draw(st.sampled_from([2, 64, 4096]), "chunk"))
    encoded = CODECS[name].encode_chunks(block, limits)
    first = data.draw(st.integers(0, len(encoded.counts) - 1), "first chunk")
    stop = data.draw(st.integers(first + 1, len(encoded.counts)), "after the last one")
    spans = tuple(
        Spans(part, (np.cumsum(sizes) - sizes)[first:stop], sizes[first:stop].astype(np.int64))
        for part, sizes in encoded.buffers
    )
    counts = encoded.counts[first:stop]
    chunks = Chunks(spans, counts, int(counts.sum()))
    decoded = encoded.codec.decode_chunks(chunks, allocate)
    starts, stops = data.draw(ranges(chunks.num_values), "ranges")
    picks = Picks(starts, stops, int((stops - starts).sum()))
    picked = encoded.codec.pick_chunks(chunks, picks, allocate)
    assert picked.num_values == picks.num_values
    expected = chosen(content(decoded), starts, stops)
    assert content(picked) == expected
    assert content(picked_ranges(decoded, starts, stops, picks.num_values, allocate)) == expected


def test_picked_dictionary_and_absent_rows():
    indices = FixedWidth(8, 4, bytes([3, 1, 0, 2]))
    block = Dictionary(4, indices, FixedWidth(32, 4, bytes(16)))
    starts, stops = np.array([0, 2]), np.array([1, 4])
    picked = picked_ranges(block, starts, stops, 3, allocate)
    assert content(picked) == [[3], [0], [2]]
    assert picked.items is block.items
    rows = Packed(4, (indices,), np.array([True, False, False, True]))
    assert content(picked_ranges(rows, starts, stops, 3, allocate)) == [
        (True, [3]),
        (False, [0]),
        (True, [2]),
    ]
