"""Columns of a window cut into batches: views where one array holds the rows, and joined slices where two pages meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.fields.joining import join

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["cut"]


def cut(
    columns: Sequence[Sequence[pa.Array]], num_rows: int, batch_size: int, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Cut columns into batches of `batch_size` rows; the last one may be shorter.

    Where no array can hold the rows of a batch, it comes in parts.

    Parameters
    ----------
    columns
        Each column's arrays, in order; together `num_rows` rows.
    num_rows
        Rows.
    batch_size
        Rows per batch.
    schema
        Arrow schema of the batches.
    """
    borders = _borders(columns, num_rows)
    number = start = 0
    while start < num_rows:
        while borders[number + 1] <= start:
            number += 1
        first, border = borders[number], borders[number + 1]
        stop = min(start + batch_size, num_rows)
        if stop > border:
            yield from _joined(columns, start, stop, schema)
            start = stop
            continue
        run = _run(columns, first, border, schema)
        while start < stop <= border:
            yield run.slice(start - first, stop - start)
            start, stop = stop, min(stop + batch_size, num_rows)


def _borders(columns: Sequence[Sequence[pa.Array]], num_rows: int) -> list[int]:
    """Return the rows with which an array of some column begins or ends."""
    borders = {0, num_rows}
    for arrays in columns:
        if len(arrays) > 1:
            stop = 0
            for array in arrays:
                stop += len(array)
                borders.add(stop)
    return sorted(borders)


def _run(columns: Sequence[Sequence[pa.Array]], start: int, stop: int, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows between two borders that follow each other: each column has one array for them."""
    return pa.RecordBatch.from_arrays([_parts(arrays, start, stop)[0] for arrays in columns], schema=schema)


def _joined(
    columns: Sequence[Sequence[pa.Array]], start: int, stop: int, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    parts = [_parts(arrays, start, stop) for arrays in columns]
    arrays = [join(pieces) for pieces in parts]
    if any(array is None for array in arrays):
        chunked = [
            pa.chunked_array(pieces, type=field.type) for field, pieces in zip(schema, parts, strict=True)
        ]
        yield from pa.Table.from_arrays(chunked, schema=schema).to_batches()
    else:
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _parts(arrays: Sequence[pa.Array], start: int, stop: int) -> list[pa.Array]:
    """Return rows `start` to `stop`, ``start < stop``, of a column as slices of its arrays."""
    if len(arrays) == 1:
        array = arrays[0]
        return [array if stop - start == len(array) else array.slice(start, stop - start)]
    parts, first = [], 0
    for array in arrays:
        low, high = max(start - first, 0), min(stop - first, len(array))
        if low < high:
            parts.append(array if high - low == len(array) else array.slice(low, high - low))
        first += len(array)
    return parts
