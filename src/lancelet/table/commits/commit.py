"""Committing: of many that try, each either follows the others or is refused (dataset.md 3.3).

::

    repeat, after a pause of random length
        latest = the newest manifest                                one listing, one read
        for each version since the one that was looked at           conflicts.py
            check what it changed against my operation
        rebase my operation on what they changed                    field_ids.py, and deletion files here
        write the transaction file
        put the next manifest, unless its name is taken             build.py; the commit is this and nothing else
        look whether newer versions were there already              free_numbers.py
"""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from lancelet.errors import CommitConflict, FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.storage.store import missing
from lancelet.table.commits.build import next_manifest
from lancelet.table.commits.conflicts import check_conflict
from lancelet.table.commits.field_ids import check_same_fields, check_still_nullable, with_current_meaning
from lancelet.table.commits.filling import check_new_files, complete_operation
from lancelet.table.commits.free_numbers import Fate, fate_of
from lancelet.table.commits.operation_checks import check_new_fragments, check_operation
from lancelet.table.formats.deletions import read_deletions, write_deletions
from lancelet.table.formats.manifest import (
    Manifest,
    check_writable,
    encode_manifest,
    is_same_file,
    latest_manifest,
    latest_path,
    manifest_of,
    read_manifest,
)
from lancelet.table.formats.names import TRANSACTIONS, Scheme, manifest_path, transaction_path
from lancelet.table.formats.operations import (
    Append,
    CreateIndex,
    DataReplacement,
    Delete,
    Merge,
    Overwrite,
    Project,
    Restore,
    Rewrite,
    Update,
    UpdateConfig,
)
from lancelet.table.formats.tags import held
from lancelet.table.formats.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lancelet.storage import Store
    from lancelet.table.formats.metadata import FragmentMetadata
    from lancelet.table.formats.operations import Operation
    from lancelet.versions import Version

__all__ = ["ATTEMPTS", "commit_transaction", "find_transaction", "transaction_of"]

#: Operations that bring rows or values, and operations after which ids may mean other fields.
_WITH_ROWS = (Append, Update, DataReplacement)
_WITH_SCHEMA = (Project, Merge, Overwrite, Restore)

#: How often a commit is tried, by default.
ATTEMPTS = 20
#: Longest first pause in seconds. The next ones are twice as long each, until the last.
_PAUSE = 0.01
_MOST_DOUBLINGS = 6


def commit_transaction(
    store: Store,
    transaction: Transaction,
    *,
    scheme: Scheme = Scheme.V2,
    storage_version: Version | None = None,
    stable_row_ids: bool = False,
    attempts: int = ATTEMPTS,
    files: Sequence[str] = (),
    base: Manifest | None = None,
) -> Manifest:
    """Commit a transaction as the version after the latest.

    A transaction that is in the dataset already is not committed again: who does not know how a commit ended may repeat it.

    Parameters
    ----------
    store
        The dataset.
    transaction
        What changes. The files that it names are written. With read version 0 it creates the dataset.
    scheme, stable_row_ids
        For a dataset that is created: how manifests are named, and whether it has stable row ids.
    storage_version
        File version after an Overwrite; see :func:`~lancelet.table.commits.build.next_manifest`.
    attempts
        How often to try.
    files
        Paths of files that were written for the transaction. They are removed if it fails, unless nobody can know whether it did:
        where the store broke down while the manifest was put, they stay, and clean-up finds them if no version names them.
    base
        The read version, where it is at hand. The first attempt takes it for the latest, which saves a listing.

    Returns
    -------
    Manifest
        The new version.

    Raises
    ------
    CommitConflict
        Somebody else committed what does not go with it, or was always faster; nothing is changed.
    FileNotFoundError
        There is no dataset.
    OptionError
        The operation does not go with the dataset, or contradicts itself.
    FormatError
        Manifests or transactions of the dataset, or deletion files that matter, are damaged.
    UnsupportedError
        The dataset or the change needs what is not handled.
    """
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise OptionError(f"a commit in {attempts!r} attempts is none")
    commit = _Commit(store, transaction, scheme, storage_version, stable_row_ids, files, base)
    try:
        commit.complete()
        for attempt in range(attempts):
            if attempt:
                time.sleep(random.uniform(0, _PAUSE * 2 ** min(attempt, _MOST_DOUBLINGS)))
            done = commit.attempt()
            if done is not None:
                return done
        done = commit.find()  # the last attempt may have succeeded though the store denied it
        if done is not None:
            return done
        raise CommitConflict(f"others were faster in all {attempts} attempts", retryable=True)
    except BaseException:
        if not commit.may_be_committed:
            commit.forget()
        raise


