"""What a batch must satisfy before it is encoded (container.md 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import valid_mask
from lancelet.blocks.dictionary_array import num_nulls
from lancelet.errors import OptionError
from lancelet.fields.paths import list_items
from lancelet.schema.blobs import BLOB_V2, is_blob
from lancelet.schema.fields import Schema
from lancelet.schema.logical import EXTENSION_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lancelet.schema.fields import Field

    Mask = npt.NDArray[np.bool_]

__all__ = [
    "MAX_BATCH_ROWS",
    "check_batch",
    "check_nulls",
    "check_row_count",
    "fields_of",
    "with_nullability",
]

#: Rows that one batch may have.
MAX_BATCH_ROWS = 2**32 - 1

_MAX_FILE_ROWS = 2**63 - 1


def fields_of(schema: pa.Schema | None, fields: Schema | None) -> Schema | None:
    """Return the fields that the columns of a writer are stored as; ``None``: that is not known yet.

    Parameters
    ----------
    schema
        Arrow schema that a user gives.
    fields
        The fields that go with it, with ids of their own; by default they are numbered from 0.

    Raises
    ------
    OptionError
        The schema is none, cannot be stored, or has other names or types than `fields`.
    """
    if schema is not None and not isinstance(schema, pa.Schema):
        raise OptionError(f"schema is {schema!r}; it must be a pyarrow.Schema")
    if fields is None:
        return None if schema is None else Schema.from_arrow(schema)
    if schema is None:
        raise OptionError("fields say how a schema is stored, and there is no schema")
    _check_same(Schema.from_arrow(schema).fields, fields.fields, "")
    return fields


def _check_same(given: Sequence[Field], wanted: Sequence[Field], prefix: str) -> None:
    if [field.name for field in given] != [field.name for field in wanted]:
        names = (
            ", ".join(repr(prefix + field.name) for field in fields) or "none" for fields in (given, wanted)
        )
        raise OptionError("the schema has the fields {}, and they are stored as {}".format(*names))
    for one, other in zip(given, wanted, strict=True):
        if other.metadata.get(EXTENSION_NAME) == BLOB_V2:  # may be written in more than one form
            continue
        if one.logical_type != other.logical_type:
            raise OptionError(
                f"field {prefix + one.name!r} of type {one.arrow_type} cannot be stored as {other.arrow_type}"
            )
        _check_same(one.children, other.children, f"{prefix}{one.name}.")


def with_nullability(arrow_schema: pa.Schema, schema: Schema) -> pa.Schema:
    """Return `arrow_schema` with nulls allowed where `schema` allows them, for :func:`check_nulls`."""
    return pa.schema([_strict(*pair) for pair in zip(arrow_schema, schema.fields, strict=True)])


def _strict(arrow: pa.Field, field: Field) -> pa.Field:
    return pa.field(arrow.name, _strict_type(arrow.type, field), field.nullable)


def _strict_type(type_: pa.DataType, field: Field) -> pa.DataType:
    if isinstance(type_, pa.BaseExtensionType) or not field.children or is_blob(field):
        return type_
    if pa.types.is_struct(type_):
        return pa.struct([_strict(*pair) for pair in zip(type_, field.children, strict=True)])
    child = field.children[0]
    if pa.types.is_map(type_):
        key, item = (
            _strict(*pair) for pair in zip((type_.key_field, type_.item_field), child.children, strict=True)
        )
        return pa.map_(key, item, type_.keys_sorted)
    item = _strict(type_.value_field, child)
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(item, type_.list_size)
    return pa.large_list(item) if pa.types.is_large_list(type_) else pa.list_(item)


def check_batch(batch: pa.RecordBatch, arrow_schema: pa.Schema, strict_schema: pa.Schema) -> list[pa.Array]:
    """Return the arrays of `batch` in the order of the schema.

    Columns are found by name, their order is free, further columns are ignored.

    Parameters
    ----------
    batch
        What the user wrote.
    arrow_schema, strict_schema
        The columns that batches must have; the same with nulls allowed where the file allows them.

    Raises
    ------
    OptionError
        A column is missing, has another type, or has visible nulls in a field that is not nullable.
    """
    arrays = []
    batch_schema = batch.schema
    for field, strict in zip(arrow_schema, strict_schema, strict=True):
        indices = batch_schema.get_all_field_indices(field.name)
        if not indices:
            have = ", ".join(repr(name) for name in batch_schema.names)
            raise OptionError(f"the batch has no column {field.name!r}; it has {have}")
        if len(indices) > 1:
            raise OptionError(f"the batch has {len(indices)} columns {field.name!r}")
        array = batch.column(indices[0])
        if array.type != field.type:
            raise OptionError(f"column {field.name!r} has type {array.type}; the file stores {field.type}")
        check_nulls(array, strict, field.name)
        arrays.append(array)
    return arrays


def check_nulls(array: pa.Array, field: pa.Field, path: str, seen: Mask | None = None) -> None:
    """Check that `array` shows no null where `field`, or a field below it, allows none.

    What lies below a null is not visible and may be null.

    Parameters
    ----------
    array
        Values of the field.
    field
        The Arrow field.
    path
        Its path, for the message.
    seen
        ``bool[len(array)]``, false below nulls; ``None``: all values are visible.

    Raises
    ------
    OptionError
        A null is visible in a field that is not nullable.
    """
    type_ = field.type
    if not field.nullable:
        nulls = _visible_nulls(array, seen)
        if nulls:
            raise OptionError(f"field {path!r} is not nullable, and the batch has {nulls} nulls there")
    if not _is_strict_below(type_):
        return
    if isinstance(type_, pa.BaseExtensionType):
        type_, array = type_.storage_type, array.storage
    valid = valid_mask(array)
    if valid is not None:
        seen = valid if seen is None else seen & valid
    if pa.types.is_struct(type_):
        for index in range(type_.num_fields):
            child = type_.field(index)
            check_nulls(array.field(index), child, f"{path}.{child.name}", seen)
        return
    if pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        items = array.values.slice(array.offset * size, len(array) * size)
        seen = None if seen is None else np.repeat(seen, size)
    else:
        offsets, items = list_items(array)
        seen = None if seen is None else np.repeat(seen, np.diff(offsets))
    if pa.types.is_map(type_):
        for index, child in enumerate((type_.key_field, type_.item_field)):
            check_nulls(items.field(index), child, f"{path}.{child.name}", seen)
    else:
        check_nulls(items, type_.value_field, f"{path}.{type_.value_field.name}", seen)


def _visible_nulls(array: pa.Array, seen: Mask | None) -> int:
    if pa.types.is_dictionary(array.type):
        return num_nulls(array, seen)
    valid = valid_mask(array)
    if seen is None or valid is None:
        return int(array.null_count)
    return int(np.count_nonzero(seen & ~valid))


def _is_strict_below(type_: pa.DataType) -> bool:
    """Whether a field below `type_` allows no nulls."""
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    if not pa.types.is_nested(type_) or pa.types.is_union(type_):
        return False
    children = [type_.field(index) for index in range(type_.num_fields)]
    return any(not child.nullable or _is_strict_below(child.type) for child in children)


def check_row_count(num_rows: int, rows_written: int) -> None:
    """Check the limits of rows a batch and a file may have.

    Raises
    ------
    OptionError
        The batch has more than 2^32 - 1 rows, or the file would have more than 2^63 - 1.
    """
    if num_rows > MAX_BATCH_ROWS:
        raise OptionError(
            f"a batch may have at most {MAX_BATCH_ROWS} rows (2^32 - 1), and this one has {num_rows}; write it in parts"
        )
    if rows_written + num_rows > _MAX_FILE_ROWS:
        raise OptionError(f"a file may have at most {_MAX_FILE_ROWS} rows")
