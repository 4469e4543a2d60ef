"""Names of columns: those that every dataset has without storing them, and what others may be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.errors import OptionError
from lancelet.schema.text import is_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lancelet.schema.fields import Field

__all__ = [
    "CREATED_AT",
    "ROW_ADDRESS",
    "ROW_ID",
    "SYSTEM_COLUMNS",
    "UPDATED_AT",
    "check_names",
    "is_reserved",
]

ROW_ID = "_rowid"
ROW_ADDRESS = "_rowaddr"
CREATED_AT = "_row_created_at_version"
UPDATED_AT = "_row_last_updated_at_version"
#: Columns that no file holds, all of type uint64.
SYSTEM_COLUMNS = (ROW_ID, ROW_ADDRESS, CREATED_AT, UPDATED_AT)
#: What pylance keeps for itself too.
_RESERVED = frozenset((*SYSTEM_COLUMNS, "_rowoffset"))


def is_reserved(name: str) -> bool:
    """Tell whether a column at top level would hide what readers make of rows themselves."""
    return name in _RESERVED


def check_names(fields: Iterable[Field]) -> None:
    """Check that names are there, and differ among neighbours; at top level they hold no dots and are not reserved.

    Raises
    ------
    OptionError
        A name is no name of a column.
    """
    _check_names(fields, "")


def _check_names(fields: Iterable[Field], prefix: str) -> None:
    seen = set()
    for field in fields:
        path = prefix + field.name
        if not is_text(field.name):
            raise OptionError(f"{path!r} is no name of a column: it is no text")
        if not field.name or (not prefix and "." in field.name):
            raise OptionError(f"{path!r} is no name of a column: it is empty or holds a dot")
        if not prefix and is_reserved(field.name):
            raise OptionError(
                f"{path!r} is no name of a column: it is reserved for what readers make of rows"
            )
        if field.name in seen:
            raise OptionError(f"there would be two columns {path!r}")
        seen.add(field.name)
        if field.logical_type == "struct":
            _check_names(field.children, f"{path}.")
