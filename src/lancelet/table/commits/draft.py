"""A manifest that is being built (dataset.md 3.5): what all operations need, and what is done at the end of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.errors import CommitConflict, OptionError, UnsupportedError
from lancelet.pb import table_pb2
from lancelet.release import VERSION
from lancelet.storage.store import check_path
from lancelet.table.commits.field_ids import MAX_FIELD_ID, max_field_id, missing_field
from lancelet.table.formats.flags import Flag
from lancelet.table.formats.index_section import IndexSection
from lancelet.table.formats.names import transaction_path
from lancelet.table.formats.operations import (
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
from lancelet.table.formats.rowids import RowIds, Versions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sized
    from datetime import datetime

    from lancelet.schema.fields import Schema
    from lancelet.table.formats.manifest import Manifest
    from lancelet.table.formats.metadata import DataFile, FragmentMetadata
    from lancelet.table.formats.transaction import Transaction

__all__ = ["MAX_FRAGMENT_ID", "Draft", "path_without_values"]

MAX_FRAGMENT_ID = 2**32 - 1
_MAX_ROW_ID = 2**64 - 1

#: Operations after which fields or files may be gone, and with them the only trace of an id.
_FORGETFUL = (Delete, Update, Overwrite, Merge, Project, Restore, Rewrite, DataReplacement, UpdateConfig)

#: Readers of the sequences of a fragment: row ids, and the two kinds of versions.
_PARSERS: tuple[Callable[[bytes], Sized], ...] = (RowIds.parse, Versions.parse, Versions.parse)


class Draft:
    """A manifest that is being built: a message of its own, and what is known beside it.

    Parameters
    ----------
    latest
        The version that it follows; ``None``: none.
    transaction
        What changes.
    is_rebased
        There are versions that the writer did not look at.
    stable_row_ids
        Whether a dataset that is created has stable row ids.

    Attributes
    ----------
    message
        The manifest; at first that of the latest version.
    version
        Its number.
    indices
        Its indices.
    is_stable
        Whether rows have stable ids.
    restored
        The version to restore.
    """

    def __init__(
        self, latest: Manifest | None, transaction: Transaction, *, is_rebased: bool, stable_row_ids: bool
    ) -> None:
        self.latest = latest
        self.transaction = transaction
        self.is_rebased = is_rebased
        self.restored: Manifest | None = None
        self.message = table_pb2.Manifest()
        self.indices = IndexSection(latest.index_section if latest else b"")
        self.is_stable = latest.has_stable_row_ids if latest else stable_row_ids
        if latest is not None:
            self.message.CopyFrom(latest.message)
        elif not isinstance(transaction.operation, Overwrite):
            raise OptionError("there is no dataset to change; only an Overwrite creates one")
        self.version = latest.version + 1 if latest else 1
        self.note_highest_id()

    def refuse(self, message: str) -> OptionError | CommitConflict:
        """Return the error for an operation that does not go with the latest version: a conflict if it read another."""
        return CommitConflict(message, retryable=True) if self.is_rebased else OptionError(message)

    def entries(self, ids: Iterable[int]) -> dict[int, table_pb2.DataFragment]:
        """Return the entries of fragments, which may be changed in place."""
        wanted = set(ids)
        found = {entry.id: entry for entry in self.message.fragments if entry.id in wanted}
        if lost := wanted - found.keys():
            raise self.refuse(f"there is no fragment {min(lost)}")
        return found

    def remove(self, ids: Collection[int]) -> None:
        """Remove fragments, which must be there."""
        self.entries(ids)
        if not ids:
            return
        kept = [entry for entry in self.message.fragments if entry.id not in ids]
        rest = table_pb2.Manifest(fragments=kept)
        del self.message.fragments[:]
        self.message.fragments.extend(rest.fragments)

    def add(self, fragments: Iterable[FragmentMetadata], *, keep_ids: bool = False) -> None:
        """Add new fragments that have rows, under new ids unless they bring some and may keep them."""
        for fragment in fragments:
            self.check_new(fragment)
            if fragment.physical_rows == 0:
                continue
            entry = fragment.to_message()
            entry.id = fragment.id if keep_ids and fragment.id else self._next_fragment_id()
            self._set_lineage(entry, fragment)
            self.message.fragments.append(entry)

    def check_new(self, fragment: FragmentMetadata) -> None:
        """Check a fragment that the operation brings."""
        if fragment.physical_rows is None:
            raise OptionError("a new fragment does not say how many rows it has")
        if fragment.deletion_file is not None:
            raise OptionError("a new fragment has deleted rows: their file is named after another fragment")
        if not fragment.files and fragment.physical_rows:
            raise OptionError("a new fragment has rows, and no data file")
        self.check_files(fragment.files, fragment.files)
        listed = {id_ for file in fragment.files for id_ in file.fields}
        path = path_without_values(self.message, listed, self.schema)
        if fragment.physical_rows and path:
            raise self.refuse(f"column {path!r} must not be null, and a new fragment is without it")

    def allow_versions(self, files: Iterable[DataFile]) -> None:
        """Let files of other versions than the dataset's in; only readers that know of such datasets read it then."""
        if any(file.version.text != self.message.data_format.version for file in files):
            self.message.reader_feature_flags |= Flag.MIXED_FILE_VERSIONS

    def note_highest_id(self) -> None:
        """Raise ``max_fragment_id`` to the ids that are there; not every writer sets it.

        Raises
        ------
        OptionError
            An id is too large for row addresses.
        """
        message = self.message
        highest = max((entry.id for entry in message.fragments), default=-1)
        if highest > MAX_FRAGMENT_ID:
            raise OptionError(f"{highest} is no id of a fragment")
        if highest >= 0:
            message.max_fragment_id = max(message.max_fragment_id, highest)

    @property
    def schema(self) -> Schema:
        """The schema that new fragments must suit."""
        operation = self.transaction.operation
        if isinstance(operation, Overwrite | Merge | Project):
            return operation.schema
        if self.latest is None:
            raise OptionError("there is no schema yet")
        return self.latest.schema

    def check_files(self, files: Iterable[DataFile], new: Iterable[DataFile]) -> None:
        """Check data files of one fragment, and more of them if they are new."""
        mixed = bool(self.message.reader_feature_flags & Flag.MIXED_FILE_VERSIONS)
        for file in new:
            check_path(file.path)
            if len(file.fields) != len(file.column_indices):
                raise OptionError(f"data file {file.path!r} does not say a column for each field")
            if file.base_id is not None:
                raise UnsupportedError(
                    f"data file {file.path!r} lies outside of the dataset; it cannot be added"
                )
            if file.version.text != self.message.data_format.version and not mixed:
                raise OptionError(
                    f"data file {file.path!r} is of version {file.version}, in a dataset of version "
                    f"{self.message.data_format.version}"
                )
        seen: set[int] = set()
        for field in (id_ for file in files for id_ in file.fields if id_ >= 0):
            if field in seen:
                raise OptionError(f"field {field} is in a fragment twice")
            seen.add(field)

    def touch(self, entry: table_pb2.DataFragment) -> None:
        """Note that all rows of a fragment have new values."""
        if self.is_stable:
            versions = Versions.constant(entry.physical_rows, self.version).serialize()
            entry.inline_last_updated_at_versions = versions

    def delete_rows(self, fragments: Iterable[FragmentMetadata]) -> None:
        """Give fragments the deletion files that they bring, and remove those without rows."""
        updated = {fragment.id: fragment.deletion_file for fragment in fragments}
        empty = set()
        for id_, entry in self.entries(updated).items():
            deletion = updated[id_]
            if deletion is None or deletion.num_deleted_rows is None:
                raise OptionError(f"fragment {id_} does not say which of its rows are deleted, or how many")
            if deletion.base_id is not None:
                raise UnsupportedError(f"the new deletion file of fragment {id_} lies outside of the dataset")
            if entry.physical_rows and deletion.num_deleted_rows > entry.physical_rows:
                raise OptionError(f"more rows of fragment {id_} are deleted than it has")
            if deletion.num_deleted_rows < entry.deletion_file.num_deleted_rows:
                raise self.refuse(f"deleted rows of fragment {id_} would come back")
            entry.deletion_file.CopyFrom(deletion.to_message())
            if deletion.num_deleted_rows == entry.physical_rows:
                empty.add(id_)
        self.remove(empty)

    def finish(self, timestamp: datetime) -> table_pb2.Manifest:
        """Complete the manifest and return it."""
        message = self.message
        for name in ("index_section", "transaction_section", "transaction_section_moved", "tag"):
            message.ClearField(name)
        message.version = self.version
        self._order_fragments()
        if isinstance(self.transaction.operation, _FORGETFUL):
            self._remember_field_ids()
        message.reader_feature_flags, message.writer_feature_flags = self._flags()
        message.timestamp.FromDatetime(timestamp)
        path = transaction_path(self.transaction.read_version, self.transaction.uuid)
        message.transaction_file = path.rpartition("/")[2]
        message.writer_version.Clear()
        message.writer_version.library = "lancelet"
        message.writer_version.version = VERSION
        return message

    def _order_fragments(self) -> None:
        message = self.message
        ids = [entry.id for entry in message.fragments]
        if len(set(ids)) < len(ids):
            raise self.refuse("two fragments have the same id")
        if ids != sorted(ids):
            message.fragments.sort(key=lambda entry: entry.id)
        self.note_highest_id()

    def _remember_field_ids(self) -> None:
        """Note the highest field id in the config, if the manifest itself no longer shows it."""
        if self.latest is None:
            return
        before, now = max_field_id(self.latest.message), max_field_id(self.message)
        if before > now:
            self.message.config[MAX_FIELD_ID] = str(before)

    def _flags(self) -> tuple[int, int]:
        """Return the flags for readers and writers: what the manifest shows, and those that stay for ever."""
        message = self.message
        shown = message.reader_feature_flags | (
            self.latest.message.reader_feature_flags if self.latest else 0
        )
        flags = shown & Flag.MIXED_FILE_VERSIONS
        if any(entry.HasField("deletion_file") for entry in message.fragments):
            flags |= Flag.DELETION_FILES
        if self.is_stable:
            flags |= Flag.STABLE_ROW_IDS
        if message.base_paths:
            flags |= Flag.BASE_PATHS
        return int(flags), int(flags | (Flag.TABLE_CONFIG if message.config else 0))

    def _next_fragment_id(self) -> int:
        message = self.message
        id_ = message.max_fragment_id + 1 if message.HasField("max_fragment_id") else 0
        if id_ > MAX_FRAGMENT_ID:
            raise OptionError("no ids are left for new fragments")
        message.max_fragment_id = id_
        return id_

    def _set_lineage(self, entry: table_pb2.DataFragment, fragment: FragmentMetadata) -> None:
        """Give a new fragment its row ids and versions, where there are none."""
        names = ("inline_row_ids", "inline_last_updated_at_versions", "inline_created_at_versions")
        given = (fragment.row_ids, fragment.last_updated_at, fragment.created_at)
        if not self.is_stable:
            for name in names:
                entry.ClearField(name)  # type: ignore[arg-type]
            return
        num_rows = entry.physical_rows
        for name, sequence, parse in zip(names, given, _PARSERS, strict=True):
            if sequence is None:
                continue
            if not isinstance(sequence, bytes):
                raise UnsupportedError(f"the {name} of a new fragment lie in a file of their own")
            if len(parse(sequence)) != num_rows:
                raise OptionError(f"the {name} of a new fragment are not one for each of its {num_rows} rows")
        if fragment.row_ids is None:
            start = self.message.next_row_id
            if num_rows > _MAX_ROW_ID - start:
                raise OptionError("no row ids are left")
            entry.inline_row_ids = RowIds.range(start, start + num_rows).serialize()
            self.message.next_row_id = start + num_rows
        versions = Versions.constant(num_rows, self.version).serialize()
        if fragment.last_updated_at is None:
            entry.inline_last_updated_at_versions = versions
        if fragment.created_at is None:
            entry.inline_created_at_versions = versions


def path_without_values(message: table_pb2.Manifest, listed: set[int], schema: Schema) -> str | None:
    """Return the path of a field that must not be null and is not listed; cheap where all may be null."""
    if all(field.nullable for field in message.fields):
        return None
    return missing_field(schema, listed)