def find_transaction(store: Store, transaction: Transaction, latest: Manifest) -> Manifest | None:
    """Look for a transaction among the versions after the one that it read, and check it against them. Nothing is written.

    Parameters
    ----------
    store
        The dataset.
    transaction
        What may be committed already, or is to be.
    latest
        The last version to look at.

    Returns
    -------
    Manifest | None
        The version that is this transaction; ``None``: it is not committed, and may follow `latest`.

    Raises
    ------
    CommitConflict
        Somebody else committed what does not go with it.
    OptionError
        It read a version that comes after `latest`.
    """
    return _Commit(store, transaction, Scheme.V2, None, False, (), None).settle(latest)


def transaction_of(store: Store, manifest: Manifest) -> Transaction | None:
    """Return what made a version; ``None``: it does not say.

    Raises
    ------
    FormatError
        The transaction is damaged.
    UnsupportedError
        It has a type that is not handled.
    """
    data: bytes | memoryview | None = manifest.transaction_bytes
    path = manifest.path
    if data is None:
        name = manifest.transaction_file
        if not name:
            return None
        path = f"{TRANSACTIONS}/{name}"
        try:
            with store.open_source(path) as source:
                data = source.read(0, source.size())
        except FileNotFoundError:
            return None
        except OptionError:
            raise FormatError(f"{name!r} is no name of a transaction", path=manifest.path) from None
    try:
        return Transaction.parse(data)
    except FormatError as error:
        raise error.locate(path=path) from None


