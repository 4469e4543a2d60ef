from __future__ import annotations

import pickle

import numpy as np
import pytest

from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.buffers import allocate
from lancelet.codecs.base import EncodedBlocks, EncodedChunks
from lancelet.codecs.binary import Variable
from lancelet.codecs.flat import Flat
from lancelet.errors import FormatError
from lancelet.levels.layers import Layer, Leaf, max_visible
from lancelet.pages import miniblock
from lancelet.pages.base import ByteRange, DoesNotFit, RowRanges
from miniblock_pages import File, encode, flat_levels, kept_rows, leaf_of, rows_of, values_of

# ---- bytes of the format


def test_list_example():
    values = FixedWidth(64, 5, np.array([1, 2, 3, 0, 4], "<i8"))
    rep = np.array([1, 0, 1, 1, 1, 0, 1, 1], np.uint16)
    def_ = np.array([0, 0, 2, 3, 0, 1, 0, 3], np.uint16)
    leaf = Leaf(6, (Layer.NULLABLE_ITEM, Layer.NULL_AND_EMPTY_LIST), rep, def_, 5, values)
    page = encode(leaf)
    assert [bytes(buffer).hex() for buffer in page.buffers] == [
        "9000",
        "0800100010002800"
        "01000000010001000100000001000100"
        "00000000020003000000010000000300"
        "01000000000000000200000000000000030000000000000000000000000000000400000000000000",
        "06000000000000000000000000000000",
    ]
    assert page.message.SerializeToString().hex() == (
        "0a1c0a040a02081012040a0208101a040a02084032020306380140014805"
    )
    assert page.num_rows == 6
    assert rows_of(File(page).read()[1]) == rows_of(leaf)


def nullable_int32(values):
    data = np.array([value or 0 for value in values], "<i4")
    def_ = np.array([value is None for value in values], np.uint16)
    return Leaf(
        len(values), (Layer.NULLABLE_ITEM,), None, def_, len(values), FixedWidth(32, len(values), data)
    )


def test_flat_example():
    page = encode(nullable_int32([1, None, 3, 4, None, 6]))
    assert [bytes(buffer).hex() for buffer in page.buffers] == [
        "5000",
        "06000c001800fefe000001000000000001000000fefefefe010000000000000003000000040000000000000006000000",
    ]


def test_large_example():
    page = encode(nullable_int32([1, None, 3]), large=True)
    words, chunks = (bytes(buffer).hex() for buffer in page.buffers)
    assert words == "30000000"
    assert chunks.startswith("030006000c000000000001000000fefe")
    assert page.message.mini_block_layout.has_large_chunk


def test_chunk_words_and_index_example():
    # list<float64> with lists of 300, 1000, 0, 236 and 500 values in chunks of 1024 (structural.md 5.6).
    rep = np.concatenate([[1], [0] * 299, [1], [0] * 999, [1], [1], [0] * 235, [1], [0] * 499]).astype(
        np.uint16
    )
    def_ = np.zeros(len(rep), np.uint16)
    def_[1300] = 1
    values = FixedWidth(64, 2036, bytes(2036 * 8))
    codec = Flat(64)
    chunks = EncodedChunks(codec, ((values.data, np.array([8192, 8096])),), np.array([1024, 1012]))
    leaf = Leaf(5, (Layer.ALL_VALID_ITEM, Layer.EMPTYABLE_LIST), rep, def_, 2036, values)
    page = miniblock.encode(leaf, chunks, level_codec=flat_levels, large=False)
    assert np.frombuffer(page.buffers[2], "<u8").tolist() == [1, 724, 4, 0]
    assert int(np.frombuffer(page.buffers[0], "<u2")[0]) & 15 == 10


# ---- round trips

LAYERS = [
    [1],
    [3],
    [3, 3],
    [1, 2],
    [3, 2],
    [1, 4],
    [1, 5],
    [3, 6],
    [3, 3, 6],
    [3, 6, 3],
    [1, 2, 2],
    [1, 6, 6],
    [3, 5, 3, 4, 3],
]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_round_trip(layers, variable, large):
    leaf = leaf_of(layers, 300, variable=variable)
    file = File(encode(leaf, large=large))
    expected = rows_of(leaf)
    opened = file.open()
    assert opened.tables.shape[1] >= 10
    part, got = file.read(opened=opened)
    assert part.keep is None
    assert got.num_slots == leaf.num_slots
    assert rows_of(got) == expected
    for row in range(300):
        part, got = file.read(RowRanges.single(row, row + 1), opened)
        assert kept_rows(part, got) == expected[row : row + 1]
    rng = np.random.default_rng(1)
    for _ in range(40):
        chosen = np.flatnonzero(rng.random(300) < rng.choice([0.01, 0.1, 0.5, 0.95]))
        if len(chosen):
            part, got = file.read(RowRanges.from_sorted(chosen), opened)
            assert kept_rows(part, got) == [expected[i] for i in chosen]
        start, stop = sorted(rng.integers(0, 301, 2).tolist())
        if start < stop:
            part, got = file.read(RowRanges.single(start, stop), opened)
            assert kept_rows(part, got) == expected[start:stop]


