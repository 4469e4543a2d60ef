"""Which physical columns hold a field, and which fields a list of names means (container.md 7, "Projection").

Columns are numbered depth first over the fields of the *file's* schema:

=======================================================  =======================  =================
field                                                    2.0                      2.1 and later
=======================================================  =======================  =================
leaf (also fixed-size list, dictionary, blob)            a column                 a column
packed struct, blob struct                               one for all              one for all
empty struct                                             a column                 a column
struct, list                                             a header, and children   children only
fixed-size list of structs                               a column                 children only
map                                                      cannot be stored         children only
=======================================================  =======================  =================
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from lancelet.errors import OptionError
from lancelet.schema.blobs import BLOB
from lancelet.schema.fields import Field, Schema
from lancelet.schema.logical import FSL_OF_STRUCT
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lancelet.schema.fields import StoredSchema

    #: Field ids that are wanted, in order; ``None``: as a whole.
    Tree = dict[int, "Tree | None"]

__all__ = [
    "PACKED_KEYS",
    "columns_of",
    "find_field",
    "is_one_column",
    "is_packed",
    "project",
    "project_overlapping",
    "project_stored",
]

#: The key of a packed struct, and its old form.
PACKED_KEYS = ("lance-encoding:packed", "packed")


def is_packed(field: Field, version: Version) -> bool:
    """Tell whether the field is a struct that is stored row by row, in one column."""
    if field.logical_type != "struct":
        return False
    new, old = (field.metadata.get(key) for key in PACKED_KEYS)
    if version == Version.V2_0:
        return new is not None or old == "true"
    return "true" in (str(new).lower(), str(old).lower())


def is_one_column(field: Field, version: Version) -> bool:
    """Tell whether the field is stored in one column, with all that is below it."""
    return (
        not field.children
        or is_packed(field, version)
        or BLOB in field.metadata
        or (version == Version.V2_0 and FSL_OF_STRUCT.fullmatch(field.logical_type) is not None)
    )


def columns_of(schema: Schema | StoredSchema, version: Version) -> dict[int, int]:
    """Return the physical column of every field that owns one, by field id.

    Parameters
    ----------
    schema
        The whole schema of the file, not a part of it. Of a stored one only fields with children are made.
    version
        Version of the file.

    Raises
    ------
    FormatError, UnsupportedError
        A field with children of a stored schema has a type that is damaged, or not known here.
    """
    if isinstance(schema, Schema):
        ids = [top.id for top in schema.fields]
        nested = {top.id: top for top in schema.fields if top.children}
    else:
        ids, nested = schema.ids, {top.id: top for top in schema.nested}
    owners = ids  # a field without children owns a column
    if nested:
        owners = [
            owner
            for id_ in ids
            for owner in ([found.id for found in _owners(nested[id_], version)] if id_ in nested else (id_,))
        ]
    return {owner: column for column, owner in enumerate(owners)}


def _owners(field: Field, version: Version) -> Iterator[Field]:
    """Yield the fields that own columns, depth first."""
    whole = is_one_column(field, version)
    if whole or version == Version.V2_0:
        yield field
    if not whole:
        for child in field.children:
            yield from _owners(child, version)


def project(schema: Schema, names: Sequence[str]) -> Schema:
    """Return the part of a schema that some names mean; ids stay as they are.

    Parameters
    ----------
    schema
        A schema.
    names
        Names of top-level fields, or dotted paths of children of structs. The result has the order of the
        names; several paths into one struct give one struct, at the place of the first.

    Raises
    ------
    OptionError
        There are no names, or one is unknown (the message has the nearest ones), is asked for twice, or is
        inside of a packed struct.
    """
    if isinstance(names, str):
        raise OptionError(f"names must be a list of names, not the string {names!r}")
    if not len(names):
        raise OptionError("the list of names is empty; at least one column is needed")
    tree: Tree = {}
    for name in names:
        path = find_field(schema, name)
        for outer in path[:-1]:
            if is_packed(outer, Version.V2_0) or is_packed(outer, Version.V2_1) or BLOB in outer.metadata:
                raise OptionError(f"{name!r} cannot be read alone: {outer.name!r} is stored as one column")
        _add(tree, path, name)
    return Schema(_parts(schema.fields, tree), dict(schema.metadata))


def find_field(schema: Schema, name: str) -> tuple[Field, ...]:
    """Return the fields from the top down to the one that a name, or dotted path, means.

    Raises
    ------
    OptionError
        There is none; the message has the nearest ones.
    """
    path = _find(schema.fields, name) if isinstance(name, str) else None
    if path is None:
        raise _unknown(schema, name)
    return path


def project_overlapping(schema: Schema, names: Iterable[str]) -> Schema:
    """Return the part of a schema that some names need: as :func:`project`, but names may overlap.

    What is stored as one column is read whole. There may be no names.

    Raises
    ------
    OptionError
        A name is unknown.
    """
    tree: Tree = {}
    for name in names:
        node = tree
        path = find_field(schema, name)
        for number, found in enumerate(path):
            stored_whole = is_packed(found, Version.V2_0) or is_packed(found, Version.V2_1)
            if number == len(path) - 1 or stored_whole or BLOB in found.metadata:
                node[found.id] = None
                break
            below = node.setdefault(found.id, {})
            if below is None:
                break
            node = below
    return Schema(_parts(schema.fields, tree), dict(schema.metadata))


def project_stored(schema: StoredSchema, names: Sequence[str]) -> Schema:
    """Return :func:`project` of a stored schema; only the fields that the names mean are made.

    Raises
    ------
    FormatError, UnsupportedError
        A field that is wanted has a type that is damaged, or not known here; where a name is unknown, any field.
    OptionError
        See :func:`project`.
    """
    part = None
    if not isinstance(names, str) and all(isinstance(name, str) for name in names):
        part = schema.part({name.partition(".")[0] for name in names})  # names at top level have no dots
    return project(schema.whole if part is None else part, names)


def _find(fields: Sequence[Field], path: str) -> tuple[Field, ...] | None:
    """Return the fields from the top down to `path`; names of children may hold dots themselves."""
    for found in fields:
        if found.name == path:
            return (found,)
    for found in fields:
        if found.logical_type == "struct" and path.startswith(f"{found.name}."):
            below = _find(found.children, path[len(found.name) + 1 :])
            if below is not None:
                return (found, *below)
    return None


def _add(tree: Tree, path: Sequence[Field], name: str) -> None:
    """Mark the last field of `path` as wanted as a whole."""
    node = tree
    for outer in path[:-1]:
        below = node.setdefault(outer.id, {})
        if below is None:
            raise OptionError(f"{name!r} is asked for twice: {outer.name!r} is read as a whole")
        node = below
    if path[-1].id in node:
        raise OptionError(f"{name!r} is asked for twice")
    node[path[-1].id] = None


def _parts(fields: Sequence[Field], tree: Tree) -> tuple[Field, ...]:
    by_id = {found.id: found for found in fields}
    return tuple(
        by_id[id_] if below is None else by_id[id_].with_children(_parts(by_id[id_].children, below))
        for id_, below in tree.items()
    )


def _unknown(schema: Schema, name: str) -> OptionError:
    paths = [path for top in schema.fields for path in _paths(top, "")]
    near = difflib.get_close_matches(str(name), paths, n=3) or [top.name for top in schema.fields[:10]]
    return OptionError(f"there is no field {name!r}; the nearest are {', '.join(map(repr, near)) or 'none'}")


def _paths(field: Field, prefix: str) -> Iterator[str]:
    yield prefix + field.name
    if field.logical_type == "struct":
        for child in field.children:
            yield from _paths(child, f"{prefix}{field.name}.")
