"""CAST and TRY_CAST between plain types, and the changes of type that comparisons need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lancelet.errors import OptionError
from lancelet.filters.coercion import ARROW_ERRORS, as_decimal, decimal_type, is_text, parse_timestamp

if TYPE_CHECKING:
    from lancelet.filters.comparing import Datum

__all__ = ["cast", "try_cast", "widen"]

_TRUE = pa.array(["true", "t", "yes", "y", "on", "1"])
_FALSE = pa.array(["false", "f", "no", "n", "off", "0"])
_NUMBER = r"\A[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\z|\A[+-]?(?i:nan|inf|infinity)\z"
_INTEGER = r"\A[+-]?[0-9]+\z"


def widen(value: Datum, type_: pa.DataType) -> Datum:
    """Return values in a type that :func:`~lancelet.filters.coercion.common_type` found. Large integers round as floating
    point.

    A timestamp without a zone is the local time of the zone that it is compared in.
    """
    given = value.type
    if given == type_:
        return value
    if pa.types.is_timestamp(type_) and type_.tz:
        if pa.types.is_date(given) or (pa.types.is_timestamp(given) and not given.tz):
            naive = value.cast(pa.timestamp(type_.unit))
            return pc.assume_timezone(naive, type_.tz, ambiguous="earliest", nonexistent="earliest")
        return value.cast(type_)
    if pa.types.is_decimal(type_) and pa.types.is_integer(given):
        return value.cast(decimal_type(*as_decimal(given))).cast(type_)
    if pa.types.is_float16(given) or pa.types.is_float16(type_):
        return value.cast(pa.float32(), safe=False).cast(type_, safe=False)
    if pa.types.is_decimal(given) and pa.types.is_floating(type_):
        # A direct cast multiplies by a power of ten that is rounded itself: 0.050000 is not 0.05 then.
        return value.cast(pa.string()).cast(type_)
    return value.cast(type_, safe=not pa.types.is_floating(type_))


def cast(value: Datum, type_: pa.DataType) -> Datum:
    """CAST: towards zero from fractions to integers, half away from zero to fewer digits; what does not fit is an error.

    Raises
    ------
    OptionError
        The types cannot be cast, or a value does not fit (also as a ``pyarrow.ArrowInvalid``).
    """
    given = value.type
    if given == type_:
        return value
    if is_text(given):
        return _from_text(value, type_)
    if is_text(type_):
        return _to_text(value, type_)
    if pa.types.is_floating(given) and pa.types.is_integer(type_):
        return pc.trunc(value.cast(pa.float64())).cast(type_)
    if pa.types.is_decimal(given):
        return _from_decimal(value, type_)
    if pa.types.is_date32(type_) and pa.types.is_integer(given):
        return value.cast(pa.int32()).cast(type_)
    if pa.types.is_timestamp(type_) and pa.types.is_integer(given):
        return value.cast(pa.int64()).cast(type_)
    if pa.types.is_timestamp(type_) and pa.types.is_timestamp(given):
        return value.cast(type_, safe=False)
    return widen(value, type_)


def _from_decimal(value: Datum, type_: pa.DataType) -> Datum:
    if pa.types.is_integer(type_):
        whole = pc.trunc(value)
        return whole.cast(decimal_type(whole.type.precision, 0)).cast(type_)
    if pa.types.is_decimal(type_):
        if type_.scale < value.type.scale:
            value = pc.round(value, ndigits=type_.scale, round_mode="half_towards_infinity")
        return value.cast(type_)
    return widen(value, type_)


def _to_text(value: Datum, type_: pa.DataType) -> Datum:
    given = value.type
    if pa.types.is_floating(given) or pa.types.is_timestamp(given) or pa.types.is_time(given):
        raise OptionError(f"{given} cannot be cast to text: programs write such values in different ways")
    return value.cast(type_)


def _from_text(value: Datum, type_: pa.DataType) -> Datum:
    if is_text(type_) or pa.types.is_binary(type_):
        return value.cast(type_)
    if pa.types.is_boolean(type_):
        lower = pc.ascii_lower(value)
        true, false = (pc.is_in(lower, value_set=words.cast(value.type)) for words in (_TRUE, _FALSE))
        _refuse(value, pc.or_(true, false), type_)
        return pc.if_else(pc.is_valid(value), true, pa.scalar(None, pa.bool_()))
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        pattern = _INTEGER if pa.types.is_integer(type_) else _NUMBER
        _refuse(value, pc.match_substring_regex(value, pattern), type_)
        digits = pc.utf8_ltrim(value, characters="+")
        return _small(digits, type_) if pa.types.is_float16(type_) else digits.cast(type_)
    if pa.types.is_timestamp(type_):
        if isinstance(value, pa.Scalar):
            return parse_timestamp(value.as_py(), type_.unit) if value.is_valid else pa.scalar(None, type_)
        found = [
            parse_timestamp(text, type_.unit) if text is not None else None for text in value.to_pylist()
        ]
        return pa.array([None if one is None else one.value for one in found], pa.int64()).cast(type_)
    return value.cast(type_)


def _small(value: Datum, type_: pa.DataType) -> Datum:
    return value.cast(pa.float32()).cast(type_, safe=False)


def _refuse(value: Datum, fits: Datum, type_: pa.DataType) -> None:
    """Raise if a text that is not null does not fit."""
    wrong = pc.fill_null(pc.invert(fits), False)
    if isinstance(value, pa.Scalar):
        bad = value if wrong.as_py() else None
    else:
        index = pc.index(wrong, pa.scalar(True)).as_py()
        bad = value[index] if index >= 0 else None
    if bad is not None:
        raise OptionError(f"{bad.as_py()!r} is no {type_}")


def try_cast(value: Datum, type_: pa.DataType) -> Datum:
    """TRY_CAST: null where :func:`cast` is an error."""
    try:
        return cast(value, type_)
    except ARROW_ERRORS:
        if isinstance(value, pa.Scalar):
            return pa.scalar(None, type_)
    different = pc.unique(value)
    results = [_try_one(different.slice(row, 1), type_) for row in range(len(different))]
    places = pc.index_in(value, value_set=different)
    return pa.concat_arrays(results).take(places)


def _try_one(value: pa.Array, type_: pa.DataType) -> pa.Array:
    try:
        return cast(value, type_)
    except ARROW_ERRORS:
        return pa.nulls(1, type_)
