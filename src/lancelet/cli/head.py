"""``lancelet head``: the first rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_columns, add_filter, add_json, add_path, positive
from lancelet.cli.output import Heading, clipped, show_line, show_table
from lancelet.cli.places import blob_handling, check_file, is_dataset, open_dataset

if TYPE_CHECKING:
    import argparse

    import pyarrow as pa

NAME = "head"
HELP = "the first rows as a table"
DESCRIPTION = "Show the first rows of a file or a dataset as a table."
EPILOG = """\
Nulls are shown as null, binary values in hexadecimal; values of more than 40 characters are cut. "lancelet cat" prints
values in full.

examples:
  lancelet head flights.lance
  lancelet head flights.lance -n 3 --columns carrier,flight --json
  lancelet head flights --filter "dep_delay > 60 and origin = 'JFK'" --version 3"""

_MAX_CHARACTERS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_path(parser)
    parser.add_argument(
        "-n", "--rows", "--limit", metavar="N", type=positive, default=10, help="rows to show (default: 10)"
    )
    add_columns(parser, "columns to show, in this order")
    add_filter(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the rows."""
    if is_dataset(arguments.path):
        table, rest = _of_dataset(arguments)
    else:
        check_file(arguments)
        table, rest = _of_file(arguments)
    if arguments.json:
        _show_json(table)
        return
    _show(table)
    if rest:
        show_line(rest)


def _of_file(arguments: argparse.Namespace) -> tuple[pa.Table, str]:
    """Return the rows, and what is to be said of the others."""
    from lancelet.file.reader import FileReader

    with FileReader(arguments.path, arguments.columns) as reader:
        table = reader.read_range(0, min(arguments.rows, reader.num_rows)).to_table()
        return table, _rest(table.num_rows, reader.num_rows)


def _of_dataset(arguments: argparse.Namespace) -> tuple[pa.Table, str]:
    dataset = open_dataset(arguments)
    options = {"columns": arguments.columns, "blob_handling": blob_handling(dataset)}
    if arguments.filter is None:
        table = dataset.head(arguments.rows, **options)
        return table, _rest(table.num_rows, dataset.num_rows)
    # How many more there are is not known before all rows are looked at; whether there are more is, by one row more.
    table = dataset.head(arguments.rows + 1, filter=arguments.filter, **options)
    if table.num_rows <= arguments.rows:
        return table, ""
    return table.slice(0, arguments.rows), f"the first {arguments.rows:,} rows that satisfy the filter"


def _rest(shown: int, num_rows: int) -> str:
    return f"{shown:,} of {num_rows:,} rows" if num_rows > shown else ""


def _show_json(table: pa.Table) -> None:
    from lancelet.interop.text import json_lines

    lines = [line for batch in table.to_batches() for line in json_lines(batch).decode().splitlines()]
    show_line("[")
    for number, line in enumerate(lines, 1):
        show_line(f"  {line}{',' if number < len(lines) else ''}")
    show_line("]")


def _show(table: pa.Table) -> None:
    from lancelet.interop.text import screen_text

    headings = [Heading(field.name, right=_is_number(field.type)) for field in table.schema]
    texts = [
        [
            clipped("null" if text is None else text, _MAX_CHARACTERS)
            for chunk in column.chunks
            for text in screen_text(chunk, field)
        ]
        for field, column in zip(table.schema, table.itercolumns(), strict=True)
    ]
    show_table(headings, list(zip(*texts, strict=True)))


def _is_number(type_: pa.DataType) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_))
