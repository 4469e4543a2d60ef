"""A task of a compaction: some fragments become others with the same rows. Nothing is visible before the commit.

Whoever has the store can do a task: a thread, another process, another machine. A task that fails removes what it wrote.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.compact.merge_pages import merge_pages
from lancelet.compact.pages import ColumnPages, both_counts, count_pages
from lancelet.compact.reencode import reencode
from lancelet.errors import FormatError, OptionError
from lancelet.table.deletions import read_deletions
from lancelet.table.manifest import manifest_of
from lancelet.table.metadata import FragmentMetadata
from lancelet.table.rowids import RowIds, Versions, read_row_ids, read_versions
from lancelet.table.snapshot import Snapshot
from lancelet.table.write_files import DEFAULT_BYTES_PER_FILE, FileLimits, remove_files
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from lancelet.compact.options import CompactionOptions
    from lancelet.compact.plan import CompactionTask
    from lancelet.storage import Store
    from lancelet.table.manifest import Manifest

    Progress = Callable[[int], None] | None

__all__ = ["RewriteResult", "execute_task", "file_limits"]


@dataclass(frozen=True, slots=True)
class RewriteResult:
    """What a task has made, for the commit. It pickles, and has a form in JSON.

    Attributes
    ----------
    read_version
        The version of the dataset that was read.
    old_fragments
        What is replaced, as it was read.
    new_fragments
        What replaces it, in the order of the rows; ids are 0. Without any, all rows are deleted.
    mode
        ``"copy"``, ``"hybrid"`` or ``"reencode"``.
    files
        Paths of all files that were written.
    bytes_in, bytes_out
        Sizes of the data files.
    num_rows
        Rows of the result.
    pages
        Pages by column.
    seconds
        How long it took.
    """

    read_version: int
    old_fragments: tuple[FragmentMetadata, ...]
    new_fragments: tuple[FragmentMetadata, ...]
    mode: str
    files: tuple[str, ...]
    bytes_in: int
    bytes_out: int
    num_rows: int
    pages: tuple[ColumnPages, ...]
    seconds: float

    def to_json(self) -> str:
        """Return the result as JSON text, for :meth:`from_json`."""
        found: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        found["files"] = list(self.files)
        found["pages"] = [asdict(pages) for pages in self.pages]
        for name in ("old_fragments", "new_fragments"):
            found[name] = [json.loads(fragment.to_json()) for fragment in getattr(self, name)]
        return json.dumps(found)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Make a result of what :meth:`to_json` returned.

        Raises
        ------
        OptionError
            The text is something else.
        """
        try:
            found = json.loads(text)
            for name in ("old_fragments", "new_fragments"):
                found[name] = tuple(FragmentMetadata.from_json(json.dumps(one)) for one in found[name])
            found["pages"] = tuple(ColumnPages(**one) for one in found["pages"])
            found["files"] = tuple(found["files"])
            return cls(**found)
        except (ValueError, TypeError, KeyError) as error:
            raise OptionError(f"this is no result of a compaction in JSON: {error}") from None


_PLAIN = ("read_version", "mode", "bytes_in", "bytes_out", "num_rows", "seconds")


def execute_task(
    store: Store,
    task: CompactionTask,
    *,
    manifest: Manifest | None = None,
    progress: Progress = None,
) -> RewriteResult:
    """Do a task.

    Parameters
    ----------
    store
        The dataset.
    task
        What to do.
    manifest
        The version that the task was planned for, if it is at hand; otherwise it is read.
    progress
        Called with numbers of rows that are done, which add up to those of the task.

    Raises
    ------
    FormatError
        A file is missing or damaged.
    OptionError
        The task is none of this dataset, or has no fragments, or its file version cannot hold a type.
    UnsupportedError
        Something is stored in a way that is not known here.
    """
    begun = time.perf_counter()
    manifest = _checked(store, task, manifest)
    snapshot = Snapshot(store, manifest, fragments=task.fragments)
    before = count_pages(snapshot, task.fragments)
    new, paths = _written(snapshot, task, progress)
    try:
        if manifest.has_stable_row_ids:
            new = with_lineage(store, snapshot, new)
        after = count_pages(snapshot, new)
    except BaseException:
        remove_files(store, paths)
        raise
    return RewriteResult(
        manifest.version,
        task.fragments,
        tuple(new),
        task.mode,
        tuple(paths),
        _num_bytes(task.fragments),
        _num_bytes(new),
        snapshot.num_rows,
        both_counts(before, after),
        time.perf_counter() - begun,
    )


def _checked(store: Store, task: CompactionTask, manifest: Manifest | None) -> Manifest:
    """Return the version that a task reads, once it is known to have the task's fragments."""
    if not task.fragments:
        raise OptionError("a task without fragments has nothing to compact")
    if manifest is None:
        try:
            manifest = manifest_of(store, task.read_version)
        except FileNotFoundError:
            raise OptionError(
                f"the task was planned for version {task.read_version} of the dataset, which there is not"
            ) from None
    if manifest.version != task.read_version:
        raise OptionError(f"the task was planned for version {task.read_version}, not {manifest.version}")
    there = {fragment.id: fragment for fragment in manifest.fragments}
    for fragment in task.fragments:
        if there.get(fragment.id) != fragment:
            raise OptionError(
                f"fragment {fragment.id} is none of version {manifest.version}, or another one there"
            )
        if not fragment.files:
            raise OptionError(f"fragment {fragment.id} has no data files")
    return manifest


