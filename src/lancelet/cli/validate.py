"""``lancelet validate``: whether a dataset is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_dataset, add_json, add_version
from lancelet.cli.output import show_json, show_line
from lancelet.cli.places import open_dataset
from lancelet.cli.progress import progress_bar

if TYPE_CHECKING:
    import argparse

NAME = "validate"
HELP = "whether a dataset is whole"
DESCRIPTION = """\
Check that everything that a version of a dataset names is there and fits together: data files and their rows, deletion
files, row ids, indices. With --data, all rows are decoded too. Every problem is printed; the exit code is 1 if there is one."""
EPILOG = """\
examples:
  lancelet validate flights
  lancelet validate flights --version 3 --data
  lancelet validate flights --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_dataset(parser)
    add_version(parser)
    parser.add_argument("--data", action="store_true", help="decode all rows too (default: metadata only)")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the problems; returns the exit code."""
    from lancelet.table.changes.validate import find_problems

    dataset = open_dataset(arguments)
    with progress_bar(arguments.path, "fragments") as progress:
        problems = list(
            find_problems(dataset.snapshot, dataset.manifest, read_data=arguments.data, progress=progress)
        )
    if arguments.json:
        show_json(
            {
                "path": dataset.uri,
                "version": dataset.version,
                "data": arguments.data,
                "problems": [{"kind": type(found).__name__, "message": str(found)} for found in problems],
            }
        )
        return int(bool(problems))
    for found in problems:
        show_line(f"problem: {found}")
    number = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}" if problems else "no problems"
    show_line(f"version {dataset.version}: {number}")
    return int(bool(problems))
