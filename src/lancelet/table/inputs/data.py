"""Rows that a user hands over, as batches: tables, batches, readers, any Arrow stream, or an iterator with a schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Rows", "rows_of"]


class Rows(NamedTuple):
    """Rows to be consumed once.

    Attributes
    ----------
    schema
        Schema of all batches.
    batches
        The rows.
    num_rows
        How many rows there are; ``None``: not known before the end.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    num_rows: int | None


def rows_of(data: Any, schema: pa.Schema | None = None) -> Rows:
    """Return what `data` holds, without reading it.

    Parameters
    ----------
    data
        Rows already, a table, a batch, a reader, an object with ``__arrow_c_stream__`` or ``__arrow_c_array__`` (a data frame), a
        mapping of names to columns, a list of mappings, or an iterable of batches.
    schema
        What the rows are to be cast to; needed for an iterable of batches that may be empty.

    Raises
    ------
    OptionError
        The data is of no known kind, or cannot be cast.
    """
    if schema is not None and not isinstance(schema, pa.Schema):
        raise OptionError(f"schema is {type(schema).__name__}; it must be a pyarrow.Schema")
    found = _found(data, schema)
    if schema is None or found.schema == schema:
        return found
    return Rows(schema, (_cast(batch, schema) for batch in found.batches), found.num_rows)


def _found(data: Any, schema: pa.Schema | None) -> Rows:
    if isinstance(data, Rows):
        return data
    if isinstance(data, pa.RecordBatch):
        return Rows(data.schema, iter([data]), data.num_rows)
    if isinstance(data, pa.Table):
        return Rows(data.schema, iter(data.to_batches()), data.num_rows)
    try:
        if hasattr(data, "__arrow_c_stream__"):
            reader = pa.RecordBatchReader.from_stream(data)
            return Rows(reader.schema, iter(reader), _length(data))
        if hasattr(data, "__arrow_c_array__"):
            batch = pa.record_batch(data)
            return Rows(batch.schema, iter([batch]), batch.num_rows)
        if isinstance(data, Mapping):
            table = pa.table(dict(data), schema=schema)
            return Rows(table.schema, iter(table.to_batches()), table.num_rows)
        if isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
            table = pa.Table.from_pylist(_with_all_keys(data) if schema is None else data, schema=schema)
            return Rows(table.schema, iter(table.to_batches()), table.num_rows)
    except (pa.ArrowInvalid, TypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise OptionError(f"the data cannot be made a table: {error}") from None
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        return _of_iterable(iter(data), schema)
    raise OptionError(
        f"cannot take rows from {type(data).__name__}: a table, batches, or an object with an Arrow stream is needed"
    )


def _with_all_keys(rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give the first row the keys of all: pyarrow takes the columns from there, and would drop what others have beside them."""
    return [{**dict.fromkeys(chain.from_iterable(rows)), **rows[0]}, *rows[1:]]


def _length(data: Any) -> int | None:
    rows = getattr(data, "num_rows", None)
    return rows if isinstance(rows, int) else None


def _of_iterable(items: Iterator[Any], schema: pa.Schema | None) -> Rows:
    batches = (batch for item in items for batch in _batches(item))
    first = next(batches, None)
    if first is None:
        if schema is None:
            raise OptionError("there is no batch, and so no schema; give one")
        return Rows(schema, iter(()), 0)
    return Rows(first.schema, _chained(first, batches), None)


def _chained(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    for batch in rest:
        if batch.schema != first.schema:
            raise OptionError(f"a batch has the schema {batch.schema}, and the first had {first.schema}")
        yield batch


def _batches(item: Any) -> list[pa.RecordBatch]:
    if isinstance(item, pa.RecordBatch):
        return [item]
    if isinstance(item, pa.Table):
        return item.to_batches() or [pa.RecordBatch.from_pylist([], schema=item.schema)]
    if hasattr(item, "__arrow_c_array__"):
        return [pa.record_batch(item)]
    raise OptionError(f"an item of the data is {type(item).__name__}, not a batch")


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns that `schema` names, cast to its types."""
    arrays = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            raise OptionError(
                f"the data has no column {field.name!r}; it has {', '.join(map(repr, batch.schema.names))}"
            )
        array = batch.column(index)
        try:
            arrays.append(array if array.type == field.type else array.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise OptionError(f"column {field.name!r} cannot be cast to {field.type}: {error}") from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
