"""Comparison of Arrow tables by the rules that hold for values stored in Lance.

* column names, types and nullability agree (field metadata when asked for);
* any NaN equals any NaN, but -0.0 and 0.0 differ;
* what lies below a null does not matter: neither bytes, nor children, nor list lengths;
* dictionary columns compare by value, extension columns by storage;
* chunking does not matter.

The work is done on whole arrays; Python sees single values only to describe the first difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lancelet.blocks.selection import filtered
from lancelet.fields.paths import shown, without_extensions

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Difference",
    "as_read_back",
    "assert_tables_equal",
    "first_difference",
    "is_flat",
    "tables_equal",
]

_BATCH_BYTES = 1 << 30
"""Columns are concatenated up to this size and then compared; 32-bit offsets reach twice as far."""

_LONGEST_VALUE = 200
"""Characters of a value that a message shows."""

_FLOAT_BITS = {pa.float16(): pa.int16(), pa.float32(): pa.int32(), pa.float64(): pa.int64()}


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two tables differ.

    Attributes
    ----------
    path
        Names from the column down to the differing level, list items as ``[]``: ``points.[].x``; empty for
        the table itself.
    row
        Row of the table, or None if a name, a type or a length differs.
    reason
        What differs: ``values``, ``validity``, ``list length``, ``type``, ...
    actual, expected
        Both sides in short form: the value of the whole column in that row.
    """

    path: str
    row: int | None
    reason: str
    actual: str
    expected: str

    def __str__(self) -> str:
        where = f"column {self.path!r}" if self.path else "the tables"
        if self.row is not None:
            where += f", row {self.row}"
        return f"{where}: {self.reason} differs\n  actual:   {self.actual}\n  expected: {self.expected}"


def assert_tables_equal(actual: pa.Table, expected: pa.Table, *, metadata: bool = False) -> None:
    """Raise AssertionError with the first difference unless the tables are equal.

    Parameters
    ----------
    actual
        The table under test. It is validated in full first, so that broken arrays are reported, not followed.
    expected
        What it should be.
    metadata
        Also compare the metadata of schema and fields, nested fields included.

    Examples
    --------
    >>> import pyarrow as pa
    >>> assert_tables_equal(pa.table({"x": [float("nan")]}), pa.table({"x": [float("nan")]}))
    >>> assert_tables_equal(pa.table({"x": [0.0]}), pa.table({"x": [-0.0]}))
    Traceback (most recent call last):
    AssertionError: column 'x', row 0: values differs
      actual:   0.0
      expected: -0.0
    """
    try:
        actual.validate(full=True)
    except pa.ArrowInvalid as error:
        raise AssertionError(f"the actual table is not valid Arrow: {error}") from error
    difference = first_difference(actual, expected, metadata=metadata)
    if difference is not None:
        raise AssertionError(str(difference))


def tables_equal(actual: pa.Table, expected: pa.Table, *, metadata: bool = False) -> bool:
    """Tell whether two tables hold the same columns and values; see :func:`first_difference`."""
    return first_difference(actual, expected, metadata=metadata) is None


def first_difference(actual: pa.Table, expected: pa.Table, *, metadata: bool = False) -> Difference | None:
    """Find the first difference: names, then types, then row counts, then values column by column.

    Parameters
    ----------
    actual, expected
        Valid Arrow tables.
    metadata
        Also compare the metadata of schema and fields, nested fields included.
    """
    difference = _schema_difference(actual.schema, expected.schema, metadata)
    if difference is not None:
        return difference
    if actual.num_rows != expected.num_rows:
        return Difference("", None, "number of rows", str(actual.num_rows), str(expected.num_rows))
    for index, name in enumerate(expected.column_names):
        for start, left, right in _aligned(actual.column(index), expected.column(index)):
            plain = without_extensions(right.type)  # Arrow cannot filter extension types in structs and lists
            found = _first_unequal(shown(left, plain), shown(right, plain))
            if found is not None:
                path, row, reason = found
                row_texts = (_describe(left, row), _describe(right, row))
                return Difference(".".join((name, *path)), start + row, reason, *row_texts)
    return None


