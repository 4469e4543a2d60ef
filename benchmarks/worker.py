"""The process of one engine: serves requests until its standard input ends.

A message, in both directions, is 8 bytes with a length (little endian) and a pickled dict. Requests are ``{"request": name,
**arguments}``, answers ``{"value": ...}`` or ``{"error": text}``.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from benchmarks.operations import Job

LENGTH = struct.Struct("<Q")


def send(pipe: BinaryIO, message: dict[str, Any]) -> None:
    """Write one message."""
    data = pickle.dumps(message)
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: BinaryIO) -> dict[str, Any] | None:
    """Read one message, or None at the end."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    data = pipe.read(*LENGTH.unpack(head))
    message: dict[str, Any] = pickle.loads(data)
    return message


class Worker:
    """One engine and one workload.

    Parameters
    ----------
    engine
        Name of an installation.
    workload
        Name of a workload.
    source
        The table, an Arrow IPC file.
    library
        The compiled :mod:`benchmarks.consume`.
    """

    def __init__(self, engine: str, workload: str, source: Path, library: Path) -> None:
        from benchmarks.consume import Consumer
        from benchmarks.engines.base import INSTALLATIONS
        from benchmarks.workloads import WORKLOADS, read_source

        self._engine = INSTALLATIONS[engine].load()
        self._workload = WORKLOADS[workload]
        self._consumer = Consumer(library)
        self._source = read_source(source)

    def describe(self) -> dict[str, Any]:
        """Return the versions of library and file, and the rows of the table."""
        return {
            "version": self._engine.version,
            "file_version": self._engine.file_version,
            "suffix": self._engine.suffix,
            "num_rows": sum(batch.num_rows for batch in self._source),
        }

    def map_source(self) -> None:
        """Touch the table, so that the first write does not pay for the page faults."""
        self._consumer.batches(self._source)

    def load_all(self, scratch: Path) -> None:
        """Write and read a tiny file, so that what the library imports late does not count as memory of the work."""
        import pyarrow as pa

        integers = list(range(100))
        batch = pa.record_batch(
            {
                "integer": integers,
                "text": list(map(str, integers)),
                "list": [integers[:i] for i in integers],
                "struct": [{"double": float(i)} for i in integers],
            }
        )
        self._engine.write(scratch, [batch])
        handle = self._engine.open(scratch)
        self._consumer.batches(self._engine.stream(handle, 10))
        self._consumer.table(self._engine.table(handle, 10))
        self._engine.close(handle)
        scratch.unlink()

    def forget_peak(self) -> None:
        """Let the peak of resident memory start now."""
        from benchmarks.measure import forget_peak

        forget_peak()

    def run(
        self, work: str, path: Path, round_number: int = 0, num_taken: int = 0, once: bool = False
    ) -> dict[str, Any]:
        """Do a piece of work of :mod:`benchmarks.operations`; return its timing."""
        from benchmarks.operations import WORK

        timing = WORK[work](self._job(path, round_number, num_taken, once))
        return {
            "value": timing.seconds,
            "cpu_seconds": timing.cpu_seconds,
            "repetitions": timing.repetitions,
        }

    def check_values(self, path: Path) -> None:
        """Compare rows of a file with the same rows of the table, as Python objects.

        Raises
        ------
        ValueError
            They differ.
        """
        import pyarrow as pa

        job = self._job(path, 0, min(20, sum(batch.num_rows for batch in self._source)))
        (rows, *_) = job.rows(0)
        handle = self._engine.open(path)
        found: pa.Table = self._engine.take(handle, rows)
        self._engine.close(handle)
        expected = pa.concat_tables(
            pa.Table.from_batches([batch]).slice(row, 1) for batch, row in self._places(rows)
        )
        if found.to_pylist() != expected.to_pylist():
            raise ValueError(f"{path.name} does not have the values that were written")

    def _places(self, rows: list[int]) -> list[tuple[pa.RecordBatch, int]]:
        size = self._source[0].num_rows
        return [(self._source[row // size], row % size) for row in rows]

    def _job(self, path: Path, round_number: int, num_taken: int, once: bool = False) -> Job:
        from benchmarks.operations import Job

        return Job(
            self._engine, self._consumer, self._workload, self._source, path, round_number, num_taken, once
        )


REQUESTS = ("describe", "map_source", "load_all", "forget_peak", "run", "check_values")


def serve(make: Callable[[list[str]], object], names: Sequence[str]) -> None:
    """Answer requests until standard input ends.

    Parameters
    ----------
    make
        Makes the worker, of the arguments of the command line.
    names
        Its methods that may be asked for.
    """
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print; only answers may go to the pipe
    worker = make(sys.argv[1:])
    while (request := receive(requests)) is not None:
        name = request.pop("request")
        try:
            if name not in names:
                raise ValueError(f"no request {name}")
            answer = {"value": getattr(worker, name)(**request)}
        except KeyboardInterrupt:
            raise
        except BaseException:  # a Rust panic is no Exception
            answer = {"error": traceback.format_exc()}
        send(answers, answer)


def _worker(arguments: list[str]) -> Worker:
    engine, workload, source, library = arguments
    return Worker(engine, workload, Path(source), Path(library))


if __name__ == "__main__":
    serve(_worker, REQUESTS)
