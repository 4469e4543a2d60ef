"""Names of Arrow types, as Arrow's Rust implementation prints them: the keys of rules for types (compressors.md 7.1).

=================================  =====================================================
pyarrow                            printed
=================================  =====================================================
``int32``, ``float16``, ``bool``   ``Int32``, ``Float16``, ``Boolean``
``string``, ``large_binary``       ``Utf8``, ``LargeBinary``
``timestamp("us")``                ``Timestamp(Microsecond, None)``
``timestamp("us", "UTC")``         ``Timestamp(Microsecond, Some("UTC"))``
``decimal128(10, 2)``              ``Decimal128(10, 2)``
``binary(16)``                     ``FixedSizeBinary(16)``
``list_(float32(), 3)``            ``FixedSizeList(Field { name: "item", ... }, 3)``
=================================  =====================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["names_of_type", "printed_type", "type_heads"]

_SIMPLE = {
    pa.null(): "Null",
    pa.bool_(): "Boolean",
    pa.int8(): "Int8",
    pa.int16(): "Int16",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.uint8(): "UInt8",
    pa.uint16(): "UInt16",
    pa.uint32(): "UInt32",
    pa.uint64(): "UInt64",
    pa.float16(): "Float16",
    pa.float32(): "Float32",
    pa.float64(): "Float64",
    pa.date32(): "Date32",
    pa.date64(): "Date64",
    pa.month_day_nano_interval(): "Interval(MonthDayNano)",
    pa.binary(): "Binary",
    pa.large_binary(): "LargeBinary",
    pa.binary_view(): "BinaryView",
    pa.string(): "Utf8",
    pa.large_string(): "LargeUtf8",
    pa.string_view(): "Utf8View",
}
_UNITS = {"s": "Second", "ms": "Millisecond", "us": "Microsecond", "ns": "Nanosecond"}
_LISTS = (
    (pa.types.is_list, "List"),
    (pa.types.is_large_list, "LargeList"),
    (pa.types.is_list_view, "ListView"),
    (pa.types.is_large_list_view, "LargeListView"),
)
_COMPOSED = (
    "Timestamp",
    "Time32",
    "Time64",
    "Duration",
    "Interval",
    "Decimal32",
    "Decimal64",
    "Decimal128",
    "Decimal256",
    "FixedSizeBinary",
    "FixedSizeList",
    "List",
    "LargeList",
    "ListView",
    "LargeListView",
    "Struct",
    "Union",
    "Dictionary",
    "Map",
    "RunEndEncoded",
)
#: First words of types as pyarrow prints them, where they are not those of a type of :data:`_SIMPLE`.
_PYARROW = (
    "timestamp",
    "time32",
    "time64",
    "duration",
    "decimal32",
    "decimal64",
    "decimal128",
    "decimal256",
    "fixed_size_binary",
    "fixed_size_list",
    "list",
    "large_list",
    "list_view",
    "large_list_view",
    "struct",
    "dense_union",
    "sparse_union",
    "dictionary",
    "map",
    "run_end_encoded",
)
_DECIMAL = re.compile(r"decimal(\d+)\((\d+), (-?\d+)\)")


def printed_type(type_: pa.DataType) -> str:
    """Return the name of a type; an extension type is named like its storage."""
    if isinstance(type_, pa.BaseExtensionType):
        return printed_type(type_.storage_type)
    name = _SIMPLE.get(type_) or _printed_number(type_) or _printed_nested(type_)
    return str(type_) if name is None else name


def _printed_number(type_: Any) -> str | None:
    """Print times, decimals and binary of one width."""
    if pa.types.is_timestamp(type_):
        zone = "None" if type_.tz is None else f'Some("{type_.tz}")'
        return f"Timestamp({_UNITS[type_.unit]}, {zone})"
    if pa.types.is_time(type_):
        return f"Time{type_.bit_width}({_UNITS[type_.unit]})"
    if pa.types.is_duration(type_):
        return f"Duration({_UNITS[type_.unit]})"
    decimal = _DECIMAL.fullmatch(str(type_))
    if decimal:
        return "Decimal{}({}, {})".format(*decimal.groups())
    if pa.types.is_fixed_size_binary(type_):
        return f"FixedSizeBinary({type_.byte_width})"
    return None


def _printed_nested(type_: Any) -> str | None:
    if pa.types.is_fixed_size_list(type_):
        return f"FixedSizeList({_printed_field(type_.value_field)}, {type_.list_size})"
    for is_kind, name in _LISTS:
        if is_kind(type_):
            return f"{name}({_printed_field(type_.value_field)})"
    if pa.types.is_struct(type_):
        return f"Struct([{_joined(type_)}])"
    if pa.types.is_map(type_):
        entries = pa.field("entries", pa.struct([type_.key_field, type_.item_field]), nullable=False)
        return f"Map({_printed_field(entries)}, {str(type_.keys_sorted).lower()})"
    if pa.types.is_dictionary(type_):
        return f"Dictionary({printed_type(type_.index_type)}, {printed_type(type_.value_type)})"
    if pa.types.is_run_end_encoded(type_):
        ends = _printed_field(pa.field("run_ends", type_.run_end_type, nullable=False))
        return f"RunEndEncoded({ends}, {_printed_field(pa.field('values', type_.value_type))})"
    if pa.types.is_union(type_):
        numbered = ", ".join(
            f"({code}, {_printed_field(type_.field(i))})" for i, code in enumerate(type_.type_codes)
        )
        return f"Union([{numbered}], {type_.mode.capitalize()})"
    return None


def _joined(fields: Iterable[pa.Field]) -> str:
    return ", ".join(map(_printed_field, fields))


def _printed_field(field: pa.Field) -> str:
    return (
        f'Field {{ name: "{field.name}", data_type: {printed_type(field.type)}, nullable: '
        f"{str(field.nullable).lower()}, dict_id: 0, dict_is_ordered: false, metadata: {{}} }}"
    )


def names_of_type(type_: pa.DataType) -> tuple[str, str]:
    """Return both names under which a rule may stand for a type: as Rust prints it, and as pyarrow does."""
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    return printed_type(type_), str(type_)


def type_heads() -> frozenset[str]:
    """Return the words with which names of types begin."""
    simple = {re.split(r"\W", name)[0] for type_, name in _SIMPLE.items() for name in (name, str(type_))}
    return frozenset({*simple, *_COMPOSED, *_PYARROW})
