"""Flat mini-block pages of random rows in all forms that direct reads know, and what a read of their rows must give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lancelet import kernels as encoders

FLAT, PACKED, RUNS, VARIABLE, SYMBOLS = range(5)
NO_LEVELS, FLAT_LEVELS, PACKED_LEVELS, PACKED_APART, RUN_LEVELS = range(5)

LZ4 = pa.Codec("lz4_raw")


def join(values: list[bytes], bits: int, first: int = 0) -> tuple[bytes, np.ndarray]:
    """Values of variable width: bytes and offsets, which begin at `first`."""
    offsets = np.cumsum([first, *map(len, values)]).astype(f"<u{bits // 8}")
    return b"#" * first + b"".join(values), offsets


@dataclass
class Items:
    """A dictionary: values, and their bits, or those of their offsets."""

    values: list[bytes]
    bits: int
    is_variable: bool

    def arguments(self) -> tuple[Any, int, Any]:
        """What :meth:`add_page` takes."""
        if self.is_variable:
            data, offsets = join(self.values, self.bits, first=3)
            return data + b"rest", self.bits, offsets
        return b"".join(self.values), self.bits, None

    def stored(self, compressed: bool = False) -> bytes:
        """The dictionary as it lies in a file."""
        if self.is_variable:
            data, offsets = join(self.values, self.bits)
            out = np.zeros(len(data) + (len(self.values) + 4) * self.bits // 8, np.uint8)
            size = encoders.variable_encode(
                data, offsets, self.bits, one(len(self.values)), True, out, np.zeros(1, np.int64)
            )
            raw = out[:size].tobytes()
        else:
            raw = b"".join(self.values)
        return len(raw).to_bytes(4, "little") + LZ4.compress(raw, asbytes=True) if compressed else raw


def one(number: int) -> np.ndarray:
    return np.array([number], dtype=np.int64)


@dataclass
class Page:
    """A page: its form as :meth:`add_page` takes it, its bytes, and its rows.

    `slots` are the values that a read must give: of null slots those that are stored, or what stands for them in a dictionary.
    """

    form: tuple[int, int, int, int, bool]
    words: bytes
    chunks: bytes
    slots: list[bytes]
    valid: list[bool]
    items: Items | None = None
    symbols: bytes | None = None
    counts: list[int] = field(default_factory=list)


def frame(
    parts: list[tuple[Any, Any]], counts: np.ndarray, num_levels: int, large: bool
) -> tuple[bytes, bytes]:
    """Chunk words and chunks of parts, given by their bytes and their sizes in each chunk."""
    data, sizes = [part for part, _ in parts], [np.asarray(sizes, np.int64) for _, sizes in parts]
    words = np.zeros(len(counts) * (4 if large else 2), np.uint8)
    size = encoders.miniblock_words(counts, counts, sizes, num_levels, large, words)
    assert size >= 0
    chunks = np.zeros(size, np.uint8)
    encoders.miniblock_frame(counts, data, sizes, num_levels, large, chunks)
    return words.tobytes(), chunks.tobytes()


def cut(rng: np.random.Generator, num_rows: int, most: int) -> np.ndarray:
    """Slots of chunks: powers of two, but for the last."""
    counts, rest = [], num_rows
    while rest:
        if rest <= most and (rest <= 2 or rng.random() < 0.3):
            counts.append(rest)
        else:
            counts.append(1 << int(rng.integers(1, min(most, rest - 1).bit_length())))
        rest -= counts[-1]
    return np.array(counts, np.int64)


def packed_part(values: np.ndarray, bits: int, counts: np.ndarray) -> tuple[Any, Any]:
    widths = np.empty(len(counts), np.uint8)
    encoders.block_widths(values, counts, bits, widths)
    sizes = bits // 8 + 128 * widths.astype(np.int64)
    out = np.empty(int(sizes.sum()), np.uint8)
    encoders.inline_pack(values, counts, bits, widths, out)
    return out, sizes


def levels_part(levels: np.ndarray, form: int, width: int, counts: np.ndarray) -> tuple[Any, Any]:
    if form == FLAT_LEVELS:
        return levels, 2 * counts
    if form == PACKED_LEVELS:
        return packed_part(levels, 16, counts)
    sizes = np.zeros(len(counts), np.int64)
    out = np.zeros(len(counts) * 3000 + 3 * len(levels), np.uint8)
    if form == PACKED_APART:
        size = encoders.out_of_line_pack(levels, counts, 16, width, out, sizes)
    else:
        size = encoders.rle_encode_blocks(levels, 16, counts, out, sizes)
    return out[:size], sizes


def value_parts(values: np.ndarray, form: int, bits: int, counts: np.ndarray) -> list[tuple[Any, Any]]:
    """Parts of values of one width: unsigned integers, bytes ``uint8[num_rows, bits / 8]``, or booleans."""
    if form == PACKED:
        return [packed_part(values, bits, counts)]
    if form == RUNS:
        lengths, sizes = np.zeros(len(values), np.uint8), np.zeros(len(counts), np.int64)
        runs = np.zeros_like(values)
        size = encoders.rle_encode(values, bits, counts, runs, lengths, sizes)
        return [(runs[:size], sizes * bits // 8), (lengths[:size], sizes)]
    if bits == 1:
        starts = np.cumsum(counts) - counts
        pieces = [
            np.packbits(values[start : start + count], bitorder="little")
            for start, count in zip(starts, counts, strict=True)
        ]
        return [(np.concatenate(pieces), -(-counts // 8))]
    return [(np.ascontiguousarray(values), counts * bits // 8)]


def variable_parts(
    values: list[bytes], form: int, bits: int, counts: np.ndarray
) -> tuple[list[tuple[Any, Any]], bytes | None]:
    data, offsets = join(values, bits)
    table = None
    if form == SYMBOLS:
        table = np.zeros(2312, np.uint8)
        encoders.fsst_train(data, offsets, bits, table)
        coded, coded_offsets = np.zeros(2 * len(data), np.uint8), np.zeros_like(offsets)
        encoders.fsst_encode(table, data, offsets, bits, coded_offsets, coded)
        data, offsets = coded, coded_offsets
    out = np.zeros(len(data) + (len(values) + 4 * len(counts)) * bits // 8, np.uint8)
    sizes = np.zeros(len(counts), np.int64)
    size = encoders.variable_encode(data, offsets, bits, counts, False, out, sizes)
    return [(out[:size], sizes)], None if table is None else table.tobytes()


def text(rng: np.random.Generator, count: int, ascii_only: bool = True) -> list[bytes]:
    words = [b"", b"a", b"lance", b"mini-block", b"z" * 40] + ([] if ascii_only else ["é".encode()])
    return [
        b" ".join(words[int(i)] for i in rng.integers(0, len(words), int(n)))
        for n in rng.integers(0, 4, count)
    ]


def fixed_values(rng: np.random.Generator, form: int, bits: int, count: int) -> np.ndarray:
    if bits == 1:
        return rng.integers(0, 2, count).astype(np.bool_)
    if bits not in (8, 16, 32, 64):
        return rng.integers(0, 256, (count, bits // 8), np.uint8)
    most = 1 << int(rng.integers(0, bits + 1))
    values = rng.integers(0, most - 1, count, np.uint64, endpoint=True)
    if form == RUNS:
        values = np.repeat(values, rng.choice([1, 1, 2, 30, 300], count))[:count]
    return values.astype(f"<u{bits // 8}")


def as_slots(values: np.ndarray) -> list[bytes]:
    return [value.tobytes() for value in values]


def make_page(
    rng: np.random.Generator,
    num_rows: int,
    *,
    levels: int = NO_LEVELS,
    values: int = FLAT,
    bits: int = 32,
    large: bool = False,
    items: Items | None = None,
    most: int = 1024,
    ascii_only: bool = True,
) -> Page:
    """Make a page of random values.

    Parameters
    ----------
    levels, values, bits, large
        Its form.
    items
        The dictionary that its values refer to.
    most
        Most slots of a chunk.
    ascii_only
        Whether bytes of values of variable width are ASCII.
    """
    counts = cut(rng, num_rows, most)
    valid = np.ones(num_rows, np.bool_) if levels == NO_LEVELS else rng.random(num_rows) < 0.7
    width = int(rng.integers(1, 17)) if levels == PACKED_APART else 0
    parts = [levels_part((~valid).astype("<u2"), levels, width, counts)] if levels else []
    symbols = None
    if items is not None:
        most_index = min(2**bits, len(items.values))
        indices = rng.integers(0, most_index, num_rows, np.uint64)
        if values == RUNS:
            indices = np.sort(indices)
        # what a null slot refers to does not matter
        indices[~valid] = rng.integers(0, 2 ** min(bits, 63), int((~valid).sum()), np.uint64)
        null = b"" if items.is_variable else bytes(items.bits // 8)
        slots = [items.values[index] if ok else null for index, ok in zip(indices, valid, strict=True)]
        parts += value_parts(indices.astype(f"<u{bits // 8}"), values, bits, counts)
    elif values in (VARIABLE, SYMBOLS):
        slots = text(rng, num_rows, ascii_only)
        own_parts, symbols = variable_parts(slots, values, bits, counts)
        parts += own_parts
    else:
        stored = fixed_values(rng, values, bits, num_rows)
        slots = as_slots(stored)
        parts += value_parts(stored, values, bits, counts)
    words, chunks = frame(parts, counts, int(levels != NO_LEVELS), large)
    form = (levels, width, values, bits, large)
    return Page(form, words, chunks, slots, valid.tolist(), items, symbols, counts.tolist())


class Column(NamedTuple):
    """A column: whether values have lengths of their own, bits of them or of their offsets, pages."""

    is_variable: bool
    bits: int
    pages: list[Page]

    @property
    def first_rows(self) -> np.ndarray:
        return np.cumsum([0, *(len(page.slots) for page in self.pages)], dtype=np.int64)

    def wanted(self, ranges: list[tuple[int, int]]) -> Result:
        """What a read of `ranges` must give."""
        slots = [slot for page in self.pages for slot in page.slots]
        valid = [ok for page in self.pages for ok in page.valid]
        rows = [row for start, stop in ranges for row in range(start, stop)]
        touched = [
            page
            for page, first in zip(self.pages, self.first_rows.tolist(), strict=False)
            if any(start < first + len(page.slots) and stop > first for start, stop in ranges)
        ]
        bitmap = None
        if any(page.form[0] for page in touched):
            bitmap = np.packbits([valid[row] for row in rows], bitorder="little").tobytes()
        found = [slots[row] for row in rows]
        num_nulls = sum(not valid[row] for row in rows)
        if not self.is_variable:
            data = b"".join(found)
            if self.bits == 1:
                data = np.packbits(np.frombuffer(data, np.uint8), bitorder="little").tobytes()
            return Result(num_nulls, bitmap, data, None, None)
        own = [page.items is None for page in self.pages for _ in page.slots]
        is_ascii = all(slots[row].isascii() for row in rows if own[row])
        data, offsets = join(found, self.bits)
        return Result(num_nulls, bitmap, offsets.tobytes(), data, is_ascii)


class Result(NamedTuple):
    """What a read gives of a column: nulls, bitmap, values or offsets; of variable width, bytes, and whether they are ASCII."""

    num_nulls: int
    bitmap: bytes | None
    values: bytes
    data: bytes | None
    is_ascii: bool | None


class Opened:
    """Columns of pages in a file, opened by kernels."""

    def __init__(self, kernels: Any, columns: list[Column], gap: bytes = b"gap") -> None:
        self.kernels = kernels
        self.columns = columns
        self.places: dict[tuple[int, int], list[tuple[int, int]]] = {}
        data = bytearray(b"head")
        for number, column in enumerate(columns):
            for page_number, page in enumerate(column.pages):
                places = self.places[number, page_number] = []
                stored = page.items.stored() if page.items else b""
                for content in (page.words, page.chunks, stored):
                    places.append((len(data), len(content)))
                    data += content + gap
        self.data = data
        self.open()

    def open(self) -> None:
        """Begin anew, with the bytes of the file as they are now."""
        self.direct = self.kernels.DirectColumns(bytes(self.data))
        for number, column in enumerate(self.columns):
            assert self.direct.add_column(column.first_rows, column.is_variable, column.bits) == number

    def add(self, number: int, page_number: int) -> int:
        """Open a page."""
        page = self.columns[number].pages[page_number]
        words, chunks, _ = self.places[number, page_number]
        items = (None, 0, None) if page.items is None else page.items.arguments()
        return self.direct.add_page(number, page_number, *page.form, words, chunks, *items, page.symbols)

    def begin(self, ranges: list[tuple[int, int]], numbers: list[int] | None = None) -> Any:
        """Begin a read, with no page opened."""
        numbers = list(range(len(self.columns))) if numbers is None else numbers
        starts, stops = np.array(ranges, dtype=np.int64).reshape(-1, 2).T.copy()
        return self.kernels.DirectRead(self.direct, np.array(numbers, dtype=np.int64), starts, stops)

    def read(self, ranges: list[tuple[int, int]], numbers: list[int] | None = None) -> list[Result]:
        """Read rows of columns, with all steps."""
        numbers = list(range(len(self.columns))) if numbers is None else numbers
        read = self.begin(ranges, numbers)
        for place, page_number in read.missing():
            self.add(numbers[place], page_number)
        assert read.missing() == []
        columns = [self.columns[number] for number in numbers]
        return finish(read, columns, sum(stop - start for start, stop in ranges))


class Room:
    """One buffer for many results, with bytes between them that must stay."""

    GAP = b"\xaa" * 5

    def __init__(self) -> None:
        self.size = len(self.GAP)
        self.places: list[tuple[int, int]] = []

    def take(self, size: int) -> int:
        self.places.append((self.size, size))
        self.size += size + len(self.GAP)
        return self.places[-1][0]

    def make(self) -> np.ndarray:
        return np.full(self.size, 0xAA, np.uint8)

    def check(self, buffer: np.ndarray) -> None:
        kept = np.ones(len(buffer), np.bool_)
        for start, size in self.places:
            kept[start : start + size] = False
        assert (buffer[kept] == 0xAA).all(), "bytes beside the results were changed"


def finish(read: Any, columns: list[Column], num_rows: int) -> list[Result]:
    """Measure, decode and copy."""
    needs = np.full((len(columns), 2), -7, np.int64)
    read.measure(needs)
    room, where = Room(), np.zeros((len(columns), 3), np.int64)
    bitmap_bytes = -(-num_rows // 8)
    for place, (has_bitmap, num_bytes) in enumerate(needs.tolist()):
        where[place] = 1, room.take(bitmap_bytes) if has_bitmap else -1, room.take(num_bytes)
    out, report = room.make(), np.full((len(columns), 2), -7, np.int64)
    read.decode([np.zeros(0, np.uint8), out], where, report)
    room.check(out)
    data_room, data_where = Room(), np.full((len(columns), 3), -9, np.int64)
    for place, column in enumerate(columns):
        if column.is_variable:
            data_where[place] = 0, -1, data_room.take(int(report[place, 1]))
    data, is_ascii = data_room.make(), np.full(len(columns), 7, np.uint8)
    read.copy([data], data_where, is_ascii)
    data_room.check(data)
    results = []
    for place, column in enumerate(columns):
        _, bitmap_start, start = where[place].tolist()
        bitmap = None if bitmap_start < 0 else out[bitmap_start : bitmap_start + bitmap_bytes].tobytes()
        values = out[start : start + int(needs[place, 1])].tobytes()
        num_nulls, num_bytes = report[place].tolist()
        if column.is_variable:
            start = int(data_where[place, 2])
            found = data[start : start + num_bytes].tobytes(), bool(is_ascii[place])
            assert is_ascii[place] in (0, 1)
        else:
            assert (num_bytes, is_ascii[place]) == (0, 7)
            found = None, None
        results.append(Result(num_nulls, bitmap, values, *found))
    return results


WORDS = Items([b"", b"lance", b"column"], 32, True)
NUMBERS = Items([b"abcd", b"efgh"], 32, False)


def u16(*numbers):
    return np.array(numbers, "<u2").tobytes()


def u32(*numbers):
    return np.array(numbers, "<u4").tobytes()


def u64(*numbers):
    return np.array(numbers, "<u8").tobytes()


def table(symbols, switch=1):
    """Symbol table of symbols of 2 bytes."""
    head = bytes([len(symbols), 0, 0, switch]) + 0x46535354.to_bytes(4, "little")
    body = b"".join(symbol.ljust(8, b"\0") for symbol in symbols) + bytes(map(len, symbols))
    return (head + body).ljust(2312, b"\0")


SYMBOL_TABLE = table([b"ab", b"cd"])


def one_chunk(parts, num_slots, *, levels=NO_LEVELS, width=0, values=FLAT, bits=8, items=None, symbols=None):
    """A page of one chunk, which has `parts`; what its rows are does not matter."""
    counts = np.array([num_slots])
    words, chunks = frame([(part, [len(part)]) for part in parts], counts, int(levels != NO_LEVELS), True)
    form = (levels, width, values, bits, True)
    return Page(form, words, chunks, [b""] * num_slots, [True] * num_slots, items, symbols)


def opened(kernels, page, column_bits=None):
    has_lengths = page.form[2] in (VARIABLE, SYMBOLS)
    is_variable = has_lengths if page.items is None else page.items.is_variable
    bits = page.form[3] if page.items is None else page.items.bits
    return Opened(kernels, [Column(is_variable, column_bits or bits, [page])])
