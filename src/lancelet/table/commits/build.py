"""The next manifest, from the latest one and a transaction (dataset.md 3.5). Nothing is read or written here.

Operations say what they change and nothing more: of a fragment that a delete updates only the deletion file is taken, of one that
gets columns only the data files. What the latest manifest says beside that stays, whoever put it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.errors import CommitConflict, OptionError, UnsupportedError
from lancelet.pb import table_pb2
from lancelet.table.commits.draft import MAX_FRAGMENT_ID, Draft, path_without_values
from lancelet.table.commits.field_ids import check_ids, max_field_id, missing_field
from lancelet.table.formats.column_names import check_names
from lancelet.table.formats.index_section import IndexSection
from lancelet.table.formats.metadata import FragmentMetadata
from lancelet.table.formats.operations import (
    Append,
    CreateIndex,
    DataReplacement,
    Delete,
    MapUpdate,
    Merge,
    Overwrite,
    Project,
    ReserveFragments,
    Restore,
    Rewrite,
    Update,
    UpdateConfig,
)
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping
    from datetime import datetime

    from lancelet.schema.fields import Schema
    from lancelet.table.formats.manifest import Manifest
    from lancelet.table.formats.transaction import Transaction

__all__ = ["next_manifest"]


def next_manifest(
    latest: Manifest | None,
    transaction: Transaction,
    *,
    timestamp: datetime,
    is_rebased: bool = False,
    restored: Manifest | None = None,
    storage_version: Version | None = None,
    stable_row_ids: bool = False,
) -> tuple[table_pb2.Manifest, bytes]:
    """Build the manifest of the version after the latest.

    Parameters
    ----------
    latest
        The latest version; ``None``: there is no dataset, and the operation creates it.
    transaction
        What changes; conflicts with versions since its read version are settled. Fragments that it brings must have their
        physical rows, sizes of files and numbers of deleted rows.
    timestamp
        Time of the new version.
    is_rebased
        There are versions that the writer did not look at: what does not fit may be their doing.
    restored
        The version that :class:`Restore` means.
    storage_version
        File version after :class:`Overwrite`; by default that of its data files, or of the dataset, or 2.2.
    stable_row_ids
        Whether a dataset that is created has stable row ids.

    Returns
    -------
    message
        The manifest, without the positions of its sections.
    index_section
        Bytes of the index section, those of the latest version if no index changes; empty: none.

    Raises
    ------
    OptionError
        The operation does not go with the dataset, or contradicts itself.
    CommitConflict
        It does not go with the latest version, though it may have with the one that the writer looked at.
    UnsupportedError
        The result is valid, but cannot be made here: an index would not be true any more, files lie in another place.
    FormatError
        The latest manifest is damaged.
    """
    draft = Draft(latest, transaction, is_rebased=is_rebased, stable_row_ids=stable_row_ids)
    apply = _APPLY.get(type(transaction.operation))
    if apply is None:
        raise OptionError(f"{transaction.operation!r} is no operation that can be committed")
    if isinstance(transaction.operation, Overwrite):
        _set_data_format(draft, transaction.operation, storage_version)
    if isinstance(transaction.operation, Restore):
        draft.restored = restored
    apply(draft, transaction.operation)
    return draft.finish(timestamp), draft.indices.serialize()


def _append(draft: Draft, operation: Append) -> None:
    draft.add(_without_lineage(operation.fragments))


def _without_lineage(fragments: Iterable[FragmentMetadata]) -> Iterable[FragmentMetadata]:
    """Yield fragments without row ids and versions: rows that are new get new ones."""
    for found in fragments:
        yield FragmentMetadata(0, found.files, found.physical_rows, found.deletion_file)


def _delete(draft: Draft, operation: Delete) -> None:
    draft.delete_rows(operation.updated_fragments)
    draft.remove(set(operation.deleted_fragment_ids))


def _overwrite(draft: Draft, operation: Overwrite) -> None:
    message = draft.message
    _set_schema(message, operation.schema, with_metadata=True)
    del message.fragments[:]
    draft.indices.clear()
    message.config.update(operation.config_upsert_values)
    draft.add(_without_lineage(operation.fragments))


def _set_data_format(draft: Draft, operation: Overwrite, version: Version | None) -> None:
    """Set the file version of the data files from now on."""
    if version is None:
        versions = {file.version for fragment in operation.fragments for file in fragment.files}
        kept = draft.latest.storage_version if draft.latest else Version.V2_2
        version = versions.pop() if len(versions) == 1 else kept
    draft.message.data_format.file_format = "lance"
    draft.message.data_format.version = version.text


def _create_index(draft: Draft, operation: CreateIndex) -> None:
    fields = {field.id for field in draft.message.fields}
    for index in operation.new_indices:
        if lost := set(index.fields) - fields:
            raise draft.refuse(f"index {index.name!r} is of field {min(lost)}, which there is not")
    draft.indices.replace(operation.removed_indices, operation.new_indices)


def _rewrite(draft: Draft, operation: Rewrite) -> None:
    if operation.rewritten_indices:
        raise UnsupportedError("indices cannot be rewritten here")
    replaced: list[tuple[set[int], set[int]]] = []
    highest = draft.message.max_fragment_id if draft.message.HasField("max_fragment_id") else -1
    for group in operation.groups:
        old = {fragment.id for fragment in group.old_fragments}
        for id_, entry in draft.entries(old).items():
            _check_same_rows(draft, entry, next(found for found in group.old_fragments if found.id == id_))
        for fragment in group.new_fragments:
            if draft.is_stable and None in (fragment.row_ids, fragment.last_updated_at, fragment.created_at):
                raise OptionError("a fragment of rewritten rows does not say their row ids and versions")
            if fragment.id > highest:
                raise OptionError(f"{fragment.id} is no reserved id of a fragment")
        old_rows = [fragment.num_rows for fragment in group.old_fragments]
        new_rows = [fragment.num_rows for fragment in group.new_fragments]
        if None not in (*old_rows, *new_rows) and sum(filter(None, old_rows)) != sum(filter(None, new_rows)):
            raise OptionError(f"{old_rows} rows of fragments cannot be rewritten as {new_rows}")
        draft.remove(old)
        num_before = len(draft.message.fragments)
        draft.allow_versions(file for fragment in group.new_fragments for file in fragment.files)
        draft.add(group.new_fragments, keep_ids=True)
        replaced.append((old, {entry.id for entry in draft.message.fragments[num_before:]}))
    draft.indices.move_fragments(replaced, is_stable=draft.is_stable)


def _check_same_rows(draft: Draft, entry: table_pb2.DataFragment, read: FragmentMetadata) -> None:
    """Check that a fragment still has the rows and the files that were read of it."""
    latest = FragmentMetadata.from_message(entry)
    if latest.deletion_file != read.deletion_file:
        raise CommitConflict(f"rows of fragment {entry.id} were deleted since they were read", retryable=True)
    if not set(latest.files) <= set(read.files):
        raise draft.refuse(f"fragment {entry.id} has other data files than were read")


def _merge(draft: Draft, operation: Merge) -> None:
    message = draft.message
    _check_evolution(draft, operation.schema, highest=max_field_id(message))
    fragments = {fragment.id: fragment for fragment in operation.fragments}
    entries = draft.entries(fragments)
    if len(entries) < len(message.fragments) or len(fragments) < len(operation.fragments):
        raise draft.refuse("columns are added to other fragments than the dataset has")
    moved: set[int] = set()
    for id_, fragment in fragments.items():
        moved |= _replace_files(draft, entries[id_], fragment)
    _set_schema(message, operation.schema, with_metadata=True)
    _drop_unused_files(message, entries.values())
    draft.indices.check_unmoved(moved)
    draft.indices.check_fields({field.id for field in message.fields})
    _check_never_null(draft, operation.schema)


def _replace_files(draft: Draft, entry: table_pb2.DataFragment, fragment: FragmentMetadata) -> set[int]:
    """Give a fragment other data files; return the fields that it had and that are elsewhere now."""
    if fragment.physical_rows not in (None, entry.physical_rows):
        raise draft.refuse(
            f"fragment {entry.id} has {entry.physical_rows} rows, not {fragment.physical_rows}"
        )
    old = FragmentMetadata.from_message(entry).files
    if old == fragment.files:
        return set()
    draft.check_files(
        fragment.files, [file for file in fragment.files if file.path not in {f.path for f in old}]
    )
    before = {id_: file.path for file in old for id_ in file.fields if id_ >= 0}
    after = {id_: file.path for file in fragment.files for id_ in file.fields if id_ >= 0}
    del entry.files[:]
    entry.files.extend(file.to_message() for file in fragment.files)
    draft.touch(entry)
    return {id_ for id_, path in before.items() if after.get(id_) != path}


def _project(draft: Draft, operation: Project) -> None:
    _check_evolution(draft, operation.schema, highest=None)
    _set_schema(draft.message, operation.schema, with_metadata=False)
    _drop_unused_files(draft.message, draft.message.fragments)
    draft.indices.keep_fields({field.id for field in draft.message.fields})
    _check_never_null(draft, operation.schema)


def _check_evolution(draft: Draft, schema: Schema, highest: int | None) -> None:
    """Check that fields keep what their ids mean, and that new ones (`highest` is given) were never in use."""
    before = {field.id: field.logical_type for field in draft.message.fields}
    for field in schema.walk():
        known = before.get(field.id)
        if known is None and (highest is None or field.id <= highest):
            raise draft.refuse(
                f"field {field.name!r}: its id {field.id} is none of the dataset, or was in use before"
            )
        if known is not None and known != field.logical_type:
            raise draft.refuse(f"field {field.name!r} is of type {known}, and another type needs another id")


def _check_never_null(draft: Draft, schema: Schema) -> None:
    """Check that no fragment is without a field that must not be null."""
    if path_without_values(draft.message, set(), schema) is None:
        return
    for listed in {
        frozenset(id_ for file in entry.files for id_ in file.fields) for entry in draft.message.fragments
    }:
        if path := missing_field(schema, listed):
            raise draft.refuse(f"column {path!r} must not be null, and there are fragments without it")


def _drop_unused_files(message: table_pb2.Manifest, entries: Iterable[table_pb2.DataFragment]) -> None:
    """Remove the data files that hold no field of the schema.

    The last one stays: it is of no use, but no release of the reference reads a fragment without any.
    """
    fields = {field.id for field in message.fields}
    for entry in entries:
        kept = [file for file in entry.files if not fields.isdisjoint(file.fields)] or list(entry.files[:1])
        if len(kept) < len(entry.files):
            rest = table_pb2.DataFragment(files=kept)
            del entry.files[:]
            entry.files.extend(rest.files)


def _restore(draft: Draft, operation: Restore) -> None:
    latest, restored = draft.latest, draft.restored
    if latest is None or restored is None or restored.version != operation.version:
        raise OptionError(f"version {operation.version} is to be restored, and was not given")
    if restored.has_stable_row_ids != latest.has_stable_row_ids:
        raise OptionError(f"version {operation.version} differs from the latest in having stable row ids")
    highest = draft.message.max_fragment_id if draft.message.HasField("max_fragment_id") else None
    draft.message.CopyFrom(restored.message)
    draft.indices = IndexSection(restored.index_section)
    draft.message.next_row_id = max(latest.next_row_id, restored.next_row_id)
    if highest is not None:
        draft.message.max_fragment_id = max(highest, draft.message.max_fragment_id)
    draft.message.ClearField("branch")
    if latest.message.HasField("branch"):
        draft.message.branch = latest.message.branch


def _reserve(draft: Draft, operation: ReserveFragments) -> None:
    message = draft.message
    first = message.max_fragment_id + 1 if message.HasField("max_fragment_id") else 0
    if operation.num_fragments < 1 or first + operation.num_fragments - 1 > MAX_FRAGMENT_ID:
        raise OptionError(f"{operation.num_fragments} ids of fragments cannot be reserved")
    message.max_fragment_id = first + operation.num_fragments - 1


def _update(draft: Draft, operation: Update) -> None:
    touched = {*operation.removed_fragment_ids, *(fragment.id for fragment in operation.updated_fragments)}
    if draft.is_stable:
        draft.indices.check_untouched(touched)
    if operation.update_mode == "columns":
        entries = draft.entries(fragment.id for fragment in operation.updated_fragments)
        moved: set[int] = set()
        for fragment in operation.updated_fragments:
            moved |= _replace_files(draft, entries[fragment.id], fragment)
        draft.indices.check_unmoved(moved | set(operation.fields_modified))
    draft.delete_rows(
        fragment
        for fragment in operation.updated_fragments
        if operation.update_mode == "rows" or fragment.deletion_file is not None
    )
    draft.remove(set(operation.removed_fragment_ids))
    draft.add(operation.new_fragments)


def _update_config(draft: Draft, operation: UpdateConfig) -> None:
    message = draft.message
    _update_map(message.config, operation.config)
    _update_map(message.table_metadata, operation.table_metadata)
    _update_map(message.schema_metadata, operation.schema_metadata, encode=str.encode)
    fields = {field.id: field for field in message.fields}
    for id_, update in operation.field_metadata.items():
        if id_ not in fields:
            raise draft.refuse(f"there is no field {id_}, whose metadata changes")
        _update_map(fields[id_].metadata, update, encode=str.encode)


def _update_map(
    target: MutableMapping[str, Any], update: MapUpdate | None, *, encode: Callable[[str], Any] = str
) -> None:
    if update is None:
        return
    if update.replace:
        target.clear()
    for key, value in update.entries.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = encode(value)


def _replace_data(draft: Draft, operation: DataReplacement) -> None:
    entries = draft.entries(id_ for id_, _ in operation.replacements)
    moved: set[int] = set()
    for id_, new in operation.replacements:
        files = FragmentMetadata.from_message(entries[id_]).files
        wanted = {field for field in new.fields if field >= 0}
        same = [
            place for place, file in enumerate(files) if wanted == {id_ for id_ in file.fields if id_ >= 0}
        ]
        if not same:
            raise draft.refuse(f"no data file of fragment {id_} has just the fields {sorted(wanted)}")
        files = (*files[: same[0]], new, *files[same[0] + 1 :])
        moved |= _replace_files(draft, entries[id_], FragmentMetadata(id_, files))
    draft.indices.check_unmoved(moved)


def _set_schema(message: table_pb2.Manifest, schema: Schema, *, with_metadata: bool) -> None:
    """Put a schema into the manifest."""
    check_ids(schema)
    check_names(schema.fields)
    stored = schema.to_message()
    del message.fields[:]
    message.fields.extend(stored.fields)
    if with_metadata:
        message.schema_metadata.clear()
        for key, value in stored.metadata.items():
            message.schema_metadata[key] = value


_APPLY: dict[type, Callable[[Draft, Any], None]] = {
    Append: _append,
    Delete: _delete,
    Overwrite: _overwrite,
    CreateIndex: _create_index,
    Rewrite: _rewrite,
    Merge: _merge,
    Restore: _restore,
    ReserveFragments: _reserve,
    Update: _update,
    Project: _project,
    UpdateConfig: _update_config,
    DataReplacement: _replace_data,
}
