"""Conditions and expressions of ``pyarrow.compute``: which columns they need, and their values.

pyarrow tells neither the columns of an expression nor has it a way to evaluate one but its execution engine, which is imported on
first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.filters.coercion import ARROW_ERRORS

if TYPE_CHECKING:
    import pyarrow.compute as pc

__all__ = ["ArrowExpression", "bind"]

_MOST_TRIALS = 64
"""Columns whose names occur in an expression are tried one by one up to this number; more are simply read."""


@dataclass(frozen=True, slots=True)
class ArrowExpression:
    """An expression of pyarrow, bound to a schema.

    Attributes
    ----------
    expression
        What pyarrow evaluates.
    columns
        Names of the top-level columns that it gets, in the order of the schema.
    type
        Type of its values.
    """

    expression: pc.Expression
    columns: tuple[str, ...]
    type: pa.DataType

    def values_of(self, batch: pa.RecordBatch) -> pa.Array:
        """Return one value a row.

        Raises
        ------
        OptionError
            A column is missing, or pyarrow reports an error.
        """
        missing = [name for name in self.columns if name not in batch.schema.names]
        if missing:
            raise OptionError(f"the filter needs column {missing[0]!r}")
        try:
            return _run(self.expression, batch.select(list(self.columns)))
        except ARROW_ERRORS as error:
            raise OptionError(f"the expression {self.expression}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _run(expression: pc.Expression, batch: pa.RecordBatch) -> pa.Array:
    """Evaluate with pyarrow's execution engine; rows keep their order."""
    from pyarrow import acero

    if not batch.num_columns:  # the engine counts rows by a column
        name = "_" * (len(str(expression)) + 1)  # longer than any that the expression has
        batch = pa.record_batch([pa.nulls(batch.num_rows)], [name])
    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(pa.Table.from_batches([batch])))
    project = acero.Declaration("project", acero.ProjectNodeOptions([expression], ["value"]))
    column = acero.Declaration.from_sequence([source, project]).to_table(use_threads=False).column(0)
    chunks = column.chunks
    return (
        chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else pa.array([], column.type)
    )


def _type_of(expression: pc.Expression, schema: pa.Schema, names: tuple[str, ...]) -> pa.DataType:
    """Return the type of the values over some columns; an error of pyarrow if one is missing."""
    fields = [schema.field(name) for name in names]
    empty = pa.RecordBatch.from_arrays(
        [pa.array([], field.type) for field in fields], schema=pa.schema(fields)
    )
    return _run(expression, empty).type


def bind(expression: pc.Expression, schema: pa.Schema) -> ArrowExpression:
    """Find the columns and the type of an expression.

    The text of an expression holds the name of every column that it needs, so names that do not occur are left out. Those that
    occur are left out too if the expression can do without.

    Raises
    ------
    OptionError
        It names a column that is not there, refers to columns by number, or does not fit the types.
    """
    if len(set(schema.names)) != len(schema.names):
        raise OptionError("expressions need columns of different names")
    text = str(expression)
    names = tuple(name for name in schema.names if name in text)
    try:
        expression.__reduce__()  # refuses references by number, which would mean other columns later
        type_ = _type_of(expression, schema, names)
    except ARROW_ERRORS as error:
        raise OptionError(f"the expression {text}: {_first_line(error)}") from error
    for name in names if len(names) <= _MOST_TRIALS else ():
        fewer = tuple(kept for kept in names if kept != name)
        try:
            _type_of(expression, schema, fewer)
        except ARROW_ERRORS:
            continue
        names = fewer
    return ArrowExpression(expression, names, type_)
