"""Reads of flat mini-block columns, native and reference, against the rows that their pages were made of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from direct_pages import (
    FLAT,
    FLAT_LEVELS,
    NO_LEVELS,
    PACKED,
    PACKED_APART,
    PACKED_LEVELS,
    RUN_LEVELS,
    RUNS,
    SYMBOLS,
    VARIABLE,
    Column,
    Items,
    Opened,
    Page,
    finish,
    frame,
    make_page,
    one,
    text,
)
from lancelet.errors import FormatError
from lancelet.kernels import reference
from tiers import sample_or_full

LEVELS = [NO_LEVELS, FLAT_LEVELS, PACKED_LEVELS, PACKED_APART, RUN_LEVELS]
FIXED = [(FLAT, bits) for bits in (1, 8, 16, 24, 32, 64, 128)]
FIXED += [(form, bits) for form in (PACKED, RUNS) for bits in (8, 16, 32, 64)]
WITH_LENGTHS = [(form, bits) for form in (VARIABLE, SYMBOLS) for bits in (32, 64)]
INDICES = [(form, bits) for form in (FLAT, PACKED, RUNS) for bits in (8, 16, 32, 64)]


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request):
    return pytest.importorskip(request.param)


def items(rng, is_variable, bits, count=50, ascii_only=True):
    if is_variable:
        return Items(text(rng, count, ascii_only), bits, True)
    return Items([rng.bytes(bits // 8) for _ in range(count)], bits, False)


def row_ranges(rng, num_rows):
    """Ranges of rows: all, one, few, many, neighbours that touch."""
    yield [(0, num_rows)]
    row = int(rng.integers(0, num_rows))
    yield [(row, row + 1)]
    for count in (2, 5, 40):
        borders = np.unique(rng.integers(0, num_rows + 1, 2 * count)).tolist()
        if len(borders) > 1:
            yield list(pairwise(borders))
            yield list(pairwise(borders))[::2]
    rows = np.flatnonzero(rng.random(num_rows) < 0.1).tolist() or [0]
    yield [(row, row + 1) for row in rows]


def check(kernels, columns, rng):
    opened = Opened(kernels, columns, gap=bytes(int(rng.integers(0, 9))))
    for ranges in row_ranges(rng, int(columns[0].first_rows[-1])):
        assert opened.read(ranges) == [column.wanted(ranges) for column in columns]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize(("values", "bits"), FIXED + WITH_LENGTHS)
def test_values(kernels, values, bits, levels, large):
    rng = np.random.default_rng([values, bits, levels])
    page = make_page(
        rng, 1700, levels=levels, values=values, bits=bits, large=large, ascii_only=bool(bits % 3)
    )
    check(kernels, [Column(values in (VARIABLE, SYMBOLS), bits, [page])], rng)


@pytest.mark.parametrize("levels", [NO_LEVELS, PACKED_APART])
@pytest.mark.parametrize(
    ("is_variable", "item_bits"), [(False, 8), (False, 32), (False, 64), (False, 40), (True, 32), (True, 64)]
)
@pytest.mark.parametrize(("values", "bits"), INDICES)
def test_indices(kernels, values, bits, is_variable, item_bits, levels):
    rng = np.random.default_rng([values, bits, item_bits, levels])
    dictionary = items(rng, is_variable, item_bits, ascii_only=False)
    page = make_page(rng, 1500, levels=levels, values=values, bits=bits, items=dictionary)
    check(kernels, [Column(is_variable, item_bits, [page])], rng)


def random_page(rng, is_variable, bits, num_rows):
    levels, large = LEVELS[int(rng.integers(0, 5))], bool(rng.integers(0, 2))
    if bits > 1 and rng.random() < 0.4:
        dictionary = items(rng, is_variable, bits, int(rng.integers(1, 300)), bool(rng.integers(0, 2)))
        values, index_bits = INDICES[int(rng.integers(0, len(INDICES)))]
        return make_page(
            rng, num_rows, levels=levels, values=values, bits=index_bits, large=large, items=dictionary
        )
    forms = [form for form, own_bits in FIXED + WITH_LENGTHS if own_bits == bits]
    forms = [form for form in forms if (form in (VARIABLE, SYMBOLS)) == is_variable]
    form = forms[int(rng.integers(0, len(forms)))]
    return make_page(
        rng,
        num_rows,
        levels=levels,
        values=form,
        bits=bits,
        large=large,
        most=4096 if form == FLAT and levels in (NO_LEVELS, FLAT_LEVELS) and bits < 64 else 1024,
        ascii_only=bool(rng.integers(0, 4)),
    )


def random_columns(rng, num_rows, num_columns):
    columns = []
    for _ in range(num_columns):
        is_variable = bool(rng.integers(0, 2))
        bits = int(rng.choice([32, 64] if is_variable else [1, 8, 16, 24, 32, 64, 128]))
        borders = np.unique([0, num_rows, *rng.integers(0, num_rows + 1, int(rng.integers(0, 4)))]).tolist()
        pages = [random_page(rng, is_variable, bits, stop - start) for start, stop in pairwise(borders)]
        columns.append(Column(is_variable, bits, pages))
    return columns


@pytest.mark.parametrize("seed", range(sample_or_full(30, 600)))
def test_columns_of_any_pages(kernels, seed):
    rng = np.random.default_rng(seed)
    check(kernels, random_columns(rng, int(rng.integers(1, 3000)), int(rng.integers(1, 6))), rng)


def outcome(kernels, columns, data, ranges):
    """What each column gives, or its error: of opening its pages or of reading them."""
    opened = Opened(kernels, columns)
    opened.data = data
    opened.open()
    results = []
    for number in range(len(columns)):
        try:
            results.append(opened.read(ranges, [number]))
        except (FormatError, ValueError) as error:
            results.append(type(error))
    return results


@pytest.mark.parametrize("seed", range(sample_or_full(30, 600)))
def test_both_refuse_and_read_the_same_damaged_bytes(seed):
    native = pytest.importorskip("lancelet._native")
    rng = np.random.default_rng([1, seed])
    columns = random_columns(rng, int(rng.integers(1, 600)), 4)
    whole = Opened(native, columns).data
    many = [*row_ranges(rng, int(columns[0].first_rows[-1]))]
    for _ in range(12):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), int(rng.choice([1, 3, 100]))).tolist():
            data[place] = int(rng.choice([0, 1, 255, rng.integers(0, 256)]))
        data = data[: int(rng.choice([len(data), rng.integers(0, len(data))]))]
        ranges = many[int(rng.integers(0, len(many)))]
        assert outcome(native, columns, data, ranges) == outcome(reference, columns, data, ranges)


def test_large_chunks(kernels):
    rng = np.random.default_rng(0)
    for rows, most, options in (
        (60_000, 1 << 14, {"bits": 8}),
        (60_000, 1 << 15, {"bits": 1, "levels": RUN_LEVELS, "large": True}),
        (90_000, 1 << 15, {"bits": 16, "large": True}),
    ):
        page = make_page(rng, rows, most=most, **options)
        assert max(page.counts) > 8192
        check(kernels, [Column(False, options["bits"], [page])], rng)


# ---- which pages and chunks a read needs


def plain_columns(first_rows, num_columns=1, most=16):
    rng = np.random.default_rng(7)
    return [
        Column(False, 32, [make_page(rng, stop - start, most=most) for start, stop in pairwise(first_rows)])
        for _ in range(num_columns)
    ]


def test_missing_pages(kernels):
    opened = Opened(kernels, plain_columns([0, 10, 30, 40], 2))
    read = opened.begin([(5, 6), (35, 37)])
    assert read.missing() == [(0, 0), (0, 2), (1, 0), (1, 2)]
    opened.add(1, 0)
    opened.add(0, 1)
    assert read.missing() == [(0, 0), (0, 2), (1, 2)]
    for number, page in ((0, 0), (0, 2), (1, 2)):
        opened.add(number, page)
    assert read.missing() == []
    assert opened.begin([(10, 30)], [1, 0]).missing() == [(0, 1)]


def test_reads_keep_their_pages(kernels):
    opened = Opened(kernels, plain_columns([0, 10, 30]))
    read = opened.begin([(5, 20)])
    for _, page in read.missing():
        opened.add(0, page)
    assert read.missing() == []
    opened.direct.forget_pages()
    assert opened.begin([(5, 20)]).missing() == [(0, 0), (0, 1)]
    assert read.missing() == []
    assert finish(read, opened.columns, 15) == [opened.columns[0].wanted([(5, 20)])]


def test_pages_without_rows(kernels):
    empty = Page((NO_LEVELS, 0, FLAT, 32, False), b"", b"", [], [])
    pages = plain_columns([0, 10, 20])[0].pages
    column = Column(False, 32, [empty, pages[0], empty, empty, pages[1], empty])
    opened = Opened(kernels, [column])
    for ranges in ([(0, 20)], [(9, 11)], [(10, 11)], [(0, 1), (19, 20)], [(0, 10), (10, 20)]):
        assert opened.read(ranges) == [column.wanted(ranges)]


def test_chunks_of_a_read(kernels):
    rng = np.random.default_rng(0)
    counts, values = np.array([4, 4, 4, 4, 3]), rng.integers(0, 99, 19).astype("<u4")
    words, chunks = frame([(values, 4 * counts)], counts, 0, False)
    slots = [value.tobytes() for value in values]
    page = Page((NO_LEVELS, 0, FLAT, 32, False), words, chunks, slots, [True] * 19)
    opened = Opened(kernels, [Column(False, 32, [page]), Column(False, 32, [page])])
    position, second = opened.places[0, 0][1][0], opened.places[1, 0][1][0]

    def ranges(rows, numbers=(0,), gap=0):
        read = opened.begin(rows, list(numbers))
        for place, number in read.missing():
            opened.add(numbers[place], number)
        assert read.missing() == []
        return read.chunk_ranges(gap)

    assert len(chunks) == 5 * 24
    assert ranges([(0, 19)]) == [(position, 120)]
    assert ranges([(0, 1)]) == [(position, 24)]
    assert ranges([(0, 1), (2, 3)]) == [(position, 24)], "no chunk is named twice"
    assert ranges([(0, 1), (2, 5)]) == [(position, 48)]
    assert ranges([(0, 1), (8, 9), (13, 19)]) == [(position, 24), (position + 48, 72)]
    assert ranges([(0, 1), (8, 9), (13, 19)], gap=23) == [(position, 24), (position + 48, 72)]
    assert ranges([(0, 1), (8, 9), (13, 19)], gap=24) == [(position, 120)]
    assert ranges([(5, 6)], (1, 0)) == [(position + 24, 24), (second + 24, 24)]


def test_chunks_that_were_copied(kernels):
    rng = np.random.default_rng(0)
    columns = [
        Column(False, 32, [make_page(rng, 3000, levels=FLAT_LEVELS, values=PACKED)]),
        Column(True, 32, [make_page(rng, 3000, values=SYMBOLS)]),
    ]
    opened = Opened(kernels, columns)
    rows = [(0, 3), (700, 2100), (2999, 3000)]
    for place in range(2):
        opened.add(place, 0)
    file = opened.direct = opened.kernels.DirectColumns(bytes(len(opened.data)))  # nothing but zeros
    for column in columns:
        file.add_column(column.first_rows, column.is_variable, column.bits)
    numbers, forms = [], []
    for (number, page_number), (words, chunks, _) in opened.places.items():
        page = columns[number].pages[page_number]
        numbers.append([number, page_number, len(forms), *words, *chunks, 0, 0, 0])
        forms.append([*page.form, len(page.slots), 0, 0, 0, 0])
    heads = sorted(words for words, *_ in opened.places.values())
    copies = b"".join(opened.data[at : at + size] for at, size in heads)
    held = np.zeros(2, np.int64)
    arguments = np.array(numbers), np.array(forms), [column.pages[0].symbols for column in columns]
    assert file.add_pages(*arguments, [], b"", 1 << 40, held) == 2
    assert held.tolist() == [-1, -1], "chunk words of zeros"
    assert file.add_pages(*arguments, heads, copies, 1 << 40, held) == 2
    assert held.min() > 0
    read = opened.begin(rows)
    assert read.missing() == []
    ranges = read.chunk_ranges(0)
    chunks = b"".join(opened.data[at : at + size] for at, size in ranges)
    read.use_copies(ranges, chunks)
    num_rows = sum(stop - start for start, stop in rows)
    assert finish(read, columns, num_rows) == [column.wanted(rows) for column in columns]
    read.use_copies([], b"")
    with pytest.raises(ValueError, match="decode comes first"):
        read.copy([bytearray(9)], np.zeros(6, np.int64), np.zeros(2, np.uint8))
    with pytest.raises(FormatError):
        finish(read, columns, num_rows)
    for wrong in (ranges[:-1], ranges[::-1], [*ranges, (1 << 40, 1)]):
        with pytest.raises(ValueError, match="ranges"):
            read.use_copies(wrong, chunks)
        with pytest.raises(ValueError, match="ranges"):
            file.add_pages(*arguments, wrong, chunks, 1 << 40, held)


def test_a_page_must_be_open(kernels):
    read = Opened(kernels, plain_columns([0, 10])).begin([(0, 10)])
    with pytest.raises(ValueError, match="not open"):
        read.chunk_ranges(0)
    with pytest.raises(ValueError, match="not open"):
        read.decode([bytearray(40)], np.array([0, -1, 0]), np.zeros(2, np.int64))


def test_values_that_are_too_many_to_count(kernels):
    columns = kernels.DirectColumns(b"")
    rows = 1 << 40
    for width in (1 << 10, 1 << 16, 1 << 17, 1 << 27):
        number = columns.add_column(np.array([0, rows]), False, 8 * width)
        read = kernels.DirectRead(columns, one(number), one(0), one(rows))
        needs = np.zeros((1, 2), dtype=np.int64)
        read.measure(needs)
        assert needs.tolist() == [[0, min(rows * width, 1 << 56)]]


# ---- arguments


@pytest.mark.parametrize(
    ("starts", "stops"),
    [
        ([], []),
        ([0], []),
        ([0, 5], [3]),
        ([5], [5]),
        ([5], [4]),
        ([-1], [3]),
        ([5, 0], [7, 2]),
        ([0, 2], [3, 5]),
        ([0], [11]),
        ([10], [12]),
    ],
)
def test_ranges_that_are_refused(kernels, starts, stops):
    opened = Opened(kernels, plain_columns([0, 10]))
    arrays = np.array(starts, dtype=np.int64), np.array(stops, dtype=np.int64)
    with pytest.raises(ValueError, match="direct"):
        kernels.DirectRead(opened.direct, one(0), *arrays)


@pytest.mark.parametrize(("starts", "stops"), [([], []), ([0, 5, 7], [1]), ([0] * 5000, []), ([3], [1])])
def test_ranges_are_checked_without_columns(kernels, starts, stops):
    opened = Opened(kernels, plain_columns([0, 10]))
    arrays = np.array(starts, dtype=np.int64), np.array(stops, dtype=np.int64)
    with pytest.raises(ValueError, match="ranges of rows"):
        kernels.DirectRead(opened.direct, np.zeros(0, np.int64), *arrays)


@pytest.mark.parametrize("number", [1, -1, 2**62, -(2**63)])
def test_columns_that_do_not_exist(kernels, number):
    opened = Opened(kernels, plain_columns([0, 10]))
    with pytest.raises(ValueError, match="no such column"):
        kernels.DirectRead(opened.direct, one(number), one(0), one(1))


@pytest.mark.parametrize(
    ("first_rows", "is_variable", "bits"),
    [
        ([], False, 32),
        ([0], False, 32),
        ([1, 2], False, 32),
        ([0, 5, 4], False, 32),
        ([0, 5], False, 0),
        ([0, 5], False, 2),
        ([0, 5], False, 12),
        ([0, 5], True, 8),
        ([0, 5], True, 1),
    ],
)
def test_columns_that_are_refused(kernels, first_rows, is_variable, bits):
    columns = kernels.DirectColumns(b"")
    rows = np.array(first_rows, dtype=np.int64)
    with pytest.raises(ValueError, match="direct"):
        columns.add_column(rows, is_variable, bits)
    with pytest.raises(ValueError, match="direct"):
        columns.add_columns(rows, np.array([len(rows) - 1, is_variable, bits], dtype=np.int64))


def test_columns_that_are_added_together(kernels):
    columns = kernels.DirectColumns(b"")
    assert columns.add_column(np.array([0, 3]), True, 32) == 0
    rows = np.array([0, 3, 4, 0, 9], dtype=np.int64)
    kinds = np.array([[2, 0, 1], [1, 1, 64]], dtype=np.int64)
    assert columns.add_columns(rows, kinds) == 1
    assert columns.add_columns(rows[:0], kinds[:0]) == 3
    for numbers, num_rows, needed in (([1], 4, [1]), ([2], 9, [80]), ([0, 1], 3, [16, 1])):
        read = kernels.DirectRead(columns, np.array(numbers, np.int64), one(0), one(num_rows))
        needs = np.zeros((len(numbers), 2), np.int64)
        read.measure(needs)
        assert needs[:, 1].tolist() == needed
        with pytest.raises(ValueError, match="not as many rows"):
            kernels.DirectRead(columns, np.array(numbers, np.int64), one(0), one(10))


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        ([0, 3, 4], [1, 0, 32]),
        ([0, 3], [2, 0, 32]),
        ([0, 3], [-1, 0, 32]),
        ([0, 3], [1, 0, -32]),
        ([0, 3], [1, 0, 2**40]),
        ([0, 3], [1, 0]),
        ([0, 3], [1, 0, 32, 1]),
        ([0, 3], []),
    ],
)
def test_columns_of_other_pages(kernels, rows, kinds):
    with pytest.raises(ValueError, match="direct"):
        kernels.DirectColumns(b"").add_columns(np.array(rows, np.int64), np.array(kinds, np.int64))


def begun(kernels, column):
    opened = Opened(kernels, [column])
    for page in range(len(column.pages)):
        opened.add(0, page)
    read = opened.begin([(0, int(column.first_rows[-1]))])
    assert read.missing() == []
    return read


@pytest.mark.parametrize(
    "where",
    [
        [0, 0],
        [0, 0, 8, 0],
        [1, 0, 8],
        [-1, 0, 8],
        [0, 396, 8],
        [0, 0, 9],
        [0, 0, -1],
        [0, 0, 2**62],
        [0, -1, 8],
    ],
)
def test_outputs_that_do_not_fit(kernels, where):
    rng = np.random.default_rng(0)
    read = begun(kernels, Column(False, 32, [make_page(rng, 100, levels=FLAT_LEVELS)]))
    out, report = bytearray(408), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="direct"):
        read.decode([out], np.array(where), report)


def test_data_that_does_not_fit(kernels):
    rng = np.random.default_rng(0)
    read = begun(kernels, Column(True, 32, [make_page(rng, 100, values=VARIABLE)]))
    is_ascii, report = np.zeros(1, np.uint8), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="decode comes first"):
        read.copy([bytearray(5000)], np.array([0, -1, 0]), is_ascii)
    for wrong in (np.zeros(1, np.int64), np.zeros(3, np.int64)):
        with pytest.raises(ValueError, match="direct"):
            read.decode([bytearray(404)], np.array([0, -1, 0]), wrong)
    read.decode([bytearray(404)], np.array([0, -1, 0]), report)
    data = bytearray(int(report[1]))
    read.copy([data], np.array([0, -1, 0]), is_ascii)
    for outs, where, flags in (
        ([data[1:]], [0, -1, 0], is_ascii),
        ([data], [0, -1, 1], is_ascii),
        ([data], [0, -1, -1], is_ascii),
        ([data], [1, -1, 0], is_ascii),
        ([data], [0, -1], is_ascii),
        ([data], [0, -1, 0], np.zeros(2, np.uint8)),
    ):
        with pytest.raises(ValueError, match="direct"):
            read.copy(outs, np.array(where), flags)
    with pytest.raises(ValueError, match="two numbers"):
        read.measure(np.zeros(3, np.int64))
