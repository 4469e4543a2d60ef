"""Arrow extension types: stored as what they are made of, under two keys of the field's metadata.

===============================  =========================================================
key                              value
===============================  =========================================================
``ARROW:extension:name``         name of the extension, such as ``arrow.uuid``
``ARROW:extension:metadata``     its parameters, as the extension serialises them
===============================  =========================================================

pyarrow turns these keys into a type, and back, only where schemas pass between libraries; so they pass here.
"""

from __future__ import annotations

import pyarrow as pa

from lancelet.errors import OptionError

__all__ = ["show_extension", "storage_field"]

_PREFIX = b"ARROW:extension:"
#: As long as the prefix; pyarrow does not look for it.
_HIDDEN_PREFIX = b"arrow:EXTENSION:"


def storage_field(field: pa.Field) -> pa.Field:
    """Return `field` with storage type and keys in place of an extension type; children stay as they are.

    Raises
    ------
    OptionError
        The extension cannot be serialised.
    """
    type_ = field.type
    if not isinstance(type_, pa.BaseExtensionType):
        return field
    try:
        # Built-in extensions have no method that tells their parameters, but they are in a serialised schema.
        serialised = pa.schema([pa.field("", type_)]).serialize().to_pybytes()
        hidden = pa.ipc.read_schema(pa.py_buffer(serialised.replace(_PREFIX, _HIDDEN_PREFIX))).field(0)
    except pa.ArrowException as error:
        raise OptionError(f"field {field.name!r}: extension type {type_} cannot be stored: {error}") from None
    keys = {key.replace(_HIDDEN_PREFIX, _PREFIX): value for key, value in hidden.metadata.items()}
    return pa.field(field.name, type_.storage_type, field.nullable, {**(field.metadata or {}), **keys})


def show_extension(field: pa.Field) -> pa.Field:
    """Return a field that has the two keys with its extension type, if pyarrow knows one that fits."""
    try:
        shown = pa.field(_Exported(field))
    except Exception:
        # An extension from outside may raise what it likes; the storage can still be read.
        return field
    return shown if isinstance(shown.type, pa.BaseExtensionType) else field


class _Exported:
    """A field that hides that it comes from pyarrow, so that it is imported."""

    def __init__(self, field: pa.Field) -> None:
        self._field = field

    def __arrow_c_schema__(self) -> object:
        return self._field.__arrow_c_schema__()
