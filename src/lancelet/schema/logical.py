"""Logical type strings and Arrow types (container.md 9).

============================================  ============================  =============================
Arrow type                                    logical type                  children stored as fields
============================================  ============================  =============================
bool, integers, float32, float64, ...         ``bool``, ``int32``, ...      (the table ``_SIMPLE``)
utf8_view, binary_view                        ``string``, ``binary``        read back as utf8, binary
fixed_size_binary(n)                          ``fixed_size_binary:n``
decimal128(p, s), decimal256(p, s)            ``decimal:128:p:s``
timestamp(u, zone)                            ``timestamp:u:zone``          zone ``-`` = none; may hold colons
dictionary(index, value)                      ``dict:value:index:false``    value first
fixed_size_list(x, n)                         ``fixed_size_list:<x>:n``     none; of structs: the item
list, large_list                              ``list``, ``large_list``      the item
... of structs                                ``list.struct``               the item
struct                                        ``struct``                    each child
map                                           ``map``                       ``entries``, a struct
JSON                                          ``json``                      read back as ``lance.json``
============================================  ============================  =============================

A type that the format cannot hold is an OptionError when it is to be written. On reading, a string that
makes no sense is a FormatError; one that means a type that nobody can write is an UnsupportedError.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import FormatError, OptionError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "BFLOAT16",
    "EXTENSION_METADATA",
    "EXTENSION_NAME",
    "FSL_OF_STRUCT",
    "JSON",
    "LANCE_JSON",
    "LISTS",
    "VARIABLE_WIDTH",
    "arrow_type_of",
    "flat_type_of",
    "logical_type_of",
]

EXTENSION_NAME = "ARROW:extension:name"
EXTENSION_METADATA = "ARROW:extension:metadata"
JSON = "json"
#: The extension that JSON columns are read as: large_binary in the JSONB encoding.
LANCE_JSON = "lance.json"
BFLOAT16 = "lance.bfloat16"

#: Logical types of values of any length.
VARIABLE_WIDTH = ("string", "large_string", "binary", "large_binary", JSON)
#: Logical types of lists.
LISTS = ("list", "list.struct", "large_list", "large_list.struct")
#: Logical types of fixed-size lists whose items are a field of their own.
FSL_OF_STRUCT = re.compile(r"fixed_size_list:struct:\d+", re.ASCII)

_MAX_WIDTH = 2**31 - 1
#: Lists in lists in ... of a fixed-size list.
_MAX_NESTING = 16

_NUMBERS: dict[str, pa.DataType] = {
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "halffloat": pa.float16(),
    "float": pa.float32(),
    "double": pa.float64(),
}
_VARIABLE: dict[str, pa.DataType] = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
}
_TIMES: dict[str, pa.DataType] = {
    "date32:day": pa.date32(),
    "date64:ms": pa.date64(),
    "time32:s": pa.time32("s"),
    "time32:ms": pa.time32("ms"),
    "time64:us": pa.time64("us"),
    "time64:ns": pa.time64("ns"),
    "duration:s": pa.duration("s"),
    "duration:ms": pa.duration("ms"),
    "duration:us": pa.duration("us"),
    "duration:ns": pa.duration("ns"),
}
_SIMPLE: dict[str, pa.DataType] = {"null": pa.null(), "bool": pa.bool_(), **_NUMBERS, **_VARIABLE, **_TIMES}
_SIMPLE_NAMES = {type_: name for name, type_ in _SIMPLE.items()} | {
    pa.string_view(): "string",
    pa.binary_view(): "binary",
}
_UNITS = ("s", "ms", "us", "ns")
_DICTIONARY_VALUES = {"bool": pa.bool_(), **_NUMBERS, **_VARIABLE}
_DICTIONARY_INDICES = {name: type_ for name, type_ in _NUMBERS.items() if pa.types.is_integer(type_)}


def logical_type_of(type_: pa.DataType) -> str:
    """Return the string that names an Arrow type.

    Parameters
    ----------
    type_
        The type. An extension type is named like its storage.

    Raises
    ------
    OptionError
        The format has no such type; the message names it and says why.
    """
    type_ = _storage(type_)
    simple = _SIMPLE_NAMES.get(type_)
    if simple is not None:
        return simple
    for matches, name in _WRITERS:
        if matches(type_):
            return name(type_)
    raise _refused(type_, "the format has no such type")


def _refused(type_: pa.DataType, reason: str) -> OptionError:
    return OptionError(f"the type {type_} cannot be stored: {reason}")


def _write_fixed_size_binary(type_: pa.DataType) -> str:
    if type_.byte_width < 1:
        raise _refused(type_, "its values have no bytes, and no reader accepts that")
    return f"fixed_size_binary:{type_.byte_width}"


def _write_timestamp(type_: pa.DataType) -> str:
    return f"timestamp:{type_.unit}:{type_.tz or '-'}"


def _write_dictionary(type_: pa.DataType) -> str:
    value = _SIMPLE_NAMES.get(type_.value_type)
    index = _SIMPLE_NAMES.get(type_.index_type)
    if value not in _DICTIONARY_VALUES:
        raise _refused(type_, "a dictionary has values of type bool, integer, float, string or binary only")
    return f"dict:{value}:{index}:false"


def _write_list(type_: pa.DataType) -> str:
    name = "large_list" if pa.types.is_large_list(type_) else "list"
    return f"{name}.struct" if pa.types.is_struct(_storage(type_.value_type)) else name


def _write_fixed_size_list(type_: pa.DataType) -> str:
    item = type_
    sizes: list[int] = []
    while pa.types.is_fixed_size_list(item) and len(sizes) <= _MAX_NESTING:
        sizes.append(item.list_size)
        field = item.value_field
        item = field.type
    if pa.types.is_struct(_storage(item)) and len(sizes) == 1:
        name = "struct"
    elif _is_bfloat16(field):
        name = BFLOAT16
    elif pa.types.is_nested(item):
        raise _refused(type_, f"items of a fixed-size list cannot be of type {item}")
    else:
        name = logical_type_of(item)
    text = "".join(("fixed_size_list:" * len(sizes), name, *(f":{size}" for size in reversed(sizes))))
    if name != "struct":
        try:
            arrow_type_of(text)
        except (FormatError, UnsupportedError) as error:
            raise _refused(type_, str(error)) from None
    elif sizes[0] < 1:
        raise _refused(type_, "its lists have no items")
    return text


def _is_bfloat16(field: pa.Field) -> bool:
    if isinstance(field.type, pa.BaseExtensionType):
        return bool(field.type.extension_name == BFLOAT16)
    name = (field.metadata or {}).get(EXTENSION_NAME.encode())
    return bool(name == BFLOAT16.encode() and field.type == pa.binary(2))


def _write_map(type_: pa.DataType) -> str:
    if type_.keys_sorted:
        raise _refused(type_, "maps with sorted keys are not stored; cast it to one with keys_sorted=False")
    return "map"


def _write_decimal(type_: pa.DataType) -> str:
    return f"decimal:{type_.bit_width}:{type_.precision}:{type_.scale}"


_WRITERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], str]], ...] = (
    (pa.types.is_timestamp, _write_timestamp),
    (pa.types.is_list, _write_list),
    (pa.types.is_large_list, _write_list),
    (pa.types.is_struct, lambda _: "struct"),
    (pa.types.is_fixed_size_list, _write_fixed_size_list),
    (pa.types.is_fixed_size_binary, _write_fixed_size_binary),
    (pa.types.is_decimal128, _write_decimal),
    (pa.types.is_decimal256, _write_decimal),
    (pa.types.is_dictionary, _write_dictionary),
    (pa.types.is_map, _write_map),
)


def _storage(type_: pa.DataType) -> pa.DataType:
    return type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_


def arrow_type_of(logical_type: str, children: Sequence[pa.Field] = ()) -> pa.DataType:
    """Return the Arrow type that a logical type string and the child fields name.

    Parameters
    ----------
    logical_type
        The string of a field.
    children
        Arrow fields of the field's children.

    Raises
    ------
    FormatError
        The string is unknown or malformed, or does not go with the children.
    UnsupportedError
        The type is well-formed, but no writer makes it.
    """
    nested = _NESTED.get(logical_type)
    if nested is not None:
        return nested(children)
    if FSL_OF_STRUCT.fullmatch(logical_type):
        item = _only_child(logical_type, children)
        if not pa.types.is_struct(_storage(item.type)):
            raise FormatError(f"the item of {logical_type!r} is no struct")
        return pa.list_(item, _number(logical_type, logical_type.rpartition(":")[2], 1, _MAX_WIDTH))
    if children:
        raise FormatError(f"a field of type {logical_type!r} cannot have children")
    if logical_type == JSON:
        return pa.large_binary()
    simple = _SIMPLE.get(logical_type)
    if simple is not None:
        return simple
    kind, colon, _ = logical_type.partition(":")
    parse = _READERS.get(kind) if colon else None
    if parse is None:
        raise _unknown(logical_type)
    return parse(logical_type)


@lru_cache(maxsize=1024)  # columns share few types
def flat_type_of(logical_type: str) -> pa.DataType:
    """Return :func:`arrow_type_of` a field without children."""
    return arrow_type_of(logical_type)


def _unknown(logical_type: str) -> FormatError:
    return FormatError(f"unknown logical type {logical_type!r}")


def _number(logical_type: str, digits: str, low: int, high: int) -> int:
    if not re.fullmatch(r"-?\d{1,10}", digits, re.ASCII) or not low <= int(digits) <= high:
        raise FormatError(
            f"{digits!r} in the logical type {logical_type!r} is not a number from {low} to {high}"
        )
    return int(digits)


def _only_child(logical_type: str, children: Sequence[pa.Field]) -> pa.Field:
    if len(children) != 1:
        raise FormatError(f"a field of type {logical_type!r} must have one child and has {len(children)}")
    return children[0]


def _read_map(children: Sequence[pa.Field]) -> pa.DataType:
    entries = _only_child("map", children)
    if not pa.types.is_struct(entries.type) or entries.type.num_fields != 2:
        raise FormatError(f"the child of a map must be a struct of key and value, not {entries.type}")
    key, value = entries.type
    if key.nullable:
        raise FormatError("the key of a map must not be nullable")
    return pa.map_(key, value)


def _read_fixed_size_binary(logical_type: str) -> pa.DataType:
    width = _number(logical_type, logical_type.partition(":")[2], 0, _MAX_WIDTH)
    if width == 0:
        raise UnsupportedError(f"values without bytes ({logical_type!r}) are not handled")
    return pa.binary(width)


def _read_decimal(logical_type: str) -> pa.DataType:
    parts = logical_type.split(":")
    if len(parts) != 4 or parts[1] not in ("128", "256"):
        raise _unknown(logical_type)
    make, most = (pa.decimal128, 38) if parts[1] == "128" else (pa.decimal256, 76)
    return make(_number(logical_type, parts[2], 1, most), _number(logical_type, parts[3], -128, 127))


def _read_timestamp(logical_type: str) -> pa.DataType:
    parts = logical_type.split(":", 2)
    if len(parts) != 3 or parts[1] not in _UNITS:
        raise _unknown(logical_type)
    return pa.timestamp(parts[1], tz=None if parts[2] in ("", "-") else parts[2])


def _read_dictionary(logical_type: str) -> pa.DataType:
    parts = logical_type.split(":")
    if len(parts) != 4 or parts[3] not in ("false", "true"):
        raise _unknown(logical_type)
    value, index = _DICTIONARY_VALUES.get(parts[1]), _DICTIONARY_INDICES.get(parts[2])
    if value is None or index is None:
        raise _unknown(logical_type)
    return pa.dictionary(index, value, ordered=parts[3] == "true")


def _read_fixed_size_list(logical_type: str) -> pa.DataType:
    dimensions = []
    item = logical_type
    while item.startswith("fixed_size_list:"):
        item, _, digits = item.removeprefix("fixed_size_list:").rpartition(":")
        dimensions.append(_number(logical_type, digits, 1, _MAX_WIDTH))
        if len(dimensions) > _MAX_NESTING or prod(dimensions) > _MAX_WIDTH:
            raise UnsupportedError(f"fixed-size lists of {dimensions} items are too large or nested too deep")
    type_ = _fixed_width_item(item, logical_type)
    field = pa.field("item", type_)
    if item == BFLOAT16:
        field = field.with_metadata({EXTENSION_NAME: BFLOAT16, EXTENSION_METADATA: ""})
    for dimension in reversed(dimensions):
        field = pa.field("item", pa.list_(field, dimension))
    return field.type


def _fixed_width_item(item: str, logical_type: str) -> pa.DataType:
    """Return the type of the items of a fixed-size list."""
    if item == BFLOAT16:
        return pa.binary(2)
    if item in _NESTED or item in _VARIABLE or item in ("null", JSON) or item.startswith("dict:"):
        raise UnsupportedError(f"fixed-size lists of {item} are not handled ({logical_type!r})")
    return arrow_type_of(item)


_NESTED: dict[str, Callable[[Sequence[pa.Field]], pa.DataType]] = {
    "struct": lambda children: pa.struct(children),
    "list": lambda children: pa.list_(_only_child("list", children)),
    "list.struct": lambda children: pa.list_(_only_child("list.struct", children)),
    "large_list": lambda children: pa.large_list(_only_child("large_list", children)),
    "large_list.struct": lambda children: pa.large_list(_only_child("large_list.struct", children)),
    "map": _read_map,
}
_READERS: dict[str, Callable[[str], Any]] = {
    "fixed_size_binary": _read_fixed_size_binary,
    "decimal": _read_decimal,
    "timestamp": _read_timestamp,
    "dict": _read_dictionary,
    "fixed_size_list": _read_fixed_size_list,
}
