"""``lancelet cat``: rows as CSV or JSON lines."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

from lancelet.cli.arguments import add_columns, add_filter, add_path, positive, row_range
from lancelet.cli.places import blob_handling, check_file, is_dataset, open_dataset

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import pyarrow as pa

    Batches = Iterator[pa.RecordBatch]

NAME = "cat"
HELP = "rows as CSV or JSON lines"
DESCRIPTION = "Print rows of a file or a dataset as CSV or JSON lines, batch by batch, in bounded memory."
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
  lancelet cat flights.lance --rows 1000:1010 --columns carrier,flight
  lancelet cat flights --filter "carrier in ('AA', 'UA') and arr_delay is null" --limit 5"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_path(parser)
    parser.add_argument("--format", choices=("csv", "jsonl"), default="jsonl", help="(default: jsonl)")
    add_columns(parser, "columns to print, in this order")
    parser.add_argument(
        "--rows",
        metavar="START:STOP",
        type=row_range,
        default=(0, None),
        help="rows from START up to, not including, STOP, counted from 0 among those that satisfy the filter; "
        "either may be left out (default: all)",
    )
    parser.add_argument("--limit", metavar="N", type=positive, help="at most N rows (default: all)")
    add_filter(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the rows."""
    start, stop = arguments.rows
    limit = arguments.limit
    if stop is not None:
        wanted = max(stop - start, 0)
        limit = wanted if limit is None else min(limit, wanted)
    if is_dataset(arguments.path):
        _print_dataset(arguments, start, limit)
    else:
        check_file(arguments)
        _print_file(arguments, start, limit)


def _print_file(arguments: argparse.Namespace, start: int, limit: int | None) -> None:
    from lancelet.file.reader import FileReader

    with FileReader(arguments.path, arguments.columns) as reader:
        start = min(start, reader.num_rows)
        rest = reader.num_rows - start
        result = reader.read_range(start, rest if limit is None else min(limit, rest))
        _print(result.schema, result.to_batches(), arguments.format)


def _print_dataset(arguments: argparse.Namespace, start: int, limit: int | None) -> None:
    dataset = open_dataset(arguments)
    scanner = dataset.scanner(
        columns=arguments.columns,
        filter=arguments.filter,
        offset=start,
        limit=limit,
        blob_handling=blob_handling(dataset),
    )
    _print(scanner.schema, scanner.to_batches(), arguments.format)


def _print(schema: pa.Schema, batches: Batches, format_: str) -> None:
    if format_ == "csv":
        _print_csv(schema, batches)
    else:
        _print_json_lines(batches)


def _print_json_lines(batches: Batches) -> None:
    from lancelet.interop.text import json_lines

    for batch in batches:
        sys.stdout.buffer.write(json_lines(batch))


def _print_csv(schema: pa.Schema, batches: Batches) -> None:
    from lancelet.interop.delimited import DelimitedBatchWriter

    writer = DelimitedBatchWriter(_Output(), schema)
    for batch in batches:
        writer.write(batch)
    writer.finish()


class _Output(io.RawIOBase):
    """The standard output, as a file that pyarrow may close."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return sys.stdout.buffer.write(data)
