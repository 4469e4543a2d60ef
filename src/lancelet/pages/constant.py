"""Constant pages: every slot is null, or every valid one has the same value (structural.md 7, versions.md 5.2 and 5.3).

What the page holds follows from the message and the number of its buffers:

=============  ========  ======================================================================================
inline_value   buffers   meaning
=============  ========  ======================================================================================
absent         0         all null, no levels (the only layer is NULLABLE_ITEM)
absent         2         all null; repetition levels, definition levels
absent         1         the value
absent         3         the value; repetition levels, definition levels
present        0         nothing more
present        2         repetition levels, definition levels
=============  ========  ======================================================================================

A value other than null needs file version 2.2. Both buffers of levels are there if one is needed; the other has no bytes. They are
u16; those of an all-null page of 2.2 may be compressed, as ``rep_compression`` and ``def_compression`` say. Inline values have
at most 32 bytes, a bool is one byte. A value buffer holds the Arrow buffers of an array of the one value::

    u32 number of buffers | u32 size of each | the buffers back to back
    02000000 08000000 05000000 | 00000000 05000000 | 68656c6c6f        utf8 "hello": offsets and data
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lancelet import kernels
from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.buffers import EMPTY, as_bytes, as_values, nbytes
from lancelet.buffers import allocate as allocate_memory
from lancelet.codecs.base import BlockCodec, Spans
from lancelet.codecs.registry import parse_as
from lancelet.errors import FormatError, UnsupportedError
from lancelet.levels.layers import NO_LEVELS, Layer, Leaf, max_def, max_rep, max_visible, parse_layers
from lancelet.pages.base import ByteRange, EncodedPage, Layout, OpenPage, PagePart, RowRanges
from lancelet.pages.registry import register

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lancelet.blocks import Block
    from lancelet.buffers import Allocate, Data, Int64Array, UInt16Array
    from lancelet.pages.base import PageInfo

    LevelCodec = Callable[[FixedWidth, Int64Array], BlockCodec]

__all__ = ["MAX_INLINE_BYTES", "Constant", "encode_all_null", "encode_constant"]

#: Largest value that stands in the message.
MAX_INLINE_BYTES = 32
#: Compressed levels may say that they are many: this many are believed, and for every byte of theirs MAX_EXPANSION more.
MAX_COMPRESSED_LEVELS = 1 << 24
MAX_EXPANSION = 4096
#: Most bytes that Arrow's 32-bit offsets can count, most that a machine can address, and most rows that 64 bits can count.
MAX_OFFSET32 = (1 << 31) - 1
MAX_ADDRESS = (1 << 47) - 1
MAX_ROWS = (1 << 63) - 1

_SIMPLE = (Layer.NULLABLE_ITEM,)


# ---------------------------------------------------------------- encoding


def encode_all_null(leaf: Leaf, *, level_codec: LevelCodec | None) -> EncodedPage:
    """Write a page in which every slot is null, or that has no slot.

    Parameters
    ----------
    leaf
        Its ``values`` are not looked at. Levels are not needed when the only layer is NULLABLE_ITEM.
    level_codec
        Chooses the codec of levels (2.2); ``None`` writes them as they are (2.1).

    Raises
    ------
    ValueError
        Levels are needed and absent.
    """
    from lancelet.pb.encodings21_pb2 import ConstantLayout, PageLayout

    message = ConstantLayout(layers=leaf.layers)  # type: ignore[arg-type]
    if leaf.layers == _SIMPLE:
        return EncodedPage((), PageLayout(constant_layout=message), leaf.num_rows)
    if leaf.def_ is None or (leaf.rep is None) != (max_rep(leaf.layers) == 0):
        raise ValueError("an all-null page of more than one layer needs its levels")
    if level_codec is None:
        return EncodedPage(_raw_levels(leaf), PageLayout(constant_layout=message), leaf.num_rows)
    buffers: list[Data] = []
    for levels, compression, count in (
        (leaf.rep, message.rep_compression, "num_rep_values"),
        (leaf.def_, message.def_compression, "num_def_values"),
    ):
        if levels is None:
            buffers.append(EMPTY)
            continue
        block, counts = FixedWidth(16, len(levels), levels), np.array([len(levels)], dtype=np.int64)
        encoded = level_codec(block, counts).encode_blocks(block, counts)
        compression.CopyFrom(encoded.codec.to_message())
        setattr(message, count, len(levels))
        buffers.append(encoded.data)
    return EncodedPage(tuple(buffers), PageLayout(constant_layout=message), leaf.num_rows)


def encode_constant(leaf: Leaf, value: Block) -> EncodedPage:
    """Write a page in which every valid slot has the same value (2.2).

    Parameters
    ----------
    leaf
        Its ``values`` are not looked at. Levels that it has are written as they are.
    value
        Block of one value: FixedWidth or VariableWidth.

    Raises
    ------
    ValueError
        `value` is another block, or not of one value.
    """
    from lancelet.pb.encodings21_pb2 import ConstantLayout, PageLayout

    if not isinstance(value, FixedWidth | VariableWidth) or value.num_values != 1:
        raise ValueError("a constant page needs a block of one value, of one width or of any length")
    message = ConstantLayout(layers=leaf.layers)  # type: ignore[arg-type]
    buffers: tuple[Data, ...] = ()
    if isinstance(value, FixedWidth) and value.bits <= 8 * MAX_INLINE_BYTES:
        message.inline_value = _fixed_bytes(value)
    else:
        buffers = (_pack_value(value),)
    if leaf.rep is not None or leaf.def_ is not None:
        buffers += _raw_levels(leaf)
    return EncodedPage(buffers, PageLayout(constant_layout=message), leaf.num_rows)


def _raw_levels(leaf: Leaf) -> tuple[Data, ...]:
    return EMPTY if leaf.rep is None else leaf.rep, EMPTY if leaf.def_ is None else leaf.def_


def _fixed_bytes(value: FixedWidth) -> bytes:
    data = as_bytes(value.data)
    return bytes([data[0] & 1]) if value.bits == 1 else data[: value.bits // 8].tobytes()


def _pack_value(value: FixedWidth | VariableWidth) -> bytes:
    if isinstance(value, FixedWidth):
        buffers = [_fixed_bytes(value)]
    else:
        start, stop = as_values(value.offsets, value.offset_bits)[:2].tolist()
        offsets = np.array([0, stop - start], dtype=f"<u{value.offset_bits // 8}")
        buffers = [offsets.tobytes(), as_bytes(value.data)[start:stop].tobytes()]
    head = np.array([len(buffers), *map(len, buffers)], dtype="<u4")
    return head.tobytes() + b"".join(buffers)


def _unpack_value(data: Data) -> FixedWidth | VariableWidth:
    """Read a value buffer; one Arrow buffer is a value of one width, two are offsets and data."""
    size = nbytes(data)
    num_buffers = int(as_values(as_bytes(data)[:4], 32)[0]) if size >= 4 else 0
    if num_buffers not in (1, 2) or size < 4 + 4 * num_buffers:
        raise FormatError(f"a value buffer of {size} bytes says that it holds {num_buffers} Arrow buffers")
    sizes = as_values(as_bytes(data)[4 : 4 + 4 * num_buffers], 32).tolist()
    borders = np.cumsum([4 + 4 * num_buffers, *sizes]).tolist()
    if borders[-1] != size:
        raise FormatError(f"the Arrow buffers of a value take {borders[-1]} bytes of {size}")
    parts = [as_bytes(data)[start:stop] for start, stop in pairwise(borders)]
    if num_buffers == 1:
        return _fixed_value(parts[0].tobytes())
    if sizes[0] not in (8, 16):
        raise FormatError(f"the offsets of a value take {sizes[0]} bytes instead of 8 or 16")
    start, stop = as_values(parts[0], 4 * sizes[0]).tolist()
    if not start <= stop <= sizes[1]:
        raise FormatError(f"the value goes from byte {start} to {stop} of {sizes[1]}")
    return VariableWidth(4 * sizes[0], 1, parts[0], parts[1])


def _fixed_value(data: bytes) -> FixedWidth:
    if not data:
        raise FormatError("the value of a constant page has no bytes")
    return FixedWidth(8 * len(data), 1, data)


# ---------------------------------------------------------------- decoding


@dataclass(frozen=True, slots=True)
class _StoredLevels:
    """One buffer of levels: where it is, its codec (``None``: as they are), and how many levels it holds."""

    place: ByteRange
    codec: BlockCodec | None
    num_levels: int

    def decode(self, data: Data) -> UInt16Array:
        if self.codec is None:  # batches in memory need not be aligned, and kernels ask for it
            return np.require(as_values(data, 16), requirements="A")
        spans = Spans(data, np.zeros(1, dtype=np.int64), np.array([nbytes(data)], dtype=np.int64))
        counts = np.array([self.num_levels], dtype=np.int64)
        block = self.codec.decode_blocks(spans, counts, allocate_memory)
        if not isinstance(block, FixedWidth) or block.bits != 16 or block.num_values != self.num_levels:
            raise FormatError("the levels of the page are not numbers of 16 bits")
        return np.require(as_values(block.data, 16), requirements="A")


def _parse_levels(place: ByteRange, message: Any, which: str) -> _StoredLevels | None:
    """Return what the message says of one buffer of levels, ``None`` if it has none."""
    num_levels = getattr(message, f"num_{which}_values")
    if not message.HasField(f"{which}_compression"):
        if place.size % 2 or num_levels not in (0, place.size // 2):
            raise FormatError(f"{place.size} bytes of {which} levels are not {num_levels} numbers of 16 bits")
        return _StoredLevels(place, None, place.size // 2) if place.size else None
    if num_levels > MAX_COMPRESSED_LEVELS + MAX_EXPANSION * place.size:
        raise UnsupportedError(f"{num_levels} {which} levels in {place.size} bytes are not believed")
    codec = parse_as(BlockCodec, getattr(message, f"{which}_compression"))
    return _StoredLevels(place, codec, num_levels) if num_levels else None


@register
@dataclass(frozen=True, slots=True, eq=False)
class Constant(Layout):
    """The layout as its message describes it.

    Attributes
    ----------
    page
        Rows and buffers.
    layers
        Inner-most first.
    inline
        The value that stands in the message, or ``None``.
    value_place
        Where the value stands otherwise; ``None`` too: all is null.
    rep, def_
        Where the levels stand, or ``None``.
    """

    name: ClassVar[str] = "constant_layout"

    page: PageInfo
    layers: tuple[Layer, ...]
    inline: FixedWidth | None
    value_place: ByteRange | None
    rep: _StoredLevels | None
    def_: _StoredLevels | None

    @classmethod
    def from_message(cls, message: Any, page: PageInfo) -> Constant:
        """Check the message (structural.md 10, check 25, and the table of cases)."""
        layers = parse_layers(message.layers)
        if page.num_rows > MAX_ROWS:
            raise FormatError(f"a page cannot have {page.num_rows} rows")
        inline = _fixed_value(message.inline_value) if message.HasField("inline_value") else None
        page.expect_buffers(*((0, 1, 2, 3) if inline is None else (0, 2)))
        num_buffers = len(page.buffers)
        value_place = page.buffers[0] if num_buffers % 2 else None
        rep = def_ = None
        if num_buffers >= 2:
            rep = _parse_levels(page.buffers[-2], message, "rep")
            def_ = _parse_levels(page.buffers[-1], message, "def")
        elif message.HasField("rep_compression") or message.HasField("def_compression"):
            raise FormatError("the page describes levels and has no buffers for them")
        layout = cls(page, layers, inline, value_place, rep, def_)
        layout._check_levels()
        return layout

    @property
    def is_all_null(self) -> bool:
        """Whether the page has no value."""
        return self.inline is None and self.value_place is None

    def _check_levels(self) -> None:
        num_rows, rep, def_ = self.page.num_rows, self.rep, self.def_
        if (rep is not None) != (max_rep(self.layers) > 0):
            raise FormatError("repetition levels must be there if, and only if, there is a list layer")
        if def_ is not None and max_def(self.layers) == 0:
            raise FormatError("the page has definition levels and no layer that takes any")
        if self.is_all_null and def_ is None and (self.page.buffers or self.layers != _SIMPLE):
            raise FormatError("an all-null page of these layers needs definition levels")
        if def_ is not None and def_.num_levels != (num_rows if rep is None else rep.num_levels):
            raise FormatError(f"{def_.num_levels} definition levels do not fit the rows or repetition levels")
        if rep is not None and rep.num_levels < num_rows:
            raise FormatError(f"{rep.num_levels} repetition levels are too few for {num_rows} rows")

    def head_ranges(self) -> tuple[ByteRange, ...]:
        """Return all buffers that have bytes: value, repetition and definition levels."""
        levels = [stored.place for stored in (self.rep, self.def_) if stored is not None]
        return tuple(levels) if self.value_place is None else (self.value_place, *levels)

    def open(self, heads: Sequence[Data]) -> OpenPage:
        """Read value and levels, and check the levels (checks 7, 8 and 25)."""
        remaining = iter(heads)
        value = self.inline if self.value_place is None else _unpack_value(next(remaining))
        rep = None if self.rep is None else self.rep.decode(next(remaining))
        def_ = None if self.def_ is None else self.def_.decode(next(remaining))
        num_rows, top_rep = self.page.num_rows, max_rep(self.layers)
        kernels.check_levels(
            NO_LEVELS if rep is None else rep,
            NO_LEVELS if def_ is None else def_,
            top_rep,
            max_def(self.layers),
            num_rows,
        )
        if self.is_all_null and def_ is not None and kernels.count_visible(def_, 0) > 0:
            raise FormatError("an all-null page has a slot that is valid")
        first_entries = None
        if rep is not None:
            first_entries = np.empty(num_rows + 1, dtype=np.int64)
            kernels.row_starts(rep, top_rep, first_entries)
        return _ConstantPage(num_rows, self.layers, value, rep, def_, first_entries)


@dataclass(frozen=True, slots=True, eq=False)
class _ConstantPage(OpenPage):
    """Value and levels of a page.

    Attributes
    ----------
    value
        Block of one value; ``None``: all is null.
    rep, def_
        Levels of the whole page.
    first_entries
        ``int64[num_rows + 1]``: the entry with which each row starts, and their number; ``None``: a row is an entry.
    """

    num_rows: int
    layers: tuple[Layer, ...]
    value: FixedWidth | VariableWidth | None
    rep: UInt16Array | None
    def_: UInt16Array | None
    first_entries: Int64Array | None

    def plan(self, rows: RowRanges) -> PagePart:
        """Nothing more is to be fetched."""
        return PagePart((), rows.num_rows, None, rows)

    def decode(self, part: PagePart, data: Sequence[Data], allocate: Allocate) -> Leaf:
        """Take the levels of the wanted rows, and repeat the value for their slots."""
        rows: RowRanges = part.state
        starts, stops = rows.starts, rows.stops
        if self.first_entries is not None:
            starts, stops = self.first_entries[starts], self.first_entries[stops]
        rep, def_ = _select(self.rep, starts, stops), _select(self.def_, starts, stops)
        num_slots = int((stops - starts).sum())
        visible = max_visible(self.layers)
        if def_ is not None:
            num_slots = kernels.count_visible(def_, visible)
        values: Block | None = None
        if isinstance(self.value, FixedWidth):
            values = _repeat_fixed(self.value, num_slots, allocate)
        elif self.value is not None:
            levels = None if def_ is None else def_[def_ <= visible]
            values = _repeat_variable(self.value, num_slots, levels, allocate)
        return Leaf(part.num_rows, self.layers, rep, def_, num_slots, values)


def _select(levels: UInt16Array | None, starts: Int64Array, stops: Int64Array) -> UInt16Array | None:
    if levels is None or len(starts) == 1:
        return None if levels is None else levels[int(starts[0]) : int(stops[0])]
    sizes = stops - starts
    before = np.cumsum(sizes) - sizes
    selected: UInt16Array = levels[np.arange(int(sizes.sum())) + np.repeat(starts - before, sizes)]
    return selected


def _repeat(value: Data, width: int, count: int, allocate: Allocate) -> Data:
    if count * width > MAX_ADDRESS:
        raise UnsupportedError(f"a constant of {width} bytes for {count} rows is too large; read fewer rows")
    out = allocate(count * width)
    if width in (1, 2, 4, 8):
        as_values(out, 8 * width)[:] = as_values(value, 8 * width)[0]
    elif width and count:
        filled, room = width, as_bytes(out)
        room[:width] = as_bytes(value)
        while filled < len(room):  # what is there is doubled: a few large copies
            more = min(filled, len(room) - filled)
            room[filled : filled + more] = room[:more]
            filled += more
    return out  # type: ignore[no-any-return]


def _repeat_fixed(value: FixedWidth, num_slots: int, allocate: Allocate) -> FixedWidth:
    return FixedWidth(value.bits, num_slots, _repeat(value.data, value.bits // 8, num_slots, allocate))


def _repeat_variable(
    value: VariableWidth, num_slots: int, levels: UInt16Array | None, allocate: Allocate
) -> VariableWidth:
    """Repeat `value` for the valid slots; null ones have no bytes. `levels` are those of the slots."""
    start, stop = as_values(value.offsets, value.offset_bits).tolist()
    width = stop - start
    num_valid = num_slots if levels is None else num_slots - int(np.count_nonzero(levels))
    if value.offset_bits == 32 and width * num_valid > MAX_OFFSET32:
        raise UnsupportedError(
            f"a constant of {width} bytes for {num_valid} rows is too large for 32-bit offsets; read fewer rows"
        )
    data = _repeat(as_bytes(value.data)[start:stop], width, num_valid, allocate)
    offset_bytes = value.offset_bits // 8
    offsets = allocate((num_slots + 1) * offset_bytes)
    ends = as_values(offsets, value.offset_bits)
    if levels is None:
        ends[:] = np.arange(num_slots + 1, dtype=ends.dtype) * ends.dtype.type(width)
    else:
        ends[0] = 0
        np.cumsum((levels == 0) * ends.dtype.type(width), out=ends[1:], dtype=ends.dtype)
    return VariableWidth(value.offset_bits, num_slots, offsets, data)
