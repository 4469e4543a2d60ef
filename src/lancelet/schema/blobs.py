"""Blob fields: what a user declares, what a file stores, and what a reader shows (container.md 9, versions.md 5.9).

=======  ===============================================  ========================================  ==============================
kind     declared and written                             stored field                              descriptors, as shown
=======  ===============================================  ========================================  ==============================
first    ``large_binary``, with ``lance-encoding:blob``   the same                                  ``struct<position, size>``
second   struct with the extension ``lance.blob.v2``:     struct of the descriptor, with            ``struct<kind, position, size,
         ``data, uri[, position, size]`` or               ``lance-encoding:blob`` and               blob_id, blob_uri>``
         ``kind, data, uri, blob_id, blob_size,           ``lance-encoding:packed``
         position``
=======  ===============================================  ========================================  ==============================

The values of both are shown as ``large_binary``. A field of the second kind keeps its id; the children of the descriptor are no
fields that the user declared, and take ids after the largest one.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb import file_pb2
from lancelet.schema.logical import EXTENSION_METADATA, EXTENSION_NAME, logical_type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lancelet.schema.fields import Field, Schema

    #: What a reader shows of blobs; ``None``: values of the first kind, descriptors of the second, as the reference does.
    BlobView = Literal["values", "descriptors"] | None

__all__ = [
    "BLOB",
    "BLOB_V2",
    "DESCRIPTOR_V1",
    "DESCRIPTOR_V2",
    "LOGICAL_INPUT",
    "PREPARED_INPUT",
    "check_view",
    "descriptor_type",
    "is_blob",
    "shown_schema",
    "stored_schema",
    "with_descriptor_ids",
]

#: The key in the metadata of a stored blob field; any value counts.
BLOB = "lance-encoding:blob"
#: The extension by which blobs of the second kind are declared.
BLOB_V2 = "lance.blob.v2"

_PACKED = "lance-encoding:packed"

#: Ids of fields are signed numbers of 32 bits.
_MAX_ID = 2**31 - 1

#: Descriptors of the first kind.
DESCRIPTOR_V1 = pa.struct([("position", pa.uint64()), ("size", pa.uint64())])
#: Descriptors of the second kind.
DESCRIPTOR_V2 = pa.struct(
    [
        pa.field("kind", pa.uint8(), nullable=False),
        pa.field("position", pa.uint64(), nullable=False),
        pa.field("size", pa.uint64(), nullable=False),
        pa.field("blob_id", pa.uint32(), nullable=False),
        pa.field("blob_uri", pa.string(), nullable=False),
    ]
)
#: What a user writes for blobs of the second kind: bytes, or a place elsewhere; the last two children may be absent.
LOGICAL_INPUT = {
    "data": pa.large_binary(),
    "uri": pa.string(),
    "position": pa.uint64(),
    "size": pa.uint64(),
}
#: What a program writes that has placed the bodies in sidecar files itself.
PREPARED_INPUT = {
    "kind": pa.uint8(),
    "data": pa.large_binary(),
    "uri": pa.string(),
    "blob_id": pa.uint32(),
    "blob_size": pa.uint64(),
    "position": pa.uint64(),
}


def is_blob(field: Field) -> bool:
    """Tell whether a stored field is a blob, of either kind: it owns one column, of descriptors."""
    return BLOB in field.metadata


def descriptor_type(field: Field) -> pa.DataType:
    """Return the Arrow type of the descriptors of a stored blob field.

    Raises
    ------
    UnsupportedError
        The field is marked as a blob, and has a type that blobs do not have.
    """
    if field.logical_type == "large_binary":
        return DESCRIPTOR_V1
    if field.storage_type == DESCRIPTOR_V2 and field.metadata.get(_PACKED, "").lower() == "true":
        return DESCRIPTOR_V2
    raise UnsupportedError(f"field {field.name!r}: blobs of type {field.storage_type} are not known here")


# ---- writing


def stored_schema(schema: Schema) -> Schema:
    """Return the schema that a file stores for `schema`: declared blobs of the second kind become their descriptors.

    Raises
    ------
    OptionError
        A field with the extension ``lance.blob.v2`` is none of the structs that can be written.
    """
    if not any(found.metadata.get(EXTENSION_NAME) == BLOB_V2 for found in schema.walk()):
        return schema
    ids = count(max(found.id for found in schema.walk()) + 1)
    fields = tuple(_stored(top, ids) for top in schema.fields)
    return type(schema)(fields, schema.metadata)


def _stored(field: Field, ids: Iterator[int]) -> Field:
    if field.metadata.get(EXTENSION_NAME) != BLOB_V2:
        return (
            field.with_children([_stored(child, ids) for child in field.children])
            if field.children
            else field
        )
    _check_input(field)
    keys = (EXTENSION_NAME, EXTENSION_METADATA)
    metadata = {key: value for key, value in field.metadata.items() if key not in keys}
    return _with_type(field, DESCRIPTOR_V2, {**metadata, BLOB: "true", _PACKED: "true"}, ids)


def _check_input(field: Field) -> None:
    type_ = field.storage_type
    found = {child.name: child.type for child in type_} if pa.types.is_struct(type_) else {}
    logical = list(LOGICAL_INPUT.items())
    accepted = (logical[:2], logical, list(PREPARED_INPUT.items()))
    if len(found) != len(field.children) or list(found.items()) not in accepted:
        raise OptionError(
            f"field {field.name!r}: a blob ({BLOB_V2}) is written as struct<data: large_binary, uri: string>, "
            f"with or without position and size of type uint64, not as {type_}"
        )


def _with_type(field: Field, type_: pa.DataType, metadata: Mapping[str, str], ids: Iterable[int]) -> Field:
    """Return `field` with another type: a struct of flat children, or a flat type."""
    make = type(field).make
    children = type_ if pa.types.is_struct(type_) else ()
    below = [
        make(child.name, logical_type_of(child.type), child.nullable, {}, (), id=number, parent_id=field.id)
        for child, number in zip(children, ids, strict=False)
    ]
    return make(
        field.name,
        logical_type_of(type_),
        field.nullable,
        metadata,
        below,
        id=field.id,
        parent_id=field.parent_id,
        keys=field.keys,
    )


# ---- reading


def check_view(view: str | None) -> None:
    """Check the word that says what is shown of blobs.

    Raises
    ------
    OptionError
        It is none of those known.
    """
    if view not in (None, "values", "descriptors"):
        raise OptionError(f"blobs is {view!r}; it may be 'values', 'descriptors' or None")


def shown_schema(schema: Schema, view: BlobView) -> Schema:
    """Return the schema that a reader shows of a stored one; it has the same leaves."""
    if not any(is_blob(found) for found in schema.walk()):
        return schema
    return type(schema)(tuple(_shown(top, view) for top in schema.fields), schema.metadata)


def _shown(field: Field, view: BlobView) -> Field:
    if not is_blob(field):
        return (
            field.with_children([_shown(child, view) for child in field.children])
            if field.children
            else field
        )
    if view == "descriptors" and field.logical_type == "large_binary":
        return _with_type(field, DESCRIPTOR_V1, field.metadata, count())
    if view == "values" and field.logical_type == "struct":
        metadata = {key: value for key, value in field.metadata.items() if key != _PACKED}
        return _with_type(field, pa.large_binary(), metadata, ())
    return field


def with_descriptor_ids(fields: Sequence[file_pb2.Field]) -> list[file_pb2.Field]:
    """Give the children of stored descriptors their parent where a writer has left them without.

    The reference stores the five children right behind their blob, with -1 as their id and as their parent's.

    Parameters
    ----------
    fields
        Fields of a schema message.

    Returns
    -------
    list
        The same fields; children of descriptors with ids after the largest one.

    Raises
    ------
    FormatError
        No ids are left.
    """
    found = list(fields)
    if all(field.id != -1 for field in found):
        return found
    first = max(field.id for field in found) + 1
    if first > _MAX_ID - len(found):
        raise FormatError(f"a field has the id {first - 1}, which leaves none for the descriptors of blobs")
    ids = count(first)
    names = [child.name for child in DESCRIPTOR_V2]
    for place, field in enumerate(found):
        below = found[place + 1 : place + 1 + len(names)]
        lost = all(child.id == child.parent_id == -1 for child in below)
        if BLOB in field.metadata and lost and [child.name for child in below] == names:
            for number, child in enumerate(below, place + 1):
                found[number] = file_pb2.Field()
                found[number].CopyFrom(child)
                found[number].id, found[number].parent_id = next(ids), field.id
    return found
