"""Fields and schemas, between Arrow and the messages of the descriptor (container.md 3 and 10).

The message lists all fields depth first, parents before their children; a field names its parent by id::

    id  parent  name     logical_type
    0   -1      point    struct
    1    0      x        double
    2    0      y        double
    3   -1      tags     list
    4    3      item     string

Ids need not be dense or ordered, and are no indices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb import file_pb2
from lancelet.schema.blobs import with_descriptor_ids
from lancelet.schema.extensions import show_extension, storage_field
from lancelet.schema.logical import (
    EXTENSION_METADATA,
    EXTENSION_NAME,
    FSL_OF_STRUCT,
    JSON,
    LANCE_JSON,
    LISTS,
    VARIABLE_WIDTH,
    arrow_type_of,
    flat_type_of,
    logical_type_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = ["MAX_DEPTH", "Field", "Keys", "Schema", "StoredSchema"]

#: Fields nested deeper are refused; Arrow's own readers stop there too.
MAX_DEPTH = 64

_PRIMARY_KEY = "lance-schema:unenforced-primary-key"
_PRIMARY_KEY_POSITION = "lance-schema:unenforced-primary-key:position"
_CLUSTERING_KEY_POSITION = "lance-schema:unenforced-clustering-key:position"
_YES = ("true", "1", "yes")
_MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Keys:
    """The part that a field plays in keys, which nobody enforces.

    Attributes
    ----------
    primary
        The field belongs to the primary key.
    primary_position
        Its place there, from 1; 0: after those with a place, by id.
    clustering
        The reserved flag of the clustering key.
    clustering_position
        Its place in the clustering key, from 1; 0: not part of it.
    """

    primary: bool = False
    primary_position: int = 0
    clustering: bool = False
    clustering_position: int = 0


NO_KEYS = Keys()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a schema.

    Attributes
    ----------
    id, parent_id
        The field's number and its parent's; -1 at top level.
    name
        The name, not a path.
    logical_type
        The type as stored; see :mod:`lancelet.schema.logical`.
    nullable
        Nulls are allowed.
    metadata
        Field metadata as stored, extension keys included.
    children
        Child fields; none for fixed-size lists (except those of structs), dictionaries and blobs.
    arrow_type
        The type as a user sees it: an extension type where pyarrow knows it, at every depth.
    storage_type
        The type of what is stored: no extension types at any depth.
    keys
        Primary and clustering keys.
    """

    id: int
    parent_id: int
    name: str
    logical_type: str
    nullable: bool
    metadata: dict[str, str]
    children: tuple[Field, ...]
    arrow_type: pa.DataType
    storage_type: pa.DataType
    keys: Keys = NO_KEYS

    @classmethod
    def make(
        cls,
        name: str,
        logical_type: str,
        nullable: bool,
        metadata: Mapping[str, str],
        children: Sequence[Field],
        *,
        id: int,
        parent_id: int,
        keys: Keys = NO_KEYS,
    ) -> Field:
        """Make a field and find its Arrow types.

        Raises
        ------
        FormatError, UnsupportedError
            The logical type is unknown or does not go with the children; the message names the field.
        """
        metadata = dict(metadata)
        if logical_type == JSON:
            metadata[EXTENSION_NAME] = LANCE_JSON
            metadata.setdefault(EXTENSION_METADATA, "")
        try:
            if children:
                storage = arrow_type_of(
                    logical_type, [_arrow(child, child.storage_type) for child in children]
                )
                shown = arrow_type_of(logical_type, [child.to_arrow() for child in children])
            else:
                storage = shown = flat_type_of(logical_type)
        except (FormatError, UnsupportedError) as error:
            raise type(error)(f"field {name!r}: {error}") from None
        if logical_type == "null" and not nullable:
            raise FormatError(f"field {name!r} of type null must be nullable")
        if EXTENSION_NAME in metadata:
            shown = show_extension(pa.field(name, shown, nullable, metadata)).type
        below = tuple(children)
        return cls(id, parent_id, name, logical_type, nullable, metadata, below, shown, storage, keys)

    def to_arrow(self) -> pa.Field:
        """Return the Arrow field as a user sees it."""
        return _arrow(self, self.arrow_type)

    def walk(self) -> Iterator[Field]:
        """Yield the field and all fields below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def with_children(self, children: Sequence[Field]) -> Field:
        """Return the field with other children, and types to match."""
        return Field.make(
            self.name,
            self.logical_type,
            self.nullable,
            self.metadata,
            children,
            id=self.id,
            parent_id=self.parent_id,
            keys=self.keys,
        )

    def to_message(self) -> file_pb2.Field:
        """Return the field as stored, without its children."""
        message = file_pb2.Field(
            name=self.name,
            id=self.id,
            parent_id=self.parent_id,
            logical_type=self.logical_type,
            nullable=self.nullable,
            encoding=_old_encoding(self.logical_type),
            extension_name=self.metadata.get(EXTENSION_NAME, ""),
            unenforced_primary_key=self.keys.primary,
            unenforced_primary_key_position=self.keys.primary_position,
            unenforced_clustering_key=self.keys.clustering,
            unenforced_clustering_key_position=self.keys.clustering_position,
        )
        for key, value in self.metadata.items():
            message.metadata[key] = value.encode()
        return message


@dataclass(frozen=True)
class Schema:
    """The fields of a file, and the metadata of the schema itself.

    Attributes
    ----------
    fields
        Top-level fields.
    metadata
        Schema metadata.
    """

    fields: tuple[Field, ...]
    metadata: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_arrow(cls, schema: pa.Schema) -> Schema:
        """Make a schema for new data: ids count from 0, depth first.

        Types that come back as others are stored as those: views as plain strings, JSON as ``lance.json``,
        dictionaries as not ordered, items of fixed-size lists as nullable ``item``.

        Raises
        ------
        OptionError
            A type cannot be stored, names clash or hold a dot, metadata is no text, or a key field is
            nullable or nested in a list.
        """
        ids = iter(range(_MAX_ID))
        fields = tuple(_from_arrow(found, -1, ids, 1) for found in schema)
        _check_names([top.name for top in fields], OptionError)
        for top in fields:
            _check_primary_key(top, top.name, allowed=True)
        return cls(fields, _text(schema.metadata, "the schema"))

    def to_arrow(self) -> pa.Schema:
        """Return the Arrow schema as a user sees it, with all metadata."""
        return self._arrow

    @cached_property
    def _arrow(self) -> pa.Schema:
        return pa.schema([top.to_arrow() for top in self.fields], metadata=self.metadata or None)

    @classmethod
    def from_message(cls, message: file_pb2.Schema) -> Schema:
        """Read a stored schema.

        Raises
        ------
        FormatError
            A rule of container.md 10 is broken, or a logical type is unknown; the message names the field.
        UnsupportedError
            A type is well-formed but not handled, or fields are nested too deep.
        """
        return StoredSchema(message).whole

    def to_message(self) -> file_pb2.Schema:
        """Return the schema as stored."""
        message = file_pb2.Schema(fields=[found.to_message() for found in self.walk()])
        for key, value in self.metadata.items():
            message.metadata[key] = value.encode()
        return message

    def walk(self) -> Iterator[Field]:
        """Yield all fields, depth first, parents before their children."""
        for top in self.fields:
            if top.children:
                yield from top.walk()
            else:
                yield top


class StoredSchema:
    """The schema of a file as its descriptor stores it. Fields are made when they are asked for; threads may share it.

    What is checked at once are the rules that concern the list of all fields: ids, parents, depth, and the names at top level. A
    logical type, and whether it goes with the children, is checked when its field is made: a file may be read in part even if
    another column has a type that is damaged or not known here.

    Parameters
    ----------
    message
        The stored schema.

    Raises
    ------
    FormatError
        A rule of container.md 10 about ids, parents or names is broken; the message names the field.
    UnsupportedError
        Fields are nested too deep.
    """

    def __init__(self, message: file_pb2.Schema) -> None:
        self._message = message
        stored = list(message.fields)
        #: Ids of the fields at top level, in their order.
        self.ids = [found.id for found in stored]
        self._children: dict[int, list[file_pb2.Field]] = {}
        is_flat = {found.parent_id for found in stored} <= {-1}
        if not is_flat or len(set(self.ids)) < len(stored) or min(self.ids, default=0) < 0:
            self._children = _by_parent(stored)
            stored = self._children.pop(-1)
            self.ids = [found.id for found in stored]
        self._stored = stored
        self._names = [found.name for found in stored]
        _check_names(self._names, FormatError)
        self._made: dict[int, Field] = {}

    @cached_property
    def whole(self) -> Schema:
        """The schema with all fields.

        Raises
        ------
        FormatError
            A logical type is unknown, or does not go with its children; the message names the field.
        UnsupportedError
            A type is well-formed but not handled.
        """
        made, children = self._made, self._children
        fields = [
            made.get(place) or _from_message(stored, children) for place, stored in enumerate(self._stored)
        ]
        self._made = dict(enumerate(fields))
        return Schema(tuple(fields), _decode(self._message.metadata))

    @cached_property
    def nested(self) -> tuple[Field, ...]:
        """The fields at top level that have children.

        Raises
        ------
        FormatError, UnsupportedError
            As :attr:`whole`.
        """
        children = self._children
        if not children:
            return ()
        return tuple(self._field(place) for place, id_ in enumerate(self.ids) if children[id_])

    def part(self, names: Collection[str]) -> Schema | None:
        """Return the schema with those fields at top level alone that are in `names`; ``None`` if a name is not there.

        Raises
        ------
        FormatError, UnsupportedError
            As :attr:`whole`, for one of these fields.
        """
        try:
            places = sorted(map(self._names.index, names))
        except ValueError:
            return None
        return Schema(tuple(map(self._field, places)), _decode(self._message.metadata))

    def _field(self, place: int) -> Field:
        made = self._made.get(place)
        if made is None:  # two threads may both make it; all callers get one
            made = self._made.setdefault(place, _from_message(self._stored[place], self._children))
        return made


def _by_parent(fields: Sequence[file_pb2.Field]) -> dict[int, list[file_pb2.Field]]:
    """Return the fields below each field, by its id; those at top level by -1."""
    children: dict[int, list[file_pb2.Field]] = {-1: []}
    depths = {-1: 0}
    for stored in with_descriptor_ids(fields):
        if stored.id < 0 or stored.id in depths:
            raise FormatError(f"field {stored.name!r}: its id {stored.id} is negative or taken")
        if stored.parent_id not in depths:
            raise FormatError(f"field {stored.name!r}: its parent {stored.parent_id} is no earlier field")
        depths[stored.id] = depths[stored.parent_id] + 1
        if depths[stored.id] > MAX_DEPTH:
            raise UnsupportedError(f"field {stored.name!r} is nested deeper than {MAX_DEPTH}")
        children[stored.parent_id].append(stored)
        children[stored.id] = []
    return children


def _arrow(found: Field, type_: pa.DataType) -> pa.Field:
    """Return the Arrow field of a type; the keys of an extension go where the type shows it."""
    metadata = found.metadata
    if isinstance(type_, pa.BaseExtensionType):
        metadata = {key: metadata[key] for key in metadata.keys() - {EXTENSION_NAME, EXTENSION_METADATA}}
    return pa.field(found.name, type_, found.nullable, metadata or None)


def _from_arrow(found: pa.Field, parent_id: int, ids: Iterator[int], depth: int) -> Field:
    """Make a field, and those below it, of an Arrow field."""
    if depth > MAX_DEPTH:
        raise OptionError(f"field {found.name!r} is nested deeper than {MAX_DEPTH}")
    stored = storage_field(found)
    metadata = _text(stored.metadata, f"field {found.name!r}")
    try:
        logical_type = JSON if _is_json(stored.type, metadata) else logical_type_of(stored.type)
    except OptionError as error:
        raise OptionError(f"field {found.name!r}: {error}") from None
    number = next(ids)
    children = [_from_arrow(child, number, ids, depth + 1) for child in _children(stored.type, logical_type)]
    return Field.make(
        found.name,
        logical_type,
        found.nullable,
        metadata,
        children,
        id=number,
        parent_id=parent_id,
        keys=_keys(found.name, metadata),
    )


def _is_json(type_: pa.DataType, metadata: Mapping[str, str]) -> bool:
    name = metadata.get(EXTENSION_NAME)
    if name == LANCE_JSON:
        return bool(pa.types.is_large_binary(type_))
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return name == "arrow.json" and any(matches(type_) for matches in texts)


def _children(type_: pa.DataType, logical_type: str) -> list[pa.Field]:
    """Return the Arrow fields below a type that are fields of their own in a file."""
    if logical_type == "struct":
        return list(type_)
    if logical_type == "map":
        return [pa.field("entries", pa.struct([type_.key_field, type_.item_field]), nullable=False)]
    if logical_type in LISTS or FSL_OF_STRUCT.fullmatch(logical_type):
        return [type_.value_field]
    return []


def _text(metadata: Mapping[bytes, bytes] | None, where: str) -> dict[str, str]:
    """Return Arrow metadata as text; the format stores nothing else."""
    try:
        return {key.decode(): value.decode() for key, value in (metadata or {}).items()}
    except UnicodeDecodeError as error:
        raise OptionError(
            f"metadata of {where} is not UTF-8 text, and nothing else is stored: {error}"
        ) from None


def _decode(metadata: Mapping[str, bytes]) -> dict[str, str]:
    """Return stored metadata as text, ordered by key; bytes that are no text are replaced."""
    if not metadata:
        return {}
    return {key: metadata[key].decode(errors="replace") for key in sorted(metadata)}


def _keys(name: str, metadata: Mapping[str, str]) -> Keys:
    """Read the parts in keys that metadata asks for."""
    if not metadata:
        return NO_KEYS
    return Keys(
        primary=metadata.get(_PRIMARY_KEY, "").lower() in _YES,
        primary_position=_position(name, metadata, _PRIMARY_KEY_POSITION),
        clustering_position=_position(name, metadata, _CLUSTERING_KEY_POSITION),
    )


def _position(name: str, metadata: Mapping[str, str], key: str) -> int:
    text = metadata.get(key, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise OptionError(f"field {name!r}: {key} is {text!r}, not a number")
    return int(text)


def _check_names(names: Sequence[str], error: type[FormatError | OptionError]) -> None:
    """Check the names at top level; names of children are free."""
    if len(set(names)) == len(names) and "." not in "".join(names):
        return
    seen = set()
    for name in names:
        if "." in name:
            raise error(f"field {name!r}: names at top level must not contain a dot")
        if name in seen:
            raise error(f"there is more than one field {name!r}")
        seen.add(name)


def _check_primary_key(found: Field, path: str, *, allowed: bool) -> None:
    """Check that a field of the primary key is a leaf below fields that are never null or lists."""
    allowed = allowed and not found.nullable
    if found.keys.primary and (not allowed or found.children):
        raise OptionError(
            f"field {path!r} of the primary key must be a leaf, not nullable, and not in a list"
        )
    for child in found.children:
        _check_primary_key(child, f"{path}.{child.name}", allowed=allowed and found.logical_type == "struct")


def _from_message(stored: file_pb2.Field, children: Mapping[int, Sequence[file_pb2.Field]]) -> Field:
    number = stored.id
    metadata = _decode(stored.metadata)
    if stored.extension_name:
        metadata[EXTENSION_NAME] = stored.extension_name
    keys = (
        stored.unenforced_primary_key,
        stored.unenforced_primary_key_position,
        stored.unenforced_clustering_key,
        stored.unenforced_clustering_key_position,
    )
    return Field.make(
        stored.name,
        stored.logical_type,
        stored.nullable,
        metadata,
        [_from_message(child, children) for child in children.get(number, ())],
        id=number,
        parent_id=stored.parent_id,
        keys=Keys(*keys) if any(keys) else NO_KEYS,
    )


def _old_encoding(logical_type: str) -> file_pb2.Encoding.ValueType:
    """Return the encoding that the first format would have used: still written, without a meaning."""
    if logical_type in ("struct", "null"):
        return file_pb2.NONE
    if logical_type in VARIABLE_WIDTH:
        return file_pb2.VAR_BINARY
    if logical_type.startswith("dict:"):
        return file_pb2.DICTIONARY
    return file_pb2.PLAIN
