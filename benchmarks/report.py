"""The text of a run: ratios to pylance beside what is asked, then the medians of all engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bars import BARS, ENGINE, JUDGE
from benchmarks.datasets.report import datasets_rows, tables_of
from benchmarks.footprint import footprints_table
from benchmarks.operations import OPERATIONS, Quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.samples import Results


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def quantity_text(value: float, quantity: Quantity) -> str:
    """Return seconds, bytes or a number for people."""
    if quantity is Quantity.COUNT:
        return f"{value:.1f}"
    if quantity is not Quantity.SECONDS:
        return f"{value / 1e6:.1f} MB"
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.1f} ms" if value >= 1e-3 else f"{value * 1e6:.0f} us"


def _ratio_cell(results: Results, operation: str, workload: str) -> str:
    ratio = results.ratio(workload, operation, ENGINE, JUDGE)
    if ratio is None:
        return "-"
    asked = BARS.get((operation, workload))
    if asked is None:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} ({asked.bar:g}/{asked.aim:g}) {asked.verdict(ratio):6}"


def ratios_text(results: Results) -> str:
    """Return the ratios of lancelet to pylance, ``ratio (bar/aim) verdict``; operations down, workloads across."""
    workloads = tables_of(results)
    rows = [["", *workloads]]
    for operation in OPERATIONS.values():
        for name, title in operation.rows.items():
            cells = [_ratio_cell(results, name, workload) for workload in workloads]
            if any(cell != "-" for cell in cells):
                rows.append([title, *cells])
    return text_table(rows)


def medians_text(results: Results, workload: str) -> str:
    """Return what each engine took, and by how much that is pylance's; operations down, engines across."""
    engines = results.names("engine")
    rows = [[workload, *engines]]
    for operation in OPERATIONS.values():
        for name, title in operation.rows.items():
            cells = [_median_cell(results, workload, name, engine, operation.quantity) for engine in engines]
            if any(cell != "-" for cell in cells):
                rows.append([title, *cells])
    return text_table(rows)


def _median_cell(results: Results, workload: str, name: str, engine: str, quantity: Quantity) -> str:
    value = results.middle(workload, name, engine)
    if value is None:
        return "-"
    shown = quantity_text(value, quantity)
    ratio = results.ratio(workload, name, engine, JUDGE)
    return shown if ratio is None or engine == JUDGE else f"{shown} {ratio:6.2f}x"


def report_text(results: Results) -> str:
    """Return the whole report."""
    machine = results.machine
    parts = [
        f"{machine['processor']}, {machine['num_cpus']} processors, {machine['system']}, Python {machine['python']}, "
        f"{machine['time']}, scale {results.scale:g}",
        "\n".join(
            f"{name} {versions['version']}, files: {versions['file_version']}"
            for name, versions in results.versions.items()
        ),
    ]
    if tables_of(results) and {ENGINE, JUDGE} <= set(results.names("engine")):
        parts.append(
            f"{ENGINE} : {JUDGE}, medians of the ratios of a round (bar/aim)\n\n{ratios_text(results)}"
        )
    parts += [medians_text(results, workload) for workload in tables_of(results)]
    if datasets := datasets_rows(results, quantity_text):
        parts.append(text_table(datasets))
    if results.footprints:
        parts.append(text_table(footprints_table(results.footprints)))
    if results.problems:
        parts.append("\n".join(results.problems))
    return "\n\n".join(parts)
