"""Operations: what a commit may change (dataset.md 3.1). Plain descriptions; they are pickled, and travel between programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lancelet.pb import table_pb2, transaction_pb2
    from lancelet.schema.fields import Schema
    from lancelet.table.formats.metadata import DataFile, FragmentMetadata

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
    "Unknown",
    "Update",
    "UpdateConfig",
]


def __dir__() -> list[str]:
    """List the operations alone: users know this module as ``lancelet.LanceOperation``."""
    return sorted(__all__)


@dataclass(frozen=True, slots=True)
class Append:
    """Add rows.

    Attributes
    ----------
    fragments
        New fragments. Their ids, row ids and versions are given when they are committed.
    """

    fragments: tuple[FragmentMetadata, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete rows.

    Attributes
    ----------
    updated_fragments
        Fragments with new deletion files; nothing else of them is committed.
    deleted_fragment_ids
        Fragments of which no row is left.
    predicate
        Which rows, as the user said it.
    """

    updated_fragments: tuple[FragmentMetadata, ...]
    deleted_fragment_ids: tuple[int, ...]
    predicate: str = ""


@dataclass(frozen=True, slots=True)
class Overwrite:
    """Replace all rows and the schema; also the creation of a dataset.

    Attributes
    ----------
    schema
        The new schema, with its metadata.
    fragments
        As for :class:`Append`.
    config_upsert_values
        Keys of the config to set.
    """

    schema: Schema
    fragments: tuple[FragmentMetadata, ...]
    config_upsert_values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """Add and remove indices.

    Attributes
    ----------
    new_indices
        Indices whose files are written.
    removed_indices
        Indices to remove, by their ids.
    """

    new_indices: tuple[table_pb2.IndexMetadata, ...] = ()
    removed_indices: tuple[table_pb2.IndexMetadata, ...] = ()


@dataclass(frozen=True, slots=True)
class RewriteGroup:
    """Fragments, and those that hold the same rows in their stead."""

    old_fragments: tuple[FragmentMetadata, ...]
    new_fragments: tuple[FragmentMetadata, ...]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Put the same rows into other files: compaction.

    Attributes
    ----------
    groups
        What replaces what. Ids of new fragments are reserved ones, or 0: given when they are committed.
    rewritten_indices
        Indices that were rewritten with them.
    """

    groups: tuple[RewriteGroup, ...]
    rewritten_indices: tuple[transaction_pb2.Transaction.Rewrite.RewrittenIndex, ...] = ()


@dataclass(frozen=True, slots=True)
class Merge:
    """Add or replace columns.

    Attributes
    ----------
    fragments
        All fragments of the dataset; of each, the data files are committed and nothing else.
    schema
        The new schema, with its metadata.
    preserves_nullability
        No field became nullable, or ceased to be.
    """

    fragments: tuple[FragmentMetadata, ...]
    schema: Schema
    preserves_nullability: bool = False


@dataclass(frozen=True, slots=True)
class Restore:
    """Make an old version the latest."""

    version: int


@dataclass(frozen=True, slots=True)
class ReserveFragments:
    """Set ids of fragments aside: the last `num_fragments` up to the new highest one."""

    num_fragments: int


@dataclass(frozen=True, slots=True)
class Update:
    """Replace rows or values.

    Attributes
    ----------
    removed_fragment_ids
        Fragments of which no row is left.
    updated_fragments
        Fragments with new deletion files, and in mode ``"columns"`` with new data files.
    new_fragments
        New fragments; those with row ids keep them.
    fields_modified
        Ids of the fields that have new values.
    fields_for_preserving_frag_bitmap
        Ids of the fields whose indices stay valid.
    update_mode
        Whether rows were written anew, or columns.
    """

    removed_fragment_ids: tuple[int, ...] = ()
    updated_fragments: tuple[FragmentMetadata, ...] = ()
    new_fragments: tuple[FragmentMetadata, ...] = ()
    fields_modified: tuple[int, ...] = ()
    fields_for_preserving_frag_bitmap: tuple[int, ...] = ()
    update_mode: Literal["rows", "columns"] = "rows"


@dataclass(frozen=True, slots=True)
class Project:
    """Drop, rename or reorder columns, or change whether they may be null.

    Attributes
    ----------
    schema
        The new schema; its metadata is that of the dataset, and stays.
    preserves_nullability
        No field became nullable, or ceased to be.
    """

    schema: Schema
    preserves_nullability: bool = False


@dataclass(frozen=True, slots=True)
class MapUpdate:
    """Change a map of texts.

    Attributes
    ----------
    entries
        Key -> value; ``None`` removes the key.
    replace
        Remove all other keys.
    """

    entries: Mapping[str, str | None]
    replace: bool = False


@dataclass(frozen=True, slots=True)
class UpdateConfig:
    """Change the config, or metadata; what is ``None`` stays.

    Attributes
    ----------
    config, table_metadata, schema_metadata
        Changes of the maps of these names.
    field_metadata
        Field id -> change of the field's metadata.
    """

    config: MapUpdate | None = None
    table_metadata: MapUpdate | None = None
    schema_metadata: MapUpdate | None = None
    field_metadata: Mapping[int, MapUpdate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataReplacement:
    """Replace data files: ``(fragment id, new file)``. The new file has the fields of one that is there."""

    replacements: tuple[tuple[int, DataFile], ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """An operation of somebody else that is not known here. It conflicts with everything.

    Attributes
    ----------
    name
        Its name, or ``"unknown"``.
    """

    name: str


Operation = (
    Append
    | Delete
    | Overwrite
    | CreateIndex
    | Rewrite
    | Merge
    | Restore
    | ReserveFragments
    | Update
    | Project
    | UpdateConfig
    | DataReplacement
    | Unknown
)
