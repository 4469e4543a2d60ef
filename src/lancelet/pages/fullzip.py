"""Full-zip pages: wide values, each with its levels, so that one read fetches one row (structural.md 6).

Page buffers:

====  =================  =========================================================================================
no.   buffer             content
====  =================  =========================================================================================
0     records            one an entry, back to back
1     repetition index   if the values have any length, or there is a list layer: where each row's records start in
                         buffer 0, and the size of buffer 0; unsigned integers of 1, 2, 4 or 8 bytes
====  =================  =========================================================================================

Records; *visible* entries are those that have a slot:

============  ==========================  ================================  =======================
values        entry visible and valid     entry visible and null            entry not visible
============  ==========================  ================================  =======================
one width     word, value                 word, value (any bytes)           word
any length    word, length, value         word                              word
============  ==========================  ================================  =======================

The control word is ``rep << bits_def | def`` in 0, 1, 2 or 4 bytes. Lengths have 4 or 8 bytes, as the offsets of the Arrow type.
``[["ab", null], null, []]`` of list<string>, with bits_rep 1, bits_def 2, and null item 1, null list 2, empty list 3::

    04 02 00 00 00 61 62 | 01 | 06 | 07          index: 00 08 09 0a
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from lancelet import kernels
from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.buffers import allocate, as_values, nbytes
from lancelet.codecs.base import ValueCodec, ZippedRecords
from lancelet.codecs.constant import Constant
from lancelet.codecs.fsl import FixedSizeListCodec
from lancelet.codecs.registry import parse_as
from lancelet.errors import FormatError, UnsupportedError
from lancelet.levels.layers import NO_LEVELS, Layer, Leaf, max_def, max_rep, max_visible, parse_layers
from lancelet.pages.base import (
    ByteRange,
    DoesNotFit,
    EncodedPage,
    JoinablePage,
    Layout,
    OpenPage,
    PagePart,
    RowRanges,
)
from lancelet.pages.registry import register

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy.typing as npt

    from lancelet.blocks import Block
    from lancelet.buffers import Allocate, Data, Int64Array, UInt16Array
    from lancelet.codecs.base import EncodedValues
    from lancelet.pages.base import PageInfo

__all__ = ["FullZip", "encode"]

MAX_LEVEL_BITS = 16
#: Largest number that a 32-bit field of the message holds.
MAX_UINT32 = (1 << 32) - 1
#: Most bytes that Arrow's 32-bit offsets can count.
MAX_OFFSET32 = (1 << 31) - 1


def _word_bytes(bits_rep: int, bits_def: int) -> int:
    total = bits_rep + bits_def
    return 0 if total == 0 else 1 if total <= 8 else 2 if total <= 16 else 4


# ---------------------------------------------------------------- encoding


def encode(leaf: Leaf, values: EncodedValues) -> EncodedPage:
    """Write a full-zip page.

    Parameters
    ----------
    leaf
        Levels; its ``values`` are not looked at.
    values
        One record a slot, those of null slots included: of one width in whole bytes, or of any length.

    Returns
    -------
    EncodedPage
        Without levels and for values of one width the records are the page, and nothing is copied.

    Raises
    ------
    DoesNotFit
        There are more entries, or wider values, than the message can say.
    ValueError
        The records do not fit the leaf.
    """
    from lancelet.pb.encodings21_pb2 import FullZipLayout, PageLayout

    records = values.records
    if records.num_values != leaf.num_slots:
        raise ValueError(f"there are {records.num_values} records for {leaf.num_slots} slots")
    if isinstance(records, FixedWidth) and (records.bits == 0 or records.bits % 8):
        raise ValueError(f"records of {records.bits} bits are not whole bytes")
    zipper = _Zipper(leaf)
    if zipper.num_entries > MAX_UINT32 or (isinstance(records, FixedWidth) and records.bits > MAX_UINT32):
        raise DoesNotFit("a full-zip page has less than 2^32 entries, and values of less than 2^32 bits")
    message = FullZipLayout(
        bits_rep=zipper.bits_rep,
        bits_def=zipper.bits_def,
        num_items=zipper.num_entries,
        num_visible_items=leaf.num_slots,
        value_compression=values.codec.to_message(),
        layers=leaf.layers,  # type: ignore[arg-type]
    )
    if isinstance(records, FixedWidth):
        message.bits_per_value = records.bits
        buffers = zipper.zip_fixed(records)
    else:
        message.bits_per_offset = records.offset_bits
        buffers = zipper.zip_variable(records)
    return EncodedPage(buffers, PageLayout(full_zip_layout=message), leaf.num_rows)


class _Zipper:
    """The levels of a page in the making."""

    def __init__(self, leaf: Leaf) -> None:
        self.leaf = leaf
        self.rep = NO_LEVELS if leaf.rep is None else leaf.rep
        self.def_ = NO_LEVELS if leaf.def_ is None else leaf.def_
        self.max_rep = max_rep(leaf.layers)
        self.max_visible = max_visible(leaf.layers)
        self.bits_rep = _level_bits(leaf.rep)
        self.bits_def = _level_bits(leaf.def_)
        if leaf.def_ is not None and not all(layer.is_list for layer in leaf.layers[1:]):
            # Below structs the reference cannot read a page without levels beside one with levels (structural.md 11.1).
            self.bits_def = max(self.bits_def, 1)
        self.word_bytes = _word_bytes(self.bits_rep, self.bits_def)
        levels = leaf.rep if leaf.rep is not None else leaf.def_
        self.num_entries = leaf.num_slots if levels is None else len(levels)

    def zip_fixed(self, records: FixedWidth) -> tuple[Data, ...]:
        """Return the buffers of records of one width."""
        width = records.bits // 8
        value_bytes = width * records.num_values
        values = memoryview(records.data)
        if self.word_bytes == 0:
            return (records.data if values.nbytes == value_bytes else values.cast("B")[:value_bytes],)
        size = self.word_bytes * self.num_entries + value_bytes
        out = allocate(size)
        row_starts = self._row_starts() if self.max_rep > 0 else _no_numbers()
        kernels.zip_fixed(
            self.rep,
            self.def_,
            self.bits_rep,
            self.bits_def,
            self.max_rep,
            self.max_visible,
            values.cast("B")[:value_bytes],
            width,
            out,
            row_starts,
        )
        return (out, _narrow_index(row_starts, size)) if self.max_rep > 0 else (out,)

    def zip_variable(self, records: VariableWidth) -> tuple[Data, ...]:
        """Return the buffers of records of any length."""
        length_bytes = records.offset_bits // 8
        offsets = memoryview(records.offsets).cast("B")[: (records.num_values + 1) * length_bytes]
        size = kernels.zip_variable_size(
            self.def_, self.max_visible, offsets, length_bytes, self.word_bytes, self.num_entries
        )
        out = allocate(size)
        row_starts = self._row_starts()
        kernels.zip_variable(
            self.rep,
            self.def_,
            self.bits_rep,
            self.bits_def,
            self.max_rep,
            self.max_visible,
            offsets,
            records.data,
            length_bytes,
            out,
            row_starts,
        )
        borders = as_values(offsets, records.offset_bits)
        data_bytes = int(borders[-1]) - int(borders[0])
        bound = data_bytes + self.word_bytes * self.num_entries + length_bytes * records.num_values
        return out, _narrow_index(row_starts, bound)

    def _row_starts(self) -> Int64Array:
        return np.empty(self.leaf.num_rows + 1, dtype=np.int64)


def _level_bits(levels: UInt16Array | None) -> int:
    return 0 if levels is None or len(levels) == 0 else int(levels.max()).bit_length()


def _no_numbers() -> Int64Array:
    return np.empty(0, dtype=np.int64)


def _narrow_index(row_starts: Int64Array, bound: int) -> Data:
    """Give the index the width that 6.4 prescribes; `bound` may be larger than its largest number."""
    width = next(width for width in (1, 2, 4, 8) if width == 8 or bound < 1 << 8 * width)
    return row_starts.astype(f"<u{width}")


# ---------------------------------------------------------------- decoding

#: Mean size of values, in bytes, from which on a copy costs more than a look at each of them in Python.
_LARGE_VALUE = 16384


class _Form(NamedTuple):
    """The shape of the records, in the order in which the kernels want it."""

    bits_rep: int
    bits_def: int
    max_rep: int
    max_def: int
    max_visible: int
    value_bytes: int
    length_bytes: int

    @property
    def word_bytes(self) -> int:
        return _word_bytes(self.bits_rep, self.bits_def)

    @property
    def has_index(self) -> bool:
        return self.length_bytes > 0 or self.max_rep > 0


@register
@dataclass(frozen=True, slots=True, eq=False)
class FullZip(Layout):
    """The layout as its message describes it.

    Attributes
    ----------
    page
        Rows and buffers.
    layers
        Inner-most first.
    form
        Shape of the records.
    num_entries, num_slots
        What the message says of the whole page.
    codec
        Codec of the values.
    """

    name: ClassVar[str] = "full_zip_layout"

    page: PageInfo
    layers: tuple[Layer, ...]
    form: _Form
    num_entries: int
    num_slots: int
    codec: ValueCodec

    @classmethod
    def from_message(cls, message: Any, page: PageInfo) -> FullZip:
        """Check the message (structural.md 10, checks 20, 23 and 24)."""
        layers = parse_layers(message.layers)
        form = _parse_form(message, layers)
        page.expect_buffers(2 if form.has_index else 1)
        num_entries, num_slots = message.num_items, message.num_visible_items
        if num_slots > num_entries or page.num_rows > num_entries:
            raise FormatError(f"{num_entries} entries cannot hold {num_slots} values in {page.num_rows} rows")
        if form.max_rep == 0 and not num_slots == num_entries == page.num_rows:
            raise FormatError(
                f"without lists {page.num_rows} rows must be as many entries and values, "
                f"and the page has {num_entries} and {num_slots}"
            )
        if not form.has_index and page.buffers[0].size != page.num_rows * (
            form.word_bytes + form.value_bytes
        ):
            raise FormatError(
                f"{page.num_rows} records of {form.word_bytes + form.value_bytes} bytes "
                f"do not fill {page.buffers[0].size} bytes"
            )
        codec = parse_as(ValueCodec, message.value_compression)
        if not (form.value_bytes or form.length_bytes or _stores_nothing(codec)):
            raise FormatError(f"values of 0 bits cannot be {codec.name}")
        return cls(page, layers, form, num_entries, num_slots, codec)

    @property
    def kind(self) -> Hashable:
        """What pages have in common whose records can be taken apart together."""
        return (self.name, self.layers, self.form, self.codec)

    def head_ranges(self) -> tuple[ByteRange, ...]:
        """Return the repetition index, if there is one."""
        return self.page.buffers[1:]

    def open(self, heads: Sequence[Data]) -> OpenPage:
        """Check the repetition index (check 21)."""
        if not self.form.has_index:
            return _FixedPage(self, self.page.num_rows)
        return _IndexedPage(self, self.page.num_rows, _parse_index(heads[0], self.page))


def _stores_nothing(codec: ValueCodec) -> bool:
    """Tell whether values have no bytes: nulls, or lists of them whose validity is not stored (compressors.md 2.3)."""
    if isinstance(codec, FixedSizeListCodec):
        return codec.record_bits == 0
    return isinstance(codec, Constant)


def _parse_form(message: Any, layers: tuple[Layer, ...]) -> _Form:
    bits_rep, bits_def = message.bits_rep, message.bits_def
    if bits_rep > MAX_LEVEL_BITS or bits_def > MAX_LEVEL_BITS:
        raise FormatError(f"levels of {bits_rep} and {bits_def} bits; they have at most {MAX_LEVEL_BITS}")
    top_rep = max_rep(layers)
    if (bits_rep > 0) != (top_rep > 0):
        raise FormatError(
            f"{top_rep} list layers and repetition levels of {bits_rep} bits contradict each other"
        )
    value_bytes = length_bytes = 0
    details = message.WhichOneof("details")
    if details == "bits_per_value":
        value_bytes, rest = divmod(
            message.bits_per_value, 8
        )  # 0 where all items of lists are null: nothing is stored
        if rest:
            raise FormatError(f"values of {message.bits_per_value} bits are not whole bytes")
    elif details == "bits_per_offset":
        if message.bits_per_offset not in (32, 64):
            raise FormatError(f"lengths of {message.bits_per_offset} bits; they must have 32 or 64")
        length_bytes = message.bits_per_offset // 8
    else:
        raise FormatError("the page says neither how wide its values are nor their lengths")
    return _Form(bits_rep, bits_def, top_rep, max_def(layers), max_visible(layers), value_bytes, length_bytes)


def _parse_index(data: Data, page: PageInfo) -> npt.NDArray[np.unsignedinteger[Any]]:
    width, rest = divmod(nbytes(data), page.num_rows + 1)
    if rest or width not in (1, 2, 4, 8):
        raise FormatError(f"a repetition index of {nbytes(data)} bytes does not fit {page.num_rows} rows")
    index = as_values(data, 8 * width)
    if index[0] != 0 or int(index[-1]) != page.buffers[0].size:
        raise FormatError(
            f"the repetition index goes from {index[0]} to {index[-1]} instead of from 0 to {page.buffers[0].size}"
        )
    if not (index[1:] > index[:-1]).all():
        raise FormatError("the repetition index does not increase")
    return index


@dataclass(frozen=True, slots=True, eq=False)
class _FixedPage(JoinablePage):
    """Records of one width: row ``i`` is record ``i``."""

    layout: FullZip
    num_rows: int

    @property
    def kind(self) -> Hashable:
        """The form of the records."""
        return self.layout.kind

    def plan(self, rows: RowRanges) -> PagePart:
        """Say which bytes hold `rows`: one range of bytes a range of rows."""
        form = self.layout.form
        record = form.word_bytes + form.value_bytes
        if len(rows.starts) == 1:
            start, stop = int(rows.starts[0]), int(rows.stops[0])
            return _part(self.layout, rows, [start * record], [stop * record])
        return _part(self.layout, rows, (rows.starts * record).tolist(), (rows.stops * record).tolist())

    def decode(self, part: PagePart, data: Sequence[Data], allocate: Allocate) -> Leaf:
        """Take the records apart; records without control words in one buffer are the values, and are not copied."""
        return self._decode(part.num_rows, data, allocate)

    def decode_together(
        self,
        others: Sequence[_FixedPage],
        parts: Sequence[PagePart],
        data: Sequence[Data],
        allocate: Allocate,
    ) -> Leaf:
        """Take the records of several pages apart."""
        return self._decode(sum([part.num_rows for part in parts]), data, allocate)

    def _decode(self, num_rows: int, data: Sequence[Data], allocate: Allocate) -> Leaf:
        layout, form = self.layout, self.layout.form
        levels, values = NO_LEVELS, data[0]
        if form.bits_def > 0 or (len(data) > 1 and form.value_bytes > 0):
            levels = _levels(num_rows, allocate) if form.bits_def > 0 else NO_LEVELS
            values = _room(data, num_rows * form.value_bytes, allocate)
            kernels.unzip_fixed(data, form.bits_def, form.max_def, form.value_bytes, levels, values)
        records = FixedWidth(8 * form.value_bytes, num_rows, values)
        block = layout.codec.decode_values(records, allocate)
        return Leaf(num_rows, layout.layers, None, levels if form.bits_def > 0 else None, num_rows, block)


@dataclass(frozen=True, slots=True, eq=False)
class _IndexedPage(JoinablePage):
    """Records that the repetition index leads to.

    Attributes
    ----------
    index
        ``num_rows + 1`` unsigned integers, as wide as in the file.
    """

    layout: FullZip
    num_rows: int
    index: npt.NDArray[np.unsignedinteger[Any]]

    @property
    def kind(self) -> Hashable:
        """The form of the records."""
        return self.layout.kind

    def plan(self, rows: RowRanges) -> PagePart:
        """Say which bytes hold `rows`: one range of bytes a range of rows."""
        return _part(self.layout, rows, self.index[rows.starts].tolist(), self.index[rows.stops].tolist())

    def decode(self, part: PagePart, data: Sequence[Data], allocate: Allocate) -> Leaf:
        """Take the records apart (checks 21, 22 and 24)."""
        leaf, num_entries = self._decode(part.num_rows, self._rows(part), data, allocate)
        layout = self.layout
        if part.num_rows == self.num_rows and (num_entries, leaf.num_slots) != (
            layout.num_entries,
            layout.num_slots,
        ):
            raise FormatError(
                f"the page has {num_entries} entries and {leaf.num_slots} values "
                f"instead of {layout.num_entries} and {layout.num_slots}"
            )
        return leaf

    def decode_together(
        self,
        others: Sequence[_IndexedPage],
        parts: Sequence[PagePart],
        data: Sequence[Data],
        allocate: Allocate,
    ) -> Leaf:
        """Take the records of several pages apart."""
        rows = [page._rows(part) for page, part in zip((self, *others), parts, strict=True)]
        counts, offsets, sizes = (np.concatenate(numbers) for numbers in zip(*rows, strict=True))
        return self._decode(len(sizes), (counts, offsets, sizes), data, allocate)[0]

    def _decode(
        self,
        num_rows: int,
        rows: tuple[Int64Array, Int64Array, Int64Array],
        data: Sequence[Data],
        allocate: Allocate,
    ) -> tuple[Leaf, int]:
        """Return the leaf of `rows`, and how many entries they have."""
        layout, form = self.layout, self.layout.form
        row_counts, row_offsets, row_sizes = rows
        if len(data) == 1 < len(row_counts):  # all ranges back to back
            row_counts, row_offsets = np.array([num_rows]), np.cumsum(row_sizes) - row_sizes
        if form.max_rep > 0:
            sizes = kernels.unzip_sizes(data, row_counts, row_offsets, *form)
        else:
            sizes = _sizes_without_lists(row_sizes, form)
        num_entries, num_slots, num_bytes = sizes
        if form.length_bytes == 4 and num_bytes > MAX_OFFSET32:
            raise UnsupportedError(
                f"{num_bytes} bytes of values are too many for 32-bit offsets; read fewer rows"
            )
        if form.word_bytes == 0 and layout.codec.takes_parts and num_bytes > _LARGE_VALUE * num_slots:
            parts = _cut_records(data, row_counts, row_offsets, row_sizes, form.length_bytes)
            block = layout.codec.decode_parts(parts, 8 * form.length_bytes, allocate)
            return Leaf(num_rows, layout.layers, None, None, num_slots, block), num_entries
        rep = _levels(num_entries, allocate) if form.max_rep > 0 else NO_LEVELS
        def_ = _levels(num_entries, allocate) if form.bits_def > 0 else NO_LEVELS
        block = self._values(
            ZippedRecords(data, row_counts, row_offsets, form, num_slots, num_bytes, rep, def_), allocate
        )
        leaf = Leaf(
            num_rows,
            layout.layers,
            rep if form.max_rep > 0 else None,
            def_ if form.bits_def > 0 else None,
            num_slots,
            block,
        )
        return leaf, num_entries

    def _values(self, zipped: ZippedRecords, allocate: Allocate) -> Block:
        """Decode the values of records, and take out their levels."""
        codec, form, num_slots = self.layout.codec, self.layout.form, zipped.num_slots
        decoded = codec.decode_zipped(zipped, allocate) if form.length_bytes else None
        if decoded is not None:
            return decoded
        offsets = allocate((num_slots + 1) * form.length_bytes)
        values = _room(zipped.parts, zipped.num_bytes, allocate)
        kernels.unzip_rows(
            zipped.parts,
            zipped.row_counts,
            zipped.row_offsets,
            *form,
            zipped.rep,
            zipped.def_,
            offsets,
            values,
        )
        records: FixedWidth | VariableWidth
        if form.length_bytes:
            records = VariableWidth(8 * form.length_bytes, num_slots, offsets, values)
        else:
            records = FixedWidth(8 * form.value_bytes, num_slots, values)
        return codec.decode_values(records, allocate)

    def _rows(self, part: PagePart) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Return how many rows each range has, and for each row its offset in its range and its size."""
        rows: RowRanges = part.state
        row_counts = rows.stops - rows.starts
        if len(row_counts) == part.num_rows:  # no two are neighbours
            sizes = np.array([range_.size for range_ in part.ranges], dtype=np.int64)
            return row_counts, np.zeros(part.num_rows, dtype=np.int64), sizes
        if len(row_counts) == 1:
            borders = self.index[int(rows.starts[0]) : int(rows.stops[0]) + 1].astype(np.int64)
            return row_counts, borders[:-1] - borders[0], np.diff(borders)
        before = np.cumsum(row_counts) - row_counts
        numbers = np.arange(int(row_counts.sum())) + np.repeat(rows.starts - before, row_counts)
        starts = self.index[numbers].astype(np.int64)
        row_offsets = starts - np.repeat(self.index[rows.starts].astype(np.int64), row_counts)
        return row_counts, row_offsets, self.index[numbers + 1].astype(np.int64) - starts


