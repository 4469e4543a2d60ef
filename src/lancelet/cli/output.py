"""Output of the verbs: tables (with rich on a terminal, plain and aligned elsewhere), JSON, sizes.

In lines and tables, characters that do not print are shown as escapes: a file must not steer a terminal. JSON and CSV are data
for programs and hold the text as it is (JSON escapes the control characters of ASCII).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "MAX_METADATA_CHARACTERS",
    "Heading",
    "bytes_text",
    "clipped",
    "exact_bytes",
    "printable",
    "show_json",
    "show_line",
    "show_table",
    "time_text",
]

#: Values of metadata are cut to this in text.
MAX_METADATA_CHARACTERS = 80

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


@dataclass(frozen=True, slots=True)
class Heading:
    """Name of a column of a table, and whether it holds numbers, which stand on the right."""

    text: str
    right: bool = False


def printable(text: str) -> str:
    """Return `text` with an escape in place of every character that does not print."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def clipped(text: str, max_characters: int) -> str:
    """Return `text`, cut with an ellipsis where it is longer than `max_characters`."""
    return text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"


def bytes_text(num_bytes: int) -> str:
    """Return a size for humans.

    Examples
    --------
    >>> bytes_text(512), bytes_text(7_340_032)
    ('512 bytes', '7.0 MiB')
    """
    size = float(num_bytes)
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{num_bytes} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_UNITS[-1]}"


def exact_bytes(num_bytes: int) -> str:
    """Return a size for humans, and the number of bytes where that is not exact.

    Examples
    --------
    >>> exact_bytes(512), exact_bytes(1_536)
    ('512 bytes', '1,536 bytes (1.5 KiB)')
    """
    text = bytes_text(num_bytes)
    return text if num_bytes < 1024 else f"{num_bytes:,} bytes ({text})"


def time_text(timestamp: str) -> str:
    """Return an ISO timestamp in UTC for humans, to the second.

    Examples
    --------
    >>> time_text("2013-01-31T05:17:00.123456+00:00")
    '2013-01-31 05:17:00 UTC'
    """
    return f"{timestamp[:10]} {timestamp[11:19]} UTC"


def show_line(text: str = "") -> None:
    """Print one line."""
    _stream().write(f"{printable(text).rstrip()}\n")


def show_json(value: Any) -> None:
    """Print `value` as JSON."""
    _stream().write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_table(headings: Sequence[Heading], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; it has a header line also without rows."""
    headings = [Heading(printable(heading.text), heading.right) for heading in headings]
    cells = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and _rich_table(headings, cells):
        return
    widths = [
        max(len(heading.text), *(len(row[i]) for row in cells), 0) for i, heading in enumerate(headings)
    ]
    for row in ([heading.text for heading in headings], *cells):
        aligned = (
            cell.rjust(width) if heading.right else cell.ljust(width)
            for cell, width, heading in zip(row, widths, headings, strict=True)
        )
        _stream().write("  ".join(aligned).rstrip() + "\n")


def _rich_table(headings: Sequence[Heading], cells: Sequence[Sequence[str]]) -> bool:
    """Print with rich; ``False`` where it is not installed."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ModuleNotFoundError:
        return False
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading.text, justify="right" if heading.right else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    Console().print(table)
    return True


def _stream() -> Any:
    """Return the standard output, made unable to fail on characters that the terminal's encoding lacks."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    return sys.stdout
