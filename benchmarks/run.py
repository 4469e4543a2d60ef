"""Rounds: every operation by every engine, one after the other, so that a change of the machine's load hits all of them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.bars import ENGINE, JUDGE
from benchmarks.client import Client, EngineDied, EngineError
from benchmarks.engines.base import INSTALLATIONS
from benchmarks.operations import PRIVATE, RESIDENT, Quantity
from benchmarks.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.operations import Operation
    from benchmarks.samples import Results
    from benchmarks.workloads import Workload

MEMORY_ROUNDS = 3  # memory varies less than time, and each sample needs a fresh process


@dataclass(frozen=True, slots=True)
class Settings:
    """What is run.

    Parameters
    ----------
    operations
        In the order in which they run.
    engines
        Names of installations.
    rounds
        How often all of it is done.
    scale
        Share of the table's rows.
    directory
        Where tables and files lie.
    library
        The compiled :mod:`benchmarks.consume`.
    progress
        Is told what happens.
    """

    operations: Sequence[Operation]
    engines: Sequence[str]
    rounds: int
    scale: float
    directory: Path
    library: Path
    progress: Callable[[str], None]


class WorkloadRun:
    """One workload, with a process for each engine.

    Parameters
    ----------
    workload, settings
        What is run.
    results
        Takes the samples.
    """

    def __init__(self, workload: Workload, settings: Settings, results: Results) -> None:
        self._workload = workload
        self._settings = settings
        self._results = results
        settings.progress(f"{workload.name}: the table")
        self._source = workload.source(settings.directory, settings.scale)
        self._clients: dict[str, Client] = {}
        self._paths: dict[str, Path] = {}
        self._num_rows = 0

    def run(self) -> None:
        """Start the engines, write a file with each, do the rounds, end the engines and remove the files."""
        with ExitStack() as stack:
            # Of its own for each run: several may share the tables of the work folder.
            scratch = stack.enter_context(TemporaryDirectory(prefix="run-", dir=self._settings.directory))
            for name in self._settings.engines:
                self._start(name, Path(scratch), stack)
            for round_number in range(self._settings.rounds):
                self._round(round_number)

    def _client(self, name: str) -> Client:
        return Client(INSTALLATIONS[name], self._workload.name, self._source, self._settings.library)

    def _start(self, name: str, scratch: Path, stack: ExitStack) -> None:
        try:
            client = stack.enter_context(self._client(name))
            about = client.ask("describe")
            path = scratch / f"{self._workload.name}-{name}{about['suffix']}"
            client.ask("map_source")
            client.ask("run", work="write", path=path)
            self._paths[name] = path
            client.ask("check_values", path=path)
        except EngineError as error:
            self._give_up(name, self._workload.name, error)
            return
        self._clients[name] = client
        self._num_rows = about["num_rows"]
        versions = {"version": about["version"], "file_version": about["file_version"]}
        self._results.versions[name] = versions

    def _give_up(self, name: str, doing: str, error: EngineError) -> None:
        self._results.problems.append(f"{name}, {doing}: {str(error).strip().splitlines()[-1]}")
        self._settings.progress(str(error))

    def _round(self, round_number: int) -> None:
        for operation in self._settings.operations:
            names = list(self._clients)
            if not names or not operation.suits(self._num_rows):
                continue
            self._settings.progress(f"{self._workload.name}: round {round_number + 1}, {operation.title}")
            shift = round_number % len(names)
            for name in names[shift:] + names[:shift]:  # each engine is the first one sometimes
                if operation.by_pylance and (name != ENGINE or JUDGE not in self._clients):
                    continue
                try:
                    self._measure(operation, name, round_number)
                except EngineError as error:
                    self._give_up(name, f"{self._workload.name}, {operation.name}", error)
                    if isinstance(error, EngineDied):
                        self._clients.pop(name, None)

    def _measure(self, operation: Operation, name: str, round_number: int) -> None:
        path = self._paths[JUDGE if operation.by_pylance else name]
        if operation.quantity is Quantity.FILE_BYTES:
            self._add(operation.name, name, round_number, value=path.stat().st_size)
        elif operation.quantity is Quantity.SECONDS:
            work = {"work": operation.work, "path": path, "round_number": round_number}
            if operation.fresh:
                with self._client(name) as fresh:
                    sample = fresh.first_of(**work)
            else:
                sample = self._clients[name].ask("run", num_taken=operation.num_taken, **work)
            self._add(operation.name, name, round_number, **sample)
        elif operation.quantity is Quantity.MEMORY and round_number < MEMORY_ROUNDS:
            with self._client(name) as fresh:
                private, resident = fresh.memory_of(work=operation.work, path=path)
            self._add(f"{operation.work}_{PRIVATE}", name, round_number, value=private)
            self._add(f"{operation.work}_{RESIDENT}", name, round_number, value=resident)

    def _add(self, operation: str, name: str, round_number: int, **values: Any) -> None:
        self._results.samples.append(Sample(self._workload.name, operation, name, round_number, **values))
