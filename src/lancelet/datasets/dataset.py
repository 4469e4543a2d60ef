"""Datasets as users see them: one version of a table, to be read, changed and travelled through."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lancelet.datasets.reads import ReadableDataset
from lancelet.errors import CommitConflict, OptionError, UnsupportedError
from lancelet.schema.project import find_field
from lancelet.table.changes.cleanup import CleanupPolicy, clean_up, plan_cleanup
from lancelet.table.changes.deleting import delete_rows
from lancelet.table.changes.evolve import add_columns, alter_columns, drop_columns
from lancelet.table.changes.schema_changes import Alteration
from lancelet.table.changes.validate import find_problems
from lancelet.table.commits.commit import commit_transaction, transaction_of
from lancelet.table.commits.field_ids import next_field_id
from lancelet.table.formats.manifest import (
    check_writable,
    latest_manifest,
    list_versions,
    manifest_of,
    read_manifest,
)
from lancelet.table.formats.operations import CreateIndex, MapUpdate, Restore, UpdateConfig
from lancelet.table.formats.tags import Tags
from lancelet.table.formats.transaction import Transaction
from lancelet.table.formats.versions import summary
from lancelet.table.inputs.accepted import CLEANUP_REFUSED, OPEN_REFUSED, check_others, refuse
from lancelet.table.inputs.arguments import check_number, check_progress, names_of, texts_of
from lancelet.table.inputs.places import open_store
from lancelet.table.reads.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

    from lancelet.datasets.optimize import DatasetOptimizer
    from lancelet.storage import Store
    from lancelet.table.changes.cleanup import CleanupPlan, CleanupStats
    from lancelet.table.formats.manifest import Manifest
    from lancelet.table.formats.operations import Operation
    from lancelet.table.formats.versions import DatasetVersion
    from lancelet.table.reads.session import Session

    Columns = Sequence[str] | Mapping[str, str] | None
    Progress = Callable[[int, int | None], None] | None

__all__ = ["Dataset", "dataset"]

#: How often a deletion is made anew, if others delete or rewrite the same rows meanwhile.
_RETRIES = 10


def dataset(
    uri: Any,
    version: int | str | None = None,
    asof: datetime | None = None,
    block_size: int | None = None,
    commit_lock: None = None,
    index_cache_size: int | None = None,
    storage_options: None = None,
    default_scan_options: None = None,
    metadata_cache_size_bytes: int | None = None,
    index_cache_size_bytes: int | None = None,
    read_params: None = None,
    session: Session | None = None,
    *,
    tag: str | None = None,
    **others: Any,
) -> Dataset:
    """Open a dataset.

    Parameters
    ----------
    uri
        Path of its folder, or a :class:`~lancelet.storage.Store`.
    version
        A version, or the name of a tag; by default the latest version.
    asof
        The last version that was there at a time; a time without a zone is local.
    block_size, index_cache_size, metadata_cache_size_bytes, index_cache_size_bytes
        Taken for the sake of programs that give them; what is kept is bounded by the session.
    commit_lock, storage_options, default_scan_options, read_params, **others
        Not supported; ``None`` is taken, as for `namespace_client`, `table_id` and `base_store_params`.
    session
        Open files that several datasets share; by default one of its own.
    tag
        The name of a tag.

    Raises
    ------
    FileNotFoundError
        There is no dataset, or no such version.
    FormatError
        The manifest is damaged.
    OptionError
        There is no such tag, more than one of `version`, `asof` and `tag` is given, one is of a wrong type, or an argument is
        unknown.
    UnsupportedError
        The dataset uses features that are not handled, or an argument asks for what is not supported; the message names them.

    Examples
    --------
    >>> lancelet.dataset("flights.lance").count_rows("dep_delay > 60")  # doctest: +SKIP
    27059
    """
    check_others(others, ("uri", "version", "asof", "tag", "session"), OPEN_REFUSED)
    refuse(
        {
            "commit_lock": commit_lock,
            "storage_options": storage_options,
            "default_scan_options": default_scan_options,
            "read_params": read_params,
        }
    )
    if sum(given is not None for given in (version, asof, tag)) > 1:
        raise OptionError("give one of version, asof and tag")
    store = open_store(uri)
    reference = tag if version is None else version
    if asof is not None:
        manifest = _manifest_asof(store, asof)
    elif reference is not None:
        manifest = _manifest_at(store, reference)
    else:
        found = latest_manifest(store)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "there is no dataset", store.name)
        manifest = found
    return Dataset(store, manifest, session)


def _manifest_at(store: Store, reference: int | str) -> Manifest:
    number = Tags(store).get_version(reference) if isinstance(reference, str) else reference
    try:
        return manifest_of(store, number)
    except FileNotFoundError:
        raise FileNotFoundError(
            errno.ENOENT, f"there is no version {number} of the dataset", store.name
        ) from None


def _manifest_asof(store: Store, asof: datetime) -> Manifest:
    if not isinstance(asof, datetime):
        raise OptionError(f"asof is {asof!r}; it must be a datetime")
    try:
        moment = asof.astimezone(UTC)
    except (ValueError, OverflowError):
        raise OptionError(f"asof is {asof!r}, which is no time in UTC") from None
    for _, path in reversed(list_versions(store)):
        manifest = read_manifest(store, path)
        if manifest.timestamp <= moment:
            return manifest
    raise FileNotFoundError(errno.ENOENT, f"there was no version of the dataset at {asof}", store.name)


class Dataset(ReadableDataset):
    """A version of a dataset. Made by :func:`dataset` and :func:`~lancelet.datasets.writing.write_dataset`.

    Methods that change the dataset commit a new version and go on with it; other objects keep the version that they have. May be
    shared by threads as long as none of them changes it. Pickled, it carries its version.

    Parameters
    ----------
    store, manifest, session
        See :class:`~lancelet.datasets.reads.ReadableDataset`, which has the methods that read.
    """

    # ---- changing rows

    def insert(self, data: Any, *, mode: str = "append", **options: Any) -> None:
        """Add rows, or replace all; see :func:`~lancelet.datasets.writing.write_dataset`."""
        from lancelet.datasets.writing import write_dataset  # it makes datasets

        self._set(write_dataset(data, self, mode=mode, **options).manifest)

    def delete(
        self,
        predicate: Any,
        *,
        conflict_retries: int = _RETRIES,
        retry_timeout: timedelta | None = None,
    ) -> dict[str, int]:
        """Delete the rows that satisfy a predicate.

        Parameters
        ----------
        predicate
            Which rows: an expression in SQL, or one of ``pyarrow.compute``.
        conflict_retries
            How often to begin anew when others have deleted or moved the same rows meanwhile.
        retry_timeout
            How long after its beginning this is still begun anew; by default as long as there are retries left.

        Returns
        -------
        dict
            ``num_deleted_rows``.

        Raises
        ------
        CommitConflict
            Others were faster each time, or replaced all rows.
        OptionError
            There is no predicate, it is no condition, or it names a column that does not exist; or `retry_timeout` is no timedelta.
        """
        check_number("conflict_retries", conflict_retries, 0, optional=False)
        if retry_timeout is not None and not isinstance(retry_timeout, timedelta):
            raise OptionError(f"retry_timeout is {retry_timeout!r}; it must be a timedelta")
        check_writable(self._manifest)
        started = time.monotonic()
        snapshot, version = self._snapshot, self.version
        for attempt in range(conflict_retries + 1):
            deletion = delete_rows(snapshot, predicate, version)
            try:
                self._commit(deletion.operation, version, deletion.files)
                break
            except CommitConflict as error:
                if not error.retryable or attempt == conflict_retries:
                    raise
                if retry_timeout is not None and time.monotonic() - started > retry_timeout.total_seconds():
                    raise
            time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))
            latest = self._latest()
            snapshot, version = Snapshot(self._store, latest, self._session), latest.version
        return {"num_deleted_rows": deletion.num_rows}

    # ---- changing columns

    def add_columns(
        self,
        transforms: Any,
        read_columns: Sequence[str] | None = None,
        reader_schema: pa.Schema | None = None,
        batch_size: int | None = None,
        *,
        progress: Progress = None,
    ) -> None:
        """Add columns; existing data files stay as they are.

        Parameters
        ----------
        transforms, read_columns, reader_schema, batch_size, progress
            See :func:`~lancelet.table.changes.evolve.add_columns`: SQL expressions, a function over batches, a reader, or
            Arrow fields.

        Raises
        ------
        CommitConflict
            The rows or columns of the dataset have changed meanwhile.
        OptionError
            A column exists already, or its values cannot be made or stored.

        Examples
        --------
        >>> ds.add_columns({"speed": "distance / (air_time / 60.0)"})  # doctest: +SKIP
        """
        manifest = self._manifest
        check_writable(manifest)
        evolution = add_columns(
            self._snapshot,
            transforms,
            next_field_id(manifest, *self._newer()),
            manifest.storage_version,
            read_columns=read_columns,
            reader_schema=reader_schema,
            batch_size=batch_size,
            progress=progress,
        )
        self._commit(evolution.operation, manifest.version, evolution.files)

    def drop_columns(self, columns: Sequence[str]) -> None:
        """Drop columns, ``"a.b"`` for a child of a struct. Files stay as they are, until they are compacted.

        Raises
        ------
        CommitConflict
            The columns of the dataset have changed meanwhile.
        OptionError
            A column does not exist, or none would be left.
        UnsupportedError
            A secondary index covers a column; drop the index first.
        """
        operation, gone = drop_columns(self.fields, columns)
        self._check_no_index(gone)
        self._commit(operation, self.version)

    def alter_columns(self, *alterations: Mapping[str, Any], progress: Progress = None) -> None:
        """Rename columns, allow or forbid nulls, or change types.

        Parameters
        ----------
        *alterations
            Mappings with the keys ``path``, and ``name``, ``nullable`` or ``data_type``.
        progress
            Called with the rows that are done, and all rows, where a type changes.

        Raises
        ------
        CommitConflict
            The rows or columns of the dataset have changed meanwhile.
        OptionError
            A column does not exist, or has values that it may not have any more.
        UnsupportedError
            A secondary index covers a column whose type would change; drop the index first.

        Examples
        --------
        >>> ds.alter_columns({"path": "dep_delay", "name": "delay", "data_type": pa.int32()})  # doctest: +SKIP
        """
        manifest = self._manifest
        check_writable(manifest)
        wanted = [Alteration.parse(alteration) for alteration in alterations]
        first_id = next_field_id(manifest, *self._newer())
        self._check_no_index(
            {id_ for one in wanted if one.data_type is not None for id_ in self._ids_of(one.path)}
        )
        evolution = alter_columns(
            self._snapshot, wanted, first_id, manifest.storage_version, progress=progress
        )
        self._commit(evolution.operation, manifest.version, evolution.files)

    def _ids_of(self, path: str) -> set[int]:
        top = find_field(self.fields, path)[0]
        return {field.id for field in top.walk()}

    def _check_no_index(self, fields: set[int]) -> None:
        for index in self._manifest.indices:
            if fields & {*index.fields, *index.covering_fields}:
                raise UnsupportedError(
                    f"index {index.name!r} covers a column that would go, and cannot be made anew here; "
                    f"drop it first: drop_index({index.name!r})"
                )

    def drop_index(self, name: str) -> None:
        """Drop a secondary index; its files go with the next clean-up.

        Raises
        ------
        OptionError
            There is no such index.
        """
        removed = tuple(index for index in self._manifest.indices if index.name == name)
        if not removed:
            known = ", ".join(sorted({repr(index.name) for index in self._manifest.indices})) or "none"
            raise OptionError(f"there is no index {name!r}; there are {known}")
        self._commit(CreateIndex(removed_indices=removed), self.version)

    @property
    def optimize(self) -> DatasetOptimizer:
        """What makes the dataset smaller and faster to read: compaction."""
        from lancelet.datasets.optimize import DatasetOptimizer  # few programs compact

        return DatasetOptimizer(self)

    # ---- settings and notes

    def update_config(self, values: Mapping[str, str | None], *, replace: bool = False) -> dict[str, str]:
        """Set or, with ``None``, remove settings of the dataset; or replace all. Returns all settings."""
        self._update(UpdateConfig(config=MapUpdate(texts_of(values), replace)))
        return self.config()

    def delete_config_keys(self, keys: Iterable[str]) -> None:
        """Remove settings."""
        self.update_config(dict.fromkeys(names_of("keys", keys)))

    def update_metadata(self, values: Mapping[str, str | None], *, replace: bool = False) -> dict[str, str]:
        """Set or, with ``None``, remove what is noted of the table; or replace all. Returns all of it."""
        self._update(UpdateConfig(table_metadata=MapUpdate(texts_of(values), replace)))
        return self.metadata

    def update_schema_metadata(
        self, values: Mapping[str, str | None], *, replace: bool = False
    ) -> dict[str, str]:
        """Set or, with ``None``, remove metadata of the schema; or replace all. Returns all of it."""
        self._update(UpdateConfig(schema_metadata=MapUpdate(texts_of(values), replace)))
        return self.schema_metadata

    def replace_schema_metadata(self, new_metadata: Mapping[str, str]) -> None:
        """Replace all metadata of the schema."""
        self.update_schema_metadata(new_metadata, replace=True)

    def update_field_metadata(
        self, field_updates: Mapping[str, Mapping[str, str | None]], *, replace: bool = False
    ) -> None:
        """Set or, with ``None``, remove metadata of fields, by their paths; or replace all of these fields."""
        if not isinstance(field_updates, Mapping):
            raise OptionError(f"updates of fields are a mapping of paths, not {type(field_updates).__name__}")
        updates = {
            find_field(self.fields, path)[-1].id: MapUpdate(texts_of(values), replace)
            for path, values in field_updates.items()
        }
        self._update(UpdateConfig(field_metadata=updates))

    def replace_field_metadata(self, field_name: str, new_metadata: Mapping[str, str]) -> None:
        """Replace all metadata of a field."""
        self.update_field_metadata({field_name: new_metadata}, replace=True)

    def _update(self, operation: UpdateConfig) -> None:
        self._commit(operation, self.version)

    # ---- versions

    def versions(self) -> list[DatasetVersion]:
        """Return number, time and totals of all versions, the oldest first. Reads every manifest.

        Times are local ones without a zone, as pylance gives them, and as :func:`dataset` takes them for `asof`.
        """
        found = [summary(read_manifest(self._store, path)) for _, path in list_versions(self._store)]
        for version in found:
            version["timestamp"] = version["timestamp"].astimezone().replace(tzinfo=None)
        return found

    def checkout_version(self, version: int | str) -> Dataset:
        """Return another version, by number or by the name of a tag.

        Raises
        ------
        FileNotFoundError
            There is no such version.
        OptionError
            There is no such tag.
        """
        return Dataset(self._store, _manifest_at(self._store, version), self._session)

    def checkout_latest(self) -> None:
        """Go on with the newest version."""
        self._set(self._latest())

    def restore(self) -> None:
        """Make this version the newest one again, as a new version.

        Raises
        ------
        CommitConflict
            Others were faster each time.
        """
        latest = self._latest()
        self._commit(Restore(self.version), latest.version)

    def read_transaction(self, version: int) -> Transaction | None:
        """Return what made a version; ``None``: it does not say."""
        return transaction_of(self._store, _manifest_at(self._store, version))

    def get_transactions(self, recent_transactions: int = 10) -> list[Transaction | None]:
        """Return what made the newest versions up to this one, the newest first."""
        check_number("recent_transactions", recent_transactions, 0, optional=False)
        paths = [path for number, path in list_versions(self._store) if number <= self.version]
        wanted = paths[: -recent_transactions - 1 : -1]
        return [transaction_of(self._store, read_manifest(self._store, path)) for path in wanted]

    def cleanup_old_versions(
        self,
        older_than: timedelta | None = None,
        retain_versions: int | None = None,
        *,
        delete_unverified: bool = False,
        error_if_tagged_old_versions: bool = True,
        progress: Callable[[int, int], None] | None = None,
        **others: Any,
    ) -> CleanupStats:
        """Remove old versions, and the files that no other version needs.

        Parameters
        ----------
        older_than, retain_versions, delete_unverified, error_if_tagged_old_versions
            Which; see :class:`~lancelet.table.changes.cleanup.CleanupPolicy`.
        progress
            Called with the files that are removed, and all of them.
        **others
            ``None`` for what is not supported: `versions`, `delete_rate_limit`, `delete_concurrency`.

        Raises
        ------
        FormatError, UnsupportedError
            A manifest cannot be read, so that nobody knows what it needs; nothing is removed. Or an argument is not supported.
        OptionError
            A tagged version is among those that would go.
        """
        check_progress(progress)
        known = (
            "older_than",
            "retain_versions",
            "delete_unverified",
            "error_if_tagged_old_versions",
            "progress",
        )
        check_others(others, known, CLEANUP_REFUSED)
        plan = self.plan_cleanup(
            older_than,
            retain_versions,
            delete_unverified=delete_unverified,
            error_if_tagged_old_versions=error_if_tagged_old_versions,
        )
        return clean_up(self._store, plan, progress=progress)

    def plan_cleanup(
        self,
        older_than: timedelta | None = None,
        retain_versions: int | None = None,
        *,
        delete_unverified: bool = False,
        error_if_tagged_old_versions: bool = True,
    ) -> CleanupPlan:
        """Return what :meth:`cleanup_old_versions` would remove; nothing is."""
        policy = CleanupPolicy(older_than, retain_versions, delete_unverified, error_if_tagged_old_versions)
        return plan_cleanup(self._store, policy, current=self.version)

    def validate(self, *, read_data: bool = False, progress: Progress = None) -> None:
        """Check that everything that this version names is there, and fits together.

        Parameters
        ----------
        read_data
            Decode all rows too.
        progress
            Called with the fragments that are done, and all of them.

        Raises
        ------
        FormatError, UnsupportedError
            Something is not as it should be; further problems are notes of the error.
        """
        problems = list(find_problems(self._snapshot, self._manifest, read_data=read_data, progress=progress))
        if problems:
            first = problems[0]
            for other in problems[1:]:
                first.add_note(f"also: {other}")
            raise first

    # ---- committing

    def _latest(self) -> Manifest:
        found = latest_manifest(self._store)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "there is no dataset any more", self._store.name)
        return found

    def _newer(self) -> list[Manifest]:
        """Return the latest version, if it is another: ids that it uses are not free."""
        latest = self._latest()
        return [] if latest.version == self.version else [latest]

    def _commit(self, operation: Operation, read_version: int, files: Sequence[str] = ()) -> None:
        """Commit, and go on with the new version; `files` that were written for it are removed if it is refused."""
        transaction = Transaction(read_version, operation)
        base = self._manifest if self.version == read_version else None
        manifest = commit_transaction(self._store, transaction, files=files, base=base)
        self._set(manifest)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Dataset, (self._store, self._manifest))

    def __repr__(self) -> str:
        return f"<lancelet.Dataset {self.uri!r}: version {self.version}, {len(self.schema)} columns>"
