"""Mini-block pages: narrow values in chunks of a few KiB, levels beside them (structural.md 5).

Page buffers:

====  ====================  ======================================================================================
no.   buffer                content
====  ====================  ======================================================================================
0     chunk words           u16 a chunk (u32 with large chunks, from 2.2 on): ``(bytes / 8 - 1) << 4 | log2(slots)``;
                            the last chunk has what is left of the page's slots and says 0
1     chunks                back to back
2     dictionary            if the values are indices into one
last  repetition index      with lists: two u64 a chunk, the rows that end in it, and the entries of a last row that
                            goes on in the next chunk (else 0)
====  ====================  ======================================================================================

A chunk; every section is padded with 0xFE to a multiple of 8 bytes, sizes exclude the padding:

====================  ============================================================================================
section               content
====================  ============================================================================================
header                u16 number of levels, u16 bytes of rep and of def if stored, u16 (large: u32) a value buffer
rep                   repetition levels, if the page has lists
def                   definition levels, if a layer takes any
value buffer 0 ..     what the codec of the values says
====================  ============================================================================================

Chunks are cut by slots: entries without a slot that follow the last slot of a chunk belong to the next one. So a row may begin
in one chunk and end in a later one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn

import numpy as np

from lancelet import kernels
from lancelet.blocks import Dictionary, FixedWidth
from lancelet.buffers import EMPTY, allocate, nbytes, total
from lancelet.codecs.base import BlockCodec, ChunkCodec, Chunks, Picks, Spans
from lancelet.errors import FormatError, UnsupportedError
from lancelet.levels.layers import NO_LEVELS, Layer, Leaf, max_def, max_rep, max_visible
from lancelet.pages.base import (
    ByteRange,
    DoesNotFit,
    EncodedPage,
    JoinablePage,
    Layout,
    PagePart,
    RowRanges,
)
from lancelet.pages.chunk_levels import (
    decode_levels,
    packed_widths,
    pick_entries,
    pick_packed_levels,
    take_rows,
)
from lancelet.pages.miniblock_form import form_of
from lancelet.pages.registry import register
from lancelet.pb.encodings21_pb2 import PageLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from lancelet.blocks import Block
    from lancelet.buffers import Allocate, Data, Int64Array, UInt16Array
    from lancelet.codecs.base import Codec, EncodedBlocks, EncodedChunks
    from lancelet.levels.layers import Structure
    from lancelet.pages.base import PageInfo
    from lancelet.pb.encodings21_pb2 import CompressiveEncoding

    LevelCodec = Callable[[FixedWidth, Int64Array], BlockCodec]

__all__ = ["MiniBlock", "encode"]

MAX_SLOTS = 32768
MAX_ENTRIES = 65535
MAX_LEVEL_BYTES = 65535
MAX_CHUNK_BYTES = 32 << 10
MAX_LARGE_CHUNK_BYTES = 1 << 31

#: Most dictionary items for a byte of dictionary buffer, and always possible ones: bounds what a small file may make us allocate.
MAX_ITEMS_PER_BYTE = 4096
MIN_ITEMS_BOUND = 1 << 16
#: Most entries of pages that are decoded together: lists of more items do not fit 32-bit offsets, and each page alone may.
_MOST_TOGETHER = 2**31 - 1


# ---- writing


def encode(
    leaf: Leaf,
    values: EncodedChunks,
    *,
    level_codec: LevelCodec,
    large: bool,
    dictionary: tuple[EncodedBlocks, int] | None = None,
) -> EncodedPage:
    """Make a mini-block page of all rows of `leaf`.

    Parameters
    ----------
    leaf
        Rows, layers and levels; definition levels are stored if the layers take any, zeros when ``leaf.def_`` is ``None``.
    values
        Its values (or dictionary indices), already cut into chunks and encoded.
    level_codec
        Chooses the codec of levels, from all of them and ``int64[num_chunks]`` entries of each chunk.
    large
        32-bit chunk words and buffer sizes (2.2).
    dictionary
        The encoded dictionary as one block, and its number of items.

    Raises
    ------
    DoesNotFit
        There is no slot, or a chunk breaks a limit of structural.md 5.4.
    """
    counts = values.counts
    if leaf.num_slots == 0:
        raise DoesNotFit("a page without a slot has no chunks")
    if sum(counts.tolist()) != leaf.num_slots:
        raise ValueError(f"chunks of {counts.tolist()} values do not fit {leaf.num_slots} slots")
    rep, def_ = _stored_levels(leaf)
    entries = _cut_entries(leaf, counts)
    message = PageLayout()
    layout = message.mini_block_layout  # filled in place, which is twice as fast as keywords
    layout.value_compression.CopyFrom(_described(values.codec))
    layout.layers.extend(leaf.layers)  # type: ignore[arg-type]
    layout.num_buffers = len(values.buffers)
    layout.repetition_index_depth = int(rep is not None)
    layout.num_items = leaf.num_slots
    layout.has_large_chunk = large
    levels = []
    for array, member in ((rep, layout.rep_compression), (def_, layout.def_compression)):
        if array is not None:
            block = FixedWidth(16, len(array), array.view(np.uint8))
            encoded = level_codec(block, entries).encode_blocks(block, entries)
            member.CopyFrom(_described(encoded.codec))
            levels.append((encoded.data, encoded.sizes))
    buffers = [*_assemble(entries, levels, values.buffers, counts, large)]
    if dictionary is not None:
        items, layout.num_dictionary_items = dictionary
        layout.dictionary.CopyFrom(_described(items.codec))
        buffers.append(items.data)
    if rep is not None:
        index = np.empty(2 * len(counts), dtype=np.uint64)
        kernels.miniblock_index(rep, max_rep(leaf.layers), entries, index)
        buffers.append(index.view(np.uint8))
    return EncodedPage(tuple(buffers), message, leaf.num_rows)


@lru_cache(maxsize=64)  # wide tables have thousands of pages and few kinds of them
def _described(codec: Codec) -> CompressiveEncoding:
    """Return the message of a codec, to be copied and not to be changed."""
    return codec.to_message()


def _stored_levels(leaf: Leaf) -> tuple[UInt16Array | None, UInt16Array | None]:
    if (max_rep(leaf.layers) > 0) != (leaf.rep is not None):
        raise ValueError("repetition levels are there exactly if there is a list layer")
    def_ = None
    if max_def(leaf.layers) > 0:
        num_entries = leaf.num_rows if leaf.rep is None else len(leaf.rep)
        def_ = np.zeros(num_entries, dtype=np.uint16) if leaf.def_ is None else leaf.def_
    return leaf.rep, def_


def _cut_entries(leaf: Leaf, counts: Int64Array) -> Int64Array:
    if leaf.rep is None or leaf.def_ is None:
        return counts
    entries = np.empty(len(counts), dtype=np.int64)
    kernels.miniblock_cut(leaf.def_, max_visible(leaf.layers), counts, entries)
    return entries


def _assemble(
    entries: Int64Array,
    levels: list[tuple[Data, Int64Array]],
    buffers: Sequence[tuple[Data, Int64Array]],
    counts: Int64Array,
    large: bool,
) -> tuple[Data, Data]:
    """Return the chunk words and the chunks."""
    parts = [*levels, *buffers]
    sizes = [part_sizes for _, part_sizes in parts]
    words = allocate((4 if large else 2) * len(counts))
    num_bytes = kernels.miniblock_words(counts, entries, sizes, len(levels), large, words)
    if num_bytes < 0:
        _refuse(entries, levels, buffers, large)
    out = allocate(num_bytes)
    kernels.miniblock_frame(entries, [data for data, _ in parts], sizes, len(levels), large, out)
    return words, out


def _refuse(
    entries: Int64Array,
    levels: list[tuple[Data, Int64Array]],
    buffers: Sequence[tuple[Data, Int64Array]],
    large: bool,
) -> NoReturn:
    """Say which limit a chunk breaks."""
    if levels and entries.max() > MAX_ENTRIES:
        raise DoesNotFit(f"a chunk with {entries.max()} levels has more than {MAX_ENTRIES}")
    for _, sizes in levels:
        if sizes.max() > MAX_LEVEL_BYTES:
            raise DoesNotFit(f"{sizes.max()} bytes of levels in a chunk are more than {MAX_LEVEL_BYTES}")
    most = MAX_LARGE_CHUNK_BYTES if large else MAX_CHUNK_BYTES
    for _, sizes in buffers:
        if sizes.max() > most:
            raise DoesNotFit(f"a value buffer of {sizes.max()} bytes is larger than a chunk of {most}")
    raise DoesNotFit(f"a chunk is larger than {most} bytes")


# ---- reading


@register
@dataclass(frozen=True, slots=True, eq=False)
class MiniBlock(Layout):
    """What the message says of a mini-block page.

    Attributes
    ----------
    page
        The page's buffers and rows.
    layers
        Inner-most first.
    rep_codec, def_codec
        Codecs of the levels; ``None`` for those that are not stored.
    value_codec
        Codec of the values, or of the indices.
    dictionary_codec
        Codec of the dictionary; ``None`` without one.
    num_dictionary_items
        Its length.
    num_slots
        Slots of the page; no more than its chunks can hold.
    large
        32-bit chunk words and buffer sizes.
    """

    name: ClassVar[str] = "mini_block_layout"
    page: PageInfo
    layers: tuple[Layer, ...]
    rep_codec: BlockCodec | None
    def_codec: BlockCodec | None
    value_codec: ChunkCodec
    dictionary_codec: BlockCodec | None
    num_dictionary_items: int
    num_slots: int
    large: bool

    @classmethod
    def from_message(cls, message: Any, page: PageInfo) -> MiniBlock:
        """Read ``MiniBlockLayout`` (structural.md 10, checks 3 to 6, 12, 17 and 19).

        Raises
        ------
        FormatError
            The message contradicts itself or the page.
        UnsupportedError
            A repetition index deeper than 1, or an unknown encoding.
        """
        form, num_items = form_of(message), message.num_items
        has_dictionary, has_lists = form.dictionary_codec is not None, form.rep_codec is not None
        page.expect_buffers(2 + has_dictionary + has_lists)
        num_chunks = page.buffers[0].size // (4 if form.large else 2)
        if num_items > num_chunks * MAX_SLOTS:
            raise FormatError(f"{num_chunks} chunks cannot hold {num_items} values")
        if not has_lists and num_items != page.num_rows:
            raise FormatError(f"a page of {page.num_rows} rows without lists has {num_items} values")
        if page.num_rows > num_chunks * MAX_ENTRIES:
            raise FormatError(f"{num_chunks} chunks cannot hold {page.num_rows} rows")
        if has_dictionary:
            _check_num_items(form.num_dictionary_items, page.buffers[2].size)
        return cls(page, *form[:-1], num_slots=num_items, large=form.large)

    def head_ranges(self) -> tuple[ByteRange, ...]:
        """Chunk words, then the dictionary and the repetition index if there are any."""
        return (self.page.buffers[0], *self.page.buffers[2:])

    def open(self, heads: Sequence[Data]) -> OpenMiniBlock:
        """Check chunk words and repetition index (checks 12 to 14 and 18), and decode the dictionary."""
        words, *others = heads
        num_chunks = nbytes(words) // (4 if self.large else 2)
        items = None
        if self.dictionary_codec is not None:
            data = others.pop(0)
        tables = np.empty((6, num_chunks), dtype=np.int64)
        has_lists = self.rep_codec is not None
        kernels.miniblock_open(
            words,
            self.large,
            self.page.buffers[1].size,
            self.num_slots,
            others[0] if has_lists else EMPTY,
            has_lists,
            self.page.num_rows,
            tables,
        )
        if self.dictionary_codec is not None:
            span = Spans(data, np.zeros(1, dtype=np.int64), np.array([nbytes(data)], dtype=np.int64))
            count = np.array([self.num_dictionary_items], dtype=np.int64)
            items = self.dictionary_codec.decode_blocks(span, count, allocate)
        return OpenMiniBlock(
            layout=self,
            num_rows=self.page.num_rows,
            tables=tables,
            items=items,
            level_widths=packed_widths(self.rep_codec, self.def_codec),
        )


def _check_num_items(num_items: int, dictionary_bytes: int) -> None:
    if num_items > max(MIN_ITEMS_BOUND, dictionary_bytes * MAX_ITEMS_PER_BYTE):
        raise FormatError(f"a dictionary of {dictionary_bytes} bytes cannot have {num_items} items")


class _Runs(NamedTuple):
    """Runs of neighbouring chunks, in order, and the rows that are wanted of them.

    Attributes
    ----------
    planned
        ``int64[6, num_ranges]``, what :func:`~lancelet.kernels.miniblock_plan` gave.
    num_runs, num_chunks, num_rows
        Runs, chunks of all runs, and the rows that they have.
    is_whole
        Whether all of these rows are wanted.
    """

    planned: Int64Array
    num_runs: int
    num_chunks: int
    num_rows: int
    is_whole: bool

    @property
    def firsts(self) -> Int64Array:
        """``int64[num_runs]``: first chunk of each run."""
        return self.planned[0, : self.num_runs]

    @property
    def lasts(self) -> Int64Array:
        """``int64[num_runs]``: last chunk of each run."""
        return self.planned[1, : self.num_runs]

    @property
    def keep(self) -> RowRanges | None:
        """The wanted rows, counted from the first row of the chunks; ``None``: all of them.

        Where a run begins in the middle of a row, the rest of that row counts as a row, and so does the beginning of one that goes
        on after the run: they are never wanted.
        """
        return None if self.is_whole else RowRanges(self.planned[4], self.planned[5])


@dataclass(frozen=True, slots=True, eq=False)
class OpenMiniBlock(JoinablePage):
    """A mini-block page whose chunks can be found.

    Attributes
    ----------
    layout
        What the message says.
    num_rows
        Top-level rows.
    tables
        ``int64[6, num_chunks]``, what :func:`~lancelet.kernels.miniblock_open` gave.
    items
        The dictionary, or ``None``.
    level_widths
        What :func:`~lancelet.pages.chunk_levels.packed_widths` says.
    item_arrays
        The dictionary as Arrow arrays, by type, once somebody has made them: the only thing here that changes.
    """

    joins_ranges: ClassVar[bool] = True
    layout: MiniBlock
    num_rows: int
    tables: Int64Array
    items: Block | None
    level_widths: tuple[int, int] | None
    item_arrays: dict[Any, Any] = field(default_factory=dict)

    def plan(self, rows: RowRanges) -> PagePart:
        """Find the chunks that hold `rows`; neighbouring ones are one byte range (structural.md 5.7)."""
        starts, stops = rows.starts, rows.stops
        buffer = self.layout.page.buffers[1]
        if len(starts) == 1 and int(stops[0]) - int(starts[0]) == self.num_rows:
            num_chunks = self.tables.shape[1]
            ends = (0, num_chunks - 1, 0, buffer.size, 0, self.num_rows)
            everything = _Runs(np.array(ends).reshape(6, 1), 1, num_chunks, self.num_rows, True)
            return PagePart((buffer,), self.num_rows, None, everything)
        planned = np.empty((6, len(starts)), dtype=np.int64)
        num_runs, num_chunks, num_rows, num_wanted = kernels.miniblock_plan(
            self.tables, starts, stops, planned
        )
        runs = _Runs(planned, num_runs, num_chunks, num_rows, num_rows == num_wanted)
        base = buffer.position
        if num_runs == 1:
            start, stop = int(planned[2, 0]), int(planned[3, 0])
            return PagePart((ByteRange(base + start, stop - start),), num_wanted, None, runs)
        borders = zip(*planned[2:4, :num_runs].tolist(), strict=True)
        ranges = tuple([ByteRange(base + start, stop - start) for start, stop in borders])
        return PagePart(ranges, num_wanted, None, runs)

    def decode(self, part: PagePart, data: Sequence[Data], allocate: Allocate) -> Leaf:
        """Decode the chunks, and of their values those that are wanted."""
        runs: _Runs = part.state
        if not runs.is_whole and self.level_widths is not None:
            joined = data[0] if len(data) == 1 else b"".join(data)
            layout, planned = self.layout, (runs.planned, runs.num_runs, runs.num_chunks)
            shape = layout.value_codec.num_buffers, layout.large
            taken = take_rows(joined, self.tables, planned, shape, self.level_widths, layout.layers)
            if taken is not None:
                values = layout.value_codec.pick_chunks(taken.chunks, taken.picks, allocate)
                return self._leaf(part.num_rows, taken.rep, taken.def_, values, taken.structure)
            data = (joined,)
        return self._decode(part.num_rows, self._select(runs), runs.keep, data, allocate)

    @property
    def kind(self) -> Hashable | None:
        """The encodings; pages with dictionaries of their own are decoded alone."""
        layout = self.layout
        if self.items is not None:
            return None
        return (
            layout.name,
            layout.layers,
            layout.rep_codec,
            layout.def_codec,
            layout.value_codec,
            layout.large,
        )

    def decode_together(
        self,
        others: Sequence[OpenMiniBlock],
        parts: Sequence[PagePart],
        data: Sequence[Data],
        allocate: Allocate,
    ) -> Leaf:
        """Decode chunks of several pages."""
        runs: list[_Runs] = [part.state for part in parts]
        selected = [page._select(own) for page, own in zip((self, *others), runs, strict=True)]
        num_rows = sum([part.num_rows for part in parts])
        joined = np.concatenate(selected, axis=1)
        return self._decode(num_rows, joined, _joined_keep(runs), data, allocate, _MOST_TOGETHER)

    def _decode(
        self,
        num_rows: int,
        selected: Int64Array,
        keep: RowRanges | None,
        data: Sequence[Data],
        allocate: Allocate,
        most_entries: int | None = None,
    ) -> Leaf:
        """Decode the `selected` chunks, and of their rows `keep`, which are `num_rows`."""
        layout = self.layout
        joined = data[0] if len(data) == 1 else b"".join(data)
        chunk_sizes, slots, rows, begins, leftovers = selected
        num_chunks = len(slots)
        entries = np.empty(num_chunks, dtype=np.int64)
        has_rep, has_def = layout.rep_codec is not None, layout.def_codec is not None
        num_parts = has_rep + has_def + layout.value_codec.num_buffers
        offsets, sizes = np.empty((2, num_parts, num_chunks), dtype=np.int64)
        kernels.miniblock_headers(
            joined,
            chunk_sizes,
            slots,
            has_rep,
            has_def,
            layout.value_codec.num_buffers,
            layout.large,
            entries,
            offsets,
            sizes,
        )
        if most_entries is not None and total(entries) > most_entries:
            raise UnsupportedError(
                f"{total(entries)} entries of several pages are too many to be decoded together"
            )
        spans = [Spans(joined, offsets[i], sizes[i]) for i in range(has_rep + has_def, num_parts)]
        encoded = Chunks(tuple(spans), slots, total(slots))
        if keep is not None and self.level_widths is not None:
            tables = (offsets, sizes, entries, selected)
            rep, def_, picks = pick_packed_levels(
                joined, tables, self.level_widths, layout.layers, keep, allocate
            )
            return self._leaf(num_rows, rep, def_, layout.value_codec.pick_chunks(encoded, picks, allocate))
        rep = def_ = None
        if layout.rep_codec is not None:
            rep = decode_levels(layout.rep_codec, Spans(joined, offsets[0], sizes[0]), entries, allocate)
            rep = rep if rep.flags.writeable else rep.copy()
            kernels.miniblock_check_rep(rep, entries, rows, begins, leftovers, max_rep(layout.layers))
        if layout.def_codec is not None:
            part = Spans(joined, offsets[int(has_rep)], sizes[int(has_rep)])
            def_ = decode_levels(layout.def_codec, part, entries, allocate)
            kernels.miniblock_check_def(
                def_, entries, slots, max_def(layout.layers), max_visible(layout.layers)
            )
        if keep is None:
            values = layout.value_codec.decode_chunks(encoded, allocate)
            return self._leaf(num_rows, rep, def_, values)
        rep, def_, picks = self._pick_levels(rep, def_, keep, num_rows)
        return self._leaf(num_rows, rep, def_, layout.value_codec.pick_chunks(encoded, picks, allocate))

    def _leaf(
        self,
        num_rows: int,
        rep: UInt16Array | None,
        def_: UInt16Array | None,
        values: Block,
        structure: Structure | None = None,
    ) -> Leaf:
        if self.items is not None:
            if not isinstance(values, FixedWidth):
                raise FormatError("the indices of a dictionary are not values of one width")
            values = Dictionary(values.num_values, values, self.items, self.item_arrays)
        return Leaf(num_rows, self.layout.layers, rep, def_, values.num_values, values, structure)

    def _pick_levels(
        self, rep: UInt16Array | None, def_: UInt16Array | None, keep: RowRanges, num_rows: int
    ) -> tuple[UInt16Array | None, UInt16Array | None, Picks]:
        """Return the levels of the rows `keep`, and which values they have."""
        if rep is None:  # a row is an entry and has a slot
            picks = Picks(keep.starts, keep.stops, num_rows)
            return None, None if def_ is None else pick_entries(def_, keep.starts, keep.stops), picks
        layers = self.layout.layers
        found = np.empty((4, len(keep.starts)), dtype=np.int64)
        kernels.select_rows(
            rep,
            NO_LEVELS if def_ is None else def_,
            max_rep(layers),
            max_visible(layers),
            keep.starts,
            keep.stops,
            found,
        )
        first, last, first_slot, last_slot = found
        picks = Picks(first_slot, last_slot, total(last_slot - first_slot))
        def_ = None if def_ is None else pick_entries(def_, first, last)
        return pick_entries(rep, first, last), def_, picks

    def _select(self, runs: _Runs) -> Int64Array:
        """Return what is known of the chunks in `runs`: the five rows of :func:`~lancelet.kernels.miniblock_select`."""
        selected = np.empty((5, runs.num_chunks), dtype=np.int64)
        sizes, _, slots, started, finished, leftovers = self.tables
        kernels.miniblock_select(
            sizes, slots, started, finished, leftovers, runs.firsts, runs.lasts, selected
        )
        return selected


def _joined_keep(runs: Sequence[_Runs]) -> RowRanges | None:
    """Return the wanted rows of several pages, counted from the first row of the first one's chunks."""
    if all(own.keep is None for own in runs):
        return None
    kept = [RowRanges.single(0, own.num_rows) if own.keep is None else own.keep for own in runs]
    num_rows = np.array([own.num_rows for own in runs])
    before = np.repeat(np.cumsum(num_rows) - num_rows, [len(keep.starts) for keep in kept])
    starts, stops = (np.concatenate(rows) for rows in zip(*[(k.starts, k.stops) for k in kept], strict=True))
    starts, stops = starts + before, stops + before
    breaks = starts[1:] != stops[:-1]  # ranges that go on in the next page are one
    return RowRanges(starts[np.append(True, breaks)], stops[np.append(breaks, True)])
