"""Scans: windows of rows over the fragments, read on worker threads and handed out in order.

A window is a run of live rows: a part of a fragment, or several small fragments. One task reads it whole: what the filter needs,
the filter, and the other columns of the rows that are left. So no task waits for another, and what is in memory is the windows that
are being made, those that wait, and the one that is being used up. What a row takes is guessed first, then known from those before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import fixed_bits
from lancelet.fields.joining import join
from lancelet.fields.structure import positions
from lancelet.file.budget import Budget, physical_memory
from lancelet.pages.base import RowRanges
from lancelet.schema.blobs import is_blob
from lancelet.table.formats.sidecars import sidecar_bytes
from lancelet.table.reads.fragment_reader import picked
from lancelet.table.reads.projection import as_batch
from lancelet.threads import OrderedTasks, num_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.buffers import Allocate, Int64Array
    from lancelet.file.budget import Meter
    from lancelet.table.reads.projection import Projection, Wanted
    from lancelet.table.reads.snapshot import Snapshot

    Arrays = list[pa.Array]

__all__ = ["DEFAULT_BYTES_IN_FLIGHT", "Piece", "Scan"]

DEFAULT_BYTES_IN_FLIGHT = 40 << 20
#: A window takes so many bytes at most, and not less than the other if memory allows.
_MOST_WINDOW_BYTES, _LEAST_WINDOW_BYTES = 8 << 20, 1 << 20
#: Rows of a window, whatever they take: views of the file take nothing.
_MOST_ROWS = 1 << 20
#: Rows of the first window of a stream; later ones have at most so many times the rows of the one before.
_FIRST_ROWS, _GROWTH = 1 << 14, 4
#: Fragments of a window: opening their files takes time too.
_MOST_SEGMENTS = 32
#: Less than this, in bytes, is not worth a hand-over to another thread.
_INLINE_BYTES = 256 << 10
#: Arrow's pool keeps what is freed, in huge pages that are not packed well: three times what is in use. After so many bytes of
#: windows it is told to let go; more often, and what comes again from the system takes longer.
_RELEASED_BYTES = 24 << 20
#: A thread that works less than this part of the time waits for something.
_BUSY = 0.75
#: Bytes of a row of unknown width, where files do not tell.
_SOME_BYTES = 64
#: Parts of a window with more rows than this are worth a second read, after the filter.
_MANY_ROWS = 1 << 13
#: Where no more than one row in so many satisfies the filter, the others are not decoded.
_FEW = 16


class Segment(NamedTuple):
    """Live rows `start` to `stop` of the fragment at `place`."""

    place: int
    start: int
    stop: int


class Piece(NamedTuple):
    """The rows of a window that are given.

    Attributes
    ----------
    columns
        For each column of the result its arrays.
    num_rows
        Number of rows.
    """

    columns: list[Arrays]
    num_rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """Rows of a snapshot that are to be read.

    Attributes
    ----------
    snapshot, projection
        From where, and what.
    start, stop
        Live rows, counted through all fragments. With a filter: those that are looked at.
    max_bytes
        Most bytes of windows in memory.
    windows_ahead
        Most windows that are made before they are asked for; ``None``: only bytes count.
    is_lazy
        Whether the first rows are wanted soon, and the last ones perhaps not at all.
    late
        Whether other columns may be decoded after the filter, for the rows that are left only.
    """

    snapshot: Snapshot
    projection: Projection
    start: int
    stop: int
    max_bytes: int = DEFAULT_BYTES_IN_FLIGHT
    windows_ahead: int | None = None
    is_lazy: bool = True
    late: bool = True

    def pieces(self) -> Iterator[Piece]:
        """Read the rows in order; windows without rows that satisfy the filter are left out.

        Raises
        ------
        FormatError, UnsupportedError
            As :meth:`~lancelet.table.reads.fragment_reader.FragmentReader.read`, of the first window where it happens.
        """
        threads = num_threads()
        window_bytes = self.max_bytes // (2 * threads + 1)
        window_bytes = min(max(window_bytes, _LEAST_WINDOW_BYTES), _MOST_WINDOW_BYTES)
        ahead = max(self.max_bytes // window_bytes - 1, 1)
        if self.windows_ahead is not None:
            ahead = min(ahead, max(self.windows_ahead, 1))
        pace = _Pace(self, window_bytes)
        windows = _windows(self, pace)
        tasks: OrderedTasks[Piece] = OrderedTasks(min(2 * threads, ahead))
        waiting: list[tuple[int, Meter, bool]] = []
        budget_bytes = physical_memory()
        unreleased = 0
        with tasks:
            while True:
                while not tasks.is_full and (window := next(windows, None)) is not None:
                    meter = Budget(budget_bytes).meter()
                    num_rows = sum(segment.stop - segment.start for segment in window)
                    inline = pace.is_alone or (pace.is_small and not waiting)
                    waiting.append((num_rows, meter, inline))
                    tasks.put(partial(self._read, window, meter), inline=inline)
                if not waiting:
                    return
                num_rows, meter, inline = waiting.pop(0)
                begun = perf_counter(), thread_time()
                piece = tasks.take()
                if inline:
                    pace.watch(perf_counter() - begun[0], thread_time() - begun[1])
                pace.learn(num_rows, meter)
                unreleased += meter.spent
                if unreleased >= _RELEASED_BYTES:
                    unreleased = 0
                    pa.default_memory_pool().release_unused()
                if piece.num_rows:
                    yield piece

    def _read(self, window: list[Segment], meter: Meter) -> Piece:
        """Read a window."""
        allocate, projection = meter.start(), self.projection
        exact = projection.late.fields.has_bodies
        if projection.filter is not None and self.late and (exact or _is_large(window)):
            found = [self._read_late(segment, allocate) for segment in window]
            return found[0] if len(found) == 1 else _joined(found)
        wanted = projection.late if projection.filter is None else projection.both
        num_rows, values = self._gather(window, wanted, allocate)
        if projection.filter is not None and num_rows:
            left = _left(projection, values, num_rows)
            if len(left) < num_rows:
                values = {name: picked(_compact(arrays), left, num_rows) for name, arrays in values.items()}
            num_rows = len(left)
        return Piece(projection.evaluate(values, num_rows), num_rows)

    def _gather(
        self, window: list[Segment], wanted: Wanted, allocate: Allocate
    ) -> tuple[int, dict[str, Arrays]]:
        """Read all live rows of a window."""
        values: dict[str, Arrays] = {name: [] for name in wanted.names}
        num_rows = 0
        for segment in window:
            rows = self.snapshot.reader(segment.place).live_rows(segment.start, segment.stop)
            if rows is None:
                continue
            num_rows += rows.num_rows
            for name, arrays in self._values(wanted, segment.place, rows, allocate).items():
                values[name] += arrays
        return num_rows, values

    def _read_late(self, segment: Segment, allocate: Allocate) -> Piece:
        """Decode what the filter needs, and then the other columns where rows are left."""
        projection, place = self.projection, segment.place
        rows = self.snapshot.reader(place).live_rows(segment.start, segment.stop)
        if rows is None:
            return Piece([[] for _ in projection.outputs], 0)
        values = self._values(projection.early, place, rows, allocate)
        num_rows = rows.num_rows
        left = _left(projection, values, num_rows)
        if not len(left) or not projection.outputs:
            return Piece([[] for _ in projection.outputs], len(left))
        if len(left) == num_rows:
            values |= self._values(projection.late, place, rows, allocate)
            return Piece(projection.evaluate(values, num_rows), num_rows)
        used = projection.early_used
        values = {name: picked(arrays, left, num_rows) for name, arrays in values.items() if name in used}
        if projection.late:
            few = len(left) * _FEW <= num_rows or projection.late.fields.has_bodies
            if few or len(rows.starts) > 1:
                physical = left + rows.starts[0] if len(rows.starts) == 1 else positions(rows)[left]
                some = RowRanges.from_sorted(physical)
                values |= self._values(projection.late, place, some, allocate)
                self.snapshot.reader(place).release(projection.late.fields)
            else:
                late = self._values(projection.late, place, rows, allocate)
                values |= {name: picked(arrays, left, num_rows) for name, arrays in late.items()}
        return Piece(projection.evaluate(values, len(left)), len(left))

    def _values(self, wanted: Wanted, place: int, rows: RowRanges, allocate: Allocate) -> dict[str, Arrays]:
        reader = self.snapshot.reader(place)
        arrays = reader.read(wanted.fields, rows, allocate)
        arrays += [[reader.system_column(name, rows)] for name in wanted.system]
        return dict(zip(wanted.names, arrays, strict=True))


def _is_large(window: list[Segment]) -> bool:
    """Whether the parts of a window are worth two reads each."""
    num_rows = sum(segment.stop - segment.start for segment in window)
    return len(window) == 1 or num_rows > _MANY_ROWS * len(window)


def _compact(arrays: Arrays) -> Arrays:
    """Join the arrays of small fragments: one call is cheaper than many."""
    joined = join(arrays)
    return arrays if joined is None else [joined]


def _left(projection: Projection, values: dict[str, Any], num_rows: int) -> Int64Array:
    """Return the rows that satisfy the filter."""
    batch = as_batch({name: values[name] for name in projection.early.names}, num_rows)
    import pyarrow.compute as pc  # filters have loaded it

    rows: Int64Array = pc.indices_nonzero(projection.filter.mask(batch)).to_numpy().astype(np.int64)
    return rows


def _joined(pieces: list[Piece]) -> Piece:
    some = [piece for piece in pieces if piece.num_rows]
    columns = [
        [array for arrays in column for array in arrays]
        for column in zip(*(piece.columns for piece in some), strict=True)
    ]
    return Piece(columns, sum(piece.num_rows for piece in some))


def _windows(scan: Scan, pace: _Pace) -> Iterator[list[Segment]]:
    """Cut the rows of a scan into windows; their sizes follow `pace`."""
    starts = scan.snapshot.starts
    position = scan.start
    place = int(np.searchsorted(starts, position, side="right")) - 1
    while position < scan.stop:
        left = pace.next_rows()
        window: list[Segment] = []
        while position < scan.stop and len(window) < _MOST_SEGMENTS:
            first, end = int(starts[place]), min(int(starts[place + 1]), scan.stop)
            size = end - position
            if size > left:
                if window and 2 * left < size:
                    break
                size = -(-size // -(-size // left))  # parts of a fragment are of about one size
            if size:
                window.append(Segment(place, position - first, position - first + size))
            position += size
            left -= size
            if position < end:
                break
            place += 1
            if left <= 0:
                break
        yield window


class _Pace:
    """How many rows a window has.

    Parameters
    ----------
    scan
        What is read.
    window_bytes
        What a window should take.
    """

    def __init__(self, scan: Scan, window_bytes: int) -> None:
        self._window_bytes = window_bytes
        self._row_bytes, self._is_certain = _guess(scan)
        self._rows = _FIRST_ROWS // _GROWTH if scan.is_lazy else _MOST_ROWS
        #: Whether windows are best read one after the other, by the thread that asks.
        self.is_alone = scan.projection.filter is not None
        self._total = scan.stop - scan.start

    @property
    def is_small(self) -> bool:
        """Whether all that is read is not worth a hand-over to another thread."""
        return self._row_bytes * self._total < _INLINE_BYTES

    def next_rows(self) -> int:
        """Return the rows of the next window."""
        most = int(self._window_bytes / max(self._row_bytes, 1 / 8))
        self._rows = max(min(self._rows * _GROWTH, most, _MOST_ROWS), 1)
        return self._rows

    def watch(self, seconds: float, busy_seconds: float) -> None:
        """Take note of how a window was read by the thread that asked for it.

        What a filter leaves is put together in many small steps, for which threads only wait for each other. More of them gain
        something where the disk is waited for.
        """
        self.is_alone = self.is_alone and busy_seconds > _BUSY * seconds

    def learn(self, num_rows: int, meter: Meter) -> None:
        """Take note of what a window took: at once if it was more than thought, else half-way."""
        found = max(meter.spent / num_rows, 1 / 8)
        self._row_bytes = found if found > self._row_bytes else (found + self._row_bytes) / 2


def _guess(scan: Scan) -> tuple[float, bool]:
    """Guess what a decoded row takes, without opening a file; tells also whether it is certain."""
    projection, snapshot = scan.projection, scan.snapshot
    fields = [*projection.early.fields.shown.fields, *projection.late.fields.shown.fields]
    known, unknown = 0.0, 0
    for field in fields:
        try:
            known += fixed_bits(field.arrow_type) / 8
        except ValueError:
            unknown += 1
    if not unknown:
        return known, True
    num_rows = num_bytes = 0
    beside = _shows_bodies_beside(projection)
    for fragment in snapshot.fragments[:_MOST_SEGMENTS]:
        num_rows += fragment.physical_rows or 0
        num_bytes += sum(file.file_size_bytes or 0 for file in fragment.files)
        if beside:
            num_bytes += sum(
                sidecar_bytes(snapshot.store_of(file.base_id), file.path.removesuffix(".lance"))
                for file in fragment.files
            )
    share = 2 * num_bytes / num_rows if num_rows and num_bytes else _SOME_BYTES * unknown
    return known + share, False


def _shows_bodies_beside(projection: Projection) -> bool:
    """Tell whether values of blobs are shown that may lie in sidecar files."""
    return any(
        is_blob(stored) and stored.logical_type == "struct"
        for fields in (projection.early.fields, projection.late.fields)
        if fields.blobs == "values"
        for stored in fields.schema.walk()
    )
