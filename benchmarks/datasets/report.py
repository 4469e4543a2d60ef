"""The dataset part of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bars import ENGINE, JUDGE
from benchmarks.datasets.scenarios import GROUP, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.datasets.scenarios import Row
    from benchmarks.operations import Quantity
    from benchmarks.samples import Results


def tables_of(results: Results) -> list[str]:
    """Return the workloads that are tables in files, in the order of appearance."""
    return [name for name in results.names("workload") if name != GROUP]


def row_ratio(results: Results, row: Row) -> float | None:
    """Return the ratio of a row: the median over the rounds."""
    name, engine = row.other
    return results.ratio_of((GROUP, row.name, ENGINE), (GROUP, name, engine))


def measured_rows(results: Results) -> list[Row]:
    """Return the rows that have samples."""
    rows = [row for scenario in SCENARIOS.values() for row in scenario.rows]
    return [row for row in rows if any(results.middle(GROUP, row.name, engine) for engine in (ENGINE, JUDGE))]


def _cells(results: Results, row: Row, text: Callable[[float, Quantity], str]) -> list[str]:
    values = [
        results.middle(GROUP, row.name, ENGINE),
        results.middle(GROUP, *row.other),
    ]
    shown = ["-" if value is None else text(value, row.quantity) for value in values]
    ratio = row_ratio(results, row)
    asked = ""
    if row.bar is not None and ratio is not None:
        asked = f"({row.bar.bar:g}/{row.bar.aim:g}) {row.bar.verdict(ratio):6}"
    elif row.most is not None and values[0] is not None:
        asked = f"(at most {text(row.most, row.quantity)}) {'bar   ' if values[0] <= row.most else 'MISSED'}"
    return [row.title, *shown, "-" if ratio is None else f"{ratio:.2f}", asked]


def datasets_rows(results: Results, text: Callable[[float, Quantity], str]) -> list[list[str]]:
    """Return the table: what lancelet needs, what it is compared with, the ratio, and what is asked of it."""
    rows = [_cells(results, row, text) for row in measured_rows(results)]
    return [[GROUP, ENGINE, "other", "ratio", "(bar/aim)       "], *rows] if rows else []
