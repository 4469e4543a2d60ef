"""JSON text <-> JSONB, the binary form in which JSON columns are stored (container.md 9).

All numbers are big-endian. A value is a header and what belongs to it:

==================  =================================================  ====================================================
header, u32         then                                               then
==================  =================================================  ====================================================
``0x20000000``      one entry                                          its payload: a scalar value stands alone
``0x80000000 | n``  n entries                                          n payloads: an array
``0x40000000 | n``  n entries of the keys, n entries of the values     n keys, n payloads: an object, keys sorted by bytes
==================  =================================================  ====================================================

An entry is a u32: the kind of value, and in the low 28 bits the bytes of its payload.

==============  =========  ================================================================================================
entry           value      payload
==============  =========  ================================================================================================
``0x00000000``  null       none
``0x10000000``  string     UTF-8
``0x20000000``  number     a tag byte and the number, see below
``0x30000000``  false      none
``0x40000000``  true       none
``0x50000000``  container  an array or object: header, entries, payloads
==============  =========  ================================================================================================

Tags: ``00`` zero, ``10`` NaN, ``20`` infinity, ``30`` minus infinity (no bytes follow); ``40`` negative and ``50`` positive
integer, in the fewest of 1, 2, 4 or 8 bytes; ``60`` float64. An integer outside of 64 bits is a float64, and one above those is
infinite.
"""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa

from lancelet.errors import FormatError, OptionError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_DEPTH", "jsonb_of_text", "text_of_jsonb"]

#: Arrays and objects in each other; deeper values are refused in both directions.
MAX_DEPTH = 256

_SCALAR, _OBJECT, _ARRAY = 0x20000000, 0x40000000, 0x80000000
_KIND, _COUNT = 0xE0000000, 0x1FFFFFFF
_NULL, _STRING, _NUMBER, _FALSE, _TRUE, _CONTAINER = (kind << 28 for kind in range(6))
_MAX_PAYLOAD = 0x0FFFFFFF
_ZERO, _NAN, _INFINITY, _MINUS_INFINITY, _SIGNED, _UNSIGNED, _FLOAT = (tag << 4 for tag in range(7))
_SPECIAL = {_ZERO: 0, _NAN: "NaN", _INFINITY: "Infinity", _MINUS_INFINITY: "-Infinity"}
_U32, _F64 = struct.Struct(">I"), struct.Struct(">d")


# ---- text -> JSONB


def jsonb_of_text(array: pa.Array) -> pa.LargeBinaryArray:
    """Encode JSON texts.

    Parameters
    ----------
    array
        Of a text type.

    Returns
    -------
    pyarrow.LargeBinaryArray
        As long as `array`; nulls stay null.

    Raises
    ------
    OptionError
        A text is no JSON, has a key twice in an object or half of a surrogate pair, or nests too deep. The message names its
        position.
    """
    values = []
    for position, scalar in enumerate(array):
        try:
            text = scalar.as_py()
            values.append(None if text is None else _encoded(text))
        except RecursionError:
            raise OptionError(f"value {position} nests deeper than {MAX_DEPTH}") from None
        except ValueError as error:
            raise OptionError(f"value {position} is not valid JSON: {error}") from None
    return pa.array(values, pa.large_binary())


def _encoded(text: str) -> bytes:
    entry, payload = _entry(_DECODER.decode(text), 0)
    return payload if entry & ~_MAX_PAYLOAD == _CONTAINER else _words(_SCALAR, entry) + payload


def _integer(text: str) -> int | float:
    # Python refuses to read very long integers; all of more than 20 characters are outside of 64 bits.
    number = int(text) if len(text) <= 20 else float(text)
    return number if -(1 << 63) <= number < 1 << 64 else float(number)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"an object has the key {key!r} twice")
        found[key] = value
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_no_constant, object_pairs_hook=_object)


def _entry(value: Any, depth: int) -> tuple[int, bytes]:
    """Return the entry of a value, and its payload."""
    if value is None:
        return _NULL, b""
    if isinstance(value, bool):
        return (_TRUE if value else _FALSE), b""
    if isinstance(value, str):
        kind, payload = _STRING, value.encode()
    elif isinstance(value, dict | list):
        kind, payload = _CONTAINER, _container(value, depth + 1)
    else:
        kind, payload = _NUMBER, _number(value)
    if len(payload) > _MAX_PAYLOAD:
        raise ValueError(f"a part of {len(payload)} bytes is larger than {_MAX_PAYLOAD}")
    return kind | len(payload), payload


