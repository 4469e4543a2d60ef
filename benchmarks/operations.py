"""What is measured: each operation by its name, and the work that an engine's process does for it."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Timing, drop_from_cache, read_into_cache, timed, write_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from benchmarks.consume import Consumer
    from benchmarks.engines.base import Engine
    from benchmarks.workloads import Workload

MOST_SECONDS = 4.0  # a measurement of many repetitions ends after this, whatever the engine


class Quantity(Enum):
    """What a sample of an operation tells."""

    SECONDS = "seconds"
    MEMORY = "memory"
    FILE_BYTES = "bytes of the file"
    COUNT = "number"


PRIVATE = "private"
RESIDENT = "resident"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the report; two rows for memory, whose samples are named ``<work>_private`` and ``<work>_resident``.

    Parameters
    ----------
    name
        On the command line and in the JSON.
    title
        In the report.
    work
        Name of the work in :data:`WORK`.
    quantity
        What of the work is measured.
    num_taken
        Rows of a take, else 0.
    by_pylance
        The file that is read is the one that pylance wrote; only lancelet does that, and it is compared with pylance's own time.
    fresh
        The work is done once, in a process that has read only a tiny file before: what it allocates it must get from the system.
    """

    name: str
    title: str
    work: str
    quantity: Quantity = Quantity.SECONDS
    num_taken: int = 0
    by_pylance: bool = False
    fresh: bool = False

    @property
    def rows(self) -> dict[str, str]:
        """Name of samples -> title in the report."""
        if self.quantity is not Quantity.MEMORY:
            return {self.name: self.title}
        return {
            f"{self.work}_{PRIVATE}": f"{self.title}, private memory",
            f"{self.work}_{RESIDENT}": f"{self.title}, peak resident memory",
        }

    def suits(self, num_rows: int) -> bool:
        """Whether a table is large enough for the take."""
        return 2 * self.num_taken <= num_rows


TAKES = (1, 10, 100, 10_000)
REPETITIONS = {1: 60, 10: 40, 100: 10, 10_000: 3}


def _operations() -> list[Operation]:
    found = [
        Operation("write", "write", "write"),
        Operation("scan", "scan, streamed", "scan"),
        Operation("pylance_scan", "scan of pylance's file", "scan", by_pylance=True),
        Operation("table", "scan to table", "table"),
        Operation("table_first", "scan to table, first of a process", "table", fresh=True),
        Operation("pylance_table", "scan to table of pylance's file", "table", by_pylance=True),
        Operation("project", "projected scan (2 columns)", "project"),
        Operation("open", "open + row count", "open"),
        Operation("metadata", "open + full metadata", "metadata"),
    ]
    for count in TAKES:
        found += [
            Operation(f"take{count}", f"take {count:,}, warm", "take", num_taken=count),
            Operation(
                f"pylance_take{count}",
                f"take {count:,} of pylance's file",
                "take",
                num_taken=count,
                by_pylance=True,
            ),
        ]
    for work, title in (("write", "write"), ("scan", "scan, streamed"), ("table", "scan to table")):
        found.append(Operation(f"{work}_memory", title, work, Quantity.MEMORY))
    found += [
        Operation("size", "file size", "size", Quantity.FILE_BYTES),
        Operation("cold", "cold open + take 1", "cold", num_taken=1),  # last: it empties the page cache
    ]
    return found


OPERATIONS = {operation.name: operation for operation in _operations()}


@dataclass(frozen=True, slots=True)
class Job:
    """All that a piece of work needs.

    Parameters
    ----------
    engine, consumer
        Who reads or writes, and who reads every byte of the result.
    workload, source
        The table, and its batches in the mapped file.
    path
        The file to write or to read.
    round_number
        Chooses the rows of takes: the same for all engines, others in each round.
    num_taken
        Rows of a take.
    once
        No repetitions, and nothing done before: for measurements of memory and of first scans.
    """

    engine: Engine
    consumer: Consumer
    workload: Workload
    source: list[pa.RecordBatch]
    path: Path
    round_number: int
    num_taken: int = 0
    once: bool = False

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return sum(batch.num_rows for batch in self.source)

    def rows(self, repetitions: int) -> list[list[int]]:
        """Return distinct random rows, ascending, for each repetition and one more."""
        random = np.random.default_rng([self.round_number, self.num_taken])
        return [
            np.sort(random.choice(self.num_rows, self.num_taken, replace=False, shuffle=False)).tolist()
            for _ in range(repetitions + 1)
        ]

    def check(self, num_rows: int) -> None:
        """Raise if an engine returned too few or too many rows."""
        if num_rows != self.num_rows:
            raise ValueError(f"{num_rows} rows read, {self.num_rows} written")