class _Commit:
    """A transaction on its way, over all attempts."""

    def __init__(
        self,
        store: Store,
        transaction: Transaction,
        scheme: Scheme,
        storage_version: Version | None,
        stable_row_ids: bool,
        files: Sequence[str],
        base: Manifest | None,
    ) -> None:
        self._store = store
        self._transaction = transaction
        self._scheme = scheme
        self._storage_version = storage_version
        self._stable_row_ids = stable_row_ids
        self._base = base
        #: What the first attempt takes for the latest version.
        self._presumed = base
        #: Versions that others committed since the one that was looked at, with what they did.
        self._others: list[tuple[Manifest, Operation]] = []
        #: Fragments of which others deleted rows too.
        self._shared: frozenset[int] = frozenset()
        #: What is written, but not committed: path -> bytes of the transaction file, and paths of deletion files.
        self._transaction_files: dict[str, bytes] = {}
        self._deletion_files: list[str] = []
        self._files = files
        #: Whether the manifest may have been put, though nobody said so.
        self.may_be_committed = False

    def complete(self) -> None:
        """Check what the transaction says, and note of its files what it does not say."""
        operation = self._transaction.operation
        if not self._files:  # who wrote files just now, and says so, knows them
            check_operation(operation)
            check_new_files(self._store, operation)
        operation = complete_operation(self._store, operation)
        self._transaction = replace(self._transaction, operation=operation)

    def attempt(self) -> Manifest | None:
        """Commit, or return ``None`` if somebody else was faster."""
        store, operation = self._store, self._transaction.operation
        latest, self._presumed = self._confirmed() or latest_manifest(store), None
        if latest is None and self._transaction.read_version:
            raise missing(store.name)
        if latest is not None:
            check_writable(latest)
            if found := self.settle(latest):
                return found
            if not self._files:
                check_new_fragments(operation, latest, is_rebased=bool(self._others))
            if isinstance(operation, Restore):
                return self._restore(latest, operation.version)
        return self._put(latest)

    def _restore(self, latest: Manifest, version: int) -> Manifest | None:
        """Commit an old version as the newest. Neither it nor the latest may be cleaned up before that is done."""
        restored = self._restored(version)
        with held(self._store, (latest.version, version)) as are_there:
            return self._put(latest, restored) if are_there else None

    def _put(self, latest: Manifest | None, restored: Manifest | None = None) -> Manifest | None:
        """Write the transaction and the manifest; returns ``None`` if somebody else was faster."""
        store = self._store
        transaction = self._rebased(latest) if latest and self._others else self._transaction
        message, index_section = next_manifest(
            latest,
            transaction,
            timestamp=datetime.now(UTC),
            is_rebased=bool(self._others),
            restored=restored,
            storage_version=self._storage_version,
            stable_row_ids=self._stable_row_ids,
        )
        data = transaction.serialize()
        self._write_transaction(transaction_path(transaction.read_version, transaction.uuid), data)
        scheme = latest.scheme if latest and latest.scheme else self._scheme
        path = manifest_path(message.version, scheme)
        encoded = encode_manifest(message, index_section, data)
        self.may_be_committed = True
        try:
            store.put_if_absent(path, encoded)
        except FileExistsError:
            return None
        except (FormatError, UnsupportedError):  # nothing can be put there
            self.may_be_committed = False
            raise
        made = Manifest(
            message, index_section=index_section, transaction_bytes=data, path=path, scheme=scheme
        )
        return made if self._is_seen(made, latest) else None

    def _is_seen(self, made: Manifest, latest: Manifest | None) -> bool:
        """Look once more at a version that was put; one that nobody sees is taken back.

        Raises
        ------
        CommitConflict
            Nobody can tell whether newer versions know it; or what it restores was removed meanwhile.
        """
        store, operation = self._store, self._transaction.operation
        fate = fate_of(store, made, latest)
        if fate is Fate.UNKNOWN:
            raise CommitConflict(
                f"version {made.version} was put, and a clean-up has removed what newer versions were made from: look whether "
                "the change is there before you make it again"
            )
        if fate is Fate.UNSEEN:
            with contextlib.suppress(FileNotFoundError):
                store.delete(made.path)
            self.may_be_committed = False
            return False
        if isinstance(operation, Restore) and self._is_gone(operation.version):
            # A clean-up that began before had not seen my version. The one before it is held, and will be the latest again.
            if latest_path(store) == made.path:
                with contextlib.suppress(FileNotFoundError):
                    store.delete(made.path)
            raise CommitConflict(f"version {operation.version} was removed while it was restored")
        return True

    def _is_gone(self, version: int) -> bool:
        try:
            return manifest_of(self._store, version) is None
        except FileNotFoundError:
            return True

    def _confirmed(self) -> Manifest | None:
        """Return the version that is presumed to be the latest, if it is there.

        Raises
        ------
        CommitConflict
            Another one has its name: the dataset was removed, and made anew.
        """
        presumed = self._presumed
        if presumed is None:
            return None
        try:
            if is_same_file(self._store, presumed):
                return presumed
        except FileNotFoundError:
            return None
        raise CommitConflict(f"version {presumed.version} is another one now: the dataset was made anew")

    def find(self) -> Manifest | None:
        """Return the version that is this transaction, if it is committed."""
        latest = latest_manifest(self._store)
        return None if latest is None else self.settle(latest)

    def forget(self) -> None:
        """Remove what was written beside the dataset, as far as that is possible. It harms nobody if it stays."""
        for path in (*self._transaction_files, *self._files):
            self._delete(path)
        self._transaction_files.clear()
        self._drop_deletions()

    def _drop_deletions(self) -> None:
        for path in self._deletion_files:
            self._delete(path)
        self._deletion_files.clear()

    def _delete(self, path: str) -> None:
        with contextlib.suppress(OSError, LanceletError):
            self._store.delete(path)

    def _write_transaction(self, path: str, data: bytes) -> None:
        if self._transaction_files.get(path) == data:
            return
        for old in self._transaction_files.keys() - {path}:
            self._delete(old)
        self._transaction_files = {path: data}
        self._store.put_note(path, data)  # the manifest has a copy

    def settle(self, latest: Manifest) -> Manifest | None:
        """Check all versions that are new since the last attempt; return the one that is this transaction, if there is one."""
        mine = self._transaction
        checked = mine.read_version + len(self._others)
        if checked > latest.version:
            raise OptionError(f"the transaction read version {checked}, and the latest is {latest.version}")
        for version in range(checked + 1, latest.version + 1):
            manifest = latest if version == latest.version else self._version(version, latest)
            theirs = transaction_of(self._store, manifest)
            if theirs is None:
                raise CommitConflict(f"version {version} does not say what it changed")
            if theirs.uuid.lower() == mine.uuid.lower():
                return manifest
            self.may_be_committed = False  # this one has the number that mine would have
            if mine.read_version == 0:
                raise CommitConflict("the dataset exists already")
            self._shared |= check_conflict(mine.operation, theirs.operation)
            self._others.append((manifest, theirs.operation))
        self.may_be_committed = False
        return None

    def _version(self, version: int, latest: Manifest) -> Manifest:
        """Return a version between the one that was looked at and the latest."""
        try:
            return read_manifest(self._store, manifest_path(version, latest.scheme or self._scheme))
        except FileNotFoundError:
            raise CommitConflict(
                f"version {version} is gone, and with it what it changed", retryable=True
            ) from None

    def _restored(self, version: int) -> Manifest:
        try:
            restored = manifest_of(self._store, version)
        except FileNotFoundError:
            raise OptionError(f"there is no version {version} to restore") from None
        check_writable(restored)
        return restored

    def _looked_at(self, latest: Manifest) -> Manifest:
        """Return the version that the transaction looked at."""
        if self._base is None:
            self._base = self._version(self._transaction.read_version, latest)
        return self._base

    def _rebased(self, latest: Manifest) -> Transaction:
        """Return the transaction as it is to be committed over what others did."""
        transaction = replace(self._transaction, operation=self._with_fields(latest))
        self._drop_deletions()
        if not self._shared:
            return transaction
        return replace(
            transaction, operation=self._with_deletions(transaction, latest), read_version=latest.version
        )

    def _with_fields(self, latest: Manifest) -> Operation:
        """Return the operation with field ids that mean what they did when its files were written."""
        operation = self._transaction.operation
        if isinstance(operation, Project) and any(
            isinstance(theirs, _WITH_ROWS) for _, theirs in self._others
        ):
            check_still_nullable(self._looked_at(latest).schema, operation.schema)
        changed = [manifest for manifest, theirs in self._others if isinstance(theirs, _WITH_SCHEMA)]
        if not changed or isinstance(operation, Overwrite | Restore):
            return operation
        history = [self._looked_at(latest).schema, *(manifest.schema for manifest in changed)]
        check_same_fields(_changed_fields(operation), history)
        if isinstance(operation, Append):
            return replace(operation, fragments=with_current_meaning(operation.fragments, history))
        if isinstance(operation, Update):
            return replace(operation, new_fragments=with_current_meaning(operation.new_fragments, history))
        return operation

    def _with_deletions(self, transaction: Transaction, latest: Manifest) -> Delete | Update:
        """Return the operation with new deletion files, for fragments of which others deleted rows too."""
        operation = transaction.operation
        if not isinstance(operation, Delete | Update):
            raise CommitConflict(
                f"{type(operation).__name__} cannot be rebased on deleted rows", retryable=True
            )
        before = {found.id: found for found in self._looked_at(latest).fragments if found.id in self._shared}
        now = {found.id: found for found in latest.fragments if found.id in self._shared}
        updated, emptied = [], []
        for fragment in operation.updated_fragments:
            if fragment.id not in self._shared:
                updated.append(fragment)
                continue
            if fragment.id not in before or fragment.id not in now:
                raise CommitConflict(f"fragment {fragment.id} is gone", retryable=True)
            union = self._union(before[fragment.id], fragment, now[fragment.id])
            if len(union) == now[fragment.id].physical_rows:
                emptied.append(fragment.id)
                continue
            deletion = write_deletions(self._store, fragment.id, latest.version, union)
            self._deletion_files.append(deletion.path(fragment.id))
            updated.append(replace(now[fragment.id], deletion_file=deletion))
        if isinstance(operation, Delete):
            gone = (*operation.deleted_fragment_ids, *emptied)
            return replace(operation, updated_fragments=tuple(updated), deleted_fragment_ids=gone)
        gone = (*operation.removed_fragment_ids, *emptied)
        return replace(operation, updated_fragments=tuple(updated), removed_fragment_ids=gone)

    def _union(
        self, before: FragmentMetadata, mine: FragmentMetadata, now: FragmentMetadata
    ) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """Return all rows of a fragment that are deleted in the end.

        Raises
        ------
        CommitConflict
            Somebody else deleted one that this transaction means to delete.
        """
        base = read_deletions(self._store, before)
        wanted = np.setdiff1d(read_deletions(self._store, mine), base, assume_unique=True)
        current = read_deletions(self._store, now)
        both = np.intersect1d(wanted, current, assume_unique=True)
        if len(both):
            raise CommitConflict(
                f"{len(both)} rows of fragment {now.id} that are to be deleted are deleted already",
                retryable=True,
            )
        return np.union1d(current, wanted)


def _changed_fields(operation: Operation) -> set[int]:
    """Return the fields that an operation changes in place, which must not be others by now."""
    if isinstance(operation, Update):
        return {*operation.fields_modified, *_fields(operation.updated_fragments)}
    if isinstance(operation, Rewrite):
        return {id_ for group in operation.groups for id_ in _fields(group.new_fragments)}
    if isinstance(operation, DataReplacement):
        return {id_ for _, file in operation.replacements for id_ in file.fields}
    if isinstance(operation, CreateIndex):
        return {id_ for index in operation.new_indices for id_ in index.fields}
    return set(operation.field_metadata) if isinstance(operation, UpdateConfig) else set()


def _fields(fragments: tuple[FragmentMetadata, ...]) -> set[int]:
    return {id_ for fragment in fragments for file in fragment.files for id_ in file.fields}
