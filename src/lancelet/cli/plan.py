"""``lancelet plan``: which bytes a read fetches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_columns, add_file, add_json, rows
from lancelet.cli.output import Heading, show_json, show_line, show_table
from lancelet.cli.places import check_no_dataset

if TYPE_CHECKING:
    import argparse

    from lancelet.file.plan import ReadPlan

NAME = "plan"
HELP = "which bytes a read fetches"
DESCRIPTION = """\
Show what a read of some rows and columns fetches: the pages that hold the rows, their bytes, and the requests that these
become. Only metadata and the heads of pages are read."""
EPILOG = """\
"wanted" are rows of the page, counted from its first one. Ranges of bytes with small gaps between them are one request
where reads cost something, as in files that are not mapped into memory; --no-mmap shows that.

examples:
  lancelet plan flights.lance --columns carrier,flight --rows 5,100
  lancelet plan flights.lance --rows 1000:2000 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_file(parser)
    add_columns(parser, "columns to read, in this order")
    parser.add_argument(
        "--rows",
        metavar="ROWS",
        type=rows,
        default=(0, None),
        help="single rows like 5,100, or rows from START up to, not including, STOP like 100:200 (default: all)",
    )
    parser.add_argument("--no-mmap", action="store_true", help="plan as if the file were not mapped")
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the plan."""
    check_no_dataset(arguments.file)
    from lancelet.file.reader import FileReader

    with FileReader(arguments.file, arguments.columns, mmap=not arguments.no_mmap) as reader:
        if isinstance(arguments.rows, list):
            plan = reader.plan(arguments.rows)
        else:
            first, last = arguments.rows
            stop = reader.num_rows if last is None else min(last, reader.num_rows)
            start = min(first, stop)
            plan = reader.plan(start=start, num_rows=stop - start)
    if arguments.json:
        show_json(_to_dict(plan))
    else:
        _show(plan)


def _show(plan: ReadPlan) -> None:
    from lancelet.file.plan import request_lines, shown_rows

    left = [Heading("column"), Heading("page", right=True), Heading("layout")]
    right = [Heading("rows", right=True), Heading("wanted"), Heading("bytes", right=True)]
    rows = [
        [
            column.name,
            str(page.page),
            page.layout,
            f"{page.num_rows:,}",
            shown_rows(page.rows),
            f"{page.num_bytes:,}",
        ]
        for column in plan.columns
        for page in column.pages
    ]
    show_table([*left, *right], rows)
    for line in request_lines(plan):
        show_line(line)


def _to_dict(plan: ReadPlan) -> dict[str, object]:
    return {
        "num_rows": plan.num_rows,
        "num_bytes": plan.num_bytes,
        "gap_bytes": plan.gap_bytes,
        "is_complete": plan.is_complete,
        "columns": [
            {
                "column": column.column,
                "name": column.name,
                "pages": [
                    {
                        "page": page.page,
                        "layout": page.layout,
                        "num_rows": page.num_rows,
                        "rows": [list(pair) for pair in page.rows],
                        "ranges": [range_._asdict() for range_ in page.ranges],
                    }
                    for page in column.pages
                ],
            }
            for column in plan.columns
        ],
        "requests": [request._asdict() for request in plan.requests],
    }
