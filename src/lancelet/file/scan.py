"""Streams and tables: rows are read in windows, of several fields at once, on worker threads.

A stream decodes windows, whole multiples of a batch, and cuts them into batches without copying. About three windows are in memory:
the one that is used up, and two that are being made. What a row takes is guessed first, and then known from the windows before; the
first window is one batch, so that something comes at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from lancelet.errors import OptionError
from lancelet.file.batches import cut
from lancelet.file.budget import Budget, Meter, allocate_within, physical_memory
from lancelet.file.rows import RowCursor
from lancelet.threads import OrderedTasks, num_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from lancelet.file.groups import FieldRead, Group
    from lancelet.pages.base import RowRanges

    Columns = list[list[pa.Array]]

__all__ = ["DEFAULT_BYTES_IN_FLIGHT", "Limits", "Request", "batch_rows", "read_table", "stream"]

DEFAULT_BYTES_IN_FLIGHT = 32 << 20
#: Streams aim at batches of so many bytes: larger ones spend their time on fresh memory.
_BATCH_BYTES = 1 << 20
_MAX_BATCH_ROWS = 65536
#: Rows of the first batch where nobody knows how wide values are.
_FIRST_ROWS = 1024
#: Windows that share the memory of a stream: one is used up while two are made.
_NUM_WINDOWS = 3
#: A window has at most so many times the rows of the one before it.
_GROWTH = 4
#: Most batches of a window; windows of views take no memory and would grow for ever.
_MAX_BATCHES = 256
#: Reads that give less than this are not worth a hand-over to other threads,
_INLINE_BYTES = 1 << 20
#: nor are those that give less than this a field: most of their work needs the interpreter's lock.
_INLINE_FIELD_BYTES = 16 << 10
#: The same for single rows: most of that is copied and not decoded, and parts would not share buffers.
_INLINE_SCATTERED_BYTES = 32 << 20
#: What is decoded for a row that stands alone.
_CHUNK_BYTES = 4 << 10
#: What a task of a table decodes, at least.
_TASK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stream may hold.

    Attributes
    ----------
    max_bytes_in_flight
        Bytes of decoded rows that are made, wait, or are being used up; a batch may take more.
    batch_readahead
        Most batches that wait; ``None``: only bytes count.

    Raises
    ------
    OptionError
        A limit is no number of at least 0.
    """

    max_bytes_in_flight: int = DEFAULT_BYTES_IN_FLIGHT
    batch_readahead: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_bytes_in_flight", "batch_readahead"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise OptionError(f"{name} is {value!r}; it must be a whole number of at least 0")


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is read.

    Attributes
    ----------
    schema
        Arrow schema of the result.
    reads
        Its fields.
    rows
        Rows of the file, sorted.
    batch_size
        Rows per batch; ``None``: what makes about 1 MiB.
    limits
        What a stream may hold.
    groups
        Divides fields among at most so many groups.
    together
        All fields are to be read by one group, with one request a window.
    row_bytes
        About how many bytes a decoded row takes.
    """

    schema: pa.Schema
    reads: Sequence[FieldRead]
    rows: RowRanges
    batch_size: int | None
    limits: Limits
    groups: Callable[[Sequence[FieldRead], int], list[Group]]
    together: bool
    row_bytes: float

    @property
    def is_small(self) -> bool:
        """Whether what has to be decoded is not worth a hand-over to other threads."""
        if not self.reads:
            return True
        wanted = self.row_bytes * self.rows.num_rows + _CHUNK_BYTES * (len(self.rows.starts) - 1) * len(
            self.reads
        )
        num_bytes = min(wanted, self.row_bytes * self.reads[0].first_rows[-1])
        limit = _INLINE_BYTES if len(self.rows.starts) == 1 else _INLINE_SCATTERED_BYTES
        return num_bytes < max(limit, _INLINE_FIELD_BYTES * len(self.reads))

    def work(self, read: FieldRead) -> float:
        """About how many bytes have to be decoded for the rows of a field: single rows bring their chunks along."""
        wanted = read.row_bytes * self.rows.num_rows + _CHUNK_BYTES * (len(self.rows.starts) - 1)
        return min(wanted, read.row_bytes * read.first_rows[-1])


def batch_rows(row_bytes: float) -> int:
    """Return the rows of a batch of about 1 MiB."""
    return int(min(max(_BATCH_BYTES / max(row_bytes, 1), 1), _MAX_BATCH_ROWS))


class _Inline:
    """Tasks that are done when their result is asked for; see :class:`~lancelet.threads.OrderedTasks`."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], Columns]] = deque()

    def put(self, task: Callable[[], Columns]) -> None:
        self._waiting.append(task)

    def take(self) -> Columns:
        return self._waiting.popleft()()


