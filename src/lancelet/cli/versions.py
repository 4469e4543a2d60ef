"""``lancelet versions``: the versions of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.cli.arguments import add_dataset, add_json, positive
from lancelet.cli.output import Heading, bytes_text, clipped, show_json, show_table, time_text
from lancelet.cli.places import open_dataset

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from lancelet.datasets.dataset import Dataset
    from lancelet.table.formats.transaction import Transaction

NAME = "versions"
HELP = "the versions of a dataset"
DESCRIPTION = (
    "List the versions of a dataset, the newest first: when each was made, by what, and what it holds."
)
EPILOG = """\
Bytes are those of the data files that a version names; versions share files.

examples:
  lancelet versions flights
  lancelet versions flights --limit 10 --json"""

_MAX_CHARACTERS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_dataset(parser)
    parser.add_argument("--limit", metavar="N", type=positive, help="only the N newest ones (default: all)")
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the versions."""
    found = list(_versions(open_dataset(arguments), arguments.limit))
    if arguments.json:
        show_json(found)
        return
    right = [
        Heading(text, right=True) for text in ("rows", "fragments", "data files", "deletion files", "bytes")
    ]
    left = [Heading(text) for text in ("operation", "tags", "message")]
    show_table([Heading("version", right=True), Heading("time"), *right, *left], map(_row, found))


def _versions(dataset: Dataset, limit: int | None) -> Iterator[dict[str, Any]]:
    from lancelet.datasets.writing import COMMIT_MESSAGE
    from lancelet.errors import LanceletError
    from lancelet.table.commits.commit import transaction_of
    from lancelet.table.formats.manifest import list_versions, read_manifest
    from lancelet.table.formats.versions import summary

    tags: dict[int, list[str]] = {}
    for name, tag in dataset.tags.list().items():
        if tag.branch is None:
            tags.setdefault(tag.version, []).append(name)
    for number, path in list_versions(dataset.store)[::-1][:limit]:
        manifest = read_manifest(dataset.store, path)
        totals = summary(manifest)["metadata"]
        try:
            transaction = transaction_of(dataset.store, manifest)
        except LanceletError:  # says nothing of the version itself
            transaction = None
        yield {
            "version": number,
            "timestamp": manifest.timestamp.isoformat(),
            "operation": None if transaction is None else _operation(transaction),
            "message": None if transaction is None else transaction.properties.get(COMMIT_MESSAGE),
            "tags": tags.get(number, []),
            **{name: int(total) for name, total in totals.items()},
        }


def _operation(transaction: Transaction) -> str:
    from lancelet.table.formats.operations import Unknown

    operation = transaction.operation
    return operation.name if isinstance(operation, Unknown) else type(operation).__name__


def _row(version: dict[str, Any]) -> list[str]:
    numbers = (
        version[name]
        for name in ("total_rows", "total_fragments", "total_data_files", "total_deletion_files")
    )
    return [
        str(version["version"]),
        time_text(version["timestamp"]),
        *(f"{number:,}" for number in numbers),
        bytes_text(version["total_files_size"]),
        version["operation"] or "unknown",
        ", ".join(version["tags"]),
        clipped(version["message"] or "", _MAX_CHARACTERS),
    ]
