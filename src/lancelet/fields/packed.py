"""What the children of packed structs may be (compressors.md 5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.fields.paths import Container
from lancelet.fields.structure import leaf_of_array
from lancelet.schema.project import is_packed
from lancelet.versions import Version

if TYPE_CHECKING:
    from lancelet.fields.paths import LeafPath
    from lancelet.schema.fields import Field

__all__ = ["check_children", "unsupported_child"]


def unsupported_child(field: Field) -> pa.DataType | None:
    """Return the type of a child of the packed struct `field` that has no form there; ``None`` if there is no such child."""
    if not is_packed(field, Version.V2_1):
        return None
    for child in field.children:
        type_ = child.storage_type
        if child.children or pa.types.is_dictionary(type_) or pa.types.is_null(type_):
            return type_
    return None


def check_children(array: pa.Array, path: LeafPath) -> None:
    """Check that the children of packed structs have no nulls but where a struct, or one around it, is null.

    Parameters
    ----------
    array
        As :func:`~lancelet.fields.paths.split_paths` gives it.
    path
        Its path; the leaf is the packed struct.

    Raises
    ------
    OptionError
        They have.
    """
    structs: Any = array
    for container in path.containers:
        structs = structs.field(0) if container is Container.STRUCT else structs.values
    if not any(structs.field(index).null_count for index in range(structs.type.num_fields)):
        return
    try:
        leaf_of_array(array, path)  # knows which of them nobody sees
    except OptionError as error:
        raise OptionError(f"field {path.leaf.name!r}: {error}") from None
