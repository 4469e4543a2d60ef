"""From a tree of nodes and a batch to values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lancelet.errors import OptionError
from lancelet.filters import comparing
from lancelet.filters.comparing import spread
from lancelet.filters.functions import compute_call
from lancelet.filters.nodes import Call, Column, Literal, Membership

if TYPE_CHECKING:
    from collections.abc import Callable

    from lancelet.filters.comparing import Datum
    from lancelet.filters.nodes import Node

__all__ = ["evaluate", "values_of"]


def values_of(node: Node, batch: pa.RecordBatch) -> pa.Array:
    """Return one value a row.

    Raises
    ------
    OptionError
        A column is not in the batch, or a value does not fit (an overflow, a division by zero, a cast).
    """
    return spread(evaluate(node, batch), batch.num_rows)


def evaluate(node: Node, batch: pa.RecordBatch) -> Datum:
    """Return the values of a node: an array, or a scalar where it is the same for all rows."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Column):
        return _column(node, batch)
    if isinstance(node, Membership):
        operand = evaluate(node.operand, batch)
        return comparing.membership(operand, node.values, node.has_null)
    if node.function in _LAZY:
        return _LAZY[node.function](node, batch)
    arguments = [evaluate(argument, batch) for argument in node.arguments]
    return compute_call(node.function, arguments, batch.num_rows, node.type)


def _column(node: Column, batch: pa.RecordBatch) -> pa.Array:
    name = node.path[0]
    if name not in batch.schema.names:
        raise OptionError(
            f"the filter needs column {name!r}, and the batch has {', '.join(batch.schema.names)}"
        )
    values = _plain_values(batch.column(name))
    for field in node.path[1:]:
        values = _plain_values(pc.struct_field(values, field))
    return values if values.type == node.type else values.cast(node.type)


def _plain_values(values: pa.Array) -> pa.Array:
    """Decode dictionaries, look into extension types."""
    while True:
        if isinstance(values.type, pa.BaseExtensionType):
            values = values.storage
        elif pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        else:
            return values


def _chain(node: Call, batch: pa.RecordBatch) -> Datum:
    """AND and OR of all arguments.

    Where an argument cannot be computed for all rows it is computed for those that it can still change, so that
    ``b <> 0 AND a / b > 1`` is no error.
    """
    combine, decided = (pc.and_kleene, False) if node.function == "and" else (pc.or_kleene, True)
    found: Datum = pa.scalar(not decided)
    for argument in node.arguments:
        try:
            value = evaluate(argument, batch)
        except OptionError:
            open_ = pc.fill_null(pc.not_equal(spread(found, batch.num_rows), decided), True)
            value = _where(open_, argument, batch, pa.scalar(decided))
        found = combine(found, value)
    return found


def _where(rows: pa.Array, node: Node, batch: pa.RecordBatch, other: pa.Scalar) -> pa.Array:
    """Return the values of a node where `rows` is true, and `other` elsewhere. Passes an error on if it is true everywhere."""
    some = batch.filter(rows)
    values = evaluate(node, some) if some.num_rows else pa.nulls(0, node.type)
    return pc.replace_with_mask(pa.repeat(other, batch.num_rows), rows, values)


def _case(node: Call, batch: pa.RecordBatch) -> Datum:
    """CASE: conditions and values in turn, then the value of ELSE."""
    conditions: list[Datum] = []
    values: list[Datum] = []
    null = pa.scalar(None, node.type)
    open_ = pa.repeat(pa.scalar(True), batch.num_rows)
    parts = iter(node.arguments[:-1])
    for when, then in zip(parts, parts, strict=True):
        conditions.append(pc.fill_null(_on(open_, when, batch, pa.scalar(None, pa.bool_())), False))
        taken = pc.and_(open_, conditions[-1])
        values.append(_on(taken, then, batch, null))
        open_ = pc.and_not(open_, conditions[-1])
    values.append(_on(open_, node.arguments[-1], batch, null))
    return comparing.choose(conditions, values)


def _on(rows: pa.Array, node: Node, batch: pa.RecordBatch, other: pa.Scalar) -> Datum:
    """Return the values of a node, right at least where `rows` is true."""
    try:
        return evaluate(node, batch)
    except OptionError:
        return _where(rows, node, batch, other)


_LAZY: dict[str, Callable[[Call, pa.RecordBatch], Datum]] = {"and": _chain, "or": _chain, "case": _case}
