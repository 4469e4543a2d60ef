from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference

native = pytest.importorskip("lancelet._native")

LEVELS_REP = [1, 0, 1, 1, 1, 0, 1, 1]
LEVELS_DEF = [0, 0, 2, 3, 0, 1, 0, 3]
# The list<int64> page of structural.md 9.1: one chunk with both levels.
LIST_CHUNK = bytes.fromhex(
    "0800 1000 1000 2800"
    "01000000010001000100000001000100"
    "00000000020003000000010000000300"
    "0100000000000000 0200000000000000 0300000000000000 0000000000000000 0400000000000000"
)
# Nullable int32 of the same section, and with 32-bit sizes.
FLAT_CHUNK = bytes.fromhex(
    "0600 0c00 1800 fefe 000001000000000001000000 fefefefe 010000000000000003000000040000000000000006000000"
)
LARGE_CHUNK = bytes.fromhex("0300 0600 0c000000 000001000000 fefe 010000000000000003000000 fefefefe")


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    return native if request.param == "native" else reference


def u16(values):
    return np.array(values, dtype=np.uint16)


def i64(values):
    return np.array(values, dtype=np.int64)


def unaligned(data):
    out = np.empty(len(data) + 1, np.uint8)[1:]
    out[:] = np.frombuffer(data, np.uint8)
    return out


def random_levels(rng, num_rows, max_rep, max_def):
    """Rows of random lengths with random levels; not every such page is a nesting, the kernels do not care."""
    rep = [u16([max_rep, *rng.integers(0, max_rep, rng.integers(0, 40))]) for _ in range(num_rows)]
    rep = np.concatenate(rep)
    def_ = rng.integers(0, max_def + 1, len(rep)).astype(np.uint16)
    return rep, def_


def cut_counts(num_slots, log=4):
    full = max(num_slots - 1, 0) >> log
    return i64([1 << log] * full + [num_slots - (full << log)])


# ---- writing


def cut(kernels, def_, max_visible, counts):
    entries = np.full(len(counts), -1, np.int64)
    kernels.miniblock_cut(u16(def_), max_visible, i64(counts), entries)
    return entries.tolist()


def index(kernels, rep, max_rep, entries):
    out = np.zeros(2 * len(entries), np.uint64)
    kernels.miniblock_index(u16(rep), max_rep, i64(entries), out)
    return out.reshape(-1, 2).tolist()


def test_cut_gives_hidden_entries_to_the_next_chunk(kernels):
    assert cut(kernels, LEVELS_DEF, 1, [5]) == [8]
    assert cut(kernels, [0, 0, 2, 2, 1, 0, 2], 1, [2, 2]) == [2, 5]
    assert cut(kernels, [2, 0, 0, 0, 0], 1, [2, 2]) == [3, 2]
    assert cut(kernels, [0, 0, 0], 0, [2, 1]) == [2, 1]


@pytest.mark.parametrize("counts", [[4], [6], [2, 2], [2, 4], [5, 0], [6, -1], []])
def test_cut_refuses_other_counts(kernels, counts):
    with pytest.raises(ValueError):
        cut(kernels, LEVELS_DEF, 1, counts)


def test_index_examples(kernels):
    assert index(kernels, LEVELS_REP, 1, [8]) == [[6, 0]]
    # Lists of 300, 1000, 0, 236 and 500 values in chunks of 1024 (structural.md 5.6).
    rep = np.concatenate([[1], [0] * 299, [1], [0] * 999, [1], [1], [0] * 235, [1], [0] * 499])
    assert index(kernels, rep, 1, [1024, len(rep) - 1024]) == [[1, 724], [4, 0]]


def test_index_of_a_row_over_many_chunks(kernels):
    assert index(kernels, [1, 1, 0, 0, 0, 0, 1, 1], 1, [2, 2, 2, 2]) == [[1, 1], [0, 2], [1, 0], [2, 0]]
    with pytest.raises(ValueError):
        index(kernels, [1, 1], 1, [1])
    with pytest.raises(ValueError):
        index(kernels, [1, 1], 1, [2, 0])
    with pytest.raises(ValueError):
        index(kernels, [1, 1], 1, [3])


