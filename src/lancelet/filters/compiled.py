"""What callers get: a filter, which says which rows stay, and an expression, which computes a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from lancelet.errors import OptionError
from lancelet.filters.arrow_expression import ArrowExpression, bind
from lancelet.filters.evaluate import values_of
from lancelet.filters.nodes import column_paths
from lancelet.schema.text import is_text

if TYPE_CHECKING:
    from lancelet.filters.nodes import Node

__all__ = ["Expression", "Filter", "compile_expression", "compile_filter"]

_Tree: TypeAlias = "Node | ArrowExpression"


@dataclass(frozen=True, slots=True)
class Expression:
    """Values computed from columns; made by :func:`compile_expression`. Can be pickled.

    Attributes
    ----------
    text
        As the caller wrote it.
    columns
        The columns that it needs: names, with dots before the fields of structs (back-ticks around names that have dots).
    type
        Type of the values.
    """

    text: str
    columns: tuple[str, ...]
    type: pa.DataType
    _tree: _Tree

    def __str__(self) -> str:
        return self.text

    def evaluate(self, batch: pa.RecordBatch | pa.Table) -> pa.Array:
        """Return one value a row, of type ``type``.

        Parameters
        ----------
        batch
            Has at least the columns that are needed; of structs at least the needed fields.

        Raises
        ------
        OptionError
            A column is missing, or a value does not fit: an integer overflows or is divided by zero, a cast fails.
        """
        if isinstance(batch, pa.Table):
            parts = [self.evaluate(part) for part in batch.to_batches()]
            return pa.concat_arrays(parts) if parts else pa.array([], self.type)
        if isinstance(self._tree, ArrowExpression):
            return self._tree.values_of(batch)
        try:
            return values_of(self._tree, batch)
        except OptionError as error:
            shown = self.text if len(self.text) <= 200 else f"{self.text[:200]}..."
            raise OptionError(f"{error} (in {shown!r})") from error.__cause__


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on rows; made by :func:`compile_filter`. Can be pickled.

    Attributes
    ----------
    condition
        Computes true, false or null for every row.
    """

    condition: Expression

    def __str__(self) -> str:
        return self.condition.text

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs: names, with dots before the fields of structs."""
        return self.condition.columns

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Tell which rows stay: one value a row and no null, since a row for which the condition is null does not stay.

        Raises
        ------
        OptionError
            As :meth:`Expression.evaluate`.
        """
        return pc.fill_null(self.condition.evaluate(batch), False)


def compile_expression(text: str | pc.Expression, schema: pa.Schema) -> Expression:
    """Compile an expression of SQL, or of pyarrow, that computes a column.

    Parameters
    ----------
    text
        The expression; ``docs/reference/filters.md`` says what it may hold.
    schema
        The columns that it may name.

    Raises
    ------
    OptionError
        It cannot be parsed, names what is not there, has types that do not fit, or uses what is not supported.

    Examples
    --------
    >>> import pyarrow as pa
    >>> double = compile_expression("2 * a", pa.schema({"a": pa.int32()}))
    >>> double.columns, double.type
    (('a',), DataType(int32))
    >>> double.evaluate(pa.record_batch({"a": pa.array([1, None], pa.int32())})).to_pylist()
    [2, None]
    """
    return _compile(text, schema, whole_expression=True)


def compile_filter(filter: str | pc.Expression, schema: pa.Schema) -> Filter:
    """Compile a condition on rows.

    Parameters
    ----------
    filter
        SQL, or an expression of pyarrow; ``docs/reference/filters.md`` says what SQL may hold.
    schema
        The columns that it may name.

    Raises
    ------
    OptionError
        It cannot be parsed, names what is not there, has types that do not fit, uses what is not supported, or is no condition.

    Examples
    --------
    >>> import pyarrow as pa
    >>> positive = compile_filter("a > 0", pa.schema({"a": pa.int32()}))
    >>> positive.mask(pa.record_batch({"a": pa.array([1, None, -1], pa.int32())})).to_pylist()
    [True, False, False]
    """
    condition = _compile(filter, schema, whole_expression=False)
    if pa.types.is_boolean(condition.type):
        return Filter(condition)
    raise OptionError(f"a filter is a condition, and {condition} has values of type {condition.type}")


def _compile(text: str | pc.Expression, schema: pa.Schema, whole_expression: bool) -> Expression:
    if isinstance(text, pc.Expression):
        bound = bind(text, schema)
        columns = tuple(_dotted((name,)) for name in bound.columns)
        return Expression(str(text), columns, bound.type, bound)
    if not isinstance(text, str):
        raise OptionError(f"a filter is text or an expression of pyarrow, not {type(text).__name__}")
    if not is_text(text):
        raise OptionError(f"the filter {text!r:.200} is no text: it has half of a surrogate pair")
    from lancelet.filters.parse import parse  # brings sqlglot

    tree = parse(text, schema, whole_expression)
    paths = dict.fromkeys(column_paths(tree))
    needed = [path for path in paths if not any(path[:depth] in paths for depth in range(1, len(path)))]
    return Expression(text, tuple(_dotted(path) for path in needed), tree.type, tree)


def _dotted(path: tuple[str, ...]) -> str:
    if len(path) == 1:
        return path[0]
    return ".".join(f"`{name}`" if "." in name else name for name in path)
