"""Mini-block pages of random rows at a place in a file, and their rows entry by entry."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from lancelet.blocks import Dictionary, FixedWidth, VariableWidth
from lancelet.blocks.dictionary import expand
from lancelet.buffers import allocate, as_bytes, as_values
from lancelet.codecs.base import ChunkLimits
from lancelet.codecs.binary import Variable
from lancelet.codecs.flat import Flat
from lancelet.levels.layers import Layer, Leaf, max_def, max_rep, max_visible
from lancelet.pages import miniblock
from lancelet.pages.base import ByteRange, PageInfo, RowRanges
from lancelet.pages.registry import PAGE_LAYOUT, parse_page

BASE = 640


def flat_levels(levels, entries):
    assert levels.num_values == entries.sum()
    return Flat(16)


def levels_of(layers, num_rows, rng, null_rate=0.3, empty_rate=0.3):
    """Consistent random levels by structural.md 4.3: repetition, definition."""
    entries = [(0, 0, True)] * num_rows
    number, rep = max_def(layers), max_rep(layers)
    for layer in reversed(layers):
        empty = number if layer in (Layer.EMPTYABLE_LIST, Layer.NULL_AND_EMPTY_LIST) else None
        nullable = layer.num_def > 0 and layer != Layer.EMPTYABLE_LIST
        null = number - (layer == Layer.NULL_AND_EMPTY_LIST) if nullable else None
        grown = []
        for own_rep, own_def, is_open in entries:
            if not is_open:
                grown.append((own_rep, own_def, False))
                continue
            is_null = null is not None and own_def == 0 and rng.random() < null_rate
            if not layer.is_list:
                grown.append((own_rep, null if is_null else own_def, True))
                continue
            first_rep = own_rep or rep
            if own_def or is_null:
                grown.append((first_rep, own_def or null, False))
            elif empty is not None and rng.random() < empty_rate:
                grown.append((first_rep, empty, False))
            else:
                length = int(rng.integers(1, 8)) if rng.random() < 0.95 else 60
                grown.append((first_rep, 0, True))
                grown.extend([(0, 0, True)] * (length - 1))
        entries = grown
        number -= layer.num_def
        rep -= layer.is_list
    return tuple(np.array([entry[i] for entry in entries], dtype=np.uint16) for i in (0, 1))


def leaf_of(layers, num_rows, seed=0, variable=False, **rates):
    layers = tuple(map(Layer, layers))
    rng = np.random.default_rng(seed)
    rep, def_ = levels_of(layers, num_rows, rng, **rates)
    num_slots = int(np.count_nonzero(def_ <= max_visible(layers)))
    if variable:
        lengths = rng.integers(0, 12, num_slots)
        offsets = np.cumsum([0, *lengths]).astype("<u4")
        values = VariableWidth(32, num_slots, offsets, rng.bytes(int(offsets[-1])))
    else:
        values = FixedWidth(32, num_slots, np.arange(num_slots, dtype="<u4"))
    return Leaf(
        num_rows,
        layers,
        rep if max_rep(layers) else None,
        def_ if max_def(layers) else None,
        num_slots,
        values,
    )


def encode(leaf, *, large=False, chunk_values=16, dictionary=None, level_codec=flat_levels):
    codec = Variable(32) if isinstance(leaf.values, VariableWidth) else Flat(leaf.values.bits)
    chunks = codec.encode_chunks(leaf.values, ChunkLimits(max_values=chunk_values))
    return miniblock.encode(leaf, chunks, level_codec=level_codec, large=large, dictionary=dictionary)


class File:
    """A page at a place in a file: buffers at multiples of 64."""

    def __init__(self, page):
        self.data = bytearray(BASE)
        self.message = page.message
        self.num_rows = page.num_rows
        self.buffers = []
        for buffer in page.buffers:
            self.buffers.append(ByteRange(len(self.data), len(as_bytes(buffer))))
            self.data += as_bytes(buffer).tobytes()
            self.data += bytes(-len(self.data) % 64)

    def replace(self, index, content):
        self.buffers[index] = ByteRange(len(self.data), len(content))
        self.data += content

    def buffer(self, index):
        position, size = self.buffers[index]
        return bytes(self.data[position : position + size])

    def fetch(self, ranges):
        return [bytes(self.data[position : position + size]) for position, size in ranges]

    def layout(self):
        info = PageInfo(tuple(self.buffers), self.num_rows)
        return parse_page(PAGE_LAYOUT, self.message.SerializeToString(), info)

    def open(self):
        layout = self.layout()
        return layout.open(self.fetch(layout.head_ranges()))

    def read(self, rows=None, opened=None):
        opened = opened or self.open()
        part = opened.plan(rows or RowRanges.single(0, self.num_rows))
        return part, opened.decode(part, self.fetch(part.ranges), allocate)


def values_of(block):
    if isinstance(block, FixedWidth):
        return as_values(block.data, block.bits).tolist()
    if isinstance(block, Dictionary):
        return values_of(expand(block.indices, block.items, None, allocate))
    offsets = as_values(block.offsets, block.offset_bits).tolist()
    data = as_bytes(block.data).tobytes()
    return [data[a:b] for a, b in pairwise(offsets)]


def rows_of(leaf):
    """Each row as its (rep, def, value or None) entries."""
    num_entries = leaf.num_rows if leaf.rep is None else len(leaf.rep)
    top = max_rep(leaf.layers)
    rep = [top] * num_entries if leaf.rep is None else leaf.rep.tolist()
    def_ = [0] * num_entries if leaf.def_ is None else leaf.def_.tolist()
    values = iter(values_of(leaf.values))
    rows = []
    for r, d in zip(rep, def_, strict=True):
        if r == top:
            rows.append([])
        rows[-1].append((r, d, next(values) if d <= max_visible(leaf.layers) else None))
    assert next(values, None) is None
    assert len(rows) == leaf.num_rows
    return rows


def kept_rows(part, leaf):
    assert leaf.num_rows == part.num_rows
    rows = rows_of(leaf)
    if part.keep is None:
        return rows
    return [row for a, b in zip(part.keep.starts, part.keep.stops, strict=True) for row in rows[a:b]]
