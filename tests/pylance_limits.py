"""Types that pylance 14.0.2 writes but cannot read back, whoever wrote the file: no choice of a writer helps.

=================================================  ==================================================================
type                                               what its reader does
=================================================  ==================================================================
struct without children, then any other column     each later leaf is read from the column before its own
fixed-size list of structs beside something else   refuses to read columns with different numbers of rows together
list or map in a fixed-size list of structs        panics ("Not yet supported FSL<...List<...>>")
packed struct with variable-width children         aborts the process when only rows without a value are taken, and panics when
                                                   a batch has no others
=================================================  ==================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["aborts_when_rows_are_taken", "limit_of_pylance"]

LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_map)


def limit_of_pylance(schema: pa.Schema) -> str | None:
    """Return which of the limits keeps pylance from reading a file of this schema, if one does."""
    if has_column_after_empty_struct(schema):
        return "column after an empty struct"
    if len({rows for field in schema for rows in page_rows(field.type)}) > 1:
        return "columns with different rows"
    for field in schema:
        for type_ in types_below(field.type):
            if is_fixed_size_list_of_structs(type_) and any(map(is_any_list, types_below(type_))):
                return "list in a fixed-size list of structs"
    return None


def aborts_when_rows_are_taken(schema: pa.Schema) -> bool:
    """Tell whether a packed struct, at any depth, may lie in full-zip pages."""
    return any(is_packed(below) for field in schema for below in fields_below(field))


def is_packed(field: pa.Field) -> bool:
    if b"lance-encoding:packed" not in (field.metadata or {}):
        return False
    return not all(pa.types.is_primitive(child.type) for child in field.type)


def fields_below(field: pa.Field) -> Iterator[pa.Field]:
    """Yield a field and all fields below it, depth first."""
    yield field
    for index in range(field.type.num_fields):
        yield from fields_below(field.type.field(index))


def has_column_after_empty_struct(schema: pa.Schema) -> bool:
    leaves = [
        pa.types.is_struct(type_)
        for field in schema
        for type_ in types_below(field.type)
        if type_.num_fields == 0
    ]
    return True in leaves[:-1]


def types_below(type_: pa.DataType) -> Iterator[pa.DataType]:
    """Yield a type and those of all its children, depth first."""
    yield type_
    for index in range(type_.num_fields):
        yield from types_below(type_.field(index).type)


def is_any_list(type_: pa.DataType) -> bool:
    return any(is_list(type_) for is_list in LISTS)


def is_fixed_size_list_of_structs(type_: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(type_) and pa.types.is_struct(type_.value_type)


def page_rows(type_: pa.DataType) -> Iterator[int]:
    """Yield the rows that each column of a field counts for one row."""
    if is_fixed_size_list_of_structs(type_):
        yield from (type_.list_size * rows for rows in page_rows(type_.value_type))
    elif pa.types.is_struct(type_) and type_.num_fields:
        for child in type_:
            yield from page_rows(child.type)
    else:
        yield 1
