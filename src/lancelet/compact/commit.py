"""The commit of a compaction: ids of fragments are reserved, then all results replace what they were made of (dataset.md 7.3, 7.4).

The rewrite is checked against everything that was committed since the version that the tasks *read*, so a row that was deleted
meanwhile is a conflict and never comes back. Its transaction has an id that the results determine: who does not know how a commit
ended may do it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lancelet.compact.source import WantedColumns, open_data_file
from lancelet.compact.task import RewriteResult
from lancelet.errors import CommitConflict, LanceletError, OptionError, UnsupportedError
from lancelet.storage.store import check_path, missing
from lancelet.table.changes.write_files import remove_files
from lancelet.table.commits.commit import commit_transaction, find_transaction
from lancelet.table.commits.filling import check_new_files
from lancelet.table.commits.operation_checks import check_operation
from lancelet.table.formats.index_section import fragments_of, is_of_system, knows_stable_ids
from lancelet.table.formats.manifest import latest_manifest, list_versions, manifest_of, read_manifest
from lancelet.table.formats.names import DATA
from lancelet.table.formats.operations import CreateIndex, ReserveFragments, Rewrite, RewriteGroup
from lancelet.table.formats.transaction import Transaction
from lancelet.table.reads.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.pb import table_pb2
    from lancelet.storage import Store
    from lancelet.table.formats.manifest import Manifest
    from lancelet.table.formats.metadata import FragmentMetadata
    from lancelet.versions import Version

__all__ = ["blocking_indices", "checked_results", "commit_compaction", "discard_results"]


def commit_compaction(
    store: Store,
    results: Iterable[RewriteResult],
    *,
    drop_indices: bool = False,
    base: Manifest | None = None,
) -> Manifest:
    """Commit what tasks have made. Files of the results stay, whatever happens: they belong to the caller.

    Parameters
    ----------
    store
        The dataset.
    results
        What the tasks returned. Those of a plan may be committed in parts.
    drop_indices
        Whether indices that know some of these rows by their place are removed, in a version of its own; also if one of the results
        says so.
    base
        A version that tasks may have read, if it is at hand.

    Returns
    -------
    Manifest
        The new version, or the one in which these results were committed before.

    Raises
    ------
    CommitConflict
        Rows or columns of the fragments changed since they were read: compact them again.
    OptionError
        There are no results, or two of the same fragment, or files of them are gone, or hold something else than they say.
    FormatError
        A file of the results is damaged.
    UnsupportedError
        An index would not be true any more; the message names it.
    FileNotFoundError
        There is no dataset.
    """
    results = checked_results(results)
    wanted = Rewrite(tuple(RewriteGroup(result.old_fragments, result.new_fragments) for result in results))
    check_operation(wanted)
    _check_distinct(results)
    may_drop = drop_indices or any(result.drop_indices for result in results)
    read_version = min(result.read_version for result in results)
    transaction = Transaction(read_version, wanted, _uuid_of(results))
    latest, committed, blocking = _look(store, transaction, may_drop)
    if committed is not None:
        return committed
    check_new_files(store, wanted)  # before anything is reserved or given up
    _check_columns(store, results, base)
    num_new = sum(len(result.new_fragments) for result in results)
    next_id = 0
    if num_new:
        reserved = commit_transaction(store, Transaction(latest.version, ReserveFragments(num_new)))
        next_id = (reserved.max_fragment_id or 0) - num_new + 1
    if blocking:  # an index goes as late as can be: not for a commit that is known to be refused
        latest, committed, blocking = _look(store, transaction, may_drop)
        if committed is not None:
            return committed
    if blocking:
        removing = CreateIndex(removed_indices=tuple(blocking))
        commit_transaction(store, Transaction(latest.version, removing))
    groups = []
    for result in sorted(results, key=lambda result: result.old_fragments[0].id):
        new = tuple(replace(found, id=next_id + place) for place, found in enumerate(result.new_fragments))
        next_id += len(new)
        groups.append(RewriteGroup(result.old_fragments, new))
    return commit_transaction(store, replace(transaction, operation=Rewrite(tuple(groups))))


def checked_results(results: Any) -> list[RewriteResult]:
    """Return the results that there are in a list, a generator, or what else can be walked through, once.

    Raises
    ------
    OptionError
        It is something else.
    """
    if not isinstance(results, Iterable):
        raise OptionError(f"{results!r:.100} are no results of a compaction")
    found = list(results)
    for result in found:
        if not isinstance(result, RewriteResult):
            raise OptionError(
                f"{result!r:.100} is no result of a compaction; RewriteResult.from_json makes one"
            )
    return found


def _look(
    store: Store, transaction: Transaction, may_drop: bool
) -> tuple[Manifest, Manifest | None, list[table_pb2.IndexMetadata]]:
    """Return the newest version, the one in which results are committed already, and the indices that must go before they are."""
    latest = latest_manifest(store)
    if latest is None:
        raise missing(store.name)
    committed = find_transaction(store, transaction, latest)
    if committed is not None:
        return latest, committed, []
    old = _old_fragments(transaction)
    blocking = blocking_indices(latest, {fragment.id for fragment in old}, drop_indices=may_drop)
    if blocking:
        _check_unchanged(old, latest)
    return latest, None, blocking


def _old_fragments(transaction: Transaction) -> list[FragmentMetadata]:
    operation = transaction.operation
    groups = operation.groups if isinstance(operation, Rewrite) else ()
    return [fragment for group in groups for fragment in group.old_fragments]


def _check_columns(store: Store, results: Iterable[RewriteResult], base: Manifest | None) -> None:
    """Open each new file once, and check that it holds the columns and the rows that its fragment says.

    Raises
    ------
    CommitConflict
        A version that was read is gone, and with it what its columns were.
    FormatError
        A file is damaged.
    OptionError
        It holds something else.
    """
    wanted: dict[tuple[int, Version], WantedColumns] = {}
    for result in results:
        for fragment in result.new_fragments:
            if len(fragment.files) != 1 or fragment.deletion_file is not None:
                raise OptionError("a new fragment of a result must have one data file, and no deletions")
            key = result.read_version, fragment.files[0].version
            if key not in wanted:
                manifest = _version(store, result.read_version, base)
                wanted[key] = WantedColumns(Snapshot(store, manifest).stored_schema, key[1])
            _check_file(store, fragment, wanted[key])


def _version(store: Store, number: int, base: Manifest | None) -> Manifest:
    if base is not None and base.version == number:
        return base
    try:
        return manifest_of(store, number)
    except FileNotFoundError:
        raise CommitConflict(
            f"version {number} is gone, and with it what the new files should hold", retryable=True
        ) from None


def _check_file(store: Store, fragment: FragmentMetadata, wanted: WantedColumns) -> None:
    (file,) = fragment.files
    num_columns = len(wanted.ids)
    if tuple(file.fields) != wanted.ids or tuple(file.column_indices) != tuple(range(num_columns)):
        raise OptionError(f"a result does not say the columns that its data file {file.path!r} has")
    container = open_data_file(store, file)
    with container.source as source:
        if container.num_columns != num_columns:
            raise OptionError(f"{source.name} has {container.num_columns} columns of {num_columns}")
        if fragment.physical_rows not in (None, container.num_rows):
            raise OptionError(
                f"{source.name} has {container.num_rows} rows, and a result says {fragment.physical_rows}"
            )


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

    Whatever results claim to have written, only the data files of their new fragments and what lies beside them are removed, and
    nothing that belongs to what the tasks read, or to the latest version.
    """
    try:
        named = _named_since(store, min(result.read_version for result in results))
    except (LanceletError, OSError):  # not known: clean-up will tell
        return
    for result in results:
        own = {f"{DATA}/{file.path}" for new in result.new_fragments for file in new.files}
        if not named & own:
            remove_files(store, [path for path in result.files if _owner(path) in own])


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
    """Return the paths of all data files of a version and of those after it; in any case those of the latest."""
    found = set()
    versions = list_versions(store)
    for number, path in versions:
        if number >= min(version, versions[-1][0]):
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


def _check_distinct(results: Sequence[RewriteResult]) -> None:
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


def _check_unchanged(read: Iterable[FragmentMetadata], manifest: Manifest) -> None:
    """Check that a version has fragments as they were read.

    Raises
    ------
    CommitConflict
        It has not.
    """
    there = {fragment.id: fragment for fragment in manifest.fragments}
    for old in read:
        now = there.get(old.id)
        if now is None or now.deletion_file != old.deletion_file or not set(now.files) <= set(old.files):
            raise CommitConflict(f"fragment {old.id} changed since it was read", retryable=True)
