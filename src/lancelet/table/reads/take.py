"""Single rows of a dataset, in the order asked for: by position, by row address, or by row id.

Rows become sorted, distinct addresses (fragment in the upper half, physical row in the lower one). Each fragment is read once;
what was read is joined, and put in order by one take.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.fields.joining import take as take_values
from lancelet.fields.paths import empty_array
from lancelet.file.budget import Budget, physical_memory
from lancelet.file.rows import as_row_numbers
from lancelet.pages.base import RowRanges
from lancelet.table.inputs.arguments import check_number
from lancelet.threads import OrderedTasks, num_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from lancelet.buffers import Allocate, Int64Array
    from lancelet.file.budget import Meter
    from lancelet.table.reads.projection import Projection
    from lancelet.table.reads.snapshot import Snapshot

    UInt64Array = npt.NDArray[np.uint64]
    Columns = list[list[pa.Array]]

__all__ = ["sample_rows", "take_addresses", "take_positions", "take_row_ids"]

_OFFSET_BITS = np.uint64(32)
_OFFSET_MASK = np.uint64(0xFFFFFFFF)
#: So many parts a thread: fragments differ.
_PARTS_PER_THREAD = 2
#: So many rows of a fragment are worth a hand-over to another thread, also where files lie in memory.
_MANY_ROWS = 1 << 12
#: So many files may be opened that the garbage collector rests meanwhile.
_MANY_FILES = 32
#: Parts of a take at a time.
_MOST_PARTS = 1 << 10


def take_positions(snapshot: Snapshot, indices: Any, projection: Projection) -> pa.Table:
    """Return rows by their positions among those that are not deleted.

    Parameters
    ----------
    snapshot
        The version of the dataset.
    indices
        Positions from 0: a sequence, a numpy array or an Arrow array of integers; in any order, and more than once.
    projection
        The columns.

    Raises
    ------
    FormatError, UnsupportedError
        As :meth:`~lancelet.table.reads.fragment_reader.FragmentReader.read`.
    OptionError
        A row does not exist, or `indices` are no integers.
    """
    wanted = as_row_numbers(indices)
    total = snapshot.num_rows
    if len(wanted):
        low, high = int(wanted.min()), int(wanted.max())
        if low < 0 or high >= total:
            raise OptionError(
                f"row {low if low < 0 else high} does not exist; the dataset has {total} rows, counted from 0"
            )
    distinct, inverse = _distinct(wanted)
    places = np.searchsorted(snapshot.starts, distinct, side="right") - 1
    runs = []
    for place, first, stop in _runs(places):
        live = distinct[first:stop] - snapshot.starts[place]
        runs.append((place, snapshot.reader(place).offsets_of(live)))
    return _take(snapshot, runs, inverse, projection)


def take_addresses(snapshot: Snapshot, addresses: Any, projection: Projection) -> pa.Table:
    """Return rows by row address; see :func:`take_positions`.

    Raises
    ------
    OptionError
        A row does not exist or is deleted.
    """
    distinct, inverse = _distinct(_as_addresses(addresses))
    fragment_ids = (distinct >> _OFFSET_BITS).astype(np.int64)
    runs = []
    for fragment_id, first, stop in _runs(fragment_ids):
        place = snapshot.place_of(fragment_id)
        offsets = (distinct[first:stop] & _OFFSET_MASK).astype(np.int64)
        snapshot.reader(place).check_live(offsets)
        runs.append((place, offsets))
    return _take(snapshot, runs, inverse, projection)


def take_row_ids(snapshot: Snapshot, row_ids: Any, projection: Projection) -> pa.Table:
    """Return rows by row id; without stable row ids these are row addresses. See :func:`take_addresses`."""
    wanted = _as_addresses(row_ids)
    return take_addresses(snapshot, snapshot.addresses_of(wanted), projection)


def sample_rows(
    snapshot: Snapshot,
    num_rows: int,
    projection: Projection,
    *,
    seed: int | None = None,
    randomize_order: bool = True,
) -> pa.Table:
    """Return some rows by chance, each at most once.

    Parameters
    ----------
    snapshot, projection
        From where, and which columns.
    num_rows
        How many; all rows if there are fewer.
    seed
        The same seed gives the same rows of the same version.
    randomize_order
        Give them in an order by chance too, and not in that of the dataset.
    """
    if isinstance(num_rows, bool) or not isinstance(num_rows, int) or num_rows < 0:
        raise OptionError(f"num_rows is {num_rows!r}; it must be a whole number of at least 0")
    total = snapshot.num_rows
    check_number("seed", seed, 0)
    chance = np.random.default_rng(seed)
    found = chance.choice(total, min(num_rows, total), replace=False, shuffle=randomize_order)
    return take_positions(snapshot, found if randomize_order else np.sort(found), projection)


def _as_addresses(values: Any) -> UInt64Array:
    """Return what a user gives as ``uint64[num_rows]``."""
    found = as_row_numbers(values) if not _is_uint64(values) else np.asarray(values)
    if len(found) and found.dtype != np.uint64 and int(found.min()) < 0:
        raise OptionError(f"row ids are not negative, and one is {int(found.min())}")
    return found.astype(np.uint64, copy=False)


def _is_uint64(values: Any) -> bool:
    return getattr(values, "dtype", None) == np.uint64 and getattr(values, "ndim", 0) == 1


def _distinct(wanted: Any) -> tuple[Any, Int64Array | None]:
    """Sort rows and leave out those that come again; returns also where each wanted one stands, ``None``: as they came."""
    if len(wanted) < 2 or bool((wanted[1:] > wanted[:-1]).all()):
        return wanted, None
    return np.unique(wanted, return_inverse=True)


def _runs(keys: Int64Array) -> list[tuple[int, int, int]]:
    """Return the runs of equal keys: key, start and stop."""
    if not len(keys):
        return []
    firsts = np.concatenate(([0], np.flatnonzero(np.diff(keys)) + 1))
    stops = [*firsts[1:].tolist(), len(keys)]
    return list(zip(keys[firsts].tolist(), firsts.tolist(), stops, strict=True))


def _take(
    snapshot: Snapshot,
    runs: Sequence[tuple[int, Int64Array]],
    inverse: Int64Array | None,
    projection: Projection,
) -> pa.Table:
    """Read the physical rows of each fragment, and put all in order."""
    schema = projection.arrow_schema
    columns: Columns = [[] for _ in projection.outputs]
    budget_bytes = physical_memory()
    with _collector_at_rest(len(runs)), OrderedTasks[Any](_MOST_PARTS) as tasks:
        parts = _parts(snapshot, runs)
        for part in parts:
            task = partial(_read_runs, snapshot, part, projection, Budget(budget_bytes).meter())
            tasks.put(task, inline=len(parts) == 1)
        for found in tasks.drain():
            for column, arrays in zip(columns, found, strict=True):
                column += arrays
    num_rows = sum(len(offsets) for _, offsets in runs) if inverse is None else len(inverse)
    if not columns:
        from lancelet.table.reads.projection import as_batch

        return pa.Table.from_batches([as_batch({}, num_rows)])
    if not num_rows:
        return pa.Table.from_arrays([empty_array(field.type) for field in schema], schema=schema)
    order = np.arange(num_rows) if inverse is None else inverse
    arrays = [
        pa.chunked_array(
            parts if inverse is None and len(parts) == 1 else take_values(parts, order), type=field.type
        )
        for field, parts in zip(schema, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


@contextmanager
def _collector_at_rest(num_files: int) -> Iterator[None]:
    """Let the garbage collector rest while many files may be opened.

    What is made of them are thousands of objects that stay. The collector would look at all of them, and at all others of the
    program, again and again, and find nothing: that took a third of the first take of 200 files.
    """
    rests = num_files >= _MANY_FILES and gc.isenabled()
    if rests:
        gc.disable()
    try:
        yield
    finally:
        if rests:
            gc.enable()


def _parts(
    snapshot: Snapshot, runs: Sequence[tuple[int, Int64Array]]
) -> list[Sequence[tuple[int, Int64Array]]]:
    """Divide fragments among threads. Few rows of files in memory are left to one: that is work for the interpreter only."""
    num_rows = sum(len(offsets) for _, offsets in runs)
    is_little = (
        num_rows < _MANY_ROWS * len(runs) and snapshot.reader(runs[0][0]).gives_views if runs else True
    )
    if is_little:
        return [runs]
    share = max(-(-len(runs) // (_PARTS_PER_THREAD * num_threads())), 1)
    return [runs[start : start + share] for start in range(0, len(runs), share)]


def _read_runs(
    snapshot: Snapshot, runs: Sequence[tuple[int, Int64Array]], projection: Projection, meter: Meter
) -> Columns:
    """Read some fragments: for each column its arrays."""
    allocate, wanted = meter.start(), projection.late
    values: dict[str, list[pa.Array]] = {name: [] for name in wanted.names}
    for place, offsets in runs:
        _read_run(snapshot, place, RowRanges.from_sorted(offsets), projection, values, allocate)
    return projection.evaluate(values, sum(len(offsets) for _, offsets in runs))


def _read_run(
    snapshot: Snapshot,
    place: int,
    rows: RowRanges,
    projection: Projection,
    values: dict[str, list[pa.Array]],
    allocate: Allocate,
) -> None:
    reader, wanted = snapshot.reader(place), projection.late
    arrays = reader.read(wanted.fields, rows, allocate)
    reader.release(wanted.fields)
    arrays += [[reader.system_column(name, rows)] for name in wanted.system]
    for name, found in zip(wanted.names, arrays, strict=True):
        values[name] += found
