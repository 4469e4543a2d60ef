"""``lancelet write``: files into a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_columns, add_json, positive
from lancelet.cli.inputs import add_text_options, read_options
from lancelet.cli.output import show_json, show_line
from lancelet.cli.progress import progress_bar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import pyarrow as pa

NAME = "write"
HELP = "files into a dataset: create, append, overwrite"
DESCRIPTION = """\
Write the rows of files, one after the other, into a dataset, as one new version. The formats are known by suffix: .lance,
.parquet .pq, .csv .csv.gz, .tsv .tsv.gz, .arrow .ipc .feather; a folder is a dataset. Rows go through in batches, so that
memory stays small. After an error the dataset is as it was."""
EPILOG = """\
All inputs need the columns of the first one; types are cast where no value changes. Types of CSV are inferred from the
first 8 MiB; appended to a dataset it is read with the types of the dataset's columns. --type names a type.

examples:
  lancelet write flights.parquet flights
  lancelet write january.csv february.csv flights --mode append --null NA
  lancelet write flights.lance flights --mode overwrite --max-rows-per-file 100000 --message "by carrier\""""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="a file, or a dataset, to read")
    parser.add_argument("target", metavar="DATASET", help="the folder of the dataset to write")
    parser.add_argument(
        "--mode",
        choices=("create", "append", "overwrite"),
        default="create",
        help="create: there is none yet; append: add rows; overwrite: a version with these rows (default: create)",
    )
    add_columns(parser, "columns to keep, in this order")
    parser.add_argument(
        "--max-rows-per-file", metavar="N", type=positive, help="rows of a data file (default: 1048576)"
    )
    parser.add_argument(
        "--version",
        metavar="V",
        help="file version: 2.0, 2.1, 2.2 or stable (default: the dataset's, or 2.2)",
    )
    parser.add_argument(
        "--stable-row-ids", action="store_true", help="give rows ids that stay; for a new dataset"
    )
    parser.add_argument("--message", metavar="TEXT", help="what is noted of the version")
    add_text_options(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the dataset."""
    from lancelet.datasets.writing import write_dataset
    from lancelet.interop.inputs import open_inputs
    from lancelet.table.changes.write_files import DEFAULT_ROWS_PER_FILE

    _check_target(arguments.target)
    options = read_options(arguments, known_types=_types_of_target(arguments))
    num_rows = 0
    with (
        open_inputs(arguments.inputs, options) as rows,
        progress_bar(arguments.target) as bar,
    ):

        def progress(done: int, _: int | None) -> None:
            nonlocal num_rows
            num_rows = done
            if bar is not None:
                bar(done, rows.num_rows)

        dataset = write_dataset(
            rows.batches,
            arguments.target,
            rows.schema,
            arguments.mode,
            max_rows_per_file=arguments.max_rows_per_file or DEFAULT_ROWS_PER_FILE,
            data_storage_version=arguments.version,
            enable_stable_row_ids=arguments.stable_row_ids,
            commit_message=arguments.message,
            progress=progress,
        )
    if arguments.json:
        show_json(
            {
                "path": dataset.uri,
                "version": dataset.version,
                "rows_written": num_rows,
                "num_rows": dataset.num_rows,
                "num_fragments": len(dataset.get_fragments()),
            }
        )
        return
    show_line(f"version {dataset.version}: {num_rows:,} rows written, {dataset.num_rows:,} in the dataset")


def _check_target(target: str) -> None:
    """Check that the last argument can be a dataset, and is not one more input."""
    from pathlib import Path

    from lancelet.errors import OptionError

    if "://" not in target and Path(target).exists() and not Path(target).is_dir():
        raise OptionError(f"{target} is a file; the last argument is the folder of the dataset to write")


def _types_of_target(arguments: argparse.Namespace) -> Mapping[str, pa.DataType]:
    """Return the types that text is read with: those of the dataset that it is appended to."""
    if arguments.mode != "append":
        return {}
    from lancelet.datasets.dataset import dataset

    try:
        schema = dataset(arguments.target).schema
    except FileNotFoundError:  # it will be created
        return {}
    return {field.name: field.type for field in schema}
