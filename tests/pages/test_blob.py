from __future__ import annotations

import numpy as np
import pytest

from lancelet.blocks import FixedWidth, Packed
from lancelet.buffers import as_values
from lancelet.errors import FormatError, UnsupportedError
from lancelet.levels.layers import Layer, Leaf
from lancelet.pages import blob
from lancelet.pages.base import PageInfo, RowRanges
from lancelet.pages.registry import PAGE_LAYOUT, parse_page
from lancelet.versions import Version
from miniblock_pages import File

NULL = 1 << 16


def leaf_of(positions, sizes, levels=None, layers=(Layer.NULLABLE_ITEM,)):
    num_rows = len(positions)
    fields = tuple(FixedWidth(64, num_rows, np.array(part, "<u8")) for part in (positions, sizes))
    def_ = None if levels is None else np.array(levels, np.uint16)
    return Leaf(num_rows, layers, None, def_, num_rows, Packed(num_rows, fields))


EXAMPLE = leaf_of([0, 7, 64, 0], [11, 7, 100, 0], [0, 1, 0, 0])


def read(file, rows=None):
    """Decode rows of a page: layers, levels, and the positions and sizes of those not null."""
    info = PageInfo(tuple(file.buffers), file.num_rows)
    layout = parse_page(PAGE_LAYOUT, file.message.SerializeToString(), info)
    page = layout.open(file.fetch(layout.head_ranges()))
    part = page.plan(rows or RowRanges.single(0, file.num_rows))
    leaf = page.decode(part, file.fetch(part.ranges), bytearray)
    positions, sizes = (as_values(field.data, 64).tolist() for field in leaf.values.children)
    levels = [0] * leaf.num_rows if leaf.def_ is None else leaf.def_.tolist()
    assert len(levels) == leaf.num_rows == leaf.num_slots
    found = zip(levels, positions, sizes, strict=True)
    return leaf.layers, [(level, *place) if level == 0 else (level,) for level, *place in found]


def descriptors(file):
    """The descriptors as they are stored, writable; the chunk has a header of 8 bytes and 4 rows."""
    position, size = file.buffers[1]
    return np.frombuffer(memoryview(file.data)[position : position + size], "<u8", 8, 8).reshape(4, 2)


@pytest.mark.parametrize(
    ("version", "word", "header"),
    [(Version.V2_1, "8000", "00004000fefefefe"), (Version.V2_2, "80000000", "000040000000fefe")],
)
def test_example_of_the_format(version, word, header):
    file = File(blob.encode(EXAMPLE, version))
    assert file.buffer(0).hex() == word
    assert file.buffer(1)[:8].hex() == header
    assert descriptors(file).tolist() == [[0, 11], [NULL, 0], [64, 100], [0, 0]]
    inner = file.message.blob_layout.inner_layout.mini_block_layout
    assert list(inner.value_compression.packed_struct.bits_per_value) == [64, 64]
    assert list(inner.layers) == [Layer.ALL_VALID_ITEM]
    assert list(file.message.blob_layout.layers) == [Layer.NULLABLE_ITEM]
    assert read(file) == ((Layer.NULLABLE_ITEM,), [(0, 0, 11), (1,), (0, 64, 100), (0, 0, 0)])


def test_nulls_of_structs_have_levels_of_their_own():
    layers = (Layer.NULLABLE_ITEM, Layer.NULLABLE_ITEM)
    file = File(blob.encode(leaf_of([0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 2, 0], layers), Version.V2_1))
    assert descriptors(file).tolist() == [[0, 1], [NULL, 0], [2 * NULL, 0], [0, 0]]
    assert read(file) == (layers, [(0, 0, 1), (1,), (2,), (0, 0, 0)])


def test_all_null_is_a_page_of_descriptors_like_any_other():
    file = File(blob.encode(Leaf(4, (Layer.NULLABLE_ITEM,), None, None, 4, None), Version.V2_2))
    assert descriptors(file).tolist() == [[NULL, 0]] * 4
    assert read(file)[1] == [(1,)] * 4


def test_pages_of_several_chunks():
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 3, 5000)
    positions = np.where(sizes > 0, rng.integers(1, 2**40, 5000), 0)
    levels = (rng.random(5000) < 0.2).astype(np.uint16)
    file = File(blob.encode(leaf_of(positions, sizes, levels), Version.V2_2))
    rows = [(1,) if level else (0, *place) for level, *place in zip(levels, positions, sizes, strict=True)]
    assert read(file)[1] == rows


def test_lists_are_refused():
    leaf = leaf_of([0], [1], None, (Layer.ALL_VALID_ITEM, Layer.ALL_VALID_LIST))
    with pytest.raises(ValueError, match="lists"):
        blob.encode(leaf, Version.V2_2)
    file = File(blob.encode(EXAMPLE, Version.V2_2))
    file.message.blob_layout.layers.append(Layer.NULLABLE_LIST)
    with pytest.raises(UnsupportedError, match="inside of lists"):
        read(file)


@pytest.mark.parametrize(
    "position", [2 * NULL, NULL + 1, 1, NULL - 1, 1 << 32, (1 << 32) + NULL, (1 << 64) - 1], ids=hex
)
def test_levels_that_the_layers_do_not_allow(position):
    file = File(blob.encode(EXAMPLE, Version.V2_2))
    descriptors(file)[1, 0] = position
    with pytest.raises(FormatError, match="a null blob with the levels"):
        read(file)


def test_a_null_that_the_layers_do_not_tell():
    """4.0.1 names the layers of the first batch of a file; what it says of later nulls is clear all the same."""
    file = File(blob.encode(EXAMPLE, Version.V2_1))
    file.message.blob_layout.layers[:] = [Layer.ALL_VALID_ITEM]
    assert read(file) == ((Layer.NULLABLE_ITEM,), [(0, 0, 11), (1,), (0, 64, 100), (0, 0, 0)])
    descriptors(file)[1, 0] = 2 * NULL
    with pytest.raises(FormatError, match="a null blob with the levels"):
        read(file)
    file.message.blob_layout.layers[:] = [Layer.ALL_VALID_ITEM] * 2
    descriptors(file)[1, 0] = NULL
    with pytest.raises(FormatError, match="a null blob with the levels"):
        read(file)


def nested(message):
    inner = type(message)()
    inner.CopyFrom(message)
    message.blob_layout.inner_layout.CopyFrom(inner)


def wider(message):
    inner = message.blob_layout.inner_layout.mini_block_layout.value_compression.packed_struct
    inner.bits_per_value[:] = [32, 32, 64]


def flat(message):
    inner = message.blob_layout.inner_layout.mini_block_layout.value_compression
    inner.flat.bits_per_value = 128


def null(message):
    message.blob_layout.inner_layout.constant_layout.layers.append(Layer.NULLABLE_ITEM)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda message: message.blob_layout.ClearField("inner_layout"), "no layout of its descriptors"),
        (lambda message: message.blob_layout.ClearField("layers"), "no layers"),
        (nested, "blobs themselves"),
        (wider, "position and size"),
        (flat, "position and size"),
    ],
)
def test_messages_that_make_no_sense(damage, what):
    file = File(blob.encode(EXAMPLE, Version.V2_2))
    damage(file.message)
    with pytest.raises(FormatError, match=what):
        read(file)


def test_null_descriptors_are_refused():
    file = File(blob.encode(EXAMPLE, Version.V2_2))
    null(file.message)
    file.buffers = []
    with pytest.raises(FormatError, match="position and size"):
        read(file)
