"""``lancelet cat``: rows as CSV or JSON lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_columns, add_file, row_range

if TYPE_CHECKING:
    import argparse

    from lancelet.file.result import ReadResult

NAME = "cat"
HELP = "rows as CSV or JSON lines"
DESCRIPTION = "Print rows as CSV or JSON lines, batch by batch, in bounded memory."
EPILOG = """\
How values are printed:
  null              csv: nothing (empty text is "")        jsonl: null
  NaN, infinity     csv: nan, inf, -inf                    jsonl: "NaN", "Infinity", "-Infinity"
  decimal           csv: 1.20                              jsonl: "1.20"
  timestamp         csv: 2013-01-01 05:17:00               jsonl: "2013-01-01T05:17:00"
    with a zone     in UTC, with a Z at the end
  duration          number of its unit
  binary            csv: hexadecimal                       jsonl: base64
  lists, structs    csv: their JSON, quoted                jsonl: [1, null], {"x": 1}
  maps              csv: their JSON, quoted                jsonl: [{"key": "a", "value": 1}]

examples:
  lancelet cat flights.lance --format csv > flights.csv
  lancelet cat flights.lance --rows 1000:1010 --columns carrier,flight"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_file(parser)
    parser.add_argument("--format", choices=("csv", "jsonl"), default="jsonl", help="(default: jsonl)")
    add_columns(parser, "columns to print, in this order")
    parser.add_argument(
        "--rows",
        metavar="START:STOP",
        type=row_range,
        default=(0, None),
        help="rows from START up to, not including, STOP, counted from 0; either may be left out (default: all)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the rows."""
    from lancelet.file.reader import FileReader

    with FileReader(arguments.file, arguments.columns) as reader:
        first, last = arguments.rows
        stop = reader.num_rows if last is None else min(last, reader.num_rows)
        start = min(first, stop)
        result = reader.read_range(start, stop - start)
        if arguments.format == "csv":
            _print_csv(result)
        else:
            _print_json_lines(result)


def _print_json_lines(result: ReadResult) -> None:
    from lancelet.interop.text import json_lines

    for batch in result.to_batches():
        sys.stdout.buffer.write(json_lines(batch))


def _print_csv(result: ReadResult) -> None:
    from lancelet.interop.base import SinkFile
    from lancelet.interop.delimited import DelimitedBatchWriter
    from lancelet.storage import open_sink

    with open_sink(sys.stdout.buffer) as sink:
        writer = DelimitedBatchWriter(SinkFile(sink), result.schema)
        for batch in result.to_batches():
            writer.write(batch)
        writer.finish()
        sink.commit()