def is_flat(arrow_type: pa.DataType) -> bool:
    """Tell whether a type has no children and no dictionary; an extension type is what its storage is."""
    if isinstance(arrow_type, pa.BaseExtensionType):
        return is_flat(arrow_type.storage_type)
    return not (
        pa.types.is_nested(arrow_type)
        or pa.types.is_dictionary(arrow_type)
        or pa.types.is_run_end_encoded(arrow_type)
    )


def as_read_back(table: pa.Table) -> pa.Table:
    """Return the table with the types that a Lance file gives back: string and binary views become plain."""
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    for index, field in enumerate(
        table.schema
    ):  # one by one: pyarrow's cast breaks lists of nulls, which need none
        if field.type in plain:
            wanted = plain[field.type]
            table = table.set_column(index, field.with_type(wanted), table.column(index).cast(wanted))
    return table


def _schema_difference(actual: pa.Schema, expected: pa.Schema, metadata: bool) -> Difference | None:
    if actual.names != expected.names:
        return Difference("", None, "column names", repr(actual.names), repr(expected.names))
    for left, right in zip(actual, expected, strict=True):
        if left.type != right.type:
            return Difference(right.name, None, "type", str(left.type), str(right.type))
        if left.nullable != right.nullable:
            return Difference(right.name, None, "nullability", str(left), str(right))
        if metadata and not left.equals(right, check_metadata=True):
            return Difference(right.name, None, "metadata", _metadata_text(left), _metadata_text(right))
    if metadata and (actual.metadata or {}) != (expected.metadata or {}):
        return Difference("", None, "schema metadata", repr(actual.metadata), repr(expected.metadata))
    return None


def _metadata_text(field: pa.Field) -> str:
    return str(pa.schema([field]).to_string(show_field_metadata=True))


def _aligned(actual: pa.ChunkedArray, expected: pa.ChunkedArray) -> Iterator[tuple[int, pa.Array, pa.Array]]:
    """Yield (first row, actual, expected): the same rows of both sides as single arrays of bounded size."""
    cuts = _cuts(actual, expected)
    for start, stop in pairwise(cuts):
        parts = [column.slice(start, stop - start) for column in (actual, expected)]
        left, right = (
            part.chunk(0) if part.num_chunks == 1 else pa.concat_arrays(part.chunks) for part in parts
        )
        yield start, left, right