def _read(group: Group, rows: RowRanges, meter: Meter) -> Columns:
    return group.read(rows, meter.start())


# ---- tables


def read_table(request: Request, max_bytes: int) -> Columns:
    """Read all rows: for each field its arrays in order.

    Raises
    ------
    OptionError
        The arrays take more than `max_bytes`.
    """
    columns: Columns = [[] for _ in request.schema]
    if request.is_small:
        allocate = allocate_within(max_bytes)
        for group in request.groups(request.reads, 1):
            _place(columns, group, group.read(request.rows, allocate))
        return columns
    budget = Budget(max_bytes)
    tables = [_Table(group, reads, request.rows, budget) for group, reads in _table_groups(request)]
    waiting: deque[tuple[_Table, Meter]] = deque()
    pool: OrderedTasks[Any] = OrderedTasks()

    def take_oldest() -> None:
        table, meter = waiting.popleft()
        table.parts.append(pool.take())
        budget.settle(meter)

    with pool:
        for table in tables:
            for rows, start in table.runs():
                if pool.is_full:
                    take_oldest()
                waiting.append((table, budget.meter()))
                pool.put(partial(table.read, rows, start, waiting[-1][1]))
        while waiting:
            take_oldest()
    for table in tables:
        _place(columns, table.group, table.reader.finish(table.parts))
    return columns


def _place(columns: Columns, group: Group, read: Columns) -> None:
    for position, arrays in zip(group.fields, read, strict=True):
        columns[position] = arrays


class _Table:
    """The part of a table that one group reads."""

    def __init__(self, group: Group, reads: Sequence[FieldRead], rows: RowRanges, budget: Budget) -> None:
        self.group = group
        self.reader = group.table(rows, budget.meter().start())
        self.parts: list[Any] = []
        self._reads = reads
        self._rows = rows

    def runs(self) -> Iterator[tuple[RowRanges, int]]:
        """Cut the rows into parts that are worth a task; gives each with its first row in the table."""
        start = 0
        for rows in _page_runs(self._reads, self._rows, self.reader.rows_step):
            yield rows, start
            start += rows.num_rows

    def read(self, rows: RowRanges, start: int, meter: Meter) -> Any:
        return self.reader.read(rows, start, meter.start())


def _table_groups(request: Request) -> Iterator[tuple[Group, Sequence[FieldRead]]]:
    """Divide a table: fields that take little are read together."""
    for reads in _shares(request):
        for group in request.groups(reads, 1):
            yield group, reads


def _shares(request: Request) -> Iterator[list[FieldRead]]:
    """Put neighbouring fields together until they are worth a task."""
    if request.together:
        yield list(request.reads)
        return
    share, work = [], 0.0
    for read in request.reads:
        share.append(read)
        work += request.work(read)
        if work >= _TASK_BYTES:
            yield share
            share, work = [], 0.0
    if share:
        yield share


