"""The process of one engine for datasets; messages are those of :mod:`benchmarks.worker`."""

from __future__ import annotations

import gc
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.consume import Consumer
from benchmarks.datasets.engine import (
    FILE_VERSION,
    DatasetEngine,
    data_files,
    link_copy,
    without_extras,
    without_sync,
)
from benchmarks.datasets.recipes import RECIPES, TINY_ROWS, tiny_batch
from benchmarks.measure import Timing, timed, write_back
from benchmarks.worker import serve

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_SECONDS = 4.0
NUM_TAKEN = 1000
REPETITIONS = 10
BATCH_ROWS = 8192
RAW_BYTES = 1 << 20


@dataclass(slots=True)
class Job:
    """All that a piece of work needs, and what it finds beside its time.

    Parameters
    ----------
    engine, consumer
        Who works, and who reads every byte of the result.
    path
        The dataset; it is not changed.
    scratch
        A folder that is not there yet, for what is written.
    count
        How many appends.
    option
        See :class:`~benchmarks.datasets.scenarios.Scenario`.
    round_number
        Chooses the rows of takes.
    once
        No repetitions, and nothing done before.
    found
        Part of a sample's name -> value.
    """

    engine: DatasetEngine
    consumer: Consumer
    path: Path
    scratch: Path
    count: int
    option: str
    round_number: int
    once: bool
    found: dict[str, float] = field(default_factory=dict)

    @property
    def repetitions(self) -> int:
        """How often what is short is done."""
        return 1 if self.once else REPETITIONS

    def rows(self, count: int, repetitions: int) -> list[list[int]]:
        """Return distinct random rows, in random order, for each repetition: the same for all engines."""
        random = np.random.default_rng([self.round_number, count])
        total = self.engine.open(self.path).count_rows()
        return [random.choice(total, min(count, total), replace=False).tolist() for _ in range(repetitions)]


def _append(job: Job, synced: bool = True) -> Timing:
    tables = [tiny_batch(number) for number in range(job.count)]
    gc.collect()

    def append(_: int) -> None:
        for number, table in enumerate(tables):
            job.engine.write(table, job.scratch, mode="append" if number else "create")

    with nullcontext() if synced else without_sync():
        timing = timed(append, 1, MOST_SECONDS)
    job.found["rows"] = job.engine.open(job.scratch).count_rows()
    if job.found["rows"] != TINY_ROWS * job.count:
        raise ValueError(f"{job.found['rows']} rows after {job.count} appends of {TINY_ROWS}")
    return timing


def _open(job: Job) -> Timing:
    def count(_: int) -> None:
        job.found["rows"] = job.engine.open(job.path).count_rows()

    if not job.once:
        count(0)
    gc.collect()
    return timed(count, job.repetitions, MOST_SECONDS)


def _scan(job: Job) -> Timing:
    def scan(_: int) -> None:
        dataset = job.engine.open(job.path)
        batches = job.engine.batches(dataset, job.option or None, BATCH_ROWS)
        job.found["rows"], _bytes = job.consumer.batches(batches)

    gc.collect()
    return timed(scan, 1 if job.once else 3, 0.3)


def _take(job: Job, fresh: bool) -> Timing:
    rows = job.rows(NUM_TAKEN, job.repetitions)
    handles = [job.engine.open(job.path) for _ in rows] if fresh else [job.engine.open(job.path)] * len(rows)
    if not fresh:
        job.engine.take(handles[0], rows[0])

    def take(number: int) -> None:
        job.found["rows"], _bytes = job.consumer.table(job.engine.take(handles[number], rows[number]))

    gc.collect()
    return timed(take, len(rows), MOST_SECONDS)


def _compact(job: Job, plain: bool = False) -> Timing:
    link_copy(job.path, job.scratch)
    dataset = job.engine.open(job.scratch)
    old = {file.name for file in data_files(job.path)}
    gc.collect()
    with without_extras() if plain else nullcontext():
        timing = timed(lambda _: job.engine.compact(dataset, job.option), 1, MOST_SECONDS)
    new = [file for file in data_files(job.scratch) if file.name not in old]
    if job.once:
        return timing
    for file in new:
        write_back(file)
    pages, columns = map(sum, zip(*(job.engine.num_pages(file) for file in new), strict=True))
    job.found |= {
        "rows": job.engine.open(job.scratch).count_rows(),
        "input": sum(file.stat().st_size for file in data_files(job.path)),
        "output": sum(file.stat().st_size for file in new),
        "pages": pages * len(new) / columns,
        "take": _warm_take(job),
    }
    return timing


