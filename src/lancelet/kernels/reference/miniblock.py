"""The frame of mini-block pages: chunk words, chunk headers, repetition index, levels of chunks (structural.md 5).

``levels`` arguments are ``uint16`` arrays: the levels of several chunks back to back, as many of each as `entries` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.buffers import as_bytes, as_values, nbytes
from lancelet.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from lancelet.buffers import Data, Int64Array, UInt16Array

__all__ = [
    "miniblock_check_def",
    "miniblock_check_rep",
    "miniblock_cut",
    "miniblock_frame",
    "miniblock_headers",
    "miniblock_index",
    "miniblock_open",
    "miniblock_plan",
    "miniblock_select",
    "miniblock_words",
]

_MAX_SLOTS = 32768
_MAX_ENTRIES = 65535
_MAX_PARTS = 66
_PAD = 0xFE


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise FormatError(message)


def _aligned(size: int) -> int:
    return (size + 7) // 8 * 8


def _parts(levels: UInt16Array, entries: Int64Array) -> Iterator[UInt16Array]:
    _require(
        bool(np.all(entries >= 0)) and int(entries.sum()) == len(levels),
        "the entries do not add up to the levels",
    )
    stop = 0
    for count in entries.tolist():
        start, stop = stop, stop + count
        yield levels[start:stop]


def miniblock_cut(def_: UInt16Array, max_visible: int, counts: Int64Array, out_entries: Int64Array) -> None:
    """Cut entries into chunks by their slots (5.5).

    A chunk ends with its last visible entry; invisible ones after it belong to the next chunk, and at the end of the page to
    the last one.

    Parameters
    ----------
    def_
        ``uint16[num_entries]``.
    max_visible
        An entry has a slot if its level is not above this.
    counts
        ``int64[num_chunks]``, slots of each chunk, at least 1 each; they add up to all slots.
    out_entries
        ``int64[num_chunks]``, entries of each chunk.
    """
    _require(
        len(out_entries) == len(counts) and len(counts) > 0, "miniblock_cut: one number of entries a chunk"
    )
    _require(bool(np.all(counts > 0)), "miniblock_cut: a chunk without slots")
    visible = np.flatnonzero(def_ <= max_visible)
    _require(len(visible) >= counts.sum(), "the visible levels are fewer than the slots")
    _require(len(visible) <= counts.sum(), "the visible levels are more than the slots")
    stops = visible[np.cumsum(counts) - 1] + 1
    stops[-1] = len(def_)
    out_entries[:] = np.diff(stops, prepend=0)


def miniblock_index(
    rep: UInt16Array, max_rep: int, entries: Int64Array, out_index: npt.NDArray[np.uint64]
) -> None:
    """Make the repetition index of depth 1 (5.6).

    Parameters
    ----------
    rep
        ``uint16[num_entries]``.
    max_rep
        The level that starts a row.
    entries
        ``int64[num_chunks]``, entries of each chunk, at least 1 each; they add up to all.
    out_index
        ``uint64[2 * num_chunks]``: per chunk the rows that end in it, and the entries of its last row if that goes on
        in the next chunk, else 0.
    """
    _require(len(out_index) == 2 * len(entries), "miniblock_index: two numbers a chunk")
    _require(bool(np.all(entries > 0)), "miniblock_index: a chunk without entries")
    stop = 0
    for i, part in enumerate(_parts(rep, entries)):
        stop += len(part)
        starts = np.flatnonzero(part == max_rep)
        ends = int(np.count_nonzero(starts > 0))
        if stop == len(rep) or rep[stop] == max_rep:
            out_index[2 * i : 2 * i + 2] = (ends + 1, 0)
        else:
            out_index[2 * i : 2 * i + 2] = (ends, len(part) - (int(starts[-1]) if len(starts) else 0))


def miniblock_words(
    counts: Int64Array,
    entries: Int64Array,
    sizes: Sequence[Int64Array],
    num_levels: int,
    large: bool,
    out: Any,
) -> int:
    """Make the chunk words (5.2).

    Parameters
    ----------
    counts
        ``int64[num_chunks]``, slots of each chunk: 1 to 32768, and a power of two from 2 on for all but the last.
    entries
        ``int64[num_chunks]``, levels of each chunk.
    sizes
        One ``int64[num_chunks]`` a part of a chunk, in bytes: buffers of levels first, then those of values.
    num_levels
        How many of the parts are levels.
    large
        Words and sizes of 32 bits.
    out
        One word a chunk, as bytes.

    Returns
    -------
    int
        Bytes of all chunks; -1 when a limit of 5.4 is broken, `out` is of no use then.
    """
    num_chunks = len(counts)
    _check_parts(sizes, num_chunks, num_levels)
    words = as_values(out, 32 if large else 16)
    _require(
        len(entries) == num_chunks and len(words) == num_chunks,
        "miniblock_words: one number of entries and one word a chunk",
    )
    most, total = 1 << 31 if large else 32 << 10, 0
    for i, (count, num_entries) in enumerate(zip(counts.tolist(), entries.tolist(), strict=True)):
        is_last = i + 1 == num_chunks
        _require(1 <= count <= _MAX_SLOTS and num_entries >= 0, "a chunk has 1 to 32768 slots")
        _require(
            is_last or (count >= 2 and count.bit_count() == 1),
            "every chunk but the last holds a power of two of values, from 2 to 32768",
        )
        parts = [int(part[i]) for part in sizes]
        _require(min(parts, default=0) >= 0, "a part of a chunk has a negative size")
        size = _aligned(_header_bytes(len(parts), num_levels, large)) + sum(map(_aligned, parts))
        if (num_levels and num_entries > _MAX_ENTRIES) or size > most:
            return -1
        if max(parts[:num_levels], default=0) > _MAX_ENTRIES or max(parts[num_levels:], default=0) > most:
            return -1
        words[i] = (size // 8 - 1) << 4 | (0 if is_last else count.bit_length() - 1)
        total += size
    return total


def miniblock_frame(
    entries: Int64Array,
    data: Sequence[Data],
    sizes: Sequence[Int64Array],
    num_levels: int,
    large: bool,
    out: Any,
) -> None:
    """Make the chunks: header and parts, each padded with 0xFE to a multiple of 8 bytes (5.3).

    Parameters
    ----------
    entries, sizes, num_levels, large
        As for :func:`miniblock_words`, which found no limit broken.
    data
        One buffer a part; what it has for each chunk lies back to back, and `sizes` adds up to all of it.
    out
        As many bytes as :func:`miniblock_words` returned.
    """
    _check_parts(sizes, len(entries), num_levels)
    _require(len(data) == len(sizes), "miniblock_frame: every part needs its data")
    sources = [as_bytes(part) for part in data]
    for source, part in zip(sources, sizes, strict=True):
        _require(bool(np.all(part >= 0)), "a part of a chunk has a negative size")
        _require(int(part.sum()) == len(source), "the sizes do not add up to the data")
    types = ["<u2"] * (1 + num_levels) + ["<u4" if large else "<u2"] * (len(data) - num_levels)
    starts = [0] * len(data)
    pieces: list[bytes] = []
    for i, num_entries in enumerate(entries.tolist()):
        numbers = [num_entries if num_levels else 0, *(int(part[i]) for part in sizes)]
        head = b"".join(
            np.array(number, type_).tobytes() for number, type_ in zip(numbers, types, strict=True)
        )
        pieces.append(_padded(head))
        for p, size in enumerate(numbers[1:]):
            pieces.append(_padded(sources[p][starts[p] : starts[p] + size].tobytes()))
            starts[p] += size
    chunks = b"".join(pieces)
    _require(len(chunks) == nbytes(out), "the chunks do not fit the output")
    as_bytes(out)[:] = np.frombuffer(chunks, np.uint8)


def _check_parts(sizes: Sequence[Int64Array], num_chunks: int, num_levels: int) -> None:
    _require(num_levels <= len(sizes) <= _MAX_PARTS, "a chunk has at most 66 parts, levels among them")
    _require(all(len(part) == num_chunks for part in sizes), "every part of a chunk needs one size a chunk")


def _header_bytes(num_parts: int, num_levels: int, large: bool) -> int:
    return 2 + 2 * num_levels + (4 if large else 2) * (num_parts - num_levels)


def _padded(part: bytes) -> bytes:
    return part + bytes([_PAD]) * (_aligned(len(part)) - len(part))


def miniblock_open(
    words: Data,
    large: bool,
    chunks_bytes: int,
    num_slots: int,
    index: Data,
    has_index: bool,
    num_rows: int,
    out: Int64Array,
) -> None:
    """Read the chunk words (5.2), and the repetition index of depth 1 where there is one (5.6, 5.7).

    Parameters
    ----------
    words
        One u16 a chunk, or u32 if `large`.
    large
        Whether the words have 32 bits.
    chunks_bytes
        Size of the buffer of chunks.
    num_slots
        Slots of the page, at least 0.
    index
        Two u64 a chunk; empty without lists.
    has_index
        Whether the page has lists.
    num_rows
        Rows of the page, at least 0; only looked at with an index.
    out
        ``int64[6, num_chunks]``, `num_chunks` is the number of whole words: bytes of each chunk; where it ends in the buffer;
        slots; rows that start, and that end, in this chunk and those before it (S and E of 5.7); entries of a row that continues in
        the next chunk, else 0. Without lists a row is a slot.

    Raises
    ------
    FormatError
        `words` is not a whole number of words; the sizes do not add up to `chunks_bytes`; a chunk that is not the last
        one has one slot; the last one has no slot, more than 32768, or another number than its word states; there are
        slots and no chunks. (Section 10, 12 to 14.) The size of the index does not fit the chunks; the rows that end do not add up
        to `num_rows`; a row continues after the last chunk, with more entries than a chunk can hold, or neither ends in the next
        chunk nor continues in it. (Section 10, 18.)
    """
    num_chunks = nbytes(words) // (4 if large else 2)
    _require(out.size == 6 * num_chunks, "miniblock_open: six numbers a chunk")
    _require(has_index or nbytes(index) == 0, "miniblock_open: an index that the page does not have")
    sizes, stops, slots, *rows = out.reshape(6, num_chunks)
    chunks_of_words(words, large, chunks_bytes, num_slots, sizes, slots)
    stops[:] = np.cumsum(sizes)
    if has_index:
        _read_index(index, num_rows, *rows)
    else:
        rows[0][:] = rows[1][:] = np.cumsum(slots)
        rows[2][:] = 0


def chunks_of_words(
    words: Data, large: bool, chunks_bytes: int, num_slots: int, out_sizes: Int64Array, out_slots: Int64Array
) -> None:
    """Read the chunk words alone; see :func:`miniblock_open`."""
    word_bytes = 4 if large else 2
    num_chunks, rest_bytes = divmod(nbytes(words), word_bytes)
    _check(rest_bytes == 0, "the chunk words are not a whole number of words")
    _require(num_slots >= 0, "miniblock_open: num_slots is negative")
    values = as_values(words, 8 * word_bytes).astype(np.int64)
    if num_chunks == 0:
        _check(num_slots == 0, "the page has slots and no chunks")
        _check(chunks_bytes == 0, "the sizes of the chunks do not add up to their buffer")
        return
    logs = values & 15
    _check(bool(np.all(logs[:-1] > 0)), "a chunk that is not the last one has one slot")
    out_sizes[:] = ((values >> 4) + 1) * 8
    out_slots[:] = 1 << logs
    rest = num_slots - int(out_slots[:-1].sum())
    _check(rest > 0, "the chunks have more slots than the page")
    _check(rest <= _MAX_SLOTS, "the chunks have fewer slots than the page")
    _check(
        logs[-1] == 0 or rest == out_slots[-1],
        "the last chunk states another number of slots than is left",
    )
    out_slots[-1] = rest
    _check(out_sizes.sum() == chunks_bytes, "the sizes of the chunks do not add up to their buffer")


def _read_index(
    index: Data, num_rows: int, out_started: Int64Array, out_finished: Int64Array, out_leftovers: Int64Array
) -> None:
    _require(num_rows >= 0, "miniblock_open: num_rows is negative")
    _check(
        nbytes(index) == 16 * len(out_started), "the repetition index has another size than the chunks need"
    )
    total = before = leftover = 0
    for i, (ends, leftover) in enumerate(as_values(index, 64).reshape(-1, 2).tolist()):
        total += ends
        started = total + (leftover > 0)
        _check(total <= num_rows, "more rows end in the chunks than the page has")
        _check(leftover <= _MAX_ENTRIES, "a row continues with more entries than a chunk can hold")
        _check(started >= before, "a row that continues in the next chunk does not end there")
        out_started[i], out_finished[i], out_leftovers[i] = started, total, leftover
        before = started
    _check(total == num_rows, "fewer rows end in the chunks than the page has")
    _check(leftover == 0, "a row continues after the last chunk")


def miniblock_plan(
    tables: Int64Array, starts: Int64Array, stops: Int64Array, out: Int64Array
) -> tuple[int, int, int, int]:
    """Find the chunks that hold rows, as runs of neighbours (5.7).

    Where a run begins in the middle of a row, the rest of that row counts as a row of its chunks, and so does the beginning of one
    that goes on after the run.

    Parameters
    ----------
    tables
        ``int64[6, num_chunks]``, what :func:`miniblock_open` gave.
    starts, stops
        ``int64[num_ranges]``, at least one: sorted, disjoint, non-empty ranges of rows of the page.
    out
        ``int64[6, num_ranges]``: first and last chunk, first byte and byte after the last one of every run; and the ranges counted
        from the first row of the chunks of all runs.

    Returns
    -------
    num_runs, num_chunks, num_rows, num_wanted
        Runs, at most as many as ranges; their chunks; rows in these; rows in the ranges.

    Raises
    ------
    ValueError
        The ranges are none, or not within the rows, or a size does not fit.
    """
    _require(tables.size % 6 == 0, "miniblock_plan: six numbers a chunk")
    _, chunk_stops, _, started, finished, _ = tables.reshape(6, -1)
    _require(
        len(starts) == len(stops) > 0 and out.size == 6 * len(starts),
        "miniblock_plan: one stop and six numbers out a start",
    )
    _require(
        bool(np.all(starts < stops) and np.all(stops[:-1] <= starts[1:]) and starts[0] >= 0),
        "miniblock_plan: the ranges are not sorted and disjoint",
    )
    first = np.searchsorted(started, starts, side="right")
    last = np.searchsorted(finished, stops - 1, side="right")
    _require(bool(last[-1] < len(started)), "miniblock_plan: a row that the page does not have")
    runs: list[list[int]] = []
    run_of = []
    for low, high in zip(first.tolist(), last.tolist(), strict=True):
        if not runs or low > runs[-1][1] + 1:
            runs.append([low, high])
        runs[-1][1] = high
        run_of.append(len(runs) - 1)
    table, before = out.reshape(6, len(starts)), 0
    for i, (low, high) in enumerate(runs):
        skipped = int(finished[low - 1]) if low > 0 else 0
        table[:4, i] = (low, high, chunk_stops[low - 1] if low > 0 else 0, chunk_stops[high])
        for k in np.flatnonzero(np.array(run_of) == i):
            table[4:, k] = (starts[k] - skipped + before, stops[k] - skipped + before)
        before += int(started[high]) - skipped
    return len(runs), sum(high - low + 1 for low, high in runs), before, int((stops - starts).sum())


def miniblock_headers(
    data: Data,
    chunk_sizes: Int64Array,
    slots: Int64Array,
    has_rep: bool,
    has_def: bool,
    num_buffers: int,
    large: bool,
    out_entries: Int64Array,
    out_offsets: Int64Array,
    out_sizes: Int64Array,
) -> None:
    """Read the headers of chunks (5.3).

    A chunk has ``num_parts = has_rep + has_def + num_buffers`` parts in this order.

    Parameters
    ----------
    data
        The chunks back to back.
    chunk_sizes, slots
        ``int64[num_chunks]``, bytes and slots of each chunk.
    has_rep, has_def
        Which levels the page stores.
    num_buffers
        Value buffers a chunk, 0 to 64.
    large
        Whether sizes of value buffers have 32 bits.
    out_entries
        ``int64[num_chunks]``, levels of each chunk; 0 if the page stores none.
    out_offsets, out_sizes
        ``int64[num_parts, num_chunks]``, where each part lies in `data`.

    Raises
    ------
    FormatError
        The chunks do not fill `data`; the header and the padded parts do not fill a chunk exactly; a chunk without levels
        in a page that stores some, or the reverse; with repetition and definition levels, fewer levels than slots;
        with one kind only, another number. (Section 10, 15.)
    """
    num_levels_parts = int(has_rep) + int(has_def)
    num_parts = num_levels_parts + num_buffers
    _require(0 <= num_buffers <= 64, "num_buffers must be 0 to 64")
    _require(
        len(slots) == len(out_entries) == len(chunk_sizes)
        and out_offsets.size == out_sizes.size == num_parts * len(chunk_sizes),
        "miniblock_headers: one number of slots and entries a chunk, one offset and size a part",
    )
    size_bytes = 4 if large else 2
    header_bytes = 2 + 2 * num_levels_parts + size_bytes * num_buffers
    source = as_bytes(data)
    all_offsets = out_offsets.reshape(num_parts, len(chunk_sizes))
    all_sizes = out_sizes.reshape(num_parts, len(chunk_sizes))
    start = 0
    for i, chunk_size in enumerate(chunk_sizes.tolist()):
        _check(0 <= chunk_size <= len(source) - start, "a buffer part lies outside of its buffer")
        _check(header_bytes <= chunk_size, "the header of a chunk is larger than the chunk")
        header = source[start : start + header_bytes].tobytes()
        num_levels = int.from_bytes(header[:2], "little")
        if num_levels_parts == 0:
            _check(num_levels == 0, "a chunk has levels and its page has none")
        elif num_levels_parts == 2:
            _check(num_levels >= slots[i], "a chunk has fewer levels than slots")
        else:
            _check(num_levels == slots[i], "a chunk has another number of levels than slots")
        out_entries[i] = num_levels
        field, position = 2, _aligned(header_bytes)
        for p in range(num_parts):
            width = 2 if p < num_levels_parts else size_bytes
            size = int.from_bytes(header[field : field + width], "little")
            field += width
            _check(position + size <= chunk_size, "a part of a chunk runs past its end")
            all_offsets[p, i], all_sizes[p, i] = start + position, size
            position += _aligned(size)
        _check(position == chunk_size, "the parts of a chunk do not fill it")
        start += chunk_size
    _check(start == len(source), "the chunks do not fill their bytes")


def miniblock_check_def(
    def_: UInt16Array, entries: Int64Array, slots: Int64Array, max_def: int, max_visible: int
) -> None:
    """Check the definition levels of chunks.

    Parameters
    ----------
    def_, entries
        Levels, and ``int64[num_chunks]`` entries of each chunk, at most 65535.
    slots
        ``int64[num_chunks]``.
    max_def, max_visible
        Largest level, and the largest one of an entry with a slot.

    Raises
    ------
    FormatError
        A level is too large; a chunk has more or fewer visible entries than slots. (Section 10, 7 and 16.)
    """
    _require(len(entries) == len(slots), "miniblock_check_def: one number of slots a chunk")
    _require(bool(np.all(entries <= _MAX_ENTRIES)), "a chunk has at most 65535 entries")
    for part, num_slots in zip(_parts(def_, entries), slots.tolist(), strict=True):
        _check(bool(np.all(part <= max_def)), "a definition level is larger than the layers allow")
        _check(
            int(np.count_nonzero(part <= max_visible)) == num_slots,
            "the definition levels of a chunk do not give as many slots as it has",
        )


def miniblock_check_rep(
    rep: UInt16Array,
    entries: Int64Array,
    rows: Int64Array,
    begins: Int64Array,
    leftovers: Int64Array,
    max_rep: int,
) -> None:
    """Check the repetition levels of some chunks against the repetition index.

    Where a run of chunks begins inside of a row, the levels then let a row begin.

    Parameters
    ----------
    rep, entries
        Levels, which are changed, and ``int64[num_chunks]`` entries of each chunk, at most 65535.
    rows, begins, leftovers
        ``int64[num_chunks]`` each, from :func:`miniblock_select`.
    max_rep
        Largest level: the one that starts a row.

    Raises
    ------
    FormatError
        A level is too large; a chunk begins with a new row although one continues, or the reverse; another number of rows
        start in a chunk; the leftover exceeds the entries. (Section 10, 7, 8 and 18.)
    """
    _require(
        len(entries) == len(rows) == len(begins) == len(leftovers),
        "miniblock_check_rep: four numbers a chunk",
    )
    _require(bool(np.all(entries <= _MAX_ENTRIES)), "a chunk has at most 65535 entries")
    numbers = zip(_parts(rep, entries), rows.tolist(), begins.tolist(), leftovers.tolist(), strict=True)
    for part, num_rows, begin, leftover in numbers:
        _check(bool(np.all(part <= max_rep)), "a repetition level is larger than the number of lists")
        _check(
            len(part) > 0 and bool(part[0] == max_rep) == (begin == 0),
            "a chunk begins with a row where the repetition index has none, or the reverse",
        )
        _check(
            int(np.count_nonzero(part == max_rep)) == num_rows,
            "a chunk has another number of rows than the index states",
        )
        _check(leftover <= len(part), "a row continues with more entries than there are")
        if begin == 2:
            part[0] = max_rep


def miniblock_select(
    chunk_sizes: Int64Array,
    slots: Int64Array,
    started: Int64Array,
    finished: Int64Array,
    leftovers: Int64Array,
    firsts: Int64Array,
    lasts: Int64Array,
    out: Int64Array,
) -> None:
    """Gather what is known of the chunks of some runs.

    Parameters
    ----------
    chunk_sizes, slots, started, finished, leftovers
        ``int64[num_chunks]`` each, from :func:`miniblock_open`; `leftovers` may be empty without lists.
    firsts, lasts
        ``int64[num_runs]``: first and last chunk of each run.
    out
        ``int64[5, n]`` for the `n` chunks of all runs, in order: bytes; slots; rows that start in it; how it begins (0: with a row,
        1: inside of one, 2: inside of one and it is the first of its run); entries of the row that goes on in the next one.

    Raises
    ------
    ValueError
        There is no such chunk, or a size does not fit.
    """
    num_chunks = len(chunk_sizes)
    _require(
        len(slots) == len(started) == len(finished) == num_chunks and len(leftovers) in (0, num_chunks),
        "miniblock_select: five numbers a chunk",
    )
    runs = list(zip(firsts.tolist(), lasts.tolist(), strict=True))
    _require(all(0 <= low <= high < num_chunks for low, high in runs), "miniblock_select: no such chunk")
    numbers = [chunk for low, high in runs for chunk in range(low, high + 1)]
    _require(out.size == 5 * len(numbers), "miniblock_select: out has not five numbers a chunk")
    before = np.concatenate(([0], started[:-1]))
    inside = (before > np.concatenate(([0], finished[:-1]))).astype(np.int64)
    table = out.reshape(5, len(numbers))
    table[:4] = np.stack([chunk_sizes, slots, started - before, inside])[:, numbers]
    table[3] += table[3] * np.isin(numbers, firsts)
    table[4] = leftovers[numbers] if len(leftovers) else 0