def _cuts(actual: pa.ChunkedArray, expected: pa.ChunkedArray) -> list[int]:
    """Row numbers, from 0 to the last, at which both columns are cut before they are compared."""
    num_rows = len(expected)
    if _has_dictionary(expected.type):  # arrays of different dictionaries cannot always be concatenated
        stops = [np.cumsum([len(chunk) for chunk in column.chunks]) for column in (actual, expected)]
        return [int(cut) for cut in np.unique(np.concatenate([[0], *stops]))]
    step = max(1, num_rows * _BATCH_BYTES // max(actual.nbytes, expected.nbytes, 1))
    return [*range(0, num_rows, step), num_rows]


def _has_dictionary(arrow_type: pa.DataType) -> bool:
    if isinstance(arrow_type, pa.BaseExtensionType):
        return _has_dictionary(arrow_type.storage_type)
    children = (arrow_type.field(position).type for position in range(arrow_type.num_fields))
    return pa.types.is_dictionary(arrow_type) or any(map(_has_dictionary, children))


_Found: TypeAlias = tuple[tuple[str, ...], int, str]
"""Path below the array, index in the array, reason."""


def _first_unequal(actual: pa.Array, expected: pa.Array) -> _Found | None:
    """Compare two arrays of equal length and type; the first unequal index of the first unequal level."""
    if pa.types.is_dictionary(expected.type):
        return _first_unequal(actual.dictionary_decode(), expected.dictionary_decode())
    if pa.types.is_map(expected.type):
        return _first_unequal(_as_list(actual), _as_list(expected))
    valid, expected_valid = _mask(actual.is_valid()), _mask(expected.is_valid())
    index = _first_true(valid != expected_valid)
    if index is not None:
        return (), index, "validity"
    if pa.types.is_struct(expected.type):
        return _unequal_struct(actual, expected, valid)
    if pa.types.is_list(expected.type) or pa.types.is_large_list(expected.type):
        return _unequal_list(actual, expected, valid)
    if pa.types.is_fixed_size_list(expected.type):
        return _unequal_fixed_size_list(actual, expected, valid)
    return _unequal_leaf(actual, expected)


def _as_list(array: pa.MapArray) -> pa.ListArray:
    """Return a map as a list of structs; a cast refuses nulls of non-nullable children that nobody sees."""
    entries = array.values
    return pa.Array.from_buffers(
        pa.list_(entries.type), len(array), array.buffers()[:2], offset=array.offset, children=[entries]
    )


def _unequal_leaf(actual: pa.Array, expected: pa.Array) -> _Found | None:
    arrow_type = expected.type
    if pa.types.is_null(arrow_type):
        return None
    if pa.types.is_floating(arrow_type):
        bits = _FLOAT_BITS[arrow_type]
        equal = pc.equal(actual.view(bits), expected.view(bits))
        if not pc.all(equal).as_py():
            equal = pc.or_(equal, pc.and_(pc.is_nan(actual), pc.is_nan(expected)))
    else:
        equal = pc.equal(actual, expected)
    index = _first_true(~_mask(equal.fill_null(True)))
    return None if index is None else ((), index, "values")


def _unequal_struct(actual: pa.StructArray, expected: pa.StructArray, valid: np.ndarray) -> _Found | None:
    rows = np.flatnonzero(valid)
    for position, field in enumerate(expected.type):
        left, right = actual.field(position), expected.field(position)
        if len(rows) < len(valid):
            left, right = filtered(left, valid), filtered(right, valid)
        found = _first_unequal(left, right)
        if found is not None:
            path, index, reason = found
            return (field.name, *path), int(rows[index]), reason
    return None


def _unequal_list(actual: pa.ListArray, expected: pa.ListArray, valid: np.ndarray) -> _Found | None:
    lengths = np.where(valid, np.diff(actual.offsets.to_numpy()), 0)
    expected_lengths = np.where(valid, np.diff(expected.offsets.to_numpy()), 0)
    index = _first_true(lengths != expected_lengths)
    if index is not None:
        return (), index, "list length"
    return _unequal_items(actual, expected, np.cumsum(lengths))


def _unequal_fixed_size_list(
    actual: pa.FixedSizeListArray, expected: pa.FixedSizeListArray, valid: np.ndarray
) -> _Found | None:
    return _unequal_items(actual, expected, np.cumsum(np.where(valid, expected.type.list_size, 0)))


def _unequal_items(actual: pa.Array, expected: pa.Array, stops: np.ndarray) -> _Found | None:
    """Compare the visible items of lists; ``stops[i]`` counts the visible items up to and with list i."""
    found = _first_unequal(_visible_items(actual), _visible_items(expected))
    if found is None:
        return None
    path, index, reason = found
    return ("[]", *path), int(np.searchsorted(stops, index, side="right")), reason


def _visible_items(array: pa.Array) -> pa.Array:
    """Return the items of lists that are not null; ``flatten`` joins dictionaries, which it cannot always do."""
    if pa.types.is_fixed_size_list(array.type):
        offsets = array.type.list_size * (array.offset + np.arange(len(array) + 1))
    else:
        offsets = array.offsets.to_numpy()
    items = array.values.slice(offsets[0], offsets[-1] - offsets[0])
    if not array.null_count:
        return items
    return filtered(items, np.repeat(_mask(array.is_valid()), np.diff(offsets)))


def _mask(array: pa.BooleanArray) -> np.ndarray:
    mask: np.ndarray = array.to_numpy(zero_copy_only=False)
    return mask


def _first_true(mask: np.ndarray) -> int | None:
    return int(mask.argmax()) if mask.any() else None


def _describe(array: pa.Array, row: int) -> str:
    scalar: Any = array[row]
    try:
        text = repr(scalar.as_py())
    except (ValueError, OverflowError, ArithmeticError):
        text = str(scalar)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}... ({len(text)} characters)"