def _write(job: Job) -> Timing:
    job.path.unlink(missing_ok=True)
    gc.collect()
    timing = timed(lambda _: job.engine.write(job.path, job.source), 1, MOST_SECONDS)
    write_back(job.path)  # else the kernel does it during the next measurement
    return timing


def _scan_columns(job: Job, columns: list[str] | None) -> Timing:
    def scan(_: int) -> None:
        handle = job.engine.open(job.path, columns)
        num_rows, _ = job.consumer.batches(job.engine.stream(handle, job.workload.read_rows))
        job.engine.close(handle)
        job.check(num_rows)

    gc.collect()
    return timed(scan, 1 if job.once else 3, 0.3)


def _scan(job: Job) -> Timing:
    return _scan_columns(job, None)


def _project(job: Job) -> Timing:
    return _scan_columns(job, list(job.workload.projection))


def _table(job: Job) -> Timing:
    def scan(_: int) -> None:
        handle = job.engine.open(job.path)
        num_rows, _ = job.consumer.table(job.engine.table(handle, job.workload.read_rows))
        job.engine.close(handle)
        job.check(num_rows)

    if not job.once:
        scan(0)  # else the first of an engine's scans pays for the memory that the next one finds
    gc.collect()
    return timed(scan, 1 if job.once else 3, 0.3)


def _open(job: Job) -> Timing:
    def count(_: int) -> None:
        handle = job.engine.open(job.path)
        num_rows = job.engine.num_rows(handle)
        job.engine.close(handle)
        job.check(num_rows)

    count(0)
    gc.collect()
    return timed(count, 20, MOST_SECONDS)


def _metadata(job: Job) -> Timing:
    def describe(_: int) -> None:
        handle = job.engine.open(job.path)
        job.engine.metadata(handle)
        job.engine.close(handle)

    describe(0)
    gc.collect()
    return timed(describe, 10, MOST_SECONDS)


def _take(job: Job) -> Timing:
    repetitions = REPETITIONS[job.num_taken]
    rows = job.rows(repetitions)
    handle = job.engine.open(job.path)

    def take(repetition: int) -> None:
        num_rows, _ = job.consumer.table(job.engine.take(handle, rows[repetition]))
        if num_rows != job.num_taken:
            raise ValueError(f"{num_rows} rows in place of {job.num_taken}")

    take(repetitions)
    gc.collect()
    timing = timed(take, repetitions, MOST_SECONDS)
    job.engine.close(handle)
    return timing


COLD_REPETITIONS = 5
MOST_CACHED_SHARE = 0.05


def _empty_cache(path: Path) -> float:
    """Drop a file from the page cache; return the share that stayed. Pages that the kernel is busy with need another try."""
    for _ in range(5):
        write_back(path)
        share = drop_from_cache(path)
        if share <= MOST_CACHED_SHARE / 5:
            break
        time.sleep(0.05)
    return share


def _cold(job: Job) -> Timing:
    rows = job.rows(COLD_REPETITIONS)
    gc.collect()  # a mapping that is still there keeps its pages
    timings = []
    for repetition in range(COLD_REPETITIONS):
        share = _empty_cache(job.path)
        if share > MOST_CACHED_SHARE:
            raise ValueError(f"{share:.0%} of {job.path.name} stayed in the page cache")

        def take(_: int, wanted: list[int] = rows[repetition]) -> None:
            handle = job.engine.open(job.path)
            job.consumer.table(job.engine.take(handle, wanted))
            job.engine.close(handle)

        timings.append(timed(take, 1, MOST_SECONDS))
    read_into_cache(job.path)
    middle = sorted(timings, key=lambda timing: timing.seconds)[COLD_REPETITIONS // 2]
    return Timing(middle.seconds, middle.cpu_seconds, COLD_REPETITIONS)


WORK: dict[str, Callable[[Job], Timing]] = {
    "write": _write,
    "scan": _scan,
    "table": _table,
    "project": _project,
    "open": _open,
    "metadata": _metadata,
    "take": _take,
    "cold": _cold,
}
"""The work of operations. A timing is the mean of its repetitions (the median for cold takes)."""
