"""Chunks that are found damaged when their rows are read directly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from direct_pages import (
    FLAT,
    FLAT_LEVELS,
    NUMBERS,
    PACKED,
    PACKED_APART,
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
    one_chunk,
    opened,
    table,
    u16,
    u32,
    u64,
)
from lancelet.errors import FormatError


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request):
    return pytest.importorskip(request.param)


LEVEL_PARTS = {
    "flat, too short": (FLAT_LEVELS, 0, u16(0, 1, 0), "size of a flat buffer"),
    "flat, too long": (FLAT_LEVELS, 0, u16(0, 1, 0, 0, 0), "size of a flat buffer"),
    "flat, too large": (FLAT_LEVELS, 0, u16(0, 1, 2, 0), "larger than the layers allow"),
    "flat, far too large": (FLAT_LEVELS, 0, u16(0, 1, 65535, 0), "larger than the layers allow"),
    "packed, no header": (PACKED_LEVELS, 0, b"\1", "shorter than its header"),
    "packed, too wide": (PACKED_LEVELS, 0, u16(17) + bytes(17 * 128), "larger than its values"),
    "packed, too short": (PACKED_LEVELS, 0, u16(1) + bytes(127), "does not fit its width"),
    "packed, too large": (PACKED_LEVELS, 0, u16(2) + b"\xff" * 256, "larger than the layers allow"),
    "apart, too short": (PACKED_APART, 1, bytes(7), "too short"),
    "apart, too long": (PACKED_APART, 1, bytes(129), "too long"),
    "apart, too large": (PACKED_APART, 2, b"\xff" * 256, "larger than the layers allow"),
    "runs, no header": (RUN_LEVELS, 0, bytes(7), "shorter than its header"),
    "runs, header": (RUN_LEVELS, 0, u64(4) + u16(0) + b"\4", "reach past their block"),
    "runs, huge header": (RUN_LEVELS, 0, u64(2**64 - 1) + u16(0) + b"\4", "reach past their block"),
    "runs, too few": (RUN_LEVELS, 0, u64(2) + u16(0) + b"\3", "shorter than the chunk"),
    "runs, none": (RUN_LEVELS, 0, u64(0), "shorter than the chunk"),
    "runs, of no length": (RUN_LEVELS, 0, u64(4) + u16(0, 0) + b"\4\0", "length 0"),
    "runs, without length": (RUN_LEVELS, 0, u64(4) + u16(0, 0) + b"\4", "as many run values"),
    "runs, half a value": (RUN_LEVELS, 0, u64(3) + u16(0) + b"\4\4", "whole number of values"),
}


@pytest.mark.parametrize("name", LEVEL_PARTS)
def test_levels(kernels, name):
    levels, width, part, message = LEVEL_PARTS[name]
    for values in (
        {"parts": [part, b"abcd"]},
        {"parts": [part, bytes(4)], "items": NUMBERS},
        {"parts": [part, u32(20, 20, 20, 20, 20)], "values": VARIABLE, "bits": 32},
    ):
        page = one_chunk(num_slots=4, levels=levels, width=width, **values)
        for rows in ([(0, 4)], [(0, 1)]):
            with pytest.raises(FormatError, match=message):
                opened(kernels, page).read(rows)


VALUE_PARTS = {
    "flat, too short": (FLAT, 16, [u16(1, 2, 3)], "size of a flat buffer"),
    "flat, too long": (FLAT, 16, [u16(1, 2, 3, 4, 5)], "size of a flat buffer"),
    "flat, very wide": (FLAT, 2**31 - 8, [bytes(8)], "size of a flat buffer"),
    "bits, none": (FLAT, 1, [b""], "size of a flat buffer"),
    "bits, too many": (FLAT, 1, [b"\1\2"], "size of a flat buffer"),
    "packed, no header": (PACKED, 32, [b"\1\0\0"], "shorter than its header"),
    "packed, too wide": (PACKED, 8, [bytes([9]) + bytes(9 * 128)], "larger than its values"),
    "packed, far too wide": (PACKED, 64, [u64(2**57)], "larger than its values"),
    "packed, too long": (PACKED, 32, [u32(1) + bytes(129)], "does not fit its width"),
    "runs, too few": (RUNS, 32, [u32(1, 2), b"\1\2"], "shorter than the chunk"),
    "runs, none": (RUNS, 8, [b"", b""], "shorter than the chunk"),
    "runs, of no length": (RUNS, 64, [u64(1, 2), b"\4\0"], "length 0"),
    "runs, without length": (RUNS, 16, [u16(1, 2), b"\4"], "as many run values"),
    "runs, half a value": (RUNS, 32, [bytes(7), b"\4\4"], "whole number of values"),
    "variable, too short": (VARIABLE, 32, [u32(20, 20, 20, 20)], "do not fit in their buffer"),
    "variable, empty": (VARIABLE, 64, [b""], "do not fit in their buffer"),
    "variable, wrong start": (VARIABLE, 32, [u32(19, 20, 20, 20, 20)], "first offset"),
    "variable, from 0": (VARIABLE, 64, [u64(0, 0, 0, 0, 0)], "first offset"),
    "variable, past the end": (VARIABLE, 32, [u32(20, 20, 20, 20, 22) + b"a"], "past the end"),
    "variable, before the start": (VARIABLE, 32, [u32(20, 20, 20, 20, 19)], "past the end"),
    "variable, far past the end": (VARIABLE, 64, [u64(40, 40, 40, 40, 2**64 - 1)], "past the end"),
    "variable, decreasing": (VARIABLE, 32, [u32(20, 22, 21, 22, 23) + b"abc"], "decrease"),
    "variable, before the values": (VARIABLE, 64, [u64(40, 40, 0, 43, 43) + b"abc"], "decrease"),
    "variable, over the end": (VARIABLE, 64, [u64(40, 40, 2**64 - 1, 43, 43) + b"abc"], "decrease"),
    "symbols, decreasing": (SYMBOLS, 32, [u32(20, 22, 21, 22, 23) + b"\0\0\0"], "decrease"),
    "symbols, unknown": (SYMBOLS, 32, [u32(20, 21, 22, 23, 24) + b"\0\1\2\0"], "no symbol"),
    "symbols, escape": (SYMBOLS, 64, [u64(40, 41, 42, 43, 44) + b"\0\xff\1\0"], "ends in an escape"),
    "symbols, last escape": (SYMBOLS, 64, [u64(40, 41, 42, 43, 44) + b"\0\0\0\xff"], "ends in an escape"),
    "symbols, among many": (
        SYMBOLS,
        32,
        [u32(20, 20, 20, 20, 60) + b"\0\1" * 15 + b"\1\2" + b"\0\1" * 4],
        "no symbol",
    ),
}


@pytest.mark.parametrize("name", VALUE_PARTS)
def test_values(kernels, name):
    values, bits, parts, message = VALUE_PARTS[name]
    symbols = SYMBOL_TABLE if values == SYMBOLS else None
    page = one_chunk(parts, 4, values=values, bits=bits, symbols=symbols)
    with pytest.raises(FormatError, match=message):
        opened(kernels, page).read([(0, 4)])
    levelled = one_chunk(
        [u16(0, 1, 0, 1), *parts], 4, levels=FLAT_LEVELS, values=values, bits=bits, symbols=symbols
    )
    with pytest.raises(FormatError, match=message):
        opened(kernels, levelled).read([(0, 4)])


@pytest.mark.parametrize("name", [name for name, case in VALUE_PARTS.items() if case[1] in (8, 16, 32, 64)])
def test_indices(kernels, name):
    values, bits, parts, message = VALUE_PARTS[name]
    if values not in (VARIABLE, SYMBOLS):
        for dictionary in (WORDS, NUMBERS):
            page = one_chunk(parts, 4, values=values, bits=bits, items=dictionary)
            with pytest.raises(FormatError, match=message):
                opened(kernels, page).read([(0, 4)])


def test_packed_blocks_of_too_many_values(kernels):
    for options in (
        {"parts": [b"\0"], "values": PACKED},
        {"parts": [u16(0), bytes(1025)], "levels": PACKED_LEVELS},
    ):
        with pytest.raises(FormatError, match="more than 1024"):
            opened(kernels, one_chunk(num_slots=1025, **options)).read([(0, 1)])


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("dictionary", [WORDS, NUMBERS])
def test_indices_outside_of_their_dictionary(kernels, bits, dictionary):
    count = len(dictionary.values)
    for index in {count, 2 ** (bits - 1), 2**bits - 1, 2 ** min(bits, 32) - 1, 2 ** min(bits - 1, 32)}:
        indices = np.array([0, 1, index, 0], f"<u{bits // 8}").tobytes()
        page = one_chunk([indices], 4, bits=bits, items=dictionary)
        for rows in ([(0, 4)], [(2, 3)]):
            with pytest.raises(FormatError, match="outside of its dictionary"):
                opened(kernels, page).read(rows)
        (found,) = opened(kernels, page).read([(0, 2), (3, 4)])
        wanted = [dictionary.values[place] for place in (0, 1, 0)]
        assert (found.data if dictionary.is_variable else found.values) == b"".join(wanted)
        # a slot that is null refers to nothing
        page = one_chunk([u16(0, 0, 1, 0), indices], 4, bits=bits, levels=FLAT_LEVELS, items=dictionary)
        (found,) = opened(kernels, page).read([(0, 4)])
        null = b"" if dictionary.is_variable else bytes(4)
        assert (found.data if dictionary.is_variable else found.values) == b"".join(
            [*wanted[:2], null, wanted[2]]
        )
        assert (found.num_nulls, found.bitmap) == (1, b"\x0b")


def test_only_wanted_offsets_are_looked_at(kernels):
    for middle, wrong in ((21, [1]), (0, [1, 2]), (2**32 - 1, [1, 2])):
        offsets = u32(20, 22, middle, 22, 23)
        page = one_chunk([offsets + b"abc"], 4, values=VARIABLE, bits=32)
        (found,) = opened(kernels, page).read([(0, 1), (3, 4)])
        assert (found.values, found.data) == (u32(0, 2, 3), b"abc")
        for row in wrong:
            with pytest.raises(FormatError, match="decrease"):
                opened(kernels, page).read([(row, row + 1)])
    coded = u32(20, 21, 22, 23, 25) + b"\0\2\1\xff\7"
    page = one_chunk([coded], 4, values=SYMBOLS, bits=32, symbols=SYMBOL_TABLE)
    (found,) = opened(kernels, page).read([(0, 1), (2, 4)])
    assert (found.values, found.data) == (u32(0, 2, 4, 5), b"abcd\7")


def test_tables_that_are_switched_off(kernels):
    page = one_chunk(
        [u32(20, 21, 22, 23, 24) + b"\0\2\xff\xc3"], 4, values=SYMBOLS, bits=32, symbols=table([], switch=0)
    )
    (found,) = opened(kernels, page).read([(0, 4)])
    assert (found.data, found.is_ascii) == (b"\0\2\xff\xc3", False)


def test_values_that_are_together_too_long_for_their_offsets(kernels):
    items = Items([bytes(1 << 20)], 32, True)
    lengths = b"\xff" * 8 + b"\x08"
    page = one_chunk([bytes(len(lengths)), lengths], 2048, values=RUNS, items=items)
    file = opened(kernels, page)
    file.add(0, 0)
    out, report = np.zeros(2049 * 4, np.uint8), np.zeros(2, np.int64)
    read = file.begin([(0, 2047)])
    assert read.missing() == []
    read.decode([out], np.array([0, -1, 0]), report)
    assert report.tolist() == [0, 2047 << 20]
    assert out.view("<u4")[2047] == 2047 << 20
    read = file.begin([(0, 2048)])
    assert read.missing() == []
    with pytest.raises(FormatError, match="too long for their offsets"):
        read.decode([out], np.array([0, -1, 0]), report)


def test_nothing_is_copied_of_columns_that_are_damaged(kernels):
    good = one_chunk([u32(8, 11) + b"abc"], 1, values=VARIABLE, bits=32)
    bad = one_chunk([u32(8, 11) + b"\0\0\xff"], 1, values=SYMBOLS, bits=32, symbols=SYMBOL_TABLE)
    file = Opened(kernels, [Column(True, 32, [good]), Column(True, 32, [bad])])
    file.add(0, 0)
    file.add(1, 0)
    read, where = file.begin([(0, 1)]), np.array([[0, -1, 0], [0, -1, 8]])
    assert read.missing() == []
    with pytest.raises(FormatError, match="ends in an escape"):
        read.decode([bytearray(16)], where, np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="decode comes first"):
        read.copy([bytearray(16)], np.array([[0, -1, 0], [0, -1, 3]]), np.zeros(2, np.uint8))


def test_a_bitmap_is_needed_for_nulls(kernels):
    file = opened(kernels, one_chunk([u16(0, 0, 0, 0), b"abcd"], 4, levels=FLAT_LEVELS))
    file.add(0, 0)
    read = file.begin([(0, 4)])
    assert read.missing() == []
    with pytest.raises(ValueError, match="needs a bitmap"):
        read.decode([bytearray(4)], np.array([0, -1, 0]), np.zeros(2, np.int64))


def patched(page, position, content):
    chunks = bytearray(page.chunks)
    chunks[position : position + len(content)] = content
    return replace(page, chunks=bytes(chunks))


@pytest.mark.parametrize(
    ("position", "content", "message"),
    [
        (0, u16(3), "another number of levels"),
        (0, u16(5), "another number of levels"),
        (2, u16(0), "do not fill it"),
        (2, u16(16 + 1), "past its end"),
        (2, u16(65535), "past its end"),
        (4, u32(9), "past its end"),
        (4, u32(0), "do not fill it"),
        (4, u32(2**32 - 1), "past its end"),
    ],
)
def test_headers(kernels, position, content, message):
    page = one_chunk([u16(0, 0, 1, 0), b"abcd"], 4, levels=FLAT_LEVELS)
    assert len(page.chunks) == 24
    with pytest.raises(FormatError, match=message):
        opened(kernels, patched(page, position, content)).read([(0, 4)])


def test_headers_without_levels(kernels):
    page = one_chunk([b"abcd"], 4)
    with pytest.raises(FormatError, match="its page has none"):
        opened(kernels, patched(page, 0, u16(4))).read([(0, 4)])


def test_chunks_that_are_smaller_than_their_header(kernels):
    page = one_chunk([b"", b""], 4, values=RUNS, bits=32)
    page = replace(page, form=(FLAT_LEVELS, 0, RUNS, 32, True), words=u32(0), chunks=bytes(8))
    with pytest.raises(FormatError, match="header of a chunk"):
        opened(kernels, page).read([(0, 4)])
