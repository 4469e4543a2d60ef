"""``lancelet compact``: join small fragments of a dataset, and remove deleted rows."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from lancelet.cli.arguments import add_dataset, add_json, num_bytes, positive
from lancelet.cli.output import Heading, exact_bytes, show_json, show_line, show_table
from lancelet.cli.places import open_dataset
from lancelet.cli.progress import progress_bar
from lancelet.compact.options import MODES

if TYPE_CHECKING:
    from lancelet.compact.plan import CompactionPlan
    from lancelet.compact.run import CompactionMetrics
    from lancelet.datasets.dataset import Dataset

NAME = "compact"
HELP = "join small fragments of a dataset, remove deleted rows"
DESCRIPTION = """\
Join small fragments of a dataset, and write those anew that have many deleted rows. The result is a new version with the
same rows; old versions stay until they are cleaned up. After an error, or interrupted, the dataset is as it was.
With --dry-run nothing is written: what would be done is listed, and why."""
EPILOG = """\
Modes:
  hybrid             copy bytes where that is safe, but join small pages to full ones (default)
  try_binary_copy    copy bytes where that is safe, pages as they are; else re-encode
  force_binary_copy  copy bytes, or end with the reason why that cannot be
  reencode           decode and encode all

Sizes are numbers with or without a unit: 1GB is 1,000,000,000 bytes, 1GiB is 1,073,741,824. Options that are not given
have the values of the dataset's config (lance.compaction.*), if it has some.

Rows that are moved come behind those that are not. An index that would not be true any more is an error, unless
--drop-indices lets it go.

examples:
  lancelet compact flights --dry-run
  lancelet compact flights --target-rows 1000000
  lancelet compact flights --target-bytes 1GB --mode try_binary_copy
  lancelet compact flights --storage-version 2.2 --drop-indices --json"""

#: Options that have a place of their own among the arguments: name of the argument -> name of the option.
_OPTIONS = {
    "target_rows": "target_rows_per_fragment",
    "target_bytes": "target_bytes_per_file",
    "max_rows_per_file": "max_rows_per_file",
    "max_bytes_per_file": "max_bytes_per_file",
    "mode": "compaction_mode",
    "materialize_deletions": "materialize_deletions",
    "deletion_threshold": "materialize_deletions_threshold",
    "storage_version": "data_storage_version",
    "memory_limit": "memory_limit",
    "threads": "num_threads",
    "drop_indices": "drop_indices",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_dataset(parser)
    parser.add_argument("--dry-run", action="store_true", help="only list what would be done, and why")
    parser.add_argument(
        "--target-rows",
        metavar="N",
        type=positive,
        help="rows that a fragment should have (default: 1048576)",
    )
    parser.add_argument(
        "--target-bytes",
        metavar="SIZE",
        type=num_bytes,
        help="size from which on a fragment is full (default: none)",
    )
    parser.add_argument(
        "--max-rows-per-file", metavar="N", type=positive, help="most rows of a new file (default: no limit)"
    )
    parser.add_argument(
        "--max-bytes-per-file", metavar="SIZE", type=num_bytes, help="largest new file (default: no limit)"
    )
    parser.add_argument("--mode", choices=MODES, help="how rows are moved, see below (default: hybrid)")
    parser.add_argument(
        "--no-materialize-deletions",
        action="store_false",
        default=None,
        dest="materialize_deletions",
        help="do not write fragments anew only because they have deleted rows",
    )
    parser.add_argument(
        "--deletion-threshold",
        metavar="PART",
        type=_part,
        help="part of deleted rows above which a fragment is written anew (default: 0.1)",
    )
    parser.add_argument(
        "--storage-version", metavar="V", help="file version of what is written (default: the dataset's)"
    )
    parser.add_argument(
        "--memory-limit",
        metavar="SIZE",
        type=num_bytes,
        help="memory for decoding and encoding (default: 256MiB)",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=positive,
        help="most tasks at the same time (default: by processors and memory)",
    )
    parser.add_argument(
        "--drop-indices", action="store_true", default=None, help="remove the indices that do not survive"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Plan; without ``--dry-run`` compact too."""
    dataset = open_dataset(arguments)
    given = {option: getattr(arguments, name) for name, option in _OPTIONS.items()}
    options = {name: value for name, value in given.items() if value is not None}
    if arguments.dry_run:
        _show_plan(dataset, dataset.optimize.plan(**options), arguments)
        return
    version = dataset.version
    with progress_bar(arguments.path) as progress:
        metrics = dataset.optimize.compact_files(progress=progress, **options)
    if arguments.json:
        show_json({"path": dataset.uri, "version": dataset.version, **metrics.to_dict()})
    elif dataset.version == version:
        show_line(f"version {version}: nothing to compact")
    else:
        _show_metrics(dataset.version, metrics)


def _part(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number; write a part of 1, for example 0.1"
        ) from None


def _show_plan(dataset: Dataset, plan: CompactionPlan, arguments: argparse.Namespace) -> None:
    from lancelet.compact.commit import blocking_indices

    touched = [fragment.id for task in plan.tasks for fragment in task.fragments]
    indices = (
        [index.name for index in blocking_indices(dataset.manifest, touched, drop_indices=True)]
        if touched
        else []
    )
    if arguments.json:
        show_json(_to_dict(dataset, plan, indices))
        return
    for line in str(plan).splitlines():
        show_line(line)
    for name in indices:
        what = "goes" if plan.options.drop_indices else "is in the way; --drop-indices lets it go"
        show_line(f"index {name!r} would not be true any more: it {what}")


def _to_dict(dataset: Dataset, plan: CompactionPlan, indices: list[str]) -> dict[str, Any]:
    return {
        "path": dataset.uri,
        "version": plan.read_version,
        "options": json.loads(plan.options.to_json()),
        "indices": indices,
        "tasks": [
            {
                "task": task.number,
                "fragments": [fragment.id for fragment in task.fragments],
                "become": task.num_outputs,
                "rows": task.num_rows,
                "bytes": task.num_bytes,
                "pages": task.num_pages,
                "mode": task.mode,
                "reasons": list(task.reasons),
                "storage_version": task.storage_version,
            }
            for task in plan.tasks
        ],
    }


def _show_metrics(version: int, metrics: CompactionMetrics) -> None:
    show_line(f"version {version}: {metrics.rows:,} rows moved in {metrics.seconds:.2f} seconds")
    show_line(f"fragments: {metrics.fragments_removed:,} became {metrics.fragments_added:,}")
    show_line(f"files: {metrics.files_removed:,} became {metrics.files_added:,}")
    show_line(f"data: {exact_bytes(metrics.bytes_in)} became {exact_bytes(metrics.bytes_out)}")
    show_table(
        [Heading("column"), Heading("pages before", right=True), Heading("pages after", right=True)],
        [(pages.path, f"{pages.before:,}", f"{pages.after:,}") for pages in metrics.pages],
    )