def _written(
    snapshot: Snapshot, task: CompactionTask, progress: Progress
) -> tuple[list[FragmentMetadata], list[str]]:
    """Write the new files; returns fragments without ids and row ids, and the paths of all files."""
    options = task.options
    version = options.version or _storage_version(snapshot)
    mode = task.mode
    sizes = [_num_bytes([fragment]) for fragment in snapshot.fragments]
    if mode == "hybrid" and version > Version.V2_0:
        groups = file_groups(options, np.diff(snapshot.starts).tolist(), sizes)
        if groups is not None:
            return merge_pages(
                snapshot,
                groups,
                version=version,
                memory_limit=options.memory_limit,
                batch_size=options.batch_size,
                progress=progress,
            )
        mode = "reencode"
    if mode in ("copy", "hybrid"):
        raise OptionError("copy lands soon")
    return reencode(
        snapshot,
        version=version,
        limits=file_limits(options, snapshot.num_rows, sum(sizes)),
        memory_limit=options.memory_limit,
        batch_size=options.batch_size,
        progress=progress,
    )


def _num_files(options: CompactionOptions, num_rows: int, num_bytes: int) -> int:
    """Return into how many equal files rows go, as the targets ask for."""
    parts = max(num_rows // options.target_rows_per_fragment, 1)
    if options.target_bytes_per_file is not None:
        parts = max(parts, num_bytes // options.target_bytes_per_file)
    if options.max_rows_per_file is not None:
        parts = max(parts, -(-num_rows // options.max_rows_per_file))
    return parts


def file_groups(
    options: CompactionOptions, num_rows: Sequence[int], num_bytes: Sequence[int]
) -> list[range] | None:
    """Return which fragments make up each new file, if files consist of whole fragments.

    Parameters
    ----------
    options
        Targets and limits.
    num_rows, num_bytes
        Rows that are not deleted, and sizes of data files, of each fragment.

    Returns
    -------
    list[range] or None
        Places of fragments; ``None``: a single fragment is larger than a file may be.
    """
    max_rows = options.max_rows_per_file or sum(num_rows) or 1
    max_bytes = options.max_bytes_per_file or sum(num_bytes) or 1
    if max(num_rows) > max_rows or max(num_bytes) > max_bytes:
        return None
    parts = _num_files(options, sum(num_rows), sum(num_bytes))
    groups, first, rows, size, done = [], 0, 0, 0, 0
    for place in range(len(num_rows)):
        too_large = rows + num_rows[place] > max_rows or size + num_bytes[place] > max_bytes
        if place > first and (too_large or done * parts >= (len(groups) + 1) * sum(num_rows)):
            groups.append(range(first, place))
            first, rows, size = place, 0, 0
        rows, size, done = rows + num_rows[place], size + num_bytes[place], done + num_rows[place]
    return [*groups, range(first, len(num_rows))]


def file_limits(options: CompactionOptions, num_rows: int, num_bytes: int) -> FileLimits:
    """Return where the files of a task are cut: as many equal ones as the targets ask for, and no larger than the limits.

    Parameters
    ----------
    options
        Targets and limits.
    num_rows, num_bytes
        Rows of the task that are not deleted, and bytes of its data files.
    """
    parts = _num_files(options, num_rows, num_bytes)
    max_rows = max(-(-num_rows // parts), 1)
    if options.max_bytes_per_file is None:
        return FileLimits(max_rows, DEFAULT_BYTES_PER_FILE)
    # a writer looks at sizes from time to time: what it adds until it looks again must fit too
    return FileLimits(max_rows, max(options.max_bytes_per_file * 3 // 4, 1))


def with_lineage(store: Store, snapshot: Snapshot, new: Sequence[FragmentMetadata]) -> list[FragmentMetadata]:
    """Give fragments the row ids and versions of the rows that they hold now (dataset.md 5).

    Parameters
    ----------
    snapshot
        The fragments that the rows come from.
    new
        Fragments without them, in the order of the rows, without deletions.

    Raises
    ------
    FormatError
        The sequences are damaged, or there are more or fewer rows now.
    """
    ids, updated, created = [], [], []
    for place, fragment in enumerate(snapshot.fragments):
        known = replace(fragment, physical_rows=snapshot.reader(place).physical_rows)
        deleted = read_deletions(store, known)
        ids.append(read_row_ids(store, known).without(deleted))
        updated.append(read_versions(store, known, "last_updated_at").without(deleted))
        created.append(read_versions(store, known, "created_at").without(deleted))
    all_ids, all_updated, all_created = RowIds.concat(ids), Versions.concat(updated), Versions.concat(created)
    ends = [0]
    for fragment in new:
        ends.append(ends[-1] + (fragment.physical_rows or 0))
    if ends[-1] != len(all_ids):
        raise FormatError(
            f"{ends[-1]} rows were written, and there are {len(all_ids)} row ids", path=store.name
        )
    return [
        replace(
            fragment,
            row_ids=all_ids.slice(start, stop).serialize(),
            last_updated_at=all_updated.slice(start, stop).serialize(),
            created_at=all_created.slice(start, stop).serialize(),
        )
        for fragment, (start, stop) in zip(new, pairwise(ends), strict=True)
    ]


def _storage_version(snapshot: Snapshot) -> Version:
    """Return the file version of the dataset."""
    version: Version = snapshot.manifest.storage_version  # type: ignore[attr-defined]
    return version


def _num_bytes(fragments: Sequence[FragmentMetadata]) -> int:
    return sum(file.file_size_bytes or 0 for fragment in fragments for file in fragment.files)
