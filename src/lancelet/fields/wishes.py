"""Which wishes of ``FileWriter(columns=...)`` are meant for which leaf."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError
from lancelet.fields.paths import is_leaf
from lancelet.schema.blobs import is_blob
from lancelet.wishes import ColumnOptions
from lancelet.wishes.column import NO_WISHES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lancelet.schema.fields import Field

__all__ = ["checked_options", "options_of_leaves"]


def checked_options(columns: Any) -> dict[str, ColumnOptions]:
    """Return the wishes of ``FileWriter(columns=...)``, of which there may be none.

    Raises
    ------
    OptionError
        They are no mapping, or one of them is none.
    """
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise OptionError(f"columns is {columns!r}; it must map names of columns to ColumnOptions")
    for name, options in columns.items():
        if not isinstance(options, ColumnOptions):
            raise OptionError(
                f"columns={{{name!r}: ...}} must be ColumnOptions, not {type(options).__name__}"
            )
    return dict(columns)


def options_of_leaves(
    fields: Sequence[Field], columns: Mapping[str, ColumnOptions]
) -> dict[int, ColumnOptions]:
    """Return the wishes for every leaf, and for the children of packed structs, by field id.

    Parameters
    ----------
    fields
        The top-level fields.
    columns
        Wishes by path: names from the top-level field inwards, with dots between. They hold for all leaves below; what is said
        of a longer path comes first.

    Raises
    ------
    OptionError
        A path leads to no field; the message names the nearest ones.
    """
    paths = {path for field in fields for path, _ in _fields_below(field)} if columns else set()
    for name in columns:
        if name not in paths:
            near = difflib.get_close_matches(str(name), sorted(paths), n=3)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise OptionError(f"columns= names {name!r}, which is no field that has columns{hint}")
    return dict(_options_below(fields, "", NO_WISHES, columns))


def _fields_below(field: Field, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Give a field and what lies below it down to the leaves, with paths."""
    path = f"{prefix}{field.name}"
    yield path, field
    if not is_leaf(field) or _is_packed(field):
        for child in field.children:
            yield from _fields_below(child, f"{path}.")


def _is_packed(field: Field) -> bool:
    return field.logical_type == "struct" and not is_blob(field)


def _options_below(
    fields: Sequence[Field], prefix: str, inherited: ColumnOptions, columns: Mapping[str, ColumnOptions]
) -> Iterator[tuple[int, ColumnOptions]]:
    for field in fields:
        path = f"{prefix}{field.name}"
        options = columns.get(path, NO_WISHES).over(inherited)
        if not is_leaf(field):
            yield from _options_below(field.children, f"{path}.", options, columns)
            continue
        yield field.id, options
        if _is_packed(field):  # one column; what is said of it does not hold for each child
            yield from _options_below(field.children, f"{path}.", NO_WISHES, columns)