def _page_runs(reads: Sequence[FieldRead], rows: RowRanges, step: int) -> Iterator[RowRanges]:
    """Cut `rows` into parts worth a task, of multiples of `step` rows.

    With a step of 1 cuts are made where pages of the largest field start: a page is not decoded twice, nor cut in two.
    """
    row_bytes = sum(read.row_bytes for read in reads)
    first_rows = max(reads, key=lambda read: read.row_bytes).first_rows
    cursor = RowCursor(rows)
    if step > 1:
        num_rows = max(-(-int(_TASK_BYTES / max(row_bytes, 1 / 8)) // step), 1) * step
        while cursor.left:
            yield cursor.take(min(num_rows, cursor.left))
        return
    for row in first_rows:
        below = cursor.count_below(row)
        if below and (below * row_bytes >= _TASK_BYTES or row == first_rows[-1]):
            yield cursor.take(below)
    if cursor.left:
        yield cursor.take(cursor.left)


# ---- streams


class _Window(NamedTuple):
    """A window that is being made."""

    num_rows: int
    num_bytes: float
    batch_size: int
    meters: list[Meter]


class _Pace:
    """How large windows and batches are.

    Parameters
    ----------
    request
        What is read.
    """

    def __init__(self, request: Request) -> None:
        self._limits = request.limits
        self._guess = max(sum(read.row_bytes for read in request.reads), 1 / 8)
        self._row_bytes = self._guess
        self._asked = request.batch_size
        self._num_rows = 0
        self._measured = all(read.is_fixed for read in request.reads)

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        if self._asked is not None:
            return self._asked
        size = batch_rows(max(self._guess, self._row_bytes))
        return size if self._measured else min(size, _FIRST_ROWS)

    def next_window(self, batch_size: int) -> int:
        """Return the rows of the next window."""
        most = int(self._limits.max_bytes_in_flight / _NUM_WINDOWS / self._row_bytes)
        batches = min(max(self._num_rows * _GROWTH, batch_size), most) // batch_size
        if self._limits.batch_readahead is not None:
            batches = min(batches, self._limits.batch_readahead // (_NUM_WINDOWS - 1))
        self._num_rows = min(max(batches, 1), _MAX_BATCHES) * batch_size
        return self._num_rows

    def bytes_of(self, num_rows: int) -> float:
        """Return about how many bytes so many rows take."""
        return self._row_bytes * num_rows

    def learn(self, num_rows: int, num_bytes: int) -> None:
        """Take note of what a window took: at once if it was more than thought, else half-way."""
        found = max(num_bytes / num_rows, 1 / 8)
        self._row_bytes = found if found > self._row_bytes else (found + self._row_bytes) / 2
        self._measured = True


class _Windows:
    """Windows that are made ahead, in order.

    Parameters
    ----------
    request
        What is read.
    tasks
        The worker threads.
    """

    def __init__(self, request: Request, tasks: OrderedTasks[Columns] | _Inline, num_groups: int) -> None:
        self._cursor = RowCursor(request.rows)
        self._pace = _Pace(request)
        self._limits = request.limits
        self._groups = request.groups(request.reads, num_groups)
        self._num_columns = len(request.schema)
        self._tasks = tasks
        self._max_bytes = physical_memory()
        self._waiting: deque[_Window] = deque()
        self._held = 0.0

    def __bool__(self) -> bool:
        return bool(self._cursor.left or self._waiting)

    def start(self) -> None:
        """Begin with as many windows as may be made while the last one is used up."""
        while self._cursor.left and self._may_start():
            batch_size = self._pace.batch_size
            rows = self._cursor.take(self._pace.next_window(batch_size))
            window = _Window(rows.num_rows, self._pace.bytes_of(rows.num_rows), batch_size, [])
            for group in self._groups:
                window.meters.append(Budget(self._max_bytes).meter())
                self._tasks.put(partial(_read, group, rows, window.meters[-1]))
            self._waiting.append(window)

    def _may_start(self) -> bool:
        if not self._waiting:
            return True
        if len(self._waiting) >= _NUM_WINDOWS - 1 + (self._held == 0):
            return False
        batch_size = self._pace.batch_size
        ahead = sum(-(-window.num_rows // window.batch_size) for window in self._waiting)
        if self._limits.batch_readahead is not None and ahead >= self._limits.batch_readahead:
            return False
        held = self._held + sum(window.num_bytes for window in self._waiting)
        return held + self._pace.bytes_of(batch_size) <= self._limits.max_bytes_in_flight

    def take(self) -> tuple[Columns, int, int]:
        """Return the columns of the oldest window, its rows, and the rows per batch."""
        window = self._waiting.popleft()
        columns: Columns = [[] for _ in range(self._num_columns)]
        for group in self._groups:
            for position, arrays in zip(group.fields, self._tasks.take(), strict=True):
                columns[position] = arrays
        num_bytes = sum(meter.spent for meter in window.meters)
        self._pace.learn(window.num_rows, num_bytes)
        self._held = num_bytes
        return columns, window.num_rows, window.batch_size

    def release(self) -> None:
        """Note that the last window was used up."""
        self._held = 0.0


def stream(request: Request) -> Iterator[pa.RecordBatch]:
    """Read batch by batch.

    Raises
    ------
    FormatError, UnsupportedError
        As :meth:`~lancelet.file.groups.Group.read`, of the first window where it happens.
    """
    if request.is_small:
        yield from _batches(_Windows(request, _Inline(), 1), request.schema)
        return
    tasks: OrderedTasks[Columns] = OrderedTasks()
    with tasks:
        yield from _batches(_Windows(request, tasks, num_threads()), request.schema)


def _batches(windows: _Windows, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while windows:
        windows.start()
        columns, num_rows, batch_size = windows.take()
        windows.start()
        yield from cut(columns, num_rows, batch_size, schema)
        del columns
        windows.release()
