"""Which changes go together (dataset.md 3.4): one table, and the rules that its letters stand for. Nothing is read or written here.

======  ==========================================================================================================
letter  mine, not committed yet, against theirs, committed after the version that I looked at
======  ==========================================================================================================
``.``   they go together
``X``   they do not, and doing mine again is no answer
``R``   mine must be done again from the latest version
``F``   as ``R`` where both touch the same fragments
``D``   rows of the same fragments: mine is rebased if the rows differ; ``R`` where theirs is more than deleted rows
``I``   as ``R`` where an index has rows of fragments that are rewritten
``J``   as ``R`` where a field has both an index and new values
``S``   as ``R`` where both replace the same field of the same fragment
``K``   as ``X`` where both set the same key of the config
``C``   as ``X`` where both change the same map in the same place, or theirs replaces what mine changes
======  ==========================================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.errors import CommitConflict
from lancelet.table.formats.index_section import fragments_of
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lancelet.table.formats.metadata import FragmentMetadata
    from lancelet.table.formats.operations import Operation

__all__ = ["check_conflict"]

_NOTHING: frozenset[int] = frozenset()

#: Columns of the table, in their order. An update is a delete with new rows.
_COLUMNS: tuple[type, ...] = (
    Append,
    Delete,
    Overwrite,
    CreateIndex,
    Rewrite,
    Merge,
    Restore,
    ReserveFragments,
    Project,
    UpdateConfig,
    DataReplacement,
)
#: Columns:        Ap De Ov CI Rw Me Re RF Pr UC DR
_ROWS: Mapping[type, str] = {
    Append: "          .  .  X  .  .  .  X  .  .  .  .",
    Delete: "          .  D  X  .  F  R  X  .  .  .  F",
    Overwrite: "       .  .  K  .  .  .  .  .  .  K  .",
    CreateIndex: "     .  .  X  .  I  .  X  .  .  .  J",
    Rewrite: "         .  F  X  I  F  R  X  .  .  .  F",
    Merge: "           R  R  X  .  R  R  X  .  X  .  R",
    Project: "         .  .  X  .  .  R  X  .  R  .  .",
    Restore: "         .  .  .  .  .  .  .  .  .  .  .",
    ReserveFragments: ".  .  X  .  .  .  X  .  .  .  .",
    UpdateConfig: "    .  .  C  .  .  .  .  .  .  C  .",
    DataReplacement: " .  F  X  J  F  .  X  .  .  .  S",
}


def check_conflict(mine: Operation, theirs: Operation) -> frozenset[int]:
    """Check whether an operation may be committed over another.

    Parameters
    ----------
    mine
        What is to be committed.
    theirs
        What somebody else committed after the version that mine looked at.

    Returns
    -------
    frozenset[int]
        Fragments of which both delete rows: mine must be rebased on theirs there, if it does not want the same rows.

    Raises
    ------
    CommitConflict
        It may not. The error tells whether it can be done again.
    """
    names = type(mine).__name__, type(theirs).__name__
    row, column = _ROWS.get(_kind(mine)), _kind(theirs)
    if row is None or column not in _COLUMNS:
        raise CommitConflict(f"{names[0]} over {theirs!r}: whether they go together is not known")
    letter = row.split()[_COLUMNS.index(column)]
    try:
        return _RULES[letter](mine, theirs)
    except CommitConflict as error:
        raise CommitConflict(
            f"{names[0]} over {names[1]}: {error.message}", retryable=error.retryable
        ) from None


def _kind(operation: Operation) -> type:
    return Delete if isinstance(operation, Update) else type(operation)


def _compatible(mine: Any, theirs: Any) -> frozenset[int]:
    return _NOTHING


def _incompatible(mine: Any, theirs: Any) -> frozenset[int]:
    raise CommitConflict("the dataset is another one now")


def _again(mine: Any, theirs: Any) -> frozenset[int]:
    raise CommitConflict("columns or rows changed since they were read", retryable=True)


def _disjoint_fragments(mine: Operation, theirs: Operation) -> frozenset[int]:
    if both := _touched(mine) & _touched(theirs):
        raise CommitConflict(f"both change fragment {min(both)}", retryable=True)
    return _NOTHING


def _rows(mine: Delete | Update, theirs: Delete | Update) -> frozenset[int]:
    """Return the fragments of which both delete rows."""
    if lost := _touched(mine) & _removed(theirs):
        raise CommitConflict(f"fragment {min(lost)} is gone", retryable=True)
    their_files = {fragment.id: _files(fragment) for fragment in theirs.updated_fragments}
    if whole := _removed(mine) & their_files.keys():  # the rows that they deleted are among mine
        raise CommitConflict(f"rows of fragment {min(whole)} are deleted already", retryable=True)
    shared = {fragment.id: fragment for fragment in mine.updated_fragments if fragment.id in their_files}
    for id_, fragment in shared.items():
        if _is_in_columns(mine) or _is_in_columns(theirs) or _files(fragment) != their_files[id_]:
            raise CommitConflict(f"fragment {id_} has other data files", retryable=True)
    return frozenset(shared)


def _is_in_columns(operation: Delete | Update) -> bool:
    return isinstance(operation, Update) and operation.update_mode == "columns"


def _files(fragment: FragmentMetadata) -> list[tuple[str, tuple[int, ...]]]:
    return [(file.path, file.fields) for file in fragment.files]


def _removed(operation: Delete | Update) -> set[int]:
    if isinstance(operation, Delete):
        return set(operation.deleted_fragment_ids)
    return set(operation.removed_fragment_ids)


def _touched(operation: Operation) -> set[int]:
    """Return the fragments that an operation changes or removes."""
    if isinstance(operation, Delete | Update):
        return _removed(operation) | {fragment.id for fragment in operation.updated_fragments}
    if isinstance(operation, Rewrite):
        return {fragment.id for group in operation.groups for fragment in group.old_fragments}
    if isinstance(operation, DataReplacement):
        return {id_ for id_, _ in operation.replacements}
    return set()


def _indexed_fragments(mine: Operation, theirs: Operation) -> frozenset[int]:
    """Check an index against rewritten fragments, whichever came first."""
    indices, rewrite = (mine, theirs) if isinstance(mine, CreateIndex) else (theirs, mine)
    rewritten = _touched(rewrite)
    for index in indices.new_indices if isinstance(indices, CreateIndex) else ():
        if rewritten & (fragments_of(index) or rewritten):
            raise CommitConflict(f"index {index.name!r} has rows that are rewritten", retryable=True)
    return _NOTHING


def _indexed_fields(mine: Operation, theirs: Operation) -> frozenset[int]:
    """Check an index against fields with new values, whichever came first."""
    indices, replaced = (mine, theirs) if isinstance(mine, CreateIndex) else (theirs, mine)
    fields = {field for _, field in _replaced_fields(replaced)}
    for index in indices.new_indices if isinstance(indices, CreateIndex) else ():
        if not fields.isdisjoint(index.fields):
            raise CommitConflict(f"index {index.name!r} is of a field with new values", retryable=True)
    return _NOTHING


def _replaced_fields(operation: Operation) -> set[tuple[int, int]]:
    """Return (fragment, field) of what is replaced."""
    replacements = operation.replacements if isinstance(operation, DataReplacement) else ()
    return {(id_, field) for id_, file in replacements for field in file.fields if field >= 0}


def _disjoint_fields(mine: Operation, theirs: Operation) -> frozenset[int]:
    if both := _replaced_fields(mine) & _replaced_fields(theirs):
        raise CommitConflict("both replace field {1} of fragment {0}".format(*min(both)), retryable=True)
    return _NOTHING


def _config_keys(mine: Operation, theirs: Operation) -> frozenset[int]:
    _check_map("config", _config(mine), _config(theirs))
    return _NOTHING


def _config(operation: Operation) -> MapUpdate | None:
    """Return what an operation does to the config."""
    if isinstance(operation, Overwrite):
        return MapUpdate(dict(operation.config_upsert_values))
    return operation.config if isinstance(operation, UpdateConfig) else None


def _maps(mine: UpdateConfig, theirs: UpdateConfig | Overwrite) -> frozenset[int]:
    _config_keys(mine, theirs)
    if isinstance(theirs, Overwrite):
        if mine.schema_metadata is not None or mine.field_metadata:
            raise CommitConflict("the schema, whose metadata changes, is another one now")
        return _NOTHING
    _check_map("table metadata", mine.table_metadata, theirs.table_metadata)
    _check_map("schema metadata", mine.schema_metadata, theirs.schema_metadata)
    for id_, update in mine.field_metadata.items():
        _check_map(f"metadata of field {id_}", update, theirs.field_metadata.get(id_))
    return _NOTHING


def _check_map(what: str, mine: MapUpdate | None, theirs: MapUpdate | None) -> None:
    """Check that two updates do not change the same key; one that replaces a map changes all."""
    if mine is None or theirs is None:
        return
    both = mine.entries.keys() & theirs.entries.keys()
    if both or mine.replace or theirs.replace:
        raise CommitConflict(f"both change the {what}" + (f" at {min(both)!r}" if both else ""))


_RULES: Mapping[str, Callable[[Any, Any], frozenset[int]]] = {
    ".": _compatible,
    "X": _incompatible,
    "R": _again,
    "F": _disjoint_fragments,
    "D": _rows,
    "I": _indexed_fragments,
    "J": _indexed_fields,
    "S": _disjoint_fields,
    "K": _config_keys,
    "C": _maps,
}
