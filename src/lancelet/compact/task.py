"""A task of a compaction: some fragments become others with the same rows. Nothing is visible before the commit.

Whoever has the store can do a task: a thread, another process, another machine. A task that fails removes what it wrote.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.compact.copy import copy_files, cut_outputs
from lancelet.compact.fitting import MOST_ATTEMPTS, fitting_part, fitting_rows
from lancelet.compact.fitting import Progress as RowProgress
from lancelet.compact.merge_pages import FULL_PAGE_BYTES, merge_pages
from lancelet.compact.metrics import CompactionMetrics
from lancelet.compact.pages import ColumnPages, both_counts, count_pages, joined_counts
from lancelet.compact.reencode import reencode
from lancelet.compact.source import WantedColumns, file_bytes, open_data_file
from lancelet.compact.verify import read_ends
from lancelet.errors import FormatError, OptionError
from lancelet.pb import table_pb2
from lancelet.table.changes.write_files import DEFAULT_BYTES_PER_FILE, FileLimits, remove_files
from lancelet.table.formats.deletions import read_deletions
from lancelet.table.formats.manifest import Manifest, manifest_of
from lancelet.table.formats.metadata import FragmentMetadata
from lancelet.table.formats.names import DATA
from lancelet.table.formats.rowids import RowIds, Versions, read_row_ids, read_versions
from lancelet.table.reads.snapshot import Snapshot
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from lancelet.compact.copy import OutputLimits
    from lancelet.compact.plan import CompactionTask

    Pages = tuple[ColumnPages, ...]
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
    drop_indices
        Whether the options of the task say that indices that do not survive are removed at the commit.

    Raises
    ------
    OptionError
        A value is none that it may have.
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
    drop_indices: bool = False

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise OptionError(f"{name} of a result is {value!r}; it must be a whole number")
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int | float):
            raise OptionError(f"seconds of a result is {self.seconds!r}; it must be a number")
        if not all(isinstance(path, str) for path in (self.mode, *self.files)):
            raise OptionError("mode and files of a result must be text")
        if not all(
            isinstance(found, FragmentMetadata) for found in (*self.old_fragments, *self.new_fragments)
        ):
            raise OptionError("old_fragments and new_fragments of a result must be FragmentMetadata")
        if not all(isinstance(found, ColumnPages) for found in self.pages):
            raise OptionError("pages of a result must be ColumnPages")
        if not isinstance(self.drop_indices, bool):
            raise OptionError(f"drop_indices of a result is {self.drop_indices!r}; it may be True or False")

    @property
    def metrics(self) -> CompactionMetrics:
        """What this task alone did."""
        return CompactionMetrics.of([self], self.seconds)

    def json(self) -> str:
        """Do as :meth:`to_json`, under pylance's name."""
        return self.to_json()

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


_NUMBERS = ("read_version", "bytes_in", "bytes_out", "num_rows")
_PLAIN = (*_NUMBERS, "mode", "seconds", "drop_indices")


def execute_task(
    task: CompactionTask, *, manifest: Manifest | None = None, progress: Progress = None
) -> RewriteResult:
    """Do a task.

    Parameters
    ----------
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
        The task is none of this dataset, or its file version cannot hold a type.
    UnsupportedError
        Something is stored in a way that is not known here, or cannot be copied.
    """
    begun = time.perf_counter()
    manifest = _checked(task, manifest)
    snapshot = Snapshot(task.store, manifest, fragments=task.fragments)
    try:
        result = _result(snapshot, task, progress, begun)
        return replace(result, drop_indices=task.options.drop_indices)
    finally:
        snapshot.session.clear()  # descriptors are few; the snapshot itself waits for the garbage collector


def _result(snapshot: Snapshot, task: CompactionTask, progress: Progress, begun: float) -> RewriteResult:
    new, paths, pages = _written(snapshot, task, progress)
    try:
        if snapshot.has_stable_row_ids:
            new = with_lineage(snapshot, new)
        _check_rows(snapshot, new, task.version)
        if pages is None:  # a copy was looked at when it was written
            _check_ends(snapshot, new)
            pages = both_counts(count_pages(snapshot, task.fragments), count_pages(snapshot, new))
    except BaseException:
        remove_files(snapshot.store, paths)
        raise
    return RewriteResult(
        task.read_version,
        task.fragments,
        tuple(new),
        task.mode,
        tuple(paths),
        task.num_bytes,
        sum(file.file_size_bytes or 0 for fragment in new for file in fragment.files),
        snapshot.num_rows,
        pages,
        time.perf_counter() - begun,
    )


