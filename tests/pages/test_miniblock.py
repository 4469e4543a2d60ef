from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest

from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.buffers import allocate, as_bytes, as_values
from lancelet.codecs.base import ChunkLimits, EncodedBlocks, EncodedChunks
from lancelet.codecs.binary import Variable
from lancelet.codecs.flat import Flat
from lancelet.errors import FormatError, LanceletError, UnsupportedError
from lancelet.levels.layers import Layer, Leaf, max_def, max_rep, max_visible
from lancelet.pages import miniblock
from lancelet.pages.base import ByteRange, DoesNotFit, PageInfo, RowRanges
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
    assert len(opened.slots) >= 10
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
    assert one.num_rows == 128
    assert (one.keep.starts.tolist(), one.keep.stops.tolist()) == ([8], [9])
    # Rows of one chunk and of the next are one range; a gap of a chunk makes two.
    near = opened.plan(RowRanges.from_sorted(np.array([127, 128, 250])))
    assert len(near.ranges) == 1
    far = opened.plan(RowRanges.from_sorted(np.array([127, 256])))
    assert len(far.ranges) == 2
    whole_chunk = opened.plan(RowRanges.single(128, 256))
    assert whole_chunk.keep is None
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
    # The ends of row 5 came along as rows that nobody asked for.
    assert part.num_rows > 2


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
    with pytest.raises(FormatError):
        File(page).read()


def test_dictionary_of_another_length():
    _, page = dictionary_page([1])
    for num_items in (6, 1 << 60, 4):
        page.message.mini_block_layout.num_dictionary_items = num_items
        with pytest.raises(FormatError):
            File(page).read()


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


# ---- bad input


def set_field(name, value):
    def change(file):
        setattr(file.message.mini_block_layout, name, value)

    return change


def clear_field(name):
    return lambda file: file.message.mini_block_layout.ClearField(name)


def flat_in(name):
    def change(file):
        getattr(file.message.mini_block_layout, name).flat.bits_per_value = 16

    return change


def layers(*numbers):
    def change(file):
        file.message.mini_block_layout.layers[:] = numbers

    return change


def drop_buffer(file):
    file.buffers.pop()


def extra_buffer(file):
    file.replace(-1, file.buffer(-1))
    file.buffers.append(file.buffers[-1])


def rows(num_rows):
    def change(file):
        file.num_rows = num_rows

    return change


def words(change_words):
    def change(file):
        array = np.frombuffer(file.buffer(0), "<u2").copy()
        file.replace(0, change_words(array).tobytes())

    return change


def rep_index(row, column, number):
    def change(file):
        array = np.frombuffer(file.buffer(2), "<u8").copy().reshape(-1, 2)
        array[row, column] = number
        file.replace(2, array.tobytes())

    return change


def patch_chunks(position, *numbers):
    def change(file):
        data = bytearray(file.buffer(1))
        for i, number in enumerate(numbers):
            data[position + 2 * i : position + 2 * i + 2] = number.to_bytes(2, "little")
        file.replace(1, bytes(data))

    return change


