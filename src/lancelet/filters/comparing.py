"""Comparisons and arithmetic, as SQL has them: NaN equals NaN and is the greatest number, integers never wrap around.

Arguments of one call have one type unless said otherwise. A result is a scalar where all arguments are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Datum", "arithmetic", "compare", "distinct", "membership", "negate", "remainder", "spread"]

Datum: TypeAlias = pa.Array | pa.Scalar

_CHECKED = {
    "+": pc.add_checked,
    "-": pc.subtract_checked,
    "*": pc.multiply_checked,
    "/": pc.divide_checked,
}
_FLOATING = {"+": pc.add, "-": pc.subtract, "*": pc.multiply, "/": pc.divide}
_PLAIN = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def spread(value: Datum, num_rows: int) -> pa.Array:
    """Return an array of `num_rows` values."""
    return pa.repeat(value, num_rows) if isinstance(value, pa.Scalar) else value


def _single(value: Datum) -> Datum:
    return value.cast(pa.float32()) if pa.types.is_float16(value.type) else value


def _is_number(value: Datum) -> bool:
    """Tell whether a side is one number, neither null nor NaN."""
    return isinstance(value, pa.Scalar) and value.is_valid and value.as_py() == value.as_py()


def compare(operator: str, left: Datum, right: Datum) -> Datum:
    """Compare two sides; null where one is null."""
    if not pa.types.is_floating(left.type):
        return _PLAIN[operator](left, right)
    left, right = _single(left), _single(right)
    if operator in (">", "<="):  # the other way round
        operator, left, right = {">": "<", "<=": ">="}[operator], right, left
    if _is_number(left) or _is_number(
        right
    ):  # at most one side is NaN, and then all is said by one comparison
        if operator == (">=" if _is_number(right) else "<"):
            return pc.invert(_PLAIN["<" if operator == ">=" else ">="](left, right))
        return _PLAIN[operator](left, right)
    plain = _PLAIN[operator](left, right)
    left_nan, right_nan = pc.is_nan(left), pc.is_nan(right)
    if operator == "=":
        return pc.or_(plain, pc.and_(left_nan, right_nan))
    if operator == "<>":
        return pc.and_(plain, pc.invert(pc.and_(left_nan, right_nan)))
    if operator == "<":
        return pc.or_(plain, pc.and_not(right_nan, left_nan))
    return pc.or_(plain, left_nan)


def distinct(left: Datum, right: Datum) -> Datum:
    """IS DISTINCT FROM: never null."""
    differ = pc.fill_null(compare("<>", left, right), False)
    return pc.or_(differ, pc.xor(pc.is_null(left), pc.is_null(right)))


def membership(operand: Datum, values: pa.Array, has_null: bool) -> Datum:
    """IN: null for null, and where nothing is found among constants of which one is null."""
    if pa.types.is_float16(values.type):
        operand, values = _single(operand), values.cast(pa.float32())
    if pa.types.is_floating(values.type):  # look-ups tell the two zeros apart
        operand = pc.add(operand, pa.scalar(0.0, values.type))
        values = pc.add(values, pa.scalar(0.0, values.type))
    found = pc.is_in(operand, value_set=values)
    unknown = pc.or_(pc.is_null(operand), pc.invert(found)) if has_null else pc.is_null(operand)
    return pc.if_else(unknown, pa.scalar(None, pa.bool_()), found)


def arithmetic(operator: str, left: Datum, right: Datum) -> Datum:
    """Add, subtract, multiply or divide; integers divide towards zero.

    Raises
    ------
    pyarrow.ArrowInvalid
        An integer or decimal overflows, or is divided by zero.
    """
    type_ = left.type
    if pa.types.is_floating(type_):
        return _FLOATING[operator](_single(left), _single(right)).cast(type_)
    if pa.types.is_decimal(type_):
        return _decimal_arithmetic(operator, left, right)
    return _CHECKED[operator](left, right)


def _decimal_arithmetic(operator: str, left: Datum, right: Datum) -> Datum:
    if operator != "/":
        return _CHECKED[operator](left, right)
    # A quotient has four digits more after the point than the dividend.
    quotient = pc.divide_checked(left, right)
    scale = left.type.scale + 4
    precision = min(left.type.precision - left.type.scale + right.type.scale + scale, 38)
    return quotient.cast(pa.decimal128(precision, scale), safe=False)


def remainder(left: Datum, right: Datum, num_rows: int) -> pa.Array:
    """Return what division towards zero leaves, with the sign of the dividend."""
    if pa.types.is_integer(left.type):
        whole = pc.divide(left, right) if pa.types.is_unsigned_integer(left.type) else _divide(left, right)
        return spread(pc.subtract(left, pc.multiply(whole, right)), num_rows)
    if not pa.types.is_floating(left.type):
        raise OptionError(f"% is not defined for {left.type}")
    sides = [spread(side, num_rows) for side in (left, right)]
    numbers = [side.fill_null(0).to_numpy(zero_copy_only=False) for side in sides]
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = np.fmod(*numbers)
    missing = np.asarray(pc.or_(*(side.is_null() for side in sides)).to_numpy(zero_copy_only=False))
    return pa.array(rest, left.type, mask=missing)


def _divide(left: Datum, right: Datum) -> Datum:
    """Divide signed integers; the lowest number by -1 wraps around, which leaves the right remainder."""
    minus_one = pc.equal(right, pa.scalar(-1, right.type))
    return pc.divide_checked(left, pc.if_else(minus_one, pa.scalar(1, right.type), right))


def negate(value: Datum) -> Datum:
    """Change the sign."""
    if pa.types.is_unsigned_integer(value.type):
        raise OptionError(f"- is not defined for {value.type}")
    if pa.types.is_float16(value.type):
        return pc.negate(_single(value)).cast(value.type)
    return pc.negate_checked(value)


def choose(conditions: Sequence[Datum], values: Sequence[Datum]) -> Datum:
    """CASE WHEN: the value of the first condition that holds, else the last value."""
    chosen = values[-1]
    for condition, value in zip(reversed(conditions), reversed(values[:-1]), strict=True):
        chosen = pc.if_else(pc.fill_null(condition, False), value, chosen)
    return chosen