def _check_rows(snapshot: Snapshot, new: Sequence[FragmentMetadata], version: Version) -> None:
    """Check that new files have the rows of their fragments, and in each column pages that follow each other.

    Raises
    ------
    FormatError
        They have not; something went wrong while they were written.
    """
    wanted = WantedColumns(snapshot.stored_schema, version)
    for fragment in new:
        for file in fragment.files:
            container = snapshot.session.open(snapshot.store, file, snapshot.schema_key).container
            if container.num_rows != fragment.physical_rows:
                raise FormatError(
                    f"{container.num_rows} rows of {fragment.physical_rows} were written",
                    path=container.source.name,
                )
            if version == Version.V2_0:  # its pages do not say their first rows
                continue
            columns = file.columns_of
            container.prepare(len(columns))
            for id_, rows_per_row in zip(wanted.ids, wanted.rows_per_row, strict=True):
                if id_ in columns:
                    container.check_rows(columns[id_], rows_per_row)


def _check_ends(snapshot: Snapshot, new: Sequence[FragmentMetadata]) -> None:
    """Check that the first and the last row of new files can be decoded.

    Raises
    ------
    FormatError
        They cannot.
    """
    for file in (file for fragment in new for file in fragment.files):
        container = open_data_file(snapshot.store, file)
        with container.source:
            read_ends(container)


def _checked(task: CompactionTask, manifest: Manifest | None) -> Manifest:
    """Return the version that a task reads, once it is known to have the task's fragments."""
    version = task.read_version
    if manifest is None:
        try:
            manifest = manifest_of(task.store, version)
        except FileNotFoundError:
            raise OptionError(f"the task was planned for version {version}, which there is not") from None
    if manifest.version != version:
        raise OptionError(f"the task was planned for version {version}, not {manifest.version}")
    there = {fragment.id: fragment for fragment in _fragments_of(manifest, task)}
    for fragment in task.fragments:
        if there.get(fragment.id) != fragment:
            raise OptionError(f"version {version} has no fragment {fragment.id} like that of the task")
    return manifest


def _fragments_of(manifest: Manifest, task: CompactionTask) -> tuple[FragmentMetadata, ...]:
    """Return the fragments of a version that a task has; those of other tasks, which may be thousands, are not made."""
    stored, found = manifest.fragment_messages, []
    for id_ in sorted(fragment.id for fragment in task.fragments):
        place = bisect_left(stored, id_, key=lambda message: message.id)
        if place < len(stored) and stored[place].id == id_:
            found.append(stored[place])
    whole = manifest.message
    part = table_pb2.Manifest(
        version=whole.version,
        reader_feature_flags=whole.reader_feature_flags,
        base_paths=whole.base_paths,
        data_format=whole.data_format,
        fragments=found,
    )
    return Manifest(part, path=manifest.path, scheme=manifest.scheme).fragments


def _written(
    snapshot: Snapshot, task: CompactionTask, progress: Progress
) -> tuple[list[FragmentMetadata], list[str], Pages | None]:
    """Write the new files; returns fragments without ids and row ids, paths of all files, and the pages where they are known."""
    mode: str = task.mode
    if mode == "hybrid" and task.version == Version.V2_0:  # pages of 2.0 are not put together one by one
        mode = "copy" if task.num_bytes >= FULL_PAGE_BYTES * task.num_pages else "reencode"
    options = task.options
    if mode == "copy":
        return _copied(snapshot, task, progress)
    decoding: dict[str, Any] = {
        "version": task.version,
        "memory_limit": options.memory_limit,
        "batch_size": options.batch_size,
        "progress": RowProgress(progress),
    }
    if mode == "hybrid":
        written = _merged(snapshot, task.limits, decoding)
        if written is not None:
            return *written, None
    return *_reencoded(snapshot, file_limits(task), options.max_bytes_per_file, decoding), None


