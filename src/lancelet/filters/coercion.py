"""Types: what a constant becomes beside a column, and what two sides are compared or added as.

The rules are pylance's. Where it refuses a constant that has a clear meaning (1.5 beside an integer column, an ISO date beside a
date column), the constant is compared as a value of the type that both sides fit.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from lancelet.filters.nodes import Literal

__all__ = [
    "ARROW_ERRORS",
    "as_decimal",
    "common_type",
    "decimal_type",
    "is_number",
    "is_text",
    "is_time",
    "literal_as",
    "parse_timestamp",
    "plain_type",
]

ARROW_ERRORS = (pa.ArrowException, ValueError, TypeError, OverflowError)
"""What pyarrow raises for values and types that do not fit."""

_UNITS = ("s", "ms", "us", "ns")
_ZONE = re.compile(r"(?:[zZ]|[+-]\d\d(?::?\d\d)?)$")
_SIGNED = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_INTEGER_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}


def plain_type(type_: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column: what dictionaries refer to, what extension types store."""
    while True:
        if isinstance(type_, pa.BaseExtensionType):
            type_ = type_.storage_type
        elif pa.types.is_dictionary(type_):
            type_ = type_.value_type
        else:
            return pa.string() if pa.types.is_string_view(type_) else type_


def is_text(type_: pa.DataType) -> bool:
    """Tell whether values are text."""
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def is_number(type_: pa.DataType) -> bool:
    """Tell whether values are integers, floating point or decimals."""
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def is_bytes(type_: pa.DataType) -> bool:
    """Tell whether values are bytes."""
    return bool(
        pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_)
    )


def is_time(type_: pa.DataType) -> bool:
    """Tell whether values are dates, times of a day or timestamps."""
    return bool(pa.types.is_date(type_) or pa.types.is_time(type_) or pa.types.is_timestamp(type_))


def parse_timestamp(text: str, unit: str = "us") -> pa.Scalar:
    """Return the instant that an ISO text names, in UTC and without a zone; digits beyond the unit are cut off.

    Raises
    ------
    pyarrow.ArrowInvalid
        The text is no timestamp.
    """
    zone = "UTC" if _has_zone(text) else None
    try:
        found = pa.scalar(text).cast(pa.timestamp(unit, zone))
    except pa.ArrowInvalid:
        nanoseconds = pa.scalar(text).cast(pa.timestamp("ns", zone))
        found = nanoseconds.cast(pa.timestamp(unit, zone), safe=False)
    return found.cast(pa.timestamp(unit))


def _has_zone(text: str) -> bool:
    return len(text) > 10 and _ZONE.search(text) is not None


def time_of_text(text: str, type_: pa.DataType) -> pa.Scalar | None:
    """Return the date, time or timestamp that a text beside a column of such a type names, in a type that holds all of it."""
    of_day = pa.types.is_time(type_)
    zone = "UTC" if _has_zone(text) and not of_day else None
    for kind in (pa.date32(), pa.timestamp("us", zone), pa.timestamp("ns", zone)):
        try:
            if not of_day:
                return pa.scalar(text).cast(kind)
            if pa.types.is_timestamp(kind):  # pyarrow reads times of a day as part of a timestamp only
                return pa.scalar(f"1970-01-01 {text}").cast(kind).cast(pa.time64(kind.unit))
        except pa.ArrowInvalid:
            continue
    return None


def literal_as(literal: Literal, type_: pa.DataType) -> pa.Scalar | None:
    """Return a constant in the type of the column beside it, or None if it is no value of that type.

    A number takes any numeric type that holds it (floating point rounds), or becomes a decimal beside 64-bit integers. An ISO text
    beside dates, times and timestamps becomes one of these, in a type that holds all its digits.
    """
    value, given = literal.value, literal.value.type
    if not value.is_valid or pa.types.is_null(given):
        return pa.scalar(None, type_)
    if given == type_:
        return value
    try:
        if is_number(given):
            return _number_as(literal, type_)
        if is_text(given) and is_text(type_):
            return value.cast(type_)
        if is_text(given):
            return time_of_text(value.as_py(), type_) if is_time(type_) else None
        if is_bytes(given) and is_bytes(type_):
            return pa.scalar(value.as_py(), type_)
    except (*ARROW_ERRORS, InvalidOperation):
        return None
    return None