def _warm_take(job: Job) -> float:
    """Return the seconds that a take of 100 rows of the compacted dataset needs."""
    rows = job.rows(NUM_TAKEN // 10, REPETITIONS)
    dataset = job.engine.open(job.scratch)
    job.engine.take(dataset, rows[0])
    return timed(lambda number: job.engine.take(dataset, rows[number]), REPETITIONS, 1.0).seconds


def _raw_copy(job: Job) -> Timing:
    """Copy the bytes of the data files into one, through one buffer, without waiting for the disk."""
    files = data_files(job.path)
    job.scratch.mkdir()
    block = memoryview(bytearray(RAW_BYTES))

    def copy(_: int) -> None:
        with job.scratch.joinpath("copy").open("wb", buffering=0) as target:
            for file in files:
                with file.open("rb", buffering=0) as source:
                    while size := source.readinto(block):
                        target.write(block[:size])

    timing = timed(copy, 1, MOST_SECONDS)
    write_back(job.scratch / "copy")
    return timing


WORK: dict[str, Callable[[Job], Timing]] = {
    "append": _append,
    "append_unsynced": lambda job: _append(job, synced=False),
    "open": _open,
    "scan": _scan,
    "take_first": lambda job: _take(job, fresh=True),
    "take_warm": lambda job: _take(job, fresh=False),
    "compact": _compact,
    "compact_plain": lambda job: _compact(job, plain=True),
    "raw_copy": _raw_copy,
}


class DatasetWorker:
    """One engine.

    Parameters
    ----------
    engine
        Name of an installation.
    library
        The compiled :mod:`benchmarks.consume`.
    scale
        Share of the rows.
    """

    def __init__(self, engine: str, library: Path, scale: float) -> None:
        self._engine = DatasetEngine(engine)
        self._consumer = Consumer(library)
        self._scale = scale

    def describe(self) -> dict[str, Any]:
        """Return the versions of library and files, and whether the library compacts."""
        return {
            "version": self._engine.version,
            "file_version": FILE_VERSION,
            "compacts": self._engine.compacts,
        }

    def load_all(self, scratch: Path) -> None:
        """Do everything with a tiny dataset, so that what the library imports late is not counted."""
        for number in range(2):
            self._engine.write(tiny_batch(number), scratch, mode="append" if number else "create")
        dataset = self._engine.open(scratch)
        self._consumer.batches(self._engine.batches(dataset, "value > 3.0", BATCH_ROWS))
        self._consumer.table(self._engine.take(dataset, [1, 0]))
        if self._engine.compacts:
            self._engine.compact(dataset, "force_binary_copy")
        shutil.rmtree(scratch)

    def forget_peak(self) -> None:
        """Let the peak of resident memory start now."""
        from benchmarks.measure import forget_peak

        forget_peak()

    def make(self, recipe: str, path: Path, source: Path | None) -> None:
        """Write a dataset of :data:`~benchmarks.datasets.recipes.RECIPES`."""
        RECIPES[recipe].make(self._engine, path, source, self._scale)

    def run(
        self, work: str, path: Path, scratch: Path, option: str, round_number: int = 0, once: bool = False
    ) -> dict[str, Any]:
        """Do a piece of work; return its timing, and what else it found."""
        count = RECIPES["appends"].count(self._scale)
        job = Job(self._engine, self._consumer, path, scratch, count, option, round_number, once)
        try:
            timing = WORK[work](job)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return {
            "value": timing.seconds,
            "cpu_seconds": timing.cpu_seconds,
            "repetitions": timing.repetitions,
            "found": job.found,
        }


REQUESTS = ("describe", "load_all", "forget_peak", "make", "run")


def _worker(arguments: list[str]) -> DatasetWorker:
    engine, library, scale = arguments
    return DatasetWorker(engine, Path(library), float(scale))


if __name__ == "__main__":
    serve(_worker, REQUESTS)
