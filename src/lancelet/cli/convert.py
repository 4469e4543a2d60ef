"""``lancelet convert``: between Lance, Parquet, CSV and Arrow IPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_columns, positive
from lancelet.cli.inputs import add_text_options, read_options
from lancelet.cli.progress import progress_bar

if TYPE_CHECKING:
    import argparse

NAME = "convert"
HELP = "to and from Lance, Parquet, CSV, Arrow IPC"
DESCRIPTION = """\
Convert a file. The formats are known by suffix: .lance, .parquet .pq, .csv .csv.gz, .tsv .tsv.gz, .arrow .ipc .feather.
IN may be the folder of a dataset too; "lancelet write" writes datasets.
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
    parser.add_argument("source", metavar="IN", help="the file, or dataset, to read")
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
    add_text_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Convert the file."""
    from lancelet.interop.convert import convert_file

    options = read_options(arguments, batch_size=arguments.batch_size)
    with progress_bar(arguments.target) as progress:
        convert_file(
            arguments.source,
            arguments.target,
            overwrite=arguments.overwrite,
            version=arguments.version,
            options=options,
            progress=progress,
        )
