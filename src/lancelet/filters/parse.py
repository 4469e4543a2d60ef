"""SQL text to nodes. sqlglot parses; every node and every argument of a node that is not known here is refused by name."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lancelet.errors import OptionError
from lancelet.filters import build
from lancelet.filters.dialect import FilterDialect
from lancelet.filters.literal_lists import MARK, LiteralList, take_lists_out
from lancelet.filters.names import find_column
from lancelet.filters.nodes import Column, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from lancelet.filters.nodes import Node

__all__ = ["parse"]

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
#: Conditions that SQL dialects bind differently at the right of a comparison.
_LOOSE: tuple[type[exp.Expr], ...] = (
    exp.Is,
    exp.In,
    exp.Between,
    exp.Like,
    exp.ILike,
    exp.Not,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
    *_COMPARISONS,
)
_TYPES = {
    exp.DataType.Type.BOOLEAN: pa.bool_(),
    exp.DataType.Type.TINYINT: pa.int8(),
    exp.DataType.Type.SMALLINT: pa.int16(),
    exp.DataType.Type.INT: pa.int32(),
    exp.DataType.Type.BIGINT: pa.int64(),
    exp.DataType.Type.UTINYINT: pa.uint8(),
    exp.DataType.Type.USMALLINT: pa.uint16(),
    exp.DataType.Type.UINT: pa.uint32(),
    exp.DataType.Type.UBIGINT: pa.uint64(),
    exp.DataType.Type.FLOAT: pa.float32(),
    exp.DataType.Type.DOUBLE: pa.float64(),
    exp.DataType.Type.TEXT: pa.string(),
    exp.DataType.Type.VARCHAR: pa.string(),
    exp.DataType.Type.BINARY: pa.binary(),
    exp.DataType.Type.VARBINARY: pa.binary(),
    exp.DataType.Type.DATE: pa.date32(),
    exp.DataType.Type.TIMESTAMP: pa.timestamp("us"),
    exp.DataType.Type.DATETIME: pa.timestamp("us"),
}
_STAMPS = {"0": "s", "3": "ms", "6": "us", "9": "ns"}
_SETTINGS = {"safe", "_type", "quoted", "is_string"}
"""Arguments that say what the class says already."""


def parse(text: str, schema: pa.Schema, whole_expression: bool) -> Node:
    """Return the nodes of a text.

    Parameters
    ----------
    schema
        The columns that it may name.
    whole_expression
        Whether it is the expression of a column: then a constant beside a column takes its type in arithmetic too.

    Raises
    ------
    OptionError
        The text is no SQL, names what is not there, or uses what is not supported.
    """
    dialect = FilterDialect()
    try:
        tokens = dialect.tokenize(text)
        if any(token.comments for token in tokens):
            raise OptionError("filters have no comments")
        lists: list[LiteralList] = []
        statements = dialect.parser().parse(tokens if "\0" in text else take_lists_out(tokens, lists), text)
        if len(statements) != 1 or statements[0] is None:
            raise OptionError("a filter is one expression" if tokens else "the filter is empty")
        return _Converter(schema, lists).convert(statements[0], whole_expression)
    except SqlglotError as error:
        raise OptionError(f"the filter is no SQL: {_plain_message(error)}") from error
    except RecursionError:
        raise OptionError("the filter is nested too deeply") from None
    except OptionError as error:
        shown = text if len(text) <= 200 else f"{text[:200]}..."
        raise OptionError(f"{error} (in {shown!r})") from error.__cause__


def _plain_message(error: SqlglotError) -> str:
    """Return what sqlglot says without its colours and its own names for things."""
    details = getattr(error, "errors", None)
    if details:
        found = details[0]
        said = str(found.get("description"))
        if said.startswith("Required keyword"):
            said = "something is missing"
        return f"{said} at line {found.get('line')}, column {found.get('col')}"
    return str(error).partition("\n")[0]


def _only(node: exp.Expr, *known: str) -> None:
    """Refuse a node of which another argument is set: it would mean something else."""
    for name, value in node.args.items():
        if name not in known and name not in _SETTINGS and value not in (None, False, []):
            raise OptionError(f"filters do not support {name.upper()} of {node.key.upper()}")


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        _only(node, "this")
        node = node.this
    return node


class _Converter:
    """Walks the nodes of sqlglot.

    Parameters
    ----------
    schema
        The columns.
    lists
        What stood in IN where a mark stands now.
    """

    def __init__(self, schema: pa.Schema, lists: list[LiteralList]) -> None:
        self._schema = schema
        self._lists = lists

    def convert(self, node: exp.Expr, whole: bool = False) -> Node:
        """Return the node of ours."""
        node = _bare(node)
        if node.args.get("negate"):
            positive = node.copy()
            positive.set("negate", None)
            return build.invert(self.convert(positive))
        if type(node) in _ARITHMETIC:
            _only(node, "this", "expression")
            sides = self.convert(node.this), self.convert(node.expression)
            return build.arithmetic(_ARITHMETIC[type(node)], *sides, keep_column_type=whole)
        if type(node) in _COMPARISONS:
            return self._comparison(_COMPARISONS[type(node)], node)
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise OptionError(f"filters do not support {node.key.upper()}")
        return handler(self, node)

    def _sides(self, node: exp.Expr) -> tuple[Node, Node]:
        _only(node, "this", "expression")
        return self.convert(node.this), self.convert(node.expression)

    def _comparison(self, name: str, node: exp.Expr) -> Node:
        if isinstance(node.expression, _LOOSE):
            raise OptionError(f"put parentheses around the condition right of {name}")
        return build.comparison(name, *self._sides(node))

    def _chain(self, node: exp.Expr) -> Node:
        """AND and OR, of any length: sqlglot nests them to the left."""
        kind, terms = type(node), []
        while type(node) is kind:
            _only(node, "this", "expression")
            terms.append(node.expression)
            node = node.this
        conditions = [self.convert(term) for term in (node, *reversed(terms))]
        return build.chain("and" if kind is exp.And else "or", conditions)

    def _not(self, node: exp.Expr) -> Node:
        _only(node, "this")
        return build.invert(self.convert(node.this))

    def _negative(self, node: exp.Expr) -> Node:
        _only(node, "this")
        if isinstance(node.this, exp.Literal) and not node.this.is_string:
            return _number(f"-{node.this.this}")
        return build.operator("negate", (self.convert(node.this),))

    def _literal(self, node: exp.Expr) -> Node:
        _only(node, "this")
        if node.args.get("is_string"):
            return Literal(pa.scalar(node.this), node.this)
        return _number(node.this)

    def _boolean(self, node: exp.Expr) -> Node:
        _only(node, "this")
        return Literal(pa.scalar(bool(node.this)), str(node.this))

    def _null(self, node: exp.Expr) -> Node:
        _only(node)
        return Literal(pa.scalar(None), "NULL")

    def _bytes(self, node: exp.Expr) -> Node:
        _only(node, "this")
        try:
            return Literal(pa.scalar(bytes.fromhex(node.this)))
        except ValueError:
            raise OptionError(f"{node.this!r} is no even number of hexadecimal digits") from None

    def _column(self, node: exp.Expr) -> Node:
        _only(node, "this", "table", "db", "catalog")
        parts = [node.args.get(part) for part in ("catalog", "db", "table", "this")]
        return self._named([part for part in parts if part is not None])

    def _named(self, parts: list[exp.Expr]) -> Node:
        names = []
        for part in parts:
            if not isinstance(part, exp.Identifier):
                raise OptionError(f"filters do not support {part.key.upper()} in a name")
            _only(part, "this")
            names.append(part.this)
        return find_column(self._schema, names, bool(parts[0].args.get("quoted")))

    def _dot(self, node: exp.Expr) -> Node:
        """``a.b`` where the left side is no plain name, or names of more than four parts."""
        _only(node, "this", "expression")
        if not isinstance(node.expression, exp.Identifier):
            raise OptionError("filters do not support functions after a dot")
        left = self.convert(node.this)
        if not isinstance(left, Column):
            raise OptionError("filters take fields of columns only, not of computed values")
        return find_column(self._schema, [*left.path, node.expression.this], exact=True)

    def _bracket(self, node: exp.Expr) -> Node:
        _only(node, "this", "expressions")
        if len(node.expressions) != 1:
            raise OptionError("filters take one field or element between brackets")
        inner, index = self.convert(node.this), self.convert(node.expressions[0])
        if isinstance(inner, Column) and pa.types.is_struct(inner.type) and isinstance(index, Literal):
            if not pa.types.is_string(index.type):
                raise OptionError(f"fields of {'.'.join(inner.path)} have names")
            return find_column(self._schema, [*inner.path, index.value.as_py()], exact=True)
        return build.element(inner, index)

    def _is(self, node: exp.Expr) -> Node:
        _only(node, "this", "expression")
        left, right = self.convert(node.this), node.expression
        if isinstance(right, exp.Null):
            return build.is_null(left)
        if isinstance(right, exp.Boolean):
            return build.is_true(left if right.this else build.invert(left))
        raise OptionError(f"filters do not support IS {right.key.upper()}")

    def _same(self, node: exp.Expr) -> Node:
        return build.invert(build.comparison("is distinct", *self._sides(node)))

    def _distinct(self, node: exp.Expr) -> Node:
        return build.comparison("is distinct", *self._sides(node))

    def _in(self, node: exp.Expr) -> Node:
        _only(node, "this", "expressions")
        if not node.expressions:
            raise OptionError("IN needs at least one value")
        first = node.expressions[0]
        if self._lists and isinstance(first, exp.Literal) and first.is_string and first.this.startswith(MARK):
            return self._in_list(self.convert(node.this), self._lists[int(first.this.removeprefix(MARK))])
        return build.membership(self.convert(node.this), [self.convert(value) for value in node.expressions])

    def _in_list(self, operand: Node, found: LiteralList) -> Node:
        if (together := build.look_up_texts(operand, found.texts, found.are_strings)) is not None:
            return together
        if found.are_strings:
            return build.membership(operand, [Literal(pa.scalar(text), text) for text in found.texts])
        return build.membership(operand, [_number(text) for text in found.texts])

    def _between(self, node: exp.Expr) -> Node:
        _only(node, "this", "low", "high")
        value = self.convert(node.this)
        low = build.comparison(">=", value, self.convert(node.args["low"]))
        return build.chain("and", (low, build.comparison("<=", value, self.convert(node.args["high"]))))

    def _like(self, node: exp.Expr) -> Node:
        return build.like("ilike" if isinstance(node, exp.ILike) else "like", *self._sides(node))

    def _pipe(self, node: exp.Expr) -> Node:
        if any(type(side) in _ARITHMETIC for side in (node.this, node.expression)):
            raise OptionError("put parentheses around arithmetic beside ||")
        return build.concatenation(*self._sides(node))

    def _cast(self, node: exp.Expr) -> Node:
        _only(node, "this", "to")
        return build.cast(self.convert(node.this), _type(node.args["to"]), isinstance(node, exp.TryCast))

    def _case(self, node: exp.Expr) -> Node:
        _only(node, "this", "ifs", "default")
        operand = None if node.this is None else self.convert(node.this)
        conditions, values = [], []
        for branch in node.args["ifs"]:
            _only(branch, "this", "true")
            when = self.convert(branch.this)
            conditions.append(when if operand is None else build.comparison("=", operand, when))
            values.append(self.convert(branch.args["true"]))
        default = node.args.get("default")
        otherwise = Literal(pa.scalar(None), "NULL") if default is None else self.convert(default)
        return build.case(conditions, values, otherwise)

    def _extract(self, node: exp.Expr) -> Node:
        _only(node, "this", "expression")
        part = Literal(pa.scalar(str(node.this.name)))
        return build.function("date_part", (part, self.convert(node.expression)))

    def _function(self, node: exp.Expr) -> Node:
        _only(node, "this", "expressions")
        return build.function(str(node.this), [self.convert(value) for value in node.expressions])


_HANDLERS: dict[type[exp.Expr], Callable[[_Converter, exp.Expr], Node]] = {
    exp.And: _Converter._chain,
    exp.Anonymous: _Converter._function,
    exp.Between: _Converter._between,
    exp.Boolean: _Converter._boolean,
    exp.Bracket: _Converter._bracket,
    exp.Case: _Converter._case,
    exp.Cast: _Converter._cast,
    exp.Column: _Converter._column,
    exp.DPipe: _Converter._pipe,
    exp.Dot: _Converter._dot,
    exp.Extract: _Converter._extract,
    exp.HexString: _Converter._bytes,
    exp.ILike: _Converter._like,
    exp.In: _Converter._in,
    exp.Is: _Converter._is,
    exp.Like: _Converter._like,
    exp.Literal: _Converter._literal,
    exp.Neg: _Converter._negative,
    exp.Not: _Converter._not,
    exp.Null: _Converter._null,
    exp.NullSafeEQ: _Converter._same,
    exp.NullSafeNEQ: _Converter._distinct,
    exp.Or: _Converter._chain,
    exp.TryCast: _Converter._cast,
}


def _number(text: str) -> Literal:
    """Return an integer of 64 bits, a longer one as a decimal, or else floating point; the text stays for decimals."""
    try:
        number = int(text)
    except ValueError:
        return Literal(pa.scalar(float(text)), text)
    if -(2**63) <= number < 2**63:
        return Literal(pa.scalar(number, pa.int64()), text)
    if 0 <= number < 2**64:
        return Literal(pa.scalar(number, pa.uint64()), text)
    try:
        return Literal(pa.scalar(Decimal(number)), text)
    except pa.ArrowInvalid:  # more than 76 digits
        return Literal(pa.scalar(float(text)), text)


def _type(node: exp.Expr) -> pa.DataType:
    """Return the type that a cast names."""
    kind = node.this
    if node.args.get("nested") or any(not isinstance(one, exp.DataTypeParam) for one in node.expressions):
        raise OptionError(f"filters do not cast to {node.sql()}")
    parameters = [str(parameter.this.this) for parameter in node.expressions]
    if kind == exp.DataType.Type.DECIMAL and len(parameters) in (1, 2):
        precision, scale = [int(number) for number in [*parameters, "0"][:2]]
        if not 1 <= precision <= 38 or scale > precision:
            raise OptionError(f"there is no decimal({precision}, {scale})")
        return pa.decimal128(precision, scale)
    if kind in (exp.DataType.Type.TIMESTAMP, exp.DataType.Type.DATETIME) and parameters:
        if parameters[0] not in _STAMPS:
            raise OptionError("a timestamp has 0, 3, 6 or 9 digits of seconds")
        return pa.timestamp(_STAMPS[parameters[0]])
    if parameters or kind not in _TYPES:
        raise OptionError(f"filters do not cast to {node.sql()}")
    return _TYPES[kind]