def _container(value: dict[str, Any] | list[Any], depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        # Code points sort as their UTF-8 does.
        keys = sorted(value)
        header, parts = _OBJECT, [*keys, *(value[key] for key in keys)]
    else:
        header, parts = _ARRAY, value
    if len(value) > _COUNT:
        raise ValueError(f"{len(value)} values in an array or object are more than {_COUNT}")
    words, payloads = [header | len(value)], []
    for part in parts:  # no comprehension: in some releases of Python each is one more step of the recursion
        entry, payload = _entry(part, depth)
        words.append(entry)
        payloads.append(payload)
    return _words(*words) + b"".join(payloads)


def _words(*words: int) -> bytes:
    return struct.pack(f">{len(words)}I", *words)


def _number(value: int | float) -> bytes:
    if isinstance(value, float):
        if math.isinf(value):
            return bytes([_INFINITY if value > 0 else _MINUS_INFINITY])
        return bytes([_FLOAT]) + _F64.pack(value)
    if value == 0:
        return bytes([_ZERO])
    signed = value < 0
    num_bits = (~value if signed else value).bit_length() + signed
    num_bytes = next(size for size in (1, 2, 4, 8) if num_bits <= 8 * size)
    return bytes([_SIGNED if signed else _UNSIGNED]) + value.to_bytes(num_bytes, "big", signed=signed)


# ---- JSONB -> text


def text_of_jsonb(values: Iterable[bytes | None]) -> list[str | None]:
    """Decode JSONB to JSON texts.

    NaN and infinities become strings, ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``: JSON has no numbers for them.

    Raises
    ------
    FormatError
        A value is no JSONB.
    UnsupportedError
        A value holds more than JSON does (dates, decimals, bytes), or nests too deep.
    """
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode
    return [None if value is None else encode(_decoded(memoryview(value))) for value in values]


def _decoded(data: memoryview) -> Any:
    header = _word(data, 0)
    if header & _KIND != _SCALAR:
        return _read_container(data, 1)
    ((kind, payload),) = _read_entries(data[_U32.size :], 1)
    return _read(kind, payload, 0)


def _word(data: memoryview, offset: int) -> int:
    if len(data) < offset + _U32.size:
        raise FormatError(f"a JSONB value of {len(data)} bytes ends in its header")
    return int(_U32.unpack_from(data, offset)[0])


def _read_entries(data: memoryview, count: int) -> list[tuple[int, memoryview]]:
    """Return kind and payload of `count` entries; together they fill `data`."""
    start = count * _U32.size
    if start > len(data):
        raise FormatError(f"{count} JSONB entries do not fit into {len(data)} bytes")
    found = []
    for (entry,) in _U32.iter_unpack(data[:start]):
        stop = start + (entry & _MAX_PAYLOAD)
        found.append((entry & ~_MAX_PAYLOAD, data[start:stop]))
        start = stop
    if start != len(data):
        raise FormatError(f"JSONB entries tell of {start} bytes, and {len(data)} are there")
    return found


def _read_container(data: memoryview, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise UnsupportedError(f"a JSONB value nests deeper than {MAX_DEPTH}")
    header = _word(data, 0)
    kind, count = header & _KIND, header & _COUNT
    if kind not in (_ARRAY, _OBJECT):
        raise FormatError(f"0x{header:08x} is no header of a JSONB value")
    entries = _read_entries(data[_U32.size :], count if kind == _ARRAY else 2 * count)
    parts = []
    for kind_of_part, payload in entries:
        parts.append(_read(kind_of_part, payload, depth))
    if kind == _ARRAY:
        return parts
    if any(kind_of_key != _STRING for kind_of_key, _ in entries[:count]):
        raise FormatError("a key of a JSONB object is no string")
    return dict(zip(parts[:count], parts[count:], strict=True))


def _read(kind: int, payload: memoryview, depth: int) -> Any:
    if kind == _STRING:
        return _text(payload)
    if kind == _NUMBER:
        return _read_number(payload)
    if kind == _CONTAINER:
        return _read_container(payload, depth + 1)
    if kind not in _CONSTANTS:
        raise UnsupportedError(f"JSONB values of kind 0x{kind:08x} are not handled")
    if len(payload):
        raise FormatError(f"a JSONB constant has {len(payload)} bytes")
    return _CONSTANTS[kind]


_CONSTANTS = {_NULL: None, _FALSE: False, _TRUE: True}


def _text(payload: memoryview) -> str:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"text in a JSONB value is not UTF-8: {error}") from None


def _read_number(payload: memoryview) -> Any:
    if not len(payload):
        raise FormatError("a JSONB number has no bytes")
    tag, data = payload[0], payload[1:]
    if tag in _SPECIAL and not len(data):
        return _SPECIAL[tag]
    if tag in (_SIGNED, _UNSIGNED) and len(data) in (1, 2, 4, 8):
        return int.from_bytes(data, "big", signed=tag == _SIGNED)
    if tag == _FLOAT and len(data) == _F64.size:
        number = float(_F64.unpack(data)[0])
        return number if math.isfinite(number) else str(number)
    if tag > _FLOAT:
        raise UnsupportedError(f"JSONB numbers of tag 0x{tag:02x} are not handled")
    raise FormatError(f"a JSONB number of tag 0x{tag:02x} has {len(data)} bytes")