def test_a_take_reads_only_its_chunks():
    leaf = leaf_of([3], 10000)
    file = File(encode(leaf, chunk_values=128))
    opened = file.open()
    one = opened.plan(RowRanges.single(5000, 5001))
    assert len(one.ranges) == 1
    assert one.ranges[0].size < 1000
    assert (one.num_rows, one.keep) == (1, None)
    keep = one.state.keep
    assert (keep.starts.tolist(), keep.stops.tolist()) == ([8], [9])
    # Rows of one chunk and of the next are one range; a gap of a chunk makes two.
    near = opened.plan(RowRanges.from_sorted(np.array([127, 128, 250])))
    assert len(near.ranges) == 1
    far = opened.plan(RowRanges.from_sorted(np.array([127, 256])))
    assert len(far.ranges) == 2
    whole_chunk = opened.plan(RowRanges.single(128, 256))
    assert whole_chunk.state.keep is None
    base, size = file.buffers[1]
    assert opened.plan(RowRanges.single(0, 10000)).ranges == (ByteRange(base, size),)


def test_a_row_over_many_chunks():
    rep = np.array([1] * 5 + [1] + [0] * 200 + [1] * 5 + [1] + [0] * 100, np.uint16)
    leaf = Leaf(
        12,
        (Layer(1), Layer(2)),
        rep,
        None,
        len(rep),
        FixedWidth(32, len(rep), np.arange(len(rep), dtype="<u4")),
    )
    file = File(encode(leaf))
    expected = rows_of(leaf)
    for row in range(12):
        part, got = file.read(RowRanges.single(row, row + 1))
        assert kept_rows(part, got) == [expected[row]]
    part, got = file.read(RowRanges.from_sorted(np.array([0, 6])))
    assert kept_rows(part, got) == [expected[0], expected[6]]
    # The ends of row 5 came along and were left out.
    assert (part.num_rows, got.num_rows) == (2, 2)


def test_hidden_entries_open_the_next_chunk():
    # Two slots a chunk: empty lists at a border belong to what follows, at the end to the last chunk.
    rep = np.array([1, 1, 1, 1, 1, 1, 1, 1], np.uint16)
    def_ = np.array([0, 0, 1, 1, 0, 1, 0, 1], np.uint16)
    leaf = Leaf(8, (Layer(1), Layer(5)), rep, def_, 4, FixedWidth(32, 4, np.arange(4, dtype="<u4")))
    page = encode(leaf, chunk_values=2)
    assert np.frombuffer(page.buffers[2], "<u8").tolist() == [2, 0, 6, 0]
    assert rows_of(File(page).read()[1]) == rows_of(leaf)


def test_missing_definition_levels_are_written_as_zeros():
    for layers in ([3], [3, 2], [3, 6]):
        leaf = leaf_of(layers, 50, null_rate=0, empty_rate=0)
        bare = Leaf(leaf.num_rows, leaf.layers, leaf.rep, None, leaf.num_slots, leaf.values)
        pages = [encode(leaf), encode(bare)]
        assert [bytes(b) for b in pages[0].buffers] == [bytes(b) for b in pages[1].buffers]
        assert File(pages[1]).read()[1].def_.tolist() == [0] * len(leaf.def_)


def test_plans_pickle():
    file = File(encode(leaf_of([3, 6], 200)))
    opened = file.open()
    part = pickle.loads(pickle.dumps(opened.plan(RowRanges.from_sorted(np.array([3, 70, 150])))))
    leaf = opened.decode(part, file.fetch(part.ranges), allocate)
    assert kept_rows(part, leaf) == [rows_of(file.read()[1])[i] for i in (3, 70, 150)]


def test_levels_at_odd_addresses():
    leaf = leaf_of([3, 6], 100)
    file = File(encode(leaf, chunk_values=4096))
    opened = file.open()
    part = opened.plan(RowRanges.single(0, 100))
    (data,) = file.fetch(part.ranges)
    shifted = np.frombuffer(b"\0" + data, np.uint8)[1:]
    assert rows_of(opened.decode(part, [shifted], allocate)) == rows_of(leaf)


def test_rows_outside_of_the_page():
    opened = File(encode(leaf_of([1], 50))).open()
    for start, stop in ((-1, 3), (49, 51)):
        with pytest.raises(ValueError):
            opened.plan(RowRanges.single(start, stop))


# ---- dictionaries


