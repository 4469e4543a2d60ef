"""Columns by name: exactly, else in any case; fields of structs exactly."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.filters.coercion import plain_type
from lancelet.filters.nodes import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["find_column"]


def find_column(schema: pa.Schema, names: Sequence[str], exact: bool) -> Column:
    """Return the column, or the field inside of structs, that names from the top mean.

    Parameters
    ----------
    exact
        Whether the case of the first name counts (it stood between back-ticks). Otherwise a column of just that name is taken, and
        if there is none the first that differs in the case of ASCII letters only.

    Raises
    ------
    OptionError
        There is none; the error names the nearest.
    """
    first = names[0]
    count = schema.names.count(first)
    if count > 1:
        raise OptionError(f"there are {count} columns {first!r}")
    if not count and not exact:
        folded = [name for name in schema.names if _folded(name) == _folded(first)]
        first = folded[0] if folded else first
    if first not in schema.names:
        raise OptionError(f"there is no column {first!r}{_nearest(first, schema.names)}")
    type_ = plain_type(schema.field(first).type)
    for depth, name in enumerate(names[1:], 1):
        if not pa.types.is_struct(type_):
            raise OptionError(f"{'.'.join(names[:depth])} is no struct, it has no field {name!r}")
        index = type_.get_field_index(name)
        if index < 0:
            fields = [field.name for field in type_]
            raise OptionError(f"{'.'.join(names[:depth])} has no field {name!r}{_nearest(name, fields)}")
        type_ = plain_type(type_.field(index).type)
    return Column((first, *names[1:]), type_)


def _folded(name: str) -> str:
    """Make the ASCII letters small."""
    return name.encode().lower().decode()


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or list(names)[:8]
    return f"; there are {', '.join(near)}" if near else ""
