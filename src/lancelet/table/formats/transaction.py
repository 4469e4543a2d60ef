"""What one commit changes: operations, and the transactions that carry them (dataset.md 3.1).

A transaction is written beside the manifest that it leads to, and once more as a file of its own. Other writers decide from it
whether they may go on, so everything is kept that the decision needs. Operations and transactions are plain descriptions: they are
pickled, and travel from the programs that write data files to the one that commits.
"""

from __future__ import annotations

import uuid as uuids
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from lancelet.errors import FormatError, OptionError
from lancelet.pb import file_pb2, table_pb2, transaction_pb2
from lancelet.schema.fields import Schema
from lancelet.table.formats.metadata import DataFile, FragmentMetadata
from lancelet.table.formats.operations import (
    Append,
    CreateIndex,
    DataReplacement,
    Delete,
    MapUpdate,
    Merge,
    Operation,
    Overwrite,
    Project,
    ReserveFragments,
    Restore,
    Rewrite,
    RewriteGroup,
    Unknown,
    Update,
    UpdateConfig,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

__all__ = [
    "Append",
    "CreateIndex",
    "DataReplacement",
    "Delete",
    "MapUpdate",
    "Merge",
    "Operation",
    "Overwrite",
    "Project",
    "ReserveFragments",
    "Restore",
    "Rewrite",
    "RewriteGroup",
    "Transaction",
    "Unknown",
    "Update",
    "UpdateConfig",
]

_MAX_U64 = 2**64 - 1


def _new_uuid() -> str:
    return str(uuids.uuid4())


@dataclass(frozen=True, slots=True)
class Transaction:
    """A change of a dataset, made by somebody who looked at one of its versions.

    Attributes
    ----------
    read_version
        That version; 0: there was no dataset.
    operation
        What changes.
    uuid
        Names the transaction, through all attempts to commit it.
    properties
        Free text beside it, such as a message.

    Raises
    ------
    OptionError
        The version is no unsigned number of 64 bits, or the uuid is none.
    """

    read_version: int
    operation: Operation
    uuid: str = field(default_factory=_new_uuid)
    properties: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        version = self.read_version
        if (
            isinstance(version, bool)
            or not isinstance(version, Integral)
            or not 0 <= int(version) <= _MAX_U64
        ):
            raise OptionError(f"{self.read_version!r} is no version that a transaction may have read")
        try:
            is_uuid = str(uuids.UUID(self.uuid)) == self.uuid.lower()
        except (ValueError, AttributeError):
            is_uuid = False
        if not is_uuid:
            raise OptionError(f"{self.uuid!r} is no uuid of a transaction")

    def to_message(self) -> transaction_pb2.Transaction:
        """Return the transaction as stored.

        Raises
        ------
        OptionError
            The operation is unknown, or something in it cannot be stored.
        """
        message = transaction_pb2.Transaction(read_version=self.read_version, uuid=self.uuid)
        encode = _ENCODERS.get(type(self.operation))
        if encode is None:
            raise OptionError(f"a transaction that does {self.operation!r} cannot be written")
        try:
            message.transaction_properties.update(self.properties)
            encode(message, self.operation)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise OptionError(f"this {type(self.operation).__name__} cannot be stored: {error}") from None
        return message

    def serialize(self) -> bytes:
        """Return the bytes of the message; the same for equal transactions."""
        return self.to_message().SerializeToString(deterministic=True)

    @classmethod
    def from_message(cls, message: transaction_pb2.Transaction) -> Self:
        """Read a stored transaction.

        Raises
        ------
        FormatError
            Fragments, schemas or the uuid in it are damaged.
        UnsupportedError
            A schema in it has a type that is not handled.
        """
        name = message.WhichOneof("operation")
        decode = _DECODERS.get(name or "")
        try:
            operation = decode(message) if decode else Unknown(name or "unknown")
            return cls(message.read_version, operation, message.uuid, dict(message.transaction_properties))
        except OptionError as error:
            raise FormatError(f"a transaction is damaged: {error}") from None

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Self:
        """Read the bytes of a stored transaction.

        Raises
        ------
        FormatError
            They are no such message, or as :meth:`from_message`.
        """
        try:
            message = transaction_pb2.Transaction.FromString(bytes(data))
        except DecodeError as error:
            raise FormatError(f"a transaction of {len(data)} bytes is damaged: {error}") from None
        return cls.from_message(message)


def _messages(fragments: Iterable[FragmentMetadata]) -> list[table_pb2.DataFragment]:
    return [fragment.to_message() for fragment in fragments]


def _fragments(messages: Iterable[table_pb2.DataFragment]) -> tuple[FragmentMetadata, ...]:
    return tuple(map(FragmentMetadata.from_message, messages))


def _schema(fields: Iterable[file_pb2.Field], metadata: Mapping[str, bytes] | None = None) -> Schema:
    message = file_pb2.Schema(fields=fields)
    for key, value in (metadata or {}).items():
        message.metadata[key] = value
    return Schema.from_message(message)


def _encode_append(message: transaction_pb2.Transaction, operation: Append) -> None:
    message.append.SetInParent()
    message.append.fragments.extend(_messages(operation.fragments))


def _decode_append(message: transaction_pb2.Transaction) -> Append:
    return Append(_fragments(message.append.fragments))


def _encode_delete(message: transaction_pb2.Transaction, operation: Delete) -> None:
    stored = message.delete
    stored.SetInParent()
    stored.updated_fragments.extend(_messages(operation.updated_fragments))
    stored.deleted_fragment_ids.extend(operation.deleted_fragment_ids)
    stored.predicate = operation.predicate


def _decode_delete(message: transaction_pb2.Transaction) -> Delete:
    stored = message.delete
    return Delete(_fragments(stored.updated_fragments), tuple(stored.deleted_fragment_ids), stored.predicate)


def _encode_overwrite(message: transaction_pb2.Transaction, operation: Overwrite) -> None:
    stored, schema = message.overwrite, operation.schema.to_message()
    stored.SetInParent()
    stored.fragments.extend(_messages(operation.fragments))
    stored.schema.extend(schema.fields)
    for key, value in schema.metadata.items():
        stored.schema_metadata[key] = value
    stored.config_upsert_values.update(operation.config_upsert_values)


def _decode_overwrite(message: transaction_pb2.Transaction) -> Overwrite:
    stored = message.overwrite
    return Overwrite(
        _schema(stored.schema, stored.schema_metadata),
        _fragments(stored.fragments),
        dict(stored.config_upsert_values),
    )


def _encode_create_index(message: transaction_pb2.Transaction, operation: CreateIndex) -> None:
    message.create_index.SetInParent()
    message.create_index.new_indices.extend(operation.new_indices)
    message.create_index.removed_indices.extend(operation.removed_indices)


def _decode_create_index(message: transaction_pb2.Transaction) -> CreateIndex:
    return CreateIndex(tuple(message.create_index.new_indices), tuple(message.create_index.removed_indices))


def _encode_rewrite(message: transaction_pb2.Transaction, operation: Rewrite) -> None:
    message.rewrite.SetInParent()
    for group in operation.groups:
        message.rewrite.groups.add(
            old_fragments=_messages(group.old_fragments), new_fragments=_messages(group.new_fragments)
        )
    message.rewrite.rewritten_indices.extend(operation.rewritten_indices)


def _decode_rewrite(message: transaction_pb2.Transaction) -> Rewrite:
    groups = (
        RewriteGroup(_fragments(group.old_fragments), _fragments(group.new_fragments))
        for group in message.rewrite.groups
    )
    return Rewrite(tuple(groups), tuple(message.rewrite.rewritten_indices))


def _encode_merge(message: transaction_pb2.Transaction, operation: Merge) -> None:
    stored, schema = message.merge, operation.schema.to_message()
    stored.SetInParent()
    stored.fragments.extend(_messages(operation.fragments))
    stored.schema.extend(schema.fields)
    for key, value in schema.metadata.items():
        stored.schema_metadata[key] = value
    stored.preserves_nullability = operation.preserves_nullability


def _decode_merge(message: transaction_pb2.Transaction) -> Merge:
    stored = message.merge
    schema = _schema(stored.schema, stored.schema_metadata)
    return Merge(_fragments(stored.fragments), schema, stored.preserves_nullability)


def _encode_restore(message: transaction_pb2.Transaction, operation: Restore) -> None:
    message.restore.version = operation.version
    message.restore.SetInParent()


def _decode_restore(message: transaction_pb2.Transaction) -> Restore:
    return Restore(message.restore.version)


def _encode_reserve(message: transaction_pb2.Transaction, operation: ReserveFragments) -> None:
    message.reserve_fragments.num_fragments = operation.num_fragments
    message.reserve_fragments.SetInParent()


def _decode_reserve(message: transaction_pb2.Transaction) -> ReserveFragments:
    return ReserveFragments(message.reserve_fragments.num_fragments)


def _encode_update(message: transaction_pb2.Transaction, operation: Update) -> None:
    modes = transaction_pb2.Transaction.Update
    stored = message.update
    stored.SetInParent()
    stored.removed_fragment_ids.extend(operation.removed_fragment_ids)
    stored.updated_fragments.extend(_messages(operation.updated_fragments))
    stored.new_fragments.extend(_messages(operation.new_fragments))
    stored.fields_modified.extend(operation.fields_modified)
    stored.fields_for_preserving_frag_bitmap.extend(operation.fields_for_preserving_frag_bitmap)
    stored.update_mode = modes.REWRITE_COLUMNS if operation.update_mode == "columns" else modes.REWRITE_ROWS


def _decode_update(message: transaction_pb2.Transaction) -> Update | Unknown:
    stored = message.update
    if stored.update_mode not in (0, 1):
        return Unknown(f"update in mode {stored.update_mode}")
    return Update(
        tuple(stored.removed_fragment_ids),
        _fragments(stored.updated_fragments),
        _fragments(stored.new_fragments),
        tuple(stored.fields_modified),
        tuple(stored.fields_for_preserving_frag_bitmap),
        "columns" if stored.update_mode else "rows",
    )


def _encode_project(message: transaction_pb2.Transaction, operation: Project) -> None:
    message.project.SetInParent()
    message.project.schema.extend(operation.schema.to_message().fields)
    message.project.preserves_nullability = operation.preserves_nullability


def _decode_project(message: transaction_pb2.Transaction) -> Project:
    return Project(_schema(message.project.schema), message.project.preserves_nullability)


#: The maps of an UpdateConfig: attribute -> field of the message.
_MAPS: Mapping[str, Literal["config_updates", "table_metadata_updates", "schema_metadata_updates"]] = {
    "config": "config_updates",
    "table_metadata": "table_metadata_updates",
    "schema_metadata": "schema_metadata_updates",
}


def _encode_update_config(message: transaction_pb2.Transaction, operation: UpdateConfig) -> None:
    stored = message.update_config
    stored.SetInParent()
    for name, target in _MAPS.items():
        update: MapUpdate | None = getattr(operation, name)
        if update is not None:
            _encode_map(getattr(stored, target), update)
    for number, update in operation.field_metadata.items():
        _encode_map(stored.field_metadata_updates[number], update)


def _decode_update_config(message: transaction_pb2.Transaction) -> UpdateConfig | Unknown:
    stored = message.update_config
    if len(
        UnknownFieldSet(stored)
    ):  # the form of old releases: other numbers, which keys it changes is not known
        return Unknown("update_config of an old form")
    found: dict[str, Any] = {
        name: _decode_map(getattr(stored, source))
        for name, source in _MAPS.items()
        if stored.HasField(source)
    }
    fields = {number: _decode_map(update) for number, update in stored.field_metadata_updates.items()}
    return UpdateConfig(field_metadata=fields, **found)


def _encode_map(message: transaction_pb2.Transaction.UpdateMap, update: MapUpdate) -> None:
    message.SetInParent()
    message.replace = update.replace
    for key, value in update.entries.items():
        message.entries.add(key=key, value=value)


def _decode_map(message: transaction_pb2.Transaction.UpdateMap) -> MapUpdate:
    entries = {entry.key: entry.value if entry.HasField("value") else None for entry in message.entries}
    return MapUpdate(entries, message.replace)


def _encode_replacement(message: transaction_pb2.Transaction, operation: DataReplacement) -> None:
    message.data_replacement.SetInParent()
    for fragment_id, file in operation.replacements:
        message.data_replacement.replacements.add(fragment_id=fragment_id, new_file=file.to_message())


def _decode_replacement(message: transaction_pb2.Transaction) -> DataReplacement:
    stored = message.data_replacement.replacements
    return DataReplacement(
        tuple((group.fragment_id, DataFile.from_message(group.new_file)) for group in stored)
    )


_ENCODERS: dict[type, Callable[[transaction_pb2.Transaction, Any], None]] = {
    Append: _encode_append,
    Delete: _encode_delete,
    Overwrite: _encode_overwrite,
    CreateIndex: _encode_create_index,
    Rewrite: _encode_rewrite,
    Merge: _encode_merge,
    Restore: _encode_restore,
    ReserveFragments: _encode_reserve,
    Update: _encode_update,
    Project: _encode_project,
    UpdateConfig: _encode_update_config,
    DataReplacement: _encode_replacement,
}
_DECODERS: dict[str, Callable[[transaction_pb2.Transaction], Operation]] = {
    "append": _decode_append,
    "delete": _decode_delete,
    "overwrite": _decode_overwrite,
    "create_index": _decode_create_index,
    "rewrite": _decode_rewrite,
    "merge": _decode_merge,
    "restore": _decode_restore,
    "reserve_fragments": _decode_reserve,
    "update": _decode_update,
    "project": _decode_project,
    "update_config": _decode_update_config,
    "data_replacement": _decode_replacement,
}