def _number_as(literal: Literal, type_: pa.DataType) -> pa.Scalar | None:
    number = literal.value.as_py()
    if pa.types.is_floating(type_):
        with np.errstate(over="ignore"):
            rounded = type_.to_pandas_dtype()(number)
        return pa.array(np.array([rounded]), type_)[0]
    exact = Decimal(literal.text if literal.text is not None else str(number))
    if not exact.is_finite() or abs(exact.adjusted()) > 80:  # more digits than any type has
        return None
    if pa.types.is_decimal(type_):
        return pa.scalar(exact, type_)
    if not pa.types.is_integer(type_):
        return None
    low, high = (0, 2**type_.bit_width) if pa.types.is_unsigned_integer(type_) else _signed_range(type_)
    if low <= exact < high and exact == exact.to_integral_value():
        return pa.scalar(int(exact), type_)
    return pa.scalar(exact) if type_.bit_width == 64 else None  # floating point would round the column


def _signed_range(type_: pa.DataType) -> tuple[int, int]:
    return -(2 ** (type_.bit_width - 1)), 2 ** (type_.bit_width - 1)


def float_type(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """Return the floating type of a computation in which at least one side is floating: the widest of the floating sides."""
    widths = [side.bit_width for side in (left, right) if pa.types.is_floating(side)]
    if pa.types.is_decimal(left) or pa.types.is_decimal(right):
        return pa.float64()
    return {16: pa.float16(), 32: pa.float32(), 64: pa.float64()}[max(widths)]


def as_decimal(type_: pa.DataType) -> tuple[int, int]:
    """Return the digits before and after the point of the decimals that hold all values of a type."""
    if pa.types.is_decimal(type_):
        return type_.precision - type_.scale, type_.scale
    return _INTEGER_DIGITS[type_.bit_width], 0


def decimal_type(digits: int, scale: int) -> pa.DataType:
    """Return a decimal type with so many digits before and after the point, at most 76 together."""
    precision = max(digits + scale, 1)
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(min(precision, 76), scale)


def _number_type(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    if pa.types.is_floating(left) or pa.types.is_floating(right):
        return float_type(left, right)
    if pa.types.is_integer(left) and pa.types.is_integer(right):
        signed = pa.types.is_signed_integer(left), pa.types.is_signed_integer(right)
        if signed[0] == signed[1]:
            return left if left.bit_width >= right.bit_width else right
        plus, unsigned = (left, right) if signed[0] else (right, left)
        width = max(plus.bit_width, 2 * unsigned.bit_width)
        return _SIGNED[width] if width <= 64 else pa.decimal128(20, 0)
    digits, scales = zip(as_decimal(left), as_decimal(right), strict=True)
    return decimal_type(max(digits), max(scales))


def _time_type(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """Return the common type of dates and timestamps, of times, or of durations."""
    kinds = pa.types
    stamps = [side for side in (left, right) if kinds.is_timestamp(side)]
    if all(kinds.is_timestamp(side) or kinds.is_date(side) for side in (left, right)):
        units = [side.unit if kinds.is_timestamp(side) else "s" for side in (left, right)]
        if kinds.is_date64(left) or kinds.is_date64(right):
            units.append("ms")
        zones = [side.tz for side in stamps if side.tz]
        return pa.timestamp(max(units, key=_UNITS.index), zones[0] if zones else None)
    if kinds.is_duration(left) and kinds.is_duration(right):
        return pa.duration(max(left.unit, right.unit, key=_UNITS.index))
    if kinds.is_time(left) and kinds.is_time(right):
        unit = max(left.unit, right.unit, key=_UNITS.index)
        return pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
    return None


def common_type(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """Return the type that values of two types are compared as, or None if they cannot be.

    Integers and floating point meet in the floating type, signed and unsigned 64-bit integers in decimals, timestamps of two units
    in the finer one, text and bytes in bytes.
    """
    if left == right or pa.types.is_null(right):
        return left
    if pa.types.is_null(left):
        return right
    if is_number(left) and is_number(right):
        return _number_type(left, right)
    if is_text(left) and is_text(right):
        return pa.large_string()
    if (is_text(left) or is_bytes(left)) and (is_text(right) or is_bytes(right)):
        large = any(
            pa.types.is_large_string(side) or pa.types.is_large_binary(side) for side in (left, right)
        )
        return pa.large_binary() if large else pa.binary()
    return _time_type(left, right)
