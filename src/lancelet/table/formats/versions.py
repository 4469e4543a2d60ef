"""What a version of a dataset holds, in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from datetime import datetime

    from lancelet.table.formats.manifest import Manifest

__all__ = ["DatasetVersion", "summary"]


class DatasetVersion(TypedDict):
    """A version in a list of versions.

    Attributes
    ----------
    version
        Its number.
    timestamp
        When it was made: in UTC, but :meth:`Dataset.versions` gives local times without a zone, as pylance does.
    metadata
        Totals as text, under the names that pylance gives them: ``total_rows``, ``total_fragments``, ``total_data_files``,
        ``total_data_file_rows``, ``total_files_size`` (bytes), ``total_deletion_files``, ``total_deletion_file_rows``.
    """

    version: int
    timestamp: datetime
    metadata: dict[str, str]


def summary(manifest: Manifest) -> DatasetVersion:
    """Count what a version holds. Numbers that old manifests leave out count as 0."""
    fragments = manifest.fragment_messages
    physical = sum(fragment.physical_rows for fragment in fragments)
    deletions = [fragment.deletion_file for fragment in fragments if fragment.HasField("deletion_file")]
    deleted = sum(deletion.num_deleted_rows for deletion in deletions)
    files = [file for fragment in fragments for file in fragment.files]
    totals = {
        "total_data_file_rows": physical,
        "total_data_files": len(files),
        "total_deletion_file_rows": deleted,
        "total_deletion_files": len(deletions),
        "total_files_size": sum(file.file_size_bytes for file in files),
        "total_fragments": len(fragments),
        "total_rows": physical - deleted,
    }
    numbers = {name: str(total) for name, total in totals.items()}
    return DatasetVersion(version=manifest.version, timestamp=manifest.timestamp, metadata=numbers)
