"""New schemas from old ones: columns added, dropped, renamed, cast (dataset.md 6). Pure: nothing here knows of files.

Ids are never given out twice. What changes its type becomes a field of its own, with new ids; what changes its name or nullability
keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.schema.blobs import is_blob
from lancelet.schema.fields import Field, Schema
from lancelet.schema.limits import check_version
from lancelet.schema.project import find_field, is_packed
from lancelet.schema.text import is_text
from lancelet.table.formats.column_names import check_names
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

__all__ = ["Alteration", "Change", "altered", "numbered", "with_added", "without"]

#: Packed structs are marked in two ways, which the versions read differently.
_VERSIONS = (Version.V2_0, Version.V2_1)


@dataclass(frozen=True, slots=True)
class Alteration:
    """What is to become of a column.

    Attributes
    ----------
    path
        The column, or a dotted path into structs.
    name
        Its new name, not a path; ``None``: as it is.
    nullable
        Whether it may hold nulls; ``None``: as it is.
    data_type
        Its new type; ``None``: as it is.
    """

    path: str
    name: str | None = None
    nullable: bool | None = None
    data_type: pa.DataType | None = None

    @classmethod
    def parse(cls, wanted: Mapping[str, Any]) -> Alteration:
        """Read an alteration as users write it: a mapping with the attributes as keys.

        Raises
        ------
        OptionError
            A key is unknown or missing, a value is of the wrong type, or nothing is to change.
        """
        if not isinstance(wanted, Mapping):
            raise OptionError(f"an alteration is a mapping with a path, not {type(wanted).__name__}")
        known: dict[str, type] = {"path": str, "name": str, "nullable": bool, "data_type": pa.DataType}
        for key, value in dict(wanted).items():
            if key not in known:
                raise OptionError(f"an alteration has the key {key!r}; it may have {', '.join(known)}")
            if value is not None and not isinstance(value, known[key]):
                raise OptionError(
                    f"{key} of an alteration is {value!r}; it must be of type {known[key].__name__}"
                )
        name = wanted.get("name")
        if name is not None and not is_text(name):
            raise OptionError(f"{name!r} is no name of a column: it is no text")
        if wanted.get("path") is None:
            raise OptionError("an alteration needs a path: the column that is to change")
        if all(wanted.get(key) is None for key in ("name", "nullable", "data_type")):
            raise OptionError(
                f"column {wanted['path']!r}: nothing is to change; give name, nullable or data_type"
            )
        return cls(**wanted)


@dataclass(frozen=True, slots=True)
class Change:
    """A schema that was altered, and what must be done for it.

    Attributes
    ----------
    schema
        The new schema.
    recast
        Columns at top level that must be written anew: name before, field after.
    not_null
        Columns at top level, by their names before, below or at which nulls are allowed no longer.
    """

    schema: Schema
    recast: Mapping[str, Field]
    not_null: Collection[str]


def numbered(fields: Iterable[Field], ids: Iterator[int], parent_id: int = -1) -> tuple[Field, ...]:
    """Return `fields`, and all below them, with ids of `ids`, parents first."""
    found = []
    for field in fields:
        number = next(ids)
        below = numbered(field.children, ids, number)
        found.append(replace(field, id=number, parent_id=parent_id, children=below))
    return tuple(found)


def with_added(schema: Schema, added: pa.Schema, first_id: int, version: Version) -> tuple[Schema, Schema]:
    """Return a schema with more columns at its end, and the schema of these alone.

    Raises
    ------
    OptionError
        A column exists already, its name is none, files of `version` cannot hold it, or there are no columns.
    """
    taken = {field.name for field in schema.fields}
    for name in added.names:
        if name in taken:
            raise OptionError(f"there is a column {name!r} already")
    if not added.names:
        raise OptionError("no column is added: give at least one")
    made = Schema.from_arrow(added)
    new = Schema(numbered(made.fields, count(first_id)), schema.metadata)
    check_names(new.fields)
    check_version(new, version)
    return Schema((*schema.fields, *new.fields), schema.metadata), new


def without(schema: Schema, paths: Sequence[str]) -> tuple[Schema, set[int]]:
    """Return a schema without some fields, and the ids that are gone.

    Raises
    ------
    OptionError
        A field is unknown or stored together with others, nothing is to be dropped, or nothing would be left.
    """
    if isinstance(paths, str) or not isinstance(paths, Sized) or not len(paths):
        raise OptionError("drop_columns takes a list of names with at least one name")
    gone = set()
    for path in paths:
        *outer, field = find_field(schema, path)
        _check_apart(outer, path)
        gone.add(field.id)
    fields = tuple(kept for field in schema.fields if (kept := _pruned(field, gone)) is not None)
    if not fields:
        raise OptionError("all columns would be dropped; a dataset keeps at least one")
    left = {field.id for top in fields for field in top.walk()}
    return Schema(fields, schema.metadata), {field.id for field in schema.walk()} - left


def _pruned(field: Field, gone: Collection[int]) -> Field | None:
    """Return a field without what is gone; ``None``: nothing of it is left."""
    if field.id in gone:
        return None
    if not any(below.id in gone for below in field.walk()):
        return field
    children = [kept for child in field.children if (kept := _pruned(child, gone)) is not None]
    return field.with_children(children) if children else None


def altered(schema: Schema, alterations: Sequence[Alteration], first_id: int, version: Version) -> Change:
    """Return a schema with changed fields.

    Raises
    ------
    OptionError
        A field is unknown, stored together with others, or changed twice; a name is taken or no name; a type cannot be stored; or a
        type and a nullability are to change at once.
    """
    if not alterations:
        raise OptionError("alter_columns needs at least one alteration")
    ids = count(first_id)
    fields = {field.name: field for field in schema.fields}
    recast: dict[str, Field] = {}
    not_null = set()
    seen = set()
    for wanted in alterations:
        *outer, field = find_field(schema, wanted.path)
        if field.id in seen:
            raise OptionError(f"column {wanted.path!r} is to change twice")
        seen.add(field.id)
        _check_apart(outer, wanted.path)
        if wanted.data_type is not None and wanted.nullable is False:
            raise OptionError(f"column {wanted.path!r}: change its type first, and forbid nulls afterwards")
        top = (*outer, field)[0].name
        fields[top] = _changed(fields[top], field.id, partial(_altered, wanted=wanted))
        if wanted.nullable is False and field.nullable:
            not_null.add(top)
        if wanted.data_type is not None:
            recast[top] = fields[top]
    for top in recast:  # a new type makes new fields, from the top down
        (fields[top],) = numbered([fields[top]], ids)
        recast[top] = fields[top]
    changed = Schema(tuple(fields.values()), schema.metadata)
    check_names(changed.fields)
    check_version(changed, version)
    return Change(changed, recast, not_null)


def _changed(field: Field, id_: int, change: Callable[[Field], Field]) -> Field:
    """Return `field` with the field `id_`, at or below it, changed."""
    if field.id == id_:
        return change(field)
    if not any(below.id == id_ for below in field.walk()):
        return field
    return field.with_children([_changed(child, id_, change) for child in field.children])


def _altered(field: Field, wanted: Alteration) -> Field:
    name = field.name if wanted.name is None else wanted.name
    nullable = field.nullable if wanted.nullable is None else wanted.nullable
    logical_type, children, metadata = field.logical_type, field.children, field.metadata
    if wanted.data_type is not None:
        (made,) = Schema.from_arrow(
            pa.schema([pa.field("x", wanted.data_type, True, field.metadata or None)])
        ).fields
        logical_type, children, metadata = made.logical_type, made.children, made.metadata
    return Field.make(
        name,
        logical_type,
        nullable,
        metadata,
        children,
        id=field.id,
        parent_id=field.parent_id,
        keys=field.keys,
    )


def _check_apart(outer: Sequence[Field], path: str) -> None:
    """Check that no struct around a field is stored as one column with it."""
    for struct in outer:
        if is_blob(struct) or any(is_packed(struct, version) for version in _VERSIONS):
            raise OptionError(f"{path!r} cannot be changed alone: {struct.name!r} is stored as one column")