def _merged(
    snapshot: Snapshot, limits: OutputLimits, decoding: dict[str, Any]
) -> tuple[list[FragmentMetadata], list[str]] | None:
    """Merge pages until no file is larger than it may be; ``None``: files of whole fragments are."""
    max_bytes = limits.max_bytes
    for _ in range(MOST_ATTEMPTS):
        groups = _groups(snapshot, limits)
        decoding["progress"].restart()
        fragments, paths = merge_pages(snapshot, groups, **decoding)
        part = None if max_bytes is None else fitting_part(fragments, max_bytes)
        if part is None:
            return fragments, paths
        remove_files(snapshot.store, paths)
        if max(map(len, groups)) == 1:
            break
        limits = limits._replace(max_bytes=max(int((limits.max_bytes or 1) * part), 1))
    return None


def _reencoded(
    snapshot: Snapshot, limits: FileLimits, max_bytes: int | None, decoding: dict[str, Any]
) -> tuple[list[FragmentMetadata], list[str]]:
    """Re-encode rows until no file of more than one is larger than it may be.

    Raises
    ------
    OptionError
        That does not come to an end.
    """
    for _ in range(MOST_ATTEMPTS):
        decoding["progress"].restart()
        fragments, paths = reencode(snapshot, limits=limits, **decoding)
        try:
            max_rows = None if max_bytes is None else fitting_rows(snapshot.store, fragments, max_bytes)
        except BaseException:
            remove_files(snapshot.store, paths)
            raise
        if max_rows is None:
            return fragments, paths
        remove_files(snapshot.store, paths)
        limits = replace(limits, max_rows=max_rows)
    raise OptionError(
        f"files of {limits.max_rows} rows are still larger than max_bytes_per_file, {max_bytes}"
    )


def _copied(
    snapshot: Snapshot, task: CompactionTask, progress: Progress
) -> tuple[list[FragmentMetadata], list[str], Pages]:
    scaled = None if progress is None else _RowsOfBytes(progress, snapshot.num_rows, task.num_bytes)
    copied = copy_files(
        snapshot.store,
        task.fragments,
        snapshot.stored_schema,
        task.version,
        limits=task.limits,
        batch_bytes=task.options.binary_copy_read_batch_bytes,
        progress=None if scaled is None else scaled.add,
    )
    paths = [f"{DATA}/{done.file.path}" for done in copied]
    if scaled is not None:
        try:
            scaled.finish()
        except BaseException:
            remove_files(snapshot.store, paths)
            raise
    new = [FragmentMetadata(0, (done.file,), done.num_rows) for done in copied]
    return new, paths, joined_counts(done.pages for done in copied)


class _RowsOfBytes:
    """Tells of rows while bytes move: as many of all rows as bytes of all bytes, and in the end all rows."""

    def __init__(self, report: Callable[[int], None], num_rows: int, num_bytes: int) -> None:
        self._report = report
        self._num_rows = num_rows
        self._num_bytes = max(num_bytes, 1)
        self._moved = self._told = 0

    def add(self, num_bytes: int) -> None:
        """Note that bytes are moved."""
        self._moved += num_bytes
        self._tell(min(self._moved, self._num_bytes) * self._num_rows // self._num_bytes)

    def finish(self) -> None:
        """Tell of the rest."""
        self._tell(self._num_rows)

    def _tell(self, num_rows: int) -> None:
        if num_rows > self._told:
            told, self._told = self._told, num_rows
            self._report(num_rows - told)


def _groups(snapshot: Snapshot, limits: OutputLimits) -> list[range]:
    """Return which fragments make up each new file, if files consist of whole fragments."""
    store = snapshot.store
    num_bytes = [sum(file_bytes(store, file) for file in found.files) for found in snapshot.fragments]
    sizes = list(zip(np.diff(snapshot.starts).tolist(), num_bytes, strict=True))
    ends = np.cumsum([0, *cut_outputs(sizes, limits)]).tolist()
    return [range(*pair) for pair in pairwise(ends)]


def file_limits(task: CompactionTask) -> FileLimits:
    """Return where files are cut that are written row by row: as many equal ones as wanted, and none larger than allowed."""
    limits = task.limits
    max_rows = max(-(-task.num_rows // limits.num_outputs(task.num_rows, task.num_bytes)), 1)
    if limits.max_bytes is None:
        return FileLimits(max_rows, DEFAULT_BYTES_PER_FILE)
    # a writer looks at sizes from time to time: what it adds until it looks again must fit too
    return FileLimits(max_rows, max(limits.max_bytes * 3 // 4, 1))


def with_lineage(snapshot: Snapshot, new: Sequence[FragmentMetadata]) -> list[FragmentMetadata]:
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
    store = snapshot.store
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
