"""Pages that are read directly, and their chunks: twin of ``native/direct.hpp``. No kernel stands here."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from lancelet.buffers import as_values
from lancelet.errors import FormatError
from lancelet.kernels.reference.bitpack import inline_unpack, out_of_line_unpack
from lancelet.kernels.reference.fsst import TABLE_BYTES, expand, read_table
from lancelet.kernels.reference.miniblock import chunks_of_words, miniblock_headers
from lancelet.kernels.reference.runs import flat_gather, rle_decode, rle_decode_blocks
from lancelet.kernels.reference.varwidth import read_part

if TYPE_CHECKING:
    from lancelet.buffers import Data, Int64Array, UInt8Array, UInt16Array
    from lancelet.kernels.reference.direct_items import Items
    from lancelet.kernels.reference.ranges import Copies

__all__ = [
    "MAX_BITS",
    "WORD_BITS",
    "Chunk",
    "LevelForm",
    "Page",
    "PageForm",
    "ValueForm",
    "checked_slice",
    "make_page",
]

_MAX_LEVEL_BITS = 16
MAX_BITS = 2**31 - 1
WORD_BITS = (8, 16, 32, 64)


class LevelForm(IntEnum):
    """How definition levels are stored."""

    NONE = 0
    FLAT = 1
    PACKED = 2
    PACKED_APART = 3
    RUNS = 4


class ValueForm(IntEnum):
    """How values, or indices, are stored."""

    FLAT = 0
    PACKED = 1
    RUNS = 2
    VARIABLE = 3
    SYMBOLS = 4

    @property
    def has_lengths(self) -> bool:
        """Whether values have lengths of their own."""
        return self in (ValueForm.VARIABLE, ValueForm.SYMBOLS)


@dataclass(frozen=True, slots=True)
class PageForm:
    """How the chunks of a page are to be read; the arguments of the same names of ``DirectColumns.add_page``.

    Raises
    ------
    ValueError
        There is no such form.
    """

    levels: int
    level_width: int
    values: int
    bits: int
    large: bool

    def __post_init__(self) -> None:
        if self.levels not in list(LevelForm) or self.values not in list(ValueForm):
            raise ValueError("direct: no such form")
        if not 0 <= self.level_width <= _MAX_LEVEL_BITS:
            raise ValueError("direct: levels have 16 bits")
        if not 0 <= self.bits <= MAX_BITS:
            raise ValueError("direct: values of this width")
        if self.values in (ValueForm.PACKED, ValueForm.RUNS) and self.bits not in WORD_BITS:
            raise ValueError("bits must be 8, 16, 32 or 64")

    @property
    def has_levels(self) -> bool:
        """Whether chunks hold definition levels."""
        return self.levels != LevelForm.NONE

    @property
    def has_lengths(self) -> bool:
        """Whether values have lengths of their own."""
        return ValueForm(self.values).has_lengths

    @property
    def num_buffers(self) -> int:
        """Value buffers of a chunk."""
        return 2 if self.values == ValueForm.RUNS else 1


@dataclass(frozen=True, slots=True)
class Page:
    """An open page.

    Attributes
    ----------
    form
        How it is to be read.
    chunks
        The bytes of all chunks, in the file.
    position
        Where they lie in it.
    byte_borders, slot_borders
        Where the chunks begin in `chunks`, and their first slots; one more than there are chunks.
    items
        The dictionary, if values are indices.
    symbols
        The symbols of ``ValueForm.SYMBOLS``; ``None`` when their table is switched off.
    """

    form: PageForm
    chunks: UInt8Array
    position: int
    byte_borders: list[int]
    slot_borders: list[int]
    items: Items | None
    symbols: list[bytes] | None

    @property
    def held_bytes(self) -> int:
        """What the page holds beside the file."""
        table_bytes = TABLE_BYTES if self.form.values == ValueForm.SYMBOLS else 0
        item_bytes = 0 if self.items is None else self.items.held_bytes
        return 16 * (len(self.byte_borders) - 1) + item_bytes + table_bytes

    def chunk_of(self, slot: int) -> int:
        """Return the number of the chunk that holds a slot."""
        return bisect_right(self.slot_borders, slot) - 1


def checked_slice(data: UInt8Array, offset: int, size: int) -> UInt8Array:
    """Return a part of `data`.

    Raises
    ------
    FormatError
        It does not lie inside.
    """
    if not (0 <= offset <= len(data) and 0 <= size <= len(data) - offset):
        raise FormatError("a buffer part lies outside of its buffer")
    return data[offset : offset + size]


def make_page(
    form: PageForm,
    file: UInt8Array,
    words: UInt8Array,
    chunks: tuple[int, int],
    num_rows: int,
    items: Items | None,
    symbols: Data | None,
) -> Page:
    """Check the chunk words and keep where the chunks lie (structural.md 5.2).

    Raises
    ------
    FormatError
        Something lies outside of the file, the chunk words contradict the page, or the symbol table is damaged.
    ValueError
        A symbol table is missing, or of no use.
    """
    if (form.values == ValueForm.SYMBOLS) != (symbols is not None):
        raise ValueError("direct: a symbol table is missing")
    table = None if symbols is None else read_table(symbols)
    stored_chunks = checked_slice(file, *chunks)
    num_chunks = len(words) // (4 if form.large else 2)
    sizes, slots = np.zeros(num_chunks, np.int64), np.zeros(num_chunks, np.int64)
    chunks_of_words(words, form.large, len(stored_chunks), num_rows, sizes, slots)
    byte_borders, slot_borders = (list(accumulate(numbers.tolist(), initial=0)) for numbers in (sizes, slots))
    return Page(form, stored_chunks, chunks[0], byte_borders, slot_borders, items, table)


class Chunk:
    """One chunk of a page, taken apart.

    Parameters
    ----------
    page, number
        Which one.
    copies
        Parts of the file that lie elsewhere.

    Raises
    ------
    FormatError
        Its header is damaged.
    """

    def __init__(self, page: Page, number: int, copies: Copies) -> None:
        form = page.form
        start, stop = page.byte_borders[number : number + 2]
        data = copies.of(page.position + start, page.chunks[start:stop])
        self.page = page
        self.number = number
        self.first_slot, stop_slot = page.slot_borders[number : number + 2]
        self.num_slots = stop_slot - self.first_slot
        num_parts = form.has_levels + form.num_buffers
        offsets, sizes = np.zeros(num_parts, np.int64), np.zeros(num_parts, np.int64)
        chunk_sizes, slots, entries = _one(len(data)), _one(self.num_slots), _one(0)
        shape = (False, form.has_levels, form.num_buffers, form.large)
        miniblock_headers(data, chunk_sizes, slots, *shape, entries, offsets, sizes)
        parts = [data[at : at + size] for at, size in zip(offsets.tolist(), sizes.tolist(), strict=True)]
        self._levels = parts[0] if form.has_levels else None
        self._buffers = parts[form.has_levels :]

    @cached_property
    def levels(self) -> UInt16Array | None:
        """Definition levels, 0 or 1 a slot; ``None`` if the page has none.

        Raises
        ------
        FormatError
            They are damaged, or larger than 1.
        """
        form, part = self.page.form, self._levels
        if part is None:
            return None
        out = np.zeros(self.num_slots, np.uint16)
        where = _one(0), _one(len(part)), _one(self.num_slots)
        match form.levels:
            case LevelForm.FLAT:
                flat_gather(part, *where, 16, out)
            case LevelForm.PACKED:
                inline_unpack(part, *where, 16, out)
            case LevelForm.PACKED_APART:
                out_of_line_unpack(part, *where, 16, form.level_width, out)
            case _:
                rle_decode_blocks(part, *where, 16, 8, out)
        if np.any(out > 1):
            raise FormatError("a definition level is larger than the layers allow")
        return out

    @cached_property
    def flat_values(self) -> bytes:
        """Values, or indices, of one width: whole bytes; of values of 1 bit a byte each, 0 or 1.

        Raises
        ------
        FormatError
            They are damaged.
        """
        form, count = self.page.form, self.num_slots
        if form.values == ValueForm.FLAT:
            part = self._buffers[0]
            if len(part) != -(-count * form.bits // 8):
                raise FormatError("the size of a flat buffer does not fit its number of values")
            return (np.unpackbits(part, count=count, bitorder="little") if form.bits == 1 else part).tobytes()
        out = np.zeros(count * form.bits // 8, np.uint8)
        wheres = [(part, _one(0), _one(len(part))) for part in self._buffers]
        if form.values == ValueForm.PACKED:
            inline_unpack(*wheres[0], _one(count), form.bits, out)
        else:
            rle_decode(*wheres[0], *wheres[1], _one(count), form.bits, 8, out)
        return out.tobytes()

    @cached_property
    def indices(self) -> list[int]:
        """Indices into the dictionary.

        Raises
        ------
        FormatError
            They are damaged.
        """
        return [int(index) for index in as_values(self.flat_values, self.page.form.bits)]

    def variable_values(self, first: int, count: int) -> list[bytes]:
        """Return `count` values of variable width from slot `first` of the chunk on; only their offsets are checked.

        Raises
        ------
        FormatError
            They are damaged.
        """
        form, part = self.page.form, self._buffers[0]
        borders, values = read_part(part, 0, len(part), self.num_slots, form.bits, False)
        wanted = borders[first : first + count + 1]
        if wanted[0] < 0 or wanted[-1] > len(values) or any(low > high for low, high in pairwise(wanted)):
            raise FormatError("the offsets of variable-width values decrease")
        stored = [values[low:high].tobytes() for low, high in pairwise(wanted)]
        return [expand(value, self.page.symbols) for value in stored]


def _one(number: int) -> Int64Array:
    return np.array([number], dtype=np.int64)