BAD = [
    pytest.param("flat", clear_field("value_compression"), FormatError, id="no value compression"),
    pytest.param("flat", clear_field("def_compression"), FormatError, id="no definition levels"),
    pytest.param("flat", flat_in("rep_compression"), FormatError, id="repetition levels without lists"),
    pytest.param("plain", flat_in("def_compression"), FormatError, id="definition levels without use"),
    pytest.param("list", clear_field("rep_compression"), FormatError, id="no repetition levels"),
    pytest.param("flat", set_field("repetition_index_depth", 1), FormatError, id="index without lists"),
    pytest.param("list", set_field("repetition_index_depth", 0), FormatError, id="lists without index"),
    pytest.param("list", set_field("repetition_index_depth", 2), UnsupportedError, id="deep index"),
    pytest.param("flat", set_field("num_buffers", 2), FormatError, id="too many value buffers"),
    pytest.param("flat", set_field("num_buffers", 2**64 - 1), FormatError, id="endless value buffers"),
    pytest.param("flat", set_field("num_buffers", 0), FormatError, id="no value buffers"),
    pytest.param("flat", set_field("num_items", 99), FormatError, id="fewer slots than rows"),
    pytest.param("flat", set_field("num_items", 2**64 - 1), FormatError, id="endless slots"),
    pytest.param("list", set_field("num_items", 2**64 - 1), FormatError, id="endless slots of lists"),
    pytest.param("list", set_field("num_items", 1), FormatError, id="too few slots for the chunks"),
    pytest.param("list", set_field("num_items", 100000), FormatError, id="too many slots for the chunks"),
    pytest.param("flat", set_field("has_large_chunk", True), FormatError, id="large words"),
    pytest.param("flat", layers(), FormatError, id="no layers"),
    pytest.param("flat", layers(0), FormatError, id="unspecified layer"),
    pytest.param("flat", layers(7), UnsupportedError, id="unknown layer"),
    pytest.param("flat", layers(*[3] * 70000), UnsupportedError, id="too many layers"),
    pytest.param("flat", layers(1), FormatError, id="levels without a layer"),
    pytest.param("flat", layers(3, 2), FormatError, id="flat page with a list layer"),
    pytest.param("list", layers(3), FormatError, id="list page without a list layer"),
    pytest.param("list", layers(3, 4), FormatError, id="level of a layer that is gone"),
    pytest.param("list", layers(1, 6, 3), FormatError, id="other visible levels"),
    pytest.param("flat", drop_buffer, FormatError, id="buffer missing"),
    pytest.param("flat", extra_buffer, FormatError, id="buffer too many"),
    pytest.param("flat", rows(99), FormatError, id="fewer rows than slots"),
    pytest.param("flat", rows(0), FormatError, id="no rows"),
    pytest.param("list", rows(99), FormatError, id="fewer rows than lists"),
    pytest.param("list", rows(101), FormatError, id="more rows than lists"),
    pytest.param("list", rows(2**62), FormatError, id="endless rows"),
    pytest.param("flat", words(lambda w: w[:-1]), FormatError, id="chunk missing"),
    pytest.param("flat", words(lambda w: w[::-1].copy()), FormatError, id="words reversed"),
    pytest.param("flat", words(lambda w: w + 16), FormatError, id="chunks too large"),
    pytest.param("list", rep_index(0, 0, 2**63), FormatError, id="endless rows in a chunk"),
    pytest.param("list", rep_index(-1, 1, 1), FormatError, id="row after the last chunk"),
    pytest.param("list", lambda file: file.replace(2, file.buffer(2)[:-8]), FormatError, id="short index"),
    pytest.param("flat", patch_chunks(0, 15), FormatError, id="fewer levels"),
    pytest.param("flat", patch_chunks(2, 30), FormatError, id="fewer level bytes"),
    pytest.param("flat", patch_chunks(2, 65535), FormatError, id="endless level bytes"),
    pytest.param("flat", patch_chunks(4, 60), FormatError, id="fewer value bytes"),
    pytest.param("flat", patch_chunks(8, 2), FormatError, id="definition level too large"),
    pytest.param("list", patch_chunks(8, 2), FormatError, id="repetition level too large"),
    pytest.param("list", patch_chunks(8, 0), FormatError, id="page begins inside of a row"),
]


def base_page(kind):
    return File(encode(leaf_of({"plain": [1], "flat": [3], "list": [3, 6]}[kind], 100)))


@pytest.mark.parametrize(("kind", "change", "error"), BAD)
def test_bad_pages(kind, change, error):
    file = base_page(kind)
    file.read()
    change(file)
    with pytest.raises(error):
        file.read()


def test_index_that_contradicts_the_levels():
    file = base_page("list")
    index = np.frombuffer(file.buffer(2), "<u8").reshape(-1, 2).copy()
    inner = int(np.flatnonzero((index[:-1, 1] > 0) & (index[:-1, 0] > 0))[0])
    for row, pair in ((inner, (index[inner, 0], 60000)), (inner, (index[inner, 0] + 1, 0))):
        changed = index.copy()
        changed[row] = pair
        changed[row + 1, 0] -= pair[0] - index[inner, 0]
        file.replace(2, changed.tobytes())
        with pytest.raises(FormatError):
            file.read()


def test_truncated_data():
    file = base_page("flat")
    opened = file.open()
    for ranges in (RowRanges.single(0, 100), RowRanges.from_sorted(np.array([0, 99]))):
        part = opened.plan(ranges)
        data = file.fetch(part.ranges)
        with pytest.raises(FormatError):
            opened.decode(part, [*data[:-1], data[-1][:-1]], allocate)


@pytest.mark.parametrize("kind", ["plain", "flat", "list"])
def test_damaged_bytes_give_data_or_an_error(kind):
    file = base_page(kind)
    rng = np.random.default_rng(11)
    good = bytes(file.data)
    message = file.message.SerializeToString()
    outcomes = set()
    for _ in range(1500):
        file.data = bytearray(good)
        target = file.buffers[int(rng.integers(len(file.buffers)))]
        position = target.position + int(rng.integers(target.size))
        file.data[position] = int(rng.integers(256))
        try:
            leaf = file.read()[1]
            rows_of(leaf)
            outcomes.add("data")
        except LanceletError:
            outcomes.add("error")
    file.data = bytearray(good)
    info = PageInfo(tuple(file.buffers), file.num_rows)
    for i in range(len(message)):
        for number in (0, 1, 127, 255, message[i] ^ 1):
            changed = message[:i] + bytes([number]) + message[i + 1 :]
            try:
                layout = parse_page(PAGE_LAYOUT, changed, info)
                opened = layout.open(file.fetch(layout.head_ranges()))
                part = opened.plan(RowRanges.single(0, file.num_rows))
                opened.decode(part, file.fetch(part.ranges), allocate)
            except LanceletError:
                outcomes.add("error")
    assert outcomes == {"data", "error"}