def frame(kernels, counts, entries, parts, num_levels, large):
    """Words and chunks; `parts` are pairs of data and sizes."""
    sizes = [i64(part_sizes) for _, part_sizes in parts]
    words = np.zeros((4 if large else 2) * len(counts), np.uint8)
    num_bytes = kernels.miniblock_words(i64(counts), i64(entries), sizes, num_levels, large, words)
    if num_bytes < 0:
        return None
    out = np.zeros(num_bytes, np.uint8)
    kernels.miniblock_frame(i64(entries), [data for data, _ in parts], sizes, num_levels, large, out)
    return words.tobytes(), out.tobytes()


def test_frame(kernels):
    parts = [(b"abc", [1, 2]), (b"ABCDEFGHIJK", [8, 3])]
    words, chunks = frame(kernels, [4, 3], [5, 3], parts, 1, False)
    assert words.hex() == "2200" + "2000"  # 24 bytes, 4 slots; 24 bytes
    pad = b"\xfe"
    assert chunks == (
        (b"\x05\x00\x01\x00\x08\x00" + 2 * pad + b"a" + 7 * pad + b"ABCDEFGH")
        + (b"\x03\x00\x02\x00\x03\x00" + 2 * pad + b"bc" + 6 * pad + b"IJK" + 5 * pad)
    )
    words, chunks = frame(kernels, [1], [9], [(b"", [0])], 0, True)
    assert (words.hex(), chunks.hex()) == ("00000000", "000000000000fefe")


def test_frame_of_the_format_page(kernels):
    rep, def_, values = LIST_CHUNK[8:24], LIST_CHUNK[24:40], LIST_CHUNK[40:]
    parts = [(rep, [16]), (def_, [16]), (values, [40])]
    assert frame(kernels, [5], [8], parts, 2, False)[1] == LIST_CHUNK


@pytest.mark.parametrize("large", [False, True])
def test_frame_at_its_limits(kernels, large):
    def fits(entries, level_bytes, value_bytes):
        words = np.zeros(4 if large else 2, np.uint8)
        sizes = [i64([level_bytes]), i64([value_bytes])]
        return kernels.miniblock_words(i64([7]), i64([entries]), sizes, 1, large, words) > 0

    most = (1 << 31) if large else (32 << 10)
    assert fits(65535, 8, 8)
    assert not fits(65536, 8, 8)
    assert fits(8, 8, most - 16 - 8 * large)
    assert not fits(8, 8, most - 8)
    assert not fits(8, 8, most + 1)
    assert fits(8, 65535, 8) is large
    assert not fits(8, 65536, 8)


@pytest.mark.parametrize(
    ("counts", "entries", "sizes"),
    [
        ([3, 1], [3, 1], [3, 3]),
        ([1, 1], [1, 1], [3, 3]),
        ([2, 0], [2, 0], [3, 3]),
        ([2, 32769], [2, 2], [3, 3]),
        ([65536, 1], [2, 2], [3, 3]),
        ([2, 2], [2], [3, 3]),
        ([2, 2], [2, -1], [3, 3]),
        ([2, 2], [2, 2], [3]),
        ([2, 2], [2, 2], [7, -1]),
        ([2, 2], [2, 2], [3, 4]),
        ([2, 2], [2, 2], [3, 2]),
    ],
)
def test_frame_refuses_what_does_not_add_up(kernels, counts, entries, sizes):
    with pytest.raises(ValueError):
        frame(kernels, counts, entries, [(b"abcdef", sizes)], 0, False)


def test_frame_refuses_an_output_of_another_size(kernels):
    for num_bytes in (0, 7, 8, 15, 17, 24):
        with pytest.raises(ValueError):
            kernels.miniblock_frame(i64([1]), [b"abc"], [i64([3])], 0, False, np.zeros(num_bytes, np.uint8))
    for data in ([], [b"abc", b""]):
        with pytest.raises(ValueError):
            kernels.miniblock_frame(i64([1]), data, [i64([3])], 0, False, np.zeros(16, np.uint8))
    for num_levels in (2, 3):
        with pytest.raises(ValueError):
            kernels.miniblock_words(i64([1]), i64([1]), [i64([3])], num_levels, False, np.zeros(2, np.uint8))


