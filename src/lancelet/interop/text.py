"""Arrow columns as text: for CSV, for JSON lines, for the screen.

================================  ======================================  ==========================================
type                              CSV                                     JSON lines
================================  ======================================  ==========================================
null value                        empty, without quotes                   ``null``
bool                              ``true``, ``false``                     ``true``, ``false``
integers                          digits                                  number (all digits, also above 2^53)
float16, float32, float64         shortest that reads back the same;      the same; ``"NaN"``, ``"Infinity"`` and
                                  ``nan``, ``inf``, ``-inf``              ``"-Infinity"`` as strings
decimals                          digits with all places of the scale     the same, as a string
date                              ``2013-01-31``                          the same, as a string
time                              ``05:17:00.000`` (places of the unit)   the same, as a string
timestamp                         ``2013-01-01 05:17:00``                 ``"2013-01-01T05:17:00"``
timestamp with a time zone        in UTC: ``2013-01-01 10:17:00Z``        in UTC: ``"2013-01-01T10:17:00Z"``
duration                          number of its unit                      number of its unit
text                              in quotes; empty text is ``""``         string
binary, fixed-size binary         lower-case hex, in quotes               base64 string
extension types                   their storage                           their storage
================================  ======================================  ==========================================

Zones other than UTC are not kept: the instant is. Infinities and NaN are no JSON numbers, hence the strings.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lancelet.errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["csv_batch", "csv_schema", "json_lines", "screen_text"]

_NOT_FINITE = {"nan": '"NaN"', "-nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}


def csv_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of what :func:`csv_batch` gives.

    Raises
    ------
    UnsupportedError
        Text files cannot hold a type.
    """
    return pa.schema([(field.name, _csv_type(field)) for field in schema])


def csv_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return `batch` with only such columns as pyarrow's CSV writer puts into the form of the table above."""
    schema = csv_schema(batch.schema)
    arrays = [
        _csv_array(_storage(array), type_) for array, type_ in zip(batch.columns, schema.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def json_lines(batch: pa.RecordBatch) -> bytes:
    """Return the rows of `batch` as JSON objects, one on each line.

    Raises
    ------
    FormatError
        A text column holds bytes that are not UTF-8.
    UnsupportedError
        A column has a type that is not in the table above.
    """
    if batch.num_columns == 0 or batch.num_rows == 0:
        return b"{}\n" * int(batch.num_rows)
    pieces: list[Any] = []
    for number, (field, array) in enumerate(zip(batch.schema, batch.columns, strict=True)):
        key = f"{', ' if number else '{'}{json.dumps(field.name, ensure_ascii=False)}: "
        pieces += [pa.scalar(key, pa.large_string()), _json_values(field, _storage(array))]
    pieces.append(pa.scalar("}\n", pa.large_string()))
    lines: list[str] = pc.binary_join_element_wise(*pieces, pa.scalar("", pa.large_string())).to_pylist()
    return "".join(lines).encode()


def screen_text(array: pa.Array) -> list[str | None]:
    """Return the values of `array` in their CSV form; ``None`` for nulls.

    Raises
    ------
    UnsupportedError
        The type is not in the table above.
    """
    field = pa.field("values", array.type)
    return _to_text(_csv_array(_storage(array), _csv_type(field)), field.name)


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array


def _is_binary(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_binary_view(type_)
        or pa.types.is_fixed_size_binary(type_)
    )


def _is_text(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
    )


def _csv_type(field: pa.Field) -> pa.DataType:
    type_ = field.type
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    if pa.types.is_nested(type_) or pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        raise UnsupportedError(f"column {field.name!r} of type {field.type} cannot be shown as text")
    if pa.types.is_timestamp(type_) and type_.tz is not None:
        return pa.timestamp(type_.unit, "UTC")
    if _is_text(type_) or _is_binary(type_):
        return pa.large_string()
    return type_


def _csv_array(array: pa.Array, type_: pa.DataType) -> pa.Array:
    if _is_binary(array.type):
        return _mapped(array, bytes.hex)
    return array if array.type == type_ else array.cast(type_)


def _mapped(array: pa.Array, function: Callable[[Any], str]) -> pa.Array:
    texts = [None if value is None else function(value) for value in array.to_pylist()]
    return pa.array(texts, pa.large_string())


def _to_text(array: pa.Array, name: str) -> list[str | None]:
    try:
        return array.cast(pa.large_string()).to_pylist()  # type: ignore[no-any-return]
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise FormatError(f"column {name!r} holds text that is not UTF-8: {error}") from None


def _quoted(array: pa.Array) -> pa.Array:
    quote = pa.scalar('"', pa.large_string())
    return pc.binary_join_element_wise(quote, array, quote, pa.scalar("", pa.large_string()))


def _json_values(field: pa.Field, array: pa.Array) -> pa.Array:
    """Return one piece of JSON for each value."""
    type_ = _csv_type(field)
    if _is_text(array.type):
        encode = json.JSONEncoder(ensure_ascii=False).encode
        texts = _to_text(array, field.name)
        pieces = pa.array([None if text is None else encode(text) for text in texts], pa.large_string())
    elif _is_binary(array.type):
        pieces = _quoted(_mapped(array, lambda value: base64.b64encode(value).decode()))
    else:
        pieces = _json_scalars(_csv_array(array, type_))
    return pc.fill_null(pieces, pa.scalar("null", pa.large_string()))


def _json_scalars(array: pa.Array) -> pa.Array:
    type_ = array.type
    text = array.cast(pa.large_string())
    if pa.types.is_floating(type_):
        for value, replacement in _NOT_FINITE.items():
            text = pc.if_else(pc.equal(text, value), pa.scalar(replacement, pa.large_string()), text)
        return text
    if pa.types.is_timestamp(type_):
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
    if (
        pa.types.is_decimal(type_)
        or pa.types.is_date(type_)
        or pa.types.is_time(type_)
        or pa.types.is_timestamp(type_)
    ):
        return _quoted(text)
    return text
