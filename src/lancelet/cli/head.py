"""``lancelet head``: the first rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_columns, add_file, add_json, positive
from lancelet.cli.output import Heading, clipped, show_line, show_table

if TYPE_CHECKING:
    import argparse

    import pyarrow as pa

NAME = "head"
HELP = "the first rows as a table"
DESCRIPTION = "Show the first rows of a file as a table."
EPILOG = """\
Nulls are shown as null, binary values in hexadecimal; values of more than 40 characters are cut. "lancelet cat" prints
values in full.

examples:
  lancelet head flights.lance
  lancelet head flights.lance -n 3 --columns carrier,flight --json"""

_MAX_CHARACTERS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_file(parser)
    parser.add_argument(
        "-n", "--rows", metavar="N", type=positive, default=10, help="rows to show (default: 10)"
    )
    add_columns(parser, "columns to show, in this order")
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the rows."""
    from lancelet.file.reader import FileReader

    with FileReader(arguments.file, arguments.columns) as reader:
        table = reader.read_range(0, min(arguments.rows, reader.num_rows)).to_table()
        num_rows = reader.num_rows
    if arguments.json:
        _show_json(table)
        return
    _show(table)
    if num_rows > table.num_rows:
        show_line(f"{table.num_rows:,} of {num_rows:,} rows")


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