def dictionary_page(layers, num_rows=200, num_items=5):
    leaf = leaf_of(layers, num_rows)
    items = VariableWidth(32, 5, np.array([0, 0, 1, 3, 6, 10], "<u4"), b"abbcccdddd")
    indices = FixedWidth(32, leaf.num_slots, np.arange(leaf.num_slots, dtype="<u4") % num_items)
    leaf = Leaf(leaf.num_rows, leaf.layers, leaf.rep, leaf.def_, leaf.num_slots, indices)
    encoded = Variable(32).encode_blocks(items, np.array([5]))
    return leaf, encode(leaf, dictionary=(encoded, 5))


@pytest.mark.parametrize("layers", [[1], [3], [3, 6], [1, 2]], ids=str)
def test_dictionary(layers):
    leaf, page = dictionary_page(layers)
    file = File(page)
    assert len(file.buffers) == 3 + (leaf.rep is not None)
    texts = [b"", b"a", b"bb", b"ccc", b"dddd"]
    slots = values_of(leaf.values)
    visible = [0] * leaf.num_slots if leaf.def_ is None else leaf.def_[leaf.def_ <= max_visible(leaf.layers)]
    part, got = file.read()
    for index, level, value in zip(slots, visible, values_of(got.values), strict=True):
        assert level or value == texts[index]
    expected = rows_of(got)
    for row in (0, 7, 100, 199):
        part, one = file.read(RowRanges.single(row, row + 1))
        assert kept_rows(part, one) == [expected[row]]


def test_index_outside_of_the_dictionary():
    _, page = dictionary_page([1], num_items=6)
    _, leaf = File(page).read()
    with pytest.raises(FormatError):
        values_of(leaf.values)


def test_dictionary_of_another_length():
    _, page = dictionary_page([1])
    for num_items in (6, 1 << 60, 4):
        page.message.mini_block_layout.num_dictionary_items = num_items
        with pytest.raises(FormatError):
            values_of(File(page).read()[1].values)


# ---- what does not fit


def test_no_slots():
    rep, def_ = np.ones(3, np.uint16), np.ones(3, np.uint16)
    leaf = Leaf(3, (Layer(1), Layer(5)), rep, def_, 0, FixedWidth(32, 0, b""))
    with pytest.raises(DoesNotFit):
        miniblock.encode(
            leaf, EncodedChunks(Flat(32), ((b"", np.zeros(0, np.int64)),), np.zeros(0, np.int64)),
            level_codec=flat_levels, large=False,
        )  # fmt: skip


def strings_page(length, *, large):
    values = VariableWidth(32, 2, np.array([0, length, 2 * length], "<u4"), bytes(2 * length))
    return encode(Leaf(2, (Layer(1),), None, None, 2, values), large=large)


def test_chunks_that_are_too_large():
    with pytest.raises(DoesNotFit):
        strings_page(70000, large=False)
    with pytest.raises(DoesNotFit):
        strings_page((32 << 10) // 2 - 6, large=False)
    largest = strings_page((32 << 10) // 2 - 10, large=False)
    assert len(bytes(largest.buffers[1])) == 32 << 10
    for page in (largest, strings_page(70000, large=True)):
        assert File(page).read()[1].num_slots == 2


def many_empty_lists(number, level_codec=flat_levels):
    rep = np.ones(number + 2, np.uint16)
    def_ = np.array([0, *[1] * number, 0], np.uint16)
    leaf = Leaf(number + 2, (Layer(1), Layer(5)), rep, def_, 2, FixedWidth(32, 2, bytes(8)))
    return encode(leaf, large=True, level_codec=level_codec)


def test_too_many_levels():
    assert File(many_empty_lists(32765)).read()[1].num_rows == 32767
    with pytest.raises(DoesNotFit, match="65536 bytes of levels"):
        many_empty_lists(32766)

    class Nothing(Flat):
        """Levels that take no space."""

        def encode_blocks(self, block, counts):
            return EncodedBlocks(self, b"", np.zeros(len(counts), np.int64))

    many_empty_lists(65533, lambda levels, entries: Nothing(16))
    with pytest.raises(DoesNotFit, match="65536 levels"):
        many_empty_lists(65534, lambda levels, entries: Nothing(16))


@pytest.mark.parametrize("counts", [[16, 33], [15, 35], [1, 49], [50, 0], [32, 2, 16, -2, 2]])
def test_chunks_that_do_not_fit_the_rows(counts):
    leaf = leaf_of([1], 50)
    sizes = np.array(counts) * 4
    chunks = EncodedChunks(Flat(32), ((bytes(int(sizes.sum())), sizes),), np.array(counts))
    with pytest.raises(ValueError):
        miniblock.encode(leaf, chunks, level_codec=flat_levels, large=False)


def test_levels_that_do_not_fit_the_layers():
    leaf = leaf_of([1, 2], 50)
    for layers, rep in ((leaf.layers, None), ((Layer(1),), leaf.rep)):
        with pytest.raises(ValueError):
            encode(Leaf(50, layers, rep, None, leaf.num_slots, leaf.values))
