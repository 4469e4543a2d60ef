"""What compactions did, in figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lancelet.compact.pages import ColumnPages, joined_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.compact.task import RewriteResult

__all__ = ["CompactionMetrics"]


@dataclass(frozen=True, slots=True)
class CompactionMetrics:
    """What a compaction did.

    Attributes
    ----------
    fragments_removed, fragments_added
        Fragments.
    files_removed, files_added
        Data files and deletion files that the new version does not name any more, and data files that it names instead.
    bytes_in, bytes_out
        Sizes of the data files.
    rows
        Rows that were moved.
    pages
        Pages by column.
    seconds
        How long it took.
    """

    fragments_removed: int = 0
    fragments_added: int = 0
    files_removed: int = 0
    files_added: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    rows: int = 0
    pages: tuple[ColumnPages, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(cls, results: Sequence[RewriteResult], seconds: float) -> CompactionMetrics:
        """Sum up results."""
        old = [fragment for result in results for fragment in result.old_fragments]
        new = [fragment for result in results for fragment in result.new_fragments]
        return cls(
            len(old),
            len(new),
            sum(len(fragment.files) + (fragment.deletion_file is not None) for fragment in old),
            sum(len(fragment.files) for fragment in new),
            sum(result.bytes_in for result in results),
            sum(result.bytes_out for result in results),
            sum(result.num_rows for result in results),
            joined_counts(result.pages for result in results),
            seconds,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain Python."""
        return asdict(self)