def test_frames_equal_their_twins():
    rng = np.random.default_rng(5)
    for _ in range(60):
        num_chunks, num_parts = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        num_levels, large = int(rng.integers(0, min(num_parts, 2) + 1)), bool(rng.integers(0, 2))
        counts = [*(1 << rng.integers(1, 9, num_chunks - 1)), int(rng.integers(1, 500))]
        entries = rng.integers(0, 900, num_chunks)
        sizes = rng.integers(0, 60, (num_parts, num_chunks))
        parts = [(rng.bytes(int(row.sum())), row) for row in sizes]
        made = [frame(kernels, counts, entries, parts, num_levels, large) for kernels in (native, reference)]
        assert made[0] == made[1]


def test_writing_kernels_equal_their_twins():
    rng = np.random.default_rng(1)
    for _ in range(30):
        max_rep = int(rng.integers(1, 4))
        rep, def_ = random_levels(rng, 60, max_rep, 3)
        max_visible = int(rng.integers(0, 3))
        counts = cut_counts(int(np.count_nonzero(def_ <= max_visible)))
        entries = cut(native, def_, max_visible, counts)
        assert entries == cut(reference, def_, max_visible, counts)
        assert sum(entries) == len(rep)
        assert index(native, rep, max_rep, entries) == index(reference, rep, max_rep, entries)


# ---- chunk words


def chunks(kernels, words, large, chunks_bytes, num_slots):
    num_chunks = len(words) // (4 if large else 2)
    out = np.full((6, num_chunks), -1, np.int64)
    kernels.miniblock_open(unaligned(words), large, chunks_bytes, num_slots, b"", False, num_slots, out)
    sizes, stops, slots, started, finished, leftovers = out.tolist()
    assert stops == np.cumsum(sizes).tolist()
    assert started == finished == np.cumsum(slots).tolist()
    assert not any(leftovers)
    return sizes, slots


def test_chunk_words(kernels):
    assert chunks(kernels, bytes.fromhex("9000"), False, 80, 5) == ([80], [5])
    assert chunks(kernels, bytes.fromhex("1a401040"), False, 8208 + 8208, 1536) == ([8208, 8208], [1024, 512])
    assert chunks(kernels, bytes.fromhex("30000000"), True, 32, 3) == ([32], [3])
    # First words of a list<int32> page in 2.1 and 2.2 (versions.md 5.1), and a last chunk that states its number.
    assert chunks(kernels, bytes.fromhex("6a0e 1000"), False, 1848 + 16, 1030) == ([1848, 16], [1024, 6])
    assert chunks(kernels, bytes.fromhex("7a0e0000 12000000"), True, 1856 + 16, 1028) == (
        [1856, 16],
        [1024, 4],
    )
    assert chunks(kernels, bytes.fromhex("f0ffffff"), True, 1 << 31, 32768) == ([1 << 31], [32768])
    assert chunks(kernels, b"", False, 0, 0) == ([], [])


@pytest.mark.parametrize(
    ("words", "large", "chunks_bytes", "num_slots"),
    [
        pytest.param("900010", False, 80, 5, id="half a word"),
        pytest.param("9000", True, 80, 5, id="half a large word"),
        pytest.param("", False, 0, 1, id="no chunks"),
        pytest.param("", False, 8, 0, id="bytes without chunks"),
        pytest.param("9000", False, 72, 5, id="too few bytes"),
        pytest.param("9000", False, 88, 5, id="too many bytes"),
        pytest.param("9000", False, 80, 0, id="no slots"),
        pytest.param("9000", False, 80, 32769, id="too many slots"),
        pytest.param("90009000", False, 160, 5, id="one slot in the middle"),
        pytest.param("93009000", False, 160, 8, id="nothing left for the last"),
        pytest.param("93009000", False, 160, 7, id="less than nothing left"),
        pytest.param("93009200", False, 160, 11, id="the last states another number"),
        pytest.param("9300" * 3, False, 240, 15, id="full before the last"),
    ],
)
def test_bad_chunk_words(kernels, words, large, chunks_bytes, num_slots):
    with pytest.raises(FormatError):
        chunks(kernels, bytes.fromhex(words), large, chunks_bytes, num_slots)


