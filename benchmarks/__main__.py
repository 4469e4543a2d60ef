"""Command line: which tables, operations and engines, how often, and where the results go."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bars import ENGINE, JUDGE
from benchmarks.consume import build
from benchmarks.datasets.large import LARGE_BYTES, compact_large
from benchmarks.datasets.run import DatasetRun, DatasetSettings
from benchmarks.datasets.scenarios import SCENARIOS
from benchmarks.engines.base import INSTALLATIONS
from benchmarks.footprint import measure_footprints
from benchmarks.machine import describe_machine
from benchmarks.operations import OPERATIONS
from benchmarks.picture import ratios_svg
from benchmarks.report import report_text
from benchmarks.run import Settings, WorkloadRun
from benchmarks.samples import Results
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable


def _names(known: dict[str, object]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = list(known) if text == "all" else text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(known)} and all")
        return [name for name in known if name in names]

    return parse


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)

    def add_choice(name: str, known: dict[str, object], default: str) -> None:
        parser.add_argument(
            f"--{name}",
            type=_names(known),
            default=default,
            help=f"separated by commas: all, {', '.join(known)} (default: %(default)s)",
        )

    add_choice("workloads", dict(WORKLOADS), "all")
    add_choice("operations", dict(OPERATIONS), "all")
    add_choice("engines", dict(INSTALLATIONS), f"{ENGINE},{JUDGE}")
    add_choice("scenarios", dict(SCENARIOS), "all")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--datasets", action="store_true", help="measure datasets only")
    parts.add_argument(
        "--large",
        type=Path,
        metavar="FOLDER",
        help="measure nothing else: compact a dataset of 20 GB by copy, and make it in this folder if it is not there",
    )
    parser.add_argument(
        "--large-bytes", type=float, default=LARGE_BYTES, help="size of that dataset (default: %(default)g)"
    )
    parts.add_argument("--files", action="store_true", help="measure files only")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows (default: %(default)s)")
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(tempfile.gettempdir()) / "lancelet-benchmarks",
        help="work folder, some gigabytes; tables stay there for the next run (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    parser.add_argument("--svg", type=Path, help="draw the ratios into this file")
    parser.add_argument(
        "--imports",
        type=int,
        default=9,
        help="imports of each library; 0: no import times, no installed sizes",
    )
    parser.add_argument(
        "--show", type=Path, metavar="JSON", help="run nothing: report what an earlier run wrote"
    )
    return parser.parse_args(arguments)


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _run(options: argparse.Namespace) -> Results:
    results = Results(describe_machine(), options.scale)
    engines = []
    for name in options.engines:
        if INSTALLATIONS[name].is_there:
            engines.append(name)
        else:
            results.problems.append(f"{name} is not installed: `make bench` does that")
    library = build(options.dir)
    if not options.datasets:
        _run_files(options, engines, library, results)
    if not options.files:
        settings = DatasetSettings(
            scenarios=[SCENARIOS[name] for name in options.scenarios],
            engines=[name for name in engines if name in (ENGINE, JUDGE)],
            rounds=options.rounds,
            scale=options.scale,
            directory=options.dir,
            library=library,
            progress=_progress,
        )
        DatasetRun(settings, results).run()
    _write(results, options)
    return results


def _run_files(options: argparse.Namespace, engines: list[str], library: Path, results: Results) -> None:
    settings = Settings(
        operations=[OPERATIONS[name] for name in options.operations],
        engines=engines,
        rounds=options.rounds,
        scale=options.scale,
        directory=options.dir,
        library=library,
        progress=_progress,
    )
    if options.imports:
        _progress("imports")
        results.footprints = measure_footprints(engines, options.imports, results.problems)
    for name in options.workloads:
        WorkloadRun(WORKLOADS[name], settings, results).run()
        _write(results, options)  # an interrupted run keeps what it has


def _write(results: Results, options: argparse.Namespace) -> None:
    for path in filter(None, (options.json, options.svg)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if options.json and not options.show:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    if options.svg:
        options.svg.write_text(ratios_svg(results))


def main(arguments: list[str] | None = None) -> int:
    """Run and report."""
    options = parse_arguments(arguments)
    if options.large:
        print(compact_large(options.large, int(options.large_bytes), build(options.dir), _progress))
        return 0
    if options.show:
        results = Results.from_json(json.loads(options.show.read_text()))
        _write(results, options)
    else:
        results = _run(options)
    print(report_text(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
