"""What a filter is made of: columns, constants, and calls of functions. Plain, immutable, picklable.

Every node knows its Arrow type; a tree that exists is well typed, because :mod:`lancelet.filters.build` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_DEPTH", "Call", "Column", "Literal", "Membership", "Node", "column_paths", "depth_of"]

#: Levels of calls in calls. Evaluating and pickling recurse, so the limit stays well below that of Python; chains of AND and OR
#: are one level.
MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a field inside of structs.

    Attributes
    ----------
    path
        Names from the top, as the schema has them.
    type
        Type of the values: dictionaries are decoded, extension types are their storage.
    """

    path: tuple[str, ...]
    type: pa.DataType


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant.

    Attributes
    ----------
    value
        The constant in the type that it has by itself.
    text
        What a number, a string, a boolean or NULL was written as, while it may still take the type of the column beside it. None
        where the type is given, as by a cast.
    """

    value: pa.Scalar
    text: str | None = None

    @property
    def type(self) -> pa.DataType:
        """Type of the constant."""
        return self.value.type

    @property
    def is_free(self) -> bool:
        """Whether it may take the type of the column beside it."""
        return self.text is not None


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator of :mod:`lancelet.filters.functions` and its arguments."""

    function: str
    arguments: tuple[Node, ...]
    type: pa.DataType


@dataclass(frozen=True, slots=True)
class Membership:
    """``operand IN (constants)``.

    Attributes
    ----------
    values
        The constants in the type of the operand, without nulls.
    has_null
        Whether NULL is one of them: then what is not found is unknown.
    """

    operand: Node
    values: pa.Array
    has_null: bool

    @property
    def type(self) -> pa.DataType:
        """True, false or null."""
        return pa.bool_()


Node: TypeAlias = Column | Literal | Call | Membership


def parts_of(node: Node) -> tuple[Node, ...]:
    """Return the nodes right below."""
    if isinstance(node, Call):
        return node.arguments
    return (node.operand,) if isinstance(node, Membership) else ()


def depth_of(node: Node) -> int:
    """Return the number of levels, 1 for a column or a constant. Stops counting beyond ``MAX_DEPTH``."""
    level, depth = [node], 0
    while level and depth <= MAX_DEPTH:
        level = [part for above in level for part in parts_of(above)]
        depth += 1
    return depth


def column_paths(node: Node) -> Iterator[tuple[str, ...]]:
    """Give the path of every column in the order of the text, repeated where it is."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Column):
            yield node.path
        waiting.extend(reversed(parts_of(node)))