@pytest.mark.parametrize(
    ("num_out", "num_slots", "index", "has_index", "num_rows"),
    [
        (5, 5, b"", False, 5),
        (12, 5, b"", False, 5),
        (6, -1, b"", False, 5),
        (6, 5, bytes(16), False, 5),
        (6, 5, bytes(16), True, -1),
    ],
)
def test_contract_of_opening(kernels, num_out, num_slots, index, has_index, num_rows):
    out = np.zeros(num_out, np.int64)
    with pytest.raises(ValueError):
        kernels.miniblock_open(bytes.fromhex("9000"), False, 80, num_slots, index, has_index, num_rows, out)


# ---- repetition index


def rows(kernels, pairs, num_rows, num_chunks=None, data=None):
    num_chunks = len(pairs) if num_chunks is None else num_chunks
    data = np.array(pairs, "<u8").tobytes() if data is None else data
    words = np.array([1] * (num_chunks - 1) + [0] * (num_chunks > 0), "<u2").tobytes()
    sizes = 8 * num_chunks, max(2 * num_chunks - 1, 0)
    out = np.full((6, num_chunks), -1, np.int64)
    kernels.miniblock_open(words, False, *sizes, unaligned(data), True, num_rows, out)
    return out[3:].tolist()


def test_rows(kernels):
    assert rows(kernels, [(6, 0)], 6) == [[6], [6], [0]]
    assert rows(kernels, [(1, 724), (4, 0)], 5) == [[2, 5], [1, 5], [724, 0]]
    assert rows(kernels, [(1, 1), (0, 65535), (1, 0), (2, 0)], 4) == [
        [2, 2, 2, 4],
        [1, 1, 2, 4],
        [1, 65535, 0, 0],
    ]
    assert rows(kernels, [], 0) == [[], [], []]


@pytest.mark.parametrize(
    ("pairs", "num_rows"),
    [
        pytest.param([(6, 0)], 5, id="too many rows"),
        pytest.param([(6, 0)], 7, id="too few rows"),
        pytest.param([(6, 3)], 6, id="goes on after the last chunk"),
        pytest.param([(2**64 - 1, 0), (7, 0)], 6, id="sum wraps"),
        pytest.param([(1, 65536), (1, 0)], 2, id="leftover too large"),
        pytest.param([(1, 2**64 - 1), (1, 0)], 2, id="leftover huge"),
        pytest.param([(1, 5), (0, 0), (1, 0)], 2, id="neither ends nor goes on"),
        pytest.param([], 1, id="no chunks"),
    ],
)
def test_bad_rows(kernels, pairs, num_rows):
    with pytest.raises(FormatError):
        rows(kernels, pairs, num_rows)


@pytest.mark.parametrize("size", [0, 8, 15, 17, 32])
def test_repetition_index_of_another_size(kernels, size):
    with pytest.raises(FormatError):
        rows(kernels, [], 0, num_chunks=1, data=bytes(size))


# ---- headers


def headers(kernels, data, chunk_sizes, slots, has_rep, has_def, num_buffers=1, large=False):
    num_parts = has_rep + has_def + num_buffers
    entries = np.full(len(slots), -1, np.int64)
    offsets, sizes = np.full((2, num_parts, len(slots)), -1, np.int64)
    kernels.miniblock_headers(
        unaligned(data),
        i64(chunk_sizes),
        i64(slots),
        has_rep,
        has_def,
        num_buffers,
        large,
        entries,
        offsets,
        sizes,
    )
    return entries.tolist(), offsets.tolist(), sizes.tolist()


def test_headers(kernels):
    assert headers(kernels, LIST_CHUNK, [80], [5], True, True) == ([8], [[8], [24], [40]], [[16], [16], [40]])
    assert headers(kernels, FLAT_CHUNK * 2, [48, 48], [6, 6], False, True) == (
        [6, 6],
        [[8, 56], [24, 72]],
        [[12, 12], [24, 24]],
    )
    assert headers(kernels, LARGE_CHUNK, [32], [3], False, True, large=True) == (
        [3],
        [[8], [16]],
        [[6], [12]],
    )
    no_levels = bytes.fromhex("0000 0400 0300 fefe 01020304 fefefefe 050607 fefefefefe")
    assert headers(kernels, no_levels, [24], [4], False, False, 2) == ([0], [[8], [16]], [[4], [3]])
    assert headers(kernels, b"", [], [], True, True) == ([], [[], [], []], [[], [], []])
    assert headers(kernels, bytes(8), [8], [3], False, False, 0) == ([0], [], [])


