"""The commit of a compaction: ids of fragments are reserved, then all results replace what they were made of (dataset.md 7.3, 7.4).

The rewrite is checked against everything that was committed since the version that the tasks *read*, so a row that was deleted
meanwhile is a conflict and never comes back. Its transaction has an id that the results determine: who does not know how a commit
ended may do it again.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from lancelet.errors import CommitConflict, LanceletError, OptionError, UnsupportedError
from lancelet.storage.store import check_path, missing
from lancelet.table.commit import commit_transaction, transaction_of
from lancelet.table.conflicts import check_conflict
from lancelet.table.filling import check_new_files
from lancelet.table.index_section import fragments_of, is_of_system, knows_stable_ids
from lancelet.table.manifest import latest_manifest, list_versions, read_manifest
from lancelet.table.names import DATA
from lancelet.table.operation_checks import check_operation
from lancelet.table.operations import CreateIndex, ReserveFragments, Rewrite, RewriteGroup
from lancelet.table.transaction import Transaction
from lancelet.table.write_files import remove_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lancelet.compact.task import RewriteResult
    from lancelet.pb import table_pb2
    from lancelet.storage import Store
    from lancelet.table.manifest import Manifest

__all__ = ["blocking_indices", "commit_compaction", "discard_results"]


def commit_compaction(
    store: Store, results: Sequence[RewriteResult], *, drop_indices: bool = False
) -> Manifest:
    """Commit what tasks have made. If that cannot be, the files that they wrote are removed, unless a version names them.

    Parameters
    ----------
    store
        The dataset.
    results
        What the tasks returned. Those of a plan may be committed in parts.
    drop_indices
        Whether indices that know some of these rows by their place are removed, in a version of its own.

    Returns
    -------
    Manifest
        The new version.

    Raises
    ------
    CommitConflict
        Rows or columns of the fragments changed since they were read: compact them again.
    OptionError
        There are no results, or two of the same fragment, or files of them are gone.
    UnsupportedError
        An index would not be true any more; the message names it.
    FileNotFoundError
        There is no dataset.
    """
    _check_results(results)
    try:
        return _commit(store, results, drop_indices)
    except LanceletError:
        discard_results(store, results)
        raise


def _commit(store: Store, results: Sequence[RewriteResult], drop_indices: bool) -> Manifest:
    latest = latest_manifest(store)
    if latest is None:
        raise missing(store.name)
    wanted = Rewrite(tuple(RewriteGroup(result.old_fragments, result.new_fragments) for result in results))
    check_operation(wanted)
    check_new_files(store, wanted)  # before anything is reserved or given up
    read_version = min(result.read_version for result in results)
    uuid = _uuid_of(results)
    touched = {fragment.id for result in results for fragment in result.old_fragments}
    blocking = blocking_indices(latest, touched, drop_indices=drop_indices)
    if blocking:  # they are not given up for a commit that cannot be
        _check_unchanged(results, latest)
        _check_since(store, wanted, read_version, latest)
    num_new = sum(len(result.new_fragments) for result in results)
    next_id = 0
    if num_new:
        reserving = Transaction(latest.version, ReserveFragments(num_new))
        reserved = commit_transaction(store, reserving)
        next_id = (reserved.max_fragment_id or 0) - num_new + 1
    if blocking:
        removing = CreateIndex(removed_indices=tuple(blocking))
        commit_transaction(store, Transaction(latest.version, removing))
    groups = []
    for result in sorted(results, key=lambda result: result.old_fragments[0].id):
        new = tuple(replace(found, id=next_id + place) for place, found in enumerate(result.new_fragments))
        next_id += len(new)
        groups.append(RewriteGroup(result.old_fragments, new))
    return commit_transaction(store, Transaction(read_version, Rewrite(tuple(groups)), uuid))


def blocking_indices(
    manifest: Manifest, fragments: Iterable[int], *, drop_indices: bool
) -> list[table_pb2.IndexMetadata]:
    """Return the indices that must go before rows of some fragments may move.

    Parameters
    ----------
    manifest
        The version.
    fragments
        Their ids.
    drop_indices
        Whether indices may go.

    Raises
    ------
    UnsupportedError
        There are such indices and they may not go, or they belong to the system.
    """
    touched = set(fragments)
    found = []
    for index in manifest.indices:
        if is_of_system(index):
            raise UnsupportedError(
                f"index {index.name!r} of the system: such a dataset cannot be compacted here"
            )
        covered = fragments_of(index)
        survives = manifest.has_stable_row_ids and knows_stable_ids(index)
        if covered is None or (covered & touched and not survives):
            found.append(index)
    if found and not drop_indices:
        names = ", ".join(repr(index.name) for index in found)
        raise UnsupportedError(
            f"rows that move are in index {names}, which names them by place and would not be true any more; "
            "remove it first, or with drop_indices=True"
        )
    return found


def discard_results(store: Store, results: Sequence[RewriteResult]) -> None:
    """Remove the files of results that are not committed. Files that a version names stay: somebody may commit twice.

    Results may come from elsewhere. Whatever they claim to have written, only data files and what lies beside them are removed, and
    nothing that belongs to what the tasks read.
    """
    try:
        named = _named_since(store, min(result.read_version for result in results))
    except (LanceletError, OSError):  # not known: clean-up will tell
        return
    for result in results:
        if not named & {f"{DATA}/{file.path}" for new in result.new_fragments for file in new.files}:
            remove_files(store, [path for path in result.files if _owner(path) not in named | {None}])


def _owner(path: str) -> str | None:
    """Return the data file that a file is, or lies beside; ``None``: it is neither."""
    try:
        folder, _, rest = check_path(path).partition("/")
    except OptionError:
        return None
    if folder != DATA or not rest:
        return None
    stem, beside, _ = rest.partition("/")
    return f"{DATA}/{stem}.lance" if beside else path


def _named_since(store: Store, version: int) -> set[str]:
    """Return the paths of all data files of a version and of those after it."""
    found = set()
    for number, path in list_versions(store):
        if number >= version:
            manifest = read_manifest(store, path)
            found |= {
                f"{DATA}/{file.path}" for message in manifest.fragment_messages for file in message.files
            }
    return found


def _uuid_of(results: Sequence[RewriteResult]) -> str:
    """Return an id that these results have, and no others."""
    names = sorted(
        name
        for result in results
        for name in (*result.files, *(f"{found.id}@{result.read_version}" for found in result.old_fragments))
    )
    return str(UUID(bytes=hashlib.sha256("\n".join(names).encode()).digest()[:16], version=4))


def _check_results(results: Sequence[RewriteResult]) -> None:
    if not results:
        raise OptionError("there are no results of a compaction to commit")
    seen: set[int] = set()
    for result in results:
        own = {fragment.id for fragment in result.old_fragments}
        if not own or len(own) < len(result.old_fragments) or own & seen:
            raise OptionError(
                f"fragments {sorted(own & seen) or sorted(own)}: compacted twice, or none at all"
            )
        seen |= own


def _check_since(store: Store, operation: Rewrite, read_version: int, latest: Manifest) -> None:
    """Check an operation against all versions after the one that the tasks read, as the commit will.

    Raises
    ------
    CommitConflict
        The commit would be refused.
    """
    for number, path in list_versions(store):
        if read_version < number <= latest.version:
            theirs = transaction_of(store, read_manifest(store, path))
            if theirs is None:
                raise CommitConflict(f"version {number} does not say what it changed")
            check_conflict(operation, theirs.operation)


def _check_unchanged(results: Sequence[RewriteResult], manifest: Manifest) -> None:
    """Check that a version has the fragments of results as they were read.

    Raises
    ------
    CommitConflict
        It has not.
    """
    there = {fragment.id: fragment for fragment in manifest.fragments}
    for old in (old for result in results for old in result.old_fragments):
        now = there.get(old.id)
        if now is None or now.deletion_file != old.deletion_file or not set(now.files) <= set(old.files):
            raise CommitConflict(f"fragment {old.id} changed since it was read", retryable=True)
