"""Pages that direct reads open one by one or together, and those that they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from direct_pages import (
    FLAT,
    LZ4,
    NUMBERS,
    PACKED,
    PACKED_LEVELS,
    RUN_LEVELS,
    RUNS,
    SYMBOL_TABLE,
    SYMBOLS,
    VARIABLE,
    WORDS,
    Column,
    Items,
    Opened,
    make_page,
    one_chunk,
    opened,
    u16,
    u32,
    u64,
)
from lancelet.errors import FormatError


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request):
    return pytest.importorskip(request.param)


@pytest.mark.parametrize(
    ("words", "num_rows"),
    [
        (b"\0\0\0", 4),
        (b"", 4),
        (u16(0x10), 0),
        (u16(0x00), 4),
        (u16(0x20), 4),
        (u16(0x10, 0), 4),
        (u16(0x13), 4),
        (u16(0x10), 32769),
        (u16(0x00, 0x00), 4),
        (u16(0x02, 0x00), 4),
        (u16(0x03, 0x00), 4),
    ],
)
def test_chunk_words(kernels, words, num_rows):
    page = one_chunk([b"abcd"], 4)
    assert len(page.chunks) == 16
    page = replace(page, form=(0, 0, FLAT, 8, False), words=words, slots=[b""] * num_rows)
    with pytest.raises(FormatError):
        opened(kernels, page).add(0, 0)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    "change", [lambda at, size: (at, 10**6), lambda at, size: (10**6, size), lambda at, size: (-1, size)]
)
@pytest.mark.parametrize("huge", [False, True])
def test_buffers_outside_of_the_file(kernels, place, change, huge):
    file = opened(kernels, one_chunk([b"abcd"], 4))
    places = file.places[0, 0]
    places[place] = change(*places[place])
    if huge:
        places[place] = tuple(number << 43 for number in places[place])
    with pytest.raises(FormatError, match="outside of its buffer"):
        file.add(0, 0)


SYMBOL_PAGE = one_chunk([u32(8, 9) + b"\0"], 1, values=SYMBOLS, bits=32, symbols=SYMBOL_TABLE)


@pytest.mark.parametrize(
    ("symbols", "error"),
    [
        (SYMBOL_TABLE[:4] + bytes(4) + SYMBOL_TABLE[8:], FormatError),
        (SYMBOL_TABLE[:3] + b"\2" + SYMBOL_TABLE[4:], FormatError),
        (SYMBOL_TABLE[:24] + b"\0" + SYMBOL_TABLE[25:], FormatError),
        (SYMBOL_TABLE[:24] + b"\x09" + SYMBOL_TABLE[25:], FormatError),
        (SYMBOL_TABLE[:-1], ValueError),
        (b"", ValueError),
        (None, ValueError),
    ],
)
def test_symbol_tables(kernels, symbols, error):
    with pytest.raises(error):
        opened(kernels, replace(SYMBOL_PAGE, symbols=symbols)).add(0, 0)


def test_a_symbol_table_without_use(kernels):
    with pytest.raises(ValueError, match="symbol table"):
        opened(kernels, replace(one_chunk([b"abcd"], 4), symbols=SYMBOL_TABLE)).add(0, 0)


@pytest.mark.parametrize(
    "form",
    [
        (5, 0, FLAT, 8, True),
        (-1, 0, FLAT, 8, True),
        (0, 17, FLAT, 8, True),
        (0, 0, 5, 8, True),
        (0, 0, -1, 8, True),
        (0, 0, FLAT, 16, True),
        (0, 0, PACKED, 24, True),
        (0, 0, RUNS, 1, True),
        (0, 0, VARIABLE, 8, True),
    ],
)
def test_forms_that_do_not_exist(kernels, form):
    file = opened(kernels, one_chunk([b"abcd"], 4))
    words, chunks, _ = file.places[0, 0]
    with pytest.raises(ValueError):
        file.direct.add_page(0, 0, *form, words, chunks, None, 0, None, None)


@pytest.mark.parametrize(("column", "page"), [(1, 0), (0, 1), (2**40, 0), (0, 2**40)])
def test_pages_that_do_not_exist(kernels, column, page):
    file = opened(kernels, one_chunk([b"abcd"], 4))
    words, chunks, _ = file.places[0, 0]
    with pytest.raises(ValueError, match="no such"):
        file.direct.add_page(column, page, 0, 0, FLAT, 8, True, words, chunks, None, 0, None, None)


@pytest.mark.parametrize(
    ("is_variable", "bits", "form", "items", "error"),
    [
        (True, 32, (FLAT, 32), None, ValueError),
        (False, 32, (VARIABLE, 32), None, ValueError),
        (True, 64, (VARIABLE, 32), None, ValueError),
        (False, 32, (FLAT, 8), (b"abcdefg", 32, None), ValueError),
        (False, 32, (FLAT, 8), (b"abcdefgh", 64, None), ValueError),
        (False, 32, (FLAT, 8), (b"abcdefgh", 0, None), ValueError),
        (False, 1, (FLAT, 8), (b"abcdefgh", 1, None), ValueError),
        (False, 32, (FLAT, 8), (b"", 32, None), ValueError),
        (True, 32, (FLAT, 8), (b"abcd", 32, None), ValueError),
        (True, 32, (FLAT, 8), (b"abcd", 32, u32(0)), ValueError),
        (True, 32, (FLAT, 8), (b"abcd", 32, b""), ValueError),
        (True, 32, (FLAT, 8), (b"abcd", 32, bytes(7)), ValueError),
        (True, 32, (FLAT, 8), (b"abcd", 16, u16(0, 4)), ValueError),
        (True, 32, (FLAT, 8), (b"abcd", 64, u64(0, 4)), ValueError),
        (True, 32, (FLAT, 8), (b"abcd", 32, u32(0, 5)), FormatError),
        (True, 32, (FLAT, 8), (b"abcd", 32, u32(0, 3, 2)), FormatError),
        (True, 32, (FLAT, 24), (b"abcd", 32, u32(0, 4)), ValueError),
        (True, 32, (FLAT, 1), (b"abcd", 32, u32(0, 4)), ValueError),
        (True, 32, (VARIABLE, 32), (b"abcd", 32, u32(0, 4)), ValueError),
        (False, 32, (FLAT, 8), (b"abcd", 32, u32(0, 4)), ValueError),
    ],
)
def test_pages_of_other_values_than_their_column(kernels, is_variable, bits, form, items, error):
    page = one_chunk([b"abcd"], 4)
    file = Opened(kernels, [Column(is_variable, bits, [page])])
    words, chunks, _ = file.places[0, 0]
    with pytest.raises(error):
        file.direct.add_page(0, 0, 0, 0, *form, True, words, chunks, *(items or (None, 0, None)), None)
    assert file.begin([(0, 4)]).missing() == [(0, 0)]


# ---- pages that are opened together


class Known:
    """One page of indices that is opened with others; what :meth:`add_pages` is told can be changed."""

    def __init__(self, kernels, items, compressed, stored=None):
        rng = np.random.default_rng(0)
        self.page = make_page(rng, 300, levels=RUN_LEVELS, bits=8, items=items)
        self.column = Column(items.is_variable, items.bits, [self.page])
        self.file = Opened(kernels, [self.column])
        stored = items.stored(compressed) if stored is None else stored
        place = len(self.file.data), len(stored)
        self.file.data += stored
        self.file.open()
        words, chunks, _ = self.file.places[0, 0]
        kind, bits = (2, 0) if items.is_variable else (1, items.bits)
        self.numbers = [0, 0, 0, *words, *chunks, *place, 0]
        self.form = [*self.page.form, 300, kind, bits, compressed, len(items.values)]
        self.symbols = None

    def add(self):
        held = np.full(1, -7, np.int64)
        numbers, form = np.array(self.numbers, np.int64), np.array(self.form, np.int64)
        assert self.file.direct.add_pages(numbers, form, [self.symbols], [], b"", 1 << 40, held) == 1
        missing = self.file.begin([(0, 300)]).missing()
        assert missing == ([(0, 0)] if held[0] < 0 else [])
        return int(held[0])


ITEMS = [WORDS, NUMBERS, replace(WORDS, bits=64), Items([b"x" * 16, b"y" * 16], 128, False)]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("items", ITEMS)
def test_dictionaries(kernels, items, compressed):
    known = Known(kernels, items, compressed)
    assert known.add() > 16 * len(known.page.counts)
    ranges = [(0, 17), (100, 101), (150, 300)]
    assert known.file.read(ranges) == [known.column.wanted(ranges)]


def test_pages_and_forms_of_all_kinds_together(kernels):
    rng = np.random.default_rng(3)
    columns = [
        Column(
            False,
            16,
            [make_page(rng, 100, bits=16), make_page(rng, 50, bits=16, values=RUNS, levels=PACKED_LEVELS)],
        ),
        Column(True, 32, [make_page(rng, 149, values=SYMBOLS), make_page(rng, 1, values=VARIABLE)]),
    ]
    file = Opened(kernels, columns)
    numbers, forms, symbols = [], [], []
    for (number, page_number), (words, chunks, _) in reversed(file.places.items()):
        page = columns[number].pages[page_number]
        numbers.append([number, page_number, len(forms), *words, *chunks, 0, 0, 0])
        forms.append([*page.form, len(page.slots), 0, 0, 0, 0])
        symbols.append(page.symbols)
    held = np.zeros(4, np.int64)
    arguments = np.array(numbers, np.int64), np.array(forms, np.int64), symbols, [], b""
    assert file.direct.add_pages(*arguments, -1, held) == 0
    assert file.direct.add_pages(*arguments, 1 << 40, held) == 4
    counts = [len(columns[number].pages[page].counts) for number, page in reversed(file.places)]
    is_coded = [table is not None for table in symbols]
    assert ((held == 16 * np.array(counts)) ^ np.array(is_coded)).all()
    for room in (
        0,
        int(held[0]) - 1,
        int(held[0]),
        int(held[:2].sum()),
        int(held.sum()) - 1,
        int(held.sum()),
    ):
        too_many = (np.cumsum(held) > room).tolist()
        counted = [*too_many, True].index(True) + any(too_many)
        assert file.direct.add_pages(*arguments, room, np.zeros(4, np.int64)) == counted
    assert file.read([(0, 150)]) == [column.wanted([(0, 150)]) for column in columns]


@pytest.mark.parametrize(
    ("place", "number"),
    [
        *((0, 1), (0, -1), (1, 1), (1, -1), (1, 2**40)),
        *((3, -1), (3, 2**60), (4, 1), (4, -1), (5, 2**60), (6, 7), (6, -1), (6, 2**62)),
        *((7, -1), (7, 2**60), (8, -1), (8, 2**62), (8, 0), (8, 3)),
    ],
)
@pytest.mark.parametrize("items", ITEMS[:2])
def test_known_pages_that_are_refused(kernels, items, place, number):
    known = Known(kernels, items, True)
    known.numbers[place] = number
    assert known.add() == -1


@pytest.mark.parametrize(
    ("place", "number"),
    [
        *((0, 5), (0, -1), (1, 17), (1, -1), (2, 5), (2, -1), (2, VARIABLE), (2, SYMBOLS)),
        *((3, 24), (3, 0), (3, -8), (3, 2**40), (4, 1), (5, 299), (5, -1), (6, 0)),
        *((8, 0), (9, 0), (9, -1), (9, 4), (9, 2**62), (9, 2**63 - 1)),
    ],
)
@pytest.mark.parametrize("items", ITEMS[:2])
def test_known_forms_that_are_refused(kernels, items, place, number):
    known = Known(kernels, items, True)
    known.form[place] = number
    assert known.add() == -1


def test_known_forms_of_another_dictionary(kernels):
    for items, kind, bits in ((WORDS, 1, 32), (NUMBERS, 2, 0), (NUMBERS, 1, 64), (NUMBERS, 1, 0)):
        known = Known(kernels, items, False)
        known.form[6:8] = kind, bits
        assert known.add() == -1
    known = Known(kernels, NUMBERS, False)
    known.symbols = SYMBOL_TABLE
    assert known.add() == -1


def test_forms_that_are_not_there(kernels):
    for form in (1, -1, 2**62):
        known = Known(kernels, WORDS, False)
        known.numbers[2] = form
        with pytest.raises(ValueError, match="no such form"):
            known.add()
    for name in ("numbers", "form"):
        known = Known(kernels, WORDS, False)
        getattr(known, name).pop()
        with pytest.raises(ValueError, match="ten numbers"):
            known.add()


def test_dictionaries_of_text_that_may_not_be_utf8(kernels):
    for items, is_refused in ((WORDS, False), (Items([b"", b"gr\xc3\xbcn"], 32, True), True)):
        for compressed in (False, True):
            known = Known(kernels, items, compressed)
            known.numbers[9] = 1
            assert (known.add() == -1) == is_refused
            known.numbers[9] = 0
            assert known.add() >= 0


def lz4(raw, size=None):
    return (len(raw) if size is None else size).to_bytes(4, "little") + LZ4.compress(raw, asbytes=True)


NUMBER_BYTES = b"".join(NUMBERS.values)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\1\0\0",
        u32(8),
        lz4(NUMBER_BYTES, 7),
        lz4(NUMBER_BYTES, 9),
        lz4(NUMBER_BYTES, 0),
        lz4(NUMBER_BYTES, 2**32 - 1),
        lz4(NUMBER_BYTES)[:-1],
        lz4(NUMBER_BYTES) + b"\0",
        lz4(NUMBER_BYTES * 2),
        lz4(NUMBER_BYTES + b"a"),
        lz4(b""),
        u32(1000) + b"\x1fa\1\0" + b"\xff" * 3,
        u32((64 << 20) + 4) + bytes(300_000),
    ],
)
def test_compressed_dictionaries_that_are_damaged(kernels, stored):
    assert Known(kernels, NUMBERS, True, stored).add() == -1


def block(*numbers, offsets=(0, 0, 5, 11), data=b"lancecolumn"):
    return u32(*numbers) + u32(*offsets) + data


@pytest.mark.parametrize(
    ("stored", "is_good"),
    [
        (block(32, 24), True),
        (block(32, 24) + b"rest", True),
        (b"\x20" + u32(3, 25) + u32(0, 0, 5, 11) + b"lancecolumn", True),
        (b"", False),
        (block(32, 24)[:20], False),
        (block(64, 24), False),
        (block(32, 25), False),
        (block(32, 24, offsets=(1, 1, 5, 11)), False),
        (block(32, 24, offsets=(0, 6, 5, 11)), False),
        (block(32, 24, offsets=(0, 0, 12, 11)), False),
        (block(32, 24, offsets=(0, 0, 5, 12)), False),
        (b"\x20" + u32(4, 25) + u32(0, 0, 5, 11) + b"lancecolumn", False),
        (b"\x40" + u32(3, 25) + u32(0, 0, 5, 11) + b"lancecolumn", False),
    ],
)
def test_blocks_of_items(kernels, stored, is_good):
    known = Known(kernels, WORDS, False, stored)
    assert (known.add() >= 0) == is_good
    if is_good:
        assert known.file.read([(0, 300)]) == [known.column.wanted([(0, 300)])]
