"""Removing old versions and what no version needs (dataset.md 8).

What is kept is decided before anything is deleted. Manifests go first. Then versions that came meanwhile are looked at: one of them
may be an old version restored, and needs its files again. A restore that comes later finds that its version is gone. Files go last:
who stops in between leaves files that no version names, which a later run finds when they are old. Nothing outside of the dataset's
own folders is touched, nor anything in them that no writer of datasets makes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.table.formats.manifest import list_versions, read_manifest
from lancelet.table.formats.names import (
    DATA,
    DELETIONS,
    INDICES,
    TAGS,
    TRANSACTIONS,
    VERSIONS,
    parse_manifest_name,
)
from lancelet.table.formats.tags import read_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lancelet.storage import Store
    from lancelet.storage.store import ObjectInfo
    from lancelet.table.formats.manifest import Manifest

__all__ = [
    "DEFAULT_AGE",
    "UNVERIFIED_AGE",
    "CleanupPlan",
    "CleanupPolicy",
    "CleanupStats",
    "clean_up",
    "plan_cleanup",
]

#: Versions older than this are removed where nothing is said.
DEFAULT_AGE = timedelta(days=14)
#: Files that no manifest names may belong to a writer that is at work, up to this age.
UNVERIFIED_AGE = timedelta(days=7)

#: Files in these folders that are no manifests: what is removed, by kind.
_KINDS = {DATA: "data", TRANSACTIONS: "transaction", INDICES: "index", DELETIONS: "deletion"}
_UNFINISHED = "unfinished"
_OURS = {
    DATA: re.compile(rf"{DATA}/(?:[^/]+\.lance|[^/]+/[01]{{32}}\.blob)"),
    TRANSACTIONS: re.compile(rf"{TRANSACTIONS}/[^/]+\.txn"),
    INDICES: re.compile(rf"{INDICES}/[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}/.+"),
    DELETIONS: re.compile(rf"{DELETIONS}/[^/]+\.(?:arrow|bin)"),
}
#: What writers of other implementations leave behind: parts of files, and files that did not get their names.
_LEFT_BEHIND = re.compile(
    rf"(?:{VERSIONS}|{DATA}|{DATA}/[^/]+|{TRANSACTIONS}|{DELETIONS})/\.tmp[^/]*"
    rf"|(?:{VERSIONS}|{DATA}|{TRANSACTIONS}|{DELETIONS})/[^/]+\.(?:manifest|txn|arrow|bin|lance)#\d+"
    rf"|{DATA}/[^/]+/[01]{{32}}\.blob#\d+|{VERSIONS}/[^/]+\.manifest[#-][^/]+"
)
#: Folders in which writers of ours leave such files.
_WRITTEN = (*_KINDS, VERSIONS, TAGS.split("/", 1)[0])


@dataclass(frozen=True, slots=True)
class CleanupPolicy:
    """Which versions are removed: those that both conditions name. The latest and tagged ones never are.

    Attributes
    ----------
    older_than
        Versions at least so old; ``None``: :data:`DEFAULT_AGE`, or any age where `retain_versions` is given. While programs of
        others write, it should be longer than a commit of theirs takes: they do not notice when they take the number of a version
        that was removed (:mod:`lancelet.table.commits.free_numbers`).
    retain_versions
        All but so many of the newest ones; ``None``: any.
    delete_unverified
        Remove files that no version names even if they are young. Only while nobody writes to the dataset.
    error_if_tagged_old_versions
        Refuse where a tagged version is among those that the conditions name.
    """

    older_than: timedelta | None = None
    retain_versions: int | None = None
    delete_unverified: bool = False
    error_if_tagged_old_versions: bool = True

    def __post_init__(self) -> None:
        if self.older_than is not None and (
            not isinstance(self.older_than, timedelta) or self.older_than < timedelta(0)
        ):
            raise OptionError(
                f"older_than is {self.older_than!r}; it must be a timedelta of no negative length"
            )
        retain = self.retain_versions
        if retain is not None and (isinstance(retain, bool) or not isinstance(retain, int) or retain < 1):
            raise OptionError(f"retain_versions is {retain!r}; it must be a number of at least 1")

    @property
    def age(self) -> timedelta:
        """Age from which on a version may be removed."""
        if self.older_than is not None:
            return self.older_than
        return DEFAULT_AGE if self.retain_versions is None else timedelta(0)


@dataclass(frozen=True, slots=True)
class CleanupPlan:
    """What a clean-up removes: manifests, then files.

    Attributes
    ----------
    files
        Files that no version needs that stays.
    manifests
        Manifests of the versions that go.
    versions
        Their numbers.
    newest
        The newest version there was.
    """

    files: tuple[ObjectInfo, ...]
    manifests: tuple[ObjectInfo, ...]
    versions: tuple[int, ...]
    newest: int

    @property
    def stats(self) -> CleanupStats:
        """What is counted when all of it is removed."""
        return CleanupStats.of(self.files, self.manifests)

    def __str__(self) -> str:
        lines = [f"{info.size:>12,}  {info.path}" for info in (*self.files, *self.manifests)]
        return "\n".join([*lines, str(self.stats)])


@dataclass(frozen=True, slots=True)
class CleanupStats:
    """What was removed.

    Attributes
    ----------
    bytes_removed
        Bytes of all files.
    old_versions
        Versions.
    data_files_removed, transaction_files_removed, index_files_removed, deletion_files_removed
        Files by kind; sidecar files of blobs count as data files.
    unfinished_files_removed
        Files that a writer never completed.
    failed_deletes
        Files that could not be removed.
    """

    bytes_removed: int = 0
    old_versions: int = 0
    data_files_removed: int = 0
    transaction_files_removed: int = 0
    index_files_removed: int = 0
    deletion_files_removed: int = 0
    unfinished_files_removed: int = 0
    failed_deletes: tuple[str, ...] = field(default=())

    @classmethod
    def of(
        cls, files: Sequence[ObjectInfo], manifests: Sequence[ObjectInfo], failed: Sequence[str] = ()
    ) -> CleanupStats:
        """Count what was removed."""
        kinds = Counter(_kind_of(info.path) for info in files)
        return cls(
            sum(info.size for info in (*files, *manifests)),
            len(manifests),
            kinds["data"],
            kinds["transaction"],
            kinds["index"],
            kinds["deletion"],
            kinds[_UNFINISHED],
            tuple(failed),
        )

    def __str__(self) -> str:
        return (
            f"{self.old_versions} versions, {self.data_files_removed} data files, "
            f"{self.deletion_files_removed} deletion files, {self.transaction_files_removed} transactions, "
            f"{self.index_files_removed} index files and {self.unfinished_files_removed} unfinished files: "
            f"{self.bytes_removed:,} bytes"
        )


def _kind_of(path: str) -> str:
    """Return the kind of a file that is no manifest."""
    folder = path.split("/", 1)[0]
    pattern = _OURS.get(folder)
    return _KINDS[folder] if pattern is not None and pattern.fullmatch(path) else _UNFINISHED


@dataclass(slots=True)
class _Named:
    """What manifests name."""

    files: set[str] = field(default_factory=set)
    sidecars: set[str] = field(default_factory=set)
    indices: set[str] = field(default_factory=set)

    def add(self, manifest: Manifest) -> None:
        for fragment in manifest.fragments:
            for file in fragment.files:
                if file.base_id is None:
                    self.files.add(f"{DATA}/{file.path}")
                    self.sidecars.add(f"{DATA}/{file.path.removesuffix('.lance')}")
            deletion = fragment.deletion_file
            if deletion is not None and deletion.base_id is None:
                self.files.add(deletion.path(fragment.id))
            for sequence in (fragment.row_ids, fragment.last_updated_at, fragment.created_at):
                if sequence is not None and not isinstance(sequence, bytes):
                    self.files.add(sequence.path)
        if manifest.transaction_file:
            self.files.add(f"{TRANSACTIONS}/{manifest.transaction_file}")
        for index in manifest.indices:
            text = index.uuid.uuid.hex()
            parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
            self.indices.add(f"{INDICES}/{'-'.join(parts)}")

    def __contains__(self, path: str) -> bool:
        if path in self.files:
            return True
        if path.startswith(f"{DATA}/"):
            return path.rpartition("/")[0] in self.sidecars
        return path.startswith(f"{INDICES}/") and "/".join(path.split("/", 2)[:2]) in self.indices


def plan_cleanup(
    store: Store, policy: CleanupPolicy, *, current: int | None = None, now: datetime | None = None
) -> CleanupPlan:
    """Decide what can be removed; nothing is.

    Parameters
    ----------
    store
        The dataset.
    policy
        Which versions may go.
    current
        The version that somebody looks at: it stays, and all later ones.
    now
        The time from which ages count; by default the clock's.

    Raises
    ------
    FormatError, UnsupportedError
        A manifest cannot be read, so that nobody knows what it needs.
    OptionError
        There is no dataset; or a tagged version is among those that would go, and `policy` makes that an error.
    """
    # Files first: one that a commit makes needed after this is younger than any age, and one that a manifest names
    # which is listed before its files are would look needless.
    listed = [info for folder in _KINDS for info in store.describe(folder)]
    in_versions = store.describe(VERSIONS)
    unfinished = store.describe(unfinished=True)
    manifests = _all_manifests(store)
    if not manifests:
        raise OptionError(f"there is no dataset at {store.name}")
    clock = datetime.now(UTC) if now is None else now
    going = _going(store, manifests, policy, clock, current)
    kept, gone = _Named(), _Named()
    for manifest in manifests:
        (gone if manifest.version in going else kept).add(manifest)
    limit = clock.timestamp() - UNVERIFIED_AGE.total_seconds()

    def is_old(info: ObjectInfo) -> bool:
        return policy.delete_unverified or info.modified < limit

    files = [
        info
        for info in listed
        if _kind_of(info.path) != _UNFINISHED
        and info.path not in kept
        and (info.path in gone or is_old(info))
    ]
    left = [
        info
        for info in (*listed, *in_versions)
        if _LEFT_BEHIND.fullmatch(info.path) and _kind_of(info.path) == _UNFINISHED and info.path not in kept
    ]
    ours = [info for info in unfinished if info.path.split("/", 1)[0] in _WRITTEN]
    files += [info for info in (*left, *ours) if is_old(info)]
    paths = {manifest.path: manifest.version for manifest in manifests if manifest.version in going}
    old = sorted((info for info in in_versions if info.path in paths), key=lambda info: paths[info.path])
    newest = max((found.version for found in manifests if found.scheme is not None), default=-1)
    return CleanupPlan(tuple(files), tuple(old), tuple(paths[info.path] for info in old), newest)


def clean_up(
    store: Store, plan: CleanupPlan, *, progress: Callable[[int, int], None] | None = None
) -> CleanupStats:
    """Remove what a plan names.

    Parameters
    ----------
    store
        The dataset.
    plan
        What :func:`plan_cleanup` found.
    progress
        Called with the files that are done, and all of them.

    Returns
    -------
    CleanupStats
        What was removed. If a manifest cannot be, no file is.

    Raises
    ------
    OptionError
        A version that is to go has got a tag since; nothing is removed.
    FormatError, UnsupportedError
        A version that came since cannot be read; no file is removed.
    """
    _check_tags(store, plan.versions)
    total = len(plan.files) + len(plan.manifests)
    manifests, failed = _remove(store, plan.manifests, 0, total, progress)
    if failed:
        return CleanupStats.of((), manifests, failed)
    needed = _Named()
    for manifest in _all_manifests(store, after=plan.newest):
        needed.add(manifest)
    going = [info for info in plan.files if info.path not in needed]
    files, failed = _remove(store, going, len(manifests), total, progress)
    return CleanupStats.of(files, manifests, failed)


def _check_tags(store: Store, versions: Iterable[int]) -> None:
    going = set(versions)
    for name, tag in read_tags(store).items() if going else ():
        if tag.branch is None and tag.version in going:
            raise OptionError(
                f"version {tag.version} has got the tag {name!r} meanwhile, and was to be removed: plan again"
            )


def _remove(
    store: Store,
    infos: Iterable[ObjectInfo],
    done: int,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[ObjectInfo], list[str]]:
    """Remove files; returns those that were there, and paths of those that could not be."""
    removed: list[ObjectInfo] = []
    failed: list[str] = []
    for info in infos:
        try:
            store.delete(info.path)
        except FileNotFoundError:
            continue
        except OSError:
            failed.append(info.path)
            continue
        removed.append(info)
        if progress is not None:
            progress(done + len(removed), total)
    return removed, failed


def _all_manifests(store: Store, after: int = -1) -> list[Manifest]:
    """Read every manifest of a version after some one, detached ones too: what one of them needs must stay."""
    found = []
    paths: Iterable[str] = [path for number, path in list_versions(store) if number > after]
    detached = [
        path
        for path in store.list(VERSIONS)
        if (named := parse_manifest_name(path.rpartition("/")[2])) is not None and named[0] == "detached"
    ]
    for path in (*paths, *detached):
        try:
            manifest = read_manifest(store, path)
            _ = manifest.fragments, manifest.indices
        except FileNotFoundError:
            continue
        except (FormatError, UnsupportedError) as error:
            raise type(error)(f"nothing is removed, because a manifest cannot be read: {error}") from None
        found.append(manifest)
    return found


def _going(
    store: Store, manifests: Sequence[Manifest], policy: CleanupPolicy, now: datetime, current: int | None
) -> set[int]:
    """Return the versions that go."""
    numbers = sorted(manifest.version for manifest in manifests if manifest.scheme is not None)
    if not numbers:
        return set()
    newest = set(numbers[-(policy.retain_versions or 1) :])
    stop = numbers[-1] if current is None else current
    old = {
        manifest.version
        for manifest in manifests
        if manifest.scheme is not None
        and manifest.version not in newest
        and manifest.version < stop
        and now - manifest.timestamp >= policy.age
    }
    tagged = {tag.version: name for name, tag in read_tags(store).items() if tag.branch is None}
    named = {version: tagged[version] for version in old & tagged.keys()}
    if named and policy.error_if_tagged_old_versions:
        listed = ", ".join(f"{name!r} (version {version})" for version, name in sorted(named.items()))
        raise OptionError(
            f"{len(named)} of the versions to be removed have tags: {listed}; delete the tags, "
            "or pass error_if_tagged_old_versions=False to keep those versions"
        )
    return old - tagged.keys() - _branch_points(store)


def _branch_points(store: Store) -> set[int]:
    """Return the versions that branches began from."""
    import json

    found = set()
    for path in store.list("_refs/branches"):
        try:
            version = json.loads(bytes(store.get_range(path, 0, store.size(path))))["parentVersion"]
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, RecursionError):
            raise FormatError(
                "nothing is removed, because a branch is damaged", path=f"{store.name}/{path}"
            ) from None
        if isinstance(version, int):
            found.add(version)
    return found