def _part(layout: FullZip, rows: RowRanges, starts: list[int], stops: list[int]) -> PagePart:
    base = layout.page.buffers[0].position
    ranges = tuple([ByteRange(base + start, stop - start) for start, stop in zip(starts, stops, strict=True)])
    return PagePart(ranges, rows.num_rows, None, rows)


def _sizes_without_lists(row_sizes: Int64Array, form: _Form) -> tuple[int, int, int]:
    """Give entries, slots and bytes of rows of one record each: their sizes tell what they hold."""
    head = form.word_bytes + form.length_bytes
    if form.bits_def == 0:
        if int(row_sizes.min()) < head:
            raise FormatError("a row of the repetition index is smaller than the length of a value")
        return len(row_sizes), len(row_sizes), int(row_sizes.sum()) - head * len(row_sizes)
    valid = row_sizes[row_sizes != form.word_bytes]
    if (valid < head).any():
        raise FormatError("a row of the repetition index is smaller than the length of a value")
    return len(row_sizes), len(row_sizes), int(valid.sum()) - head * len(valid)


def _cut_records(
    data: Sequence[Data],
    row_counts: Int64Array,
    row_offsets: Int64Array,
    row_sizes: Int64Array,
    length_bytes: int,
) -> list[memoryview]:
    """Return the values of records that are nothing but a length and a value, without copying them."""
    rows = zip(row_offsets.tolist(), row_sizes.tolist(), strict=True)
    parts = []
    for buffer, count in zip(data, row_counts.tolist(), strict=True):
        view = memoryview(buffer).cast("B")
        for start, size in islice(rows, count):
            length = int.from_bytes(view[start : start + length_bytes], "little")
            value = view[start + length_bytes : start + size]
            if length != len(value) or length != size - length_bytes:
                raise FormatError("the length of a value is not what the repetition index leaves for it")
            parts.append(value)
    return parts


def _room(data: Sequence[Data], num_bytes: int, allocate: Allocate) -> Data:
    """Return a place for values: in front of the records themselves where these may be changed, since records are no smaller."""
    if len(data) == 1:
        view = memoryview(data[0]).cast("B")
        if not view.readonly and num_bytes <= len(view):
            return view[:num_bytes]
    room: Data = allocate(num_bytes)
    return room


def _levels(num_levels: int, allocate: Allocate) -> UInt16Array:
    return as_values(allocate(2 * num_levels), 16)
