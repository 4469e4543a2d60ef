"""Rounds over the scenarios, as :mod:`benchmarks.run` does them over files."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.bars import ENGINE, JUDGE
from benchmarks.client import EngineDied, EngineError, EngineProcess
from benchmarks.datasets.recipes import RECIPES
from benchmarks.datasets.scenarios import GROUP
from benchmarks.engines.base import INSTALLATIONS
from benchmarks.operations import PRIVATE, RESIDENT
from benchmarks.run import MEMORY_ROUNDS
from benchmarks.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.datasets.scenarios import Scenario
    from benchmarks.samples import Results

MODULE = "benchmarks.datasets.worker"


@dataclass(frozen=True, slots=True)
class DatasetSettings:
    """What is run; see :class:`benchmarks.run.Settings`."""

    scenarios: Sequence[Scenario]
    engines: Sequence[str]
    rounds: int
    scale: float
    directory: Path
    library: Path
    progress: Callable[[str], None]


class DatasetRun:
    """All scenarios, with a process for each engine and scenario.

    Parameters
    ----------
    settings
        What is run.
    results
        Takes the samples.
    """

    def __init__(self, settings: DatasetSettings, results: Results) -> None:
        self._settings = settings
        self._results = results
        self._compacts: set[str] = set()
        self._failed: set[tuple[str, str]] = set()
        self._paths: dict[tuple[str, str], Path] = {}
        self._scratch = Path()

    def run(self) -> None:
        """Make the datasets of one recipe, do the rounds of its scenarios, and remove them."""
        settings = self._settings
        engines = [name for name in settings.engines if self._describe(name)]
        if waiting := [name for name in engines if name not in self._compacts]:
            self._results.problems.append(f"compaction is left out: {', '.join(waiting)} cannot do it yet")
        wanted = [scenario for scenario in settings.scenarios if not (scenario.compacts and waiting)]
        for recipe in dict.fromkeys(scenario.recipe for scenario in wanted):
            scenarios = [scenario for scenario in wanted if scenario.recipe == recipe]
            with TemporaryDirectory(prefix="run-", dir=settings.directory) as scratch:
                self._scratch = Path(scratch)
                if recipe:
                    self._make(recipe, scenarios, engines)
                self._measure_all(scenarios, engines)

    def _process(self, name: str) -> EngineProcess:
        settings = self._settings
        return EngineProcess(INSTALLATIONS[name], MODULE, str(settings.library), str(settings.scale))

    def _describe(self, name: str) -> bool:
        try:
            with self._process(name) as process:
                about = process.ask("describe")
        except EngineError as error:
            self._give_up(name, GROUP, error)
            return False
        if about.pop("compacts"):
            self._compacts.add(name)
        self._results.versions.setdefault(name, about)
        return True

    def _make(self, recipe: str, scenarios: Sequence[Scenario], engines: Sequence[str]) -> None:
        source = RECIPES[recipe].source(self._settings.directory, self._settings.scale)
        for name in engines:
            if name != JUDGE and all(scenario.by_pylance for scenario in scenarios):
                continue
            self._settings.progress(f"{recipe}: {name} writes the dataset")
            path = self._scratch / f"{recipe}-{name}.lance"
            try:
                with self._process(name) as process:
                    process.ask("make", recipe=recipe, path=path, source=source)
            except EngineError as error:
                self._give_up(name, recipe, error)
                continue
            self._paths[recipe, name] = path

    def _measure_all(self, scenarios: Sequence[Scenario], engines: Sequence[str]) -> None:
        with ExitStack() as stack:
            processes: dict[tuple[str, str], EngineProcess] = {}
            for round_number in range(self._settings.rounds):
                for scenario in scenarios:
                    self._settings.progress(f"round {round_number + 1}, {scenario.title}")
                    names = [name for name in engines if self._can(scenario, name)]
                    shift = round_number % max(1, len(names))
                    for name in names[shift:] + names[:shift]:  # each engine is the first one sometimes
                        key = (scenario.name, name)
                        if key not in processes:
                            processes[key] = stack.enter_context(self._process(name))
                        self._try(processes[key], scenario, name, round_number)

    def _can(self, scenario: Scenario, name: str) -> bool:
        there = not scenario.recipe or (scenario.recipe, self._author(scenario, name)) in self._paths
        return name in scenario.engines and there and (scenario.name, name) not in self._failed

    def _author(self, scenario: Scenario, name: str) -> str:
        return JUDGE if scenario.by_pylance else name

    def _try(self, process: EngineProcess, scenario: Scenario, name: str, round_number: int) -> None:
        try:
            self._measure(process, scenario, name, round_number)
        except EngineError as error:
            self._give_up(name, scenario.name, error)
            if isinstance(error, EngineDied) or round_number == 0:
                self._failed.add((scenario.name, name))

    def _measure(self, process: EngineProcess, scenario: Scenario, name: str, round_number: int) -> None:
        work = {
            "work": scenario.work,
            "path": self._paths.get((scenario.recipe, self._author(scenario, name)), self._scratch / "none"),
            "scratch": self._scratch / f"scratch-{name}",
            "option": scenario.option,
        }
        answer = process.ask("run", round_number=round_number, **work)
        found = answer.pop("found")
        self._add(scenario.name, name, round_number, **answer)
        for part, value in found.items():
            self._add(f"{scenario.name}_{part}", name, round_number, value=value)
        self._compare_rows(scenario, round_number)
        if scenario.has_memory and round_number < MEMORY_ROUNDS:
            with self._process(name) as fresh:
                private, resident = fresh.memory_of(**work)
            self._add(f"{scenario.name}_{PRIVATE}", name, round_number, value=private)
            self._add(f"{scenario.name}_{RESIDENT}", name, round_number, value=resident)

    def _compare_rows(self, scenario: Scenario, round_number: int) -> None:
        """Note a problem where the engines do not find the same number of rows."""
        rows = f"{scenario.name}_rows"
        counts = {name: self._results.rounds(GROUP, rows, name).get(round_number) for name in (ENGINE, JUDGE)}
        if None not in counts.values() and len(set(counts.values())) > 1:
            self._results.problems.append(f"{scenario.name}: the engines disagree on the rows: {counts}")

    def _give_up(self, name: str, doing: str, error: EngineError) -> None:
        self._results.problems.append(f"{name}, {doing}: {str(error).strip().splitlines()[-1]}")
        self._settings.progress(str(error))

    def _add(self, operation: str, name: str, round_number: int, **values: Any) -> None:
        self._results.samples.append(Sample(GROUP, operation, name, round_number, **values))
