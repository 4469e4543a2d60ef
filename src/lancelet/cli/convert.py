"""``lancelet convert``: between Lance, Parquet, CSV and Arrow IPC."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lancelet.cli.arguments import add_columns, positive

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

NAME = "convert"
HELP = "to and from Lance, Parquet, CSV, Arrow IPC"
DESCRIPTION = """\
Convert a file. The formats are known by suffix: .lance, .parquet .pq, .csv .csv.gz, .tsv .tsv.gz, .arrow .ipc .feather.
Rows go through in batches, so that memory stays small. OUT appears when it is complete: after an error nothing is left."""
EPILOG = """\
CSV and TSV need a header line. Types are inferred from the first 8 MiB; --type names one where that goes wrong. A field
is null when it is empty and has no quotes; --null names other texts that mean null.

examples:
  lancelet convert flights.csv flights.lance --null NA --null ""
  lancelet convert flights.lance flights.parquet --columns carrier,flight
  lancelet convert old.lance new.lance --version 2.2
  lancelet convert readings.tsv readings.lance --type id=string --type value=float64 --overwrite"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("source", metavar="IN", help="the file to read")
    parser.add_argument("target", metavar="OUT", help="the file to write")
    add_columns(parser, "columns to keep, in this order")
    parser.add_argument(
        "--version",
        default="stable",
        metavar="V",
        help="version of a Lance file: 2.1, 2.2 or stable (default: stable, 2.2)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists (default: refuse)")
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="rows per batch (default: by format)"
    )
    parser.add_argument(
        "--null", action="append", metavar="TEXT", help='CSV: text that means null; repeatable (default: "")'
    )
    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="NAME=TYPE",
        help="CSV: Arrow type of a column; repeatable",
    )


def run(arguments: argparse.Namespace) -> None:
    """Convert the file."""
    from lancelet.interop.base import ReadOptions
    from lancelet.interop.convert import convert_file

    options = ReadOptions(
        columns=arguments.columns,
        batch_size=arguments.batch_size,
        null_values=("",) if arguments.null is None else arguments.null,
        column_types=dict(map(_column_type, arguments.type)),
    )
    with _progress(arguments.target) as progress:
        convert_file(
            arguments.source,
            arguments.target,
            overwrite=arguments.overwrite,
            version=arguments.version,
            options=options,
            progress=progress,
        )


def _column_type(text: str) -> tuple[str, Any]:
    import pyarrow as pa

    from lancelet.errors import OptionError

    name, equals, alias = text.rpartition("=")
    if not equals or not name:
        raise OptionError(f"--type is {text!r}; write it as NAME=TYPE, for example id=string")
    try:
        return name, pa.type_for_alias(alias)
    except ValueError:
        raise OptionError(
            f"--type names no Arrow type: {alias!r}; examples: string, int64, float64, timestamp[ms]"
        ) from None


@contextmanager
def _progress(target: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """Yield what shows progress on a terminal, and ``None`` elsewhere or without rich."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ModuleNotFoundError:
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(os.path.basename(target), total=None)  # noqa: PTH119 - a whole path leaves no room for the rows
        yield lambda done, total: bar.update(task, completed=done, total=total)
