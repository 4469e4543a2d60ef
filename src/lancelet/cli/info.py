"""``lancelet info``: a file in a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_file, add_json
from lancelet.cli.output import MAX_METADATA_CHARACTERS, bytes_text, clipped, show_json, show_line

if TYPE_CHECKING:
    import argparse

    from lancelet.anatomy.summary import FileSummary

NAME = "info"
HELP = "version, rows, columns, sizes"
DESCRIPTION = (
    "Show what a file is: version, rows, columns, pages, and where its bytes go. Only metadata is read."
)
EPILOG = """\
examples:
  lancelet info flights.lance
  lancelet info flights.lance --json | jq .num_rows

Long metadata is cut; --json has all of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_file(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the summary."""
    from lancelet.anatomy.summary import summarise

    summary = summarise(arguments.file)
    if arguments.json:
        show_json(_to_dict(summary))
        return
    lines = _lines(summary)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        show_line(f"{name.ljust(width)}  {value}")


def _lines(summary: FileSummary) -> list[tuple[str, str]]:
    buffers = summary.global_buffer_bytes
    lines = [
        ("file", summary.path),
        ("version", summary.version.text),
        ("rows", f"{summary.num_rows:,}"),
        ("columns", f"{summary.num_fields:,} ({summary.num_columns:,} physical)"),
        ("pages", f"{summary.num_pages:,}"),
        ("size", _exact(summary.file_bytes)),
        ("  data", _exact(summary.data_bytes)),
        ("  metadata", _exact(summary.metadata_bytes)),
        ("  padding", _exact(summary.padding_bytes)),
        ("  global buffers", f"{_exact(sum(buffers))} in {len(buffers)}" if buffers else "none"),
    ]
    metadata = [
        (f"  {key}", clipped(value, MAX_METADATA_CHARACTERS))
        for key, value in sorted(summary.schema_metadata.items())
    ]
    return [*lines, ("schema metadata", "" if metadata else "none"), *metadata]


def _exact(num_bytes: int) -> str:
    text = bytes_text(num_bytes)
    return text if num_bytes < 1024 else f"{num_bytes:,} bytes ({text})"


def _to_dict(summary: FileSummary) -> dict[str, object]:
    return {
        "path": summary.path,
        "version": summary.version.text,
        "num_rows": summary.num_rows,
        "num_fields": summary.num_fields,
        "num_columns": summary.num_columns,
        "num_pages": summary.num_pages,
        "file_bytes": summary.file_bytes,
        "data_bytes": summary.data_bytes,
        "metadata_bytes": summary.metadata_bytes,
        "padding_bytes": summary.padding_bytes,
        "global_buffer_bytes": list(summary.global_buffer_bytes),
        "schema_metadata": dict(sorted(summary.schema_metadata.items())),
    }
