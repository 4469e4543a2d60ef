"""``lancelet cleanup``: remove old versions of a dataset."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_dataset, add_json, positive
from lancelet.cli.output import Heading, show_json, show_line, show_table
from lancelet.cli.places import open_dataset
from lancelet.cli.progress import progress_bar

if TYPE_CHECKING:
    from lancelet.table.changes.cleanup import CleanupPlan, CleanupStats

NAME = "cleanup"
HELP = "remove old versions of a dataset (asks for --yes)"
DESCRIPTION = """\
Remove old versions of a dataset, and the files that no other version needs. Without --yes nothing is removed: the files
that would go are listed. The latest version, versions with tags, and what they need always stay."""
EPILOG = """\
Versions go that both --older-than and --retain name. Without either, versions older than 14 days go; with --retain
alone, versions of any age.

Files that no version names may belong to a writer that is at work, so they stay until they are 7 days old.
--delete-unverified removes them at once: only while nobody writes to the dataset.

examples:
  lancelet cleanup flights
  lancelet cleanup flights --older-than 36h --retain 5 --yes
  lancelet cleanup flights --retain 1 --json"""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_dataset(parser)
    parser.add_argument(
        "--yes",
        "--delete",
        action="store_true",
        dest="yes",
        help="remove the files (default: only list them)",
    )
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=_age,
        help="remove versions at least so old: a number and s, m, h, d or w, for example 14d",
    )
    parser.add_argument(
        "--retain", metavar="N", type=positive, help="keep the N newest versions, whatever their age"
    )
    parser.add_argument(
        "--delete-unverified",
        action="store_true",
        help="remove young files too that no version names; dangerous while somebody writes",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Plan, and with ``--yes`` clean up; returns the exit code."""
    from lancelet.table.changes.cleanup import clean_up

    dataset = open_dataset(arguments)
    if arguments.delete_unverified and sys.stderr is not None:
        sys.stderr.write(
            "lancelet: warning: --delete-unverified also removes files of writers that have not committed yet; "
            "nobody may write to the dataset now\n"
        )
    plan = dataset.plan_cleanup(
        arguments.older_than,
        arguments.retain,
        delete_unverified=arguments.delete_unverified,
        error_if_tagged_old_versions=False,  # they stay, and that is all
    )
    stats = plan.stats
    if arguments.yes:
        with progress_bar(arguments.path, "files") as progress:
            stats = clean_up(dataset.store, plan, progress=progress)
    if arguments.json:
        show_json(_to_dict(dataset.uri, plan, stats, arguments.yes))
    else:
        _show(plan, stats, arguments.yes)
    return int(bool(stats.failed_deletes))


def _age(text: str) -> timedelta:
    found = _AGE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no age; write a number and s, m, h, d or w, for example 14d"
        )
    try:
        return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text!r} is too long ago") from None


def _show(plan: CleanupPlan, stats: CleanupStats, is_done: bool) -> None:
    infos = (*plan.files, *plan.manifests)
    if infos and not is_done:
        show_table(
            [Heading("bytes", right=True), Heading("file")],
            [(f"{info.size:,}", info.path) for info in infos],
        )
    for path in stats.failed_deletes:
        show_line(f"cannot be removed: {path}")
    if is_done:
        show_line(f"removed: {stats}")
    elif infos:
        show_line(f"would be removed with --yes: {stats}")
    else:
        show_line("there is nothing to remove")


def _to_dict(path: str, plan: CleanupPlan, stats: CleanupStats, is_done: bool) -> dict[str, object]:
    return {
        "path": path,
        "removed": is_done,
        "versions": list(plan.versions),
        "files": [{"path": info.path, "bytes": info.size} for info in (*plan.files, *plan.manifests)],
        **asdict(stats),
    }
