"""What a batch must satisfy before it is encoded (container.md 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.errors import OptionError

if TYPE_CHECKING:
    from lancelet.schema.fields import Schema

__all__ = ["MAX_BATCH_ROWS", "check_batch", "check_nulls", "check_row_count"]

#: Rows that one batch may have.
MAX_BATCH_ROWS = 2**32 - 1

_MAX_FILE_ROWS = 2**63 - 1


def check_batch(batch: pa.RecordBatch, schema: Schema, arrow_schema: pa.Schema) -> list[pa.Array]:
    """Return the arrays of `batch` in the order of the schema.

    Columns are found by name, their order is free, further columns are ignored.

    Parameters
    ----------
    batch
        What the user wrote.
    schema, arrow_schema
        The file's fields, and the Arrow schema of the same columns that batches must have.

    Raises
    ------
    OptionError
        A column is missing, has another type, or has visible nulls in a field that is not nullable.
    """
    arrays = []
    for field, wanted in zip(schema.fields, arrow_schema, strict=True):
        indices = batch.schema.get_all_field_indices(field.name)
        if not indices:
            have = ", ".join(repr(name) for name in batch.schema.names)
            raise OptionError(f"the batch has no column {field.name!r}; it has {have}")
        if len(indices) > 1:
            raise OptionError(f"the batch has {len(indices)} columns {field.name!r}")
        array = batch.column(indices[0])
        if array.type != wanted.type:
            raise OptionError(f"column {field.name!r} has type {array.type}; the file stores {wanted.type}")
        check_nulls(array, wanted, field.name)
        arrays.append(array)
    return arrays


def check_nulls(array: pa.Array, field: pa.Field, path: str, hidden: pa.Array | None = None) -> None:
    """Check that `array` shows no null where `field` allows none.

    Nulls below a null ancestor are not visible and are allowed.

    Parameters
    ----------
    array
        Values of the field.
    field
        The Arrow field.
    path
        Its path, for the message.
    hidden
        Boolean array: rows in which an ancestor is null; ``None`` when there is none.

    Raises
    ------
    OptionError
        A null is visible in a field that is not nullable.
    """
    if not field.nullable and array.null_count:
        nulls = array.is_null()
        if hidden is not None:
            import pyarrow.compute as pc

            nulls = pc.and_not(nulls, hidden)
        if nulls.true_count:
            raise OptionError(f"field {path!r} is not nullable, and the batch has {nulls.true_count} nulls there")
    if pa.types.is_struct(array.type) and not _any_child_strict(array.type):
        return
    if pa.types.is_struct(array.type):
        below = hidden
        if array.null_count:
            import pyarrow.compute as pc

            below = array.is_null() if hidden is None else pc.or_(array.is_null(), hidden)
        for index in range(array.type.num_fields):
            child = array.type.field(index)
            check_nulls(array.field(index), child, f"{path}.{child.name}", below)


def _any_child_strict(type_: pa.DataType) -> bool:
    return any(not child.nullable or pa.types.is_struct(child.type) for child in type_)


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
