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
JSON (``lance.json``)             its text, in quotes                     the value itself
lists                             the JSON of the next column, in quotes   ``[1, null]``
structs                           the same                                ``{"x": 1, "y": null}``
maps                              the same                                ``[{"key": "a", "value": 1}]``
dictionaries                      as their values                         as their values
other extension types             their storage                           their storage
================================  ======================================  ==========================================

Zones other than UTC are not kept: the instant is. Infinities and NaN are no JSON numbers, hence the strings.
"""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lancelet.blocks.jsonb import text_of_jsonb
from lancelet.errors import FormatError, UnsupportedError
from lancelet.schema.logical import EXTENSION_NAME, LANCE_JSON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["csv_batch", "csv_schema", "json_lines", "screen_text"]

_TEXT = pa.large_string()
_NOT_FINITE = {"nan": '"NaN"', "-nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}


def csv_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of what :func:`csv_batch` gives.

    Raises
    ------
    UnsupportedError
        A column has a type that is not in the table above.
    """
    return pa.schema([(field.name, _csv_type(field)) for field in schema])


def csv_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return `batch` with only such columns as pyarrow's CSV writer puts into the form of the table above.

    Raises
    ------
    FormatError, UnsupportedError
        As by :func:`json_lines`.
    """
    arrays = [_csv_array(field, array) for field, array in zip(batch.schema, batch.columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=csv_schema(batch.schema))


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
    lines: list[str] = _json_objects(batch.schema, batch.columns).to_pylist()
    return "\n".join([*lines, ""]).encode()


def screen_text(array: pa.Array, field: pa.Field | None = None) -> list[str | None]:
    """Return the values of `array` in their CSV form; ``None`` for nulls.

    Parameters
    ----------
    array
        The values.
    field
        Their field, which says whether they are JSON.

    Raises
    ------
    FormatError, UnsupportedError
        As by :func:`json_lines`.
    """
    field = field or pa.field("values", array.type)
    return _to_text(_csv_array(field, array), field.name)


def _plain(array: pa.Array) -> pa.Array:
    """Return the storage of an extension array, and the values of a dictionary array."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _plain_type(type_: pa.DataType) -> pa.DataType:
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    return type_.value_type if pa.types.is_dictionary(type_) else type_


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


def _is_list(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
        or pa.types.is_map(type_)
    )


def _csv_type(field: pa.Field) -> pa.DataType:
    type_ = _plain_type(field.type)
    if _is_text(type_) or _is_binary(type_) or _is_list(type_) or pa.types.is_struct(type_):
        return _TEXT
    if pa.types.is_nested(type_) or pa.types.is_run_end_encoded(type_):
        raise UnsupportedError(f"column {field.name!r} of type {field.type} cannot be shown as text")
    if pa.types.is_timestamp(type_) and type_.tz is not None:
        return pa.timestamp(type_.unit, "UTC")
    return type_


def _is_jsonb(field: pa.Field, storage: pa.DataType) -> bool:
    name = (field.metadata or {}).get(EXTENSION_NAME.encode())
    return bool(name == LANCE_JSON.encode() and pa.types.is_large_binary(storage))


def _json_texts(array: pa.Array) -> pa.Array:
    return pa.array(text_of_jsonb(array.to_pylist()), _TEXT)


def _csv_array(field: pa.Field, array: pa.Array) -> pa.Array:
    type_, array = _csv_type(field), _plain(array)
    if _is_jsonb(field, array.type):
        return _json_texts(array)
    if _is_binary(array.type):
        return _mapped(array, bytes.hex)
    if pa.types.is_nested(array.type):
        return pc.if_else(array.is_null(), pa.scalar(None, _TEXT), _json_values(field, array))
    return array if array.type == type_ else array.cast(type_)


def _mapped(array: pa.Array, function: Callable[[Any], str]) -> pa.Array:
    return pa.array([None if value is None else function(value) for value in array.to_pylist()], _TEXT)


def _to_text(array: pa.Array, name: str) -> list[str | None]:
    try:
        return array.cast(_TEXT).to_pylist()  # type: ignore[no-any-return]
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise FormatError(f"column {name!r} holds text that is not UTF-8: {error}") from None


def _joined(*pieces: pa.Array | str) -> pa.Array:
    texts = [pa.scalar(piece, _TEXT) if isinstance(piece, str) else piece for piece in pieces]
    return pc.binary_join_element_wise(*texts, pa.scalar("", _TEXT))


def _json_values(field: pa.Field, array: pa.Array) -> pa.Array:
    """Return one piece of JSON for each value."""
    type_, array = _csv_type(field), _plain(array)
    if _is_jsonb(field, array.type):
        pieces = _json_texts(array)
    elif _is_list(array.type):
        pieces = _json_lists(field, array)
    elif pa.types.is_struct(array.type):
        children = [array.field(index) for index in range(array.type.num_fields)]
        pieces = _json_objects(array.type, children) if children else pa.array(["{}"] * len(array), _TEXT)
    elif _is_text(array.type):
        encode = json.JSONEncoder(ensure_ascii=False).encode
        texts = _to_text(array, field.name)
        pieces = pa.array([None if text is None else encode(text) for text in texts], _TEXT)
    elif _is_binary(array.type):
        pieces = _joined('"', _mapped(array, lambda value: base64.b64encode(value).decode()), '"')
    else:
        pieces = _json_scalars(array if array.type == type_ else array.cast(type_))
    return pc.if_else(array.is_null(), pa.scalar("null", _TEXT), pieces)


def _json_objects(fields: Iterable[pa.Field], arrays: Sequence[pa.Array]) -> pa.Array:
    """Return an object for each row of `arrays`, of which there is at least one."""
    pieces: list[pa.Array | str] = []
    for field, array in zip(fields, arrays, strict=True):
        pieces += [
            f"{', ' if pieces else '{'}{json.dumps(field.name, ensure_ascii=False)}: ",
            _json_values(field, array),
        ]
    return _joined(*pieces, "}")


def _json_lists(field: pa.Field, array: pa.Array) -> pa.Array:
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        offsets = list(range(0, (len(array) + 1) * size, size)) if size else [0] * (len(array) + 1)
        items = array.values.slice(array.offset * size, len(array) * size)
    else:
        first, last = (array.offsets[0].as_py(), array.offsets[-1].as_py()) if len(array) else (0, 0)
        offsets = pc.subtract(array.offsets, first).to_pylist()
        items = _items(array).slice(first, last - first)
    inner = pa.field("entries", items.type) if pa.types.is_map(array.type) else array.type.value_field
    texts = _json_values(inner.with_name(field.name), items).to_pylist()
    return pa.array([f"[{', '.join(texts[start:stop])}]" for start, stop in pairwise(offsets)], _TEXT)


def _items(array: pa.Array) -> pa.Array:
    if pa.types.is_map(array.type):
        return pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
    return array.values


def _json_scalars(array: pa.Array) -> pa.Array:
    type_ = array.type
    text = array.cast(_TEXT)
    if pa.types.is_floating(type_):
        for value, replacement in _NOT_FINITE.items():
            text = pc.if_else(pc.equal(text, value), pa.scalar(replacement, _TEXT), text)
        return text
    if pa.types.is_timestamp(type_):
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
    if pa.types.is_decimal(type_) or (pa.types.is_temporal(type_) and not pa.types.is_duration(type_)):
        return _joined('"', text, '"')
    return text
