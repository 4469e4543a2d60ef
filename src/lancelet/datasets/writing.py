"""Writing datasets: rows become fragments, and a commit makes them visible (dataset.md 3.3, 3.5)."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lancelet.datasets.dataset import Dataset
from lancelet.errors import OptionError, UnsupportedError
from lancelet.schema.fields import Schema
from lancelet.schema.limits import check_version
from lancelet.table.changes.blob_values import rows_with_values
from lancelet.table.changes.write_files import (
    DEFAULT_BYTES_PER_FILE,
    DEFAULT_ROWS_PER_FILE,
    FileLimits,
    FragmentWriter,
    fields_for,
)
from lancelet.table.commits.commit import ATTEMPTS, commit_transaction
from lancelet.table.commits.field_ids import check_ids
from lancelet.table.formats.column_names import check_names
from lancelet.table.formats.manifest import check_writable, latest_manifest
from lancelet.table.formats.names import Scheme
from lancelet.table.formats.operations import Append, Overwrite, Restore
from lancelet.table.formats.transaction import Transaction
from lancelet.table.inputs.accepted import COMMIT_REFUSED, WRITE_IGNORED, WRITE_REFUSED, check_others, refuse
from lancelet.table.inputs.arguments import check_progress, texts_of
from lancelet.table.inputs.data import rows_of
from lancelet.table.inputs.places import open_store
from lancelet.table.reads.fragment import Fragment
from lancelet.table.reads.scanner import Scanner
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from lancelet.storage import Store
    from lancelet.table.formats.manifest import Manifest
    from lancelet.table.formats.metadata import FragmentMetadata
    from lancelet.table.formats.operations import Operation
    from lancelet.table.inputs.data import Rows
    from lancelet.table.reads.session import Session

    Progress = Callable[[int, int | None], None] | None

__all__ = ["COMMIT_MESSAGE", "commit", "write_dataset", "write_fragments"]

_MODES = ("create", "append", "overwrite")
#: Options of writers of files that writers of datasets have too.
WRITER_OPTIONS = (
    "data_cache_bytes",
    "max_page_bytes",
    "keep_original_array",
    "columns",
    "compression_params",
    "profile",
    "encoding_strategy",
    "page_spill",
    "page_spill_bytes",
    "buffer_alignment",
)
#: The property of a transaction that holds the message of a commit.
COMMIT_MESSAGE = "__lance_commit_message"


@dataclass(frozen=True, slots=True)
class _Options:
    """How data files are written."""

    limits: FileLimits
    version: Version | None
    writer: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = None


def write_dataset(
    data_obj: Any,
    uri: Any,
    schema: pa.Schema | None = None,
    mode: str = "create",
    *,
    max_rows_per_file: int = DEFAULT_ROWS_PER_FILE,
    max_rows_per_group: int | None = None,
    max_bytes_per_file: int = DEFAULT_BYTES_PER_FILE,
    data_storage_version: str | Version | None = None,
    enable_stable_row_ids: bool = False,
    enable_v2_manifest_paths: bool = True,
    commit_message: str | None = None,
    transaction_properties: Mapping[str, str] | None = None,
    progress: Progress = None,
    session: Session | None = None,
    **writer_options: Any,
) -> Dataset:
    """Write rows as a dataset, or add them to one. Memory stays within a few batches; nothing is visible before the commit.

    Parameters
    ----------
    data_obj
        A table, batches, a reader, any object with an Arrow stream (a data frame, a relation), a dataset, a fragment or a scanner,
        whose blobs come with their values, a mapping of names to columns, or an iterable of batches.
    uri
        Path of the folder, a store, or a dataset, whose version is the one that the rows go with.
    schema
        What the rows are cast to; needed for an iterable that may be empty.
    mode
        ``"create"``: there must be no dataset yet. ``"append"``: add the rows to those that are there. ``"overwrite"``: a new
        version with nothing but these rows. The last two create the dataset where there is none.
    max_rows_per_file, max_bytes_per_file
        Where data files end, each of which is a fragment; see :class:`~lancelet.table.changes.write_files.FileLimits`.
    max_rows_per_group
        Taken for the sake of programs that give it: only files of the first format had groups.
    data_storage_version
        File version: ``"2.0"``, ``"2.1"``, ``"2.2"`` or ``"stable"`` (2.2), by default that of the dataset, and 2.2 for new ones.
        Rows are always appended in that of the dataset.
    enable_stable_row_ids
        Give rows ids that they keep; for new datasets only.
    enable_v2_manifest_paths
        Name manifests so that the newest is listed first; for new datasets only.
    commit_message, transaction_properties
        What is noted in the transaction.
    progress
        Called with the rows that are written, and all rows or ``None``, at the start and after every batch.
    session
        What the dataset that is returned keeps open; by default that of `uri`, if it is a dataset.
    **writer_options
        Further options of :class:`~lancelet.file.writer.FileWriter`: ``profile``, ``columns``, ``max_page_bytes`` … And arguments
        of pylance that are not supported, as ``storage_options``, if they are ``None``.

    Raises
    ------
    CommitConflict
        Somebody else created the dataset, or changed it so that the two do not go together.
    OptionError
        The dataset exists already, an option is unknown or out of range, or the rows do not fit the dataset, or the file version.
    UnsupportedError
        An argument asks for what is not supported; or the dataset can only be read.

    Examples
    --------
    >>> import pyarrow as pa
    >>> ds = write_dataset(pa.table({"n": [1, 2, 3]}), "numbers.lance")  # doctest: +SKIP
    """
    options = _options(max_rows_per_file, max_bytes_per_file, data_storage_version, writer_options, progress)
    store, latest = _target(uri, mode)
    if mode == "create" and latest is not None:
        raise OptionError(
            f"there is a dataset at {store.name} already; mode='append' adds to it, 'overwrite' replaces its rows"
        )
    if enable_stable_row_ids and latest is not None and not latest.has_stable_row_ids:
        raise OptionError("stable row ids can be had only from the start: the dataset has none")
    rows = rows_of(_streamed(data_obj), schema)
    properties = texts_of({} if transaction_properties is None else transaction_properties, may_be_none=False)
    if commit_message is not None:
        properties |= texts_of({COMMIT_MESSAGE: commit_message}, may_be_none=False)
    operation, paths = _written(store, latest, rows, mode, options)
    read_version = 0 if latest is None else latest.version
    manifest = commit_transaction(
        store,
        Transaction(read_version, operation, properties=properties),
        scheme=Scheme.V2 if enable_v2_manifest_paths else Scheme.V1,
        storage_version=_storage_version(latest, mode, options.version),
        stable_row_ids=enable_stable_row_ids,
        files=paths,
        base=latest,
    )
    if session is None and isinstance(uri, Dataset):
        session = uri.session
    return Dataset(store, manifest, session)


def write_fragments(
    data: Any,
    dataset_uri: Any,
    schema: pa.Schema | None = None,
    *,
    return_transaction: bool = False,
    mode: str = "append",
    max_rows_per_file: int = DEFAULT_ROWS_PER_FILE,
    max_rows_per_group: int | None = None,
    max_bytes_per_file: int = DEFAULT_BYTES_PER_FILE,
    data_storage_version: str | Version | None = None,
    progress: Progress = None,
    **writer_options: Any,
) -> list[FragmentMetadata] | Transaction:
    """Write rows as data files and commit nothing, so that many programs can write and one can commit what they wrote.

    Parameters
    ----------
    return_transaction
        Return a transaction for :func:`commit` in place of fragments.
    data, schema, mode, max_rows_per_file, max_rows_per_group, max_bytes_per_file, data_storage_version, progress, **writer_options
        See :func:`write_dataset`.
    dataset_uri
        Where the dataset lies, or will.

    Returns
    -------
    list[FragmentMetadata] or Transaction
        What was written: it pickles. Files that are never committed go with a clean-up.

    Raises
    ------
    OptionError
        See :func:`write_dataset`.
    """
    options = _options(max_rows_per_file, max_bytes_per_file, data_storage_version, writer_options, progress)
    store, latest = _target(dataset_uri, mode)
    operation, _ = _written(store, latest, rows_of(_streamed(data), schema), mode, options)
    if return_transaction:
        return Transaction(0 if latest is None else latest.version, operation)
    return list(operation.fragments)


def commit(
    base_uri: Any,
    operation: Operation | Transaction,
    read_version: int | None = None,
    commit_lock: None = None,
    storage_options: None = None,
    enable_v2_manifest_paths: bool | None = None,
    detached: bool = False,
    max_retries: int = ATTEMPTS,
    *,
    commit_message: str | None = None,
    enable_stable_row_ids: bool | None = None,
    data_storage_version: str | Version | None = None,
    **others: Any,
) -> Dataset:
    """Commit an operation: make its fragments, or its change, a new version.

    Parameters
    ----------
    base_uri
        Where the dataset lies; see :func:`write_dataset`.
    operation
        The operation, or a whole transaction.
    read_version
        The version that the operation was made from; needed for all but Overwrite and Restore, for which it is the latest, and
        transactions.
    max_retries
        How often to try, when others commit at the same time.
    enable_v2_manifest_paths, enable_stable_row_ids, data_storage_version
        For a dataset that is created; see :func:`write_dataset`.
    commit_message
        What is noted in the transaction.
    commit_lock, storage_options, detached, **others
        Not supported; ``None`` or ``False`` is taken, as for other arguments of pylance.

    Raises
    ------
    CommitConflict
        Others have changed the dataset since so that the two do not go together.
    FileNotFoundError
        There is no dataset.
    OptionError
        There is no read version, or the operation contradicts itself or the dataset.
    UnsupportedError
        An argument asks for what is not supported; or the dataset can only be read.
    """
    known = (
        "read_version",
        "enable_v2_manifest_paths",
        "max_retries",
        "commit_message",
        "enable_stable_row_ids",
    )
    check_others(others, known, COMMIT_REFUSED)
    refuse({"commit_lock": commit_lock, "storage_options": storage_options, "detached": detached})
    store = open_store(base_uri)
    if isinstance(operation, Transaction):
        transaction = operation
    else:
        properties = {} if commit_message is None else {COMMIT_MESSAGE: commit_message}
        transaction = Transaction(
            _read_version(store, operation, read_version), operation, properties=properties
        )
    version = None if data_storage_version is None else Version.parse(data_storage_version)
    manifest = commit_transaction(
        store,
        transaction,
        scheme=Scheme.V1 if enable_v2_manifest_paths is False else Scheme.V2,
        storage_version=version,
        stable_row_ids=bool(enable_stable_row_ids),
        attempts=max_retries,
    )
    return Dataset(store, manifest)


def _target(uri: Any, mode: str) -> tuple[Store, Manifest | None]:
    """Return where rows are written, and the version that the writer looks at: that of a dataset that is given, else the latest.

    Raises
    ------
    OptionError
        There is no such mode.
    UnsupportedError
        The dataset can only be read.
    """
    store = open_store(uri)
    if mode not in _MODES:
        raise OptionError(f"mode is {mode!r}; it may be {', '.join(map(repr, _MODES))}")
    latest = uri.manifest if isinstance(uri, Dataset) else latest_manifest(store)
    if latest is not None:
        check_writable(latest)
    return store, latest


def _streamed(data: Any) -> Any:
    """Return the rows of datasets, fragments and scanners with the values of their blobs, other data as it is."""
    if isinstance(data, (Dataset, Fragment)):
        data = data.scanner()
    return rows_with_values(data) if isinstance(data, Scanner) else data


def _read_version(store: Store, operation: Operation, given: int | None) -> int:
    if given is not None:
        return given
    if isinstance(operation, Overwrite | Restore):
        latest = latest_manifest(store)
        if latest is None and isinstance(operation, Restore):
            raise FileNotFoundError(errno.ENOENT, "there is no dataset", store.name)
        return 0 if latest is None else latest.version
    raise OptionError(f"{type(operation).__name__} needs read_version: the version that it was made from")


def _options(
    max_rows: int,
    max_bytes: int,
    version: str | Version | None,
    writer: Mapping[str, Any],
    progress: Progress,
) -> _Options:
    check_progress(progress)
    if version is not None:
        version = Version.parse(version)
    known = {name: value for name, value in writer.items() if name in WRITER_OPTIONS and value is not None}
    others = {name: value for name, value in writer.items() if name not in WRITER_OPTIONS}
    if others.pop("external_blob_mode", "reference") != "reference":
        raise UnsupportedError("external_blob_mode may be 'reference': objects of the user's are not read")
    check_others(others, WRITER_OPTIONS, WRITE_REFUSED, WRITE_IGNORED)
    return _Options(FileLimits(max_rows, max_bytes), version, known, progress)


def _storage_version(latest: Manifest | None, mode: str, wanted: Version | None) -> Version:
    """Return the file version of new data files."""
    if latest is None:
        return Version.V2_2 if wanted is None else wanted
    if wanted is not None and mode == "append" and wanted != latest.storage_version:
        raise OptionError(
            f"the dataset has data files of version {latest.storage_version}, and rows are not appended in {wanted}; "
            "mode='overwrite' can change the version"
        )
    return latest.storage_version if wanted is None else wanted


def _written(
    store: Store, latest: Manifest | None, rows: Rows, mode: str, options: _Options
) -> tuple[Append | Overwrite, list[str]]:
    """Write the data files; returns the operation that makes them visible, and their paths."""
    version = _storage_version(latest, mode, options.version)
    if not rows.schema.names:
        raise OptionError("the data has no columns; a dataset has at least one")
    if latest is None or mode == "overwrite":
        schema = Schema.from_arrow(rows.schema)
        check_names(schema.fields)
        check_version(schema, version)
        fields = schema
    else:
        schema = latest.schema
        fields = fields_for(schema, rows.schema)
    check_ids(schema)
    writer = FragmentWriter(
        store, fields, rows.schema, version=version, limits=options.limits, options=options.writer
    )
    with writer:
        if options.progress is not None:
            options.progress(0, rows.num_rows)
        for batch in rows.batches:
            writer.write(batch)
            if options.progress is not None:
                options.progress(writer.num_rows, rows.num_rows)
        fragments = tuple(writer.finish())
    if latest is None or mode == "overwrite":
        return Overwrite(schema, fragments), writer.paths
    return Append(fragments), writer.paths