def patched(data, position, number, width=2):
    return data[:position] + number.to_bytes(width, "little") + data[position + width :]


@pytest.mark.parametrize(
    ("data", "chunk_sizes", "slots", "has_rep", "large"),
    [
        pytest.param(FLAT_CHUNK, [48], [7], False, False, id="fewer levels than slots"),
        pytest.param(FLAT_CHUNK, [48], [5], False, False, id="more levels than slots"),
        pytest.param(LIST_CHUNK, [80], [9], True, False, id="fewer levels than slots of lists"),
        pytest.param(patched(FLAT_CHUNK, 0, 0), [48], [6], False, False, id="no levels"),
        pytest.param(patched(FLAT_CHUNK, 4, 16), [48], [6], False, False, id="parts end early"),
        pytest.param(patched(FLAT_CHUNK, 4, 25), [48], [6], False, False, id="value past the end"),
        pytest.param(patched(FLAT_CHUNK, 4, 65535), [48], [6], False, False, id="value far past the end"),
        pytest.param(patched(FLAT_CHUNK, 2, 40), [48], [6], False, False, id="levels fill the chunk"),
        pytest.param(patched(FLAT_CHUNK, 2, 65535), [48], [6], False, False, id="levels past the end"),
        pytest.param(
            patched(LARGE_CHUNK, 4, 2**32 - 1, 4), [32], [3], False, True, id="large value past the end"
        ),
        pytest.param(FLAT_CHUNK[:40], [48], [6], False, False, id="truncated"),
        pytest.param(FLAT_CHUNK + bytes(8), [48], [6], False, False, id="bytes after the chunks"),
        pytest.param(FLAT_CHUNK, [-8], [6], False, False, id="negative size"),
        pytest.param(FLAT_CHUNK, [2**62], [6], False, False, id="huge size"),
        pytest.param(FLAT_CHUNK[:4], [4], [6], False, False, id="header too large"),
    ],
)
def test_bad_headers(kernels, data, chunk_sizes, slots, has_rep, large):
    with pytest.raises(FormatError):
        headers(kernels, data, chunk_sizes, slots, has_rep, True, large=large)


def test_levels_in_a_page_without(kernels):
    data = bytes.fromhex("0400 0400 fefefefe 01020304 fefefefe")
    with pytest.raises(FormatError):
        headers(kernels, data, [16], [4], False, False)


def test_headers_for_other_outputs(kernels):
    one, two = np.zeros(1, np.int64), np.zeros(2, np.int64)
    for num_buffers, slots, entries, offsets, sizes in (
        (65, one, one, one, one),
        (-1, one, one, one, one),
        (1, two, one, two, two),
        (1, one, two, two, two),
        (1, one, one, one, two),
        (1, one, one, two, one),
    ):
        with pytest.raises(ValueError):
            kernels.miniblock_headers(
                FLAT_CHUNK, i64([48]), slots + 6, False, True, num_buffers, False, entries, offsets, sizes
            )


# ---- levels


def test_check_def(kernels):
    levels, entries = u16(LEVELS_DEF), i64([4, 4])
    kernels.miniblock_check_def(levels, entries, i64([2, 3]), 3, 1)
    for slots, max_def, max_visible in (([2, 2], 3, 1), ([3, 3], 3, 1), ([2, 3], 2, 1), ([2, 3], 3, 2)):
        with pytest.raises(FormatError):
            kernels.miniblock_check_def(levels, entries, i64(slots), max_def, max_visible)
    with pytest.raises(FormatError):
        kernels.miniblock_check_def(u16([65535]), i64([1]), i64([0]), 3, 1)
    for bad in ([4, 5], [4, 3], [4, 5, -1], [8]):
        with pytest.raises(ValueError):
            kernels.miniblock_check_def(levels, i64(bad), i64([2, 3]), 3, 1)


def test_check_def_of_the_largest_chunk(kernels):
    kernels.miniblock_check_def(np.zeros(65535, np.uint16), i64([65535]), i64([65535]), 0, 0)
    with pytest.raises(ValueError):
        kernels.miniblock_check_def(np.zeros(65536, np.uint16), i64([65536]), i64([0]), 0, 0)


