"""Samples of a run, and what is computed of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    Parameters
    ----------
    workload, operation, engine
        Names.
    round_number
        Samples of one round were taken one after the other; ratios are built within a round.
    value
        Seconds or bytes.
    cpu_seconds
        Processor time of all threads, where time was measured.
    repetitions
        Of how many repetitions `value` is the mean.
    """

    workload: str
    operation: str
    engine: str
    round_number: int
    value: float
    cpu_seconds: float | None = None
    repetitions: int = 1


@dataclass(slots=True)
class Results:
    """All samples of a run, and what went wrong.

    Parameters
    ----------
    machine
        What :func:`benchmarks.machine.describe_machine` says.
    scale
        Share of the tables' rows.
    samples
        In the order in which they were taken.
    problems
        Sentences: an engine that is missing, or failed.
    versions
        Engine -> its version and that of the files it wrote.
    footprints
        Engine -> its import times and installed bytes.
    """

    machine: dict[str, Any]
    scale: float
    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    footprints: dict[str, dict[str, Any]] = field(default_factory=dict)

    def names(self, attribute: str) -> list[str]:
        """Return the different values of an attribute of the samples, in the order of appearance."""
        return list(dict.fromkeys(getattr(sample, attribute) for sample in self.samples))

    def rounds(self, workload: str, operation: str, engine: str) -> dict[int, float]:
        """Return round number -> value."""
        return {
            sample.round_number: sample.value
            for sample in self.samples
            if (sample.workload, sample.operation, sample.engine) == (workload, operation, engine)
        }

    def middle(self, workload: str, operation: str, engine: str) -> float | None:
        """Return the median of the rounds."""
        values = self.rounds(workload, operation, engine).values()
        return median(values) if values else None

    def ratio(self, workload: str, operation: str, engine: str, other: str) -> float | None:
        """Return the median over the rounds of this engine's value by the other's."""
        return self.ratio_of(
            (workload, operation, engine), (workload, operation.removeprefix(f"{other}_"), other)
        )

    def ratio_of(self, mine_of: tuple[str, str, str], theirs_of: tuple[str, str, str]) -> float | None:
        """Return the median over the rounds of one value by another, each given as workload, operation and engine."""
        mine, theirs = self.rounds(*mine_of), self.rounds(*theirs_of)
        ratios = [mine[number] / theirs[number] for number in mine if theirs.get(number)]
        return median(ratios) if ratios else None

    def as_json(self) -> dict[str, Any]:
        """Return all samples, grouped, with their medians."""
        groups: dict[tuple[str, str, str], list[Sample]] = defaultdict(list)
        for sample in self.samples:
            groups[sample.workload, sample.operation, sample.engine].append(sample)
        return {
            "machine": self.machine,
            "scale": self.scale,
            "versions": self.versions,
            "problems": self.problems,
            "footprints": self.footprints,
            "measurements": [
                {
                    "workload": workload,
                    "operation": operation,
                    "engine": engine,
                    "median": median(sample.value for sample in group),
                    "samples": [
                        {
                            name: value
                            for name, value in asdict(sample).items()
                            if name not in ("workload", "operation", "engine")
                        }
                        for sample in group
                    ],
                }
                for (workload, operation, engine), group in groups.items()
            ],
        }

    @classmethod
    def from_json(cls, report: dict[str, Any]) -> Results:
        """Return the results that :meth:`as_json` described."""
        results = cls(
            report["machine"],
            report["scale"],
            [],
            report["problems"],
            report["versions"],
            report["footprints"],
        )
        for group in report["measurements"]:
            names = {name: group[name] for name in ("workload", "operation", "engine")}
            results.samples += [Sample(**names, **sample) for sample in group["samples"]]
        return results
