"""The functions and operators: one table of what takes what and how it is computed."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from lancelet.errors import OptionError
from lancelet.filters import casts, comparing, lists, text
from lancelet.filters.coercion import ARROW_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lancelet.filters.comparing import Datum

__all__ = ["DATE_PARTS", "FUNCTIONS", "OPERATORS", "Compute", "Function", "find_function"]


Compute: TypeAlias = "Callable[[Sequence[Datum], int, pa.DataType], Datum]"
"""Computes a call from its arguments (scalars where they are constant), the number of rows, and the type of the result: an array
with a value a row, or a scalar for all of them."""


@dataclass(frozen=True, slots=True)
class Function:
    """How one function is called and computed.

    Attributes
    ----------
    arguments
        What each argument is: ``any``, ``same`` (such arguments get their common type), ``text``, ``number``,
        ``float`` (a number; integers and decimals become float64), ``list``, ``element`` (of the list before), ``time`` (dates,
        timestamps, times). With ``!`` at the end it must be a constant, ``integer!`` only so.
    compute
        Computes it from arguments that have been checked.
    optional
        How many of the last arguments may be left out.
    variadic
        Whether the last argument may be repeated.
    """

    arguments: tuple[str, ...]
    compute: Compute
    optional: int = 0
    variadic: bool = False


def _plain(
    function: Callable[..., Datum], *arguments: str, optional: int = 0, variadic: bool = False
) -> Function:
    """Describe a function that needs the values only."""

    def compute(values: Sequence[Datum], num_rows: int, type_: pa.DataType) -> Datum:
        return function(*values)

    return Function(arguments, compute, optional, variadic)


def _on_lists(function: Callable[..., Datum], *arguments: str) -> Function:
    """Describe a function whose first argument must be an array of lists."""

    def compute(values: Sequence[Datum], num_rows: int, type_: pa.DataType) -> Datum:
        return function(comparing.spread(values[0], num_rows), *values[1:])

    return Function(arguments, compute)


def _trim(trim: Callable[..., Datum]) -> Function:
    """Describe a function that takes spaces, or the given characters, off."""

    def compute(values: Sequence[Datum], num_rows: int, type_: pa.DataType) -> Datum:
        characters = values[1].as_py() if len(values) > 1 else " "
        if characters is None:
            return comparing.spread(pa.scalar(None, type_), num_rows)
        return trim(values[0], characters=characters) if characters else values[0]

    return Function(("text", "text!"), compute, optional=1)


def _matching(kernel: Callable[..., Datum]) -> Function:
    """Describe a search for a constant text."""

    def compute(values: Sequence[Datum], num_rows: int, type_: pa.DataType) -> Datum:
        value, pattern = values
        if not pattern.is_valid:
            return comparing.spread(pa.scalar(None, pa.bool_()), num_rows)
        return kernel(value, pattern.as_py())

    return Function(("text", "text!"), compute)


def _rounding(kernel: Callable[..., Datum]) -> Function:
    """Describe a rounding of numbers; integers become float64 as the others."""

    def compute(values: Sequence[Datum], num_rows: int, type_: pa.DataType) -> Datum:
        value = values[0]
        if pa.types.is_float16(value.type):
            return kernel(value.cast(pa.float32())).cast(value.type)
        return kernel(value)

    return Function(("float",), compute)


def _round(value: Datum) -> Datum:
    return pc.round(value, round_mode="half_towards_infinity")


def _absolute(value: Datum) -> Datum:
    if pa.types.is_float16(value.type):
        return pc.abs(value.cast(pa.float32())).cast(value.type)
    return pc.abs_checked(value)


def _is_nan(value: Datum) -> Datum:
    if pa.types.is_integer(value.type) or pa.types.is_decimal(value.type):
        return pc.if_else(pc.is_null(value), pa.scalar(None, pa.bool_()), pa.scalar(False))
    return pc.is_nan(value.cast(pa.float32()) if pa.types.is_float16(value.type) else value)


def _nullif(value: Datum, unwanted: Datum) -> Datum:
    equal = pc.fill_null(comparing.compare("=", value, unwanted), False)
    return pc.if_else(equal, pa.scalar(None, value.type), value)


def _length(value: Datum) -> Datum:
    return pc.utf8_length(value)


def _regexp_like(value: Datum, pattern: Datum, flags: Datum | None = None) -> Datum:
    letters = "" if flags is None else flags.as_py()
    if letters not in ("", "i"):
        raise OptionError(f"flags of a regular expression are '' or 'i', not {letters!r}")
    return text.regexp_like(value, pattern, letters)


def _replace(value: Datum, old: Datum, new: Datum) -> Datum:
    if not old.as_py() or not new.is_valid:
        raise OptionError("replace needs a text to look for and one to put in its place")
    return pc.replace_substring(value, old.as_py(), new.as_py())


def _day_of_week(value: Datum) -> Datum:
    return pc.day_of_week(value, count_from_zero=True, week_start=7)


def _iso_day_of_week(value: Datum) -> Datum:
    return pc.day_of_week(value, count_from_zero=False, week_start=1)


DATE_PARTS = {
    "year": pc.year,
    "quarter": pc.quarter,
    "month": pc.month,
    "week": pc.iso_week,
    "day": pc.day,
    "doy": pc.day_of_year,
    "dow": _day_of_week,
    "isodow": _iso_day_of_week,
    "hour": pc.hour,
    "minute": pc.minute,
    "second": pc.second,
}
"""Parts of dates and times. ``dow`` counts from Sunday 0, ``isodow`` from Monday 1; with a zone, local time counts."""


def _date_part(part: Datum, value: Datum) -> Datum:
    name = str(part.as_py()).lower()
    if name not in DATE_PARTS:
        raise OptionError(f"no part {name!r} of dates and times; known are {', '.join(DATE_PARTS)}")
    if pa.types.is_date(value.type) and name in ("hour", "minute", "second"):
        value = value.cast(pa.timestamp("s"))
    return DATE_PARTS[name](value).cast(pa.int32())


FUNCTIONS: dict[str, Function] = {
    "abs": _plain(_absolute, "number"),
    "array_has": _on_lists(lists.contains, "list", "element"),
    "array_length": _on_lists(lists.length, "list"),
    "btrim": _trim(pc.utf8_trim),
    "ceil": _rounding(pc.ceil),
    "char_length": _plain(_length, "text"),
    "coalesce": _plain(pc.coalesce, "same", variadic=True),
    "concat": _plain(text.join, "text", variadic=True),
    "contains": _matching(pc.match_substring),
    "date_part": _plain(_date_part, "text!", "time"),
    "ends_with": _matching(pc.ends_with),
    "exp": _plain(pc.exp, "float"),
    "floor": _rounding(pc.floor),
    "is_valid": _plain(pc.is_valid, "any"),
    "isnan": _plain(_is_nan, "number"),
    "left": _plain(text.left, "text", "integer!"),
    "ln": _plain(pc.ln, "float"),
    "log10": _plain(pc.log10, "float"),
    "log2": _plain(pc.log2, "float"),
    "lower": _plain(text.lower, "text"),
    "ltrim": _trim(pc.utf8_ltrim),
    "nullif": _plain(_nullif, "same", "same"),
    "octet_length": _plain(pc.binary_length, "text"),
    "power": _plain(pc.power, "float", "float"),
    "regexp_like": _plain(_regexp_like, "text", "text!", "text!", optional=1),
    "replace": _plain(_replace, "text", "text!", "text!"),
    "reverse": _plain(pc.utf8_reverse, "text"),
    "right": _plain(text.right, "text", "integer!"),
    "round": _rounding(_round),
    "rtrim": _trim(pc.utf8_rtrim),
    "sqrt": _plain(pc.sqrt, "float"),
    "starts_with": _matching(pc.starts_with),
    "substr": _plain(
        lambda value, start, length=None: text.substring(value, start, length),
        "text",
        "integer!",
        "integer!",
        optional=1,
    ),
    "trunc": _rounding(pc.trunc),
    "upper": _plain(text.upper, "text"),
}
"""The functions by their first names."""

ALIASES = {
    "array_contains": "array_has",
    "cardinality": "array_length",
    "character_length": "char_length",
    "ifnull": "coalesce",
    "length": "char_length",
    "list_contains": "array_has",
    "list_has": "array_has",
    "log": "log10",
    "nvl": "coalesce",
    "pow": "power",
    "regexp_match": "regexp_like",
    "substring": "substr",
    "trim": "btrim",
}
"""Other names of the same."""


def _concatenate(values: Sequence[Datum], num_rows: int, type_: pa.DataType) -> Datum:
    return pc.binary_join_element_wise(*values, pa.scalar("", values[0].type))


def _distinct(values: Sequence[Datum], num_rows: int, type_: pa.DataType) -> Datum:
    return comparing.distinct(*values)


def _comparison(operator: str) -> Compute:
    return lambda values, num_rows, type_: comparing.compare(operator, *values)


def _arithmetic(operator: str) -> Compute:
    return lambda values, num_rows, type_: comparing.arithmetic(operator, *values)


def _days_between(values: Sequence[Datum], num_rows: int, type_: pa.DataType) -> Datum:
    left, right = (value.cast(pa.int32()).cast(pa.int64()) for value in values)
    return pc.subtract(left, right)


def _like(ignore_case: bool) -> Compute:
    return lambda values, num_rows, type_: text.like(values[0], values[1], ignore_case)


#: What operators of SQL compile to. ``and``, ``or`` and ``case`` stand in :mod:`lancelet.filters.evaluate`, row by row.
OPERATORS: dict[str, Compute] = {
    **{operator: _comparison(operator) for operator in ("=", "<>", "<", "<=", ">", ">=")},
    **{operator: _arithmetic(operator) for operator in ("+", "-", "*", "/")},
    "%": lambda values, num_rows, type_: comparing.remainder(values[0], values[1], num_rows),
    "days": _days_between,
    "negate": lambda values, num_rows, type_: comparing.negate(values[0]),
    "||": _concatenate,
    "not": lambda values, num_rows, type_: pc.invert(values[0]),
    "is null": lambda values, num_rows, type_: pc.is_null(values[0]),
    "is true": lambda values, num_rows, type_: pc.fill_null(values[0], False),
    "is distinct": _distinct,
    "like": _like(False),
    "ilike": _like(True),
    "element": lambda values, num_rows, type_: lists.element(
        comparing.spread(values[0], num_rows), values[1]
    ),
    "cast": lambda values, num_rows, type_: casts.cast(values[0], type_),
    "try_cast": lambda values, num_rows, type_: casts.try_cast(values[0], type_),
    "widen": lambda values, num_rows, type_: casts.widen(values[0], type_),
}


def find_function(name: str) -> tuple[str, Function]:
    """Return the first name and the description of a function, by any of its names in any case.

    Raises
    ------
    OptionError
        There is none; the error names the nearest.
    """
    lower = name.lower()
    first = ALIASES.get(lower, lower)
    if first in FUNCTIONS:
        return first, FUNCTIONS[first]
    near = difflib.get_close_matches(lower, [*FUNCTIONS, *ALIASES], n=3, cutoff=0.5)
    hint = f"; the nearest are {', '.join(near)}" if near else ""
    raise OptionError(f"filters have no function {name!r}{hint}")


def compute_call(name: str, arguments: Sequence[Datum], num_rows: int, type_: pa.DataType) -> Datum:
    """Compute one function or operator.

    Raises
    ------
    OptionError
        A value does not fit: an integer overflows, is divided by zero, a text is no number.
    """
    compute = OPERATORS[name] if name in OPERATORS else FUNCTIONS[name].compute
    try:
        return compute(arguments, num_rows, type_)
    except OptionError:
        raise
    except ARROW_ERRORS as error:
        first_line = str(error).partition("\n")[0]
        raise OptionError(
            f"{name} of {', '.join(str(value.type) for value in arguments)}: {first_line}"
        ) from error