class Index:
    """Rows of three chunks: one, the beginning of a second; its middle; its end and two more."""

    rep = u16([1, 0, 1, 0, 0, 0, 0, 1, 0, 1])
    entries = i64([4, 2, 4])
    started, finished, leftovers = i64([2, 2, 4]), i64([1, 1, 4]), i64([2, 2, 0])


def select(kernels, runs, **index):
    """Return the five rows for `runs` of the three chunks."""
    arrays = [i64(index.get(name, getattr(Index, name))) for name in ("started", "finished", "leftovers")]
    firsts, lasts = i64([first for first, _ in runs]), i64([last for _, last in runs])
    out = np.full((5, int((lasts - firsts + 1).sum())), -1, dtype=np.int64)
    kernels.miniblock_select(i64([80, 16, 40]), i64([7, 8, 9]), *arrays, firsts, lasts, out)
    return out


def check_rep(kernels, rep=Index.rep, entries=Index.entries, runs=((0, 2),), max_rep=1, **index):
    rep = rep.copy()
    kernels.miniblock_check_rep(rep, i64(entries), *select(kernels, runs, **index)[2:], max_rep)
    return rep.tolist()


def test_select(kernels):
    assert select(kernels, [(0, 2)]).tolist() == [[80, 16, 40], [7, 8, 9], [2, 0, 2], [0, 1, 1], [2, 2, 0]]
    assert select(kernels, [(0, 0), (2, 2)]).tolist() == [[80, 40], [7, 9], [2, 2], [0, 2], [2, 0]]
    assert select(kernels, [(1, 2)])[3].tolist() == [2, 1]
    flat = select(kernels, [(1, 2)], started=[3, 5, 9], finished=[3, 5, 9], leftovers=[])
    assert flat.tolist() == [[16, 40], [8, 9], [2, 4], [0, 0], [0, 0]]


@pytest.mark.parametrize("runs", [[(0, 3)], [(-1, 0)], [(2, 1)], [(0, 0), (3, 3)]])
def test_select_of_chunks_that_are_not_there(kernels, runs):
    firsts, lasts = i64([first for first, _ in runs]), i64([last for _, last in runs])
    out = np.empty((5, max(int((lasts - firsts + 1).sum()), 0)), dtype=np.int64)
    with pytest.raises(ValueError, match="miniblock_select"):
        kernels.miniblock_select(*[i64([1, 2, 3])] * 5, firsts, lasts, out)


@pytest.mark.parametrize(
    "sizes", [(3, 3, 3, 3, 2, 15), (2, 3, 3, 3, 3, 15), (3, 3, 3, 3, 3, 10), (3, 3, 3, 3, 3, 20)]
)
def test_select_contract(kernels, sizes):
    *arrays, room = [np.zeros(size, np.int64) for size in sizes]
    with pytest.raises(ValueError, match="miniblock_select"):
        kernels.miniblock_select(*arrays, i64([0]), i64([2]), room)


def test_check_rep(kernels):
    assert check_rep(kernels) == Index.rep.tolist()


def test_a_row_begins_where_a_run_begins_inside_of_one(kernels):
    found = check_rep(kernels, rep=Index.rep[4:], entries=[2, 4], runs=[(1, 2)])
    assert found == [1, 0, 0, 1, 0, 1]
    found = check_rep(kernels, rep=np.delete(Index.rep, [4, 5]), entries=[4, 4], runs=[(0, 0), (2, 2)])
    assert found == [1, 0, 1, 0, 1, 1, 0, 1]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"rep": u16([1, 0, 1, 0, 0, 2, 0, 1, 0, 1])}, id="level too large"),
        pytest.param({"rep": u16([0, 1, 1, 0, 0, 0, 0, 1, 0, 1])}, id="the page begins inside of a row"),
        pytest.param({"rep": u16([1, 0, 1, 0, 1, 0, 0, 1, 0, 1])}, id="a chunk begins with a row"),
        pytest.param({"rep": u16([1, 0, 0, 0, 0, 0, 0, 1, 0, 1])}, id="too few rows"),
        pytest.param({"rep": u16([1, 0, 1, 0, 0, 0, 0, 1, 1, 1])}, id="too many rows"),
        pytest.param({"finished": [2, 2, 4], "leftovers": [0, 0, 0]}, id="a chunk begins inside of a row"),
        pytest.param({"leftovers": [5, 2, 0]}, id="leftover above the entries"),
        pytest.param({"entries": [4, 0, 6]}, id="no entries"),
    ],
)
def test_bad_repetition_levels(kernels, change):
    with pytest.raises(FormatError):
        check_rep(kernels, **change)


