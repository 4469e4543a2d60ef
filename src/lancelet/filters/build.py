"""Well typed nodes from operators, functions and their arguments.

Constants are computed at once; what is left in a tree depends on a column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.filters.coercion import (
    ARROW_ERRORS,
    as_decimal,
    common_type,
    decimal_type,
    is_number,
    is_text,
    is_time,
    literal_as,
)
from lancelet.filters.comparing import spread
from lancelet.filters.evaluate import evaluate
from lancelet.filters.functions import compute_call, find_function
from lancelet.filters.lists import is_list
from lancelet.filters.nodes import MAX_DEPTH, Call, Column, Literal, Membership, Node, depth_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.filters.functions import Function

__all__ = [
    "arithmetic",
    "case",
    "cast",
    "chain",
    "comparison",
    "concatenation",
    "element",
    "function",
    "invert",
    "is_null",
    "is_true",
    "like",
    "look_up_texts",
    "membership",
    "operator",
    "require_boolean",
]

_BOOL = pa.bool_()
_ONE_ROW = pa.RecordBatch.from_struct_array(pa.array([{}], pa.struct([])))


def operator(name: str, arguments: Sequence[Node], type_: pa.DataType | None = None) -> Node:
    """Return the call of a function or operator, or its value if it is constant.

    Parameters
    ----------
    name
        Its name in the tables.
    type_
        Type of the result, where the arguments do not say it.

    Raises
    ------
    OptionError
        The arguments have types that it does not take, or the tree becomes too deep.
    """
    arguments = tuple(arguments)
    if type_ is None:
        type_ = _type_of(name, arguments)
    call = Call(name, arguments, type_)
    if all(isinstance(argument, Literal) for argument in arguments):
        return _constant(call)
    if depth_of(call) > MAX_DEPTH:
        raise OptionError(f"the filter is nested deeper than {MAX_DEPTH} levels")
    return call


def _type_of(name: str, arguments: tuple[Node, ...]) -> pa.DataType:
    """Return the type of a result, found by computing one row of nulls; constants are checked by that too."""
    values = [
        argument.value if isinstance(argument, Literal) else pa.nulls(1, argument.type)
        for argument in arguments
    ]
    return compute_call(name, values, 1, pa.null()).type


def _constant(call: Call) -> Literal:
    value = spread(evaluate(call, _ONE_ROW), 1)[0]
    free = call.function in ("negate", *"+-*/%") and all(
        isinstance(argument, Literal) and argument.is_free for argument in call.arguments
    )
    return Literal(value, str(value.as_py()) if free else None)


def as_type(node: Node, type_: pa.DataType) -> Node:
    """Return the values in a type that holds them."""
    if node.type == type_:
        return node
    if isinstance(node, Literal) and not node.value.is_valid:
        return Literal(pa.scalar(None, type_))
    return operator("widen", (node,), type_)


def _beside(node: Node, other: Node) -> Node:
    """Return a constant in the type of the column beside it, where it has such a value."""
    if not isinstance(node, Literal) or not isinstance(other, (Column, Literal)):
        return node
    if not node.is_free or (isinstance(other, Literal) and other.is_free):
        return node
    value = literal_as(node, other.type)
    return node if value is None else Literal(value)


def _meet(left: Node, right: Node, doing: str) -> tuple[Node, Node]:
    """Return both sides in the type that they have in common."""
    left, right = _beside(left, right), _beside(right, left)
    type_ = common_type(left.type, right.type)
    if type_ is None:  # a text beside a computed date
        left, right = _beside(left, Column((), right.type)), _beside(right, Column((), left.type))
        type_ = common_type(left.type, right.type)
    if type_ is None:
        raise OptionError(f"{doing}: {_named(left)} and {_named(right)} have no common type")
    return as_type(left, type_), as_type(right, type_)


def _named(node: Node) -> str:
    if isinstance(node, Column) and node.path:
        return f"column {'.'.join(node.path)} ({node.type})"
    return (
        f"{node.value.as_py()!r} ({node.type})"
        if isinstance(node, Literal)
        else f"a value of type {node.type}"
    )


def _same(nodes: Sequence[Node], doing: str) -> list[Node]:
    """Return all nodes in their common type."""
    type_: pa.DataType | None = pa.null()
    for node in nodes:
        type_ = None if type_ is None else common_type(type_, node.type)
    if type_ is None:
        types = ", ".join(sorted({str(node.type) for node in nodes}))
        raise OptionError(f"{doing}: the types {types} have no common type")
    return [as_type(node, type_) for node in nodes]


def comparison(name: str, left: Node, right: Node) -> Node:
    """Return ``left = right`` or another comparison, or ``is distinct``."""
    left, right = _meet(left, right, name)
    if pa.types.is_null(left.type):  # of which nothing can be compared
        left, right = as_type(left, _BOOL), as_type(right, _BOOL)
    if pa.types.is_nested(left.type):
        raise OptionError(f"{name} is not defined for {left.type}")
    return operator(name, (left, right), _BOOL)


def arithmetic(name: str, left: Node, right: Node, keep_column_type: bool) -> Node:
    """Return ``left + right`` or the like.

    Parameters
    ----------
    keep_column_type
        Whether a constant takes the type of the column beside it (pylance does so for a whole expression, not inside of one).
        Never does a fraction beside integers, which pylance refuses: ``minutes / 60.0`` is no division of integers.
    """
    if keep_column_type and not (_is_fraction_beside(left, right) or _is_fraction_beside(right, left)):
        left, right = _beside(left, right), _beside(right, left)
    if pa.types.is_date32(left.type) and pa.types.is_date32(right.type) and name == "-":
        return operator("days", (left, right))
    type_ = common_type(left.type, right.type)
    if type_ is None or not (is_number(type_) or (name == "-" and pa.types.is_timestamp(type_))):
        if not (type_ is not None and pa.types.is_null(type_)):
            raise OptionError(f"{name} is not defined for {_named(left)} and {_named(right)}")
        return Literal(pa.scalar(None), "NULL")
    if pa.types.is_decimal(type_):
        sides = [_as_decimal(side) for side in (left, right)]
    else:
        sides = [as_type(side, type_) for side in (left, right)]
    return operator(name, sides)


def _is_fraction_beside(node: Node, other: Node) -> bool:
    """Tell whether a constant that is written with a point or an exponent stands beside integers."""
    return isinstance(node, Literal) and pa.types.is_floating(node.type) and pa.types.is_integer(other.type)


def _as_decimal(node: Node) -> Node:
    """Return integers as the decimals that hold them; decimals keep their digits."""
    if pa.types.is_decimal(node.type):
        return node
    return as_type(
        node, decimal_type(*as_decimal(node.type)) if is_number(node.type) else pa.decimal128(1, 0)
    )


def require_boolean(node: Node, where: str) -> Node:
    """Return a condition.

    Raises
    ------
    OptionError
        The node has other values than true, false and null.
    """
    if pa.types.is_null(node.type):
        return as_type(node, _BOOL)
    if not pa.types.is_boolean(node.type):
        raise OptionError(f"{where} needs a condition, and {_named(node)} is none")
    return node


def chain(name: str, conditions: Sequence[Node]) -> Node:
    """Return AND or OR of conditions, as one call."""
    flat: list[Node] = []
    for condition in conditions:
        require_boolean(condition, name.upper())
        same = isinstance(condition, Call) and condition.function == name
        flat.extend(condition.arguments if same and isinstance(condition, Call) else (condition,))
    return operator(name, [as_type(condition, _BOOL) for condition in flat], _BOOL)


def invert(node: Node) -> Node:
    """Return NOT of a condition."""
    return operator("not", (require_boolean(node, "NOT"),), _BOOL)


def membership(operand: Node, choices: Sequence[Node]) -> Node:
    """Return ``operand IN (choices)``: a look-up of the constants, comparisons with the others."""
    constants = [choice for choice in choices if isinstance(choice, Literal)]
    conditions: list[Node] = [
        comparison("=", operand, choice) for choice in choices if not isinstance(choice, Literal)
    ]
    if constants and isinstance(operand, Literal):
        conditions.extend(comparison("=", operand, constant) for constant in constants)
    elif constants:
        conditions.insert(0, _look_up(operand, constants))
    return conditions[0] if len(conditions) == 1 else chain("or", conditions)


def look_up_texts(operand: Node, texts: Sequence[str], are_strings: bool) -> Node | None:
    """Return IN for many plain constants at once, or None where they have to be looked at one by one.

    Parameters
    ----------
    texts
        Numbers as they were written, or the contents of strings.
    are_strings
        Whether they are strings.
    """
    type_ = operand.type
    try:
        if are_strings and is_text(type_):
            values = pa.array(texts, type_)
        elif not are_strings and pa.types.is_integer(type_):
            values = pa.array([int(text) for text in texts], type_)
        elif not are_strings and (
            pa.types.is_float64(type_) or (pa.types.is_float32(type_) and isinstance(operand, Column))
        ):
            values = pa.array([float(text) for text in texts]).cast(type_, safe=False)
        else:
            return None
    except ARROW_ERRORS:
        return None
    return None if isinstance(operand, Literal) else Membership(operand, values.unique(), has_null=False)


def _look_up(operand: Node, constants: Sequence[Literal]) -> Node:
    if pa.types.is_nested(operand.type):
        raise OptionError(f"IN is not defined for {operand.type}")
    present = [constant for constant in constants if constant.value.is_valid]
    taken = [_beside(constant, operand) for constant in present]
    type_: pa.DataType | None = operand.type
    for constant in {constant.type: constant for constant in taken}.values():
        met = _meet(Column((), type_), constant, "IN")
        type_ = met[0].type
    values = [_value_as(constant, type_) for constant in taken]
    array = pa.array([value.as_py() for value in values], type_) if values else pa.array([], type_)
    if pa.types.is_timestamp(type_) or pa.types.is_duration(type_) or pa.types.is_time(type_):
        array = pa.concat_arrays([pa.repeat(value, 1) for value in values])  # Python's have no nanoseconds
    call = Membership(as_type(operand, type_), array.unique(), len(present) < len(constants))
    if depth_of(call) > MAX_DEPTH:
        raise OptionError(f"the filter is nested deeper than {MAX_DEPTH} levels")
    return call


def _value_as(node: Node, type_: pa.DataType) -> pa.Scalar:
    if isinstance(node, Literal) and node.type != type_:
        value = literal_as(node, type_)
        if value is not None and value.type == type_:
            return value
    found = as_type(node, type_)
    if not isinstance(found, Literal):
        raise OptionError("IN needs constants")
    return found.value


def like(name: str, operand: Node, pattern: Node) -> Node:
    """Return LIKE or ILIKE with a constant pattern."""
    if not isinstance(pattern, Literal):
        raise OptionError(f"{name.upper()} needs a constant pattern")
    return operator(name, (_argument("text", operand, name), _argument("text", pattern, name)), _BOOL)


def concatenation(left: Node, right: Node) -> Node:
    """Return ``left || right``; what is no text is cast to it."""
    sides = [side if is_text(side.type) else cast(side, pa.string(), safe=False) for side in (left, right)]
    return operator("||", _same(sides, "||"))


def cast(node: Node, type_: pa.DataType, safe: bool) -> Node:
    """Return CAST, or TRY_CAST where it is safe."""
    if isinstance(node, Literal) and not node.value.is_valid:
        return Literal(pa.scalar(None, type_))
    name = "try_cast" if safe else "cast"
    if not isinstance(node, Literal):
        compute_call(
            "cast", (pa.nulls(0, node.type),), 0, type_
        )  # tells whether the types can be cast at all
    return operator(name, (node,), type_)


def element(lists: Node, index: Node) -> Node:
    """Return ``lists[index]``, counted from 1."""
    if not is_list(lists.type):
        raise OptionError(f"[...] needs a list or a struct, not {_named(lists)}")
    if not pa.types.is_integer(index.type):
        raise OptionError(f"elements of a list have integers, not {_named(index)}")
    return operator("element", (lists, index))


def case(conditions: Sequence[Node], values: Sequence[Node], otherwise: Node) -> Node:
    """Return CASE WHEN; plain constants take the type of the other values."""
    every = [*values, otherwise]
    column = next((value for value in every if not isinstance(value, Literal)), None)
    if column is not None:
        every = [_beside(value, Column((), column.type)) for value in every]
    every = _same(every, "CASE")
    parts: list[Node] = []
    for condition, value in zip(conditions, every, strict=False):
        parts += [require_boolean(condition, "WHEN"), value]
    return operator("case", [*parts, every[-1]], every[-1].type)


def function(name: str, arguments: Sequence[Node]) -> Node:
    """Return the call of a function by any of its names.

    Raises
    ------
    OptionError
        There is no such function, or it does not take these arguments.
    """
    first, described = find_function(name)
    kinds = _kinds(name, described, len(arguments))
    prepared = [_argument(kind, argument, name) for kind, argument in zip(kinds, arguments, strict=True)]
    if "same" in kinds:
        prepared = _same(prepared, name)
    if "element" in kinds:
        prepared[1] = _list_element(prepared[0], prepared[1], name)
    if sum(is_text(node.type) for node in prepared) > 1 and "text!" not in kinds:
        prepared = [*_same([node for node in prepared if is_text(node.type)], name)]
    return operator(first, prepared)


def _kinds(name: str, described: Function, num_arguments: int) -> list[str]:
    kinds = list(described.arguments)
    if described.variadic:
        kinds += kinds[-1:] * (num_arguments - len(kinds))
    lowest = len(described.arguments) - described.optional
    if not lowest <= num_arguments <= len(kinds):
        wanted = f"{lowest}" if lowest == len(kinds) else f"{lowest} to {len(kinds)}"
        raise OptionError(f"{name} takes {wanted} arguments, not {num_arguments}")
    return kinds[:num_arguments]


def _list_element(lists: Node, wanted: Node, name: str) -> Node:
    type_ = lists.type.value_type
    if pa.types.is_nested(type_):
        raise OptionError(f"{name} is not defined for {lists.type}")
    beside = _beside(wanted, Column((), type_))
    common = common_type(type_, beside.type)
    if common != type_:
        raise OptionError(f"{name}: {_named(wanted)} is no element of {lists.type}")
    return as_type(beside, type_)


_KINDS = {
    "text": is_text,
    "number": is_number,
    "float": is_number,
    "integer": pa.types.is_integer,
    "list": is_list,
    "boolean": pa.types.is_boolean,
    "time": is_time,
}
_OF_NULL = {"text": pa.string(), "number": pa.float64(), "float": pa.float64(), "integer": pa.int64()}


def _argument(kind: str, node: Node, name: str) -> Node:
    """Return an argument that is of the kind."""
    if kind in ("any", "same", "element"):
        return node
    plain = kind.removesuffix("!")
    if kind != plain and not isinstance(node, Literal):
        raise OptionError(f"{name} needs a constant here, not {_named(node)}")
    if pa.types.is_null(node.type) and plain in _OF_NULL:
        return as_type(node, _OF_NULL[plain])
    if not _KINDS[plain](node.type):
        raise OptionError(f"{name} needs {plain}, and {_named(node)} is none")
    if plain == "float" and not pa.types.is_floating(node.type):
        return as_type(node, pa.float64())
    return node


def is_null(node: Node) -> Node:
    """Return IS NULL."""
    return operator("is null", (node,), _BOOL)


def is_true(node: Node) -> Node:
    """Return IS TRUE."""
    return operator("is true", (require_boolean(node, "IS TRUE"),), _BOOL)
