"""The ratios of a run as a drawing (SVG) that is read on light and on dark pages."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from benchmarks.bars import BARS, ENGINE, JUDGE
from benchmarks.datasets.report import measured_rows, row_ratio, tables_of
from benchmarks.operations import OPERATIONS

if TYPE_CHECKING:
    from benchmarks.bars import Bar
    from benchmarks.samples import Results

LABEL_WIDTH = 250
PLOT_WIDTH = 100
PANEL_WIDTH = 140  # the plot, and right of it the number
PANEL_GAP = 8
ROW_HEIGHT = 24
BAR_HEIGHT = 8
HEAD_HEIGHT = 76
FOOT_HEIGHT = 34
DATASETS_LABEL_WIDTH = 480
DATASETS_HEAD_HEIGHT = 40
SMALLEST, LARGEST = 0.03, 30.0  # ends of the logarithmic scale; what is beyond is drawn at the end

STYLE = """
svg { font: 12px system-ui, sans-serif; }
text { fill: #24292f; }
.quiet { fill: #656d76; }
.frame { fill: #f6f8fa; }
.even { stroke: #656d76; }
.faster { fill: #2da44e; }
.slower { fill: #cf222e; }
.asked { stroke: #24292f; stroke-width: 2; }
.other { fill: none; stroke: #0969da; stroke-width: 1.5; }
.another { fill: none; stroke: #9a6700; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .quiet { fill: #8d96a0; }
  .frame { fill: #161b22; }
  .even { stroke: #8d96a0; }
  .faster { fill: #3fb950; }
  .slower { fill: #f85149; }
  .asked { stroke: #e6edf3; }
  .other { stroke: #4493f8; }
  .another { stroke: #d29922; }
}
"""
OTHERS = {"parquet": "other", "vortex": "another"}


def _place(ratio: float) -> float:
    """Return the distance of a ratio from the left of its panel."""
    share = math.log(max(ratio, SMALLEST) / SMALLEST) / math.log(LARGEST / SMALLEST)
    return PLOT_WIDTH * min(1.0, max(0.0, share))


def _mark(engine: str, x: float, y: float) -> str:
    """Return a circle for one of the other formats, a diamond for the second."""
    style = OTHERS[engine]
    if style == "other":
        return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
    return f'<path class="{style}" d="M{x:.1f} {y - 4:.1f}l4 4l-4 4l-4 -4z"/>'


def _number(ratio: float) -> str:
    """Return a ratio with two digits that count."""
    return f"{ratio:.2f}" if ratio < 1 else f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def _cell(results: Results, operation: str, workload: str, left: float, top: float) -> list[str]:
    """Draw lancelet's ratio, and the other formats as marks below it."""
    even = left + _place(1.0)
    parts = [f'<line class="even" x1="{even:.1f}" x2="{even:.1f}" y1="{top}" y2="{top + ROW_HEIGHT}"/>']
    parts += _bar(
        results.ratio(workload, operation, ENGINE, JUDGE), BARS.get((operation, workload)), left, top
    )
    for engine in OTHERS:
        other = results.ratio(workload, operation, engine, JUDGE)
        if other is not None:
            parts.append(_mark(engine, left + _place(other), top + 18))
    return parts


def _bar(ratio: float | None, asked: Bar | None, left: float, top: float) -> list[str]:
    """Draw a ratio as a bar from 1, its number, and what is asked as a stroke."""
    parts = []
    bar_top, even = top + 4, left + _place(1.0)
    if ratio is not None:
        end = left + _place(ratio)
        missed = ratio > (asked.bar if asked else 1.0)
        parts.append(
            f'<rect class="{"slower" if missed else "faster"}" x="{min(even, end):.1f}" y="{bar_top}" '
            f'width="{max(1.0, abs(end - even)):.1f}" height="{BAR_HEIGHT}"/>'
            f'<text x="{left + PANEL_WIDTH - 5}" y="{top + 16}" text-anchor="end">{_number(ratio)}</text>'
        )
        if asked is not None:
            x = left + _place(asked.bar)
            ends = f'y1="{bar_top - 3}" y2="{bar_top + BAR_HEIGHT + 3}"'
            parts.append(f'<line class="asked" x1="{x:.1f}" x2="{x:.1f}" {ends}/>')
    return parts


def _datasets(results: Results, top: float) -> list[str]:
    """Draw the scenarios of datasets, one bar each, from `top` on."""
    rows = [(row, ratio) for row in measured_rows(results) if (ratio := row_ratio(results, row)) is not None]
    if not rows:
        return []
    left, head = DATASETS_LABEL_WIDTH, top + DATASETS_HEAD_HEIGHT
    even = left + _place(1.0)
    height = ROW_HEIGHT * len(rows)
    parts = [
        f'<text x="{even:.1f}" y="{head - 8}" text-anchor="middle">datasets</text>'
        f'<rect class="frame" x="{left}" y="{head}" width="{PANEL_WIDTH}" height="{height}"/>'
        f'<line class="even" x1="{even:.1f}" x2="{even:.1f}" y1="{head}" y2="{head + height}"/>'
    ]
    for number, (row, ratio) in enumerate(rows):
        row_top = head + number * ROW_HEIGHT
        parts.append(f'<text x="0" y="{row_top + ROW_HEIGHT / 2 + 4}">{escape(row.title)}</text>')
        parts += _bar(ratio, row.bar, left, row_top)
    return parts


def _datasets_height(results: Results) -> int:
    num_rows = sum(row_ratio(results, row) is not None for row in measured_rows(results))
    return DATASETS_HEAD_HEIGHT + ROW_HEIGHT * num_rows if num_rows else 0


def _legend(y: float) -> list[str]:
    parts = [
        f'<text class="quiet" x="0" y="{y}">Ratio to {JUDGE}, logarithmic, less is better; the long line is 1. '
        f"Bar and number: {ENGINE}, red above what is asked (short stroke).</text>"
    ]
    x = LABEL_WIDTH + 4.0 * (PANEL_WIDTH + PANEL_GAP)
    for engine in OTHERS:
        parts.append(_mark(engine, x, y - 4))
        parts.append(f'<text class="quiet" x="{x + 9:.1f}" y="{y}">{engine}</text>')
        x += 80
    return parts


def _measured_rows(results: Results) -> list[tuple[str, str]]:
    """Return name and title of what lancelet and pylance have both done."""
    workloads = tables_of(results)
    return [
        (name, title)
        for operation in OPERATIONS.values()
        for name, title in operation.rows.items()
        if any(results.ratio(workload, name, ENGINE, JUDGE) for workload in workloads)
    ]


def _where(results: Results) -> str:
    machine = results.machine
    day = str(machine["time"])[:10]
    return f"{machine['processor']}, {machine['num_cpus']} processors, {day}, {results.scale:g} of the rows"


def ratios_svg(results: Results) -> str:
    """Return the drawing: operations down, workloads across; below it the scenarios of datasets."""
    workloads = tables_of(results)
    rows = _measured_rows(results)
    width = max(
        LABEL_WIDTH + len(workloads) * (PANEL_WIDTH + PANEL_GAP),
        DATASETS_LABEL_WIDTH + PANEL_WIDTH,
    )
    files_stop = HEAD_HEIGHT + ROW_HEIGHT * len(rows)
    height = files_stop + _datasets_height(results) + FOOT_HEIGHT
    versions = ", ".join(
        f"{name} {about['version']} ({about['file_version']})" for name, about in results.versions.items()
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{ENGINE} beside {JUDGE}: ratios by operation and table</title>",
        f"<style>{STYLE}</style>",
        f'<text x="0" y="18">{escape(versions)}</text>',
        f'<text class="quiet" x="0" y="36">{escape(_where(results))}</text>',
    ]
    for number, workload in enumerate(workloads):
        left = LABEL_WIDTH + number * (PANEL_WIDTH + PANEL_GAP)
        parts.append(
            f'<text x="{left + _place(1.0):.1f}" y="{HEAD_HEIGHT - 8}" text-anchor="middle">{workload}</text>'
            f'<rect class="frame" x="{left}" y="{HEAD_HEIGHT}" width="{PANEL_WIDTH}" height="{ROW_HEIGHT * len(rows)}"/>'
        )
    for row, (name, title) in enumerate(rows):
        top = HEAD_HEIGHT + row * ROW_HEIGHT
        parts.append(f'<text x="0" y="{top + ROW_HEIGHT / 2 + 4}">{escape(title)}</text>')
        for number, workload in enumerate(workloads):
            left = LABEL_WIDTH + number * (PANEL_WIDTH + PANEL_GAP)
            parts += _cell(results, name, workload, left, top)
    parts += _datasets(results, files_stop)
    parts += [*_legend(height - 10), "</svg>"]
    return "\n".join(parts) + "\n"