def test_check_rep_contract(kernels):
    for change in (
        {"entries": [4, 2, 5]},
        {"rep": np.append(Index.rep, u16([0]))},
        {"entries": [4, 6]},
        {"runs": [(0, 1)]},
    ):
        with pytest.raises(ValueError):
            check_rep(kernels, **change)


# ---- planning


def random_index(rng, num_chunks):
    """Rows that start and end in chunks: some go on over several of them."""
    starts = rng.integers(0, 4, num_chunks)
    goes_on = rng.random(num_chunks) < 0.4
    goes_on[-1] = False
    starts += np.append(True, ~goes_on[:-1])  # a chunk that nothing goes on into begins with a row
    started = np.cumsum(starts)
    return i64(started), i64(started - goes_on)


@pytest.mark.parametrize("seed", range(20))
def test_plan(kernels, seed):
    rng = np.random.default_rng(seed)
    num_chunks = int(rng.integers(1, 40))
    started, finished = random_index(rng, num_chunks)
    chunk_stops = i64(np.cumsum(rng.integers(1, 9, num_chunks)))
    num_rows = int(started[-1])
    rows = np.flatnonzero(rng.random(num_rows) < rng.choice([0.05, 0.3, 1.0]))
    if not len(rows):
        rows = np.array([num_rows - 1])
    breaks = np.flatnonzero(np.diff(rows) > 1)
    starts = i64(rows[np.concatenate(([0], breaks + 1))])
    stops = i64(rows[np.concatenate((breaks, [len(rows) - 1]))] + 1)
    out = np.full((6, len(starts)), -1, dtype=np.int64)
    nothing = np.zeros(num_chunks, np.int64)
    tables = np.stack([nothing, chunk_stops, nothing, started, finished, nothing])
    num_runs, num_chunks, total, wanted = kernels.miniblock_plan(tables, starts, stops, out)
    assert wanted == len(rows)
    touched = set()
    for row in rows.tolist():
        first, last = int((started <= row).sum()), int((finished <= row).sum())
        touched |= set(range(first, last + 1))
    runs = [range(first, last + 1) for first, last in out[:2, :num_runs].T.tolist()]
    assert [chunk for run in runs for chunk in run] == sorted(touched)
    assert num_chunks == len(touched)
    assert all(left.stop < right.start for left, right in pairwise(runs))
    sizes = np.diff(chunk_stops, prepend=0)
    for run, first_byte, last_byte in zip(runs, *out[2:4, :num_runs].tolist(), strict=True):
        assert (first_byte, last_byte) == (sizes[: run.start].sum(), sizes[: run.stop].sum())
    in_chunks = []  # the row of the page at every row of the runs, in order
    for run in runs:
        skipped = int(finished[run.start - 1]) if run.start else 0
        in_chunks += range(skipped, int(started[run.stop - 1]))
    assert total == len(in_chunks)
    shown = [in_chunks[k] for start, stop in out[4:].T.tolist() for k in range(start, stop)]
    assert shown == rows.tolist()


def test_plan_of_rows_that_are_not_there(kernels):
    tables = i64([[0, 0], [8, 16], [0, 0], [2, 4], [2, 4], [0, 0]])
    for starts, stops in (([], []), ([3], [5]), ([1], [1]), ([2, 1], [3, 2]), ([-1], [1]), ([0], [1, 2])):
        with pytest.raises(ValueError, match="miniblock_plan"):
            kernels.miniblock_plan(tables, i64(starts), i64(stops), np.empty(6 * len(starts), np.int64))
    with pytest.raises(ValueError, match="miniblock_plan"):
        kernels.miniblock_plan(tables.ravel()[:-1], i64([0]), i64([1]), np.empty(6, np.int64))
